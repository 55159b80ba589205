import gzip
import struct
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.datasets import fetching, finding, load_dataset
from ensemble_vs_dropout.datasets.idx import IDX_FILES
from ensemble_vs_dropout.datasets.known import KNOWN

SMALL = {"train": 60, "test": 20}
FIRST = {"fashion_mnist": KNOWN["fashion_mnist"].first_labels, "mnist": KNOWN["mnist"].first_labels}


@pytest.fixture
def small_images(monkeypatch):
    """The two image sets as if they were published with 60 + 20 images."""
    for name in FIRST:
        monkeypatch.setitem(KNOWN, name, replace(KNOWN[name], **SMALL))


def fake(name, pixel=0):
    """Arrays of the small size; `pixel` marks which copy was read."""
    y_train = np.array([*FIRST[name], *np.arange(50) % 10], dtype=np.uint8)
    x_train, x_test = (np.full((size, 28, 28), pixel, dtype=np.uint8) for size in SMALL.values())
    return {
        "x_train": x_train,
        "y_train": y_train,
        "x_test": x_test,
        "y_test": np.arange(20, dtype=np.uint8) % 10,
    }


def put_idx(folder, arrays):
    folder.mkdir(parents=True)
    for key, file in IDX_FILES.items():
        array = arrays[key]
        head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
        (folder / file).write_bytes(gzip.compress(head + array.tobytes(), 1))


def pixel(data):
    return int(data.x_train[0, 0, 0])


