"""The user's own file: npz here, csv and parquet through `tables`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.datasets.archives import read_npz
from ensemble_vs_dropout.datasets.features import check_features
from ensemble_vs_dropout.datasets.preparation import prepare, split_test
from ensemble_vs_dropout.datasets.splits import Plan
from ensemble_vs_dropout.datasets.tables import load_table
from ensemble_vs_dropout.types import PARTS, Dataset

SUFFIXES = (".npz", ".csv", ".parquet")
SPLIT_KEYS = ("x_train", "y_train", "x_test", "y_test")
VAL_KEYS = ("x_val", "y_val")


def load_file(path: Path, target: str | None, plan: Plan, drop: Sequence[str] = (), missing: str = "refuse") -> Dataset:
    """Return the `Dataset` in the file at `path`; `target`, `drop` and `missing` are of tables, see `load_table`."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"a data file must end in .npz, .csv or .parquet, got {str(path)!r}; convert it to one")
    if suffix != ".npz":
        return load_table(path, target, plan, drop, missing)
    check_of_table(drop, missing, str(path))
    if target is not None:
        raise InputError(
            f"target names a column of a csv or parquet file, got {target!r} with {path}; leave it out: an "
            "npz holds its labels as y or y_train"
        )
    return load_npz(path, plan)


def check_of_table(drop: Sequence[str], missing: str, given: str) -> None:
    """Raise `InputError` if what is of tables alone is asked of other data."""
    if drop or missing != "refuse":
        asked = "drop" if drop else "missing"
        raise InputError(f"{asked} is of the columns of a csv or parquet file, and {given} is none; leave it out")


def load_npz(path: Path, plan: Plan) -> Dataset:
    """Return the `Dataset` in an npz that holds x_train, y_train, x_test, y_test, or x, y.

    Those of several inputs are x_train.NAME for each, and likewise x_test, x_val or x. Beside y_train may stand
    weights_train, how much each example counts in training.
    """
    arrays = with_inputs(path, read_npz(path))
    keys = SPLIT_KEYS if any(key in arrays for key in SPLIT_KEYS) else ("x", "y")
    if any(key not in arrays for key in keys):
        raise InputError(
            f"{path} must hold x_train, y_train, x_test, y_test, or x, y; it holds {', '.join(arrays) or 'nothing'}; "
            "several inputs are x_train.NAME and so on"
        )
    names = _class_names(path, arrays.get("class_names"))
    used = (*SPLIT_KEYS, *VAL_KEYS, "weights_train", "class_names") if keys == SPLIT_KEYS else (*keys, "class_names")
    ignored = [key for key in arrays if key not in used]
    notes = [f"arrays not used: {', '.join(ignored)}"] if ignored else []
    if keys == SPLIT_KEYS:
        x = {part: arrays[f"x_{part}"] for part in PARTS if f"x_{part}" in arrays}
        y = {part: arrays[f"y_{part}"] for part in PARTS if f"y_{part}" in arrays}
    else:
        given = check_features("x", arrays["x"])
        x, y, names, more = split_test(given, arrays["y"], "y", plan, names)
        notes += more
    anew = plan.resplit and keys == SPLIT_KEYS  # else the test part is drawn by the seed anyway
    return prepare(
        x, y, plan, name=path.stem, class_names=names, source=str(path), notes=notes, resplit=anew,
        weights=arrays.get("weights_train") if keys == SPLIT_KEYS else None,
    )  # fmt: skip


def with_inputs(path: Path, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Return arrays by their keys, those of several inputs (x.image, x.age) as a dict of them ("x")."""
    found: dict[str, Any] = {}
    for key, array in arrays.items():
        part, _, name = key.partition(".")
        if not (part in ("x", *(f"x_{one}" for one in PARTS)) and name):
            found[key] = array
            continue
        if part in arrays:
            raise InputError(f"{path} must hold {part}, or {part}.NAME for each input, got both; leave out one")
        found.setdefault(part, {})[name] = array
    return found


def _class_names(path: Path, array: npt.NDArray[np.generic] | None) -> tuple[str, ...] | None:
    if array is None:
        return None
    if array.ndim != 1:
        raise InputError(f"class_names in {path} must have shape (classes,), got {array.shape}")
    return tuple(name.decode() if isinstance(name, bytes) else str(name) for name in array)
