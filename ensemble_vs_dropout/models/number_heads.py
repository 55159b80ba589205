"""What the outputs of a model mean that predicts a number: a mean, or a mean and a standard deviation.

It is read from the loss, as what classifiers give is (`models.heads`), or said by the user.
"""

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.checks import InputError, check_known
from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.models.graphs import graph_of
from ensemble_vs_dropout.models.heads import (
    COLUMN,
    EVERY_HEAD,
    HEADS,
    NUMBER_HEADS,
    Head,
    check_readable,
    declared,
    last_activation,
    read_head,
    read_loss,
    single_output,
    units_of,
)
from ensemble_vs_dropout.models.losses import LEAST, GaussianNLL

MEAN, NORMAL = NUMBER_HEADS
_LOSSES = (
    keras.losses.MeanSquaredError, keras.losses.MeanAbsoluteError, keras.losses.MeanAbsolutePercentageError,
    keras.losses.MeanSquaredLogarithmicError, keras.losses.Huber, keras.losses.LogCosh,
)  # fmt: skip
_FUNCTIONS = (
    keras.losses.mean_squared_error, keras.losses.mean_absolute_error, keras.losses.mean_absolute_percentage_error,
    keras.losses.mean_squared_logarithmic_error, keras.losses.huber, keras.losses.log_cosh,
)  # fmt: skip
_OF_CLASSES = ("sigmoid", "hard_sigmoid", "sparse_sigmoid", "softmax")
_OF_NUMBERS = ("linear", "relu", "softplus", "exponential", "leaky_relu", "elu")
_POSITIVE = ("softplus", "exponential", "relu", "sigmoid", "hard_sigmoid", "")  # "" where it cannot be known


@dataclass(frozen=True)
class NumberHead:
    """How to read the outputs of a model that predicts a number.

    Attributes:
        kind: "mean", or "normal" for a mean and a standard deviation.
        form: How the loss wants the targets: a column.
    """

    kind: str
    form: str = COLUMN

    @property
    def columns(self) -> int:
        """How many numbers are predicted for an example: the outputs."""
        return 2 if self.kind == NORMAL else 1

    @property
    def classes(self) -> NoReturn:
        """A number has none.

        Raises:
            InputError: Always.
        """
        raise InputError("the networks predict a number, which has no classes; this is for classifiers")

    def predicted(self, outputs: Any) -> Any:
        """Return float32 means, and standard deviations beside them, (..., columns) from what a model returned."""
        outputs = keras.ops.cast(single_output(outputs), "float32")
        if self.kind == MEAN:
            return outputs
        mean, scale = outputs[..., :1], outputs[..., 1:]
        # As the loss has it, in which none is 0; what is below 0 is no scale, and is told where it is seen.
        return keras.ops.concatenate([mean, keras.ops.where(scale >= 0, scale + LEAST, scale)], -1)

    def targets(self, numbers: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return the targets as the loss wants them, shape (examples, 1)."""
        return numbers.astype(np.float32)[:, None]


Output = Head | NumberHead


def read_output(model: keras.Model, said: str | None = None, alone: bool = True) -> Output:
    """Read what a model's outputs mean, of a classifier or of one that predicts a number.

    It predicts a number if its loss is `GaussianNLL`, or one of Keras for regression (squared, absolute, percentage or
    logarithmic error, Huber, log cosh) over one unit that ends with no activation, or with one that has no upper end;
    or if the user says so.

    Args:
        model: Any Keras model of one output; it is not changed.
        said: What the user says of its outputs: "logits", "probabilities", "mean" or "normal"; None for what was
            declared, if anything.
        alone: As `heads.read_head` has it.

    Raises:
        InputError: As `heads.read_head`; or another number of outputs than the head has, or scales below 0.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> read_output(model).kind
        'mean'
    """
    check_readable(model)
    if said is not None:
        check_known("head", said, EVERY_HEAD)
    said = said or declared(model)
    if said in HEADS:
        return read_head(model, said, alone)
    of_classes, of_loss = read_loss(model), _kind_of_loss(model)
    if said and of_classes:
        raise InputError(f"head of {model.name!r} must be of classes, as its loss is a cross-entropy, got {said!r}")
    kind = said or of_loss
    if kind is None:
        return read_head(model, said, alone)
    if said and of_loss and said != of_loss:
        told = f"must be what its loss expects, {of_loss!r}, got {said!r}; leave it out"
        raise InputError(f"head of {model.name!r} {told}")
    head, units, ending = NumberHead(kind), units_of(model), _ending(model)
    if said is None and kind == MEAN and (units != 1 or ending in _OF_CLASSES):
        return read_head(model, said, alone)  # of two classes or more, trained on squared errors
    if said is None and kind == MEAN and ending not in _OF_NUMBERS:
        raise InputError(
            f"what the output of {model.name!r} means must be known, as it ends with "
            f'{ending or "no activation of Keras"}; give head="mean" for a number, or head="probabilities" for that of '
            "class 1"
        )
    if units != head.columns:
        wanted = "a mean and a standard deviation" if kind == NORMAL else "a mean"
        raise InputError(f"the outputs of {model.name!r} must be {head.columns}, {wanted}, got {units}")
    if kind == NORMAL and ending not in _POSITIVE:
        raise InputError(
            f"the second output of {model.name!r} is a standard deviation and must be above 0, but ends with "
            f"{ending}; end with Concatenate()([Dense(1)(h), Dense(1, activation='softplus')(h)])"
        )
    return head


def said_of(head: Output) -> str:
    """Return the word by which `declare` tells of such outputs.

    Example:
        >>> said_of(NumberHead("mean"))
        'mean'
    """
    return head.kind if isinstance(head, NumberHead) else HEADS[not head.logits]


def trains_numbers(model: keras.Model) -> bool:
    """Return whether a loss is known to be one of numbers, and a mean or sum over examples.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mae")
        >>> trains_numbers(model)
        True
    """
    return _kind_of_loss(model) is not None


def _kind_of_loss(model: keras.Model) -> str | None:
    """Return which number head a loss is for, or None."""
    if not getattr(model, "compiled", False) or model.loss is None:
        return None
    given = keras.tree.flatten(model.loss)
    loss = given[0] if len(given) == 1 else None
    if isinstance(loss, str):
        with suppress(ValueError):  # a name that Keras does not know
            loss = keras.losses.get(loss)
    if isinstance(loss, type) and loss in (*_LOSSES, GaussianNLL):
        loss = loss()
    if isinstance(loss, GaussianNLL) and type(loss).call is GaussianNLL.call:
        return NORMAL
    if isinstance(loss, partial) and not loss.args:
        loss = loss.func
    own = isinstance(loss, _LOSSES) and str(type(loss).call.__module__).startswith("keras.")
    return MEAN if own or any(loss is one for one in _FUNCTIONS) else None


def _ending(model: keras.Model) -> str:
    """Return the activation of the last output, or "" where it cannot be known."""
    graph = graph_of(model)
    return "" if graph is None else last_activation(graph.outputs[0], beside=True)
