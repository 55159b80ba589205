"""Should members be calibrated before they are pooled, or the pool afterwards?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ensemble_vs_dropout.checks import InputError, check_at_least
from ensemble_vs_dropout.evaluation.findings.base import Fact, Finding
from ensemble_vs_dropout.evaluation.findings.judging import judge, of_examples
from ensemble_vs_dropout.evaluation.outcomes import evaluate
from ensemble_vs_dropout.evaluation.pooling import Pooled, check_arms
from ensemble_vs_dropout.measures import METRICS, aggregate, error, nll
from ensemble_vs_dropout.measures.calibration import BINS, reliability
from ensemble_vs_dropout.measures.temperature import (
    apply_temperature,
    calibrate_then_pool,
    fit_temperature,
    pool_then_calibrate,
)
from ensemble_vs_dropout.seeds import stream
from ensemble_vs_dropout.types import FloatArray, IntArray, Predictions, check_labels

WAYS = ("single", "single_calibrated", "pool", "calibrate_then_pool", "pool_then_calibrate")
DIAGRAMS = tuple(way for way in WAYS if way != "single_calibrated")
BARS = ("nll", "ece")
EDGES = ["left", "right", "count", "share", "confidence"]


def reliability_pooling(
    test: Predictions | Sequence[Predictions],
    labels: npt.ArrayLike,
    *,
    bins: int = BINS,
    resamples: int = 1000,
    seed: int = 0,
) -> Finding:
    """Return reliability diagrams of members alone and of their pool, calibrated before, after or not, and NLL and ECE.

    A temperature (Guo et al., 2017) is fitted to each member, or to the pool (Rahaman and Thiery, 2021; Wu and Gales,
    2021). The pool's own keeps its labels, hence its accuracy, and does not raise its NLL where it is fitted. The pool
    is no more confident than its members on average.

    Temperatures are fitted by cross-validation within the test data: each half of them, drawn at random, has those that
    were fitted to the other half. To validation data that stopped the training, members look better than they are.

    Args:
        test: The members' predictions on test data, of shape (members, examples, classes); one, or one for each
            repetition.
        labels: Shape (examples,), at least 2.
        bins: Of equal width in a diagram; the ECE has its own 15.
        resamples: Bootstrap resamples of the test examples, behind the interval of the ECE.
        seed: Of the halves and the resamples.

    Returns:
        A table of the columns panel (a way of `DIAGRAMS`, or "nll", "ece"), way (of `WAYS`), left, right (edges of the
        bin of confidence; NaN in the last two panels), count (of predictions in the bin), share (of all), confidence
        (their mean), value (their accuracy, NaN in an empty bin; or the NLL in nats or the ECE), low, high (95 %,
        over examples, and over training again where there are three networks or pools; NaN in diagrams). Told:
        `members`, `repetitions` and `examples`.

    Raises:
        InputError: Predictions that do not fit each other or their labels, or a single member.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> test = Predictions(rng.dirichlet([1, 1], (3, 60)))
        >>> found = reliability_pooling(test, np.arange(60) % 2, resamples=100)
        >>> found.table.groupby("panel", sort=False).size().to_dict()
        {'single': 15, 'pool': 15, 'calibrate_then_pool': 15, 'pool_then_calibrate': 15, 'nll': 5, 'ece': 5}
    """
    truth = np.asarray(labels)
    runs = check_arms({"test": test}, len(truth), same_members=True)["test"]
    members = runs[0].members
    if members == 1:
        raise InputError("test must be of at least 2 members to pool, got 1")
    check_labels(truth, runs[0].classes)
    check_at_least("number of labels", len(truth), 2)
    check_at_least("resamples", resamples, 100)
    half = stream(seed, "halves", 0).permutation(len(truth)) % 2 == 0
    each = [predict_in_each_way(run, truth, half) for run in runs]
    rows: list[list[Any]] = []
    for way in DIAGRAMS:
        trials = [probs for run in each for probs in run[way]]
        everything, answers = np.concatenate(trials), np.tile(truth, len(trials))
        table = reliability(everything, answers, bins)
        table.insert(3, "share", table["count"] / len(answers))
        rows += [[way, way, *part, np.nan, np.nan] for part in table.itertuples(index=False)]
    pooled = [Pooled("pool", way, members, [run[way] for run in each]) for way in WAYS]
    for one in evaluate(pooled, truth, {name: METRICS[name] for name in BARS}, resamples, seed):
        rows.append([one.metric, one.rule, *[np.nan] * len(EDGES), one.value, *one.interval()])
    table = pd.DataFrame(rows, columns=["panel", "way", *EDGES, "value", "low", "high"])
    return Finding(
        table,
        facts=tuple(_facts(each, truth)),
        told={"members": members, "repetitions": len(runs), "examples": len(truth)},
    )


def predict_in_each_way(run: Predictions, labels: IntArray, half: npt.NDArray[np.bool_]) -> dict[str, list[FloatArray]]:
    """Return the predictions in each way, a list of several where each member stands for itself.

    Each half of the examples has temperatures that were fitted to the other.
    """
    singles = np.empty(run.probs.shape)
    before, after = np.empty((2, *run.probs.shape[1:]))
    for own in (half, ~half):
        fit, answers, given = run.probs[:, ~own], labels[~own], run.probs[:, own]
        singles[:, own] = [
            apply_temperature(member, fit_temperature(of_fit, answers))
            for member, of_fit in zip(given, fit, strict=True)
        ]
        before[own] = calibrate_then_pool(fit, answers, given, "mean", run.weights)
        after[own] = pool_then_calibrate(fit, answers, given, "mean", run.weights)
    return {
        "single": [member.astype(np.float64) for member in run.probs],
        "single_calibrated": list(singles),
        "pool": [aggregate(run.probs, "mean", run.weights)],
        "calibrate_then_pool": [before],
        "pool_then_calibrate": [after],
    }


def _facts(each: Sequence[Mapping[str, Sequence[FloatArray]]], labels: IntArray) -> Iterator[Fact]:
    early, late = ([run[way][0] for run in each] for way in ("calibrate_then_pool", "pool_then_calibrate"))
    confidence = np.stack([probs.max(axis=1) for probs in early])
    right = 1 - np.stack([error(probs, labels) for probs in early])
    surer = of_examples(right - confidence)
    yield judge(
        "The pool of calibrated members is less confident than right",
        surer.above(),
        f"mean confidence {100 * confidence.mean():.2f} %, accuracy {100 * right.mean():.2f} %; {surer.words(100)} "
        "points",
    )
    losses = [np.stack([nll(probs, labels) for probs in way]) for way in (late, early)]
    with np.errstate(invalid="ignore"):  # two infinite losses
        lower = of_examples(losses[0] - losses[1])
    yield judge(
        "To calibrate the pool gives a lower NLL than to pool calibrated members",
        lower.below(),
        f"{losses[0].mean():.4f} and {losses[1].mean():.4f} nats; {lower.words(digits=4)}",
    )
