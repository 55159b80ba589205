import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import binom

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.measures import RULES, aggregate, error, predict_labels
from ensemble_vs_dropout.measures.aggregation import WEIGHTED_RULES, Pool, Running

MEANS = ("mean", "geometric_mean")
UNWEIGHTED = ["median", "trimmed_mean", "product", "min", "max"]
every_rule = pytest.mark.parametrize("rule", [rule for rule in RULES if rule not in WEIGHTED_RULES])
weighted_rules = pytest.mark.parametrize("rule", [rule for rule in RULES if rule not in UNWEIGHTED])
few = settings(max_examples=40, deadline=None)
shapes = st.tuples(st.integers(1, 6), st.integers(1, 8), st.integers(2, 5))
seeds = st.integers(0, 2**32 - 1)


def some_probs(seed, shape):
    members, examples, classes = shape
    return np.random.default_rng(seed).dirichlet(np.full(classes, 0.5), (members, examples)) * 0.998 + 0.002 / classes


def one_hot(votes, classes):
    return np.eye(classes)[np.asarray(votes)]


@every_rule
@given(seed=seeds, shape=shapes)
@few
def test_every_rule_returns_float64_rows_that_sum_to_one(rule, seed, shape):
    pooled = aggregate(some_probs(seed, shape).astype(np.float32), rule)
    assert pooled.shape == shape[1:]
    assert pooled.dtype == np.float64
    assert (pooled >= 0).all()
    np.testing.assert_allclose(pooled.sum(axis=1), 1, atol=1e-6)


@every_rule
@given(seed=seeds, shape=shapes)
@few
def test_order_of_members_does_not_matter(rule, seed, shape):
    probs = some_probs(seed, shape)
    order = np.random.default_rng(seed).permutation(shape[0])
    np.testing.assert_allclose(aggregate(probs[order], rule), aggregate(probs, rule), atol=1e-12)


@every_rule
@given(seed=seeds, shape=shapes)
@few
def test_every_rule_follows_a_permutation_of_examples_and_of_classes(rule, seed, shape):
    rng = np.random.default_rng(seed)
    probs = some_probs(seed, shape)
    examples, classes = rng.permutation(shape[1]), rng.permutation(shape[2])
    np.testing.assert_allclose(
        aggregate(probs[:, examples][:, :, classes], rule), aggregate(probs, rule)[examples][:, classes], atol=1e-12
    )


@pytest.mark.parametrize("rule", [*MEANS, "majority_vote", "confidence_vote", "median", "min", "max"])
@given(seed=seeds, shape=shapes)
@few
def test_a_duplicated_pool_changes_nothing(rule, seed, shape):
    probs = some_probs(seed, shape)
    np.testing.assert_allclose(aggregate(np.concatenate([probs, probs]), rule), aggregate(probs, rule), atol=1e-12)


@pytest.mark.parametrize("rule", MEANS)
@given(seed=seeds, shape=shapes)
@few
def test_one_member_or_identical_members_are_returned_as_they_are(rule, seed, shape):
    one = some_probs(seed, shape)[:1]
    np.testing.assert_allclose(aggregate(one, rule), one[0], atol=1e-12)
    np.testing.assert_allclose(aggregate(np.repeat(one, 4, axis=0), rule), one[0], atol=1e-12)


@weighted_rules
@given(seed=seeds, counts=st.lists(st.integers(0, 4), min_size=1, max_size=5).filter(any))
@few
def test_weights_are_repeated_members(rule, seed, counts):
    probs = some_probs(seed, (len(counts), 6, 3))
    weights = np.array(counts) / sum(counts)
    repeated = np.repeat(probs, counts, axis=0)
    equal = np.full(len(repeated), 1 / len(repeated))
    np.testing.assert_allclose(aggregate(probs, rule, weights), aggregate(repeated, rule, equal), atol=1e-12)


@weighted_rules
def test_the_input_is_left_as_it_was(rule):
    probs = some_probs(0, (3, 5, 4))
    probs[0, 0] = [1, 0, 0, 0]
    probs[1, 0] = [0, 1, 0, 0]
    before = probs.copy()
    aggregate(probs, rule, [0.5, 0.25, 0.25])
    np.testing.assert_array_equal(probs, before)


