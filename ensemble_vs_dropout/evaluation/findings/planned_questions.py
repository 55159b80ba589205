"""What do the planned questions find, in one comparison or in several?"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ensemble_vs_dropout.checks import InputError, check_known
from ensemble_vs_dropout.evaluation.arms import questions
from ensemble_vs_dropout.evaluation.evaluator import UNTESTED
from ensemble_vs_dropout.evaluation.findings.base import Finding
from ensemble_vs_dropout.evaluation.verdict import find_contrast

QUESTION = ["arm_a", "rule_a", "arm_b", "rule_b"]
_NUMBERS = ["difference", "low", "high", "p_value", "p_adjusted"]
_NEEDED = [*QUESTION, "metric", *_NUMBERS, "better", "test", "value_a", "value_b"]


def planned_questions(
    contrasts: Mapping[str, pd.DataFrame],
    *,
    metrics: Sequence[str] = ("error", "nll"),
    about: Sequence[tuple[str, str]] | None = None,
) -> Finding:
    """Return what each planned question finds: the difference, its simultaneous interval and its adjusted p-value.

    Args:
        contrasts: Tables as `Comparison.contrasts` has them, by the name of their comparison.
        metrics: Of what the differences are.
        about: The questions that are wanted, as pairs of arms; None for all planned ones.

    Returns:
        A table of the columns comparison, arm_a, rule_a, arm_b, rule_b, metric, row (from 0 at the top; where there are
        several questions, comparisons lie side by side within it), value (a minus b), low, high, p_adjusted, better,
        tested (whether there are networks enough to speak of training again), shown (whether one is shown to be
        better). A difference that is infinite is left out. Told: `left_out`, how many these are.

    Raises:
        InputError: No table, a missing column, a metric that is not there, or nothing that was asked.

    Example:
        >>> row = {"arm_a": "single", "rule_a": "each", "arm_b": "ensemble", "rule_b": "mean", "metric": "error"}
        >>> row |= {"difference": 0.02, "low": 0.01, "high": 0.03, "p_value": 0.001, "p_adjusted": 0.002}
        >>> row |= {"value_a": 0.12, "value_b": 0.1}
        >>> tables = {"digits": pd.DataFrame([row | {"better": "b", "test": "t"}])}
        >>> planned_questions(tables, metrics=["error"]).table[["arm_a", "value", "better"]].values.tolist()
        [['ensemble', -0.02, 'a']]
    """
    if not contrasts or not metrics:
        raise InputError(f"{'contrasts' if not contrasts else 'metrics'} must hold at least one, got none")
    rows, infinite = [], 0
    for name, table in contrasts.items():
        missing = [column for column in _NEEDED if column not in table]
        if missing:
            raise InputError(f"the contrasts of {name!r} lack the column {missing[0]!r}; give Comparison.contrasts")
        for metric in metrics:
            check_known(f"metric of {name!r}", metric, list(dict.fromkeys(table.metric)))
        sides = (zip(table[arm], table[rule], strict=True) for arm, rule in (QUESTION[:2], QUESTION[2:]))
        there = list(dict.fromkeys(itertools.chain(*sides)))
        for question in questions(there):
            if about is not None and (question[0], question[2]) not in set(about):
                continue
            for metric in metrics:
                found = find_contrast(table, *question, metric)
                if found is None:
                    continue
                if not np.isfinite(found.difference):
                    infinite += 1
                    continue
                numbers = (found.difference, found.low, found.high, found.p_adjusted)
                rows.append((name, *question, metric, *numbers, found.better, found.test != UNTESTED))
    columns = ["comparison", *QUESTION, "metric", "value", "low", "high", "p_adjusted", "better", "tested"]
    found = pd.DataFrame(rows, columns=columns)
    if found.empty:
        asked = "" if about is None else f" of {', '.join(f'{a} and {b}' for a, b in about)}"
        raise InputError(f"contrasts must answer a planned question{asked} with a finite difference, got none")
    found["shown"] = found["better"] != "neither"
    place = found["comparison"].map({name: number for number, name in enumerate(contrasts)})
    voted = [found[rule] == "majority_vote" for rule in QUESTION[1::2]]  # a single network may be judged by its mean
    asked = found.groupby(["arm_a", "arm_b", *voted], sort=False).ngroup()
    beside = (place - (len(contrasts) - 1) / 2) * 0.7 / len(contrasts)
    found.insert(6, "row", asked + beside if asked.max() else place.astype(float))
    return Finding(found.sort_values("row", kind="stable", ignore_index=True), told={"left_out": infinite})
