"""How differently the members predict: the same measures for networks and for dropout masks.

`pairwise` gives one measure for every pair of members, `diversity` the means over pairs beside measures of the whole
pool. Some compare the labels or the probabilities that two members predict; the others, the oracle measures of Kuncheva
and Whitaker, see only which members are right on which examples, so that two different wrong labels do not differ.

A measure of your own is a function and one line, `PAIRWISE["mine"] = function`.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.spatial.distance import pdist, squareform

from ensemble_vs_dropout.checks import InputError, check_known
from ensemble_vs_dropout.types import FloatArray, IntArray, check_pair, check_probabilities


def _ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """Return the quotient, NaN where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator != 0)


def _right(probs: FloatArray, labels: IntArray) -> FloatArray:
    return np.asarray(probs.argmax(axis=2) == labels, dtype=np.float64)


def _disagreement(probs: FloatArray, labels: IntArray) -> FloatArray:
    return squareform(pdist(probs.argmax(axis=2), "hamming"))


def _disagreement_over_error(probs: FloatArray, labels: IntArray) -> FloatArray:
    wrong = 1 - _right(probs, labels).mean(axis=1)
    return _ratio(_disagreement(probs, labels), (wrong[:, None] + wrong) / 2)


def _kl(probs: FloatArray, labels: IntArray) -> FloatArray:
    flat = probs.reshape(len(probs), -1)
    cross = flat @ np.log(np.where(flat > 0, flat, 1.0)).T
    divergence = np.maximum(0.0, cross.diagonal()[:, None] - cross) / len(labels)
    excluded = np.asarray(flat > 0, dtype=np.float32) @ np.asarray(flat == 0, dtype=np.float32).T
    return np.where(excluded > 0, np.inf, divergence)


def _cosine(probs: FloatArray, labels: IntArray) -> FloatArray:
    unit = probs / np.linalg.norm(probs, axis=2, keepdims=True)
    flat = unit.reshape(len(probs), -1)
    return np.minimum(1.0, flat @ flat.T / len(labels))


