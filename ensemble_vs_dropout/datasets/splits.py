"""Which examples go where: stratified, seeded, nested; and labels made noisy on purpose.

Everything rests on one order of the examples (`stratified_order`) of which any first n are a stratified
sample: parts are its prefixes, so the first 500 are among the first 1,000 by construction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ensemble_vs_dropout.checks import InputError, check_at_least, check_fraction
from ensemble_vs_dropout.types import IntArray


@dataclass(frozen=True)
class Plan:
    """The choices of the user about parts and noise, checked; see `load_dataset` for their meaning.

    Example:
        >>> Plan(train_size=500).val_fraction
        0.1
    """

    train_size: int | None = None
    label_noise: float = 0.0
    val_fraction: float = 0.1
    test_fraction: float = 0.2
    seed: int = 0
    resplit: bool = False
    asked: Mapping[str, Any] = field(default_factory=dict)  # of `load_dataset`, all of it

    def __post_init__(self) -> None:
        if self.train_size is not None:
            check_at_least("train_size", self.train_size, 2)
        check_fraction("label_noise", self.label_noise)
        for name in ("val_fraction", "test_fraction"):
            if check_fraction(name, getattr(self, name)) == 0.0:
                raise InputError(f"{name} must be above 0 and below 1, got 0; every data set needs that part")
        check_at_least("seed", self.seed, 0)


def stratified_order(labels: IntArray, generator: np.random.Generator) -> IntArray:
    """Return a random order of the examples, shape (examples,), of which every prefix is stratified.

    Each class is shuffled, and its example of rank r comes at (r + 1/2) / (size of the class) of the way; the
    first of every class come before all others, so a prefix as long as there are classes holds every class.

    Example:
        >>> labels = np.array([0] * 8 + [1] * 4)
        >>> order = stratified_order(labels, np.random.default_rng(0))
        >>> np.bincount(labels[order[:6]]).tolist()
        [4, 2]
    """
    shuffled = generator.permutation(len(labels))
    ranks = ranks_within_class(labels[shuffled])
    sizes = np.bincount(labels)[labels[shuffled]]
    way = np.where(ranks == 0, 0.0, (ranks + 0.5) / sizes)
    # A stable sort leaves ties in the shuffled order: seeded, and of no class in particular.
    return shuffled[np.argsort(way, kind="stable")]


def ranks_within_class(labels: IntArray) -> IntArray:
    """Return how many examples of the same class come before each, shape (examples,).

    Example:
        >>> ranks_within_class(np.array([7, 2, 7, 7])).tolist()
        [0, 0, 1, 2]
    """
    by_class = np.argsort(labels, kind="stable")
    _, starts, sizes = np.unique(labels[by_class], return_index=True, return_counts=True)
    ranks = np.empty(len(labels), dtype=np.int64)
    ranks[by_class] = np.arange(len(labels)) - np.repeat(starts, sizes)
    return ranks


def hold_out(
    labels: IntArray, fraction: float, generator: np.random.Generator, argument: str, classes: Sequence[str]
) -> tuple[IntArray, IntArray]:
    """Return the positions (kept, held out), each ascending: about `fraction` of each class held out.

    Raises:
        InputError: `fraction`, given as `argument`, leaves a class without an example.
    """
    size = max(round(fraction * len(labels)), len(np.unique(labels)))
    order = stratified_order(labels, generator)
    held, kept = np.sort(order[:size]), np.sort(order[size:])
    emptied = np.setdiff1d(labels, labels[kept])
    if len(emptied):
        raise InputError(
            f"{argument} must leave every class an example to train on, but {fraction:g} takes all "
            f"{np.count_nonzero(labels == emptied[0])} of class {classes[emptied[0]]!r}; lower it"
        )
    return kept, held


def check_class_sizes(where: str, labels: IntArray, classes: Sequence[str], parts: Sequence[str]) -> None:
    """Raise `InputError` unless every class has an example for each of `parts`, to be split off `where`."""
    sizes = np.bincount(labels, minlength=len(classes))
    rarest = int(sizes.argmin())
    if sizes[rarest] < len(parts):
        name = classes[rarest]
        same = [one for one in classes if one != name and one.strip().casefold() == name.strip().casefold()]
        raise InputError(
            f"{where} must have at least {len(parts)} examples of every class, one each for "
            f"{', '.join(parts)}, got {sizes[rarest]} of class {name!r}"
            f"{f' (did you mean {same[0]!r}?)' if same else ''}; add some, or drop or merge the class"
        )


def check_train_size(size: int, available: int, classes: int) -> int:
    """Return `size` if every class can have an example and enough are there, else raise `InputError`."""
    if not classes <= size <= available:
        raise InputError(
            f"train_size must lie between {classes} (the number of classes) and {available} (the training "
            f"examples without the validation part), got {size}"
        )
    return size


def noisy_labels(
    labels: IntArray, order: IntArray, fraction: float, classes: int, generator: np.random.Generator
) -> IntArray:
    """Return `labels` with `fraction` of every class replaced by one of the other classes, each as likely.

    Which are replaced follows `order`: of the first n examples of a class in it, `fraction` of n are, to
    within one. So the noise of a prefix of the order is the noise of the whole, restricted to it. The first
    of each class keeps its label, so that no class disappears.

    Args:
        labels: Shape (examples,).
        order: A permutation of the examples, shape (examples,).
        fraction: In [0, 1).
        classes: The number of classes, at least 2.
        generator: What the draws come from.
    """
    # Below 1 - fraction, so that rank 0 is never reached: the first of each class.
    offsets = generator.uniform(0.0, 1.0 - fraction, size=classes)
    shifts = generator.integers(1, classes, size=len(labels))
    ranks = np.empty(len(labels), dtype=np.int64)
    ranks[order] = ranks_within_class(labels[order])
    reached = ranks * fraction + offsets[labels]
    replaced = np.floor(reached + fraction) > np.floor(reached)
    return np.where(replaced, (labels + shifts) % classes, labels)
