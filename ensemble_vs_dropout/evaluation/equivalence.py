"""What is an arm worth in independent networks, and which arm is best at the same cost?

The deep ensemble equivalent of an arm is the size of an independent ensemble of the same quality (Ashukha et al. 2020).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ensemble_vs_dropout.checks import InputError, check_at_least, check_known
from ensemble_vs_dropout.evaluation.arms import growing
from ensemble_vs_dropout.evaluation.outcomes import outcome_of_examples, resampled_weights, row_means
from ensemble_vs_dropout.evaluation.pooling import Arms, check_labelled, check_share, pool
from ensemble_vs_dropout.evaluation.sizes import SubsetCurve, subset_curves
from ensemble_vs_dropout.measures import METRICS
from ensemble_vs_dropout.measures.resampling import percentile_interval, weighted_means
from ensemble_vs_dropout.measures.significance import holm
from ensemble_vs_dropout.measures.spread import LEAST
from ensemble_vs_dropout.types import FloatArray, IntArray, Predictions

AXES = ("parameters", "trained", "passes", "train_seconds", "predict_seconds")
_ROUNDING = 1e-12


def equivalence(
    arms: Arms,
    labels: npt.ArrayLike,
    reference: str = "ensemble",
    metric: str = "calibrated_nll",
    rules: Mapping[str, str] | None = None,
    subsets: int = 20,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Return how many independent networks each arm is worth: its deep ensemble equivalent.

    It is the smallest size at which the reference ensemble is as good, averaged over subsets of its members and
    interpolated linearly between sizes (Ashukha et al. 2020, section 4.2, take the calibrated log-likelihood). A
    single network is worth 1, which is also what a worse arm counts as. An ensemble of m is worth m where the curve
    falls all the way, as it must for NLL and Brier score; by the error, which need not, it may be worth less.

    Args:
        arms: Predictions by arm, one or one for each repetition; the reference among them.
        labels: Shape (examples,).
        reference: The arm whose members are independent networks.
        metric: A name in `METRICS` with one value per example.
        rules: How an arm is combined; "mean" where nothing is said, and for the reference. "each" is the average over
            its members alone.
        subsets: Of the reference at each size, at most.
        resamples: Of the bootstrap over repetitions and examples.
        level: Of the interval.
        seed: Of subsets and resamples.

    Returns:
        One row per arm: arm, rule, members, metric, value, worth, low, high, pool (the size of the reference). A worth
        of infinity is "more than the pool". low and high are missing with one repetition: what other networks would be
        worth cannot be told from it.

    Raises:
        InputError: The reference is missing or has one member, or the metric is no mean of examples.

    Example:
        >>> from ensemble_vs_dropout import Predictions
        >>> rng = np.random.default_rng(0)
        >>> arms = {"ensemble": Predictions(rng.dirichlet([2, 1], (4, 60)))}
        >>> equivalence(arms, np.zeros(60, int), metric="brier").worth.tolist()
        [4.0]
    """
    check_at_least("resamples", resamples, 100)
    runs, (truth, *_) = _checked(arms, labels, metric, level)
    if np.ndim(labels) > 1:
        raise InputError(
            "labels must be one array, as worth is told on the same test examples in every repetition, got one for each"
        )
    size = runs[check_known("reference", reference, runs)][0].members
    if size < 2 or any(run.weights is not None for run in runs[reference]):
        raise InputError(
            f"the reference {reference!r} must have at least 2 members of equal weight to measure worth by, got "
            f"{size}{'' if size < 2 else ' with weights'}"
        )
    for arm in rules or {}:
        check_known("arm in rules", arm, runs)
    chosen = {arm: (rules or {}).get(arm, "mean") for arm in runs}
    sizes = range(1, size) if size <= 20 else np.unique(np.geomspace(1, size, 20).astype(int)).tolist()
    curves = [subset_curves(run, truth, [metric], "mean", sizes, subsets, seed)[metric] for run in runs[reference]]
    function = METRICS[metric].function
    pooled = list(pool(arms, {arm: [rule] for arm, rule in chosen.items()}, truth))
    # (repetitions, sizes and arms, examples)
    columns = np.stack(
        [
            np.concatenate(
                [
                    curves[r].of_examples,
                    [np.mean([function(trial, truth) for trial in one.trials[r]], axis=0) for one in pooled],
                ]
            )
            for r in range(len(curves))
        ]
    )
    if METRICS[metric].higher_is_better:
        columns = -columns
    at = np.array(curves[0].sizes, dtype=float)
    values = columns.mean(axis=(0, 2))
    point = worth_of(values[None, : len(at)], values[None, len(at) :], at)[0]
    draws = np.concatenate(
        [worth_of(drawn[:, : len(at)], drawn[:, len(at) :], at) for drawn in resampled(columns, resamples, seed)]
    )
    sign = -1.0 if METRICS[metric].higher_is_better else 1.0
    rows = [
        [one.arm, one.rule, one.members, metric, sign * values[len(at) + i], point[i], *bounds, size]
        for i, one in enumerate(pooled)
        for bounds in [percentile_interval(draws[:, i], level) if len(columns) > 1 else (np.nan, np.nan)]
    ]
    return pd.DataFrame(rows, columns=["arm", "rule", "members", "metric", "value", "worth", "low", "high", "pool"])


