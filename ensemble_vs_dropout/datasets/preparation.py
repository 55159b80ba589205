"""The one road from raw parts to a `Dataset`; every loader ends here."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.datasets.features import Parts, Standardise, alike, check_features, ready_features
from ensemble_vs_dropout.datasets.labels import encode_labels
from ensemble_vs_dropout.datasets.splits import (
    Plan,
    check_class_sizes,
    check_train_size,
    hold_out,
    noisy_labels,
    stratified_order,
)
from ensemble_vs_dropout.seeds import stream
from ensemble_vs_dropout.types import PARTS, Dataset, Encoding, IntArray, check_weighing
from ensemble_vs_dropout.types.inputs import dtypes_of, nested, shapes_of

Finish = Callable[[Parts], tuple[Parts, list[str], Encoding]]
Labels = dict[str, IntArray]


def from_arrays(
    x_train: npt.ArrayLike | Mapping[str, npt.ArrayLike],
    y_train: npt.ArrayLike,
    x_test: npt.ArrayLike | Mapping[str, npt.ArrayLike],
    y_test: npt.ArrayLike,
    *,
    x_val: npt.ArrayLike | Mapping[str, npt.ArrayLike] | None = None,
    y_val: npt.ArrayLike | None = None,
    weights_train: npt.ArrayLike | None = None,
    name: str = "arrays",
    class_names: Sequence[str] | None = None,
    source: str = "",
    standardise: Standardise = "auto",
    train_size: int | None = None,
    label_noise: float = 0.0,
    val_fraction: float = 0.1,
    seed: int = 0,
    notes: Sequence[str] = (),
) -> Dataset:
    """Return a checked `Dataset` of the given arrays; what was done to them is in its notes.

    Args:
        x_train: Features, shape (examples, ...). uint8 stays uint8, text becomes UTF-8, all else float32. A dict of
            arrays is of a network with several inputs, by their names. Likewise `x_test`.
        y_train: Labels, shape (examples,): text, bools, whole numbers, or one-hot rows. Likewise `y_test`.
        x_test: As `x_train`.
        y_test: As `y_train`.
        x_val: As `x_train`; with `y_val` it makes the validation part, and none is split off train.
        y_val: As `y_train`.
        weights_train: How much each training example counts in training, shape (examples,); what is judged, and the
            validation loss, are not weighted.
        name: What tables and folders call it.
        class_names: Names in the order of the labels; None takes the labels themselves.
        source: Where the data came from, in words.
        standardise: Whether features get mean 0 and standard deviation 1 in the training part; "auto" does so
            for tables (two dimensions) unless they are uint8. Of several inputs, names choose those for which.
        train_size: How many training examples to keep; with the same seed a smaller number's are among a
            larger's.
        label_noise: The fraction of training labels to replace by another class; val and test stay clean.
        val_fraction: The fraction of train to validate on.
        seed: Of the validation split, the choice of `train_size` and the noise.
        notes: Sentences to begin the notes with.

    Raises:
        InputError: Anything that a classifier could not be trained and tested on; the message says what to
            do.

    Example:
        >>> x = np.arange(40.0).reshape(20, 2)
        >>> data = from_arrays(x, ["a", "b"] * 10, x[:4], ["a", "b"] * 2)
        >>> data.sizes, data.classes
        ({'train': 18, 'val': 2, 'test': 4}, ('a', 'b'))
    """
    plan = Plan(train_size, label_noise, val_fraction, seed=seed)
    x = {"train": x_train, "test": x_test}
    y = {"train": y_train, "test": y_test}
    if x_val is not None:
        x["val"] = x_val
    if y_val is not None:
        y["val"] = y_val
    return prepare(
        x, y, plan, standardise=standardise, name=name, class_names=class_names, source=source, notes=notes,
        weights=weights_train,
    )  # fmt: skip


def prepare(
    x: Mapping[str, npt.ArrayLike | Mapping[str, npt.ArrayLike]],
    y: Mapping[str, npt.ArrayLike],
    plan: Plan,
    *,
    standardise: Standardise = "auto",
    name: str,
    class_names: Sequence[str] | None = None,
    source: str = "",
    notes: Sequence[str] = (),
    resplit: bool = False,
    weights: npt.ArrayLike | None = None,
) -> Dataset:
    """Do what `from_arrays` does, for loaders: arrays by part ("train", "test", perhaps "val") and a plan.

    With `resplit` all parts are pooled, and parts of the same sizes are drawn anew by the seed of the plan.
    """
    if x.keys() != y.keys():
        given, lacking = ("x_val", "y_val") if "val" in x else ("y_val", "x_val")
        raise InputError(f"x_val and y_val must come together, got only {given}; give {lacking} too, or neither")
    checked = {part: check_features(f"x_{part}", features) for part, features in x.items()}

    texts = {
        part: [place for place, dtype in dtypes_of(features).items() if dtype == "string"]
        for part, features in checked.items()
    }
    shapes = shapes_of(checked["train"])
    for part, features in checked.items():
        if shapes_of(features) != shapes:
            raise InputError(
                f"x_{part} must have examples of the shape of x_train's, {nested(shapes)}, got "
                f"{nested(shapes_of(features))}; reshape one of them"
            )
        if texts[part] != texts["train"]:
            raise InputError(f"x_{part} must hold text where x_train does, and numbers where that does")
    checked = alike(checked)
    finish = functools.partial(ready_features, standardise=standardise)
    return assemble(
        checked, y, finish, plan, name=name, class_names=class_names, source=source, notes=notes, resplit=resplit,
        weights=weights,
    )  # fmt: skip


def assemble(
    x: Mapping[str, npt.NDArray[np.generic]],
    y: Mapping[str, npt.ArrayLike],
    finish: Finish,
    plan: Plan,
    *,
    name: str,
    class_names: Sequence[str] | None = None,
    source: str = "",
    notes: Sequence[str] = (),
    resplit: bool = False,
    weights: npt.ArrayLike | None = None,
) -> Dataset:
    """Encode the labels, make the parts as `plan` says, then let `finish` fit on the final training part.

    Args:
        x: By "train", "test" and perhaps "val": anything with one row per example that `finish` understands.
        y: Raw labels of the same parts.
        finish: Takes the final parts of `x` and returns features, notes on how they were made, and what was fitted.
        plan: The user's choices.
        name: As in `from_arrays`; likewise `class_names`, `source` and `notes`.
        class_names: See there.
        source: See there.
        notes: See there.
        resplit: As in `prepare`.
        weights: Of the training examples, as in `from_arrays`; refused where parts are drawn anew.
    """
    encoded = encode_labels({f"y_{part}": labels for part, labels in y.items()}, class_names)
    labels = {part: encoded.parts[f"y_{part}"] for part in y}
    for part in x:
        if len(x[part]) != len(labels[part]):
            raise InputError(
                f"y_{part} must have one label for each of the {len(x[part])} examples of x_{part}, got "
                f"{len(labels[part])}"
            )
    weighing = None if weights is None else np.asarray(weights)
    if weighing is not None:
        if resplit:
            raise InputError(
                "weights_train are of the source's own training part, and resplit draws another; leave out one"
            )
        check_weighing("weights_train", weighing, len(labels["train"]))
    parts, val_fraction = dict(x), plan.val_fraction
    said = [*notes, *encoded.notes]
    if resplit:
        if "val" in x:
            val_fraction = len(x["val"]) / (len(x["train"]) + len(x["val"]))
        parts, labels = _redrawn(parts, labels, encoded.classes, plan.seed)
        said.append(
            f"the source's own parts were pooled, and a stratified test part of {len(labels['test'])} examples, as "
            f"many as its own, was drawn with seed {plan.seed}"
        )
    whole = "val" in parts
    check_class_sizes("y_train", labels["train"], encoded.classes, ["train"] if whole else ["train", "val"])
    if not whole:
        generator = stream(plan.seed, "split", "val")
        kept, held = hold_out(labels["train"], val_fraction, generator, "val_fraction", encoded.classes)
        parts["train"], parts["val"] = parts["train"][kept], parts["train"][held]
        labels["train"], labels["val"] = labels["train"][kept], labels["train"][held]
        weighing = None if weighing is None else weighing[kept]
    chosen, labels["train"], more = _training_part(labels["train"], len(encoded.classes), plan)
    parts["train"] = parts["train"][chosen]
    weighing = None if weighing is None else weighing[chosen].astype(np.float32)
    features, still_more, encoding = finish(parts)
    return Dataset(
        name=name,
        x_train=features["train"],
        y_train=labels["train"],
        x_val=features["val"],
        y_val=labels["val"],
        x_test=features["test"],
        y_test=labels["test"],
        classes=encoded.classes,
        source=source,
        notes=(*said, *more, *still_more),
        asked=plan.asked,
        encoding=encoding,
        weights_train=weighing,
    )


def split_test(
    x: npt.NDArray[np.generic],
    y: npt.ArrayLike,
    where: str,
    plan: Plan,
    class_names: Sequence[str] | None = None,
) -> tuple[Parts, Parts, tuple[str, ...], tuple[str, ...]]:
    """Split a test part off one table of examples, and encode its labels, which messages call `where`.

    Returns:
        Features and labels by "train" and "test", the names of the classes, and notes.
    """
    encoded = encode_labels({where: y}, class_names)
    labels = encoded.parts[where]
    if len(labels) != len(x):
        raise InputError(f"{where} must have one label for each of the {len(x)} examples, got {len(labels)}")
    check_class_sizes(where, labels, encoded.classes, ["train", "val", "test"])
    generator = stream(plan.seed, "split", "test")
    kept, held = hold_out(labels, plan.test_fraction, generator, "test_fraction", encoded.classes)
    parts = {"train": x[kept], "test": x[held]}
    notes = (
        *encoded.notes,
        f"a stratified test part of {len(held)} examples was split off with seed {plan.seed}",
    )
    return parts, {"train": labels[kept], "test": labels[held]}, encoded.classes, notes


def _redrawn(parts: Parts, labels: Labels, classes: Sequence[str], seed: int) -> tuple[Parts, Labels]:
    """Pool all parts, and return what is for training and a test part of the size of the source's own."""
    x, y = (np.concatenate([given[part] for part in PARTS if part in given]) for given in (parts, labels))
    check_class_sizes("the labels of all parts", y, classes, PARTS)
    share = len(labels["test"]) / len(y)
    kept, held = hold_out(y, share, stream(seed, "split", "test"), "the source's share of test examples", classes)
    return {"train": x[kept], "test": x[held]}, {"train": y[kept], "test": y[held]}


def _training_part(labels: IntArray, classes: int, plan: Plan) -> tuple[IntArray, IntArray, list[str]]:
    """Return the positions to keep, their labels (noisy if so planned), and notes."""
    available = len(labels)
    size = available if plan.train_size is None else check_train_size(plan.train_size, available, classes)
    order = stratified_order(labels, stream(plan.seed, "train order"))
    chosen, notes = np.sort(order[:size]), []
    if size < available:
        notes.append(f"{size} of {available} training examples were kept, stratified, with seed {plan.seed}")
    if plan.label_noise == 0.0 or classes < 2:
        return chosen, labels[chosen], notes
    noisy = noisy_labels(labels, order, plan.label_noise, classes, stream(plan.seed, "label noise"))
    changed = np.count_nonzero(noisy[chosen] != labels[chosen])
    notes.append(f"{changed} of {size} training labels were replaced by another class (label_noise)")
    return chosen, noisy[chosen], notes
