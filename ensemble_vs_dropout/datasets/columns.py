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

MISSING = ("refuse", "drop", "median", "most_frequent")  # what is done about values that are missing
MOST_CATEGORIES = 100
CATEGORIES_ALWAYS_FINE = 10
# Numbers of which some have commas between thousands; 0,125 is none of them, for that comma is another country's point.
_THOUSANDS = r"-?(?:[1-9]\d{0,2}(?:,\d{3})+|\d+)(?:\.\d+)?"
_DATE = r"\d{4}-\d{2}-\d{2}(?:[ T]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)?"


@dataclass(frozen=True)
class Columns:
    """The feature columns of a table by kind, in the order of the file."""

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]


def read_columns(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return a table in which dates, and numbers with commas between thousands, are numbers; and notes of these.

    Dates are days since 1970-01-01, in text where all are written as ISO 8601 has them.
    """
    read, notes = {}, []
    for name, column in frame.items():
        known = column.dropna()
        numbers, what = _as_numbers(known) if len(known) else (None, "")
        if numbers is not None:
            read[name] = numbers.reindex(column.index)
            notes.append(f"column {name!r} holds {what}")
    return frame.assign(**read) if read else frame, notes


def _as_numbers(known: pd.Series) -> tuple[pd.Series | None, str]:
    """Return dates or numbers with commas as numbers, and what they are in words; None where they are neither."""
    import pandas as pd
    from pandas.api import types

    dates = known if types.is_datetime64_any_dtype(known.dtype) else None
    if dates is None and _is_text(known) and not isinstance(known.dtype, pd.CategoricalDtype):
        text = known.astype(str).str.strip()
        if text.str.fullmatch(_THOUSANDS).all() and text.str.contains(",").any():
            return text.str.replace(",", "").astype(np.float64), "numbers with commas between thousands"
        if text.str.fullmatch(_DATE).all():
            parsed = pd.to_datetime(text, format="ISO8601", errors="coerce")
            dates = parsed if parsed.notna().all() else None
    if dates is None:
        return None, ""
    if getattr(dates.dt, "tz", None) is not None:
        dates = dates.dt.tz_convert("UTC").dt.tz_localize(None)
    days = (dates - pd.Timestamp("1970-01-01")) / pd.Timedelta(days=1)
    return days, f"dates from {dates.min():%Y-%m-%d} to {dates.max():%Y-%m-%d}, read as days"


def check_columns(path: Path, frame: pd.DataFrame, missing: str = "refuse") -> Columns:
    """Sort the columns by kind, or raise `InputError` with all that is wrong with any of them.

    Args:
        path: Of the file, for the message.
        frame: Its feature columns.
        missing: One of `MISSING`, what is done about values that are missing.
    """
    from pandas.api import types

    numeric, categorical = [], []
    troubles = [_missing(path, frame) if missing in ("refuse", "drop") else _empty(path, frame)]
    for name, column in frame.items():
        if types.is_bool_dtype(column.dtype) or _is_text(column):
            troubles.append(_no_category(path, str(name), column.dropna()))
            categorical.append(str(name))
        elif types.is_numeric_dtype(column.dtype) and not types.is_complex_dtype(column.dtype):
            numeric.append(str(name))
        else:
            troubles.append(
                f"column {name!r} of {path} must hold numbers, text or bools, got {_what(column)}; drop it "
                "or turn it into numbers (a duration, say, into days)"
            )
    troubles.append(_infinite(path, frame[numeric]))
    if found := [trouble for trouble in troubles if trouble]:
        raise InputError(". Also, ".join(found))
    return Columns(tuple(numeric), tuple(categorical))


def encode_columns(
    frame: pd.DataFrame, columns: Columns, rows: dict[str, npt.NDArray[np.integer]], missing: str = "refuse"
) -> tuple[Parts, list[str]]:
    """Return the parts as float32 features, shape (examples, features), numbers first; and notes.

    Args:
        frame: The feature columns of all examples.
        columns: Their kinds.
        rows: Row numbers by part; scaling, categories and what is filled in are learnt from those of "train".
        missing: One of `MISSING`.
    """
    blocks: list[Parts] = []
    frame, notes = _filled(frame, columns, rows["train"], missing)
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


def _filled(
    frame: pd.DataFrame, columns: Columns, train: npt.NDArray[np.integer], missing: str
) -> tuple[pd.DataFrame, list[str]]:
    """Return a table without missing values, and notes of what stands for them."""
    counts = frame.isna().sum()
    holed = counts[counts > 0].index
    frame = frame.assign(  # whole numbers have no median that is not whole
        **{name: frame[name].to_numpy(np.float64, na_value=np.nan) for name in holed if name in columns.numeric}
    )
    values, notes = {}, []
    for name in holed:
        seen = frame[name].iloc[train].dropna()
        if seen.empty:
            raise InputError(f"column {name!r} has no value in the training part to fill in others by; drop it")
        by_median = missing == "median" and name in columns.numeric
        values[name] = seen.median() if by_median else seen.mode().iloc[0]
        what = "median" if by_median else "most frequent value"
        notes.append(f"{counts[name]} missing values of column {name!r} became the {what} in training, {values[name]}")
    return (frame.fillna(values) if values else frame), notes


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


def _missing(path: Path, frame: pd.DataFrame) -> str:
    missing = frame.isna().sum()
    if not missing.any():
        return ""
    return (
        f"{path} must have a value in every field, got missing ones in {_counts(missing[missing > 0])}; "
        "drop those rows or columns, or fill them in: missing (--missing) can be 'drop', 'median' or 'most_frequent' "
        "(empty, NA, None, null and nan count as missing)"
    )


def _empty(path: Path, frame: pd.DataFrame) -> str:
    names = [name for name, column in frame.items() if column.isna().all()]
    return (
        f"{path} must have a value in every column, got none in {', '.join(map(repr, names))}; drop it" if names else ""
    )


def _infinite(path: Path, numbers: pd.DataFrame) -> str:
    infinite = numbers.astype(np.float64).abs().gt(float(np.finfo(np.float32).max)).sum()
    if not infinite.any():
        return ""
    return (
        f"{path} must hold numbers that are finite and fit float32, got others in "
        f"{_counts(infinite[infinite > 0])}; drop or mend those rows"
    )


def _counts(counts: pd.Series) -> str:
    return ", ".join(f"column {name!r} ({count})" for name, count in counts.items())


def _no_category(path: Path, name: str, column: pd.Series) -> str:
    import pandas as pd

    text = column.astype(str)
    categories = text.nunique()
    nearly_unique = categories > CATEGORIES_ALWAYS_FINE and categories > len(text) / 2
    if categories <= MOST_CATEGORIES and not nearly_unique:
        return ""
    numbers = pd.to_numeric(text, errors="coerce").notna()
    hint = ""
    if 0.5 < numbers.mean() < 1.0:
        hint = f" (most are numbers, but {text[~numbers].iloc[0]!r} is not)"
    return (
        f"column {name!r} of {path} must be a category or a number, got {categories} different texts in "
        f"{len(text)} rows, like an identifier{hint}; drop it, or group its values into at most "
        f"{MOST_CATEGORIES}"
    )
