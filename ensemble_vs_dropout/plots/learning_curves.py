"""How do networks learn, and where do they begin to overfit?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ensemble_vs_dropout.evaluation.arms import recipe_label
from ensemble_vs_dropout.evaluation.findings.learning_curves import learning_curves
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import AxesArray, Display, draw_line, fold, name_axes, starts_row, title_room

LINES = {"train": "--", "validation": ":", "test": "-"}
DOTS = {"train": "o", "validation": "s", "test": "D"}  # where one epoch makes no line


@dataclass(frozen=True, eq=False, repr=False)
class LearningCurves(Display):
    """Loss against epoch, one panel per recipe, and below it the gap between unseen and training examples.

    `table` is that of `evaluation.findings.learning_curves`, which says what enters and what is refused.

    Example:
        >>> network = {"recipe": "plain", "repetition": 0, "member": [0, 1], "epoch": 1}
        >>> histories = pd.DataFrame(network | {"loss": [0.5, 0.25], "val_loss": [0.75, 0.5]})
        >>> LearningCurves.from_histories(histories, dataset="digits").frame()[["series", "value"]].values.tolist()
        [['train', 0.375], ['validation', 0.625], ['gap: validation minus train', 0.25]]
    """

    @classmethod
    def from_histories(cls, histories: pd.DataFrame, *, dataset: str) -> LearningCurves:
        """Make the display.

        Args:
            histories: One row for each recipe, repetition, member and epoch, as `Comparison.histories`.
            dataset: The name of the data set.

        Raises:
            InputError: As in the finding.
        """
        found = learning_curves(histories)
        alike = found.told["train"] == "train_loss"
        caption = [
            f"Mean over networks; band: ±1 standard deviation over networks. Data: {dataset}.",
            "Networks stop at different epochs: each mean is over those still training,",
            "and epochs that fewer than half reached are left out.",
            "Train loss: of the whole network without dropout, at the end of the epoch."
            if alike
            else "Train loss: as met during the epoch, with dropout on where there is any.",
            f"Gap: {found.told['gap']} loss of the same network."
            if alike
            else f"Gap: {found.told['gap']} loss; no generalization gap, as the two are not of the same network.",
        ]
        if lost := found.told["left_out"]:
            caption.append(f"Left out of the means: {lost} values that are infinite or undefined.")
        return cls(
            found.table,
            title=f"Learning curves{' and generalization gap' if alike else ''}: {dataset}",
            interval="band: ±1 standard deviation over networks",
            caption=" ".join(caption),
        )

    def _recipes(self) -> list[str]:
        return list(self.table["recipe"].unique())

    def _mosaic(self) -> list[list[int]]:
        recipes = len(self._recipes())
        return fold(range(recipes), columns=4) + fold(range(recipes, 2 * recipes), columns=4)

    def _height(self) -> float:
        return 1.8

    def _draw(self, axes: AxesArray) -> list[Artist]:
        styles = style.arm_styles(self.table["recipe"])
        upper, lower = axes[: len(axes) // 2], axes[len(axes) // 2 :]
        for ax, below, recipe in zip(upper, lower, self._recipes(), strict=True):
            rows = self.table[self.table["recipe"] == recipe]
            for series in rows["series"].unique():
                curve = rows[rows["series"] == series]
                target = ax if series in LINES else below
                draw_line(target, curve["epoch"], curve, styles[recipe].color, **self._look(series))
            below.axhline(0, color="0.4", linewidth=0.8)
            name_axes(ax, title=_panel_title(ax, recipe, int(rows["of"].iloc[0])))
            name_axes(below, xlabel="epoch")
        self._finish_row(upper, "loss")
        self._finish_row(lower, str(self.table["series"].iloc[-1]).replace(": ", "\n"))
        drawn = [series for series in LINES if (self.table["series"] == series).any()]
        return [Line2D([], [], color="0.2", **self._look(series)) for series in drawn]

    def _finish_row(self, axes: AxesArray, ylabel: str) -> None:
        """Give `axes` one range of losses and whole epochs, and name it once a row."""
        limits = [ax.get_ylim() for ax in axes]
        for ax, first in zip(axes, starts_row(axes), strict=True):
            ax.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
            ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            if self._one_epoch():
                epoch = self.table["epoch"].iloc[0]
                ax.set_xlim(epoch - 1, epoch + 1)
            ax.tick_params(labelleft=first)
            if first:
                name_axes(ax, ylabel=ylabel)

    def _one_epoch(self) -> bool:
        return bool(self.table["epoch"].nunique() == 1)

    def _look(self, series: str) -> dict[str, Any]:
        marker = DOTS.get(series, "o") if self._one_epoch() else None
        return {"linestyle": LINES.get(series, "-"), "marker": marker, "label": series}


def _panel_title(ax: Axes, recipe: str, networks: int) -> str:
    return f"{style.wrap(recipe_label(recipe), title_room(ax), lines=3)} ({networks})"
