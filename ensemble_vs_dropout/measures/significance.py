"""Two arms on the same examples or the same data sets: tests, sizes of effect, and many tests at once.

A difference is always A minus B. All p-values are two-sided and lie in [0, 1].

| what differs | test | size |
|---|---|---|
| errors of two fitted models on the same examples | `mcnemar` | `odds_ratio` |
| any per-example score of two fitted models | `permutation_test` | `cohens_d` |
| scores of two ways of training over splits of one data set | `corrected_t_test` | `cohens_d` |
| scores of two ways of training over data sets | `wilcoxon`, `sign_test` | `rank_biserial` |
"""

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from scipy import stats

from ensemble_vs_dropout.checks import InputError, check_at_least, check_known
from ensemble_vs_dropout.seeds import stream
from ensemble_vs_dropout.types import FloatArray

Form = Literal["exact", "mid-p", "chi-squared"]
MID_P_FROM = 10  # discordant pairs; with fewer the exact form's guarantee is worth its caution
CHI_SQUARED_FROM = 25  # discordant pairs from which the chi-squared form is as good (Dietterich, 1998)
_FLIPS = 2**22  # signs at a time: bounds the memory of a permutation test


def mcnemar(wrong_a: npt.ArrayLike, wrong_b: npt.ArrayLike, form: Form | Literal["auto"] = "auto") -> tuple[float, str]:
    """Return McNemar's p-value for two classifiers on the same examples, and the name of the form used.

    Only examples on which just one of them errs (discordant pairs) tell them apart. It compares two fitted models, not
    two ways of training.

    * `exact`: the binomial test of the discordant pairs; never above its level, and well below it when they are few.
    * `mid-p`: the exact one less the probability of what was seen (Fagerland, Lydersen and Laake, 2013); nearer its
      level, which it may exceed a little.
    * `chi-squared`: with continuity correction (Edwards, 1948).
    * `auto`: the first with fewer than `MID_P_FROM` discordant pairs, the last from `CHI_SQUARED_FROM` on, and the
      second between.

    Args:
        wrong_a: 0 or 1 for each example: whether A errs.
        wrong_b: Likewise of B.
        form: See above.

    Returns:
        The p-value, 1 in every form if each errs alone equally often; and the name, such as "McNemar mid-p".

    Raises:
        InputError: Other values, other shapes, or an unknown form.

    Example:
        >>> mcnemar([1, 1, 0, 0], [1, 0, 0, 0])
        (1.0, 'McNemar exact')
    """
    from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar

    a_only, b_only = _discordant(wrong_a, wrong_b)
    fewer, pairs = min(a_only, b_only), a_only + b_only
    if check_known("form", form, ["auto", *get_args(Form)]) == "auto":
        form = "exact" if pairs < MID_P_FROM else "mid-p" if pairs < CHI_SQUARED_FROM else "chi-squared"
    if a_only == b_only:
        p = 1.0
    elif form == "mid-p":
        p = float(2 * stats.binom.cdf(fewer, pairs, 0.5) - stats.binom.pmf(fewer, pairs, 0.5))
    else:
        table = [[0, a_only], [b_only, 0]]  # agreement tells nothing
        p = float(statsmodels_mcnemar(table, exact=form == "exact", correction=True).pvalue)
    return p, f"McNemar {form}"


