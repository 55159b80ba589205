"""One arm, rule and metric: its value, and its value in each bootstrap resample.

All outcomes share the same resamples, so that the difference of two outcomes is paired draw by draw. With one
repetition the examples are resampled; with several, repetitions and examples are, independently of each other, because
all repetitions are tested on the same examples (a crossed design; Owen, 2007, "The pigeonhole bootstrap").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation.arms import EACH
from ensemble_vs_dropout.measures.aggregation import aggregate
from ensemble_vs_dropout.measures.detection import DETECTORS, detection, strangeness
from ensemble_vs_dropout.measures.metrics import Metric
from ensemble_vs_dropout.measures.resampling import bootstrap_weights, jackknife_weights, weighted_means
from ensemble_vs_dropout.seeds import stream
from ensemble_vs_dropout.types import FloatArray, IntArray, Predictions, check_labels

Arms = Mapping[str, Predictions | Sequence[Predictions]]
_CHUNK = 500  # resamples at a time: bounds the memory of their weights
_KEPT = 2**27  # weights that are kept for the next call, a byte each: 128 MiB


@dataclass(frozen=True)
class Outcome:
    """The value of one arm, rule and metric, and what its interval is made from.

    Attributes:
        draws: Its value in each bootstrap resample.
        jackknife: Its values with groups of examples left out, and with single repetitions: what a BCa interval needs.
            Empty without need, and for measures that are no means, whose centred draws have no bias to correct.
        wrong: The per-example errors where each is 0 or 1.
    """

    arm: str
    rule: str
    members: int
    metric: str
    value: float
    draws: FloatArray
    jackknife: tuple[FloatArray, ...]
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


def runs_of(given: Predictions | Sequence[Predictions]) -> list[Predictions]:
    """Return an arm's predictions, one for each repetition."""
    return [given] if isinstance(given, Predictions) else list(given)


def check_arms(arms: Arms, examples: int | None = None, same_members: bool = False) -> dict[str, list[Predictions]]:
    """Return the predictions of each arm and repetition, or raise `InputError`.

    Args:
        arms: All must have the same repetitions, examples and classes.
        examples: How many there must be, one for each label.
        same_members: Whether the repetitions of an arm must have the same number of members.
    """
    if not arms:
        raise InputError("arms must hold at least one arm, got none")
    checked: dict[str, list[Predictions]] = {}
    for arm, given in arms.items():
        runs = runs_of(given)
        if not all(isinstance(run, Predictions) for run in runs):
            raise InputError(
                f"arm {arm!r} must be Predictions, or a list with one for each repetition, got {type(given).__name__}; "
                "probabilities of shape (members, examples, classes) become such by Predictions(probs)"
            )
        sizes = [run.examples for run in runs]
        wanted = examples if examples is not None else next(iter(checked.values()), runs)[0].examples if runs else 0
        if not runs or set(sizes) != {wanted}:
            raise InputError(f"arm {arm!r} must predict the {wanted} labelled examples, got {sizes or 'nothing'}")
        others = next(iter(checked.values()), runs)
        if len(runs) != len(others):
            raise InputError(f"all arms must have the same repetitions, got {len(others)} and {len(runs)} ({arm!r})")
        classes = {run.classes for run in runs}
        if classes != {others[0].classes}:
            raise InputError(f"all arms must have the same classes, got {others[0].classes} and {classes} ({arm!r})")
        if same_members and len({run.members for run in runs}) > 1:
            raise InputError(
                f"arm {arm!r} must have the same members in each repetition, got {[run.members for run in runs]}"
            )
        checked[arm] = runs
    return checked


def pool(arms: Arms, rules: Mapping[str, Sequence[str]], labels: IntArray) -> Iterator[Pooled]:
    """Combine each arm's members by each of its rules."""
    for arm, runs in check_arms(arms, len(labels)).items():
        check_labels(labels, runs[0].classes)
        members = runs[0].members
        combining = [rule for rule in rules[arm] if rule != EACH]
        only = "mean" if "mean" in combining else next(iter(combining), None)
        for rule in rules[arm]:
            if rule == EACH:
                yield Pooled(arm, rule, 1, [[p.astype(np.float64) for p in run.probs] for run in runs])
            elif members > 1 or rule == only:  # one member has nothing to combine
                yield Pooled(arm, rule, members, [[aggregate(run.probs, rule, run.weights)] for run in runs])


