"""What figures of several repetitions say of their intervals, and the units they are drawn in."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from ensemble_vs_dropout.evaluation.findings.repetitions import NUMBERS
from ensemble_vs_dropout.evaluation.findings.repetitions import summarise as summarise
from ensemble_vs_dropout.plots import style


def interval_words(repetitions: Iterable[int]) -> str:
    """Return what the intervals of `summarise` are.

    Example:
        >>> interval_words([5, 5, 4])
        '95 % t interval over 4 to 5 repetitions'
    """
    counts = sorted({int(count) for count in repetitions})
    several = [count for count in counts if count > 1]
    words = [f"95 % t interval over {' to '.join(map(str, sorted({*several[:1], *several[-1:]})))} repetitions"]
    words = words if several else []
    words += ["95 % interval over examples (one repetition)"] * (1 in counts)
    words += ["95 % interval over training again and examples"] * (0 in counts)
    return "; ".join(words)


def in_units(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return `rows` with value, low and high as axes show them: errors in percent."""
    return rows.assign(**{name: rows[name].astype(float) * style.metric_scale(metric) for name in NUMBERS})


def left_out(table: pd.DataFrame) -> str:
    """Return the sentence that says how many points have no place on an axis, or nothing."""
    lost = int((~np.isfinite(table["value"].astype(float))).sum())
    return f"Not drawn, for infinite or undefined: {lost} of {len(table)} points." if lost else ""
