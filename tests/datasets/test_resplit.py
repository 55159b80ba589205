"""`load_dataset(resplit=True)`: the test part is drawn by the seed, even where the source has one of its own."""

import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.datasets import load_dataset
from ensemble_vs_dropout.types import PARTS


def numbered(examples=200, seed=0):
    """Images that can be told apart, whose first pixel is their number, and their labels."""
    x = np.random.default_rng(seed).normal(size=(examples, 2, 2)).astype(np.float32)
    x[:, 0, 0] = np.arange(examples)
    return x, np.arange(examples) % 4


def parts_of(data):
    return {part: set(getattr(data, f"x_{part}")[:, 0, 0].astype(int).tolist()) for part in PARTS}


@pytest.fixture(params=[False, True], ids=["train and test", "train, val and test"])
def file(request, tmp_path):
    """An npz with parts of its own: 120 or 150 examples to train on, perhaps 30 to validate on, 50 to test on."""
    x, y = numbered()
    train = 120 if request.param else 150
    parts = {"x_train": x[:train], "y_train": y[:train], "x_test": x[150:], "y_test": y[150:]}
    if request.param:
        parts |= {"x_val": x[120:150], "y_val": y[120:150]}
    np.savez(tmp_path / "own.npz", **parts)
    return tmp_path / "own.npz"


def test_parts_of_a_source_are_drawn_anew_in_the_same_sizes_without_an_example_twice(file):
    own, *drawn = (load_dataset(file), *(load_dataset(file, resplit=True, seed=seed) for seed in range(3)))
    assert parts_of(own)["test"] == set(range(150, 200))
    seen = [parts_of(data) for data in drawn]
    for data, parts in zip(drawn, seen, strict=True):
        assert data.sizes == own.sizes
        assert sum(map(len, parts.values())) == 200
        assert set.union(*parts.values()) == set(range(200))
        assert np.ptp(np.bincount(data.y_test)) <= 1
        for part in PARTS:
            numbers = getattr(data, f"x_{part}")[:, 0, 0].astype(int)
            np.testing.assert_array_equal(getattr(data, f"y_{part}"), numbers % 4)
    for part in PARTS:
        assert len({frozenset(parts[part]) for parts in seen}) == 3


def test_the_same_seed_draws_the_same_parts_and_data_say_how_they_were_asked_for(file):
    one, two, own = (load_dataset(file, resplit=anew, seed=7) for anew in (True, True, False))
    assert parts_of(one) == parts_of(two)
    assert one.asked == {**own.asked, "resplit": True}
    assert own.asked["resplit"] is False
    assert any("parts were pooled" in note and "seed 7" in note for note in one.notes)


@pytest.mark.parametrize("given", [{}, {"train_size": 300, "label_noise": 0.2, "seed": 3}])
def test_a_source_without_a_test_part_is_split_as_ever(given):
    own, drawn = (load_dataset("digits", **given, resplit=anew) for anew in (False, True))
    for part in PARTS:
        np.testing.assert_array_equal(getattr(own, f"x_{part}"), getattr(drawn, f"x_{part}"))
        np.testing.assert_array_equal(getattr(own, f"y_{part}"), getattr(drawn, f"y_{part}"))


def test_a_known_set_is_drawn_anew_and_standardised_by_its_new_training_part():
    own, drawn = (load_dataset("satellite", resplit=anew) for anew in (False, True))
    assert drawn.sizes == own.sizes
    assert not np.array_equal(drawn.y_test, own.y_test)
    np.testing.assert_allclose(drawn.x_train.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(drawn.x_train.std(axis=0), 1, rtol=1e-3)


def test_columns_of_a_table_are_encoded_by_the_training_part_of_its_split(tmp_path):
    words = ["rare", *("often", "seldom") * 60]  # an example of "rare" is in one part alone
    rows = "".join(f"{word},{number % 2}\n" for number, word in enumerate(words))
    (tmp_path / "own.csv").write_text(f"word,y\n{rows}")
    widths = {load_dataset(tmp_path / "own.csv", target="y", resplit=True, seed=seed).input_shape for seed in range(12)}
    assert widths == {(2,), (3,)}


def test_a_class_that_cannot_be_in_every_part_is_told(tmp_path):
    x, _ = numbered(20)
    y = np.array([0, 1] * 9 + [0, 2])
    np.savez(tmp_path / "few.npz", x_train=x[10:], y_train=y[10:], x_test=x[:10], y_test=y[:10])
    with pytest.raises(
        InputError, match=r"the labels of all parts must have at least 3 examples .* got 1 of class '2'"
    ):
        load_dataset(tmp_path / "few.npz", resplit=True)