def evaluate(
    pooled: Sequence[Pooled],
    labels: IntArray,
    metrics: Mapping[str, Metric],
    resamples: int,
    seed: int,
    jackknife: bool = False,
) -> list[Outcome]:
    """Return every outcome with `resamples` draws; those of measures that are no means are centred."""
    repetitions = len(pooled[0].trials)
    measured = _Measured(pooled, labels, metrics)
    few = resamples * len(labels) <= _KEPT
    weights = (kept_weights if few else resampled_weights)(seed, len(labels), repetitions, resamples)
    draws = np.concatenate([measured(*pair) for pair in weights], axis=1)
    left_out = [measured(*pair) for pair in _leaving_out(len(labels), repetitions)] if jackknife else []
    outcomes = []
    for number, (one, name) in enumerate(measured.keys):
        metric = metrics[name]
        value = measured.value(number)
        drawn = draws[number] if metric.per_example else _centred(draws[number], value)
        wrong = measured.binary(number) if metric.per_example else None
        without = tuple(values[number] for values in left_out) if metric.per_example else ()
        outcomes.append(Outcome(one.arm, one.rule, one.members, name, value, drawn, without, wrong))
    return outcomes


def resampled_weights(
    seed: int, examples: int, repetitions: int, resamples: int
) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Yield the weights of examples and repetitions, some resamples at a time."""
    rng = stream(seed, "bootstrap")
    for start in range(0, resamples, _CHUNK):
        size = min(_CHUNK, resamples - start)
        yield bootstrap_weights(rng, examples, size), bootstrap_weights(rng, repetitions, size)


def kept_weights(seed: int, examples: int, repetitions: int, resamples: int) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Yield the same, kept for the next call: a study judges hundreds of runs on the same examples."""
    for counts, repeats in _counts(seed, examples, repetitions, resamples):
        yield counts / examples, repeats


@lru_cache(maxsize=1)
def _counts(seed: int, examples: int, repetitions: int, resamples: int) -> list[tuple[IntArray, FloatArray]]:
    """Return how often each resample holds each example, in bytes: no more than 255 times, by any chance."""
    return [
        (np.rint(weights * examples).astype(np.uint8), repeats)
        for weights, repeats in resampled_weights(seed, examples, repetitions, resamples)
    ]


def detect(own: Arms, other: Arms, resamples: int, seed: int) -> list[Outcome]:
    """Return how well each arm tells other data from its own; the detector stands in the place of the rule."""
    if own.keys() != other.keys():
        raise InputError(f"own and other must have the same arms, got {list(own)} and {list(other)}")
    inside, outside = check_arms(own), check_arms(other)
    for arm, runs in inside.items():
        others = outside[arm]
        if (len(runs), runs[0].classes) != (len(others), others[0].classes):
            raise InputError(
                f"own and other must have the same repetitions and classes, but arm {arm!r} has {len(runs)} and "
                f"{len(others)} repetitions, {runs[0].classes} and {others[0].classes} classes"
            )
    scores = {
        arm: [[strangeness(run.probs, run.weights) for run in pair] for pair in zip(runs, outside[arm], strict=True)]
        for arm, runs in inside.items()
    }
    keys = [(arm, detector) for arm in inside for detector in DETECTORS]
    both = [[tuple(part[detector].to_numpy() for part in pair) for pair in scores[arm]] for arm, detector in keys]
    rng, chunks = stream(seed, "bootstrap"), []
    repetitions = len(next(iter(inside.values())))
    for start in range(0, resamples, _CHUNK):
        size = min(_CHUNK, resamples - start)
        weights = [bootstrap_weights(rng, len(part), size) for part in both[0][0]]
        repeats = bootstrap_weights(rng, repetitions, size)[:, :, None]
        chunks.append(
            [(repeats * np.stack([detection(*p, *weights) for p in pairs], axis=1)).sum(axis=1) for pairs in both]
        )
    outcomes = []
    for place, (arm, detector) in enumerate(keys):
        values = pd.concat([detection(*pair) for pair in both[place]]).mean()
        draws = np.concatenate([chunk[place] for chunk in chunks])
        outcomes += [
            Outcome(arm, detector, inside[arm][0].members, metric, float(values[metric]), draws[:, i], ())
            for i, metric in enumerate(values.index)
        ]
    return outcomes