def equal_cost(
    arms: Arms,
    labels: npt.ArrayLike,
    cost: pd.DataFrame,
    metric: str = "calibrated_nll",
    sampled: Collection[str] | None = None,
    axes: Sequence[str] = AXES,
    subsets: int = 20,
    level: float = 0.95,
    seed: int = 0,
    test_share: float | None = None,
) -> pd.DataFrame:
    """Return which arm is best for the same parameters, training work, passes or measured seconds.

    On each axis the budgets are what each arm costs at its full size. Every arm takes part at the largest size that
    the budget pays for, combined by the mean; arms that cannot be had for it stay out.

    Args:
        arms: Predictions by arm, one or one for each repetition.
        labels: Shape (examples,); or (repetitions, examples) where every repetition has a split of its own.
        cost: As `cost_table` makes it, each arm at its full size. Costs are taken to be proportional to the members.
        metric: A name in `METRICS` with one value per example.
        sampled: Arms of passes of one network, whose size costs passes and seconds of prediction alone; None for the
            registered arms that grow by passes.
        axes: Columns of `cost`.
        subsets: At each size, at most.
        level: A difference is shown below 1 - level.
        seed: Of the subsets.
        test_share: As that of `Evaluator`, where every repetition has a split of its own.

    Returns:
        One row per axis, budget and arm: axis, budget, arm, members, cost, value, low, high (over repetitions and
        examples; over examples alone with fewer than three repetitions; over splits where each repetition has one of
        its own), best (the lowest value, or highest where that is better), p_adjusted (that it differs from the best;
        a paired t over the same, Holm within the budget; NaN for the best itself, and with fewer than three
        repetitions), shown (that it is worse) and metric.
        The best is chosen on the same data: with many near ties its lead looks a little too sure.

    Example:
        >>> from ensemble_vs_dropout import Predictions
        >>> rng = np.random.default_rng(0)
        >>> arms = {"ensemble": Predictions(rng.dirichlet([3, 1], (4, 60)))}
        >>> cost = pd.DataFrame({"arm": ["ensemble"], "passes": [4.0]})
        >>> equal_cost(arms, np.zeros(60, int), cost, "brier", axes=["passes"]).members.tolist()
        [4]
    """
    costs = cost.set_index("arm")
    known = [arm for arm in arms if arm in costs.index]
    if not known or not axes or costs.index.has_duplicates:
        raise InputError(
            f"cost must have one row for some of the arms {list(arms)}, got {costs.index.tolist()}, and axes must name "
            f"at least one of its columns, got {list(axes)}"
        )
    runs, truths = _checked({arm: arms[arm] for arm in known}, labels, metric, level)
    check_share(test_share, labels)
    by_passes = growing("passes") if sampled is None else sampled
    offers = _offers({arm: each[0].members for arm, each in runs.items()}, costs, by_passes, axes)
    curves: dict[str, list[SubsetCurve]] = {}
    for arm, each in runs.items():
        sizes = sorted({offer.members for offer in offers if offer.arm == arm})
        pairs = zip(each, truths, strict=True)
        curves[arm] = [subset_curves(*pair, [metric], "mean", sizes, subsets, seed)[metric] for pair in pairs]
    places = {pair: i for i, pair in enumerate((arm, size) for arm in known for size in curves[arm][0].sizes)}
    sign = -1.0 if METRICS[metric].higher_is_better else 1.0
    columns = sign * np.stack(
        [
            np.concatenate([_of_all_networks(runs[arm][r], curves[arm][r], truth, metric) for arm in known])
            for r, truth in enumerate(truths)
        ]
    )
    tables = []
    for axis in axes:
        for budget in sorted({offer.budget for offer in offers if offer.axis == axis}):
            rows = [offer for offer in offers if (offer.axis, offer.budget) == (axis, budget)]
            at = [places[offer.arm, offer.members] for offer in rows]
            tables.append(_ranked(rows, columns[:, at], sign, level, test_share))
    if not tables:
        raise InputError(f"cost must know at least one of {', '.join(axes)} for some arm, got NaN for all")
    return pd.concat(tables, ignore_index=True).assign(metric=metric)


