"""Combining rules: the predictions of many members become one.

A rule takes probabilities of shape (members, examples, classes) and weights of shape (members,) that sum to 1, and
returns float64 probabilities of shape (examples, classes), rows summing to 1. Networks, dropout passes and enumerated
masks are combined by the same rules. A rule of your own is a function and one line, `RULES["mine"] = function`.

A `Pool` is a rule that sums something over the members, so that they can be added a few at a time and forgotten.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp
from scipy.stats import trim_mean

from ensemble_vs_dropout.checks import InputError, check_known, load_named
from ensemble_vs_dropout.seeds import stream
from ensemble_vs_dropout.types import FloatArray, IntArray, check_probabilities, check_weights

Ties = Literal["first", "random"]
Rule = Callable[[FloatArray, FloatArray], FloatArray]
TRIMMED = 0.2  # the share of the members that a trimmed mean leaves out at each end


@dataclass(frozen=True)
class Pool:
    """A rule that is a weighted mean over the members of something, and a last step.

    Attributes:
        of: What is averaged, (examples, classes) from a member's probabilities and the labels it votes for.
        finish: From that mean and the number of members to probabilities, (examples, classes).
        weighted: Whether members may have different weights.
    """

    of: Callable[[FloatArray, Callable[[], IntArray]], FloatArray]
    finish: Callable[[FloatArray, int], FloatArray]
    weighted: bool = True

    def __call__(self, probs: FloatArray, weights: FloatArray, ties: Ties = "first", seed: int = 0) -> FloatArray:
        """Return the pooled probabilities, shape (examples, classes)."""
        running = Running(self, ties, seed)
        running.add(probs, None if (weights == weights[0]).all() else weights)
        return running.result()


class Running:
    """A pool to which members are added a few at a time; it holds (examples, classes), however many they are.

    Example:
        >>> running = Running(mean)
        >>> for member in ([[0.9, 0.1]], [[0.5, 0.5]]):
        ...     running.add(np.array([member]))
        >>> running.result().tolist()
        [[0.7, 0.3]]
    """

    def __init__(self, rule: Pool, ties: Ties = "first", seed: int = 0):
        self.rule, self.ties, self.seed = rule, ties, seed
        self.members, self._weight = 0, 0.0
        self._sum: FloatArray | None = None
        self._first: FloatArray | None = None

    def add(self, probs: FloatArray, weights: FloatArray | None = None) -> None:
        """Add members, shape (members, examples, classes), of these weights or of weight 1 each."""
        if self._sum is None:
            self._sum = np.zeros(probs.shape[1:])
        if weights is not None and not self.rule.weighted:
            self._first = weights[:1] if self._first is None else self._first
            _check_equal(np.concatenate([self._first, weights]))
        for number, member in enumerate(probs):
            # Equal weights count 1 and are divided once: summed up, 16 of 20 votes would be 0.8000000000000002.
            weight = 1.0 if weights is None else float(weights[number])
            if weight > 0:  # 0 * log(0) would be NaN; a member without weight has no veto
                term = self.rule.of(member, partial(predict_labels, member, self.ties, self.seed + self.members))
                self._sum += term if weight == 1 else weight * term
            self._weight += weight
            self.members += 1

    def result(self) -> FloatArray:
        """Return the pooled probabilities of the members so far, shape (examples, classes)."""
        assert self._sum is not None, "no member was added"
        return self.rule.finish(self._sum / self._weight, self.members)


def _log(probs: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore"):
        return np.log(probs, dtype=np.float64)


def _exp(logs: FloatArray) -> FloatArray:
    """Return what logarithms that may all be minus infinity are proportional to; such a row is uniform."""
    vetoed = np.isneginf(logs).all(axis=1, keepdims=True)
    logs = np.where(vetoed, 0.0, logs)
    return np.asarray(np.exp(logs - logsumexp(logs, axis=1, keepdims=True)))


def _one_hot(probs: FloatArray, labels: IntArray) -> FloatArray:
    return np.asarray(np.arange(probs.shape[1]) == labels[:, None], dtype=np.float64)


def _normalised(values: FloatArray) -> FloatArray:
    """Return rows divided by their sums; a row of zeros becomes uniform."""
    sums = values.sum(axis=1, keepdims=True)
    return np.where(sums > 0, values / np.where(sums > 0, sums, 1), 1 / values.shape[1])


def _check_equal(weights: FloatArray) -> None:
    if not (weights == weights[0]).all():
        raise InputError("this rule takes no weights that differ; mean, geometric_mean and the votes do")


def _median(probs: FloatArray, weights: FloatArray) -> FloatArray:
    _check_equal(weights)
    return _normalised(np.median(probs.astype(np.float64), axis=0))


def _trimmed_mean(probs: FloatArray, weights: FloatArray) -> FloatArray:
    _check_equal(weights)
    return _normalised(trim_mean(probs.astype(np.float64), TRIMMED, axis=0))


def _minimum(probs: FloatArray, weights: FloatArray) -> FloatArray:
    _check_equal(weights)
    return _normalised(probs.min(axis=0).astype(np.float64))


def _maximum(probs: FloatArray, weights: FloatArray) -> FloatArray:
    _check_equal(weights)
    return _normalised(probs.max(axis=0).astype(np.float64))


mean = Pool(lambda probs, votes: probs, lambda pooled, members: pooled)
geometric_mean = Pool(lambda probs, votes: _log(probs), lambda logs, members: _exp(logs))
product = Pool(lambda probs, votes: _log(probs), lambda logs, members: _exp(logs * members), weighted=False)
majority_vote = Pool(lambda probs, votes: _one_hot(probs, votes()), lambda shares, members: shares)
confidence_vote = Pool(
    lambda probs, votes: _one_hot(probs, votes()) * probs.max(axis=1, keepdims=True),
    lambda shares, members: _normalised(shares),
)

STANDARD_RULES = ("mean", "geometric_mean", "majority_vote")  # what a comparison shows unless others are asked for
WEIGHTED_RULES = ("weighted_mean", "weighted_vote")  # have no meaning without weights
RULES: dict[str, Rule] = {
    "mean": mean,
    "geometric_mean": geometric_mean,
    "majority_vote": majority_vote,
    "confidence_vote": confidence_vote,
    "weighted_mean": mean,
    "weighted_vote": majority_vote,
    "median": _median,
    "trimmed_mean": _trimmed_mean,
    "product": product,
    "min": _minimum,
    "max": _maximum,
}


def find_rule(name: str, weights: npt.ArrayLike | None = None) -> Rule:
    """Return the rule of that name; "package.module:function" is one of the user's own, and is registered by that name.

    Raises:
        InputError: There is none, or it has no meaning without weights and there are none.

    Example:
        >>> find_rule("mean") is RULES["mean"]
        True
    """
    if name not in RULES and ":" in name:
        found = load_named("rule", name)
        if not callable(found):
            raise InputError(f"rule {name!r} must be a function, got {type(found).__name__}")
        RULES[name] = found
    rule = RULES[check_known("rule", name, RULES)]
    if name in WEIGHTED_RULES and weights is None:
        raise InputError(f"the rule {name!r} needs weights, one for each member, summing to 1; fit_weights finds them")
    return rule


def aggregate(
    probs: npt.ArrayLike,
    rule: str = "mean",
    weights: npt.ArrayLike | None = None,
    ties: Ties = "first",
    seed: int = 0,
) -> FloatArray:
    """Combine the predictions of many members by the named rule.

    * `mean`: the arithmetic mean (the linear opinion pool); `weighted_mean` insists on weights.
    * `geometric_mean`: the renormalised geometric mean (the logarithmic opinion pool), the softmax of the mean logits.
      A class to which one member of positive weight gives 0 gets 0; where every class has such a member the pool is
      undefined and the row is uniform. `product` is the same with the logarithms summed instead of averaged.
    * `majority_vote`: the share of the votes that each class gets, its label the argmax; `weighted_vote` insists on
      weights, and in `confidence_vote` a member's vote counts as much as its highest probability.
    * `median`, `trimmed_mean` (without the highest and the lowest fifth), `min`, `max`: class by class, renormalised.

    Args:
        probs: Shape (members, examples, classes), rows summing to 1, from any library.
        rule: A name in `RULES`.
        weights: One weight per member, summing to 1; None for equal ones.
        ties: Which class a member votes for when several share its highest probability: the first, or a random one.
        seed: Of the random choice.

    Returns:
        Shape (examples, classes), float64, rows summing to 1.

    Raises:
        InputError: An unknown rule or tie policy, weights where the rule takes none or none where it needs them, or
            values that are not probabilities.

    Example:
        >>> aggregate([[[0.9, 0.1]], [[0.6, 0.4]], [[0.2, 0.8]]], rule="majority_vote").round(2).tolist()
        [[0.67, 0.33]]
    """
    function = find_rule(rule, weights)
    array = check_probabilities(probs)
    members = len(array)
    share = np.full(members, 1 / members) if weights is None else check_weights(weights, members)
    check_known("tie policy", ties, ("first", "random"))
    if isinstance(function, Pool):
        return function(array, share, ties, seed)
    return function(array, share)


def predict_labels(probs: npt.ArrayLike, ties: Ties = "first", seed: int = 0) -> IntArray:
    """Return the label of the highest probability of each row, shape (examples,).

    Args:
        probs: Shape (examples, classes).
        ties: Among several highest, the first, or a random one drawn from `seed`. The first is biased towards low
            labels, which shows with votes of an even number of members.
        seed: Of the random choice.

    Example:
        >>> predict_labels([[0.5, 0.5], [0.2, 0.8]]).tolist()
        [0, 1]
    """
    array = np.asarray(probs)
    check_known("tie policy", ties, ("first", "random"))
    if array.ndim != 2:
        raise InputError(f"probs must have shape (examples, classes), got {array.shape}")
    if ties == "first":
        return array.argmax(axis=1)
    # Shares are sums of floats: what differs by rounding alone is a tie.
    highest = array >= array.max(axis=1, keepdims=True) - 1e-12
    return np.where(highest, stream(seed, "ties").random(array.shape), -1.0).argmax(axis=1)
