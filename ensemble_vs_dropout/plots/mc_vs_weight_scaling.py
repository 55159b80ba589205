"""How many dropout passes match weight scaling?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist

from ensemble_vs_dropout.evaluation.findings.mc_vs_weight_scaling import SHOWN, mc_vs_weight_scaling
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import AxesArray, Display, draw_line, fold, integer_ticks, name_axes
from ensemble_vs_dropout.types import Predictions

NUMBERS = ["value", "low", "high"]
_LEVELS = {
    "dropout": ("--", style.ARMS["dropout"].color, style.arm_label("dropout")),
    "exact": ("-.", style.COLORS[3], "all masks, geometric mean"),
}


@dataclass(frozen=True, eq=False, repr=False)
class MCVersusWeightScaling(Display):
    """Error, NLL and Brier score of k averaged passes of one network, and of its weight scaling.

    `table` is that of `evaluation.findings.mc_vs_weight_scaling`.

    As Srivastava et al. (2014), figure 11, was made: k passes are drawn with replacement from one pool, many times.

    Example:
        >>> passes = Predictions(np.array([[[0.9, 0.1]], [[0.3, 0.7]]]))
        >>> scaled = Predictions(passes.probs.mean(axis=0)[None])
        >>> display = MCVersusWeightScaling.from_predictions(passes, scaled, [0], dataset="digits", sizes=[1, 2])
        >>> display.frame().query("series == 'expected'").value.round(3).tolist()
        [0.5, 0.41]
    """

    @classmethod
    def from_predictions(
        cls,
        passes: Predictions,
        weight_scaling: Predictions,
        labels: npt.ArrayLike,
        *,
        dataset: str,
        sizes: Sequence[int] | None = None,
        repeats: int = 100,
        exact: Predictions | None = None,
        further: Sequence[tuple[Predictions, Predictions]] = (),
        seed: int = 0,
    ) -> MCVersusWeightScaling:
        """Make the display.

        Args:
            passes: The pool of passes of one dropout network; weights are the chances of being drawn.
            weight_scaling: The same network's deterministic prediction, one member.
            labels: Shape (examples,).
            dataset: The name of the data set.
            sizes: The numbers k; up to 200 and the size of the pool unless given.
            repeats: Draws of k passes, at least 2.
            exact: All masks of the network with their chances as weights, or their geometric mean as one member.
            further: Passes and weight scaling of further networks, for the facts.
            seed: Of the draws.

        Raises:
            InputError: Predictions that do not fit each other or the labels, several networks, or too few repeats.
        """
        finding = mc_vs_weight_scaling(
            passes, weight_scaling, labels, sizes=sizes, repeats=repeats, exact=exact, further=further, seed=seed
        )
        pool = finding.told["pool"]
        caption = [
            f"Quality on {dataset} of k averaged passes of one dropout network, drawn with replacement from a pool of "
            f"{pool}. Band: ±1 standard deviation over {repeats} such draws, not over examples or networks.",
            "Dashed: the same network with scaled weights, one pass.",
            "Dash-dotted: the renormalised geometric mean of all its masks." if exact else "",
            "Dotted: what the Brier score of k passes is expected to be, an exact law in 1/k.",
            style.direction(SHOWN),
        ]
        return cls(
            finding.table,
            title=f"How many passes of MC dropout match weight scaling? Data: {dataset}",
            interval=f"band: ±1 standard deviation over {repeats} draws of passes",
            caption=" ".join(filter(None, caption)),
            facts=finding.facts,
        )

    def _mosaic(self) -> list[list[int]]:
        return fold(range(len(SHOWN)), columns=3)

    def _height(self) -> float:
        return 2.3

    def _draw(self, axes: AxesArray) -> list[Artist]:
        handles: dict[str, Artist] = {}
        look = style.ARMS["mc_dropout"]
        for ax, metric in zip(axes, SHOWN, strict=True):
            panel = self.table[self.table["metric"] == metric]
            panel = panel.assign(**{name: panel[name] * style.metric_scale(metric) for name in NUMBERS})
            ax.set_xscale("log")
            for series, rows in panel.groupby("series", sort=False):
                x = rows["members"].to_numpy(dtype=float)
                if series == "mc_dropout":
                    label = style.arm_label("mc_dropout", "mean")
                    handle = draw_line(ax, x, rows, look.color, marker=look.marker, label=label)
                elif series == "expected":
                    handle = draw_line(ax, x, rows, "0.1", linestyle=":", label="expected of k passes (closed form)")
                else:
                    line, color, label = _LEVELS[str(series)]
                    level = rows["value"].where(np.isfinite(rows["value"])).iloc[0]
                    handle = ax.axhline(level, color=color, linestyle=line, label=label)
                handles.setdefault(str(series), handle)
            ax.autoscale_view(scalex=False)  # levels alone do not make room for themselves
            integer_ticks(ax, panel["members"].dropna().unique())
            name_axes(ax, xlabel="passes averaged, k", ylabel=style.metric_label(metric))
        return list(handles.values())
