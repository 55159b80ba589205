import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.datasets.features import check_features, ready_features, standardised


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ([1.0, 2.0], r"must have shape \(examples, features\).*got \(2,\)"),
        ([[1.0], [1.0, 2.0]], "rows of different shape"),
        (np.array([["a"], [None]], dtype=object), "must hold text in every place, got something else too"),
        (np.array([[1], [None]], dtype=object), "must hold numbers or text, got dtype object"),
        (["a", "\ud800"], "must hold text that UTF-8 can hold"),
        (np.array([b"a", b"\xff"]), "must hold text that UTF-8 can hold"),
        (np.array([], dtype=str), "at least one example and one text"),
        ([[1j]], "got dtype complex"),
        (np.zeros((0, 3)), "at least one example"),
        (np.zeros((3, 0)), "one feature"),
        ([[1.0, np.nan], [np.inf, 2.0]], "x_test must be finite, got 2 values"),
        ([[1e300]], "must fit float32, got 1e"),
    ],
)
def test_features_that_are_none(raw, message):
    with pytest.raises(InputError, match=message):
        check_features("x_test", raw)


def both(train, test=None):
    return {"train": np.asarray(train), "test": np.asarray(train if test is None else test)}


@pytest.mark.parametrize(
    ("train", "standardise", "dtype", "untouched"),
    [
        (np.full((2, 3, 3), 7, np.uint8), "auto", np.uint8, True),
        (np.full((2, 3), 7, np.uint8), "auto", np.uint8, True),
        (np.full((2, 3, 3), 0.5), "auto", np.float32, True),
        (np.full((2, 3, 3), 7, np.int64), "auto", np.float32, True),
        (np.array([[1.0], [3.0]]), "auto", np.float32, False),
        (np.array([[1], [3]], dtype=np.int16), "auto", np.float32, False),
        (np.array([[True], [False]]), "auto", np.float32, False),
        (np.array([[1.0], [3.0]]), False, np.float32, True),
        (np.array([[1], [3]], dtype=np.uint8), True, np.float32, False),
    ],
)
def test_what_is_standardised(train, standardise, dtype, untouched):
    ready, notes, _ = ready_features(both(train), standardise)
    assert ready["train"].dtype == ready["test"].dtype == dtype
    assert np.array_equal(ready["train"], train) == untouched
    assert any("standardised" in note for note in notes) != untouched


@pytest.mark.parametrize("standardise", ["yes", None, 1])
def test_standardise_is_checked(standardise):
    with pytest.raises(InputError, match="standardise must be 'auto', True or False"):
        ready_features(both([[1.0]]), standardise)


def test_training_part_alone_decides():
    train = np.random.default_rng(0).normal(5, 3, size=(50, 4))
    first, *_ = standardised(both(train, np.ones((2, 4))))
    second, *_ = standardised(both(train, np.full((2, 4), 1e6)))
    np.testing.assert_array_equal(first["train"], second["train"])
    np.testing.assert_allclose(first["train"].mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(first["train"].std(axis=0), 1, rtol=1e-5)


@pytest.mark.parametrize("value", [0.1, 1e30, 0.0, -7.0])
def test_constant_columns_become_zero_everywhere(value):
    train = np.column_stack([np.full(7, value), np.arange(7)])
    ready, notes, _ = standardised(both(train, [[value + 1, 2.0]]))
    assert not ready["train"][:, 0].any()
    assert ready["test"][0, 0] == 0
    assert notes[1] == "1 features are constant in the training part and became 0"


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e-30, 1e30])
def test_scale_does_not_matter(scale):
    column = np.arange(5.0)[:, None]
    np.testing.assert_allclose(standardised(both(column * scale))[0]["train"].std(), 1, rtol=1e-5)
