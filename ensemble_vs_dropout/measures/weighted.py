"""Measures of many resamples at once: weights of the examples instead of copies of them, and ties as one.

A measure that is no mean of examples takes `weights`, shape (resamples, examples), and sums instead of sorting anew.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.types import FloatArray, IntArray


class _Sound(np.ndarray[Any, Any]):
    """Weights that were checked once and are used for many measures."""


def sound_weights(weights: FloatArray) -> FloatArray:
    """Return weights, shape (resamples, examples), that are not checked again at each use; they cannot be written to.

    Example:
        >>> sound_weights(np.full((2, 4), 0.25)).shape
        (2, 4)
    """
    checked = example_weights(weights, weights.shape[1]).view(_Sound)
    checked.setflags(write=False)
    return checked


def example_weights(weights: npt.ArrayLike | None, examples: int) -> FloatArray:
    """Return weights as (resamples, examples); None is one resample in which all count alike.

    Example:
        >>> example_weights(None, 4).tolist()
        [[0.25, 0.25, 0.25, 0.25]]
    """
    if weights is None:
        return np.full((1, examples), 1 / examples)
    if isinstance(weights, _Sound) and weights.shape[1] == examples:
        return weights.view(np.ndarray)
    array = np.atleast_2d(np.asarray(weights, dtype=np.float64))
    if array.ndim != 2 or array.shape[1] != examples:
        raise InputError(
            f"weights must have shape ({examples},) or (resamples, {examples}), one for each example, "
            f"got {np.shape(weights)}"
        )
    if not np.isfinite(array).all() or array.min() < 0 or np.abs(array.sum(axis=1) - 1).max() > 1e-6:
        raise InputError("weights must be non-negative and sum to 1 over the examples")
    return array


def as_weights(values: FloatArray, weights: npt.ArrayLike | None) -> FloatArray:
    """Return one value per resample in the shape that the weights were given in: a single one without its axis."""
    return np.asarray(values if weights is not None and np.ndim(weights) == 2 else values[0])


def sorted_groups(values: FloatArray) -> tuple[IntArray, IntArray]:
    """Return the order that sorts `values`, and where in it each run of equal values ends.

    Example:
        >>> [part.tolist() for part in sorted_groups(np.array([0.5, 0.2, 0.5]))]
        [[1, 0, 2], [0, 2]]
    """
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    return order, np.flatnonzero(np.r_[ordered[1:] != ordered[:-1], True])


def group_ends(ordered: FloatArray, last: IntArray) -> FloatArray:
    """Return the sums up to the end of each run, from 0: shape (resamples, runs + 1)."""
    sums = np.zeros((ordered.shape[0], ordered.shape[1] + 1))
    np.cumsum(ordered, axis=1, out=sums[:, 1:])
    return sums if len(last) == ordered.shape[1] else sums[:, np.r_[0, last + 1]]
