"""Calibration: when the model says 80 %, is it right in 80 % of the cases?"""

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.measures.scores import check_pair
from ensemble_vs_dropout.types import FloatArray

BINS = 15


def ece(probs: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Return the expected calibration error with 15 bins of equal width, in [0, 1]; lower is better.

    The mean over bins, weighted by their counts, of |accuracy - mean confidence| (Naeini et al. 2015; Guo et al.
    2017). Bins are closed above and the first one also below, so that confidences of exactly 0 and 1 have a bin; empty
    bins count nothing. It does not rank models by itself: a constant prediction can be perfectly calibrated.

    Example:
        >>> round(ece([[0.3, 0.7], [0.3, 0.7]], [1, 0]), 3)
        0.2
    """
    return float(ece_from_terms(ece_terms(probs, labels).mean(axis=0)))


def ece_terms(probs: npt.ArrayLike, labels: npt.ArrayLike) -> FloatArray:
    """Return (correct - confidence) of each example in the column of its bin, shape (examples, 15).

    The ECE is a function of the mean of these rows, which makes resampling examples a matrix product.
    """
    array, truth = check_pair(probs, labels)
    confidence = array.max(axis=1)
    bins = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    terms = np.zeros((len(truth), BINS))
    terms[np.arange(len(truth)), bins] = (array.argmax(axis=1) == truth) - confidence
    return terms


def ece_from_terms(mean_terms: FloatArray) -> FloatArray:
    """Return the ECE from the mean of `ece_terms`, shape (..., 15) -> (...)."""
    return np.asarray(np.abs(mean_terms).sum(axis=-1))
