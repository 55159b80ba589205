"""The two formulations of dropout, and how to turn a network of one into the same network of the other.

* Inverted, Keras' own `Dropout`: while training a kept unit is divided by the keep probability; predicting does
  nothing.
* Classic, `ClassicDropout` (Hinton et al. 2012; Srivastava et al. 2014): while training a kept unit stays as it is;
  predicting multiplies by the keep probability, which scales the outgoing weights.

`rate` is the probability to DROP a unit everywhere here, as in Keras; the papers' p is the probability to keep it.
With the weights that follow multiplied by 1 / keep, a classic network computes what the inverted one does, in every
training pass with the same mask and in prediction (Srivastava et al. 2014, section 10).
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.keras_backend import Functional, keras

# What a factor passes through unchanged on its way to the next weights.
_HOMOGENEOUS = (
    keras.layers.Flatten,
    keras.layers.Reshape,
    keras.layers.Permute,
    keras.layers.RepeatVector,
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.MaxPooling1D,
    keras.layers.MaxPooling2D,
    keras.layers.MaxPooling3D,
    keras.layers.AveragePooling1D,
    keras.layers.AveragePooling2D,
    keras.layers.AveragePooling3D,
    keras.layers.GlobalAveragePooling1D,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalMaxPooling1D,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.ZeroPadding1D,
    keras.layers.ZeroPadding2D,
    keras.layers.UpSampling2D,
    keras.layers.Dropout,
)
_WEIGHTED = (keras.layers.Dense, keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)


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
        """Drop units while training, scale all of them otherwise; the shape stays."""
        if not training:
            return inputs * keras.ops.cast(1 - self.rate, inputs.dtype)
        dropped = super().call(inputs, training=True)
        return keras.ops.where(keras.ops.equal(dropped, 0), keras.ops.zeros_like(inputs), inputs)


def to_classic(model: keras.Model) -> keras.Model:
    """Return a compiled copy in which every `Dropout` is a `ClassicDropout`, and that computes the same.

    The kernels that a dropped unit goes into are multiplied by 1 / keep; biases are not.

    Args:
        model: A functional or sequential model whose dropout layers lead to dense or convolution layers, directly or
            through layers that a factor passes through, such as Flatten, ReLU and pooling.

    Raises:
        InputError: The model is subclassed, or a dropout layer leads to something else.
    """
    return _converted(model, keras.layers.Dropout, ClassicDropout, lambda keep: 1 / keep)


def to_inverted(model: keras.Model) -> keras.Model:
    """Return a compiled copy in which every `ClassicDropout` is a `Dropout`, and that computes the same.

    The kernels that a dropped unit goes into are multiplied by keep; biases are not. See `to_classic`.
    """
    return _converted(model, ClassicDropout, keras.layers.Dropout, lambda keep: keep)


def _converted(model: keras.Model, old: type[Any], new: type[Any], factor: Callable[[float], float]) -> keras.Model:
    if not isinstance(model, (Functional, keras.Sequential)):
        raise InputError(f"the model {model.name!r} must be functional or sequential, so that its graph can be seen")
    factors: dict[int, float] = {}

    def replaced(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        if type(layer) is not old:
            return type(layer).from_config(config)
        return new(layer.rate, noise_shape=layer.noise_shape, seed=layer.seed, name=layer.name, dtype=config["dtype"])

    copy = keras.models.clone_model(model, clone_function=replaced, recursive=True)
    copy.set_weights(model.get_weights())
    layers = [layer for layer in model._flatten_layers(include_self=False) if type(layer) is old and layer.rate > 0]
    for layer in layers:
        for weighted in _next_weights(layer, layer):
            factors[id(weighted)] = factors.get(id(weighted), 1.0) * factor(1 - layer.rate)
    pairs = zip(model._flatten_layers(), copy._flatten_layers(), strict=True)
    for before, after in pairs:
        if id(before) in factors:
            after.kernel.assign(np.asarray(before.kernel) * factors[id(before)])
    if getattr(model, "compiled", False):
        copy.compile_from_config(model.get_compile_config())
    return copy


def _next_weights(layer: keras.layers.Layer, dropout: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Return the layers whose kernels the outputs of `layer` go into."""
    if len(layer._inbound_nodes) != 1:
        raise InputError(
            f"the layer {layer.name!r} is used {len(layer._inbound_nodes)} times; only once can be converted"
        )
    found = []
    for node in layer._outbound_nodes:
        following = node.operation
        linear = isinstance(following, keras.layers.Activation) and following.activation.__name__ in ("linear", "relu")
        if isinstance(following, _WEIGHTED):
            if len(following._inbound_nodes) != 1:
                raise InputError(f"the layer {following.name!r} is used more than once; only once can be converted")
            found.append(following)
        elif isinstance(following, _HOMOGENEOUS) or linear:
            found += _next_weights(following, dropout)
        else:
            raise InputError(
                f"the dropout layer {dropout.name!r} leads to {following.name!r} ({type(following).__name__}), which "
                "has no kernel to scale; only dense and convolution layers have"
            )
    if not found:
        raise InputError(f"the dropout layer {dropout.name!r} leads to no kernel that could be scaled")
    return found
