"""Which arm is better, and how sure is that?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ensemble_vs_dropout.evaluation.findings.arm_intervals import arm_intervals
from ensemble_vs_dropout.evaluation.findings.repetitions import NUMBERS, ROW
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import AxesArray, Display, fold, name_axes, starts_row


@dataclass(frozen=True, eq=False, repr=False)
class ArmIntervals(Display):
    """A dot and its interval for every arm and rule, one panel per metric.

    `table` is that of `evaluation.findings.arm_intervals`, which says what enters and what is refused, with the column
    label, an arm in words. An infinite end of an interval is drawn as an arrow at the edge.

    Example:
        >>> points = {"arm": ["single", "ensemble"], "rule": "mean", "members": [1, 5], "metric": "error"}
        >>> scores = pd.DataFrame(points | {"value": [0.5, 0.25], "low": 0.2, "high": 0.6})
        >>> ArmIntervals.from_scores(scores, dataset="digits", interval="95 % bootstrap").title
        'Every arm with its interval: digits'
    """

    @classmethod
    def from_scores(cls, scores: pd.DataFrame, *, dataset: str, interval: str) -> ArmIntervals:
        """Make the display.

        Args:
            scores: As in the finding.
            dataset: The name of the data set.
            interval: What low and high are, for example "95 % bootstrap over examples".
        """
        found = arm_intervals(scores)
        labels = [style.arm_label(*row) for row in found.table[ROW].itertuples(index=False)]
        table = found.table.copy()
        table.insert(3, "label", labels)
        several = table["repetition"].nunique() > 1
        split, condition = (str(found.told.get(name, "")) for name in ("split", "condition"))
        moved = condition not in ("", "clean")
        facts = [f"the {split} part" * bool(split), f"{condition} of severity {found.told.get('severity')}" * moved]
        caption = [
            f"Dot: {'each of several repetitions' if several else 'the measure'}; bar: {interval}.",
            f"Data: {', '.join([dataset, *filter(None, facts)])}.",
            "In brackets: networks or passes combined by the rule before.",
            style.direction(table["metric"].unique()),
        ]
        return cls(
            table,
            title=f"Every arm with its interval: {dataset}",
            interval=f"bar: {interval}",
            caption=" ".join(filter(None, caption)),
        )

    def _metrics(self) -> list[str]:
        return list(self.table["metric"].unique())

    def _labels(self) -> list[str]:
        rows = self.table.drop_duplicates(ROW)
        return [style.wrap(label, 32) for label in rows["label"]]

    def _mosaic(self) -> list[list[int]]:
        return fold(range(len(self._metrics())), columns=4)

    def _height(self) -> float:
        lines = sum(label.count("\n") + 1 for label in self._labels())
        return 0.6 + 0.16 * max(lines, 1.4 * len(self._labels())) + 0.04 * len(self._labels()) * (self._repeats() - 1)

    def _repeats(self) -> int:
        return int(self.table["repetition"].nunique())

    def _draw(self, axes: AxesArray) -> list[Artist]:
        styles, labels = style.arm_styles(self.table["arm"]), self._labels()
        for ax, metric, first in zip(axes, self._metrics(), starts_row(axes), strict=True):
            panel = self.table[self.table["metric"] == metric]
            panel = panel.assign(**{name: panel[name] * style.metric_scale(metric) for name in NUMBERS})
            for arm, rows in panel.groupby("arm", sort=False):
                _draw_arm(ax, rows, styles[str(arm)])
            _draw_endless(ax, panel, styles)
            ax.set_ylim(len(labels) - 0.5, -0.5)
            ax.set_yticks(range(len(labels)), labels, parse_math=False)
            ax.tick_params(axis="y", length=0, labelleft=first)
            ax.grid(False, axis="y")
            name_axes(ax, xlabel=style.metric_label(metric))
        return []


def _draw_arm(ax: Axes, rows: pd.DataFrame, look: style.ArmStyle) -> None:
    """Draw the finite dots of one arm, each with its bar as far as that is finite."""
    rows = rows[np.isfinite(rows["value"])]
    low, high = (rows[end].where(np.isfinite(rows[end]), rows["value"]) for end in ("low", "high"))
    if len(rows):
        ax.hlines(rows["row"], low, high, color=look.color, linewidth=1.8, alpha=0.55)
    label = style.arm_label(str(rows["arm"].iloc[0])) if len(rows) else None
    ax.plot(rows["value"], rows["row"], linestyle="", marker=look.marker, color=look.color, label=label)


def _draw_endless(ax: Axes, panel: pd.DataFrame, styles: dict[str, style.ArmStyle]) -> None:
    """Say at the panel's edge what has no place on its axis."""
    if np.isfinite(panel["value"]).any():
        ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    else:
        ax.set_xticks([])
    left, right = ax.get_xlim()
    at_edge: dict[str, Any] = {"transform": ax.get_yaxis_transform(), "clip_on": False}
    row: Any
    for row in panel.itertuples(index=False):
        color = styles[row.arm].color
        if not np.isfinite(row.value):
            word = "undefined" if np.isnan(row.value) else "infinite"
            ax.text(0.98, row.row, word, color="0.2", fontsize="small", ha="right", va="center", **at_edge)
        elif np.isposinf(row.high):
            ax.hlines(row.row, row.value, right, color=color, linewidth=1.8, alpha=0.55)
            ax.plot([1.0], [row.row], marker=">", color=color, **at_edge)
    ax.set_xlim(left, right)
