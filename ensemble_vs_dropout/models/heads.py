"""What the outputs of a model mean: logits or probabilities, and how its loss wants the labels.

It is read from the loss, so that a softmax is applied exactly once. Where the loss is none of Keras' cross-entropies,
the last activation tells, or the user.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.checks import InputError, check_known
from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.models.calling import map_shapes, seen_shapes
from ensemble_vs_dropout.models.graphs import graph_of
from ensemble_vs_dropout.models.layers import IDENTITIES

HEADS = ("logits", "probabilities")
NUMBER_HEADS = ("mean", "normal")  # what the outputs are of a model that predicts a number; see `models.number_heads`
EVERY_HEAD = (*HEADS, *NUMBER_HEADS)
NUMBERS, COLUMN, ONE_HOT = "numbers", "column", "one_hot"  # forms of labels: (n,), (n, 1) and (n, classes)
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
_DECLARED = "_head_of_ensemble_vs_dropout"  # the attribute of a model that holds what the user says of its outputs
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
        form: How the loss wants the labels: "numbers", "column" or "one_hot".
    """

    classes: int
    logits: bool
    units: int
    form: str = NUMBERS

    @property
    def columns(self) -> int:
        """How many numbers are predicted for an example."""
        return self.classes

    def predicted(self, outputs: Any) -> Any:
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

    def targets(self, labels: npt.NDArray[Any]) -> npt.NDArray[np.generic]:
        """Return the labels as the loss wants them."""
        if self.form == ONE_HOT:
            return np.eye(self.classes, dtype=np.float32)[labels]
        numbers = labels.astype(np.float32) if self.units == 1 else labels
        return numbers[:, None] if self.form == COLUMN else numbers


def declare(model: keras.Model, head: str | None) -> keras.Model:
    """Note on a model what the user says of its outputs, and return it.

    Args:
        model: It is not changed otherwise.
        head: "logits" or "probabilities", of a number "mean" or "normal", or None where the model itself tells.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
        >>> read_head(declare(model, "logits")).logits
        True
    """
    if head is not None:
        setattr(model, _DECLARED, check_known("head", head, EVERY_HEAD))
    return model


def declared(model: keras.Model) -> str | None:
    """Return what the user says of a model's outputs, or None."""
    return getattr(model, _DECLARED, None)


def declaring(build: Callable[..., keras.Model], head: str | None) -> Callable[..., keras.Model]:
    """Return a builder whose models are declared to have this head; of None, the builder itself."""
    if head is None:
        return build
    check_known("head", head, EVERY_HEAD)

    @wraps(build)
    def built(*args: Any, **kwargs: Any) -> keras.Model:
        return declare(build(*args, **kwargs), head)

    return built


def read_head(model: keras.Model, said: str | None = None, alone: bool = True) -> Head:
    """Read what a model's outputs mean, to predict with it: from its loss, else from its last activation.

    Args:
        model: Any Keras model of one output; it is not changed.
        said: "logits" or "probabilities", what the user says of its outputs; None for what was declared, if anything.
        alone: Whether it is said of this model; else of several, those of which their loss tells nothing.

    Raises:
        InputError: Not a Keras model, a stateful layer, more than one output, a model that does not tell, or one that
            contradicts itself or the user.
    """
    check_readable(model)
    if said is not None:
        check_known("head", said, HEADS)
    if declared(model) in NUMBER_HEADS:
        raise InputError(f"{model.name!r} is said to predict a number, which has no classes; this is for classifiers")
    found, units, said = read_loss(model), units_of(model), said or declared(model)
    if found is None:
        logits = _read_activation(model, units, said)
        return Head(classes=max(units, 2), logits=logits, units=units, form=COLUMN if units == 1 else NUMBERS)
    kind, logits = found
    if alone and said is not None and logits != (said == "logits"):
        raise InputError(
            f"head of {model.name!r} must be what its loss expects, {HEADS[not logits]!r}, got {said!r}; leave it out"
        )
    if kind is None:  # Keras' "crossentropy" is the one that the labels fit, and a head gives numbers
        kind = keras.losses.BinaryCrossentropy if units == 1 else keras.losses.SparseCategoricalCrossentropy
    binary = kind in _BINARY
    if (binary and units != 1) or (not binary and units < 2):
        raise InputError(
            f"the outputs of {model.name!r} must be one unit with a binary cross-entropy or one unit for each class "
            f"with a categorical one, got {units} with {kind.__name__}"
        )
    _check_activation(model, logits, units, f"its loss {'has from_logits=True' if logits else 'expects probabilities'}")
    form = COLUMN if binary else ONE_HOT if kind in _ONE_HOT else NUMBERS
    return Head(classes=max(units, 2), logits=logits, units=units, form=form)


def check_readable(model: keras.Model) -> None:
    """Raise `InputError` unless a model is one of Keras, without states that last, and of one output."""
    if not isinstance(model, keras.Model):
        raise InputError(f"a model must be a keras.Model, got {type(model).__name__}; the builder must return one")
    for layer in model._flatten_layers():
        if getattr(layer, "stateful", False):
            raise InputError(
                f"the layer {layer.name!r} ({type(layer).__name__}) of {model.name!r} is stateful: it carries its "
                "states from batch to batch, so that a prediction depends on those before it; build it with "
                "stateful=False"
            )
    if len(getattr(model, "outputs", None) or ()) > 1:
        raise InputError(f"the model {model.name!r} must have one output, got {len(model.outputs)}")


