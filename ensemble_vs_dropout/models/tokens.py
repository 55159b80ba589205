"""What a network looks up by whole numbers, held to be whole numbers."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import wraps
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.models.backend import keras, tf
from ensemble_vs_dropout.models.calling import as_tensors, input_of
from ensemble_vs_dropout.types.inputs import by_place, columns_of, told


def check_whole(model: keras.Model, x: npt.NDArray[np.generic]) -> None:
    """Raise `InputError` if features are no whole numbers where a network wants such.

    Keras casts them without a word: an input of whole numbers, and an embedding, take the whole part.

    Args:
        model: Any Keras model.
        x: Some examples.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Embedding(9, 3), keras.layers.Flatten()])
        >>> check_whole(model, np.array([[1.0, 8.0]], "float32"))
    """
    specs = by_place(input_of(model))
    columns = columns_of(x)
    for place, spec in specs.items():
        if spec.dtype.is_integer and place in columns and not _whole(columns[place]):
            raise InputError(
                f"the input{told(place)} of {model.name!r} takes whole numbers ({spec.dtype.name}), and what came "
                f"are none ({_first(columns[place])}); do not standardize tokens (standardise=False in from_arrays)"
            )
    layers = [layer for layer in model._flatten_layers() if hasattr(layer, "embeddings")]
    if layers and all(column.dtype.kind in "uifb" for column in columns.values()):
        found: list[str] = []
        with keras.StatelessScope(), _watched(layers, found), suppress(Exception):  # what fails, predicting tells
            model(as_tensors(x, computed=True), training=False)
        if found:
            raise InputError(found[0])


def _whole(values: npt.NDArray[Any]) -> bool:
    return values.dtype.kind != "f" or bool((values == np.floor(values)).all())


def _first(values: npt.NDArray[Any]) -> str:
    return f"{values[values != np.floor(values)].flat[0]:.4g}"


@contextmanager
def _watched(layers: Sequence[keras.layers.Layer], found: list[str]) -> Iterator[None]:
    """Look at what layers are called with."""
    before = [vars(layer).get("call") for layer in layers]
    try:
        for layer in layers:
            vars(layer)["call"] = _looking(layer, found)
        yield
    finally:
        for layer, call in zip(layers, before, strict=True):
            if call is None:
                vars(layer).pop("call", None)
            else:
                vars(layer)["call"] = call


def _looking(layer: keras.layers.Layer, found: list[str]) -> Callable[..., Any]:
    call = layer.call

    @wraps(call)
    def looking(inputs: Any, *args: Any, **kwargs: Any) -> Any:
        reversed_ = bool(args) or bool(kwargs.get("reverse"))  # a ReversibleEmbedding takes states then, no tokens
        if not reversed_ and tf.is_tensor(inputs) and hasattr(inputs, "numpy"):
            values = np.asarray(inputs.numpy())
            if not _whole(values):
                found.append(
                    f"the tokens that {layer.name!r} looks up must be whole numbers, got {_first(values)}; do not "
                    "standardize them (standardise=False in from_arrays)"
                )
        return call(inputs, *args, **kwargs)

    return looking
