"""On which data sets does an arm differ from a baseline?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation.findings.base import Finding
from ensemble_vs_dropout.evaluation.findings.repetitions import ROW, choose, differences, summarise
from ensemble_vs_dropout.measures.significance import corrected_t_test, holm

LEVEL = 0.05


def paired_differences(
    scores: pd.DataFrame,
    *,
    baseline: str = "single",
    metric: str = "error",
    rule: str = "mean",
    test_share: float | Mapping[str, float] = 0.0,
) -> Finding:
    """Return each arm less the baseline, repetition by repetition, on each data set, and test it.

    The interval is that of the corrected resampled t-test (Nadeau and Bengio, 2003, Machine Learning 52), which allows
    for random splits of one data set that share examples; the p-values are that test's. The correction never makes
    |t| larger.

    Args:
        scores: Columns dataset, arm, rule, members, metric, value, low, high, repetition; split, condition and severity
            where they are there (the clean test part is taken).
        baseline: The arm that is subtracted.
        metric: Of what the differences are.
        rule: By which the members of every arm are combined; single networks are taken each alone.
        test_share: n_test / n_train where the repetitions are random splits of one data set, of all data sets or by
            name; 0 (the plain paired t-test) where they are seeds on one split.

    Returns:
        A table of the columns dataset, arm, rule, members, metric, row (from 0 at the top; arms lie side by side within
        it), value (the arm less the baseline, mean over repetitions), low, high, repetitions, test_share, t, p_value,
        p_adjusted (Holm, over all points), shown (at 5 %). Told: `tests`, how many there are.

    Raises:
        InputError: A missing column, a baseline, metric or data set that is not there, a share below 0, or several
            rows for one point.

    Example:
        >>> points = {"dataset": "a", "rule": "mean", "members": 1, "metric": "error", "low": 0.0, "high": 0.9}
        >>> values = {"single": [0.25, 0.5, 0.75], "dropout": [0.25, 0.25, 0.25]}
        >>> arms = [pd.DataFrame(points | {"arm": arm, "value": each, "repetition": range(3)})
        ...         for arm, each in values.items()]
        >>> paired_differences(pd.concat(arms)).table[["arm", "value", "p_value"]].round(3).values.tolist()
        [['dropout', -0.25, 0.225]]
    """
    rows = differences(choose(scores, [metric], ["dataset"], rule=rule), ["dataset"], baseline)
    share = rows["dataset"].map(test_share) if isinstance(test_share, Mapping) else float(test_share)
    rows = rows.assign(test_share=share)
    if not (np.isfinite(rows["test_share"]) & (rows["test_share"] >= 0)).all():
        raise InputError(f"test_share must be n_test / n_train >= 0 of every data set, got {test_share!r}")
    keys = ["dataset", *ROW, "metric"]
    table = summarise(rows, [*keys, "test_share"], rows["test_share"])
    tests = [_tested(group) for _, group in rows.groupby([*keys, "test_share"], sort=False, dropna=False)]
    table[["t", "p_value"]] = tests
    table["p_adjusted"] = holm(table["p_value"].astype(float))
    table["shown"] = table["p_adjusted"] < LEVEL
    lines = table.groupby("dataset", sort=False).ngroup()
    arms = table.groupby(ROW, sort=False).ngroup()
    table.insert(5, "row", lines + (arms - arms.max() / 2) * 0.7 / (arms.max() + 1))
    return Finding(table, told={"tests": int(table["p_value"].notna().sum())})


def _tested(rows: pd.DataFrame) -> tuple[float, float]:
    """Return t and p of the differences, NaN of a single one."""
    if len(rows) < 2:
        return float("nan"), float("nan")
    return corrected_t_test(rows["value"].to_numpy(dtype=float), float(rows["test_share"].iloc[0]))
