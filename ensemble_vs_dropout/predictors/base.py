"""Predicting with many members: what networks, dropout passes and enumerated masks have in common.

A predictor gives its members' probabilities for a batch of examples a few members at a time. What can be summed up on
the way is: then memory holds (examples, classes), however many members there are.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import psutil

from ensemble_vs_dropout.checks import InputError, by_keyword, check_at_least
from ensemble_vs_dropout.measures.aggregation import Pool, Running, aggregate, find_rule
from ensemble_vs_dropout.measures.regression import variance_parts
from ensemble_vs_dropout.measures.uncertainty import RunningUncertainty
from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.models.inputs import Examples, Input, batches, is_source
from ensemble_vs_dropout.models.number_heads import NumberHead, Output
from ensemble_vs_dropout.types import FloatArray, IntArray, Predictions, RegressionPredictions, check_weights

_TOLERANCE = 1e-3  # of a row of float32 probabilities: of the sum, and below 0
Part = tuple[FloatArray, FloatArray | None]  # probabilities (members, examples, classes) and the members' weights


class Predictor(ABC):
    """Predicts with `members` members; `method` says in words what they are."""

    _head: Output  # how to read the members' outputs
    _inputs: Sequence[Input]  # what the members are fed
    _whole = False  # whether all examples are one batch, because a member is costly to get

    @property
    @abstractmethod
    def members(self) -> int:
        """The number of members."""

    @property
    def classes(self) -> int:
        """The number of classes."""
        return self._head.classes

    @property
    @abstractmethod
    def method(self) -> str:
        """How it predicts, in words."""

    @property
    @abstractmethod
    def multiply_adds(self) -> int:
        """Products of weights with inputs that all members take for one example, as they are computed here.

        Raises:
            InputError: They cannot be counted; see `models.costs.multiply_adds`.
        """

    @property
    def task(self) -> str:
        """What is predicted: "classification", or "regression" of a number."""
        return "regression" if isinstance(self._head, NumberHead) else "classification"

    def __repr__(self) -> str:
        what = "a number" if self.task == "regression" else f"{self.classes} classes"
        return f"{type(self).__name__}: {self.method}, {what}"

    def share(self, other: Any) -> None:  # noqa: B027  # nothing to share is no fault
        """Use what another predictor of the same kind has traced, where its models are built alike."""

    @abstractmethod
    def _parts(self, x: npt.NDArray[np.generic], first: int) -> Iterator[Part]:
        """Yield the members' probabilities for these examples, the first of which is number `first` of all."""

    @by_keyword("rule")
    def predict(
        self, x: Any, *, rule: str = "mean", batch_size: int = 1024, weights: npt.ArrayLike | None = None
    ) -> FloatArray:
        """Return the members' probabilities combined by the named rule, shape (examples, classes).

        Of networks that predict a number: the mean of their means, shape (examples,).

        Batches are combined one by one, and for the means, the product and the votes members are added up as they
        come, so that memory grows with neither. Other rules need all members of a batch at once.

        Args:
            x: Features, shape (examples, ...), in memory, mapped, sparse (SciPy) or a DataFrame; or a source of
                batches, a `tf.data.Dataset` or a Keras `PyDataset`, whose targets are ignored.
            rule: A name in `RULES`; of a number "mean".
            batch_size: Examples at a time; a source of batches has its own.
            weights: One for each member, summing to 1; None for the members' own, which are equal for networks.
        """
        if self.task == "regression" and rule != "mean":
            raise InputError(
                f"rule must be 'mean' for networks that predict a number, got {rule!r}; predict_members gives all that "
                "they predict, and measures.regression.pool_normal combines it otherwise"
            )
        chosen = find_rule(rule, weights)
        given = None if weights is None else check_weights(weights, self.members)
        pooled = np.concatenate(
            [self._pooled(batch, first, rule, chosen, given) for first, batch in self._batches(x, batch_size)]
        )
        return pooled[:, 0] if self.task == "regression" else pooled

    def _pooled(
        self, x: npt.NDArray[np.generic], first: int, rule: str, chosen: Any, weights: FloatArray | None
    ) -> FloatArray:
        if not isinstance(chosen, Pool):
            probs, own = self._all(x, first)
            return aggregate(probs, rule, own if weights is None else weights)
        running = Running(chosen)
        for probs, own in self._sound_parts(x, first):
            share = own if weights is None else weights[running.members : running.members + len(probs)]
            running.add(probs, share)
        return running.result()

    def predict_members(self, x: Any, batch_size: int = 1024, *, memory_limit: int | None = None) -> Any:
        """Return what every member predicts: `Predictions`, or of a number `RegressionPredictions`.

        Probabilities have the shape (members, examples, classes), float32; means and scales (members, examples).

        Args:
            x: Features, shape (examples, ...), or a source of batches; see `predict`.
            batch_size: Examples at a time.
            memory_limit: Bytes that the result may take; by default half of what is free.

        Raises:
            InputError: The result would take more; `predict` and `predict_uncertainty` do not keep the members.
        """
        limit = psutil.virtual_memory().available // 2 if memory_limit is None else memory_limit
        check_at_least("memory_limit", limit, 1)
        given = x if is_source(x) else Examples("x", x, self._inputs)
        whole = None
        if isinstance(given, Examples):
            self._check_memory(len(given), limit)
            whole = np.empty((self.members, len(given), self._head.columns), np.float32)
        parts, weights, done = [], None, 0
        for first, batch in self._batches(given, batch_size):
            done += len(batch)
            self._check_memory(done, limit)
            probs, weights = self._all(batch, first)
            if whole is None:
                parts.append(probs)
            else:
                whole[:, first:done] = probs
        if weights is not None:
            weights = weights / weights.sum()
        found = np.concatenate(parts, axis=1) if whole is None else whole
        if self.task == "regression":
            scales = found[..., 1] if self._head.columns > 1 else None
            return RegressionPredictions(found[..., 0], scales, weights, self.method)
        return Predictions(found, weights, self.method)

    def _check_memory(self, examples: int, limit: int) -> None:
        needed = 4 * self.members * examples * self._head.columns
        if needed > limit:
            what = "predictions" if self.task == "regression" else "probabilities"
            each = "" if self.task == "regression" else f" and {self.classes} classes"
            raise InputError(
                f"the {what} of {self.members} members for {examples:,} examples{each} "
                f"take {needed:,} bytes, and memory_limit is {limit:,}; use predict(x, rule=...) or "
                "predict_uncertainty(x), which do not keep them, fewer members, or fewer examples at a time"
            )

    def predict_uncertainty(self, x: Any, batch_size: int = 1024) -> pd.DataFrame:
        """Return how uncertain each example's prediction is, without keeping the members.

        Returns:
            One row per example: entropy, expected_entropy, mutual_information, variance; see
            `measures.uncertainty.uncertainty`. Of a number: mean, aleatoric, epistemic, total; see
            `measures.regression.variance_parts`.

        Raises:
            InputError: Networks that predict a mean alone, and so say nothing of the noise.
        """
        if self.task == "regression":
            if self._head.columns < 2:
                raise InputError(
                    "predict_uncertainty needs networks that predict a standard deviation beside the mean, trained "
                    "with GaussianNLL; a mean alone says nothing of the noise, which regression.fit_noise finds"
                )
            found = (self._all(batch, first) for first, batch in self._batches(x, batch_size))
            parts = (variance_parts(each[..., 0], each[..., 1], weights) for each, weights in found)
            return pd.concat(parts, ignore_index=True)
        tables = []
        for first, batch in self._batches(x, batch_size):
            running = RunningUncertainty()
            for probs, weights in self._sound_parts(batch, first):
                running.add(probs, weights)
            tables.append(running.result())
        return pd.concat(tables, ignore_index=True)

    def _sound_parts(self, x: npt.NDArray[np.generic], first: int) -> Iterator[Part]:
        members = 0
        for probs, weights in self._parts(x, first):
            check = check_numbers if self.task == "regression" else check_sound
            sound = check(probs, members, self.method, first)
            members += len(probs)
            yield sound, weights

    def _batches(self, x: Any, batch_size: int) -> Iterator[tuple[int, npt.NDArray[np.generic]]]:
        given = x if isinstance(x, Examples) or is_source(x) else Examples("x", x, self._inputs)
        return batches(given, self._inputs, batch_size, self._whole)

    def _all(self, x: npt.NDArray[np.generic], first: int) -> Part:
        probs, weights = zip(*self._sound_parts(x, first), strict=True)
        own = None if weights[0] is None else np.concatenate(weights)
        return (np.concatenate(probs) if len(probs) > 1 else probs[0]), own


