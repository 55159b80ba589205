import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.measures import aggregate
from ensemble_vs_dropout.measures.resampling import bootstrap_weights
from ensemble_vs_dropout.measures.selection import augrc, aurc, excess_aurc, risk_coverage

few = settings(max_examples=60, deadline=None)
seeds = st.integers(0, 2**32 - 1)
AREAS = (aurc, excess_aurc, augrc)


def some(seed, examples=30, classes=3):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.full(classes, 0.5), examples), rng.integers(classes, size=examples)


def votes(seed, examples=30, members=4):
    rng = np.random.default_rng(seed)
    return aggregate(np.eye(3)[rng.integers(3, size=(members, examples))], "majority_vote"), rng.integers(
        3, size=examples
    )


def slow_aurc(wrong):
    """The mean over k of the error among the first k."""
    return np.mean([np.mean(wrong[: k + 1]) for k in range(len(wrong))])


def errors_by_confidence(probs, labels):
    wrong = (probs.argmax(axis=1) != labels).astype(float)
    return wrong[np.argsort(-probs.max(axis=1), kind="stable")]


@given(seed=seeds, examples=st.integers(1, 40))
@few
def test_without_ties_aurc_is_the_mean_of_the_risks(seed, examples):
    probs, labels = some(seed, examples)
    assert aurc(probs, labels) == pytest.approx(slow_aurc(errors_by_confidence(probs, labels)), abs=1e-12)


@given(seed=seeds)
@few
def test_with_ties_aurc_is_the_expected_value_over_random_orders_of_the_tied(seed):
    probs, labels = votes(seed, examples=7)
    wrong, confidence = (probs.argmax(axis=1) != labels).astype(float), probs.max(axis=1)
    expected, covered, errors = 0.0, 0, 0.0
    for value in np.unique(confidence)[::-1]:
        tied = confidence == value
        for j in range(1, tied.sum() + 1):
            expected += (errors + j * wrong[tied].mean()) / (covered + j)
        covered, errors = covered + tied.sum(), errors + wrong[tied].sum()
    assert aurc(probs, labels) == pytest.approx(expected / 7, abs=1e-12)


@pytest.mark.parametrize("made", [some, votes])
@pytest.mark.parametrize("area", [aurc, excess_aurc])
@given(seed=seeds)
@few
def test_counts_of_a_resample_and_weights_of_any_kind_agree(made, area, seed):
    """Whole counts have a way of their own, that looks at the errors alone."""
    probs, labels = made(seed)
    weights = bootstrap_weights(np.random.default_rng(seed), 30, 5)
    near = (1 - 1e-5) * weights + 1e-5 / 30
    np.testing.assert_allclose(area(probs, labels, weights), area(probs, labels, near), atol=1e-3)


def test_with_ties_aurc_is_the_mean_over_all_orders():
    from itertools import permutations

    probs = np.array([[0.8, 0.2], [0.6, 0.4], [0.6, 0.4], [0.6, 0.4]])
    labels = np.array([1, 0, 1, 0])
    orders = [slow_aurc(np.array([1.0, *rest])) for rest in permutations([0.0, 1.0, 0.0])]
    assert aurc(probs, labels) == pytest.approx(np.mean(orders), abs=1e-12)


@pytest.mark.parametrize("area", AREAS)
@given(seed=seeds)
@few
def test_the_order_of_tied_examples_cannot_matter(area, seed):
    probs, labels = votes(seed)
    order = np.random.default_rng(seed).permutation(30)
    assert area(probs[order], labels[order]) == pytest.approx(area(probs, labels), abs=1e-12)


@given(seed=seeds)
@few
def test_excess_is_zero_in_the_best_order_and_aurc_less_the_best_otherwise(seed):
    probs, labels = some(seed)
    wrong = errors_by_confidence(probs, labels)
    assert excess_aurc(probs, labels) == pytest.approx(slow_aurc(wrong) - slow_aurc(np.sort(wrong)), abs=1e-12)
    perfect = 1 - (probs.argmax(axis=1) != labels)
    assert excess_aurc(probs, labels, confidence=perfect) == pytest.approx(0, abs=1e-12)
    assert excess_aurc(probs, labels) >= -1e-12


@pytest.mark.parametrize("made", [some, votes])
@given(seed=seeds)
@few
def test_augrc_is_what_auroc_and_error_make_it(made, seed):
    probs, labels = made(seed)
    wrong = probs.argmax(axis=1) != labels
    e = wrong.mean()
    if 0 < e < 1:
        a = roc_auc_score(~wrong, probs.max(axis=1))
        assert augrc(probs, labels) == pytest.approx((1 - a) * e * (1 - e) + e**2 / 2, abs=1e-12)


@pytest.mark.parametrize("made", [some, votes])
@given(seed=seeds)
@few
def test_the_curve_ends_at_the_error_of_all_examples_and_its_coverage_rises(made, seed):
    probs, labels = made(seed)
    table = risk_coverage(probs, labels)
    assert (np.diff(table.coverage) > 0).all()
    assert (np.diff(table.threshold) < 0).all()
    assert (np.diff(table.generalised_risk) >= -1e-12).all()
    assert table.coverage.iloc[-1] == 1
    assert table.risk.iloc[-1] == pytest.approx((probs.argmax(axis=1) != labels).mean())
    assert len(table) == len(np.unique(probs.max(axis=1)))
    chosen = table.iloc[len(table) // 2]
    accepted = probs.max(axis=1) >= chosen.threshold
    assert chosen.coverage == pytest.approx(accepted.mean())
    assert chosen.risk == pytest.approx((probs.argmax(axis=1) != labels)[accepted].mean())


def test_always_right_and_always_wrong_are_the_ends():
    probs = np.random.default_rng(0).dirichlet([1, 1], 20)
    right = probs.argmax(axis=1)
    assert [float(area(probs, right)) for area in AREAS] == [0, 0, 0]
    assert [float(area(probs, 1 - right)) for area in AREAS] == pytest.approx([1, 0, 0.5], abs=1e-12)


def test_a_constant_confidence_has_the_error_at_every_coverage():
    probs = np.tile([0.7, 0.3], (10, 1))
    labels = np.r_[np.zeros(7, int), np.ones(3, int)]
    assert aurc(probs, labels) == pytest.approx(0.3)
    assert augrc(probs, labels) == pytest.approx(0.15)


@pytest.mark.parametrize("confidence", [np.ones(29), np.r_[np.ones(29), np.nan]])
def test_confidence_that_does_not_fit_is_refused(confidence):
    with pytest.raises(InputError, match="confidence must be one number for each of the 30"):
        aurc(*some(0), confidence=confidence)
