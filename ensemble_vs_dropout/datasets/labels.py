"""Labels of any usual kind become whole numbers 0..K-1 with the names of the classes beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.datasets.label_columns import LabelColumn, read_labels
from ensemble_vs_dropout.types import IntArray

MOST_CLASSES = 1000
CLASSES_ALWAYS_FINE = 20
LEAST_EXAMPLES_PER_CLASS = 3
SHOWN_IN_NOTE = 6


@dataclass(frozen=True)
class EncodedLabels:
    """What `encode_labels` returns.

    Attributes:
        parts: Labels 0..K-1 by the name of the part, int64, each of shape (examples,).
        classes: The names of the K classes, in the order of the labels.
        notes: What was done to the labels, one sentence each.
    """

    parts: dict[str, IntArray]
    classes: tuple[str, ...]
    notes: tuple[str, ...]


def encode_labels(raw: Mapping[str, npt.ArrayLike], class_names: Sequence[str] | None = None) -> EncodedLabels:
    """Encode the labels of every part alike.

    Args:
        raw: Labels by the name that messages shall call them; the first part is the one to train on. Strings,
            bools, whole numbers, whole-number floats, a column (examples, 1), or one-hot rows (examples,
            classes).
        class_names: The names in the order of the labels; None takes the labels themselves, sorted.

    Raises:
        InputError: Missing or continuous labels, more distinct ones than classes, a label outside the first
            part that the first part lacks, or names that do not fit.

    Example:
        >>> encoded = encode_labels({"y_train": ["no", "yes", "no"], "y_test": ["yes"]})
        >>> encoded.classes, encoded.parts["y_test"].tolist()
        (('no', 'yes'), [1])
    """
    columns = {where: read_labels(where, labels) for where, labels in raw.items()}
    train = next(iter(columns))
    for where, column in columns.items():
        if column.kind != columns[train].kind:
            raise InputError(
                f"{where} must hold labels of the kind of {train}, {columns[train].kind}, got {column.kind}; "
                "write both the same way"
            )
    distinct = np.unique(np.concatenate([column.values for column in columns.values()]))
    _check_enough_examples_each(train, columns[train])
    _check_seen(columns, train)
    codes, classes = _name_classes(distinct, columns[train].kind, class_names, train)
    parts = {where: codes[np.searchsorted(distinct, column.values)] for where, column in columns.items()}
    notes = list(dict.fromkeys(note for column in columns.values() for note in column.notes))
    if not np.array_equal(codes, distinct) or columns[train].kind == "bools":
        notes.append(_mapping_note(distinct, codes, len(classes)))
    return EncodedLabels(parts, classes, tuple(notes))


def _check_enough_examples_each(where: str, column: LabelColumn) -> None:
    examples, classes = len(column.values), len(np.unique(column.values))
    crowded = classes > CLASSES_ALWAYS_FINE and classes * LEAST_EXAMPLES_PER_CLASS > examples
    if classes > MOST_CLASSES or crowded:
        raise InputError(
            f"{where} must hold classes, got {classes} distinct labels in {examples} examples, which looks "
            "like a quantity or an identifier; this toolkit compares classifiers: bin the labels or take "
            "another column"
        )


def _check_seen(columns: Mapping[str, LabelColumn], train: str) -> None:
    for where, column in columns.items():
        unseen = np.setdiff1d(column.values, columns[train].values)
        if len(unseen):
            raise InputError(
                f"{where} holds the label {str(unseen[0])!r} ({np.count_nonzero(column.values == unseen[0])} "
                f"times), which {train} does not; add training examples of it or drop it"
            )


def _name_classes(
    distinct: npt.NDArray[np.generic], kind: str, class_names: Sequence[str] | None, where: str
) -> tuple[IntArray, tuple[str, ...]]:
    """Return the code of each distinct label, and the names of all classes."""
    if class_names is None:
        return np.arange(len(distinct)), tuple(str(label) for label in distinct)
    names = tuple(str(name) for name in class_names)
    if len(set(names)) != len(names):
        raise InputError(f"class_names must differ from each other, got {list(names)}; rename the doubles")
    if kind == "text" and set(distinct.tolist()) <= set(names):
        return np.array([names.index(label) for label in distinct.tolist()]), names
    if kind == "whole numbers" and distinct[0] >= 0 and distinct[-1] < len(names):
        return distinct.astype(np.int64), names
    if kind != "text" and len(distinct) == len(names):
        return np.arange(len(distinct)), names
    shown = [str(label) for label in distinct[:SHOWN_IN_NOTE]]
    raise InputError(
        f"class_names must name the classes of {where}, got {len(names)} names for the {len(distinct)} "
        f"labels {shown}{' and more' if len(distinct) > SHOWN_IN_NOTE else ''}; give one name for each, in "
        "the order of the labels"
    )


def _mapping_note(distinct: npt.NDArray[np.generic], codes: IntArray, classes: int) -> str:
    pairs = [f"{str(label)!r} is {code}" for label, code in zip(distinct, codes, strict=True)]
    more = ", ..." if len(pairs) > SHOWN_IN_NOTE else ""
    return f"labels were encoded as 0..{classes - 1}: {', '.join(pairs[:SHOWN_IN_NOTE])}{more}"
