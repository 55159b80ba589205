"""Labelled examples in three parts, and how their features were made of what came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.checks import InputError, visible
from ensemble_vs_dropout.types.inputs import columns_of, dtypes_of, nested, shapes_of, told
from ensemble_vs_dropout.types.probabilities import FloatArray, IntArray

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
