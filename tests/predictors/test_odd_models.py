"""Models that a graph does not show at first sight: what could silently be another network is the same, or refused."""

import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.models.classic_dropout import ClassicDropout, to_classic
from ensemble_vs_dropout.models.random_layers import choose_layers, random_layers
from ensemble_vs_dropout.predictors import Ensemble, ExactDropout, MonteCarloDropout, WeightScaling
from ensemble_vs_dropout.predictors.export import fuse

pytestmark = pytest.mark.slow
LAYERS = keras.layers
LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def compiled(model, loss=LOGITS):
    model.compile("sgd", loss)
    return model


def x_of(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def attention():
    inputs = keras.Input((5, 4))
    attended = LAYERS.MultiHeadAttention(2, 3, dropout=0.5)(inputs, inputs)
    return compiled(keras.Model(inputs, LAYERS.Dense(3)(LAYERS.Flatten()(attended))))


def distributed():
    layers = [LAYERS.TimeDistributed(LAYERS.Dropout(0.5)), LAYERS.Flatten(), LAYERS.Dense(3)]
    return compiled(keras.Sequential([keras.Input((5, 4)), *layers]))


@pytest.mark.parametrize("build", [attention, distributed])
def test_a_random_layer_inside_another_layer_cannot_be_materialised_and_is_not_left_out(build):
    sampler = MonteCarloDropout(build(), passes=2, masks="shared")
    assert np.ptp(sampler.predict_members(x_of(4, 5, 4)).probs, axis=0).max() > 1e-3
    with pytest.raises(InputError, match="acts inside another layer"):
        sampler.materialise(0)


def test_adapted_normalisation_is_copied_into_one_model_a_pass_a_conversion_and_new_members(tmp_path):
    x = 5 + 3 * x_of(50, 4)

    def build():
        adapted = LAYERS.Normalization()
        adapted.adapt(x)
        layers = [adapted, LAYERS.Dense(6, activation="relu"), LAYERS.Dropout(0.5), LAYERS.Dense(3)]
        return compiled(keras.Sequential([keras.Input((4,)), *layers]))

    model = build()
    expected = WeightScaling(model).predict(x)
    np.testing.assert_allclose(fuse([model, model]).predict(x, verbose=0), expected, atol=1e-5)
    np.testing.assert_allclose(WeightScaling(to_classic(model)).predict(x), expected, atol=1e-5)
    sampler = MonteCarloDropout(model, passes=2, masks="shared")
    pass_0 = WeightScaling(sampler.materialise(0)).predict(x)
    np.testing.assert_allclose(pass_0, sampler.predict_members(x).probs[0], atol=1e-5)
    ensemble = Ensemble(build, members=1)
    ensemble.save(tmp_path / "e.zip")
    loaded = Ensemble.load(tmp_path / "e.zip")
    loaded.add_members(1)
    normalised = [np.asarray(model.layers[0](x)) for model in loaded.models]
    np.testing.assert_allclose(normalised[1], normalised[0], atol=1e-5)


def test_layers_of_nested_models_come_in_the_order_in_which_they_act():
    inner = [LAYERS.Dense(5), LAYERS.Dropout(0.5, name="early"), LAYERS.Dense(5), LAYERS.Dropout(0.5, name="late")]
    inner = keras.Sequential([keras.Input((4,)), *inner])
    model = compiled(keras.Sequential([keras.Input((4,)), inner, LAYERS.Dense(3)]))
    assert [layer.name for layer in random_layers(model)] == ["early", "late"]
    assert choose_layers(model, "last").layers[0].name == "late"


def test_a_nested_model_that_is_used_twice_draws_twice_and_is_not_materialised():
    inner = keras.Sequential([keras.Input((4,)), LAYERS.Dense(3), LAYERS.Dropout(0.5)])
    inputs = keras.Input((4,))
    heads = [LAYERS.Dense(3)(inner(inputs)), LAYERS.Dense(3)(inner(LAYERS.Dense(4)(inputs)))]
    model = compiled(keras.Model(inputs, LAYERS.Add()(heads)))
    assert ExactDropout(model).members == 2**6
    for predictor, number in ((MonteCarloDropout(model, passes=2, masks="shared"), 0), (ExactDropout(model), 5)):
        with pytest.raises(InputError, match="used more than once"):
            predictor.materialise(number)
    with pytest.raises(InputError, match="is used 2 times"):
        to_classic(model)


@pytest.mark.parametrize("layer", [LAYERS.ReLU(max_value=6), LAYERS.ReLU(threshold=1.0), LAYERS.Activation("relu6")])
def test_an_activation_with_a_bend_beside_zero_is_not_converted(layer):
    model = compiled(keras.Sequential([keras.Input((4,)), LAYERS.Dropout(0.5), layer, LAYERS.Dense(3)]))
    with pytest.raises(InputError, match="no kernel to scale"):
        to_classic(model)


def test_a_layer_that_is_frozen_after_a_prediction_changes_none():
    def build():
        layers = [LAYERS.Dense(4, use_bias=False) for _ in range(3)]
        return compiled(keras.Sequential([keras.Input((4,)), *layers]))

    ensemble, x = Ensemble(build, members=3), x_of(6, 4)
    before = ensemble.predict_members(x).probs
    ensemble.models[1].layers[0].trainable = False
    np.testing.assert_array_equal(ensemble.predict_members(x).probs, before)


def test_a_node_that_was_made_with_training_true_predicts_as_keras_does():
    inputs = keras.Input((4,))
    normed = LAYERS.BatchNormalization()(LAYERS.Dense(5)(inputs), training=True)
    model = compiled(keras.Model(inputs, LAYERS.Dense(3)(LAYERS.Dropout(1e-6)(normed))))
    x = 3 + x_of(8, 4)
    np.testing.assert_allclose(
        MonteCarloDropout(model, passes=2).predict(x), WeightScaling(model).predict(x), atol=1e-5
    )


def test_masks_that_a_recurrent_layer_draws_in_vain_are_not_counted():
    layers = [LAYERS.LSTM(6, dropout=0.2), LAYERS.Dropout(0.5, name="head"), LAYERS.Dense(3)]
    model = compiled(keras.Sequential([keras.Input((5, 4)), *layers]))
    exact = ExactDropout(model, layers="last")
    assert exact.members == 2**6
    x = x_of(3, 5, 4)
    np.testing.assert_allclose(
        WeightScaling(exact.materialise(5)).predict(x), exact.predict_members(x).probs[5], atol=1e-6
    )


def test_subclassed_models_are_enumerated_and_unbuilt_ones_told():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.drop, self.out = LAYERS.Dropout(0.4), LAYERS.Dense(3)

        def call(self, inputs, training=False):
            return self.out(self.drop(inputs, training=training))

    model = compiled(Own())
    x = x_of(6, 4)
    model(x)
    exact = ExactDropout(model)
    assert exact.members == 2**4
    np.testing.assert_allclose(exact.predict(x, rule="geometric_mean"), WeightScaling(model).predict(x), atol=1e-5)


class Custom(LAYERS.Dropout):
    """Drops as the test says."""

    how = None

    def call(self, inputs, training=False):
        return Custom.how(self, inputs) if training else inputs


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (lambda self, x: x * keras.random.binomial(keras.ops.shape(x), 1, 0.5, seed=self.seed_generator), "binomial"),
        (lambda self, x: keras.random.dropout(x, 0.5), "without a keras.random.SeedGenerator of its own"),
        (lambda self, x: keras.random.dropout(x, 0.5, seed=3), "without a keras.random.SeedGenerator of its own"),
    ],
)
def test_draws_that_could_not_be_told_from_pass_to_pass_are_refused(how, words, monkeypatch):
    monkeypatch.setattr(Custom, "how", staticmethod(how))
    model = compiled(keras.Sequential([keras.Input((4,)), Custom(0.5), LAYERS.Dense(3)]))
    with pytest.raises(InputError, match=words):
        MonteCarloDropout(model, passes=3).predict(x_of(5, 4))


