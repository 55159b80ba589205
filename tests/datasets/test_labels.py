import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.datasets.labels import encode_labels


def encode(train, test=None, names=None):
    return encode_labels({"y_train": train} | ({} if test is None else {"y_test": test}), names)


@pytest.mark.parametrize(
    ("raw", "codes", "classes"),
    [
        ([0, 1, 2, 1], [0, 1, 2, 1], ("0", "1", "2")),
        ([-1, 1, -1], [0, 1, 0], ("-1", "1")),
        ([1, 2, 3], [0, 1, 2], ("1", "2", "3")),
        ([10, 30, 10], [0, 1, 0], ("10", "30")),
        (["no", "yes", "no"], [0, 1, 0], ("no", "yes")),
        ([True, False], [1, 0], ("False", "True")),
        ([2.0, 1.0], [1, 0], ("1", "2")),
    ],
)
def test_labels_become_codes_and_names(raw, codes, classes):
    encoded = encode(raw)
    assert encoded.parts["y_train"].tolist() == codes
    assert encoded.parts["y_train"].dtype == np.int64
    assert encoded.classes == classes
    assert bool(encoded.notes) == (raw[:2] != [0, 1])


def test_the_note_says_what_became_what():
    assert encode([-1, 1]).notes == ("labels were encoded as 0..1: '-1' is 0, '1' is 1",)
    assert encode(list(range(1, 9)) * 3).notes[0].endswith("'6' is 5, ...")


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=20, unique=True), st.data())
def test_decoding_gives_the_labels_back(values, data):
    train = values * 3
    test = data.draw(st.lists(st.sampled_from(values), min_size=1, max_size=30))
    encoded = encode(train, test)
    assert [int(encoded.classes[code]) for code in encoded.parts["y_train"]] == train
    assert [int(encoded.classes[code]) for code in encoded.parts["y_test"]] == test
    assert set(encoded.parts["y_train"].tolist()) == set(range(len(values)))


@pytest.mark.parametrize(
    ("raw", "names", "codes"),
    [
        ([0, 1, 0], ["a", "b"], [0, 1, 0]),
        ([0, 2, 0], ["a", "b", "c"], [0, 2, 0]),
        ([-1, 1], ["neg", "pos"], [0, 1]),
        ([1, 2, 3], ["a", "b", "c"], [0, 1, 2]),
        (["b", "a"], ["b", "a"], [0, 1]),
        ([False, True], ["no", "yes"], [0, 1]),
    ],
)
def test_given_names_are_kept(raw, names, codes):
    encoded = encode(raw, names=names)
    assert encoded.parts["y_train"].tolist() == codes
    assert encoded.classes == tuple(names)


def test_names_that_do_not_fit():
    with pytest.raises(InputError, match=r"got 2 names for the 3 labels \['0', '1', '2'\]; give one name"):
        encode([0, 1, 2], names=["a", "b"])
    with pytest.raises(InputError, match="2 names for the 2 labels"):
        encode(["x", "y"], names=["a", "b"])
    with pytest.raises(InputError, match="must differ"):
        encode([0, 1], names=["a", "a"])


def test_unseen_test_label_is_named():
    with pytest.raises(InputError, match=r"y_test holds the label 'c' \(2 times\), which y_train does not"):
        encode(["a", "b"], ["c", "a", "c"])


def test_parts_of_different_kind():
    with pytest.raises(InputError, match="y_test must hold labels of the kind of y_train, text, got whole numbers"):
        encode(["a", "b"], [0, 1])


def test_more_distinct_labels_than_makes_sense():
    with pytest.raises(InputError, match=r"got 300 distinct labels in 300 examples.*compares classifiers"):
        encode(np.arange(300))
    with pytest.raises(InputError, match="1200 distinct labels"):
        encode(np.arange(12_000) % 1200)
    assert len(encode(np.arange(12_000) % 1000).classes) == 1000
    assert len(encode(np.arange(20)).classes) == 20


def test_unsigned_and_signed_parts_agree():
    encoded = encode(np.array([0, 1], dtype=np.uint64), np.array([1], dtype=np.int8))
    assert encoded.parts["y_test"].tolist() == [1]
    assert encoded.notes == ()
