"""Networks that predict a number are trained, used and kept as Keras would have it, as classifiers are."""

import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.measures import quantiles, regression
from ensemble_vs_dropout.models.backend import keras, tf
from ensemble_vs_dropout.models.losses import GaussianNLL
from ensemble_vs_dropout.predictors import (
    Ensemble,
    ExactDropout,
    MonteCarloDropout,
    WeightScaling,
    fit_together,
)
from ensemble_vs_dropout.predictors.estimator import EnsembleClassifier
from ensemble_vs_dropout.types import RegressionPredictions

L = keras.layers
RNG = np.random.default_rng(0)
X = RNG.normal(size=(70, 3)).astype("float32")
Y = X[:, 0] ** 2 + 0.1 * RNG.normal(size=70)
SETTINGS = {"epochs": 3, "batch_size": 16, "shuffle": False, "verbose": 0}
KINDS = ("normal", "beta", "mse", "huber")


def build(kind="normal", rate=0.0, units=6):
    given = keras.Input((3,))
    hidden = L.Dense(units, activation="tanh")(given)
    if rate:
        hidden = L.Dropout(rate)(hidden)
    mean = L.Dense(1)(hidden)
    losses = {"normal": GaussianNLL(), "beta": GaussianNLL(0.5), "mse": "mse", "huber": keras.losses.Huber(0.5)}
    normal = kind in ("normal", "beta")
    outputs = L.Concatenate()([mean, L.Dense(1, activation="softplus")(hidden)]) if normal else mean
    model = keras.Model(given, outputs)
    model.compile(keras.optimizers.Adam(0.05), losses[kind], metrics=[] if normal else ["mae"])
    return model


@pytest.fixture(scope="module")
def trained():
    """A dropout network of each of two heads, trained a little."""
    found = {}
    for kind in ("normal", "mse"):
        ensemble = Ensemble(lambda kind=kind: build(kind, 0.4), members=2)
        ensemble.fit(X, Y, **SETTINGS)
        found[kind] = ensemble
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_strategy_trains_what_keras_fit_trains(kind):
    weights = np.random.default_rng(2).random(70).astype("float32")
    start = Ensemble(lambda: build(kind), members=2).models[1]
    start.fit(X, Y[:, None], sample_weight=weights, **SETTINGS)
    for strategy in ("looped", "unrolled", "stacked"):
        ensemble = Ensemble(lambda: build(kind), members=2)
        rows = ensemble.fit(X, Y, sample_weight=weights, strategy=strategy, validation_data=(X, Y), **SETTINGS)
        for one, other in zip(ensemble.models[1].get_weights(), start.get_weights(), strict=True):
            np.testing.assert_allclose(one, other, atol=2e-5, err_msg=strategy)
        logs = start.evaluate(X, Y[:, None], verbose=0, return_dict=True)
        last = rows[rows.member == 1].iloc[-1]
        for name, value in logs.items():
            assert last[f"val_{name}"] == pytest.approx(value, rel=1e-3), (strategy, name)


@pytest.mark.slow
def test_targets_come_as_a_column_or_not_and_in_batches():
    batches = tf.data.Dataset.from_tensor_slices((X, Y)).batch(16)
    found = []
    for given in ((X, Y), (X, Y[:, None]), (X, list(Y)), (batches,)):
        ensemble = Ensemble(lambda: build("mse"), members=1)
        ensemble.fit(*given, **SETTINGS)
        found.append(ensemble.predict(X))
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], atol=1e-5)


def test_members_predict_what_keras_predicts(trained):
    for kind, ensemble in trained.items():
        outputs = np.stack([model.predict(X, verbose=0) for model in ensemble.models])
        found = ensemble.predict_members(X, batch_size=32)
        assert isinstance(found, RegressionPredictions)
        np.testing.assert_allclose(found.means, outputs[..., 0], atol=1e-5)
        if kind == "normal":
            np.testing.assert_allclose(found.scales, outputs[..., 1], atol=1e-5)
        else:
            assert found.scales is None
        np.testing.assert_allclose(ensemble.predict(X, batch_size=32), outputs[..., 0].mean(axis=0), atol=1e-5)
        one = WeightScaling(ensemble.models[0])
        np.testing.assert_allclose(one.predict(X), outputs[0, :, 0], atol=1e-5)
        assert (one.task, ensemble.task, repr(one)) == (
            "regression", "regression", "WeightScaling: weight scaling, a number",
        )  # fmt: skip


@pytest.mark.slow
def test_passes_have_the_mean_and_spread_of_the_model_in_training_and_no_batch_matters(trained):
    for kind, ensemble in trained.items():
        model = ensemble.models[0]
        sampler = MonteCarloDropout(model, passes=400)
        found = sampler.predict_members(X)
        np.testing.assert_allclose(sampler.predict_members(X[:9], batch_size=4).means, found.means[:, :9], atol=1e-5)
        np.testing.assert_allclose(sampler.predict(X), found.means.mean(axis=0), atol=1e-5)
        calls = np.stack([np.asarray(model(X, training=True)) for _ in range(400)])
        for passes, column in ((found.means, 0), (found.scales, 1)):
            if passes is None:
                assert kind == "mse"
                continue
            error = np.sqrt((passes.var(axis=0) + calls[..., column].var(axis=0)) / 400)
            assert (np.abs(passes.mean(axis=0) - calls[..., column].mean(axis=0)) < 5 * error + 1e-4).all()
            assert 0.85 < passes.std(axis=0).mean() / calls[..., column].std(axis=0).mean() < 1.15


