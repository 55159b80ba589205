"""What a member trains on and for how long, and what is told after each epoch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.seeds import stream
from ensemble_vs_dropout.types import IntArray

Part = tuple[npt.NDArray[np.generic], IntArray]


@dataclass(frozen=True)
class EpochEnd:
    """One member has finished one epoch.

    Attributes:
        member: Its number, from 0.
        epoch: From 1.
        epochs: At most so many.
        logs: `loss` (the running mean while training, dropout on) and, for each named part, `{part}_loss` and its
            metrics, in inference mode at the end of the epoch.
        stopped: Whether this was its last epoch.
    """

    member: int
    epoch: int
    epochs: int
    logs: dict[str, float]
    stopped: bool


@dataclass(frozen=True)
class Schedule:
    """One training of all members.

    Attributes:
        train: Features and labels to learn from.
        seed: Root of the seed tree.
        epochs: At most so many.
        batch_size: Examples in a step.
        shuffle: Whether each member sees the data in an order of its own, new in each epoch.
        patience: Epochs without a lower `val_loss` after which a member stops and takes its best weights back.
        watched: Parts whose loss and metrics are recorded after each epoch; only "val" can steer, through `patience`.
        on_epoch: Called after each epoch of each member.
    """

    train: Part
    seed: int
    epochs: int
    batch_size: int
    shuffle: bool = True
    patience: int | None = None
    watched: Mapping[str, Part] = field(default_factory=dict)
    on_epoch: Callable[[EpochEnd], None] | None = None

    def order(self, member: int, epoch: int) -> IntArray:
        """Return the order of the examples for one member and epoch: a matter of seed, member and epoch alone."""
        examples = len(self.train[0])
        if not self.shuffle:
            return np.arange(examples)
        return stream(self.seed, "order", member, epoch).permutation(examples)