def check_classifies(name: str, predictor: Predictor) -> None:
    """Raise `InputError` if a predictor's networks predict a number."""
    if predictor.task == "regression":
        raise InputError(f"{name} must be a classifier, got networks that predict a number")


def check_weights_known(model: keras.Model) -> None:
    """Raise `InputError` if a weight is NaN, which on some processors `relu` takes for 0 without a word."""
    for variable in model.weights:
        if "float" in variable.dtype and np.isnan(variable.numpy().astype(np.float32)).any():
            raise InputError(
                f"the weights of {model.name!r} must be numbers, got NaN in {variable.path}; its training diverged, so "
                "train it again with a lower learning rate"
            )


def check_numbers(found: FloatArray, first_member: int, method: str, first: int = 0) -> FloatArray:
    """Return predicted means, and scales beside them, or raise if they are not finite, or a scale is below 0.

    Args:
        found: Shape (members, examples, columns).
        first_member: The number of the first of these members.
        method: How they predict, in words.
        first: The number of the first example.
    """
    wrong = ~np.isfinite(found)
    wrong[..., 1:] |= found[..., 1:] <= 0
    if not wrong.any():
        return found
    member, example, column = np.unravel_index(int(wrong.argmax()), wrong.shape)
    what, rule = ("a standard deviation", "above 0") if column else ("a mean", "finite")
    raise InputError(
        f"the outputs of {method}, member {first_member + int(member)}, must be {rule} where they are {what}, got "
        f"{found[member, example, column]:.4g} for example {first + int(example)}; look for NaN in the weights, and "
        "end what gives the scale with softplus"
    )


