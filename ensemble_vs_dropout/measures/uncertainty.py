"""How uncertain a prediction is, and how much of that is disagreement among the members.

The entropy of the members' mean is the members' mean entropy plus their mutual information (a generalised
Jensen-Shannon divergence, 0 where all agree). All in nats.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd

from ensemble_vs_dropout.measures.aggregation import Pool, Running, mean
from ensemble_vs_dropout.types import FloatArray, check_probabilities, check_weights

_ROUNDING = 1e-12
_COLUMNS = ("entropy", "expected_entropy", "mutual_information", "variance")


def entropy(probs: FloatArray) -> FloatArray:
    """Return the entropy of each row in nats, in [0, log K], shape (...); 0 log 0 is 0.

    Example:
        >>> entropy(np.array([[0.5, 0.5], [1.0, 0.0]])).round(3).tolist()
        [0.693, 0.0]
    """
    values = np.asarray(probs, dtype=np.float64)
    return -np.sum(values * np.log(np.where(values > 0, values, 1.0)), axis=-1) + 0.0


class RunningUncertainty:
    """Uncertainty of members that are added a few at a time."""

    def __init__(self) -> None:
        self._mean = Running(mean)
        self._entropy = Running(Pool(lambda probs, votes: entropy(probs)[:, None], lambda value, members: value))
        self._square = Running(Pool(lambda probs, votes: np.square(probs, dtype=float), lambda value, members: value))

    def add(self, probs: FloatArray, weights: FloatArray | None = None) -> None:
        """Add members, shape (members, examples, classes)."""
        for running in (self._mean, self._entropy, self._square):
            running.add(probs, weights)

    def result(self) -> pd.DataFrame:
        """Return the uncertainty of each example; see `uncertainty`."""
        pooled, expected = self._mean.result(), self._entropy.result()[:, 0]
        whole = entropy(pooled)
        variance = np.maximum(0.0, (self._square.result() - pooled**2).sum(axis=1))
        between = whole - expected
        between = np.where(between > _ROUNDING, between, 0.0)  # noise would rank members that are all alike
        parts = (whole, expected, between, variance)
        return pd.DataFrame(dict(zip(_COLUMNS, parts, strict=True)))


def uncertainty(probs: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> pd.DataFrame:
    """Return how uncertain each example's prediction is.

    Args:
        probs: Shape (members, examples, classes).
        weights: One for each member, summing to 1; None for equal ones.

    Returns:
        One row per example: `entropy` of the members' mean, in [0, log K]; `expected_entropy`, their mean entropy;
        `mutual_information`, the difference, in [0, log min(members, K)]; `variance` over members (population),
        summed over classes, in [0, 1).

    Example:
        >>> uncertainty(np.array([[[1.0, 0.0]], [[0.0, 1.0]]])).round(3).iloc[0].tolist()
        [0.693, 0.0, 0.693, 0.5]
    """
    array = check_probabilities(probs)
    running = RunningUncertainty()
    running.add(array, None if weights is None else check_weights(weights, len(array)))
    return running.result()
