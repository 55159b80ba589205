import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.datasets.splits import (
    Plan,
    check_class_sizes,
    check_train_size,
    hold_out,
    noisy_labels,
    stratified_order,
)
from ensemble_vs_dropout.seeds import stream

CLASS_SIZES = st.lists(st.integers(1, 40), min_size=2, max_size=8)
SEEDS = st.integers(0, 2**32)


def labels_of(sizes, seed=0):
    return stream(seed, "shuffle").permutation(np.repeat(np.arange(len(sizes)), sizes))


@given(CLASS_SIZES, SEEDS)
def test_every_prefix_is_stratified(sizes, seed):
    labels = labels_of(sizes, seed)
    order = stratified_order(labels, stream(seed, "order"))
    assert sorted(order.tolist()) == list(range(len(labels)))
    counts = np.cumsum(np.eye(len(sizes))[labels[order]], axis=0)
    share = np.array(sizes) / len(labels)
    for n in range(len(sizes), len(labels) + 1):
        held = counts[n - 1]
        assert held.min() >= 1
        # Rounding each class, and one each in advance, can shift all classes together by as much.
        assert (np.abs(held - n * share) <= 1.5 + share * len(sizes)).all()


def test_equal_classes_are_split_evenly():
    labels = labels_of([100] * 10)
    order = stratified_order(labels, stream(0, "a"))
    for n in (10, 50, 500, 990):
        assert np.bincount(labels[order[:n]]).tolist() == [n // 10] * 10


def test_ties_favour_no_class():
    labels = np.repeat([0, 1], 5)
    first = [labels[stratified_order(labels, stream(seed, "a"))[0]] for seed in range(200)]
    assert 60 < sum(first) < 140


@given(CLASS_SIZES.map(lambda sizes: [size + 1 for size in sizes]), st.floats(0.01, 0.5), SEEDS)
def test_hold_out_parts_examples_without_loss(sizes, fraction, seed):
    labels = labels_of(sizes, seed)
    kept, held = hold_out(labels, fraction, stream(seed, "val"), "val_fraction", "abcdefgh")
    assert sorted([*kept, *held]) == list(range(len(labels)))
    assert (np.diff(kept) > 0).all()
    assert set(labels[kept]) == set(labels[held]) == set(range(len(sizes)))
    assert len(held) == max(round(fraction * len(labels)), len(sizes))


def test_hold_out_that_empties_a_class_is_refused():
    with pytest.raises(InputError, match=r"test_fraction must leave .*0.95 takes all 2 of class 'b'; lower it"):
        hold_out(np.repeat([0, 1], [50, 2]), 0.95, stream(0, "t"), "test_fraction", ["a", "b"])


def test_small_classes_and_sizes_are_named():
    with pytest.raises(InputError, match="at least 2 examples of every class, one each for train, val, got 1 of"):
        check_class_sizes("y_train", np.array([0, 0, 1]), ["a", "b"], ["train", "val"])
    with pytest.raises(InputError, match="got 0 of class 'c'"):
        check_class_sizes("y_train", np.array([0, 1]), ["a", "b", "c"], ["train"])
    with pytest.raises(InputError, match=r"between 10 \(the number of classes\) and 900 .*got 901"):
        check_train_size(901, 900, 10)
    with pytest.raises(InputError, match="got 9"):
        check_train_size(9, 900, 10)
    assert check_train_size(10, 900, 10) == 10


@given(CLASS_SIZES, st.floats(0.0, 0.99), SEEDS)
def test_noise_takes_its_fraction_of_every_prefix(sizes, fraction, seed):
    labels = labels_of(sizes, seed)
    order = stratified_order(labels, stream(seed, "order"))
    noisy = noisy_labels(labels, order, fraction, len(sizes), stream(seed, "noise"))
    assert set(noisy.tolist()) <= set(range(len(sizes)))
    for n in (len(sizes), len(labels) // 2, len(labels)):
        first = order[:n]
        changed = np.bincount(labels[first], weights=noisy[first] != labels[first], minlength=len(sizes))
        wanted = fraction * np.bincount(labels[first], minlength=len(sizes))
        assert (np.abs(changed - wanted) <= 1 + 1e-9).all()


def test_noise_goes_to_every_other_class_alike():
    labels = np.zeros(9000, dtype=int)
    labels[:10] = 1
    order = stratified_order(labels, stream(1, "order"))
    noisy = noisy_labels(labels, order, 0.5, 4, stream(1, "noise"))
    to = np.bincount(noisy[(labels == 0) & (noisy != 0)], minlength=4)
    assert to[0] == 0
    assert (np.abs(to[1:] - 1500) < 150).all()


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"train_size": 0}, "train_size must be a whole number of at least 2, got 0"),
        ({"train_size": 10.5}, "train_size must be a whole number"),
        ({"label_noise": 1.0}, r"label_noise must be a number in \[0, 1\), got 1.0"),
        ({"label_noise": float("nan")}, "label_noise"),
        ({"val_fraction": 0.0}, "val_fraction must be above 0"),
        ({"val_fraction": 1}, "val_fraction must be a number"),
        ({"test_fraction": -0.1}, "test_fraction"),
        ({"seed": -1}, "seed must be a whole number of at least 0"),
    ],
)
def test_choices_are_checked(choice, message):
    with pytest.raises(InputError, match=message):
        Plan(**choice)


def test_a_rare_class_that_is_another_in_other_letters_is_named():
    labels = np.array([0] * 5 + [1] * 5 + [2])
    with pytest.raises(InputError, match=r"got 1 of class 'Staying ' \(did you mean 'staying'\?\); add some"):
        check_class_sizes("y", labels, ["staying", "leaving", "Staying "], ["train", "val", "test"])
