"""Data that do not lie in memory: `tf.data.Dataset` and Keras' `PyDataset`, a batch at a time."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.datasets.label_columns import read_class_numbers, read_numbers
from ensemble_vs_dropout.models.backend import keras, tf
from ensemble_vs_dropout.models.calling import as_tensors
from ensemble_vs_dropout.models.inputs import Input, check_source, read_batch
from ensemble_vs_dropout.models.number_heads import NumberHead, Output
from ensemble_vs_dropout.seeds import derive, stream
from ensemble_vs_dropout.types.inputs import shapes_of

SHUFFLED = 64  # batches of a tf.data.Dataset held back to draw the next one from


class Stream:
    """A source of batches (x, y) or (x, y, sample weights), read anew for each member and epoch.

    The batches of a `PyDataset` come in an order of each member's own; those of a `tf.data.Dataset` too, within a
    buffer of 64. What the source itself shuffles is its own affair, and not a matter of the seed.
    """

    def __init__(self, source: Any, head: Output, inputs: Sequence[Input], steps: int | None = None, name: str = "x"):
        self.source, self.steps = source, steps
        self._head, self._inputs, self._name = head, inputs, name
        number = source.num_batches if isinstance(source, keras.utils.PyDataset) else int(source.cardinality())
        if steps is None and name == "x" and number in (None, tf.data.INFINITE_CARDINALITY):
            raise InputError("x is a source without end; give steps_per_epoch")
        check_source(name, source, inputs, endless=steps is not None)
        known = number is not None and number >= 0
        self.batches: int | None = steps or (number if known else None)  # of an epoch, None if only reading it tells

    @staticmethod
    def reads(x: Any) -> bool:
        """Return whether `x` is a source of batches rather than an array."""
        return isinstance(x, (tf.data.Dataset, keras.utils.PyDataset))

    def epoch(self, seed: int, member: int, epoch: int, shuffle: bool) -> Iterator[tuple[Any, ...]]:
        """Yield the batches of one epoch for one member, with targets as the loss wants them."""
        for features, labels, *weights in self._read(seed, member, epoch, shuffle):
            yield as_tensors(features), *map(tf.convert_to_tensor, (self._head.targets(labels), *weights))

    def whole(self) -> tuple[Any, ...]:
        """Return features, labels 0..K-1 and any weights of all of it, in memory."""
        read = list(self._read(0, 0, 0, shuffle=False))
        if len({len(batch) for batch in read}) > 1:
            raise InputError(f"{self._name} must yield sample weights with every batch or with none")
        if len({str(shapes_of(batch[0])) for batch in read}) > 1:
            raise InputError(f"{self._name} must yield examples of one shape to be held in memory; pad them")
        return tuple(np.concatenate(column) for column in zip(*read, strict=True))

    def _read(self, seed: int, member: int, epoch: int, shuffle: bool) -> Iterator[tuple[Any, ...]]:
        """Yield features, labels 0..K-1 and any weights of the batches."""
        if isinstance(self.source, keras.utils.PyDataset):
            number = self.batches or 0
            order = stream(seed, "order", member, epoch).permutation(number) if shuffle else np.arange(number)
            found: Any = (self.source[int(i)] for i in order)
        else:
            found = self.source
            if shuffle:
                found = found.shuffle(SHUFFLED, seed=derive(seed, "order", member, epoch))
        number = -1
        for number, batch in enumerate(found):
            if number == self.steps:
                return
            yield self._checked(number, batch)
        if number < 0:
            raise InputError(f"{self._name} must yield at least one batch, got none")
        if isinstance(self.source, keras.utils.PyDataset):
            self.source.on_epoch_end()

    def _checked(self, number: int, batch: Any) -> tuple[Any, ...]:
        if not isinstance(batch, (tuple, list)) or len(batch) not in (2, 3):
            raise InputError(
                f"{self._name} must yield batches (features, labels) or (features, labels, sample weights), got "
                f"{type(batch).__name__}"
            )
        where = f"batch {number} of {self._name}"
        features = read_batch(self._name, number, batch[0], self._inputs)
        labels = read_targets(where, batch[1], self._head)
        if len(labels) != len(features):
            raise InputError(f"{where} must hold one label for each of {len(features)} examples, got {len(labels)}")
        if len(batch) == 2 or batch[2] is None:
            return features, labels
        return features, labels, check_weighing(where, batch[2], len(features))


def read_targets(where: str, y: Any, head: Output) -> npt.NDArray[np.generic]:
    """Return labels as class numbers, or the targets of networks that predict a number as float64."""
    return read_numbers(where, y) if isinstance(head, NumberHead) else read_class_numbers(where, y, head.classes)


def check_weighing(name: str, weights: Any, examples: int) -> npt.NDArray[np.float32]:
    """Return sample weights as float32, shape (examples,), or raise `InputError`."""
    try:
        weighing = np.asarray(weights, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"sample_weight of {name} must hold numbers, got {type(weights).__name__}") from error
    if weighing.shape == (examples, 1):
        weighing = weighing[:, 0]
    if weighing.shape != (examples,) or not np.isfinite(weighing).all() or weighing.min() < 0:
        raise InputError(
            f"sample_weight must hold one non-negative number for each of the {examples} examples of {name}, "
            f"got shape {weighing.shape}"
        )
    return weighing
