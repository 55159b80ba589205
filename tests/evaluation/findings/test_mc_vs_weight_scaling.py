"""Averaged passes against weight scaling: found without drawing; averaging makes no convex loss worse."""

import itertools

import numpy as np
import pandas as pd
import pytest

from ensemble_vs_dropout.evaluation.findings.mc_vs_weight_scaling import mc_vs_weight_scaling
from ensemble_vs_dropout.measures import brier, nll
from ensemble_vs_dropout.plots import MCVersusWeightScaling
from ensemble_vs_dropout.types import Predictions

LABELS = np.arange(60) % 3


def pool(members, seed=0, weights=None):
    return Predictions(np.random.default_rng(seed).dirichlet(np.ones(3), (members, 60)), weights)


def found(passes, **given):
    return mc_vs_weight_scaling(passes, pool(1, seed=1), LABELS, **given)


def test_the_display_draws_what_is_found():
    given = {"sizes": [1, 5], "repeats": 4, "exact": pool(4, weights=[0.1, 0.2, 0.3, 0.4]), "seed": 2}
    display = MCVersusWeightScaling.from_predictions(pool(6), pool(1, seed=1), LABELS, dataset="d", **given)
    pd.testing.assert_frame_equal(display.table, found(pool(6), **given).table)
    assert display.facts == found(pool(6), **given).facts


@pytest.mark.parametrize("weights", [None, [0.1, 0.2, 0.3, 0.4]])
def test_the_expected_brier_score_is_that_of_all_draws_with_replacement_down_to_the_pools(weights):
    few = pool(4, weights=weights)
    chances = np.full(4, 0.25) if weights is None else np.array(weights)
    rows = found(few, sizes=[1, 2, 3], repeats=2).table.query("series == 'expected'")
    for k, value in rows[["members", "value"]].itertuples(index=False):
        draws = [list(chosen) for chosen in itertools.product(range(4), repeat=k)]
        scores = [brier(few.probs[chosen].mean(axis=0), LABELS).mean() for chosen in draws]
        assert value == pytest.approx(np.average(scores, weights=[chances[chosen].prod() for chosen in draws]))
    gain = 2 * (rows["value"].iloc[0] - rows["value"].iloc[1])
    whole = brier(np.average(few.probs, axis=0, weights=chances), LABELS).mean()
    assert rows["value"].iloc[0] - gain == pytest.approx(whole)  # of endlessly many passes


def test_averaged_passes_have_no_higher_nll_and_brier_score_than_their_members():
    few = pool(3)
    table = found(few, sizes=[1, 2, 50], repeats=400).table.query("series == 'mc_dropout'")
    for metric, function in (("nll", nll), ("brier", brier)):
        values = table[table["metric"] == metric].set_index("members")["value"]
        members = np.mean([function(one, LABELS).mean() for one in few.probs])
        assert values[1] == pytest.approx(members, rel=0.02)  # 400 draws of one
        assert members > values[2] > values[50]


MANY = np.zeros(4000, dtype=int)


def network(seed, errs=0.1, lead=0.04):
    """Return passes that are sure of most and undecided in a quarter, and weight scaling that errs so often."""
    rng, place = np.random.default_rng(seed), np.arange(4000) / 4000
    top = np.where(place < 0.65, 0.9, np.where(place < 0.9, 0.5 + lead + 0.1 * rng.normal(size=(120, 4000)), 0.1))
    scaled = np.where(place < 1 - errs, 0.9, 0.1)
    return tuple(Predictions(np.stack([p, 1 - p], axis=-1).clip(0, 1)) for p in (top, scaled[None]))


def judged(networks, sizes=(1, 5, 100)):
    (first, *further) = networks
    return mc_vs_weight_scaling(*first, MANY, sizes=sizes, repeats=2, further=further).facts


@pytest.mark.slow
def test_passes_are_the_same_as_weight_scaling_within_a_margin_or_not():
    same = judged([network(seed) for seed in range(4)])
    assert [fact.outcome for fact in same] == ["held", "held", "held"]
    from_the_first = judged([network(seed, lead=0.12) for seed in range(4)], sizes=(1, 9, 100))
    assert [fact.outcome for fact in from_the_first] == ["held", "held", "did not hold"]
    worse = judged([network(seed, errs=0.08) for seed in range(4)])
    assert [fact.outcome for fact in worse] == ["held", "did not hold", "did not hold"]
    better = judged([network(seed, errs=0.12) for seed in range(4)])
    assert better[1].outcome == "did not hold"  # the same is not: at most as much
    # Three networks differ: their mean lies within the margin, and its noise does not.
    unsure = judged([network(seed, errs=0.09 + 0.01 * seed) for seed in range(3)])
    assert [fact.outcome for fact in unsure] == ["held", "cannot be judged", "cannot be judged"]
