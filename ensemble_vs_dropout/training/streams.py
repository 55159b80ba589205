"""Data that do not lie in memory: `tf.data.Dataset` and Keras' `PyDataset`, a batch at a time."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.keras_backend import keras, tf
from ensemble_vs_dropout.seeds import derive, stream

SHUFFLED = 64  # batches of a tf.data.Dataset held back to draw the next one from


class Stream:
    """A source of batches (x, y) or (x, y, sample weights), read anew for each member and epoch.

    The batches of a `PyDataset` come in an order of each member's own; those of a `tf.data.Dataset` too, within a
    buffer of 64. What the source itself shuffles is its own affair, and not a matter of the seed.
    """

    def __init__(self, source: Any, targets: Callable[[Any], Any], steps: int | None = None):
        self.source, self._targets, self.steps = source, targets, steps
        number = source.num_batches if isinstance(source, keras.utils.PyDataset) else int(source.cardinality())
        if steps is None and number in (None, tf.data.INFINITE_CARDINALITY):
            raise InputError("x is a source without end; give steps_per_epoch")
        known = number is not None and number >= 0
        self.batches: int | None = steps or (number if known else None)  # of an epoch, None if only reading it tells

    @staticmethod
    def reads(x: Any) -> bool:
        """Return whether `x` is a source of batches rather than an array."""
        return isinstance(x, (tf.data.Dataset, keras.utils.PyDataset))

    def epoch(self, seed: int, member: int, epoch: int, shuffle: bool) -> Iterator[tuple[Any, ...]]:
        """Yield the batches of one epoch for one member."""
        if isinstance(self.source, keras.utils.PyDataset):
            number = self.batches or 0
            order = stream(seed, "order", member, epoch).permutation(number) if shuffle else np.arange(number)
            found: Any = (self.source[int(i)] for i in order)
        else:
            found = self.source
            if shuffle:
                found = found.shuffle(SHUFFLED, seed=derive(seed, "order", member, epoch))
        for number, batch in enumerate(found):
            if number == self.steps:
                return
            yield self._checked(batch)
        if isinstance(self.source, keras.utils.PyDataset):
            self.source.on_epoch_end()

    def whole(self) -> tuple[Any, ...]:
        """Return all of it in memory, as arrays."""
        columns = zip(*self.epoch(0, 0, 0, shuffle=False), strict=True)
        return tuple(np.concatenate([np.asarray(part) for part in column]) for column in columns)

    def _checked(self, batch: Any) -> tuple[Any, ...]:
        if not isinstance(batch, tuple) or len(batch) not in (2, 3):
            raise InputError(
                "x must yield batches (features, labels) or (features, labels, sample weights), got "
                f"{type(batch).__name__}"
            )
        return (batch[0], self._targets(batch[1]), *batch[2:])
