"""One thinned network of a dropout network, as a plain Keras model: its random layers are replaced by fixed ones."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.inference._graph import graph_of
from ensemble_vs_dropout.keras_backend import keras, tf

Acting = Callable[[], AbstractContextManager[Any]]  # a context in which a layer draws one certain mask


def thinned_network(model: keras.Model, acting: dict[int, Acting], name: str) -> keras.Model:
    """Return a compiled copy of a model in which random layers do to every input what they do in these contexts.

    Args:
        model: Functional or sequential.
        acting: By the id of each random layer that shall act, the context in which it draws its mask; the others are
            left as they are, which is in inference mode.
        name: Of the new model.
    """
    if graph_of(model) is None:
        raise InputError(
            f"the model {model.name!r} must be functional or sequential to be copied with a fixed mask; a subclassed "
            "one can be predicted with, but not materialised"
        )

    def fixed(layer: keras.layers.Layer) -> keras.layers.Layer:
        if id(layer) not in acting:
            return type(layer).from_config(layer.get_config())
        return _fixed(layer, acting[id(layer)])

    copy = keras.models.clone_model(model, clone_function=fixed, recursive=True)
    copy.name = name
    copy.set_weights(model.get_weights())
    copy.compile_from_config(model.get_compile_config())
    return copy


def _fixed(layer: keras.layers.Layer, acting: Acting) -> keras.layers.Layer:
    """Return a layer that multiplies and adds what this one does in its context."""
    plain = (keras.layers.Dropout, keras.layers.GaussianDropout, keras.layers.GaussianNoise, keras.layers.AlphaDropout)
    if not isinstance(layer, plain):
        raise InputError(
            f"the random layer {layer.name!r} ({type(layer).__name__}) does more than multiply and add, so that no "
            "stock layer can stand for it with a fixed mask"
        )
    if len(layer._inbound_nodes) > 1:
        raise InputError(f"the random layer {layer.name!r} is used more than once, with a mask of its own each time")
    shape = (1, *layer._inbound_nodes[0].input_tensors[0].shape[1:])
    if None in shape:
        raise InputError(f"the random layer {layer.name!r} takes inputs of unknown shape {shape[1:]}")

    def acted_on(value: float) -> Any:
        with acting():
            return np.asarray(layer(tf.fill(shape, tf.cast(value, layer.compute_dtype)), training=True))[0]

    offset = acted_on(0.0)
    scale = acted_on(1.0) - offset
    return keras.layers.Rescaling(scale.tolist(), offset.tolist() if offset.any() else 0.0, name=layer.name)
