"""The two formulations of dropout, and how to turn a network of one into the same network of the other.

* Inverted, Keras' own `Dropout`: while training a kept unit is divided by the keep probability; predicting does
  nothing.
* Classic, `ClassicDropout` (Hinton et al. 2012; Srivastava et al. 2014): while training a kept unit stays as it is;
  predicting multiplies by the keep probability, which scales the outgoing weights.

`rate` is the probability to DROP a unit everywhere here, as in Keras; the papers' p is the probability to keep it.
With the weights that follow multiplied by 1 / keep, a classic network computes what the inverted one does, in every
training pass with the same mask and in prediction (Srivastava et al. 2014, section 10).
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.models.copies import check_alike, check_seen, compile_like, copy_with
from ensemble_vs_dropout.models.graphs import graph_of, nodes, times_used
from ensemble_vs_dropout.models.layers import HOMOGENEOUS, KERNELS


@keras.saving.register_keras_serializable(package="ensemble_vs_dropout")
class ClassicDropout(keras.layers.Dropout):  # type: ignore[misc]  # Keras has no types
    """Dropout as first published: kept units stay as they are, and predicting multiplies by the keep probability.

    Args:
        rate: Probability to drop a unit, in [0, 1); the keep probability is 1 - rate.
        noise_shape: As in Keras' `Dropout`.
        seed: As in Keras' `Dropout`.

    Example:
        >>> layer = ClassicDropout(0.25)
        >>> np.asarray(layer(np.ones((1, 2)))).tolist()
        [[0.75, 0.75]]
    """

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Drop units while training, scale all of them otherwise; the shape stays.

        Ones that go through Keras' dropout tell which units are kept. What is kept is not divided, so this is another
        operation than `draws.dropped`.
        """
        inputs = keras.ops.cast(inputs, self.compute_dtype)  # whole numbers come as they are
        if not training:
            return inputs * keras.ops.cast(1 - self.rate, inputs.dtype)
        kept = super().call(keras.ops.ones_like(inputs), training=True)
        return inputs * keras.ops.cast(kept != 0, inputs.dtype)


def stock_layer(layer: ClassicDropout) -> keras.layers.Layer:
    """Return the stock layer that predicts as a classic dropout layer does, to deploy without this package."""
    return keras.layers.Rescaling(1 - layer.rate, name=layer.name, dtype=layer.dtype_policy)


def to_classic(model: keras.Model) -> keras.Model:
    """Return a compiled copy in which every `Dropout` is a `ClassicDropout`, and that computes the same.

    The kernels that a dropped unit goes into are multiplied by 1 / keep; biases are not.

    Args:
        model: A functional or sequential model whose dropout layers lead to dense or convolution layers, directly or
            through layers that a factor passes through, such as Flatten, ReLU and pooling.

    Raises:
        InputError: The model is subclassed, or a dropout layer leads to something else.

    Example:
        >>> layers = [keras.Input((2,)), keras.layers.Dropout(0.5), keras.layers.Dense(1, kernel_initializer="ones")]
        >>> model = keras.Sequential(layers)
        >>> model.compile("sgd", "mse")
        >>> to_classic(model).layers[-1].kernel.numpy().ravel().tolist()
        [2.0, 2.0]
    """
    return _converted(model, keras.layers.Dropout, ClassicDropout, lambda keep: 1 / keep)


def to_inverted(model: keras.Model) -> keras.Model:
    """Return a compiled copy in which every `ClassicDropout` is a `Dropout`, and that computes the same.

    The kernels that a dropped unit goes into are multiplied by keep; biases are not. See `to_classic`.

    Example:
        >>> layers = [keras.Input((2,)), ClassicDropout(0.5), keras.layers.Dense(1, kernel_initializer="ones")]
        >>> model = keras.Sequential(layers)
        >>> model.compile("sgd", "mse")
        >>> to_inverted(model).layers[-1].kernel.numpy().ravel().tolist()
        [0.5, 0.5]
    """
    return _converted(model, ClassicDropout, keras.layers.Dropout, lambda keep: keep)


def _converted(model: keras.Model, old: type[Any], new: type[Any], factor: Callable[[float], float]) -> keras.Model:
    def replacement(layer: keras.layers.Layer) -> keras.layers.Layer:
        if layer.rate == 1:
            raise InputError(f"the dropout layer {layer.name!r} has rate 1 and keeps nothing that could be scaled")
        dtype = layer.dtype_policy
        return new(layer.rate, noise_shape=layer.noise_shape, seed=layer.seed, name=layer.name, dtype=dtype)

    check_seen(model)
    copy = copy_with(model, lambda layer: type(layer) is old, replacement, model.name, same=False)
    factors: dict[int, float] = {}
    used = times_used(model)
    for layer, weighted in _pairs(graph_of(model), old, []):
        for one in (layer, weighted):
            if used[id(one)] > 1:
                raise InputError(f"the layer {one.name!r} is used {used[id(one)]} times; only once can be converted")
        factors[id(weighted)] = factors.get(id(weighted), 1.0) * factor(1 - layer.rate)
    for before, after in zip(model._flatten_layers(), copy._flatten_layers(), strict=True):
        if id(before) in factors:
            after.kernel.assign(np.asarray(before.kernel) * factors[id(before)])
    check_alike(model, copy)
    compile_like(model, copy)
    return copy


def _pairs(graph: Any, old: type[Any], outer: list[Any]) -> Iterator[tuple[Any, Any]]:
    """Yield each dropout layer with each layer whose kernel its outputs go into; `outer` are the graphs around."""
    for node in nodes(graph):
        if type(node.operation) is old and node.operation.rate > 0:
            found = list(_following(graph, node.outputs[0], outer, node.operation))
            if not found:
                raise InputError(f"the dropout layer {node.operation.name!r} leads to no kernel that could be scaled")
            yield from ((node.operation, weighted) for weighted in found)
        inner = graph_of(node.operation)
        if inner is not None:
            yield from _pairs(inner, old, [(graph, node), *outer])


def _following(graph: Any, tensor: Any, outer: list[Any], dropout: keras.layers.Layer) -> Iterator[keras.layers.Layer]:
    """Yield the layers whose kernels a tensor goes into."""
    for node in nodes(graph):
        places = [place for place, given in enumerate(node.input_tensors) if given is tensor]
        if not places:
            continue
        inner = graph_of(node.operation)
        if inner is not None:
            for place in places:
                yield from _following(inner, inner.inputs[place], [(graph, node), *outer], dropout)
        elif type(node.operation) in KERNELS:
            yield node.operation
        elif _passes_a_factor(node.operation):
            yield from _following(graph, node.outputs[0], outer, dropout)
        else:
            raise InputError(
                f"the dropout layer {dropout.name!r} leads to {node.operation.name!r} "
                f"({type(node.operation).__name__}), which has no kernel to scale; dense and convolution layers have"
            )
    for place, output in enumerate(graph.outputs):
        if output is tensor:
            if not outer:
                raise InputError(f"the dropout layer {dropout.name!r} leads to no kernel but to the model's output")
            (around, node), *further = outer
            yield from _following(around, node.outputs[place], further, dropout)


def _passes_a_factor(layer: keras.layers.Layer) -> bool:
    """Return whether a layer gives c times its outputs for c times its inputs, for any c above 0."""
    if isinstance(layer, keras.layers.Activation):
        return layer.activation in (keras.activations.relu, keras.activations.linear)
    if type(layer) is keras.layers.ReLU:
        return layer.max_value is None and not layer.threshold
    return isinstance(layer, ClassicDropout) or type(layer) in HOMOGENEOUS
