import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.measures import aggregate, ece
from ensemble_vs_dropout.measures.calibration import (
    BINS,
    adaptive_ece,
    class_wise_ece,
    debiased_calibration_error,
    max_calibration_error,
    reliability,
)

EVERY = (ece, adaptive_ece, class_wise_ece, debiased_calibration_error, max_calibration_error)
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
def test_order_and_repetition_of_examples_do_not_matter(seed):
    probs, labels = some(seed)
    order = np.random.default_rng(seed).permutation(60)
    for measure in EVERY:
        assert measure(probs[order], labels[order]) == pytest.approx(measure(probs, labels), abs=1e-12)
    for measure in set(EVERY) - {debiased_calibration_error}:  # twice the examples have half the sampling noise
        tripled = measure(np.tile(probs, (3, 1)), np.tile(labels, 3))
        assert tripled == pytest.approx(measure(probs, labels), abs=1e-12)


def filled(table):
    return np.flatnonzero(table["count"]).tolist()


def test_certainty_is_in_the_last_bin():
    assert filled(reliability(np.eye(2), [0, 0])) == [BINS - 1]
    assert ece(np.eye(2), [0, 1]) == 0
    assert ece(np.eye(2), [1, 0]) == 1


def test_probability_zero_is_in_the_first_bin():
    probs = np.array([[1.0, 0.0], [0.5, 0.5]])  # class 1 never has probability 0 wrongly
    assert class_wise_ece(probs, [0, 0]) == pytest.approx(0.25)
    assert class_wise_ece(np.eye(2), [1, 0]) == 1


@pytest.mark.parametrize("edge", range(8, 16))
def test_a_confidence_on_an_edge_belongs_to_the_bin_below(edge):
    assert filled(reliability(binary([edge / BINS]), [0])) == [edge - 1]


@pytest.mark.parametrize("bins", [5, 10, 15, 20])
def test_shares_of_votes_on_an_edge_are_not_lifted_over_it_by_rounding(bins):
    for edge in range(bins // 2 + 1, bins + 1):
        assert filled(reliability(binary([edge / bins]), [0], bins=bins)) == [edge - 1]


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


@given(seed=seeds, classes=st.integers(2, 5))
@few
def test_class_wise_error_is_the_mean_of_each_class_as_a_question_of_its_own(seed, classes):
    probs, labels = some(seed, classes=classes)
    total = 0.0
    for k in range(classes):
        edges = np.linspace(0, 1, BINS + 1)
        for b in range(BINS):
            inside = (probs[:, k] <= edges[b + 1]) & ((probs[:, k] > edges[b]) | (b == 0))
            total += abs((labels[inside] == k).sum() - probs[inside, k].sum()) / len(labels)
    assert class_wise_ece(probs, labels) == pytest.approx(total / classes, abs=1e-12)


@given(seed=seeds)
@few
def test_without_ties_adaptive_bins_are_equal_parts_of_the_sorted_examples(seed):
    probs, labels = some(seed, examples=4 * BINS)
    order = np.argsort(probs.max(axis=1))
    gaps = (probs.argmax(axis=1) == labels) - probs.max(axis=1)
    expected = np.abs(gaps[order].reshape(BINS, 4).sum(axis=1)).sum() / len(labels)
    assert adaptive_ece(probs, labels) == pytest.approx(expected, abs=1e-12)
    assert reliability(probs, labels, width="mass")["count"].tolist() == [4] * BINS


def test_equal_confidences_share_an_adaptive_bin():
    table = reliability(binary([0.75] * 50 + [0.9]), [1] * 51, width="mass")
    assert sorted(table["count"][table["count"] > 0]) == [1, 50]
    row = table[table["count"] == 50].iloc[0]
    assert (row.low, row.high, row.accuracy) == (0.75, 0.75, 1.0)


@given(seed=seeds)
@few
def test_debiased_error_agrees_with_a_loop_over_bins(seed):
    probs, labels = some(seed, examples=4 * BINS)
    order = np.argsort(probs.max(axis=1))
    right, confidence = (probs.argmax(axis=1) == labels)[order], probs.max(axis=1)[order]
    total = 0.0
    for b in range(BINS):
        a, c = right[4 * b : 4 * b + 4].mean(), confidence[4 * b : 4 * b + 4].mean()
        total += ((a - c) ** 2 - a * (1 - a) / 3) / BINS
    assert debiased_calibration_error(probs, labels) == pytest.approx(max(0.0, total) ** 0.5, abs=1e-12)


def test_debiasing_takes_off_what_sampling_adds_to_a_calibrated_prediction():
    rng = np.random.default_rng(0)
    plain, debiased = [], []
    for _ in range(200):
        probs = rng.dirichlet([1, 1, 1], 150)
        labels = np.array([rng.choice(3, p=row) for row in probs])
        table = reliability(probs, labels, width="mass")
        plain.append((table["count"] / 150 * (table.accuracy - table.confidence) ** 2).sum() ** 0.5)
        debiased.append(float(debiased_calibration_error(probs, labels)))
    assert np.median(plain) > 0.1
    assert np.median(debiased) < 0.05


@given(seed=seeds)
@few
def test_the_largest_gap_is_at_least_the_mean_gap(seed):
    probs, labels = some(seed)
    table = reliability(probs, labels)
    gaps = (table.accuracy - table.confidence).abs()
    assert max_calibration_error(probs, labels) == pytest.approx(gaps.max())
    assert ece(probs, labels) == pytest.approx((gaps * table["count"]).sum() / 60)
    assert ece(probs, labels) <= max_calibration_error(probs, labels) + 1e-12


@given(seed=seeds, votes=st.integers(1, 9))
@few
def test_reliability_bins_hold_every_example_once(seed, votes):
    rng = np.random.default_rng(seed)
    probs = aggregate(np.eye(3)[rng.integers(3, size=(votes, 40))], "majority_vote")
    labels = rng.integers(3, size=40)
    for width in ("equal", "mass"):
        table = reliability(probs, labels, width=width)
        assert len(table) == BINS
        assert table["count"].sum() == 40
        held = table[table["count"] > 0]
        assert ((held.low - 1e-12 <= held.confidence) & (held.confidence <= held.high + 1e-12)).all()
        assert (held.accuracy * held["count"]).sum() == pytest.approx((probs.argmax(axis=1) == labels).sum())
        assert table.confidence.isna().equals(table["count"] == 0)


@pytest.mark.parametrize("measure", EVERY)
def test_one_example_and_one_bin_are_no_exception(measure):
    expected = 0.0 if measure is debiased_calibration_error else 0.2
    assert measure(binary([0.8]), [1]) == pytest.approx(expected)
    assert measure(binary([0.8]), [1], bins=1) == pytest.approx(expected)
    with pytest.raises(InputError, match="bins must be"):
        measure(binary([0.8]), [1], bins=0)
