"""Where the gain of an ensemble comes from: exact splits of its loss, each tied to one combining rule.

A split holds for one pair of loss and rule alone, and so the loss names the rule:

* Brier score and the arithmetic mean (Krogh and Vedelsby, 1995),
* NLL and the renormalised geometric mean, that is, the mean of the logits (Wood et al., 2023),
* 0-1 error and the majority vote, where "diversity" is only an effect: it depends on the labels and can be negative.

The NLL of the arithmetic mean, say, is no mean loss less a divergence that labels do not enter. A member's label is its
highest class, the lowest of several; a tie of votes is broken at random, and the expected error counts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import rel_entr

from ensemble_vs_dropout.checks import InputError, check_known
from ensemble_vs_dropout.measures.aggregation import aggregate
from ensemble_vs_dropout.measures.scores import brier, error, nll
from ensemble_vs_dropout.types import FloatArray, IntArray, check_pair, check_probabilities, check_weights


def _check_pool(probs: npt.ArrayLike, labels: npt.ArrayLike) -> tuple[FloatArray, IntArray]:
    """Return float64 probabilities (members, examples, classes) and their integer labels."""
    array = np.asarray(check_probabilities(probs), dtype=np.float64)
    return array, check_pair(array[0], labels)[1]


def _votes(probs: FloatArray) -> FloatArray:
    """Return each member's label as one-hot rows."""
    return np.asarray(np.arange(probs.shape[-1]) == probs.argmax(axis=-1)[..., None], dtype=np.float64)


def _modes(probs: FloatArray) -> FloatArray:
    """Return the class with most votes of each row as one-hot rows, equal shares for several."""
    highest = probs == probs.max(axis=-1, keepdims=True)
    return np.asarray(highest / highest.sum(axis=-1, keepdims=True))


@dataclass(frozen=True)
class _Split:
    """The rule under which a loss splits, the loss, and a member's divergence from the pool where there is one."""

    rule: str
    loss: Callable[[FloatArray, IntArray], FloatArray]
    divergence: Callable[[FloatArray, FloatArray], FloatArray] | None = None

    def pool(self, probs: FloatArray, weights: FloatArray | None = None) -> FloatArray:
        """Combine the members, (members, examples, classes) -> (examples, classes)."""
        if self.rule == "majority_vote":  # a "member" that is itself a tied vote splits its own
            return aggregate(_modes(probs), "mean", weights)
        return aggregate(probs, self.rule, weights)

    def __call__(self, probs: FloatArray, labels: IntArray, weights: FloatArray | None = None) -> pd.DataFrame:
        """Return members, ambiguity and ensemble for each example."""
        if weights is not None:  # 0 * inf would be NaN; a member without weight has no veto
            probs, weights = probs[weights > 0], weights[weights > 0]
        pooled = self.pool(probs, weights)
        members = np.average([self.loss(member, labels) for member in probs], axis=0, weights=weights)
        ensemble = self.loss(pooled, labels)
        if self.divergence is None:
            ambiguity = members - ensemble
        else:
            ambiguity = np.average([self.divergence(pooled, member) for member in probs], axis=0, weights=weights)
        return pd.DataFrame({"members": members, "ambiguity": ambiguity, "ensemble": ensemble})


_SPLITS = {
    "brier": _Split("mean", brier, lambda pooled, member: np.square(member - pooled).sum(axis=1)),
    "nll": _Split("geometric_mean", nll, lambda pooled, member: rel_entr(pooled, member).sum(axis=1)),
    "error": _Split("majority_vote", partial(error, ties="expected")),
}
COMBINED_BY = {loss: split.rule for loss, split in _SPLITS.items()}  # the rule that each loss splits under


