import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation.findings.confusions import confusions
from ensemble_vs_dropout.measures import aggregate
from ensemble_vs_dropout.types import Predictions

RNG = np.random.default_rng(0)
LABELS = RNG.integers(3, size=60)
NAMES = ("a", "b", "c")


def runs(members=4, repetitions=2):
    return [Predictions(RNG.dirichlet([0.5] * 3, (members, 60))) for _ in range(repetitions)]


def matrix(table):
    return table.pivot(index="truth", columns="predicted", values="share").to_numpy()


@pytest.mark.parametrize("rule", ["mean", "majority_vote", "each"])
def test_shares_are_those_of_scikit_learn(rule):
    arm = runs()
    found = confusions({"ensemble": arm}, LABELS, NAMES, {"ensemble": rule}).table
    pooled = [run.probs if rule == "each" else aggregate(run.probs, rule)[None] for run in arm]
    counts = np.mean(
        [np.mean([confusion_matrix(LABELS, probs.argmax(1)) for probs in trial], axis=0) for trial in pooled], axis=0
    )
    np.testing.assert_allclose(matrix(found), counts / counts.sum(1, keepdims=True))
    np.testing.assert_allclose(found.groupby("truth").examples.first(), np.bincount(LABELS))
    assert found.members.unique().tolist() == [1 if rule == "each" else 4]


def test_repetitions_may_have_examples_of_their_own():
    labels = np.stack([LABELS, RNG.permutation(LABELS)])
    arm = runs()
    both = [matrix(confusions({"x": run}, truth, NAMES).table) for run, truth in zip(arm, labels, strict=True)]
    np.testing.assert_allclose(matrix(confusions({"x": arm}, labels, NAMES).table), np.mean(both, axis=0))


def test_intervals_are_wilsons_and_have_a_width_where_nothing_was_wrong():
    probs = np.eye(3)[LABELS][None]
    table = confusions({"x": Predictions(probs)}, LABELS, NAMES).table
    right = table[table.truth == table.predicted]
    examples = right.examples.to_numpy()
    assert (right.share == 1).all()
    np.testing.assert_allclose(right.high, 1)
    np.testing.assert_allclose(right.low, examples / (examples + 1.959964**2))  # in closed form for a share of 1
    wrong = table[table.truth != table.predicted]
    np.testing.assert_allclose(wrong.low, 0, atol=1e-12)
    assert (wrong.high > 0).all()


def test_intervals_cover_a_share_as_often_as_they_say():
    rng, covered = np.random.default_rng(1), []
    for _ in range(400):
        labels = np.zeros(80, int)
        right = rng.random(80) < 0.8
        probs = np.where(right[:, None], [0.9, 0.1], [0.1, 0.9])[None]
        row = confusions({"x": Predictions(probs)}, labels, ["a", "b"]).table.iloc[0]
        covered.append(row.low <= 0.8 <= row.high)
    assert 0.92 <= np.mean(covered) <= 0.98


def test_a_class_without_examples_has_no_row():
    table = confusions({"x": Predictions(RNG.dirichlet([1] * 3, (1, 4)))}, [0, 0, 2, 2], NAMES).table
    assert table.truth.unique().tolist() == [0, 2]
    assert table.predicted.nunique() == 3


def test_names_must_be_of_all_classes():
    with pytest.raises(InputError, match="classes must name the 3 classes that arms predict, got 2 names"):
        confusions({"x": runs()}, LABELS, ["a", "b"])
