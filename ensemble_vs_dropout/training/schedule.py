"""What a member trains on and for how long, and what is told after each epoch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.progress import EpochEnd
from ensemble_vs_dropout.seeds import stream
from ensemble_vs_dropout.training.streams import Stream
from ensemble_vs_dropout.types import IntArray


class Part(NamedTuple):
    """Examples with their labels, and a weight for each or None."""

    x: npt.NDArray[np.generic]
    y: IntArray
    weights: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Schedule:
    """One training of all members.

    Attributes:
        train: What to learn from, in memory or streamed.
        seed: Root of the seed tree.
        identities: The seed and the number by which each member draws; None for `seed` and its own number. They differ
            where several ensembles are trained together.
        epochs: The last epoch.
        initial_epoch: Epochs that lie behind already.
        batch_size: Examples in a step.
        steps: Steps in an epoch, or None for all the data.
        shuffle: Whether each member sees the data in an order of its own, new in each epoch.
        patience: Epochs without a lower `val_loss` after which a member stops and takes its best weights back.
        watched: Parts whose loss and metrics are recorded after each epoch; only "val" can steer, through `patience`
            and callbacks.
        on_epoch: Called after each epoch of each member.
        callbacks: Gives a member's Keras callbacks.
        stepwise: Whether callbacks want to be called at each step.
    """

    train: Part | Stream
    seed: int
    epochs: int
    batch_size: int
    initial_epoch: int = 0
    steps: int | None = None
    shuffle: bool = True
    patience: int | None = None
    watched: Mapping[str, Part] = field(default_factory=dict)
    on_epoch: Callable[[EpochEnd], None] | None = None
    callbacks: Callable[[int], Sequence[keras.callbacks.Callback]] | None = None
    stepwise: bool = False
    identities: Sequence[tuple[int, int]] | None = None

    @property
    def examples(self) -> int:
        """How many examples a member sees in an epoch of data in memory."""
        assert isinstance(self.train, Part)
        whole = len(self.train.x)
        return whole if self.steps is None else min(whole, self.steps * self.batch_size)

    def order(self, member: int, epoch: int) -> IntArray:
        """Return the order of the examples for one member and epoch: a matter of seed, member and epoch alone."""
        assert isinstance(self.train, Part)
        whole = len(self.train.x)
        seed, number = self.identity(member)
        order = stream(seed, "order", number, epoch).permutation(whole) if self.shuffle else np.arange(whole)
        return order[: self.examples].astype(np.int32)

    def identity(self, member: int) -> tuple[int, int]:
        """Return the seed and the number by which a member draws."""
        return (self.seed, member) if self.identities is None else self.identities[member]
