"""Which arm is better, and how sure is that?"""

from __future__ import annotations

import pandas as pd

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation.findings.base import Finding
from ensemble_vs_dropout.evaluation.findings.repetitions import NUMBERS, ROW
from ensemble_vs_dropout.evaluation.findings.tables import check_table

CONTEXT = ["split", "condition", "severity"]


def arm_intervals(scores: pd.DataFrame) -> Finding:
    """Return every arm's score with its interval, and on which line it stands.

    Args:
        scores: Columns arm, rule, members, metric, value, low, high, of one split, condition and severity where it has
            these columns; several repetitions become several dots. Rows keep this order.

    Returns:
        A table of the columns arm, rule, members, metric, repetition, row (from 0 at the top; repetitions lie side by
        side within it), value, low, high. Told: `split`, `condition` and `severity` where they are there.

    Raises:
        InputError: A missing column, no row, several rows for one dot, or several conditions.

    Example:
        >>> points = {"arm": ["single", "ensemble"], "rule": "mean", "members": [1, 5], "metric": "error"}
        >>> scores = pd.DataFrame(points | {"value": [0.5, 0.25], "low": 0.2, "high": 0.6, "split": "test"})
        >>> found = arm_intervals(scores)
        >>> found.table["row"].tolist(), dict(found.told)
        ([0.0, 1.0], {'split': 'test'})
    """
    scores = scores.assign(repetition=scores.get("repetition", 0)) if isinstance(scores, pd.DataFrame) else scores
    keys = [*ROW, "metric", "repetition"]
    context: dict[str, object] = {}
    for column in (column for column in CONTEXT if column in scores):
        values = scores[column].dropna().unique()
        if len(values) > 1:
            raise InputError(f"scores must be of one {column}, got {', '.join(map(str, values))}; filter them first")
        if len(values) and str(values[0]):
            context[column] = values[0]
    check_table("scores", scores, keys + NUMBERS, keys, NUMBERS)
    table = scores[keys + NUMBERS].reset_index(drop=True)
    # A row that averages the repetitions names none.
    repetitions = table["repetition"].rank(method="dense").fillna(1).astype(float) - 1
    place = table.groupby(ROW, sort=False, dropna=False).ngroup()
    table.insert(5, "row", place + (repetitions - repetitions.max() / 2) * 0.7 / (repetitions.max() + 1))
    return Finding(table, told=context)
