"""All variables of the members with a leading member axis, and one vectorised program that trains them together.

A member's step is a pure function of its variables (`stateless`), so clipping, schedules, statistics, masks and even
optimizers that couple the elements of a variable stay a member's own. Members are taken up and put down slot by slot:
the program is compiled once, whatever the number of members, and one that stops early makes room for the next.
"""

import itertools
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ensemble_vs_dropout.models.backend import keras, tf
from ensemble_vs_dropout.models.draws import words_by_arithmetic
from ensemble_vs_dropout.models.programs import Kept, kinds_of, plan, surroundings
from ensemble_vs_dropout.training import stateless
from ensemble_vs_dropout.training.looped import EVALUATED, Batch, Logs, as_number, cut, take
from ensemble_vs_dropout.training.numbers import Numbers
from ensemble_vs_dropout.training.schedule import TRAIN, Schedule
from ensemble_vs_dropout.training.stateless import CannotStack
from ensemble_vs_dropout.types import IntArray

FEW_STEPS = 12  # of a recurrent layer: a GRU of 6 is traced in half the time, of 24 in one and a half times
METRICS = 3  # the last of the four groups of a state


# Operations whose results have a length that depends on values, so that members' results may not lie side by side.
_VALUES_SET_SHAPES = ("Where", "Unique", "UniqueV2", "UniqueWithCounts", "UniqueWithCountsV2", "ListDiff", "SparseAdd")


_KEPT = Kept[tuple[Any, Any]](most=8)  # the training of members that were built alike, by what it depends on


