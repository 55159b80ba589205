"""What `Ensemble.fit` was given, checked before anything is trained, as a `Schedule`."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.checks import InputError, check_at_least, check_fraction
from ensemble_vs_dropout.heads import Head
from ensemble_vs_dropout.keras_backend import keras
from ensemble_vs_dropout.training.schedule import Part, Schedule
from ensemble_vs_dropout.training.streams import Stream


def make_schedule(
    head: Head,
    seed: int,
    x: Any,
    y: npt.ArrayLike | None,
    validation_data: Any,
    validation_split: float,
    watch: Mapping[str, Any] | None,
    epochs: int,
    initial_epoch: int,
    batch_size: int,
    steps_per_epoch: int | None,
    shuffle: bool,
    patience: int | None,
    class_weight: Mapping[int, float] | None,
    sample_weight: npt.ArrayLike | None,
    callbacks: Any,
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
    if "val" in (watch or {}):
        raise InputError("watch must not hold 'val', the name of validation_data; give it another name")
    train: Part | Stream
    if Stream.reads(x):
        for name, given in (("y", y), ("sample_weight", sample_weight), ("class_weight", class_weight)):
            if given is not None:
                raise InputError(f"{name} must be left out with a source of batches: it yields labels and weights too")
        if validation_split:
            raise InputError("validation_split needs arrays; give validation_data with a source of batches")
        train = Stream(x, head.targets, steps_per_epoch)
    else:
        train = check_part("x, y", x, y, sample_weight, head.classes)
        if validation_split:
            if validation_data is not None:
                raise InputError("validation_split and validation_data cannot both be given; leave one out")
            cut = len(train.x) - int(len(train.x) * check_fraction("validation_split", validation_split))
            if cut in (0, len(train.x)):
                raise InputError(f"validation_split must leave examples on both sides, got {validation_split!r}")
            validation_data, train = _cut(train, slice(cut, None)), _cut(train, slice(cut))
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
        watched={name: _watched(name, part, head) for name, part in {**watched, **(watch or {})}.items()},
        callbacks=_checked_callbacks(callbacks),
    )


def check_part(name: str, x: Any, y: Any, weights: Any, classes: int) -> Part:
    """Return examples, labels and weights as arrays that fit together, or raise `InputError`."""
    features, labels = np.asarray(x), np.asarray(y)
    if features.ndim == 0 or len(features) == 0 or labels.shape != (len(features),):
        raise InputError(
            f"{name} must hold at least one example and one label for each, got shapes {features.shape} and "
            f"{labels.shape}"
        )
    if labels.dtype.kind not in "ui" or labels.min() < 0 or labels.max() >= classes:
        raise InputError(
            f"the labels of {name} must be whole numbers 0..{classes - 1}, as the model has {classes} classes, "
            f"got {np.unique(labels)[[0, -1]].tolist()} as lowest and highest"
        )
    if features.dtype.kind == "f" and not np.isfinite(features).all():
        raise InputError(f"the features of {name} must be finite, got NaN or infinity")
    if weights is None:
        return Part(features, labels.astype(np.int64))
    weighing = np.asarray(weights, dtype=np.float32)
    if weighing.shape != (len(features),) or not np.isfinite(weighing).all() or weighing.min() < 0:
        raise InputError(
            f"sample_weight must hold one non-negative number for each of the {len(features)} examples of {name}, "
            f"got shape {weighing.shape}"
        )
    return Part(features, labels.astype(np.int64), weighing)


def wants_steps(callback: keras.callbacks.Callback) -> bool:
    """Return whether a callback does something at each step, which only the looped strategy can offer."""
    if isinstance(callback, keras.callbacks.TensorBoard):
        return callback.update_freq != "epoch" or bool(callback._should_trace)
    if isinstance(callback, keras.callbacks.ModelCheckpoint):
        return callback.save_freq != "epoch"
    hooks = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")
    base = keras.callbacks.Callback
    return any(getattr(type(callback), h) is not getattr(base, h) or h in vars(callback) for h in hooks)


def _cut(part: Part, where: slice) -> Part:
    return Part(part.x[where], part.y[where], None if part.weights is None else part.weights[where])


def _weighted(part: Part, class_weight: Mapping[int, float] | None, classes: int) -> Part:
    if class_weight is None:
        return part
    unknown = [label for label in class_weight if label not in range(classes)]
    if unknown or any(not np.isfinite(w) or w < 0 for w in class_weight.values()):
        raise InputError(
            f"class_weight must map labels 0..{classes - 1} to non-negative numbers, got {dict(class_weight)}"
        )
    of_class = np.array([class_weight.get(label, 1.0) for label in range(classes)], dtype=np.float32)[part.y]
    return part._replace(weights=of_class if part.weights is None else of_class * part.weights)


def _watched(name: str, part: Any, head: Head) -> Part:
    if Stream.reads(part):
        part = Stream(part, np.asarray).whole()
    if not isinstance(part, tuple) or len(part) not in (2, 3):
        raise InputError(f"{name} must be (features, labels) or (features, labels, sample weights)")
    return check_part(name, part[0], part[1], part[2] if len(part) == 3 else None, head.classes)


def _checked_callbacks(callbacks: Any) -> Callable[[int], Any] | None:
    if callbacks is None or callable(callbacks):
        return callbacks
    raise InputError(
        "callbacks must be a function of the member's number that returns its own list, so that no two members share "
        "one: callbacks=lambda member: [...]"
    )
