"""Scores that decompose: one value per example; the caller averages. Lower is better in all of them."""

from typing import Literal

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.types import FloatArray, IntArray


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
    if ties == "first":
        return (array.argmax(axis=1) != truth).astype(float)
    highest = array >= array.max(axis=1, keepdims=True) - 1e-12
    return 1.0 - highest[np.arange(len(truth)), truth] / highest.sum(axis=1)


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


def check_pair(probs: npt.ArrayLike, labels: npt.ArrayLike) -> tuple[FloatArray, IntArray]:
    """Return float64 `probs` (examples, classes) and integer `labels` (examples,), or raise `InputError`."""
    array, truth = np.asarray(probs, dtype=np.float64), np.asarray(labels)
    if array.ndim != 2 or truth.shape != (len(array),) or len(array) == 0:
        raise InputError(
            "probs must have shape (examples, classes) and labels (examples,), with at least one example, "
            f"got {array.shape} and {truth.shape}"
        )
    if truth.dtype.kind not in "ui" or truth.min() < 0 or truth.max() >= array.shape[1]:
        raise InputError(f"labels must be whole numbers 0..{array.shape[1] - 1}, got {np.unique(truth)[:5]} ...")
    return array, truth
