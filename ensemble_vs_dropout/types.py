"""The three things that travel between the rooms: `Dataset`, `Predictions` and `Cost`."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.checks import InputError

FloatArray = npt.NDArray[np.floating]
IntArray = npt.NDArray[np.integer]
PARTS = ("train", "val", "test")


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled examples in three parts; a `Dataset` that exists is fit for training.

    Attributes:
        name: What tables and folders call it.
        x_train: Features, shape (examples, ...); uint8 images stay uint8. Likewise `x_val` and `x_test`.
        y_train: Labels 0..K-1, shape (examples,). Likewise `y_val` and `y_test`.
        classes: The names of the K classes, in the order of the labels.
        source: Where the data came from, in words.
        notes: What was done to them on loading, one sentence each.

    Raises:
        InputError: An empty part, parts of different shape, features that are not finite numbers, labels outside
            0..K-1, fewer than two classes in train, or a label in val or test that train never saw.
    """

    name: str
    x_train: npt.NDArray[np.generic]
    y_train: IntArray
    x_val: npt.NDArray[np.generic]
    y_val: IntArray
    x_test: npt.NDArray[np.generic]
    y_test: IntArray
    classes: tuple[str, ...]
    source: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for part in PARTS:
            self._check_part(part)
        seen = np.unique(self.y_train)
        if len(seen) < 2:
            raise InputError(
                f"y_train of {self.name!r} must hold at least two classes, got only {self.classes[seen[0]]!r}"
            )
        for part in ("val", "test"):
            unseen = np.setdiff1d(getattr(self, f"y_{part}"), seen)
            if len(unseen):
                raise InputError(
                    f"y_{part} of {self.name!r} holds the label {self.classes[unseen[0]]!r}, which training never "
                    f"saw; give training examples of it, or drop it from {part}"
                )

    def _check_part(self, part: str) -> None:
        x, y = getattr(self, f"x_{part}"), getattr(self, f"y_{part}")
        if len(x) == 0:
            raise InputError(f"x_{part} of {self.name!r} must hold at least one example, got none")
        if x.shape[1:] != self.x_train.shape[1:]:
            raise InputError(
                f"x_{part} of {self.name!r} must have examples of the shape of x_train's, "
                f"{self.x_train.shape[1:]}, got {x.shape[1:]}"
            )
        if x.dtype.kind not in "uifb":
            raise InputError(f"x_{part} of {self.name!r} must hold numbers, got dtype {x.dtype}")
        if x.dtype.kind == "f" and not np.isfinite(x).all():
            bad = int(np.count_nonzero(~np.isfinite(x)))
            raise InputError(
                f"x_{part} of {self.name!r} must be finite, got {bad} values that are NaN or infinite; "
                "drop or impute them first"
            )
        if y.shape != (len(x),):
            raise InputError(
                f"y_{part} of {self.name!r} must have one label for each of the {len(x)} examples, got shape {y.shape}"
            )
        if y.dtype.kind not in "ui" or y.min() < 0 or y.max() >= len(self.classes):
            raise InputError(
                f"y_{part} of {self.name!r} must hold whole numbers 0..{len(self.classes) - 1}; "
                "ensemble_vs_dropout.datasets.from_arrays encodes other labels"
            )

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one example."""
        return self.x_train.shape[1:]

    @property
    def sizes(self) -> dict[str, int]:
        """The number of examples of each part."""
        return {part: len(getattr(self, f"x_{part}")) for part in PARTS}


@dataclass(frozen=True, eq=False)
class Predictions:
    """Class probabilities of every member: networks, dropout passes and enumerated masks are all members.

    Attributes:
        probs: Shape (members, examples, classes), rows summing to 1.
        weights: One non-negative weight for each member, summing to 1, or None for equal ones.
        method: How they were made, in words.

    Raises:
        InputError: Another shape, or values that are not probabilities; the message says which and by how much.

    Example:
        >>> Predictions(np.full((3, 4, 2), 0.5)).members
        3
    """

    probs: FloatArray
    weights: FloatArray | None = None
    method: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "probs", check_probabilities(self.probs))
        if self.weights is not None:
            object.__setattr__(self, "weights", check_weights(self.weights, self.members))

    @property
    def members(self) -> int:
        """The number of members."""
        return int(self.probs.shape[0])

    @property
    def examples(self) -> int:
        """The number of examples."""
        return int(self.probs.shape[1])

    @property
    def classes(self) -> int:
        """The number of classes."""
        return int(self.probs.shape[2])

    def save(self, path: str | PathLike[str]) -> None:
        """Write them to `path` as a plain npz, without pickles."""
        arrays = {"probs": self.probs, "method": np.array(self.method)}
        if self.weights is not None:
            arrays["weights"] = self.weights
        with Path(path).open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Predictions:
        """Read what `save` wrote; a file with a pickle inside is refused."""
        try:
            with np.load(path, allow_pickle=False) as file:
                return cls(file["probs"], file.get("weights"), str(file["method"]))
        except (BadZipFile, EOFError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path} does not hold saved predictions: {error}") from error


@dataclass(frozen=True)
class Cost:
    """What an arm costs, put beside its quality.

    Attributes:
        parameters: Numbers to store for prediction.
        trained: Trained examples times parameters, summed over epochs and networks: a measure of training work that
            does not depend on the machine.
        passes: Forward passes for one prediction.
        train_seconds: Measured seconds of training.
        predict_seconds: Measured seconds of predicting the whole test part, compilation aside.
    """

    parameters: float
    trained: float
    passes: float
    train_seconds: float
    predict_seconds: float


def check_probabilities(probs: npt.ArrayLike, tolerance: float = 1e-3) -> FloatArray:
    """Return `probs` as a float array of shape (members, examples, classes), or raise `InputError`."""
    array = np.asarray(probs)
    if array.ndim != 3 or 0 in array.shape:
        raise InputError(
            f"probs must have shape (members, examples, classes) with none of them 0, got {array.shape}; "
            "one member alone is probs[None]"
        )
    if array.dtype.kind != "f":
        array = array.astype(float)
    if not np.isfinite(array).all():
        member, example, _ = np.argwhere(~np.isfinite(array))[0]
        raise InputError(f"probs must be finite, got NaN or infinity at member {member}, example {example}")
    off = np.abs(array.sum(axis=2, dtype=float) - 1.0)
    if array.min() < 0 or off.max() > tolerance:
        negative = array.min() < 0
        place = np.argwhere(array < 0)[0] if negative else np.unravel_index(int(off.argmax()), off.shape)
        row = array[place[0], place[1]]
        what = f"holds {row.min():.4g}" if negative else f"sums to {row.sum():.4g}"
        raise InputError(
            f"probs must be non-negative and sum to 1 over the classes, but member {place[0]}, example {place[1]} "
            f"{what}; if these are logits, apply softmax first"
        )
    return array


def check_weights(weights: npt.ArrayLike, members: int) -> FloatArray:
    """Return `weights` as float64 of shape (members,), or raise `InputError`."""
    array = np.asarray(weights, dtype=float)
    if array.shape != (members,):
        raise InputError(f"weights must have one entry for each of the {members} members, got shape {array.shape}")
    if not np.isfinite(array).all() or array.min() < 0 or abs(array.sum() - 1) > 1e-6:
        raise InputError(f"weights must be non-negative and sum to 1, got {array.tolist()}")
    return array