@given(seed=seeds, shape=shapes)
@few
def test_geometric_mean_is_the_softmax_of_the_mean_logits(seed, shape):
    logits = np.random.default_rng(seed).normal(scale=3, size=shape)
    expected = softmax(logits.mean(axis=0), axis=1)
    np.testing.assert_allclose(aggregate(softmax(logits, axis=2), "geometric_mean"), expected, atol=1e-10)


def test_weighted_geometric_mean_is_the_softmax_of_the_weighted_logits():
    logits = np.random.default_rng(1).normal(scale=3, size=(3, 20, 4))
    weights = np.array([0.2, 0.7, 0.1])
    expected = softmax(np.tensordot(weights, logits, 1), axis=1)
    np.testing.assert_allclose(aggregate(softmax(logits, axis=2), "geometric_mean", weights), expected, atol=1e-10)


def test_mean_and_geometric_mean_by_hand():
    probs = [[[0.9, 0.1]], [[0.5, 0.5]]]
    np.testing.assert_allclose(aggregate(probs, "mean"), [[0.7, 0.3]])
    np.testing.assert_allclose(aggregate(probs, "geometric_mean"), [[0.75, 0.25]])  # sqrt(.45) to sqrt(.05)


@given(seed=seeds, shape=shapes)
@few
def test_mean_never_raises_confidence(seed, shape):
    probs = some_probs(seed, shape)
    assert (aggregate(probs, "mean").max(axis=1) <= probs.max(axis=2).mean(axis=0) + 1e-12).all()


def test_one_zero_vetoes_a_class_under_the_geometric_mean_alone():
    probs = [[[0.0, 0.6, 0.4]], [[0.98, 0.01, 0.01]]]
    assert aggregate(probs, "geometric_mean")[0, 0] == 0
    assert aggregate(probs, "mean")[0, 0] == pytest.approx(0.49)


def test_a_member_of_weight_zero_has_no_veto():
    probs = [[[0.0, 1.0]], [[0.8, 0.2]]]
    np.testing.assert_allclose(aggregate(probs, "geometric_mean", [0, 1]), [[0.8, 0.2]])


def test_the_row_is_uniform_where_every_class_is_vetoed_and_other_rows_are_not_touched():
    probs = [[[1.0, 0.0], [0.8, 0.2]], [[0.0, 1.0], [0.8, 0.2]]]
    np.testing.assert_allclose(aggregate(probs, "geometric_mean"), [[0.5, 0.5], [0.8, 0.2]])


def test_tiny_probabilities_of_many_members_do_not_underflow():
    probs = np.tile([1e-300, 2e-300, 1.0], (50, 1, 1))
    np.testing.assert_allclose(aggregate(probs, "geometric_mean"), probs[0], rtol=1e-9)


def test_vote_of_one_member_is_its_label():
    probs = some_probs(2, (1, 30, 4))
    np.testing.assert_array_equal(aggregate(probs, "majority_vote"), one_hot(probs[0].argmax(axis=1), 4))


def test_unanimous_vote_is_certain():
    votes = np.random.default_rng(0).integers(3, size=12)
    np.testing.assert_allclose(aggregate(np.repeat(one_hot(votes, 3)[None], 7, axis=0), "majority_vote"),
                               one_hot(votes, 3))  # fmt: skip


@given(seed=seeds, classes=st.integers(2, 5))
@few
def test_vote_of_two_with_expected_ties_errs_as_often_as_its_members(seed, classes):
    rng = np.random.default_rng(seed)
    probs, labels = one_hot(rng.integers(classes, size=(2, 40)), classes), rng.integers(classes, size=40)
    of_members = np.mean([error(p, labels) for p in probs])
    assert error(aggregate(probs, "majority_vote"), labels, ties="expected").mean() == pytest.approx(of_members)


def test_vote_of_two_with_random_ties_errs_about_as_often_as_its_members():
    rng = np.random.default_rng(0)
    probs, labels = one_hot(rng.integers(2, size=(2, 20_000)), 2), rng.integers(2, size=20_000)
    predicted = predict_labels(aggregate(probs, "majority_vote"), ties="random")
    assert (predicted != labels).mean() == pytest.approx(np.mean([error(p, labels) for p in probs]), abs=0.015)


