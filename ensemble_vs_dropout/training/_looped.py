"""One member after the other: the obvious reference that faster strategies must equal.

The step is Keras' own `Model.train_step`, so whatever `fit` does in a step (regularisers, metrics, constraints, a
user's override) happens here too. What is ours is the loop around it: a whole epoch is one compiled call on data that
lie on the device once, which spares the Python work per step.
"""

import math
import time
from typing import Any

import numpy as np

from ensemble_vs_dropout.heads import Head
from ensemble_vs_dropout.keras_backend import keras, tf
from ensemble_vs_dropout.training.schedule import EpochEnd, Part, Schedule


def train_member(model: keras.Model, head: Head, member: int, schedule: Schedule) -> list[dict[str, float]]:
    """Train one model in place; return its history, one row per epoch. After any error it is as it was before.

    Raises:
        FloatingPointError: The loss is no longer finite.
    """
    x, y = _on_device(schedule.train, head)
    watched = {name: _on_device(part, head) for name, part in schedule.watched.items()}
    _create_variables(model, x, y)
    start = [(variable, variable.numpy()) for variable in (*model.variables, *model.optimizer.variables)]
    try:
        return _train(model, member, schedule, x, y, watched)
    except BaseException:
        for variable, value in start:  # half trained would be neither: the next fit starts this member again
            variable.assign(value)
        raise


def _train(
    model: keras.Model, member: int, schedule: Schedule, x: tf.Tensor, y: tf.Tensor, watched: dict[str, Any]
) -> list[dict[str, float]]:
    train_epoch, evaluate = _compiled(model, schedule.batch_size)
    best_loss, best_weights, waited = math.inf, None, 0
    rows: list[dict[str, float]] = []
    for epoch in range(1, schedule.epochs + 1):
        start = time.perf_counter()
        model.reset_metrics()
        train_epoch(x, y, tf.constant(schedule.order(member, epoch), tf.int32))
        logs = _metrics(model)
        seconds = time.perf_counter() - start
        if not math.isfinite(logs["loss"]):
            raise FloatingPointError(
                f"member {member}: the loss is {logs['loss']} after epoch {epoch}; a lower learning rate or clipped "
                "gradients usually help"
            )
        for name, part in watched.items():
            model.reset_metrics()
            evaluate(*part)
            logs |= {f"{name}_{key}": value for key, value in _metrics(model).items()}
        if schedule.patience is not None:
            waited += 1
            if logs["val_loss"] < best_loss:
                best_loss, best_weights, waited = logs["val_loss"], model.get_weights(), 0
        stopped = epoch == schedule.epochs or (schedule.patience is not None and waited >= schedule.patience)
        rows.append({"epoch": epoch, **logs, "seconds": seconds})
        if schedule.on_epoch:
            schedule.on_epoch(EpochEnd(member, epoch, schedule.epochs, logs, stopped))
        if stopped:
            break
    if best_weights is not None:
        model.set_weights(best_weights)
    return rows


def _on_device(part: Part, head: Head) -> tuple[tf.Tensor, tf.Tensor]:
    return tf.convert_to_tensor(part[0]), tf.convert_to_tensor(head.targets(part[1]))


def _create_variables(model: keras.Model, x: tf.Tensor, y: tf.Tensor) -> None:
    """Create the optimizer's and the metrics' variables, which a loop inside a graph may not."""
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    predicted = model(x[:1], training=False)
    model.compute_loss(x[:1], y[:1], predicted)
    model.compute_metrics(x[:1], y[:1], predicted)


def _compiled(model: keras.Model, batch_size: int) -> tuple[Any, Any]:
    @tf.function
    def train_epoch(x: tf.Tensor, y: tf.Tensor, order: tf.Tensor) -> None:
        examples = tf.shape(order)[0]
        for start in tf.range(0, examples, batch_size):
            batch = order[start : tf.minimum(start + batch_size, examples)]
            model.train_step((tf.gather(x, batch), tf.gather(y, batch)))

    @tf.function(reduce_retracing=True)
    def evaluate(x: tf.Tensor, y: tf.Tensor) -> None:
        examples = tf.shape(x)[0]
        for start in tf.range(0, examples, 1024):
            end = tf.minimum(start + 1024, examples)
            model.test_step((x[start:end], y[start:end]))

    return train_epoch, evaluate


def _metrics(model: keras.Model) -> dict[str, float]:
    return {name: float(np.asarray(value)) for name, value in model.get_metrics_result().items()}
