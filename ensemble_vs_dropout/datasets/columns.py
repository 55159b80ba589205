"""Columns of a table become features: standardised numbers and one-hot categories, fitted on train alone."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.checks import InputError, counted
from ensemble_vs_dropout.datasets.features import Parts, standardised
from ensemble_vs_dropout.datasets.kinds import (
    CATEGORIES_ALWAYS_FINE,
    KINDS,
    as_numbers,
    cut,
    is_text,
    looks_like,
    with_columns,
)
from ensemble_vs_dropout.types import Column, Encoding

if TYPE_CHECKING:
    import pandas as pd

MISSING = ("refuse", "drop", "median", "most_frequent")  # what is done about values that are missing
MOST_CATEGORIES = 100


@dataclass(frozen=True)
class Columns:
    """The feature columns of a table by kind, in the order of the file."""

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]


def check_columns(
    path: Path, frame: pd.DataFrame, missing: str = "refuse", drop: Sequence[str] = (), labels: pd.Series | None = None
) -> Columns:
    """Sort the columns by kind, or raise `InputError` with all that is wrong with any of them.

    Args:
        path: Of the file, for the message.
        frame: Its feature columns.
        missing: One of `MISSING`, what is done about values that are missing.
        drop: Columns that are left out already, for the message.
        labels: What the rows are labelled with; a row without a label is told with the rest.
    """
    from pandas.api import types

    numeric, categorical = [], []
    troubles = [_missing(path, frame) if missing in ("refuse", "drop") else _empty(path, frame)]
    bad = {str(name) for name, column in frame.items() if column.isna().all()}
    for name, column in frame.items():
        if types.is_bool_dtype(column.dtype) or is_text(column):
            troubles.append(_no_category(path, str(name), column.dropna()))
            categorical.append(str(name))
            bad |= {str(name)} if troubles[-1] else set()
        elif types.is_numeric_dtype(column.dtype) and not types.is_complex_dtype(column.dtype):
            numeric.append(str(name))
        else:
            bad.add(str(name))
            troubles.append(
                f"column {name!r} of {path} must hold numbers, text or bools, got {_what(column)}; drop it "
                "or turn it into numbers (a duration, say, into days)"
            )
    infinite = _infinite(frame[numeric])
    troubles.append(
        f"{path} must hold numbers that are finite and fit float32, got others in {_counts(infinite)}, the first in "
        f"{_rows(_beyond(frame[infinite.index]).any(axis=1)).replace('rows', 'row').partition(',')[0]}; mend or leave "
        "out those rows"
        if len(infinite)
        else ""
    )
    unlabelled = labels is not None and labels.isna().any()
    if labels is not None and unlabelled:
        troubles.append(
            f"{path} must have a label in every row, got none in {_rows(labels.isna())} of column {labels.name!r}; "
            "label those rows, or let --missing leave them out"
        )
    if found := [trouble for trouble in troubles if trouble]:
        bad |= {str(name) for name in infinite.index}
        holed = missing == "refuse" and frame.drop(columns=list(bad)).isna().any(axis=None)
        needed = "median" if missing == "refuse" and (holed or unlabelled) else missing
        raise InputError(". Also, ".join(found) + _remedy(frame, bad, needed, drop))
    return Columns(tuple(numeric), tuple(categorical))


def _remedy(frame: pd.DataFrame, bad: set[str], missing: str, drop: Sequence[str]) -> str:
    """Return the options of the command with which it takes what is left of the table."""
    dropped = [*drop, *(str(name) for name in frame if str(name) in bad)]
    if frame.shape[1] == len(bad) or any("," in name for name in dropped):
        return ""
    options = [f"--drop {shlex.quote(','.join(dropped))}"] if dropped else []
    options += [f"--missing {missing}"] if missing != "refuse" else []
    return f". The rest is taken with {' '.join(options)}" if options else ""


def _rows(wanted: pd.Series) -> str:
    """Return which rows these are, from 1 for the first below the names; the first few where there are many."""
    places = wanted.index[wanted.to_numpy()] + 1
    shown = ", ".join(map(str, places[:3])) + (", ..." if len(places) > 3 else "")
    return f"row{'s' * (len(places) > 1)} {shown}"


def encode_columns(
    frame: pd.DataFrame,
    columns: Columns,
    rows: dict[str, npt.NDArray[np.integer]],
    missing: str = "refuse",
    kinds: Mapping[str, str] | None = None,
) -> tuple[Parts, list[str], Encoding]:
    """Return the parts as float32 features, shape (examples, features), numbers first; notes; and what was learnt.

    Args:
        frame: The feature columns of all examples.
        columns: Their kinds.
        rows: Row numbers by part; scaling, categories and what is filled in are learnt from those of "train".
        missing: One of `MISSING`.
        kinds: "date" or "thousands", of columns that `read_columns` has read so.
    """
    from pandas.api import types

    blocks: list[Parts] = []
    frame, notes, fills = _filled(frame, columns, rows["train"], missing)
    learnt: list[Column] = []
    scaling = Encoding()
    if columns.numeric:
        notes += _row_counter_notes(frame[list(columns.numeric)])
        numbers = frame[list(columns.numeric)].to_numpy(dtype=np.float64)
        scaled, more, scaling = standardised({part: numbers[index] for part, index in rows.items()})
        blocks.append(scaled)
        notes += more
        learnt += [Column(name, (kinds or {}).get(name, "number"), (), fills.get(name)) for name in columns.numeric]
    if columns.categorical:
        text = frame[list(columns.categorical)].astype(str).to_numpy(dtype=object)
        encoded, more, categories = _one_hot({part: text[index] for part, index in rows.items()}, columns.categorical)
        blocks.append(encoded)
        notes += more
        for name, of_column in zip(columns.categorical, categories, strict=True):
            kind = "bool" if types.infer_dtype(frame[name], skipna=True) == "boolean" else "text"
            learnt.append(Column(name, kind, tuple(of_column), fills.get(name)))
    features = {part: np.concatenate([block[part] for block in blocks], axis=1) for part in rows}
    return features, notes, Encoding(tuple(learnt), scaling.mean, scaling.deviation)


def _filled(
    frame: pd.DataFrame, columns: Columns, train: npt.NDArray[np.integer], missing: str
) -> tuple[pd.DataFrame, list[str], dict[str, float | str]]:
    """Return a table without missing values, notes of what stands for them, and what would stand for others."""
    counts = frame.isna().sum()
    holed = counts[counts > 0].index
    numbers = (name for name in holed if name in columns.numeric)  # whole ones have no median that is not whole
    frame = with_columns(frame, {name: frame[name].to_numpy(np.float64, na_value=np.nan) for name in numbers})
    values, notes = {}, []
    for name in frame.columns if missing in ("median", "most_frequent") else holed:
        seen = frame[name].iloc[train].dropna()
        if seen.empty:
            raise InputError(f"column {name!r} has no value in the training part to fill in others by; drop it")
        by_median = missing == "median" and name in columns.numeric
        values[name] = seen.median() if by_median else seen.mode().iloc[0]
        what = "median" if by_median else "most frequent value"
        if counts[name]:
            notes.append(
                f"{counted(int(counts[name]), 'missing value')} of column {name!r} became the {what} in training, "
                f"{values[name]}"
            )
    fills = {name: float(value) if name in columns.numeric else str(value) for name, value in values.items()}
    filling = {name: values[name] for name in holed}
    return (frame.fillna(filling) if filling else frame), notes, fills


def _row_counter_notes(numbers: pd.DataFrame) -> list[str]:
    """A column that counts the rows of a sorted file would give the label away."""
    return [
        f"column {name!r} goes up by one from row to row: drop it if it only counts the rows"
        for name, column in numbers.items()
        if len(column) > 1 and (np.diff(column.to_numpy(dtype=np.float64)) == 1.0).all()
    ]


def _one_hot(
    parts: dict[str, npt.NDArray[np.object_]], names: tuple[str, ...]
) -> tuple[Parts, list[str], list[list[str]]]:
    """Return one-hot features, notes, and the categories of each column, as training has them."""
    from sklearn.preprocessing import OneHotEncoder

    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False, dtype=np.float32)
    encoder.fit(parts["train"])
    width = sum(len(categories) for categories in encoder.categories_)
    notes = [f"{counted(len(names), 'column')} of categories became {width} one-hot features: {', '.join(names)}"]
    notes += [
        f"column {name!r} has one value in training, {of_column[0]!r}, and says nothing"
        for name, of_column in zip(names, encoder.categories_, strict=True)
        if len(of_column) == 1
    ]
    for part in ("val", "test"):
        for position, name in enumerate(names):
            unseen = ~np.isin(parts[part][:, position], encoder.categories_[position])
            if unseen.any():
                notes.append(
                    f"{counted(int(unseen.sum()), 'value')} of column {name!r} in {part} "
                    f"{'is a category' if unseen.sum() == 1 else 'are categories'} that training never saw, all zeros"
                )
    categories = [[str(one) for one in of_column] for of_column in encoder.categories_]
    return {part: encoder.transform(values) for part, values in parts.items()}, notes, categories


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


def _infinite(numbers: pd.DataFrame) -> pd.Series:
    """Return by column how many numbers are infinite or do not fit float32, of the columns that have such."""
    infinite = _beyond(numbers).sum()
    return infinite[infinite > 0]


def _beyond(numbers: pd.DataFrame) -> pd.DataFrame:
    return numbers.astype(np.float64).abs().gt(float(np.finfo(np.float32).max))


def _counts(counts: pd.Series) -> str:
    return ", ".join(f"column {name!r} ({count})" for name, count in counts.items())


def _no_category(path: Path, name: str, column: pd.Series) -> str:
    text = column.astype(str)
    categories = text.nunique()
    nearly_unique = categories > CATEGORIES_ALWAYS_FINE and categories > len(text) / 2
    if categories <= MOST_CATEGORIES and not nearly_unique:
        return ""
    for kind, words in KINDS.items():
        read = as_numbers(kind, text).notna()
        if 0.5 < read.mean() < 1.0:
            wrong = text[~read]
            others, them = (f" and {len(wrong) - 1} more", "them") if len(wrong) > 1 else ("", "it")
            return (
                f"column {name!r} of {path} must hold {words}, as most of it does, got {cut(wrong.iloc[0])} in row "
                f"{wrong.index[0] + 1}{others}; mend {them}, or drop the column"
            )
    got = f"got {categories} different texts in {len(text)} rows, such as {cut(text.iloc[0])}"
    if like := looks_like(text):
        what, remedy = like
        return (
            f"column {name!r} of {path} must be a category or a number, {got}, which look like {what}; {remedy}, or "
            "drop the column"
        )
    return (
        f"column {name!r} of {path} must be a category or a number, {got}, like an identifier; drop it, or group its "
        f"values into at most {MOST_CATEGORIES}"
    )
