"""Scores that count each class alike, however rare: balanced error and macro F1.

Labels are those of the highest probability, the first of several.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd

from ensemble_vs_dropout.measures.weighted import as_weights, example_weights
from ensemble_vs_dropout.types import FloatArray, check_pair


def per_class(probs: npt.ArrayLike, labels: npt.ArrayLike) -> pd.DataFrame:
    """Return one row per class: `support` (examples of it), `precision`, `recall` and `f1`, in [0, 1].

    Precision is 0 for a class that is never predicted and recall NaN for one without examples, which F1 counts as 0
    if the class is predicted, and leaves out (NaN) if it is not.

    Args:
        probs: Shape (examples, classes).
        labels: Shape (examples,), 0..K-1.

    Example:
        >>> per_class([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]], [0, 1, 1]).f1.round(2).tolist()
        [0.67, 0.67]
    """
    hits, predicted, support = (part[0] for part in _shares(probs, labels, None))
    count = len(np.asarray(labels))
    return pd.DataFrame(
        {
            "support": np.rint(support * count).astype(int),
            "precision": _ratio(hits, predicted, 0.0),
            "recall": _ratio(hits, support, np.nan),
            "f1": _ratio(2 * hits, predicted + support, np.nan),
        }
    )


def macro_f1(probs: npt.ArrayLike, labels: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> FloatArray:
    """Return the mean F1 over the classes that are predicted or have examples, in [0, 1]; higher is better.

    Args:
        probs: Shape (examples, classes).
        labels: Shape (examples,), 0..K-1.
        weights: Of the examples, shape (examples,) or (resamples, examples), summing to 1; None for equal ones.

    Returns:
        One number, or one for each resample.

    Example:
        >>> macro_f1([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]], [0, 1, 1]).round(2).item()
        0.67
    """
    hits, predicted, support = _shares(probs, labels, weights)
    return _mean_of_known(_ratio(2 * hits, predicted + support, np.nan), weights)


def balanced_error(probs: npt.ArrayLike, labels: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> FloatArray:
    """Return the mean over the classes that have examples of the error on these, in [0, 1]; lower is better.

    Args and returns as of `macro_f1`.

    Example:
        >>> balanced_error([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]], [0, 1, 1]).item()
        0.25
    """
    hits, _, support = _shares(probs, labels, weights)
    return _mean_of_known(1 - _ratio(hits, support, np.nan), weights)


def _shares(
    probs: npt.ArrayLike, labels: npt.ArrayLike, weights: npt.ArrayLike | None
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the weight of right, predicted and true examples of each class, each of shape (resamples, classes)."""
    array, truth = check_pair(probs, labels)
    shares = example_weights(weights, len(truth))
    one_hot = np.eye(array.shape[1])
    predicted, true = one_hot[array.argmax(axis=1)], one_hot[truth]
    return shares @ (predicted * true), shares @ predicted, shares @ true


def _ratio(part: FloatArray, whole: FloatArray, otherwise: float) -> FloatArray:
    return np.divide(part, whole, out=np.full_like(whole, otherwise), where=whole > 0)


def _mean_of_known(values: FloatArray, weights: npt.ArrayLike | None) -> FloatArray:
    known = ~np.isnan(values)
    return as_weights(np.where(known, values, 0.0).sum(axis=-1) / known.sum(axis=-1), weights)
