"""What `Ensemble.fit` was given, checked before anything is trained, as a `Schedule`."""

from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.checks import InputError, check_at_least, check_fraction
from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.models.inputs import Examples, Input
from ensemble_vs_dropout.models.number_heads import Output
from ensemble_vs_dropout.training.schedule import TRAIN, Part, Schedule
from ensemble_vs_dropout.training.streams import Stream, check_weighing, read_targets


def make_schedule(
    head: Output,
    inputs: Sequence[Input],
    seed: int,
    x: Any,
    y: npt.ArrayLike | None,
    validation_data: Any = None,
    validation_split: float = 0.0,
    watch: Mapping[str, Any] | None = None,
    epochs: int = 1,
    initial_epoch: int = 0,
    batch_size: int = 32,
    steps_per_epoch: int | None = None,
    shuffle: bool = True,
    patience: int | None = None,
    class_weight: Mapping[int, float] | None = None,
    sample_weight: npt.ArrayLike | None = None,
    callbacks: Any = None,
) -> Schedule:
    """Return the schedule, or raise `InputError` naming the argument."""
    check_at_least("epochs", epochs, 1)
    check_at_least("initial_epoch", initial_epoch, 0)
    check_at_least("batch_size", batch_size, 1)
    if initial_epoch >= epochs:
        raise InputError(f"initial_epoch must lie below epochs, the last one, got {initial_epoch} and {epochs}")
    if steps_per_epoch is not None:
        check_at_least("steps_per_epoch", steps_per_epoch, 1)
    if patience is not None:
        check_at_least("patience", patience, 1)
    for name, whose in (("val", "validation_data"), (TRAIN, "those that are learned from")):
        if name in (watch or {}):
            raise InputError(f"watch must not hold {name!r}, the name of {whose}; give it another name")
    train: Part | Stream
    if Stream.reads(x):
        for name, given in (("y", y), ("sample_weight", sample_weight), ("class_weight", class_weight)):
            if given is not None:
                raise InputError(f"{name} must be left out with a source of batches: it yields labels and weights too")
        if validation_split:
            raise InputError("validation_split needs arrays; give validation_data with a source of batches")
        train = Stream(x, head, inputs, steps_per_epoch)
    else:
        train = check_part("x, y", x, y, sample_weight, head, inputs)
        if validation_split:
            if validation_data is not None:
                raise InputError("validation_split and validation_data cannot both be given; leave one out")
            cut = len(train.x) - int(len(train.x) * check_fraction("validation_split", validation_split))
            if cut in (0, len(train.x)):
                raise InputError(f"validation_split must leave examples on both sides, got {validation_split!r}")
            validation_data, train = _cut(train, slice(cut, None)), _cut(train, slice(cut))
        if class_weight is not None:
            train = _weighted(train, class_weight, head.classes)
        steps = -(-len(train.x) // batch_size)
        if steps_per_epoch is not None and steps_per_epoch > steps:
            raise InputError(
                f"steps_per_epoch must be at most the {steps} batches of {batch_size} that the data hold, got "
                f"{steps_per_epoch}"
            )
    if patience is not None and validation_data is None:
        raise InputError("patience needs validation_data, by whose loss a member is stopped")
    watched = {"val": validation_data} if validation_data is not None else {}
    return Schedule(
        train=train,
        seed=seed,
        epochs=epochs,
        initial_epoch=initial_epoch,
        batch_size=batch_size,
        steps=steps_per_epoch,
        shuffle=shuffle,
        patience=patience,
        watched={name: _watched(name, part, head, inputs) for name, part in {**watched, **(watch or {})}.items()},
        callbacks=_checked_callbacks(callbacks),
    )


def read_part(x: Any, y: npt.ArrayLike | None, head: Output, inputs: Sequence[Input]) -> Part:
    """Return examples and labels in memory, of arrays or of a source of batches, or raise `InputError`."""
    if not Stream.reads(x):
        return check_part("x, y", x, y, None, head, inputs)
    if y is not None:
        raise InputError("y must be left out with a source of batches: it yields labels too")
    return Part(*Stream(x, head, inputs, name="the data").whole()[:2])


def check_part(name: str, x: Any, y: Any, weights: Any, head: Output, inputs: Sequence[Input]) -> Part:
    """Return examples, labels and weights as arrays that fit together, or raise `InputError`."""
    if y is None:
        raise InputError(f"{name} must hold one label for each example, got None; leave y out only with a data set")
    features = Examples("x" if name == "x, y" else f"x of {name}", x, inputs).whole()
    labels = read_targets(name, y, head)
    if len(labels) != len(features):
        raise InputError(
            f"{name} must hold at least one example and one label for each, got {len(features)} examples and "
            f"{len(labels)} labels"
        )
    return Part(features, labels, None if weights is None else check_weighing(name, weights, len(features)))


def wants_steps(callback: keras.callbacks.Callback) -> bool:
    """Return whether a callback does something at each step, which only the looped strategy can offer."""
    if isinstance(callback, keras.callbacks.TensorBoard):
        return callback.update_freq != "epoch" or bool(callback._should_trace)
    if isinstance(callback, keras.callbacks.ModelCheckpoint):
        return callback.save_freq != "epoch"
    parts = ("batch", "train_batch", "test_batch")
    hooks = [f"on_{part}_{moment}" for part in parts for moment in ("begin", "end")]
    base = keras.callbacks.Callback
    return any(getattr(type(callback), h) is not getattr(base, h) or h in vars(callback) for h in hooks)


def _cut(part: Part, where: slice) -> Part:
    return Part(part.x[where], part.y[where], None if part.weights is None else part.weights[where])


def _weighted(part: Part, class_weight: Mapping[int, float], classes: int) -> Part:
    weights = class_weight.items() if isinstance(class_weight, Mapping) else [(None, None)]
    if any(label not in range(classes) or not _is_weight(weight) for label, weight in weights):
        raise InputError(f"class_weight must map labels 0..{classes - 1} to non-negative numbers, got {class_weight!r}")
    of_class = np.array([class_weight.get(label, 1.0) for label in range(classes)], dtype=np.float32)[part.y]
    return part._replace(weights=of_class if part.weights is None else of_class * part.weights)


def _is_weight(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and 0 <= cast(float, value) < float("inf")


def _watched(name: str, part: Any, head: Output, inputs: Sequence[Input]) -> Part:
    if isinstance(part, Part):  # cut off what is checked already
        return part
    if Stream.reads(part):
        return Part(*Stream(part, head, inputs, name=name).whole())
    if not isinstance(part, (tuple, list)) or len(part) not in (2, 3):
        raise InputError(f"{name} must be (features, labels) or (features, labels, sample weights)")
    return check_part(name, part[0], part[1], part[2] if len(part) == 3 else None, head, inputs)


def _checked_callbacks(callbacks: Any) -> Callable[[int], Any] | None:
    if callbacks is None or callable(callbacks):
        return callbacks
    raise InputError(
        "callbacks must be a function of the member's number that returns its own list, so that no two members share "
        "one: callbacks=lambda member: [...]"
    )
