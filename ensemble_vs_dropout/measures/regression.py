"""Predictions of numbers: members that each predict a normal distribution, pooled and measured.

A member predicts a mean and a standard deviation for each example, both in the unit of the target. A pool of them is a
mixture of normal distributions again, of one or of many components, so that every pool has every measure:

* `mixture`: the members themselves as components, the linear opinion pool; nothing is approximated.
* `moment_matched`: one normal distribution of the mixture's mean and variance (Lakshminarayanan et al. 2017).
* `quantile_average`: the mean of the members' quantiles, for normal members a normal distribution of their mean
  standard deviation. It is sharper than the mixture.
* `parameter_mean`: one of the mean of the means and the mean of the variances. It leaves out what the members disagree
  about.

The NLL and the CRPS of a mixture are exact, not those of samples; `quantiles` has its intervals. Passes of MC dropout
that have no noise of their own cover the mean alone, not an observation: give them one with `fit_noise`.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp, ndtr

from ensemble_vs_dropout.checks import InputError, check_known
from ensemble_vs_dropout.measures.weighted import as_weights, example_weights
from ensemble_vs_dropout.types import FloatArray
from ensemble_vs_dropout.types.normals import Components, check_normal, check_targets

_HALF_LOG_2_PI = 0.5 * np.log(2 * np.pi)


# Pools


def _mixture(means: FloatArray, scales: FloatArray, weights: FloatArray) -> Components:
    return means, scales, weights


def _moment_matched(means: FloatArray, scales: FloatArray, weights: FloatArray) -> Components:
    center = weights @ means
    return _one(center, _root_mean_square(np.hypot(scales, means - center), weights))


def _quantile_average(means: FloatArray, scales: FloatArray, weights: FloatArray) -> Components:
    return _one(weights @ means, weights @ scales)


def _parameter_mean(means: FloatArray, scales: FloatArray, weights: FloatArray) -> Components:
    return _one(weights @ means, _root_mean_square(scales, weights))


def _root_mean_square(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Return it over the members, without squares that are too large or too small for a float."""
    largest = values.max(axis=0)
    return np.asarray(largest * np.sqrt(weights @ (values / largest) ** 2))


def _one(mean: FloatArray, scale: FloatArray) -> Components:
    return mean[None], scale[None], np.ones(1)


POOLS: dict[str, Callable[[FloatArray, FloatArray, FloatArray], Components]] = {
    "mixture": _mixture,
    "moment_matched": _moment_matched,
    "quantile_average": _quantile_average,
    "parameter_mean": _parameter_mean,
}


def pool_normal(
    means: npt.ArrayLike, scales: npt.ArrayLike, rule: str = "mixture", weights: npt.ArrayLike | None = None
) -> Components:
    """Combine members by the named pool.

    Args:
        means: Shape (members, examples).
        scales: Standard deviations, above 0, as `means`.
        rule: A name in `POOLS`.
        weights: One for each member, summing to 1; None for equal ones.

    Returns:
        Means, scales and weights of the pool's components, which every measure of this module takes.

    Example:
        >>> means, scales, _ = pool_normal([[0.0], [2.0]], [[1.0], [1.0]], "moment_matched")
        >>> means.tolist(), scales.round(3).tolist()
        ([[1.0]], [[1.414]])
    """
    return POOLS[check_known("pool", rule, POOLS)](*check_normal(means, scales, weights))


# Scores of each example