@pytest.mark.slow
def test_all_masks_have_the_mean_that_passes_estimate(trained):
    model = trained["normal"].models[0]
    exact, passes = ExactDropout(model).predict_members(X[:5]), MonteCarloDropout(model, 2000).predict_members(X[:5])
    assert exact.members == 64
    assert exact.weights.sum() == pytest.approx(1)
    error = passes.means.std(axis=0) / np.sqrt(2000)
    assert (np.abs(exact.weights @ exact.means - passes.means.mean(axis=0)) < 5 * error).all()
    np.testing.assert_allclose(ExactDropout(model).predict(X[:5]), exact.weights @ exact.means, atol=1e-5)
    thinned = ExactDropout(model).materialise(63)  # of all units
    np.testing.assert_allclose(WeightScaling(thinned).predict(X[:5]), exact.means[63], atol=1e-5)
    shared = MonteCarloDropout(model, 2, masks="shared")
    np.testing.assert_allclose(
        WeightScaling(shared.materialise(1)).predict(X), shared.predict_members(X).means[1], atol=1e-5
    )


def test_uncertainty_has_its_two_parts(trained):
    found = trained["normal"].predict_members(X)
    expected = regression.variance_parts(found.means, found.scales)
    told = trained["normal"].predict_uncertainty(X, batch_size=32)
    np.testing.assert_allclose(told.to_numpy(), expected.to_numpy(), rtol=1e-4, atol=1e-6)
    assert (told.total >= told.aleatoric).all()
    with pytest.raises(InputError, match=r"predict_uncertainty\(x\), which do not keep them"):
        trained["normal"].predict_members(X, memory_limit=100)


def test_an_ensemble_is_evaluated_by_the_measures_of_numbers(trained):
    table = trained["normal"].evaluate(X, Y, rules=["mixture"]).set_index(["of", "metric"]).value
    found = trained["normal"].predict_members(X)
    assert table["mixture", "crps"] == pytest.approx(regression.crps(found.means, found.scales, Y).mean())
    losses = [
        regression.gaussian_nll(m[None], s[None], Y).mean() for m, s in zip(found.means, found.scales, strict=True)
    ]
    assert table["member 1", "loss"] == pytest.approx(losses[1], rel=1e-4)
    assert table["mixture", "gaussian_nll"] <= np.mean(losses)
    bare = trained["mse"].evaluate(X, Y, rules=["mixture"])
    assert bare[bare.of == "mixture"].metric.tolist() == ["rmse", "mae"]


def test_an_ensemble_comes_back_from_a_file(trained, tmp_path):
    for kind, ensemble in trained.items():
        ensemble.save(tmp_path / f"{kind}.zip")
        loaded = Ensemble.load(tmp_path / f"{kind}.zip")
        assert loaded.task == "regression"
        np.testing.assert_array_equal(loaded.predict_members(X).means, ensemble.predict_members(X).means)
    said = Ensemble(lambda: uncompiled_loss("mean"), members=1, head="mean")
    said.save(tmp_path / "said.zip")
    read = Ensemble.load(tmp_path / "said.zip", lambda: uncompiled_loss("mean"))
    assert read.predict(X).shape == (70,)


@pytest.mark.slow
def test_a_checkpoint_is_gone_on_from(tmp_path):
    def fit():
        told = []
        ensemble = Ensemble(lambda: build("normal", 0.2), members=2)
        ensemble.fit(X, Y, checkpoint=tmp_path, on_epoch=told.append, **SETTINGS)
        return ensemble.predict(X), told

    (first, told), (again, untold) = fit(), fit()
    assert len(told) == 6
    assert untold == []
    np.testing.assert_array_equal(again, first)


@pytest.mark.slow
def test_ensembles_are_trained_together_as_each_alone():
    pair = [Ensemble(lambda rate=rate: build("normal", rate), members=2, seed=3) for rate in (0.1, 0.5)]
    fit_together(pair, X, Y, **SETTINGS)
    for ensemble, rate in zip(pair, (0.1, 0.5), strict=True):
        alone = Ensemble(lambda rate=rate: build("normal", rate), members=2, seed=3)
        alone.fit(X, Y, **SETTINGS)
        np.testing.assert_allclose(ensemble.predict(X), alone.predict(X), atol=2e-5)


