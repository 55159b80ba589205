"""Outputs that are no probabilities are refused, and the message says where and why."""

import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.inference import ExactDropout, MonteCarloDropout, WeightScaling
from ensemble_vs_dropout.keras_backend import keras
from ensemble_vs_dropout.training import Ensemble

L = keras.layers
X = np.random.default_rng(3).normal(size=(20, 6)).astype("float32")


def ending(function, units=1):
    """A model whose last layer Keras does not know, with dropout before it."""
    loss = "binary_crossentropy" if units == 1 else "sparse_categorical_crossentropy"
    last = L.Lambda(function, output_shape=(units,))
    model = keras.Sequential([keras.Input((6,)), L.Dropout(0.5), L.Dense(units), last])
    model.compile("sgd", loss)
    return model


@pytest.mark.parametrize("units", [1, 3])
def test_values_outside_0_1_are_refused_whoever_predicts(units):
    model = ending(lambda z: 5 * z if z.shape[-1] == 1 else z - keras.ops.mean(z, -1, keepdims=True) + 1 / 3, units)
    predictors = Ensemble.from_models([model]), WeightScaling(model), MonteCarloDropout(model, 3), ExactDropout(model)
    for predictor in predictors:
        for predict in (predictor.predict, predictor.predict_members, predictor.predict_uncertainty):
            with pytest.raises(InputError, match=r"member \d+, for example \d+ hold .* probabilities in \[0, 1\]"):
                predict(X)
    with pytest.raises(InputError, match="probabilities in"):
        MonteCarloDropout(model, 10, adaptive=0.1).predict(X, rule="majority_vote")


def test_what_does_not_sum_to_1_is_refused():
    with pytest.raises(InputError, match=r"for example 0 sum to 1\.5 over the classes"):
        WeightScaling(ending(lambda z: 0 * z + 0.5, 3)).predict(X)


def test_rounding_is_forgiven_and_never_below_0():
    model = ending(lambda z: keras.ops.sign(z) * 0.50001 + 0.5)
    probs = WeightScaling(model).predict(X)
    assert probs.min() == 0
    assert np.isfinite(WeightScaling(model).predict_uncertainty(X)).all(axis=None)


@pytest.mark.parametrize("batch_size", [4, 1024])
def test_features_of_nan_are_named_by_their_example(batch_size):
    x = X.copy()
    x[13, 2] = np.nan
    model = ending(keras.ops.sigmoid)
    told = r"for example 13 are NaN; the example's features hold NaN or infinity; drop or impute"
    for predictor in (WeightScaling(model), MonteCarloDropout(model, passes=2)):
        with pytest.raises(InputError, match=told):
            predictor.predict(x, batch_size=batch_size)
    with pytest.raises(InputError, match=told):
        MonteCarloDropout(model, 10, adaptive=0.1).predict(x, rule="majority_vote", batch_size=batch_size)


def test_weights_of_nan_are_told_from_features_of_nan():
    model = ending(keras.ops.sigmoid)
    model.set_weights([weights * np.nan for weights in model.get_weights()])
    with pytest.raises(InputError, match="for example 0 are NaN; its features are finite, so that the model's weights"):
        WeightScaling(model).predict(X)


def test_a_batch_of_a_source_counts_on():
    x = X.copy()
    x[13] = np.inf
    source = [x[:8], x[8:]]
    model = ending(lambda z: keras.ops.sigmoid(z - z))
    with pytest.raises(InputError, match="for example 13 are NaN"):
        WeightScaling(model).predict(iter(source))


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_is_no_fault(dtype):
    inputs = keras.Input((6,))
    for units, activation, loss in ((1, "sigmoid", "bce"), (30, "softmax", "sparse_categorical_crossentropy")):
        model = keras.Model(inputs, L.Dense(units, activation=activation, dtype=dtype)(inputs))
        model.compile("sgd", loss)
        probs = WeightScaling(model).predict(20 * X)
        assert probs.min() >= 0
        np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-3)
