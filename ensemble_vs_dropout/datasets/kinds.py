"""What the texts of a column are: numbers, dates, or nearly so.

Dates and numbers with commas between thousands are read as numbers. What was hardly meant as categories, such as
numbers but for one word, is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

CATEGORIES_ALWAYS_FINE = 10  # different texts, however few the rows are
# Numbers of which some have commas between thousands; 0,125 is none of them, for that comma is another country's point.
_THOUSANDS = r"-?(?:[1-9]\d{0,2}(?:,\d{3})+|\d+)(?:\.\d+)?"
_SHOWN = 60  # characters of a text in a message
KINDS = {"number": "numbers", "thousands": "numbers", "date": "dates"}  # of `Column`, in words
_WORDS = {"thousands": "numbers with commas between thousands", "date": "dates from {} to {}, read as days"}
_LIKE = {  # what a column seems to hold that is no number and no date as they are read here, and how it would be read
    "dates": (r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}(?:[ T].*)?", "write them as 2026-01-31"),
    "numbers with a unit or a decimal comma": (
        r"(?:[^\w\s.,+-]\s?|[A-Z]{3}\s?)?[+-]?\d[\d.,' ]*(?:\s?[^\w\s]|\s[A-Za-z]{1,4})?",
        "write them as plain numbers",
    ),
}
_DATE = r"\d{4}-\d{2}-\d{2}(?:[ T]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)?"


def read_columns(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str], dict[str, str]]:
    """Return a table in which dates, and numbers with commas between thousands, are numbers.

    Dates are days since 1970-01-01, in text where all are written as ISO 8601 has them. Notes of these come second,
    and third the kind of each, "date" or "thousands", by the names of their columns.
    """
    from pandas.api import types

    read, notes, kinds = {}, [], {}
    for name, column in frame.items():
        known = column.dropna()
        plain = not len(known) or not (types.is_datetime64_any_dtype(known.dtype) or _may_hold_numbers(known))
        kind = None if plain else next((k for k in ("thousands", "date") if _all_are(k, known)), None)
        if kind:
            numbers = as_numbers(kind, known)
            read[name], kinds[str(name)] = numbers.reindex(column.index), kind
            ends = (numbers.min(), numbers.max()) if kind == "date" else ()
            span = (f"{np.datetime64(int(np.floor(day)), 'D')}" for day in ends)
            notes.append(f"column {name!r} holds {_WORDS[kind].format(*span)}")
        elif not plain:
            notes += [*_nearly_numbers(str(name), known), *spellings(str(name), known)]
    return with_columns(frame, read), notes, kinds


def with_columns(frame: pd.DataFrame, columns: Mapping[Any, Any]) -> pd.DataFrame:
    """Return a table with these columns in the place of its own, whatever their names are."""
    changed = frame.copy(deep=False) if columns else frame
    for name, column in columns.items():
        changed[name] = column
    return changed


def _nearly_numbers(name: str, known: pd.Series) -> list[str]:
    """Return a note on a column that becomes categories, though most of it is many different numbers or dates."""
    text = known.astype(str)
    for kind, words in KINDS.items():
        read = as_numbers(kind, text)
        wrong = text[read.isna()]
        if read.nunique() > CATEGORIES_ALWAYS_FINE and 0 < len(wrong) < len(text) / 2:
            return [
                f"column {name!r} is {words} but for {len(wrong)} of {len(text):,} values, such as "
                f"{cut(wrong.iloc[0])} in row {wrong.index[0] + 1}, so that all of them become categories; mend these "
                f"to have {words}"
            ]
    like = looks_like(text) if text.nunique() > CATEGORIES_ALWAYS_FINE else None
    if like is None:
        return []
    what, remedy = like
    return [f"column {name!r} looks like {what}, such as {cut(text.iloc[0])}, and becomes categories; {remedy}"]


def cut(text: str) -> str:
    """Return a text in quotes, cut where it is long."""
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")


def looks_like(text: pd.Series) -> tuple[str, str] | None:
    """Return in words what nearly all of these texts seem to be, and what to do; None for anything else."""
    stripped = text.str.strip()
    for what, (form, remedy) in _LIKE.items():
        if stripped.str.fullmatch(form).mean() > 0.9:
            return what, remedy
    return None


def spellings(name: str, known: pd.Series) -> list[str]:
    """Return a note on texts of a column that differ in case or spaces alone."""
    texts = known.dropna().astype(str).drop_duplicates()
    same = texts.groupby(texts.str.split().str.join(" ").str.casefold(), sort=False).agg(list)
    found = [group for group in same if len(group) > 1][:3]
    if not found:
        return []
    pairs = "; ".join(" and ".join(map(cut, group)) for group in found)
    return [f"column {name!r} holds texts that differ in case or spaces alone, and count as different: {pairs}"]


def as_numbers(kind: str, known: pd.Series) -> pd.Series:
    """Return what a column of this kind holds as float64, NaN where a value is not of the kind.

    Args:
        kind: As `Column` has it, of numbers: "number", "thousands" or "date".
        known: Values that are not missing.
    """
    import pandas as pd
    from pandas.api import types

    if types.is_numeric_dtype(known.dtype) and not types.is_bool_dtype(known.dtype):
        return known.astype(np.float64)
    if kind == "date":
        dates = known if types.is_datetime64_any_dtype(known.dtype) else _parsed_dates(known)
        if getattr(dates.dt, "tz", None) is not None:
            dates = dates.dt.tz_convert("UTC").dt.tz_localize(None)
        return (dates - pd.Timestamp("1970-01-01")) / pd.Timedelta(days=1)
    text = known.astype(str).str.strip()
    if kind == "thousands":
        text = text.where(text.str.fullmatch(_THOUSANDS)).str.replace(",", "")
    return pd.to_numeric(text, errors="coerce").astype(np.float64)


def _may_hold_numbers(known: pd.Series) -> bool:
    import pandas as pd

    return is_text(known) and not isinstance(known.dtype, pd.CategoricalDtype)


def _all_are(kind: str, known: pd.Series) -> bool:
    from pandas.api import types

    if types.is_datetime64_any_dtype(known.dtype):
        return kind == "date"
    if kind == "date":
        return bool(_parsed_dates(known).notna().all())
    text = known.astype(str).str.strip()
    return bool(text.str.fullmatch(_THOUSANDS).all() and text.str.contains(",").any())


def _parsed_dates(known: pd.Series) -> pd.Series:
    """Return texts as dates, NaT where one is not written as ISO 8601 has it."""
    import pandas as pd

    text = known.astype(str).str.strip()
    return pd.to_datetime(text.where(text.str.fullmatch(_DATE)), format="ISO8601", errors="coerce")


def is_text(column: pd.Series) -> bool:
    """Return whether a column holds text, or bools among what is missing."""
    from pandas.api import types

    if types.is_object_dtype(column.dtype):
        return types.infer_dtype(column, skipna=True) in ("string", "boolean")
    if str(column.dtype) == "category":
        return types.infer_dtype(column.cat.categories, skipna=True) in ("string", "boolean", "integer")
    return types.is_string_dtype(column.dtype)
