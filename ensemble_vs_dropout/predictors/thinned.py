"""One thinned network of a dropout network, as a plain Keras model: its random layers are replaced by fixed ones."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.models.backend import keras, tf
from ensemble_vs_dropout.models.classic_dropout import ClassicDropout, stock_layer
from ensemble_vs_dropout.models.copies import compile_like, copy_with
from ensemble_vs_dropout.models.graphs import graph_of, times_used
from ensemble_vs_dropout.models.layers import AFFINE
from ensemble_vs_dropout.models.random_layers import always_on

Acting = Callable[[], AbstractContextManager[Any]]  # a context in which a layer draws one certain mask


def thinned_network(model: keras.Model, acting: dict[int, Acting], name: str) -> keras.Model:
    """Return a compiled copy of a model in which random layers do to every input what they do in these contexts.

    Args:
        model: Functional or sequential.
        acting: By the id of each random layer that shall act, the context in which it draws its mask; the others are
            left as they are, which is in inference mode.
        name: Of the new model.
    """
    used = times_used(model) if graph_of(model) is not None else {}
    for layer in always_on(model):
        if id(layer) not in acting:
            raise InputError(
                f"the layer {layer.name!r} ({type(layer).__name__}) drops in inference mode too and was not chosen, so "
                "that the network of one pass would go on drawing; choose it with layers="
            )

    def concerned(layer: keras.layers.Layer) -> bool:
        return id(layer) in acting or isinstance(layer, ClassicDropout)

    def replacement(layer: keras.layers.Layer) -> keras.layers.Layer:
        if id(layer) not in acting:
            return stock_layer(layer)
        if used[id(layer)] > 1:
            raise InputError(f"the random layer {layer.name!r} is used more than once, with another mask each time")
        return _fixed(layer, acting[id(layer)])

    copy = copy_with(model, concerned, replacement, name, same=False)
    compile_like(model, copy)
    return copy


def _fixed(layer: keras.layers.Layer, acting: Acting) -> keras.layers.Layer:
    """Return a layer that multiplies and adds what this one does in its context."""
    if not isinstance(layer, AFFINE):
        raise InputError(
            f"the random layer {layer.name!r} ({type(layer).__name__}) does more than multiply and add, so that no "
            "stock layer can stand for it with a fixed mask"
        )
    shape = (1, *layer.input.shape[1:])
    if None in shape:
        raise InputError(f"the random layer {layer.name!r} takes inputs of unknown shape {shape[1:]}")

    def acted_on(value: float) -> Any:
        with acting():
            return np.asarray(layer(tf.fill(shape, tf.cast(value, layer.compute_dtype)), training=True))[0]

    offset = acted_on(0.0)
    scale = acted_on(1.0) - offset
    shift = offset.tolist() if offset.any() else 0.0
    return keras.layers.Rescaling(scale.tolist(), shift, name=layer.name, dtype=layer.dtype_policy)
