"""Quantiles of predicted numbers: central intervals, how many targets they cover, and what they cost.

Each function takes the components of a pool (see `regression`), and is exact for mixtures of normal distributions.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize.elementwise import find_root
from scipy.special import ndtr, ndtri

from ensemble_vs_dropout.checks import InputError, check_at_least
from ensemble_vs_dropout.types import FloatArray, IntArray
from ensemble_vs_dropout.types.normals import check_normal, check_targets, finite_numbers


def cdf(
    means: npt.ArrayLike, scales: npt.ArrayLike, y: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> FloatArray:
    """Return the predicted probability of at most each target: uniform where predictions are calibrated.

    Example:
        >>> cdf([[0.0]], [[1.0]], [1.645]).round(3).tolist()
        [0.95]
    """
    centers, spreads, shares = check_normal(means, scales, weights)
    return np.asarray(shares @ ndtr((check_targets(y, centers.shape[1]) - centers) / spreads))


def quantiles(
    means: npt.ArrayLike, scales: npt.ArrayLike, levels: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> FloatArray:
    """Return quantiles of each example's mixture, exact to the rounding of its distribution function.

    Args:
        means: Of the components, shape (components, examples).
        scales: Their standard deviations, above 0, as `means`.
        levels: Each between 0 and 1.
        weights: One for each component, summing to 1; None for equal ones.

    Returns:
        Shape (levels, examples).

    Example:
        >>> quantiles([[0.0], [10.0]], [[1.0], [1.0]], [0.25, 0.5]).round(3).tolist()
        [[0.0], [5.0]]
    """
    centers, spreads, shares = check_normal(means, scales, weights)
    return np.stack([_quantile(centers, spreads, shares, level) for level in _levels(levels)])


def _quantile(means: FloatArray, scales: FloatArray, weights: FloatArray, level: float) -> FloatArray:
    """Search between the outermost quantiles of the components, where the pool's must be."""
    counted = weights > 0
    means, scales, weights = means[counted], scales[counted], weights[counted]
    of_components = means + scales * ndtri(level)
    low, high = of_components.min(axis=0), of_components.max(axis=0)

    def beyond(values: FloatArray, examples: IntArray) -> FloatArray:
        z = (values - means[:, examples]) / scales[:, examples]
        return np.asarray(np.tensordot(weights, ndtr(z), axes=1) - level)

    places = np.arange(len(low))
    found = np.where(beyond(low, places) >= 0, low, high)  # where all components have the same quantile
    apart = np.flatnonzero((beyond(low, places) < 0) & (beyond(high, places) > 0))
    if len(apart):
        tolerances = {"xatol": 0.0, "xrtol": 1e-14, "fatol": 0.0, "frtol": 0.0}
        result = find_root(beyond, (low[apart], high[apart]), args=(apart,), tolerances=tolerances)
        found[apart] = result.x
    return found


def interval(
    means: npt.ArrayLike, scales: npt.ArrayLike, weights: npt.ArrayLike | None = None, level: float = 0.95
) -> tuple[FloatArray, FloatArray]:
    """Return the central interval of each example: as much of the mixture is below it as is above it.

    Args:
        means: Of the components, shape (components, examples).
        scales: Their standard deviations, above 0, as `means`.
        weights: One for each component, summing to 1; None for equal ones.
        level: Between 0 and 1.

    Returns:
        The lower and the upper ends, shape (examples,) each.

    Example:
        >>> low, high = interval([[0.0]], [[1.0]])
        >>> low.round(2).item(), high.round(2).item()
        (-1.96, 1.96)
    """
    (given,) = _levels([level])
    low, high = quantiles(means, scales, [(1 - given) / 2, (1 + given) / 2], weights)
    return low, high


def interval_score(
    means: npt.ArrayLike,
    scales: npt.ArrayLike,
    y: npt.ArrayLike,
    weights: npt.ArrayLike | None = None,
    level: float = 0.95,
) -> FloatArray:
    """Return the score of the central interval for each target, in the target's unit; lower is better.

    Its width, and 2 / (1 - level) times how far the target is outside (Gneiting and Raftery 2007, equation 43).

    Args:
        means: As of `regression.gaussian_nll`, like `scales`, `y` and `weights`.
        scales: Of the components.
        y: Targets.
        weights: Of the components.
        level: Of the interval, between 0 and 1.

    Example:
        >>> interval_score([[0.0]], [[1.0]], [0.0]).round(2).tolist()
        [3.92]
    """
    low, high = interval(means, scales, weights, level)
    truth = check_targets(y, len(low))
    outside = np.maximum(0.0, low - truth) + np.maximum(0.0, truth - high)
    return np.asarray(high - low + 2 / (1 - level) * outside)


