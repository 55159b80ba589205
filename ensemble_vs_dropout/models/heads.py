"""What the outputs of a compiled model mean: logits or probabilities, and how its loss wants the labels.

It is read from the loss, so that a softmax is applied exactly once.
"""

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.models.calling import map_shapes, seen_shapes
from ensemble_vs_dropout.models.graphs import graph_of
from ensemble_vs_dropout.models.layers import IDENTITIES
from ensemble_vs_dropout.types import IntArray

TINY = float(np.finfo(np.float32).tiny)
_FUNCTIONS = {  # by the class of the loss
    keras.losses.SparseCategoricalCrossentropy: keras.losses.sparse_categorical_crossentropy,
    keras.losses.CategoricalCrossentropy: keras.losses.categorical_crossentropy,
    keras.losses.CategoricalFocalCrossentropy: keras.losses.categorical_focal_crossentropy,
    keras.losses.BinaryCrossentropy: keras.losses.binary_crossentropy,
    keras.losses.BinaryFocalCrossentropy: keras.losses.binary_focal_crossentropy,
}
_ONE_HOT = (keras.losses.CategoricalCrossentropy, keras.losses.CategoricalFocalCrossentropy)
_BINARY = (keras.losses.BinaryCrossentropy, keras.losses.BinaryFocalCrossentropy)
_ACTIVATIONS = {
    name.replace("_", ""): name
    for name in vars(keras.activations)
    if not name.startswith("_") and name not in ("get", "serialize", "deserialize")
}


@dataclass(frozen=True)
class Head:
    """How to read one model's outputs.

    Attributes:
        classes: The number of classes K.
        logits: Whether the outputs still need a softmax (or, with one unit, a sigmoid).
        units: The number of outputs: K, or 1 for a binary model whose one output is class 1's.
        one_hot: Whether the loss wants one-hot labels.
    """

    classes: int
    logits: bool
    units: int
    one_hot: bool = False

    def probabilities(self, outputs: Any) -> Any:
        """Return float32 probabilities (..., classes) from what a model returned, outputs (..., units) or symbols."""
        outputs = single_output(outputs)
        half = keras.backend.standardize_dtype(outputs.dtype) in ("float16", "bfloat16")
        outputs = keras.ops.cast(outputs, "float32")
        if half and not self.logits and self.units > 1:  # a softmax in half precision sums to 1 within 2 in a hundred
            sums = keras.ops.sum(outputs, axis=-1, keepdims=True)
            outputs = keras.ops.where(keras.ops.abs(sums - 1) < 0.02, outputs / sums, outputs)
        if self.units == 1 and self.logits:
            outputs = keras.ops.sigmoid(keras.ops.concatenate([-outputs, outputs], axis=-1))
        elif self.units == 1:
            return keras.ops.concatenate([1 - outputs, outputs], axis=-1)
        elif self.logits:
            outputs = keras.ops.softmax(outputs)
        # A softmax is never 0, though float32 would round it so; a 0 would veto the geometric mean.
        return keras.ops.maximum(outputs, TINY) if self.logits else outputs

    def targets(self, labels: IntArray) -> npt.NDArray[np.generic]:
        """Return the labels as the loss wants them."""
        if self.units == 1:
            return labels.astype(np.float32)[:, None]
        if self.one_hot:
            return np.eye(self.classes, dtype=np.float32)[labels]
        return labels


def read_head(model: keras.Model) -> Head:
    """Read from a model's loss what its outputs mean.

    Raises:
        InputError: Not a Keras model, not compiled, a stateful layer, more than one output, a loss that is no
            cross-entropy, or a loss that contradicts the activation of the last layer.
    """
    if not isinstance(model, keras.Model):
        raise InputError(f"a model must be a keras.Model, got {type(model).__name__}; the builder must return one")
    if not getattr(model, "compiled", False):
        raise InputError(
            f"the model {model.name!r} must be compiled, so that its loss says whether it gives logits or "
            "probabilities; call model.compile(optimizer, loss) before"
        )
    for layer in model._flatten_layers():
        if getattr(layer, "stateful", False):
            raise InputError(
                f"the layer {layer.name!r} ({type(layer).__name__}) of {model.name!r} is stateful: it carries its "
                "states from batch to batch, so that a prediction depends on those before it; build it with "
                "stateful=False"
            )
    if len(getattr(model, "outputs", None) or ()) > 1:
        raise InputError(f"the model {model.name!r} must have one output, got {len(model.outputs)}")
    kind, logits = _read_loss(model)
    units = _units(model)
    if kind is None:  # Keras' "crossentropy" is the one that the labels fit, and a head gives numbers
        kind = keras.losses.BinaryCrossentropy if units == 1 else keras.losses.SparseCategoricalCrossentropy
    binary = kind in _BINARY
    if (binary and units != 1) or (not binary and units < 2):
        raise InputError(
            f"the outputs of {model.name!r} must be one unit with a binary cross-entropy or one unit for each class "
            f"with a categorical one, got {units} with {kind.__name__}"
        )
    _check_activation(model, logits, units)
    return Head(classes=max(units, 2), logits=logits, units=units, one_hot=kind in _ONE_HOT)


def single_output(outputs: Any) -> Any:
    """Return the one tensor of what a model returned: bare, or the only one in a list, a tuple or a dict."""
    flat = keras.tree.flatten(outputs)
    if len(flat) != 1:
        raise InputError(f"a model must have one output, got {len(flat)}")
    return flat[0]


