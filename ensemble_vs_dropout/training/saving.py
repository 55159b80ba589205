"""Whole ensembles in one file: the members as Keras saves them, and beside them what Keras leaves out."""

import json
import zipfile
from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.keras_backend import keras
from ensemble_vs_dropout.training._looped import mask_states


def write(path: str | PathLike[str], models: Iterable[keras.Model], state: dict[str, Any]) -> None:
    """Write models and a state that JSON can hold to one zip file, at once or not at all."""
    temporary = Path(f"{path}.partial")
    masks = []
    with zipfile.ZipFile(temporary, "w") as archive, TemporaryDirectory() as folder:
        for member, model in enumerate(models):
            name = _name(member)
            model.save(Path(folder) / name)
            archive.write(Path(folder) / name, name)
            masks.append([state.numpy().tolist() for state in mask_states(model)])  # a .keras file leaves them out
        archive.writestr("ensemble.json", json.dumps({**state, "masks": masks}))
    temporary.replace(path)


def read(path: str | PathLike[str]) -> tuple[list[keras.Model], dict[str, Any]]:
    """Return what `write` wrote; no code in the file is run."""
    try:
        with zipfile.ZipFile(path) as archive, TemporaryDirectory() as folder:
            state = json.loads(archive.read("ensemble.json"))
            models = []
            for member, masks in enumerate(state["masks"]):
                (Path(folder) / _name(member)).write_bytes(archive.read(_name(member)))
                models.append(keras.models.load_model(Path(folder) / _name(member), safe_mode=True))
                for variable, value in zip(mask_states(models[-1]), masks, strict=True):
                    variable.assign(value)
    except (zipfile.BadZipFile, KeyError, json.JSONDecodeError) as error:
        raise InputError(f"{path} does not hold a saved ensemble: {error}") from error
    return models, state


def loaded(model: keras.Model | Path) -> keras.Model:
    """Return the model, or what Keras can load of it in safe mode from its path."""
    if not isinstance(model, Path):
        return model
    try:
        return keras.models.load_model(model, safe_mode=True)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{model} does not hold a model that Keras can load safely: {error}") from error


def rebuilt(model: keras.Model) -> keras.Model:
    """Return a new compiled model like `model`, with initial weights of its own."""
    copy = type(model).from_config(model.get_config())
    for before, after in zip(model._flatten_layers(), copy._flatten_layers(), strict=True):
        if hasattr(before, "finalize_state"):  # what was adapted to the data belongs to the builder
            after.set_weights(before.get_weights())
            after.finalize_state()
    copy.compile_from_config(model.get_compile_config())
    return copy


def _name(member: int) -> str:
    return f"member_{member:03d}.keras"
