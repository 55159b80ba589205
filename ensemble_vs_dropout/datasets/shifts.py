"""Shifts of inputs: test data moved away from what training saw, in five severities or by a given amount.

What holds for every shift in `SHIFTS`:

- The amounts grow from severity 1 to 5; severity 0 and amount 0 are the data themselves, exactly.
- Random shifts draw for example i from the seed and i alone: the first examples of an array are moved as they are
  on their own, and every severity starts from the same random numbers, to be compared example by example.
- Shape and dtype stay. uint8 is computed in floats, then rounded and clipped to 0..255.
- Float images keep their range: [0, 1] if all values lie in it, otherwise the least to the greatest value of the
  array. Black is its lower end, and amounts of noise are in units of its width.
- Tables have no range; their means and deviations are those of the array given, so give a whole part.

To add one: write its function below and a `Shift` with the amounts in `SHIFTS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from numbers import Real

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.checks import InputError, check_at_least, check_known
from ensemble_vs_dropout.datasets.features import check_features
from ensemble_vs_dropout.seeds import stream
from ensemble_vs_dropout.types import FloatArray

# The grids of Ovadia et al. (2019), Figure 1: degrees and pixels, to be given as amounts.
OVADIA = {"rotation": range(15, 181, 15), "translation": range(2, 27, 2)}

_SHAPES = {
    "images": "images of shape (examples, height, width) or (examples, height, width, channels)",
    "tables": "a table of shape (examples, features)",
}


@dataclass(frozen=True)
class Scale:
    """What values are measured from and in: black and the range for images, mean and deviation for each feature."""

    origin: float | FloatArray
    unit: float | FloatArray


@dataclass(frozen=True)
class Shift:
    """One way to move inputs.

    Attributes:
        function: Takes floats, an amount above 0, their `Scale` and a generator, and returns the moved floats.
        severities: The amounts of severities 1 to 5, increasing.
        most: The largest amount.
        kind: "images", "tables", or "any" for both.
        words: What it does, and what an amount is.

    Example:
        >>> SHIFTS["rotation"].kind, SHIFTS["rotation"].most
        ('images', 360)
    """

    function: Callable[[FloatArray, float, Scale, np.random.Generator], FloatArray]
    severities: tuple[float, float, float, float, float]
    most: float
    kind: str
    words: str


def shift(
    x: npt.ArrayLike, name: str, severity: int | None = None, seed: int = 0, *, amount: float | None = None
) -> npt.NDArray[np.generic]:
    """Return `x` shifted, of the same shape and dtype; `x` itself is left alone.

    Args:
        x: uint8 or floats: images of shape (examples, height, width) or (examples, height, width, channels), or a
            table of shape (examples, features).
        name: One of `SHIFTS`, where its `words` say what an amount is.
        severity: 0 (no shift) to 5, standing for an amount in `SHIFTS[name].severities`.
        seed: What random shifts draw from, at least 0.
        amount: The amount itself, in place of a severity, such as one from `OVADIA`.

    Raises:
        InputError: An unknown name, another dtype, images for a shift of tables or the other way round, both or neither
            of severity and amount, or one out of range.

    Example:
        >>> image = np.array([[[0, 1, 2, 3]]], dtype=np.uint8)
        >>> shift(image, "translation", 1).tolist()
        [[[3, 0, 1, 2]]]
        >>> shift(image, "translation", amount=6).tolist()
        [[[2, 3, 0, 1]]]
    """
    check_known("shift", name, SHIFTS)
    array = _check_inputs(x, name)
    size = _check_amount(name, severity, amount)
    generator = stream(seed, "shift", name)
    if size == 0:
        return array.copy()
    floats = array.astype(np.result_type(array, np.float32))
    low, high = _range(array)
    if array.ndim == 2:
        scale = Scale(floats.mean(axis=0, dtype=float), floats.std(axis=0, dtype=float))
    else:
        scale = Scale(low, high - low or 1.0)
    moved = SHIFTS[name].function(floats, size, scale, generator)
    return np.clip(np.rint(moved) if array.dtype == np.uint8 else moved, low, high).astype(array.dtype)


def _rotation(x: FloatArray, amount: float, scale: Scale, generator: np.random.Generator) -> FloatArray:
    from scipy.ndimage import rotate

    # Cubic splines, as Ovadia et al. do: they overshoot the range of the data, which `shift` clips.
    return rotate(x, amount, axes=(1, 2), reshape=False, cval=scale.origin) if amount % 360 else x


def _translation(x: FloatArray, amount: float, scale: Scale, generator: np.random.Generator) -> FloatArray:
    if amount % 1:
        raise InputError(f"amount must be a whole number of pixels for a translation, got {amount!r}")
    return np.roll(x, int(amount), axis=2)


def _padded_translation(x: FloatArray, amount: float, scale: Scale, generator: np.random.Generator) -> FloatArray:
    moved = _translation(x, amount, scale, generator)
    moved[:, :, : int(amount)] = scale.origin
    return moved


def _gaussian_noise(x: FloatArray, amount: float, scale: Scale, generator: np.random.Generator) -> FloatArray:
    return x + amount * scale.unit * generator.standard_normal(x.shape, dtype=np.float32)


def _shot_noise(x: FloatArray, amount: float, scale: Scale, generator: np.random.Generator) -> FloatArray:
    # Of more photons than this, the noise is too small to be seen, and in the end too many to draw.
    photons = 1 / max(amount, 1e-6) ** 2
    # How much a Poisson draw takes from its generator depends on the mean, so every example has its own.
    for image, own in zip(x, generator.spawn(len(x)), strict=True):
        image[:] = scale.origin + scale.unit * own.poisson((image - scale.origin) / scale.unit * photons) / photons
    return x


def _blur(x: FloatArray, amount: float, scale: Scale, generator: np.random.Generator) -> FloatArray:
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(x, amount, axes=(1, 2), mode="nearest")


def _contrast(x: FloatArray, amount: float, scale: Scale, generator: np.random.Generator) -> FloatArray:
    return x + amount * (x.mean(axis=(1, 2), keepdims=True) - x)


def _occlusion(x: FloatArray, amount: float, scale: Scale, generator: np.random.Generator) -> FloatArray:
    side = round(amount * min(x.shape[1:3]))
    inside = []
    for length, place in zip(x.shape[1:3], generator.random((len(x), 2)).T, strict=True):
        start = np.floor(place * (length - side + 1))[:, None]
        inside.append((start <= np.arange(length)) & (np.arange(length) < start + side))
    x[inside[0][:, :, None] & inside[1][:, None, :]] = scale.origin
    return x


def _feature_dropout(x: FloatArray, amount: float, scale: Scale, generator: np.random.Generator) -> FloatArray:
    return np.where(generator.random(x.shape) < amount, scale.origin, x)


SHIFTS = {
    "rotation": Shift(
        _rotation,
        (15, 30, 45, 60, 75),
        360,
        "images",
        "Turned by so many degrees counter-clockwise around the centre, black moving in (Ovadia et al. 2019)",
    ),
    "translation": Shift(
        _translation,
        (1, 2, 3, 4, 5),
        10_000,
        "images",
        "Rolled by so many pixels to the right, what leaves coming in on the left (Ovadia et al. 2019); beyond "
        "half the width they come back, so give images of fewer than 12 pixels amounts of your own",
    ),
    "padded_translation": Shift(
        _padded_translation,
        (1, 2, 3, 4, 5),
        10_000,
        "images",
        "Moved by so many pixels to the right, black coming in on the left; give images of fewer than 12 pixels "
        "amounts of your own",
    ),
    "gaussian_noise": Shift(
        _gaussian_noise,
        (0.1, 0.2, 0.3, 0.4, 0.6),
        100,
        "any",
        "Normal noise on every value; its standard deviation, in the width of the range of images, before clipping, "
        "and in the standard deviation of each feature of a table",
    ),
    "shot_noise": Shift(
        _shot_noise,
        (0.13, 0.2, 0.3, 0.45, 0.6),
        100,
        "images",
        "Poisson noise of 1 / amount**2 photons on a white pixel: the standard deviation there, in the width of the "
        "range, before clipping; about the photons of Hendrycks and Dietterich (2019)",
    ),
    "blur": Shift(
        _blur,
        (0.5, 1.0, 1.5, 2.0, 3.0),
        100,
        "images",
        "Gaussian blur; its standard deviation in pixels, edges going on as they end",
    ),
    "contrast": Shift(
        _contrast,
        (0.3, 0.5, 0.7, 0.8, 0.9),
        1,
        "images",
        "Drawn to the mean of each image and channel; the share of the contrast that is lost",
    ),
    "occlusion": Shift(
        _occlusion,
        (0.25, 0.375, 0.5, 0.625, 0.75),
        1,
        "images",
        "A black square at a random place of each image, growing around it with the amount; its side as a share of "
        "the shorter side of the image, rounded to pixels (after Cutout, DeVries and Taylor 2017)",
    ),
    "feature_dropout": Shift(
        _feature_dropout,
        (0.1, 0.2, 0.3, 0.4, 0.5),
        1,
        "tables",
        "Values set to the mean of their feature, each independently; the probability of it",
    ),
}


def _check_inputs(x: npt.ArrayLike, name: str) -> npt.NDArray[np.generic]:
    if isinstance(x, Mapping) or (isinstance(x, np.ndarray) and x.dtype.names):
        names = ", ".join(x if isinstance(x, Mapping) else x.dtype.names or ())
        raise InputError(f"x must be one array for the shift {name!r}, got several inputs ({names}); shift one of them")
    array = check_features("x", x)
    if array.dtype != np.uint8 and array.dtype.kind != "f":
        raise InputError(f"x must be uint8 or floats, got dtype {array.dtype}; convert it with x.astype('float32')")
    kind = {2: "tables", 3: "images", 4: "images"}.get(array.ndim)
    if kind is None:
        raise InputError(f"x must be {_SHAPES['images']}, or {_SHAPES['tables']}, got shape {array.shape}; reshape it")
    wanted = SHIFTS[name].kind
    if wanted not in (kind, "any"):
        fitting = ", ".join(other for other, one in SHIFTS.items() if one.kind in (kind, "any"))
        raise InputError(
            f"x must be {_SHAPES[wanted]} for the shift {name!r}, got shape {array.shape}; reshape it if it holds "
            f"{wanted}, or use a shift of {kind}: {fitting}"
        )
    return array


def _check_amount(name: str, severity: int | None, amount: float | None) -> float:
    one = SHIFTS[name]
    if (severity is None) == (amount is None):
        both = "neither" if severity is None else "both"
        raise InputError(f"give either a severity from 0 to 5 or an amount, got {both}; {name!r}: {one.words}")
    if severity is not None:
        if check_at_least("severity", severity, 0) > len(one.severities):
            raise InputError(f"severity must be a whole number from 0 to 5, got {severity}; beyond it, give an amount")
        return (0.0, *one.severities)[severity]
    if not isinstance(amount, Real) or isinstance(amount, bool) or not 0 <= amount <= one.most:
        raise InputError(f"amount must be a number from 0 to {one.most:g}, got {amount!r}; {name!r}: {one.words}")
    return float(amount)


def _range(array: npt.NDArray[np.generic]) -> tuple[float, float]:
    if array.dtype == np.uint8:
        return 0.0, 255.0
    if array.ndim == 2:
        return -inf, inf
    low, high = float(array.min()), float(array.max())
    return (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)
