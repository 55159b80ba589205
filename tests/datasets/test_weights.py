"""Weights of training examples stay with their examples."""

import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.datasets import from_arrays, load_dataset

X, Y = np.arange(120.0)[:, None], np.arange(120) % 2
WEIGHTS = np.arange(90) + 1.0


def data(weights=WEIGHTS, **choices):
    return from_arrays(X[:90], Y[:90], X[90:], Y[90:], weights_train=weights, standardise=False, **choices)


@pytest.mark.parametrize("choices", [{}, {"train_size": 30}, {"x_val": X[90:], "y_val": Y[90:]}, {"label_noise": 0.2}])
def test_weights_go_where_their_examples_go(choices):
    found = data(**choices)
    np.testing.assert_array_equal(found.weights_train, found.x_train[:, 0] + 1)
    assert data(None, **choices).weights_train is None


def test_an_npz_may_hold_weights(tmp_path):
    arrays = {"x_train": X[:90], "y_train": Y[:90], "x_test": X[90:], "y_test": Y[90:]}
    np.savez(tmp_path / "data.npz", weights_train=WEIGHTS, **arrays)
    found = load_dataset(tmp_path / "data.npz", train_size=40)
    np.testing.assert_array_equal(found.weights_train, data(train_size=40).weights_train)
    assert found.notes == load_dataset(tmp_path / "data.npz", train_size=40).notes
    assert not any("not used" in note for note in found.notes)
    with pytest.raises(InputError, match="resplit draws another"):
        load_dataset(tmp_path / "data.npz", resplit=True)


@pytest.mark.parametrize("weights", [WEIGHTS[:5], -WEIGHTS, np.zeros(90), np.full(90, np.nan), np.array(["a"] * 90)])
def test_weights_that_are_none_are_refused(weights):
    with pytest.raises(InputError, match="weights_train must hold one non-negative number for each of the 90 examples"):
        data(weights)
