"""One training step of a compiled model as a pure function of all its variables.

It does what Keras' `Model.train_step` does, with the variables as arguments and results instead of in place, so that
one program can be vectorized over members and used again for others. `looped` runs Keras' own step: its slow twin.

The optimizer runs its own code, whatever it overrides. Only its variables differ: each holds a tensor, which is
assigned to and read again as a TensorFlow variable is.
"""

import operator
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ensemble_vs_dropout.models.backend import BaseOptimizer, TFOptimizer, keras, keras_numpy, tf

# What TensorFlow's optimizers of Keras do through tf.distribute, and their base class directly. An optimizer's own
# overrides come before both in the order of resolution, so they act as ever.
DISTRIBUTED = ("_apply_weight_decay", "_backend_update_step")
_PATCHING = threading.RLock()
State = tuple[list[tf.Tensor], ...]  # trainable, non-trainable, optimizer, metrics


class CannotStack(Exception):
    """A step that cannot be a function of its variables; the message says why."""


def variables(model: keras.Model) -> tuple[list[keras.Variable], ...]:
    """Return a model's variables in the order of `State`."""
    return (
        model.trainable_variables,
        model.non_trainable_variables,
        list(model.optimizer.variables),
        model.metrics_variables,
    )


def train_step(model: keras.Model, state: State, x: Any, y: tf.Tensor, weights: tf.Tensor | None) -> State:
    """Return the state after one batch.

    Raises:
        CannotStack: The optimizer left a variable as it was, so that its update acts by other means.
    """
    trainable, fixed, of_optimizer, of_metrics = variables(model)
    with tf.GradientTape() as tape:
        tape.watch(state[0])
        known = _pairs((trainable, fixed, of_metrics), (state[0], state[1], state[3]))
        with keras.StatelessScope(state_mapping=known, collect_losses=True) as scope:
            predicted = model(x, training=True) if model._call_has_training_arg else model(x)
            loss = model._compute_loss(x=x, y=y, y_pred=predicted, sample_weight=weights, training=True)
            model._loss_tracker.update_state(loss, sample_weight=tf.shape(keras.tree.flatten(x)[0])[0])
            model.compute_metrics(x, y, predicted, sample_weight=weights)
    gradients = [_constant_shape(gradient) for gradient in tape.gradient(loss, state[0])]
    with _without_distribution(), _InPlace(_pairs((trainable, of_optimizer), (state[0], state[2]))) as applied:
        model.optimizer.apply(gradients, trainable)
    for variable, gradient in zip(trainable, gradients, strict=True):
        if gradient is not None and not applied.state_mapping[id(variable)].written:
            raise CannotStack(f"{type(model.optimizer).__name__} updates {variable.path!r} by means of its own")
    return (
        _current(applied, trainable, state[0]),
        _current(scope, fixed, state[1]),
        _current(applied, of_optimizer, state[2]),
        _current(scope, of_metrics, state[3]),
    )


def test_step(model: keras.Model, state: State, x: Any, y: tf.Tensor, weights: tf.Tensor | None) -> State:
    """Return the state after one batch of evaluation, in which only the metrics move."""
    groups = variables(model)
    with keras.StatelessScope(state_mapping=_pairs(groups, state), collect_losses=True) as scope:
        model.test_step((x, y, weights))
    return (*state[:3], _current(scope, groups[3], state[3]))


def _pairs(groups: Sequence[Sequence[Any]], values: Sequence[Sequence[Any]]) -> list[tuple[Any, Any]]:
    return [pair for group, value in zip(groups, values, strict=True) for pair in zip(group, value, strict=True)]


