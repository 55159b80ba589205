"""One arm, rule and metric: its value for every network, and how these values hang on the examples.

All arms are tested on the same examples, and those that share networks on the same networks. What two outcomes have in
common is in their deviations: the product of two rows is the covariance of two scores over draws of the examples.

Where every repetition has a split of the data of its own, training, validation and test parts, one split is one unit:
what other networks, other examples to train on and other examples to test on would change is all in the spread of
their scores. That of a mean over J splits is the one of Nadeau and Bengio (2003), for splits share examples.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt
import pandas as pd

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation.arms import judged_alone
from ensemble_vs_dropout.evaluation.pooling import Arms, Pooled, check_arms, labels_of
from ensemble_vs_dropout.measures.detection import DETECTORS, detection, strangeness
from ensemble_vs_dropout.measures.metrics import Metric
from ensemble_vs_dropout.measures.resampling import bootstrap_weights
from ensemble_vs_dropout.measures.spread import LEAST, Component, Spread, spread_of
from ensemble_vs_dropout.measures.weighted import sound_weights
from ensemble_vs_dropout.seeds import stream
from ensemble_vs_dropout.types import FloatArray, IntArray, Predictions

_CHUNK = 500  # resamples at a time: bounds the memory of their weights
ENOUGH = 1000  # resamples, to know a variance to 5 %
_KEPT, _KEPT_WHOLE = 2**27, 2**24  # weights that are kept for the next call, as bytes or as numbers: 128 MiB


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one arm scored under one rule by one metric.

    Attributes:
        units: The score of every unit, shape (repetitions, units of each). A unit is what is trained anew: a network
            judged alone, by weight scaling or by its own passes; or the combination of all networks of a repetition.
        deviations: How the scores hang on the examples, shape (units, any), such that `deviations @ deviations.T` is
            their covariance over draws of the examples.
        degrees: The examples less one.
        wrong: The errors of each example, where there is one unit and each is 0 or 1.
        test_share: n_test / n_train where every repetition has a split of its own, which has no deviations; else None.
    """

    arm: str
    rule: str
    members: int
    metric: str
    units: FloatArray
    deviations: FloatArray
    degrees: int
    wrong: FloatArray | None = None
    test_share: float | None = None

    @cached_property
    def value(self) -> float:
        """The mean over all units."""
        return float(self.units.mean())

    @cached_property
    def by_repetition(self) -> Outcome:
        """The same with one unit for each repetition, the mean of its units."""
        repetitions, count = self.units.shape
        means = self.deviations.reshape(repetitions, count, -1).mean(axis=1)
        return replace(self, units=self.units.mean(axis=1, keepdims=True), deviations=means)

    def minus(self, other: Outcome) -> Outcome:
        """Return the differences of the units that stand in the same places."""
        with np.errstate(invalid="ignore"):  # two infinite scores have no difference: NaN
            return replace(self, units=self.units - other.units, deviations=self.deviations - other.deviations)

    @property
    def group(self) -> tuple[FloatArray, FloatArray]:
        """The scores of the units, and their deviations, as `spread_of` takes them."""
        return self.units.ravel(), self.deviations

    @property
    def over_examples(self) -> float:
        """The variance of the value over draws of the examples, for these networks."""
        return float((self.deviations.mean(axis=0) ** 2).sum())

    def spread(self, fixed: bool = False) -> Spread:
        """Return the spread of the value over networks and examples; if `fixed`, or of few units, over examples.

        Where every repetition has a split of its own, it is over splits.
        """
        if self.test_share is not None:
            return over_splits(self.units.mean(axis=1), self.test_share)
        groups = [] if fixed or self.units.size < LEAST else [self.group]
        return spread_of(groups, self.over_examples, self.degrees)

    def interval(self, level: float = 0.95, fixed: bool = False, lowest: float = 0.0) -> tuple[float, float]:
        """Return the interval of the value; an infinite one has no width.

        It is cut at what the measure cannot be below, where no unit is below that.
        """
        if not np.isfinite(self.value):
            return self.value, self.value
        half = self.spread(fixed).half_width(level)
        return float(
            np.maximum(lowest if self.units.min() >= lowest else -np.inf, self.value - half)
        ), self.value + half


def over_splits(scores: FloatArray, test_share: float) -> Spread:
    """Return the spread of a mean over random splits of one data set, with which `corrected_t_test` agrees.

    Args:
        scores: Of each split, shape (splits,), at least two.
        test_share: n_test / n_train of one split. See `measures.significance.corrected_t_test`.
    """
    variance = (1 / len(scores) + test_share) * float(scores.var(ddof=1))
    return Spread((Component(variance, len(scores) - 1),))


def evaluate(
    pooled: Sequence[Pooled],
    labels: npt.ArrayLike,
    metrics: Mapping[str, Metric],
    resamples: int,
    seed: int,
    test_share: float | None = None,
) -> list[Outcome]:
    """Return every outcome; of a measure that is no mean of examples, the covariances come from bootstrap draws.

    `labels` and `test_share` are those that `check_share` lets pass.
    """
    return [
        _outcome(one, name, metrics[name], labels_of(labels, len(one.trials)), resamples, seed, test_share)
        for one in pooled
        for name in metrics
    ]