def test_a_subclass_that_draws_by_the_known_functions_is_a_random_layer(monkeypatch):
    def how(self, x):
        noise = keras.random.uniform(keras.ops.shape(x), seed=self.seed_generator)
        return x * keras.ops.cast(noise < 0.5, x.dtype)

    monkeypatch.setattr(Custom, "how", staticmethod(how))
    model = compiled(keras.Sequential([keras.Input((4,)), Custom(0.5), LAYERS.Dense(3)]))
    x = x_of(9, 4)
    whole = MonteCarloDropout(model, passes=4).predict_members(x).probs
    np.testing.assert_allclose(
        MonteCarloDropout(model, passes=2).predict_members(x, batch_size=2).probs, whole[:2], atol=1e-6
    )
    with pytest.raises(InputError, match="must draw one mask"):
        ExactDropout(model)


def test_everything_dropped_is_zero_as_keras_has_it():
    model = compiled(keras.Sequential([keras.Input((4,)), LAYERS.Dropout(1.0), LAYERS.Dense(3)]))
    x = x_of(5, 4)
    logits = np.asarray(model.layers[-1](np.zeros((5, 4), "float32")))
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(ExactDropout(model).predict(x), expected, atol=1e-6)
    with pytest.raises(InputError, match="has rate 1"):
        to_classic(model)


