"""One column of labels as given becomes a plain array of text, bools or whole numbers, or is refused."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.checks import InputError

# Above it neighbouring whole numbers are the same float64.
LARGEST_EXACT_FLOAT = 2.0**53


@dataclass(frozen=True)
class LabelColumn:
    """A plain column of labels.

    Attributes:
        values: Shape (examples,): Python strings, bools or int64.
        kind: "text", "bools" or "whole numbers".
        notes: What was done to get there.
        columns: 1, or the classes of one-hot rows.
    """

    values: npt.NDArray[np.generic]
    kind: str
    notes: tuple[str, ...] = ()
    columns: int = 1


def read_labels(where: str, raw: npt.ArrayLike) -> LabelColumn:
    """Return `raw` as a plain column, or raise `InputError` that calls it `where`.

    Example:
        >>> read_labels("y", [[0, 1], [1, 0]]).values.tolist()
        [1, 0]
    """
    array, notes, columns = _one_dimensional(where, _as_array(where, raw))
    if array.dtype.kind == "O":
        array = _without_objects(where, array)
    kind = array.dtype.kind
    if kind == "O":
        _check_none_missing(where, np.array([not text.strip() for text in array]))
        return LabelColumn(array, "text", notes, columns)
    if kind == "b":
        return LabelColumn(array, "bools", notes, columns)
    if kind in "ui":
        if array.max() > np.iinfo(np.int64).max:
            raise InputError(f"{where} must hold classes, got numbers as large as {array.max()}; number them")
        return LabelColumn(array.astype(np.int64), "whole numbers", notes, columns)
    if kind == "f":
        _check_none_missing(where, ~np.isfinite(array))
        return LabelColumn(
            _whole(where, array.astype(np.float64)),
            "whole numbers",
            (*notes, "labels were whole numbers held as floats"),
            columns,
        )
    raise InputError(f"{where} must hold text, whole numbers or bools as labels, got dtype {array.dtype}")


def read_class_numbers(where: str, raw: npt.ArrayLike, classes: int) -> npt.NDArray[np.int64]:
    """Return labels that are numbers of classes already, or their one-hot rows, as int64, or raise `InputError`.

    Example:
        >>> read_class_numbers("y", [[0.0], [2.0]], classes=3).tolist()
        [0, 2]
    """
    column = read_labels(where, raw)
    if column.kind == "text":
        raise InputError(
            f"the labels of {where} must be whole numbers 0..{classes - 1}, got text such as {column.values[0]!r}; "
            "load_dataset numbers the classes, or take sklearn.preprocessing.LabelEncoder"
        )
    values = column.values.astype(np.int64)
    if column.columns not in (1, classes):
        raise InputError(
            f"the labels of {where} must be whole numbers 0..{classes - 1} or one-hot rows of {classes}, as the model "
            f"has {classes} classes, got one-hot rows of {column.columns}"
        )
    if values.min() < 0 or values.max() >= classes:
        raise InputError(
            f"the labels of {where} must be whole numbers 0..{classes - 1}, as the model has {classes} classes, "
            f"got {[int(values.min()), int(values.max())]} as lowest and highest"
        )
    return values


def read_numbers(where: str, raw: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return targets that are numbers as float64, shape (examples,), or raise `InputError`.

    Example:
        >>> read_numbers("y", [[0.5], [2]]).tolist()
        [0.5, 2.0]
    """
    array = _as_array(where, raw)
    if array.dtype.kind == "O":
        array = _without_objects(where, array.ravel()).reshape(array.shape)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or not len(array):
        raise InputError(f"the targets of {where} must be one number for each example, got shape {array.shape}")
    if array.dtype.kind not in "uif":
        raise InputError(
            f"the targets of {where} must be numbers, as the networks predict one, got {array[0]!r}; a classifier ends "
            "with one unit for each class and has a cross-entropy as its loss"
        )
    _check_none_missing(where, np.isnan(array))
    numbers = array.astype(np.float64)
    if np.isinf(numbers).any():
        raise InputError(f"the targets of {where} must be finite numbers, got infinity; leave those examples out")
    if np.abs(numbers).max() > np.finfo(np.float32).max:
        raise InputError(f"the targets of {where} must fit in float32, got {np.abs(numbers).max():.3g}; scale them")
    return numbers


