import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.types import Predictions


def test_predictions_tell_their_shape():
    predictions = Predictions(np.full((5, 4, 2), 0.5))
    assert (predictions.members, predictions.examples, predictions.classes) == (5, 4, 2)
    assert predictions.weights is None


@pytest.mark.parametrize("weights", [None, np.array([0.25, 0.75])])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_predictions_come_back_from_a_file_as_they_were(tmp_path, weights, dtype):
    probs = np.random.default_rng(0).dirichlet([1, 1, 1], (2, 7)).astype(dtype)
    Predictions(probs, weights, "two | networks, é").save(tmp_path / "p")
    back = Predictions.load(tmp_path / "p")
    assert back.probs.dtype == dtype
    np.testing.assert_array_equal(back.probs, probs)
    assert back.method == "two | networks, é"
    if weights is None:
        assert back.weights is None
    else:
        np.testing.assert_array_equal(back.weights, weights)


def write_pickle(path):
    with path.open("wb") as file:
        np.savez(file, probs=np.array([{"a": 1}], dtype=object), method=np.array(""))


def write_without_probs(path):
    with path.open("wb") as file:
        np.savez(file, method=np.array(""))


def write_truncated(path):
    Predictions(np.full((3, 4, 2), 0.5)).save(path)
    path.write_bytes(path.read_bytes()[:-30])


def write_changed(path):
    Predictions(np.full((3, 40, 2), 0.5)).save(path)
    data = bytearray(path.read_bytes())
    data[400] ^= 1
    path.write_bytes(bytes(data))


def write_text(path):
    path.write_text("hello")


def write_array(path):
    with path.open("wb") as file:
        np.save(file, np.ones(3))


def write_nothing(path):
    path.write_bytes(b"")


@pytest.mark.parametrize(
    "write",
    [
        write_pickle,
        write_without_probs,
        write_truncated,
        write_changed,
        write_text,
        write_array,
        write_nothing,
    ],
)
def test_a_file_that_holds_no_predictions_is_refused_by_name(tmp_path, write):
    write(tmp_path / "p")
    with pytest.raises(InputError, match="does not hold saved predictions"):
        Predictions.load(tmp_path / "p")


def test_a_file_whose_values_are_no_probabilities_says_so(tmp_path):
    np.savez(tmp_path / "p.npz", probs=np.full((1, 2, 2), 3.0), method=np.array(""))
    with pytest.raises(InputError, match="apply softmax first"):
        Predictions.load(tmp_path / "p.npz")
