"""Quality against the number of members or passes, by averaging over subsets of one pool."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from math import comb

import numpy as np
import numpy.typing as npt
import pandas as pd

from ensemble_vs_dropout.checks import InputError, check_at_least, check_known
from ensemble_vs_dropout.evaluation.outcomes import over_splits
from ensemble_vs_dropout.evaluation.pooling import Arms, check_labelled, check_share
from ensemble_vs_dropout.measures import METRICS, aggregate
from ensemble_vs_dropout.measures.aggregation import Pool, find_rule, predict_labels
from ensemble_vs_dropout.measures.resampling import bootstrap_weights, percentile_interval, weighted_means
from ensemble_vs_dropout.seeds import stream
from ensemble_vs_dropout.types import FloatArray, IntArray, Predictions, check_labels

SIZES = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)
_AT_ONCE = 2**23  # probabilities of subsets held at once: 64 MiB


def size_curves(
    arms: Arms,
    labels: npt.ArrayLike,
    metrics: Sequence[str] = ("error", "nll", "brier"),
    rule: str = "mean",
    sizes: Sequence[int] = SIZES,
    subsets: int = 100,
    resamples: int = 1000,
    seed: int = 0,
    test_share: float | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Return the quality of m members combined, for sizes m up to each pool's.

    Every number is the mean over subsets of the pool and over repetitions: over all subsets where there are at most
    `subsets`, and for the Brier score of the mean, which is affine in 1/m; else over random ones. By Jensen's
    inequality NLL and Brier score of all subsets cannot rise with m, where members have equal weights; the error can.
    Weighted members keep their weights among those of a subset.

    Args:
        arms: The pool of each arm, one `Predictions`, or one for each repetition.
        labels: Shape (examples,); or (repetitions, examples) where every repetition has a split of its own.
        metrics: Names in `METRICS`.
        rule: A name in `RULES`.
        sizes: The sizes m; those beyond a pool are left out, and the pool's own is always there.
        subsets: At most so many at each size. Those of one size are the first m of random orders of the pool, the same
            orders for all sizes, so that gains are paired.
        resamples: Bootstrap resamples of the examples.
        seed: Of subsets and resamples.
        test_share: As that of `Evaluator`, where every repetition has a split of its own.
        level: Of the intervals.

    Returns:
        Columns arm, rule, members, metric, value; low, high (95 % bootstrap over examples, NaN for measures that are
        no means of examples; over splits where each repetition has one of its own); mc_error, the standard error that
        random subsets add to the value, 0 where all were taken; gain, how much better the metric gets for each member
        added since the size before, with gain_low and gain_high (likewise 95 %, paired), NaN at the first size.

    Example:
        >>> pool = Predictions(np.random.default_rng(0).dirichlet([1, 1], (4, 50)))
        >>> size_curves({"a": pool}, np.arange(50) % 2, ["brier"]).members.tolist()
        [1, 2, 3, 4]
    """
    runs_by_arm, truths = check_labelled(arms, labels, same_members=True)
    check_share(test_share, labels)
    check_at_least("resamples", resamples, 100)
    rows = []
    weights = bootstrap_weights(stream(seed, "bootstrap"), len(truths[0]), resamples)
    for arm, runs in runs_by_arm.items():
        pairs = zip(runs, truths, strict=True)
        curves = [subset_curves(run, truth, metrics, rule, sizes, subsets, seed) for run, truth in pairs]
        for metric in metrics:
            each = [curve[metric] for curve in curves]
            of_runs = np.array([one.values for one in each])
            values = of_runs.mean(axis=0)
            mc_errors = np.sqrt(np.sum([one.mc_errors**2 for one in each], axis=0)) / len(each)
            draws = None
            if METRICS[metric].per_example and test_share is None:
                draws = weighted_means(weights, np.mean([one.of_examples for one in each], axis=0).T)
            sign = 1.0 if METRICS[metric].higher_is_better else -1.0
            for i, size in enumerate(each[0].sizes):
                low, high = _interval(draws[:, i] if draws is not None else None, of_runs[:, i], test_share, level)
                gain: tuple[float, ...] = (np.nan, np.nan, np.nan)
                if i:
                    added = sign / (size - each[0].sizes[i - 1])
                    with np.errstate(invalid="ignore"):
                        of_draws = (draws[:, i] - draws[:, i - 1]) * added if draws is not None else None
                        gains = (of_runs[:, i] - of_runs[:, i - 1]) * added
                        gain = (
                            float((values[i] - values[i - 1]) * added),
                            *_interval(of_draws, gains, test_share, level),
                        )
                rows.append([arm, rule, size, metric, values[i], low, high, mc_errors[i], *gain])
    columns = ["arm", "rule", "members", "metric", "value", "low", "high", "mc_error", "gain", "gain_low", "gain_high"]
    return pd.DataFrame(rows, columns=columns)


