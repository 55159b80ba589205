"""One member after the other: the obvious reference that faster strategies must equal.

The step is Keras' own `Model.train_step`, so whatever `fit` does in a step (regularisers, metrics, constraints, a
user's override) happens here too. What is ours is the loop around it: a whole epoch is one compiled call on data that
lie on the device once, which spares the Python work per step.
"""

from typing import Any

import numpy as np

from ensemble_vs_dropout.keras_backend import keras, tf
from ensemble_vs_dropout.training._masks import own_masks, words_by_operation
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

    def load(self, slot: int, model: keras.Model) -> None:
        """Take up a member."""
        self.model = model
        self._train, self._evaluate = compile_epoch([model], self.schedule.batch_size), compile_evaluation(model)
        self._step = tf.function(lambda batch: _own_step(model, batch), reduce_retracing=True)

    def train_epoch(self, feeds: dict[int, Any], on_batch: Any = None) -> None:
        """Train the loaded member for one epoch."""
        self.model.reset_metrics()
        if isinstance(self.schedule.train, Stream):
            batches = feeds[0]
        elif on_batch is None:
            self._train(self.data["train"], tf.constant(feeds[0])[None])
            return
        else:
            size = self.schedule.batch_size
            cuts = (feeds[0][start : start + size] for start in range(0, len(feeds[0]), size))
            batches = (tuple(tf.gather(part, cut) for part in self.data["train"]) for cut in cuts)
        for number, batch in enumerate(batches):
            if on_batch:
                on_batch.on_train_batch_begin(number)
            self._step(batch)
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
        self._evaluate(self.data[part])
        return logs_of(self.model)

    def write(self, slot: int) -> None:
        """Do nothing: what is trained is the model itself."""

    read = write


def compile_epoch(models: list[keras.Model], batch_size: int) -> Any:
    """Return a function (data, orders, active) that trains all active models for one epoch in one compiled call.

    `active` says which take part; None for all.
    """

    @tf.function
    def train_epoch(data: Batch, orders: tf.Tensor, active: tf.Tensor | None = None) -> None:
        examples = tf.shape(orders)[1]
        for start in tf.range(0, examples, batch_size):
            batch = orders[:, start : tf.minimum(start + batch_size, examples)]
            for number, model in enumerate(models):
                examples_of_it = tuple(tf.gather(part, batch[number]) for part in data)
                if active is None or active[number]:
                    _own_step(model, examples_of_it)

    return train_epoch


def compile_evaluation(model: keras.Model) -> Any:
    """Return a function that evaluates one model on data on the device."""

    @tf.function(reduce_retracing=True)
    def evaluate(data: Batch) -> None:
        states = [(state, tf.identity(state.value)) for state in mask_states(model)]
        examples = tf.shape(data[0])[0]
        for start in tf.range(0, examples, EVALUATED):
            end = tf.minimum(start + EVALUATED, examples)
            model.test_step(tuple(part[start:end] for part in data))
        for state, before in states:  # recurrent layers move theirs even here, and looking on must change nothing
            state.assign(before)

    return evaluate


def mask_states(model: keras.Model) -> list[keras.Variable]:
    """Return the state variables of the model's own random streams, in the order of its layers."""
    return [v for v in model.non_trainable_variables if v.name == "seed_generator_state"]


def logs_of(model: keras.Model) -> dict[str, float]:
    """Return a model's loss and metrics as numbers."""
    return {name: float(np.asarray(value)) for name, value in model.get_metrics_result().items()}


@tf.autograph.experimental.do_not_convert
def _own_step(model: keras.Model, batch: Batch) -> None:
    with own_masks(words_by_operation):
        model.train_step(batch)
