"""What the outputs of a compiled model mean: logits or probabilities, and how its loss wants the labels.

It is read from the loss, so that a softmax is applied exactly once.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.keras_backend import keras
from ensemble_vs_dropout.types import IntArray

TINY = float(np.finfo(np.float32).tiny)


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
        """Return float32 probabilities (..., classes) from outputs (..., units), tensors or symbols."""
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
        InputError: Not a Keras model, not compiled, more than one output, a loss that is no cross-entropy, or a loss
            that contradicts the activation of the last layer.
    """
    if not isinstance(model, keras.Model):
        raise InputError(f"a model must be a keras.Model, got {type(model).__name__}; the builder must return one")
    if not getattr(model, "compiled", False):
        raise InputError(
            f"the model {model.name!r} must be compiled, so that its loss says whether it gives logits or "
            "probabilities; call model.compile(optimizer, loss) before"
        )
    loss = model.loss
    loss = keras.losses.get(loss) if isinstance(loss, str) else loss
    known = (
        keras.losses.SparseCategoricalCrossentropy,
        keras.losses.CategoricalCrossentropy,
        keras.losses.CategoricalFocalCrossentropy,
        keras.losses.BinaryCrossentropy,
        keras.losses.BinaryFocalCrossentropy,
    )
    names = {
        "sparse_categorical_crossentropy": known[0],
        "categorical_crossentropy": known[1],
        "binary_crossentropy": known[3],
    }
    kind = next((k for k in known if isinstance(loss, k)), names.get(getattr(loss, "__name__", "")))
    if kind is None:
        raise InputError(
            f"the loss of {model.name!r} must be a cross-entropy, by which logits are told from probabilities, "
            f"got {loss!r}; use keras.losses.SparseCategoricalCrossentropy(from_logits=...)"
        )
    if len(getattr(model, "inputs", None) or ()) > 1:
        input_of(model)  # says so
    logits = bool(getattr(loss, "from_logits", False) or _config(loss).get("from_logits", False))
    units = _units(model)
    binary = kind in known[3:]
    if (binary and units != 1) or (not binary and units < 2):
        raise InputError(
            f"the outputs of {model.name!r} must be one unit with a binary cross-entropy or one unit for each class "
            f"with a categorical one, got {units} with {kind.__name__}"
        )
    _check_activation(model, logits)
    return Head(classes=max(units, 2), logits=logits, units=units, one_hot=kind in known[1:3])


def input_of(model: keras.Model) -> tuple[tuple[int | None, ...], str]:
    """Return the shape of an example and the dtype of the features that a model takes.

    Raises:
        InputError: It has several inputs, or is subclassed and was not called yet.
    """
    inputs = getattr(model, "inputs", None)
    if inputs:
        if len(inputs) > 1:
            raise InputError(f"the model {model.name!r} must have one input, got {len(inputs)}")
        return tuple(inputs[0].shape[1:]), str(inputs[0].dtype)
    shape = _seen_shape(model)
    if shape is None:
        raise InputError(f"the subclassed model {model.name!r} must be built before, by calling it on a batch")
    return shape[1:], str(model.input_dtype)


def _config(loss: object) -> dict[str, object]:
    return loss.get_config() if hasattr(loss, "get_config") else {}


def _units(model: keras.Model) -> int:
    shape = getattr(model, "output_shape", None) or _called_shape(model)
    if not isinstance(shape, tuple) or len(shape) != 2 or not isinstance(shape[1], int):
        raise InputError(
            f"the model {model.name!r} must have one output of shape (examples, classes), got {shape}; a subclassed "
            "model must be built before, by calling it on a batch"
        )
    return shape[1]


def _called_shape(model: keras.Model) -> tuple[int | None, ...] | None:
    """Return the shape that a subclassed model gives for the batch it was called on, or None before any call."""
    shape = _seen_shape(model)
    return shape and getattr(model.compute_output_spec(keras.KerasTensor((None, *shape[1:]))), "shape", None)


def _seen_shape(model: keras.Model) -> tuple[int | None, ...] | None:
    """Return the shape of the batch that a subclassed model was called on, or None before any call."""
    shapes = list((model.get_build_config() or {}).values())
    return tuple(shapes[0]) if len(shapes) == 1 and isinstance(shapes[0], tuple) else None


def _check_activation(model: keras.Model, logits: bool) -> None:
    activation = _last_activation(model)
    if logits and activation in ("softmax", "sigmoid"):
        raise InputError(
            f"the last layer of {model.name!r} ends with {activation} while its loss has from_logits=True, so it "
            "would be applied twice; drop one of them"
        )
    if not logits and activation == "linear":
        raise InputError(
            f"the last layer of {model.name!r} gives logits while its loss expects probabilities; compile with a "
            "loss with from_logits=True, or end with softmax"
        )


def _last_activation(model: keras.Model) -> str:
    """Return the name of what makes the outputs, or "" where it cannot be known, as in a subclassed model."""
    while isinstance(model, keras.Model) and getattr(model, "outputs", None):
        model = model.outputs[0]._keras_history.operation
    if isinstance(model, keras.Model):
        return ""
    kind = type(model).__name__.lower()  # the layers and the operations of these names
    return kind if kind in ("softmax", "sigmoid") else getattr(getattr(model, "activation", None), "__name__", "")
