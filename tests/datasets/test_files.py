import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.datasets import load_dataset

X = np.random.default_rng(0).integers(0, 256, size=(90, 3, 3), dtype=np.uint8)
Y = np.arange(90) % 3


def save(path, **arrays):
    np.savez(path, **arrays)
    return path


def test_given_parts_are_kept(tmp_path):
    path = save(tmp_path / "mine.npz", x_train=X, y_train=Y, x_test=X[:6], y_test=Y[:6], class_names=list("abc"))
    data = load_dataset(path)
    assert (data.name, data.classes, data.source) == ("mine", ("a", "b", "c"), str(path))
    assert data.sizes == {"train": 81, "val": 9, "test": 6}
    assert data.x_train.dtype == np.uint8
    np.testing.assert_array_equal(data.x_test, X[:6])


def test_a_validation_part_in_the_file_is_kept(tmp_path):
    path = save(tmp_path / "a.npz", x_train=X, y_train=Y, x_test=X, y_test=Y, x_val=X[:3], y_val=Y[:3], other=Y)
    data = load_dataset(path, val_fraction=0.5)
    assert data.sizes == {"train": 90, "val": 3, "test": 90}
    assert data.notes == ("arrays not used: other",)
    lone = save(tmp_path / "b.npz", x_train=X, y_train=Y, x_test=X, y_test=Y, x_val=X[:3])
    with pytest.raises(InputError, match="got only x_val; give y_val too"):
        load_dataset(lone)


def test_x_and_y_are_split(tmp_path):
    path = save(tmp_path / "a.npz", x=X, y=np.array(["p", "q", "r"])[Y])
    data = load_dataset(str(path), test_fraction=0.3, seed=5)
    assert data.sizes == {"train": 57, "val": 6, "test": 27}
    assert np.bincount(data.y_test).tolist() == [9, 9, 9]
    assert "a stratified test part of 27 examples was split off with seed 5" in data.notes
    np.testing.assert_array_equal(data.x_test, load_dataset(path, test_fraction=0.3, seed=5).x_test)
    assert not np.array_equal(data.x_test, load_dataset(path, test_fraction=0.3, seed=6).x_test)


def test_errors_name_the_file_and_what_it_holds(tmp_path):
    with pytest.raises(InputError, match=r"must hold x_train.*or x, y; it holds images, labels"):
        load_dataset(save(tmp_path / "a.npz", images=X, labels=Y))
    with pytest.raises(InputError, match="it holds x_train, y_train"):
        load_dataset(save(tmp_path / "b.npz", x_train=X, y_train=Y))
    with pytest.raises(InputError, match="got 1 of class '7'"):
        load_dataset(save(tmp_path / "c.npz", x=X, y=np.where(np.arange(90) == 4, 7, Y)))
    with pytest.raises(InputError, match=r"class_names in .* must have shape \(classes,\)"):
        load_dataset(save(tmp_path / "d.npz", x=X, y=Y, class_names=np.array("abc")))
    with pytest.raises(InputError, match="y must have one label for each of the 90 examples, got 89"):
        load_dataset(save(tmp_path / "e.npz", x=X, y=Y[1:]))
    with pytest.raises(InputError, match="target names a column of a csv or parquet file, got 'y'"):
        load_dataset(save(tmp_path / "f.npz", x=X, y=Y), target="y")
    with pytest.raises(InputError, match="unpickling can run any code"):
        load_dataset(save(tmp_path / "g.npz", x=X.astype(object), y=Y))


@pytest.mark.parametrize("name", ["missing.npz", "missing.csv", "missing.parquet", "MISSING.NPZ"])
def test_a_missing_file(tmp_path, name):
    with pytest.raises(InputError, match="does not exist"):
        load_dataset(tmp_path / name)


def test_another_suffix(tmp_path):
    (tmp_path / "a.xlsx").touch()
    with pytest.raises(InputError, match=r"must end in \.npz, \.csv or \.parquet, got"):
        load_dataset(tmp_path / "a.xlsx")
