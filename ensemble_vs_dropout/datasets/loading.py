"""`load_dataset`: which road a name or a path takes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.checks import InputError, check_known
from ensemble_vs_dropout.datasets.archives import read_npz
from ensemble_vs_dropout.datasets.columns import MISSING
from ensemble_vs_dropout.datasets.fetching import FetchError, fetch
from ensemble_vs_dropout.datasets.files import SPLIT_KEYS, SUFFIXES, check_of_table, load_file
from ensemble_vs_dropout.datasets.finding import DATA_VARIABLE, SHIPPED_FOLDER, find
from ensemble_vs_dropout.datasets.idx import read_idx_folder
from ensemble_vs_dropout.datasets.known import KNOWN, KnownDataset
from ensemble_vs_dropout.datasets.preparation import prepare, split_test
from ensemble_vs_dropout.datasets.splits import Plan
from ensemble_vs_dropout.types import Dataset

Arrays = dict[str, npt.NDArray[np.generic]]


def load_dataset(
    name: str | os.PathLike[str],
    *,
    target: str | None = None,
    train_size: int | None = None,
    label_noise: float = 0.0,
    val_fraction: float = 0.1,
    test_fraction: float = 0.2,
    seed: int = 0,
    resplit: bool = False,
    drop: Sequence[str] = (),
    missing: str = "refuse",
) -> Dataset:
    """Return a data set by its known name, or from the user's file.

    Args:
        name: A known name (`describe_datasets` lists them), or the path of an .npz (x_train, y_train, x_test,
            y_test, and perhaps x_val, y_val, class_names; or x, y), a .csv or a .parquet file.
        target: The label column of a csv or parquet file.
        train_size: How many training examples to keep; with the same seed a smaller number's are among a
            larger's.
        label_noise: The fraction of training labels to replace by another class; val and test stay clean.
        val_fraction: The fraction of train to validate on, where the source has no validation part.
        test_fraction: The fraction to test on, where the source has no test part.
        seed: Of the splits, the choice of `train_size` and the noise.
        resplit: Whether the test part is drawn by `seed` even where the source has its own: all its parts are
            pooled, and stratified parts of the same sizes are drawn from them.
        drop: Columns of a csv or parquet file that are left out.
        missing: What is done about features that are missing there: "refuse"; "drop" leaves out their rows; "median"
            fills in the median of numbers and the most frequent of categories; "most_frequent" that of all. What is
            filled in is learnt from the training part.

    Raises:
        InputError: An unknown name, or data that no classifier can be trained and tested on.

    Example:
        >>> load_dataset("digits", train_size=500).sizes
        {'train': 500, 'val': 144, 'test': 359}
    """
    check_names_data("name", name)
    key = os.fspath(name)
    path = Path(os.path.expanduser(key))
    asked: dict[str, Any] = {
        "name": key if key in KNOWN else str(path.resolve()),
        "target": target,
        "train_size": train_size,
    }
    asked |= {"label_noise": label_noise, "val_fraction": val_fraction, "test_fraction": test_fraction, "seed": seed}
    check_known("missing", missing, MISSING)
    if isinstance(drop, str):
        raise InputError(f"drop must be a list of columns, got {drop!r}")
    asked |= {"resplit": resplit, "drop": tuple(drop), "missing": missing}
    plan = Plan(train_size, label_noise, val_fraction, test_fraction, seed, resplit, asked)
    if key not in KNOWN:
        if path.suffix.lower() in SUFFIXES or os.path.basename(key) != key or path.exists():
            return load_file(path, target, plan, drop, missing)
        try:
            check_known("data set", key, KNOWN)
        except InputError as error:
            raise InputError(f"{error}; the path of a file must end in .npz, .csv or .parquet") from None
    if target is not None:
        raise InputError(f"target names a column of a csv or parquet file, got {target!r} with {key!r}; leave it out")
    check_of_table(drop, missing, repr(key))
    return _load_known(KNOWN[key], plan)


def check_names_data(argument: str, given: object) -> None:
    """Raise `InputError` unless this is a name or a path; what it says is what to do with a table or arrays.

    Example:
        >>> check_names_data("name", "digits")
    """
    if isinstance(given, str | os.PathLike):
        return
    what = type(given).__name__
    remedy = (
        "write it by frame.to_csv('mine.csv', index=False), and give load_dataset('mine.csv', target=...)"
        if what == "DataFrame"
        else "datasets.from_arrays makes a Dataset of arrays, from_batches of tf.data and a PyDataset"
    )
    raise InputError(f"{argument} must be a known name or the path of a file, got {what}; {remedy}")


def _load_known(known: KnownDataset, plan: Plan, notes: tuple[str, ...] = ()) -> Dataset:
    if known.about:
        notes = (*notes, known.about)
    if not known.file:
        return _load_digits(known, plan, notes)
    found = find(known)
    if found is not None:
        arrays = _read(known, found.path)
        source = f"{found.place}: {found.path}"
    elif not known.keras:
        raise InputError(
            f"{known.file} of data set {known.name!r} must lie in {SHIPPED_FOLDER} or in the folder that "
            f"{DATA_VARIABLE} names, found in neither; take it from data/ of the project's repository"
        )
    else:
        try:
            arrays, source = fetch(known.keras), f"keras.datasets.{known.keras}"
        except FetchError as error:
            return _without_download(known, plan, error)
    if not known.sha256:
        _check_content(known, arrays, source)
    x = {part: arrays[f"x_{part}"] for part in ("train", "test")}
    y = {part: arrays[f"y_{part}"] for part in ("train", "test")}
    return prepare(
        x, y, plan, name=known.name, class_names=known.classes, source=source, notes=notes, resplit=plan.resplit
    )


def _load_digits(known: KnownDataset, plan: Plan, notes: tuple[str, ...]) -> Dataset:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8) / 16.0
    images = images.astype(np.float32) if known.shape == (8, 8) else _enlarged(images)
    x, y, classes, more = split_test(images, labels, "y", plan, known.classes)
    source, said = "scikit-learn: load_digits", (*notes, *more)
    return prepare(x, y, plan, name=known.name, class_names=classes, source=source, notes=said)


def _enlarged(images: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Return images of 8 x 8 as 28 x 28, as MNIST's are."""
    from scipy.ndimage import zoom

    larger = np.pad(zoom(images, (1, 3, 3), order=1), ((0, 0), (2, 2), (2, 2)))
    return np.rint(larger * 255).astype(np.uint8)


