"""Columns that give the label away."""

from __future__ import annotations

from collections.abc import Iterator
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.types import Dataset, IntArray

LEAST = 16  # training examples: among fewer, one of many columns tells the label by chance
MOST = 1_000  # columns that are looked at: more are images or words, of which none stands for the label


def telling_columns(data: Dataset) -> tuple[str, ...]:
    """Return the columns of which each alone tells the label of all training and test examples.

    A column of numbers tells it where thresholds part the classes, or where each of its values goes with one class; a
    column of categories where each category does. Values must stand for two training examples on average, as the
    number of a row stands for one. Where labels of the training part are noise, none is found.

    Args:
        data: Of one input. Features of another shape than (examples, columns) have none.

    Example:
        >>> from ensemble_vs_dropout.datasets import from_arrays
        >>> x = np.array([[0, 5], [0, 7], [1, 5], [1, 7]] * 5, float)
        >>> telling_columns(from_arrays(x, x[:, 0].astype(int), x, x[:, 0].astype(int)))
        ('feature 1',)
    """
    if data not in _TOLD:
        _TOLD[data] = _found(data)
    return _TOLD[data]


_TOLD: WeakKeyDictionary[Dataset, tuple[str, ...]] = WeakKeyDictionary()


def _found(data: Dataset) -> tuple[str, ...]:
    x = data.x_train
    if x.dtype.names or x.dtype.kind not in "uif" or x.ndim != 2 or x.shape[1] > MOST or len(x) < LEAST:
        return ()
    return tuple(
        name for name, train, test, ordered in _columns(data) if _tells(train, data.y_train, test, data.y_test, ordered)
    )


def _columns(data: Dataset) -> Iterator[tuple[str, npt.NDArray[np.generic], npt.NDArray[np.generic], bool]]:
    """Yield each column by its name: values in training and test, and whether they have an order."""
    place = 0
    for column in data.encoding.columns if data.encoding else ():
        width = len(column.categories) or 1
        parts = [x[:, place : place + width] for x in (data.x_train, data.x_test)]
        train, test = (part[:, 0] if width == 1 else _category(part) for part in parts)
        yield column.name, train, test, not column.categories
        place += width
    for number in range(place, data.x_train.shape[1]):
        yield f"feature {number + 1}", data.x_train[:, number], data.x_test[:, number], True


def _category(one_hot: npt.NDArray[np.generic]) -> IntArray:
    """Return the number of each row's category, -1 where training never saw it."""
    return np.where(one_hot.any(axis=1), one_hot.argmax(axis=1), -1)


def _tells(
    train: npt.NDArray[np.generic], labels: IntArray, test: npt.NDArray[np.generic], truth: IntArray, ordered: bool
) -> bool:
    values, first, group = np.unique(train, return_index=True, return_inverse=True)
    of_value = labels[first]
    if not np.array_equal(of_value[group], labels):
        return False  # a value goes with several classes
    parted = ordered and np.count_nonzero(np.diff(of_value)) == len(np.unique(labels)) - 1
    if not parted and 2 * len(values) > len(train):
        return False
    place = np.searchsorted(values, test)
    if parted:  # the nearest threshold decides, half-way between two values
        lower, upper = (values[np.clip(place + step, 0, len(values) - 1)] for step in (-1, 0))
        place = np.where(np.abs(test - lower) < np.abs(upper - test), place - 1, place)
    place = np.clip(place, 0, len(values) - 1)
    if not parted and not np.array_equal(values[place], test):
        return False
    return np.array_equal(of_value[place], truth)
