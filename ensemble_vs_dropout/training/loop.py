"""What every member goes through, whatever the strategy: epochs, validation, callbacks, stopping, checkpoints.

An engine trains its loaded members for one epoch at a time; all else happens here, between epochs, member by member.
"""

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.models.backend import keras, one_graph_each, tf
from ensemble_vs_dropout.models.calling import as_tensors
from ensemble_vs_dropout.models.number_heads import Output
from ensemble_vs_dropout.models.programs import Programs, bound, told_in_a_sentence
from ensemble_vs_dropout.models.targets import read_training_output
from ensemble_vs_dropout.progress import EpochEnd
from ensemble_vs_dropout.training.checkpoints import Keeper, Row, Standing
from ensemble_vs_dropout.training.looped import Batch, Logs, evaluate, logs_of, mask_states
from ensemble_vs_dropout.training.schedule import Part, Schedule
from ensemble_vs_dropout.training.stateless import variables
from ensemble_vs_dropout.training.streams import Stream


class Engine(Protocol):
    """Trains the members in its slots, an epoch at a time."""

    slots: int
    together: bool  # whether all slots are filled at once, and again when all are empty

    def load(self, slot: int, model: keras.Model) -> None:
        """Take up a member."""

    def train_epoch(self, feeds: dict[int, Any], on_batch: Any = None) -> None:
        """Train the members for one epoch on the examples whose order is given, or on a stream's batches."""

    def logs(self, slots: Sequence[int]) -> list[Logs]:
        """Return the loss and the metrics of the epoch, for each of these slots."""

    def evaluate(self, slots: Sequence[int], part: str, on_batch: Any = None) -> list[Logs]:
        """Return the loss and the metrics on a watched part, in inference mode, for each of these slots."""

    def write(self, slot: int) -> None:
        """Give the member's model all that was trained."""

    def read(self, slot: int) -> None:
        """Take from the member's model what a callback may have changed."""

    def drop(self, slot: int) -> None:
        """Put the member down."""


@dataclass
class Member:
    """One member on its way."""

    number: int
    model: keras.Model
    standing: Standing
    before: list[np.ndarray[Any, Any]]
    callbacks: keras.callbacks.CallbackList | None = None


def train_members(
    engine: Engine,
    models: Mapping[int, keras.Model],
    rows: Mapping[int, list[Row]],
    schedule: Schedule,
    checkpoint: Keeper | None,
    clock: Any,
    finished: Any,
) -> None:
    """Train these members; call `finished(number, rows, diverged)` for each as soon as it is done.

    After any error the members that were on their way are as they were before.
    """
    active: dict[int, Member] = {}
    try:
        for waiting in map(deque, by_examples(models, schedule)):
            while waiting or active:
                if waiting and (not active or not engine.together):
                    for slot in (s for s in range(engine.slots) if s not in active):
                        if waiting:
                            number = waiting.popleft()
                            active[slot] = _take_up(number, models[number], rows.get(number, []), schedule, checkpoint)
                            engine.load(slot, models[number])
                _epoch(engine, active, schedule, checkpoint, clock, finished)
    except BaseException:
        for member in active.values():
            for variable, value in zip(_all_variables(member.model), member.before, strict=True):
                variable.assign(value)
        raise


def by_examples(members: Iterable[int], schedule: Schedule) -> list[list[int]]:
    """Return the members in parts that see equally many examples, so that they go through an epoch side by side."""
    if isinstance(schedule.train, Stream):
        return [list(members)]
    sizes: dict[int, list[int]] = {}
    for member in members:
        sizes.setdefault(schedule.examples_of(member), []).append(member)
    return list(sizes.values())


def _take_up(number: int, model: keras.Model, rows: list[Row], schedule: Schedule, checkpoint: Keeper | None) -> Member:
    before = [variable.numpy() for variable in _all_variables(model)]
    standing = Standing(schedule.initial_epoch, list(rows))
    found = checkpoint.resume(number, _all_variables(model)) if checkpoint else None
    member = Member(number, model, found or standing, before)
    if schedule.callbacks:
        chosen = list(schedule.callbacks(number))
        member.callbacks = keras.callbacks.CallbackList(
            chosen, model=model, epochs=schedule.epochs, steps=schedule.steps, verbose=0
        )
        model.stop_training = False
        member.callbacks.on_train_begin()
    return member


