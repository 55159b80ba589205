"""One member after the other: the obvious reference that faster strategies must equal.

The step is Keras' own `Model.train_step`, so whatever `fit` does in a step (regularisers, metrics, constraints, a
user's override) happens here too. What is ours is the loop around it: a whole epoch is one compiled call on data that
lie on the device once, which spares the Python work per step.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.models.backend import keras, tf
from ensemble_vs_dropout.models.draws import words_by_operation
from ensemble_vs_dropout.models.programs import Programs, bound
from ensemble_vs_dropout.training.masks import own_masks
from ensemble_vs_dropout.training.schedule import TRAIN, Schedule
from ensemble_vs_dropout.training.streams import Stream

Batch = tuple[Any, ...]  # features, a tensor or tensors nested, targets and, if there are any, sample weights
Logs = dict[str, Any]  # numbers, or arrays of metrics that have several
EVALUATED = 1024  # examples in a step of Keras' own evaluation, whose size does not matter


class Looped:
    """One model at a time; see `loop.Engine`."""

    slots = 1
    together = False

    def __init__(self, schedule: Schedule, data: dict[str, Batch]):
        self.schedule, self.data = schedule, data
        self._programs = Programs()
        self._train_epoch = bound(train_epoch, schedule.batch_size)
        self._evaluate = bound(evaluate, schedule.batch_size)
        self._returned: Any = None  # by the last step of the epoch, where it is the user's own

    def load(self, slot: int, model: keras.Model) -> None:
        """Take up a member."""
        self.model = model

    def train_epoch(self, feeds: dict[int, Any], on_batch: Any = None) -> None:
        """Train the loaded member for one epoch."""
        self.model.reset_metrics()
        if isinstance(self.schedule.train, Stream):
            batches = feeds[0]
        elif on_batch is None:
            order = tf.constant(feeds[0].T)
            self._returned = self._programs.run(self._train_epoch, self.model, order, *self.data[TRAIN])
            return
        else:
            batches = _cut(self.data[TRAIN], feeds[0], self.schedule.batch_size)
        for number, batch in enumerate(batches):
            if on_batch:
                on_batch.on_train_batch_begin(number)
            self._returned = self._programs.run(train_step, self.model, *batch)
            if on_batch:
                on_batch.on_train_batch_end(number, self.logs([0])[0])

    def holds_unknown_variables(self, model: keras.Model, order: Any) -> bool:
        """Return whether a training step uses variables of TensorFlow's that Keras does not know of."""
        traced: Any = self._programs.get(self._train_epoch, model, tf.constant(order.T), *self.data[TRAIN])
        if not hasattr(traced, "graph"):  # it may run on other models, and so captures what Keras knows alone
            return False
        known = {id(v.value) for v in [*model.variables, *model.optimizer.variables, *model.metrics_variables]}
        return any(id(variable) not in known for variable in traced.graph.variables)

    def drop(self, slot: int) -> None:
        """Put the member down."""

    def logs(self, slots: Sequence[int]) -> list[Logs]:
        """Return the loss and the metrics since the last reset."""
        return [logs_of(self.model, self._returned)]

    def evaluate(self, slots: Sequence[int], part: str, on_batch: Any = None) -> list[Logs]:
        """Return the loss and the metrics on a watched part, in inference mode."""
        self.model.reset_metrics()
        if on_batch is None:
            return [logs_of(self.model, self._programs.run(self._evaluate, self.model, *self.data[part]))]
        logs: Logs = {}
        every = np.stack([np.arange(len(self.data[part][1]))] * 2)
        for number, batch in enumerate(_cut(self.data[part], every, self.schedule.batch_size)):
            on_batch.on_test_batch_begin(number)
            logs = logs_of(self.model, self._programs.run(test_step, self.model, *batch))
            on_batch.on_test_batch_end(number, logs)
        return [logs]

    def write(self, slot: int) -> None:
        """Do nothing: what is trained is the model itself."""

    read = write


def train_epoch(batch_size: int, model: keras.Model, order: tf.Tensor, *data: Any) -> Any:
    """Train a model for one epoch on the examples in this order; return what the last step of its own returned.

    The order has a row for each example, as `take` wants them in columns: how many they are is left open.
    """

    def step(start: tf.Tensor) -> Any:
        return train_step(model, *take(data, tf.transpose(order[start : start + batch_size])))

    return _each(step, tf.shape(order)[0], batch_size, own=has_own(model, "train_step"))


