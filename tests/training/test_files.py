"""Members on disk are found again whatever they are made of, or that is refused before work is lost."""

import importlib.util
import json
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.models.architecture import architecture
from ensemble_vs_dropout.models.backend import keras, tf
from ensemble_vs_dropout.predictors import Ensemble
from ensemble_vs_dropout.predictors.estimator import EnsembleClassifier
from ensemble_vs_dropout.training import files

spec = importlib.util.spec_from_file_location(
    "odd_networks", Path(__file__).parent.parent / "models" / "odd_networks.py"
)
odd_networks = importlib.util.module_from_spec(spec)
sys.modules["odd_networks"] = odd_networks  # for pickle
spec.loader.exec_module(odd_networks)

pytestmark = pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`")
NETWORKS = pytest.mark.parametrize("build", odd_networks.NETWORKS.values(), ids=odd_networks.NETWORKS)
NUMBERS = {name: build for name, build in odd_networks.NETWORKS.items() if "String" not in name and "Text" not in name}


def outputs(ensemble):
    x = tf.constant(odd_networks.data_for(ensemble.models[0]))
    return np.stack([np.asarray(model(x)) for model in ensemble.models])


@pytest.mark.slow
@NETWORKS
def test_the_builder_takes_up_a_saved_ensemble(build, tmp_path):
    ensemble = Ensemble(build, members=2, seed=3)
    ensemble.save(tmp_path / "e.zip")
    loaded = Ensemble.load(tmp_path / "e.zip", build=build)
    np.testing.assert_array_equal(outputs(loaded), outputs(ensemble))
    ensemble.add_members(1)
    loaded.add_members(1)
    np.testing.assert_array_equal(outputs(loaded), outputs(ensemble))


@pytest.mark.slow
@NETWORKS
def test_without_the_builder_a_saved_ensemble_is_the_same_or_refused(build, tmp_path):
    ensemble = Ensemble(build, members=1)
    ensemble.save(tmp_path / "e.zip")
    told, loaded = "", None
    try:
        loaded = Ensemble.load(tmp_path / "e.zip")
    except InputError as error:
        told = str(error)
    assert loaded or "give build" in told
    assert "\n" not in told
    if loaded:
        np.testing.assert_allclose(outputs(loaded), outputs(ensemble), atol=1e-6)
        loaded.add_members(1)
        ensemble.add_members(1)
        np.testing.assert_allclose(outputs(loaded), outputs(ensemble), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Lambda", r"the lambda of the layer 'lambda"),
        ("own layer", r"the class 'Scale' of the layer 'scale"),
        ("closure", r"the function 'activation' of the layer 'dense"),
        ("own layer without a configuration", r"the weights of its members alone, because the layer 'bare.*\(Bare\)"),
        ("partial", r"the weights of its members alone, because the layer 'dense.*functools.partial"),
        ("subclassed", r"the weights of its members alone, because .*Subclassed"),
    ],
)
def test_what_needs_the_builder_is_told_by_name(name, told, tmp_path):
    if name == "Lambda":  # a lambda, not a function with a name

        def build():
            return odd_networks.compiled(keras.layers.Lambda(lambda x: x * 2.0))
    else:
        build = odd_networks.NETWORKS[name]
    Ensemble(build, members=1).save(tmp_path / "e.zip")
    with pytest.raises(InputError, match=told):
        Ensemble.load(tmp_path / "e.zip")


def test_a_builder_of_another_network_is_refused(tmp_path):
    def build(slope=0.4, units=4):
        return odd_networks.compiled(keras.layers.Dense(units, odd_networks.closure(slope)))

    Ensemble(build, members=1).save(tmp_path / "e.zip")
    with pytest.raises(InputError, match="do not fit the model"):
        Ensemble.load(tmp_path / "e.zip", lambda: build(units=5))
    with pytest.raises(InputError, match="build returns another network"):
        Ensemble.load(tmp_path / "e.zip", lambda: build(slope=-9.0))
    one = build()
    Ensemble(build, members=2).save(tmp_path / "two.zip")
    with pytest.raises(InputError, match=r"a new compiled keras.Model at each call"):
        Ensemble.load(tmp_path / "two.zip", lambda: one)


def test_an_ensemble_that_cannot_be_saved_leaves_nothing(tmp_path):
    class Stubborn(odd_networks.Scale):
        def save_own_variables(self, store):
            raise RuntimeError("not me")

    ensemble = Ensemble(lambda: odd_networks.compiled(Stubborn()), members=1)
    with pytest.raises(InputError, match=r"a file of the model .* cannot be written or read .*not me"):
        ensemble.save(tmp_path / "e.zip")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("build", NUMBERS.values(), ids=NUMBERS)
def test_a_checkpoint_is_taken_up_again(build, tmp_path):
    settings = {"epochs": 1, "verbose": 0, "checkpoint": tmp_path, "strategy": "looped"}
    x, y = odd_networks.NUMBERS, odd_networks.CLASSES
    first, again, ends = Ensemble(build, members=2), Ensemble(build, members=2), []
    first.fit(x, y, **settings)
    again.fit(x, y, **settings, on_epoch=ends.append)
    assert ends == []
    np.testing.assert_array_equal(outputs(again), outputs(first))
    for one in (first, again):  # and trains on alike: with the optimizer and the masks that it had
        one.fit(x, y, epochs=2, initial_epoch=1, verbose=0, strategy="looped")
    np.testing.assert_allclose(outputs(again), outputs(first), atol=1e-6)


@pytest.mark.slow
def test_an_old_checkpoint_is_read(tmp_path, small, blobs):
    x, y = blobs(30)
    settings = {"epochs": 1, "verbose": 0, "checkpoint": tmp_path}
    first, again = Ensemble(small, members=1), Ensemble(small, members=1)
    first.fit(x, y, **settings)
    path = tmp_path / "member_000.json"
    stands = json.loads(path.read_text())
    del stands["masks"]
    path.write_text(json.dumps(stands))
    again.fit(x, y, **settings)
    np.testing.assert_array_equal(again.predict(x), first.predict(x))


def doubled(features, classes):
    layers = [keras.layers.Dense(4), keras.layers.Lambda(lambda x: x * 2.0), keras.layers.Dense(classes, "softmax")]
    return odd_networks.finished(keras.Sequential([keras.Input((features,)), *layers]))


@pytest.mark.slow
def test_a_pickled_classifier_predicts_the_same_with_a_lambda_layer():
    odd_networks.doubled = doubled
    doubled.__module__ = "odd_networks"
    x, y = odd_networks.NUMBERS, odd_networks.CLASSES
    fitted = EnsembleClassifier(doubled, members=2, epochs=1, random_state=0).fit(x, y)
    copy = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_allclose(copy.predict_proba(x), fitted.predict_proba(x), atol=1e-6)
    fitted.set_params(build=lambda features, classes: doubled(features, classes))
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(fitted)


def test_the_kind_of_file_is_that_which_keras_can_write():
    whole = {"TextVectorization", "StringLookup", "Normalization", "Discretization", "own layer", "closure"}
    for name in ("TextVectorization", "own layer", "closure", "partial", "own layer without a configuration"):
        model = odd_networks.NETWORKS[name]()
        assert files.suffix_for(model) == (files.WHOLE if name in whole else files.WEIGHTS)


# What is alike


@NETWORKS
def test_networks_that_are_built_alike_are_told_alike(build):
    assert architecture(build(), lasting=True) == architecture(build(), lasting=True)


@pytest.mark.parametrize(
    "layer",
    [
        lambda number: keras.layers.Dense(4, odd_networks.closure(number)),
        lambda number: keras.layers.Dense(4, activation=lambda x: x * number),
        lambda number: keras.layers.Lambda(lambda x: x * number),
        lambda number: odd_networks.Weightless(odd_networks.closure(number)),
        lambda number: odd_networks.Scale(number),
        lambda number: keras.layers.Dense(
            4, odd_networks.functools.partial(keras.activations.leaky_relu, negative_slope=number)
        ),
        lambda number: odd_networks.adapted(keras.layers.Discretization(num_bins=3), odd_networks.NUMBERS * number),
    ],
    ids=["closure", "lambda", "Lambda", "own layer without a configuration", "own layer", "partial", "Discretization"],
)
def test_networks_that_compute_something_else_are_told_apart(layer):
    first, second = (architecture(odd_networks.compiled(layer(number)), lasting=True) for number in (0.2, 0.4))
    assert first != second


class Lossy(keras.layers.Layer):
    """Keeps its weights in a way of its own, and does not give them back."""

    def build(self, shape):
        self.w = self.add_weight(shape=(shape[-1],), initializer="ones")

    def call(self, x):
        return x * self.w

    def save_own_variables(self, store):
        store["nothing"] = np.zeros(1)

    def load_own_variables(self, store):
        pass


class Failing(Lossy):
    """Keeps its weights in a way of its own that fails."""

    def save_own_variables(self, store):
        raise RuntimeError("not today\nnor tomorrow")


@pytest.mark.parametrize("layer", [Lossy, Failing])
def test_weights_that_a_file_would_lose_are_refused_before_any_training(layer, tmp_path):
    ensemble = Ensemble(lambda: odd_networks.compiled(layer()), members=1)
    before, epochs = ensemble.models[0].get_weights(), []
    told = r"a file of the model .* (does not give back '.*'|cannot be written or read \(.*\)); leave out"
    with pytest.raises(InputError, match=told) as error:
        ensemble.fit(
            odd_networks.NUMBERS,
            odd_networks.CLASSES,
            verbose=0,
            checkpoint=tmp_path / "run",
            on_epoch=epochs.append,
        )
    assert epochs == []
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match=told):
        ensemble.save(tmp_path / "e.zip")
    assert list(tmp_path.iterdir()) == []
    for now, was in zip(ensemble.models[0].get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, was)
