"""What a Keras model is called with, and gives back: tensors, or tensors in a dict, a list, or these nested."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.models.backend import keras, tf
from ensemble_vs_dropout.types.inputs import columns_of, nested


def input_of(model: keras.Model) -> Any:
    """Return a `tf.TensorSpec` for what a model takes, with the axis of examples open, or such specs nested.

    Raises:
        InputError: It is subclassed and was not called yet.

    Example:
        >>> input_of(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]))
        TensorSpec(shape=(None, 3), dtype=tf.float32, name=None)
    """
    inputs = getattr(model, "inputs", None)
    if inputs:
        nested_inputs = getattr(model, "_inputs_struct", inputs)
        specs = keras.tree.map_structure(lambda one: _spec(one.shape, one.dtype), nested_inputs)
    else:
        shapes = seen_shapes(model)
        if shapes is None:
            raise InputError(f"the subclassed model {model.name!r} must be built before, by calling it on a batch")
        specs = map_shapes(lambda shape: _spec(shape, model.input_dtype), shapes)
    flat = keras.tree.flatten(specs)
    return flat[0] if len(flat) == 1 else specs


def seen_shapes(model: keras.Model) -> Any:
    """Return the shape of the batch that a subclassed model was called on, or shapes nested; None before any call."""
    shapes = list((model.get_build_config() or {}).values())
    return shapes[0] if len(shapes) == 1 and isinstance(shapes[0], (tuple, list, dict)) else None


def map_shapes(function: Callable[[tuple[int | None, ...]], Any], shapes: Any) -> Any:
    """Return what a function makes of each shape of nested ones, nested alike."""
    if isinstance(shapes, Mapping):
        return {key: map_shapes(function, inner) for key, inner in shapes.items()}
    if any(isinstance(inner, (tuple, list, dict)) for inner in shapes):
        return [map_shapes(function, inner) for inner in shapes]
    return function(tuple(shapes))


def as_tensors(x: npt.NDArray[np.generic], computed: bool = False) -> Any:
    """Return features as a model is called with them: a tensor, or tensors nested.

    Args:
        x: With a field for each input where there are several.
        computed: Whether floats become those that Keras computes with; else they keep their dtype.
    """

    def tensor(column: npt.NDArray[np.generic]) -> tf.Tensor:
        floats = computed and column.dtype == np.float64
        return tf.convert_to_tensor(np.ascontiguousarray(column.astype(keras.config.floatx()) if floats else column))

    return nested({place: tensor(column) for place, column in columns_of(x).items()})


def examples_in(features: Any) -> tf.Tensor:
    """Return the number of examples of a batch as a tensor."""
    return tf.shape(keras.tree.flatten(features)[0])[0]


def _spec(shape: Any, dtype: Any) -> tf.TensorSpec:
    return tf.TensorSpec((None, *shape[1:]), dtype)