def check_sound(probs: FloatArray, first_member: int, method: str, first: int | IntArray = 0) -> FloatArray:
    """Return probabilities, none of them below 0, or raise if they do not lie in [0, 1] or sum to 1.

    Args:
        probs: Shape (members, examples, classes).
        first_member: The number of the first of these members.
        method: How they predict, in words.
        first: The number of the first example, or of each.
    """
    off = np.abs(probs.sum(axis=2) - 1.0)
    lowest = probs.min(axis=2)  # where none is below 0 and the sum is 1, none is above 1
    if off.max() <= _TOLERANCE and lowest.min() >= -_TOLERANCE:  # False for NaN
        return probs if lowest.min() >= 0 else probs.clip(0, 1)
    worst = np.maximum(off, -lowest)
    member, example = np.unravel_index(int(np.argmax(np.where(np.isnan(worst), np.inf, worst))), off.shape)
    row = probs[member, example]
    number = first + int(example) if isinstance(first, int) else int(first[example])
    who = f"the outputs of {method}, member {first_member + member},"
    if np.isnan(row).any():
        raise InputError(
            f"{who} sum to nan over the classes and not to 1 for example {number} of x; its features are finite: look "
            "for NaN in the weights, or for a layer that divides by zero"
        )
    cure = "if the model gives logits, compile it with from_logits=True; else end with sigmoid or softmax"
    if off[member, example] > _TOLERANCE:
        raise InputError(f"{who} sum to {row.sum():.4g} over the classes and not to 1 for example {number}; {cure}")
    told = ", ".join(f"{value:.4g}" for value in row[:4])
    raise InputError(f"{who} must lie in [0, 1] to be probabilities, got {told} for example {number}; {cure}")
