"""What layers were adapted to is part of a network: it is kept, and networks that differ in it share nothing."""

import numpy as np
import pytest
from bare import BARE

import ensemble_vs_dropout as evd
from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.datasets import from_arrays
from ensemble_vs_dropout.experiments.comparison import Comparison
from ensemble_vs_dropout.models.adapted import give_state, state_of
from ensemble_vs_dropout.models.architecture import architecture
from ensemble_vs_dropout.models.backend import keras, tf
from ensemble_vs_dropout.predictors import Ensemble, MonteCarloDropout, WeightScaling

L = keras.layers
RNG = np.random.default_rng(0)
NUMBERS = RNG.normal(5.0, 3.0, size=(60, 4)).astype("float32")
TOKENS = RNG.integers(20, 40, size=(60, 4))
WORDS = RNG.choice(["red dog", "one green cat", "a blue bird", "cats"], size=60)
Y = np.arange(60) % 2


def adapted(layer, data):
    layer.adapt(data)
    return layer


LAYERS = {
    "normalization": (lambda: adapted(L.Normalization(), NUMBERS), NUMBERS),
    "normalization of all numbers": (lambda: adapted(L.Normalization(axis=None), NUMBERS), NUMBERS),
    "discretization": (lambda: adapted(L.Discretization(num_bins=4, output_mode="multi_hot"), NUMBERS), NUMBERS),
    "whole numbers": (lambda: adapted(L.IntegerLookup(output_mode="multi_hot"), TOKENS), TOKENS),
    "words": (lambda: adapted(L.StringLookup(output_mode="multi_hot"), WORDS[:, None]), WORDS[:, None]),
    "text": (lambda: adapted(L.TextVectorization(output_mode="multi_hot"), WORDS), WORDS),
    "text by frequency": (lambda: adapted(L.TextVectorization(output_mode="tf_idf"), WORDS), WORDS),
}


def network(layer, x, rate=0.3):
    kind = "string" if x.dtype.kind == "U" else x.dtype.name
    inputs = keras.Input(x.shape[1:], dtype=kind)
    hidden = L.Dense(6, "relu")(layer(inputs))
    model = keras.Model(inputs, L.Dense(2, "softmax")(L.Dropout(rate)(hidden) if rate else hidden))
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def called(model, x):
    return model(tf.constant(x), training=False).numpy()


@pytest.mark.parametrize("name", LAYERS)
def test_weights_and_state_make_the_same_network_of_a_configuration(name):
    layer, x = LAYERS[name]
    inner = network(layer(), x)  # inside another, too
    model = keras.Sequential([keras.Input(x.shape[1:], dtype=inner.inputs[0].dtype), inner, L.Dense(3)])
    copy = keras.Sequential.from_config(model.get_config())
    copy.set_weights(model.get_weights())
    give_state(copy, state_of(model))
    np.testing.assert_allclose(called(copy, x), called(model, x), atol=1e-6)


def test_a_vocabulary_that_was_not_kept_is_not_made_up():
    layer, x = LAYERS["text"]
    model = network(layer(), x)
    copy = keras.Model.from_config(model.get_config())
    with pytest.raises(InputError, match=r"nothing is kept of what the layer .* \(TextVectorization\)"):
        give_state(copy, {})


@pytest.mark.slow
@pytest.mark.parametrize("name", ["normalization", "words", "text by frequency"])
def test_networks_of_a_folder_predict_what_was_judged(name, tmp_path):
    layer, x = LAYERS[name]
    data = from_arrays(x[:40], Y[:40], x[40:], Y[40:], standardise=False)
    few = {"members": 2, "passes": 4, "repetitions": 1, "epochs": 2, **BARE}
    evd.compare(data, lambda data, rate: network(layer(), x, rate), out=tmp_path / "run", **few)
    read = Comparison.load(tmp_path / "run")
    judged = read.arms["ensemble"][0].probs
    np.testing.assert_allclose(read.ensembles[0]["plain"].predict_members(data.x_test).probs, judged, atol=1e-6)
    read.export(tmp_path / "model.keras", "ensemble")
    model = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(model(tf.constant(x[40:]))["probabilities"].numpy(), judged.mean(0), atol=1e-6)


