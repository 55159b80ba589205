"""Can its confidence be used to decide when to trust it?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ensemble_vs_dropout.checks import InputError, check_at_least
from ensemble_vs_dropout.evaluation.arms import row_label
from ensemble_vs_dropout.evaluation.findings.base import Fact, Finding
from ensemble_vs_dropout.evaluation.findings.judging import MARGINS, every, judge, of_examples
from ensemble_vs_dropout.evaluation.outcomes import row_means
from ensemble_vs_dropout.evaluation.pooling import Arms, check_arms
from ensemble_vs_dropout.measures import aggregate
from ensemble_vs_dropout.measures.resampling import bootstrap_weights, percentile_interval
from ensemble_vs_dropout.seeds import stream
from ensemble_vs_dropout.types import FloatArray, Predictions, check_labels

THRESHOLDS = (*np.arange(20).astype(float) / 20, 0.99)
LEAST = 50  # examples, below which an accuracy says too little


def accuracy_vs_confidence(
    known: Arms,
    labels: npt.ArrayLike,
    unknown: Arms | None = None,
    *,
    thresholds: Sequence[float] = THRESHOLDS,
    rule: str = "mean",
    resamples: int = 1000,
    seed: int = 0,
) -> Finding:
    """Return the accuracy on the examples whose confidence reaches a threshold, and how many these are.

    After Lakshminarayanan et al. (2017), figure 6, and Ovadia et al. (2019), figures 1c and 1d.

    Args:
        known: Members of each arm, one `Predictions` of shape (members, examples, classes), or one for each
            repetition. Their pool's highest probability is the confidence.
        labels: Of the known examples, shape (examples,).
        unknown: The same arms on examples of other classes, on which every prediction is wrong.
        thresholds: Of the confidence, in [0, 1].
        rule: How members are combined, a name in `RULES`.
        resamples: Bootstrap resamples of the examples, and of the repetitions where there are several.
        seed: Of the resamples.

    Returns:
        A table of the columns panel ("accuracy" or "retained"), arm, rule, members, threshold, examples (how many are
        retained, mean over repetitions), value (in [0, 1]; NaN for an accuracy of fewer than 50 examples), low, high
        (95 % bootstrap). Told: `known` and `unknown`, how many examples there are, and `repetitions`.

    Raises:
        InputError: Predictions that do not fit each other or the labels, fewer than 50 examples, or thresholds outside
            [0, 1].

    Example:
        >>> sure = np.linspace(0.5, 1, 100)
        >>> given = {"ensemble": Predictions(np.stack([sure, 1 - sure], axis=1)[None])}
        >>> labels = (np.arange(100) < 25).astype(int)
        >>> found = accuracy_vs_confidence(given, labels, thresholds=[0, 0.75], resamples=100).table
        >>> found.pivot(index="threshold", columns="panel", values="value").loc[0.75].to_dict()
        {'accuracy': 1.0, 'retained': 0.5}
    """
    truth = np.asarray(labels)
    parts = [check_arms(known, len(truth), same_members=True)]
    check_labels(truth, next(iter(parts[0].values()))[0].classes)
    if unknown is not None:
        parts.append(check_arms(unknown, same_members=True))
        _check_same(*parts)
    taus = np.unique(np.asarray(thresholds, dtype=float))
    if not len(taus) or not (taus >= 0).all() or not (taus <= 1).all():
        raise InputError(f"thresholds must be numbers in [0, 1], at least one, got {list(thresholds)}")
    check_at_least("resamples", resamples, 100)
    counts = [next(iter(part.values()))[0].examples for part in parts]
    if sum(counts) < LEAST:
        raise InputError(f"labels and unknown must hold at least {LEAST} examples together, got {sum(counts)}")
    rng, repetitions = stream(seed, "bootstrap"), len(next(iter(parts[0].values())))
    weights = [bootstrap_weights(rng, count, resamples) * count for count in counts]
    repeats = bootstrap_weights(rng, repetitions, resamples)
    rows: list[list[Any]] = []
    facts: list[Fact] = []
    for arm, runs in parts[0].items():
        pools = [[aggregate(run.probs, rule, run.weights) for run in part[arm]] for part in parts]
        kept = [np.stack([probs.max(axis=1)[:, None] >= taus for probs in each], axis=1) for each in pools]
        right = np.stack([probs.argmax(axis=1) == truth for probs in pools[0]], axis=1)
        hits = kept[0] & right[:, :, None]
        retained = np.concatenate(kept).sum(axis=0).mean(axis=0)
        drawn = np.sum([_drawn(*pair) for pair in zip(weights, [repeats] * len(kept), kept, strict=True)], axis=0)
        enough = retained >= LEAST
        with np.errstate(invalid="ignore", divide="ignore"):
            accuracy = np.where(enough, hits.sum(axis=0).mean(axis=0) / retained, np.nan)
            draws = np.where(enough, _drawn(weights[0], repeats, hits) / drawn, np.nan)
        key = arm, rule, runs[0].members
        facts += _facts(row_label(*key), np.concatenate(kept, axis=0), hits, taus, enough)
        for i, tau in enumerate(taus):
            bounds = percentile_interval(draws[:, i])
            rows.append(["accuracy", *key, tau, retained[i], accuracy[i], *bounds])
        for i, tau in enumerate(taus):
            bounds = percentile_interval(drawn[:, i] / sum(counts))
            rows.append(["retained", *key, tau, retained[i], retained[i] / sum(counts), *bounds])
    columns = ["panel", "arm", "rule", "members", "threshold", "examples", "value", "low", "high"]
    table = pd.DataFrame(rows, columns=columns)
    return Finding(
        table,
        facts=tuple(facts),
        told={"known": counts[0], "unknown": sum(counts[1:]), "repetitions": repetitions},
    )


def _check_same(known: Mapping[str, Sequence[Predictions]], unknown: Mapping[str, Sequence[Predictions]]) -> None:
    shapes = [
        {arm: (len(runs), runs[0].members, runs[0].classes) for arm, runs in part.items()} for part in (known, unknown)
    ]
    if shapes[0] != shapes[1]:
        raise InputError(
            "unknown must have the arms of known, with the same repetitions, members and classes, "
            f"got {shapes[1]} for {shapes[0]}"
        )


def _drawn(weights: FloatArray, repeats: FloatArray, kept: npt.NDArray[np.bool_]) -> FloatArray:
    """Return in each resample how many are kept at each threshold: (resamples, thresholds)."""
    counts = weights @ kept.reshape(len(kept), -1).astype(float)
    return row_means(repeats, counts.reshape(len(weights), *kept.shape[1:]))


def _facts(
    name: str, kept: npt.NDArray[np.bool_], hits: npt.NDArray[np.bool_], taus: FloatArray, enough: npt.NDArray[np.bool_]
) -> Iterator[Fact]:
    """Return what is expected of an arm.

    Args:
        name: Of the arm.
        kept: Which examples are confident enough, the known ones first: (examples, repetitions, thresholds).
        hits: Which of the known ones are predicted right too, likewise.
        taus: The thresholds.
        enough: At which of them an accuracy says something.
    """
    if enough.sum() < 2:
        return
    right = np.concatenate([hits, np.zeros((len(kept) - len(hits), *hits.shape[1:]), dtype=bool)])
    shares, taken = kept.mean(axis=0)[:, enough], taus[enough]
    with np.errstate(invalid="ignore", divide="ignore"):
        accuracy = right.mean(axis=0)[:, enough] / shares
        # What each example adds to a ratio of means, so that the mean over examples is that ratio.
        added = accuracy + (right[:, :, enough] - accuracy * kept[:, :, enough]) / shares
    margin, means = MARGINS["accuracy"], accuracy.mean(axis=0)
    full = "accuracy is 100 % at every threshold: a ceiling" if (accuracy == 1).all() else ""
    steps = [
        of_examples((added[:, :, after] - added[:, :, before]).T).unless(full)
        for before, after in pairwise(range(len(taken)))
    ]
    lowest = min(steps, key=lambda step: step.value)
    yield judge(
        f"{name}: accuracy does not fall by {100 * margin:g} points or more from a threshold to the next",
        every(*(step.above(-margin) for step in steps)),
        f"{100 * means[0]:.1f} % at {taken[0]:g} to {100 * means[-1]:.1f} % at {taken[-1]:g}; smallest step "
        f"{lowest.words(100)} points",
    )
