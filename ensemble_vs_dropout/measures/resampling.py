"""Resampling: weights that all arms share, and intervals and p-values from the draws they give.

A resample is a row of weights over the items (examples, or repetitions), so that `weights @ values` is the mean of
every resample at once, and the difference of two arms is paired draw by draw.

Few items give intervals that are too narrow, whichever the kind. Simulated, at 95 %: over 15 skewed losses they hold
the truth in 89 % (percentile) and 91 % (BCa) of cases; over repetitions of which each differs much from the next, in
74 % with 2 of them, 83 % with 3, 90 % with 5 and 95 % with 20.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from ensemble_vs_dropout.checks import check_at_least
from ensemble_vs_dropout.types import FloatArray

_ROUNDING = 1e-12  # a draw this near the value is the value: one sums in another order than the other


def bootstrap_weights(rng: np.random.Generator, size: int, resamples: int) -> FloatArray:
    """Return the weights of `size` items in each bootstrap resample, shape (resamples, size), rows summing to 1.

    Example:
        >>> bootstrap_weights(np.random.default_rng(0), 4, 10).sum(axis=1).tolist()
        [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    """
    draws = rng.integers(size, size=(resamples, size))
    draws += np.arange(resamples)[:, None] * size
    counts = np.bincount(draws.ravel(), minlength=resamples * size).reshape(resamples, size)
    return counts / size


def jackknife_weights(size: int, groups: int = 200) -> FloatArray:
    """Return weights that leave out one group of items each, shape (min(size, groups), size), rows summing to 1.

    Item i belongs to group i modulo their number; with no more items than `groups` each is left out alone (the
    delete-one jackknife). A single item cannot be left out: its one row holds it.

    Args:
        size: Of items, at least 1.
        groups: At most so many rows, at least 2.

    Raises:
        InputError: Sizes that are too small.

    Example:
        >>> jackknife_weights(4, groups=2).tolist()
        [[0.0, 0.5, 0.0, 0.5], [0.5, 0.0, 0.5, 0.0]]
    """
    rows = min(check_at_least("size", size, 1), check_at_least("groups", groups, 2))
    if size == 1:
        return np.ones((1, 1))
    kept = np.arange(size) % rows != np.arange(rows)[:, None]
    return np.asarray(kept / kept.sum(axis=1, keepdims=True))


def weighted_means(weights: FloatArray, rows: FloatArray) -> FloatArray:
    """Return weights @ rows, where an infinite row makes infinite just the resamples that hold it.

    Only what holds infinities of both signs is NaN.

    Example:
        >>> weighted_means(np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([1.0, np.inf])).tolist()
        [inf, 1.0]
    """
    infinite = np.isinf(rows)
    if not infinite.any():
        return np.asarray(weights @ rows)
    means = weights @ np.where(infinite, 0.0, rows)
    above, below = (weights @ (rows == sign).astype(float) > 0 for sign in (np.inf, -np.inf))
    means = np.where(above, np.inf, np.where(below, -np.inf, means))
    return np.where(above & below, np.nan, means)


def percentile_interval(draws: FloatArray, level: float = 0.95) -> tuple[float, float]:
    """Return the percentile interval of bootstrap draws; infinite draws stay infinite, NaN gives NaN.

    Example:
        >>> percentile_interval(np.arange(1.0, 1001.0), level=0.5)
        (250.0, 750.0)
    """
    return _quantiles(draws, np.array([(1 - level) / 2, (1 + level) / 2]))


def bca_interval(
    draws: FloatArray, value: float, jackknife: npt.ArrayLike | Sequence[npt.ArrayLike], level: float = 0.95
) -> tuple[float, float]:
    """Return the bias-corrected and accelerated interval (Efron, 1987), which follows skew where percentiles do not.

    The bias correction comes from the share of draws below `value`, half of the ties counted; the acceleration is a
    sixth of the skewness of the jackknife values. Levels that are resampled independently of each other (repetitions
    and examples of a crossed design) add up their third and their second moments, as independent samples do.

    With an acceleration and a bias correction of 0 it is the percentile interval. That is so of draws that all equal
    `value`; jackknife values that do not vary, or are not finite, give no acceleration. With all draws on one side of
    `value` the correction would be infinite: no interval can be had, and both bounds are NaN, as with a NaN among
    draws or value.

    Args:
        draws: Bootstrap draws of the statistic, shape (resamples,).
        value: The statistic itself.
        jackknife: The statistic with each group of items left out, under `jackknife_weights`; or a sequence of such
            arrays, one for each level.
        level: The coverage wanted, between 0 and 1.

    Example:
        >>> values = np.random.default_rng(0).exponential(size=40)
        >>> draws = bootstrap_weights(np.random.default_rng(1), 40, 2000) @ values
        >>> low, high = bca_interval(draws, values.mean(), jackknife_weights(40) @ values)
        >>> low > percentile_interval(draws)[0] and high > percentile_interval(draws)[1]
        True
    """
    with np.errstate(invalid="ignore"):
        ties = np.isclose(draws, value, rtol=_ROUNDING, atol=_ROUNDING)
    below = float(np.mean((draws < value) & ~ties) + ties.mean() / 2)
    if not 0 < below < 1 or np.isnan(value):
        return float("nan"), float("nan")
    bias = ndtri(below)
    shifted = bias + ndtri([(1 - level) / 2, (1 + level) / 2])
    # Never past the pole, where the bounds would change places.
    stretch = np.maximum(1 - _acceleration(jackknife, value) * shifted, _ROUNDING)
    return _quantiles(draws, ndtr(bias + shifted / stretch))


def bootstrap_p_value(draws: FloatArray) -> float:
    """Return the two-sided p-value of "the difference is 0" from bootstrap draws of a difference.

    Twice the smaller share of draws at or beyond 0, with one draw added so that it is never 0 (Davison and Hinkley,
    1997, section 4.2). NaN if any draw is. Of few differences with a heavy tail it is too bold (simulated: 8 % false
    alarms at a level of 5 % with 50 examples); a permutation test is not.

    Example:
        >>> bootstrap_p_value(np.ones(199))
        0.01
    """
    if np.isnan(draws).any():
        return float("nan")
    smaller = min(int((draws <= 0).sum()), int((draws >= 0).sum()))
    return min(1.0, 2 * (smaller + 1) / (len(draws) + 1))


def _quantiles(draws: FloatArray, shares: FloatArray) -> tuple[float, float]:
    if np.isnan(draws).any():
        return float("nan"), float("nan")
    # The nearest order statistic: interpolation between infinities would be NaN.
    low, high = np.quantile(draws, shares, method="inverted_cdf")
    return float(low), float(high)


def _acceleration(jackknife: npt.ArrayLike | Sequence[npt.ArrayLike], value: float) -> float:
    given = jackknife if isinstance(jackknife, Sequence) and np.ndim(jackknife[0]) else [jackknife]
    levels = [np.asarray(values, dtype=float) for values in given]
    if not all(np.isfinite(values).all() for values in levels):
        return 0.0
    influence = np.concatenate([(1 - 1 / len(values)) * (values.mean() - values) for values in levels])
    second = float((influence**2).sum())
    return float((influence**3).sum()) / (6 * second**1.5) if second > (_ROUNDING * value) ** 2 else 0.0
