import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.measures.detection import DETECTORS, detection, strangeness
from ensemble_vs_dropout.measures.resampling import bootstrap_weights
from ensemble_vs_dropout.measures.uncertainty import uncertainty

few = settings(max_examples=60, deadline=None)
seeds = st.integers(0, 2**32 - 1)


def scores(seed, own=30, other=20, ties=False):
    rng = np.random.default_rng(seed)
    inside, outside = rng.normal(size=own), rng.normal(0.7, size=other)
    return (inside.round(0), outside.round(0)) if ties else (inside, outside)


@given(seed=seeds, own=st.integers(1, 40), other=st.integers(1, 40), ties=st.booleans())
@few
def test_areas_agree_with_scikit_learn(seed, own, other, ties):
    inside, outside = scores(seed, own, other, ties)
    truth, both = np.r_[np.zeros(own), np.ones(other)], np.r_[inside, outside]
    row = detection(inside, outside).iloc[0]
    assert row.auroc == pytest.approx(roc_auc_score(truth, both), abs=1e-12)
    assert row.aupr == pytest.approx(average_precision_score(truth, both), abs=1e-12)
    fpr, tpr, _ = roc_curve(truth, both, drop_intermediate=False)
    assert row.fpr_at_95_tpr == pytest.approx(fpr[tpr >= 0.95 - 1e-12].min(), abs=1e-12)


def test_auroc_is_the_chance_that_other_data_score_higher_ties_counting_half():
    inside, outside = scores(3, ties=True)
    pairs = [(o > i) + 0.5 * (o == i) for i in inside for o in outside]
    assert detection(inside, outside).auroc[0] == pytest.approx(np.mean(pairs))


def test_the_ends_of_the_ranges():
    assert detection([0, 1], [2, 3]).iloc[0].tolist() == [1, 1, 0]
    assert detection([2, 3], [0, 1]).auroc[0] == 0
    assert detection([2, 3], [0, 1]).fpr_at_95_tpr[0] == 1
    assert detection([1, 1], [1, 1, 1]).iloc[0].tolist() == pytest.approx([0.5, 0.6, 1])


@given(seed=seeds, ties=st.booleans())
@few
def test_weighted_resamples_are_the_resamples_themselves(seed, ties):
    inside, outside = scores(seed, ties=ties)
    rng = np.random.default_rng(seed)
    own, other = bootstrap_weights(rng, 30, 4), bootstrap_weights(rng, 20, 4)
    table = detection(inside, outside, own, other)
    for draw in range(4):
        picked = [np.repeat(v, np.rint(w[draw] * len(v)).astype(int)) for v, w in ((inside, own), (outside, other))]
        np.testing.assert_allclose(table.iloc[draw], detection(*picked).iloc[0], atol=1e-12)


def test_scores_are_those_of_the_uncertainty():
    probs = np.random.default_rng(0).dirichlet([1, 1, 1], (4, 20))
    table = strangeness(probs)
    assert list(table) == list(DETECTORS)
    np.testing.assert_allclose(table.max_probability, -probs.mean(axis=0).max(axis=1))
    known = uncertainty(probs)
    np.testing.assert_allclose(table.entropy, known.entropy)
    np.testing.assert_allclose(table.mutual_information, known.mutual_information)


def test_one_member_cannot_disagree_with_itself():
    probs = np.random.default_rng(0).dirichlet([1, 1, 1], (1, 20))
    assert (strangeness(probs).mutual_information == 0).all()
    row = detection(strangeness(probs[:, :10]).mutual_information, strangeness(probs[:, 10:]).mutual_information).iloc[
        0
    ]
    assert row.auroc == pytest.approx(0.5)


def test_weights_of_the_members_count():
    probs = np.random.default_rng(0).dirichlet([1, 1, 1], (2, 20))
    np.testing.assert_allclose(strangeness(probs, [1.0, 0.0]).max_probability, strangeness(probs[:1]).max_probability)
    with pytest.raises(InputError, match="weights must"):
        strangeness(probs, [1.0, 1.0])


@pytest.mark.parametrize(("own", "other"), [([], [1.0]), ([1.0], []), ([[1.0]], [1.0]), ([np.nan], [1.0])])
def test_scores_that_cannot_be_ordered_are_refused(own, other):
    with pytest.raises(InputError, match="own and other must"):
        detection(own, other)
