"""Many ordinary models and optimizers in one compiled graph: any layer, any optimizer, any architecture.

The graph's independent parts run side by side, and one call trains all members for an epoch.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ensemble_vs_dropout.models.backend import keras, tf
from ensemble_vs_dropout.models.programs import Programs, bound
from ensemble_vs_dropout.training.looped import Batch, Logs, evaluate, logs_of, take, train_step
from ensemble_vs_dropout.training.schedule import TRAIN, Schedule


class Unrolled:
    """As many models at a time as there are slots; see `loop.Engine`."""

    together = True

    def __init__(self, schedule: Schedule, data: dict[str, Batch], slots: int):
        self.schedule, self.data, self.slots = schedule, data, slots
        self.models: dict[int, keras.Model] = {}
        self._done: set[int] = set()
        self._programs = Programs()
        self._evaluate = bound(evaluate, schedule.batch_size)
        self._train: Any = None
        self._returned: dict[int, Any] = {}  # by slot, what the last step of the user's own returned

    def load(self, slot: int, model: keras.Model) -> None:
        """Take up a member; all are taken up before any is trained, and put down before others are."""
        self.models[slot], self._train = model, None

    def train_epoch(self, feeds: dict[int, Any], on_batch: Any = None) -> None:
        """Train the members that have a feed for one epoch; the others stay as they are."""
        if self._train is None:
            steps = [self._programs.get(train_step, model, *self.data[TRAIN]) for model in self.models.values()]
            self._train = compile_epoch(steps, self.schedule.batch_size)
        some = next(iter(feeds.values()))
        orders = np.stack([feeds.get(slot, some) for slot in self.models])
        for slot in feeds:
            self.models[slot].reset_metrics()
        some_stopped = len(feeds) < len(self.models)  # only then are there branches in the graph, which slow it
        active = tf.constant([slot in feeds for slot in self.models]) if some_stopped else None
        returned = self._train(self.data[TRAIN], tf.constant(orders), active)
        self._returned = dict(zip(self.models, returned, strict=True))

    def drop(self, slot: int) -> None:
        """Put a member down; its place in the graph is left empty until all are done."""
        self._done.add(slot)
        if len(self._done) == len(self.models):
            self._done.clear()
            self.models.clear()

    def logs(self, slots: Sequence[int]) -> list[Logs]:
        """Return the loss and the metrics since the last reset."""
        return [logs_of(self.models[slot], self._returned[slot] or None) for slot in slots]

    def evaluate(self, slots: Sequence[int], part: str, on_batch: Any = None) -> list[Logs]:
        """Return the loss and the metrics on a watched part, in inference mode."""
        found = []
        for model in (self.models[slot] for slot in slots):
            model.reset_metrics()
            found.append(logs_of(model, self._programs.run(self._evaluate, model, *self.data[part])))
        return found

    def write(self, slot: int) -> None:
        """Do nothing: what is trained is the model itself."""

    read = write


def compile_epoch(steps: list[Callable[..., Any]], batch_size: int) -> Any:
    """Return a function (data, orders, active) that takes all active models' steps for an epoch in one compiled call.

    `active` says which take part; None for all. It returns what the last steps returned, if they are the user's own.
    """

    @tf.function(autograph=False)
    def train_epoch(data: Batch, orders: tf.Tensor, active: tf.Tensor | None = None) -> list[Any]:
        def batch(start: tf.Tensor, before: list[Any]) -> tuple[tf.Tensor, list[Any]]:
            returned = []
            for number, step in enumerate(steps):
                examples = take(data, orders[number, :, start : start + batch_size])

                def taken(step: Callable[..., Any] = step, examples: Any = examples) -> Any:
                    return tf.constant(0), step(*examples) or {}

                def left(number: int = number) -> Any:
                    return tf.constant(0), before[number]

                if active is None:
                    returned.append(taken()[1])
                else:
                    returned.append(tf.cond(active[number], taken, left)[1])
            return start + batch_size, returned

        nothing = [_zeros(getattr(step, "structured_outputs", None)) for step in steps]
        end = orders.shape[2]
        loop = tf.while_loop(lambda start, _: start < end, batch, (tf.constant(0), nothing), parallel_iterations=1)
        return loop[1]

    return train_epoch


def _zeros(structure: Any) -> Any:
    """Return zeros where a step returns tensors, to begin with."""
    if structure is None:
        return {}
    return tf.nest.map_structure(lambda spec: tf.zeros(spec.shape, spec.dtype), structure)
