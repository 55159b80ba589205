"""Ensembles of models that exist: as objects or as files, all in memory or one at a time."""

import gc
import weakref

import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.predictors import Ensemble


@pytest.fixture
def saved(small, tmp_path):
    """Paths of three models of different sizes, and the ensemble of the models themselves."""
    models = [small(units=(size,), rate=0) for size in (4, 6, 8)]
    paths = []
    for number, model in enumerate(models):
        paths.append(tmp_path / f"{number}.keras")
        model.save(paths[-1])
    return paths, Ensemble.from_models(models)


@pytest.mark.parametrize("lazy", [False, True])
def test_models_of_paths_predict_as_the_models(saved, blobs, lazy):
    paths, ensemble = saved
    x, _ = blobs(40)
    loaded = Ensemble.from_models([paths[0], str(paths[1]), paths[2]], lazy=lazy)
    assert loaded.members == 3
    np.testing.assert_array_equal(loaded.predict_members(x).probs, ensemble.predict_members(x).probs)
    np.testing.assert_allclose(  # a product rounds otherwise in a batch of another size, on some processors
        loaded.predict(x, rule="geometric_mean", batch_size=7), ensemble.predict(x, rule="geometric_mean"), atol=1e-6
    )
    np.testing.assert_allclose(loaded.to_keras().predict(x, verbose=0), ensemble.predict(x), atol=1e-6)


@pytest.mark.slow
def test_lazily_each_is_loaded_once_for_all_examples_and_let_go(saved, blobs, monkeypatch):
    paths, _ = saved
    x, _ = blobs(40)
    ensemble = Ensemble.from_models(paths, lazy=True)
    load, alive, most = keras.models.load_model, [], []

    def counted(*args, **kwargs):
        gc.collect()
        most.append(sum(reference() is not None for reference in alive))
        model = load(*args, **kwargs)
        alive.append(weakref.ref(model))
        return model

    monkeypatch.setattr(keras.models, "load_model", counted)
    ensemble.predict(x, batch_size=5)
    assert len(most) == 3
    assert max(most) <= 1


@pytest.mark.slow
def test_a_lazy_ensemble_is_saved_whole(saved, blobs, tmp_path):
    paths, ensemble = saved
    x, _ = blobs(10)
    Ensemble.from_models(paths, lazy=True).save(tmp_path / "e.zip")
    np.testing.assert_array_equal(Ensemble.load(tmp_path / "e.zip").predict(x), ensemble.predict(x))


def test_a_path_without_a_model_is_told(tmp_path):
    (tmp_path / "no.keras").write_text("nothing")
    for path in (tmp_path / "no.keras", tmp_path / "missing.keras"):
        with pytest.raises(InputError, match=r"does not hold a model that Keras can load safely"):
            Ensemble.from_models([path])


def test_trained_models_of_different_architectures_make_an_ensemble(small, blobs, tmp_path):
    x, y = blobs(30)
    models = [small(units=(4,)), small(units=(5, 5), rate=0, head="probabilities")]
    ensemble = Ensemble.from_models(models)
    assert ensemble.models[0] is models[0]
    assert ensemble.predict_members(x).probs.shape == (2, 30, 3)
    before = [model.get_weights() for model in ensemble.models]
    ensemble.fit(x, y, verbose=0)
    after = [model.get_weights() for model in ensemble.models]  # the same: they are trained already
    assert all(np.array_equal(a, b) for p, q in zip(before, after, strict=True) for a, b in zip(p, q, strict=True))
    ensemble.save(tmp_path / "e.zip")
    assert np.array_equal(Ensemble.load(tmp_path / "e.zip").predict(x), ensemble.predict(x))
    with pytest.raises(InputError, match="add_members needs the builder"):
        ensemble.add_members(1)


def test_models_must_be_some_and_agree_on_the_classes(small):
    with pytest.raises(InputError, match="at least one model"):
        Ensemble.from_models([])
    with pytest.raises(InputError, match=r"agree on the number of classes, got \[3, 4\]"):
        Ensemble.from_models([small(), small(classes=4)])


@pytest.mark.parametrize("lazy", [False, True])
def test_an_ensemble_costs_what_its_networks_do(saved, lazy):
    assert Ensemble.from_models(saved[0], lazy=lazy).multiply_adds == (6 + 3) * (4 + 6 + 8)