@pytest.mark.slow
def test_what_is_learned_has_the_noise_that_was_drawn():
    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 1, (600, 1)).astype("float32")
    y = 2 * x[:, 0] + 0.3 * rng.normal(size=600)

    def network():
        given = keras.Input((1,))
        outputs = L.Concatenate()([L.Dense(1)(given), L.Dense(1, activation="softplus")(given)])
        model = keras.Model(given, outputs)
        model.compile(keras.optimizers.Adam(0.05), GaussianNLL())
        return model

    ensemble = Ensemble(network, members=3)
    ensemble.fit(x, y, epochs=40, verbose=0)
    found = ensemble.predict_members(x)
    assert found.scales.mean() == pytest.approx(0.3, abs=0.04)
    assert np.abs(found.means - 2 * x[:, 0]).mean() < 0.08
    covered = quantiles.coverage(found.means, found.scales, y)
    np.testing.assert_allclose(covered.covered, covered.level, atol=0.05)


# What cannot be


def uncompiled_loss(head):
    model = keras.Sequential([keras.Input((3,)), L.Dense(2 if head == "normal" else 1)])
    model.compile("sgd", lambda y, predicted: keras.ops.mean((y - predicted) ** 4, axis=-1))
    return model


class Negative(keras.layers.Layer):
    def call(self, inputs):
        return keras.ops.concatenate([inputs, -keras.ops.ones_like(inputs)], axis=-1)


def negative():
    model = keras.Sequential([keras.Input((3,)), L.Dense(1), Negative()])
    model.compile("sgd", GaussianNLL())
    return model


def classifier():
    model = keras.Sequential([keras.Input((3,)), L.Dense(2, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def either(number):
    return build("mse") if number else classifier()


class Mixing(keras.layers.Layer):
    def call(self, inputs):
        return inputs - 0.5 * keras.ops.mean(inputs, axis=0, keepdims=True)


def mixing(size):
    outputs = L.Dense(1, kernel_initializer=keras.initializers.Constant(size))
    model = keras.Sequential([keras.Input((3,)), Mixing(), outputs])
    model.compile("sgd", "mse")
    return model


def of_mse(**fit):
    return lambda: Ensemble(lambda: build("mse"), members=2).fit(**{"x": X, "y": Y, "verbose": 0, **fit})


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (of_mse(y=["a"] * 70), "targets of x, y must be numbers, as the networks predict one, got 'a'; a classifier"),
        (of_mse(y=np.full(70, np.inf)), "targets of x, y must be finite numbers, got infinity"),
        (of_mse(y=np.tile(Y[:, None], 2)), "must be one number for each example, got shape .70, 2."),
        (of_mse(y=Y[:9]), "got 70 examples and 9 labels"),
        (of_mse(y=Y * 1e39), "targets of x, y must fit in float32"),
        (of_mse(class_weight={0: 2.0}), "no classes; this is for classifiers"),
        (lambda: Ensemble(lambda: uncompiled_loss("mean"), members=1, head="mean").fit(X, Y), "to be trained, got"),
        (lambda: Ensemble(lambda: build("mse"), members=1).predict(X, rule="median"), "must be .mean. for netw"),
        (lambda: Ensemble(lambda: build("mse"), members=1).predict_uncertainty(X), "regression.fit_noise finds"),
        (lambda: Ensemble(lambda: build("mse"), members=1).to_keras(), "no classes; this is for classifiers"),
        (lambda: Ensemble(lambda: build("mse"), members=1).classes, "no classes; this is for classifiers"),
        (lambda: Ensemble(build, members=2, vary={"kind": ["mse", "normal"]}), "networks that predict the same"),
        (lambda: Ensemble(either, members=2, vary={"number": [True, False]}), "networks that predict the same"),
        (lambda: WeightScaling(mixing(1e-4)).predict(X), "change with the batch"),
        (lambda: WeightScaling(mixing(1e3)).predict(X), "change with the batch"),
        (lambda: MonteCarloDropout(build("mse", 0.5), adaptive=0.1), "adaptive stops by votes"),
        (lambda: Ensemble.from_models([build("mse"), classifier()]), "all classifiers, or all predict a number"),
        (lambda: Ensemble.from_models([build("mse"), build()]), "a mean alone, or all a standard deviation beside it"),
        (lambda: WeightScaling(negative()).predict(X), "must be above 0 where they are a st.*got -1"),
        (lambda: EnsembleClassifier(lambda features, classes: build("mse")).fit(X, Y > 1), "returns must be a class"),
        (lambda: WeightScaling(build("mse")).predict_members(X, memory_limit=9), "the predictions of 1 members for"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told(call, match):
    with pytest.raises((InputError, ValueError), match=match):
        call()


@pytest.mark.slow
def test_a_comparison_of_classes_refuses_them():
    from ensemble_vs_dropout import compare

    def network(data, rate):
        model = keras.Sequential([keras.Input((8, 8)), L.Flatten(), L.Dropout(rate), L.Dense(1)])
        model.compile("sgd", "mse")
        return model

    with pytest.raises(InputError, match="predicts a number, and comparisons are of classifiers"):
        compare("digits", network, members=2, repetitions=1, epochs=1, verbose=0)
