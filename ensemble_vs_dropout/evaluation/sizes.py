"""Quality against the number of members or passes, by averaging over subsets of one pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import comb

import numpy as np
import pandas as pd

from ensemble_vs_dropout.measures import METRICS, aggregate
from ensemble_vs_dropout.measures.statistics import bootstrap_weights, percentile_interval, weighted_means
from ensemble_vs_dropout.seeds import stream
from ensemble_vs_dropout.types import FloatArray, IntArray, Predictions

SIZES = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)


def size_curves(
    arms: Mapping[str, Sequence[Predictions]],
    labels: IntArray,
    metrics: Sequence[str] = ("error", "nll", "brier"),
    subsets: int = 20,
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the quality of m members combined by the mean, for sizes m up to each pool's.

    Every number is the mean over subsets of the pool (all of them where there are at most `subsets`, else random
    ones) and over repetitions. By Jensen's inequality NLL and Brier score cannot rise with m, but for the chance of
    random subsets; the error can.

    Args:
        arms: The pool of each arm, one `Predictions` for each repetition.
        labels: Shape (examples,).
        metrics: Names of metrics with one value per example.
        subsets: At most so many at each size.
        resamples: Bootstrap resamples of the examples.
        seed: Of subsets and resamples.

    Returns:
        Columns arm, rule, members, metric, value, low, high (95 % bootstrap over examples).
    """
    weights = bootstrap_weights(stream(seed, "bootstrap"), len(labels), resamples)
    rows = []
    for arm, runs in arms.items():
        pool = runs[0].members
        for size in [size for size in SIZES if size < pool] + [pool]:
            chosen = _subsets(pool, size, subsets, seed)
            pooled = [_mean(run, subset) for run in runs for subset in chosen]
            for metric in metrics:
                values: FloatArray = np.mean([METRICS[metric].function(p, labels) for p in pooled], axis=0)
                low, high = percentile_interval(weighted_means(weights, values))
                rows.append([arm, "mean", size, metric, float(values.mean()), low, high])
    return pd.DataFrame(rows, columns=["arm", "rule", "members", "metric", "value", "low", "high"])


def _mean(run: Predictions, subset: list[int]) -> FloatArray:
    weights = np.ones(len(subset)) if run.weights is None else run.weights[subset]
    if weights.sum() == 0:  # members without any weight are as good as each other
        weights = np.ones(len(subset))
    return aggregate(run.probs[subset], "mean", weights / weights.sum())


def _subsets(pool: int, size: int, number: int, seed: int) -> list[list[int]]:
    if comb(pool, size) <= number:
        return [list(subset) for subset in combinations(range(pool), size)]
    rng = stream(seed, "subsets", size)
    return [rng.choice(pool, size, replace=False).tolist() for _ in range(number)]