def pinball(quantiles: npt.ArrayLike, levels: npt.ArrayLike, y: npt.ArrayLike) -> FloatArray:
    """Return the loss of predicted quantiles for each target, the mean over levels; lower is better.

    At level q a target above its quantile costs q times the distance, one below it 1 - q times (Koenker and Bassett
    1978). Twice its mean over all levels is the CRPS.

    Args:
        quantiles: Shape (levels, examples), in any order.
        levels: Of the quantiles, each between 0 and 1.
        y: Targets, shape (examples,).

    Example:
        >>> pinball([[1.0], [3.0]], [0.25, 0.75], [2.0]).tolist()
        [0.25]
    """
    given, asked = finite_numbers("quantiles", quantiles).astype(np.float64), _levels(levels)
    if given.ndim != 2 or len(given) != len(asked):
        raise InputError(f"quantiles must have shape (levels, examples) for {len(asked)} levels, got {given.shape}")
    off = check_targets(y, given.shape[1]) - given
    return np.maximum(asked[:, None] * off, (asked[:, None] - 1) * off).mean(axis=0)


def coverage(
    means: npt.ArrayLike,
    scales: npt.ArrayLike,
    y: npt.ArrayLike,
    weights: npt.ArrayLike | None = None,
    levels: npt.ArrayLike = (0.5, 0.8, 0.9, 0.95),
) -> pd.DataFrame:
    """Return how many targets are in the central interval of each level, and how wide the intervals are.

    Args:
        means: As of `regression.gaussian_nll`, like `scales`, `y` and `weights`.
        scales: Of the components.
        y: Targets.
        weights: Of the components.
        levels: Each between 0 and 1.

    Returns:
        One row per level: `level`, `covered`, the share of the targets, and `width`, the mean width in the target's
        unit. Of calibrated predictions `covered` is the level; of two such, that with the smaller width is sharper.

    Example:
        >>> coverage([[0.0, 0.0]], 1.0, [0.5, 1.5], levels=[0.5, 0.9]).round(2).values.tolist()
        [[0.5, 0.5, 1.35], [0.9, 1.0, 3.29]]
    """
    rows = []
    for level in _levels(levels):
        low, high = interval(means, scales, weights, level)
        truth = check_targets(y, len(low))
        rows.append((level, ((low <= truth) & (truth <= high)).mean(), (high - low).mean()))
    return pd.DataFrame(rows, columns=["level", "covered", "width"])


def quantile_calibration(
    means: npt.ArrayLike, scales: npt.ArrayLike, y: npt.ArrayLike, weights: npt.ArrayLike | None = None, bins: int = 20
) -> pd.DataFrame:
    """Return how many targets are at most each quantile: of calibrated predictions, as many as its level says.

    Args:
        means: As of `regression.gaussian_nll`, like `scales`, `y` and `weights`.
        scales: Of the components.
        y: Targets.
        weights: Of the components.
        bins: The levels are 1 / bins, 2 / bins, ..., at least 2.

    Returns:
        One row per level: `level`, and `observed`, the share of targets at most that quantile (Kuleshov et al. 2018,
        equation 4).

    Example:
        >>> quantile_calibration([[0.0, 0.0]], 1.0, [-1.0, 1.0], bins=2).values.tolist()
        [[0.5, 0.5]]
    """
    check_at_least("bins", bins, 2)
    below = cdf(means, scales, y, weights)
    levels = np.arange(1, bins) / bins
    return pd.DataFrame({"level": levels, "observed": (below[:, None] <= levels).mean(axis=0)})


def calibration_error(
    means: npt.ArrayLike, scales: npt.ArrayLike, y: npt.ArrayLike, weights: npt.ArrayLike | None = None, bins: int = 20
) -> float:
    """Return the mean distance of the observed shares from the levels of `quantile_calibration`, in [0, 1/2].

    Example:
        >>> calibration_error([[0.0, 0.0]], 1.0, [-1.0, 1.0], bins=2)
        0.0
    """
    found = quantile_calibration(means, scales, y, weights, bins)
    return float((found.observed - found.level).abs().mean())


def _levels(levels: npt.ArrayLike) -> FloatArray:
    given = finite_numbers("levels", levels).astype(np.float64)
    if given.ndim != 1 or not len(given) or not ((given > 0) & (given < 1)).all():
        raise InputError(f"levels must be numbers between 0 and 1, got {levels!r}")
    return given
