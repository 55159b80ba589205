import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation import Evaluator, diversity_table
from ensemble_vs_dropout.measures import aggregate, nll
from ensemble_vs_dropout.measures.detection import DETECTORS, detection, strangeness
from ensemble_vs_dropout.measures.diversity import diversity
from ensemble_vs_dropout.types import Predictions


def some(seed=0, members=4, examples=60, sure=1.0):
    rng = np.random.default_rng(seed)
    return Predictions(rng.dirichlet(np.full(3, 1 / sure), (members, examples)) * 0.99 + 0.01 / 3)


def some_labels(examples=60):
    return np.random.default_rng(9).integers(3, size=examples)


def test_networks_and_masks_stand_on_one_scale_and_single_predictions_are_left_out():
    arms = {"ensemble": [some(0), some(1)], "mc_dropout": [some(2, 9), some(3, 9)], "dropout": [some(4, 1), some(5, 1)]}
    table = diversity_table(arms, some_labels())
    assert table[["arm", "members", "repetition"]].to_numpy().tolist() == [
        ["ensemble", 4, 0],
        ["ensemble", 4, 1],
        ["mc_dropout", 9, 0],
        ["mc_dropout", 9, 1],
    ]
    known = diversity(some(2, 9).probs, some_labels())
    np.testing.assert_allclose(table.loc[2, known.index].astype(float), known)


def test_ambiguity_is_what_the_pool_gains_on_its_mean_member():
    run, labels = some(), some_labels()
    row = diversity_table({"a": run}, labels).iloc[0]
    gain = (
        np.mean([nll(p, labels).mean() for p in run.probs]) - nll(aggregate(run.probs, "geometric_mean"), labels).mean()
    )
    assert row.ambiguity_nll == pytest.approx(gain)
    assert row.eir <= row.der + 1e-12


def test_members_alike_have_no_diversity():
    run = Predictions(np.repeat(some().probs[:1], 3, axis=0))
    row = diversity_table({"a": run}, some_labels()).iloc[0]
    for name in (
        "disagreement",
        "kl",
        "mutual_information",
        "variance",
        "ambiguity_brier",
        "ambiguity_nll",
        "der",
        "eir",
    ):
        assert row[name] == pytest.approx(0, abs=1e-12)


def test_diversity_of_single_predictions_alone_is_refused():
    with pytest.raises(InputError, match="diversity needs an arm of at least 2 members"):
        diversity_table({"a": some(members=1)}, some_labels())


@pytest.mark.parametrize("repetitions", [1, 3])
def test_detection_of_other_data_is_scored_with_intervals_and_compared_in_pairs(repetitions):
    own = {
        arm: [some(seed + r, examples=300, sure=sure) for r in range(repetitions)]
        for arm, seed, sure in (("a", 0, 40), ("b", 9, 1))
    }
    other = {arm: [some(50 + r, examples=200, sure=1) for r in range(repetitions)] for arm in own}
    scores, contrasts = Evaluator().detection(own, other, resamples=300)
    assert len(scores) == 2 * len(DETECTORS) * 3
    assert ((scores.low <= scores.value) & (scores.value <= scores.high)).all()
    row = scores[(scores.arm == "a") & (scores.rule == "entropy") & (scores.metric == "auroc")].iloc[0]
    expected = [
        detection(strangeness(i.probs).entropy, strangeness(o.probs).entropy).auroc[0]
        for i, o in zip(own["a"], other["a"], strict=True)
    ]
    assert row.value == pytest.approx(np.mean(expected))
    assert row.value > 0.7
    for metric, direction in (("auroc", 1), ("fpr_at_95_tpr", -1)):
        pair = contrasts[(contrasts.metric == metric) & (contrasts.rule_a == "entropy")].iloc[0]
        assert (pair.arm_a, pair.arm_b, pair.rule_b) == ("a", "b", "entropy")
        assert np.sign(pair.difference) == direction
        if repetitions > 1:
            assert pair.p_adjusted == pair.p_value
            assert pair.better == "a"
        else:
            assert pair.test == "none: of these networks only"