@given(seed=seeds, members=st.sampled_from([1, 3, 5, 7]))
@few
def test_odd_vote_between_two_classes_is_the_thresholded_mean_of_hard_votes(seed, members):
    probs = some_probs(seed, (members, 30, 2))
    hard = probs.argmax(axis=2)
    np.testing.assert_array_equal(predict_labels(aggregate(probs, "majority_vote")), hard.mean(axis=0) > 0.5)


@pytest.mark.parametrize(("members", "expected"), [(1, 0.3), (3, 0.216), (5, 0.1631), (11, 0.0782), (21, 0.0264)])
def test_vote_of_independent_members_errs_as_the_binomial_law_says(members, expected):
    assert binom.sf(members // 2, members, 0.3) == pytest.approx(expected, abs=5e-5)
    examples = 20_000
    votes = (np.random.default_rng(members).random((members, examples)) >= 0.3).astype(int)
    got = error(aggregate(one_hot(votes, 2), "majority_vote"), np.ones(examples, dtype=int)).mean()
    assert got == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / examples))


def test_random_ties_within_a_member_go_to_either_class_and_are_reproducible():
    probs = np.full((1, 1000, 2), 0.5)
    shares = aggregate(probs, "majority_vote", ties="random", seed=3)
    assert 0.4 < shares[:, 0].mean() < 0.6
    np.testing.assert_array_equal(shares, aggregate(probs, "majority_vote", ties="random", seed=3))
    assert (aggregate(probs, "majority_vote")[:, 0] == 1).all()


def test_members_break_their_ties_independently_of_each_other():
    shares = aggregate(np.full((2, 1000, 2), 0.5), "majority_vote", ties="random")
    assert 0.4 < (shares[:, 0] == 0.5).mean() < 0.6


def test_random_ties_leave_clear_rows_alone_and_take_rounding_for_a_tie():
    probs = np.tile([[0.1 + 0.2, 0.3, 0.4]], (500, 1))
    assert (predict_labels(probs, ties="random") == 2).all()
    tied = np.tile([[0.1 + 0.2, 0.3, 0.0]], (500, 1))
    assert set(predict_labels(tied, ties="random")) == {0, 1}


def test_unknown_rule_is_refused_with_the_nearest_and_the_known_ones():
    with pytest.raises(
        InputError, match=r"unknown rule 'majority_vot' \(did you mean 'majority_vote'\?\); known: mean"
    ):
        aggregate(np.full((1, 1, 2), 0.5), "majority_vot")


def test_unknown_tie_policy_is_refused():
    with pytest.raises(InputError, match="unknown tie policy 'last'"):
        predict_labels([[0.5, 0.5]], ties="last")


@every_rule
def test_logits_are_refused_with_the_remedy(rule):
    with pytest.raises(InputError, match=r"member 0, example 0 holds -1; .* look like logits: apply softmax first"):
        aggregate([[[2.0, -1.0]]], rule)
    with pytest.raises(InputError, match=r"member 1, example 0 holds 3; .* look like logits"):
        aggregate([[[0.5, 0.5]], [[2.0, 3.0]]], rule)


@every_rule
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused_with_their_place(rule, bad):
    probs = np.full((2, 3, 2), 0.5)
    probs[1, 2, 0] = bad
    with pytest.raises(InputError, match="member 1, example 2"):
        aggregate(probs, rule)