def _counts(probs: FloatArray, labels: IntArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return on how many examples both of a pair are right, only the row's, only the column's, and neither."""
    right = _right(probs, labels)
    both, alone = right @ right.T, right.sum(axis=1)
    return both, alone[:, None] - both, alone - both, len(labels) - alone[:, None] - alone + both


def _oracle_disagreement(probs: FloatArray, labels: IntArray) -> FloatArray:
    _, row, column, _ = _counts(probs, labels)
    return (row + column) / len(labels)


def _double_fault(probs: FloatArray, labels: IntArray) -> FloatArray:
    return _counts(probs, labels)[3] / len(labels)


def _q_statistic(probs: FloatArray, labels: IntArray) -> FloatArray:
    both, row, column, neither = _counts(probs, labels)
    return _ratio(both * neither - row * column, both * neither + row * column)


def _correlation(probs: FloatArray, labels: IntArray) -> FloatArray:
    both, row, column, neither = _counts(probs, labels)
    variances = (both + row) * (column + neither) * (both + column) * (row + neither)
    return _ratio(both * neither - row * column, np.sqrt(variances))


def _kappa(probs: FloatArray, labels: IntArray) -> FloatArray:
    both, row, column, neither = _counts(probs, labels)
    by_chance = (both + row) * (row + neither) + (both + column) * (column + neither)
    return _ratio(2 * (both * neither - row * column), by_chance)


PAIRWISE: dict[str, Callable[[FloatArray, IntArray], FloatArray]] = {
    "disagreement": _disagreement,
    "disagreement_over_error": _disagreement_over_error,
    "kl": _kl,
    "cosine": _cosine,
    "oracle_disagreement": _oracle_disagreement,
    "double_fault": _double_fault,
    "q_statistic": _q_statistic,
    "correlation": _correlation,
    "kappa": _kappa,
}


def pairwise(probs: npt.ArrayLike, labels: npt.ArrayLike, measure: str = "disagreement") -> FloatArray:
    """Return one measure of every pair of members; a member's label is its highest class, the lowest of several.

    Of what the members predict, more diverse where higher but for `cosine`:

    * `disagreement`: the share of examples on which their labels differ, in [0, 1].
    * `disagreement_over_error`: that over the mean error of the two, in [0, 2] (after Fort et al., 2019); near 2 where
      no error is shared. NaN if both are always right.
    * `kl`: the mean over examples of KL(row's member || column's member) in nats, in [0, inf], not symmetric; infinite
      where the row's member holds possible what the column's gives probability 0.
    * `cosine`: the mean cosine similarity of their probabilities, in [0, 1].

    Of which examples they get right (Kuncheva and Whitaker, 2003), more diverse where lower but for
    `oracle_disagreement`:

    * `oracle_disagreement`: the share of examples on which just one of them is right, in [0, 1], at most
      `disagreement` and equal to it for two classes.
    * `double_fault`: the share on which both are wrong, in [0, 1]; on the diagonal the error.
    * `q_statistic`: Yule's Q, in [-1, 1], 0 for independent errors; 1 does not mean the same errors. NaN where it is
      0 / 0, as when either is always right or always wrong.
    * `correlation`: of being right, in [-1, 1], at most Q in size. NaN if either is always right or always wrong.
    * `kappa`: Cohen's, the agreement on right or wrong beyond chance, in [-1, 1]. NaN if both are always right or both
      always wrong.

    Args:
        probs: Shape (members, examples, classes), rows summing to 1.
        labels: Shape (examples,), 0..K-1.
        measure: A name in `PAIRWISE`.

    Returns:
        Shape (members, members).

    Raises:
        InputError: An unknown measure, values that are not probabilities, or labels that do not fit them.

    Example:
        >>> pairwise([[[0.9, 0.1], [0.8, 0.2]], [[0.6, 0.4], [0.3, 0.7]]], [0, 0], "disagreement").tolist()
        [[0.0, 0.5], [0.5, 0.0]]
    """
    function = PAIRWISE[check_known("pairwise measure", measure, PAIRWISE)]
    array = np.asarray(check_probabilities(probs), dtype=np.float64)
    return function(array, check_pair(array[0], labels)[1])


def diversity(probs: npt.ArrayLike, labels: npt.ArrayLike) -> pd.Series:
    """Return the mean of each pairwise measure over all pairs of members, and measures of the whole pool.

    A mean over pairs is undefined (NaN) where any pair is: leaving it out would compare different pairs in different
    pools. `kl` is the mean over ordered pairs, that is, of the symmetrised divergence.

    The measures of the whole pool see only the share of members that are right on each example (Kuncheva and Whitaker,
    2003), more diverse where `entropy` and `kohavi_wolpert` are higher and the other two lower:

    * `entropy`: how evenly the members split into right and wrong, in [0, 1]; not the entropy of predictions.
    * `kohavi_wolpert`: the mean over examples of share * (1 - share), in [0, 1/4]; (L - 1) / 2L times the mean
      `oracle_disagreement` of L members.
    * `difficulty`: the variance of the share over examples, in [0, 1/4], high where all fail on the same examples.
    * `generalised_kappa`: Fleiss' kappa of right and wrong, in [-1 / (L - 1), 1]; it takes all members to be equally
      accurate, which the mean of the pairwise `kappa` does not. NaN if all are always right or always wrong.

    Args:
        probs: Shape (members, examples, classes), rows summing to 1; at least two members.
        labels: Shape (examples,), 0..K-1.

    Returns:
        The measures by name: those of `PAIRWISE`, then the four above.

    Raises:
        InputError: A single member, values that are not probabilities, or labels that do not fit them.

    Example:
        >>> pool = [[[0.9, 0.1], [0.8, 0.2]], [[0.6, 0.4], [0.3, 0.7]]]
        >>> diversity(pool, [0, 0])[["disagreement", "kohavi_wolpert", "difficulty"]].tolist()
        [0.5, 0.125, 0.0625]
    """
    array = np.asarray(check_probabilities(probs), dtype=np.float64)
    members = len(array)
    if members < 2:
        raise InputError(f"diversity needs at least 2 members, got {members}; give the pool before it is combined")
    truth = check_pair(array[0], labels)[1]
    pairs = ~np.eye(members, dtype=bool)
    values = {name: float(measure(array, truth)[pairs].mean()) for name, measure in PAIRWISE.items()}
    share = _right(array, truth).mean(axis=0)
    accuracy, split = share.mean(), float(np.mean(share * (1 - share)))
    by_chance = accuracy * (1 - accuracy) * (members - 1) / members
    values["entropy"] = float(np.minimum(share, 1 - share).mean() * members / (members // 2))
    values["kohavi_wolpert"] = split
    values["difficulty"] = float(share.var())
    values["generalised_kappa"] = float(1 - split / by_chance) if by_chance > 0 else float("nan")
    return pd.Series(values)
