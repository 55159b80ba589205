"""What a member trains on and for how long, and what is told after each epoch."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.progress import EpochEnd
from ensemble_vs_dropout.seeds import stream
from ensemble_vs_dropout.training.streams import Stream
from ensemble_vs_dropout.types import IntArray

TRAIN = "training data"  # the key under which an engine holds them, beside those of watched parts


class Part(NamedTuple):
    """Examples with their labels, a weight for each or None, and the row of `x` that each has, None for its own."""

    x: npt.NDArray[np.generic]
    y: npt.NDArray[np.generic]
    weights: npt.NDArray[np.float32] | None = None
    rows: IntArray | None = None


class Own(NamedTuple):
    """What is a member's own where several ensembles are trained together.

    Attributes:
        seed: By which it draws.
        number: By which it draws, too.
        examples: Their places in the data; None for all.
        watched: The keys of its own watched parts, by their names; None for those of all.
    """

    seed: int
    number: int
    examples: IntArray | None = None
    watched: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Schedule:
    """One training of all members.

    Attributes:
        train: What to learn from, in memory or streamed.
        seed: Root of the seed tree.
        own: What is each member's own; None where all draw by `seed` and their number, and see all data.
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
    own: Sequence[Own] | None = None

    @property
    def examples(self) -> int:
        """How many examples a member sees in an epoch of data in memory, at most."""
        return max(map(self.examples_of, range(len(self.own or [0]))))

    def examples_of(self, member: int) -> int:
        """Return how many examples a member sees in an epoch of data in memory."""
        assert isinstance(self.train, Part)
        own = self.of(member).examples
        whole = len(self.train.y) if own is None else len(own)
        return whole if self.steps is None else min(whole, self.steps * self.batch_size)

    def order(self, member: int, epoch: int) -> IntArray:
        """Return the order of a member's examples in one epoch: a matter of seed, member and epoch alone.

        The shape is (2, examples): their rows of features, and their places among labels and weights.
        """
        assert isinstance(self.train, Part)
        own = self.of(member)
        places = np.arange(len(self.train.y)) if own.examples is None else own.examples
        if self.shuffle:
            places = places[stream(own.seed, "order", own.number, epoch).permutation(len(places))]
        places = places[: self.examples_of(member)]
        rows = places if self.train.rows is None else self.train.rows[places]
        return np.stack([rows, places]).astype(np.int32)

    def of(self, member: int) -> Own:
        """Return what is a member's own."""
        return Own(self.seed, member) if self.own is None else self.own[member]

    def watched_of(self, member: int) -> Mapping[str, str]:
        """Return the keys in `watched` of a member's parts, by the names that they are told by."""
        own = self.of(member).watched
        return {name: name for name in self.watched} if own is None else own


def join(schedules: Sequence[Schedule], members: Sequence[tuple[int, int]]) -> Schedule:
    """Return one schedule for members of several, which differ in their seeds and data alone.

    Features that several of them see are held once, whatever their labels.

    Args:
        schedules: What each ensemble is trained on.
        members: For each member the place of its schedule, and its number there.

    Raises:
        InputError: Data of other shapes or types, or several that are streamed.

    Example:
        >>> x = np.arange(6, dtype="float32").reshape(3, 2)
        >>> parts = [Part(x, np.array([0, 1, 1])), Part(x[:2], np.array([0, 0]))]
        >>> several = [Schedule(part, seed=seed, epochs=1, batch_size=2) for seed, part in enumerate(parts)]
        >>> joint = join(several, [(0, 0), (1, 0), (1, 1)])
        >>> joint.train.x.shape, joint.train.y.tolist(), [joint.examples_of(member) for member in range(3)]
        ((3, 2), [0, 1, 1, 0, 0], [3, 2, 2])
    """
    first = schedules[0]
    if all(one.train is first.train and one.watched is first.watched for one in schedules):
        return replace(first, own=[Own(schedules[place].seed, number) for place, number in members])
    trains = {id(one.train): one.train for one in schedules}
    if not all(isinstance(train, Part) for train in trains.values()):
        raise InputError("ensembles that are trained together on streamed data must share them; train others apart")
    joint, places = _joined([train for train in trains.values() if isinstance(train, Part)])
    examples = dict(zip(trains, places, strict=True))
    watched = {id(part): part for one in schedules for part in one.watched.values()}
    keys = {part: f"part {number}" for number, part in enumerate(watched)}
    own = []
    for place, number in members:
        one = schedules[place]
        parts = {name: keys[id(part)] for name, part in one.watched.items()}
        own.append(Own(one.seed, number, examples[id(one.train)], parts))
    return replace(first, train=joint, watched={keys[part]: watched[part] for part in watched}, own=own)


def _joined(parts: Sequence[Part]) -> tuple[Part, list[IntArray]]:
    """Return the examples of all parts as one, each row of features once, and the places of each part's."""
    kinds = {(part.x.shape[1:], part.x.dtype) for part in parts}
    if len(kinds) > 1:
        told = ", ".join(sorted(f"{shape} of {dtype}" for shape, dtype in kinds))
        raise InputError(f"ensembles that are trained together must see examples of one shape and type, got {told}")
    known: dict[bytes, int] = {}
    rows = [np.array([known.setdefault(key, len(known)) for key in _keys(part.x)], np.int32) for part in parts]
    x = np.empty((len(known), *parts[0].x.shape[1:]), parts[0].x.dtype)
    for part, of_part in zip(parts, rows, strict=True):
        x[of_part] = part.x
    weights = None
    if any(part.weights is not None for part in parts):
        weights = np.concatenate([_ones(part) if part.weights is None else part.weights for part in parts])
    ends = np.cumsum([len(part.y) for part in parts])
    places = [np.arange(end - len(part.y), end) for end, part in zip(ends, parts, strict=True)]
    return Part(x, np.concatenate([part.y for part in parts]), weights, np.concatenate(rows)), places


def _keys(x: npt.NDArray[np.generic]) -> Iterable[bytes]:
    return (hashlib.blake2b(row, digest_size=16).digest() for row in np.ascontiguousarray(x))


def _ones(part: Part) -> npt.NDArray[np.float32]:
    return np.ones(len(part.y), np.float32)
