"""Which layers of a model are random, and how to switch on only them."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.graphs import layers_in_order
from ensemble_vs_dropout.keras_backend import keras

Choice = str | Sequence[str] | Callable[[keras.layers.Layer], bool]
_PATCHING = threading.Lock()


def random_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the layers that drop or disturb units while training, in the model's order, nested ones included.

    Random augmentation of inputs does not count: it changes the example, not the network.
    """
    return [layer for layer in layers_in_order(model) if _is_random(layer)]


def choose_layers(model: keras.Model, layers: Choice) -> list[keras.layers.Layer]:
    """Return those of a model's random layers that shall be random.

    Args:
        model: Any Keras model.
        layers: "all"; "last" in the model's order; names; or a function of a layer.

    Raises:
        InputError: The model has no random layer, or none is chosen, or a name is not that of one.
    """
    found = random_layers(model)
    if not found:
        raise InputError(
            f"the model {model.name!r} has no random layer such as Dropout, so that all passes would be the "
            "same; build it with rate above 0, or predict with WeightScaling"
        )
    names = [layer.name for layer in found]
    if callable(layers):
        chosen = [layer for layer in found if layers(layer)]
    elif layers in ("all", "last"):
        chosen = found if layers == "all" else found[-1:]
    else:
        wanted = [layers] if isinstance(layers, str) else list(layers)
        unknown = [name for name in wanted if name not in names]
        if unknown:
            raise InputError(
                f"layers must be 'all', 'last', a function, or names of random layers of {model.name!r}, "
                f"{', '.join(names)}; got {unknown[0]!r}"
            )
        chosen = [layer for layer in found if layer.name in wanted]
    if not chosen:
        raise InputError(f"layers must choose at least one of the random layers of {model.name!r}, {', '.join(names)}")
    return chosen


@dataclass
class Ran:
    """Which layers ran in training mode, in order, and whether one of them is running now."""

    layers: list[keras.layers.Layer] = field(default_factory=list)
    inside: int = 0


@contextmanager
def switched_on(layers: Sequence[keras.layers.Layer]) -> Iterator[Ran]:
    """Let these layers run in training mode whatever their model's mode is; yield which of them ran, in order.

    A graph traced inside keeps this. Only these instances are touched, and they are restored: `training=True` for the
    whole model would make BatchNorm use and move its batch statistics too.
    """
    ran = Ran()
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


def _in_training_mode(layer: keras.layers.Layer, ran: Ran) -> Callable[..., Any]:
    call = layer.call

    @wraps(call)
    def training_call(*args: Any, **kwargs: Any) -> Any:
        ran.layers.append(layer)
        ran.inside += 1
        try:
            return call(*args, **{**kwargs, "training": True})
        finally:
            ran.inside -= 1

    return training_call
