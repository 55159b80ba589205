import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.measures import aggregate, ece
from ensemble_vs_dropout.measures.calibration import BINS, ece_from_terms, ece_terms

few = settings(max_examples=60, deadline=None)
seeds = st.integers(0, 2**32 - 1)


def slow_ece(probs, labels):
    total = 0.0
    for b in range(BINS):
        inside = []
        for row, label in zip(probs, labels, strict=True):
            confidence = max(row)
            low, high = b / BINS, (b + 1) / BINS
            if low < confidence <= high or (b == 0 and confidence == 0):
                inside.append((int(np.argmax(row)) == label, confidence))
        if inside:
            accuracy = sum(right for right, _ in inside) / len(inside)
            mean_confidence = sum(confidence for _, confidence in inside) / len(inside)
            total += len(inside) / len(labels) * abs(accuracy - mean_confidence)
    return total


def binary(confidences):
    c = np.asarray(confidences, dtype=float)
    return np.stack([1 - c, c], axis=1)


def some(seed, examples=60, classes=3):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.full(classes, 0.5), examples), rng.integers(classes, size=examples)


@given(seed=seeds, examples=st.integers(1, 60), classes=st.integers(2, 20))
@few
def test_ece_agrees_with_a_loop_over_bins(seed, examples, classes):
    probs, labels = some(seed, examples, classes)
    assert ece(probs, labels) == pytest.approx(slow_ece(probs, labels), abs=1e-12)


@given(seed=seeds, examples=st.integers(1, 60))
@few
def test_ece_is_at_least_the_gap_between_accuracy_and_mean_confidence(seed, examples):
    probs, labels = some(seed, examples)
    gap = abs((probs.argmax(axis=1) == labels).mean() - probs.max(axis=1).mean())
    assert gap - 1e-12 <= ece(probs, labels) <= 1


@given(seed=seeds)
@few
def test_ece_is_the_function_of_the_mean_of_its_terms(seed):
    probs, labels = some(seed)
    terms = ece_terms(probs, labels)
    assert terms.shape == (60, BINS)
    assert ((terms != 0).sum(axis=1) <= 1).all()
    assert float(ece_from_terms(terms.mean(axis=0))) == ece(probs, labels)
    both = ece_from_terms(np.stack([terms.mean(axis=0), terms[:30].mean(axis=0)]))
    np.testing.assert_allclose(both, [ece(probs, labels), ece(probs[:30], labels[:30])], atol=1e-12)


@given(seed=seeds)
@few
def test_order_and_repetition_of_examples_do_not_matter(seed):
    probs, labels = some(seed)
    order = np.random.default_rng(seed).permutation(60)
    assert ece(probs[order], labels[order]) == pytest.approx(ece(probs, labels), abs=1e-12)
    assert ece(np.tile(probs, (3, 1)), np.tile(labels, 3)) == pytest.approx(ece(probs, labels), abs=1e-12)


def test_certainty_is_in_the_last_bin():
    terms = ece_terms(np.eye(2), [0, 0])
    assert terms[1, BINS - 1] == -1
    assert ece(np.eye(2), [0, 1]) == 0
    assert ece(np.eye(2), [1, 0]) == 1


def test_confidence_zero_is_in_the_first_bin():
    terms = ece_terms([[0.0, 0.0]], [0])
    assert terms[0, 0] == 1
    assert not terms[0, 1:].any()


@pytest.mark.parametrize("edge", range(8, 16))
def test_a_confidence_on_an_edge_belongs_to_the_bin_below(edge):
    terms = ece_terms(binary([edge / BINS]), [0])
    assert np.flatnonzero(terms[0]).tolist() == [edge - 1]


def test_bins_with_opposite_gaps_do_not_cancel_but_examples_of_one_bin_do():
    apart = binary([0.7, 0.9])  # one right, one wrong, in two bins
    assert ece(apart, [1, 0]) == pytest.approx((0.3 + 0.9) / 2)
    together = binary([0.71, 0.72])
    assert ece(together, [1, 0]) == pytest.approx(abs(0.29 - 0.72) / 2)


@pytest.mark.parametrize(("confidence", "right", "expected"), [(0.8, 1, 0.2), (0.8, 0, 0.8), (1.0, 1, 0.0)])
def test_ece_of_one_example_is_its_gap(confidence, right, expected):
    assert ece(binary([confidence]), [right]) == pytest.approx(expected)


def test_ece_of_votes_is_that_of_their_shares():
    votes = np.eye(2)[np.array([[1, 1, 1], [1, 1, 0], [1, 0, 0], [1, 0, 0]])]  # the shares of class 1: 1, .5, .25
    shares = aggregate(votes, "majority_vote")
    # class 1 right, the tie goes to class 0 which is wrong, class 0 right
    assert ece(shares, [1, 1, 0]) == pytest.approx((0 + 0.5 + 0.25) / 3)


def test_shares_of_twenty_votes_fall_in_the_bins_of_their_fractions():
    votes = np.ones((20, 2), dtype=int)
    votes[16:, 0], votes[17:, 1] = 0, 0  # shares 16/20 = 0.8, an upper edge, and 17/20, in the next bin
    shares = aggregate(np.eye(2)[votes], "majority_vote")
    assert ece(shares, [1, 0]) == pytest.approx((0.2 + 0.85) / 2)


def test_a_constant_prediction_can_be_perfectly_calibrated():
    assert ece(binary([0.75] * 4), [1, 1, 1, 0]) == pytest.approx(0, abs=1e-12)


def test_pairs_that_do_not_fit_are_refused():
    with pytest.raises(InputError):
        ece([[0.5, 0.5]], [0, 1])
