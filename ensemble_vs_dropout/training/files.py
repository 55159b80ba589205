"""Files of single models: whole ones, which Keras makes anew from them, or their weights alone, for a model at hand.

A whole file (`.keras`) needs a configuration of every layer. Where one has none the weights are kept alone
(`.weights.h5`), and whoever has the builder can give them to a new model.
"""

import json
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.files import regular
from ensemble_vs_dropout.models.backend import keras

WHOLE, WEIGHTS = ".keras", ".weights.h5"


def undescribed(model: keras.Model) -> str:
    """Return why Keras cannot save a model whole, or "" if it can."""
    failed, told = None, ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of lambdas, which are saved all the same
        for layer in model._flatten_layers():  # what holds others comes before them, so that the last is the innermost
            try:
                json.dumps(keras.saving.serialize_keras_object(layer))
            except Exception as error:  # a layer of the user's own may fail in any way at saying how it is made
                failed, told = layer, _first_line(error)
    if failed is None:
        return ""
    what = "model" if failed is model else "layer"
    return f"the {what} {failed.name!r} ({type(failed).__name__}) does not tell how it is made: {told}"


def suffix_for(model: keras.Model) -> str:
    """Return in which kind of file a model can be kept."""
    return WEIGHTS if undescribed(model) else WHOLE


def save(model: keras.Model, path: Path) -> None:
    """Write a model to a file whose name says of which kind it is."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The object being serialized includes a `lambda`")
        if path.name.endswith(WEIGHTS):
            model.save_weights(path)
        else:
            model.save(path)


def check_kept(model: keras.Model, suffix: str) -> None:
    """Raise `InputError` if a file would not give back all weights, where layers keep them in ways of their own.

    The model gets its weights back from a file of that kind, and afterward has those that it had.
    """
    if all(type(layer).__module__.partition(".")[0] == "keras" for layer in model._flatten_layers()):
        return
    before = [(variable, variable.numpy().copy()) for variable in model.variables]
    lost, told = "", ""
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"tried{suffix}"
        try:
            save(model, path)
            for variable in model.weights:
                variable.assign(np.zeros_like(variable.numpy()))
            give(path, model)
            pairs = ((variable, variable.numpy(), value) for variable, value in before)
            lost = next((one.path for one, now, was in pairs if not np.array_equal(now, was, equal_nan=True)), "")
        except Exception as error:  # of layers of the user's own
            told = _first_line(error)
        finally:
            for variable, value in before:
                variable.assign(value)
    if lost or told:
        what = f"does not give back {lost!r}" if lost else f"cannot be written or read ({told})"
        raise InputError(
            f"a file of the model {model.name!r} {what}; leave out the layers' own save_own_variables and "
            "load_own_variables, or let them keep all weights"
        )


def load(path: Path, cure: str) -> keras.Model:
    """Return the model of a whole file; no code in it is run.

    Args:
        path: Of the file.
        cure: What the user can do where a part of it is not found.
    """
    regular(path)
    try:
        with _untrained_too():
            return keras.models.load_model(path, safe_mode=True)
    except Exception as error:  # what is registered is the user's own and may fail in any way
        missing = _missing(path)
        told = f"it needs {missing}" if missing else _first_line(error)
        hint = f"; {cure}" if zipfile.is_zipfile(path) else ""
        raise InputError(f"{path.name!r} does not hold a model that Keras can load safely: {told}{hint}") from error


def give(path: Path, model: keras.Model) -> None:
    """Give a model at hand the weights, and the optimizer's state, of a file of either kind.

    Raises:
        InputError: The file is that of another network.
    """
    if getattr(model, "optimizer", None) is not None and not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    try:
        with _untrained_too():
            model.load_weights(path)
    except Exception as error:  # of layers of the user's own, too
        raise InputError(
            f"the weights in {path.name!r} do not fit the model {model.name!r} that the builder returns: "
            f"{_first_line(error)}"
        ) from error


def seed_states(model: keras.Model) -> list[keras.Variable]:
    """Return the states of a model's own random streams, which no file of Keras' holds."""
    return [variable for variable in model.non_trainable_variables if variable.name == "seed_generator_state"]


@contextmanager
def _untrained_too() -> Iterator[None]:
    """Let an optimizer be as it is made where the file is of a model that was not trained and has no state to give."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "\\s*Skipping variable loading for optimizer")
        yield


def _missing(path: Path) -> str:
    """Return what a whole file needs and Keras does not find or does not run."""
    try:
        with zipfile.ZipFile(path) as archive:
            found = next(_foreign(json.loads(archive.read("config.json")), "the model"), "")
    except (OSError, zipfile.BadZipFile, KeyError, json.JSONDecodeError):
        return ""
    return found


def _foreign(value: Any, around: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        kind, config = value.get("class_name"), value.get("config")
        if kind == "__lambda__":
            yield f"the lambda of {around}"
        name = value.get("registered_name")
        if kind == "function" and value.get("module") == "builtins":
            if keras.saving.get_registered_object(str(config)) is None:
                yield f"the function {config!r} of {around}"
        elif name and kind != "function" and keras.saving.get_registered_object(name) is None:
            yield f"the class {kind!r} of {_layer(kind, config) or around}"
        around = _layer(kind, config) or around
        for inner in value.values():
            yield from _foreign(inner, around)
    elif isinstance(value, list):
        for inner in value:
            yield from _foreign(inner, around)


def _layer(kind: Any, config: Any) -> str:
    return f"the layer {config['name']!r}" if kind and isinstance(config, Mapping) and "name" in config else ""


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:160]}"
