import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, f1_score, precision_recall_fscore_support

from ensemble_vs_dropout.measures.class_scores import balanced_error, macro_f1, per_class

few = settings(max_examples=60, deadline=None)


def some(seed, examples=30, classes=4):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.full(classes, 0.5), examples), rng.integers(classes, size=examples)


@given(seed=st.integers(0, 2**32 - 1), examples=st.integers(1, 40), classes=st.integers(2, 6))
@few
def test_scores_agree_with_scikit_learn(seed, examples, classes):
    probs, labels = some(seed, examples, classes)
    predicted = probs.argmax(axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert macro_f1(probs, labels) == pytest.approx(f1_score(labels, predicted, average="macro", zero_division=0))
        assert 1 - balanced_error(probs, labels) == pytest.approx(balanced_accuracy_score(labels, predicted))
        precision, recall, f1, support = precision_recall_fscore_support(
            labels, predicted, labels=range(classes), zero_division=0
        )
    table = per_class(probs, labels)
    np.testing.assert_allclose(table.precision, precision)
    np.testing.assert_allclose(table.recall.fillna(0), recall)
    np.testing.assert_allclose(table.f1.fillna(0), f1)
    assert table.support.tolist() == support.tolist()
    assert table.recall.isna().tolist() == (support == 0).tolist()


def test_a_rare_class_counts_as_much_as_a_common_one():
    probs = np.tile([0.9, 0.1], (100, 1))
    labels = np.r_[np.zeros(99, int), 1]
    assert balanced_error(probs, labels) == 0.5
    assert macro_f1(probs, labels) == pytest.approx(198 / 199 / 2)


def test_a_class_that_is_neither_there_nor_predicted_is_left_out():
    probs = np.array([[0.9, 0.1, 0.0], [0.1, 0.9, 0.0]])
    assert macro_f1(probs, [0, 1]) == 1
    assert np.isnan(per_class(probs, [0, 1]).f1[2])
