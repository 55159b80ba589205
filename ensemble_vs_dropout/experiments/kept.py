"""What the files of finished runs hold. A file that is whole by its sum, but of another shape, is damage too."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import BaseModel, FiniteFloat

from ensemble_vs_dropout.checks import visible
from ensemble_vs_dropout.evaluation.evaluator import SCORE_COLUMNS
from ensemble_vs_dropout.experiments.plan import Run
from ensemble_vs_dropout.experiments.store import DamagedError, Keeping
from ensemble_vs_dropout.files import DAMAGED_ARCHIVE, check_room, expanded
from ensemble_vs_dropout.types import Cost, Encoding, Predictions

INPUTS = "inputs.json"  # what the networks of a run take, and which classes they know
# What readers, and those who take what was read for what it should be, raise at other content.
_OTHER_CONTENT = (
    *(error for error in DAMAGED_ARCHIVE if error is not MemoryError),  # too little memory is no damage
    IndexError, AttributeError, OSError,
)  # fmt: skip
_MOST = 1e30  # of any cost: what is larger overflows where costs are multiplied


@contextmanager
def as_written(run: Run, file: str) -> Iterator[None]:
    """Have a file that does not hold what was written there raise `DamagedError`, whatever the body raises at it."""
    try:
        yield
    except _OTHER_CONTENT as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise DamagedError(run.name, f"{file} does not hold what a run writes there ({reason})") from error


def read_json(run: Run, store: Keeping, file: str, kind: type[Any] = dict) -> Any:
    """Return what a JSON file of a run holds, or raise `DamagedError`.

    Args:
        run: Finished.
        store: Where it is.
        file: Its name.
        kind: Of what it holds: dict or list.

    Example:
        >>> from ensemble_vs_dropout.experiments.store import Memory
        >>> memory, run = Memory(), Run({"recipe": "plain", "dataset": "digits", "members": 1})
        >>> memory.put(run, {"cost.json": b"[]"})
        >>> read_json(run, memory, "cost.json", list)
        []
    """
    (content,) = store.read(run, file)
    with as_written(run, file):
        found = json.loads(content)
        if not isinstance(found, kind):
            raise TypeError(f"a {type(found).__name__}, and no {kind.__name__}")
        return found


def read_arrays(run: Run, store: Keeping, file: str) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays in an npz file of a run, or raise `DamagedError`; nothing is unpickled.

    Raises:
        InputError: They do not fit in memory.
    """
    (content,) = store.read(run, file)
    with as_written(run, file):
        needed = expanded(io.BytesIO(content))
    check_room(f"{run.name}/{file}", needed)
    with as_written(run, file), np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return dict(arrays)


def read_table(run: Run, store: Keeping, file: str) -> pd.DataFrame:
    """Return the table in a CSV file of a run, or raise `DamagedError`."""
    (content,) = store.read(run, file)
    with as_written(run, file):
        return pd.read_csv(io.BytesIO(content))


class _Environment(BaseModel, extra="allow"):
    """What a run tells of its data and its machine."""

    version: str = ""
    notes: list[str] = []
    source: str = ""
    data: str | None = None
    classes: list[str] | None = None
    sizes: dict[str, int] | None = None
    seconds: FiniteFloat = 0.0
    python: str = ""
    keras: str = ""
    tensorflow: str = ""
    numpy: str = ""
    machine: str = ""
    parameters: int | None = None
    test_in_train: int | None = None
    telling_columns: list[str] = []
    data_sha256: str | None = None


def check_spec(run: Run) -> None:
    """Raise `DamagedError` unless the specification of a run is one that runs are made by.

    Example:
        >>> check_spec(Run({"recipe": "plain", "dataset": "digits", "members": 1, "repetition": 0}))
    """
    with as_written(run, "spec.json"):
        if min(run.repetition, run.members) < 0 or not run.settings.dataset:
            raise ValueError("numbers below 0, or no data")


def histories_of(run: Run, store: Keeping) -> pd.DataFrame:
    """Return the histories of a run's networks, or raise `DamagedError`."""
    table = read_table(run, store, "histories.csv")
    with as_written(run, "histories.csv"):
        if not all(table[name].dtype.kind in "iuf" for name in ("member", "epoch")):
            raise TypeError("members or epochs that are no numbers")
        return table


def environment_of(run: Run, store: Keeping) -> dict[str, Any]:
    """Return what a run tells of its data and its machine, or raise `DamagedError`."""
    told = read_json(run, store, "environment.json")
    with as_written(run, "environment.json"):
        _Environment.model_validate(told)
        shown: dict[str, Any] = _shown(told)  # its names are of data, and stand in tables, figures and pages
        return shown


def _shown(told: Any) -> Any:
    """Return what JSON said with all of its text as it can be shown."""
    if isinstance(told, dict):
        return {key: _shown(value) for key, value in told.items()}
    if isinstance(told, list):
        return [_shown(value) for value in told]
    return visible(told) if isinstance(told, str) else told


def inputs_of(run: Run, store: Keeping) -> dict[str, Any]:
    """Return what the networks of a run take, and which classes they know, or raise `DamagedError`."""
    told = read_json(run, store, INPUTS)
    with as_written(run, INPUTS):
        Encoding.from_json(told["encoding"]).check_kinds(told["shape"], told["dtype"])
        if not isinstance(told["classes"], list):
            raise TypeError("no classes")
        return told


def costs_of(run: Run, store: Keeping) -> list[tuple[str, Cost]]:
    """Return what each arm of a run costs, or raise `DamagedError`."""
    told, found = read_json(run, store, "cost.json", list), []
    with as_written(run, "cost.json"):
        for row in told:
            numbers = {name: float("nan") if value is None else value for name, value in row.items() if name != "arm"}
            if not all(isinstance(value, int | float) for value in numbers.values()):
                raise TypeError("a cost that is no number")
            paid = Cost(**numbers)
            if paid.trained == 0 or any(value < 0 or value > _MOST for value in numbers.values()):
                raise ValueError("a cost below 0 or beyond all bounds")
            found.append((str(row["arm"]), paid))
    return found


def predictions_of(run: Run, store: Keeping) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of a run's predictions and labels by name, or raise `DamagedError`."""
    arrays = read_arrays(run, store, "predictions.npz")
    with as_written(run, "predictions.npz"):
        examples = {name.partition("/")[2]: len(y) for name, y in arrays.items() if name.startswith("labels/")}
        for name, array in arrays.items():
            kind, _, rest = name.partition("/")
            if kind == "labels" and (array.ndim != 1 or array.dtype.kind not in "iu"):
                raise ValueError(f"{name} of shape {array.shape} and {array.dtype}")
            if kind in ("val", "test"):
                Predictions(array, arrays.get(f"weights/{name}"))
                if array.shape[1] != examples[kind]:
                    raise ValueError(f"{name} of {array.shape[1]} examples, of which {examples[kind]} have labels")
            if kind == "further" and array.ndim != 3:
                raise ValueError(f"{rest} of shape {array.shape}")
    return arrays


def scores_of(run: Run, store: Keeping) -> list[list[Any]]:
    """Return the rows of a run's scores, in the order of `SCORE_COLUMNS`, or raise `DamagedError`."""
    content = read_json(run, store, "scores.json")
    with as_written(run, "scores.json"):
        order = [content["columns"].index(name) for name in SCORE_COLUMNS]
        value = SCORE_COLUMNS.index("value")
        rows = [[row[place] for place in order] for row in content["data"]]
        if not all(isinstance(row[value], int | float | None) for row in rows):
            raise TypeError("a score that is no number")
        return rows