def _read_loss(model: keras.Model) -> tuple[type[keras.losses.Loss] | None, bool]:
    """Return which cross-entropy the loss is (None for "the one that fits") and whether it takes logits."""
    names = getattr(model, "output_names", None) or ()
    if isinstance(model.loss, dict) and set(model.loss) != set(names):
        told = f"be named as its output is, {names[0]!r}" if names else "be given by itself, as its output has no name"
        raise InputError(f"the loss of {model.name!r} must {told}; got a dict of {', '.join(map(repr, model.loss))}")
    given = keras.tree.flatten(model.loss)
    loss = given[0] if len(given) == 1 else model.loss
    if isinstance(loss, str):
        if loss.lower() in ("crossentropy", "ce"):
            return None, False
        with suppress(ValueError):  # a name that Keras does not know stays a name, which is refused
            loss = keras.losses.get(loss)
    if isinstance(loss, type) and loss in _FUNCTIONS:
        loss = loss()
    kind = next((known for known in _FUNCTIONS if isinstance(loss, known)), None)
    if kind:
        return kind, bool(_config(loss).get("from_logits", getattr(loss, "from_logits", False)))
    function, settings = getattr(loss, "fn", loss), _config(loss)
    if isinstance(function, partial) and not function.args:
        settings = {**function.keywords, **settings}
        function = function.func
    kind = next((known for known, its in _FUNCTIONS.items() if function is its), None)
    if kind is None:
        raise InputError(
            f"the loss of {model.name!r} must be a cross-entropy, by which logits are told from probabilities, "
            f"got {model.loss!r}; use keras.losses.SparseCategoricalCrossentropy(from_logits=...)"
        )
    return kind, bool(settings.get("from_logits", False))


def _config(loss: object) -> dict[str, Any]:
    return loss.get_config() if isinstance(loss, keras.losses.Loss) else {}


def _units(model: keras.Model) -> int:
    shape = getattr(model, "output_shape", None) or _called_shape(model)
    if not isinstance(shape, tuple) or len(shape) != 2 or not isinstance(shape[1], int):
        raise InputError(
            f"the model {model.name!r} must have one output of shape (examples, classes), got {shape}; a subclassed "
            "model must be built before, by calling it on a batch"
        )
    return shape[1]


def _called_shape(model: keras.Model) -> Any:
    """Return the shape that a subclassed model gives for the batch it was called on, or None before any call."""
    seen = seen_shapes(model)
    if seen is None:
        return None
    outputs = model.compute_output_spec(map_shapes(lambda shape: keras.KerasTensor((None, *shape[1:])), seen))
    shapes = [output.shape for output in keras.tree.flatten(outputs)]
    return shapes[0] if len(shapes) == 1 else shapes


def _check_activation(model: keras.Model, logits: bool, units: int) -> None:
    graph = graph_of(model)
    activation = _last_activation(graph.outputs[0]) if graph is not None else ""
    last = f"the last layer of {model.name!r}"
    if logits and activation in ("softmax", "sigmoid"):
        raise InputError(
            f"{last} ends with {activation} while its loss has from_logits=True, so it would be applied twice; drop "
            "one of them"
        )
    probable = ("sigmoid", "hard_sigmoid", "sparse_sigmoid") if units == 1 else ("softmax", "sparsemax")
    if logits or activation in ("", *probable):
        return
    if activation == "linear":
        raise InputError(
            f"{last} gives logits while its loss expects probabilities; compile with a loss with from_logits=True, or "
            f"end with {probable[0]}"
        )
    what = "is always 1 over one unit" if activation == "softmax" else "gives no probabilities"
    raise InputError(
        f"{last} ends with {activation}, which {what}, while its loss expects probabilities; end with {probable[0]}, "
        "or with no activation and a loss with from_logits=True"
    )


def _last_activation(tensor: Any, outer: tuple[Any, ...] = ()) -> str:
    """Return the name of what makes a tensor of a graph, or "" where it cannot be known.

    Args:
        tensor: An output of the graph.
        outer: The nodes that the graph is called by, the innermost last.
    """
    operation, place, number = tensor._keras_history
    node = operation._inbound_nodes[place]
    if node.is_input:
        if not outer or len(outer[-1].input_tensors) != 1:
            return ""
        return _last_activation(outer[-1].input_tensors[0], outer[:-1])
    graph = graph_of(operation)
    if graph is not None:
        return _last_activation(graph.outputs[number], (*outer, node))
    name = _activation_of(operation)
    leaves_as_is = type(operation).__name__ in IDENTITIES and _of_keras(type(operation).call)
    if leaves_as_is or (isinstance(operation, keras.layers.Activation) and name == "linear"):
        return _last_activation(node.input_tensors[0], outer)
    return name


def _activation_of(maker: Any) -> str:
    """Return Keras' name of the activation that a layer, an operation or a function ends with, or ""."""
    if isinstance(maker, keras.layers.Wrapper) and _of_keras(type(maker).call):
        graph = graph_of(maker.layer)
        return _activation_of(maker.layer) if graph is None else _last_activation(graph.outputs[0])
    if isinstance(maker, (keras.Layer, keras.Operation)):
        if not _of_keras(type(maker).call) or getattr(maker, "max_value", None) is not None:  # a ReLU with a lid
            return ""
        activation = getattr(maker, "activation", None)
        return _activation_of(activation) if activation is not None else _known_name(type(maker).__name__)
    return _known_name(getattr(maker, "__name__", "")) if _of_keras(maker) else ""


def _of_keras(function: Any) -> bool:
    return str(getattr(function, "__module__", "")).split(".")[0] in ("keras", "tensorflow")


def _known_name(name: str) -> str:
    return _ACTIVATIONS.get(name.lower().replace("_", "").removesuffix("v2"), "")  # tf.nn.softmax is softmax_v2
