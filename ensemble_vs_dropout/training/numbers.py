"""What members of one program may differ in: numbers that stand in its place as tensors, one for each member.

They are the rate of a dropout layer, the factor of an L1 or L2 penalty, the bound of a norm, and the optimizer's weight
decay, momentum or betas, and schedule of its learning rate; without a schedule that is a variable of every member's own
already. What cannot be a number makes another program; `structure` tells.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import numpy as np

from ensemble_vs_dropout.models.architecture import architecture, remembered
from ensemble_vs_dropout.models.backend import keras, tf
from ensemble_vs_dropout.models.draws import Words, training_threshold
from ensemble_vs_dropout.models.layers import NUMBERS, RATED, SHARES
from ensemble_vs_dropout.training.masks import own_masks

Place = tuple[Any, str]  # an object of a model, and the attribute that holds a number


class Numbers:
    """The numbers of a model, in an order that is the same for all models of its architecture; none if not `varied`.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dropout(0.25), keras.layers.Dense(2)])
        >>> Numbers(model).values()[1].tolist()
        [0.75]
    """

    def __init__(self, model: keras.Model, varied: bool = True):
        layers = model._flatten_layers() if varied else []
        self._rated = [layer for layer in layers if type(layer) in RATED and layer.rate]
        held = [getattr(layer, "activity_regularizer", None) for layer in layers]
        trained, optimizer = (model.trainable_variables, getattr(model, "optimizer", None)) if varied else ([], None)
        held += [variable.regularizer for variable in trained] + [variable.constraint for variable in trained]
        rate = getattr(optimizer, "_learning_rate", None)
        self._factors: list[Place] = [(one, name) for one in [*held, rate] for name in NUMBERS.get(type(one), ())]
        if getattr(optimizer, "weight_decay", None) is not None:
            self._factors.append((optimizer, "weight_decay"))
        shares = [name for name in SHARES.get(type(optimizer), ()) if getattr(optimizer, name)]
        self._shares: list[Place] = [(optimizer, name) for name in shares]
        self._learning_rate = rate if isinstance(rate, keras.Variable) else None

    @property
    def shared(self) -> list[int]:
        """For each factor the place of the first that the same object holds; what stands for one stands for all."""
        owners = [id(owner) for owner, _ in self._factors]
        return [owners.index(owner) for owner in owners]

    def values(self) -> list[np.ndarray[Any, Any]]:
        """Return the thresholds of the draws and the keep probabilities of all rates, all factors, and all shares."""
        return [
            np.array([training_threshold(layer.rate) for layer in self._rated], np.uint32),
            np.array([1 - layer.rate for layer in self._rated], np.float32),
            np.array([getattr(*place) for place in self._factors], np.float32),
            # Beside each share what it leaves, which is rounded where it is made of a share that was.
            np.array([[(share := getattr(*place)), 1 - share] for place in self._shares], np.float32).reshape(-1, 2),
        ]

    @contextmanager
    def left_open(self) -> Iterator[None]:
        """Let the model tell of itself inside as any other with numbers of its own."""
        with ExitStack() as stack:
            for owner, name in [*((layer, "rate") for layer in self._rated), *self._factors, *self._shares]:
                stack.callback(setattr, owner, name, getattr(owner, name))
                setattr(owner, name, 0.5)
            if self._learning_rate is not None:
                stack.callback(self._learning_rate.assign, self._learning_rate.numpy())
                self._learning_rate.assign(0.5)
            yield

    @contextmanager
    def replaced(self, values: Sequence[tf.Tensor], words: Words | None = None) -> Iterator[None]:
        """Let the model compute with these values in what is traced inside, and draw its masks by these words."""
        thresholds, keep, factors, shares = values
        placed = [(place, factors[i]) for i, place in enumerate(self._factors)]
        placed += [(place, _Share(*tf.unstack(shares[i]))) for i, place in enumerate(self._shares)]
        rates = {id(layer.seed_generator): (thresholds[i], keep[i]) for i, layer in enumerate(self._rated)}
        with ExitStack() as stack:
            for (owner, name), value in placed:
                stack.callback(setattr, owner, name, getattr(owner, name))
                setattr(owner, name, value)
            if words:
                stack.enter_context(own_masks(words, rates))
            yield


class _Share:
    """A number above 0 that optimizers take as a tensor, subtract from 1, and ask whether it is 0; all else fails."""

    def __init__(self, share: tf.Tensor, left: tf.Tensor):
        self.share, self._left = share, left

    def __rsub__(self, one: int) -> tf.Tensor:
        if one != 1:
            return NotImplemented
        return self._left


def _as_tensor(value: _Share, dtype: Any = None, name: str | None = None, as_ref: bool = False) -> tf.Tensor:
    return value.share if dtype is None else tf.cast(value.share, dtype)


tf.register_tensor_conversion_function(_Share, _as_tensor)


def structure(model: keras.Model, lasting: bool = False) -> str:
    """Return the `architecture` of a model, its numbers left open: models of one structure can share a program."""
    return str(remembered(f"structure {lasting}", model, partial(_structure, lasting=lasting)))


def _structure(model: keras.Model, lasting: bool) -> str:
    numbers = Numbers(model)
    with numbers.left_open():
        return f"[{architecture(model, lasting)}, {numbers.shared}]"


def differ(models: Sequence[keras.Model]) -> bool:
    """Return whether models of one architecture have other numbers."""
    return len({b"".join(values.tobytes() for values in Numbers(model).values()) for model in models}) > 1