class Stacked:
    """As many members at a time as there are slots; see `loop.Engine`."""

    together = False

    def __init__(
        self,
        schedule: Schedule,
        data: dict[str, Batch],
        slots: int,
        template: keras.Model,
        xla: bool,
        own_numbers: bool = False,
    ):
        self.schedule, self.data, self.slots, self.xla = schedule, data, slots, xla
        self.models: dict[int, keras.Model] = {}
        self._template = template  # what is traced; of its variables only the metrics are used
        self._varied = own_numbers  # else those of the template stand in the program
        self._numbers = [np.stack([values] * slots) for values in Numbers(template, own_numbers).values()]
        self._groups = stateless.variables(template)
        template.reset_metrics()
        self._fresh = [tf.identity(variable.value) for variable in self._groups[METRICS]]
        self._values: dict[int, list[tf.Tensor]] = {}  # by slot, where they are known member by member
        self._state: list[tf.Tensor] | None = None
        self._trained = False  # whether the program has run
        try:
            with _quiet():
                self._step, self._train = self._training()
                self._results, self._evaluate = self._compile_looking()
                if not xla:
                    self._try()
        except CannotStack:
            raise
        except Exception as error:  # whatever the user's parts and TensorFlow's vectorization raise: others can train
            raise CannotStack(f"TensorFlow cannot vectorize its step ({_first_line(error)})") from error

    def load(self, slot: int, model: keras.Model) -> None:
        """Take up a member."""
        self.models[slot] = model
        for of_slots, values in zip(self._numbers, Numbers(model, self._varied).values(), strict=True):
            of_slots[slot] = values
        self.read(slot)

    def train_epoch(self, feeds: dict[int, Any], on_batch: Any = None) -> None:
        """Train all loaded members for one epoch; what runs along in an empty slot is never looked at."""
        before = self._stacked()
        some = next(iter(feeds.values()))
        orders = np.stack([feeds.get(slot, some) for slot in range(self.slots)])
        metrics = [tf.stack([value] * self.slots) for value in self._fresh]
        state = [*before[: -len(metrics)], *metrics]
        try:
            self._state = self._train(state, self.data[TRAIN], orders, self._given_numbers())
        except tf.errors.OpError:  # XLA compiles on the first call, and not everything; nothing has changed by then
            if not self.xla or self._trained:
                raise
            self.xla = False
            self._step, self._train = self._training()
            self._state = self._train(state, self.data[TRAIN], orders, self._given_numbers())
        self._trained, self._values = True, {}

    def drop(self, slot: int) -> None:
        """Put a member down, its slot being free for another."""
        del self.models[slot]

    def logs(self, slots: Sequence[int]) -> list[Logs]:
        """Return the loss and the metrics of the last epoch."""
        return _by_slot(self._results(self._stacked()[-len(self._fresh) :], tf.constant(slots)), len(slots))

    def evaluate(self, slots: Sequence[int], part: str, on_batch: Any = None) -> list[Logs]:
        """Return the loss and the metrics on a watched part, in inference mode."""
        if self._state is None:  # a callback has changed one of them: only these are put side by side
            state = [tf.stack(values) for values in zip(*map(self._of, slots), strict=True)]
            numbers, places = [tf.constant(values[slots]) for values in self._numbers], [*range(len(slots))]
        else:
            state, numbers, places = self._state, self._given_numbers(), [*slots]
        given = (state[: -len(self._fresh)], self._fresh, self.data[part], numbers, tf.constant(places))
        return _by_slot(self._evaluate(*given), len(slots))

    def write(self, slot: int) -> None:
        """Give the member's model the weights and the optimizer's state that are trained here."""
        groups = stateless.variables(self.models[slot])[:METRICS]
        for variable, value in zip((v for group in groups for v in group), self._of(slot), strict=False):
            variable.assign(value)

    def read(self, slot: int) -> None:
        """Take the weights and the optimizer's state from the member's model."""
        if self._state is not None:
            self._values = {other: self._of(other) for other in self.models if other != slot}
            self._state = None
        groups = stateless.variables(self.models[slot])[:METRICS]
        values = [tf.identity(variable.value) for group in groups for variable in group]
        self._values[slot] = [*values, *self._fresh]

    def _of(self, slot: int) -> list[tf.Tensor]:
        if slot not in self._values:
            assert self._state is not None
            self._values = {place: list(of) for place, of in enumerate(zip(*map(tf.unstack, self._state), strict=True))}
        return self._values[slot]

    def _stacked(self) -> list[tf.Tensor]:
        """Return the state of all slots, side by side; what stands in an empty slot is never looked at."""
        if self._state is None:
            filler = next(iter(self.models))
            slots = [self._values[slot if slot in self.models else filler] for slot in range(self.slots)]
            self._state = [tf.stack(values) for values in zip(*slots, strict=True)]
        return self._state

    def _given_numbers(self) -> list[tf.Tensor]:
        return [tf.constant(values) for values in self._numbers]

    def _try(self) -> None:
        """Take a step that nobody sees: some operations say only then that they cannot be vectorized."""
        values = [tf.identity(variable.value) for group in self._groups for variable in group]
        batch = min(self.schedule.batch_size, self.schedule.examples)
        indices = tf.zeros((self.slots, 2, batch), tf.int32)
        state = [tf.stack([value] * self.slots) for value in values]
        self._step(state, self.data[TRAIN], indices, self._given_numbers())

    def _training(self) -> tuple[Any, Any]:
        """Return what takes a step, and what trains all slots for an epoch; as it was traced for such models before."""
        described, size = plan(self._template), self.schedule.batch_size
        most = self.schedule.examples // size
        given = (self._varied, self.slots, self.xla, size, most, *(values.shape for values in self._numbers))
        key = (described, surroundings(self._template), given, kinds_of(self.data[TRAIN]))
        found = _KEPT.get(key) if described else None
        if found is None:
            found = self._compile_training(most)
            if described and not found[0].captured_inputs:
                _KEPT.put(key, found, self._template.count_params())
        return found

    def _compile_training(self, most: int) -> tuple[Any, Any]:
        """Return what takes a step, and what trains all slots for an epoch. Neither knows this object."""
        template, size, slots, xla = self._template, self.schedule.batch_size, self.slots, self.xla
        numbers, groups = Numbers(template, self._varied), self._groups

        def step(state: list[tf.Tensor], data: Batch, indices: tf.Tensor, own: list[tf.Tensor]) -> list[tf.Tensor]:
            def of_member(given: Any) -> Any:
                flat, given_numbers, places = given
                batch = take(data, places)
                with numbers.replaced(given_numbers, words_by_arithmetic):
                    after = stateless.train_step(template, _packed(groups, flat), batch[0], batch[1], (*batch, None)[2])
                _check_shapes(tf.compat.v1.get_default_graph())
                return [value for group in after for value in group]

            with _short_loops_unrolled(template):
                after = tf.vectorized_map(of_member, (state, own, indices), warn=False)
            return [tf.ensure_shape(value, before.shape) for value, before in zip(after, state, strict=True)]

        # Traced once, for whole batches and the last one: how many examples it takes is left open.
        variables = [variable for group in groups for variable in group]
        traced_step = tf.function(step, autograph=False).get_concrete_function(
            [tf.TensorSpec((slots, *variable.shape), variable.value.dtype) for variable in variables],
            keras.tree.map_structure(lambda part: tf.TensorSpec((None, *part.shape[1:]), part.dtype), self.data[TRAIN]),
            tf.TensorSpec((slots, 2, None), tf.int32),
            [tf.TensorSpec(values.shape, values.dtype) for values in self._numbers],
        )

        @tf.function(jit_compile=xla, autograph=False)
        def train_whole_batches(
            state: list[tf.Tensor], data: Batch, orders: tf.Tensor, full: tf.Tensor, own: list[tf.Tensor]
        ) -> list[tf.Tensor]:
            batches = tf.reshape(orders, (slots, 2, most, size))
            loop = tf.while_loop(
                lambda number, *flat: number < full,
                lambda number, *flat: (number + 1, *traced_step(list(flat), data, batches[:, :, number], own)),
                (tf.constant(0), *state),
                parallel_iterations=1,
            )
            return list(loop[1:])

        # One step an epoch is not worth XLA's time to compile it, unless it is the only one.
        step_alone = tf.function(traced_step, jit_compile=True, autograph=False) if xla and not most else traced_step

        def train(state: list[tf.Tensor], data: Batch, orders: IntArray, own: list[tf.Tensor]) -> list[tf.Tensor]:
            examples = orders.shape[-1]
            full = examples // size
            if full:
                batches = np.zeros((slots, 2, most * size), np.int32)  # of those with the most examples
                batches[:, :, : full * size] = orders[:, :, : full * size]
                state = train_whole_batches(state, data, tf.constant(batches), tf.constant(full), own)
            rest = orders[:, :, full * size :]
            return step_alone(state, data, tf.constant(rest), own) if examples % size else state

        return traced_step, train

    def _compile_looking(self) -> tuple[Any, Any]:
        """Return what gives the results of slots: of their metrics, and of a part that is looked at."""
        template, numbers = self._template, Numbers(self._template, self._varied)

        @tf.function(autograph=False)
        def result(metrics: list[tf.Tensor]) -> dict[str, tf.Tensor]:
            with keras.StatelessScope(state_mapping=zip(self._groups[METRICS], metrics, strict=True)):
                return {name: tf.convert_to_tensor(found) for name, found in template.get_metrics_result().items()}

        found = result.get_concrete_function(self._fresh).structured_outputs
        kinds = {name: tf.TensorSpec(tensor.shape, tensor.dtype) for name, tensor in found.items()}

        @tf.function(reduce_retracing=True, autograph=False)
        def results(metrics: list[tf.Tensor], slots: tf.Tensor) -> dict[str, tf.Tensor]:
            return tf.map_fn(lambda slot: result([value[slot] for value in metrics]), slots, fn_output_signature=kinds)

        # One slot after the other, as each alone would be: looking on is seldom worth a vectorized program.
        @tf.function(reduce_retracing=True, autograph=False)
        def evaluate(
            state: list[tf.Tensor], fresh: list[tf.Tensor], data: Batch, own: list[tf.Tensor], slots: tf.Tensor
        ) -> dict[str, tf.Tensor]:
            number = tf.shape(data[1])[0]

            def of_slot(slot: tf.Tensor) -> dict[str, tf.Tensor]:
                def batch(start: tf.Tensor, *flat: tf.Tensor) -> Any:
                    part = cut(data, start, EVALUATED)
                    with numbers.replaced([values[slot] for values in own]):
                        after = stateless.test_step(
                            template, _packed(self._groups, flat), part[0], part[1], (*part, None)[2]
                        )
                    return (start + EVALUATED, *(value for group in after for value in group))

                before = [*(value[slot] for value in state), *fresh]
                after = tf.while_loop(lambda start, *_: start < number, batch, (tf.constant(0), *before))
                return result(list(after[-len(fresh) :]))

            return tf.map_fn(of_slot, slots, fn_output_signature=kinds, parallel_iterations=2)

        return results, evaluate


