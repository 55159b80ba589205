"""`Ensemble`: N independent networks from one builder."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ensemble_vs_dropout.checks import InputError, by_keyword, check_at_least, check_known
from ensemble_vs_dropout.files import digest_of_arrays
from ensemble_vs_dropout.models.backend import global_state, keras, one_graph_each
from ensemble_vs_dropout.models.builders import check_takes_nothing
from ensemble_vs_dropout.models.costs import multiply_adds
from ensemble_vs_dropout.models.heads import Head, read_head
from ensemble_vs_dropout.models.inputs import Input, inputs_of
from ensemble_vs_dropout.models.programs import Programs, forward
from ensemble_vs_dropout.predictors import saving
from ensemble_vs_dropout.predictors.base import Part, Predictor, check_weights_known
from ensemble_vs_dropout.predictors.export import fuse
from ensemble_vs_dropout.predictors.members import Members
from ensemble_vs_dropout.predictors.saving import loaded
from ensemble_vs_dropout.progress import EpochEnd, Progress
from ensemble_vs_dropout.seeds import derive
from ensemble_vs_dropout.training.arguments import make_schedule, wants_steps
from ensemble_vs_dropout.training.checkpoints import Checkpoint, Keeper
from ensemble_vs_dropout.training.guard import disagreement
from ensemble_vs_dropout.training.loop import Engine, create_state, create_variables, on_device, train_members
from ensemble_vs_dropout.training.looped import Batch, Looped, mask_states
from ensemble_vs_dropout.training.schedule import Schedule
from ensemble_vs_dropout.training.stacked import Stacked
from ensemble_vs_dropout.training.stateless import CannotStack
from ensemble_vs_dropout.training.strategy import AT_ONCE, STRATEGIES, Choice, choose
from ensemble_vs_dropout.training.streams import Stream
from ensemble_vs_dropout.training.unrolled import Unrolled

GLOBAL_GENERATOR = "global_seed_generator"  # Keras' name of what draws where a layer gives no seed


class Ensemble(Predictor):
    """N independent networks from one builder, each with initial weights, data order and masks of its own.

    What member k draws depends on `seed` and k alone: member 3 of 5 is member 3 of 50, before and after
    `add_members`.

    Args:
        build: A function without arguments that returns a new compiled `keras.Model` at each call.
        members: How many, at least 1.
        seed: Root of the members' seeds.

    Raises:
        InputError: A builder that returns no compiled model, the same object twice, or members that start identical.

    Example:
        >>> import keras, numpy as np
        >>> def build():
        ...     model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, activation="softmax")])
        ...     model.compile("sgd", "sparse_categorical_crossentropy")
        ...     return model
        >>> x, y = np.eye(2, dtype="float32"), np.array([0, 1])
        >>> ensemble = Ensemble(build, members=2)
        >>> histories = ensemble.fit(x, y, epochs=1, verbose=0)
        >>> ensemble.predict(x).shape
        (2, 2)
    """

    def __init__(self, build: Callable[[], keras.Model], members: int = 5, seed: int = 0):
        check_at_least("members", members, 1)
        if isinstance(build, keras.Model) or not callable(build):
            raise InputError(f"build must be a function that returns a compiled keras.Model, got {build!r}")
        check_takes_nothing(build)
        self._build: Callable[[], keras.Model] | None = build
        self.seed = check_at_least("seed", seed, 0)
        self._models: list[keras.Model] = []
        self._histories: dict[int, list[dict[str, float]]] = {}
        self._starts: dict[str, int] = {}
        self._diverged: set[int] = set()
        self._programs = Programs()
        self.add_members(members)
        self._head, self._inputs = read_head(self._models[0]), inputs_of(self._models[:1])

    @classmethod
    def from_models(cls, models: Sequence[keras.Model | str | PathLike[str]], lazy: bool = False) -> Ensemble:
        """Return the ensemble of models that are trained already, of any architectures with the same classes.

        Args:
            models: Compiled models, or paths of saved ones, which are loaded in Keras' safe mode.
            lazy: Load the models of paths one at a time whenever they predict, so that memory holds one. Each is
                loaded once for a whole array, and once for each batch of a source of batches.
        """
        if not len(models):
            raise InputError("models must hold at least one model, got none")
        ensemble = cls.__new__(cls)
        ensemble._build, ensemble.seed, ensemble._programs = None, 0, Programs()
        given = [Path(model) if isinstance(model, (str, PathLike)) else model for model in models]
        heads: list[Head] = []
        inputs: list[Input] = []
        for number, model in enumerate(given):
            at_hand = loaded(model)
            heads.append(read_head(at_hand))
            check_weights_known(at_hand)
            inputs += inputs_of([at_hand], lasting=not lazy)
            given[number] = model if lazy else at_hand
        ensemble._head, ensemble._whole = heads[0], lazy
        ensemble._inputs = tuple(dict.fromkeys(inputs))
        ensemble._models = given
        ensemble._histories = {member: [] for member in range(len(models))}
        ensemble._starts, ensemble._diverged = {}, set()
        classes = {head.classes for head in heads}
        if len(classes) > 1:
            raise InputError(f"models must agree on the number of classes, got {sorted(classes)}")
        return ensemble

    @property
    def diverged(self) -> tuple[int, ...]:
        """The numbers of the members that diverged, which do not predict."""
        return tuple(sorted(self._diverged))

    @property
    def models(self) -> Members:
        """The members, plain Keras models: `models[k]` is member k; those that diverged are left out of a loop."""
        return Members(self._models, self._diverged, loaded)

    @property
    def histories(self) -> pd.DataFrame:
        """One row per member and epoch: member, epoch, loss, the metrics, seconds."""
        rows = [{"member": k, **row} for k, rows in sorted(self._histories.items()) for row in rows]
        frame = pd.DataFrame(rows, columns=None if rows else ["member", "epoch", "loss", "seconds"])
        return frame.astype({"member": int, "epoch": int})

    def add_members(self, members: int) -> None:
        """Append untrained members; those that are there stay as they are, and `fit` trains only the new ones."""
        check_at_least("members", members, 1)
        if self._build is None:
            raise InputError("add_members needs the builder, which an ensemble from models has not")
        for member in range(len(self._models), len(self._models) + members):
            self._models.append(self._new_member(self._build, member))

    @by_keyword("validation_data")
    def fit(
        self,
        x: Any,
        y: npt.ArrayLike | None = None,
        *,
        validation_data: Any = None,
        epochs: int = 1,
        batch_size: int = 32,
        shuffle: bool = True,
        patience: int | None = None,
        strategy: str = "auto",
        checkpoint: str | PathLike[str] | None = None,
        verbose: str | int = "auto",
        validation_split: float = 0.0,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: npt.ArrayLike | None = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        callbacks: Callable[[int], Sequence[keras.callbacks.Callback]] | None = None,
        checkpoint_every: int = 0,
        memory_limit: int | None = None,
        on_divergence: str = "exclude",
        watch: Mapping[str, Any] | None = None,
        on_epoch: Callable[[EpochEnd], None] | None = None,
    ) -> pd.DataFrame:
        """Train the members that are not trained yet.

        Whatever the strategy, member k has the same initial weights, batches and dropout masks, alone or among many.

        Args:
            x: Features, shape (examples, ...), or a source of batches: a `tf.data.Dataset` or a Keras `PyDataset`.
            y: Labels 0..K-1, shape (examples,), whatever form the loss wants; left out with a source of batches.
            validation_data: Features and labels (and sample weights) that are only looked at after each epoch.
            epochs: The last epoch, counted from 1.
            batch_size: Examples in a step; the last batch of an epoch may be smaller.
            shuffle: A new order in each epoch, different for each member; False takes the data as they lie.
            patience: Stop a member after so many epochs without a lower validation loss, and give it the weights of
                its best epoch. None trains all epochs and keeps the last weights.
            strategy: "stacked" vectorises one program over the members; "unrolled" puts them into one graph;
                "looped" trains one after the other; "auto" chooses, and says what and why at `verbose=2`.
            checkpoint: A folder that keeps each finished member; the same call goes on from it.
            verbose: 0 silent, 1 or "auto" a progress display, 2 one line per epoch.
            validation_split: The last part of the data, in [0, 1), held out as validation data.
            class_weight: A weight for each label, 1 where none is given.
            sample_weight: A weight for each example, shape (examples,).
            initial_epoch: Epochs that lie behind: members that were trained so far go on.
            steps_per_epoch: Steps in an epoch, at most what the data hold.
            callbacks: `callbacks(member)` returns the Keras callbacks of that member. Those that are called at each
                step need `strategy="looped"`.
            checkpoint_every: Keep members on their way in the checkpoint folder after so many epochs; 0 never. What
                callbacks remember is not kept.
            memory_limit: Bytes that training may take; members are taken in groups that fit. Half of what is free by
                default.
            on_divergence: "exclude" stops a member whose loss is no longer finite, names it and keeps it out of the
                ensemble; "raise" stops everything.
            watch: Further named parts whose loss and metrics are recorded after each epoch; they steer nothing.
            on_epoch: Called with an `EpochEnd` after each epoch of each member.

        Returns:
            The histories of all members: columns member, epoch, loss, the compiled metrics, the same in inference
            mode as `val_...` and by the names in `watch`, and the seconds of training (a group's, shared evenly).

        Raises:
            InputError: Arguments that cannot be used, before anything is trained.
            FloatingPointError: A member diverged with `on_divergence="raise"`, or all did.
        """
        if verbose not in ("auto", 0, 1, 2):
            raise InputError(f"verbose must be 0, 1, 2 or 'auto', got {verbose!r}")
        check_known("on_divergence", on_divergence, ("exclude", "raise"))
        check_at_least("checkpoint_every", checkpoint_every, 0)
        if checkpoint_every and checkpoint is None:
            raise InputError("checkpoint_every needs checkpoint, the folder to write to")
        if memory_limit is not None:
            check_at_least("memory_limit", memory_limit, 1)
        check_known("strategy", strategy, STRATEGIES)
        head = read_head(self._models[0])
        schedule = make_schedule(
            head, self._inputs, self.seed, x, y, validation_data, validation_split, watch, epochs, initial_epoch,
            batch_size, steps_per_epoch, shuffle, patience, class_weight, sample_weight, callbacks,
        )  # fmt: skip
        schedule = self._scheduled(schedule)
        todo = [k for k in range(len(self._models)) if k not in self._diverged and self._epochs_of(k) <= initial_epoch]
        if initial_epoch == 0:
            todo = [member for member in todo if member not in self._histories]
        if not todo:
            return self.histories
        own = {member: list(callbacks(member)) for member in todo} if callbacks else {}
        schedule = replace(
            schedule,
            callbacks=own.__getitem__ if callbacks else None,
            stepwise=any(wants_steps(callback) for each in own.values() for callback in each),
        )
        with one_graph_each(), Progress(len(todo) * (epochs - initial_epoch), verbose) as progress:
            self._train(todo, head, schedule, strategy, memory_limit, checkpoint, checkpoint_every,
                        on_divergence == "raise", on_epoch, progress)  # fmt: skip
        return self.histories

    def _train(
        self,
        todo: list[int],
        head: Head,
        schedule: Schedule,
        strategy: str,
        memory_limit: int | None,
        checkpoint: str | PathLike[str] | None,
        checkpoint_every: int,
        raising: bool,
        on_epoch: Callable[[EpochEnd], None] | None,
        progress: Progress,
    ) -> None:
        members = len(self._models)
        data = {} if isinstance(schedule.train, Stream) else {"train": on_device(schedule.train, head)}
        data |= {name: on_device(part, head) for name, part in schedule.watched.items()}
        sample = next(schedule.train.epoch(0, 0, 0, False)) if isinstance(schedule.train, Stream) else data["train"]
        for member in todo:
            create_state(self._models[member])
        saved = self._keeper(checkpoint, checkpoint_every, schedule, self._models[todo[0]])
        waiting = {}
        for number, member in enumerate(todo):
            rows = saved.load(member, self._models[member]) if saved else None
            if rows is None:
                waiting[member] = self._models[member]
            else:
                self._histories[member] = rows
                progress.say(f"network {member + 1} of {members} was trained before")
                progress.reach((number + 1) * (schedule.epochs - schedule.initial_epoch))
        if not waiting:
            return
        # By all of them, not by those that wait, so that a resumed training computes as an uninterrupted one does.
        choice = choose(strategy, self._planned([self._models[member] for member in todo]), schedule, memory_limit)
        if progress.verbose == 2:
            at_a_time = f", {choice.slots} at a time" if choice.slots > 1 else ""
            progress.say(f"strategy {choice.strategy}{at_a_time}: {choice.reason}")

        def report(end: EpochEnd) -> None:
            progress.epoch(f"network {end.member + 1} of {members}", end)
            if on_epoch:
                on_epoch(end)

        def finished(member: int, rows: list[dict[str, float]], diverged: bool) -> None:
            if diverged:
                loss = rows[-1].get("loss", 0.0)
                what = "weights are no longer finite" if np.isfinite(loss) else f"the loss is {loss}"
                told = (
                    f"member {member}: {what} after epoch {rows[-1]['epoch']}; a lower learning rate or clipped "
                    "gradients usually help"
                )
                if raising:
                    raise FloatingPointError(told)
                progress.say(f"{told}; it is kept out of the ensemble")
                self._diverged.add(member)
            self._histories[member] = rows

        schedule = replace(schedule, on_epoch=report)
        _check_tokens(next(iter(waiting.values())), schedule)
        engine = self._chosen_engine(choice, strategy, schedule, data, sample, list(waiting.values()), progress)
        train_members(engine, waiting, self._histories, schedule, saved, time.perf_counter, finished)
        if len(self._diverged) == members:
            raise FloatingPointError(
                f"all {members} members diverged; a lower learning rate or clipped gradients usually help"
            )

    def _chosen_engine(
        self,
        choice: Choice,
        strategy: str,
        schedule: Schedule,
        data: dict[str, Batch],
        sample: Batch,
        models: list[keras.Model],
        progress: Progress,
    ) -> Engine:
        """Return what trains by the chosen strategy, or by the next one that is right for these models."""
        template = models[0]
        for model in [template] if choice.strategy == "stacked" else models:
            create_variables(model, sample)
        try:
            engine = _engine(choice, schedule, data, template)
        except CannotStack as error:
            if strategy == "stacked":
                raise InputError(f'strategy="stacked" cannot train these members: {error}; use "unrolled"') from error
            choice = replace(choice, strategy="unrolled", slots=min(choice.slots, AT_ONCE), xla=False)
            if progress.verbose == 2:
                progress.say(f"strategy unrolled, {choice.slots} at a time: {error}")
            return self._chosen_engine(choice, strategy, schedule, data, sample, models, progress)
        told = disagreement(partial(_engine, choice, template=template), models, schedule, data)
        if told is None:
            return engine
        progress.say(f"strategy looped: {told}")
        looped = Choice("looped", 1, False, told)
        return self._chosen_engine(looped, strategy, schedule, data, sample, models, progress)

    def _scheduled(self, schedule: Schedule) -> Schedule:
        return schedule

    def _keeper(
        self, checkpoint: str | PathLike[str] | None, every: int, schedule: Schedule, model: keras.Model
    ) -> Keeper | None:
        return Checkpoint(checkpoint, schedule, model, every) if checkpoint else None

    def _planned(self, models: list[keras.Model]) -> list[keras.Model]:
        """Return the models by which the strategy is chosen."""
        return models

    def _epochs_of(self, member: int) -> int:
        rows = self._histories.get(member, [])
        return int(rows[-1]["epoch"]) if rows else 0

    @property
    def members(self) -> int:
        """The number of members that predict."""
        return len(self._models) - len(self._diverged)

    @property
    def multiply_adds(self) -> int:
        """Products of weights with inputs that an example takes, summed over the networks that predict."""
        predicting = (model for member, model in enumerate(self._models) if member not in self._diverged)
        return sum(multiply_adds(loaded(model)) for model in predicting)

    @property
    def method(self) -> str:
        """How it predicts, in words."""
        return f"{self.members} independent networks"

    def share(self, other: Ensemble) -> None:
        """See `Predictor.share`."""
        self._programs = other._programs

    def _parts(self, x: npt.NDArray[np.generic], first: int) -> Iterator[Part]:
        for member, model in enumerate(self._models):
            if member in self._diverged:
                continue
            programs = Programs() if isinstance(model, Path) else self._programs  # what is loaded again is not kept
            yield forward(loaded(model), x, programs)[None], None

    def to_keras(self, rule: str = "mean") -> keras.Model:
        """Return one `keras.Model` of the whole ensemble that gives the pooled probabilities, to deploy.

        Args:
            rule: mean, geometric_mean or majority_vote.
        """
        return fuse([*self.models], rule)

    def save(self, path: str | PathLike[str]) -> None:
        """Write all members with their optimizers' state and configuration, histories and seeds to one zip file.

        Of members that Keras cannot save whole the weights alone are written; `load` then needs the builder.

        Raises:
            InputError: Keras cannot save a member, and nothing is written.
        """
        state = {
            "seed": self.seed,
            "diverged": sorted(self._diverged),
            "histories": [self._histories.get(member) for member in range(len(self._models))],
        }
        saving.write(path, map(loaded, self._models), state)

    @classmethod
    def load(cls, path: str | PathLike[str], build: Callable[[], keras.Model] | None = None) -> Ensemble:
        """Read what `save` wrote; no code in the file is run.

        `fit` goes on with members that were not trained. `add_members` builds by `build`, or without it from the
        configuration of the first.

        Args:
            path: Of the file.
            build: The builder that the ensemble had. Members that it returns take their weights from the file, so that
                lambdas, and layers of your own that are not registered with Keras, are no hindrance.

        Raises:
            InputError: The file holds no ensemble, or one that needs `build`, or another than `build` returns.
        """

        def seeded() -> keras.Model:
            with _seeded(0):
                return build() if build else None

        models, state = saving.read(path, seeded if build else None)
        ensemble = cls.from_models(models)
        ensemble._build = build or (lambda: saving.rebuilt(models[0]))
        ensemble.seed = int(state["seed"])
        ensemble._diverged = set(state["diverged"])
        ensemble._histories = {member: rows for member, rows in enumerate(state["histories"]) if rows is not None}
        return ensemble

    def _new_member(self, build: Callable[[], keras.Model], member: int) -> keras.Model:
        with _seeded(derive(self.seed, "weights", member)):
            model = build()
        read_head(model)
        if any(model is other for other in self._models):
            raise InputError("build must return a new model at each call, it returned the same object twice")
        if any(model.optimizer is other.optimizer for other in self._models):
            raise InputError(
                "build must make a new optimizer at each call: members would share the state of this one; construct "
                "it inside the builder"
            )
        twin = self._starts.setdefault(_digest(model) or str(member), member)
        if twin != member:
            raise InputError(
                f"members {twin} and {member} start with identical weights, so they would not be independent; "
                "the builder fixes a seed: leave out seed= in initialisers and set_random_seed in the builder"
            )
        for number, state in enumerate(mask_states(model)):
            state.assign([derive(self.seed, "masks", member, number), 0])
        return model


def _check_tokens(model: keras.Model, schedule: Schedule) -> None:
    """Raise if data hold numbers that an embedding has no row for: where XLA compiles, it would take the last row."""
    if any(hasattr(layer, "embeddings") for layer in model._flatten_layers()):
        for part in (schedule.train, *schedule.watched.values()):
            if not isinstance(part, Stream):
                forward(model, part.x, Programs())


def _engine(choice: Choice, schedule: Schedule, data: dict[str, Batch], template: keras.Model) -> Engine:
    if choice.strategy == "looped":
        return Looped(schedule, data)
    if choice.strategy == "unrolled":
        return Unrolled(schedule, data, choice.slots)
    return Stacked(schedule, data, choice.slots, template, choice.xla)


def _digest(model: keras.Model) -> str:
    """Return the sha256 of all weights, or "" if there are none."""
    return digest_of_arrays(model.get_weights()) if model.weights else ""


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed what Keras' initialisers draw from, and undo it: the user's global streams go on as if nothing had been."""
    before = random.getstate(), np.random.get_state()  # noqa: NPY002  # the builder may draw from the global stream
    generator = global_state.get_global_attribute(GLOBAL_GENERATOR)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    global_state.set_global_attribute(GLOBAL_GENERATOR, None)  # Keras makes it anew, from Python's stream
    try:
        yield
    finally:
        global_state.set_global_attribute(GLOBAL_GENERATOR, generator)
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
