import pytest

from ensemble_vs_dropout.datasets import finding
from ensemble_vs_dropout.datasets.finding import find
from ensemble_vs_dropout.datasets.idx import IDX_FILES
from ensemble_vs_dropout.datasets.known import KNOWN

FASHION = KNOWN["fashion_mnist"]


def put_idx(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for file in IDX_FILES.values():
        (folder / file).touch()


def test_the_places_come_in_order(tmp_path, monkeypatch):
    own, debian, keras = tmp_path / "own", tmp_path / "debian", tmp_path / "keras"
    monkeypatch.setattr(finding, "DEBIAN_FOLDER", debian)
    monkeypatch.setenv("KERAS_HOME", str(keras))
    monkeypatch.setenv("EVD_DATA", str(own))
    assert find(FASHION) is None
    put_idx(keras / "datasets" / "fashion-mnist")
    assert find(FASHION).place == "the Keras cache"
    put_idx(debian / "fashion-mnist")
    assert find(FASHION).path == debian / "fashion-mnist"
    put_idx(own)
    assert find(FASHION).path == own
    put_idx(own / "fashion-mnist")
    assert find(FASHION).path == own / "fashion-mnist"
    (own / "fashion_mnist.npz").touch()
    assert find(FASHION).path == own / "fashion_mnist.npz"
    assert find(FASHION).place == "$EVD_DATA"


@pytest.mark.parametrize("lacking", IDX_FILES.values())
def test_three_of_the_four_files_are_not_enough(tmp_path, monkeypatch, lacking):
    monkeypatch.setenv("EVD_DATA", str(tmp_path))
    put_idx(tmp_path)
    (tmp_path / lacking).unlink()
    assert find(FASHION) is None


def test_shipped_files_are_taken_from_evd_data_first(tmp_path, monkeypatch):
    assert find(KNOWN["letter"]).place == "shipped"
    monkeypatch.setenv("EVD_DATA", str(tmp_path))
    assert find(KNOWN["letter"]).place == "shipped"
    (tmp_path / "letter.npz").touch()
    assert find(KNOWN["letter"]).path == tmp_path / "letter.npz"


def test_keras_home_defaults_to_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".keras" / "datasets").mkdir(parents=True)
    (tmp_path / ".keras" / "datasets" / "mnist.npz").touch()
    assert find(KNOWN["mnist"]).path == tmp_path / ".keras" / "datasets" / "mnist.npz"


def test_digits_lie_nowhere():
    assert find(KNOWN["digits"]) is None
