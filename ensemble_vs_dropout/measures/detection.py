"""Detection of out-of-distribution data: does uncertainty tell examples that do not belong from those that do?"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.measures.uncertainty import uncertainty
from ensemble_vs_dropout.measures.weighted import example_weights, group_ends, sorted_groups
from ensemble_vs_dropout.types import FloatArray, check_probabilities, check_weights

HIGHER_IS_BETTER = {"auroc": True, "aupr": True, "fpr_at_95_tpr": False}  # what `detection` returns
CAUGHT = 0.95  # the share of other data that must be caught where the false alarms are counted


def _max_probability(probs: FloatArray, weights: FloatArray | None) -> FloatArray:
    pooled = probs.mean(axis=0, dtype=float) if weights is None else np.tensordot(weights, probs, 1)
    return -np.asarray(pooled).max(axis=1)


def _of(column: str) -> Callable[[FloatArray, FloatArray | None], FloatArray]:
    return lambda probs, weights: uncertainty(probs, weights)[column].to_numpy()


# How unlike the training data an example seems, from members' probabilities and weights: higher is stranger.
DETECTORS: dict[str, Callable[[FloatArray, FloatArray | None], FloatArray]] = {
    "max_probability": _max_probability,
    "entropy": _of("entropy"),
    "mutual_information": _of("mutual_information"),
}


def strangeness(probs: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> pd.DataFrame:
    """Return how strange each example seems by each of `DETECTORS`, higher is stranger.

    Args:
        probs: Shape (members, examples, classes).
        weights: One for each member, summing to 1; None for equal ones.

    Returns:
        Columns max_probability (that of the mean, with a minus sign), entropy (of the mean, nats) and
        mutual_information (nats; 0 for one member, which cannot disagree with itself).

    Example:
        >>> strangeness([[[0.5, 0.5], [0.9, 0.1]]]).max_probability.tolist()
        [-0.5, -0.9]
    """
    array = check_probabilities(probs)
    share = None if weights is None else check_weights(weights, len(array))
    return pd.DataFrame({name: detector(array, share) for name, detector in DETECTORS.items()})


def detection(
    own: npt.ArrayLike,
    other: npt.ArrayLike,
    own_weights: npt.ArrayLike | None = None,
    other_weights: npt.ArrayLike | None = None,
) -> pd.DataFrame:
    """Return how well scores tell other data (the positives) from own data.

    Args:
        own: Scores of examples that belong, shape (examples,); higher should mean stranger. Ties count half.
        other: Scores of examples that do not, shape (other examples,).
        own_weights: Of the examples, shape (examples,) or (resamples, examples), rows summing to 1; None for equal.
        other_weights: Likewise of the others, for the same resamples.

    Returns:
        One row, or one for each resample: `auroc`, the chance that another example scores higher than one's own;
        `aupr`, the average precision with other data and own data weighing as many as their examples; both in [0, 1],
        higher is better; `fpr_at_95_tpr`, the share of own data flagged at the highest threshold that catches 95 % of
        the other, in [0, 1], lower is better (Hendrycks and Gimpel 2017; Liang et al. 2018, who call the own data
        positive).

    Example:
        >>> detection([0.1, 0.2, 0.3], [0.3, 0.9]).round(3).iloc[0].tolist()
        [0.917, 0.833, 0.333]
    """
    inside, outside = np.asarray(own, dtype=float), np.asarray(other, dtype=float)
    if inside.ndim != 1 or outside.ndim != 1 or not len(inside) or not len(outside):
        raise InputError(
            f"own and other must have shape (examples,), at least one each, got {inside.shape} and {outside.shape}"
        )
    if np.isnan(inside).any() or np.isnan(outside).any():
        raise InputError("own and other must not hold NaN")
    order, last = sorted_groups(-np.concatenate([inside, outside]))
    first, second = example_weights(own_weights, len(inside)), example_weights(other_weights, len(outside))
    false = group_ends(np.pad(first, ((0, 0), (0, len(outside))))[:, order], last)
    true = group_ends(np.pad(second, ((0, 0), (len(inside), 0)))[:, order], last)
    flagged = true * len(outside) + false * len(inside)
    precision = np.divide(true * len(outside), flagged, out=np.zeros_like(flagged), where=flagged > 0)
    enough = (true >= CAUGHT - 1e-12).argmax(axis=1)
    return pd.DataFrame(
        {
            "auroc": (np.diff(false) * (true[:, 1:] + true[:, :-1]) / 2).sum(axis=1),
            "aupr": (np.diff(true) * precision[:, 1:]).sum(axis=1),
            "fpr_at_95_tpr": false[np.arange(len(false)), enough],
        }
    )
