"""One Keras model out of many: it predicts as the ensemble does, and needs nothing of this package to load."""

import subprocess
import sys

import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.measures import STANDARD_RULES
from ensemble_vs_dropout.models.backend import keras, tf
from ensemble_vs_dropout.models.builders import mlp
from ensemble_vs_dropout.predictors import Ensemble, MonteCarloDropout, WeightScaling
from ensemble_vs_dropout.predictors.export import fuse


def binary(head):
    def build():
        model = keras.Sequential(
            [keras.Input((6,)), keras.layers.Dense(1, activation=None if head == "logits" else "sigmoid")]
        )
        model.compile("sgd", keras.losses.BinaryCrossentropy(from_logits=head == "logits"))
        return model

    return build


@pytest.mark.slow
@pytest.mark.parametrize("rule", STANDARD_RULES)
@pytest.mark.parametrize("head", ["logits", "probabilities"])
@pytest.mark.parametrize("classes", [2, 3])
def test_the_fused_model_predicts_as_the_ensemble_does(small, blobs, rule, head, classes):
    x, _ = blobs(30)
    build = binary(head) if classes == 2 else (lambda: small(head=head, batch_norm=True))
    ensemble = Ensemble(build, members=3)
    fused = ensemble.to_keras(rule)
    np.testing.assert_allclose(fused.predict(x, verbose=0), ensemble.predict(x, rule=rule), atol=1e-6)


@pytest.mark.parametrize("rule", STANDARD_RULES)
def test_one_member_alone_can_be_fused(small, blobs, rule):
    x, _ = blobs(10)
    ensemble = Ensemble(small, members=1)
    np.testing.assert_allclose(ensemble.to_keras(rule).predict(x, verbose=0), ensemble.predict(x, rule=rule), atol=1e-6)


@pytest.mark.parametrize("rule", STANDARD_RULES)
def test_the_fused_model_saves_as_keras_and_loads_without_this_package(small, blobs, tmp_path, rule):
    x, _ = blobs(12)
    ensemble = Ensemble(lambda: small(units=(4,)), members=2)
    ensemble.to_keras(rule).save(tmp_path / "fused.keras")
    loaded = keras.models.load_model(tmp_path / "fused.keras", safe_mode=True)
    np.testing.assert_allclose(loaded.predict(x, verbose=0), ensemble.predict(x, rule=rule), atol=1e-6)


@pytest.mark.slow
def test_a_process_that_never_imports_this_package_loads_the_fused_model(small, blobs, tmp_path):
    x, _ = blobs(12)
    ensemble = Ensemble(lambda: small(units=(4,)), members=2)
    ensemble.to_keras("geometric_mean").save(tmp_path / "fused.keras")
    np.save(tmp_path / "x.npy", x)
    code = (
        "import sys, keras, numpy as np; m = keras.models.load_model('fused.keras'); "
        "np.save('out.npy', m.predict(np.load('x.npy'), verbose=0)); "
        "assert not 'ensemble_vs_dropout' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), ensemble.predict(x, rule="geometric_mean"), atol=1e-6)


def test_members_of_one_name_get_names_of_their_own(small):
    def build():
        model = small()
        model.name = "same"
        return model

    fused = Ensemble(build, members=3).to_keras()
    names = [layer.name for layer in fused.layers]
    assert len(set(names)) == len(names)
    assert {"member_0", "member_1", "member_2"} <= set(names)


def test_fusing_copies_so_the_members_stay_and_train_on_without_it(small, blobs):
    x, y = blobs(30)
    ensemble = Ensemble(small, members=2)
    before = [model.get_weights() for model in ensemble.models]
    names = [model.name for model in ensemble.models]
    fused = ensemble.to_keras()
    fused.set_weights([weight + 1 for weight in fused.get_weights()])
    for model, weights in zip(ensemble.models, before, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), weights, strict=True))
    assert [model.name for model in ensemble.models] == names
    fused = ensemble.to_keras()
    outputs = fused.predict(x, verbose=0)
    ensemble.fit(x, y, verbose=0)
    assert np.array_equal(fused.predict(x, verbose=0), outputs)


