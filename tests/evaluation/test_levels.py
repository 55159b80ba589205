"""The level of the whole way from predictions to the verdict, on networks whose truth is known.

`scripts/levels.py` makes the networks, and more of them: `python scripts/levels.py --trials 1000`.
"""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

SCRIPT = Path(__file__).parents[2] / "scripts" / "levels.py"


@pytest.fixture(scope="module")
def levels():
    spec = importlib.util.spec_from_file_location("levels", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def cells(levels):
    """What is found for each number of networks and repetitions, with seeds as measured and twice that."""
    return {
        (times, members, repetitions, metric): found
        for times in (1, 2)
        for members, trials in ((1, 120), (5, 60), (15, 40))
        for repetitions in (1, 2, 3, 5)
        for metric, found in levels.simulate(repetitions, members, times * levels.MEASURED, trials).items()
    }


def bounds(hits, level=0.99):
    """Where the true rate is, given these hits."""
    return stats.binomtest(int(np.sum(hits)), len(hits)).proportion_ci(level, method="exact")


def test_networks_differ_as_real_ones_do(levels):
    """The ratios of variances between seeds and flips are 1.6 in error and 3.4 in NLL, with 4,000 examples or these."""
    rng = np.random.default_rng(0)
    hardness = rng.normal(levels.HARDNESS, levels.SPREAD, levels.EXAMPLES)
    right = levels.networks(rng, hardness, 1, 400, levels.MEASURED)[0][0][..., 0]
    for scores, ratio in ((right < 0.5, 1.6), (-np.log(right), 3.4)):
        scores = scores.astype(float)
        means = scores.mean(axis=1)
        own = scores - scores.mean(axis=0) - (means - means.mean())[:, None]
        flips = (own**2).sum() / (399 * 999) / 1000
        assert (means.var(ddof=1) - flips) / flips == pytest.approx(ratio, rel=0.35)


@pytest.mark.slow
def test_no_family_of_questions_raises_more_false_alarms_than_its_level(cells):
    for cell, found in cells.items():
        assert bounds(found.family).low <= 0.05, cell
    everything = [alarm for found in cells.values() if found.alone for alarm in found.family]
    assert bounds(everything).low <= 0.05
    assert bounds(everything).high >= 0.02  # nor is it cautious without end


@pytest.mark.slow
def test_nothing_is_tested_of_one_network_in_fewer_than_three_repetitions(cells):
    for (_, members, repetitions, _), found in cells.items():
        assert bool(found.alone) == (members * repetitions >= 3)


@pytest.mark.slow
def test_intervals_hold_the_truth_as_often_as_they_claim(cells):
    for (*cell, members, repetitions, metric), found in cells.items():
        if members * repetitions < 3:
            continue
        for part in ("alone", "scores"):
            held = getattr(found, part)
            # the intervals of one trial are not independent of each other: 0.02 more than a binomial law would allow
            assert bounds(held).low <= 0.98, (cell, members, repetitions, metric, part)
            assert bounds(held).high >= 0.93, (cell, members, repetitions, metric, part)
    for part in ("alone", "scores"):
        held = [one for (_, n, r, _), found in cells.items() if n * r >= 3 for one in getattr(found, part)]
        assert 0.94 < np.mean(held) < 0.97


@pytest.mark.slow
def test_more_networks_show_more(levels):
    few, many = (levels.simulate(3, members, levels.MEASURED, 40, gain=0.2) for members in (1, 15))
    for metric in levels.METRICS:
        assert np.mean(many[metric].power) > np.mean(few[metric].power) + 0.2
