"""Paired statistics: resampling weights shared by all arms, McNemar's test, and Holm's correction.

statsmodels does the tests it has; what is here is what makes them paired and quick.
"""

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.types import FloatArray

EXACT_BELOW = 25  # discordant pairs; above, the chi-squared form is as good (Dietterich, 1998)


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


def weighted_means(weights: FloatArray, rows: FloatArray) -> FloatArray:
    """Return weights @ rows, where an infinite row makes infinite just the resamples that hold it, and never NaN.

    Example:
        >>> weighted_means(np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([1.0, np.inf])).tolist()
        [inf, 1.0]
    """
    infinite = np.isinf(rows)
    if not infinite.any():
        return np.asarray(weights @ rows)
    means = weights @ np.where(infinite, 0.0, rows)
    return np.where(weights @ infinite.astype(float) > 0, np.inf, means)


def percentile_interval(draws: FloatArray, level: float = 0.95) -> tuple[float, float]:
    """Return the percentile interval of bootstrap draws; infinite draws stay infinite, NaN gives NaN."""
    if np.isnan(draws).any():
        return float("nan"), float("nan")
    # The nearest order statistic: interpolation between infinities would be NaN.
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    return float(low), float(high)


def bootstrap_p_value(draws: FloatArray) -> float:
    """Return the two-sided p-value of "the difference is 0" from bootstrap draws of a difference.

    Twice the smaller share of draws at or beyond 0, with one draw added so that it is never 0 (Davison and Hinkley,
    1997, section 4.2). NaN if any draw is.
    """
    if np.isnan(draws).any():
        return float("nan")
    smaller = min(int((draws <= 0).sum()), int((draws >= 0).sum()))
    return min(1.0, 2 * (smaller + 1) / (len(draws) + 1))


def mcnemar(wrong_a: npt.ArrayLike, wrong_b: npt.ArrayLike) -> tuple[float, str]:
    """Return McNemar's p-value for two classifiers on the same examples, and the name of the form used.

    Args:
        wrong_a: 0 or 1 for each example: whether A errs.
        wrong_b: Likewise of B.

    The exact binomial form with fewer than 25 disagreements, else chi-squared with continuity correction. It compares
    two fitted models, not two ways of training.

    Example:
        >>> mcnemar([1, 1, 0, 0], [1, 0, 0, 0])
        (1.0, 'McNemar exact')
    """
    from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar

    a, b = np.asarray(wrong_a, dtype=bool), np.asarray(wrong_b, dtype=bool)
    table = [[int((a & b).sum()), int((a & ~b).sum())], [int((~a & b).sum()), int((~a & ~b).sum())]]
    exact = table[0][1] + table[1][0] < EXACT_BELOW
    result = statsmodels_mcnemar(table, exact=exact, correction=True)
    return float(result.pvalue), "McNemar exact" if exact else "McNemar chi-squared"


def holm(p_values: npt.ArrayLike) -> FloatArray:
    """Return p-values adjusted by Holm's step-down method; NaN stays NaN and does not count as a test.

    Example:
        >>> holm([0.01, 0.04, float("nan")]).tolist()
        [0.02, 0.04, nan]
    """
    from statsmodels.stats.multitest import multipletests

    p = np.asarray(p_values, dtype=float)
    adjusted = np.full(p.shape, np.nan)
    known = ~np.isnan(p)
    if known.any():
        adjusted[known] = multipletests(p[known], method="holm")[1]
    return adjusted
