"""Bias, variance and diversity: found without drawing, and exact parts of the risk at every size."""

import numpy as np
import pandas as pd
import pytest

from ensemble_vs_dropout.evaluation.findings.bias_variance_diversity import bias_variance_diversity
from ensemble_vs_dropout.plots import BiasVarianceDiversity
from ensemble_vs_dropout.types import Predictions

LABELS = np.arange(60) % 4


def trials(count=3, members=5, dtype="f8", seed=0, common=0.7):
    rng = np.random.default_rng(seed)
    truth = 2 * np.eye(4)[LABELS] + rng.normal(0, common, (60, 4))
    probs = np.exp(truth + rng.normal(0, 1.2, (count, members, 60, 4))).astype(dtype)
    return [Predictions(each) for each in probs / probs.sum(axis=-1, keepdims=True)]


def add_up(table):
    """Return the parts by loss and members, and check their sum."""
    parts = table[table["panel"] != "gain"].pivot(index=["loss", "members"], columns="part", values="value")
    total = parts["average_bias"] + parts["average_variance"] - parts["diversity"]
    np.testing.assert_allclose(parts["expected_loss"], total, rtol=1e-9, atol=1e-9)
    return parts


def test_the_display_draws_what_is_found():
    given = {"sizes": [1, 2, 4], "arm": "mc_dropout"}
    found = bias_variance_diversity(trials(), LABELS, **given)
    display = BiasVarianceDiversity.from_predictions(trials(), LABELS, dataset="d", **given)
    pd.testing.assert_frame_equal(display.table, found.table)
    assert display.facts == found.facts
    assert found.told == {"members": 5, "trials": 3, "lost": 0}


@pytest.mark.parametrize("count", [1, 3])
def test_the_parts_add_up_for_every_loss_and_size_and_one_member_has_no_diversity(count):
    parts = add_up(bias_variance_diversity(trials(count), LABELS).table)
    assert parts.xs(1, level="members")["diversity"].abs().max() < 1e-12
    assert parts.xs(5, level="members")["diversity"].min() > 1e-3
    assert parts.groupby("loss")[["average_bias", "average_variance"]].nunique().eq(1).all(axis=None)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_parts_of_single_precision_add_up(count):
    for seed in range(10):
        add_up(bias_variance_diversity(trials(count, 3, "f4", seed, common=3), LABELS).table)


def test_the_share_of_the_gain_that_diversity_tells_is_judged_by_trials():
    found = bias_variance_diversity(trials(6), LABELS, sizes=[2, 5])
    points = found.table.query("panel == 'gain' and loss == 'nll'")
    share = points["x"].corr(points["value"]) ** 2
    (fact,) = found.facts
    assert fact.numbers.startswith(f"R² = {share:.3f}, r = ")
    assert fact.numbers.endswith("over 12 points of 6 trials")
    assert fact.outcome == "cannot be judged"
    (fact,) = bias_variance_diversity(trials(20), LABELS, sizes=[3]).facts
    assert fact.outcome == "did not hold"
    (fact,) = bias_variance_diversity(trials(4), LABELS, sizes=[2, 5]).facts
    assert "of 4 groups" in fact.reason
    assert bias_variance_diversity(trials(2), LABELS, sizes=[2]).facts == ()