def _interval(
    draws: FloatArray | None, of_runs: FloatArray, test_share: float | None, level: float
) -> tuple[float, float]:
    """Return the interval of a mean of repetitions: by draws of the examples, or over repetitions that are splits."""
    if test_share is None:
        return percentile_interval(draws, level) if draws is not None else (np.nan, np.nan)
    value = float(of_runs.mean())
    half = over_splits(of_runs, test_share).half_width(level) if np.isfinite(value) else np.nan
    return value - half, value + half


def enough(curves: pd.DataFrame) -> pd.DataFrame:
    """Return for each arm, rule and metric of `size_curves` the size from which no further gain is shown.

    Returns:
        Columns arm, rule, metric, members: the first size after which the interval of the gain is not wholly above 0;
        the largest size if every gain is shown. Measures without intervals are left out.

    Example:
        >>> pool = Predictions(np.tile([0.9, 0.1], (3, 50, 1)))
        >>> enough(size_curves({"a": pool}, np.zeros(50, int), ["brier"])).members.tolist()
        [1]
    """
    rows = []
    for keys, curve in curves.groupby(["arm", "rule", "metric"], sort=False):
        ordered = curve.sort_values("members")
        if ordered.gain_low.iloc[1:].isna().any():
            continue
        unseen = ~(ordered.gain_low.to_numpy()[1:] > 0)
        stop = int(unseen.argmax()) if unseen.any() else len(ordered) - 1
        rows.append([*keys, int(ordered.members.iloc[stop])])
    return pd.DataFrame(rows, columns=["arm", "rule", "metric", "members"])


@dataclass(frozen=True)
class SubsetCurve:
    """One metric of one pool against size, averaged over subsets.

    Attributes:
        sizes: Numbers of members.
        values: Shape (sizes,).
        mc_errors: Standard errors from the choice of subsets, shape (sizes,).
        of_examples: Shape (sizes, examples) for metrics with one value per example, else (sizes, 0).
    """

    sizes: tuple[int, ...]
    values: FloatArray
    mc_errors: FloatArray
    of_examples: FloatArray


def subset_curves(
    run: Predictions,
    labels: IntArray,
    metrics: Sequence[str],
    rule: str = "mean",
    sizes: Sequence[int] = SIZES,
    subsets: int = 100,
    seed: int = 0,
) -> dict[str, SubsetCurve]:
    """Return each metric of one pool against size; arguments as of `size_curves`."""
    for metric in metrics:
        check_known("metric", metric, METRICS)
    check_at_least("subsets", subsets, 1)
    if run.examples != len(labels):
        raise InputError(f"a pool must predict the {len(labels)} labelled examples, got {run.examples}")
    truth = check_labels(labels, run.classes)
    wanted = {check_at_least("sizes", size, 1) for size in sizes}
    taken = (*sorted(size for size in wanted if size < run.members), run.members)
    points: dict[str, list[tuple[float, float, FloatArray]]] = {metric: [] for metric in metrics}
    pooling = _Pooling(run, rule)
    affine = "brier" in metrics and rule == "mean" and run.weights is None and run.members > 1
    spread = _brier_spread(run, truth) if affine else None
    for size in taken:
        chosen = _subsets(run.members, size, subsets, seed)
        sampled = len(chosen) < comb(run.members, size)
        left = [metric for metric in metrics if metric != "brier" or spread is None or not sampled]
        of_subsets: dict[str, list[float]] = {metric: [] for metric in left}
        totals = {metric: np.zeros(len(truth) * METRICS[metric].per_example) for metric in left}
        for pooled in pooling(chosen):
            for metric in left:
                values = np.asarray(METRICS[metric].function(pooled, truth), dtype=np.float64)
                of_subsets[metric].append(float(values.mean()))
                if METRICS[metric].per_example:
                    totals[metric] += values
        for metric in metrics:
            if metric in left:
                error = _standard_error(of_subsets[metric]) if sampled else 0.0
                point = (float(np.mean(of_subsets[metric])), error, totals[metric] / len(chosen))
            else:
                assert spread is not None
                exact = spread[0] - (1 - 1 / size) * spread[1]
                point = (float(exact.mean()), 0.0, exact)
            points[metric].append(point)
    return {
        metric: SubsetCurve(taken, *(np.array(part) for part in zip(*points[metric], strict=True)))
        for metric in metrics
    }


