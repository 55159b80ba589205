"""Entropy, mutual information and variance: the split is exact, bounded, and the same streamed."""

import numpy as np
import pytest
from scipy.stats import entropy as scipy_entropy

from ensemble_vs_dropout.measures import aggregate, brier, entropy, uncertainty
from ensemble_vs_dropout.measures.uncertainty import RunningUncertainty


def probs_of(seed, members=6, examples=40, classes=4, sharpness=0.3):
    return np.random.default_rng(seed).dirichlet(np.full(classes, sharpness), (members, examples))


def test_entropy_is_scipys_and_zero_at_certainty():
    probs = probs_of(0)
    np.testing.assert_allclose(entropy(probs), scipy_entropy(probs, axis=-1), atol=1e-12)
    assert entropy(np.array([[1.0, 0.0]])).tolist() == [0.0]
    assert entropy(np.full((1, 5), 0.2))[0] == pytest.approx(np.log(5))


def test_the_mutual_information_is_the_mean_divergence_of_the_members_from_their_mean():
    probs = probs_of(1)
    table, pooled = uncertainty(probs), aggregate(probs)
    divergence = scipy_entropy(probs, pooled[None], axis=-1).mean(axis=0)
    np.testing.assert_allclose(table.mutual_information, divergence, atol=1e-12)
    np.testing.assert_allclose(table.entropy, table.expected_entropy + table.mutual_information, atol=1e-12)
    assert (table.mutual_information >= 0).all()
    assert (table.mutual_information <= np.log(4) + 1e-12).all()


def test_the_variance_is_the_ambiguity_of_the_brier_score():
    probs = probs_of(2)
    labels = np.random.default_rng(3).integers(4, size=40)
    members = np.mean([brier(p, labels) for p in probs], axis=0)
    np.testing.assert_allclose(uncertainty(probs).variance, members - brier(aggregate(probs), labels), atol=1e-12)


def test_members_that_agree_have_neither_information_nor_variance():
    table = uncertainty(np.repeat(probs_of(4, members=1), 5, axis=0))
    np.testing.assert_allclose(table.mutual_information, 0, atol=1e-12)
    np.testing.assert_allclose(table.variance, 0, atol=1e-12)


def test_weights_and_streaming_give_what_repeated_members_give():
    probs, weights = probs_of(5, members=3), np.array([0.5, 0.25, 0.25])
    running = RunningUncertainty()
    running.add(probs[:1], weights[:1])
    running.add(probs[1:], weights[1:])
    repeated = uncertainty(probs[[0, 0, 1, 2]])
    np.testing.assert_allclose(running.result(), repeated, atol=1e-12)
    np.testing.assert_allclose(uncertainty(probs, weights), repeated, atol=1e-12)