def _as_array(where: str, raw: npt.ArrayLike) -> npt.NDArray[np.generic]:
    if np.ma.isMaskedArray(raw):
        _check_none_missing(where, np.ma.getmaskarray(raw).ravel())
    try:
        array = np.asarray(raw.toarray() if hasattr(raw, "toarray") else raw)  # one-hot rows of SciPy
        if array.dtype.kind in "UST":
            # From `raw`, not `array`: NumPy turns the NaN of ["a", nan] into the text "nan".
            array = np.asarray(raw, dtype=object)
    except ValueError as error:
        raise InputError(f"{where} must be one label for each example, got rows of different length") from error
    if array.ndim == 2 and array.shape[1] > 1 and array.dtype.kind == "O":
        array = _without_objects(where, array.ravel()).reshape(array.shape)
    return array


def _one_dimensional(
    where: str, array: npt.NDArray[np.generic]
) -> tuple[npt.NDArray[np.generic], tuple[str, ...], int]:
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    notes: tuple[str, ...] = ()
    columns = 1
    if array.ndim == 2 and len(array) and array.dtype.kind in "uifb":
        columns = array.shape[1]
        ones = np.isin(array, (0, 1)).all()
        if columns < 2 or not (ones and (array.sum(axis=1) == 1).all()):
            raise InputError(
                f"{where} must have one label for each example or one-hot rows (one 1, else 0), got shape "
                f"{array.shape} {_other_rows(array, bool(ones))}"
            )
        array, notes = array.argmax(axis=1), ("one-hot labels became the number of their column",)
    if array.ndim != 1:
        raise InputError(f"{where} must have shape (examples,), got {array.shape}; give one label for each example")
    if len(array) == 0:
        raise InputError(f"{where} must hold at least one label, got none")
    return array, notes, columns


def _other_rows(array: npt.NDArray[np.generic], ones: bool) -> str:
    """Return what rows that are not one-hot look like, and what to do."""
    sums = array.sum(axis=1, dtype=np.float64)
    if ones and (sums > 1).any():
        return "with several ones in a row: multi-label data, which this toolkit does not take; choose one label each"
    if ones:
        return "with rows without a one; give every example a label"
    if array.dtype.kind == "f" and np.min(array) >= 0 and np.allclose(sums, 1, atol=1e-2):
        return "with soft labels, probabilities that sum to 1, in its rows; of probabilities take the argmax first"
    return "with other rows; of probabilities take the argmax first"


def _without_objects(where: str, array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    import pandas as pd

    _check_none_missing(where, np.asarray(pd.isna(array)))
    values = [_decoded(where, value) for value in array]
    if all(isinstance(value, str) for value in values):
        return np.array(values, dtype=object)  # one long text would widen a NumPy text array for all
    if all(isinstance(value, bool | np.bool_) for value in values):
        return np.array(values, dtype=bool)
    if all(isinstance(value, Real) and not isinstance(value, bool | np.bool_) for value in values):
        numbers = np.array(values)
        if numbers.dtype.kind in "uif":
            return numbers
    kinds = sorted({type(value).__name__ for value in values})
    raise InputError(
        f"{where} must hold labels of one kind (text, whole numbers or bools), got "
        f"{' and '.join(kinds[:4])}; convert them, to text for example"
    )


def _decoded(where: str, value: object) -> object:
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{where} must hold utf-8 text, got the bytes {value!r}; decode them first") from error


def _check_none_missing(where: str, missing: npt.NDArray[np.bool_]) -> None:
    if missing.any():
        raise InputError(
            f"{where} must have a label for every example, got {np.count_nonzero(missing)} missing of "
            f"{len(missing)} (NaN, None or empty); drop those examples or label them"
        )


def _whole(where: str, array: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
    if (array != np.floor(array)).any() or np.abs(array).max() >= LARGEST_EXACT_FLOAT:
        example = array[(array != np.floor(array)) | (np.abs(array) >= LARGEST_EXACT_FLOAT)][0]
        raise InputError(
            f"{where} must hold classes, got continuous values such as {float(example):g}; this toolkit "
            "compares classifiers: bin the values, or take another column as the label"
        )
    return array.astype(np.int64)
