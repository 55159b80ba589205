"""Combining rules that are learned, from validation data only: on training data members look better than they are.

`fit_weights` and `select_members` give weights for `aggregate(..., weights=...)`; `Stacking` is a classifier on top.
"""

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.checks import InputError, check_at_least, check_known
from ensemble_vs_dropout.measures.metrics import METRICS
from ensemble_vs_dropout.types import FloatArray, IntArray, check_probabilities

_TINY = 1e-12


def fit_weights(probs: npt.ArrayLike, labels: npt.ArrayLike, tolerance: float = 1e-4) -> FloatArray:
    """Return the non-negative weights of the members whose weighted mean has the lowest log loss.

    The problem is convex; each step multiplies a member's weight by how much likelier it makes the labels than the
    pool does (the EM algorithm of a mixture with known parts; Dempster, Laird and Rubin 1977), which never raises the
    loss. The logarithm of the largest such factor bounds what is left to gain, and ends the search.

    Args:
        probs: Shape (members, examples, classes), of validation data.
        labels: The true labels, shape (examples,).
        tolerance: Nats per example above the lowest loss, at most.

    Returns:
        Shape (members,), summing to 1.

    Example:
        >>> probs = np.array([[[0.9, 0.1], [0.2, 0.8]], [[0.5, 0.5], [0.5, 0.5]]])
        >>> fit_weights(probs, [0, 1]).round(2).tolist()
        [1.0, 0.0]
    """
    array, truth = _checked(probs, labels)
    likelihoods = np.maximum(array[:, np.arange(len(truth)), truth].astype(np.float64), _TINY)
    weights = np.full(len(array), 1 / len(array))
    for _ in range(100_000):
        gains = (likelihoods / (weights @ likelihoods)).mean(axis=1)
        if np.log(gains.max()) <= tolerance:
            break
        weights *= gains
    else:
        warnings.warn(
            f"the weights are within {np.log(gains.max()):.1e} nats of the best, not {tolerance}", stacklevel=2
        )
    return np.asarray(weights / weights.sum())


def select_members(
    probs: npt.ArrayLike, labels: npt.ArrayLike, size: int = 10, metric: str = "nll", rule: str = "mean"
) -> FloatArray:
    """Return weights of the members from a greedy selection with replacement (Caruana et al. 2004).

    From nothing, the member is added that makes the selected ones best, `size` times; a member's weight is how often
    it was added. Of several equally good ones the first is taken.

    Args:
        probs: Shape (members, examples, classes), of validation data.
        labels: The true labels, shape (examples,).
        size: Members to select, repetitions counted, at least 1.
        metric: A name in `METRICS`.
        rule: "mean", or another name in `RULES` that takes weights.

    Returns:
        Shape (members,), summing to 1, multiples of 1 / size.

    Example:
        >>> probs = np.array([[[0.9, 0.1], [0.2, 0.8]], [[0.5, 0.5], [0.5, 0.5]]])
        >>> select_members(probs, [0, 1], size=3).tolist()
        [1.0, 0.0]
    """
    from ensemble_vs_dropout.measures.aggregation import aggregate

    array, truth = _checked(probs, labels)
    measured = METRICS[check_known("metric", metric, METRICS)]
    sign = -1.0 if measured.higher_is_better else 1.0
    counts = np.zeros(len(array))
    for _ in range(check_at_least("size", size, 1)):
        values = []
        for member in range(len(array)):
            counts[member] += 1
            pooled = aggregate(array, rule, counts / counts.sum())
            values.append(sign * float(np.mean(measured.function(pooled, truth))))
            counts[member] -= 1
        if not np.isfinite(values).any():
            raise InputError(
                f"no member has a finite {metric} with the rule {rule!r}, so none can be chosen; take another of them"
            )
        counts[int(np.argmin(values))] += 1
    return np.asarray(counts / counts.sum())


@dataclass
class Stacking:
    """A logistic regression on the logarithms of all members' probabilities (Wolpert 1992).

    Args:
        strength: Inverse of the strength of regularisation, scikit-learn's `C`.

    Example:
        >>> probs = np.random.default_rng(0).dirichlet([1, 1], size=(3, 40))
        >>> stacking = Stacking().fit(probs, np.arange(40) % 2)
        >>> stacking.predict(probs).shape
        (40, 2)
    """

    strength: float = 0.01
    _fitted: Any = field(default=None, repr=False)

    def fit(self, probs: npt.ArrayLike, labels: npt.ArrayLike) -> "Stacking":
        """Fit on probabilities (members, examples, classes) and labels (examples,) of validation data."""
        from sklearn.linear_model import LogisticRegression

        array, truth = _checked(probs, labels)
        missing = np.setdiff1d(np.arange(array.shape[2]), truth)
        if len(missing):
            raise InputError(f"labels must hold every class to stack on, got none of class {missing[0]}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that more iterations could gain a little
            self._fitted = (
                array.shape[0],
                LogisticRegression(C=self.strength, max_iter=500).fit(_features(array), truth),
            )
        return self

    def predict(self, probs: npt.ArrayLike) -> FloatArray:
        """Return the stacked probabilities, shape (examples, classes)."""
        if self._fitted is None:
            raise InputError("fit the stacking on validation data first")
        array = check_probabilities(probs)
        members, regression = self._fitted
        if len(array) != members:
            raise InputError(f"probs must have the {members} members that the stacking was fitted on, got {len(array)}")
        return np.asarray(regression.predict_proba(_features(array)))


def _features(probs: FloatArray) -> FloatArray:
    members, examples, classes = probs.shape
    logs = np.log(np.maximum(probs.astype(np.float64), _TINY))
    return np.asarray(logs.transpose(1, 0, 2).reshape(examples, members * classes))


def _checked(probs: npt.ArrayLike, labels: npt.ArrayLike) -> tuple[FloatArray, IntArray]:
    array, truth = check_probabilities(probs), np.asarray(labels)
    if truth.shape != (array.shape[1],):
        raise InputError(f"labels must have one entry for each of the {array.shape[1]} examples, got {truth.shape}")
    if truth.dtype.kind not in "ui" or truth.min() < 0 or truth.max() >= array.shape[2]:
        raise InputError(f"labels must be whole numbers 0..{array.shape[2] - 1}")
    return array, truth
