"""Diversity against accuracy: found without drawing, and between what two errors make possible."""

import numpy as np
import pandas as pd
import pytest

from ensemble_vs_dropout.evaluation.findings.diversity_accuracy_plane import diversity_accuracy_plane, limits
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


def network(rng, wrong, differ_from, alike):
    """Return labels of which a share is wrong: `alike` of it where another network is wrong too."""
    out = TRUTH.copy()
    both = rng.random(len(TRUTH)) < alike
    own = rng.random(len(TRUTH)) < wrong
    out = np.where(both, differ_from, np.where(own, (TRUTH + rng.integers(1, 4, len(TRUTH))) % 4, TRUTH))
    return np.eye(4)[out]


TRUTH = np.random.default_rng(7).integers(4, size=2000)


def repetition(seed, alike, wrong=0.2):
    """Return a base network, independent networks, and a cloud that shares so much with the base network."""
    rng = np.random.default_rng(seed)
    base = network(rng, 0.2, TRUTH, 0.0)
    said = base.argmax(axis=1)
    others = [network(rng, 0.2, TRUTH, 0.0) for _ in range(4)]
    cloud = [network(rng, wrong, said, alike) for _ in range(6)]
    return Predictions(base[None]), {"i": Predictions(np.stack(others)), "c": Predictions(np.stack(cloud))}


def judged(repetitions):
    first, *further = repetitions
    (fact,) = diversity_accuracy_plane(*first, TRUTH, independent="i", further=further).facts
    return fact


def test_networks_that_disagree_more_at_equal_accuracy_are_told_and_those_that_do_not():
    alike = [repetition(seed, 0.6) for seed in range(4)]
    assert judged(alike).outcome == "held"
    turned = [(base, {"i": clouds["c"], "c": clouds["i"]}) for base, clouds in alike]
    assert judged(turned).outcome == "did not hold"
    assert judged([repetition(seed, 0.0) for seed in range(4)]).outcome == "cannot be judged"  # as independent


def test_few_examples_cannot_tell():
    few = slice(0, 40)
    alike = [repetition(1, 0.1), *[repetition(1, 0.1)] * 2]  # as if networks did not differ: examples alone are noise
    (fact,) = diversity_accuracy_plane(*cut(alike[0], few), TRUTH[few], independent="i",
                                       further=[cut(one, few) for one in alike[1:]]).facts  # fmt: skip
    assert fact.outcome == "cannot be judged"
    assert fact.reason.startswith("within the noise")


def cut(one, examples):
    base, clouds = one
    return Predictions(base.probs[:, examples]), {
        name: Predictions(cloud.probs[:, examples]) for name, cloud in clouds.items()
    }


def test_pairs_that_share_a_base_network_count_once():
    fact = judged([repetition(0, 0.6)])
    assert (fact.outcome, fact.reason[:12]) == ("cannot be judged", "of 1 network")
    assert "pairs of 1 base network" in fact.numbers


def test_without_equal_accuracy_nothing_is_compared():
    fact = judged([repetition(seed, 0.6, wrong=0.9) for seed in range(4)])
    assert (fact.outcome, fact.reason) == ("cannot be judged", "no equal accuracy in 4 of 4 repetitions")
    known, unknown = ([repetition(seed, 0.6, wrong=wrong) for seed in range(2)] for wrong in (0.2, 0.9))
    assert judged([*known, *unknown]).reason == "no equal accuracy in 2 of 4 repetitions"
