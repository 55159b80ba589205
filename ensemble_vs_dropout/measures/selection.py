"""Selective prediction: how much error is left when only the most confident examples are answered?

Examples of equal confidence are accepted together, or in an order drawn at random of which the expected value is
taken, so that the order of the data cannot matter; votes and saturated networks make many of them.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import digamma

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.measures.weighted import as_weights, example_weights, group_ends, sorted_groups
from ensemble_vs_dropout.types import FloatArray, IntArray, check_pair

_ROUNDING = 1e-6  # of a count: weights are counts divided by the number of examples


def risk_coverage(probs: npt.ArrayLike, labels: npt.ArrayLike, confidence: npt.ArrayLike | None = None) -> pd.DataFrame:
    """Return the risk-coverage curve (El-Yaniv and Wiener 2010), one row for each distinct confidence, highest first.

    Args:
        probs: Shape (examples, classes).
        labels: Shape (examples,), 0..K-1.
        confidence: Shape (examples,), higher is surer; None for the highest probability.

    Returns:
        Columns threshold (examples of at least this confidence are accepted), coverage (their share, in (0, 1]), risk
        (the error among them) and generalised_risk (the share of all examples that are accepted and wrong).

    Example:
        >>> risk_coverage([[0.9, 0.1], [0.4, 0.6], [0.4, 0.6]], [0, 1, 0]).risk.round(2).tolist()
        [0.0, 0.33]
    """
    wrong, surety = _wrong(probs, labels, confidence)
    order, last = sorted_groups(-surety)
    coverage = (last + 1) / len(wrong)
    joint = np.cumsum(wrong[order])[last] / len(wrong)
    return pd.DataFrame(
        {
            "threshold": surety[order][last],
            "coverage": coverage,
            "risk": joint / coverage,
            "generalised_risk": joint,
        }
    )


def aurc(
    probs: npt.ArrayLike,
    labels: npt.ArrayLike,
    weights: npt.ArrayLike | None = None,
    confidence: npt.ArrayLike | None = None,
) -> FloatArray:
    """Return the area under the risk-coverage curve, in [0, 1]; lower is better.

    The mean over k of the error among the k most confident examples (Geifman and El-Yaniv 2017).

    Args:
        probs: Shape (examples, classes).
        labels: Shape (examples,), 0..K-1.
        weights: Of the examples, shape (examples,) or (resamples, examples), summing to 1; None for equal ones.
        confidence: Shape (examples,), higher is surer; None for the highest probability.

    Returns:
        One number, or one for each resample.

    Example:
        >>> aurc([[0.9, 0.1], [0.4, 0.6], [0.4, 0.6]], [0, 1, 0]).round(3).item()
        0.194
    """
    return as_weights(_area(*_ordered(probs, labels, weights, confidence)), weights)


def excess_aurc(
    probs: npt.ArrayLike,
    labels: npt.ArrayLike,
    weights: npt.ArrayLike | None = None,
    confidence: npt.ArrayLike | None = None,
) -> FloatArray:
    """Return the AURC above that of the best order for the same errors, in [0, 1]; lower is better.

    It tells the order by confidence from the error itself (Geifman, Uziel and El-Yaniv 2019; exactly, for a finite
    sample, not by their approximation). Args and returns as of `aurc`.

    Example:
        >>> excess_aurc([[0.9, 0.1], [0.4, 0.6], [0.4, 0.6]], [0, 1, 0]).round(3).item()
        0.083
    """
    shares, wrong, last = _ordered(probs, labels, weights, confidence)
    errors = shares @ wrong
    best = _area_of_runs(np.stack([1 - errors, errors], axis=1), np.stack([0 * errors, errors], axis=1), len(wrong))
    return as_weights(_area(shares, wrong, last) - best, weights)


def augrc(
    probs: npt.ArrayLike,
    labels: npt.ArrayLike,
    weights: npt.ArrayLike | None = None,
    confidence: npt.ArrayLike | None = None,
) -> FloatArray:
    """Return the area under the generalised risk-coverage curve, in [0, 1/2]; lower is better.

    The mean over coverages of the share of examples that are accepted and wrong (Traub et al. 2024): with the error e
    and the AUROC A of telling right from wrong by confidence it is (1 - A) e (1 - e) + e^2 / 2. Unlike the AURC it does
    not count the errors at the highest confidences more than others. Args and returns as of `aurc`.

    Example:
        >>> augrc([[0.9, 0.1], [0.4, 0.6], [0.4, 0.6]], [0, 1, 0]).round(3).item()
        0.111
    """
    shares, wrong, last = _ordered(probs, labels, weights, confidence)
    coverage, joint = group_ends(shares, last), group_ends(shares * wrong, last)
    return as_weights((np.diff(coverage) * (joint[:, 1:] + joint[:, :-1]) / 2).sum(axis=1), weights)


def _wrong(
    probs: npt.ArrayLike, labels: npt.ArrayLike, confidence: npt.ArrayLike | None
) -> tuple[FloatArray, FloatArray]:
    array, truth = check_pair(probs, labels)
    surety = array.max(axis=1) if confidence is None else np.asarray(confidence, dtype=np.float64)
    if surety.shape != truth.shape or np.isnan(surety).any():
        raise InputError(f"confidence must be one number for each of the {len(truth)} examples, none of them NaN")
    return (array.argmax(axis=1) != truth).astype(float), surety


def _ordered(
    probs: npt.ArrayLike, labels: npt.ArrayLike, weights: npt.ArrayLike | None, confidence: npt.ArrayLike | None
) -> tuple[FloatArray, FloatArray, IntArray]:
    """Return the weights, (resamples, examples), and the errors from the surest example on; and where ties end."""
    wrong, surety = _wrong(probs, labels, confidence)
    shares = example_weights(weights, len(wrong))
    order, last = sorted_groups(-surety)
    return shares[:, order], wrong[order], last


def _area(shares: FloatArray, wrong: FloatArray, last: IntArray) -> FloatArray:
    """Return the mean of the risks at 1/n, 2/n, ...; within a run of ties risk is that of a random order.

    An error at place p is in the risks from p on, so it adds 1/p + 1/(p + 1) + ... + 1/n. Where the weights are how
    often a resample holds each example, as those of a bootstrap are, only the runs with an error need be looked at.
    """
    examples = shares.shape[1]
    counts = shares * examples
    whole = np.rint(counts)
    np.subtract(counts, whole, out=counts)
    if max(counts.max(), -counts.min()) > _ROUNDING:
        starts = np.r_[0, last[:-1] + 1]
        held, failed = (np.add.reduceat(part, starts, axis=1) for part in (shares, shares * wrong))
        return _area_of_runs(held, failed, examples)
    ends = np.cumsum(whole, axis=1, dtype=np.int32)
    run = np.searchsorted(last, np.flatnonzero(wrong))  # of each error
    runs, first = np.unique(run, return_index=True)
    end = ends[:, last[runs]]
    start = np.where(runs > 0, ends[:, last[runs - 1]], 0)
    held = np.add.reduceat(whole[:, wrong > 0], first, axis=1) if len(runs) else np.zeros((len(shares), 0))
    added = end - start
    share = np.divide(held, added, out=np.zeros_like(held), where=added > 0)
    places = np.arange(1, examples + 1)
    of_place = np.cumsum((1 / places)[::-1])[::-1]  # what an error there adds
    upto = np.r_[0.0, np.cumsum(of_place)]
    return np.asarray((share * (upto[end] - upto[start])).sum(axis=1) / examples)


def _area_of_runs(shares: FloatArray, errors: FloatArray, examples: int) -> FloatArray:
    """Return the same from the weight of each run and that of its errors, (resamples, runs), whatever the weights.

    Where the accepted go from N to N + c and their errors from E by e each, the sum of (E + e j) / (N + j) over j up
    to c is e c + (E - e N) (H(N + c) - H(N)), with the harmonic numbers H.
    """
    added, wrong = shares * examples, errors * examples
    each = np.divide(wrong, added, out=np.zeros_like(added), where=added > 0)
    end, total = np.cumsum(added, axis=1), np.cumsum(wrong, axis=1)
    start = end - added
    harmonic = digamma(end + 1) - digamma(start + 1)
    return np.asarray((wrong + (total - wrong - each * start) * harmonic).sum(axis=1) / examples)
