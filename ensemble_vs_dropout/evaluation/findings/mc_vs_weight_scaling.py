"""How many dropout passes match weight scaling?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from ensemble_vs_dropout.checks import InputError, check_at_least
from ensemble_vs_dropout.evaluation.findings.base import Fact, Finding
from ensemble_vs_dropout.evaluation.findings.judging import MARGINS, Estimate, every, floor, judge, of_examples
from ensemble_vs_dropout.evaluation.pooling import check_arms, runs_of
from ensemble_vs_dropout.evaluation.sizes import SIZES
from ensemble_vs_dropout.measures import METRICS, aggregate, error
from ensemble_vs_dropout.measures.decomposition import ambiguity
from ensemble_vs_dropout.seeds import stream
from ensemble_vs_dropout.types import FloatArray, IntArray, Predictions, check_labels

SHOWN = ("error", "nll", "brier")
_DRAWS = 20  # of k passes of each network, for the facts
_AT_ONCE = 2**23  # probabilities of averages held at once: 64 MiB


def mc_vs_weight_scaling(
    passes: Predictions,
    weight_scaling: Predictions,
    labels: npt.ArrayLike,
    *,
    sizes: Sequence[int] | None = None,
    repeats: int = 100,
    exact: Predictions | None = None,
    further: Sequence[tuple[Predictions, Predictions]] = (),
    seed: int = 0,
) -> Finding:
    """Return error, NLL and Brier score of k averaged passes of one network, and of its weight scaling.

    As Srivastava et al. (2014), figure 11, was made: k passes are drawn with replacement from one pool, many times.

    Args:
        passes: The pool of passes of one dropout network; weights are the chances of being drawn.
        weight_scaling: The same network's deterministic prediction, one member.
        labels: Shape (examples,).
        sizes: The numbers k; up to 200 and the size of the pool unless given.
        repeats: Draws of k passes, at least 2.
        exact: All masks of the network with their chances as weights, or their geometric mean as one member.
        further: Passes and weight scaling of further networks: facts are of all networks, the table is of the first.
        seed: Of the draws.

    Returns:
        A table with the columns series ("mc_dropout"; "expected", the closed form of the Brier score; "dropout",
        weight scaling; "exact", the geometric mean of all masks), metric, members (k; none for the last two), value
        (the mean over draws), low, high (one standard deviation away). Told are `pool`, the number of passes, and
        `networks`, how many the facts are of.

    Raises:
        InputError: Predictions that do not fit each other or the labels, several networks, or too few repeats.

    Example:
        >>> passes = Predictions(np.array([[[0.9, 0.1]], [[0.3, 0.7]]]))
        >>> scaled = Predictions(passes.probs.mean(axis=0)[None])
        >>> table = mc_vs_weight_scaling(passes, scaled, [0], sizes=[1, 2], repeats=2).table
        >>> table[table["series"] == "expected"].value.round(3).tolist()  # the mean of the two, and 0.32 + 0.18 / 2
        [0.5, 0.41]
    """
    truth = np.asarray(labels)
    given = {"passes": passes, "weight_scaling": weight_scaling} | ({"exact": exact} if exact else {})
    if (several := len(runs_of(passes))) > 1:
        raise InputError(f"passes must be of one network, got {several} repetitions; give one of them")
    runs = check_arms(given, len(truth))
    pool, scaled = runs["passes"][0], runs["weight_scaling"][0]
    if scaled.members > 1:
        raise InputError(f"weight_scaling must be one prediction, got {scaled.members} members")
    check_labels(truth, pool.classes)
    check_at_least("repeats", repeats, 2)
    wanted = [k for k in SIZES if k <= min(200, pool.members)] if sizes is None else sorted(set(sizes))
    draws = pd.concat(_draws(pool, truth, check_at_least("sizes", k, 1), repeats, seed) for k in wanted)
    split = ambiguity(pool.probs, truth, "brier", pool.weights).mean()
    levels = {"dropout": scaled.probs[0]}
    if exact:
        levels["exact"] = aggregate(runs["exact"][0].probs, "geometric_mean", runs["exact"][0].weights)
    fixed = [
        {"series": series, "metric": name, "value": METRICS[name].value(probs, truth)}
        for series, probs in levels.items()
        for name in SHOWN
    ]
    expected = [
        {"series": "expected", "metric": "brier", "members": k, "value": split["members"] + (1 / k - 1) * spread}
        for k in wanted
        for spread in [split["ambiguity"]]
    ]
    table = pd.concat([_summary(draws), pd.DataFrame(expected + fixed)], ignore_index=True)
    checked = [check_arms({"passes": one, "weight_scaling": other}, len(truth)) for one, other in further]
    networks = [(pool, scaled), *((one["passes"][0], one["weight_scaling"][0]) for one in checked)]
    return Finding(
        table.astype({"members": "Int64"})[["series", "metric", "members", "value", "low", "high"]],
        tuple(_facts(networks, truth, wanted, seed)),
        {"pool": pool.members, "networks": len(networks)},
    )


def _draws(pool: Predictions, labels: IntArray, size: int, repeats: int, seed: int) -> pd.DataFrame:
    """Return each metric of each draw of `size` passes."""
    chances = np.full(pool.members, 1 / pool.members) if pool.weights is None else pool.weights
    shares = stream(seed, "passes", size).multinomial(size, chances / chances.sum(), size=repeats) / size
    values = np.array([[METRICS[name].value(mean, labels) for name in SHOWN] for mean in _means(pool, shares)])
    return pd.DataFrame(values, columns=list(SHOWN)).assign(members=size)


def _means(pool: Predictions, shares: FloatArray) -> Iterator[FloatArray]:
    """Yield the mean of the passes with each row of shares, (examples, classes)."""
    flat = pool.probs.reshape(pool.members, -1).astype(np.float64)
    at_once = max(1, _AT_ONCE // flat.shape[1])
    for start in range(0, len(shares), at_once):
        yield from (shares[start : start + at_once] @ flat).reshape(-1, pool.examples, pool.classes)


def _summary(draws: pd.DataFrame) -> pd.DataFrame:
    """Return mean and spread over draws of each metric and size."""
    groups = draws.melt("members", var_name="metric").groupby(["metric", "members"], sort=False)["value"]
    with np.errstate(invalid="ignore"):  # infinite losses have no spread
        table = groups.agg(value="mean", spread="std").reset_index()
        low, high = table["value"] - table["spread"], table["value"] + table["spread"]
    return table.assign(series="mc_dropout", low=low, high=high).drop(columns="spread")


def _facts(
    networks: Sequence[tuple[Predictions, Predictions]], labels: IntArray, sizes: Sequence[int], seed: int
) -> Iterator[Fact]:
    margin, most = MARGINS["error"], sizes[-1]
    below, up_to = (
        max((k for k in sizes if k < 10), default=None),
        max((k for k in sizes if 10 <= k <= 100), default=None),
    )
    scaled = np.stack([error(scaling.probs[0], labels) for _, scaling in networks])

    def passes(k: int) -> FloatArray:
        return np.stack([_mean_error(pool, labels, k, seed) for pool, _ in networks])

    def excess(k: int) -> tuple[Estimate, str]:
        own = passes(k)
        estimate = of_examples(own - scaled).unless(floor(margin, own.mean(), scaled.mean()))
        return estimate, f"k = {k}: {estimate.words(100)} points"

    level, count = f"weight scaling errs in {100 * scaled.mean():.2f} %", f"{len(networks)} networks"
    one = of_examples(passes(1) - scaled)
    yield judge("One pass errs more than weight scaling", one.above(), f"{one.words(100)} points; {level}, {count}")
    last, words = excess(most)
    statement = f"With {most} passes the error is that of weight scaling, within {100 * margin:g} points"
    yield judge(statement, last.within(margin), f"{words}; {level}, {count}")
    if below is None or up_to is None:
        return
    (early, said), (late, told) = excess(below), excess(up_to)
    statement = (
        f"It takes from 10 to 100 passes: the error is within {100 * margin:g} points of weight scaling's with {up_to} "
        f"passes, and further above it with {below}"
    )
    yield judge(statement, every(late.within(margin), early.above(margin)), f"{said}, {told}; {level}, {count}")


def _mean_error(pool: Predictions, labels: IntArray, size: int, seed: int) -> FloatArray:
    """Return each example's error by `size` passes, mean over draws; exactly for one pass."""
    chances = np.full(pool.members, 1 / pool.members) if pool.weights is None else pool.weights / pool.weights.sum()
    if size == 1:
        return np.asarray(chances @ np.stack([error(one, labels) for one in pool.probs]))
    shares = stream(seed, "passes", size).multinomial(size, chances, size=_DRAWS) / size
    return np.asarray(np.mean([error(mean, labels) for mean in _means(pool, shares)], axis=0))