def _current(scope: Any, variables: Sequence[Any], before: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    values = [scope.get_current_value(variable) for variable in variables]
    return [tf.convert_to_tensor(b if v is None else v) for v, b in zip(values, before, strict=True)]


def _constant_shape(gradient: Any) -> Any:
    """Return a gradient, one of an embedding sparse as it is, for optimizers treat it so, and with a shape for XLA."""
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    return tf.IndexedSlices(gradient.values, gradient.indices, tf.constant(gradient.shape.as_list(), tf.int32))


class _InPlace(keras.StatelessScope):  # type: ignore[misc]  # Keras has no types
    """A scope in which what was read of a variable changes with it, as it does where variables are TensorFlow's."""

    def __init__(self, state_mapping: list[tuple[keras.Variable, tf.Tensor]]):
        super().__init__(state_mapping)
        for variable, _ in state_mapping:
            self.state_mapping[id(variable)] = _Cell(variable, self.state_mapping[id(variable)])

    def add_update(self, update: tuple[keras.Variable, Any]) -> None:
        """Let a variable of Keras take a value."""
        variable, value = update
        held = self.state_mapping.get(id(variable))
        if not isinstance(held, _Cell):
            raise CannotStack(f"the optimizer changes {variable.path!r}, which is none of its variables")
        held.assign(value)


class _Cell:
    """Stands for a TensorFlow variable: it holds a tensor that can be replaced."""

    def __init__(self, variable: keras.Variable, value: tf.Tensor):
        self._now, self.written = value, False
        self.dtype, self.shape, self.name = value.dtype, value.shape, variable.name
        self._unique_id = variable._value._unique_id

    def __tf_tensor__(self, dtype: Any = None, name: Any = None) -> tf.Tensor:
        return self._now if dtype in (None, self.dtype) else tf.cast(self._now, dtype)

    def value(self) -> tf.Tensor:
        """Return what is held now."""
        return self._now

    read_value = value

    def assign(self, value: Any, *_: Any, **__: Any) -> "_Cell":
        """Hold another tensor from now on."""
        self._now, self.written = tf.convert_to_tensor(value, self.dtype), True
        return self

    def assign_add(self, value: Any, *_: Any, **__: Any) -> "_Cell":
        """Add to what is held."""
        return self.assign(self._now + tf.convert_to_tensor(value, self.dtype))

    def assign_sub(self, value: Any, *_: Any, **__: Any) -> "_Cell":
        """Subtract from what is held."""
        return self.assign(self._now - tf.convert_to_tensor(value, self.dtype))

    scatter_add, scatter_sub = assign_add, assign_sub  # rows that come more than once add up in the tensor too

    def scatter_update(self, value: tf.IndexedSlices, *_: Any, **__: Any) -> "_Cell":
        """Replace some rows."""
        return self.assign(tf.tensor_scatter_nd_update(self._now, value.indices[:, None], value.values))


def _operation(name: str) -> Callable[..., Any]:
    def operate(cell: _Cell, *others: Any) -> Any:
        return getattr(operator, name)(cell.value(), *others)

    def reflected(cell: _Cell, other: Any) -> Any:
        return getattr(operator, name)(tf.convert_to_tensor(other, cell.dtype), cell.value())

    setattr(_Cell, f"__{name.strip('_')}__", operate)
    if name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul"):
        setattr(_Cell, f"__r{name}__", reflected)
    return operate


for _name in (
    "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "neg", "abs", "getitem", "lt", "le", "gt", "ge"
):  # fmt: skip
    _operation(_name)


@contextmanager
def _without_distribution() -> Iterator[None]:
    """Let optimizers call their `update_step` directly rather than through tf.distribute, which needs its variables.

    Sparse gradients are divided without the branch that Keras takes where the divisor has a 0.
    """
    with _PATCHING:
        before = {name: vars(TFOptimizer)[name] for name in DISTRIBUTED}
        for name in DISTRIBUTED:
            setattr(TFOptimizer, name, getattr(BaseOptimizer, name))
        divide, keras_numpy.divide = keras_numpy.divide, _divide
        try:
            yield
        finally:
            keras_numpy.divide = divide
            for name, function in before.items():
                setattr(TFOptimizer, name, function)


def _divide(x1: Any, x2: Any) -> Any:
    """Divide as `keras.ops.divide` does; rows of a sparse dividend whose divisor is 0 or NaN become NaN.

    Keras gives those rows by a branch, which cannot be vectorized. Here every row is there, most of them to add 0.
    """
    if not isinstance(x1, tf.IndexedSlices) or isinstance(x2, tf.IndexedSlices) or not len(getattr(x2, "shape", ())):
        return _KERAS_DIVIDE(x1, x2)
    x2 = tf.convert_to_tensor(x2)
    nothing = tf.where((x2 == 0) | tf.math.is_nan(x2), tf.constant(float("nan"), x2.dtype), tf.zeros((), x2.dtype))
    values = tf.concat([x1.values / tf.gather(x2, x1.indices), nothing], axis=0)
    indices = tf.concat([x1.indices, tf.range(x2.shape[0], dtype=x1.indices.dtype)], axis=0)
    return tf.IndexedSlices(values, indices, x1.dense_shape)


_KERAS_DIVIDE = keras_numpy.divide
