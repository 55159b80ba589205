"""Diversity: each measure against loops and other libraries, the identities between them, and where none exists."""

from itertools import combinations, permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cosine as scipy_cosine_distance
from scipy.stats import entropy as scipy_entropy
from sklearn.metrics import cohen_kappa_score, matthews_corrcoef
from statsmodels.stats.inter_rater import aggregate_raters, fleiss_kappa

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.measures import aggregate
from ensemble_vs_dropout.measures.diversity import PAIRWISE, diversity, pairwise

few = settings(max_examples=25, deadline=None)
seeds = st.integers(0, 2**32 - 1)
sizes = st.tuples(seeds, st.integers(2, 7), st.integers(1, 30), st.integers(2, 5))
POOL = ("entropy", "kohavi_wolpert", "difficulty", "generalised_kappa")
ORACLE = ("oracle_disagreement", "double_fault", "q_statistic", "correlation", "kappa")


def pool_and_labels(seed, members=5, examples=30, classes=4):
    """Members of which each is right on about half of the examples, some probabilities exactly 0."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=examples)
    shape = np.full((members, examples, classes), 0.3)
    shape[:, np.arange(examples), labels] = rng.uniform(0.1, 1.5, size=(members, 1))
    probs = rng.gamma(shape) + 1e-9
    probs[(rng.random(probs.shape) < 0.05) & (probs < probs.max(axis=2, keepdims=True))] = 0
    return probs / probs.sum(axis=2, keepdims=True), labels


def predicting(votes, classes=3):
    """Members that are certain of these labels, shape (members, examples)."""
    return np.eye(classes)[np.array(votes)]


def looped(measure, p, q, labels):
    """One measure of one pair, example by example."""
    n = len(labels)
    a, b = p.argmax(axis=1), q.argmax(axis=1)
    table = np.zeros((2, 2))
    for i in range(n):
        table[int(a[i] == labels[i]), int(b[i] == labels[i])] += 1
    (n00, n01), (n10, n11) = table
    with np.errstate(divide="ignore", invalid="ignore"):
        if measure == "disagreement":
            return np.mean([x != y for x, y in zip(a, b, strict=True)])
        if measure == "disagreement_over_error":
            return np.mean(a != b) / np.mean([np.mean(a != labels), np.mean(b != labels)])
        if measure == "kl":
            return np.mean([scipy_entropy(p[i], q[i]) for i in range(n)])
        if measure == "cosine":
            return np.mean([1 - scipy_cosine_distance(p[i], q[i]) for i in range(n)])
        if measure == "oracle_disagreement":
            return (n01 + n10) / n
        if measure == "double_fault":
            return n00 / n
        if measure == "q_statistic":
            return (n11 * n00 - n01 * n10) / (n11 * n00 + n01 * n10)
        if measure == "correlation":
            return (n11 * n00 - n01 * n10) / np.sqrt((n11 + n10) * (n01 + n00) * (n11 + n01) * (n10 + n00))
        expected = ((n11 + n10) * (n11 + n01) + (n01 + n00) * (n10 + n00)) / n**2
        return ((n11 + n00) / n - expected) / (1 - expected) if expected < 1 - 1e-9 else np.nan


@given(size=sizes)
@settings(max_examples=10, deadline=None)
def test_every_pairwise_measure_is_the_loop_over_pairs_and_examples(size):
    probs, labels = pool_and_labels(*size)
    for measure in PAIRWISE:
        expected = [[looped(measure, p, q, labels) for q in probs] for p in probs]
        np.testing.assert_allclose(pairwise(probs, labels, measure), expected, atol=1e-10, err_msg=measure)


def test_every_pairwise_measure_is_defined_on_a_pool_where_members_err_and_agree_with_scikit_learn():
    probs, labels = pool_and_labels(1, examples=200)
    right = probs.argmax(axis=2) == labels
    for i, j in permutations(range(len(probs)), 2):
        kappa, correlation = pairwise(probs, labels, "kappa"), pairwise(probs, labels, "correlation")
        assert kappa[i, j] == pytest.approx(cohen_kappa_score(right[i], right[j]), abs=1e-12)
        assert correlation[i, j] == pytest.approx(matthews_corrcoef(right[i], right[j]), abs=1e-12)
    for measure in PAIRWISE:
        assert not np.isnan(pairwise(probs, labels, measure)).any()


@given(size=sizes)
@few
def test_matrices_are_symmetric_but_for_kl_and_their_diagonals_are_known(size):
    probs, labels = pool_and_labels(*size)
    error = np.mean(probs.argmax(axis=2) != labels, axis=1)
    for measure in PAIRWISE:
        matrix = pairwise(probs, labels, measure)
        if measure != "kl":
            np.testing.assert_array_equal(matrix, matrix.T)
        if measure in ("disagreement", "kl", "oracle_disagreement"):
            np.testing.assert_array_equal(matrix.diagonal(), 0)
        elif measure == "double_fault":
            np.testing.assert_allclose(matrix.diagonal(), error, atol=1e-12)
        elif measure == "disagreement_over_error":
            np.testing.assert_array_equal(matrix.diagonal(), np.where(error > 0, 0, np.nan))
        elif measure == "cosine":
            np.testing.assert_allclose(matrix.diagonal(), 1, atol=1e-12)
        else:
            defined = (error > 0) & (error < 1)
            np.testing.assert_allclose(matrix.diagonal(), np.where(defined, 1, np.nan), atol=1e-12)


@given(size=sizes)
@few
def test_every_measure_is_within_its_range(size):
    probs, labels = pool_and_labels(*size)
    members = len(probs)
    low = dict.fromkeys(("q_statistic", "correlation", "kappa"), -1) | {"generalised_kappa": -1 / (members - 1)}
    high = {"disagreement_over_error": 2, "kl": np.inf, "kohavi_wolpert": 0.25, "difficulty": 0.25}
    values = {measure: pairwise(probs, labels, measure) for measure in PAIRWISE}
    values |= {measure: np.array(diversity(probs, labels)[measure]) for measure in POOL}
    for measure, value in values.items():
        known = value[~np.isnan(value)]
        assert (known >= low.get(measure, 0) - 1e-12).all(), measure
        assert (known <= high.get(measure, 1) + 1e-12).all(), measure


@given(size=sizes)
@few
def test_disagreement_lies_between_the_difference_and_the_sum_of_the_errors(size):
    probs, labels = pool_and_labels(*size)
    error = np.mean(probs.argmax(axis=2) != labels, axis=1)
    disagreement = pairwise(probs, labels, "disagreement")
    assert (disagreement >= np.abs(error[:, None] - error) - 1e-12).all()
    assert (disagreement <= np.minimum(1, error[:, None] + error) + 1e-12).all()
    assert (pairwise(probs, labels, "oracle_disagreement") <= disagreement + 1e-12).all()


@given(size=sizes)
@few
def test_for_two_classes_members_disagree_where_just_one_is_right(size):
    probs, labels = pool_and_labels(*size[:3], classes=2)
    by_label, by_oracle = (pairwise(probs, labels, m) for m in ("disagreement", "oracle_disagreement"))
    np.testing.assert_allclose(by_label, by_oracle, atol=1e-12)


@given(size=sizes)
@few
def test_the_mean_disagreement_is_that_of_the_vote_shares_without_a_member_meeting_itself(size):
    probs, labels = pool_and_labels(*size)
    members = len(probs)
    shares = aggregate(probs, "majority_vote")
    expected = members / (members - 1) * np.mean(1 - (shares**2).sum(axis=1))
    assert diversity(probs, labels)["disagreement"] == pytest.approx(expected, abs=1e-10)


@given(size=sizes)
@few
def test_pool_measures_are_functions_of_each_other(size):
    probs, labels = pool_and_labels(*size)
    members, values = len(probs), diversity(probs, labels)
    accuracy = np.mean(probs.argmax(axis=2) == labels)
    spread = accuracy * (1 - accuracy)
    disagreement = values["oracle_disagreement"]
    assert values["kohavi_wolpert"] == pytest.approx((members - 1) / (2 * members) * disagreement, abs=1e-10)
    assert values["difficulty"] == pytest.approx(spread - values["kohavi_wolpert"], abs=1e-10)
    if 0 < accuracy < 1:
        assert values["generalised_kappa"] == pytest.approx(1 - disagreement / (2 * spread), abs=1e-10)
    else:
        assert np.isnan(values["generalised_kappa"])


@given(size=sizes)
@settings(max_examples=10, deadline=None)
def test_pool_measures_are_the_sums_of_kuncheva_and_whitaker(size):
    probs, labels = pool_and_labels(*size)
    n, members, values = len(labels), len(probs), diversity(probs, labels)
    right = [sum(p[i].argmax() == labels[i] for p in probs) for i in range(n)]
    entropy = np.mean([min(r, members - r) / (members - np.ceil(members / 2)) for r in right])
    assert values["entropy"] == pytest.approx(entropy, abs=1e-12)
    assert values["kohavi_wolpert"] == pytest.approx(sum(r * (members - r) for r in right) / (n * members**2))
    assert values["difficulty"] == pytest.approx(np.var([r / members for r in right]), abs=1e-12)


def test_generalised_kappa_is_fleiss_and_not_the_mean_of_the_pairs():
    probs, labels = pool_and_labels(2, examples=100)
    ratings, _ = aggregate_raters((probs.argmax(axis=2) == labels).T.astype(int))
    values = diversity(probs, labels)
    assert values["generalised_kappa"] == pytest.approx(fleiss_kappa(ratings), abs=1e-12)
    assert abs(values["generalised_kappa"] - values["kappa"]) > 1e-3


def test_the_summary_holds_the_mean_over_pairs_of_every_pairwise_measure():
    probs, labels = pool_and_labels(3, examples=100)
    values = diversity(probs, labels)
    assert list(values.index) == [*PAIRWISE, *POOL]
    for measure in PAIRWISE:
        matrix = pairwise(probs, labels, measure)
        pairs = permutations(range(5), 2) if measure == "kl" else combinations(range(5), 2)
        assert values[measure] == pytest.approx(np.mean([matrix[pair] for pair in pairs]), abs=1e-12), measure


def test_independent_errors_have_no_correlation_and_the_disagreement_of_chance():
    # Every combination of two members' outcomes once: right, wrong in one way or wrong in the other.
    first, second = [0] * 6 + [1] * 2 + [2] * 2, [0] * 4 + [1] * 3 + [2] * 3
    votes = np.array(list(product(first, second))).T
    probs, labels = predicting(votes), np.zeros(100, dtype=int)
    e, f = 0.4, 0.6
    expected = e * (1 - f) + f * (1 - e) + e * f * (3 - 2) / (3 - 1)
    assert pairwise(probs, labels, "disagreement")[0, 1] == pytest.approx(expected, abs=1e-12)
    assert pairwise(probs, labels, "double_fault")[0, 1] == pytest.approx(e * f, abs=1e-12)
    for measure in ("q_statistic", "correlation", "kappa"):
        assert pairwise(probs, labels, measure)[0, 1] == pytest.approx(0, abs=1e-12)


def test_different_wrong_labels_differ_for_disagreement_but_not_for_the_oracle():
    probs, labels = predicting([[1, 0], [2, 0]]), [0, 0]
    assert pairwise(probs, labels, "disagreement")[0, 1] == 0.5
    assert pairwise(probs, labels, "oracle_disagreement")[0, 1] == 0
    assert pairwise(probs, labels, "disagreement_over_error")[0, 1] == 1


def test_errors_that_never_coincide_are_the_far_end_of_every_measure():
    probs, labels = predicting([[1, 0], [0, 1]]), [0, 0]
    values = diversity(probs, labels)
    assert values["disagreement_over_error"] == 2
    assert values[["q_statistic", "correlation", "kappa", "generalised_kappa"]].tolist() == [-1] * 4
    assert values[["entropy", "kohavi_wolpert", "difficulty", "double_fault"]].tolist() == [1, 0.25, 0, 0]
    assert values["kl"] == np.inf
    assert values["cosine"] == 0


def test_kl_is_infinite_only_where_the_row_holds_possible_what_the_column_excludes():
    probs = np.array([[[0.5, 0.5, 0]], [[1, 0, 0]], [[0.4, 0.4, 0.2]]])
    kl = pairwise(probs, [0], "kl")
    np.testing.assert_array_equal(np.isinf(kl), [[False, True, False], [False, False, False], [True, True, False]])
    assert kl[1, 0] == pytest.approx(np.log(2))
    assert diversity(probs, [0])["kl"] == np.inf


@pytest.mark.parametrize("always", [0, 1])
def test_members_that_are_always_right_or_always_wrong_leave_nan_where_nothing_can_be_said(always):
    probs, labels = predicting([[always] * 4, [always] * 4, [0, 1, 0, 1]]), np.zeros(4, dtype=int)
    same, mixed = (0, 1), (0, 2)
    for measure in ("q_statistic", "correlation"):
        assert np.isnan([pairwise(probs, labels, measure)[pair] for pair in (same, mixed)]).all()
    kappa, over_error = pairwise(probs, labels, "kappa"), pairwise(probs, labels, "disagreement_over_error")
    assert np.isnan(kappa[same])
    assert kappa[mixed] == 0
    assert np.isnan(over_error[same]) == (always == 0)
    values = diversity(probs, labels)
    assert np.isnan(values[["q_statistic", "correlation", "kappa"]]).all()
    assert not np.isnan(values["generalised_kappa"])
    assert np.isnan(diversity(probs[:2], labels)["generalised_kappa"])


def test_identical_members_are_not_diverse():
    probs, labels = pool_and_labels(4, members=1)
    values = diversity(np.repeat(probs, 4, axis=0), labels)
    none = ["disagreement", "disagreement_over_error", "oracle_disagreement", "entropy", "kohavi_wolpert"]
    np.testing.assert_array_equal(values[none], 0)
    assert values["kl"] == pytest.approx(0, abs=1e-12)
    full = ["cosine", "q_statistic", "correlation", "kappa", "generalised_kappa"]
    np.testing.assert_allclose(values[full], 1, atol=1e-12)
    error = np.mean(probs[0].argmax(axis=1) != labels)
    assert values["double_fault"] == pytest.approx(error)
    assert values["difficulty"] == pytest.approx(error * (1 - error))


@given(seed=seeds)
@few
def test_the_order_of_members_and_of_examples_does_not_matter(seed):
    probs, labels = pool_and_labels(seed)
    rng = np.random.default_rng(seed)
    members, examples = rng.permutation(len(probs)), rng.permutation(len(labels))
    shuffled = probs[members][:, examples], labels[examples]
    np.testing.assert_allclose(diversity(*shuffled), diversity(probs, labels), atol=1e-12)
    for measure in PAIRWISE:
        expected = pairwise(probs, labels, measure)[np.ix_(members, members)]
        np.testing.assert_allclose(pairwise(*shuffled, measure), expected, atol=1e-12)


@given(seed=seeds)
@few
def test_renamed_classes_and_repeated_examples_change_nothing(seed):
    probs, labels = pool_and_labels(seed)
    order = np.random.default_rng(seed).permutation(probs.shape[2])
    expected = diversity(probs, labels)
    np.testing.assert_allclose(diversity(probs[:, :, order], np.argsort(order)[labels]), expected, atol=1e-12)
    np.testing.assert_allclose(diversity(np.tile(probs, (1, 3, 1)), np.tile(labels, 3)), expected, atol=1e-12)


def test_the_oracle_measures_see_only_who_is_right():
    probs, labels = pool_and_labels(5)
    right = np.where(probs.argmax(axis=2) == labels, labels, (labels + 1) % 4)
    for measure in ORACLE:
        np.testing.assert_array_equal(
            pairwise(predicting(right, 4), labels, measure), pairwise(probs, labels, measure), err_msg=measure
        )


def test_float32_probabilities_are_measured_in_float64():
    probs, labels = pool_and_labels(6)
    single = probs.astype(np.float32)
    np.testing.assert_allclose(diversity(single, labels), diversity(single.astype(float), labels), rtol=1e-13)
    assert pairwise(single, labels, "cosine").dtype == np.float64


def test_the_registry_takes_a_measure_of_ones_own(monkeypatch):
    monkeypatch.setitem(PAIRWISE, "mine", lambda probs, labels: np.full((len(probs),) * 2, 7.0))
    assert diversity(*pool_and_labels(7))["mine"] == 7


def test_a_single_member_has_no_diversity():
    with pytest.raises(InputError, match="diversity needs at least 2 members, got 1"):
        diversity(*pool_and_labels(0, members=1))
    assert pairwise(*pool_and_labels(0, members=1), "disagreement").tolist() == [[0]]


@pytest.mark.parametrize(
    ("probs", "labels", "message"),
    [
        ([[[0.5, 0.6]]] * 2, [0], "sum to 1"),
        ([[0.5, 0.5]], [0], "shape"),
        ([[[0.5, 0.5]]] * 2, [2], "labels"),
        ([[[0.5, 0.5]]] * 2, [0, 1], "labels"),
        ([[[0.5, 0.5]]] * 2, [0.0], "labels"),
    ],
)
def test_what_does_not_fit_is_refused(probs, labels, message):
    for measure in (pairwise, diversity):
        with pytest.raises(InputError, match=message):
            measure(probs, labels)


def test_an_unknown_measure_is_refused_with_the_nearest_name():
    with pytest.raises(InputError, match=r"unknown pairwise measure 'kapa' \(did you mean 'kappa'"):
        pairwise(*pool_and_labels(0), "kapa")
