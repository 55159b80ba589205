"""What layers were adapted to, beyond their weights and their configurations: vocabularies, boundaries, means."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.files import digest, inside
from ensemble_vs_dropout.models.backend import keras

State = dict[str, npt.NDArray[Any]]


def state_of(model: keras.Model) -> State:
    """Return what layers hold that neither weights nor configurations tell, as arrays by the layers' places.

    Example:
        >>> layer = keras.layers.StringLookup()
        >>> layer.adapt(["red", "red", "blue"])
        >>> list(state_of(keras.Sequential([keras.Input((1,), dtype="string"), layer])))
        ['2/assets/vocabulary.txt']
    """
    found: State = {}
    for place, layer in _layers(model):
        if not layer.variables:
            store: dict[str, Any] = {}
            layer.save_own_variables(store)
            found |= {f"{place}/own/{key}": np.asarray(value) for key, value in store.items()}
        if hasattr(layer, "save_assets"):
            with TemporaryDirectory() as folder:
                layer.save_assets(folder)
                files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
                found |= {f"{place}/assets/{path.name}": np.frombuffer(path.read_bytes(), np.uint8) for path in files}
    return found


def words_of(model: keras.Model) -> str:
    """Return the digest of all words that layers look up, or "" where none does.

    Example:
        >>> words_of(keras.Sequential([keras.Input((1,)), keras.layers.Dense(2)]))
        ''
    """
    words = [words for _, words in _vocabularies(model)]
    return digest(words) if words else ""


def _vocabularies(model: keras.Model) -> Iterator[tuple[str, list[str]]]:
    for _, layer in _layers(model):
        if hasattr(layer, "get_vocabulary"):
            with suppress(Exception):  # of one that was not adapted yet
                yield layer.name, [str(word) for word in layer.get_vocabulary()]


def check_vocabularies(model: keras.Model) -> None:
    """Raise `InputError` if a vocabulary holds a word with a line end, which Keras' files of words do not keep.

    Example:
        >>> check_vocabularies(keras.Sequential([keras.Input((1,)), keras.layers.Dense(2)]))
    """
    for name, words in _vocabularies(model):
        broken = next((word for word in words if "\n" in word or "\r" in word), None)
        if broken is not None:
            raise InputError(
                f"the vocabulary of {name!r} holds {broken[:40]!r}, and no file keeps a word with a line end; take "
                "line ends out of the words before the layer is adapted"
            )


def give_state(model: keras.Model, state: Mapping[str, npt.NDArray[Any]]) -> None:
    """Give a model, which has its weights already, what `state_of` told of one that is built alike.

    Raises:
        InputError: A layer keeps something in files, and there is nothing of it.
    """
    for place, layer in _layers(model):
        if layer.variables and hasattr(layer, "finalize_state"):
            layer.finalize_state()  # it computes with what it makes of its weights then
        own, assets = (
            {key.removeprefix(start): value for key, value in state.items() if key.startswith(start)}
            for start in (f"{place}/own/", f"{place}/assets/")
        )
        if own:
            layer.load_own_variables(own)
        if assets:
            with TemporaryDirectory() as folder:
                for name, content in assets.items():
                    inside(Path(folder), name).write_bytes(content.tobytes())
                layer.load_assets(folder)
        elif hasattr(layer, "save_assets"):
            raise InputError(
                f"nothing is kept of what the layer {layer.name!r} ({type(layer).__name__}) of {model.name!r} was "
                "adapted to"
            )


def _layers(model: keras.Model) -> Iterator[tuple[int, keras.layers.Layer]]:
    layers = enumerate(model._flatten_layers())
    return ((place, layer) for place, layer in layers if not isinstance(layer, keras.Model))
