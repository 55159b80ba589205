"""Calibration: when the model says 80 %, is it right in 80 % of the cases?

The confidence is the highest probability, and every error compares it with the accuracy in bins of confidence. None of
them ranks models by itself: a constant prediction can be perfectly calibrated.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from ensemble_vs_dropout.checks import check_at_least, check_known
from ensemble_vs_dropout.measures.weighted import as_weights, example_weights, group_ends, sorted_groups
from ensemble_vs_dropout.types import FloatArray, check_pair

BINS = 15
Width = Literal["equal", "mass"]


def ece(
    probs: npt.ArrayLike, labels: npt.ArrayLike, weights: npt.ArrayLike | None = None, bins: int = BINS
) -> FloatArray:
    """Return the expected calibration error with bins of equal width, in [0, 1]; lower is better.

    The mean over bins, weighted by their counts, of |accuracy - mean confidence| (Naeini et al. 2015; Guo et al.
    2017). Bins are closed above and the first one also below, so that confidences of exactly 0 and 1 have a bin; empty
    bins count nothing. It is biased upwards where bins hold few examples; `debiased_calibration_error` is not.

    Args:
        probs: Shape (examples, classes).
        labels: Shape (examples,), 0..K-1.
        weights: Of the examples, shape (examples,) or (resamples, examples), summing to 1; None for equal ones.
        bins: How many, at least 1.

    Returns:
        One number, or one for each resample.

    Example:
        >>> ece([[0.3, 0.7], [0.3, 0.7]], [1, 0]).round(3).item()
        0.2
    """
    return as_weights(_gaps(*_top(probs, labels), weights, "equal", bins).sum(axis=-1), weights)


def adaptive_ece(
    probs: npt.ArrayLike, labels: npt.ArrayLike, weights: npt.ArrayLike | None = None, bins: int = BINS
) -> FloatArray:
    """Return the expected calibration error with bins of equal mass, in [0, 1]; lower is better.

    Bins hold equally many examples (Nguyen and O'Connor 2015), but examples of the same confidence always share one,
    that of the middle of their ranks: the order of the data cannot matter, and votes, which take few values, make
    few bins. Args and returns as of `ece`.

    Example:
        >>> adaptive_ece([[0.3, 0.7], [0.3, 0.7]], [1, 0]).round(3).item()
        0.2
    """
    return as_weights(_gaps(*_top(probs, labels), weights, "mass", bins).sum(axis=-1), weights)


def class_wise_ece(
    probs: npt.ArrayLike, labels: npt.ArrayLike, weights: npt.ArrayLike | None = None, bins: int = BINS
) -> FloatArray:
    """Return the mean over classes of the ECE of that class's probability, in [0, 1]; lower is better.

    Each class is taken as a question of its own, "is it k?", with bins of equal width (Kull et al. 2019; Nixon et al.
    2019). Args and returns as of `ece`.

    Example:
        >>> class_wise_ece([[0.3, 0.7], [0.3, 0.7]], [1, 0]).round(3).item()
        0.2
    """
    array, truth = check_pair(probs, labels)
    classes = range(array.shape[1])
    each = [_gaps(array[:, k], truth == k, weights, "equal", bins).sum(axis=-1) for k in classes]
    return as_weights(np.mean(each, axis=0), weights)


def max_calibration_error(
    probs: npt.ArrayLike, labels: npt.ArrayLike, weights: npt.ArrayLike | None = None, bins: int = BINS
) -> FloatArray:
    """Return the largest |accuracy - mean confidence| of any bin of equal width, in [0, 1]; lower is better.

    A bin with one example counts as much as one with thousands (Naeini et al. 2015): it is noisy. Args and returns as
    of `ece`.

    Example:
        >>> max_calibration_error([[0.3, 0.7], [0.3, 0.7]], [1, 0]).round(3).item()
        0.2
    """
    mass, right, confidence = _bins(*_top(probs, labels), weights, "equal", bins)
    gaps = np.abs(right - confidence) / np.where(mass > 0, mass, 1.0)
    return as_weights(gaps.max(axis=-1), weights)


def debiased_calibration_error(
    probs: npt.ArrayLike, labels: npt.ArrayLike, weights: npt.ArrayLike | None = None, bins: int = BINS
) -> FloatArray:
    """Return the root of the debiased mean squared calibration error, in [0, 1]; lower is better.

    From the squared gap of each bin of equal mass, the variance of its accuracy is taken off, which sampling alone
    adds to it: a(1 - a) / (n - 1) with n examples (Kumar et al. 2019, "Verified uncertainty calibration"). Bins with
    one example count nothing; a sum below 0 counts as 0. Args and returns as of `ece`.

    Example:
        >>> debiased_calibration_error([[0.3, 0.7], [0.3, 0.7]], [1, 0]).item()
        0.0
    """
    confidence, right = _top(probs, labels)
    mass, accuracy, mean = _bins(confidence, right, weights, "mass", bins)
    filled = np.where(mass > 0, mass, 1.0)
    accuracy, mean, count = accuracy / filled, mean / filled, mass * len(right)
    several = count > 1 + 1e-9
    variance = accuracy * (1 - accuracy) / np.where(several, count - 1, 1.0)
    squared = np.where(several, mass * ((accuracy - mean) ** 2 - variance), 0.0).sum(axis=-1)
    return as_weights(np.sqrt(np.maximum(0.0, squared)), weights)


def reliability(probs: npt.ArrayLike, labels: npt.ArrayLike, bins: int = BINS, width: Width = "equal") -> pd.DataFrame:
    """Return the bins of a reliability diagram, one row for each, empty ones too.

    Args:
        probs: Shape (examples, classes).
        labels: Shape (examples,), 0..K-1.
        bins: How many, at least 1.
        width: "equal", or "mass" for equally many examples in each (as `adaptive_ece`).

    Returns:
        Columns low, high (of the confidences: the bin's edges, or with "mass" the lowest and highest in it), count,
        confidence (the mean) and accuracy; NaN in an empty bin.

    Example:
        >>> reliability([[0.3, 0.7], [0.3, 0.7]], [1, 0], bins=2).iloc[1].round(2).tolist()
        [0.5, 1.0, 2.0, 0.7, 0.5]
    """
    values, right = _top(probs, labels)
    check_known("width", width, ("equal", "mass"))
    mass, accuracy, confidence = (part[0] for part in _bins(values, right, None, width, bins))
    edges = np.linspace(0, 1, bins + 1)
    low, high = edges[:-1], edges[1:]
    if width == "mass":
        held = [np.sort(values)[i:j] for i, j in _spans(mass, len(values))]
        low, high = np.array([[part[0], part[-1]] if len(part) else [np.nan, np.nan] for part in held]).T
    empty = np.where(mass > 0, mass, np.nan)
    count = np.rint(mass * len(values)).astype(int)
    return pd.DataFrame(
        {"low": low, "high": high, "count": count, "confidence": confidence / empty, "accuracy": accuracy / empty}
    )


def _spans(mass: FloatArray, examples: int) -> npt.NDArray[np.integer]:
    """Return where each bin starts and ends among the sorted confidences."""
    ends = np.rint(np.cumsum(mass) * examples).astype(int)
    return np.stack([np.r_[0, ends[:-1]], ends], axis=1)


def _top(probs: npt.ArrayLike, labels: npt.ArrayLike) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    array, truth = check_pair(probs, labels)
    return array.max(axis=1), array.argmax(axis=1) == truth


def _gaps(
    confidence: FloatArray, right: npt.NDArray[np.bool_], weights: npt.ArrayLike | None, width: Width, bins: int
) -> FloatArray:
    """Return |right - confidence| summed in each bin: (resamples, bins)."""
    if width == "equal":
        return np.abs(example_weights(weights, len(right)) @ _binned(confidence, bins, right - confidence))
    _, accuracy, mean = _bins(confidence, right, weights, width, bins)
    return np.abs(accuracy - mean)


def _binned(confidence: FloatArray, bins: int, column: FloatArray) -> FloatArray:
    """Return a column with each value in the place of its bin of equal width: (examples, bins)."""
    check_at_least("bins", bins, 1)
    # A margin of rounding: 0.2 * 15 is 3.0000000000000004, and 0.2 belongs to the bin that it closes.
    place = np.clip(np.ceil(confidence * bins - 1e-9).astype(int) - 1, 0, bins - 1)
    spread = np.zeros((len(place), bins))
    spread[np.arange(len(place)), place] = column
    return spread


def _bins(
    confidence: FloatArray, right: npt.NDArray[np.bool_], weights: npt.ArrayLike | None, width: Width, bins: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return for each bin its weight, and the weighted sums of right and of confidence: (resamples, bins) each."""
    shares = example_weights(weights, len(right))
    columns = (np.ones(len(right)), right.astype(float), confidence)
    if width == "equal":
        each = [shares @ _binned(confidence, bins, column) for column in columns]
        return each[0], each[1], each[2]
    check_at_least("bins", bins, 1)
    order, last = sorted_groups(confidence)
    ends = [group_ends(shares[:, order] * column[order], last) for column in columns]
    middle = (ends[0][:, 1:] + ends[0][:, :-1]) / 2
    cuts = np.arange(1, bins) / bins
    first = np.stack([np.searchsorted(row, cuts - 1e-12) for row in middle])
    places = np.pad(first, ((0, 0), (1, 1)), constant_values=((0, 0), (0, ends[0].shape[1] - 1)))
    each = [np.diff(np.take_along_axis(part, places, axis=1), axis=1) for part in ends]
    return each[0], each[1], each[2]