def _of_all_networks(run: Predictions, curve: SubsetCurve, labels: IntArray, metric: str) -> FloatArray:
    """Return each example's score at every size, (sizes, examples); that of all members counts further networks too."""
    scores = np.array(curve.of_examples)
    others = [METRICS[metric].function(probs, labels) for probs in run.further.get("mean", ())]
    if others and curve.sizes[-1] == run.members:
        scores[-1] = np.mean([scores[-1], *others], axis=0)
    return scores


@dataclass(frozen=True)
class _Offer:
    axis: str
    budget: float
    arm: str
    members: int
    cost: float


def _offers(
    members: Mapping[str, int], costs: pd.DataFrame, sampled: Collection[str], axes: Sequence[str]
) -> list[_Offer]:
    """Return what size of each arm every budget pays for."""
    offers = []
    for axis in axes:
        if axis not in costs.columns:
            raise InputError(f"cost must have the column {axis!r}, got {list(costs.columns)}")
        whole = costs[axis].astype(float)
        priced = [arm for arm in members if np.isfinite(whole[arm])]  # what was not measured takes no part
        for budget in sorted({float(whole[arm]) for arm in priced}):
            for arm in priced:
                size = members[arm]
                grows = arm not in sampled or axis in ("passes", "predict_seconds", "multiply_adds")
                free = not grows or whole[arm] == 0
                paid = size if free else min(size, int(budget / whole[arm] * size + 1e-9))
                price = whole[arm] * (paid / size if grows else 1.0)
                if paid >= 1 and price <= budget * (1 + 1e-9):
                    offers.append(_Offer(axis, budget, arm, paid, float(price)))
    return offers


def _ranked(
    rows: list[_Offer], columns: FloatArray, sign: float, level: float, test_share: float | None
) -> pd.DataFrame:
    """Return the arms of one budget beside the best, from (repetitions, arms, examples); lower is better."""
    scored = [
        outcome_of_examples(row.arm, "mean", row.members, "", columns[:, [i]], test_share) for i, row in enumerate(rows)
    ]
    values = np.array([one.value for one in scored])
    best = int(values.argmin())
    known = np.isfinite(values) & (np.arange(len(rows)) != best) & (len(columns) >= LEAST)
    differences = [one.minus(scored[best]) if able else None for one, able in zip(scored, known, strict=True)]
    p_adjusted = holm([d.spread().p_value(d.value) if d else np.nan for d in differences])
    table = pd.DataFrame([vars(row) for row in rows])
    bounds = [sorted(sign * bound for bound in one.interval(level)) for one in scored]
    table["value"], table[["low", "high"]] = sign * values, bounds
    table["best"], table["p_adjusted"] = np.arange(len(rows)) == best, p_adjusted
    table["shown"] = (p_adjusted < 1 - level) | (np.isposinf(values) & np.isfinite(values[best]))
    return table


def _checked(
    arms: Arms, labels: npt.ArrayLike, metric: str, level: float
) -> tuple[dict[str, list[Predictions]], list[IntArray]]:
    if not METRICS[check_known("metric", metric, METRICS)].per_example:
        usable = ", ".join(name for name, known in METRICS.items() if known.per_example)
        raise InputError(f"{metric!r} is no mean of examples, which is needed here; take one of {usable}")
    if not 0 < level < 1:
        raise InputError(f"level must lie between 0 and 1, got {level!r}")
    return check_labelled(arms, labels, same_members=True)


def resampled(columns: FloatArray, resamples: int, seed: int) -> Iterator[FloatArray]:
    """Yield draws of the mean of each column, (resamples, columns), from (repetitions, columns, examples)."""
    repetitions, count, examples = columns.shape
    rows = columns.reshape(-1, examples).T
    for of_examples, of_repetitions in resampled_weights(seed, examples, repetitions, resamples):
        yield row_means(of_repetitions, weighted_means(of_examples, rows).reshape(-1, repetitions, count))


def worth_of(curves: FloatArray, values: FloatArray, sizes: FloatArray) -> FloatArray:
    """Return where each value is reached on its row's curve; lower is better: (rows, sizes), (rows, arms) -> as values.

    The curve counts as the best so far; beyond its last point the worth is infinite, and before its first it is 1.
    """
    best = np.minimum.accumulate(curves, axis=1)
    with np.errstate(invalid="ignore"):
        margin = _ROUNDING * np.maximum(1.0, np.abs(values))
        reached = best[:, None, :] <= (values + margin)[:, :, None]
    at = reached.argmax(axis=2)
    before = np.maximum(at - 1, 0)
    left, right = np.take_along_axis(best, before, axis=1), np.take_along_axis(best, at, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(left > right, (left - values) / (left - right), 1.0)
    share = np.clip(np.where(np.isnan(share), 1.0, share), 0.0, 1.0)
    worth = sizes[before] + share * (sizes[at] - sizes[before])
    return np.where(reached.any(axis=2), worth, np.inf)