def _standard_error(values: list[float]) -> float:
    """Return that of their mean; NaN for one value, or infinite ones."""
    known = len(values) > 1 and np.isfinite(values).all()
    return float(np.std(values, ddof=1) / len(values) ** 0.5) if known else float("nan")


def _brier_spread(run: Predictions, labels: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return each example's mean Brier score of a member, and the variance (ddof 1) of the members.

    Over all subsets of size m of the pool the Brier score of the mean is the first minus (1 - 1/m) of the second.
    """
    of_members, spread = np.zeros(run.examples), np.zeros(run.examples)
    mean = run.probs.mean(axis=0, dtype=float)
    for member in run.probs:  # one at a time: 1,000 passes squared would take gigabytes
        of_members += METRICS["brier"].function(member, labels) / run.members
        spread += ((member - mean) ** 2).sum(axis=1) / (run.members - 1)
    return of_members, spread


class _Pooling:
    """Pools subsets of one run's members: as one product of matrices where the rule sums something over members."""

    def __init__(self, run: Predictions, rule: str):
        self._run, self._name = run, rule
        self._rule = find_rule(rule, run.weights)
        self._terms: FloatArray | None = None
        if isinstance(self._rule, Pool) and self._rule.weighted:
            of = self._rule.of
            terms = np.stack([of(member, partial(predict_labels, member)) for member in run.probs])
            if np.isfinite(terms).all():  # 0 * log(0) would be NaN
                self._terms = terms.reshape(run.members, -1).astype(np.float64)

    def __call__(self, subsets: Sequence[list[int]]) -> Iterator[FloatArray]:
        """Yield the pooled probabilities of each subset, (examples, classes)."""
        weights = [self._weights(subset) for subset in subsets]
        if self._terms is None:
            for subset, weight in zip(subsets, weights, strict=True):
                given = None if self._run.weights is None else weight[subset] / weight.sum()
                yield aggregate(self._run.probs[subset], self._name, given)
            return
        assert isinstance(self._rule, Pool)
        at_once = max(1, _AT_ONCE // self._terms.shape[1])
        for start in range(0, len(subsets), at_once):
            some = np.array(weights[start : start + at_once])
            # Divided last: votes are counted in whole numbers, so that ties are ties.
            means = (some @ self._terms) / some.sum(axis=1, keepdims=True)
            for subset, mean in zip(subsets[start : start + at_once], means, strict=True):
                yield self._rule.finish(mean.reshape(self._run.examples, self._run.classes), len(subset))

    def _weights(self, subset: list[int]) -> FloatArray:
        """Return the weights of all members when only these are taken."""
        weights = np.zeros(self._run.members)
        weights[subset] = 1.0 if self._run.weights is None else self._run.weights[subset]
        if weights.sum() == 0:  # members without any weight are as good as each other
            weights[subset] = 1.0
        return weights


def _subsets(pool: int, size: int, number: int, seed: int) -> list[list[int]]:
    """Return all subsets of a size where they are at most `number`, else the first members of that many orders.

    Members alone are always all taken: that is no more than looking at the pool once.
    """
    if comb(pool, size) <= number or size == 1:
        return [list(subset) for subset in combinations(range(pool), size)]
    rng = stream(seed, "subsets")
    return [rng.permutation(pool)[:size].tolist() for _ in range(number)]
