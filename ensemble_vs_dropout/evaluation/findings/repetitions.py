"""Repetitions of an experiment as one number with its interval, and arms compared repetition by repetition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from ensemble_vs_dropout.checks import InputError, check_known
from ensemble_vs_dropout.evaluation.arms import EACH
from ensemble_vs_dropout.evaluation.findings.tables import check_table

ROW = ["arm", "rule", "members"]
NUMBERS = ["value", "low", "high"]
CONTEXT: dict[str, Any] = {"split": "test", "condition": "clean", "severity": 0, "repetition": 0}


def choose(
    scores: object,
    metrics: Sequence[str],
    keys: Sequence[str] = (),
    rule: str = "mean",
    splits: Sequence[str] = ("test",),
    conditions: Sequence[str] | None = ("clean",),
) -> pd.DataFrame:
    """Return the rows of a table of scores that one figure is made of: one rule for each arm.

    Args:
        scores: Columns `keys`, arm, rule, members, metric, value, low, high, and, where they are there, split,
            condition, severity and repetition.
        metrics: Which metrics.
        keys: What varies besides.
        rule: Of every arm that has it; single networks are taken each alone, and an arm of one rule with that.
        splits: Which parts of the data.
        conditions: Which shifts; None for all.

    Raises:
        InputError: A missing column, no such rows, an arm of several rules of which none is `rule`, or several rows
            for one point.
    """
    if isinstance(scores, pd.DataFrame):
        scores = scores.assign(**{name: scores.get(name, default) for name, default in CONTEXT.items()})
    point = [*keys, *ROW, "metric", *CONTEXT]
    if isinstance(scores, pd.DataFrame) and set(point) <= set(scores.columns):
        _check_one_value(scores, point)
    rows = check_table("scores", scores, [*point, *NUMBERS], point, [*NUMBERS, "members"])
    for metric in metrics:
        check_known("metric", metric, rows["metric"].unique())
    there = rows["metric"].isin(metrics) & rows["split"].isin(splits)
    rows = rows[there if conditions is None else there & rows["condition"].isin(conditions)]
    if rows.empty:
        raise InputError(
            f"scores must hold {', '.join(metrics)} of the split {' or '.join(splits)}"
            f"{'' if conditions is None else ' and the condition ' + ' or '.join(conditions)}, got no such row"
        )
    rows = pd.concat([_of_rule(arm, of_arm, rule) for arm, of_arm in rows.groupby("arm", sort=False)])
    rows["repetition"] = pd.to_numeric(rows["repetition"]).astype("Int64")
    return rows[[*point, *NUMBERS]].reset_index(drop=True)


def summarise(rows: pd.DataFrame, keys: Sequence[str], test_share: pd.Series | float = 0.0) -> pd.DataFrame:
    """Return one row for each of `keys`: the mean over repetitions, and its interval.

    Args:
        rows: Columns `keys`, repetition, value, low, high; one row for each repetition. A repetition that is missing
            marks a row that averages several.
        keys: What tells the points apart.
        test_share: n_test / n_train, where repetitions are random splits of one data set, whose differences are
            correlated (Nadeau and Bengio, 2003; see `measures.significance.corrected_t_test`); of each of `rows`,
            or of all.

    Returns:
        Columns `keys`, value, low, high and repetitions. From two repetitions on the ends are those of the 95 % t
        interval of their mean; of one they are those of its row. `repetitions` is 0 where a row averages several.
    """
    groups = rows.assign(share=test_share).groupby(list(keys), sort=False, dropna=False)
    table = groups.agg(
        value=("value", "mean"),
        low=("low", "first"),
        high=("high", "first"),
        repetitions=("repetition", "count"),
        spread=("value", "std"),
        share=("share", "first"),
    ).reset_index()
    count = table["repetitions"].to_numpy(dtype=float)
    several = count > 1
    reach = stats.t.ppf(0.975, np.maximum(count - 1, 1)) * np.sqrt(1 / np.maximum(count, 1) + table["share"])
    for end, sign in (("low", -1), ("high", 1)):
        table[end] = table[end].astype(float).where(~several, table["value"] + sign * reach * table["spread"])
    return table.drop(columns=["spread", "share"])


def differences(rows: pd.DataFrame, keys: Sequence[str], baseline: str) -> pd.DataFrame:
    """Return every other arm's values less the baseline's of the same keys and repetition.

    Args:
        rows: As `choose` returns them, of one metric.
        keys: What varies besides; the baseline has one row for each of these and repetition.
        baseline: An arm.

    Returns:
        The rows of the other arms of which the baseline has the partner; `low` and `high` are NaN.

    Raises:
        InputError: No such baseline, one with several rows for one partner, or no pair.
    """
    check_known("baseline", baseline, rows["arm"].unique())
    partner = [*keys, "repetition"]
    base = rows.loc[rows["arm"] == baseline, [*partner, "value"]]
    check_table("the baseline's scores", base, partner, partner, [])
    others = rows[rows["arm"] != baseline].merge(base, on=partner, suffixes=("", "_of_baseline"))
    if others.empty:
        raise InputError(f"scores must hold another arm in the same repetitions as {baseline!r}, got none")
    with np.errstate(invalid="ignore"):  # two infinite scores have no difference
        others["value"] -= others.pop("value_of_baseline")
    return others.assign(low=np.nan, high=np.nan)


def _check_one_value(scores: pd.DataFrame, point: Sequence[str]) -> None:
    """Refuse rows of one point that differ in further settings, and say in which."""
    alike = scores[scores.duplicated(list(point), keep=False)]
    others = alike.drop(columns=[*point, *NUMBERS], errors="ignore").astype(str)
    further = [str(name) for name in others if others[name].nunique() > 1]
    if further:
        raise InputError(
            f"scores must be of one value of each setting that the figure does not show, got several of "
            f"{', '.join(further)}; make a figure of each, and one of all by plots.Facets"
        )


def _of_rule(arm: object, rows: pd.DataFrame, rule: str) -> pd.DataFrame:
    rules = list(rows["rule"].unique())
    wanted = EACH if arm == "single" and EACH in rules else rule
    if wanted not in rules and len(rules) > 1:
        raise InputError(f"scores must hold the rule {rule!r} of {arm!r}, which has {', '.join(map(str, rules))}")
    return rows[rows["rule"] == wanted] if wanted in rules else rows
