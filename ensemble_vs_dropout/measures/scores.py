"""Scores that decompose: one value per example; the caller averages. Lower is better in all but the accuracy."""

from typing import Literal

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.checks import check_at_least, check_known
from ensemble_vs_dropout.types import FloatArray, check_pair


def error(probs: npt.ArrayLike, labels: npt.ArrayLike, ties: Literal["first", "expected"] = "first") -> FloatArray:
    """Return the 0-1 loss of each example, in [0, 1].

    Args:
        probs: Shape (examples, classes).
        labels: Shape (examples,), 0..K-1.
        ties: With several highest classes, `"first"` predicts the lowest label; `"expected"` gives the expected loss
            of a random choice among them.

    Example:
        >>> error([[0.5, 0.5], [0.2, 0.8]], [1, 1], ties="expected").tolist()
        [0.5, 0.0]
    """
    array, truth = check_pair(probs, labels)
    check_known("tie policy", ties, ("first", "expected"))
    if ties == "first":
        return (array.argmax(axis=1) != truth).astype(float)
    highest = array >= array.max(axis=1, keepdims=True) - 1e-12
    return 1.0 - highest[np.arange(len(truth)), truth] / highest.sum(axis=1)


def accuracy(probs: npt.ArrayLike, labels: npt.ArrayLike) -> FloatArray:
    """Return 1 - `error` of each example; higher is better.

    Example:
        >>> accuracy([[0.5, 0.5], [0.2, 0.8]], [1, 1]).tolist()
        [0.0, 1.0]
    """
    return 1.0 - error(probs, labels)


def top_k_error(probs: npt.ArrayLike, labels: npt.ArrayLike, k: int = 5) -> FloatArray:
    """Return 0 for each example whose true class is among the k highest, else 1.

    Of equal probabilities the lower labels come first, as in `error`, which is k = 1. With k classes or fewer it is 0.

    Example:
        >>> top_k_error([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]], [1, 2], k=2).tolist()
        [0.0, 1.0]
    """
    array, truth = check_pair(probs, labels)
    check_at_least("k", k, 1)
    own = array[np.arange(len(truth)), truth][:, None]
    before = (array > own) | ((array == own) & (np.arange(array.shape[1]) < truth[:, None]))
    return (before.sum(axis=1) >= k).astype(float)


def nll(probs: npt.ArrayLike, labels: npt.ArrayLike) -> FloatArray:
    """Return the negative log-likelihood of the true class of each example, in nats, in [0, inf].

    It is infinite where the true class has probability exactly 0, as with a vote in which no member voted for it;
    nothing is clipped, so that this shows.

    Example:
        >>> nll([[0.5, 0.5]], [1]).round(3).tolist()
        [0.693]
    """
    array, truth = check_pair(probs, labels)
    with np.errstate(divide="ignore"):
        return -np.log(array[np.arange(len(truth)), truth]) + 0.0  # + 0.0: no -0.0 at certainty


def brier(probs: npt.ArrayLike, labels: npt.ArrayLike) -> FloatArray:
    """Return the Brier score of each example: squared distance to the one-hot truth, in [0, 2] (Brier, 1950).

    Example:
        >>> brier([[0.5, 0.5], [0.0, 1.0]], [1, 0]).tolist()
        [0.5, 2.0]
    """
    array, truth = check_pair(probs, labels)
    return np.asarray(((array - np.eye(array.shape[1])[truth]) ** 2).sum(axis=1))


def spherical(probs: npt.ArrayLike, labels: npt.ArrayLike) -> FloatArray:
    """Return 1 - p_y / |p| of each example, in [0, 1]: the spherical score (Good 1971) turned so that lower is better.

    It is proper, like the NLL and the Brier score, and bounded, and looks at the direction of p alone.

    Example:
        >>> spherical([[0.6, 0.4], [0.0, 1.0]], [1, 0]).round(3).tolist()
        [0.445, 1.0]
    """
    array, truth = check_pair(probs, labels)
    return np.asarray(1.0 - array[np.arange(len(truth)), truth] / np.linalg.norm(array, axis=1))
