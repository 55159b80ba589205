"""Diversity against accuracy: found without drawing, and between what two errors make possible."""

import numpy as np
import pandas as pd
import pytest

from ensemble_vs_dropout.evaluation.findings.diversity_accuracy_plane import _facts, diversity_accuracy_plane, limits
from ensemble_vs_dropout.plots import DiversityAccuracyPlane
from ensemble_vs_dropout.types import Predictions

LABELS = np.arange(60) % 4


def pool(members, signal=0.5, seed=0):
    logits = signal * np.eye(4)[LABELS] + np.random.default_rng(seed).normal(0, 0.4, (members, 60, 4))
    return Predictions(np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True))


CLOUDS = {"independent networks": pool(6, seed=1), "good": (pool(1, 0.9, 2), pool(5, 0.9, 3)), "bad": pool(4, -0.5, 4)}


def test_the_display_draws_what_is_found():
    clouds = {**CLOUDS, "perfect": Predictions(np.eye(4)[LABELS][None])}
    found = diversity_accuracy_plane(pool(1), clouds, LABELS)
    display = DiversityAccuracyPlane.from_predictions(pool(1), clouds, LABELS, dataset="d")
    pd.testing.assert_frame_equal(display.table, found.table)
    assert display.facts == found.facts
    assert found.told == {"own": ["good"], "lost": 1}


def test_disagreement_lies_between_the_difference_and_the_sum_of_the_errors():
    table = diversity_accuracy_plane(pool(1), CLOUDS, LABELS).table
    bases = table[table["role"] == "base"].set_index("cloud")
    assert (bases["disagreement"] == 0).all()
    for cloud, dots in table[table["role"] == "member"].groupby("cloud"):
        own = 1 - bases["accuracy"].get(cloud, bases["accuracy"]["the base network"])
        high, _, low = limits(1 - dots["accuracy"].to_numpy(), own, 4)
        assert (dots["disagreement"] > 0).all()
        assert dots["disagreement"].between(low - 1e-12, high + 1e-12).all()


def test_independent_errors_disagree_as_the_curve_says():
    rng = np.random.default_rng(0)
    truth = rng.integers(4, size=200_000)
    first, second = (
        np.where(rng.random(len(truth)) < wrong, (truth + rng.integers(1, 4, len(truth))) % 4, truth)
        for wrong in (0.2, 0.35)
    )
    most, independent, least = limits(np.array(0.2), 0.35, 4)
    assert (first != second).mean() == pytest.approx(independent, abs=0.005)
    assert (most, least) == pytest.approx((0.55, 0.15))


@pytest.mark.parametrize(
    ("accuracies", "values", "held", "numbers"),
    [
        ([0.90, 0.89, 0.70], [0.5, 1.5, 9.0], False, "in 1 of 2 pairs (accuracies at most 1.0 points apart)"),
        ([0.90, 0.91, 0.895], [0.5, 0.9, 1.5], True, "in 2 of 3 pairs (accuracies at most 1.0 points apart)"),
        ([0.80, 0.7, 0.6, 0.5, 0.4, 0.3], [2.0, 0, 0, 0, 0, 0], True,
         "in 4 of 5 pairs (accuracies at most 50.0 points apart)"),
        ([0.80, 0.7], [1.0, 1.0], False, "in 0 of 2 pairs (accuracies at most 20.0 points apart)"),
    ],
)  # fmt: skip
def test_networks_are_compared_with_the_points_of_about_their_accuracy(accuracies, values, held, numbers):
    cloud = pd.DataFrame({"role": "member", "cloud": "a", "accuracy": accuracies, "value": values})
    network = pd.DataFrame({"role": "member", "cloud": "i", "accuracy": [0.90], "value": [1.0]})
    (fact,) = _facts(pd.concat([network, cloud]), "i")
    assert (fact.held, fact.numbers) == (held, f"higher disagreement / error {numbers}")
