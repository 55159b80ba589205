"""Which layers of a model are random, and how to switch on only them."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any

from ensemble_vs_dropout.keras_backend import keras

_PATCHING = threading.Lock()


def random_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the layers that drop or disturb units while training, in the model's order, nested ones included.

    Random augmentation of inputs does not count: it changes the example, not the network.
    """
    layers = {id(layer): layer for layer in model._flatten_layers(include_self=False)}
    return [layer for layer in layers.values() if _is_random(layer)]


@contextmanager
def switched_on(layers: Sequence[keras.layers.Layer]) -> Iterator[list[str]]:
    """Let these layers run in training mode whatever their model's mode is; yield a list that names those that ran.

    A graph traced inside keeps this. Only these instances are touched, and they are restored: `training=True` for the
    whole model would make BatchNorm use and move its batch statistics too.
    """
    ran: list[str] = []
    with _PATCHING:
        for layer in layers:
            layer.__dict__["call"] = _in_training_mode(layer, ran)
        try:
            yield ran
        finally:
            for layer in layers:
                del layer.__dict__["call"]


def _is_random(layer: keras.layers.Layer) -> bool:
    if isinstance(layer, (keras.layers.Dropout, keras.layers.GaussianDropout, keras.layers.AlphaDropout)):
        return bool(layer.rate > 0)
    if isinstance(layer, keras.layers.GaussianNoise):
        return bool(layer.stddev > 0)
    if isinstance(layer, keras.layers.RNN):
        cells = getattr(layer.cell, "cells", [layer.cell])
        return any(getattr(cell, "dropout", 0) or getattr(cell, "recurrent_dropout", 0) for cell in cells)
    if isinstance(layer, keras.layers.Attention):
        return bool(layer.dropout > 0)
    return False  # multi-head attention drops through a Dropout layer of its own, which is found by itself


def _in_training_mode(layer: keras.layers.Layer, ran: list[str]) -> Callable[..., Any]:
    call = layer.call

    @wraps(call)
    def training_call(*args: Any, **kwargs: Any) -> Any:
        ran.append(layer.name)
        return call(*args, **{**kwargs, "training": True})

    return training_call
