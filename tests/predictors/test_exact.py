"""All masks of small trained networks: what is exactly true of dropout, and Monte Carlo's way to it."""

import itertools

import numpy as np
import pytest
from scipy.stats import kstest, norm

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.measures import aggregate
from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.models.classic_dropout import ClassicDropout
from ensemble_vs_dropout.predictors import ExactDropout, MonteCarloDropout, WeightScaling

LAYERS = keras.layers
LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def trained(blobs, *layers):
    """A network with these layers before its last one, trained a little."""
    x, y = blobs(90)
    model = keras.Sequential([keras.Input((6,)), *layers, LAYERS.Dense(3)])
    model.compile(keras.optimizers.Adam(0.03), LOGITS)
    model.fit(x, y, epochs=8, verbose=0)
    return model, x[:15]


def head_only(blobs, rate=0.4, units=6):
    return trained(blobs, LAYERS.Dense(units, activation="tanh"), LAYERS.Dropout(rate))


def under_relu(blobs):
    return trained(blobs, LAYERS.Dropout(0.4), LAYERS.Dense(5, activation="relu"))


def two_layers(blobs):
    return trained(blobs, LAYERS.Dropout(0.2), LAYERS.Dense(4, activation="relu"), LAYERS.Dropout(0.5), LAYERS.Dense(4))


def logits_by_hand(model, x, masks):
    """Logits of each joint mask, through NumPy: dense layers, activations and dropout in their order."""
    results = []
    for mask in masks:
        h, used = x.astype(float), 0
        for layer in model.layers:
            if isinstance(layer, LAYERS.Dropout):
                units = h.shape[1]
                h, used = h * mask[used : used + units] / (1 - layer.rate), used + units
            else:
                kernel, bias = (np.asarray(w, dtype=float) for w in (layer.kernel, layer.bias))
                h = h @ kernel + bias
                h = {"relu": lambda v: np.maximum(v, 0), "tanh": np.tanh}.get(layer.activation.__name__, lambda v: v)(h)
        results.append(h)
    return np.stack(results)


@pytest.mark.slow
@pytest.mark.parametrize("build", [head_only, under_relu, two_layers])
def test_every_mask_is_there_once_with_its_probability_and_predicts_what_it_does_by_hand(build, blobs):
    model, x = build(blobs)
    exact = ExactDropout(model)
    predictions = exact.predict_members(x, batch_size=4)
    units = len(exact.rates)
    masks = exact.masks()
    assert sorted(map(tuple, masks.tolist())) == sorted(itertools.product([False, True], repeat=units))
    by_hand = np.prod(np.where(masks, 1 - exact.rates, exact.rates), axis=1)
    np.testing.assert_allclose(predictions.weights, by_hand, atol=1e-12)
    assert predictions.weights.sum() == pytest.approx(1)
    logits = logits_by_hand(model, x, masks)
    expected = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(predictions.probs, expected, atol=2e-6)


# A3: weight scaling is the renormalised geometric mean where the logits are affine in the mask


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.2, 0.5, 0.7])
def test_weight_scaling_is_the_geometric_mean_over_all_masks_of_the_last_layers_inputs(rate, blobs):
    model, x = head_only(blobs, rate)
    np.testing.assert_allclose(
        ExactDropout(model).predict(x, rule="geometric_mean"), WeightScaling(model).predict(x), atol=1e-5
    )


@pytest.mark.slow
def test_and_of_a_deep_linear_network_with_masks_in_every_layer(blobs):
    layers = [LAYERS.Dropout(0.3), LAYERS.Dense(4), LAYERS.Dropout(0.5), LAYERS.Dense(3), LAYERS.Dropout(0.2)]
    model, x = trained(blobs, *layers)
    np.testing.assert_allclose(
        ExactDropout(model).predict(x, rule="geometric_mean"), WeightScaling(model).predict(x), atol=1e-5
    )


@pytest.mark.slow
def test_but_not_of_masks_under_a_relu_nor_of_the_arithmetic_mean(blobs):
    model, x = under_relu(blobs)
    off = np.abs(ExactDropout(model).predict(x, rule="geometric_mean") - WeightScaling(model).predict(x))
    assert off.max() > 1e-3
    model, x = head_only(blobs)
    off = np.abs(ExactDropout(model).predict(x, rule="mean") - WeightScaling(model).predict(x))
    assert off.max() > 1e-3


# A5: the closed form of a linear output


@pytest.mark.slow
def test_the_logits_of_all_masks_have_the_mean_and_the_variance_of_the_closed_form(blobs):
    model, x = head_only(blobs, rate=0.3)
    exact = ExactDropout(model)
    predictions = exact.predict_members(x)
    logs = np.log(predictions.probs.astype(float))
    differences = logs[:, :, 0] - logs[:, :, 1]  # of two logits: a linear output, which softmax does not touch
    hidden, last = model.layers[0], model.layers[-1]
    h = np.tanh(x.astype(float) @ np.asarray(hidden.kernel, float) + np.asarray(hidden.bias, float))
    kernel, bias = np.asarray(last.kernel, float), np.asarray(last.bias, float)
    w, b = kernel[:, 0] - kernel[:, 1], bias[0] - bias[1]
    mean = predictions.weights @ differences
    np.testing.assert_allclose(mean, h @ w + b, atol=1e-4)
    variance = predictions.weights @ (differences - mean) ** 2
    np.testing.assert_allclose(variance, 0.3 / 0.7 * (h**2) @ (w**2), rtol=1e-3)


