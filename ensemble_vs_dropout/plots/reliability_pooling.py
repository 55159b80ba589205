"""Should members be calibrated before they are pooled, or the pool afterwards?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from ensemble_vs_dropout.evaluation.findings.reliability_pooling import BARS, DIAGRAMS, reliability_pooling
from ensemble_vs_dropout.measures.calibration import BINS
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import AxesArray, Display, fold, name_axes, starts_row, title_room
from ensemble_vs_dropout.types import Predictions

WAYS = {
    "single": "single",
    "single_calibrated": "single, calibrated",
    "pool": "pool",
    "calibrate_then_pool": "calibrate, then pool",
    "pool_then_calibrate": "pool, then calibrate",
}
LOOKS = dict(zip(WAYS, [style.ARMS["single"].color, *(style.COLORS[i] for i in (7, 0, 1, 2))], strict=True))
FEW = 10  # predictions, below which an accuracy says little


@dataclass(frozen=True, eq=False, repr=False)
class ReliabilityPooling(Display):
    """Reliability diagrams of single members and of their pool, calibrated before, after or not, and NLL and ECE.

    `table` is that of `evaluation.findings.reliability_pooling`, which says what enters and what is refused.

    Example:
        >>> rng, labels = np.random.default_rng(0), np.arange(60) % 2
        >>> test = Predictions(rng.dirichlet([1, 1], (3, 60)))
        >>> display = ReliabilityPooling.from_predictions(test, labels, dataset="digits", resamples=100)
        >>> display.frame().panel.unique().tolist()
        ['single', 'pool', 'calibrate_then_pool', 'pool_then_calibrate', 'nll', 'ece']
    """

    @classmethod
    def from_predictions(
        cls,
        test: Predictions | Sequence[Predictions],
        labels: npt.ArrayLike,
        *,
        dataset: str,
        arm: str = "ensemble",
        bins: int = BINS,
        resamples: int = 1000,
        seed: int = 0,
    ) -> ReliabilityPooling:
        """Make the display.

        Args:
            test: Members' predictions of test data, one or one for each repetition.
            labels: Shape (examples,).
            dataset: The name of the data set.
            arm: Whose members they are.
            bins: Of confidence.
            resamples: Of the examples, behind the interval of the ECE.
            seed: Of the halves and the resamples.

        Raises:
            InputError: As in the finding.
        """
        found = reliability_pooling(test, labels, bins=bins, resamples=resamples, seed=seed)
        members = found.told["members"]
        over = "95 % interval over examples, and over training again where there are three networks or pools"
        caption = [
            f"Members and pool: {style.arm_label(arm, 'mean', members)}, test examples of {dataset}.",
            "Temperatures, one for each member or one for the pool: each half of the",
            f"{found.told['examples']} examples has those that were fitted to the other half, not to validation data,",
            "which stopped the training.",
            "Single: each member alone, all members' predictions in one diagram, and their mean NLL and ECE.",
            f"Grey: share of the predictions in the bin; hollow: fewer than {FEW}.",
            "Dots over the diagonal: less confident than right.",
            f"Bar: {over}. Lower is better.",
        ]
        return cls(
            found.table,
            title=f"Calibrate before or after pooling? {style.arm_label(arm)} ({members}), data: {dataset}",
            interval=f"bar: {over}",
            caption=" ".join(caption),
            facts=found.facts,
        )

    def _mosaic(self) -> list[list[int]]:
        return fold(range(len(DIAGRAMS) + len(BARS)), columns=3)

    def _height(self) -> float:
        return 2.1

    def _draw(self, axes: AxesArray) -> list[Artist]:
        for ax, way, first in zip(axes, DIAGRAMS, starts_row(axes), strict=False):
            rows = self.table[self.table["panel"] == way]
            ax.stairs(rows["share"], np.append(rows["left"], rows["right"].iloc[-1]), color="0.8", fill=True)
            ax.plot([0, 1], [0, 1], color="0.4", linewidth=0.8)
            few = rows["count"] < FEW
            seen, rare = rows[~few], rows[few & rows["value"].notna()]
            ax.plot(seen["confidence"], seen["value"], color=LOOKS[way], marker="o", label=WAYS[way])
            dots = {"linestyle": "", "marker": "o", "markerfacecolor": "none", "label": "_few"}
            ax.plot(rare["confidence"], rare["value"], color=LOOKS[way], **dots)
            ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
            ax.set_xlim(-0.03, 1.03)
            ax.set_ylim(-0.03, 1.03)
            name_axes(ax, title=style.wrap(WAYS[way], title_room(ax)), xlabel="confidence")
            if first:
                name_axes(ax, ylabel="accuracy, or share\nof the predictions")
        for ax, metric in zip(axes[len(DIAGRAMS) :], BARS, strict=True):
            _draw_bars(ax, self.table[self.table["panel"] == metric], metric)
        return [
            Line2D([], [], color="0.2", marker="o", label="accuracy in the bin"),
            Patch(color="0.8", label="share of the predictions"),
            Line2D([], [], color="0.4", linewidth=0.8, label="calibrated"),
        ]


def _draw_bars(ax: Axes, rows: pd.DataFrame, metric: str) -> None:
    """Draw one bar for each way with its interval; an infinite one is said."""
    places = np.arange(len(rows))
    finite = np.isfinite(rows["value"])
    ax.barh(places[finite], rows["value"][finite], color=[LOOKS[way] for way in rows["way"][finite]], height=0.7)
    low, high = (rows[end].where(np.isfinite(rows[end]), rows["value"])[finite] for end in ("low", "high"))
    ax.hlines(places[finite], low, high, color="0.1", linewidth=1.2)
    for place in places[~finite]:
        ax.text(0.02, place, "infinite", va="center", fontsize="small", transform=ax.get_yaxis_transform())
    ax.set_yticks(places, [WAYS[way].replace(", ", ",\n") for way in rows["way"]])
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.grid(False, axis="y")
    ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    name_axes(ax, xlabel=style.metric_label(metric))
