"""How fast does each arm get worse when inputs are moved away from training?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation.findings.base import Fact, Finding
from ensemble_vs_dropout.evaluation.findings.judging import every, judge, of_units
from ensemble_vs_dropout.evaluation.findings.repetitions import ROW, choose, summarise
from ensemble_vs_dropout.evaluation.findings.words import better_is, metric_label, scale_of, told


def shift_robustness(
    scores: pd.DataFrame, *, metrics: Sequence[str] = ("error", "brier", "nll", "ece"), rule: str = "mean"
) -> Finding:
    """Return the scores of each arm against the severity of each shift, from the clean test part on.

    After Figure 1 of Ovadia et al. (2019, NeurIPS). Severity 0 is the clean test part, the same for every shift.

    Args:
        scores: Columns arm, rule, members, metric, value, low, high, condition ("clean" is severity 0 of all shifts),
            severity, and repetition and split where they are there (the test part is taken).
        metrics: Whose values are taken, in this order.
        rule: By which the members of every arm are combined; single networks are taken each alone.

    Returns:
        A table of the columns condition, severity, arm, rule, members, metric, value, low, high, repetitions (see
        `repetitions.summarise`), by condition, metric and severity.

    Raises:
        InputError: A missing column or metric, no shift, no clean rows, several rows for one point, or a severity 0
            that is not the clean data.

    Example:
        >>> points = {"arm": "single", "rule": "each", "members": 1, "metric": "error", "severity": [0, 15]}
        >>> scores = pd.DataFrame(points | {"condition": ["clean", "rotation"], "value": [0.1, 0.3]})
        >>> found = shift_robustness(scores.assign(low=0.1, high=0.4), metrics=["error"])
        >>> found.table[["condition", "severity", "value"]].values.tolist()
        [['rotation', 0, 0.1], ['rotation', 15, 0.3]]
    """
    if isinstance(metrics, str) or not metrics:
        raise InputError(f"metrics must be a list of at least one name, got {metrics!r}")
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
    rows = pd.concat([*starts, shifted])
    table = summarise(rows, ["condition", "severity", *ROW, "metric"])
    table = table.sort_values("severity", kind="stable")
    places = [
        table[name].map({value: i for i, value in enumerate(known)})
        for name, known in (("condition", shifted["condition"].unique()), ("metric", metrics))
    ]
    table = table.iloc[np.lexsort(places[::-1])].reset_index(drop=True)
    return Finding(table, tuple(_facts(rows)))


def _check_start(start: pd.DataFrame, clean: pd.DataFrame) -> None:
    """Refuse a shift of severity 0 that is not the clean test part."""
    pairs = start.merge(clean, on=[*ROW, "metric", "repetition"], suffixes=("", "_of_clean"))
    if not np.allclose(pairs["value"], pairs["value_of_clean"], rtol=1e-6, atol=1e-9, equal_nan=True):
        raise InputError(
            "scores must hold, at severity 0 of a shift, those of the clean test part: got "
            f"{told(pairs['value'][:3])} and {told(pairs['value_of_clean'][:3])}"
        )


def _facts(rows: pd.DataFrame) -> Iterator[Fact]:
    """Return what is expected, beyond what other trainings would change on the same test examples."""
    for metric in [name for name in ("error", "accuracy") if name in set(rows["metric"])]:
        own = rows[rows["metric"] == metric].sort_values("severity", kind="stable")
        ends = own.groupby(["condition", *ROW, "repetition"], sort=False)["value"].agg(["first", "last"])
        worse = -better_is(metric) * (ends["last"] - ends["first"])
        each = [of_units(pair) for _, pair in worse.groupby(["condition", *ROW], sort=False)]
        smallest = min(each, key=lambda estimate: estimate.value)
        yield judge(
            f"Every arm is worse in {metric_label(metric)} at the last severity than on clean data",
            every(*(one.above() for one in each)),
            f"least by {smallest.words(scale_of(metric))} of {len(each)} pairs of arm and shift",
        )
        if "brier" in set(rows["metric"]) and rows["arm"].nunique() > 1:
            brier, other = (_spread(rows, name) for name in ("brier", metric))
            more = of_units(brier - other)
            statement = f"The Brier score tells the arms apart more than {metric_label(metric)} does, under shift"
            numbers = f"range of the arms over their mean, averaged: {told([brier.mean(), other.mean()])}"
            yield judge(statement, more.above(), f"{numbers}; difference {more.words(digits=3)}")


def _spread(rows: pd.DataFrame, metric: str) -> pd.Series:
    """Return how far apart the arms are in each repetition, in units of their mean, averaged over the shifts."""
    shifted = rows[(rows["metric"] == metric) & (rows["severity"] > 0)]
    groups = shifted.groupby(["repetition", "condition", "severity"])["value"]
    return ((groups.max() - groups.min()) / groups.mean()).groupby(level="repetition").mean()
