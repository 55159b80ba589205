"""Several ensembles of one architecture trained together, as if each were trained alone.

Members are independent, so it does not matter whose they are: one program trains the members of all the ensembles,
which repays compiling it where each ensemble alone is too small to.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from os import PathLike
from typing import Any

import numpy.typing as npt

from ensemble_vs_dropout.checks import InputError, check_at_least
from ensemble_vs_dropout.models.architecture import architecture
from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.predictors.base import Predictor
from ensemble_vs_dropout.predictors.ensemble import Ensemble
from ensemble_vs_dropout.progress import EpochEnd
from ensemble_vs_dropout.training.checkpoints import Checkpoint, JointCheckpoint, Keeper
from ensemble_vs_dropout.training.schedule import Schedule


def fit_together(
    ensembles: Sequence[Ensemble],
    x: Any,
    y: npt.ArrayLike | None = None,
    validation_data: Any = None,
    *,
    checkpoints: Sequence[str | PathLike[str] | None] | None = None,
    planned: int | None = None,
    on_epoch: Callable[[int, EpochEnd], None] | None = None,
    **settings: Any,
) -> None:
    """Train untrained ensembles on the same data; each member ends as `Ensemble.fit` alone would leave it.

    Args:
        ensembles: Of the same architecture, with seeds of their own; none of their members trained yet.
        x: As in `Ensemble.fit`, like `y` and `validation_data`.
        y: Labels.
        validation_data: Looked at after each epoch.
        checkpoints: A folder for each ensemble, or None; the same call goes on from them.
        planned: The members by whose number the strategy is chosen: of all the ensembles if that is None. Where some
            of a plan's ensembles are done already, the number in the plan makes the rest compute as they would have.
        on_epoch: Called with the ensemble's number and an `EpochEnd` after each epoch of each member.
        **settings: Further arguments of `Ensemble.fit`, but `callbacks`, `checkpoint` and `initial_epoch`.

    Raises:
        InputError: Ensembles of different architectures, or trained ones.
        FloatingPointError: All members of all ensembles diverged; one ensemble of which all did has no members.

    Example:
        >>> import keras, numpy as np
        >>> def build():
        ...     model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, activation="softmax")])
        ...     model.compile("sgd", "sparse_categorical_crossentropy")
        ...     return model
        >>> several = [Ensemble(build, members=2, seed=seed) for seed in range(3)]
        >>> fit_together(several, np.eye(2, dtype="float32"), np.array([0, 1]), epochs=1, verbose=0)
        >>> [len(ensemble.histories) for ensemble in several]
        [2, 2, 2]
    """
    if not ensembles:
        raise InputError("ensembles must hold at least one ensemble, got none")
    for number, ensemble in enumerate(ensembles):
        if len(ensemble.histories):
            raise InputError(f"ensembles must be untrained, but number {number} has members that are trained")
    if len({architecture(ensemble._models[0], lasting=True) for ensemble in ensembles}) > 1:
        raise InputError("ensembles must have one architecture to be trained together; train others apart")
    if checkpoints is not None and len(checkpoints) != len(ensembles):
        raise InputError(
            f"checkpoints must hold a folder for each of the {len(ensembles)} ensembles, got {len(checkpoints)}"
        )
    for name in ("callbacks", "checkpoint", "initial_epoch"):
        if name in settings:
            raise InputError(f"{name} has no meaning for ensembles that are trained together; leave it out")
    joint = _Joint(ensembles, checkpoints, planned)
    joint.fit(x, y, validation_data=validation_data, on_epoch=joint.telling(on_epoch), **settings)
    joint.hand_back()


class _Joint(Ensemble):
    """One ensemble of all members, each of which goes on drawing by its own ensemble's seed and its number there."""

    def __init__(
        self,
        ensembles: Sequence[Ensemble],
        checkpoints: Sequence[str | PathLike[str] | None] | None,
        planned: int | None,
    ):
        Predictor.__init__(self)
        self._whole_plan = planned
        self._ensembles, self._folders = ensembles, checkpoints or [None] * len(ensembles)
        self._owners = [(number, k) for number, one in enumerate(ensembles) for k in range(len(one._models))]
        self._build, self.seed = None, ensembles[0].seed
        self._models = [ensembles[number]._models[k] for number, k in self._owners]
        self._histories, self._starts, self._diverged = {}, {}, set()
        self._head, self._programs = ensembles[0]._head, ensembles[0]._programs
        self._inputs = ensembles[0]._inputs

    def telling(self, on_epoch: Callable[[int, EpochEnd], None] | None) -> Callable[[EpochEnd], None] | None:
        """Return what tells whose member it was."""
        if on_epoch is None:
            return None
        told = on_epoch

        def tell(end: EpochEnd) -> None:
            number, member = self._owners[end.member]
            told(number, replace(end, member=member))

        return tell

    def hand_back(self) -> None:
        """Give each ensemble the histories of its members."""
        for place, (number, member) in enumerate(self._owners):
            self._ensembles[number]._histories[member] = self._histories[place]
            if place in self._diverged:
                self._ensembles[number]._diverged.add(member)

    def _scheduled(self, schedule: Schedule) -> Schedule:
        return replace(schedule, identities=[(self._ensembles[number].seed, k) for number, k in self._owners])

    def _keeper(
        self, checkpoint: str | PathLike[str] | None, every: int, schedule: Schedule, model: keras.Model
    ) -> Keeper | None:
        kept = [
            Checkpoint(folder, replace(schedule, seed=one.seed), model, every) if folder else None
            for one, folder in zip(self._ensembles, self._folders, strict=True)
        ]
        return JointCheckpoint([(kept[number], k) for number, k in self._owners], every) if any(kept) else None

    def _planned(self, models: list[keras.Model]) -> list[keras.Model]:
        if self._whole_plan is None:
            return models
        return [models[0]] * check_at_least("planned", self._whole_plan, len(models))
