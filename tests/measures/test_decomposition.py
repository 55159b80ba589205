"""Decompositions: they close, each part is what it is called, and the bounds hold on every pool."""

from collections import Counter
from fractions import Fraction
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy as scipy_entropy

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.measures import aggregate, brier, error, nll, uncertainty
from ensemble_vs_dropout.measures.decomposition import (
    COMBINED_BY,
    ambiguity,
    bias_variance_diversity,
    competence,
    improvement,
)
from ensemble_vs_dropout.measures.diversity import pairwise

few = settings(max_examples=25, deadline=None)
fewer = settings(max_examples=10, deadline=None)
seeds = st.integers(0, 2**32 - 1)
# From rows that are all but certain, with exact zeros, to rows that are all but uniform.
sharpness = st.sampled_from([0.005, 0.05, 0.5, 5.0, 500.0])
LOSSES = {"brier": brier, "nll": nll, "error": lambda probs, labels: error(probs, labels, ties="expected")}
TERMS = ["average_bias", "average_variance", "diversity", "expected_loss", "ensemble_bias", "ensemble_variance"]


def pool_and_labels(seed, members=4, examples=20, classes=3, sharpness=0.5):
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.full(classes, sharpness), (members, examples))
    probs[probs < 1e-290] = 0  # below, float64 has fewer digits
    return probs, rng.integers(classes, size=examples)


def trials_and_labels(seed, repetitions=4, members=3, **sizes):
    probs, labels = pool_and_labels(seed, members=repetitions * members, **sizes)
    return probs.reshape(repetitions, members, *probs.shape[1:]), labels


