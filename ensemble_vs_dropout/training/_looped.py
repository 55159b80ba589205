"""One member after the other: the obvious reference that faster strategies must equal.

The step is Keras' own `Model.train_step`, so whatever `fit` does in a step (regularisers, metrics, constraints, a
user's override) happens here too. What is ours is the loop around it: a whole epoch is one compiled call on data that
lie on the device once, which spares the Python work per step.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ensemble_vs_dropout.keras_backend import keras, tf
from ensemble_vs_dropout.training._masks import own_masks, words_by_operation
from ensemble_vs_dropout.training._programs import Programs
from ensemble_vs_dropout.training.schedule import Schedule
from ensemble_vs_dropout.training.streams import Stream

Batch = tuple[tf.Tensor, ...]  # features, targets and, if there are any, sample weights
EVALUATED = 1024  # examples in a step of evaluation


class Looped:
    """One model at a time; see `_members.Engine`."""

    slots = 1
    together = False

    def __init__(self, schedule: Schedule, data: dict[str, Batch]):
        self.schedule, self.data = schedule, data
        self._programs = Programs()
        self._train_epoch = partial(train_epoch, schedule.batch_size)

    def load(self, slot: int, model: keras.Model) -> None:
        """Take up a member."""
        self.model = model

    def train_epoch(self, feeds: dict[int, Any], on_batch: Any = None) -> None:
        """Train the loaded member for one epoch."""
        self.model.reset_metrics()
        if isinstance(self.schedule.train, Stream):
            batches = feeds[0]
        elif on_batch is None:
            self._programs.run(self._train_epoch, self.model, tf.constant(feeds[0]), *self.data["train"])
            return
        else:
            size = self.schedule.batch_size
            cuts = (feeds[0][start : start + size] for start in range(0, len(feeds[0]), size))
            batches = (tuple(tf.gather(part, cut) for part in self.data["train"]) for cut in cuts)
        for number, batch in enumerate(batches):
            if on_batch:
                on_batch.on_train_batch_begin(number)
            self._programs.run(train_step, self.model, *batch)
            if on_batch:
                on_batch.on_train_batch_end(number, self.logs(0))

    def drop(self, slot: int) -> None:
        """Put the member down."""

    def logs(self, slot: int) -> dict[str, float]:
        """Return the loss and the metrics since the last reset."""
        return logs_of(self.model)

    def evaluate(self, slot: int, part: str) -> dict[str, float]:
        """Return the loss and the metrics on a watched part, in inference mode."""
        self.model.reset_metrics()
        self._programs.run(evaluate, self.model, *self.data[part])
        return logs_of(self.model)

    def write(self, slot: int) -> None:
        """Do nothing: what is trained is the model itself."""

    read = write


def train_epoch(batch_size: int, model: keras.Model, order: tf.Tensor, *data: tf.Tensor) -> None:
    """Train a model for one epoch on the examples in this order."""

    def step(start: tf.Tensor) -> tuple[tf.Tensor]:
        train_step(model, *(tf.gather(part, order[start : start + batch_size]) for part in data))
        return (start + batch_size,)

    _while_below(tf.shape(order)[0], step)


def evaluate(model: keras.Model, *data: tf.Tensor) -> None:
    """Let a model's metrics see all these data, in inference mode."""
    states = [(state, tf.identity(state.value)) for state in mask_states(model)]

    def step(start: tf.Tensor) -> tuple[tf.Tensor]:
        model.test_step(tuple(part[start : start + EVALUATED] for part in data))
        return (start + EVALUATED,)

    _while_below(tf.shape(data[0])[0], step)
    for state, before in states:  # recurrent layers move theirs even here, and looking on must change nothing
        state.assign(before)


def train_step(model: keras.Model, *batch: tf.Tensor) -> None:
    """Let Keras train a model on one batch, with masks that are the same under every strategy."""
    with own_masks(words_by_operation):
        model.train_step(batch)


def _while_below(end: tf.Tensor, step: Callable[[tf.Tensor], tuple[tf.Tensor]]) -> None:
    tf.while_loop(lambda start: start < end, step, (tf.constant(0),), parallel_iterations=1)


def mask_states(model: keras.Model) -> list[keras.Variable]:
    """Return the state variables of the model's own random streams, in the order of its layers."""
    return [v for v in model.non_trainable_variables if v.name == "seed_generator_state"]


def logs_of(model: keras.Model) -> dict[str, float]:
    """Return a model's loss and metrics as numbers."""
    return {name: float(np.asarray(value)) for name, value in model.get_metrics_result().items()}