def test_members_of_different_architectures_and_heads_fuse(small, blobs):
    x, _ = blobs(20)
    ensemble = Ensemble.from_models([small(units=(4,)), small(units=(3, 3), head="probabilities"), small(rate=0)])
    for rule in STANDARD_RULES:
        np.testing.assert_allclose(
            ensemble.to_keras(rule).predict(x, verbose=0), ensemble.predict(x, rule=rule), atol=1e-6
        )


def test_a_fused_model_of_images_takes_raw_bytes(toy_dataset):
    rng = np.random.default_rng(0)
    data = toy_dataset(rng.integers(0, 256, (12, 5, 5)).astype("uint8"), np.arange(12) % 3)
    ensemble = Ensemble(lambda: mlp(units=(4,))(data), members=2)
    fused = ensemble.to_keras()
    np.testing.assert_allclose(fused.predict(data.x_test, verbose=0), ensemble.predict(data.x_test), atol=1e-6)


def test_a_fused_model_of_images_declares_their_dtype(toy_dataset):
    data = toy_dataset(np.zeros((12, 5, 5), "uint8"), np.arange(12) % 3)
    assert Ensemble(lambda: mlp(units=(4,))(data), members=2).to_keras().inputs[0].dtype == "uint8"


@pytest.mark.parametrize("rule", list(STANDARD_RULES))
def test_saturated_members_that_contradict_each_other_fuse_without_nan(small, rule):
    models = [small(rate=0, units=(), classes=2) for _ in range(2)]
    for sign, model in zip((1, -1), models, strict=True):
        model.set_weights([np.zeros((6, 2), "float32"), np.array([300.0, -300.0], "float32") * sign])
    ensemble = Ensemble.from_models(models)
    x = np.ones((2, 6), "float32")
    fused = ensemble.to_keras(rule).predict(x, verbose=0)
    np.testing.assert_allclose(fused, ensemble.predict(x, rule=rule), atol=1e-6)


def test_an_unknown_rule_is_refused(small):
    with pytest.raises(InputError, match=r"unknown rule 'avg'.*majority_vote"):
        Ensemble(small, members=1).to_keras("avg")


def test_a_dropout_network_exports_its_weight_scaling(small, blobs):
    x, _ = blobs(10)
    model = small()
    scaled = WeightScaling(model)
    np.testing.assert_allclose(scaled.to_keras().predict(x, verbose=0), scaled.predict(x), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("rule", list(STANDARD_RULES))
def test_the_one_model_is_exported_to_a_saved_model_that_predicts_the_same(rule, small, blobs, tmp_path):
    x, _ = blobs(12)
    fixed = MonteCarloDropout(small(units=(6,)), passes=3, masks="shared")
    for number, predictor in enumerate((Ensemble(lambda: small(units=(4,)), members=2), fixed)):
        folder = str(tmp_path / f"saved_{number}")
        predictor.to_keras(rule).export(folder, verbose=False)
        saved = tf.saved_model.load(folder)
        np.testing.assert_allclose(saved.serve(tf.constant(x)), predictor.predict(x, rule=rule), atol=1e-6)


def test_weights_weigh_the_models(small, blobs):
    x, _ = blobs(12)
    ensemble = Ensemble(small, members=3)
    weights = [0.5, 0.3, 0.2]
    for rule in STANDARD_RULES:
        fused = fuse(ensemble.models, rule, weights=weights).predict(x, verbose=0)
        np.testing.assert_allclose(fused, ensemble.predict(x, rule=rule, weights=weights), atol=1e-6)


def test_a_rule_that_no_keras_model_is_built_for_is_refused(small, monkeypatch):
    """A further standard rule too: it was exported as a vote."""
    monkeypatch.setattr("ensemble_vs_dropout.measures.aggregation.STANDARD_RULES", ("mean", "median"))
    for rule in ("median", "confidence_vote", "men"):
        with pytest.raises(InputError, match=f"unknown rule '{rule}'.*known: mean, geometric_mean, maj"):
            fuse([small(), small()], rule)
