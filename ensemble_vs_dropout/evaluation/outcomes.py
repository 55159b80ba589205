"""One arm, rule and metric: its value, and its value in each bootstrap resample.

All outcomes share the same resamples, so that the difference of two outcomes is paired draw by draw. With one
repetition the examples are resampled; with several, repetitions and examples are, independently of each other, because
all repetitions are tested on the same examples (a crossed design; Owen, 2007, "The pigeonhole bootstrap").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation.arms import EACH
from ensemble_vs_dropout.measures.aggregation import aggregate
from ensemble_vs_dropout.measures.metrics import Metric
from ensemble_vs_dropout.measures.statistics import bootstrap_weights, weighted_means
from ensemble_vs_dropout.seeds import stream
from ensemble_vs_dropout.types import FloatArray, IntArray, Predictions

Arms = Mapping[str, Predictions | Sequence[Predictions]]
_CHUNK = 500  # resamples at a time: bounds the memory of their weights


@dataclass(frozen=True)
class Outcome:
    """Attributes: what it is of, its value, its draws, and the per-example errors where each is 0 or 1."""

    arm: str
    rule: str
    members: int
    metric: str
    value: float
    draws: FloatArray
    wrong: FloatArray | None = None


@dataclass(frozen=True)
class Pooled:
    """One arm under one rule: `trials[repetition][trial]` of shape (examples, classes).

    There is one trial for a combined prediction; under the rule "each" every member is a trial, and the metric, not
    the prediction, is averaged over them.
    """

    arm: str
    rule: str
    members: int
    trials: list[list[FloatArray]]


def pool(arms: Arms, rules: Mapping[str, Sequence[str]], labels: IntArray) -> Iterator[Pooled]:
    """Combine each arm's members by each of its rules."""
    repetitions = classes = None
    for arm, given in arms.items():
        runs = [given] if isinstance(given, Predictions) else list(given)
        if not runs or any(run.examples != len(labels) for run in runs):
            sizes = [run.examples for run in runs]
            raise InputError(f"arm {arm!r} must predict the {len(labels)} labelled examples, got {sizes or 'nothing'}")
        if repetitions not in (None, len(runs)):
            raise InputError(f"all arms must have the same repetitions, got {repetitions} and {len(runs)} ({arm!r})")
        repetitions = len(runs)
        if {run.classes for run in runs} != {classes or runs[0].classes}:
            raise InputError(f"all arms must have the same classes, got {classes} and {runs[0].classes} ({arm!r})")
        classes, members = runs[0].classes, runs[0].members
        combining = [rule for rule in rules[arm] if rule != EACH]
        only = "mean" if "mean" in combining else next(iter(combining), None)
        for rule in rules[arm]:
            if rule == EACH:
                yield Pooled(arm, rule, 1, [[p.astype(np.float64) for p in run.probs] for run in runs])
            elif members > 1 or rule == only:  # one member has nothing to combine
                yield Pooled(arm, rule, members, [[aggregate(run.probs, rule, run.weights)] for run in runs])


def evaluate(
    pooled: Sequence[Pooled], labels: IntArray, metrics: Mapping[str, Metric], resamples: int, seed: int
) -> list[Outcome]:
    """Return every outcome with `resamples` draws."""
    draws: dict[tuple[int, str], list[FloatArray]] = {(i, name): [] for i in range(len(pooled)) for name in metrics}
    rows = {
        (i, name): [[metric.rows(trial, labels) for trial in trials] for trials in pooled[i].trials]
        for i, name in draws
        for metric in [metrics[name]]
    }
    rng = stream(seed, "bootstrap")
    repetitions = len(pooled[0].trials)
    for start in range(0, resamples, _CHUNK):
        size = min(_CHUNK, resamples - start)
        examples = bootstrap_weights(rng, len(labels), size)
        repeats = bootstrap_weights(rng, repetitions, size)
        for (i, name), runs in rows.items():
            of_run = [
                np.mean([_resampled(metrics[name], row, trial, labels, examples) for row, trial in pairs], axis=0)
                for pairs in (zip(runs[r], pooled[i].trials[r], strict=True) for r in range(repetitions))
            ]
            draws[i, name].append(_row_means(repeats, np.stack(of_run, axis=1)))
    outcomes = []
    for (i, name), chunks in draws.items():
        one, metric = pooled[i], metrics[name]
        value = float(np.mean([[metric.value(trial, labels) for trial in trials] for trials in one.trials]))
        drawn = np.concatenate(chunks)
        if not metric.per_example:
            drawn = _centred(drawn, value)
        wrong = _binary(rows[i, name]) if name == "error" else None
        outcomes.append(Outcome(one.arm, one.rule, one.members, name, value, drawn, wrong))
    return outcomes


def _resampled(
    metric: Metric, rows: FloatArray | None, probs: FloatArray, labels: IntArray, weights: FloatArray
) -> FloatArray:
    if rows is None:
        return _slowly(metric, probs, labels, weights)
    return metric.from_mean_rows(weighted_means(weights, rows))


def _centred(draws: FloatArray, value: float) -> FloatArray:
    """Take off the bootstrap's estimate of the bias of a measure that is no mean, such as the ECE.

    Resampling adds noise to every bin and so raises the ECE; without this its interval could lie above its value. A
    measure that is never negative stays so.
    """
    shifted = draws + (value - draws.mean())
    return np.maximum(shifted, 0.0) if draws.min() >= 0 else shifted


def _row_means(weights: FloatArray, values: FloatArray) -> FloatArray:
    return np.asarray(np.where(weights > 0, weights * np.where(weights > 0, values, 0.0), 0.0).sum(axis=1))


def _slowly(metric: Metric, probs: FloatArray, labels: IntArray, weights: FloatArray) -> FloatArray:
    """Evaluate on each resample itself: for metrics without rows, and the obvious twin of those with."""
    counts = np.rint(weights * len(labels)).astype(int)
    picks = (np.repeat(np.arange(len(labels)), count) for count in counts)
    return np.array([metric.value(probs[pick], labels[pick]) for pick in picks])


def _binary(rows: list[list[FloatArray | None]]) -> FloatArray | None:
    """Return per-example errors if there is one prediction only, so that they are 0 or 1."""
    return rows[0][0][:, 0] if len(rows) == 1 and len(rows[0]) == 1 and rows[0][0] is not None else None