def squared_error(means: npt.ArrayLike, y: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> FloatArray:
    """Return the squared error of the members' mean for each example, in the target's unit squared.

    The root of its mean is the RMSE. It is the weighted mean of the members' own squared errors less their weighted
    variance, the ambiguity (Krogh and Vedelsby 1995): never above the former.

    Args:
        means: Shape (members, examples).
        y: Targets, shape (examples,).
        weights: One for each member, summing to 1; None for equal ones.

    Example:
        >>> squared_error([[0.0], [2.0]], [3.0]).tolist()
        [4.0]
    """
    return np.asarray(_off(means, y, weights) ** 2)


def absolute_error(means: npt.ArrayLike, y: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> FloatArray:
    """Return the absolute error of the members' mean for each example; see `squared_error`.

    Example:
        >>> absolute_error([[0.0], [2.0]], [3.0]).tolist()
        [2.0]
    """
    return np.asarray(np.abs(_off(means, y, weights)))


def _off(means: npt.ArrayLike, y: npt.ArrayLike, weights: npt.ArrayLike | None) -> FloatArray:
    centers, _, shares = check_normal(means, 1.0, weights)
    return shares @ centers - check_targets(y, centers.shape[1])


def rmse_of(pool: Components, y: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> FloatArray:
    """Return the root of the mean squared error of a pool's mean, in the target's unit.

    Args:
        pool: Its components, as `pool_normal` gives them.
        y: Targets, shape (examples,).
        weights: Of the examples, shape (examples,) or (resamples, examples), summing to 1; None for equal ones.

    Returns:
        One number, or one for each resample.

    Example:
        >>> rmse_of(pool_normal([[0.0, 0.0]], 1.0), [3.0, 4.0]).round(3).item()
        3.536
    """
    errors = squared_error(pool[0], y, pool[2])
    return as_weights(np.sqrt(example_weights(weights, len(errors)) @ errors), weights)


def gaussian_nll(
    means: npt.ArrayLike, scales: npt.ArrayLike, y: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> FloatArray:
    """Return the negative log density of each target under the mixture, in nats.

    It depends on the target's unit: in millimeters it is log 1000 higher than in meters. It is never above the
    weighted mean of the members' own (Jensen's inequality).

    Args:
        means: Of the components, shape (components, examples).
        scales: Their standard deviations, above 0, as `means`.
        y: Targets, shape (examples,).
        weights: One for each component, summing to 1; None for equal ones.

    Returns:
        Shape (examples,), any real number.

    Example:
        >>> gaussian_nll([[0.0]], [[1.0]], [0.0]).round(3).tolist()
        [0.919]
    """
    centers, spreads, shares = check_normal(means, scales, weights)
    z = (check_targets(y, centers.shape[1]) - centers) / spreads
    logs = -0.5 * z**2 - np.log(spreads) - _HALF_LOG_2_PI
    return np.asarray(-logsumexp(logs, axis=0, b=shares[:, None]))


def crps(
    means: npt.ArrayLike, scales: npt.ArrayLike, y: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> FloatArray:
    """Return the continuous ranked probability score of each target, in the target's unit; lower is better.

    Of a mixture of normal distributions in closed form (Grimit et al. 2006, equation 5): the mean distance of a draw
    from the target, less half the mean distance of two draws. Of a certain prediction it is the absolute error. It is
    never above the weighted mean of the members' own.

    Args and returns as of `gaussian_nll`, and never below 0. The work grows with the square of the components.

    Example:
        >>> crps([[0.0]], [[1.0]], [0.0]).round(3).tolist()
        [0.234]
    """
    centers, spreads, shares = check_normal(means, scales, weights)
    found = shares @ _distance(check_targets(y, centers.shape[1]) - centers, spreads)
    for first, share in enumerate(shares):  # pairs of a component with itself and, twice, with those after it
        gaps = np.abs(centers[first:] - centers[first])
        both = np.where(np.arange(len(gaps)) > 0, 1.0, 0.5) * share * shares[first:]
        found -= both @ _distance(gaps, np.hypot(spreads[first:], spreads[first]))
    return np.maximum(found, 0.0)


def _distance(mean: FloatArray, scale: FloatArray) -> FloatArray:
    """Return the mean absolute value of normal draws."""
    z = mean / scale
    return np.asarray(2 * scale * np.exp(-0.5 * z**2 - _HALF_LOG_2_PI) + mean * (2 * ndtr(z) - 1))


def variance_parts(means: npt.ArrayLike, scales: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> pd.DataFrame:
    """Return how uncertain each example's prediction is, and of what.

    Args:
        means: Of the members, shape (members, examples).
        scales: Their standard deviations, above 0, as `means`.
        weights: One for each member, summing to 1; None for equal ones.

    Returns:
        One row per example, in the target's unit, the variances in its square: `mean`; `aleatoric`, the members' mean
        variance; `epistemic`, the variance of their means; `total`, the sum of both.

    Example:
        >>> variance_parts([[0.0], [2.0]], [[1.0], [1.0]]).iloc[0].tolist()
        [1.0, 1.0, 1.0, 2.0]
    """
    centers, spreads, shares = check_normal(means, scales, weights)
    mean = shares @ centers
    aleatoric, epistemic = shares @ spreads**2, shares @ (centers - mean) ** 2
    return pd.DataFrame({"mean": mean, "aleatoric": aleatoric, "epistemic": epistemic, "total": aleatoric + epistemic})


# Measures of many examples


def r2(means: npt.ArrayLike, y: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> float:
    """Return the share of the targets' variance that the members' mean explains, at most 1.

    0 is as good as the mean of these targets, and less is worse. NaN where all targets are equal.

    Example:
        >>> r2([[0.0, 1.0, 3.0]], [0.0, 1.0, 2.0])
        0.5
    """
    errors = squared_error(means, y, weights)
    truth = check_targets(y, len(errors))
    if np.ptp(truth) == 0:
        return float("nan")
    return 1 - float(errors.sum()) / float(((truth - truth.mean()) ** 2).sum())


def fit_noise(means: npt.ArrayLike, y: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> float:
    """Return the standard deviation of the noise that makes validation targets likeliest, for members without one.

    Members that predict a mean alone, such as passes of MC dropout of a network trained on squared errors, say nothing
    of the noise of an observation. With one common noise they are a mixture of normal distributions, whose likelihood
    is highest at this noise (its inverse square is the model precision of Gal and Ghahramani 2016). Fit it on
    validation data: on training data it is too small.

    Args:
        means: Of the members on validation data, shape (members, examples).
        y: Validation targets, shape (examples,).
        weights: One for each member, summing to 1; None for equal ones.

    Raises:
        InputError: Some member is right to the last digit on every example: no noise is likeliest.

    Example:
        >>> fit_noise([[0.0, 0.0]], [1.0, -1.0])  # of one member it is the RMSE
        1.0
    """
    centers, _, shares = check_normal(means, 1.0, weights)
    truth = check_targets(y, centers.shape[1])
    off = (truth - centers)[shares > 0]
    nearest = np.abs(off).min(axis=0)
    if not nearest.any():  # the likelihood then rises without end toward no noise
        raise InputError("y must differ somewhere from what all members predict, to tell of noise; each has one right")
    lowest = float(nearest[nearest > 0].min())  # below it the likelihood falls too
    highest = float(np.sqrt((off**2).mean(axis=1).max()))  # above it, whatever the weights
    if len(off) == 1:
        return highest

    def loss(log_scale: float) -> float:
        return float(gaussian_nll(centers, np.exp(log_scale), truth, shares).mean())

    steps = 2 + int(4 * np.log(highest / lowest))
    grid = np.linspace(np.log(highest), np.log(lowest), steps)  # of several minima the lowest: in steps of a quarter
    best = int(np.argmin([loss(one) for one in grid]))
    ends = grid[min(best + 1, len(grid) - 1)], grid[max(best - 1, 0)]
    return float(np.exp(minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-8}).x))
