"""What do the planned questions find?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ensemble_vs_dropout.evaluation.findings.planned_questions import QUESTION, planned_questions
from ensemble_vs_dropout.evaluation.findings.words import better_is
from ensemble_vs_dropout.evaluation.wording import arm_words, capital
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import AxesArray, Display, fold, name_axes, starts_row

_COLOR = "0.15"


@dataclass(frozen=True, eq=False, repr=False)
class PlannedQuestions(Display):
    """A forest of the planned questions: each difference with its interval, one panel per metric.

    `table` is that of `evaluation.findings.planned_questions`, which says what enters and what is refused, with the
    column label, a line in words.

    Example:
        >>> row = {"arm_a": "single", "rule_a": "each", "arm_b": "ensemble", "rule_b": "mean", "metric": "error"}
        >>> row |= {"difference": 0.02, "low": 0.01, "high": 0.03, "p_value": 0.001, "p_adjusted": 0.002}
        >>> row |= {"value_a": 0.12, "value_b": 0.1}
        >>> tables = {"digits": pd.DataFrame([row | {"better": "b", "test": "t"}])}
        >>> PlannedQuestions.from_contrasts(tables, dataset="digits", metrics=["error"]).table.label.tolist()
        ['The averaged ensemble against a single network']
    """

    @classmethod
    def from_contrasts(
        cls,
        contrasts: Mapping[str, pd.DataFrame],
        *,
        dataset: str,
        metrics: Sequence[str] = ("error", "nll"),
        about: Sequence[tuple[str, str]] | None = None,
    ) -> PlannedQuestions:
        """Make the display.

        Args:
            contrasts: Tables as `Comparison.contrasts` has them, by the name of their comparison.
            dataset: The name of the data set.
            metrics: Of what the differences are.
            about: The questions that are wanted, as pairs of arms; None for all planned ones.

        Raises:
            InputError: As in the finding.
        """
        found = planned_questions(contrasts, metrics=metrics, about=about)
        table = found.table.copy()
        words = [_in_words(*row) for row in table[QUESTION].itertuples(index=False)]
        one = len(set(words)) == 1
        table.insert(7, "label", table["comparison"] if one and len(contrasts) > 1 else words)
        left_out, tested = found.told["left_out"], table["tested"]
        interval = "95 % simultaneous" if tested.any() else "95 % over the test examples"
        beside = ", or over the test examples alone where there are too few networks for a test"
        caption = [
            f"The first less the second{'; left of 0 the first is better' * _less_is_better(table)}.",
            f"Bar: {interval} interval{beside * bool(tested.any() and not tested.all())}.",
            "Filled: a difference is shown at 5 % (Holm)." if tested.any() else "Too few networks for a test.",
            f"{left_out} infinite difference{'s are' if left_out > 1 else ' is'} left out." * bool(left_out),
            f"Data: {dataset}.",
        ]
        title = words[0] if one else "The planned questions"
        return cls(table, f"{title}: {dataset}", f"bar: {interval}", " ".join(filter(None, caption)))

    def _metrics(self) -> list[str]:
        return list(self.table["metric"].unique())

    def _labels(self) -> dict[str, float]:
        """The lines and where they stand: a question's, in the middle of its comparisons."""
        return {str(label): float(rows.mean()) for label, rows in self.table.groupby("label", sort=False)["row"]}

    def _looks(self) -> dict[str, tuple[str, str]]:
        names = list(self.table["comparison"].unique())
        if len(names) == 1 or set(self.table["label"]) == set(names):
            return dict.fromkeys(names, (_COLOR, "o"))
        return {name: (style.COLORS[place % 10], "osD^vP"[place % 6]) for place, name in enumerate(names)}

    def _mosaic(self) -> list[list[int]]:
        return fold(range(len(self._metrics())), columns=3)

    def _height(self) -> float:
        rows = self.table.groupby("label")["row"].nunique()
        lines = rows.index.to_series().map(lambda label: style.wrap(label, 36).count("\n") + 1)
        return float(0.6 + (0.07 + np.maximum(0.15 * lines, 0.12 * rows)).sum())

    def _draw(self, axes: AxesArray) -> list[Artist]:
        labels, looks = self._labels(), self._looks()
        for ax, metric, first in zip(axes, self._metrics(), starts_row(axes), strict=True):
            rows = self.table[self.table["metric"] == metric]
            scale = style.metric_scale(metric)
            value, low, high = (rows[name].astype(float) * scale for name in ("value", "low", "high"))
            low, high = low.where(np.isfinite(low), value), high.where(np.isfinite(high), value)
            ax.axvline(0, color="0.3", linewidth=1)
            for (name, shown), of_one in rows.groupby(["comparison", "shown"], sort=False):
                (color, marker), at = looks[str(name)], of_one.index
                ax.hlines(rows["row"][at], low[at], high[at], color=color, linewidth=1.6, alpha=0.55)
                look: dict[str, Any] = {"linestyle": "", "marker": marker, "color": color}
                ax.plot(value[at], rows["row"][at], markerfacecolor=color if shown else "white", **look)
            ax.set_ylim(math.ceil(self.table["row"].max() - 0.5) + 0.5, -0.5)
            ax.set_yticks(list(labels.values()), [style.wrap(label, 36) for label in labels], parse_math=False)
            ax.tick_params(axis="y", length=0, labelleft=first)
            ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
            ax.grid(False, axis="y")
            name_axes(ax, xlabel=style.difference_label(metric))
        if len(set(looks.values())) > 1:
            marks = [(color, marker, color, name) for name, (color, marker) in looks.items()]
        elif self.table["tested"].any():
            marks = [
                (_COLOR, "o", _COLOR, "a difference is shown"),
                (_COLOR, "o", "white", "a difference is not shown"),
            ]
        else:
            marks = []
        return [
            Line2D([], [], linestyle="", marker=marker, color=color, markerfacecolor=fill, label=style.wrap(label, 40))
            for color, marker, fill, label in marks
        ]


def _in_words(arm_a: str, rule_a: str, arm_b: str, rule_b: str) -> str:
    return f"{capital(arm_words(arm_a, rule_a))} against {arm_words(arm_b, rule_b)}"


def _less_is_better(table: pd.DataFrame) -> bool:
    return all(better_is(metric) < 0 for metric in table["metric"].unique())
