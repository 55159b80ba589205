"""Two formulations of dropout are one function: on trained networks, in prediction and in every pass."""

import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.models.classic_dropout import ClassicDropout, to_classic, to_inverted
from ensemble_vs_dropout.predictors import MonteCarloDropout, WeightScaling

LAYERS = keras.layers
LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def dense():
    return keras.Sequential(
        [
            keras.Input((6,)),
            LAYERS.Dropout(0.2),
            LAYERS.Dense(12),
            LAYERS.BatchNormalization(),
            LAYERS.ReLU(),
            LAYERS.Dropout(0.5),
            LAYERS.Dense(8, activation="tanh"),
            LAYERS.Dropout(0.3),
            LAYERS.Dense(3),
        ]
    )


def convolution():
    return keras.Sequential(
        [
            keras.Input((6,)),
            LAYERS.Reshape((2, 3, 1)),
            LAYERS.Conv2D(4, 2, padding="same", activation="relu"),
            LAYERS.Dropout(0.4),
            LAYERS.MaxPooling2D((1, 2)),
            LAYERS.Conv2D(5, 2, padding="same"),
            LAYERS.Activation("relu"),
            LAYERS.Flatten(),
            LAYERS.Dropout(0.25),
            LAYERS.Dense(3),
        ]
    )


def branched():
    inputs = keras.Input((6,))
    dropped = LAYERS.Dropout(0.5)(LAYERS.Dense(8, activation="relu")(inputs))
    both = LAYERS.Concatenate()([LAYERS.Dense(4)(dropped), LAYERS.Dense(4, activation="relu")(dropped)])
    return keras.Model(inputs, LAYERS.Dense(3)(both))


def nested():
    inner = keras.Sequential([keras.Input((6,)), LAYERS.Dense(8), LAYERS.Dropout(0.5), LAYERS.Dense(5)])
    return keras.Sequential([keras.Input((6,)), inner, LAYERS.Dropout(0.2), LAYERS.Dense(3)])


NETWORKS = {"dense": dense, "convolution": convolution, "branched": branched, "nested": nested}


def trained(blobs, name):
    x, y = blobs(60)
    model = NETWORKS[name]()
    model.compile(keras.optimizers.Adam(0.02), LOGITS, metrics=["accuracy"])
    model.fit(x, y, epochs=6, verbose=0)
    return model, x[:12]


@pytest.mark.parametrize(
    "name", ["dense", *(pytest.param(n, marks=pytest.mark.slow) for n in NETWORKS if n != "dense")]
)
def test_converting_a_trained_network_changes_no_prediction_and_no_pass(name, blobs):
    model, x = trained(blobs, name)
    classic = to_classic(model)
    back = to_inverted(classic)
    kinds = [type(layer) for layer in classic._flatten_layers() if isinstance(layer, LAYERS.Dropout)]
    assert kinds
    assert set(kinds) == {ClassicDropout}
    expected = WeightScaling(model).predict(x)
    passes = MonteCarloDropout(model, passes=6, seed=3).predict_members(x).probs
    for other in (classic, back):
        np.testing.assert_allclose(WeightScaling(other).predict(x), expected, atol=1e-6)
        np.testing.assert_allclose(
            MonteCarloDropout(other, passes=6, seed=3).predict_members(x).probs, passes, atol=1e-6
        )
    for before, after in zip(model.get_weights(), back.get_weights(), strict=True):
        np.testing.assert_allclose(before, after, rtol=1e-6)
    assert any(not np.allclose(a, b) for a, b in zip(model.get_weights(), classic.get_weights(), strict=True))


def test_training_and_predicting_are_as_first_published():
    layer = ClassicDropout(0.25, seed=1)
    x = np.random.default_rng(0).normal(size=(200, 50)).astype("float32")
    np.testing.assert_allclose(np.asarray(layer(x)), 0.75 * x, rtol=1e-6)
    dropped = np.asarray(layer(x, training=True))
    kept = dropped != 0
    np.testing.assert_array_equal(dropped[kept], x[kept])
    assert kept.mean() == pytest.approx(0.75, abs=0.02)
    np.testing.assert_array_equal(np.asarray(ClassicDropout(0.0)(x, training=True)), x)


def test_it_is_saved_and_loaded_with_its_rate(tmp_path):
    model = keras.Sequential([keras.Input((4,)), ClassicDropout(0.3), LAYERS.Dense(2)])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    assert isinstance(loaded.layers[0], ClassicDropout)
    assert loaded.layers[0].rate == 0.3


@pytest.mark.slow
def test_biases_are_not_scaled(blobs):
    model, _ = trained(blobs, "dense")
    for before, after in zip(model.layers, to_classic(model).layers, strict=True):
        if isinstance(before, LAYERS.Dense):
            np.testing.assert_array_equal(np.asarray(before.bias), np.asarray(after.bias))


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([LAYERS.Dropout(0.5), LAYERS.BatchNormalization(), LAYERS.Dense(3)], "BatchNormalization.*no kernel to scale"),
        ([LAYERS.Dropout(0.5), LAYERS.Activation("tanh"), LAYERS.Dense(3)], "no kernel to scale"),
        ([LAYERS.Dense(3), LAYERS.Dropout(0.5)], "leads to no kernel"),
    ],
)
def test_a_dropout_layer_that_leads_to_no_kernel_is_refused(layers, words):
    model = keras.Sequential([keras.Input((6,)), *layers])
    model.compile("sgd", LOGITS)
    with pytest.raises(InputError, match=words):
        to_classic(model)


def test_a_subclassed_model_is_refused():
    class Own(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(InputError, match="must be functional or sequential"):
        to_classic(Own())
