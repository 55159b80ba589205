"""How fast does each arm get worse when inputs are moved away from training?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.ticker import MaxNLocator

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import AxesArray, Display, Fact, draw_line, name_axes, require
from ensemble_vs_dropout.plots.repetitions import (
    ROW,
    better_is,
    choose,
    in_units,
    interval_words,
    left_out,
    summarise,
    told,
)

UNKNOWN = "(amount or severity)"


@dataclass(frozen=True, eq=False)
class ShiftRobustness(Display):
    """How fast does each arm get worse under shift? One row per shift, one column per metric, one line per arm.

    After Figure 1 of Ovadia et al. (2019, NeurIPS). Severity 0 is the clean test part, the same in every row.

    `table` has the columns condition, severity, arm, rule, members, metric, value, low, high, repetitions.
    """

    units: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_scores(
        cls,
        scores: pd.DataFrame,
        *,
        data: str,
        metrics: Sequence[str] = ("error", "brier", "nll", "ece"),
        rule: str = "mean",
        units: Mapping[str, str] | None = None,
    ) -> ShiftRobustness:
        """Make the display.

        Args:
            scores: Columns arm, rule, members, metric, value, low, high, condition ("clean" is severity 0 of all
                shifts), severity, and repetition and split where they are there (the test part is taken).
            data: The name of the data set.
            metrics: One column of panels each.
            rule: By which the members of every arm are combined; single networks are taken each alone.
            units: What the x axis of a condition is called, for example {"rotation": "rotation (degrees)"}; without
                it, "rotation (amount or severity)", for numbers do not tell which they are.

        Raises:
            InputError: A missing column or metric, no shift, no clean rows, several rows for one point, or a severity
                0 that is not the clean data.
        """
        if isinstance(metrics, str) or not metrics:
            raise InputError(f"metrics must be a list of at least one name, got {metrics!r}")
        keys = ["condition", "severity"]
        rows = choose(scores, metrics, keys=[], rule=rule, conditions=None)
        clean = rows[rows["condition"] == "clean"]
        shifted = rows[rows["condition"] != "clean"]
        if shifted.empty or clean.empty:
            raise InputError(
                "scores must hold the condition 'clean' and at least one shift, got "
                f"{', '.join(map(str, rows['condition'].unique()))}"
            )
        _check_start(shifted[shifted["severity"] == 0], clean)
        shifted = shifted[shifted["severity"] != 0]
        starts = [clean.assign(condition=name, severity=0) for name in shifted["condition"].unique()]
        table = summarise(pd.concat([*starts, shifted]), [*keys, *ROW, "metric"])
        table = table.sort_values("severity", kind="stable")
        places = [
            table[name].map({value: i for i, value in enumerate(known)})
            for name, known in (("condition", shifted["condition"].unique()), ("metric", metrics))
        ]
        table = table.iloc[np.lexsort(places[::-1])].reset_index(drop=True)
        words = interval_words(table["repetitions"])
        caption = [
            f"Severity 0 is the clean test part. Band: {words}.",
            f"In brackets: networks or passes combined by the rule before. Data: {data}.",
            style.direction(metrics),
            left_out(table),
        ]
        return cls(
            table,
            title=f"How fast do the arms get worse under shift? Data: {data}",
            interval=f"band: {words}",
            caption=" ".join(filter(None, caption)),
            facts=tuple(_facts(table)),
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


def _check_start(start: pd.DataFrame, clean: pd.DataFrame) -> None:
    pairs = start.merge(clean, on=[*ROW, "metric", "repetition"], suffixes=("", "_of_clean"))
    same = np.allclose(pairs["value"], pairs["value_of_clean"], rtol=1e-6, atol=1e-9, equal_nan=True)
    numbers = f"{told(pairs['value'][:3])} and {told(pairs['value_of_clean'][:3])}"
    require("severity 0 of a shift is the clean test part", same, numbers)


def _facts(table: pd.DataFrame) -> list[Fact]:
    facts = []
    for metric in [name for name in ("error", "accuracy") if name in set(table["metric"])]:
        rows = table[table["metric"] == metric]
        ends = rows.groupby(["condition", *ROW], sort=False)["value"].agg(["first", "last"])
        worse = -better_is(metric) * (ends["last"] - ends["first"]) > 0
        statement = f"Every arm is worse in {style.metric_label(metric)} at the last severity than on clean data"
        facts.append(
            Fact(statement, bool(worse.all()), f"so in {int(worse.sum())} of {len(worse)} pairs of arm and shift")
        )
        if "brier" in set(table["metric"]) and table["arm"].nunique() > 1:
            spreads = [_spread(table, name) for name in ("brier", metric)]
            statement = f"The Brier score tells the arms apart more than {style.metric_label(metric)} does, under shift"
            numbers = f"range of the arms over their mean, averaged: {told(spreads)}"
            facts.append(Fact(statement, bool(spreads[0] > spreads[1]), numbers))
    return facts


def _spread(table: pd.DataFrame, metric: str) -> float:
    """Return how far apart the arms are, in units of their mean, averaged over shifts and severities."""
    rows = table[(table["metric"] == metric) & (table["severity"] > 0)]
    groups = rows.groupby(["condition", "severity"])["value"]
    return float(((groups.max() - groups.min()) / groups.mean()).mean())
