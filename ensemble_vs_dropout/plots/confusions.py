"""Which classes are taken for which, and which arm errs where?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.artist import Artist

from ensemble_vs_dropout.checks import InputError, check_known
from ensemble_vs_dropout.evaluation.findings.base import Finding
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import AxesArray, Display, name_axes

MOST_CLASSES = 30  # that have room
_NUMBERED = 12  # classes whose shares are written into their fields
_BAR = "95 % over the test examples"


@dataclass(frozen=True, eq=False, repr=False)
class ConfusionMatrix(Display):
    """Which classes does an arm take for which? A field for each pair of classes.

    `table` has the rows of one arm of `evaluation.findings.confusions`, the share as `value` too, and a column series.

    Example:
        >>> from ensemble_vs_dropout import Predictions
        >>> from ensemble_vs_dropout.evaluation.findings.confusions import confusions
        >>> found = confusions({"ensemble": Predictions([[[0.9, 0.1], [0.6, 0.4]]])}, [0, 1], ["no", "yes"])
        >>> ConfusionMatrix.from_confusions(found, "ensemble", dataset="toy").frame().share.tolist()
        [1.0, 0.0, 1.0, 0.0]
    """

    @classmethod
    def from_confusions(cls, found: Finding, arm: str, *, dataset: str) -> ConfusionMatrix:
        """Make the display of one arm.

        Args:
            found: As `confusions` gives it.
            arm: Which of its arms.
            dataset: The name of the data set.

        Raises:
            InputError: Another arm, or more than 30 classes.
        """
        check_known("arm", arm, list(found.table["arm"].unique()))
        table = found.table[found.table["arm"] == arm]
        _check_room(table)
        rule, members = table[["rule", "members"]].iloc[0]
        label = style.arm_label(arm, None if rule == "each" else rule, members)
        several = " averaged over networks," if rule == "each" else ""
        return cls(
            table.assign(value=table["share"], series="share of a class"),
            title=f"Which classes are taken for which? {label}; data: {dataset}",
            interval="no interval",
            caption="Of the test examples of a class (row), the percentage that is predicted as each (column),"
            f"{several} averaged over repetitions. What is wrong stands off the diagonal. Data: {dataset}.",
        )

    def _mosaic(self) -> list[list[int]]:
        return [[0]]

    def _height(self) -> float:
        return max(2.2, 0.8 + 0.26 * self.table["truth"].nunique())

    def _draw(self, axes: AxesArray) -> list[Artist]:
        (ax,) = axes
        shares = 100 * self.table.pivot(index="truth", columns="predicted", values="share")
        names = self.table.drop_duplicates("predicted").set_index("predicted")["predicted_name"]
        wrong = shares.to_numpy() * (shares.index.to_numpy()[:, None] != shares.columns.to_numpy())
        ax.imshow(shares, cmap="Blues", vmin=0, vmax=max(1.0, 1.6 * wrong.max()), aspect="auto")
        if len(names) <= _NUMBERED:
            dark = 0.5 * max(1.0, 1.6 * wrong.max())
            for (row, column), share in np.ndenumerate(shares.to_numpy()):
                text = f"{share:.0f}" if share >= 9.5 else f"{share:.1f}"
                ink = "white" if share > dark else "0.1"
                ax.text(column, row, text, ha="center", va="center", fontsize="x-small", color=ink)
        labels = [style.wrap(str(name), 16, lines=1) for name in names]
        ax.set_xticks(range(len(labels)), labels, rotation=90 if len(labels) > 4 else 0, parse_math=False)
        ax.set_yticks(range(len(shares)), [labels[list(names.index).index(truth)] for truth in shares.index],
                      parse_math=False)  # fmt: skip
        ax.tick_params(length=0)
        ax.grid(False)
        name_axes(ax, xlabel="predicted class", ylabel="true class")
        return []


@dataclass(frozen=True, eq=False, repr=False)
class ClassErrors(Display):
    """Which arm errs in which class? A dot with its interval for each arm, one line per class.

    `table` has the rows of `evaluation.findings.confusions` in which a class is predicted right, and the columns
    metric, value, low and high: its error.

    Example:
        >>> from ensemble_vs_dropout import Predictions
        >>> from ensemble_vs_dropout.evaluation.findings.confusions import confusions
        >>> found = confusions({"ensemble": Predictions([[[0.9, 0.1], [0.6, 0.4]]])}, [0, 1], ["no", "yes"])
        >>> ClassErrors.from_confusions(found, dataset="toy").frame()[["truth_name", "value"]].values.tolist()
        [['no', 0.0], ['yes', 1.0]]
    """

    @classmethod
    def from_confusions(cls, found: Finding, *, dataset: str) -> ClassErrors:
        """Make the display.

        Args:
            found: As `confusions` gives it.
            dataset: The name of the data set.

        Raises:
            InputError: More than 30 classes.
        """
        _check_room(found.table)
        right = found.table[found.table["truth"] == found.table["predicted"]]
        ends = {"low": 1 - right["high"], "high": 1 - right["low"]}
        table = right.assign(metric="error", value=1 - right["share"], **ends)
        return cls(
            table.reset_index(drop=True),
            title=f"Which arm errs in which class? Data: {dataset}",
            interval=f"bar: {_BAR}",
            caption="Dot: error among the test examples of a class, averaged over networks and repetitions; bar: "
            f"{_BAR} (Wilson, 1927). Data: {dataset}. In brackets behind a class: its test examples. Lower is better.",
        )

    def _mosaic(self) -> list[list[int]]:
        return [[0]]

    def _height(self) -> float:
        arms = self.table["arm"].nunique()
        return float(0.7 + self.table["truth"].nunique() * max(0.22, 0.075 * arms + 0.08))

    def _draw(self, axes: AxesArray) -> list[Artist]:
        (ax,) = axes
        arms, truths = list(self.table["arm"].unique()), list(self.table["truth"].unique())
        styles, handles = style.arm_styles(arms), []
        for place, (arm, rows) in enumerate(self.table.groupby("arm", sort=False)):
            y = np.array([truths.index(truth) for truth in rows["truth"]]) + 0.75 * ((place + 0.5) / len(arms) - 0.5)
            color, marker = styles[str(arm)]
            ax.hlines(y, 100 * rows["low"], 100 * rows["high"], color=color, linewidth=1.2, alpha=0.5)
            rule, members = rows[["rule", "members"]].iloc[0]
            label = style.arm_label(str(arm), None if rule == "each" else rule, members)
            handles.append(ax.plot(100 * rows["value"], y, linestyle="", marker=marker, color=color, label=label)[0])
        first = self.table.drop_duplicates("truth")
        names = [
            f"{style.wrap(str(name), 24, lines=1)} ({examples:.0f})"
            for name, examples in zip(first["truth_name"], first["examples"], strict=True)
        ]
        ax.set_ylim(len(truths) - 0.5, -0.5)
        ax.set_yticks(range(len(truths)), names, parse_math=False)
        ax.tick_params(axis="y", length=0)
        ax.grid(False, axis="y")
        for line in range(1, len(truths)):
            ax.axhline(line - 0.5, color="0.9", linewidth=0.6)
        ax.set_xlim(left=0)
        name_axes(ax, xlabel="error (%)")
        return handles


def _check_room(table: pd.DataFrame) -> None:
    classes = table["predicted"].nunique()
    if classes > MOST_CLASSES:
        raise InputError(
            f"the figure has room for {MOST_CLASSES} classes, got {classes}; .frame() of the finding has all"
        )
