"""Which arms rank differently over several data sets?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation.findings.base import Finding
from ensemble_vs_dropout.evaluation.findings.repetitions import choose
from ensemble_vs_dropout.evaluation.findings.words import better_is
from ensemble_vs_dropout.measures.rankings import average_ranks, friedman, groups, nemenyi_critical_difference


def critical_difference(
    scores: pd.DataFrame, *, metric: str = "error", rule: str = "mean", level: float = 0.05
) -> Finding:
    """Return the mean rank of each arm over data sets, and how far apart two must be to differ (Demsar, 2006, JMLR 7).

    Args:
        scores: Columns dataset, arm, rule, members, metric, value, low, high; repetitions are averaged; split,
            condition and severity where they are there (the clean test part is taken).
        metric: What arms are ranked by.
        rule: By which the members of every arm are combined; single networks are taken each alone.
        level: The chance of any false alarm among all pairs.

    Returns:
        A table of the columns part ("arm", best first; "group", arms of which no two differ; "critical_difference"),
        arm, rule and members (missing where they vary with the data set), value (the mean rank, 1 is best; Nemenyi's
        critical difference), low and high (the ends of a group). Told: `data_sets`; `f` and `p` of Friedman's test of
        all arms in Iman and Davenport's form; `repetitions`, the smallest and the largest number.

    Raises:
        InputError: A missing column, fewer than two data sets or arms, an arm without a score for a data set, or
            several rows for one point.

    Example:
        >>> points = {"dataset": ["a", "b"], "rule": "mean", "members": 5, "metric": "error", "low": 0.0, "high": 0.9}
        >>> values = {"ensemble": [0.1, 0.2], "dropout": [0.2, 0.3]}
        >>> scores = pd.concat([pd.DataFrame(points | {"arm": arm, "value": each}) for arm, each in values.items()])
        >>> critical_difference(scores).table[["part", "arm", "value"]].values.tolist()[:2]
        [['arm', 'ensemble', 1.0], ['arm', 'dropout', 2.0]]
    """
    rows = choose(scores, [metric], ["dataset"], rule=rule)
    values = rows.pivot_table(index="dataset", columns="arm", values="value", sort=False)
    if values.isna().to_numpy().any():
        dataset, arm = values.isna().stack().idxmax()
        raise InputError(
            f"scores must hold all arms on all data sets, got none of {arm!r} on {dataset!r}; leave one of them out"
        )
    ranks = average_ranks(values, higher_is_better=better_is(metric) > 0)
    sets, arms = values.shape
    distance = nemenyi_critical_difference(arms, sets, level)
    of_arms = pd.DataFrame([_same(rows[rows["arm"] == arm]) for arm in values.columns])
    of_arms = of_arms.assign(part="arm", arm=values.columns, value=ranks).iloc[np.argsort(ranks, kind="stable")]
    joined = [group for group in groups(ranks, distance) if len(group) > 1]
    ends = pd.DataFrame([{"low": ranks[group[0]], "high": ranks[group[-1]]} for group in joined])
    last = pd.DataFrame({"part": ["critical_difference"], "value": [distance]})
    table = pd.concat([of_arms, ends.assign(part="group"), last], ignore_index=True).astype({"members": "Int64"})
    test, counts = friedman(values), rows.groupby(["dataset", "arm"])["repetition"].count().clip(lower=1)
    return Finding(
        table.reindex(columns=["part", "arm", "rule", "members", "value", "low", "high"]),
        told={"data_sets": sets, "f": test.f, "p": test.f_p, "repetitions": (int(counts.min()), int(counts.max()))},
    )


def _same(rows: pd.DataFrame) -> dict[str, object]:
    """Return the rule and the members of an arm, None where they differ from data set to data set."""
    return {name: rows[name].iloc[0] if rows[name].nunique() == 1 else None for name in ("rule", "members")}
