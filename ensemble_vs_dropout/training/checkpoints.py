"""Finished members on disk: a member that was trained is never trained again after an interruption.

`settings.json` says what the folder is a checkpoint of; `member_000.keras` with `member_000.csv` is one finished
member. The csv is written last, and both under a temporary name that is then renamed, so that a member is either
there as a whole or not at all.
"""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.keras_backend import keras
from ensemble_vs_dropout.training.schedule import Schedule


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
            changed = sorted(key for key in settings if found.get(key) != settings[key])
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
        rows: list[dict[str, float]] = pd.read_csv(history, float_precision="round_trip").to_dict("records")
        return rows

    def save(self, member: int, model: keras.Model, rows: list[dict[str, float]]) -> None:
        """Write a finished member."""
        weights, history = self._paths(member)
        _replace(weights, model.save)
        _replace(history, lambda temporary: pd.DataFrame(rows).to_csv(temporary, index=False))

    def _paths(self, member: int) -> tuple[Path, Path]:
        stem = self.folder / f"member_{member:03d}"
        return stem.with_suffix(".keras"), stem.with_suffix(".csv")


def _replace(path: Path, write: Callable[[Path], Any]) -> None:
    temporary = path.with_name(f".{path.stem}.partial{path.suffix}")
    write(temporary)
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


def _fingerprint(schedule: Schedule, model: keras.Model) -> dict[str, Any]:
    data = hashlib.sha256()
    for array in schedule.train:
        data.update(array.tobytes())
    return {
        "seed": schedule.seed,
        "epochs": schedule.epochs,
        "batch_size": schedule.batch_size,
        "shuffle": schedule.shuffle,
        "patience": schedule.patience,
        "model": hashlib.sha256(_architecture(model).encode()).hexdigest(),
        "train_data": data.hexdigest(),
    }


def _architecture(model: keras.Model) -> str:
    shapes = [(variable.path.rpartition("/")[2], tuple(variable.shape)) for variable in model.weights]
    optimizer = {k: v for k, v in model.optimizer.get_config().items() if k != "name"}
    rates = [getattr(layer, "rate", None) for layer in model._flatten_layers(include_self=False)]
    return repr((shapes, rates, optimizer))
