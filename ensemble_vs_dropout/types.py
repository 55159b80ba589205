"""What travels between the rooms: `Dataset`, with how it was encoded, `Predictions` and `Cost`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from hashlib import blake2b
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.checks import InputError, visible
from ensemble_vs_dropout.files import DAMAGED_ARCHIVE, as_npz, check_archive, write_whole
from ensemble_vs_dropout.inputs import columns_of, dtypes_of, nested, shapes_of, told

FloatArray = npt.NDArray[np.floating]
IntArray = npt.NDArray[np.integer]
PARTS = ("train", "val", "test")


def _encodable(text: str) -> bool:
    """Return whether UTF-8 can hold a text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True)
class Column:
    """A feature column of a table, and what was learnt of it on the training part.

    Attributes:
        name: As the file has it.
        kind: "number"; "thousands", numbers with commas between thousands; "date", as days since 1970-01-01; "text";
            or "bool".
        categories: Of text and bools, in the order of their one-hot features; others are all zeros.
        fill: What stands for a missing value; None where there must be none.
    """

    name: str
    kind: str
    categories: tuple[str, ...] = ()
    fill: float | str | None = None

    @property
    def numeric(self) -> bool:
        """Whether it is one feature, else one for each category."""
        return self.kind not in ("text", "bool")