def ambiguity(
    probs: npt.ArrayLike, labels: npt.ArrayLike, loss: str, weights: npt.ArrayLike | None = None
) -> pd.DataFrame:
    """Return how much lower than its members' mean loss the loss of an ensemble is, for each example.

    `members` - `ambiguity` = `ensemble`, exactly, where the ensemble is the pool by the rule `COMBINED_BY[loss]`. It
    says nothing about pools by other rules.

    * `brier`, of the mean: the ambiguity is the mean squared distance of the members from it, at least 0, and labels do
      not enter.
    * `nll`, of the geometric mean: the mean KL(pool || member) in nats, at least 0, and labels do not enter. Where a
      member gives the true class probability 0, the losses are infinite and the ambiguity need not be; where every
      class is excluded by some member, the pool is undefined (uniform) and the ambiguity infinite.
    * `error`, of the majority vote: what the vote changes, in (-1, 1); negative where the vote is wrong though some
      members are right. It depends on the labels.

    Args:
        probs: Shape (members, examples, classes), rows summing to 1.
        labels: Shape (examples,), 0..K-1.
        loss: A name in `COMBINED_BY`.
        weights: One for each member, summing to 1; None for equal ones.

    Returns:
        One row per example: `members`, their mean loss; `ambiguity`; `ensemble`, the loss of the pool.

    Raises:
        InputError: An unknown loss, values that are not probabilities, or labels or weights that do not fit them.

    Example:
        >>> ambiguity([[[0.9, 0.1]], [[0.5, 0.5]]], [0], "brier").round(2).iloc[0].to_dict()
        {'members': 0.26, 'ambiguity': 0.08, 'ensemble': 0.18}
    """
    split = _SPLITS[check_known("loss", loss, COMBINED_BY)]
    array, truth = _check_pool(probs, labels)
    share = None if weights is None else check_weights(weights, len(array))
    return split(_votes(array) if loss == "error" else array, truth, share)


def bias_variance_diversity(probs: npt.ArrayLike, labels: npt.ArrayLike, loss: str) -> pd.Series:
    """Return bias, variance and diversity of an ensemble that was trained several times (Wood et al., 2023).

    For the ensemble that is combined by the rule `COMBINED_BY[loss]`, exactly,
    `expected_loss` = `average_bias` + `average_variance` - `diversity` = `ensemble_bias` + `ensemble_variance`.
    All are means over examples, in the unit of the loss; none is below 0 for `brier` and `nll`. For `error` variance
    and diversity are effects on the error, which may be negative (James and Hastie, 1997).

    Expectations over training are means over the repetitions at hand. With R of them a bias is too high and a variance
    too low by what R draws leave to chance, for `brier` by 1/R of the true variance; with one, variance is 0.

    Args:
        probs: Shape (repetitions, members, examples, classes). A repetition draws new training data or new random
            numbers for all its members; member i is trained in the same way in all repetitions.
        labels: Shape (examples,), 0..K-1, taken to be without noise.
        loss: A name in `COMBINED_BY`.

    Returns:
        `average_bias`, the mean over members of the loss of a member's pool over repetitions; `average_variance`, of
        its mean divergence from that pool; `diversity`, the mean ambiguity of the ensembles; `expected_loss`, the
        mean loss of the ensembles; `ensemble_bias` and `ensemble_variance`, the first two of the ensemble itself.

    Raises:
        InputError: An unknown loss, another shape, values that are not probabilities, or labels that do not fit them.

    Example:
        >>> pools = [[[[0.9, 0.1]], [[0.5, 0.5]]], [[[0.7, 0.3]], [[0.9, 0.1]]]]
        >>> bias_variance_diversity(pools, [0], "brier").round(3).tolist()
        [0.13, 0.05, 0.05, 0.13, 0.125, 0.005]
    """
    split = _SPLITS[check_known("loss", loss, COMBINED_BY)]
    array = np.asarray(probs)
    if array.ndim != 4 or 0 in array.shape:
        raise InputError(
            "probs must have shape (repetitions, members, examples, classes) with none of them 0, "
            f"got {array.shape}; one repetition alone is probs[None]"
        )
    flat, truth = _check_pool(array.reshape(-1, *array.shape[2:]), labels)
    array = (_votes(flat) if loss == "error" else flat).reshape(array.shape)
    of_members = pd.concat([split(member, truth) for member in array.swapaxes(0, 1)]).mean()
    of_repetitions = pd.concat([split(repetition, truth) for repetition in array]).mean()
    of_ensemble = split(np.array([split.pool(repetition) for repetition in array]), truth).mean()
    return pd.Series(
        {
            "average_bias": of_members["ensemble"],
            "average_variance": of_members["ambiguity"],
            "diversity": of_repetitions["ambiguity"],
            "expected_loss": of_repetitions["ensemble"],
            "ensemble_bias": of_ensemble["ensemble"],
            "ensemble_variance": of_ensemble["ambiguity"],
        }
    )


