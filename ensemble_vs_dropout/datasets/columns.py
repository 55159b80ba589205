"""Columns of a table become features: standardised numbers and one-hot categories, fitted on train alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.datasets.features import Parts, standardised

if TYPE_CHECKING:
    import pandas as pd

MOST_CATEGORIES = 100
CATEGORIES_ALWAYS_FINE = 10


@dataclass(frozen=True)
class Columns:
    """The feature columns of a table by kind, in the order of the file."""

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]


def check_columns(path: Path, frame: pd.DataFrame) -> Columns:
    """Sort the columns by kind, or raise `InputError` naming the columns that cannot be features."""
    from pandas.api import types

    _check_complete(path, frame)
    numeric, categorical = [], []
    for name, column in frame.items():
        if types.is_bool_dtype(column.dtype) or _is_text(column):
            _check_categories(path, str(name), column)
            categorical.append(str(name))
        elif types.is_numeric_dtype(column.dtype) and not types.is_complex_dtype(column.dtype):
            numeric.append(str(name))
        else:
            raise InputError(
                f"column {name!r} of {path} must hold numbers, text or bools, got {_what(column)}; drop it "
                "or turn it into numbers (a date, say, into days)"
            )
    _check_finite(path, frame[numeric])
    return Columns(tuple(numeric), tuple(categorical))


def encode_columns(
    frame: pd.DataFrame, columns: Columns, rows: dict[str, npt.NDArray[np.integer]]
) -> tuple[Parts, list[str]]:
    """Return the parts as float32 features, shape (examples, features), numbers first; and notes.

    Args:
        frame: The feature columns of all examples.
        columns: Their kinds.
        rows: Row numbers by part; scaling and categories are learnt from those of "train".
    """
    blocks: list[Parts] = []
    notes: list[str] = []
    if columns.numeric:
        notes += _row_counter_notes(frame[list(columns.numeric)])
        numbers = frame[list(columns.numeric)].to_numpy(dtype=np.float64)
        scaled, more = standardised({part: numbers[index] for part, index in rows.items()})
        blocks.append(scaled)
        notes += more
    if columns.categorical:
        text = frame[list(columns.categorical)].astype(str).to_numpy(dtype=object)
        encoded, more = _one_hot({part: text[index] for part, index in rows.items()}, columns.categorical)
        blocks.append(encoded)
        notes += more
    return {part: np.concatenate([block[part] for block in blocks], axis=1) for part in rows}, notes


def _row_counter_notes(numbers: pd.DataFrame) -> list[str]:
    """A column that counts the rows of a sorted file would give the label away."""
    return [
        f"column {name!r} goes up by one from row to row: drop it if it only counts the rows"
        for name, column in numbers.items()
        if len(column) > 1 and (np.diff(column.to_numpy(dtype=np.float64)) == 1.0).all()
    ]


def _one_hot(parts: dict[str, npt.NDArray[np.object_]], names: tuple[str, ...]) -> tuple[Parts, list[str]]:
    from sklearn.preprocessing import OneHotEncoder

    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False, dtype=np.float32)
    encoder.fit(parts["train"])
    width = sum(len(categories) for categories in encoder.categories_)
    notes = [f"{len(names)} columns of categories became {width} one-hot features: {', '.join(names)}"]
    for part in ("val", "test"):
        for position, name in enumerate(names):
            unseen = ~np.isin(parts[part][:, position], encoder.categories_[position])
            if unseen.any():
                notes.append(
                    f"{np.count_nonzero(unseen)} values of column {name!r} in {part} are categories that "
                    "training never saw; they are all zeros"
                )
    return {part: encoder.transform(values) for part, values in parts.items()}, notes


def _is_text(column: pd.Series) -> bool:
    from pandas.api import types

    if types.is_object_dtype(column.dtype):
        return types.infer_dtype(column, skipna=True) in ("string", "boolean")
    if str(column.dtype) == "category":
        return types.infer_dtype(column.cat.categories, skipna=True) in ("string", "boolean", "integer")
    return types.is_string_dtype(column.dtype)


def _what(column: pd.Series) -> str:
    from pandas.api import types

    return f"{column.dtype} ({types.infer_dtype(column, skipna=True)})"


def _check_complete(path: Path, frame: pd.DataFrame) -> None:
    missing = frame.isna().sum()
    if missing.any():
        raise InputError(
            f"{path} must have a value in every field, got missing ones in {_counts(missing[missing > 0])}; "
            "drop those rows or columns, or fill them in (empty, NA, None, null and nan count as missing)"
        )


def _check_finite(path: Path, numbers: pd.DataFrame) -> None:
    infinite = numbers.astype(np.float64).abs().gt(float(np.finfo(np.float32).max)).sum()
    if infinite.any():
        raise InputError(
            f"{path} must hold numbers that are finite and fit float32, got others in "
            f"{_counts(infinite[infinite > 0])}; drop or mend those rows"
        )


def _counts(counts: pd.Series) -> str:
    return ", ".join(f"column {name!r} ({count})" for name, count in counts.items())


def _check_categories(path: Path, name: str, column: pd.Series) -> None:
    import pandas as pd

    text = column.astype(str)
    categories = text.nunique()
    nearly_unique = categories > CATEGORIES_ALWAYS_FINE and categories > len(text) / 2
    if categories <= MOST_CATEGORIES and not nearly_unique:
        return
    numbers = pd.to_numeric(text, errors="coerce").notna()
    hint = ""
    if 0.5 < numbers.mean() < 1.0:
        hint = f" (most are numbers, but {text[~numbers].iloc[0]!r} is not)"
    raise InputError(
        f"column {name!r} of {path} must be a category or a number, got {categories} different texts in "
        f"{len(text)} rows, like an identifier{hint}; drop it, or group its values into at most "
        f"{MOST_CATEGORIES}"
    )