def _without_download(known: KnownDataset, plan: Plan, error: FetchError) -> Dataset:
    if not known.fallback:
        raise InputError(
            f"data set {known.name!r} could not be downloaded ({error}); put {known.file} (with "
            f"{', '.join(SPLIT_KEYS)}) into a folder and set {DATA_VARIABLE} to it"
        ) from error
    part = KNOWN[known.fallback]
    note = (
        f"{known.name} was asked for but could be neither found nor downloaded; this is {part.name}, "
        f"{part.train:,} of its {known.train:,} training and {part.test:,} of its {known.test:,} test "
        "examples: it is not the full set"
    )
    return _load_known(part, plan, (note,))


def _read(known: KnownDataset, path: Path) -> Arrays:
    if path.is_dir():
        return read_idx_folder(path)
    if known.sha256:
        with path.open("rb") as file:
            actual = hashlib.file_digest(file, "sha256").hexdigest()
        if actual != known.sha256:
            raise InputError(
                f"{path} must have the sha256 {known.sha256} of data set {known.name!r}, got {actual}; it is "
                "damaged or another file: take it from data/ of the project's repository"
            )
    return read_npz(path)


def _check_content(known: KnownDataset, arrays: Arrays, source: str) -> None:
    """Raise `InputError` unless `arrays` are what `known` says; archives differ by origin, so no sum."""
    lacking = [key for key in SPLIT_KEYS if key not in arrays]
    if lacking:
        raise InputError(f"{source} must hold {', '.join(SPLIT_KEYS)}, it lacks {lacking[0]}; replace it")
    for part, size in (("train", known.train), ("test", known.test)):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if x.shape != (size, *known.shape) or x.dtype != np.uint8 or y.shape != (size,):
            raise InputError(
                f"{source} must hold {known.name}: x_{part} uint8 {(size, *known.shape)} and y_{part} "
                f"{(size,)}, got {x.dtype} {x.shape} and {y.shape}; replace it"
            )
    first = tuple(arrays["y_train"][: len(known.first_labels)].tolist())
    if first != known.first_labels:
        raise InputError(
            f"{source} must hold {known.name}, whose labels begin {list(known.first_labels)}, got "
            f"{list(first)}: another data set or another order; replace it"
        )
