"""The user's csv or parquet file: rows are examples, one column is the label, the others are features."""

from __future__ import annotations

import difflib
import functools
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ensemble_vs_dropout.checks import InputError, check_known
from ensemble_vs_dropout.datasets.archives import check_file
from ensemble_vs_dropout.datasets.columns import check_columns, encode_columns
from ensemble_vs_dropout.datasets.kinds import read_columns, spellings
from ensemble_vs_dropout.datasets.preparation import assemble, split_test
from ensemble_vs_dropout.datasets.splits import Plan
from ensemble_vs_dropout.files import check_room
from ensemble_vs_dropout.types import Dataset

if TYPE_CHECKING:
    import pandas as pd

COLUMNS_SHOWN = 20
_COPIES = 3  # of a table in memory while it is read: Arrow's, pandas', and the features


def load_table(
    path: Path, target: str | None, plan: Plan, drop: Sequence[str] = (), missing: str = "refuse"
) -> Dataset:
    """Return the `Dataset` in the csv or parquet file at `path`, with the column `target` as the label.

    Args:
        path: Of the file.
        target: The column that holds the labels.
        plan: How it is split.
        drop: Columns that are left out.
        missing: One of `columns.MISSING`, what is done about features that are missing.
    """
    frame = read_table(path)
    target = _check_target(path, frame, target)
    frame, left_out = _cleaned(path, frame, target, drop, missing)
    features, read, kinds = read_columns(frame.drop(columns=target))
    columns = check_columns(path, features, missing, drop, frame[target])
    read += spellings(str(target), frame[target])
    rows = np.arange(len(frame))
    # Only row numbers are split: the encoder must not see a value before the final training part is known.
    x, y, classes, notes = split_test(rows, frame[target].to_numpy(), f"column {target!r}", plan)
    finish = functools.partial(encode_columns, features, columns, missing=missing, kinds=kinds)
    return assemble(
        x, y, finish, plan, name=path.stem, class_names=classes, source=str(path), notes=[*left_out, *read, *notes]
    )


def _cleaned(
    path: Path, frame: pd.DataFrame, target: str, drop: Sequence[str], missing: str
) -> tuple[pd.DataFrame, list[str]]:
    """Return a table without the columns that are dropped, nor the rows that `missing` leaves out; and notes."""
    for name in drop:
        if name == target:
            raise InputError(f"drop must not name the target, got {name!r}")
        check_known(f"column of {path} to drop", name, frame.columns)
    notes = [f"columns left out: {', '.join(drop)}"] if drop else []
    frame = frame.drop(columns=list(drop))
    if frame.shape[1] == 1:
        raise InputError(f"{path} must have a feature beside the target {target!r}, got no other column after drop")
    if missing == "drop" and (rows := frame.isna().any(axis=1)).any():
        if rows.all():
            raise InputError(
                f"missing='drop' leaves no row of {path}: each lacks a value; drop columns, or fill them in"
            )
        notes.append(f"{rows.sum():,} of {len(frame):,} rows with missing values left out")
        frame = frame[~rows]  # under their numbers, which messages name
    if frame[target].isna().all():
        raise InputError(f"column {target!r} of {path} must hold the labels, got none in any row; name another column")
    if missing in ("median", "most_frequent") and (rows := frame[target].isna()).any():
        notes.append(f"{rows.sum():,} of {len(frame):,} rows left out, for they have no label")
        frame = frame[~rows]
    return frame, notes


def read_table(path: Path) -> pd.DataFrame:
    """Return the table in the file at `path`, with columns of different names and at least one row."""
    check_file(path)
    names, frame = _read_csv(path) if path.suffix.lower() == ".csv" else _read_parquet(path)
    doubles = sorted(name for name, count in Counter(names).items() if count > 1)
    if doubles:
        raise InputError(f"{path} must have columns of different names, got {doubles[0]!r} more than once; rename one")
    if "" in names:
        raise InputError(
            f"{path} must have a name for every column, column {names.index('') + 1} has none; name it, or "
            "drop it if it only counts the rows (pandas: to_csv(..., index=False))"
        )
    if frame.empty:
        raise InputError(f"{path} must have at least one row of data, got none below the names of the columns")
    frame.columns = names
    return frame.reset_index(drop=True)


CSV: dict[str, Any] = {"encoding": "utf-8-sig", "index_col": False}  # how pandas is to read it


def _read_csv(path: Path) -> tuple[list[str], pd.DataFrame]:
    import pandas as pd

    with path.open("rb") as file:
        if b"\0" in file.read(1024):
            raise InputError(f"{path} must be comma-separated text, its content is binary; write it as a csv")
    with as_csv(path):
        names = names_in_csv(path)
        return names, pd.read_csv(path, low_memory=False, **CSV)


@contextmanager
def as_csv(path: Path) -> Iterator[None]:
    """Have whatever pandas says of a csv file that it cannot read raise `InputError`."""
    import pandas as pd

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            yield
    except InputError:
        raise
    except (ValueError, pd.errors.ParserWarning) as error:
        remedy = "save it as UTF-8" if isinstance(error, UnicodeError) else "write it as a csv again"
        raise InputError(
            f"{path} cannot be read as comma-separated utf-8 text: {_one_line(error)}; {remedy}"
        ) from error


def names_in_csv(path: Path) -> list[str]:
    """Return the names of columns in the first line of a csv file, or raise `InputError` if others than commas part it.

    They are read on their own, for pandas renames doubles.
    """
    import pandas as pd

    first = pd.read_csv(path, header=None, nrows=1, dtype=str, keep_default_na=False, **CSV)
    names = [name.strip() for name in first.iloc[0]]
    if any(sum(separator in name for name in names) == len(names) for separator in ";\t|"):
        raise InputError(
            f"{path} must be separated by commas, its first line is {','.join(names)[:60]!r}; save it with commas "
            "(pandas: read_csv(old, sep=...), then to_csv(new, index=False))"
        )
    return names


def _read_parquet(path: Path) -> tuple[list[str], pd.DataFrame]:
    import pyarrow.parquet

    with as_parquet(path):
        told = pyarrow.parquet.read_metadata(path)
        check_room(path, _COPIES * 8 * told.num_rows * told.num_columns)  # zeros take next to none in the file
        table = pyarrow.parquet.read_table(path)
        table.validate(full=True)  # else text that is none raises wherever it is first looked at
        frame = table.to_pandas()
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()
    return [str(name) for name in frame.columns], frame


@contextmanager
def as_parquet(path: Path) -> Iterator[None]:
    """Have whatever Arrow and pandas say of a parquet file that they cannot read raise `InputError`."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # their readers raise anything at what is no table
        raise InputError(f"{path} cannot be read as parquet: {_one_line(error)}; write it again") from error


def _check_target(path: Path, frame: pd.DataFrame, target: str | None) -> str:
    names = list(frame.columns)
    shown = ", ".join(names[:COLUMNS_SHOWN]) + (", ..." if len(names) > COLUMNS_SHOWN else "")
    if target is None:
        raise InputError(
            f"target (--target) must name the column of {path} that holds the labels; its columns: {shown}"
        )
    if target not in names:
        nearest = difflib.get_close_matches(str(target), names, n=1)
        hint = f" (did you mean {nearest[0]!r}?)" if nearest else ""
        raise InputError(f"target must be a column of {path}, got {target!r}{hint}; its columns: {shown}")
    if len(names) == 1:
        raise InputError(f"{path} must have a feature beside the target {target!r}, got no other column")
    return target


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
