"""Saved ensembles predict, grow and go on as if they had never been saved."""

import json
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.predictors import Ensemble


def same(a, b):
    return all(np.array_equal(p, q) for p, q in zip(a, b, strict=True))


def weights(ensemble):
    return [model.get_weights() for model in ensemble.models]


@pytest.mark.slow
def test_save_and_load_keep_predictions_histories_and_seed(small, blobs, tmp_path):
    x, y = blobs(30)
    ensemble = Ensemble(lambda: small(batch_norm=True), members=2, seed=6)
    ensemble.fit(x, y, validation_data=(x, y), epochs=2, verbose=0)
    ensemble.save(tmp_path / "e.zip")
    loaded = Ensemble.load(tmp_path / "e.zip")
    assert all(same(a, b) for a, b in zip(weights(ensemble), weights(loaded), strict=True))
    assert np.array_equal(ensemble.predict(x), loaded.predict(x))
    assert loaded.histories.equals(ensemble.histories)
    assert loaded.seed == 6
    assert [path.name for path in tmp_path.iterdir()] == ["e.zip"]


@pytest.mark.slow
def test_members_saved_untrained_train_after_loading_as_if_never_saved(small, blobs, tmp_path):
    x, y = blobs(30)
    direct, saved = Ensemble(small, members=2, seed=6), Ensemble(small, members=2, seed=6)
    saved.save(tmp_path / "e.zip")
    loaded = Ensemble.load(tmp_path / "e.zip")
    for ensemble in (direct, loaded):
        ensemble.fit(x, y, epochs=2, verbose=0)
    assert all(same(a, b) for a, b in zip(weights(direct), weights(loaded), strict=True))


@pytest.mark.slow
def test_a_loaded_ensemble_grows_like_the_one_that_was_saved(small, blobs, tmp_path):
    x, y = blobs(30)
    ensemble = Ensemble(lambda: small(batch_norm=True), members=1, seed=6)
    ensemble.fit(x, y, epochs=1, verbose=0)
    ensemble.save(tmp_path / "e.zip")
    loaded = Ensemble.load(tmp_path / "e.zip")
    for one in (ensemble, loaded):
        one.add_members(1)
        one.fit(x, y, epochs=1, verbose=0)
    assert all(same(a, b) for a, b in zip(weights(ensemble), weights(loaded), strict=True))


@pytest.mark.slow
def test_a_loaded_ensemble_goes_on_with_its_optimizers_state(small, blobs, tmp_path):
    x, y = blobs(30)
    ensemble = Ensemble(lambda: small(optimizer="adam"), members=2)
    ensemble.fit(x, y, epochs=1, verbose=0)
    ensemble.save(tmp_path / "e.zip")
    loaded = Ensemble.load(tmp_path / "e.zip")
    for one in (ensemble, loaded):
        one.fit(x, y, epochs=3, initial_epoch=1, verbose=0)
    assert all(same(a, b) for a, b in zip(weights(ensemble), weights(loaded), strict=True))


def test_loading_warns_of_nothing(small, tmp_path):
    Ensemble(small, members=1).save(tmp_path / "e.zip")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Ensemble.load(tmp_path / "e.zip")


def test_what_is_no_saved_ensemble_is_refused(tmp_path):
    path = tmp_path / "e.zip"
    path.write_text("no zip")
    with pytest.raises(InputError, match="does not hold a saved ensemble"):
        Ensemble.load(path)


@pytest.mark.parametrize(
    "state",
    ["[]", "1", "null", "[" * 100_000, '{"masks": []}', '{"seed": 0, "diverged": [], "histories": [], "masks": null}',
     '{"seed": 0, "diverged": [], "histories": [], "masks": [[]], "files": []}',
     '{"seed": 0, "diverged": [[]], "histories": [], "masks": [[]]}',
     '{"seed": 0, "diverged": [7], "histories": [], "masks": [[]]}',
     '{"seed": 0, "diverged": [], "histories": [], "masks": [[]], "vary": []}'],
)  # fmt: skip
def test_a_state_of_another_shape_is_told_in_a_sentence(tmp_path, state):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("ensemble.json", state)
        archive.writestr("member_000.keras", b"junk")
    with pytest.raises(InputError, match=r"does not hold a saved ensemble: ensemble\.json is"):
        Ensemble.load(tmp_path / "a.zip")


@pytest.mark.parametrize("name", ["ensemble.json", "outputs_000.npz"])
def test_an_archive_with_another_stream_is_told(small, tmp_path, name):
    path = tmp_path / "e.zip"
    Ensemble(small, members=1).save(path)
    content, start = bytearray(path.read_bytes()), 0
    with zipfile.ZipFile(path) as archive:
        offset = archive.getinfo(name).header_offset
    while (start := content.find(b"PK\1\2", start)) >= 0:
        if content[start + 46 :].startswith(name.encode()):
            content[start + 10] = content[offset + 8] = zipfile.ZIP_BZIP2
        start += 4
    path.write_bytes(content)
    with pytest.raises(InputError, match="does not hold a saved ensemble"):
        Ensemble.load(path)


def test_a_member_that_expands_to_much_is_not_held_in_memory(tmp_path):
    path, most = tmp_path / "a.evd", 30 * 2**20
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ensemble.json", json.dumps({"seed": 0, "diverged": [], "histories": [], "masks": [[]]}))
        archive.writestr("member_000.keras", bytes(2 * most))
    tracemalloc.start()
    with pytest.raises(InputError):
        Ensemble.load(path)
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert held < most
