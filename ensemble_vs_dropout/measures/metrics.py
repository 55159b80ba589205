"""The registry of metrics: what the evaluator computes when nothing else is asked for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ensemble_vs_dropout.measures import calibration, scores
from ensemble_vs_dropout.types import FloatArray, IntArray


@dataclass(frozen=True)
class Metric:
    """A measure of pooled probabilities (examples, classes) against labels (examples,).

    Attributes:
        function: Returns one value per example if `per_example`, else one number.
        label: What tables and axes say, with the unit.
        higher_is_better: The direction.
        per_example: Whether the measure is the mean of one value per example.
        terms: For a measure that is not: rows of which it is a function of the mean, shape (examples, terms); None if
            there are none, and then resampling calls `function` again and again, which is slow.
        from_terms: That function, (..., terms) -> (...).

    Example:
        >>> accuracy = Metric(lambda probs, labels: probs.argmax(axis=1) == labels, "accuracy", higher_is_better=True)
        >>> accuracy.value(np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([0, 1]))
        0.5
    """

    function: Callable[[FloatArray, IntArray], Any]
    label: str
    higher_is_better: bool = False
    per_example: bool = True
    terms: Callable[[FloatArray, IntArray], FloatArray] | None = None
    from_terms: Callable[[FloatArray], FloatArray] | None = None

    def value(self, probs: FloatArray, labels: IntArray) -> float:
        """Return the measure as one number."""
        return float(np.mean(self.function(probs, labels)))

    def rows(self, probs: FloatArray, labels: IntArray) -> FloatArray | None:
        """Return rows (examples, terms) whose mean determines the measure, or None if it has none."""
        if self.per_example:
            return np.asarray(self.function(probs, labels), dtype=np.float64)[:, None]
        return None if self.terms is None else self.terms(probs, labels)

    def from_mean_rows(self, mean_rows: FloatArray) -> FloatArray:
        """Return the measure from means of `rows`, shape (..., terms) -> (...)."""
        return mean_rows[..., 0] if self.from_terms is None else self.from_terms(mean_rows)


METRICS: dict[str, Metric] = {
    "error": Metric(scores.error, "error (%)"),
    "nll": Metric(scores.nll, "NLL (nats)"),
    "brier": Metric(scores.brier, "Brier score (0 to 2)"),
    "ece": Metric(
        calibration.ece,
        "ECE (15 bins)",
        per_example=False,
        terms=calibration.ece_terms,
        from_terms=calibration.ece_from_terms,
    ),
}
