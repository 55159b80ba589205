"""Should members be averaged or counted as votes?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ensemble_vs_dropout.checks import InputError, check_at_least
from ensemble_vs_dropout.evaluation.arms import RULE_LABELS, arm_label
from ensemble_vs_dropout.evaluation.findings.base import Fact, Finding
from ensemble_vs_dropout.evaluation.findings.judging import MARGINS, every, floor, judge, of_examples
from ensemble_vs_dropout.evaluation.outcomes import evaluate
from ensemble_vs_dropout.evaluation.pooling import Arms, check_arms, pool
from ensemble_vs_dropout.evaluation.sizes import SIZES
from ensemble_vs_dropout.measures import METRICS, RULES, error, predict_labels
from ensemble_vs_dropout.measures.aggregation import Pool
from ensemble_vs_dropout.measures.resampling import bootstrap_weights, percentile_interval
from ensemble_vs_dropout.seeds import stream
from ensemble_vs_dropout.types import FloatArray, IntArray, Predictions, check_labels

COMPARED = ("mean", "geometric_mean", "majority_vote", "confidence_vote")
AVERAGES = ("mean", "geometric_mean")  # of probabilities and of logits; a vote's NLL is mostly infinite


def combiner_comparison(
    arms: Arms,
    labels: npt.ArrayLike,
    *,
    sizes: Sequence[int] = SIZES,
    subsets: int = 50,
    resamples: int = 1000,
    seed: int = 0,
) -> Finding:
    """Compare the error under four rules at each number of members, and the NLL of two averages of the whole pool.

    With ties broken at random, a vote of one or of two members errs as much as the mean member. The NLL of the
    geometric mean is its members' mean less their mean divergence from it (Wood et al., 2023), and that of the mean is
    at most its members' mean (Jensen).

    Args:
        arms: Members of each arm, one `Predictions` of shape (members, examples, classes), or one for each repetition;
            arms of one member, for which all rules are alike, are left out.
        labels: Shape (examples,).
        sizes: Numbers of members; those beyond a pool are left out; 1, 2 and the pool's own are always there.
        subsets: Of the members at each size, about.
        resamples: Bootstrap resamples of the examples, for the errors.
        seed: Of subsets and resamples.

    Returns:
        A table of the columns panel ("error", a fraction, or "nll", in nats), arm, rule, members, value (the error is
        the mean over subsets of that size), low, high (95 %; of the errors a bootstrap of the examples, for the mean
        alone; of the NLL over examples, and over training again from three repetitions on). Told: `repetitions`.

    Raises:
        InputError: No arm of several members, weights, or predictions that do not fit each other or the labels.

    Example:
        >>> members = Predictions(np.array([[[0.6, 0.4]], [[0.1, 0.9]]]))
        >>> found = combiner_comparison({"ensemble": members}, [1], resamples=100).table
        >>> found[found.panel == "error"].pivot(index="rule", columns="members", values="value")[2].to_dict()
        {'confidence_vote': 0.0, 'geometric_mean': 0.0, 'majority_vote': 0.5, 'mean': 0.0}
    """
    truth = np.asarray(labels)
    runs = check_arms(arms, len(truth), same_members=True)
    several = {arm: each for arm, each in runs.items() if each[0].members > 1}
    if not several:
        raise InputError(f"arms must hold one of at least 2 members to combine, got one in each of {list(runs)}")
    if weighted := [arm for arm, each in several.items() if any(run.weights is not None for run in each)]:
        raise InputError(f"arms must have members of equal weight, but {weighted[0]!r} has weights")
    for name, value, least in (("subsets", subsets, 1), ("resamples", resamples, 100)):
        check_at_least(name, value, least)
    wanted = {check_at_least("sizes", size, 1) for size in sizes}
    check_labels(truth, next(iter(several.values()))[0].classes)
    resampled = bootstrap_weights(stream(seed, "bootstrap"), len(truth), resamples)
    rows: list[list[Any]] = []
    facts: list[Fact] = []
    for arm, each in several.items():
        members = each[0].members
        taken = sorted({size for size in wanted if size < members} | {1, 2, members})
        curves = {rule: np.array([_curve(run, rule, truth, taken, subsets, seed) for run in each]) for rule in COMPARED}
        for rule, of_runs in curves.items():
            for size, wrong in zip(taken, of_runs.mean(axis=0), strict=True):
                draws = resampled @ wrong if rule == "mean" else np.array([np.nan])
                rows.append(["error", arm, rule, size, wrong.mean(), *percentile_interval(draws)])
        facts += _facts(arm, curves, taken)
    pooled = list(pool(several, dict.fromkeys(several, AVERAGES), truth))
    for one in evaluate(pooled, truth, {"nll": METRICS["nll"]}, resamples, seed):
        rows.append(["nll", one.arm, one.rule, one.members, one.value, *one.interval()])
    table = pd.DataFrame(rows, columns=["panel", "arm", "rule", "members", "value", "low", "high"])
    return Finding(
        table,
        facts=tuple(facts),
        told={"repetitions": len(next(iter(several.values())))},
    )


def _curve(run: Predictions, rule: str, labels: IntArray, sizes: Sequence[int], subsets: int, seed: int) -> FloatArray:
    """Return each example's error, mean over subsets of each size: (sizes, examples)."""
    pooling = RULES[rule]
    assert isinstance(pooling, Pool)
    terms = np.stack([pooling.of(member, partial(predict_labels, member)) for member in run.probs]).astype(np.float64)
    curve = []
    for size in sizes:
        chosen = list(_subsets(run.members, size, subsets, seed))
        pooled = (pooling.finish(terms[subset].sum(axis=0) / size, size) for subset in chosen)
        curve.append(sum(error(probs, labels, ties="expected") for probs in pooled) / len(chosen))
    return np.array(curve)


def _subsets(members: int, size: int, subsets: int, seed: int) -> Iterator[IntArray]:
    """Yield neighbours in random circles of the members; of one and of two, each member is in equally many."""
    rng = stream(seed, "circles")
    for _ in range(max(1, subsets // members) if size < members else 1):
        circle = rng.permutation(members)
        step = 1 if size <= 2 else max(1, members // subsets)
        for start in range(0, members if size < members else 1, step):
            yield np.roll(circle, -start)[:size]


def _facts(arm: str, curves: Mapping[str, FloatArray], sizes: Sequence[int]) -> Iterator[Fact]:
    """Return what is expected of an arm; curves are (repetitions, sizes, examples)."""
    name, margin = arm_label(arm), MARGINS["error"]
    of_rules = {rule: curves[rule] for rule in ("mean", "geometric_mean", "majority_vote")}
    two = {rule: of_runs[:, sizes.index(2)] for rule, of_runs in of_rules.items()}
    more = [of_examples(two["majority_vote"] - two[rule]).above() for rule in ("mean", "geometric_mean")]
    words = ", ".join(f"{RULE_LABELS[rule]} {100 * wrong.mean():.2f} %" for rule, wrong in two.items())
    yield judge(f"{name}: of two members, the vote errs most", every(*more), words)
    size = 10 if 10 in sizes else sizes[-1]
    many = [of_runs[:, sizes.index(size)] for of_runs in of_rules.values()]
    low = floor(margin, *(wrong.mean() for wrong in many))
    apart = [of_examples(one - other).unless(low) for one, other in combinations(many, 2)]
    furthest = max(apart, key=lambda estimate: abs(estimate.value))
    yield judge(
        f"{name}: with {size} members the three rules err alike, within {100 * margin:g} points",
        every(*(estimate.within(margin) for estimate in apart)),
        f"furthest apart {furthest.words(100)} points",
    )
