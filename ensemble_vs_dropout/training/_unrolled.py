"""Many ordinary models and optimizers in one compiled graph: any layer, any optimizer, any architecture.

The graph's independent parts run side by side, and one call trains all members for an epoch.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ensemble_vs_dropout.keras_backend import keras, tf
from ensemble_vs_dropout.training._looped import Batch, evaluate, logs_of, train_step
from ensemble_vs_dropout.training._programs import Programs
from ensemble_vs_dropout.training.schedule import Schedule


class Unrolled:
    """As many models at a time as there are slots; see `_members.Engine`."""

    together = True

    def __init__(self, schedule: Schedule, data: dict[str, Batch], slots: int):
        self.schedule, self.data, self.slots = schedule, data, slots
        self.models: dict[int, keras.Model] = {}
        self._done: set[int] = set()
        self._programs = Programs()
        self._train: Any = None

    def load(self, slot: int, model: keras.Model) -> None:
        """Take up a member; all are taken up before any is trained, and put down before others are."""
        self.models[slot], self._train = model, None

    def train_epoch(self, feeds: dict[int, Any], on_batch: Any = None) -> None:
        """Train the members that have a feed for one epoch; the others stay as they are."""
        if self._train is None:
            steps = [self._programs.get(train_step, model, *self.data["train"]) for model in self.models.values()]
            self._train = compile_epoch(steps, self.schedule.batch_size)
        some = next(iter(feeds.values()))
        orders = np.stack([feeds.get(slot, some) for slot in self.models])
        for slot in feeds:
            self.models[slot].reset_metrics()
        some_stopped = len(feeds) < len(self.models)  # only then are there branches in the graph, which slow it
        active = tf.constant([slot in feeds for slot in self.models]) if some_stopped else None
        self._train(self.data["train"], tf.constant(orders), active)

    def drop(self, slot: int) -> None:
        """Put a member down; its place in the graph is left empty until all are done."""
        self._done.add(slot)
        if len(self._done) == len(self.models):
            self._done.clear()
            self.models.clear()

    def logs(self, slot: int) -> dict[str, float]:
        """Return the loss and the metrics since the last reset."""
        return logs_of(self.models[slot])

    def evaluate(self, slot: int, part: str) -> dict[str, float]:
        """Return the loss and the metrics on a watched part, in inference mode."""
        self.models[slot].reset_metrics()
        self._programs.run(evaluate, self.models[slot], *self.data[part])
        return logs_of(self.models[slot])

    def write(self, slot: int) -> None:
        """Do nothing: what is trained is the model itself."""

    read = write


def compile_epoch(steps: list[Callable[..., Any]], batch_size: int) -> Any:
    """Return a function (data, orders, active) that takes all active models' steps for an epoch in one compiled call.

    `active` says which take part; None for all.
    """

    @tf.function(autograph=False)
    def train_epoch(data: Batch, orders: tf.Tensor, active: tf.Tensor | None = None) -> None:
        def batch(start: tf.Tensor) -> tuple[tf.Tensor]:
            for number, step in enumerate(steps):
                examples = [tf.gather(part, orders[number, start : start + batch_size]) for part in data]

                def taken(step: Callable[..., Any] = step, examples: Any = examples) -> tf.Tensor:
                    step(*examples)
                    return tf.constant(0)

                taken() if active is None else tf.cond(active[number], taken, lambda: tf.constant(0))
            return (start + batch_size,)

        tf.while_loop(lambda start: start < orders.shape[1], batch, (tf.constant(0),), parallel_iterations=1)

    return train_epoch
