import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.datasets import from_arrays

EXAMPLES = 200


def arrays(examples=EXAMPLES, classes=4, seed=0):
    """Images whose first pixel is the number of the example, so that parts can be traced."""
    generator = np.random.default_rng(seed)
    x = np.zeros((examples, 2, 2), dtype=np.float32)
    x[:, 0, 0] = np.arange(examples)
    y = generator.permutation(np.arange(examples) % classes)
    return x, y


def load(examples=EXAMPLES, **choices):
    x, y = arrays(examples)
    return from_arrays(x, y, x[:40] + 1000, y[:40], **choices)


def ids(x):
    return x[:, 0, 0].astype(int).tolist()


def test_every_example_lands_in_one_part():
    data = load()
    _, y = arrays()
    assert data.sizes == {"train": 180, "val": 20, "test": 40}
    assert sorted(ids(data.x_train) + ids(data.x_val)) == list(range(EXAMPLES))
    np.testing.assert_array_equal(y[ids(data.x_train)], data.y_train)
    np.testing.assert_array_equal(y[ids(data.x_val)], data.y_val)
    assert np.bincount(data.y_val).tolist() == [5, 5, 5, 5]


def test_same_seed_same_parts_other_seed_others():
    assert ids(load(seed=3).x_val) == ids(load(seed=3).x_val)
    assert ids(load(seed=3).x_val) != ids(load(seed=4).x_val)
    assert ids(load(seed=3, train_size=50).x_train) != ids(load(seed=4, train_size=50).x_train)


@settings(max_examples=30, deadline=None)
@given(st.integers(4, 180), st.integers(4, 180), st.sampled_from([0.0, 0.1, 0.4]), st.integers(0, 1000))
def test_smaller_training_parts_lie_in_larger_ones_noise_and_all(one, other, noise, seed):
    small, large = (load(train_size=size, seed=seed, label_noise=noise) for size in (min(one, other), max(one, other)))
    assert small.sizes["train"] == min(one, other)
    large_labels = dict(zip(ids(large.x_train), large.y_train.tolist(), strict=True))
    assert all(large_labels[i] == y for i, y in zip(ids(small.x_train), small.y_train.tolist(), strict=True))


def test_train_size_and_noise_leave_val_and_test_alone():
    plain, changed = load(), load(train_size=40, label_noise=0.5)
    for part in ("x_val", "y_val", "x_test", "y_test"):
        np.testing.assert_array_equal(getattr(plain, part), getattr(changed, part))


def test_noise_changes_the_share_it_says():
    clean, noisy = load(), load(label_noise=0.3)
    np.testing.assert_array_equal(clean.x_train, noisy.x_train)
    changed = np.count_nonzero(clean.y_train != noisy.y_train)
    assert abs(changed - 0.3 * 180) <= 4
    assert f"{changed} of 180 training labels were replaced by another class (label_noise)" in noisy.notes
    assert not any("replaced" in note for note in clean.notes)


def test_heavy_noise_on_few_examples_keeps_every_class():
    for seed in range(20):
        data = load(train_size=4, label_noise=0.95, seed=seed)
        assert sorted(data.y_train.tolist()) == [0, 1, 2, 3]


def test_tables_are_standardised_on_the_final_training_part():
    x = np.random.default_rng(0).normal(3, 2, size=(100, 5))
    y = np.arange(100) % 2
    data = from_arrays(x, y, x[:10], y[:10], train_size=30)
    np.testing.assert_allclose(data.x_train.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(data.x_train.std(axis=0), 1, rtol=1e-5)
    far = from_arrays(x, y, x[:10] + 1e6, y[:10], train_size=30)
    np.testing.assert_array_equal(data.x_train, far.x_train)
    np.testing.assert_array_equal(data.x_val, far.x_val)


def test_the_given_arrays_are_not_changed():
    x, y = np.random.default_rng(0).normal(size=(60, 2)), np.arange(60) % 3 + 1
    before = x.copy(), y.copy()
    from_arrays(x, y, x, y, label_noise=0.5)
    np.testing.assert_array_equal(before[0], x)
    np.testing.assert_array_equal(before[1], y)


def test_a_given_validation_part_is_kept():
    x, y = arrays()
    data = from_arrays(x, y, x, y, x_val=x[:7], y_val=y[:7])
    assert data.sizes == {"train": 200, "val": 7, "test": 200}
    np.testing.assert_array_equal(data.x_val, x[:7])
    with pytest.raises(InputError, match="got only x_val; give y_val too"):
        from_arrays(x, y, x, y, x_val=x)
    with pytest.raises(InputError, match="got only y_val; give x_val too"):
        from_arrays(x, y, x, y, y_val=y)
    with pytest.raises(InputError, match="y_val holds the label '9'"):
        from_arrays(x, y, x, y, x_val=x[:1], y_val=[9])


def test_names_notes_and_source_arrive():
    data = load(name="mine", class_names=list("abcd"), source="here", notes=["first"])
    assert (data.name, data.classes, data.source, data.notes) == ("mine", tuple("abcd"), "here", ("first",))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_train": lambda y: y[:-1]}, "y_train must have one label for each of the 200 examples.*got 199"),
        ({"y_test": lambda y: y[:-1]}, "y_test must have one label"),
        ({"x_test": lambda x: x[:, :1]}, r"x_test must have examples of the shape of x_train's, \(2, 2\)"),
        ({"x_test": lambda x: np.where(x == 3, np.nan, x)}, "x_test must be finite, got 1 values"),
        ({"y_train": lambda y: np.where(np.arange(200) == 7, 9, np.minimum(y, 3))}, "got 1 of class '9'"),
        ({"y_train": lambda y: y * 0, "y_test": lambda y: y * 0}, "at least two classes"),
        ({"y_train": lambda y: y + 0.5}, "continuous"),
    ],
)
def test_arrays_that_do_not_do(change, message):
    x, y = arrays()
    given_arrays = {"x_train": x, "y_train": y, "x_test": x, "y_test": y}
    for key, function in change.items():
        given_arrays[key] = function(given_arrays[key])
    with pytest.raises(InputError, match=message):
        from_arrays(**given_arrays)


def test_train_size_out_of_reach():
    with pytest.raises(InputError, match=r"train_size must lie between 4 .* and 180 .*got 181"):
        load(train_size=181)
    with pytest.raises(InputError, match="got 3"):
        load(train_size=3)


def test_errors_are_one_line():
    with pytest.raises(InputError) as caught:
        load(train_size=181)
    assert "\n" not in str(caught.value)
