"""A network of several inputs is its twin that takes them side by side in one: all numbers of the two are the same."""

import numpy as np
import pytest

from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.predictors import Ensemble, ExactDropout, MonteCarloDropout, WeightScaling, fit_together

L = keras.layers
RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(30, 3)).astype("float32"), RNG.normal(size=(30, 2)).astype("float32")
Y = np.arange(30) % 3
APART, TOGETHER = {"a": A, "b": B}, np.concatenate([A, B], axis=1)
SETTINGS = {"epochs": 2, "batch_size": 8, "verbose": 0}


def compiled(inputs, a, b):
    hidden = L.Dropout(0.5)(L.Dense(4, "relu")(L.Concatenate()([a, b])))
    model = keras.Model(inputs, L.Dense(3, "softmax")(hidden))
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def apart():
    inputs = {"a": keras.Input((3,), name="a"), "b": keras.Input((2,), name="b")}
    return compiled(inputs, inputs["a"], inputs["b"])


def together():
    x = keras.Input((5,))
    return compiled(x, x[:, :3], x[:, 3:])


def part(where):
    return {name: column[where] for name, column in APART.items()}


@pytest.fixture(scope="module")
def twins():
    """Ensembles of both kinds, trained alike."""
    found = [Ensemble(build, members=2, seed=3) for build in (apart, together)]
    for ensemble, x in zip(found, (APART, TOGETHER), strict=True):
        ensemble.fit(x, Y, validation_split=0.2, class_weight={0: 2.0}, **SETTINGS)
    return found


def test_they_are_trained_alike(twins):
    one, other = (ensemble.histories.drop(columns="seconds") for ensemble in twins)
    np.testing.assert_allclose(one, other, atol=1e-6)
    np.testing.assert_allclose(twins[0].predict(APART), twins[1].predict(TOGETHER), atol=1e-6)


def test_they_are_evaluated_and_counted_alike(twins):
    one, other = (ensemble.evaluate(x, Y) for ensemble, x in zip(twins, (APART, TOGETHER), strict=True))
    np.testing.assert_allclose(one.value, other.value, atol=1e-5)
    assert twins[0].multiply_adds == twins[1].multiply_adds == 2 * (5 * 4 + 4 * 3)


@pytest.mark.parametrize("masks", ["per_example", "shared"])
def test_their_passes_are_the_same(twins, masks):
    of_twins = [MonteCarloDropout(ensemble.models[0], passes=20, masks=masks) for ensemble in twins]
    found = [sampler.predict_members(x).probs for sampler, x in zip(of_twins, (APART, TOGETHER), strict=True)]
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)
    assert np.ptp(found[0], axis=0).max() > 0.05
    if masks == "shared":
        thinned = of_twins[0].materialise(4)
        np.testing.assert_allclose(thinned.predict(APART, verbose=0), found[0][4], atol=1e-6)


def test_votes_that_stop_early_are_the_same(twins):
    found = [
        MonteCarloDropout(ensemble.models[0], passes=60, adaptive=0.05).predict(x, rule="majority_vote")
        for ensemble, x in zip(twins, (APART, TOGETHER), strict=True)
    ]
    np.testing.assert_allclose(found[0], found[1])


@pytest.mark.slow
def test_all_masks_give_the_same_and_one_model_of_them_too(twins):
    exact = [ExactDropout(ensemble.models[0]) for ensemble in twins]
    whole = [one.predict(x) for one, x in zip(exact, (APART, TOGETHER), strict=True)]
    np.testing.assert_allclose(whole[0], whole[1], atol=1e-6)
    assert np.abs(whole[0] - WeightScaling(twins[0].models[0]).predict(APART)).max() > 1e-4
    np.testing.assert_allclose(exact[0].to_keras().predict(APART, verbose=0), whole[0], atol=1e-6)


def test_a_subclassed_one_is_enumerated_as_it_is_called(twins):
    class Called(keras.Model):
        def __init__(self):
            super().__init__()
            self.hidden, self.drop, self.out = L.Dense(4, "relu"), L.Dropout(0.5), L.Dense(3, "softmax")

        def call(self, x, training=None):
            hidden = self.hidden(keras.ops.concatenate([x["a"], x["b"]], axis=-1))
            return self.out(self.drop(hidden, training=training))

    model = Called()
    model(part(slice(1)))
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.set_weights(twins[0].models[0].get_weights())
    np.testing.assert_allclose(ExactDropout(model).predict(APART), ExactDropout(twins[0].models[0]).predict(APART),
                               atol=1e-6)  # fmt: skip


@pytest.mark.slow
def test_ensembles_of_other_examples_are_trained_together_as_alone():
    several = [Ensemble(apart, members=2, seed=seed) for seed in (1, 2)]
    data = [{"x": APART, "y": Y}, {"x": part(slice(5, 25)), "y": Y[5:25]}]
    fit_together(several, data=data, **SETTINGS)
    for ensemble, own, seed in zip(several, data, (1, 2), strict=True):
        alone = Ensemble(apart, members=2, seed=seed)
        alone.fit(**own, **SETTINGS)
        np.testing.assert_allclose(ensemble.predict(APART), alone.predict(APART), atol=1e-5)


def test_one_model_of_the_ensemble_saves_and_takes_the_same_inputs(twins, tmp_path):
    twins[0].to_keras().save(tmp_path / "ensemble.keras")
    loaded = keras.models.load_model(tmp_path / "ensemble.keras")
    np.testing.assert_allclose(loaded.predict(APART, verbose=0), twins[0].predict(APART), atol=1e-6)