@pytest.mark.parametrize("shape", [(2,), (3, 2), (1, 1, 3, 2), (0, 3, 2), (2, 0, 2), (2, 3, 0)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(InputError, match="shape"):
        aggregate(np.full(shape, 0.5))


def test_labels_of_a_pool_are_refused():
    with pytest.raises(InputError, match="shape"):
        predict_labels(np.full((2, 3, 2), 0.5))


@every_rule
@pytest.mark.parametrize("weights", [[0.5, 0.6], [1.5, -0.5], [np.nan, 1.0], [1.0], [[0.5, 0.5]], [1, 1]])
def test_weights_that_are_no_weights_are_refused(rule, weights):
    with pytest.raises(InputError, match="weights"):
        aggregate(np.full((2, 3, 2), 0.5), rule, weights)


# Rules beside the three


@pytest.mark.parametrize("rule", UNWEIGHTED)
def test_a_rule_without_weights_refuses_weights_that_differ(rule):
    probs = some_probs(1, (2, 3, 2))
    with pytest.raises(InputError, match=r"takes no weights that differ"):
        aggregate(probs, rule, [0.25, 0.75])
    np.testing.assert_array_equal(aggregate(probs, rule, [0.5, 0.5]), aggregate(probs, rule))


@pytest.mark.parametrize("rule", WEIGHTED_RULES)
def test_a_weighted_rule_insists_on_weights(rule):
    with pytest.raises(InputError, match=r"needs weights.*fit_weights"):
        aggregate(some_probs(1, (2, 3, 2)), rule)
    plain = {"weighted_mean": "mean", "weighted_vote": "majority_vote"}[rule]
    probs = some_probs(1, (2, 3, 2))
    np.testing.assert_array_equal(aggregate(probs, rule, [0.3, 0.7]), aggregate(probs, plain, [0.3, 0.7]))


def test_the_other_rules_are_what_their_names_say():
    probs = some_probs(3, (7, 5, 4))

    def normalised(values):
        return values / values.sum(axis=1, keepdims=True)

    np.testing.assert_allclose(aggregate(probs, "median"), normalised(np.median(probs, axis=0)), atol=1e-12)
    np.testing.assert_allclose(
        aggregate(probs, "trimmed_mean"), normalised(np.sort(probs, axis=0)[1:-1].mean(axis=0)), atol=1e-12
    )
    np.testing.assert_allclose(aggregate(probs, "product"), normalised(probs.prod(axis=0)), atol=1e-12)
    np.testing.assert_allclose(aggregate(probs, "min"), normalised(probs.min(axis=0)), atol=1e-12)
    np.testing.assert_allclose(aggregate(probs, "max"), normalised(probs.max(axis=0)), atol=1e-12)
    votes = np.eye(4)[probs.argmax(axis=2)] * probs.max(axis=2, keepdims=True)
    np.testing.assert_allclose(aggregate(probs, "confidence_vote"), normalised(votes.sum(axis=0)), atol=1e-12)


def test_members_that_leave_no_class_make_a_uniform_row():
    certain = np.eye(3)[:, None]
    for rule in ("median", "min", "product", "geometric_mean"):
        np.testing.assert_allclose(aggregate(certain, rule), np.full((1, 3), 1 / 3))


def test_a_rule_of_ones_own_is_one_line():
    RULES["last"] = lambda probs, weights: probs[-1]
    try:
        assert aggregate([[[0.9, 0.1]], [[0.4, 0.6]]], "last").tolist() == [[0.4, 0.6]]
    finally:
        del RULES["last"]


# Streaming


@pytest.mark.parametrize("ties", ["first", "random"])
@pytest.mark.parametrize("rule", [rule for rule, function in RULES.items() if isinstance(function, Pool)])
def test_members_added_a_few_at_a_time_are_pooled_as_all_at_once_to_the_last_bit(rule, ties):
    probs = np.round(some_probs(5, (7, 9, 3)), 1) + 1e-3
    probs /= probs.sum(axis=2, keepdims=True)
    running = Running(RULES[rule], ties, seed=4)
    for start, stop in ((0, 1), (1, 5), (5, 7)):
        running.add(probs[start:stop])
    weights = np.full(7, 1 / 7)
    np.testing.assert_array_equal(running.result(), aggregate(probs, rule, weights, ties, seed=4))
    assert running.members == 7


def test_weights_are_streamed_too():
    probs, weights = some_probs(6, (4, 5, 3)), np.array([0.1, 0.2, 0.3, 0.4])
    running = Running(RULES["geometric_mean"])
    running.add(probs[:3], weights[:3])
    running.add(probs[3:], weights[3:])
    np.testing.assert_allclose(running.result(), aggregate(probs, "geometric_mean", weights), atol=1e-14)
