"""Predictions of numbers: a mean for each member and example, and where a member tells it, a standard deviation."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.types.probabilities import FloatArray, check_weights

Components = tuple[FloatArray, FloatArray, FloatArray]  # means and scales (components, examples), and their weights


@dataclass(frozen=True, eq=False)
class RegressionPredictions:
    """What every member predicts of a number: networks, dropout passes and enumerated masks are all members.

    Attributes:
        means: Shape (members, examples), in the unit of the targets that the members were trained on.
        scales: Standard deviations of an observation around them, above 0, the same shape; None where members predict
            a mean alone. `with_noise` gives them one.
        weights: One non-negative weight for each member, summing to 1, or None for equal ones.
        method: How they were made, in words.

    Raises:
        InputError: Another shape, or values that are no such numbers; the message says which.

    Example:
        >>> predictions = RegressionPredictions([[1.0, 2.0], [3.0, 2.0]])
        >>> predictions.members, predictions.examples
        (2, 2)
        >>> predictions.with_noise(0.5).scales.tolist()
        [[0.5, 0.5], [0.5, 0.5]]
    """

    means: FloatArray
    scales: FloatArray | None = None
    weights: FloatArray | None = None
    method: str = ""

    def __post_init__(self) -> None:
        means, scales, weights = check_normal(self.means, 1.0 if self.scales is None else self.scales, self.weights)
        object.__setattr__(self, "means", means)
        object.__setattr__(self, "scales", None if self.scales is None else scales)
        object.__setattr__(self, "weights", None if self.weights is None else weights)

    def __repr__(self) -> str:
        """Return how they were made and their shape; no array is printed."""
        made = f" of {self.method}" if self.method else ""
        noise = "no scales" if self.scales is None else "scales"
        return f"RegressionPredictions{made}: {self.members} members, {self.examples:,} examples, {noise}"

    @property
    def members(self) -> int:
        """The number of members."""
        return int(self.means.shape[0])

    @property
    def examples(self) -> int:
        """The number of examples."""
        return int(self.means.shape[1])

    def with_noise(self, scale: npt.ArrayLike) -> RegressionPredictions:
        """Return the same means with standard deviations, one number for all or of the shape of the means.

        Raises:
            InputError: They have scales of their own, or this has another shape.
        """
        if self.scales is not None:
            raise InputError("with_noise is for members without scales; these have their own")
        if np.shape(scale) not in ((), self.means.shape):
            raise InputError(f"scale must be one number or have the shape {self.means.shape}, got {np.shape(scale)}")
        return RegressionPredictions(self.means, np.asarray(scale), self.weights, self.method)

    def unscaled(self, mean: float, deviation: float) -> RegressionPredictions:
        """Return them in the unit of targets that were scaled for training, less `mean` and divided by `deviation`.

        Raises:
            InputError: No number, or a deviation that is not above 0.

        Example:
            >>> found = RegressionPredictions([[0.0, 1.0]], [[1.0, 1.0]]).unscaled(mean=20.0, deviation=5.0)
            >>> found.means.tolist(), found.scales.tolist()
            ([[20.0, 25.0]], [[5.0, 5.0]])
        """
        given = all(isinstance(one, Real) for one in (mean, deviation))
        if not given or not (np.isfinite(mean) and 0 < deviation < np.inf):
            raise InputError(f"mean must be finite and deviation above 0, got {mean!r} and {deviation!r}")
        scales = None if self.scales is None else self.scales * deviation
        return RegressionPredictions(self.means * deviation + mean, scales, self.weights, self.method)


def check_normal(means: npt.ArrayLike, scales: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> Components:
    """Return float64 means, scales and weights, or raise `InputError`.

    Args:
        means: Shape (members, examples).
        scales: Standard deviations, above 0; the same shape, or one that fits it, such as a single number.
        weights: One for each member, summing to 1; None for equal ones.

    Example:
        >>> means, scales, weights = check_normal([[1.0, 2.0]], 0.5)
        >>> scales.tolist(), weights.tolist()
        ([[0.5, 0.5]], [1.0])
    """
    centers, spreads = finite_numbers("means", means), finite_numbers("scales", scales)
    if centers.ndim != 2 or 0 in centers.shape:
        raise InputError(
            f"means must have shape (members, examples) with neither of them 0, got {centers.shape}; one member alone "
            "is means[None]"
        )
    if not (spreads > 0).all():
        raise InputError(f"scales must be standard deviations above 0, got {spreads.min():.4g}")
    try:
        spreads = np.broadcast_to(spreads, centers.shape)
    except ValueError as error:
        raise InputError(f"scales must have the shape of means, {centers.shape}, got {spreads.shape}") from error
    members = len(centers)
    given = np.full(members, 1 / members) if weights is None else check_weights(weights, members)
    return centers.astype(np.float64), spreads.astype(np.float64), given


def check_targets(y: npt.ArrayLike, examples: int) -> FloatArray:
    """Return targets as float64 of shape (examples,), or raise `InputError`; one column is taken for its numbers.

    Example:
        >>> check_targets([[1], [2]], 2).tolist()
        [1.0, 2.0]
    """
    array = finite_numbers("y", y)
    if array.shape == (examples, 1):
        array = array[:, 0]
    if array.shape != (examples,):
        raise InputError(f"y must hold one number for each of the {examples} examples, got shape {array.shape}")
    return array.astype(np.float64)


def finite_numbers(name: str, given: npt.ArrayLike) -> npt.NDArray[Any]:
    """Return finite numbers as an array, or raise `InputError`.

    Example:
        >>> finite_numbers("y", [1, 2]).tolist()
        [1, 2]
    """
    if np.ma.isMaskedArray(given) and np.ma.getmaskarray(given).any():
        raise InputError(f"{name} must have no masked values, got some; leave those examples out")
    try:
        array = np.asarray(given)
    except ValueError as error:
        raise InputError(f"{name} must be an array of numbers, got rows of different length") from error
    if array.dtype.kind not in "fiu":
        raise InputError(f"{name} must be finite numbers, got dtype {array.dtype}")
    if not np.isfinite(array).all():
        raise InputError(f"{name} must be finite numbers, got NaN or infinity")
    return array