@pytest.mark.parametrize("name", ["letter", "satellite", "magic"])
def test_shipped_tables(name):
    known, data = KNOWN[name], load_dataset(name)
    assert data.name == name
    assert data.sizes["train"] + data.sizes["val"] == known.train
    assert data.sizes["test"] == known.test
    assert data.classes == known.classes
    assert data.source.startswith("shipped: ")
    assert data.x_train.dtype == np.float32
    np.testing.assert_allclose(data.x_train.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(data.x_train.std(axis=0), 1, rtol=1e-3)


def test_shipped_images():
    data = load_dataset("fashion_mnist_10k")
    assert data.sizes == {"train": 9000, "val": 1000, "test": 4000}
    assert data.x_train.dtype == np.uint8
    assert data.input_shape == (28, 28)
    assert data.classes[0] == "T-shirt/top"
    assert data.classes[-1] == "Ankle boot"


def test_enlarged_digits_are_the_digits():
    small, large = load_dataset("digits"), load_dataset("digits_28")
    assert (large.input_shape, large.x_test.dtype) == ((28, 28), np.uint8)
    np.testing.assert_array_equal(small.y_test, large.y_test)
    corners = np.rint(np.linspace(2, 25, 8)).astype(int)
    there = large.x_test[:, corners][:, :, corners] / 255
    assert np.corrcoef(there.ravel(), small.x_test.ravel())[0, 1] > 0.97
    assert large.x_test[:, :2].max() == large.x_test[:, :, -2:].max() == 0


def test_digits():
    data = load_dataset("digits", seed=1)
    assert data.sizes == {"train": 1294, "val": 144, "test": 359}
    assert (data.x_train.dtype, data.input_shape) == (np.float32, (8, 8))
    assert (data.x_train.min(), data.x_train.max()) == (0.0, 1.0)
    assert "pixel values 0..16 were divided by 16" in data.notes
    assert data.sizes["train"] + data.sizes["val"] == KNOWN["digits"].train
    assert data.sizes["test"] == KNOWN["digits"].test


def test_choices_reach_known_sets():
    data = load_dataset("letter", train_size=520, label_noise=0.2, val_fraction=0.25, seed=3)
    assert data.sizes["train"] == 520
    assert data.sizes["val"] == 4000
    assert any("training labels were replaced" in note for note in data.notes)
    assert np.bincount(data.y_val).min() > 100


def test_the_places_of_fashion_mnist_come_in_order(small_images, tmp_path, monkeypatch):
    def load():
        data = load_dataset("fashion_mnist")
        assert data.sizes == {"train": 50, "val": 10, "test": 20}
        return pixel(data), data.source

    arrays = fake("fashion_mnist", 1)
    downloaded = (arrays["x_train"], arrays["y_train"]), (arrays["x_test"], arrays["y_test"])
    monkeypatch.setattr(fetching, "_download_with_keras", lambda module: downloaded)
    assert load() == (1, "keras.datasets.fashion_mnist")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    put_idx(tmp_path / "keras" / "datasets" / "fashion-mnist", fake("fashion_mnist", 2))
    assert load()[0] == 2
    assert "Keras cache" in load()[1]
    monkeypatch.setattr(finding, "DEBIAN_FOLDER", tmp_path / "debian")
    put_idx(tmp_path / "debian" / "fashion-mnist", fake("fashion_mnist", 3))
    assert load()[0] == 3
    assert "Debian" in load()[1]
    monkeypatch.setenv("EVD_DATA", str(tmp_path / "own"))
    put_idx(tmp_path / "own" / "fashion-mnist", fake("fashion_mnist", 4))
    assert load()[0] == 4
    np.savez(tmp_path / "own" / "fashion_mnist.npz", **fake("fashion_mnist", 5))
    assert load() == (5, f"$EVD_DATA: {tmp_path / 'own' / 'fashion_mnist.npz'}")


def test_without_network_the_shipped_part_stands_in_and_says_so(capfd):
    data = load_dataset("fashion_mnist", train_size=100)
    assert data.name == "fashion_mnist_10k"
    assert data.sizes == {"train": 100, "val": 1000, "test": 4000}
    assert "not the full set" in data.notes[0]
    assert "10,000 of its 60,000 training" in data.notes[0]
    assert data.source.startswith("shipped: ")
    assert capfd.readouterr() == ("", "")


def test_mnist_has_no_stand_in():
    with pytest.raises(InputError, match=r"'mnist' could not be downloaded \(URL fetch failure.*set EVD_DATA to it"):
        load_dataset("mnist")


def test_mnist_from_a_file(small_images, tmp_path, monkeypatch):
    monkeypatch.setenv("EVD_DATA", str(tmp_path))
    np.savez(tmp_path / "mnist.npz", **fake("mnist", 9))
    data = load_dataset("mnist")
    assert (pixel(data), data.classes) == (9, tuple("0123456789"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_train": np.zeros((59, 28, 28), np.uint8)}, r"x_train uint8 \(60, 28, 28\)"),
        ({"x_train": np.zeros((60, 28, 28), np.float32)}, "got float32"),
        ({"y_test": np.zeros((20, 1), np.uint8)}, "replace it"),
        ({"y_train": np.arange(60) % 10}, "whose labels begin .*another data set or another order"),
        ({"y_train": None}, "it lacks y_train"),
    ],
)
def test_another_set_under_the_name_is_refused(small_images, tmp_path, monkeypatch, change, message):
    monkeypatch.setenv("EVD_DATA", str(tmp_path))
    arrays = {key: value for key, value in (fake("mnist") | change).items() if value is not None}
    np.savez(tmp_path / "mnist.npz", **arrays)
    with pytest.raises(InputError, match=message):
        load_dataset("mnist")


def test_a_changed_shipped_file_is_refused(tmp_path, monkeypatch):
    content = bytearray((finding.SHIPPED_FOLDER / "satellite.npz").read_bytes())
    content[1000] ^= 1
    (tmp_path / "satellite.npz").write_bytes(content)
    monkeypatch.setenv("EVD_DATA", str(tmp_path))
    with pytest.raises(InputError, match=f"must have the sha256 {KNOWN['satellite'].sha256}.*damaged or another"):
        load_dataset("satellite")


def test_a_lost_shipped_file_is_explained(tmp_path, monkeypatch):
    monkeypatch.setattr(finding, "SHIPPED_FOLDER", tmp_path)
    with pytest.raises(InputError, match=r"magic\.npz .*must lie in .*EVD_DATA.*found in neither"):
        load_dataset("magic")


def test_unknown_names():
    message = (
        r"unknown data set 'fashon_mnist' \(did you mean 'fashion_mnist'\?\); known: fashion_mnist, .*; "
        r"the path of a file must end in \.npz, \.csv or \.parquet"
    )
    with pytest.raises(InputError, match=message):
        load_dataset("fashon_mnist")


def test_target_is_for_tables():
    with pytest.raises(InputError, match="target names a column of a csv or parquet file, got 'y' with 'digits'"):
        load_dataset("digits", target="y")


def test_choices_are_checked_before_anything_is_read():
    with pytest.raises(InputError, match="label_noise"):
        load_dataset("no such set", label_noise=2)


def test_a_frame_is_refused_with_what_to_do():
    frame = pd.DataFrame({"a": [1, 2]})
    with pytest.raises(InputError, match=r"the path of a file, got DataFrame; write it by frame.to_csv\('mine.csv'"):
        load_dataset(frame, target="a")
    with pytest.raises(InputError, match=r"got int; datasets\.from_arrays makes a Dataset"):
        load_dataset(3)
