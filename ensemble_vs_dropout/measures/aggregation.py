"""Combining rules: the predictions of many members become one.

A rule takes probabilities of shape (members, examples, classes) and weights of shape (members,) that sum to 1, and
returns float64 probabilities of shape (examples, classes), rows summing to 1. Networks, dropout passes and enumerated
masks are combined by the same rules.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp

from ensemble_vs_dropout.checks import InputError, check_known
from ensemble_vs_dropout.seeds import stream
from ensemble_vs_dropout.types import FloatArray, IntArray, check_probabilities, check_weights

Ties = Literal["first", "random"]
Rule = Callable[[FloatArray, FloatArray], FloatArray]


def mean(probs: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the arithmetic mean of the members' probabilities (the linear opinion pool)."""
    return np.einsum("m,mnk->nk", weights, probs, dtype=np.float64)


def geometric_mean(probs: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the renormalised geometric mean of the members' probabilities (the logarithmic opinion pool).

    It equals the softmax of the mean logits. A class to which one member of positive weight gives 0 gets 0, and where
    every class has such a member the pool is undefined and the row is uniform.
    """
    with np.errstate(divide="ignore"):
        logs = np.log(probs, dtype=np.float64)
    used = weights > 0  # 0 * log(0) would be NaN; a member without weight has no veto
    pooled = np.einsum("m,mnk->nk", weights[used], logs[used])
    vetoed = np.isneginf(pooled).all(axis=1)
    pooled[vetoed] = 0.0
    return np.asarray(np.exp(pooled - logsumexp(pooled, axis=1, keepdims=True)))


def majority_vote(probs: FloatArray, weights: FloatArray, votes: IntArray | None = None) -> FloatArray:
    """Return the share of the members' votes that each class gets; the label is its argmax."""
    _, examples, classes = probs.shape
    if votes is None:
        votes = probs.argmax(axis=2)
    # Equal weights are counted and divided once: summed up, 16 of 20 votes would be 0.8000000000000002.
    equal = bool((weights == weights[0]).all())
    shares = np.zeros((examples, classes))
    for weight, vote in zip(weights, votes, strict=True):
        shares[np.arange(examples), vote] += 1.0 if equal else weight
    return shares / len(votes) if equal else shares


RULES: dict[str, Rule] = {"mean": mean, "geometric_mean": geometric_mean, "majority_vote": majority_vote}


def aggregate(
    probs: npt.ArrayLike,
    rule: str = "mean",
    weights: npt.ArrayLike | None = None,
    ties: Ties = "first",
    seed: int = 0,
) -> FloatArray:
    """Combine the predictions of many members by the named rule.

    Args:
        probs: Shape (members, examples, classes), rows summing to 1.
        rule: A name in `RULES`.
        weights: One weight per member, summing to 1; None for equal ones.
        ties: Which class a member votes for when several share its highest probability: the first, or a random one.
        seed: Of the random choice.

    Returns:
        Shape (examples, classes), float64, rows summing to 1.

    Raises:
        InputError: An unknown rule or tie policy, or values that are not probabilities.

    Example:
        >>> aggregate([[[0.9, 0.1]], [[0.6, 0.4]], [[0.2, 0.8]]], rule="majority_vote").round(2).tolist()
        [[0.67, 0.33]]
    """
    function = RULES[check_known("rule", rule, RULES)]
    array = check_probabilities(probs)
    members = len(array)
    share = np.full(members, 1 / members) if weights is None else check_weights(weights, members)
    if function is majority_vote:
        votes = np.stack([predict_labels(p, ties, seed + m) for m, p in enumerate(array)])
        return majority_vote(array, share, votes)
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
