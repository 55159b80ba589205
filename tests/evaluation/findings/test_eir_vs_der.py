"""Improvement against disagreement: found without drawing, and within the bounds of Theisen et al. (2023)."""

import numpy as np
import pandas as pd
import pytest

from ensemble_vs_dropout.evaluation.findings.eir_vs_der import eir_vs_der
from ensemble_vs_dropout.plots import EIRVersusDER
from ensemble_vs_dropout.types import Predictions


def pool(accuracy, members=5, common=0.3, seed=0, classes=3):
    """Members that are right where their draw is low; a share of the draws is common to all."""
    rng = np.random.default_rng(seed)
    shape, labels = (members, 120), np.arange(120) % classes
    draws = np.where(rng.random(shape) < common, rng.random(120), rng.random(shape))
    said = np.where(draws < accuracy, labels, (labels + rng.integers(1, classes, shape)) % classes)
    return Predictions(np.eye(classes)[said]), labels


def pools(classes=3):
    grid = [(accuracy, common) for accuracy in (0.3, 0.6, 0.8, 0.95) for common in (0.1, 0.5, 0.9)]
    given = [(str(one), "ensemble", pool(one[0], 5, one[1], seed, classes)[0]) for seed, one in enumerate(grid)]
    return given, pool(0.5, classes=classes)[1]


def test_the_display_draws_what_is_found():
    given, labels = pools()
    given.append(("perfect", "single", Predictions(np.eye(3)[labels][None])))
    found, display = eir_vs_der(given, labels), EIRVersusDER.from_predictions(given, labels, dataset="d")
    pd.testing.assert_frame_equal(display.table, found.table)
    assert display.facts == found.facts
    assert found.told == {"examples": 120, "never": 1}


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_improvement_lies_below_disagreement_and_above_the_lower_bound_where_pools_are_competent(classes):
    table = eir_vs_der(*pools(classes)).table
    points = table[table["panel"] == "rates"]
    competent = points[points["competent"].astype(bool)]
    assert 0 < len(competent) < len(points)
    assert (points["value"] <= points["x"] + 1e-9).all()
    slope, offset = 2 * (classes - 1) / classes, (3 * classes - 4) / classes
    assert (competent["value"] >= slope * competent["x"] - offset - 1e-9).all()


def test_rates_that_do_not_rise_together_are_told():
    few = [(str(seed), "ensemble", pool(0.8, 2, common=0.0, seed=seed)[0]) for seed in range(3)]  # two cannot gain
    many = [(str(seed), "ensemble", pool(0.8, 7, common=0.9, seed=seed)[0]) for seed in range(3)]
    (fact,) = eir_vs_der(few + many, pool(0.8)[1]).facts
    assert not fact.held
