"""What arms predict: classes or numbers, and by which metrics and rules each is judged.

Whoever adds a task adds an entry here: the kind of its predictions, its metrics and its rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation.pooling import of_numbers, runs_of
from ensemble_vs_dropout.measures import METRICS, STANDARD_METRICS, STANDARD_RULES
from ensemble_vs_dropout.measures.metrics import (
    REGRESSION_METRICS,
    STANDARD_REGRESSION_METRICS,
    WITHOUT_NOISE,
    Metric,
)


@dataclass(frozen=True)
class Task:
    """A task.

    Attributes:
        predicts: What, in words.
        known: Its metrics by name.
        standard: Names of those that are taken unless others are asked for.
        rules: Names of the rules that are taken unless others are asked for.
    """

    predicts: str
    known: Callable[[], Mapping[str, Metric]]
    standard: Sequence[str]
    rules: Sequence[str]

    def metrics(self, asked: Sequence[str] | None, arms: Mapping[str, Any]) -> dict[str, Metric]:
        """Return the metrics that arms are judged by, or raise `InputError`.

        Args:
            asked: Names; None for the standard ones that the arms allow.
            arms: Their predictions.
        """
        known, bare = self.known(), _without_noise(arms)
        chosen = asked or [name for name in self.standard if not bare or name in WITHOUT_NOISE]
        for name in chosen:
            if name not in known:
                raise InputError(
                    f"metric {name!r} is not of {self.predicts}, which these arms predict; known: {', '.join(known)}"
                )
            if bare and name not in WITHOUT_NOISE:
                raise InputError(
                    f"metric {name!r} needs standard deviations, and arm {bare[0]!r} predicts a mean alone; give it a "
                    "noise, predictions.with_noise(regression.fit_noise(means, y) of validation data)"
                )
        return {name: known[name] for name in chosen}


CLASSES = Task("classes", lambda: METRICS, STANDARD_METRICS, STANDARD_RULES)
NUMBERS = Task(
    "numbers",
    lambda: REGRESSION_METRICS,
    STANDARD_REGRESSION_METRICS,
    ("mixture", "moment_matched", "quantile_average"),
)


def task_of(arms: Mapping[str, Any]) -> Task:
    """Return what arms predict; of both, numbers, which refuses the others.

    Example:
        >>> from ensemble_vs_dropout.types import RegressionPredictions
        >>> task_of({"one": RegressionPredictions([[0.5]])}).predicts
        'numbers'
    """
    return NUMBERS if of_numbers(arms) else CLASSES


def _without_noise(arms: Mapping[str, Any]) -> list[str]:
    """Return the arms that predict numbers without a standard deviation."""
    return [arm for arm, given in arms.items() if any(getattr(run, "scales", 1) is None for run in runs_of(given))]
