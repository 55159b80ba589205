"""One training step of a compiled model as a pure function of all its variables.

It does what Keras' `Model.train_step` does, with the variables as arguments and results instead of in place, so that
one program can be vectorised over members and used again for others. `_looped` runs Keras' own step: its slow twin.
"""

from collections.abc import Sequence
from types import MethodType
from typing import Any

from ensemble_vs_dropout.keras_backend import BaseOptimizer, keras, tf

# What Keras' TensorFlow optimizers do in place through tf.distribute, and its base class through variables.
_IN_PLACE = ("assign", "assign_add", "assign_sub", "_apply_weight_decay", "_backend_update_step")
State = tuple[list[tf.Tensor], ...]  # trainable, non-trainable, optimizer, metrics


def variables(model: keras.Model) -> tuple[list[keras.Variable], ...]:
    """Return a model's variables in the order of `State`."""
    return (
        model.trainable_variables,
        model.non_trainable_variables,
        list(model.optimizer.variables),
        model.metrics_variables,
    )


def train_step(model: keras.Model, state: State, x: tf.Tensor, y: tf.Tensor, weights: tf.Tensor | None) -> State:
    """Return the state after one batch."""
    trainable, fixed, of_optimizer, of_metrics = variables(model)
    with tf.GradientTape() as tape:
        tape.watch(state[0])
        known = _pairs((trainable, fixed, of_metrics), (state[0], state[1], state[3]))
        with keras.StatelessScope(state_mapping=known, collect_losses=True) as scope:
            predicted = model(x, training=True) if model._call_has_training_arg else model(x)
            loss = model.compute_loss(x=x, y=y, y_pred=predicted, sample_weight=weights, training=True)
            model._loss_tracker.update_state(loss, sample_weight=tf.shape(x)[0])
            model.compute_metrics(x, y, predicted, sample_weight=weights)
    gradients = [None if g is None else tf.convert_to_tensor(g) for g in tape.gradient(loss, state[0])]
    with (
        _functional(model.optimizer),
        keras.StatelessScope(state_mapping=_pairs((trainable, of_optimizer), (state[0], state[2]))) as applied,
    ):
        model.optimizer.apply(gradients, trainable)
    return (
        _current(applied, trainable, state[0]),
        _current(scope, fixed, state[1]),
        _current(applied, of_optimizer, state[2]),
        _current(scope, of_metrics, state[3]),
    )


def test_step(model: keras.Model, state: State, x: tf.Tensor, y: tf.Tensor, weights: tf.Tensor | None) -> State:
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


class _functional:
    """Let an optimizer of Keras update through its base class, which a `StatelessScope` can follow."""

    def __init__(self, optimizer: keras.optimizers.Optimizer):
        self.optimizer = optimizer

    def __enter__(self) -> None:
        own = self.optimizer.__dict__
        keys = {id(variable): self.optimizer._var_key(variable) for variable in self.optimizer._trainable_variables}
        own |= {name: MethodType(getattr(BaseOptimizer, name), self.optimizer) for name in _IN_PLACE}
        own["_var_key"] = lambda variable: keys[id(variable)]

    def __exit__(self, *_: object) -> None:
        for name in (*_IN_PLACE, "_var_key"):
            del self.optimizer.__dict__[name]
