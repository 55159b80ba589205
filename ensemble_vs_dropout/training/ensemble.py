"""`Ensemble`: N independent networks from one builder."""

from __future__ import annotations

import hashlib
import json
import random
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import pandas as pd

from ensemble_vs_dropout.checks import InputError, check_at_least, check_known
from ensemble_vs_dropout.fusion import fuse
from ensemble_vs_dropout.heads import probabilities, read_head
from ensemble_vs_dropout.keras_backend import keras, one_graph_each
from ensemble_vs_dropout.measures import RULES, aggregate
from ensemble_vs_dropout.progress import Progress
from ensemble_vs_dropout.seeds import derive
from ensemble_vs_dropout.training._looped import train_member
from ensemble_vs_dropout.training.checkpoints import Checkpoint
from ensemble_vs_dropout.training.schedule import EpochEnd, Part, Schedule
from ensemble_vs_dropout.types import FloatArray, Predictions

STRATEGIES = ("auto", "looped")


class Ensemble:
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
        self._build: Callable[[], keras.Model] | None = build
        self.seed = check_at_least("seed", seed, 0)
        self._models: list[keras.Model] = []
        self._histories: dict[int, list[dict[str, float]]] = {}
        self._starts: dict[str, int] = {}
        self.add_members(members)

    @classmethod
    def from_models(cls, models: Sequence[keras.Model]) -> Ensemble:
        """Return the ensemble of models that are trained already, of any architectures with the same classes."""
        if not models:
            raise InputError("models must hold at least one model, got none")
        ensemble = cls.__new__(cls)
        ensemble._build, ensemble.seed = None, 0
        ensemble._models = list(models)
        ensemble._histories = {member: [] for member in range(len(models))}
        classes = {read_head(model).classes for model in models}
        if len(classes) > 1:
            raise InputError(f"models must agree on the number of classes, got {sorted(classes)}")
        return ensemble

    @property
    def models(self) -> tuple[keras.Model, ...]:
        """The members, plain Keras models."""
        return tuple(self._models)

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
            raise InputError("add_members needs the builder, which an ensemble from models or from a file has not")
        for member in range(len(self._models), len(self._models) + members):
            self._models.append(self._new_member(self._build, member))

    def fit(
        self,
        x: npt.NDArray[np.generic],
        y: npt.ArrayLike,
        validation_data: tuple[npt.NDArray[np.generic], npt.ArrayLike] | None = None,
        epochs: int = 1,
        batch_size: int = 32,
        shuffle: bool = True,
        patience: int | None = None,
        strategy: str = "auto",
        checkpoint: str | PathLike[str] | None = None,
        verbose: str | int = "auto",
        watch: Mapping[str, Part] | None = None,
        on_epoch: Callable[[EpochEnd], None] | None = None,
    ) -> pd.DataFrame:
        """Train the members that are not trained yet.

        Args:
            x: Features, shape (examples, ...).
            y: Labels 0..K-1, shape (examples,), whatever form the loss wants.
            validation_data: Features and labels that are only looked at after each epoch.
            epochs: At most so many.
            batch_size: Examples in a step; the last batch of an epoch may be smaller.
            shuffle: A new order in each epoch, different for each member; False takes the data as they lie.
            patience: Stop a member after so many epochs without a lower validation loss, and give it the weights of
                its best epoch. None trains all epochs and keeps the last weights.
            strategy: "looped" trains one member after the other; "auto" chooses, today always "looped".
            checkpoint: A folder that keeps each finished member; the same call goes on from it.
            verbose: 0 silent, 1 or "auto" a progress display, 2 one line per epoch.
            watch: Further named parts whose loss and metrics are recorded after each epoch; they steer nothing.
            on_epoch: Called with an `EpochEnd` after each epoch of each member.

        Returns:
            The histories of all members: columns member, epoch, loss, the compiled metrics, the same in inference
            mode as `val_...` and by the names in `watch`, and the seconds of training.

        Raises:
            InputError: Arguments that cannot be used, before anything is trained.
        """
        check_known("strategy", strategy, STRATEGIES)
        if verbose not in ("auto", 0, 1, 2):
            raise InputError(f"verbose must be 0, 1, 2 or 'auto', got {verbose!r}")
        if patience is not None:
            check_at_least("patience", patience, 1)
            if validation_data is None:
                raise InputError("patience needs validation_data, by whose loss a member is stopped")
        parts = {"val": validation_data} if validation_data is not None else {}
        if "val" in (watch or {}):
            raise InputError("watch must not hold 'val', the name of validation_data; give it another name")
        schedule = Schedule(
            train=self._check_part("x, y", (x, y)),
            seed=self.seed,
            epochs=check_at_least("epochs", epochs, 1),
            batch_size=check_at_least("batch_size", batch_size, 1),
            shuffle=shuffle,
            patience=patience,
            watched={name: self._check_part(name, part) for name, part in {**parts, **(watch or {})}.items()},
        )
        todo = [member for member in range(len(self._models)) if member not in self._histories]
        saved = Checkpoint(checkpoint, schedule, self._models[0]) if checkpoint is not None else None
        with one_graph_each(), Progress(len(todo) * epochs, verbose) as progress:

            def report(end: EpochEnd) -> None:
                progress.epoch(f"network {end.member + 1} of {len(self._models)}", end)
                if on_epoch:
                    on_epoch(end)

            for number, member in enumerate(todo):
                model = self._models[member]
                rows = saved.load(member, model) if saved else None
                if rows is None:
                    rows = train_member(model, read_head(model), member, _reporting(schedule, report))
                    if saved:
                        saved.save(member, model, rows)
                else:
                    progress.say(f"network {member + 1} of {len(self._models)} was trained before")
                progress.reach((number + 1) * epochs)
                self._histories[member] = rows
        return self.histories

    def predict_members(self, x: npt.NDArray[np.generic], batch_size: int = 1024) -> Predictions:
        """Return the probabilities of every member, shape (members, examples, classes)."""
        probs = [probabilities(model, x, batch_size, read_head(model)) for model in self._models]
        return Predictions(np.stack(probs), method=f"{len(probs)} independent networks")

    def predict(self, x: npt.NDArray[np.generic], rule: str = "mean", batch_size: int = 1024) -> FloatArray:
        """Return the members' probabilities combined by the named rule, shape (examples, classes)."""
        check_known("rule", rule, RULES)
        return aggregate(self.predict_members(x, batch_size).probs, rule)

    def to_keras(self, rule: str = "mean") -> keras.Model:
        """Return one `keras.Model` of the whole ensemble that gives the pooled probabilities, to deploy."""
        return fuse(self._models, rule)

    def save(self, path: str | PathLike[str]) -> None:
        """Write all members, histories and the seed to one zip file."""
        temporary = Path(f"{path}.partial")
        with zipfile.ZipFile(temporary, "w") as archive, TemporaryDirectory() as folder:
            for member, model in enumerate(self._models):
                name = f"member_{member:03d}.keras"
                model.save(Path(folder) / name)
                archive.write(Path(folder) / name, name)
            state = {
                "seed": self.seed,
                "histories": [self._histories.get(member) for member in range(len(self._models))],
                "masks": [[state.numpy().tolist() for state in mask_states(model)] for model in self._models],
            }  # a .keras file leaves out where the random streams stand
            archive.writestr("ensemble.json", json.dumps(state))
        temporary.replace(path)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Ensemble:
        """Read what `save` wrote; no code in the file is run."""
        try:
            with zipfile.ZipFile(path) as archive, TemporaryDirectory() as folder:
                state = json.loads(archive.read("ensemble.json"))
                models = []
                for member, masks in enumerate(state["masks"]):
                    name = f"member_{member:03d}.keras"
                    (Path(folder) / name).write_bytes(archive.read(name))
                    models.append(keras.models.load_model(Path(folder) / name, safe_mode=True))
                    for variable, value in zip(mask_states(models[-1]), masks, strict=True):
                        variable.assign(value)
        except (zipfile.BadZipFile, KeyError, json.JSONDecodeError) as error:
            raise InputError(f"{path} does not hold a saved ensemble: {error}") from error
        ensemble = cls.from_models(models)
        ensemble.seed = int(state["seed"])
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

    def _check_part(self, name: str, part: tuple[npt.NDArray[np.generic], npt.ArrayLike]) -> Part:
        features, labels = np.asarray(part[0]), np.asarray(part[1])
        if len(features) == 0 or labels.shape != (len(features),):
            raise InputError(
                f"{name} must hold at least one example and one label for each, got shapes {features.shape} and "
                f"{labels.shape}"
            )
        classes = read_head(self._models[0]).classes
        if labels.dtype.kind not in "ui" or labels.min() < 0 or labels.max() >= classes:
            raise InputError(
                f"the labels of {name} must be whole numbers 0..{classes - 1}, as the model has {classes} classes, "
                f"got {np.unique(labels)[[0, -1]].tolist()} as lowest and highest"
            )
        if features.dtype.kind == "f" and not np.isfinite(features).all():
            raise InputError(f"the features of {name} must be finite, got NaN or infinity")
        return features, labels.astype(np.int64)


def mask_states(model: keras.Model) -> list[keras.Variable]:
    """Return the state variables of the model's own random streams, in the order of its layers."""
    return [v for v in model.non_trainable_variables if v.name == "seed_generator_state"]


def _digest(model: keras.Model) -> str:
    """Return the sha256 of all weights, or "" if there are none."""
    digest = hashlib.sha256()
    for weights in model.get_weights():
        digest.update(np.ascontiguousarray(weights).data)
    return digest.hexdigest() if model.weights else ""


def _reporting(schedule: Schedule, on_epoch: Callable[[EpochEnd], None]) -> Schedule:
    return Schedule(**{**vars(schedule), "on_epoch": on_epoch})


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed what Keras' initialisers draw from, and undo it: the user's global streams go on as if nothing had been."""
    before = random.getstate(), np.random.get_state()  # noqa: NPY002  # the builder may draw from the global stream
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
