"""Several arms over several data sets, compared by their ranks (Demsar, 2006, JMLR 7, section 3.2).

Scores of different data sets cannot be averaged, ranks can. `friedman` asks whether the arms differ at all,
`rank_contrasts` which pairs do, and `groups` what a critical-difference diagram draws.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from ensemble_vs_dropout.checks import InputError, check_at_least, check_known
from ensemble_vs_dropout.measures.significance import holm
from ensemble_vs_dropout.types import FloatArray


class Friedman(NamedTuple):
    """Attributes: Friedman's chi-squared and its p-value; Iman and Davenport's F, made from it, and its p-value."""

    chi_squared: float
    chi_squared_p: float
    f: float
    f_p: float


def average_ranks(values: npt.ArrayLike, higher_is_better: bool = False) -> FloatArray:
    """Return the mean rank of each arm over the data sets, shape (arms,), in [1, arms]; 1 is best.

    Args:
        values: One score for each data set and arm, shape (data sets, arms). Tied arms share the mean of their ranks.
        higher_is_better: The direction of the score.

    Raises:
        InputError: Fewer than two data sets or arms, or a NaN: an arm without a score has no rank.

    Example:
        >>> average_ranks([[0.1, 0.2, 0.3], [0.2, 0.2, 0.4]]).tolist()
        [1.25, 1.75, 3.0]
    """
    array = _check_values(values)
    return np.asarray(_ranks(-array if higher_is_better else array).mean(axis=0))


def friedman(values: npt.ArrayLike) -> Friedman:
    """Test whether the arms' mean ranks differ at all.

    With S_j the sum of arm j's ranks over N data sets, and r all ranks of the k arms, chi-squared is
    (k - 1) sum_j (S_j - N (k+1)/2)^2 / sum (r - (k+1)/2)^2, which is Friedman's (1937) without ties and the one
    corrected for them (Conover, 1999) with ties. F = (N-1) chi-squared / (N (k-1) - chi-squared), with k-1 and
    (k-1)(N-1) degrees of freedom (Iman and Davenport, 1980), is the better of the two with few data sets.

    Args:
        values: As in `average_ranks`; the direction does not matter.

    Returns:
        Both statistics and their p-values. Arms tied on all data sets give statistics of 0 and p = 1; data sets that
        all rank the arms alike, without ties, give an infinite F and p = 0.

    Raises:
        InputError: As in `average_ranks`.

    Example:
        >>> friedman([[1, 2, 3], [1, 3, 2], [1, 2, 3], [2, 1, 3]]).chi_squared
        4.5
    """
    ranks = _ranks(_check_values(values))
    n, k = ranks.shape
    # Multiples of a quarter, hence exact: perfect agreement is found as such.
    between = float(((ranks.sum(axis=0) - n * (k + 1) / 2) ** 2).sum())
    whole = n * float(((ranks - (k + 1) / 2) ** 2).sum())
    chi_squared = n * (k - 1) * between / whole if whole else 0.0
    f = (n - 1) * between / (whole - between) if whole > between else float("inf") if whole else 0.0
    return Friedman(
        chi_squared, float(stats.chi2.sf(chi_squared, k - 1)), f, float(stats.f.sf(f, k - 1, (k - 1) * (n - 1)))
    )


def nemenyi_critical_difference(arms: int, data_sets: int, level: float = 0.05) -> float:
    """Return how far apart two mean ranks must be for any pair of arms to differ (Nemenyi, 1963).

    q sqrt(k (k+1) / (6 N)), with q from the studentized range of k groups and infinite degrees of freedom, divided by
    the square root of 2. Normal theory, for many data sets.

    Args:
        arms: k, at least 2.
        data_sets: N, at least 2.
        level: The chance of any false alarm among all pairs, between 0 and 1.

    Example:
        >>> round(nemenyi_critical_difference(arms=5, data_sets=9), 3)
        2.033
    """
    error = _standard_error(check_at_least("arms", arms, 2), check_at_least("data_sets", data_sets, 2))
    if not 0 < level < 1:
        raise InputError(f"level must lie between 0 and 1, got {level!r}")
    return float(stats.studentized_range.ppf(1 - level, arms, np.inf) / np.sqrt(2) * error)


def rank_contrasts(
    values: npt.ArrayLike,
    names: Sequence[str],
    correction: Literal["nemenyi", "holm"] = "nemenyi",
    higher_is_better: bool = False,
) -> pd.DataFrame:
    """Compare the mean ranks of every pair of arms.

    Args:
        values: As in `average_ranks`.
        names: Of the arms, in the order of the columns.
        correction: Over the pairs: by the studentized range ("nemenyi"; below the level exactly where the difference
            exceeds the critical one), or Holm's step-down method ("holm", which finds more).
        higher_is_better: The direction of the score.

    Returns:
        One row per pair: `arm_a`, `arm_b`, `rank_difference` (mean rank of a minus that of b; negative where a is
        better), `p_value` (two-sided, of that pair alone) and `p_adjusted`. The standard error is the one without
        ties, which is too large, so cautious, with them.

    Raises:
        InputError: As in `average_ranks`, names that do not fit, or an unknown correction.

    Example:
        >>> errors = [[0.1, 0.2, 0.3], [0.1, 0.3, 0.4], [0.2, 0.3, 0.5], [0.1, 0.2, 0.3]]
        >>> rank_contrasts(errors, ["ensemble", "dropout", "single"]).p_adjusted.round(3).tolist()
        [0.333, 0.013, 0.333]
    """
    check_known("correction", correction, ["nemenyi", "holm"])
    ranks = average_ranks(values, higher_is_better)
    if len(names) != len(ranks):
        raise InputError(f"names must be one for each of the {len(ranks)} arms, got {len(names)}: {list(names)}")
    labels = np.array(names, dtype=object)
    first, second = np.triu_indices(len(ranks), 1)
    difference = ranks[first] - ranks[second]
    z = np.abs(difference) / _standard_error(len(ranks), len(np.asarray(values)))
    p = 2 * stats.norm.sf(z)
    adjusted = holm(p) if correction == "holm" else stats.studentized_range.sf(z * np.sqrt(2), len(ranks), np.inf)
    return pd.DataFrame(
        {
            "arm_a": labels[first],
            "arm_b": labels[second],
            "rank_difference": difference,
            "p_value": p,
            "p_adjusted": np.clip(adjusted, 0.0, 1.0),  # the studentized range is integrated numerically
        }
    )


def groups(ranks: npt.ArrayLike, critical_difference: float) -> list[tuple[int, ...]]:
    """Return the largest sets of arms of which no two mean ranks differ by more than the critical difference.

    Args:
        ranks: From `average_ranks`, shape (arms,).
        critical_difference: From `nemenyi_critical_difference`.

    Returns:
        Positions of arms, best first, by the best arm of the set. Every arm is in at least one set, alone if it
        differs from all others; a set may overlap the next but never holds it.

    Example:
        >>> groups([3.5, 1.0, 2.0, 2.8], critical_difference=1.6)
        [(1, 2), (2, 3, 0)]
    """
    mean = np.asarray(ranks, dtype=float)
    order = np.argsort(mean, kind="stable")
    ends = np.searchsorted(mean[order], mean[order] + critical_difference + 1e-12, side="right")
    runs = enumerate(pairwise([0, *ends]))
    return [tuple(order[start:end].tolist()) for start, (before, end) in runs if end > before]


def _ranks(values: FloatArray) -> FloatArray:
    return np.asarray(stats.rankdata(values, axis=1))


def _standard_error(arms: int, data_sets: int) -> float:
    """Return the standard error of a difference of two mean ranks."""
    return float(np.sqrt(arms * (arms + 1) / (6 * data_sets)))


def _check_values(values: npt.ArrayLike) -> FloatArray:
    array = np.asarray(values, dtype=float)
    if array.ndim != 2 or min(array.shape) < 2 or np.isnan(array).any():
        raise InputError(
            "values must have shape (data sets, arms), at least two of each and none NaN, "
            f"got {array.shape} with {int(np.isnan(array).sum())} NaN; leave out data sets that lack an arm"
        )
    return array
