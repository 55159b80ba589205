"""Finished members on disk: a member that was trained is never trained again after an interruption.

`settings.json` says what the folder is a checkpoint of; `member_000.keras` with `member_000.json` is one finished
member. The json is written last, and both under a temporary name that is then renamed, so that a member is either
there as a whole or not at all.
"""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.keras_backend import keras
from ensemble_vs_dropout.training.schedule import Part, Schedule


class Checkpoint:
    """The finished members of one training.

    Raises:
        InputError: The folder holds members of another training.
    """

    def __init__(self, folder: str | os.PathLike[str], schedule: Schedule, model: keras.Model):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = _fingerprint(schedule, model)
        path = self.folder / "settings.json"
        if path.exists():
            found = json.loads(path.read_text())
            changed = sorted(key for key in {*settings, *found} if found.get(key) != settings.get(key))
            if changed:
                raise InputError(
                    f"checkpoint {str(self.folder)!r} is of another training: {', '.join(changed)} differ; "
                    "give another folder, or delete this one"
                )
        else:
            _replace(path, lambda temporary: temporary.write_text(json.dumps(settings, indent=2)))

    def load(self, member: int, model: keras.Model) -> list[dict[str, float]] | None:
        """Give `model` the weights of a finished member and return its history, or None if it is not there."""
        weights, history = self._paths(member)
        if not history.exists():
            return None
        model.set_weights(keras.models.load_model(weights, compile=False).get_weights())
        rows: list[dict[str, float]] = json.loads(history.read_text())
        return rows

    def save(self, member: int, model: keras.Model, rows: list[dict[str, float]]) -> None:
        """Write a finished member."""
        weights, history = self._paths(member)
        _replace(weights, model.save)
        _replace(history, lambda temporary: temporary.write_text(json.dumps(rows)))

    def _paths(self, member: int) -> tuple[Path, Path]:
        stem = self.folder / f"member_{member:03d}"
        return stem.with_suffix(".keras"), stem.with_suffix(".json")


def _replace(path: Path, write: Callable[[Path], Any]) -> None:
    temporary = path.with_name(f".{path.stem}.partial{path.suffix}")
    write(temporary)
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


def _fingerprint(schedule: Schedule, model: keras.Model) -> dict[str, Any]:
    parts = {"train": schedule.train, **schedule.watched}
    return {
        "seed": schedule.seed,
        "epochs": schedule.epochs,
        "batch_size": schedule.batch_size,
        "shuffle": schedule.shuffle,
        "patience": schedule.patience,
        "model": hashlib.sha256(_architecture(model).encode()).hexdigest(),
        **{f"{name}_data": _digest(part) for name, part in parts.items()},
    }


def _digest(part: Part) -> str:
    digest = hashlib.sha256()
    for array in part:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _architecture(model: keras.Model) -> str:
    """Return all that Keras knows of a model but its weights; names are numbered, for Keras counts them on."""
    described = [_described(layer) for layer in model._flatten_layers()]
    shapes = [tuple(variable.shape) for variable in model.weights]
    text = json.dumps([described, shapes, model.get_compile_config()], sort_keys=True, default=str)
    operations = [*model._flatten_layers(), *getattr(model, "operations", []), model.optimizer]
    for number, name in enumerate(dict.fromkeys(operation.name for operation in operations)):
        text = text.replace(f'"{name}"', f'"#{number}"')
    return text


def _described(layer: keras.layers.Layer) -> object:
    try:
        return keras.saving.serialize_keras_object(layer)
    except NotImplementedError:  # a layer of the user's that does not say how it is made
        return type(layer).__qualname__
