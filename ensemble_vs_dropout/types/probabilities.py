"""Arrays of probabilities, labels and weights of members, each checked with the reason and the remedy."""

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.checks import InputError

FloatArray = npt.NDArray[np.floating]
IntArray = npt.NDArray[np.integer]


def check_probabilities(probs: npt.ArrayLike, tolerance: float = 1e-3) -> FloatArray:
    """Return `probs` as a float array of shape (members, examples, classes), or raise `InputError`."""
    array = np.asarray(probs)
    if array.ndim != 3 or 0 in array.shape:
        raise InputError(
            f"probs must have shape (members, examples, classes) with none of them 0, got {array.shape}; "
            "one member alone is probs[None]"
        )
    if array.dtype.kind not in "fiub":
        raise InputError(f"probs must be real numbers, got dtype {array.dtype}")
    if array.dtype.kind != "f":
        array = array.astype(float)
    _check_rows(array, ("member", "example"), tolerance)
    return array


def check_pair(probs: npt.ArrayLike, labels: npt.ArrayLike, tolerance: float = 1e-3) -> tuple[FloatArray, IntArray]:
    """Return float64 `probs` (examples, classes) and integer `labels` (examples,), or raise `InputError`."""
    array, truth = np.asarray(probs, dtype=np.float64), np.asarray(labels)
    if array.ndim != 2 or truth.shape != (len(array),) or len(array) == 0:
        raise InputError(
            "probs must have shape (examples, classes) and labels (examples,), with at least one example, "
            f"got {array.shape} and {truth.shape}"
        )
    _check_rows(array, ("example",), tolerance)
    return array, check_labels(truth, array.shape[1])


def check_labels(labels: npt.ArrayLike, classes: int) -> IntArray:
    """Return `labels` as whole numbers 0..classes - 1, or raise `InputError`."""
    truth = np.asarray(labels)
    if truth.dtype.kind not in "ui":
        raise InputError(f"labels must be whole numbers 0..{classes - 1}, got dtype {truth.dtype}")
    if truth.size and (truth.min() < 0 or truth.max() >= classes):
        place = np.unravel_index(int(((truth < 0) | (truth >= classes)).argmax()), truth.shape)
        raise InputError(
            f"labels must be whole numbers 0..{classes - 1}, for the probabilities have {classes} classes, got "
            f"{truth[place]} at example {place[0]}; a class that training never saw cannot be predicted"
        )
    return truth


def _check_rows(array: FloatArray, axes: tuple[str, ...], tolerance: float) -> None:
    """Check that the last axis holds probabilities; `axes` name the others."""

    def where(bad: npt.NDArray[np.bool_]) -> tuple[tuple[int, ...], str]:
        place = np.unravel_index(int(bad.argmax()), bad.shape)[: len(axes)]
        words = ", ".join(f"{axis} {int(number)}" for axis, number in zip(axes, place, strict=True))
        return tuple(int(number) for number in place), words

    if not np.isfinite(array).all():
        raise InputError(f"probs must be finite, got NaN or infinity at {where(~np.isfinite(array))[1]}")
    sums = array.sum(axis=-1, dtype=float)
    off = np.abs(sums - 1.0)
    if array.min() >= 0 and off.max() <= tolerance:
        return
    rule = "probs must be non-negative and sum to 1 over the classes, but "
    if array.max() <= tolerance and np.allclose(np.exp(array, dtype=float).sum(axis=-1), 1, atol=1e-2):
        raise InputError(f"{rule}these look like logarithms of probabilities; apply exp first")
    if array.min() < 0 or array.max() > 1 + tolerance:
        place, words = where((array < 0) | (array > 1 + tolerance))
        row = array[place]
        value = row.min() if row.min() < 0 else row.max()
        raise InputError(
            f"{rule}{words} holds {value:.4g}; values from {array.min():.4g} to {array.max():.4g} look like logits: "
            "apply softmax first"
        )
    place, words = where(off == off.max())
    difference = sums[place] - 1.0
    raise InputError(
        f"{rule}{words} sums to {sums[place]:.6g}, {abs(difference):.2g} too {'much' if difference > 0 else 'little'}"
    )


def check_weights(weights: npt.ArrayLike, members: int) -> FloatArray:
    """Return `weights` as float64 of shape (members,), or raise `InputError`."""
    try:
        array = np.asarray(weights, dtype=float)
    except (TypeError, ValueError) as error:
        raise InputError(f"weights must be numbers, one for each of the {members} members, got {weights!r}") from error
    if array.shape != (members,):
        raise InputError(f"weights must have one entry for each of the {members} members, got shape {array.shape}")
    if not np.isfinite(array).all() or array.min() < 0 or abs(array.sum() - 1) > 1e-6:
        raise InputError(f"weights must be non-negative and sum to 1, got {array.tolist()}")
    return array
