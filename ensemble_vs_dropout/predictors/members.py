"""The members of an ensemble, each by its own number whichever others diverged."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, overload

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.models.backend import keras


class Members(Collection[keras.Model]):
    """What `Ensemble.models` is: those that predict one after the other, and each by its number.

    Iterating and `len` leave out members that diverged; `models[k]` is member k, whichever others diverged.

    Args:
        held: All members, as the ensemble holds them.
        diverged: The numbers of those that diverged.
        load: Returns the model of what is held.
    """

    def __init__(self, held: Sequence[Any], diverged: Collection[int], load: Callable[[Any], keras.Model]):
        self._held, self._diverged, self._load = held, diverged, load

    def __len__(self) -> int:
        return len(self._held) - len(self._diverged)

    def __iter__(self) -> Iterator[keras.Model]:
        return (self._load(one) for number, one in enumerate(self._held) if number not in self._diverged)

    def __contains__(self, model: object) -> bool:
        return any(model is one for one in self)

    @overload
    def __getitem__(self, number: int) -> keras.Model: ...

    @overload
    def __getitem__(self, number: slice) -> tuple[keras.Model, ...]: ...

    def __getitem__(self, number: int | slice) -> keras.Model | tuple[keras.Model, ...]:
        """Return member `number`, below 0 counted from the last; or of a slice of numbers those that predict.

        Raises:
            InputError: That member diverged.
            IndexError: There is no such member.
        """
        if isinstance(number, slice):
            return tuple(self[k] for k in range(len(self._held))[number] if k not in self._diverged)
        place = range(len(self._held))[number]
        if place in self._diverged:
            raise InputError(
                f"member {place} diverged in training, so it is no model; iterate over models for the "
                f"{len(self)} that did not"
            )
        return self._load(self._held[place])

    def __repr__(self) -> str:
        return f"<{len(self)} models of {len(self._held)} members>"
