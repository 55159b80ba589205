"""How many independent networks are k passes, or k other members, worth?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from ensemble_vs_dropout.checks import InputError, check_at_least
from ensemble_vs_dropout.evaluation.arms import arm_label
from ensemble_vs_dropout.evaluation.equivalence import resampled, worth_of
from ensemble_vs_dropout.evaluation.findings.base import Fact, Finding
from ensemble_vs_dropout.evaluation.findings.judging import judge, of_examples, of_outcome
from ensemble_vs_dropout.evaluation.outcomes import Outcome
from ensemble_vs_dropout.evaluation.pooling import Arms, check_arms
from ensemble_vs_dropout.evaluation.sizes import SIZES, subset_curves
from ensemble_vs_dropout.measures.resampling import percentile_interval
from ensemble_vs_dropout.measures.spread import LEAST
from ensemble_vs_dropout.types import FloatArray, Predictions, check_labels

METRIC = "calibrated_nll"
ENSEMBLE = "ensemble"
_SOME = 5  # networks
_DRAWS = 500  # bootstrap draws behind the noise of a worth


def deep_ensemble_equivalent(
    ensemble: Predictions | Sequence[Predictions],
    others: Arms,
    labels: npt.ArrayLike,
    *,
    sizes: Sequence[int] | None = None,
    subsets: int = 20,
    resamples: int = 1000,
    seed: int = 0,
) -> Finding:
    """Return the size of the ensemble that is as good as k members of another arm, and what both are judged by.

    After Ashukha et al. (2020), who call it the deep ensemble equivalent: by the calibrated log-likelihood,
    interpolated linearly between sizes, at least 1.

    Args:
        ensemble: Independent networks, at least 2 of equal weight; one pool, or one for each repetition.
        others: Likewise what is measured by them: passes of a network, or members of another kind.
        labels: Shape (examples,).
        sizes: Numbers of the others' members; those beyond a pool are left out, and the pool's own is always there.
        subsets: Of a pool at each size, at most; values are their means.
        resamples: Bootstrap resamples of the examples, and of the repetitions where there are several.
        seed: Of subsets, calibration halves and resamples.

    Returns:
        A table with the columns panel ("worth", in networks, infinite where it is more than the ensemble has, or
        "calibrated_nll", in nats), arm, rule, members (k), value, low, high (95 % bootstrap). Told are `networks`, the
        number of the ensemble's, and `repetitions`.

    Raises:
        InputError: An ensemble of one network or with weights, another arm of that name, or predictions that do not
            fit each other or the labels.

    Example:
        >>> probs = np.random.default_rng(0).dirichlet([2, 1], (3, 40))
        >>> given = Predictions(probs), {"a": Predictions(probs[:1])}, np.zeros(40, int)
        >>> found = deep_ensemble_equivalent(*given, subsets=2, resamples=100).table
        >>> found[found["panel"] == "worth"][["arm", "members"]].to_numpy().tolist()
        [['ensemble', 1], ['ensemble', 2], ['ensemble', 3], ['a', 1]]
    """
    truth = np.asarray(labels)
    if ENSEMBLE in others:
        raise InputError(f"others must not hold {ENSEMBLE!r}, which is given apart")
    runs = check_arms({ENSEMBLE: ensemble, **others}, len(truth), same_members=True)
    size = runs[ENSEMBLE][0].members
    if size < 2 or any(run.weights is not None for run in runs[ENSEMBLE]):
        raise InputError(
            "ensemble must have at least 2 members of equal weight to measure worth by, got "
            f"{size}{' with weights' if size > 1 else ''}"
        )
    check_labels(truth, runs[ENSEMBLE][0].classes)
    check_at_least("resamples", resamples, 100)
    own = range(1, size) if size <= 20 else np.unique(np.geomspace(1, size, 20).astype(int)).tolist()
    wanted = {ENSEMBLE: own} | {arm: SIZES if sizes is None else sizes for arm in others}
    curves = {
        arm: [subset_curves(run, truth, [METRIC], "mean", wanted[arm], subsets, seed)[METRIC] for run in each]
        for arm, each in runs.items()
    }
    at = {arm: np.array(each[0].sizes, dtype=float) for arm, each in curves.items()}
    columns = np.stack(
        [np.concatenate([each[r].of_examples for each in curves.values()]) for r in range(len(runs[ENSEMBLE]))]
    )
    draws = np.concatenate(list(resampled(columns, resamples, seed)))
    values, networks = columns.mean(axis=(0, 2))[None], len(at[ENSEMBLE])
    keys = [(arm, int(k)) for arm, each in at.items() for k in each]
    worth, drawn = (worth_of(some[:, :networks], some, at[ENSEMBLE]) for some in (values, draws))
    rows = [
        [panel, arm, "mean", k, point[0, i], *percentile_interval(of_draws[:, i])]
        for panel, point, of_draws in (("worth", worth, drawn), (METRIC, values, draws))
        for i, (arm, k) in enumerate(keys)
    ]
    table = pd.DataFrame(rows, columns=["panel", "arm", "rule", "members", "value", "low", "high"])
    told = {"networks": size, "repetitions": len(runs[ENSEMBLE])}
    passes = len(at.get("mc_dropout", ())) > 1
    return Finding(table, tuple(_facts(columns, at, keys, min(resamples, _DRAWS), seed) if passes else ()), told)


def _facts(
    columns: FloatArray, at: Mapping[str, FloatArray], keys: Sequence[tuple[str, int]], resamples: int, seed: int
) -> Iterator[Fact]:
    """Return what is expected of passes; columns are (repetitions, sizes of every arm, examples)."""
    name, networks, passes = arm_label("mc_dropout"), at[ENSEMBLE], at["mc_dropout"]
    last = int(passes[-1])
    before = int(passes[:-1][np.abs(passes[:-1] - last / 2).argmin()])
    places = [keys.index(("mc_dropout", k)) for k in (before, last)]

    def worth(means: FloatArray) -> FloatArray:
        return worth_of(means[:, : len(networks)], means[:, places], networks)

    units = worth(columns.mean(axis=2))
    drawn = np.stack([worth(np.concatenate([*resampled(one[None], resamples, seed)])) for one in columns])
    words = [f"{value:.2f}" if np.isfinite(value) else f"more than {networks[-1]:g}" for value in units.mean(axis=0)]
    with np.errstate(invalid="ignore"):
        grown = drawn[:, :, 1] - drawn[:, :, 0]
        deviations = (grown - grown.mean(axis=1, keepdims=True)) / np.sqrt(resamples - 1)
        growth = Outcome("mc_dropout", "mean", last, "worth", np.diff(units), deviations, columns.shape[2] - 1)
    why = ""
    if not np.isfinite(drawn).all() or not np.isfinite(units).all():
        why = f"a ceiling: it may be worth more than the ensemble's {networks[-1]:g} networks"
    elif (units == 1).all():
        why = "a floor: it is not worth more than one network"
    estimate = of_outcome(growth) if not why else of_examples(np.zeros((LEAST, 2))).unless(why)
    yield judge(
        f"{name}: from {before} to {last} passes its worth grows by less than half a network",
        estimate.below(0.5),
        f"{words[0]} to {words[1]} networks",
    )
    few = int(networks[networks <= _SOME][-1])
    worse = of_examples(columns[:, places[1]] - columns[:, keys.index((ENSEMBLE, few))])
    worse = worse.unless(f"the ensemble has {networks[-1]:g} networks" if networks[-1] < _SOME else "")
    yield judge(
        f"{name}: {last} passes are worth fewer than {_SOME} independent networks",
        worse.above(),
        f"{words[1]} of {networks[-1]:g} networks; {worse.words(digits=4)} nats above {few} networks",
    )