def _epoch(
    engine: Engine,
    active: dict[int, Member],
    schedule: Schedule,
    checkpoint: Keeper | None,
    clock: Any,
    finished: Any,
) -> None:
    for slot, member in active.items():
        if member.callbacks:
            member.callbacks.on_epoch_begin(member.standing.epoch)
            engine.read(slot)
    start = clock()
    feeds = {slot: _feed(schedule, member) for slot, member in active.items()}
    only = next(iter(active.values()))
    with told_in_a_sentence(only.model):
        engine.train_epoch(feeds, only.callbacks if schedule.stepwise else None)
    trained = dict(zip(active, engine.logs([*active]), strict=True))
    share = (clock() - start) / len(active)  # the logs waited for it
    seen = {} if schedule.callbacks else _evaluate_all(engine, active, schedule)
    for slot, member in list(active.items()):
        logs = trained[slot]
        diverged = _has_diverged(member.model, logs)
        for part, key in schedule.watched_of(member.number).items():
            found = seen[slot, part] if seen else _evaluate(engine, slot, member, part, key, schedule)
            logs |= {f"{part}_{name}": value for name, value in found.items()}
        stopped = _end_epoch(engine, slot, member, schedule, logs, share) or diverged
        if not stopped and checkpoint:
            standing = member.standing
            if checkpoint.every and standing.epoch % checkpoint.every == 0:
                engine.write(slot)
                checkpoint.keep(member.number, _all_variables(member.model), standing)
        if schedule.on_epoch:
            schedule.on_epoch(EpochEnd(member.number, member.standing.epoch, schedule.epochs, _flat(logs), stopped))
        if stopped:
            engine.write(slot)
            member.model.optimizer.finalize_variable_values(member.model.trainable_variables)  # averages, if it has any
            if member.standing.best_weights is not None:
                member.model.set_weights(member.standing.best_weights)
            if member.callbacks:
                member.callbacks.on_train_end()
            diverged = diverged or not _weights_known(member.model)
            if checkpoint and not diverged:
                checkpoint.save(member.number, member.model, member.standing.rows)
            finished(member.number, member.standing.rows, diverged)
            engine.drop(slot)
            del active[slot]


def _end_epoch(engine: Engine, slot: int, member: Member, schedule: Schedule, logs: Logs, seconds: float) -> bool:
    """Account for the epoch and return whether it was the member's last."""
    standing = member.standing
    standing.epoch += 1
    standing.rows.append({"epoch": standing.epoch, **_flat(logs), "seconds": seconds})
    stopped = standing.epoch >= schedule.epochs
    if schedule.patience is not None:
        if not isinstance(logs.get("val_loss"), float):
            raise InputError(
                f"patience needs a val_loss, one number, but test_step of {type(member.model).__name__} gives "
                f"{', '.join(name for name in logs if name.startswith('val_'))}; return a loss, or leave out patience"
            )
        standing.waited += 1
        if logs["val_loss"] < standing.best_loss:
            engine.write(slot)
            standing.best_loss, standing.waited = logs["val_loss"], 0
            standing.best_weights = member.model.get_weights()
        stopped = stopped or standing.waited >= schedule.patience
    if member.callbacks:
        engine.write(slot)
        member.callbacks.on_epoch_end(standing.epoch - 1, logs)
        engine.read(slot)
        stopped = stopped or member.model.stop_training
    return stopped


def _evaluate_all(engine: Engine, active: Mapping[int, Member], schedule: Schedule) -> dict[tuple[int, str], Logs]:
    """Return the loss and the metrics of every watched part, by slot and name; those of one part in one call."""
    asked: dict[str, list[tuple[int, str]]] = {}
    for slot, member in active.items():
        for part, key in schedule.watched_of(member.number).items():
            asked.setdefault(key, []).append((slot, part))
    seen: dict[tuple[int, str], Logs] = {}
    for key, places in asked.items():
        slots = list(dict.fromkeys(slot for slot, _ in places))
        logs = dict(zip(slots, engine.evaluate(slots, key), strict=True))
        seen |= {place: logs[place[0]] for place in places}
    return seen


def _evaluate(engine: Engine, slot: int, member: Member, part: str, key: str, schedule: Schedule) -> Logs:
    """Return the loss and the metrics of a watched part; callbacks hear of validation, and may change weights."""
    callbacks = member.callbacks if part == "val" else None
    if callbacks is None:
        return engine.evaluate([slot], key)[0]
    engine.write(slot)
    callbacks.on_test_begin()
    engine.read(slot)
    (logs,) = engine.evaluate([slot], key, callbacks if schedule.stepwise else None)
    callbacks.on_test_end(logs)
    engine.read(slot)
    return logs


