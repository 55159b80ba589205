"""Features checked, converted to what networks take, and standardised on the training part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.checks import InputError, check_known
from ensemble_vs_dropout.types import Encoding, FloatArray
from ensemble_vs_dropout.types.inputs import as_bytes, by_place, columns_of, table, told

Parts = dict[str, npt.NDArray[np.generic]]
Standardise = Literal["auto"] | bool | Sequence[str]


def check_features(where: str, raw: Any) -> npt.NDArray[np.generic]:
    """Return `raw` as finite numbers, shape (examples, ...), or raise `InputError` that calls it `where`.

    A dict of arrays, one for each of several inputs, becomes one array with a field for each. Text, shape (examples,)
    or (examples, texts), becomes UTF-8.
    """
    if isinstance(raw, np.ndarray) and raw.dtype.names:
        raw = columns_of(raw)
    if isinstance(raw, Mapping):
        if not raw:
            raise InputError(f"{where} must hold an array for each input, got an empty dict")
        for name, one in raw.items():
            if isinstance(one, Mapping):
                raise InputError(f"{where} must be a dict of arrays, got a dict within it at {name!r}")
        by_place(dict.fromkeys(raw))  # checks the names
        columns = {name: check_features(f"{where}{told(name)}", one) for name, one in raw.items()}
        if len(columns) == 1:  # one input needs no name
            return next(iter(columns.values()))
        sizes = {place: len(column) for place, column in columns.items()}
        if len(set(sizes.values())) > 1:
            counts = ", ".join(f"{size} in {place!r}" for place, size in sizes.items())
            raise InputError(f"{where} must hold the same examples for each input, got {counts}")
        return table(columns)
    if isinstance(raw, (list, tuple)) and any(isinstance(one, str) for one in raw):
        raw = np.array(raw, dtype=object)  # an array of text would lose what a text ends in
    try:
        array = np.asarray(raw)
    except ValueError as error:
        raise InputError(f"{where} must be an array of numbers, got rows of different shape") from error
    if array.dtype.kind in "UST" or (array.dtype.kind == "O" and all(isinstance(one, str) for one in array.flat)):
        return _as_utf8(where, array)
    if array.dtype.kind == "O" and any(isinstance(one, str) for one in array.flat):
        raise InputError(f"{where} must hold text in every place, got something else too; fill in what is missing")
    if array.ndim < 2:
        raise InputError(
            f"{where} must have shape (examples, features) or more dimensions, got {array.shape}; a single "
            "feature is x[:, None]"
        )
    if array.dtype.kind not in "uifb":
        raise InputError(
            f"{where} must hold numbers or text, got dtype {array.dtype}; columns of both are encoded when they come "
            "from a csv or parquet file"
        )
    if 0 in array.shape:
        raise InputError(f"{where} must hold at least one example and one feature, got shape {array.shape}")
    if array.dtype.kind == "f":
        finite = np.isfinite(array)
        if not finite.all():
            raise InputError(
                f"{where} must be finite, got {np.count_nonzero(~finite)} values that are NaN or infinite; "
                "drop or impute them first"
            )
        if np.abs(array).max() > np.finfo(np.float32).max:
            raise InputError(f"{where} must fit float32, got {np.abs(array).max():.3g}; rescale it first")
    return array


def _as_utf8(where: str, array: npt.NDArray[Any]) -> npt.NDArray[np.bytes_]:
    if array.ndim < 1 or 0 in array.shape:
        raise InputError(f"{where} must hold at least one example and one text, got shape {array.shape}")
    try:
        if array.dtype.kind == "S":
            np.char.decode(array, "utf-8")
            return array
        flat = [str(one).encode() for one in array.ravel().tolist()]
        return as_bytes(where, flat).reshape(array.shape)
    except UnicodeError as error:
        raise InputError(f"{where} must hold text that UTF-8 can hold: {error}") from error


def is_text(x: npt.NDArray[np.generic]) -> bool:
    """Return whether features are texts, in UTF-8.

    Example:
        >>> is_text(check_features("x", ["a message", "another"]))
        True
    """
    return x.dtype.kind == "S"


def alike(parts: Mapping[str, npt.NDArray[np.generic]]) -> Parts:
    """Return parts whose texts have room for as many bytes, so that all are of one dtype.

    Example:
        >>> parts = alike({"train": np.array([b"abc"]), "test": np.array([b"a"])})
        >>> parts["test"].dtype.itemsize
        3
    """
    columns = {part: columns_of(x) for part, x in parts.items()}
    widest = {
        place: max(of_part[place].dtype.itemsize for of_part in columns.values())
        for place, column in columns["train"].items()
        if is_text(column)
    }
    if not widest:
        return dict(parts)
    wide = {
        part: {place: x.astype(f"S{widest[place]}") if place in widest else x for place, x in of_part.items()}
        for part, of_part in columns.items()
    }
    return {part: of_part[""] if "" in of_part else table(of_part) for part, of_part in wide.items()}


def ready_features(
    parts: Mapping[str, npt.NDArray[np.generic]], standardise: Standardise
) -> tuple[Parts, list[str], Encoding]:
    """Return the parts as uint8 or float32, notes on what was done, and what was fitted.

    Args:
        parts: Checked features by part, "train" among them, each of shape (examples, ...).
        standardise: "auto" standardises tables (two dimensions) unless they are uint8; True and False decide
            it.
    """
    train = parts["train"]
    named = isinstance(standardise, Sequence) and not isinstance(standardise, str) and train.dtype.names
    if not any(standardise is choice for choice in (True, False)) and standardise != "auto" and not named:
        raise InputError(f"standardise must be 'auto', True or False, or names of several inputs, got {standardise!r}")
    if train.dtype.names:
        return _ready_inputs(parts, standardise)
    if is_text(train):
        return dict(parts), [], Encoding()
    images = train.ndim > 2
    bytes_only = all(part.dtype == np.uint8 for part in parts.values())
    if standardise is True or (standardise == "auto" and not images and not bytes_only):
        return standardised(parts)
    if bytes_only:
        return dict(parts), [], Encoding()
    notes = []
    if images and train.dtype.kind == "i" and train.max() > 1:
        notes.append("whole-number images became float32 as they are; pixels 0..255 are best given as uint8")
    return {part: x.astype(np.float32, copy=False) for part, x in parts.items()}, notes, Encoding()


def _ready_inputs(
    parts: Mapping[str, npt.NDArray[np.generic]], standardise: Standardise
) -> tuple[Parts, list[str], Encoding]:
    """Do the same for each of several inputs."""
    columns = {part: columns_of(x) for part, x in parts.items()}
    named = [] if isinstance(standardise, (str, bool)) else list(standardise)
    for name in named:
        check_known("input of standardise", name, columns["train"])
    ready: dict[str, Parts] = {part: {} for part in parts}
    notes, encodings = [], {}
    for place in columns["train"]:
        made, more, encodings[place] = ready_features(
            {part: of_part[place] for part, of_part in columns.items()}, place in named if named else standardise
        )
        notes += [f"input {place!r}: {note}" for note in more]
        for part, x in made.items():
            ready[part][place] = x
    return {part: table(of_part) for part, of_part in ready.items()}, notes, Encoding(inputs=encodings)


def standardised(parts: Mapping[str, npt.NDArray[np.generic]]) -> tuple[Parts, list[str], Encoding]:
    """Return the parts as float32 with mean 0 and deviation 1 in train; what is constant there becomes 0.

    Notes on it come second, and means and deviations third.

    Example:
        >>> x = {"train": np.array([[1.0, 5.0], [3.0, 5.0]]), "test": np.array([[4.0, 6.0]])}
        >>> parts, _, _ = standardised(x)
        >>> parts["train"].tolist(), parts["test"].tolist()
        ([[-1.0, 0.0], [1.0, 0.0]], [[2.0, 0.0]])
    """
    train = parts["train"].astype(np.float64)
    mean = train.mean(axis=0)
    constant = train.max(axis=0) == train.min(axis=0)
    deviation = np.where(constant, 1.0, _deviation(train - mean))
    with np.errstate(over="ignore"):  # a test value far out becomes infinite, which `Dataset` reports
        ready: Parts = {
            part: np.where(constant, 0.0, (x - mean) / deviation).astype(np.float32) for part, x in parts.items()
        }
    notes = ["features were standardised: mean 0, standard deviation 1 in the training part"]
    if constant.any():
        notes.append(f"{np.count_nonzero(constant)} features are constant in the training part and became 0")
    return ready, notes, Encoding(mean=mean, deviation=np.where(constant, 0.0, deviation))


def _deviation(centred: npt.NDArray[np.float64]) -> FloatArray:
    # Dividing by the largest first keeps the squares of very small numbers from vanishing.
    largest = np.maximum(np.abs(centred).max(axis=0), np.finfo(np.float64).tiny)
    spread: FloatArray = largest * np.sqrt(np.mean((centred / largest) ** 2, axis=0))
    return spread
