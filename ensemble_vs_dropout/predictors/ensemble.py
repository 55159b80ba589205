"""`Ensemble`: N independent networks from one builder."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ensemble_vs_dropout.checks import InputError, by_keyword, check_at_least
from ensemble_vs_dropout.evaluation import Evaluator
from ensemble_vs_dropout.files import digest_of_arrays
from ensemble_vs_dropout.models.backend import global_state, keras
from ensemble_vs_dropout.models.builders import check_takes_nothing
from ensemble_vs_dropout.models.costs import multiply_adds
from ensemble_vs_dropout.models.heads import declare, declaring
from ensemble_vs_dropout.models.inputs import Input, inputs_of
from ensemble_vs_dropout.models.number_heads import NumberHead, Output, read_output
from ensemble_vs_dropout.models.programs import Programs, forward
from ensemble_vs_dropout.models.targets import check_compiled, read_training_output
from ensemble_vs_dropout.predictors import saving
from ensemble_vs_dropout.predictors.base import Part, Predictor, check_weights_known
from ensemble_vs_dropout.predictors.export import fuse
from ensemble_vs_dropout.predictors.members import Members
from ensemble_vs_dropout.predictors.saving import loaded
from ensemble_vs_dropout.progress import EpochEnd
from ensemble_vs_dropout.seeds import derive
from ensemble_vs_dropout.training import Fitted, Options, evaluate_members, fit_members
from ensemble_vs_dropout.training.arguments import make_schedule, read_part
from ensemble_vs_dropout.training.checkpoints import Checkpoint
from ensemble_vs_dropout.training.looped import mask_states

GLOBAL_GENERATOR = "global_seed_generator"  # Keras' name of what draws where a layer gives no seed


class Ensemble(Predictor):
    """N independent networks from one builder, each with initial weights, data order and masks of its own.

    What member k draws depends on `seed` and k alone: member 3 of 5 is member 3 of 50, before and after
    `add_members`.

    Args:
        build: A function that returns a new compiled `keras.Model` at each call; without arguments but for what varies.
        members: How many, at least 1.
        seed: Root of the members' seeds.
        vary: By the name of an argument of `build`, its value for each member: numbers, words or booleans. Members that
            differ in rates of dropout, factors of L1 and L2 penalties, weight decay and learning rates alone train in
            one program, as others do. `histories` has a column for each.
        head: "logits" or "probabilities", where the loss is none of Keras' cross-entropies and the last activation
            does not tell what the outputs are; "mean" or "normal" of a number.

    Raises:
        InputError: A builder that returns no compiled model, the same object twice, or members that start identical; or
            what varies has not one value for each member, or a name that `build` does not take.

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
        >>> ensemble.add_members(1)  # untrained, until `fit` is called again
        >>> ensemble.members, Ensemble.from_models([ensemble.models[0]]).members
        (3, 1)
        >>> ensemble.to_keras(rule="mean").output_shape
        (None, 2)
        >>> def build_at(rate):
        ...     layers = [keras.Input((2,)), keras.layers.Dropout(rate), keras.layers.Dense(2, activation="softmax")]
        ...     model = keras.Sequential(layers)
        ...     model.compile("sgd", "sparse_categorical_crossentropy")
        ...     return model
        >>> sweep = Ensemble(build_at, members=2, vary={"rate": [0.2, 0.5]})
        >>> sweep.fit(x, y, epochs=1, verbose=0)[["member", "rate"]].values.tolist()
        [[0.0, 0.2], [1.0, 0.5]]
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     ensemble.save(f"{folder}/ensemble.zip")
        ...     Ensemble.load(f"{folder}/ensemble.zip").members
        3
    """

    def __init__(
        self,
        build: Callable[..., keras.Model],
        members: int = 5,
        seed: int = 0,
        vary: Mapping[str, Sequence[Any]] | None = None,
        head: str | None = None,
    ):
        check_at_least("members", members, 1)
        if isinstance(build, keras.Model) or not callable(build):
            raise InputError(f"build must be a function that returns a compiled keras.Model, got {build!r}")
        self._vary = {name: [_plain(value) for value in values] for name, values in (vary or {}).items()}
        _check_varied(build, members, self._vary)
        self._build: Callable[..., keras.Model] | None = declaring(build, head)
        self._said = head
        self.seed = check_at_least("seed", seed, 0)
        self._models: list[keras.Model] = []
        self._fitted = Fitted()
        self._starts: dict[str, int] = {}
        self._programs = Programs()
        self.add_members(members)
        self._inputs = inputs_of(self._models[:1])
        self._heads: list[Output] = []

    @classmethod
    def from_models(
        cls, models: Sequence[keras.Model | str | PathLike[str]], lazy: bool = False, head: str | None = None
    ) -> Ensemble:
        """Return the ensemble of models that are trained already, of any architectures with the same classes.

        Args:
            models: Models, or paths of saved ones, which are loaded in Keras' safe mode.
            lazy: Load the models of paths one at a time whenever they predict, so that memory holds one. Each is
                loaded once for a whole array, and once for each batch of a source of batches.
            head: "logits" or "probabilities", of a number "mean" or "normal", where neither a loss nor the last
                activation tells what outputs are.
        """
        if not len(models):
            raise InputError("models must hold at least one model, got none")
        ensemble = cls.__new__(cls)
        ensemble._build, ensemble.seed, ensemble._programs, ensemble._vary = None, 0, Programs(), {}
        ensemble._said = head
        given = [Path(model) if isinstance(model, (str, PathLike)) else model for model in models]
        heads: list[Output] = []
        inputs: list[Input] = []
        for number, model in enumerate(given):
            at_hand = loaded(model)
            heads.append(read_output(at_hand, head, alone=len(given) == 1))
            check_weights_known(at_hand)
            inputs += inputs_of([at_hand], lasting=not lazy)
            given[number] = model if lazy else at_hand
        ensemble._head, ensemble._heads, ensemble._whole = heads[0], heads, lazy
        ensemble._inputs = tuple(dict.fromkeys(inputs))
        ensemble._models = given
        ensemble._fitted, ensemble._starts = Fitted({member: [] for member in range(len(models))}), {}
        if len({isinstance(head, NumberHead) for head in heads}) > 1:
            raise InputError("models must be all classifiers, or all predict a number, got both")
        if len({head.columns for head in heads}) > 1 and isinstance(heads[0], NumberHead):
            raise InputError("models must all predict a mean alone, or all a standard deviation beside it, got both")
        classes = {head.columns for head in heads}
        if len(classes) > 1:
            raise InputError(f"models must agree on the number of classes, got {sorted(classes)}")
        return ensemble

    @property
    def diverged(self) -> tuple[int, ...]:
        """The numbers of the members that diverged, which do not predict."""
        return tuple(sorted(self._fitted.diverged))

    @property
    def models(self) -> Members:
        """The members, plain Keras models: `models[k]` is member k; those that diverged are left out of a loop."""
        return Members(self._models, self._fitted.diverged, loaded)

    @property
    def histories(self) -> pd.DataFrame:
        """One row per member and epoch: member, what varies, epoch, loss, the metrics, seconds."""
        own = [{"member": k, **self._varied(k)} for k in range(len(self._models))]
        rows = [{**own[k], **row} for k, rows in sorted(self._fitted.histories.items()) for row in rows]
        frame = pd.DataFrame(rows, columns=None if rows else ["member", *self._vary, "epoch", "loss", "seconds"])
        return frame.astype({"member": int, "epoch": int})

    def add_members(self, members: int) -> None:
        """Append untrained members; those that are there stay as they are, and `fit` trains only the new ones."""
        check_at_least("members", members, 1)
        if self._build is None:
            raise InputError("add_members needs the builder, which an ensemble from models has not")
        if self._vary and self._models:
            raise InputError(
                f"add_members has no {', '.join(self._vary)} for further members; make an ensemble of all of them"
            )
        for member in range(len(self._models), len(self._models) + members):
            self._models.append(self._new_member(partial(self._build, **self._varied(member)), member))

    def _varied(self, member: int) -> dict[str, Any]:
        return {name: values[member] for name, values in self._vary.items()}

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
            y: Labels 0..K-1, shape (examples,), whatever form the loss wants, or targets of networks that predict a
                number; left out with a source of batches.
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
        options = Options(
            strategy=strategy,
            verbose=verbose,
            memory_limit=memory_limit,
            on_divergence=on_divergence,
            on_epoch=on_epoch,
            keeper=partial(Checkpoint, checkpoint, facts={"vary": self._vary} if self._vary else {})
            if checkpoint
            else None,
            checkpoint_every=checkpoint_every,
        )
        heads = [read_training_output(model) for k, model in enumerate(self._models) if k == 0 or self._vary]
        if len({head.form for head in heads}) > 1:
            raise InputError(f"members must have losses that want labels in one form, got {heads[0].form} and others")
        head = heads[0]
        schedule = make_schedule(
            head, self._inputs, self.seed, x, y, validation_data, validation_split, watch, epochs, initial_epoch,
            batch_size, steps_per_epoch, shuffle, patience, class_weight, sample_weight, callbacks,
        )  # fmt: skip
        fit_members(self._models, head, schedule, options, self._fitted)
        return self.histories

    def evaluate(
        self,
        x: Any,
        y: npt.ArrayLike | None = None,
        *,
        batch_size: int = 1024,
        rules: Sequence[str] | None = None,
        metrics: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """Return how good each member is, and how good they are combined.

        Args:
            x: Features, shape (examples, ...), or a source of batches, whose sample weights are left out.
            y: Labels 0..K-1, shape (examples,), whatever form the loss wants, or targets of networks that predict a
                number; left out with a source of batches.
            batch_size: Examples at a time.
            rules: Names in `RULES`, of numbers in `POOLS`; None for the standard ones. One member has nothing to
                combine.
            metrics: Names of metrics for the rules; None for the standard ones. See `Evaluator`.

        Returns:
            Columns of ("member 0", ..., then the rules), metric, value. Of a member: its loss, in nats and with
            penalties on weights, and its compiled metrics, in inference mode, as Keras' `evaluate` gives them; members
            that diverged are left out. Of a rule: what `Evaluator.scores` gives.

        Raises:
            InputError: Labels that do not fit, an unknown rule or metric, or probabilities that memory does not hold.

        Example:
            >>> import keras, numpy as np
            >>> def build():
            ...     model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, activation="softmax")])
            ...     model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
            ...     return model
            >>> ensemble = Ensemble(build, members=2)
            >>> table = ensemble.evaluate(np.eye(2), [0, 1], rules=["mean"], metrics=["error"])
            >>> (table["of"] + ": " + table["metric"]).tolist()
            ['member 0: loss', 'member 0: accuracy', 'member 1: loss', 'member 1: accuracy', 'mean: error']
        """
        evaluator = Evaluator(metrics, rules, resamples=100)  # of which the values, not the intervals, are told
        part = read_part(x, y, self._head, self._inputs)
        predictions = self.predict_members(part.x, check_at_least("batch_size", batch_size, 1))
        numbers = [k for k in range(len(self._models)) if k not in self._fitted.diverged]
        logs = evaluate_members(self.models, part, batch_size, apart=self._whole, said=self._said)
        rows = [(f"member {k}", *pair) for k, each in zip(numbers, logs, strict=True) for pair in each.items()]
        scores = evaluator.scores({"ensemble": predictions}, part.y)
        rows += scores[["rule", "metric", "value"]].itertuples(index=False, name=None)
        return pd.DataFrame(rows, columns=["of", "metric", "value"])

    def _was_fitted(self, fitted: Fitted) -> None:
        """Take up what became of members that were fitted elsewhere."""
        self._fitted.histories.update(fitted.histories)
        self._fitted.diverged.update(fitted.diverged)

    @property
    def members(self) -> int:
        """The number of members that predict."""
        return len(self._models) - len(self._fitted.diverged)

    @property
    def multiply_adds(self) -> int:
        """Products of weights with inputs that an example takes, summed over the networks that predict."""
        predicting = (model for member, model in enumerate(self._models) if member not in self._fitted.diverged)
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
            if member in self._fitted.diverged:
                continue
            programs = Programs() if isinstance(model, Path) else self._programs  # what is loaded again is not kept
            yield forward(loaded(model), x, programs, head=self._head_of(member))[None], None

    def _head_of(self, member: int) -> Output:
        """Return what a member's outputs mean: one head for all that a builder made."""
        return self._heads[member] if member < len(self._heads) else self._head

    def to_keras(self, rule: str = "mean") -> keras.Model:
        """Return one `keras.Model` of the whole ensemble that gives the pooled probabilities, to deploy.

        Args:
            rule: mean, geometric_mean or majority_vote.
        """
        heads = [self._head_of(k) for k in range(len(self._models)) if k not in self._fitted.diverged]
        return fuse([*self.models], rule, heads=heads)

    def save(self, path: str | PathLike[str]) -> None:
        """Write all members with their optimizers' state and configuration, histories and seeds to one zip file.

        Of members that Keras cannot save whole the weights alone are written; `load` then needs the builder.

        Raises:
            InputError: Keras cannot save a member, and nothing is written.
        """
        state = {
            "seed": self.seed,
            "diverged": sorted(self._fitted.diverged),
            **({"vary": self._vary} if self._vary else {}),
            **({"head": self._said} if self._said else {}),
            "histories": [self._fitted.histories.get(member) for member in range(len(self._models))],
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
        head = state.get("head")
        models = [declare(model, head) for model in models]
        ensemble = cls.from_models(models, head=head)
        ensemble._build = declaring(build or (lambda: saving.rebuilt(models[0])), head)
        ensemble.seed, ensemble._vary = int(state["seed"]), state.get("vary", {})
        histories = {member: rows for member, rows in enumerate(state["histories"]) if rows is not None}
        ensemble._fitted = Fitted(histories, set(state["diverged"]))
        return ensemble

    def _new_member(self, build: Callable[[], keras.Model], member: int) -> keras.Model:
        with _seeded(derive(self.seed, "weights", member)):
            model = build()
        check_compiled(model)
        head = read_output(model)
        if not self._models:
            self._head = head
        elif (type(head), head.columns) != (type(self._head), self._head.columns):
            raise InputError("build must return networks that predict the same, whatever varies: got other outputs")
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


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _check_varied(build: Callable[..., keras.Model], members: int, vary: Mapping[str, list[Any]]) -> None:
    for name, values in vary.items():
        if len(values) != members:
            raise InputError(f"vary[{name!r}] must hold a value for each of the {members} members, got {len(values)}")
        if not all(isinstance(value, str | bool | int | float) for value in values):
            raise InputError(f"vary[{name!r}] must hold numbers, words or booleans, got {values!r}")
        if name in ("member", "epoch", "loss", "seconds"):
            raise InputError(f"vary must not name {name!r}, a column of the histories; call the argument otherwise")
    try:
        inspect.signature(build).bind_partial(**vary)
    except TypeError as error:
        raise InputError(f"vary must name arguments of build: {error}") from error
    except ValueError:  # what tells no signature
        return
    check_takes_nothing(partial(build, **vary))


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
