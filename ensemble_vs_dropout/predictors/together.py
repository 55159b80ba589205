"""Several ensembles of one architecture trained together, as if each were trained alone.

Members are independent, so it does not matter whose they are: one program trains the members of all the ensembles,
which repays compiling it where each ensemble alone is too small to.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from os import PathLike
from typing import Any

import numpy.typing as npt

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.models.targets import read_training_output
from ensemble_vs_dropout.predictors.ensemble import Ensemble
from ensemble_vs_dropout.progress import EpochEnd
from ensemble_vs_dropout.training import Fitted, Options, fit_members
from ensemble_vs_dropout.training.arguments import make_schedule
from ensemble_vs_dropout.training.checkpoints import Checkpoint, JointCheckpoint
from ensemble_vs_dropout.training.numbers import structure
from ensemble_vs_dropout.training.schedule import Schedule, join

_OF_DATA = {"x", "y", "validation_data", "watch", "sample_weight", "class_weight"}


def fit_together(
    ensembles: Sequence[Ensemble],
    x: Any = None,
    y: npt.ArrayLike | None = None,
    validation_data: Any = None,
    *,
    data: Sequence[Mapping[str, Any]] | None = None,
    checkpoints: Sequence[str | PathLike[str] | None] | None = None,
    planned: int | None = None,
    on_epoch: Callable[[int, EpochEnd], None] | None = None,
    **settings: Any,
) -> None:
    """Train untrained ensembles side by side; each member ends as `Ensemble.fit` alone would leave it.

    Args:
        ensembles: Of the same architecture but for the numbers that members may have of their own (rates of dropout
            layers, penalties, learning rates, ...), with seeds of their own; none of their members trained yet.
        x: As in `Ensemble.fit`, like `y` and `validation_data`.
        y: Labels.
        validation_data: Looked at after each epoch.
        data: For each ensemble the arguments of `fit` in which its data differ from those here: any of x, y,
            validation_data, watch, sample_weight and class_weight. Examples that several see are held once.
        checkpoints: A folder for each ensemble, or None; the same call goes on from them.
        planned: The members by whose number the strategy is chosen: if None, those of all the ensembles that see
            equally many examples, at most. Where some of a plan's ensembles are done already, the number in the plan
            makes the rest compute as they would have.
        on_epoch: Called with the ensemble's number and an `EpochEnd` after each epoch of each member.
        **settings: Further arguments of `Ensemble.fit`, but `callbacks`, `checkpoint` and `initial_epoch`.

    Raises:
        InputError: Ensembles of different architectures, or trained ones; or data of different shapes.
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
    if len({structure(ensemble._models[0], lasting=True) for ensemble in ensembles}) > 1:
        raise InputError("ensembles must have one architecture to be trained together; train others apart")
    if checkpoints is not None and len(checkpoints) != len(ensembles):
        raise InputError(
            f"checkpoints must hold a folder for each of the {len(ensembles)} ensembles, got {len(checkpoints)}"
        )
    for name in ("callbacks", "checkpoint", "initial_epoch"):
        if name in settings:
            raise InputError(f"{name} has no meaning for ensembles that are trained together; leave it out")
    if data is not None and len(data) != len(ensembles):
        raise InputError(f"data must hold the arguments for each of the {len(ensembles)} ensembles, got {len(data)}")
    for name in sorted({name for own in data or () for name in own} - _OF_DATA):
        raise InputError(f"data must name arguments among {', '.join(sorted(_OF_DATA))}, got {name!r}")
    folders = checkpoints or [None] * len(ensembles)
    owners = [(number, k) for number, one in enumerate(ensembles) for k in range(len(one._models))]

    def keeper(schedule: Schedule, model: keras.Model, every: int) -> JointCheckpoint:
        kept = [
            Checkpoint(folder, own, one._models[0], every) if folder else None
            for one, own, folder in zip(ensembles, schedules, folders, strict=True)
        ]
        return JointCheckpoint([(kept[number], k) for number, k in owners], every)

    def tell(end: EpochEnd) -> None:
        number, member = owners[end.member]
        if on_epoch:
            on_epoch(number, replace(end, member=member))

    chosen = {option.name: settings.pop(option.name) for option in fields(Options) if option.name in settings}
    options = Options(planned=planned, on_epoch=tell, keeper=keeper if any(folders) else None, **chosen)
    models = [ensembles[number]._models[k] for number, k in owners]
    head = read_training_output(models[0])
    settings |= {"x": x, "y": y, "validation_data": validation_data}
    schedules = _schedules(ensembles, data or [{}] * len(ensembles), settings)
    schedule = join(schedules, owners)
    fitted = Fitted()
    fit_members(models, head, schedule, options, fitted)
    for number, ensemble in enumerate(ensembles):
        own = {place: k for place, (owner, k) in enumerate(owners) if owner == number}
        histories = {k: fitted.histories[place] for place, k in own.items()}
        ensemble._was_fitted(Fitted(histories, {own[place] for place in fitted.diverged & own.keys()}))


def _schedules(
    ensembles: Sequence[Ensemble], data: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]
) -> list[Schedule]:
    """Return the schedule of each ensemble; those that are given the same arrays share what is checked of them."""
    head, inputs = read_training_output(ensembles[0]._models[0]), ensembles[0]._inputs
    checked: dict[tuple[tuple[str, int], ...], Schedule] = {}
    schedules = []
    for ensemble, own in zip(ensembles, data, strict=True):
        same = tuple((name, id(own[name])) for name in sorted(own))
        if same not in checked:
            checked[same] = make_schedule(head, inputs, 0, **{**settings, **own})
        schedules.append(replace(checked[same], seed=ensemble.seed))
    return schedules