# A7: Monte Carlo approaches the exact mean as 1 / sqrt(passes)


@pytest.mark.slow
@pytest.mark.parametrize("masks", ["per_example", "shared"])
def test_the_errors_of_many_seeds_are_those_of_an_unbiased_mean_of_independent_passes(masks, blobs):
    model, x = two_layers(blobs)
    exact = ExactDropout(model).predict_members(x[:1])
    p = exact.probs[:, 0, 0].astype(float)
    mean = exact.weights @ p
    deviation = np.sqrt(exact.weights @ (p - mean) ** 2)
    passes = 60
    traced, z = MonteCarloDropout(model, passes=passes, masks=masks), []
    for seed in range(150):
        sampler = MonteCarloDropout(model, passes=passes, seed=seed, masks=masks)
        sampler.share(traced)
        z.append((sampler.predict(x[:1])[0, 0] - mean) / (deviation / np.sqrt(passes)))
    assert kstest(z, norm.cdf).pvalue > 1e-3
    assert np.var(z) == pytest.approx(1, abs=0.45)


# The last layer alone, limits and deployment


@pytest.mark.slow
def test_only_the_last_layers_masks_with_the_others_in_inference_mode(blobs):
    model, x = two_layers(blobs)
    last = ExactDropout(model, layers="last")
    assert last.members == 2**4
    sampled = MonteCarloDropout(model, passes=2, layers="last", masks="shared").predict_members(x).probs
    for probs in sampled:
        assert np.abs(last.predict_members(x).probs - probs).max(axis=(1, 2)).min() < 1e-6


@pytest.mark.slow
def test_spatial_and_classic_dropout_are_enumerated_too(blobs):
    inputs = np.random.default_rng(0).normal(size=(4, 5, 3)).astype("float32")
    model = keras.Sequential([keras.Input((5, 3)), LAYERS.SpatialDropout1D(0.3), LAYERS.Flatten(), LAYERS.Dense(2)])
    model.compile("sgd", LOGITS)
    assert ExactDropout(model).members == 2**3
    np.testing.assert_allclose(
        ExactDropout(model).predict(inputs, rule="geometric_mean"), WeightScaling(model).predict(inputs), atol=1e-5
    )
    model, x = trained(blobs, LAYERS.Dense(6, activation="tanh"), ClassicDropout(0.4))
    np.testing.assert_allclose(
        ExactDropout(model).predict(x, rule="geometric_mean"), WeightScaling(model).predict(x), atol=1e-5
    )


@pytest.mark.slow
def test_more_units_than_allowed_are_refused_with_their_count(blobs):
    model, _ = trained(blobs, LAYERS.Dropout(0.5), LAYERS.Dense(20), LAYERS.Dropout(0.5))
    with pytest.raises(
        InputError, match=r"max_units is 16, and .* have 6 \+ 20 = 26 units, which make 6.71e\+07 masks"
    ):
        ExactDropout(model)
    assert ExactDropout(model, max_units=26).members == 2**26
    noise = keras.Sequential([keras.Input((6,)), LAYERS.GaussianDropout(0.3), LAYERS.Dense(3)])
    noise.compile("sgd", LOGITS)
    with pytest.raises(InputError, match="must be a dropout layer for its masks to be enumerated"):
        ExactDropout(noise)


@pytest.mark.slow
def test_one_model_of_all_masks_predicts_what_they_do(blobs, tmp_path):
    model, x = trained(blobs, LAYERS.Dense(3, activation="relu"), LAYERS.Dropout(0.2))
    exact = ExactDropout(model)
    predictions = exact.predict_members(x)
    for rule in ("mean", "geometric_mean", "majority_vote"):
        fused = exact.to_keras(rule)
        expected = aggregate(predictions.probs, rule, predictions.weights)
        np.testing.assert_allclose(fused.predict(x, verbose=0), expected, atol=1e-5)
    np.testing.assert_allclose(WeightScaling(exact.materialise(5)).predict(x), predictions.probs[5], atol=1e-6)
    model, _ = head_only(blobs, units=9)
    with pytest.raises(InputError, match="one model of 512 thinned networks"):
        ExactDropout(model).to_keras()


@pytest.mark.slow
def test_the_models_own_streams_and_layers_are_left_as_they_were(blobs):
    model, x = two_layers(blobs)
    before = [np.asarray(v).copy() for v in model.variables]
    ExactDropout(model).predict(x)
    assert all(np.array_equal(a, np.asarray(b)) for a, b in zip(before, model.variables, strict=True))
    assert all("call" not in vars(layer) for layer in model.layers)


def test_what_precedes_the_masks_costs_once_and_the_rest_once_for_each_mask():
    layers = [LAYERS.Dense(5), LAYERS.Dropout(0.5), LAYERS.Dense(3)]
    model = keras.Sequential([keras.Input((4,)), *layers])
    model.compile("sgd", LOGITS)
    assert ExactDropout(model).multiply_adds == 4 * 5 + 2**5 * 5 * 3