@dataclass(frozen=True, eq=False)
class Encoding:
    """How the features that networks take are made of what came: all that was fitted on the training part.

    Attributes:
        columns: Of a table, in the order of the features, numbers first; empty for arrays.
        mean: Of the numbers in the training part, shape (numbers,), or that of an example; None where they stay.
        deviation: Their standard deviations there, and 0 for what is constant and becomes 0; as `mean`.
        inputs: How each of several inputs is made, by their names; empty where there is one.

    Example:
        >>> encoding = Encoding((Column("age", "number", fill=30.0),), np.array([40.0]), np.array([10.0]))
        >>> Encoding.from_json(encoding.to_json()).columns
        (Column(name='age', kind='number', categories=(), fill=30.0),)
    """

    columns: tuple[Column, ...] = ()
    mean: FloatArray | None = None
    deviation: FloatArray | None = None
    inputs: Mapping[str, Encoding] = field(default_factory=dict)

    @property
    def numbers(self) -> tuple[Column, ...]:
        """The columns that are numbers."""
        return tuple(column for column in self.columns if column.numeric)

    @property
    def categories(self) -> tuple[Column, ...]:
        """The columns that are text or bools."""
        return tuple(column for column in self.columns if not column.numeric)

    def check_kinds(self, shape: Any, dtype: Any) -> None:
        """Raise `TypeError` unless these are the shape and the dtype of an example, or dicts of those of each input."""
        for name in self.inputs or [None]:
            one, kind = (told if name is None else told[name] for told in (shape, dtype))
            if not isinstance(one, list) or not all(isinstance(size, int) for size in one) or not isinstance(kind, str):
                raise TypeError(f"no shape and dtype: {one!r}, {kind!r}")
            if any(size < 1 for size in one):
                raise TypeError(f"no shape of an example: {one!r}")
            if kind != "string" and np.dtype(kind).kind not in "uifb":
                raise TypeError(f"no dtype of features: {kind!r}")

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON can hold it."""
        arrays = {name: getattr(self, name) for name in ("mean", "deviation")}
        return {
            "columns": [asdict(column) for column in self.columns],
            **{name: None if array is None else array.tolist() for name, array in arrays.items()},
            **({"inputs": {name: one.to_json() for name, one in self.inputs.items()}} if self.inputs else {}),
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Encoding:
        """Return what `to_json` gave."""
        columns = (Column(**{**column, "categories": tuple(column["categories"])}) for column in told["columns"])
        mean, deviation = (None if told[key] is None else np.array(told[key], float) for key in ("mean", "deviation"))
        if getattr(mean, "shape", None) != getattr(deviation, "shape", None):
            raise ValueError("a mean and a deviation that do not fit each other")
        inputs = {str(name): cls.from_json(one) for name, one in told.get("inputs", {}).items()}
        return cls(tuple(columns), mean, deviation, inputs)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled examples in three parts; a `Dataset` that exists is fit for training.

    Attributes:
        name: What tables and folders call it.
        x_train: Features, shape (examples, ...); uint8 images stay uint8, and text is UTF-8. Those of several inputs
            are one array with a field for each, which `from_arrays` makes of a dict. Likewise `x_val` and `x_test`.
        y_train: Labels 0..K-1, shape (examples,). Likewise `y_val` and `y_test`.
        classes: The names of the K classes, in the order of the labels; controls in them stand as escapes.
        source: Where the data came from, in words.
        notes: What was done to them on loading, one sentence each.
        asked: What `load_dataset` was asked for, by the names of its arguments; empty for arrays.
        encoding: How the features were made of what came, as fitted on the training part; None where nobody knows.
        weights_train: How much each training example counts in training, shape (examples,); None for all alike.

    Raises:
        InputError: An empty part, parts of different shape, features that are not finite numbers, labels outside
            0..K-1, fewer than two classes in train, or a label in val or test that train never saw.

    Example:
        >>> x, y = np.zeros((4, 3)), np.array([0, 1, 0, 1])
        >>> Dataset("toy", x, y, x, y, x, y, classes=("no", "yes")).sizes
        {'train': 4, 'val': 4, 'test': 4}
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
    asked: Mapping[str, Any] = field(default_factory=dict)
    encoding: Encoding | None = None
    weights_train: FloatArray | None = None

    def __post_init__(self) -> None:
        for name in self.classes:
            if not _encodable(name):
                raise InputError(f"the names of classes must be text that UTF-8 can hold, got {name!r}")
        shown: dict[str, Any] = {name: tuple(map(visible, getattr(self, name))) for name in ("classes", "notes")}
        shown |= {name: visible(getattr(self, name)) for name in ("name", "source")}
        for name, value in shown.items():  # they come out of files, and go to terminals, pages and tables
            object.__setattr__(self, name, value)
        for part in PARTS:
            self._check_part(part)
        if self.weights_train is not None:
            check_weighing(f"weights_train of {self.name!r}", self.weights_train, len(self.y_train))
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
        if shapes_of(x) != shapes_of(self.x_train):
            raise InputError(
                f"x_{part} of {self.name!r} must have examples of the shape of x_train's, "
                f"{self.input_shape}, got {nested(shapes_of(x))}"
            )
        for place, features in columns_of(x).items():
            what = f"x_{part}{told(place)} of {self.name!r}"
            if features.dtype.kind not in "uifbS":
                raise InputError(f"{what} must hold numbers, or text in UTF-8, got dtype {features.dtype}")
            if features.dtype.kind == "f" and not np.isfinite(features).all():
                bad = int(np.count_nonzero(~np.isfinite(features)))
                raise InputError(
                    f"{what} must be finite, got {bad} values that are NaN or infinite; drop or impute them first"
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

    def __repr__(self) -> str:
        """Return the name, the classes, and the parts with their shapes; no array is printed."""
        few = ", ".join(map(repr, self.classes[:5])) + (", ..." if len(self.classes) > 5 else "")
        parts = ", ".join(f"{size:,} {part}" for part, size in self.sizes.items())
        return (
            f"Dataset {self.name!r}: {len(self.classes)} classes ({few})\n"
            f"  {parts} examples of shape {self.input_shape}, {nested(dtypes_of(self.x_train))}\n"
            f"  from {self.source or 'arrays'}"
        )

    @property
    def input_shape(self) -> Any:
        """The shape of one example; where there are several inputs, a dict of their shapes."""
        return nested(shapes_of(self.x_train))

    @cached_property
    def test_in_train(self) -> int:
        """The number of test examples whose features are those of a training example, to the last digit."""
        seen = {_digest(row) for row in self.x_train}  # of 16 bytes, for the data may be larger than memory
        return sum(_digest(row) in seen for row in self.x_test)

    @property
    def sizes(self) -> dict[str, int]:
        """The number of examples of each part."""
        return {part: len(getattr(self, f"x_{part}")) for part in PARTS}


def check_weighing(name: str, weights: npt.NDArray[np.generic], examples: int) -> None:
    """Raise `InputError` unless these are weights of so many examples, not all of them 0.

    Example:
        >>> check_weighing("weights", np.array([1.0, 0.5]), 2)
    """
    fits = weights.shape == (examples,) and weights.dtype.kind in "uif"
    if not fits or not np.isfinite(weights).all() or weights.min() < 0 or not weights.any():
        raise InputError(
            f"{name} must hold one non-negative number for each of the {examples} examples, not all of them 0, got "
            f"{weights.dtype} of shape {weights.shape}"
        )


def _digest(row: Any) -> bytes:
    """Return what tells an example from others; -0.0 and 0.0 are the same number."""
    found = blake2b(digest_size=16)
    for values in [row[name] for name in row.dtype.names] if row.dtype.names else [row]:
        content = np.ascontiguousarray(values + values.dtype.type(0) if values.dtype.kind == "f" else values).tobytes()
        found.update(len(content).to_bytes(8, "big") + content)  # texts of several inputs do not run together
    return found.digest()


@dataclass(frozen=True, eq=False)
class Predictions:
    """Class probabilities of every member: networks, dropout passes and enumerated masks are all members.

    Attributes:
        probs: Shape (members, examples, classes), rows summing to 1.
        weights: One non-negative weight for each member, summing to 1, or None for equal ones.
        method: How they were made, in words.
        further: Where the members are passes of one network: what more networks of its kind predict, each combined by
            itself, by rule; shape (networks, examples, classes). Scores are then means over all these networks.

    Raises:
        InputError: Another shape, or values that are not probabilities; the message says which and by how much.

    Example:
        >>> predictions = Predictions(np.full((3, 4, 2), 0.5))
        >>> predictions.members
        3
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     predictions.save(f"{folder}/three.npz")
        ...     Predictions.load(f"{folder}/three.npz").examples
        4
    """

    probs: FloatArray
    weights: FloatArray | None = None
    method: str = ""
    further: Mapping[str, FloatArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "probs", check_probabilities(self.probs))
        for rule, probs in self.further.items():
            if check_probabilities(probs).shape[1:] != self.probs.shape[1:]:
                raise InputError(
                    f"further[{rule!r}] must have the shape (networks, {self.examples}, {self.classes}), got "
                    f"{np.shape(probs)}"
                )
        if self.weights is not None:
            object.__setattr__(self, "weights", check_weights(self.weights, self.members))

    def __repr__(self) -> str:
        """Return how they were made and their shape; no array is printed."""
        made = f" of {self.method}" if self.method else ""
        return f"Predictions{made}: {self.members} members, {self.examples:,} examples, {self.classes} classes"

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
        arrays |= {f"further/{rule}": probs for rule, probs in self.further.items()}
        write_whole(Path(path), as_npz(arrays))

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Predictions:
        """Read what `save` wrote; a file with a pickle inside is refused, and one that does not fit in memory."""
        try:
            check_archive(Path(path))
            with np.load(path, allow_pickle=False) as file:
                further = {name[8:]: file[name] for name in file.files if name.startswith("further/")}
                return cls(file["probs"], file.get("weights"), str(file["method"]), further)
        except DAMAGED_ARCHIVE as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path} does not hold saved predictions: {error}") from error


@dataclass(frozen=True)
class Cost:
    """What an arm costs, put beside its quality; NaN is what was not measured or cannot be counted.

    A network and a dropout pass are members alike: what is stored or trained once counts once, and what is computed
    for each member counts as often as it is computed.

    Attributes:
        parameters: Numbers to store for prediction.
        trained: Trained examples times parameters, summed over epochs and networks: a measure of training work that
            does not depend on the machine.
        passes: Forward passes for one prediction.
        train_seconds: Measured seconds of training.
        predict_seconds: Measured seconds of predicting the whole test part, compilation aside.
        bytes: What the weights take that are stored for prediction, by their dtypes.
        multiply_adds: Multiply-accumulates (MACs), products of weights with inputs, for one prediction by all members;
            see `models.costs.multiply_adds`.
        trained_multiply_adds: Trained examples times the multiply-accumulates of one network, summed over epochs and
            networks: the forward passes of training; going backward takes about twice as many again, in every arm.
        peak_memory: Bytes of memory that the process held at its highest while it predicted the test part, libraries
            and data included; see `memory.peak_memory`.

    Example:
        >>> Cost(parameters=10, trained=1000, passes=1, train_seconds=2.0, predict_seconds=0.1).multiply_adds
        nan
    """

    parameters: float
    trained: float
    passes: float
    train_seconds: float
    predict_seconds: float
    bytes: float = float("nan")
    multiply_adds: float = float("nan")
    trained_multiply_adds: float = float("nan")
    peak_memory: float = float("nan")


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
    array = np.asarray(weights, dtype=float)
    if array.shape != (members,):
        raise InputError(f"weights must have one entry for each of the {members} members, got shape {array.shape}")
    if not np.isfinite(array).all() or array.min() < 0 or abs(array.sum() - 1) > 1e-6:
        raise InputError(f"weights must be non-negative and sum to 1, got {array.tolist()}")
    return array
