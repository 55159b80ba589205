"""Does dropout help whatever the architecture, and does it fit less to generalise more?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation.findings.architectures import architectures
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import AxesArray, Display, name_axes
from ensemble_vs_dropout.plots.repetitions import in_units

FAMILIES = {"plain": "without dropout", "dropout": "with dropout"}
DASHES: list[Any] = ["-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 3))]
DOTS = ["", "o", "s", "^"]


@dataclass(frozen=True, eq=False, repr=False)
class Architectures(Display):
    """Does it generalise or just fit? Unseen error epoch by epoch, for several architectures with and without dropout.

    After Figure 4 of Srivastava et al. (2014, JMLR 15), with the gap between unseen and training examples below.

    `table` is that of `evaluation.findings.architectures`, which says what enters and what is refused.

    Example:
        >>> network = {"architecture": "mlp", "recipe": "plain", "repetition": 0, "member": 0, "epoch": [1, 2]}
        >>> histories = pd.DataFrame(network | {"loss": [0.5, 0.25], "val_loss": [0.75, 0.5]})
        >>> Architectures.from_histories(histories, dataset="digits").frame().value.tolist()
        [0.75, 0.25, 0.5, 0.25]
    """

    @classmethod
    def from_histories(cls, histories: pd.DataFrame, *, dataset: str, metric: str = "error") -> Architectures:
        """Make the display.

        Args:
            histories: One row for each architecture, recipe, repetition, member and epoch, with the losses.
            dataset: The name of the data set.
            metric: Drawn of unseen examples where it is known, else the loss is.

        Raises:
            InputError: As in the finding, or more architectures than lines that can be told apart.
        """
        found = architectures(histories, metric=metric)
        shown = found.table["architecture"].nunique()
        if shown > len(DASHES) * len(DOTS):
            raise InputError(
                f"histories must be of at most {len(DASHES) * len(DOTS)} architectures, whose lines can be told "
                f"apart, got {shown}; filter them first"
            )
        unseen, unseen_loss, train = (found.told[name] for name in ("unseen", "unseen_loss", "train"))
        part = {"test": "test", "val": "validation"}
        caption = [
            f"Above: {part[unseen.split('_')[0]]} {'loss' if unseen == unseen_loss else style.metric_label(metric)}; "
            f"below: {part[unseen_loss.split('_')[0]]} minus train loss of the same network.",
            "Line: mean over networks still training (from half of them on); bar at its end: ±1 standard deviation "
            f"over networks. {_counts(found.told['networks'])} Data: {dataset}.",
            "Train loss: without dropout, at the end of the epoch."
            if train == "train_loss"
            else "Train loss: as met during the epoch, with dropout on where there is any.",
        ]
        return cls(
            found.table,
            title=f"Several architectures with and without dropout: {dataset}",
            interval="bar: ±1 standard deviation over networks",
            caption=" ".join(caption),
            facts=found.facts,
        )

    def _looks(self) -> dict[Any, dict[str, Any]]:
        names = self.table["architecture"].unique()
        return {
            name: {"linestyle": DASHES[place % len(DASHES)], "marker": DOTS[place // len(DASHES)], "markersize": 3}
            for place, name in enumerate(names)
        }

    def _mosaic(self) -> list[list[int]]:
        return [[0], [1]]

    def _height(self) -> float:
        return 2.0

    def _draw(self, axes: AxesArray) -> list[Artist]:
        styles, looks = style.arm_styles(self.table["recipe"]), self._looks()
        for ax, panel in zip(axes, ("unseen", "gap"), strict=True):
            rows = self.table[self.table["panel"] == panel]
            metric = rows["metric"].iloc[0]
            curves = in_units(rows, metric).groupby(["recipe", "architecture"], sort=False)
            room = 0.06 * max(1, rows["epoch"].max() - rows["epoch"].min()) / curves.ngroups
            key: Any
            for place, (key, curve) in enumerate(curves):
                color, look = styles[key[0]].color, looks[key[1]]
                if len(curve) == 1:
                    look = look | {"marker": look["marker"] or "."}
                every = max(1, len(curve) // 8)
                spread = (place % every, every)  # markers of several lines do not stand in one column
                ax.plot(curve["epoch"], curve["value"], color=color, linewidth=1, markevery=spread, **look)
                end = curve.iloc[-1]
                if np.isfinite(end["high"]):
                    ax.vlines(end["epoch"] + room * (place + 1), end["low"], end["high"], color=color, linewidth=1.2)
            ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
            unseen = str(rows["series"].iloc[0])
            part = "test" if unseen.startswith("test") else "validation"
            label = f"{part} {style.metric_label(metric)}" if panel == "unseen" else f"{part} minus\ntrain loss"
            name_axes(ax, xlabel="epoch", ylabel=label)
        axes[1].axhline(0, color="0.4", linewidth=0.8)
        families = [
            Line2D(
                [], [], color=color, linewidth=3, label=style.wrap(FAMILIES.get(recipe, style.arm_label(recipe)), 60)
            )
            for recipe, (color, _) in styles.items()
        ]
        shapes = [
            Line2D([], [], color="0.2", linewidth=1, label=style.wrap(str(name), 60, lines=1), **look)
            for name, look in looks.items()
        ]
        return [*families, *shapes]


def _counts(networks: Mapping[str, tuple[int, int]]) -> str:
    words = [
        f"{' to '.join(map(str, sorted(set(counts))))} {FAMILIES.get(recipe, style.arm_label(recipe))}"
        for recipe, counts in networks.items()
    ]
    return f"Networks of each architecture: {', '.join(words)}."