def voters_and_labels(seed, members, examples, classes, skill):
    """Members that are certain, and right with a probability that differs from example to example about `skill`."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=examples)
    right = rng.random((members, examples)) < np.clip(rng.normal(skill, 0.15, examples), 0, 1)
    shift = np.where(right, 0, rng.integers(1, classes, size=right.shape))
    return np.eye(classes)[(labels + shift) % classes], labels


def weights_of(seed, members):
    return np.random.default_rng(seed).dirichlet(np.ones(members))


def assert_closes(whole, *signed_parts):
    """Assert that finite wholes are the sum of their parts, and that infinite ones have an infinite part."""
    finite = np.isfinite(whole)
    assert np.isinf(np.array(signed_parts)[:, ~finite]).any(axis=0).all()
    total = sum(np.asarray(part)[finite] for part in signed_parts)
    np.testing.assert_allclose(total, np.asarray(whole)[finite], rtol=1e-10, atol=1e-10)


# ---- ambiguity


@pytest.mark.parametrize("loss", LOSSES)
@given(seed=seeds, alpha=sharpness, weighted=st.booleans())
@few
def test_the_members_loss_less_the_ambiguity_is_the_loss_of_the_pool_by_the_named_rule(loss, seed, alpha, weighted):
    probs, labels = pool_and_labels(seed, sharpness=alpha)
    weights = weights_of(seed, len(probs)) if weighted else None
    table = ambiguity(probs, labels, loss, weights)
    pooled = aggregate(probs, COMBINED_BY[loss], weights)
    of_members = np.average([LOSSES[loss](p, labels) for p in probs], axis=0, weights=weights)
    np.testing.assert_allclose(table.ensemble, LOSSES[loss](pooled, labels), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(table.members, of_members, rtol=1e-10, atol=1e-10)
    known = np.isfinite(table.ambiguity)  # infinite where every class is excluded by a member
    assert_closes(table.ensemble[known], table.members[known], -table.ambiguity[known])
    assert not table.isna().any(axis=None)


@given(seed=seeds, alpha=sharpness)
@few
def test_the_ambiguity_of_the_brier_score_is_the_spread_about_the_mean(seed, alpha):
    probs, labels = pool_and_labels(seed, sharpness=alpha)
    weights = weights_of(seed, len(probs))
    values = ambiguity(probs, labels, "brier", weights).ambiguity
    np.testing.assert_allclose(values, uncertainty(probs, weights).variance, atol=1e-10)
    apart = ((probs[:, None] - probs) ** 2).sum(axis=3)
    np.testing.assert_allclose(values, np.einsum("a,b,abn->n", weights, weights, apart) / 2, atol=1e-10)


@given(seed=seeds)
@few
def test_the_ambiguity_of_the_nll_is_the_mean_divergence_from_the_geometric_mean(seed):
    probs, labels = pool_and_labels(seed)
    weights = weights_of(seed, len(probs))
    values = ambiguity(probs, labels, "nll", weights).ambiguity
    pooled = aggregate(probs, "geometric_mean", weights)
    np.testing.assert_allclose(values, weights @ [scipy_entropy(pooled, p, axis=1) for p in probs], atol=1e-10)
    with np.errstate(divide="ignore"):
        normaliser = np.prod(probs ** weights[:, None, None], axis=0).sum(axis=1)
    np.testing.assert_allclose(values, -np.log(normaliser), atol=1e-10)


@pytest.mark.parametrize("loss", ["brier", "nll"])
@given(seed=seeds, alpha=sharpness)
@fewer
def test_the_ambiguity_of_brier_and_nll_is_not_negative_and_does_not_see_the_labels(loss, seed, alpha):
    probs, labels = pool_and_labels(seed, sharpness=alpha)
    values = ambiguity(probs, labels, loss).ambiguity
    assert (values >= -1e-12).all()
    np.testing.assert_array_equal(values, ambiguity(probs, (labels + 1) % 3, loss).ambiguity)


def test_the_ambiguity_of_the_error_sees_the_labels_and_can_be_negative():
    probs = np.eye(2)[[[0], [0], [1]]]
    assert ambiguity(probs, [0], "error").iloc[0].tolist() == pytest.approx([1 / 3, 1 / 3, 0])
    assert ambiguity(probs, [1], "error").iloc[0].tolist() == pytest.approx([2 / 3, -1 / 3, 1])


def test_a_members_own_tie_is_a_vote_for_its_lowest_label_and_a_tie_of_votes_is_not():
    probs = np.array([[[0.0, 0.5, 0.5]], [[0.0, 0.1, 0.9]]])
    assert ambiguity(probs[:1], [2], "error").iloc[0].tolist() == [1, 0, 1]
    assert ambiguity(probs, [2], "error").iloc[0].tolist() == [0.5, 0, 0.5]
    assert bias_variance_diversity(probs[None, :1], [2], "error").tolist() == [1, 0, 0, 1, 1, 0]


@pytest.mark.parametrize("rule", ["mean", "majority_vote"])
def test_the_nll_of_another_rule_is_not_what_the_split_gives(rule):
    probs, labels = pool_and_labels(0, members=3, sharpness=2.0)
    split = ambiguity(probs, labels, "nll")
    other = nll(aggregate(probs, rule), labels)
    assert np.abs(split.members - split.ambiguity - other).max() > 0.01


@given(seed=seeds)
@few
def test_two_members_that_vote_gain_nothing_in_expectation(seed):
    probs, labels = pool_and_labels(seed, members=2)
    np.testing.assert_allclose(ambiguity(probs, labels, "error").ambiguity, 0, atol=1e-12)


def test_independent_votes_give_condorcets_errors():
    # All 2^M patterns of right and wrong, weighted by their probability for an error of 0.3.
    for members, expected in [(1, 0.3), (3, 0.2160), (5, 0.1631), (11, 0.0782)]:
        wrong = np.array(list(product([0, 1], repeat=members))).T
        probability = 0.3 ** wrong.sum(axis=0) * 0.7 ** (1 - wrong).sum(axis=0)
        table = ambiguity(np.eye(2)[wrong], np.zeros(wrong.shape[1], dtype=int), "error")
        assert probability @ table.ensemble == pytest.approx(expected, abs=5e-5)
        assert probability @ table.members == pytest.approx(0.3, abs=1e-12)


def test_a_class_that_a_member_excludes_makes_losses_infinite_and_never_nan():
    probs = np.array([[[0.5, 0.5, 0.0], [0.5, 0.5, 0.0]], [[0.25, 0.25, 0.5], [0.25, 0.25, 0.5]]])
    table = ambiguity(probs, [2, 0], "nll")
    assert table.members.tolist() == [np.inf, pytest.approx(1.5 * np.log(2))]
    assert table.ensemble.tolist() == [np.inf, pytest.approx(np.log(2))]
    np.testing.assert_allclose(table.ambiguity, np.log(2) / 2)


def test_where_every_class_is_excluded_the_ambiguity_is_infinite_and_the_pool_uniform():
    table = ambiguity(np.eye(3)[[[0], [1]]], [0], "nll")
    assert table.iloc[0].tolist() == [np.inf, np.inf, pytest.approx(np.log(3))]


@pytest.mark.parametrize("loss", LOSSES)
def test_a_member_without_weight_counts_for_nothing_and_a_double_weight_is_a_copy(loss):
    probs, labels = pool_and_labels(1, members=3)
    probs[2, :, 0], labels[:] = 0, 0
    probs[2] /= probs[2].sum(axis=1, keepdims=True)
    twice = ambiguity(probs[[0, 0, 1]], labels, loss)
    np.testing.assert_allclose(ambiguity(probs, labels, loss, [2 / 3, 1 / 3, 0]), twice, atol=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
@given(seed=seeds)
@fewer
def test_ambiguity_does_not_depend_on_the_order_or_on_copies_of_the_pool(loss, seed):
    probs, labels = pool_and_labels(seed)
    rng = np.random.default_rng(seed)
    table, order = ambiguity(probs, labels, loss), rng.permutation(len(labels))
    np.testing.assert_allclose(ambiguity(rng.permutation(probs), labels, loss), table, atol=1e-12)
    np.testing.assert_allclose(ambiguity(np.tile(probs, (3, 1, 1)), labels, loss), table, atol=1e-12)
    np.testing.assert_allclose(ambiguity(probs[:, order], labels[order], loss), table.iloc[order], atol=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("members", [1, 5])
def test_members_that_agree_have_no_ambiguity(loss, members):
    probs, labels = pool_and_labels(2, members=1)
    table = ambiguity(np.repeat(probs, members, axis=0), labels, loss)
    np.testing.assert_allclose(table.ambiguity, 0, atol=1e-12)
    np.testing.assert_allclose(table.ensemble, LOSSES[loss](probs[0], labels), atol=1e-12)


def test_float32_pools_still_close():
    probs, labels = pool_and_labels(3, sharpness=2.0)
    for loss in LOSSES:
        table = ambiguity(probs.astype(np.float32), labels, loss)
        np.testing.assert_allclose(table.members - table.ambiguity, table.ensemble, atol=1e-12)


# ---- bias, variance and diversity


def assert_identities(terms):
    assert list(terms.index) == TERMS
    bias, variance, diversity, loss, ensemble_bias, ensemble_variance = terms
    assert bias + variance - diversity == pytest.approx(loss, rel=1e-10, abs=1e-10)
    assert ensemble_bias + ensemble_variance == pytest.approx(loss, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("loss", LOSSES)
@given(seed=seeds, repetitions=st.integers(1, 5), members=st.integers(1, 5), alpha=st.sampled_from([0.1, 0.5, 500.0]))
@few
def test_bias_variance_and_diversity_add_up_to_the_loss_of_the_ensembles(loss, seed, repetitions, members, alpha):
    probs, labels = trials_and_labels(seed, repetitions, members, sharpness=alpha)
    terms = bias_variance_diversity(probs, labels, loss)
    expected = np.mean([ambiguity(p, labels, loss).ensemble for p in probs])
    assert terms["expected_loss"] == pytest.approx(expected, rel=1e-10)
    assert_identities(terms)
    if loss != "error":
        assert (terms >= -1e-12).all()


@given(seed=seeds)
@fewer
def test_the_terms_of_the_brier_score_are_the_sums_of_their_definition(seed):
    probs, labels = trials_and_labels(seed)
    onehot, ensembles = np.eye(3)[labels], probs.mean(axis=1)

    def apart(a, b):
        return np.mean(((a - b) ** 2).sum(axis=-1))

    expected = [
        np.mean([apart(probs[:, m].mean(axis=0), onehot) for m in range(3)]),
        np.mean([apart(probs[r, m], probs[:, m].mean(axis=0)) for r in range(4) for m in range(3)]),
        np.mean([apart(probs[r, m], ensembles[r]) for r in range(4) for m in range(3)]),
        np.mean([apart(ensembles[r], onehot) for r in range(4)]),
        apart(ensembles.mean(axis=0), onehot),
        np.mean([apart(ensembles[r], ensembles.mean(axis=0)) for r in range(4)]),
    ]
    np.testing.assert_allclose(bias_variance_diversity(probs, labels, "brier"), expected, atol=1e-10)


@given(seed=seeds)
@fewer
def test_the_terms_of_the_nll_are_divergences_from_geometric_centroids(seed):
    probs, labels = trials_and_labels(seed)

    def centroid(members):
        product_of_roots = np.prod(members ** (1 / len(members)), axis=0)
        return product_of_roots / product_of_roots.sum(axis=-1, keepdims=True)

    def apart(a, b):
        return np.mean(scipy_entropy(a, b, axis=-1))

    ensembles = np.array([centroid(p) for p in probs])
    true = np.arange(len(labels)), labels
    expected = [
        np.mean([-np.log(centroid(probs[:, m])[true]) for m in range(3)]),
        np.mean([apart(centroid(probs[:, m]), probs[r, m]) for r in range(4) for m in range(3)]),
        np.mean([apart(ensembles[r], probs[r, m]) for r in range(4) for m in range(3)]),
        np.mean([-np.log(ensembles[r][true]) for r in range(4)]),
        np.mean(-np.log(centroid(ensembles)[true])),
        np.mean([apart(centroid(ensembles), ensembles[r]) for r in range(4)]),
    ]
    np.testing.assert_allclose(bias_variance_diversity(probs, labels, "nll"), expected, rtol=1e-9, atol=1e-9)


def vote(ballots):
    """The shares of a vote with random ties, exactly; a ballot is itself a dict of shares."""
    counts = Counter()
    for ballot in ballots:
        counts.update(ballot)
    most = [label for label, count in counts.items() if count == max(counts.values())]
    return {label: Fraction(1, len(most)) for label in most}


@given(seed=seeds, repetitions=st.integers(1, 4), members=st.integers(1, 4))
@fewer
def test_the_terms_of_the_error_are_the_effects_counted_one_vote_at_a_time(seed, repetitions, members):
    probs, labels = trials_and_labels(seed, repetitions, members, examples=6)
    total = np.zeros(6)
    for i, label in enumerate(labels):
        ballots = [[{int(probs[r, m, i].argmax()): Fraction(1)} for m in range(members)] for r in range(repetitions)]
        ensembles = [vote(row) for row in ballots]

        def wrong(shares, label=label):
            return 1 - shares.get(label, Fraction(0))

        of_members = Fraction(sum(wrong(b) for row in ballots for b in row), repetitions * members)
        bias = Fraction(sum(wrong(vote(column)) for column in zip(*ballots, strict=True)), members)
        loss, of_ensemble = Fraction(sum(map(wrong, ensembles)), repetitions), wrong(vote(ensembles))
        effects = [bias, of_members - bias, of_members - loss, loss, of_ensemble, loss - of_ensemble]
        total += np.array(effects, dtype=float)
    np.testing.assert_allclose(bias_variance_diversity(probs, labels, "error"), total / len(labels), atol=1e-12)


@given(seed=seeds)
@fewer
def test_the_brier_score_of_the_mean_is_bias_variance_and_covariance_as_ueda_and_nakano_say(seed):
    probs, labels = trials_and_labels(seed, repetitions=6, members=4)
    terms = bias_variance_diversity(probs, labels, "brier")
    centred = probs - probs.mean(axis=0)
    covariance = np.einsum("rank,rbnk->abn", centred, centred) / len(probs)
    variance = np.mean([covariance[m, m] for m in range(4)])
    between = np.mean([covariance[a, b] for a in range(4) for b in range(4) if a != b])
    bias = np.mean(((probs.mean(axis=(0, 1)) - np.eye(3)[labels]) ** 2).sum(axis=1))
    assert terms["average_variance"] == pytest.approx(variance, abs=1e-10)
    assert terms["ensemble_variance"] == pytest.approx(variance / 4 + (1 - 1 / 4) * between, abs=1e-10)
    assert terms["ensemble_bias"] == pytest.approx(bias, abs=1e-10)


def test_diversity_of_subsets_of_a_pool_grows_as_one_less_one_over_their_size():
    probs, labels = pool_and_labels(4, members=6)
    spread = probs.var(axis=0, ddof=1).sum(axis=1).mean()
    for size in range(1, 7):
        chosen = np.array([probs[list(subset)] for subset in combinations(range(6), size)])
        diversity = bias_variance_diversity(chosen, labels, "brier")["diversity"]
        assert diversity == pytest.approx((1 - 1 / size) * spread, abs=1e-10)


def test_few_repetitions_count_a_part_of_the_variance_as_bias():
    # A network that is one of two predictions with equal probability: all equally likely outcomes of R trainings.
    either, labels = np.array([[[0.9, 0.1]], [[0.3, 0.7]]]), np.array([0])
    true = bias_variance_diversity(either[:, None], labels, "brier")
    for repetitions in (1, 2, 3):
        drawn = np.array([either[list(outcome)] for outcome in product([0, 1], repeat=repetitions)])
        mean = np.mean([bias_variance_diversity(p[:, None], labels, "brier") for p in drawn], axis=0)
        variance = true["average_variance"]
        assert mean[0] == pytest.approx(true["average_bias"] + variance / repetitions, abs=1e-12)
        assert mean[1] == pytest.approx((1 - 1 / repetitions) * variance, abs=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_one_repetition_has_no_variance_and_one_member_no_diversity(loss):
    probs, labels = trials_and_labels(5, repetitions=3, members=4)
    once = bias_variance_diversity(probs[:1], labels, loss)
    assert once[["average_variance", "ensemble_variance"]].tolist() == pytest.approx([0, 0], abs=1e-12)
    alone = bias_variance_diversity(probs[:, :1], labels, loss)
    assert alone["diversity"] == pytest.approx(0, abs=1e-12)
    assert alone["average_bias"] == pytest.approx(alone["ensemble_bias"], abs=1e-12)
    assert alone["average_variance"] == pytest.approx(alone["ensemble_variance"], abs=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_terms_do_not_depend_on_the_order_of_repetitions_members_and_examples_or_on_copies(loss):
    probs, labels = trials_and_labels(6)
    expected = bias_variance_diversity(probs, labels, loss)
    rng = np.random.default_rng(0)
    for shuffled in (rng.permutation(probs), rng.permutation(probs, axis=1), np.tile(probs, (2, 3, 1, 1))):
        np.testing.assert_allclose(bias_variance_diversity(shuffled, labels, loss), expected, atol=1e-12)
    order = rng.permutation(len(labels))
    np.testing.assert_allclose(bias_variance_diversity(probs[:, :, order], labels[order], loss), expected, atol=1e-12)


def test_an_excluded_class_makes_the_bias_infinite_and_not_the_variance():
    probs = np.array([[[[0.0, 0.5, 0.5]]], [[[0.5, 0.25, 0.25]]]])
    terms = bias_variance_diversity(probs, [0], "nll")
    expected = [np.inf, np.log(2) / 2, 0, np.inf, np.inf, np.log(2) / 2]
    np.testing.assert_allclose(terms, expected, atol=1e-12)


# ---- improvement and competence


@given(
    seed=seeds,
    members=st.integers(1, 8),
    examples=st.integers(1, 12),
    classes=st.integers(2, 5),
    skill=st.floats(0, 1),
)
@settings(max_examples=100, deadline=None)
def test_the_improvement_rate_never_exceeds_the_disagreement_error_ratio(seed, members, examples, classes, skill):
    values = improvement(*voters_and_labels(seed, members, examples, classes, skill))
    if np.isnan(values["der"]):
        assert np.isnan(values["eir"])
    else:
        assert values["eir"] <= values["der"] + 1e-10
        assert values["eir"] <= 1 + 1e-12
        assert values["der"] >= 0
        if values["competent"]:
            assert values["eir"] >= max(0, values["lower"]) - 1e-10


@pytest.mark.parametrize("members", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_competent_pools_keep_the_lower_bound_also_where_half_the_members_are_wrong(members, classes):
    competent = halves = 0
    for seed in range(60):
        probs, labels = voters_and_labels(seed, members, 15, classes, 0.62)
        values = improvement(probs, labels)
        if not values["competent"] or np.isnan(values["eir"]):
            continue
        competent += 1
        halves += ((probs.argmax(axis=2) != labels).mean(axis=0) == 0.5).any()
        assert values["eir"] >= max(0, values["lower"]) - 1e-10
    assert competent >= 8
    assert halves >= (8 if members % 2 == 0 else 0)


def test_the_lower_bound_is_reached_and_a_pool_that_is_not_competent_breaks_it():
    reached = improvement(np.eye(2)[[[0], [1]]], [0])
    assert reached[["eir", "der", "lower", "competent"]].tolist() == [0, 1, 0, True]
    broken = improvement(np.eye(2)[[[0], [1], [1]]], [0])
    assert broken["eir"] < broken["lower"]
    assert not broken["competent"]


@given(seed=seeds, members=st.integers(1, 6), skill=st.floats(0.2, 0.9))
@few
def test_the_ratios_are_the_loops_over_members_that_may_meet_themselves(seed, members, skill):
    probs, labels = voters_and_labels(seed, members, 12, 3, skill)
    values, votes = improvement(probs, labels), probs.argmax(axis=2)
    of_members = np.mean(votes != labels)
    if of_members == 0:
        assert values[["eir", "der", "lower", "upper"]].isna().all()
        return
    disagreement = np.mean([np.mean(a != b) for a in votes for b in votes])
    table = ambiguity(probs, labels, "error").mean()
    assert values["der"] == pytest.approx(disagreement / of_members, abs=1e-10)
    assert values["der"] == pytest.approx(pairwise(probs, labels, "disagreement").mean() / of_members, abs=1e-10)
    assert values["eir"] == pytest.approx(table["ambiguity"] / table["members"], abs=1e-10)
    assert values["lower"] == pytest.approx(4 / 3 * values["der"] - 5 / 3, abs=1e-10)
    assert values["upper"] == values["der"]


@given(seed=seeds, members=st.integers(1, 7), skill=st.floats(0, 1))
@few
def test_competence_is_the_definition_at_every_threshold(seed, members, skill):
    probs, labels = voters_and_labels(seed, members, 10, 3, skill)
    curve = competence(probs, labels).set_index("threshold")
    wrong = [Fraction(int(w), members) for w in (probs.argmax(axis=2) != labels).sum(axis=0)]
    half, margins, published = Fraction(1, 2), [], []
    for t in [Fraction(i, 420) for i in range(211)]:  # 420 is a multiple of every number of members
        right = np.mean([t <= w < half for w in wrong])
        margins.append(right - np.mean([half < w <= 1 - t for w in wrong]))
        published.append(right - np.mean([half <= w <= 1 - t for w in wrong]))
        if float(t) in curve.index:
            assert curve.loc[float(t)].tolist() == pytest.approx([right, right - margins[-1], margins[-1]])
    values = improvement(probs, labels)
    assert values["competent"] == (min(margins) > -1e-12)
    assert values["margin"] == pytest.approx(curve.margin.min())
    assert min(margins) == pytest.approx(min(0, values["margin"]), abs=1e-12)
    assert values["competent"] or min(published) < 0
    if members % 2:
        assert values["competent"] == (min(published) > -1e-12)


def test_competence_of_ten_members_by_hand():
    wrong = [0, 1, 4, 5, 6, 9]
    votes = np.array([[1] * w + [0] * (10 - w) for w in wrong]).T
    curve = competence(np.eye(2)[votes], np.zeros(6, dtype=int))
    np.testing.assert_allclose(curve.threshold, [0, 0.1, 0.2, 0.3, 0.4])
    np.testing.assert_allclose(curve.mostly_right * 6, [3, 2, 1, 1, 1])
    np.testing.assert_allclose(curve.mostly_wrong * 6, [2, 2, 1, 1, 1])
    np.testing.assert_allclose(curve.margin * 6, [1, 0, 0, 0, 0], atol=1e-12)
    assert improvement(np.eye(2)[votes], np.zeros(6, dtype=int))["competent"]


def test_one_member_and_identical_members_neither_improve_nor_disagree():
    probs, labels = pool_and_labels(7, members=1)
    probs[0, 0] = 1 / 3  # a member's own tie is its lowest label, and no disagreement
    for members in (1, 4, 7):
        values = improvement(np.repeat(probs, members, axis=0), labels)
        assert values[["eir", "der"]].tolist() == pytest.approx([0, 0], abs=1e-12)


@given(seed=seeds)
@few
def test_two_members_never_improve_by_voting(seed):
    probs, labels = pool_and_labels(seed, members=2)
    assert improvement(probs, labels)["eir"] == pytest.approx(0, abs=1e-12)


def test_where_no_member_errs_there_is_nothing_to_improve():
    values = improvement(np.eye(3)[[[0, 1], [0, 1], [0, 1]]], [0, 1])
    assert values[["eir", "der", "lower", "upper"]].isna().all()
    assert values[["competent", "margin"]].tolist() == [True, 0]


@given(seed=seeds)
@fewer
def test_the_order_of_members_and_examples_does_not_matter_to_the_improvement(seed):
    probs, labels = voters_and_labels(seed, 5, 20, 3, 0.6)
    rng = np.random.default_rng(seed)
    order = rng.permutation(20)
    shuffled = improvement(rng.permutation(probs)[:, order], labels[order])
    np.testing.assert_allclose(shuffled.astype(float), improvement(probs, labels).astype(float), atol=1e-12)


# ---- what is refused


@pytest.mark.parametrize(
    ("probs", "labels", "message"),
    [
        ([[[0.5, 0.6]]], [0], "sum to 1"),
        ([[0.5, 0.5]], [0], "shape"),
        ([[[0.5, 0.5]]], [2], "labels"),
        ([[[0.5, 0.5]]], [0, 1], "labels"),
        ([[[0.5, 0.5]]], [0.0], "labels"),
    ],
)
def test_what_does_not_fit_is_refused(probs, labels, message):
    for measure in (improvement, competence):
        with pytest.raises(InputError, match=message):
            measure(probs, labels)
    for loss in LOSSES:
        with pytest.raises(InputError, match=message):
            ambiguity(probs, labels, loss)
        with pytest.raises(InputError, match=message):
            bias_variance_diversity([probs], labels, loss)


def test_other_losses_shapes_and_weights_are_refused():
    probs, labels = pool_and_labels(0)
    for measure in (ambiguity, bias_variance_diversity):
        with pytest.raises(InputError, match=r"unknown loss 'brer' \(did you mean 'brier'"):
            measure(probs, labels, "brer")
    with pytest.raises(InputError, match=r"repetitions, members, examples, classes.*probs\[None\]"):
        bias_variance_diversity(probs, labels, "brier")
    with pytest.raises(InputError, match="weights"):
        ambiguity(probs, labels, "brier", [0.5, 0.5])
