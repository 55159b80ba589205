"""Data of several inputs: a dict of arrays, or keys x_train.NAME of an npz."""

import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.datasets import from_arrays, load_dataset
from ensemble_vs_dropout.datasets.rows import Rows
from ensemble_vs_dropout.datasets.shifts import shift
from ensemble_vs_dropout.types.inputs import columns_of

RNG = np.random.default_rng(0)
NUMBER = np.arange(200.0)
X = {"picture": RNG.integers(256, size=(200, 4, 4)).astype("uint8"), "age": np.stack([NUMBER, RNG.normal(size=200)], 1)}
X["picture"][:, 0, 0] = NUMBER  # so that examples can be traced
Y = np.arange(200) % 2


def part(where):
    return {name: column[where] for name, column in X.items()}


def data(**choices):
    return from_arrays(part(slice(150)), Y[:150], part(slice(150, None)), Y[150:], **choices)


def test_inputs_of_an_example_stay_together_wherever_it_goes():
    found = data(train_size=60, seed=3)
    ages = found.encoding.inputs["age"]
    for name in ("train", "val", "test"):
        columns = columns_of(getattr(found, f"x_{name}"))
        numbers = columns["picture"][:, 0, 0].astype(int)
        back = columns["age"][:, 0] * ages.deviation[0] + ages.mean[0]
        np.testing.assert_allclose(back, numbers, atol=1e-3)
        np.testing.assert_array_equal(getattr(found, f"y_{name}"), numbers % 2)
    assert found.input_shape == {"picture": (4, 4), "age": (2,)}
    assert columns["picture"].dtype == np.uint8
    assert found.notes[-1].startswith("input 'age': features were standardised")
    assert "{'picture': (4, 4), 'age': (2,)}" in repr(found)
    assert found.test_in_train == 0


def test_each_input_is_made_ready_as_one_alone_would_be():
    alone = from_arrays(X["age"][:150], Y[:150], X["age"][150:], Y[150:])
    np.testing.assert_array_equal(columns_of(data().x_test)["age"], alone.x_test)


@pytest.mark.parametrize("pooled", [False, True])
def test_an_npz_holds_them_by_keys_with_their_names(tmp_path, pooled):
    path, own = tmp_path / "both.npz", data()
    if pooled:
        np.savez(path, y=Y, **{f"x.{name}": column for name, column in X.items()})
        assert load_dataset(path).sizes == {"train": 144, "val": 16, "test": 40}
        return
    whole = {"train": slice(150), "test": slice(150, None)}
    arrays = {f"x_{name}.{key}": column for name, where in whole.items() for key, column in part(where).items()}
    np.savez(path, y_train=Y[:150], y_test=Y[150:], **arrays)
    found = load_dataset(path)
    for name in ("x_train", "x_val", "x_test", "y_train"):
        np.testing.assert_array_equal(getattr(found, name), getattr(own, name))
    assert load_dataset(path, resplit=True, seed=1).input_shape == found.input_shape


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"picture": X["picture"][:150], "age": X["age"][:149]}, r"same examples for each input, got 150 in .*, 149"),
        ({"picture": X["picture"][:150]}, "must have examples of the shape of x_train's"),
        ({"picture": X["picture"][:150], "age": X["age"][:150, :1]}, "must have examples of the shape"),
        ({"picture": X["picture"][:150], "age": X["age"][:150].astype(str)}, "must hold text where x_train does"),
        ({"picture": X["picture"][:150], "age": X["age"][:150, 0]}, r"x_train\['age'\] must have shape"),
        ({"picture": X["picture"][:150], "age": np.full((150, 2), np.nan)}, r"x_train\['age'\] must be finite"),
        ({"a/b": X["age"][:150]}, "names without '/'"),
        ({"a": {"b": X["age"][:150]}}, "dict of arrays, got a dict within it at 'a'"),
        ({}, "got an empty dict"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        from_arrays(change, Y[:150], part(slice(150, None)), Y[150:])


def test_a_file_with_both_ways_is_refused(tmp_path):
    np.savez(tmp_path / "both.npz", y=Y, x=X["age"], **{"x.picture": X["picture"]})
    with pytest.raises(InputError, match=r"must hold x, or x\.NAME for each input, got both"):
        load_dataset(tmp_path / "both.npz")


def test_new_rows_must_have_the_same_inputs(tmp_path):
    found, path = data(), tmp_path / "new.npz"
    kinds = ({"picture": [4, 4], "age": [2]}, {"picture": "uint8", "age": "float32"})
    np.savez(path, **{f"x.{name}": column[:7] for name, column in X.items()})
    (rows,) = Rows(path, found.encoding, *kinds)
    np.testing.assert_allclose(rows["age"], X["age"][:7], rtol=1e-6)
    for arrays, message in (
        ({"x": X["age"]}, "must hold x.picture, x.age, .*got one array"),
        ({"x.picture": X["picture"]}, "must hold x.picture, x.age, .*got x.picture"),
        ({"x.picture": X["picture"], "x.age": X["age"][:, :1]}, "'age' of .* must hold examples of shape"),
        ({"x.picture": X["picture"].astype(float), "x.age": X["age"]}, "'picture' of .* must hold uint8"),
        ({"x.picture": X["picture"][:9], "x.age": X["age"]}, "must hold the same examples"),
    ):
        np.savez(path, **arrays)
        with pytest.raises(InputError, match=message):
            list(Rows(path, found.encoding, *kinds))
    with pytest.raises(InputError, match=r"must end in \.npz"):
        Rows(tmp_path / "new.npy", found.encoding, *kinds)


def test_several_inputs_are_not_shifted():
    with pytest.raises(InputError, match=r"got several inputs \(picture, age\); shift one of them"):
        shift(data().x_test, "rotation", severity=1, seed=0)


def test_large_numbers_reach_the_network_as_they_are(tmp_path):
    """What a network scales itself it must be given in double precision."""
    stamps = 1.7e9 + np.arange(200.0)[:, None]
    found = from_arrays({"stamp": stamps[:150], "age": X["age"][:150]}, Y[:150],
                        {"stamp": stamps[150:], "age": X["age"][150:]}, Y[150:])  # fmt: skip
    np.savez(tmp_path / "new.npz", **{"x.stamp": stamps[150:], "x.age": X["age"][150:]})
    kinds = ({"stamp": [1], "age": [2]}, {"stamp": "float32", "age": "float32"})
    (rows,) = Rows(tmp_path / "new.npz", found.encoding, *kinds)
    np.testing.assert_array_equal(rows["stamp"], stamps[150:])
    alone = from_arrays(stamps[:150], Y[:150], stamps[150:], Y[150:])
    np.savez(tmp_path / "one.npz", x=stamps[150:])
    (rows,) = Rows(tmp_path / "one.npz", alone.encoding, [1], "float32")
    np.testing.assert_array_equal(rows["x"], stamps[150:])


def test_one_input_needs_no_name():
    found = from_arrays({"age": X["age"][:150]}, Y[:150], {"age": X["age"][150:]}, Y[150:])
    assert found.input_shape == (2,)
