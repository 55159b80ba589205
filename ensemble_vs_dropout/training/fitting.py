"""Members fitted under a schedule: what waits, by which strategy, and what became of each."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ensemble_vs_dropout.checks import InputError, check_at_least, check_known
from ensemble_vs_dropout.models.architecture import difference, unchanging
from ensemble_vs_dropout.models.backend import keras, one_graph_each
from ensemble_vs_dropout.models.number_heads import Output
from ensemble_vs_dropout.models.programs import Programs, forward
from ensemble_vs_dropout.models.tokens import check_whole
from ensemble_vs_dropout.progress import EpochEnd, Progress
from ensemble_vs_dropout.training.arguments import wants_steps
from ensemble_vs_dropout.training.checkpoints import Keeper, Row
from ensemble_vs_dropout.training.guard import disagreement
from ensemble_vs_dropout.training.loop import (
    Engine,
    by_examples,
    create_state,
    create_variables,
    on_device,
    train_members,
)
from ensemble_vs_dropout.training.looped import Batch, Looped, moving
from ensemble_vs_dropout.training.numbers import differ, structure
from ensemble_vs_dropout.training.schedule import TRAIN, Schedule
from ensemble_vs_dropout.training.stacked import Stacked
from ensemble_vs_dropout.training.stateless import CannotStack
from ensemble_vs_dropout.training.strategy import AT_ONCE, STRATEGIES, Choice, choose
from ensemble_vs_dropout.training.streams import Stream
from ensemble_vs_dropout.training.trunk import as_they_are, computed_once
from ensemble_vs_dropout.training.unrolled import Unrolled

_LOOKED_AT = 256  # examples whose tokens are looked at inside the network


@dataclass
class Fitted:
    """What became of members so far.

    Attributes:
        histories: The rows of each member that was fitted, one for each epoch, by its number.
        diverged: The numbers of those that diverged.

    Example:
        >>> Fitted(histories={0: [{"epoch": 1, "loss": 0.7}]}, diverged={2}).waiting(members=4, initial_epoch=0)
        [1, 3]
    """

    histories: dict[int, list[Row]] = field(default_factory=dict)
    diverged: set[int] = field(default_factory=set)

    def waiting(self, members: int, initial_epoch: int) -> list[int]:
        """Return which of so many members are still to be fitted from an epoch on."""
        if initial_epoch == 0:
            return [k for k in range(members) if k not in self.diverged and k not in self.histories]
        return [k for k in range(members) if k not in self.diverged and self._epochs_of(k) <= initial_epoch]

    def _epochs_of(self, member: int) -> int:
        rows = self.histories.get(member, [])
        return int(rows[-1]["epoch"]) if rows else 0


@dataclass(frozen=True)
class Options:
    """How members are fitted, whatever the schedule; see `Ensemble.fit`.

    Attributes:
        strategy: One of `STRATEGIES`.
        verbose: 0, 1, 2 or "auto".
        memory_limit: Bytes that training may take, or None for half of what is free.
        on_divergence: "exclude" or "raise".
        on_epoch: Called after each epoch of each member.
        keeper: Makes, of the schedule, a member and `checkpoint_every`, what keeps members on disk.
        checkpoint_every: Epochs after which members on their way are kept; 0 keeps finished ones only.
        planned: The number of members by which the strategy is chosen; None for those that are to be fitted, or for
            the most of one number of examples.

    Raises:
        InputError: One that cannot be used.

    Example:
        >>> Options(strategy="stacked", verbose=0).on_divergence
        'exclude'
    """

    strategy: str = "auto"
    verbose: str | int = "auto"
    memory_limit: int | None = None
    on_divergence: str = "exclude"
    on_epoch: Callable[[EpochEnd], None] | None = None
    keeper: Callable[[Schedule, keras.Model, int], Keeper] | None = None
    checkpoint_every: int = 0
    planned: int | None = None

    def __post_init__(self) -> None:
        if self.verbose not in ("auto", 0, 1, 2):
            raise InputError(f"verbose must be 0, 1, 2 or 'auto', got {self.verbose!r}")
        check_known("on_divergence", self.on_divergence, ("exclude", "raise"))
        check_at_least("checkpoint_every", self.checkpoint_every, 0)
        if self.checkpoint_every and self.keeper is None:
            raise InputError("checkpoint_every needs checkpoint, the folder to write to")
        if self.memory_limit is not None:
            check_at_least("memory_limit", self.memory_limit, 1)
        check_known("strategy", self.strategy, STRATEGIES)


def fit_members(
    models: Sequence[keras.Model], head: Output, schedule: Schedule, options: Options, fitted: Fitted
) -> None:
    """Fit the members that are not fitted yet, each as if it were alone.

    Args:
        models: All members, by their numbers.
        head: How their loss wants the labels.
        schedule: What they are fitted to and for how long.
        options: How.
        fitted: What became of them before. Each member is added as soon as it is done, so that it is there whatever
            happens to the others.

    Raises:
        InputError: The strategy cannot train these members, memory holds none, or a checkpoint is of another training.
        FloatingPointError: A member diverged with `on_divergence="raise"`, or all did.

    Example:
        >>> import numpy as np
        >>> from ensemble_vs_dropout.models.heads import read_head
        >>> from ensemble_vs_dropout.training.schedule import Part
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, activation="softmax")])
        >>> model.compile("sgd", "sparse_categorical_crossentropy")
        >>> part = Part(np.eye(2, dtype="float32"), np.array([0, 1]))
        >>> schedule, fitted = Schedule(part, seed=0, epochs=2, batch_size=2), Fitted()
        >>> fit_members([model], read_head(model), schedule, Options(verbose=0), fitted)
        >>> [row["epoch"] for row in fitted.histories[0]]
        [1, 2]
    """
    todo = fitted.waiting(len(models), schedule.initial_epoch)
    if not todo:
        return
    _check_apart(models)
    if schedule.callbacks:
        own = {member: list(schedule.callbacks(member)) for member in todo}
        stepwise = any(wants_steps(callback) for each in own.values() for callback in each)
        schedule = replace(schedule, callbacks=own.__getitem__, stepwise=stepwise)
    with (
        one_graph_each(),
        Progress(len(todo) * (schedule.epochs - schedule.initial_epoch), options.verbose) as progress,
    ):
        _fit(todo, models, head, schedule, options, fitted, progress)


def _fit(
    todo: Sequence[int],
    models: Sequence[keras.Model],
    head: Output,
    schedule: Schedule,
    options: Options,
    fitted: Fitted,
    progress: Progress,
) -> None:
    members = len(models)
    for member in todo:
        create_state(models[member])
    keeper = options.keeper(schedule, models[todo[0]], options.checkpoint_every) if options.keeper else None
    waiting = {}
    for number, member in enumerate(todo):
        rows = keeper.load(member, models[member]) if keeper else None
        if rows is None:
            waiting[member] = models[member]
        else:
            fitted.histories[member] = rows
            progress.say(f"network {member + 1} of {members} was trained before")
            progress.reach((number + 1) * (schedule.epochs - schedule.initial_epoch))
    if not waiting:
        return

    def report(end: EpochEnd) -> None:
        progress.epoch(f"network {end.member + 1} of {members}", end)
        if options.on_epoch:
            with as_they_are(models):
                options.on_epoch(end)

    def finished(member: int, rows: list[Row], diverged: bool) -> None:
        if diverged:
            loss = rows[-1].get("loss", 0.0)
            what = "weights are no longer finite" if np.isfinite(loss) else f"the loss is {loss}"
            told = (
                f"member {member}: {what} after epoch {rows[-1]['epoch']}; a lower learning rate or clipped "
                "gradients usually help"
            )
            if options.on_divergence == "raise":
                raise FloatingPointError(told)
            progress.say(f"{told}; it is kept out of the ensemble")
            fitted.diverged.add(member)
        fitted.histories[member] = rows

    schedule = replace(schedule, on_epoch=report)
    _check_tokens(next(iter(waiting.values())), schedule)
    # By all of them, not by those that wait, so that a resumed training computes as an uninterrupted one does.
    with unchanging():
        groups = [
            (alike, _choice(alike, models, schedule, options, progress))
            for alike in _groups(todo, models, options, progress)
        ]
    for alike, choice in groups:
        left = {member: models[member] for member in alike if member in waiting}
        if not left:
            continue
        say = progress.say if progress.verbose == 2 else _nothing
        with computed_once([*left.values()], schedule, say, time.perf_counter, options.memory_limit) as own:
            data = {} if isinstance(own.train, Stream) else {TRAIN: on_device(own.train, head)}
            data |= {name: on_device(part, head) for name, part in own.watched.items()}
            sample = next(own.train.epoch(0, 0, 0, False)) if isinstance(own.train, Stream) else data[TRAIN]
            engine = _engine_for([*left.values()], choice, options.strategy, own, data, sample, progress)
            train_members(engine, left, fitted.histories, own, keeper, time.perf_counter, finished)
    if len(fitted.diverged) == members:
        raise FloatingPointError(
            f"all {members} members diverged; a lower learning rate or clipped gradients usually help"
        )


def _nothing(_: str) -> None:
    """Say nothing."""


def _groups(
    todo: Sequence[int], models: Sequence[keras.Model], options: Options, progress: Progress
) -> list[list[int]]:
    """Return the members in groups that can share a program, if that is left to us and leaves several in one."""
    if options.strategy != "auto" or options.planned is not None:
        return [[*todo]]
    alike: dict[str, list[int]] = {}
    for member in todo:
        alike.setdefault(structure(models[member]), []).append(member)
    if len(alike) == 1 or max(map(len, alike.values())) == 1:
        return [[*todo]]
    if progress.verbose == 2:
        one, other, *_ = alike
        progress.say(f"networks differ in {difference(one, other)}, so that they are trained in {len(alike)} groups")
    return list(alike.values())


def _choice(
    alike: Sequence[int], models: Sequence[keras.Model], schedule: Schedule, options: Options, progress: Progress
) -> Choice:
    planned = [models[member] for member in max(by_examples(alike, schedule), key=len)]
    if options.planned is not None:
        planned = planned[:1] * check_at_least("planned", options.planned, len(planned))
    choice = choose(options.strategy, planned, schedule, options.memory_limit)
    if progress.verbose == 2:
        at_a_time = f", {choice.slots} at a time" if choice.slots > 1 else ""
        progress.say(f"strategy {choice.strategy}{at_a_time}: {choice.reason}")
    return choice


def _check_apart(models: Sequence[keras.Model]) -> None:
    """Raise if training one member would change another, or an optimizer knows other variables than the member has."""
    owners: dict[int, int] = {}
    for member, model in enumerate(models):
        for variable in moving(model):
            other = owners.setdefault(id(variable), member)
            if other != member:
                raise InputError(
                    f"members {other} and {member} share the variable {variable.path!r}, so that training one would "
                    "change the other; make its layer inside the builder, or freeze it"
                )
        known = {id(variable) for variable in getattr(model.optimizer, "_trainable_variables", [])}
        if model.optimizer.built and known and not {id(one) for one in model.trainable_variables} <= known:
            raise InputError(
                f"the optimizer of {model.name!r} does not know all variables that learn; compile the model again "
                "where layers of it were made trainable"
            )


def _check_tokens(model: keras.Model, schedule: Schedule) -> None:
    """Raise if an embedding would look up what is no token, or data hold tokens that it has no row for.

    Where XLA compiles it would take the last row; and of what is no whole number Keras takes the whole part.
    """
    if any(hasattr(layer, "embeddings") for layer in model._flatten_layers()):
        for part in (schedule.train, *schedule.watched.values()):
            if not isinstance(part, Stream):
                for start in range(0, min(len(part.x), _LOOKED_AT), schedule.batch_size):
                    check_whole(model, part.x[start : start + schedule.batch_size])
                forward(model, part.x, Programs(), batch_size=max(schedule.batch_size, 32))


def _engine_for(
    models: list[keras.Model],
    choice: Choice,
    asked: str,
    schedule: Schedule,
    data: dict[str, Batch],
    sample: Batch,
    progress: Progress,
) -> Engine:
    """Return what trains by the chosen strategy, or by the next one that is right for these models."""
    for model in models[:1] if choice.strategy == "stacked" else models:
        create_variables(model, sample)
    try:
        engine = _engine(choice, schedule, data, models)
    except CannotStack as error:
        if asked == "stacked":
            raise InputError(f'strategy="stacked" cannot train these members: {error}; use "unrolled"') from error
        choice = replace(choice, strategy="unrolled", slots=min(choice.slots, AT_ONCE), xla=False)
        if progress.verbose == 2:
            progress.say(f"strategy unrolled, {choice.slots} at a time: {error}")
        return _engine_for(models, choice, asked, schedule, data, sample, progress)
    told = disagreement(engine, models, schedule, data)
    if told is None:
        return engine
    progress.say(f"strategy looped: {told}")
    looped = Choice("looped", 1, False, told)
    return _engine_for(models, looped, asked, schedule, data, sample, progress)


def _engine(choice: Choice, schedule: Schedule, data: dict[str, Batch], models: Sequence[keras.Model]) -> Engine:
    if choice.strategy == "looped":
        return Looped(schedule, data)
    if choice.strategy == "unrolled":
        return Unrolled(schedule, data, choice.slots)
    return Stacked(schedule, data, choice.slots, models[0], choice.xla, differ(models))