def permutation_test(values_a: npt.ArrayLike, values_b: npt.ArrayLike, resamples: int = 10_000, seed: int = 0) -> float:
    """Return the p-value of a paired permutation test of the mean difference.

    If it makes no difference which value is A's, the sign of each difference is a coin toss: p is the share of sign
    patterns whose mean is at least as far from 0 as the one seen. All patterns are counted if they are at most
    `resamples`; else random ones, with one added for what was seen, so that p is never 0 (Davison and Hinkley, 1997,
    section 4.3). On errors of 0 and 1 the full count is McNemar's exact form.

    Args:
        values_a: A's score of each example, shape (examples,).
        values_b: Likewise of B.
        resamples: Sign patterns to count, at least 1.
        seed: Of the patterns.

    Returns:
        The p-value; NaN where a difference is not finite, because its mean then has no distribution.

    Example:
        >>> permutation_test([0.3, 0.5, 0.4], [0.1, 0.2, 0.1])
        0.25
    """
    a, b = _paired(values_a, values_b)
    with np.errstate(invalid="ignore"):
        differences = a - b
    check_at_least("resamples", resamples, 1)
    if not np.isfinite(differences).all():
        return float("nan")
    changing = differences[differences != 0]  # the sign of a 0 changes nothing
    count, total = len(changing), changing.sum()
    far = abs(total) - 1e-12 * np.abs(changing).sum()  # equal sums may be rounded differently

    def hits(flips: npt.NDArray[np.integer]) -> int:
        return int((np.abs(total - 2 * (flips @ changing)) >= far).sum())

    if 2**count <= resamples:
        return hits(np.arange(2**count)[:, None] >> np.arange(count) & 1) / 2**count
    rng, size = stream(seed, "permutation"), max(1, _FLIPS // count)
    sizes = [min(size, resamples - start) for start in range(0, resamples, size)]
    return (1 + sum(hits(rng.integers(2, size=(rows, count), dtype=np.int8)) for rows in sizes)) / (resamples + 1)


def corrected_t_test(differences: npt.ArrayLike, test_share: float) -> tuple[float, float]:
    """Return t and the p-value of the corrected resampled t-test (Nadeau and Bengio, 2003).

    Random splits of one data set share most of their training examples, so their differences are correlated and the
    plain t-test finds too much. Here the variance of the mean of J differences is (1/J + n_test/n_train) s^2 instead
    of s^2/J, with J - 1 degrees of freedom. The correlation is assumed, not estimated: a rule of thumb, no guarantee.

    Args:
        differences: A's score less B's on each split, shape (splits,), at least two.
        test_share: n_test / n_train, the examples tested on divided by those trained on in one split: 1/9 where a
            tenth is held out. At least 0, which gives the plain paired t-test.

    Returns:
        t, with the sign of the mean difference, and p. Equal differences give an infinite t and p = 0, zeros
        t = 0 and p = 1; with a difference that is not finite both are NaN.

    Raises:
        InputError: Fewer than two differences, or a share that is negative or not finite.

    Example:
        >>> t, p = corrected_t_test([0.02, 0.01, 0.03, 0.02, 0.01], test_share=1 / 9)
        >>> round(t, 3), round(p, 3)
        (3.857, 0.018)
    """
    d = _differences(differences, at_least=2)
    if not 0 <= test_share < np.inf:
        raise InputError(f"test_share must be n_test / n_train, a number of at least 0, got {test_share!r}")
    t = cohens_d(d) / float(np.sqrt(1 / len(d) + test_share))
    return t, float(2 * stats.t.sf(abs(t), len(d) - 1))


def wilcoxon(differences: npt.ArrayLike) -> float:
    """Return the p-value of Wilcoxon's signed-rank test, for differences over data sets (Demsar, 2006, section 3.1.3).

    Zeros are ranked and then left out (Pratt, 1959). Exact up to 50 differences, with zeros or ties among them up to
    13; else by the normal approximation. With fewer than 6 differences p is never below 0.05.

    Args:
        differences: A's score less B's on each data set, shape (data sets,). Infinite ones have the highest ranks.

    Returns:
        The p-value; 1 if all are 0, NaN if any is NaN.

    Example:
        >>> wilcoxon([0.3, 0.1, 0.4, 0.2, 0.5, 0.6])
        0.03125
    """
    d = _differences(differences)
    return float(stats.wilcoxon(d, zero_method="pratt").pvalue) if d.any() else 1.0


def sign_test(differences: npt.ArrayLike) -> float:
    """Return the p-value of the sign test: exact, without zeros, blind to sizes of differences, of little power.

    Returns:
        The p-value; 1 if all are 0, NaN if any is NaN.

    Example:
        >>> sign_test([0.3, 0.1, 0.4, 0.2, 0.5, 0.0])
        0.0625
    """
    d = _differences(differences)
    if np.isnan(d).any():
        return float("nan")
    above, below = int((d > 0).sum()), int((d < 0).sum())
    return float(stats.binomtest(above, above + below).pvalue) if above + below else 1.0


def cohens_d(differences: npt.ArrayLike) -> float:
    """Return Cohen's d of paired differences (d_z): their mean in units of their standard deviation.

    Args:
        differences: Shape (pairs,), at least two.

    Returns:
        In [-inf, inf], 0 for no difference; infinite if all are equal but not 0, NaN if any is not finite.

    Example:
        >>> round(cohens_d([0.02, 0.01, 0.03, 0.02]), 3)
        2.449
    """
    d = _differences(differences, at_least=2)
    if not np.isfinite(d).all():
        return float("nan")
    mean, spread = float(d.mean()), 0.0 if np.ptp(d) == 0 else float(d.std(ddof=1))
    return mean / spread if spread else float(np.copysign(np.inf, mean)) if mean else 0.0


def rank_biserial(differences: npt.ArrayLike) -> float:
    """Return the matched-pairs rank-biserial correlation, the size that goes with `wilcoxon` (Kerby, 2014).

    Returns:
        The share of the ranks by size that positive differences hold less that of negative ones, in [-1, 1]. Zeros
        have ranks but count for neither side; NaN if any is NaN.

    Example:
        >>> rank_biserial([3.0, 2.0, -1.0])
        0.6666666666666666
    """
    d = _differences(differences)
    ranks = stats.rankdata(np.abs(d), nan_policy="propagate")
    return float(np.sign(d) @ ranks / ranks.sum())


def odds_ratio(wrong_a: npt.ArrayLike, wrong_b: npt.ArrayLike) -> float:
    """Return the odds that it is A that errs where just one does, the size that goes with `mcnemar`.

    Returns:
        Errors of A alone divided by those of B alone, in [0, inf], below 1 where A is better; NaN if both are 0.

    Example:
        >>> odds_ratio([1, 0, 0, 1], [0, 1, 1, 1])
        0.5
    """
    a_only, b_only = _discordant(wrong_a, wrong_b)
    return a_only / b_only if b_only else float("inf") if a_only else float("nan")


def holm(p_values: npt.ArrayLike) -> FloatArray:
    """Return p-values adjusted by Holm's step-down method, which bounds the chance of any false alarm (Holm, 1979).

    Args:
        p_values: In [0, 1], shape (tests,). NaN stays NaN and does not count as a test.

    Example:
        >>> holm([0.01, 0.04, float("nan")]).tolist()
        [0.02, 0.04, nan]
    """
    p, known = _p_values(p_values)
    order = np.argsort(p[known])
    steps = p[known][order] * np.arange(len(order), 0, -1)
    p[np.flatnonzero(known)[order]] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return p


def benjamini_hochberg(p_values: npt.ArrayLike) -> FloatArray:
    """Return p-values adjusted by Benjamini and Hochberg's step-up method (1995).

    Those below q hold at most a share q of false alarms in expectation, if the tests are independent or positively
    dependent: a weaker promise than that of `holm`, which finds less.

    Args:
        p_values: In [0, 1], shape (tests,). NaN stays NaN and does not count as a test.

    Example:
        >>> benjamini_hochberg([0.01, 0.04, float("nan")]).tolist()
        [0.02, 0.04, nan]
    """
    p, known = _p_values(p_values)
    if known.any():
        p[known] = stats.false_discovery_control(p[known])
    return p


def _discordant(wrong_a: npt.ArrayLike, wrong_b: npt.ArrayLike) -> tuple[int, int]:
    """Return on how many examples only A errs, and only B."""
    a, b = _paired(wrong_a, wrong_b)
    for name, wrong in (("wrong_a", a), ("wrong_b", b)):
        if not np.isin(wrong, (0, 1)).all():
            raise InputError(f"{name} must hold 0 or 1 for each example, got {np.unique(wrong)[:5].tolist()} ...")
    return int((a > b).sum()), int((a < b).sum())


def _paired(a: npt.ArrayLike, b: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    one, other = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if one.ndim != 1 or one.shape != other.shape or len(one) == 0:
        raise InputError(
            "A and B must have one value for each of the same examples, shape (examples,), with at least one example, "
            f"got {one.shape} and {other.shape}"
        )
    return one, other


def _differences(values: npt.ArrayLike, at_least: int = 1) -> FloatArray:
    array = np.asarray(values, dtype=float)
    if array.ndim != 1 or len(array) < at_least:
        raise InputError(f"differences must be at least {at_least} in one row, got shape {array.shape}")
    return array


def _p_values(values: npt.ArrayLike) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Return a copy of the p-values, and which of them are known."""
    p = np.array(values, dtype=float)
    known = ~np.isnan(p)
    if p.ndim != 1 or ((p[known] < 0) | (p[known] > 1)).any():
        raise InputError(f"p_values must be numbers in [0, 1] or NaN, in one row, got {p.tolist()}")
    return p, known
