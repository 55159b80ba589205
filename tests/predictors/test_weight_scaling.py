"""What is exactly true of dropout: weight scaling against the enumeration of all masks, by hand from the weights."""

import itertools

import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.measures import STANDARD_RULES, aggregate
from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.predictors import MonteCarloDropout, WeightScaling
from ensemble_vs_dropout.types import Predictions

UNITS, RATE = 6, 0.4


def trained(blobs, where):
    """A network with one dropout layer of 6 units, before its last layer or under a ReLU."""
    x, y = blobs(60)
    drop = keras.layers.Dropout(RATE)
    layers = [keras.layers.Dense(UNITS, activation="tanh"), keras.layers.Dense(3)]
    if where == "last":
        layers.insert(1, drop)
    else:
        layers[0] = keras.layers.Dense(5, activation="relu")
        layers.insert(0, drop)
    model = keras.Sequential([keras.Input((6,)), *layers])
    model.compile(keras.optimizers.Adam(0.05), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, y, epochs=8, verbose=0)
    return model, x[:20]


def all_masks():
    masks = np.array(list(itertools.product([0, 1], repeat=UNITS)))
    kept = masks.sum(axis=1)
    return masks, (1 - RATE) ** kept * RATE ** (UNITS - kept)


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def enumerate_masks(model, x, where):
    w1, b1, w2, b2 = (w.astype(float) for w in model.get_weights())
    masks, weights = all_masks()
    probs = []
    for mask in masks / (1 - RATE):
        if where == "last":
            logits = (np.tanh(x @ w1 + b1) * mask) @ w2 + b2
        else:
            logits = np.maximum((x * mask) @ w1 + b1, 0) @ w2 + b2
        probs.append(softmax(logits))
    return np.stack(probs), weights


def test_masks_divided_by_the_keep_probability_have_mean_1_and_variance_of_the_odds():
    masks, weights = all_masks()
    scaled = masks / (1 - RATE)
    assert weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(weights @ scaled, 1, atol=1e-12)
    np.testing.assert_allclose(weights @ (scaled - 1) ** 2, RATE / (1 - RATE), atol=1e-12)


@pytest.mark.slow
def test_before_the_last_layer_weight_scaling_is_the_geometric_mean_over_all_masks(blobs):
    model, x = trained(blobs, "last")
    probs, weights = enumerate_masks(model, x, "last")
    scaled = WeightScaling(model).predict(x)
    np.testing.assert_allclose(scaled, aggregate(probs, "geometric_mean", weights), atol=1e-5)
    assert np.abs(scaled - aggregate(probs, "mean", weights)).max() > 1e-3  # the arithmetic mean is another thing


@pytest.mark.slow
def test_under_a_relu_weight_scaling_is_only_near_the_geometric_mean(blobs):
    model, x = trained(blobs, "relu")
    probs, weights = enumerate_masks(model, x, "relu")
    gap = np.abs(WeightScaling(model).predict(x) - aggregate(probs, "geometric_mean", weights))
    assert gap.max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("where", ["last", "relu"])
def test_many_passes_approach_the_mean_over_all_masks(blobs, where):
    model, x = trained(blobs, where)
    probs, weights = enumerate_masks(model, x, where)
    passes = 3000
    exact = aggregate(probs, "mean", weights)
    spread = np.sqrt(np.einsum("m,mnk->nk", weights, (probs - exact) ** 2) / passes)
    sampled = MonteCarloDropout(model, passes=passes, seed=1).predict(x)
    assert (np.abs(sampled - exact) < 5 * spread + 1e-6).all()
    assert np.abs(sampled - WeightScaling(model).predict(x)).max() > 5 * spread.max()


@pytest.mark.slow
def test_every_pass_before_the_last_layer_is_one_of_the_enumerated_networks(blobs):
    model, x = trained(blobs, "last")
    probs, _ = enumerate_masks(model, x, "last")
    for pass_ in MonteCarloDropout(model, passes=5).predict_members(x).probs:
        nearest = np.abs(probs - pass_).max(axis=2).min(axis=0)
        assert nearest.max() < 1e-5


@pytest.mark.slow
def test_original_dropout_with_scaled_weights_is_the_same_network_in_both_phases(blobs):
    # Srivastava et al. (2014): masks are not rescaled while training, the weights behind them by the keep probability
    # at prediction. The bias is not scaled.
    model, x = trained(blobs, "last")
    w1, b1, w2, b2 = (w.astype(float) for w in model.get_weights())
    keep, hidden = 1 - RATE, np.tanh(x @ w1 + b1)
    original = w2 / keep
    at_prediction = softmax(hidden @ (keep * original) + b2)
    np.testing.assert_allclose(WeightScaling(model).predict(x), at_prediction, atol=1e-6)
    thinned = np.stack([softmax((hidden * mask) @ original + b2) for mask in all_masks()[0]])
    for pass_ in MonteCarloDropout(model, passes=3).predict_members(x).probs:
        assert np.abs(thinned - pass_).max(axis=2).min(axis=0).max() < 1e-5
    wrong = softmax(hidden @ (keep * original) + keep * b2)  # what scaling the bias too would give
    assert np.abs(wrong - at_prediction).max() > 1e-3


def test_it_is_one_member_that_every_mean_leaves_as_it_is(small, blobs):
    x, _ = blobs(12)
    scaled = WeightScaling(small())
    members = scaled.predict_members(x, batch_size=5)
    assert isinstance(members, Predictions)
    assert members.probs.shape == (1, 12, 3)
    assert members.method == "weight scaling"
    for rule in STANDARD_RULES:
        np.testing.assert_allclose(scaled.predict(x, rule=rule), aggregate(members.probs, rule), atol=1e-6)
    np.testing.assert_allclose(scaled.predict(x), softmax(scaled.model.predict(x, verbose=0)), atol=1e-6)
    with pytest.raises(InputError, match="unknown rule"):
        scaled.predict(x, rule="best")


def test_it_changes_nothing_of_the_model(small, blobs):
    x, _ = blobs(12)
    model = small(batch_norm=True)
    before = [np.asarray(v).copy() for v in model.variables]
    WeightScaling(model).predict(x)
    assert all(np.array_equal(a, np.asarray(b)) for a, b in zip(before, model.variables, strict=True))


def test_a_network_without_dropout_is_scaled_by_nothing(small, blobs):
    x, _ = blobs(12)
    model = small(rate=0)
    np.testing.assert_allclose(WeightScaling(model).predict(x), softmax(model.predict(x, verbose=0)), atol=1e-6)


def test_one_prediction_costs_the_network_once(small):
    assert WeightScaling(small(units=(8,))).multiply_adds == 6 * 8 + 8 * 3
