"""How fast does each arm get worse when inputs are moved away from training?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.ticker import MaxNLocator

from ensemble_vs_dropout.evaluation.findings.repetitions import ROW
from ensemble_vs_dropout.evaluation.findings.shift_robustness import shift_robustness
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import AxesArray, Display, draw_line, name_axes
from ensemble_vs_dropout.plots.repetitions import in_units, interval_words, left_out

UNKNOWN = "(amount or severity)"


@dataclass(frozen=True, eq=False, repr=False)
class ShiftRobustness(Display):
    """How fast does each arm get worse under shift? One row per shift, one column per metric, one line per arm.

    After Figure 1 of Ovadia et al. (2019, NeurIPS). Severity 0 is the clean test part, the same in every row.

    `table` is that of `evaluation.findings.shift_robustness`, which says what enters and what is refused.

    Example:
        >>> points = {"arm": "single", "rule": "each", "members": 1, "metric": "error", "severity": [0, 15]}
        >>> points |= {"condition": ["clean", "rotation"], "value": [0.1, 0.3], "low": 0.1, "high": 0.4}
        >>> scores = pd.DataFrame(points)
        >>> display = ShiftRobustness.from_scores(scores, dataset="digits", metrics=["error"])
        >>> display.frame()[["condition", "severity", "value"]].values.tolist()
        [['rotation', 0, 0.1], ['rotation', 15, 0.3]]
    """

    units: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_scores(
        cls,
        scores: pd.DataFrame,
        *,
        dataset: str,
        metrics: Sequence[str] = ("error", "brier", "nll", "ece"),
        rule: str = "mean",
        units: Mapping[str, str] | None = None,
    ) -> ShiftRobustness:
        """Make the display.

        Args:
            scores: One row for each arm, condition and severity, as `Evaluator.scores` and studies give them.
            dataset: The name of the data set.
            metrics: One column of panels each.
            rule: By which the members of every arm are combined.
            units: What the x axis of a condition is called, for example {"rotation": "rotation (degrees)"}; without
                it, "rotation (amount or severity)", for numbers do not tell which they are.
        """
        found = shift_robustness(scores, metrics=metrics, rule=rule)
        words = interval_words(found.table["repetitions"])
        caption = [
            f"Severity 0 is the clean test part. Band: {words}.",
            f"In brackets: networks or passes combined by the rule before. Data: {dataset}.",
            style.direction(metrics),
            left_out(found.table),
        ]
        return cls(
            found.table,
            title=f"How fast do the arms get worse under shift? Data: {dataset}",
            interval=f"band: {words}",
            caption=" ".join(filter(None, caption)),
            facts=found.facts,
            units=dict(units or {}),
        )

    def _panels(self) -> list[tuple[str, str]]:
        return list(self.table[["condition", "metric"]].drop_duplicates().itertuples(index=False, name=None))

    def _mosaic(self) -> list[list[int]]:
        columns = self.table["metric"].nunique()
        return np.arange(len(self._panels())).reshape(-1, columns).tolist()

    def _height(self) -> float:
        return 1.75

    def _draw(self, axes: AxesArray) -> list[Artist]:
        styles = style.arm_styles(self.table["arm"])
        handles: dict[Any, Artist] = {}
        for ax, (condition, metric) in zip(axes, self._panels(), strict=True):
            there = (self.table["condition"] == condition) & (self.table["metric"] == metric)
            key: Any
            for key, rows in in_units(self.table[there], metric).groupby(ROW, sort=False):
                color, marker = styles[key[0]]
                look = {
                    "marker": marker,
                    "markersize": 3,
                    "linestyle": style.LINES.get(key[1], "-"),
                    "label": style.arm_label(*key),
                }
                handles.setdefault(key, draw_line(ax, rows["severity"], rows, color, **look))
            severities = self.table.loc[there, "severity"]
            ax.xaxis.set_major_locator(MaxNLocator(5, integer=not (severities % 1 != 0).any()))
            name = style.wrap(condition.replace("_", " "), 20, lines=2)
            xlabel = style.wrap(self.units[condition], 22) if condition in self.units else f"{name}\n{UNKNOWN}"
            name_axes(ax, xlabel=xlabel, ylabel=style.metric_label(metric))
        return list(handles.values())