def test_networks_that_are_judged_alone_tell_other_data_each_by_itself():
    own, other = some(0, examples=300, sure=40), some(50, examples=200, sure=1)
    scores, _ = Evaluator().detection({"single": own}, {"single": other}, resamples=100)
    row = scores[(scores.rule == "entropy") & (scores.metric == "auroc")].iloc[0]
    pairs = zip(own.probs, other.probs, strict=True)
    expected = [detection(*(strangeness(part[None]).entropy for part in pair)).auroc[0] for pair in pairs]
    assert row.value == pytest.approx(np.mean(expected))
    assert row.members == 1


def test_weights_of_the_members_count_in_what_is_of_the_pool():
    run, labels = some(), some_labels()
    whole = diversity_table({"a": Predictions(run.probs, [1.0, 0, 0, 0])}, labels).iloc[0]
    assert whole.ambiguity_brier == pytest.approx(0, abs=1e-12)
    assert whole.mutual_information == 0
    assert whole.disagreement > 0.1


def test_members_alike_are_no_help_in_telling_other_data():
    run = some()
    alike = Predictions(np.repeat(run.probs[:1], 3, axis=0))
    scores, _ = Evaluator().detection({"a": alike}, {"a": alike}, resamples=100)
    row = scores[(scores.rule == "mutual_information") & (scores.metric == "auroc")].iloc[0]
    assert (row.value, row.low, row.high) == (pytest.approx(0.5),) * 3


def test_detection_is_paired_between_arms_and_spans_repetitions():
    own, other = some(0, examples=80), some(1, examples=70, sure=3)
    same, _ = Evaluator().detection({"a": own}, {"a": other}, resamples=300)
    _, contrasts = Evaluator().detection({"a": own, "b": own}, {"a": other, "b": other}, resamples=300)
    assert (contrasts.difference == 0).all()
    assert (contrasts.high - contrasts.low == 0).all()
    far = Predictions(
        np.roll(other.probs, 1, axis=2) ** 3 / (np.roll(other.probs, 1, axis=2) ** 3).sum(2, keepdims=True)
    )
    several, _ = Evaluator().detection({"a": [own] * 3}, {"a": [other, far, far]}, resamples=300)
    widths = [
        (table.high - table.low)[(table.rule == "entropy") & (table.metric == "auroc")].iloc[0]
        for table in (same, several)
    ]
    assert widths[1] > widths[0]


def test_weights_of_the_members_count_in_detection():
    own, other = some(0, examples=80), some(1, examples=70, sure=3)
    first = [1.0, 0.0, 0.0, 0.0]
    weighted, _ = Evaluator().detection(
        {"a": Predictions(own.probs, first)}, {"a": Predictions(other.probs, first)}, 100
    )
    alone, _ = Evaluator().detection({"a": Predictions(own.probs[:1])}, {"a": Predictions(other.probs[:1])}, 100)
    np.testing.assert_allclose(weighted.value, alone.value)


@pytest.mark.parametrize(
    ("own", "other", "match"),
    [
        ([some()], [some(), some()], "1 and 2 repetitions"),
        (some(), Predictions(np.full((4, 60, 2), 0.5)), "3 and 2 classes"),
        ([], [], "got nothing"),
    ],
)
def test_own_and_other_data_that_do_not_fit_are_refused(own, other, match):
    with pytest.raises(InputError, match=match):
        Evaluator().detection({"a": own}, {"a": other})
    with pytest.raises(InputError, match="at least one arm"):
        Evaluator().detection({}, {})


def test_arms_of_own_and_other_data_must_be_the_same():
    with pytest.raises(InputError, match=r"same arms, got \['a'\] and \['b'\]"):
        Evaluator().detection({"a": some()}, {"b": some()})
