"""How many independent networks are k passes, or k other members, worth?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from ensemble_vs_dropout.evaluation.findings.deep_ensemble_equivalent import METRIC, deep_ensemble_equivalent
from ensemble_vs_dropout.evaluation.pooling import Arms
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import AxesArray, Display, draw_line, fold, integer_ticks, name_axes
from ensemble_vs_dropout.types import Predictions


@dataclass(frozen=True, eq=False, repr=False)
class DeepEnsembleEquivalent(Display):
    """The size of the ensemble that is as good as k members of another arm, against k, and what both are judged by.

    `table` is that of `evaluation.findings.deep_ensemble_equivalent`.

    After Ashukha et al. (2020), who call it the deep ensemble equivalent: by the calibrated log-likelihood,
    interpolated linearly between sizes, at least 1.

    Example:
        >>> probs, labels = np.random.default_rng(0).dirichlet([2, 1], (3, 40)), np.zeros(40, int)
        >>> pool, others = Predictions(probs), {"mc_dropout": Predictions(probs[:2])}
        >>> display = DeepEnsembleEquivalent.from_predictions(pool, others, labels, dataset="digits", resamples=100)
        >>> display.frame().panel.unique().tolist()
        ['worth', 'calibrated_nll']
    """

    networks: int = 0

    @classmethod
    def from_predictions(
        cls,
        ensemble: Predictions | Sequence[Predictions],
        others: Arms,
        labels: npt.ArrayLike,
        *,
        dataset: str,
        sizes: Sequence[int] | None = None,
        subsets: int = 20,
        resamples: int = 1000,
        seed: int = 0,
    ) -> DeepEnsembleEquivalent:
        """Make the display.

        Args:
            ensemble: Independent networks, at least 2 of equal weight; one pool, or one for each repetition.
            others: Likewise what is measured by them: passes of a network, or members of another kind.
            labels: Shape (examples,).
            dataset: The name of the data set.
            sizes: Numbers of the others' members; those beyond a pool are left out, and the pool's own is always there.
            subsets: Of a pool at each size, at most; values are their means.
            resamples: Bootstrap resamples of the examples, and of the repetitions where there are several.
            seed: Of subsets, calibration halves and resamples.

        Raises:
            InputError: An ensemble of one network or with weights, another arm of that name, or predictions that do not
                fit each other or the labels.
        """
        finding = deep_ensemble_equivalent(
            ensemble, others, labels, sizes=sizes, subsets=subsets, resamples=resamples, seed=seed
        )
        size, table = finding.told["networks"], finding.table
        beyond = np.isposinf(table["value"][table["panel"] == "worth"]).any()
        over = f"95 % bootstrap over examples{' and repetitions' if finding.told['repetitions'] > 1 else ''}"
        caption = [
            "Worth: the size of the ensemble with the same calibrated NLL, at least 1 (the deep ensemble equivalent).",
            f"An arrow at the upper edge: more than the {size} networks there are." if beyond else "",
            "Members are averaged (mean), and values are means over subsets of a pool; temperatures are fitted",
            f"to the other half of the test examples. Data: {dataset}. Band: {over}.",
            "A lower NLL is better.",
        ]
        return cls(
            table,
            title=f"How many independent networks is it worth? Data: {dataset}",
            interval=f"band: {over}",
            caption=" ".join(filter(None, caption)),
            facts=finding.facts,
            networks=size,
        )

    def _mosaic(self) -> list[list[int]]:
        return fold(range(2), columns=2)

    def _height(self) -> float:
        return 2.5

    def _draw(self, axes: AxesArray) -> list[Artist]:
        styles = style.arm_styles(self.table["arm"])
        handles: dict[Any, Artist] = {}
        for ax, panel in zip(axes, ("worth", METRIC), strict=True):
            whole = self.table[self.table["panel"] == panel]
            ax.set_xscale("log")
            if panel == "worth":
                _set_worth_axis(ax, self.networks)
            for (arm, rule), rows in whole.groupby(["arm", "rule"], sort=False):
                color, marker = styles[arm]
                x = rows["members"].to_numpy()
                shown = rows
                if panel == "worth":
                    shown = rows.assign(high=rows["high"].clip(upper=ax.get_ylim()[1]))
                    at_edge = {"transform": ax.get_xaxis_transform(), "clip_on": False}
                    more = x[np.isposinf(rows["value"])]
                    if len(more):
                        ax.plot(more, [1] * len(more), linestyle="", marker="^", color=color, label="_more", **at_edge)
                label = style.arm_label(arm, rule if x.max() > 1 else None)
                handle = draw_line(ax, x, shown, color, marker=marker, label=label)
                handles.setdefault(arm, handle)
            integer_ticks(ax, whole["members"].unique())
            ylabel = f"worth in networks\n(of {self.networks})" if panel == "worth" else style.metric_label(METRIC)
            name_axes(ax, xlabel="networks or passes averaged, k", ylabel=ylabel)
        return list(handles.values())


def _set_worth_axis(ax: Axes, networks: int) -> None:
    """Make the vertical axis logarithmic, from 1 to a little more than the networks there are."""
    ax.set_yscale("log")
    ticks = sorted({1, networks} | {k for k in (1, 2, 3, 5, 10, 20, 50, 100, 200, 500) if k <= 0.7 * networks})
    ax.set_yticks(ticks, [str(tick) for tick in ticks])
    ax.set_yticks([], minor=True)
    ax.set_ylim(0.9, networks * 1.3)
