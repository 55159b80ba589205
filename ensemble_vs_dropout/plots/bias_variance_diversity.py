"""Where does the gain of an ensemble come from?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ensemble_vs_dropout.evaluation.findings.bias_variance_diversity import LOSSES, bias_variance_diversity
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import AxesArray, Display, draw_line, name_axes
from ensemble_vs_dropout.plots.repetitions import in_units
from ensemble_vs_dropout.types import Predictions

PARTS = {
    "average_bias": ("average bias", style.ArmStyle(style.COLORS[3], "s")),
    "average_variance": ("average variance", style.ArmStyle(style.COLORS[0], "^")),
    "diversity": ("diversity", style.ArmStyle(style.COLORS[2], "o")),
}


@dataclass(frozen=True, eq=False, repr=False)
class BiasVarianceDiversity(Display):
    """Where does the gain come from? The risk of an ensemble, split into bias + variance - diversity, against its size.

    One row each for cross-entropy, Brier score and 0-1 error, each with the rule under which it splits exactly; of the
    0-1 error the parts are effects, which labels enter and which may be negative. Below, the diversity of every trial
    and size against what the vote gains in error over its members (Wood et al., 2023, JMLR 24, Figures 12 and 13).

    `table` is that of `evaluation.findings.bias_variance_diversity`.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> trials = [Predictions(rng.dirichlet([2, 1], (2, 5))) for _ in range(2)]
        >>> BiasVarianceDiversity.from_predictions(trials, [0, 0, 0, 1, 1], dataset="digits").interval
        'band: 95 % t interval over 2 trials'
    """

    @classmethod
    def from_predictions(
        cls,
        trials: Predictions | Sequence[Predictions],
        labels: npt.ArrayLike,
        *,
        dataset: str,
        sizes: Sequence[int] | None = None,
        arm: str = "ensemble",
    ) -> BiasVarianceDiversity:
        """Make the display.

        Every size is averaged over all runs of so many neighbours in the circle of members. So every member takes part
        as often at each size, and bias and variance are the same at all sizes.

        Args:
            trials: Predictions of each trial, which was trained on other data; member i in the same way in all of
                them. Members count alike, whatever their weights.
            labels: Shape (examples,), 0..K-1.
            dataset: The name of the data set.
            sizes: Numbers of members; None for 1, 2, 3, 5, 10, ... up to all.
            arm: Whose members they are.

        Raises:
            InputError: Trials of different sizes, predictions that do not fit the labels, or sizes that are not there.
        """
        finding = bias_variance_diversity(trials, labels, sizes=sizes, arm=arm)
        members, count, lost = (finding.told[name] for name in ("members", "trials", "lost"))
        band = f"95 % t interval over {count} trials" if count > 1 else "none, of one trial"
        caption = [
            f"{style.arm_label(arm)}, {members} members, {count} trials, each trained on other data. Band: {band}.",
            f"Combined, row by row, by the {', the '.join(LOSSES.values())}.",
            "Risk = bias + variance - diversity, exactly.",
            "Dashed: the closed form of the Brier diversity, (1 - 1/M) of the members' variance.",
            f"Points: every trial and size from 2 on. Data: {dataset}.",
            f"Not drawn, for infinite: {lost} points." if lost else "",
        ]
        return cls(
            finding.table,
            title=f"Where does the gain come from? Data: {dataset}",
            interval=f"band: {band}",
            caption=" ".join(filter(None, caption)),
            facts=finding.facts,
        )

    def _mosaic(self) -> list[list[int]]:
        return [[0, 1], [2, 3], [4, 5], [6, 7]]

    def _height(self) -> float:
        return 1.75

    def _draw(self, axes: AxesArray) -> list[Artist]:
        look = style.arm_styles(self.table["arm"])[self.table["arm"].iloc[0]]
        for (left, right), loss in zip(axes[:6].reshape(3, 2), LOSSES, strict=True):
            rows = in_units(self.table[self.table["loss"] == loss], loss)
            risk = rows[rows["panel"] == "risk"]
            draw_line(left, risk["x"], risk, look.color, marker=look.marker)
            name_axes(left, ylabel=f"risk,\n{style.metric_label(loss)}")
            for part, (_, (color, marker)) in PARTS.items():
                points = rows[(rows["part"] == part) & (rows["panel"] == "parts")]
                draw_line(right, points["x"], points, color, marker=marker)
            closed = rows[rows["part"] == "closed_form"]
            right.plot(closed["x"], closed["value"], color="0.2", linestyle="--", linewidth=1)
            right.axhline(0, color="0.4", linewidth=0.8)
            name_axes(right, ylabel=f"parts of the risk,\n{style.metric_label(loss)}")
            for ax in (left, right):
                ax.set_xlim(risk["x"].min() - 0.3, risk["x"].max() + 0.3)
                ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
                name_axes(ax, xlabel="members M")
        for ax, loss in zip(axes[6:], ("nll", "brier"), strict=True):
            points = self.table[(self.table["panel"] == "gain") & (self.table["loss"] == loss)]
            dots: dict[str, Any] = {"linestyle": "", "marker": look.marker, "markersize": 3, "alpha": 0.6}
            ax.plot(points["x"], points["value"] * style.metric_scale("error"), color=look.color, **dots)
            ax.xaxis.set_major_locator(MaxNLocator(5))
            name_axes(ax, xlabel=f"diversity, {style.metric_label(loss)}", ylabel="gain of the vote\nin error (%)")
        for ax in axes:
            if not any(np.isfinite(line.get_data()).all(axis=0).any() for line in ax.lines):
                ax.text(0.5, 0.5, "infinite or undefined", ha="center", transform=ax.transAxes)
        parts = [Line2D([], [], color=color, marker=marker, label=label) for label, (color, marker) in PARTS.values()]
        closed_form = Line2D([], [], color="0.2", linestyle="--", linewidth=1, label="closed form")
        arm = str(self.table["arm"].iloc[0])
        risk_line = Line2D([], [], color=look.color, marker=look.marker, label=f"risk of {style.arm_label(arm)}")
        return [risk_line, *parts, closed_form]