def shifted(by):
    """A network of the same weights whatever its layer was adapted to."""
    return network(adapted(L.Normalization(), NUMBERS + by), NUMBERS)


def test_networks_adapted_to_other_data_share_no_program():
    one, other = shifted(0), shifted(9)
    other.set_weights([*other.get_weights()[:3], *one.get_weights()[3:]])
    x = NUMBERS[:7]
    assert np.abs(called(one, x) - called(other, x)).max() > 0.05
    found = Ensemble.from_models([one, other]).predict_members(x).probs
    np.testing.assert_allclose(found, [called(one, x), called(other, x)], atol=1e-6)
    for kind in (WeightScaling, lambda model: MonteCarloDropout(model, passes=9)):
        first, second, alone = kind(one), kind(other), kind(other)
        first.predict(x)
        second.share(first)
        np.testing.assert_allclose(second.predict(x), alone.predict(x), atol=1e-6)


@pytest.mark.slow
def test_members_adapted_to_other_data_are_trained_as_each_alone():
    def ensemble():
        shifts = iter(range(0, 30, 9))
        return Ensemble(lambda: network(adapted(L.Normalization(), NUMBERS + next(shifts)), NUMBERS), members=3, seed=1)

    settings = {"epochs": 2, "batch_size": 8, "verbose": 0}
    looped, chosen = ensemble(), ensemble()
    looped.fit(NUMBERS, Y, strategy="looped", **settings)
    with pytest.raises(InputError, match="differs from call to call: adapted state of Normalization; use"):
        ensemble().fit(NUMBERS, Y, strategy="stacked", **settings)
    chosen.fit(NUMBERS, Y, strategy="unrolled", **settings)
    np.testing.assert_allclose(chosen.predict_members(NUMBERS).probs, looped.predict_members(NUMBERS).probs, atol=1e-5)


@pytest.mark.parametrize("word", ["two\nlines", "yes\r"])
def test_a_word_with_a_line_end_is_refused_where_a_file_would_lose_it(word, tmp_path):
    words = np.array([word, "no", "maybe"])[np.arange(60) % 3]

    def build(data=None, rate=0.0):
        return network(
            adapted(L.TextVectorization(split=None, standardize=None, output_mode="multi_hot"), words), words
        )

    Ensemble(build, members=2).save(tmp_path / "ensemble.zip")
    with pytest.raises(InputError, match="give build"):
        Ensemble.load(tmp_path / "ensemble.zip")
    assert Ensemble.load(tmp_path / "ensemble.zip", build).members == 2
    data = from_arrays(words[:40], Y[:40], words[40:], Y[40:])
    with pytest.raises(InputError, match="no file keeps a word with a line end"):
        evd.compare(data, build, members=2, rate=0.5, verbose=0)


def test_what_variables_hold_by_themselves_is_part_of_a_network():
    def build(kind):
        model = network(L.Rescaling(1.0), NUMBERS, rate=0.0)
        if kind == "frozen kernel":
            model.layers[-1].kernel.trainable = False
        if kind == "own penalty":
            model.layers[-1].kernel.regularizer = keras.regularizers.L2(1.0)
        if kind == "no decay":
            model.compile(keras.optimizers.AdamW(0.1, weight_decay=0.5), "sparse_categorical_crossentropy")
            model.optimizer.exclude_from_weight_decay(var_names=["kernel"])
        if kind == "decay":
            model.compile(keras.optimizers.AdamW(0.1, weight_decay=0.5), "sparse_categorical_crossentropy")
        return model

    kinds = ["plain", "frozen kernel", "own penalty", "decay", "no decay"]
    assert len({architecture(build(kind)) for kind in kinds}) == len(kinds)
    assert architecture(build("plain")) == architecture(build("plain"))
