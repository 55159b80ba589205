"""Images as they are drawn: grey or RGB, between 0 (black) and 1 (white)."""

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.types import FloatArray


def check_pictures(name: str, images: npt.ArrayLike, number: int, of: str) -> FloatArray:
    """Return images as floats in [0, 1], shape (images, height, width), or (images, height, width, 3) in colour.

    Args:
        name: What the argument is called.
        images: Shape (images, height, width), or that with 1 or 3 channels last; uint8 of 0..255, or floats.
            Floats beyond [0, 1] are stretched, from the lowest of all images (black) to the highest (white).
        number: How many there must be.
        of: What there must be one image for, in words.

    Raises:
        InputError: Another shape, no numbers, or values that are not finite.
    """
    array = np.asarray(images)
    if array.ndim == 4 and array.shape[-1] == 1:
        array = array[..., 0]
    if 0 in array.shape or array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[-1] != 3):
        raise InputError(
            f"{name} must be images of shape (images, height, width), or that with 1 or 3 channels last, "
            f"got {np.shape(images)}; only data that are images can be shown as such"
        )
    if len(array) != number:
        raise InputError(f"{name} must be one image for each of the {number} {of}, got {len(array)}")
    if array.dtype != np.uint8 and array.dtype.kind != "f":
        raise InputError(f"{name} must be uint8 or floats, got dtype {array.dtype}; convert with .astype('float32')")
    if not np.isfinite(array).all():
        raise InputError(f"{name} must be finite, got values that are NaN or infinite")
    low, high = (0.0, 255.0) if array.dtype == np.uint8 else (float(array.min()), float(array.max()))
    if array.dtype != np.uint8 and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    return np.asarray((array - low) / ((high - low) or 1.0), dtype=np.float32)


def draw_picture(ax: Axes, picture: FloatArray, x: float, y: float, width: float) -> None:
    """Draw a picture around (x, y), the longer side `width` long; the limits of the axes are left to the caller."""
    height, breadth = np.array(picture.shape[:2]) * width / max(picture.shape[:2]) / 2
    ax.imshow(
        picture,
        cmap="gray",
        vmin=0,
        vmax=1,
        interpolation="nearest",
        extent=(x - breadth, x + breadth, y - height, y + height),
    )