def _leaving_out(examples: int, repetitions: int) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Return weights of examples and repetitions that leave out some of the one, then some of the other."""
    groups = jackknife_weights(examples)
    yield groups, np.full((len(groups), repetitions), 1 / repetitions)
    if repetitions > 1:
        yield np.full((repetitions, examples), 1 / examples), jackknife_weights(repetitions)


class _Measured:
    """Every arm, rule and metric, ready to be measured on resamples: means of examples as one product of matrices."""

    def __init__(self, pooled: Sequence[Pooled], labels: IntArray, metrics: Mapping[str, Metric]):
        self.keys = [(one, name) for one in pooled for name in metrics]
        self._labels, self._metrics = labels, metrics
        rows = {
            number: [
                np.mean([metrics[name].function(trial, labels) for trial in trials], axis=0) for trials in one.trials
            ]
            for number, (one, name) in enumerate(self.keys)
            if metrics[name].per_example
        }
        repetitions = len(pooled[0].trials)
        self._place = {number: slice(i * repetitions, (i + 1) * repetitions) for i, number in enumerate(rows)}
        self._rows = np.array([row for each in rows.values() for row in each], dtype=np.float64).T

    def __call__(self, examples: FloatArray, repeats: FloatArray) -> FloatArray:
        """Return each measure on resamples with these weights of examples and repetitions: (measures, resamples)."""
        means = weighted_means(examples, self._rows) if self._rows.size else None
        values = []
        for number, (one, name) in enumerate(self.keys):
            if number in self._place:
                assert means is not None
                of_runs = means[:, self._place[number]]
            else:
                metric = self._metrics[name]
                of_runs = np.stack(
                    [
                        np.mean([_whole(metric, trial, self._labels, examples) for trial in trials], axis=0)
                        for trials in one.trials
                    ],
                    axis=1,
                )
            values.append(row_means(repeats, of_runs))
        return np.stack(values)

    def value(self, number: int) -> float:
        """Return a measure on the examples as they are."""
        if number in self._place:
            return float(self._rows[:, self._place[number]].mean())
        one, name = self.keys[number]
        metric = self._metrics[name]
        return float(np.mean([[metric.value(trial, self._labels) for trial in trials] for trials in one.trials]))

    def binary(self, number: int) -> FloatArray | None:
        """Return the per-example errors if there is one prediction only, so that they are 0 or 1."""
        one, _ = self.keys[number]
        rows: FloatArray = self._rows[:, self._place[number]][:, 0]
        single = len(one.trials) == len(one.trials[0]) == 1
        return rows if single and ((rows == 0) | (rows == 1)).all() else None


def _whole(metric: Metric, probs: FloatArray, labels: IntArray, weights: FloatArray) -> FloatArray:
    """Return a measure that is no mean of examples on each resample."""
    if metric.weighted:
        return np.asarray(metric.function(probs, labels, weights))
    return measured_slowly(metric, probs, labels, weights)


def measured_slowly(metric: Metric, probs: FloatArray, labels: IntArray, weights: FloatArray) -> FloatArray:
    """Measure each resample itself: for functions that take no weights, and the obvious twin of those that do."""
    counts = np.rint(weights * len(labels)).astype(int)
    picks = (np.repeat(np.arange(len(labels)), count) for count in counts)
    return np.array([metric.value(probs[pick], labels[pick]) for pick in picks])


def _centred(draws: FloatArray, value: float) -> FloatArray:
    """Take off the bootstrap's estimate of the bias of a measure that is no mean, such as the ECE.

    Resampling adds noise to every bin and so raises the ECE; without this its interval could lie above its value. A
    measure that is never negative stays so.
    """
    shifted = draws + (value - draws.mean())
    return np.maximum(shifted, 0.0) if draws.min() >= 0 else shifted


def row_means(weights: FloatArray, values: FloatArray) -> FloatArray:
    """Return the weighted mean over repetitions, (resamples, repetitions, ...); what has no weight may be infinite."""
    weights = weights.reshape(*weights.shape, *[1] * (values.ndim - 2))
    return np.asarray(np.where(weights > 0, weights * np.where(weights > 0, values, 0.0), 0.0).sum(axis=1))