def improvement(probs: npt.ArrayLike, labels: npt.ArrayLike) -> pd.Series:
    """Return how much a majority vote improves on its members, and the bounds on it that their disagreement sets.

    With ties of votes broken at random (the expected error counts), the improvement rate never exceeds the
    disagreement-error ratio, on any pool; the lower bound holds where `competent` (Theisen et al., 2023, theorem 2).

    Args:
        probs: Shape (members, examples, classes), rows summing to 1; of one member, both ratios are 0.
        labels: Shape (examples,), 0..K-1.

    Returns:
        * `eir`: the mean error of the members less the vote's, over the former; at most 1, negative where the vote is
          worse than its members.
        * `der`: the mean disagreement of two members over their mean error, at least 0. The two are drawn with
          replacement, so that a member may meet itself: (M - 1) / M times the mean over pairs.
        * `lower`: 2 (K - 1) / K der - (3 K - 4) / K, guaranteed only of a competent pool; `upper`: der.
        * `competent`: whether no `margin` in `competence` is negative; `margin` is the lowest of them.

        The first four are NaN where no member ever errs.

    Raises:
        InputError: Values that are not probabilities, or labels that do not fit them.

    Example:
        >>> pool = [[[0.9, 0.1], [0.8, 0.2]], [[0.6, 0.4], [0.3, 0.7]], [[0.2, 0.8], [0.7, 0.3]]]
        >>> improvement(pool, [0, 0])[["eir", "der"]].astype(float).round(3).tolist()
        [1.0, 1.333]
    """
    array, truth = _check_pool(probs, labels)
    shares = aggregate(array, "majority_vote")
    classes = shares.shape[1]
    mean_error = float((1 - shares[np.arange(len(truth)), truth]).mean())
    disagreement = float((1 - np.square(shares).sum(axis=1)).mean())
    vote_error = float(error(shares, truth, ties="expected").mean())
    never = mean_error == 0
    eir = float("nan") if never else (mean_error - vote_error) / mean_error
    der = float("nan") if never else disagreement / mean_error
    margin = float(competence(array, truth)["margin"].min())
    return pd.Series(
        {
            "eir": eir,
            "der": der,
            "lower": 2 * (classes - 1) / classes * der - (3 * classes - 4) / classes,
            "upper": der,
            "competent": margin >= 0,
            "margin": margin,
        }
    )


def competence(probs: npt.ArrayLike, labels: npt.ArrayLike) -> pd.DataFrame:
    """Return whether examples on which most members are right outweigh those on which most are wrong, by how clearly.

    W is the share of members that are wrong on an example. A pool is competent if P(t <= W < 1/2) is at least
    P(1/2 < W <= 1 - t) for all t in [0, 1/2]; both change only at multiples of 1 / members, and so a row for each of
    these is the whole curve. Theisen et al. (2023) count W = 1/2 as wrong, which no pool with such an
    example survives; with ties of votes broken at random their bounds hold without, and W = 1/2 counts on neither side.

    Args:
        probs: Shape (members, examples, classes), rows summing to 1.
        labels: Shape (examples,), 0..K-1.

    Returns:
        One row per threshold, ascending: `threshold`, t; `mostly_right` and `mostly_wrong`, the two probabilities;
        `margin`, the first less the second.

    Raises:
        InputError: Values that are not probabilities, or labels that do not fit them.

    Example:
        >>> pool = [[[0.9, 0.1], [0.8, 0.2]], [[0.6, 0.4], [0.3, 0.7]], [[0.2, 0.8], [0.7, 0.3]]]
        >>> competence(pool, [0, 0])["margin"].tolist()
        [1.0, 1.0]
    """
    array, truth = _check_pool(probs, labels)
    members = len(array)
    wrong = np.asarray(array.argmax(axis=2) != truth).sum(axis=0)
    counts = np.bincount(wrong, minlength=members + 1)
    below = (members + 1) // 2  # of the possible numbers of wrong members, those under one half
    right_beyond, wrong_beyond = (half[below - 1 :: -1].cumsum()[::-1] for half in (counts, counts[::-1]))
    return pd.DataFrame(
        {
            "threshold": np.arange(below) / members,
            "mostly_right": right_beyond / len(truth),
            "mostly_wrong": wrong_beyond / len(truth),
            "margin": (right_beyond - wrong_beyond) / len(truth),
        }
    )
