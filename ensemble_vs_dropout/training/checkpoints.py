"""Members on disk: what was trained and kept is not trained again after an interruption.

`settings.json` says what the folder is a checkpoint of. `member_000.json` says where a member stands, with the sha256
of the file that holds it: `member_000.keras` when it is finished (`member_000.weights.h5` where Keras cannot save the
network whole), `member_000.epoch_5.npz` on its way. The json is written last, and everything under a temporary name
that is then renamed, so that at any moment it names a whole file.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.files import (
    DAMAGED_ARCHIVE,
    appearing,
    digest_of_arrays,
    digest_of_bytes,
    digest_of_file,
    inside,
    parsed,
    read_file,
    remove,
    write_whole,
)
from ensemble_vs_dropout.models.architecture import architecture
from ensemble_vs_dropout.models.backend import keras, tf
from ensemble_vs_dropout.training import files
from ensemble_vs_dropout.training.schedule import Part, Schedule
from ensemble_vs_dropout.training.streams import Stream

FORMAT = 2
Row = dict[str, float]


@dataclass
class Standing:
    """Where one member stands in its training."""

    epoch: int = 0
    rows: list[Row] = field(default_factory=list)
    best_loss: float = math.inf
    best_weights: list[np.ndarray[Any, Any]] | None = None
    waited: int = 0


_KEPT: dict[str, Any] = {"rows": [], "masks": [], "finished": False}  # what is known of a member, by its usual value


class Keeper(Protocol):
    """Keeps members on disk."""

    every: int

    def load(self, member: int, model: keras.Model) -> list[Row] | None:
        """Give `model` the weights of a finished member and return its history, or None if it is not there."""

    def resume(self, member: int, variables: Sequence[keras.Variable]) -> Standing | None:
        """Give `variables` the values of a member on its way and return where it stands, or None if it is not there."""

    def save(self, member: int, model: keras.Model, rows: list[Row]) -> None:
        """Write a finished member."""

    def keep(self, member: int, variables: Sequence[keras.Variable], standing: Standing) -> None:
        """Write a member on its way."""


class Checkpoint:
    """The members of one training on disk.

    Args:
        folder: Made if it is not there.
        schedule: What they are trained on and for how long.
        model: One of them.
        every: Epochs after which a member on its way is kept; 0 keeps finished ones only.
        facts: What else another training would differ in, as JSON can hold it.

    Raises:
        InputError: The folder holds members of another training, or a file has changed since it was written.
    """

    def __init__(
        self,
        folder: str | PathLike[str],
        schedule: Schedule,
        model: keras.Model,
        every: int = 0,
        facts: Mapping[str, Any] | None = None,
    ):
        self.folder, self.every = Path(folder), every
        self._suffix = files.suffix_for(model)  # now, not when the first member is trained
        files.check_kept(model, self._suffix)
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = _fingerprint(schedule, model) | dict(facts or {})
        path = self.folder / "settings.json"
        if path.exists():
            found = self._read(path)
            changed = sorted(key for key in {*settings, *found} if found.get(key) != settings.get(key))
            if changed:
                raise InputError(
                    f"checkpoint {str(self.folder)!r} is of another training: {', '.join(changed)} differ; "
                    "give another folder, or delete this one"
                )
        else:
            write_whole(path, json.dumps(settings, indent=2).encode())

    def load(self, member: int, model: keras.Model) -> list[Row] | None:
        """Give `model` the weights of a finished member and return its history, or None if it is not there."""
        stands = self._stands(member)
        if stands is None or not stands["finished"]:
            return None
        self._forget(member, stands["file"])
        files.give(self.folder / stands["file"], model)
        for variable, value in zip(files.seed_states(model), stands.get("masks", []), strict=False):
            variable.assign(value)
        rows: list[Row] = stands["rows"]
        return rows

    def resume(self, member: int, variables: Sequence[keras.Variable]) -> Standing | None:
        """Give `variables` the values of a member on its way and return where it stands, or None if it is not there."""
        stands = self._stands(member)
        if stands is None or stands["finished"]:
            return None
        path = self.folder / stands["file"]
        try:
            with np.load(path, allow_pickle=False) as file:
                for number, variable in enumerate(variables):
                    variable.assign(_numbers(file[f"variable_{number}"]))
                amount = sum(name.startswith("best_") for name in file.files)
                best = [_numbers(file[f"best_{number}"]) for number in range(amount)]
            epoch, waited = int(stands["epoch"]), int(stands["waited"])
            return Standing(epoch, stands["rows"], float(stands["best_loss"]), best or None, waited)
        except DAMAGED_ARCHIVE as error:
            raise InputError(f"checkpoint {str(path)!r} is of another shape ({error}); delete its folder") from error

    def save(self, member: int, model: keras.Model, rows: list[Row]) -> None:
        """Write a finished member."""
        masks = [state.numpy().tolist() for state in files.seed_states(model)]
        stands = {"finished": True, "rows": rows, "masks": masks}
        self._write(member, f"{_stem(member)}{self._suffix}", lambda path: files.save(model, path), stands)

    def keep(self, member: int, variables: Sequence[keras.Variable], standing: Standing) -> None:
        """Write a member on its way."""
        arrays = {f"variable_{number}": variable.numpy() for number, variable in enumerate(variables)}
        arrays |= {f"best_{number}": weights for number, weights in enumerate(standing.best_weights or [])}
        stands = {
            "finished": False,
            "epoch": standing.epoch,
            "rows": standing.rows,
            "best_loss": str(standing.best_loss),
            "waited": standing.waited,
        }
        name = f"{_stem(member)}.epoch_{standing.epoch}.npz"
        self._write(member, name, lambda temporary: np.savez(temporary, **arrays), stands)

    def _write(self, member: int, name: str, write: Callable[[Path], Any], stands: Mapping[str, Any]) -> None:
        with appearing(self.folder / name) as partial:
            write(partial)
        content = json.dumps({"file": name, "sha256": digest_of_file(self.folder / name), **stands})
        write_whole(self.folder / f"{_stem(member)}.json", content.encode())
        self._forget(member, name)

    def _forget(self, member: int, name: str) -> None:
        """Remove where a member stood before, if the disk does."""
        with suppress(OSError):
            for other in self.folder.glob(f"{_stem(member)}.epoch_*.npz"):
                if other.name != name:
                    remove(other)

    def _stands(self, member: int) -> dict[str, Any] | None:
        path = self.folder / f"{_stem(member)}.json"
        if not path.exists():
            return None
        stands = self._read(path)
        file = inside(self.folder, stands.get("file"))
        if digest_of_file(file) != stands.get("sha256"):
            raise InputError(
                f"checkpoint {str(file)!r} is missing or has changed since it was written; delete {str(path)!r} and "
                "this member is trained again"
            )
        return stands

    def _read(self, path: Path) -> dict[str, Any]:
        try:
            content = parsed(read_file(path))
            if not isinstance(content, dict):
                raise InputError("it holds no names")
            rows, masks, finished = (content.get(name, usual) for name, usual in _KEPT.items())
            if type(finished) is not bool or type(masks) is not list or type(rows) is not list:
                raise InputError("it does not tell where a member stands")
            if not all(map(_is_row, rows)):
                raise InputError("it holds no history of a member")
        except ValueError as error:
            raise InputError(f"checkpoint {str(path)!r} is damaged ({error}); delete it") from error
        return content


def _is_row(row: Any) -> bool:
    """Return whether this is what an epoch found: numbers by name, the epoch among them."""
    if not isinstance(row, dict) or not all(isinstance(value, int | float | None) for value in row.values()):
        return False
    return row.get("epoch") is not None and 0 <= row["epoch"] < 2**31


class JointCheckpoint:
    """The checkpoints of several ensembles that are trained together, each in a folder of its own.

    Args:
        places: For each member the checkpoint that keeps it, or None, and its number there.
        every: Epochs after which members on their way are kept; 0 keeps finished ones only.
    """

    def __init__(self, places: Sequence[tuple[Checkpoint | None, int]], every: int = 0):
        self.every, self._places = every, places

    def load(self, member: int, model: keras.Model) -> list[Row] | None:
        """See `Keeper`."""
        checkpoint, number = self._places[member]
        return checkpoint.load(number, model) if checkpoint else None

    def resume(self, member: int, variables: Sequence[keras.Variable]) -> Standing | None:
        """See `Keeper`."""
        checkpoint, number = self._places[member]
        return checkpoint.resume(number, variables) if checkpoint else None

    def save(self, member: int, model: keras.Model, rows: list[Row]) -> None:
        """See `Keeper`."""
        checkpoint, number = self._places[member]
        if checkpoint:
            checkpoint.save(number, model, rows)

    def keep(self, member: int, variables: Sequence[keras.Variable], standing: Standing) -> None:
        """See `Keeper`."""
        checkpoint, number = self._places[member]
        if checkpoint:
            checkpoint.keep(number, variables, standing)


def _numbers(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return array.view(tf.bfloat16.as_numpy_dtype) if array.dtype.kind == "V" else array  # a type that NumPy forgets


def _stem(member: int) -> str:
    return f"member_{member:03d}"


def _fingerprint(schedule: Schedule, model: keras.Model) -> dict[str, Any]:
    watched = {"watched_train" if name == "train" else name: part for name, part in schedule.watched.items()}
    parts: dict[str, Part | Stream] = {"train": schedule.train, **watched}
    return {
        "format": FORMAT,
        "seed": schedule.seed,
        "epochs": schedule.epochs,
        "initial_epoch": schedule.initial_epoch,
        "batch_size": schedule.batch_size,
        "steps_per_epoch": schedule.steps,
        "shuffle": schedule.shuffle,
        "patience": schedule.patience,
        "model": digest_of_bytes(architecture(model, lasting=True).encode()),
        **{f"{name}_data": _digest(part) for name, part in parts.items()},
    }


def _digest(part: Any) -> str:
    if not isinstance(part, Part):
        return f"{type(part.source).__name__} of {part.batches} batches"  # what is streamed is not read twice
    return digest_of_arrays(array for array in part if array is not None)