def _packed(groups: Sequence[Sequence[Any]], flat: Sequence[tf.Tensor]) -> stateless.State:
    """Return a member's state in its groups."""
    ends = np.cumsum([0, *map(len, groups)])
    return tuple(list(flat[start:end]) for start, end in itertools.pairwise(ends))


@contextmanager
def _short_loops_unrolled(model: keras.Model) -> Iterator[None]:
    """Trace Keras' recurrent layers of few steps step by step: vectorizing a loop and its gradient takes longer."""
    recurrent = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.RNN)]
    short = [layer for layer in recurrent if not layer.unroll and _is_short(layer)]
    try:
        for layer in short:
            layer.unroll = True
        yield
    finally:
        for layer in short:
            layer.unroll = False


def _is_short(layer: keras.layers.RNN) -> bool:
    """Return whether a layer and its cells are Keras' own, and it was built for few steps."""
    cells = getattr(layer.cell, "cells", [layer.cell])
    shape: Any = (layer.get_build_config() or {}).get("input_shape") or ()
    own = all(type(part).__module__.startswith("keras.") for part in (layer, *cells))
    called = [keras.tree.flatten(node.arguments.args)[0].shape for node in layer._inbound_nodes]  # it may be shared
    steps = [of_call[1] if len(of_call) > 1 else None for of_call in (shape, *called)]
    return own and all(isinstance(number, int) and number <= FEW_STEPS for number in steps)


def _by_slot(results: Mapping[str, tf.Tensor], slots: int) -> list[Logs]:
    """Return the results of each slot as numbers, or arrays where a metric has several."""
    arrays = {name: np.asarray(values) for name, values in results.items()}
    return [{name: as_number(values[place]) for name, values in arrays.items()} for place in range(slots)]


def _check_shapes(graph: Any) -> None:
    """Raise if a member's step has results whose length depends on values."""
    definition = graph.as_graph_def()
    nodes = [*definition.node, *(node for function in definition.library.function for node in function.node_def)]
    found = next((node for node in nodes if node.op in _VALUES_SET_SHAPES), None)
    if found:
        raise CannotStack(f"the length of {found.name!r} in its step depends on values")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep TensorFlow from printing the stack of what it cannot vectorize; the error says it in a line."""
    logger = logging.getLogger("tensorflow")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