def evaluate_members(
    models: Iterable[keras.Model], part: Part, batch_size: int, apart: bool = False, said: str | None = None
) -> list[dict[str, float]]:
    """Return each member's loss and compiled metrics on a part, in inference mode, as Keras' `evaluate` gives them.

    Args:
        models: The members, whose losses may want the labels in different forms.
        part: Examples with their labels.
        batch_size: Examples in a step where `test_step` is the user's own.
        apart: Whether each member is let go before the next, at the price of a program for each.
        said: What the user says of the outputs of all of them; see `read_head`.

    Example:
        >>> import numpy as np
        >>> from ensemble_vs_dropout.training.schedule import Part
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, activation="softmax")])
        >>> model.compile("sgd", "sparse_categorical_crossentropy")
        >>> part = Part(np.eye(2, dtype="float32"), np.array([0, 1]))
        >>> [list(logs) for logs in evaluate_members([model], part, batch_size=2)]
        [['loss']]
    """
    step, programs, logs = bound(evaluate, batch_size), Programs(), []
    data: dict[Output, Batch] = {}
    with one_graph_each():
        for model in models:
            head = read_training_output(model, said)
            if head not in data:
                data[head] = on_device(part, head)
            create_variables(model, data[head])
            logs.append(_flat(logs_of(model, programs.run(step, model, *data[head]))))
            programs = Programs() if apart else programs
    return logs


def _has_diverged(model: keras.Model, logs: Logs) -> bool:
    """Return whether the loss is no longer finite, or where a step of the user's own tells none, any weight."""
    return not (math.isfinite(logs["loss"]) if isinstance(logs.get("loss"), float) else _weights_known(model))


def _weights_known(model: keras.Model) -> bool:
    """Return whether no weight is NaN or infinite; the loss need not show it where `relu` takes NaN for 0."""
    return all(np.isfinite(weights).all() for weights in model.get_weights() if weights.dtype.kind == "f")


def _flat(logs: Logs) -> dict[str, float]:
    """Return logs as numbers alone: a metric that has several is numbered."""
    flat: dict[str, float] = {}
    for name, value in logs.items():
        several = np.ravel(value)
        flat |= (
            {name: float(value)} if np.ndim(value) == 0 else {f"{name}_{i}": float(v) for i, v in enumerate(several)}
        )
    return flat


def _feed(schedule: Schedule, member: Member) -> Any:
    epoch = member.standing.epoch + 1
    if isinstance(schedule.train, Stream):
        own = schedule.of(member.number)
        return schedule.train.epoch(own.seed, own.number, epoch, schedule.shuffle)
    return schedule.order(member.number, epoch)


def _all_variables(model: keras.Model) -> list[keras.Variable]:
    return [variable for group in variables(model)[:3] for variable in group]


def on_device(part: Part, head: Output) -> Batch:
    """Return features, targets and any weights as tensors, the features of the dtype they came in."""
    arrays = [head.targets(part.y), *([] if part.weights is None else [part.weights])]
    return (as_tensors(part.x), *map(tf.convert_to_tensor, arrays))


def _of_losses(model: keras.Model) -> list[keras.Variable]:
    """Return the variables that losses of the user's own hold, which count what they see, say."""
    held = [vars(loss) for loss in keras.tree.flatten(model.loss) if isinstance(loss, keras.losses.Loss)]
    return [value for value in keras.tree.flatten(held) if isinstance(value, keras.Variable)]


def create_state(model: keras.Model) -> None:
    """Create the optimizer's variables, which are a member's own whatever trains it."""
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)


def create_variables(model: keras.Model, batch: Batch) -> None:
    """Create the metrics' variables too, which a loop inside a graph may not."""
    create_state(model)
    states = [(state, state.numpy()) for state in [*mask_states(model), *_of_losses(model)]]
    x, y, *_ = keras.tree.map_structure(lambda part: part[:1], batch)
    with told_in_a_sentence(model):
        predicted = model(x, training=False)
    model._compute_loss(x=x, y=y, y_pred=predicted)
    try:
        model.compute_metrics(x, y, predicted)
    except (ValueError, TypeError, tf.errors.OpError) as error:
        raise InputError(
            f"the metrics of {model.name!r} cannot be computed of labels in the form that its loss wants, shape "
            f"{tuple(y.shape[1:])} for each example: {' '.join(str(error).split())[:200]}"
        ) from error
    model.reset_metrics()
    for state, before in states:
        state.assign(before)