def test_examples_of_another_shape_are_refused():
    inputs = keras.Input((8, 8, 1))
    pooled = LAYERS.GlobalAveragePooling2D()(LAYERS.Conv2D(2, 3)(inputs))
    model = compiled(keras.Model(inputs, LAYERS.Dense(3)(LAYERS.Dropout(0.5)(pooled))))
    for predictor in (WeightScaling(model), MonteCarloDropout(model, passes=2)):
        with pytest.raises(InputError, match="x must have shape"):
            predictor.predict(x_of(3, 6, 6, 1))


def test_a_softmax_in_half_precision_is_a_probability():
    policy = keras.DTypePolicy("mixed_bfloat16")
    layers = [LAYERS.Dense(16, dtype=policy), LAYERS.Dropout(0.5, dtype=policy)]
    layers.append(LAYERS.Dense(10, activation="softmax", dtype=policy))
    model = compiled(keras.Sequential([keras.Input((4,)), *layers]), "sparse_categorical_crossentropy")
    for predictor in (WeightScaling(model), MonteCarloDropout(model, passes=3)):
        probs = predictor.predict_members(x_of(200, 4)).probs
        np.testing.assert_allclose(probs.sum(axis=2), 1, atol=1e-5)


def test_a_classic_network_deploys_without_this_package():
    model = compiled(keras.Sequential([keras.Input((4,)), ClassicDropout(0.3), LAYERS.Dense(3)]))
    x = x_of(5, 4)
    fused = WeightScaling(model).to_keras()
    np.testing.assert_allclose(fused.predict(x, verbose=0), WeightScaling(model).predict(x), atol=1e-6)
    assert not any(isinstance(layer, ClassicDropout) for layer in fused._flatten_layers())


def test_kept_zeros_of_classic_dropout_have_their_gradient():
    from ensemble_vs_dropout.models.backend import tf

    layer, x = ClassicDropout(0.5, seed=1), tf.zeros((40, 5))
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(layer(x, training=True))
    gradient = tape.gradient(total, x).numpy()
    assert set(np.unique(gradient)) == {0.0, 1.0}


def test_a_product_takes_no_weights_that_differ_even_one_member_at_a_time(small):
    ensemble, x = Ensemble(small, members=2), x_of(5, 6)
    with pytest.raises(InputError, match="takes no weights that differ"):
        ensemble.predict(x, rule="product", weights=[0.1, 0.9])
    np.testing.assert_allclose(
        ensemble.predict(x, rule="product", weights=[0.5, 0.5]), ensemble.predict(x, rule="product")
    )


def test_a_sequential_model_that_grew_layer_by_layer_can_be_materialised_and_converted(tmp_path):
    model = keras.Sequential([keras.Input((4,))])
    for layer in (LAYERS.Dense(6, activation="relu"), LAYERS.Dropout(0.5), LAYERS.Dense(3)):
        model.add(layer)
    compiled(model).save(tmp_path / "m.keras")
    x = x_of(5, 4)
    for one in (model, keras.models.load_model(tmp_path / "m.keras")):
        sampler = MonteCarloDropout(one, passes=2, masks="shared")
        pass_0 = WeightScaling(sampler.materialise(0)).predict(x)
        np.testing.assert_allclose(pass_0, sampler.predict_members(x).probs[0], atol=1e-6)
        np.testing.assert_allclose(WeightScaling(to_classic(one)).predict(x), WeightScaling(one).predict(x), atol=1e-6)