def _outcome(
    one: Pooled,
    name: str,
    metric: Metric,
    labels: list[IntArray],
    resamples: int,
    seed: int,
    test_share: float | None,
) -> Outcome:
    numbers = {len(trials) for trials in one.trials}
    if len(numbers) > 1:
        raise InputError(
            f"arm {one.arm!r} must have the same networks in each repetition under rule {one.rule!r}, got "
            f"{' and '.join(map(str, sorted(numbers)))} of them; runs of an older version have one network of some "
            "arms: run the same in another folder"
        )
    trials = [(trial, truth) for trials, truth in zip(one.trials, labels, strict=True) for trial in trials]
    what, shape = (one.arm, one.rule, one.members, name), (len(one.trials), len(one.trials[0]))
    if metric.per_example:
        rows = np.array([metric.function(*trial) for trial in trials], dtype=np.float64)
        return outcome_of_examples(*what, rows.reshape(*shape, -1), test_share)
    units, examples = np.array([metric.value(*trial) for trial in trials]), len(labels[0])
    if test_share is not None:
        return Outcome(*what, units.reshape(shape), np.empty((len(trials), 0)), examples - 1, test_share=test_share)
    drawn = [
        [_whole(metric, *trial, weights) for trial in trials]
        for weights in kept_weights(seed, examples, min(resamples, ENOUGH))
    ]
    draws = np.concatenate(drawn, axis=1)
    deviations = _centred(draws) / np.sqrt(draws.shape[1] - 1)
    return Outcome(*what, units.reshape(shape), deviations, examples - 1)


def outcome_of_examples(
    arm: str, rule: str, members: int, metric: str, rows: FloatArray, test_share: float | None = None
) -> Outcome:
    """Return the outcome of a score that is a mean of examples, from (repetitions, units of each, examples)."""
    examples = rows.shape[2]
    flat = rows.reshape(-1, examples)
    if test_share is not None:
        means = rows.mean(axis=2)
        return Outcome(arm, rule, members, metric, means, np.empty((len(flat), 0)), examples - 1, None, test_share)
    wrong = flat[0] if len(flat) == 1 and np.isin(flat, (0, 1)).all() else None
    deviations = _centred(flat) / np.sqrt(max(1, examples * (examples - 1)))
    return Outcome(arm, rule, members, metric, rows.mean(axis=2), deviations, examples - 1, wrong)


def _centred(rows: FloatArray) -> FloatArray:
    with np.errstate(invalid="ignore"):  # an infinite score has no deviations
        return np.asarray(rows - rows.mean(axis=1, keepdims=True))


def resampled_weights(
    seed: int, examples: int, repetitions: int, resamples: int
) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Yield the weights of examples and repetitions, some resamples at a time."""
    rng = stream(seed, "bootstrap")
    for start in range(0, resamples, _CHUNK):
        size = min(_CHUNK, resamples - start)
        yield bootstrap_weights(rng, examples, size), bootstrap_weights(rng, repetitions, size)


def kept_weights(seed: int, examples: int, resamples: int) -> Iterator[FloatArray]:
    """Yield those of examples, kept for the next call: a study judges hundreds of runs on the same examples."""
    if resamples * examples > _KEPT:
        yield from (weights for weights, _ in resampled_weights(seed, examples, 1, resamples))
        return
    if resamples * examples <= _KEPT_WHOLE:
        yield from _whole_weights(seed, examples, resamples)
        return
    for counts in _counts(seed, examples, resamples):
        yield counts / examples


@lru_cache(maxsize=2)
def _whole_weights(seed: int, examples: int, resamples: int) -> list[FloatArray]:
    return [sound_weights(counts / examples) for counts in _counts(seed, examples, resamples)]


@lru_cache(maxsize=2)
def _counts(seed: int, examples: int, resamples: int) -> list[IntArray]:
    """Return how often each resample holds each example, in bytes: no more than 255 times, by any chance."""
    drawn = resampled_weights(seed, examples, 1, resamples)
    return [np.rint(weights * examples).astype(np.uint8) for weights, _ in drawn]


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
    rng, size = stream(seed, "bootstrap"), min(resamples, ENOUGH)
    sizes = [next(iter(part.values()))[0].examples for part in (inside, outside)]
    weights = [bootstrap_weights(rng, examples, size) for examples in sizes]
    outcomes = []
    for arm, runs in inside.items():
        alone = arm in judged_alone()
        pairs = [
            pair
            for both in zip(runs, outside[arm], strict=True)
            for pair in zip(*(_units(run, alone) for run in both), strict=True)
        ]
        scores = [[strangeness(probs, run_weights) for probs, run_weights in pair] for pair in pairs]
        for detector in DETECTORS:
            each = [[part[detector].to_numpy() for part in pair] for pair in scores]
            values = pd.concat([detection(*pair) for pair in each])
            drawn = np.stack([detection(*pair, *weights).to_numpy() for pair in each])  # (units, resamples, metrics)
            deviations = (drawn - drawn.mean(axis=1, keepdims=True)) / np.sqrt(size - 1)
            members = 1 if alone else runs[0].members
            for place, metric in enumerate(values.columns):
                units = values[metric].to_numpy().reshape(len(runs), -1)
                found = (units, deviations[..., place], min(sizes) - 1)
                outcomes.append(Outcome(arm, detector, members, metric, *found))
    return outcomes


def _units(run: Predictions, alone: bool) -> list[tuple[FloatArray, FloatArray | None]]:
    """Return the members and weights of what is judged: each member by itself, or all together."""
    return [(member[None], None) for member in run.probs] if alone else [(run.probs, run.weights)]


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


def row_means(weights: FloatArray, values: FloatArray) -> FloatArray:
    """Return the weighted mean over repetitions, (resamples, repetitions, ...); what has no weight may be infinite."""
    weights = weights.reshape(*weights.shape, *[1] * (values.ndim - 2))
    return np.asarray(np.where(weights > 0, weights * np.where(weights > 0, values, 0.0), 0.0).sum(axis=1))
