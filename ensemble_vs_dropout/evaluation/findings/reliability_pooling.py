"""Should members be calibrated before they are pooled, or the pool afterwards?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ensemble_vs_dropout.checks import InputError, check_at_least
from ensemble_vs_dropout.evaluation.findings.base import Fact, Finding
from ensemble_vs_dropout.evaluation.outcomes import Pooled, check_arms, evaluate
from ensemble_vs_dropout.measures import METRICS, aggregate
from ensemble_vs_dropout.measures.calibration import BINS, reliability
from ensemble_vs_dropout.measures.temperature import (
    apply_temperature,
    calibrate_then_pool,
    fit_temperature,
    pool_then_calibrate,
)
from ensemble_vs_dropout.types import FloatArray, IntArray, Predictions, check_labels

WAYS = ("single", "single_calibrated", "pool", "calibrate_then_pool", "pool_then_calibrate")
DIAGRAMS = tuple(way for way in WAYS if way != "single_calibrated")
BARS = ("nll", "ece")
EDGES = ["left", "right", "count", "share", "confidence"]


def reliability_pooling(
    val: Predictions | Sequence[Predictions],
    val_labels: npt.ArrayLike,
    test: Predictions | Sequence[Predictions],
    test_labels: npt.ArrayLike,
    *,
    bins: int = BINS,
    resamples: int = 1000,
    seed: int = 0,
) -> Finding:
    """Return reliability diagrams of members alone and of their pool, calibrated before, after or not, and NLL and ECE.

    A temperature (Guo et al., 2017) is fitted to each member, or to the pool (Rahaman and Thiery, 2021; Wu and Gales,
    2021). The pool's own keeps its labels, hence its accuracy, and does not raise its NLL where it is fitted. The pool
    is no more confident than its members on average.

    Args:
        val: The members' predictions on validation data, to which temperatures are fitted, of shape (members,
            examples, classes); one, or one for each repetition.
        val_labels: Shape (validation examples,).
        test: The same members' on test data.
        test_labels: Shape (test examples,).
        bins: Of equal width in a diagram; the ECE has its own 15.
        resamples: Bootstrap resamples of the test examples, and of the repetitions where there are several.
        seed: Of the resamples.

    Returns:
        A table of the columns panel (a way of `DIAGRAMS`, or "nll", "ece"), way (of `WAYS`), left, right (edges of the
        bin of confidence; NaN in the last two panels), count (of predictions in the bin), share (of all), confidence
        (their mean), value (their accuracy, NaN in an empty bin; or the NLL in nats or the ECE), low, high (95 %
        bootstrap; NaN in diagrams). Told: `members`, `repetitions` and `validation_examples`.

    Raises:
        InputError: Predictions that do not fit each other or their labels, or a single member.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> val, test = (Predictions(rng.dirichlet([1, 1], (3, 60))) for _ in range(2))
        >>> found = reliability_pooling(val, np.arange(60) % 2, test, np.arange(60) % 2, resamples=100)
        >>> found.table.groupby("panel", sort=False).size().to_dict()
        {'single': 15, 'pool': 15, 'calibrate_then_pool': 15, 'pool_then_calibrate': 15, 'nll': 5, 'ece': 5}
    """
    truth, val_truth = np.asarray(test_labels), np.asarray(val_labels)
    runs = check_arms({"test": test}, len(truth), same_members=True)["test"]
    fitting = check_arms({"val": val}, len(val_truth), same_members=True)["val"]
    shapes = [(len(part), part[0].members, part[0].classes) for part in (fitting, runs)]
    if shapes[0] != shapes[1]:
        raise InputError(
            "val and test must be of the same repetitions, members and classes, "
            f"got {shapes[0]} and {shapes[1]} of them"
        )
    members = runs[0].members
    if members == 1:
        raise InputError("val and test must be of at least 2 members to pool, got 1")
    for part in (truth, val_truth):
        check_labels(part, runs[0].classes)
    check_at_least("resamples", resamples, 100)
    each = [_predict(fit, val_truth, run) for fit, run in zip(fitting, runs, strict=True)]
    rows: list[list[Any]] = []
    confidence = accuracy = np.nan
    for way in DIAGRAMS:
        trials = [probs for run in each for probs in run[way]]
        everything, answers = np.concatenate(trials), np.tile(truth, len(trials))
        table = reliability(everything, answers, bins)
        if way == "calibrate_then_pool":
            confidence = float(everything.max(axis=1).mean())
            accuracy = 1 - METRICS["error"].value(everything, answers)
        table.insert(3, "share", table["count"] / len(answers))
        rows += [[way, way, *part, np.nan, np.nan] for part in table.itertuples(index=False)]
    pooled = [Pooled("pool", way, members, [run[way] for run in each]) for way in WAYS]
    for one in evaluate(pooled, truth, {name: METRICS[name] for name in BARS}, resamples, seed):
        rows.append([one.metric, one.rule, *[np.nan] * len(EDGES), one.value, *one.interval()])
    table = pd.DataFrame(rows, columns=["panel", "way", *EDGES, "value", "low", "high"])
    return Finding(
        table,
        facts=tuple(_facts(table, confidence, accuracy)),
        told={"members": members, "repetitions": len(runs), "validation_examples": len(val_truth)},
    )


def _predict(val: Predictions, val_labels: IntArray, test: Predictions) -> dict[str, list[FloatArray]]:
    """Return the test predictions in each way, a list of several where each member stands for itself."""
    fitted = [fit_temperature(member, val_labels) for member in val.probs]
    before = calibrate_then_pool(val.probs, val_labels, test.probs, "mean", test.weights)
    after = pool_then_calibrate(val.probs, val_labels, test.probs, "mean", test.weights)
    return {
        "single": [member.astype(np.float64) for member in test.probs],
        "single_calibrated": [apply_temperature(*pair) for pair in zip(test.probs, fitted, strict=True)],
        "pool": [aggregate(test.probs, "mean", test.weights)],
        "calibrate_then_pool": [before],
        "pool_then_calibrate": [after],
    }


def _facts(table: pd.DataFrame, confidence: float, accuracy: float) -> Iterator[Fact]:
    yield Fact(
        "The pool of calibrated members is less confident than right",
        confidence < accuracy,
        f"mean confidence {100 * confidence:.2f} %, accuracy {100 * accuracy:.2f} %",
    )
    bars = table[table["panel"] == "nll"].set_index("way")["value"]
    late, early = bars["pool_then_calibrate"], bars["calibrate_then_pool"]
    yield Fact(
        "To calibrate the pool gives an NLL at most that of pooling calibrated members",
        bool(late <= early),
        f"{late:.4f} and {early:.4f} nats",
    )