def single_output(outputs: Any) -> Any:
    """Return the one tensor of what a model returned: bare, or the only one in a list, a tuple or a dict."""
    flat = keras.tree.flatten(outputs)
    if len(flat) != 1:
        raise InputError(f"a model must have one output, got {len(flat)}")
    return flat[0]


def _read_activation(model: keras.Model, units: int, said: str | None) -> bool:
    """Return whether the outputs are logits, by the last activation or by what the user says."""
    if said is not None:
        _check_activation(model, said == "logits", units, f"head is {said!r}")
        return said == "logits"
    graph = graph_of(model)
    activation = last_activation(graph.outputs[0]) if graph is not None else ""
    if activation in _probable(units):
        return False
    ending = f"ends with {activation}" if activation else "is not one of Keras' activations"
    if activation == "sigmoid":
        raise InputError(
            f"the last layer of {model.name!r} ends with sigmoid over {units} units, which is for several labels of an "
            "example; end with softmax, or with one unit for two classes"
        )
    loss = getattr(model, "loss", None)
    what = "it has no loss" if loss is None else f"its loss {loss!r} is no cross-entropy of Keras"
    raise InputError(
        f"what the outputs of {model.name!r} mean must be known: {what}, and its last layer {ending}; give "
        'head="logits" or head="probabilities"'
    )


def _probable(units: int) -> tuple[str, ...]:
    """Return the activations that give probabilities."""
    return ("sigmoid", "hard_sigmoid", "sparse_sigmoid") if units == 1 else ("softmax", "sparsemax")


def read_loss(model: keras.Model) -> tuple[type[keras.losses.Loss] | None, bool] | None:
    """Return which cross-entropy the loss is (None for "the one that fits") and whether it takes logits.

    None for another loss, or none.
    """
    if not getattr(model, "compiled", False) or model.loss is None:
        return None
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
    if kind is None and not callable(loss):
        raise InputError(f"the loss of {model.name!r} must be one that Keras takes for one output, got {model.loss!r}")
    return None if kind is None else (kind, bool(settings.get("from_logits", False)))


def _config(loss: object) -> dict[str, Any]:
    return loss.get_config() if isinstance(loss, keras.losses.Loss) else {}


def units_of(model: keras.Model) -> int:
    """Return the number of outputs for an example, or raise `InputError` if they are no row."""
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
    try:
        outputs = model.compute_output_spec(map_shapes(lambda shape: keras.KerasTensor((None, *shape[1:])), seen))
    except Exception as error:  # the user's own call
        raise InputError(
            f"call of {model.name!r} ({type(model).__name__}) must take all inputs as its first argument, a tensor or "
            f"a dict or list of tensors, and nothing else that it needs: {' '.join(str(error).split())[:200]}"
        ) from error
    shapes = [output.shape for output in keras.tree.flatten(outputs)]
    return shapes[0] if len(shapes) == 1 else shapes


def _check_activation(model: keras.Model, logits: bool, units: int, because: str) -> None:
    """Raise `InputError` if the last activation contradicts what the outputs are, and say because of what."""
    graph = graph_of(model)
    activation = last_activation(graph.outputs[0]) if graph is not None else ""
    last = f"the last layer of {model.name!r}"
    if logits and activation in ("softmax", "sigmoid"):
        raise InputError(
            f"{last} ends with {activation} while {because}, so it would be applied twice; drop one of them"
        )
    probable = _probable(units)
    if logits or activation in ("", *probable):
        return
    if activation == "linear":
        raise InputError(
            f"{last} gives logits while {because}; compile with a loss with from_logits=True, or end with {probable[0]}"
        )
    what = "is always 1 over one unit" if activation == "softmax" else "gives no probabilities"
    raise InputError(
        f"{last} ends with {activation}, which {what}, while {because}; end with {probable[0]}, or with no activation "
        "and a loss with from_logits=True"
    )


def last_activation(tensor: Any, outer: tuple[Any, ...] = (), beside: bool = False) -> str:
    """Return the name of what makes a tensor of a graph, or "" where it cannot be known.

    Args:
        tensor: An output of the graph.
        outer: The nodes that the graph is called by, the innermost last.
        beside: Whether of outputs that are put beside each other the last one tells; else they cannot be known.
    """
    operation, place, number = tensor._keras_history
    node = operation._inbound_nodes[place]
    if node.is_input:
        if not outer or len(outer[-1].input_tensors) != 1:
            return ""
        return last_activation(outer[-1].input_tensors[0], outer[:-1], beside)
    graph = graph_of(operation)
    if graph is not None:
        return last_activation(graph.outputs[number], (*outer, node), beside)
    if beside and type(operation) is keras.layers.Concatenate:
        return last_activation(node.input_tensors[-1], outer, beside)
    name = _activation_of(operation)
    leaves_as_is = type(operation).__name__ in IDENTITIES and _of_keras(type(operation).call)
    if leaves_as_is or (isinstance(operation, keras.layers.Activation) and name == "linear"):
        return last_activation(node.input_tensors[0], outer, beside)
    return name


def _activation_of(maker: Any) -> str:
    """Return Keras' name of the activation that a layer, an operation or a function ends with, or ""."""
    if isinstance(maker, keras.layers.Wrapper) and _of_keras(type(maker).call):
        graph = graph_of(maker.layer)
        return _activation_of(maker.layer) if graph is None else last_activation(graph.outputs[0])
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