def evaluate(batch_size: int, model: keras.Model, *data: Any) -> Any:
    """Let a model's metrics see all these data, in inference mode; return what the last step of its own returned."""
    own = has_own(model, "test_step")
    size = batch_size if own else EVALUATED

    def step(start: tf.Tensor) -> Any:
        return test_step(model, *cut(data, start, size))

    return _each(step, tf.shape(data[1])[0], size, own)


def train_step(model: keras.Model, *batch: Any) -> Any:
    """Let Keras train a model on one batch, with masks that are the same under every strategy."""
    with own_masks(words_by_operation):
        return _own_logs(model, "train_step", model.train_step(batch))


def test_step(model: keras.Model, *batch: Any) -> Any:
    """Let Keras evaluate a model on one batch, leaving its random states as they are."""
    states = [(state, tf.identity(state.value)) for state in mask_states(model)]
    returned = _own_logs(model, "test_step", model.test_step(batch))
    for state, before in states:  # recurrent layers move theirs even here, and looking on must change nothing
        state.assign(before)
    return returned


def has_own(model: keras.Model, method: str) -> bool:
    """Return whether a model's class has a step of its own."""
    return getattr(type(model), method) is not getattr(keras.Model, method)


def _own_logs(model: keras.Model, method: str, returned: Any) -> dict[str, tf.Tensor] | None:
    """Return what a step of the user's own returned, for tables and for seeing that it diverged."""
    if not has_own(model, method):
        return None
    if not isinstance(returned, Mapping):
        raise InputError(
            f"{method} of {type(model).__name__} must return a dict of numbers by their names, as Keras asks, got "
            f"{type(returned).__name__}"
        )
    return {str(name): tf.convert_to_tensor(value) for name, value in returned.items()}


def _each(step: Callable[[tf.Tensor], Any], end: tf.Tensor, size: int, own: bool) -> Any:
    """Take a step for each batch in a graph; return what the last one returned, if it is the user's own."""
    first, returned = 0, {}
    if own:  # the first step tells what the others will return
        first, returned = size, step(tf.constant(0))

    def body(start: tf.Tensor, _: Any) -> tuple[tf.Tensor, Any]:
        return start + size, step(start) or {}

    loop = tf.while_loop(lambda start, _: start < end, body, (tf.constant(first), returned), parallel_iterations=1)
    return loop[1] if own else None


def _cut(data: Batch, order: Any, size: int) -> Iterator[Batch]:
    for start in range(0, order.shape[1], size):
        yield take(data, order[:, start : start + size])


def take(data: Batch, places: Any) -> Batch:
    """Return a batch of data by its places, shape (2, examples): of features, and of labels and weights."""
    features = keras.tree.map_structure(lambda tensor: tf.gather(tensor, places[0]), data[0])
    return (features, *(tf.gather(part, places[1]) for part in data[1:]))


def cut(data: Batch, start: Any, size: int) -> Batch:
    """Return a batch of data as they lie."""
    return tuple(keras.tree.map_structure(lambda tensor: tensor[start : start + size], data))


def mask_states(model: keras.Model) -> list[keras.Variable]:
    """Return the state variables of the model's own random streams, in the order of its layers."""
    return [v for v in model.non_trainable_variables if v.name == "seed_generator_state"]


def moving(model: keras.Model) -> list[keras.Variable]:
    """Return the variables of a model that training changes: those that learn, statistics, and random states."""
    norms = (
        one for one in model._flatten_layers() if isinstance(one, keras.layers.BatchNormalization) and one.trainable
    )
    statistics = [variable for norm in norms for variable in norm.non_trainable_variables]
    return [*model.trainable_variables, *statistics, *mask_states(model)]


def logs_of(model: keras.Model, returned: Mapping[str, Any] | None = None) -> Logs:
    """Return a model's loss and metrics as numbers, or arrays where a metric has several.

    Args:
        model: Whose metrics have seen an epoch.
        returned: What the last step of the user's own returned. As in Keras, it stands where it names other values
            than the metrics. Where it names a loss that the loss's metric has not seen, Keras reports 0; here it is
            that loss.
    """
    results = dict(model.get_metrics_result())
    if returned is not None:
        if set(returned) != set(results):
            results = dict(returned)
        elif "loss" in returned and not float(np.asarray(model._loss_tracker.count)):
            results["loss"] = returned["loss"]
    return {name: as_number(value) for name, value in results.items()}


def as_number(value: Any) -> Any:
    """Return what a metric gives as a number, or as an array where it has several."""
    array = np.asarray(value)
    return float(array.reshape(())) if array.size == 1 else array
