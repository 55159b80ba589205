import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, t, ttest_1samp, ttest_rel

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation import Evaluator, equal_cost, equivalence, size_curves
from ensemble_vs_dropout.evaluation.arms import EACH
from ensemble_vs_dropout.measures import METRICS, STANDARD_METRICS, STANDARD_RULES, Metric, aggregate
from ensemble_vs_dropout.measures.significance import mcnemar
from ensemble_vs_dropout.types import Predictions

SCORE_COLUMNS = [
    "arm", "rule", "members", "metric", "value", "low", "high", "split", "condition", "severity", "repetition",
]  # fmt: skip
CONTRAST_COLUMNS = [
    "arm_a", "rule_a", "arm_b", "rule_b", "metric", "difference", "low", "high", "p_value", "p_adjusted", "test",
    "better", "detectable", "family", "value_a", "value_b", "margin", "p_equivalent", "equivalent",
]  # fmt: skip
OTHER_SIDE = {"a": "b", "b": "a", "neither": "neither"}


def some_labels(examples=80, classes=3):
    return np.random.default_rng(99).integers(classes, size=examples)


def members_of(labels, skill, seed=0, members=4, classes=3, spread=1.0):
    """Return members whose logit of the true class is raised by `skill`."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=spread, size=(members, len(labels), classes))
    logits[:, np.arange(len(labels)), labels] += skill
    probs = np.exp(logits)
    return Predictions(probs / probs.sum(axis=2, keepdims=True))


def repeated(labels, skill, repetitions=3, **options):
    """Return an arm of several repetitions, with networks of its own."""
    return [members_of(labels, skill, seed=int(1000 * skill) + n, **options) for n in range(repetitions)]


def quick(**options):
    return Evaluator(**{"resamples": 300} | options)


def two_arms(labels):
    return {"good": members_of(labels, 3, seed=1), "bad": members_of(labels, 0.5, seed=2)}


def test_columns_and_rows_of_scores_are_as_documented():
    labels = some_labels()
    table = quick(rules=[*STANDARD_RULES, EACH]).scores(two_arms(labels), labels, "val", "noise", 3)
    assert table.columns.tolist() == SCORE_COLUMNS
    assert len(table) == 2 * 4 * len(STANDARD_METRICS)
    assert set(table.split) == {"val"}
    assert set(table.condition) == {"noise"}
    assert set(table.severity) == {3}
    assert set(table.repetition) == {0}
    assert not table.duplicated(["arm", "rule", "metric"]).any()
    assert (table[table.rule == EACH].members == 1).all()
    assert (table[table.rule != EACH].members == 4).all()


def test_columns_and_rows_of_contrasts_are_as_documented():
    labels = some_labels()
    table = quick(rules=["mean", EACH]).contrasts(two_arms(labels), labels)
    assert table.columns.tolist() == CONTRAST_COLUMNS
    assert len(table) == len(STANDARD_METRICS) * 6
    assert set(table.better) <= {"a", "b", "neither"}


def test_one_row_has_no_contrast_but_the_columns():
    labels = some_labels()
    table = quick(rules=["mean"]).contrasts({"a": members_of(labels, 1)}, labels)
    assert table.columns.tolist() == CONTRAST_COLUMNS
    assert table.empty


def test_tables_are_scores_and_contrasts():
    labels = some_labels()
    evaluator = quick(rules=["mean"])
    scores, contrasts = evaluator.tables(two_arms(labels), labels)
    assert scores.equals(evaluator.scores(two_arms(labels), labels))
    assert contrasts.equals(evaluator.contrasts(two_arms(labels), labels))


@pytest.mark.parametrize("rule", list(STANDARD_RULES))
def test_values_are_the_metrics_of_the_combined_members(rule):
    labels = some_labels()
    arms = two_arms(labels)
    table = quick(rules=[rule]).scores(arms, labels)
    for row in table.itertuples():
        expected = METRICS[row.metric].value(aggregate(arms[row.arm].probs, rule), labels)
        assert row.value == pytest.approx(expected)


def test_each_is_the_mean_of_the_members_metrics():
    labels = some_labels()
    arms = two_arms(labels)
    for row in quick(rules=[EACH]).scores(arms, labels).itertuples():
        alone = [METRICS[row.metric].value(p, labels) for p in arms[row.arm].probs]
        assert row.value == pytest.approx(np.mean(alone))


def test_weights_of_members_are_used():
    labels = some_labels()
    probs, weights = members_of(labels, 1).probs, np.array([0.7, 0.1, 0.1, 0.1])
    table = quick(metrics=["nll"], rules=["mean"]).scores({"a": Predictions(probs, weights)}, labels)
    assert table.value[0] == pytest.approx(METRICS["nll"].value(np.tensordot(weights, probs, 1), labels))


def test_metrics_are_averaged_over_repetitions_and_the_repetition_is_missing():
    labels = some_labels()
    runs = [members_of(labels, 1, seed=seed) for seed in range(3)]
    table = quick(rules=["mean"]).scores({"a": runs}, labels)
    assert table.repetition.isna().all()
    for row in table.itertuples():
        expected = np.mean([METRICS[row.metric].value(run.probs.mean(axis=0), labels) for run in runs])
        assert row.value == pytest.approx(expected)


def test_a_single_repetition_in_a_list_is_the_predictions_themselves():
    labels = some_labels()
    one = members_of(labels, 1)
    assert quick().scores({"a": [one]}, labels).equals(quick().scores({"a": one}, labels))


@pytest.mark.parametrize("repetitions", [1, 3])
def test_swapping_the_arms_flips_difference_interval_and_better(repetitions):
    labels = some_labels()
    good = [members_of(labels, 3, seed=seed) for seed in range(repetitions)]
    bad = [members_of(labels, 0, seed=10 + seed) for seed in range(repetitions)]
    evaluator = Evaluator(rules=["mean"], resamples=2000)
    there = evaluator.contrasts({"good": good, "bad": bad}, labels)
    back = evaluator.contrasts({"bad": bad, "good": good}, labels)
    assert (there.arm_a == "good").all()
    assert (back.arm_a == "bad").all()
    np.testing.assert_allclose(there.difference, -back.difference)
    np.testing.assert_allclose(there.p_value, back.p_value)
    # the nearest order statistic from below is not quite symmetric
    np.testing.assert_allclose(there.low, -back.high, atol=0.02)
    np.testing.assert_allclose(there.high, -back.low, atol=0.02)
    assert there.better.tolist() == [OTHER_SIDE[side] for side in back.better]


def test_identical_arms_differ_in_nothing():
    labels = some_labels()
    same = [members_of(labels, 1, seed=seed) for seed in range(3)]
    table = quick(rules=["mean"]).contrasts({"a": same, "b": same}, labels)
    assert (table.better == "neither").all()
    assert (table.p_value == 1).all()
    assert (table.p_adjusted == 1).all()
    assert (table[["difference", "low", "high"]] == 0).all().all()


def test_a_clear_difference_is_found_in_the_right_direction():
    labels = some_labels(300)
    arms = {name: repeated(labels, skill) for name, skill in (("good", 5), ("bad", 0))}
    table = Evaluator(metrics=["error", "nll", "brier"], rules=["mean"]).contrasts(arms, labels)
    assert (table.better == "a").all()
    assert (table.difference < 0).all()
    assert (table.high < 0).all()


def test_a_tiny_difference_is_not_claimed():
    labels = some_labels(200)
    one = members_of(labels, 1, members=1).probs
    rng = np.random.default_rng(8)
    nudged = one * np.exp(0.01 * rng.normal(size=one.shape))
    arms = {"a": Predictions(one), "b": Predictions(nudged / nudged.sum(axis=2, keepdims=True))}
    table = quick(rules=["mean"]).contrasts(arms, labels)
    assert (table.better == "neither").all()


@pytest.mark.slow
def test_no_difference_is_claimed_more_often_than_the_level_allows_between_equals():
    labels = some_labels(100)
    claims = 0
    for seed in range(10):
        arms = {"a": members_of(labels, 1, 2 * seed + 1000, 1), "b": members_of(labels, 1, 2 * seed + 1001, 1)}
        evaluator = Evaluator(metrics=["error", "brier"], rules=["mean"], resamples=200, seed=seed, fixed=True)
        claims += int((evaluator.contrasts(arms, labels).better != "neither").sum())
    assert claims <= 4  # of 20; one is expected


def test_direction_follows_a_metric_of_which_more_is_better():
    labels = some_labels(300)
    arms = {name: repeated(labels, skill) for name, skill in (("good", 5), ("bad", 0))}
    table = quick(metrics=["accuracy"], rules=["mean"]).contrasts(arms, labels)
    assert table.difference[0] > 0
    assert table.better[0] == "a"


def test_p_values_are_adjusted_over_all_pairs_of_a_metric():
    labels = some_labels()
    arms = {name: repeated(labels, skill) for name, skill in (("a", 1), ("b", 1.2), ("c", 1.1))}
    table = quick(rules=["mean"]).contrasts(arms, labels)
    for _, group in table.groupby("metric"):
        assert len(group) == 3
        assert group.p_adjusted.min() == pytest.approx(min(1, 3 * group.p_value.min()))
        assert (group.p_adjusted >= group.p_value).all()


@pytest.mark.parametrize("repetitions", [1, 3])
def test_intervals_bracket_the_values(repetitions):
    labels = some_labels(200)
    arms = {
        name: [members_of(labels, skill, seed=10 * skill + seed) for seed in range(repetitions)]
        for name, skill in (("a", 1), ("b", 2))
    }
    scores, contrasts = quick(rules=["mean", EACH]).tables(arms, labels)
    assert ((scores.low <= scores.value) & (scores.value <= scores.high)).all()
    assert ((contrasts.low <= contrasts.difference) & (contrasts.difference <= contrasts.high)).all()


def test_intervals_have_about_the_width_of_the_normal_law():
    labels = some_labels(400)
    table = quick(metrics=["brier"], rules=["mean"], resamples=3000).scores({"a": members_of(labels, 1)}, labels)
    values = METRICS["brier"].function(members_of(labels, 1).probs.mean(axis=0), labels)
    half = 1.96 * values.std() / np.sqrt(400)
    assert table.low[0] == pytest.approx(values.mean() - half, rel=0.03)
    assert table.high[0] == pytest.approx(values.mean() + half, rel=0.03)


def test_a_detectable_difference_is_shown_as_often_as_not():
    rng, spread, true = np.random.default_rng(0), 0.3, 1.96 * 0.3 / 10
    shown, detectable = [], []
    for seed in range(200):
        labels = rng.integers(2, size=100)
        loss = rng.uniform(1, 2, size=100)
        losses = [loss, np.maximum(loss + rng.normal(true, spread, size=100), 0.01)]
        arms = {name: Predictions(pair_for(labels, np.exp(-values))) for name, values in zip("ab", losses, strict=True)}
        table = quick(metrics=["nll"], rules=["mean"], seed=seed, fixed=True).contrasts(arms, labels)
        shown.append(table.better[0] != "neither")
        detectable.append(table.detectable[0])
    assert np.mean(detectable) == pytest.approx(true, rel=0.03)
    assert 0.4 < np.mean(shown) < 0.6


def test_a_difference_is_the_harder_to_detect_the_more_pairs_are_compared():
    labels = some_labels()
    arms = {name: members_of(labels, 1, seed=seed) for seed, name in enumerate("abcd")}
    few, many = (
        quick(metrics=["nll"], rules=["mean"], fixed=True)
        .contrasts({name: arms[name] for name in names}, labels)
        .detectable[0]
        for names in ("ab", "abcd")
    )
    assert many == pytest.approx(few * t.isf(0.025 / 6, 79) / t.isf(0.025, 79), rel=1e-3)


def pair_for(labels, p):
    """Return probabilities of two classes with `p` for the true one, as one member."""
    probs = np.stack([1 - p, p], axis=1)
    return np.where(labels[:, None] == 1, probs, probs[:, ::-1])[None]


def test_contrasts_are_paired_and_so_narrower_than_the_scores():
    labels = some_labels(200)
    probs = members_of(labels, 1).probs
    arms = {"a": Predictions(probs), "b": Predictions(probs * 0.95 + 0.05 / 3)}
    scores, contrasts = quick(metrics=["brier"], rules=["mean"]).tables(arms, labels)
    assert (contrasts.high - contrasts.low)[0] < 0.2 * (scores.high - scores.low)[0]


def test_the_interval_of_a_well_calibrated_arm_holds_its_ece():
    rng = np.random.default_rng(0)
    probs = rng.dirichlet([1, 1, 1], 300)
    labels = np.array([rng.choice(3, p=row) for row in probs])
    table = quick(metrics=["ece"], rules=["mean"]).scores({"a": Predictions(probs[None])}, labels)
    assert 0 <= table.low[0] <= table.value[0] <= table.high[0]


def test_draws_do_not_depend_on_how_many_arms_and_metrics_are_asked_for():
    labels = some_labels()
    arms = two_arms(labels)
    alone = quick(metrics=["nll"], rules=["mean"]).scores({"bad": arms["bad"]}, labels)
    among = quick(rules=["geometric_mean", "mean"]).scores(arms, labels)
    row = among[(among.arm == "bad") & (among.rule == "mean") & (among.metric == "nll")]
    np.testing.assert_allclose(alone[["value", "low", "high"]], row[["value", "low", "high"]], rtol=1e-14)


def test_the_same_seed_gives_the_same_tables_and_another_one_other_intervals():
    labels = some_labels()
    first, again, other = (quick(seed=seed).scores(two_arms(labels), labels) for seed in (1, 1, 2))
    assert first.equals(again)
    np.testing.assert_array_equal(first.value, other.value)
    assert (first.low != other.low).any()


def test_log_likelihoods_of_minus_infinity_stay_below_all_others(monkeypatch):
    likelihood = Metric(lambda probs, labels: -METRICS["nll"].function(probs, labels), "log likelihood", True)
    monkeypatch.setitem(METRICS, "log_likelihood", likelihood)
    labels = some_labels()
    arms = {"finite": zeros_for_truth(labels, 0), "infinite": zeros_for_truth(labels, 40)}
    scores, contrasts = quick(metrics=["log_likelihood"], rules=["mean"]).tables(arms, labels)
    assert scores[["value", "low", "high"]].iloc[1].tolist() == [-math.inf] * 3
    assert contrasts[["difference", "low", "high"]].iloc[0].tolist() == [math.inf] * 3
    assert contrasts.better[0] == "a"


def test_arms_that_are_no_predictions_and_rules_of_no_arm_are_refused():
    labels = some_labels()
    with pytest.raises(InputError, match=r"arm 'a' must be Predictions, .* got ndarray; .* become such by"):
        quick().scores({"a": members_of(labels, 1).probs}, labels)
    with pytest.raises(InputError, match="unknown arm in rules 'god'"):
        quick(rules={"god": ["mean"]}).scores(two_arms(labels), labels)


@pytest.mark.slow
def test_order_of_examples_changes_no_value():
    labels = some_labels()
    arms = two_arms(labels)
    order = np.random.default_rng(3).permutation(len(labels))
    shuffled = {arm: Predictions(p.probs[:, order]) for arm, p in arms.items()}
    metrics = sorted(set(METRICS) - {"calibrated_nll"})  # whose halves are drawn by position
    evaluator = quick(metrics=metrics, rules=[*STANDARD_RULES, EACH], resamples=2400)
    for before, after in zip(evaluator.tables(arms, labels), evaluator.tables(shuffled, labels[order]), strict=True):
        column = "value" if "value" in before else "difference"
        np.testing.assert_allclose(before[column], after[column], atol=1e-12)


def test_spread_between_repetitions_widens_the_intervals():
    labels = some_labels(150)
    skills = (0, 1, 2, 4)
    runs = [members_of(labels, skill, seed=skill) for skill in skills]
    evaluator = quick(metrics=["error", "nll", "brier"], rules=["mean"])
    together = evaluator.scores({"a": runs}, labels)
    width = together.high - together.low
    alone = [evaluator.scores({"a": run}, labels) for run in runs]
    for one in alone:
        assert (width >= one.high - one.low).all()


def test_repetitions_of_one_and_the_same_network_have_the_interval_of_the_examples():
    labels = some_labels(150)
    run = members_of(labels, 1)
    evaluator = Evaluator(metrics=["brier"], rules=["mean"], resamples=3000)
    one, three = (evaluator.scores({"a": runs}, labels) for runs in ([run], [run] * 3))
    np.testing.assert_allclose(one[["low", "high"]], three[["low", "high"]], rtol=0.02)


def zeros_for_truth(labels, number, classes=3):
    """Return certain predictions of which the first `number` are wrong, so that their NLL is infinite."""
    probs = np.eye(classes)[labels] * 0.4 + 0.2
    probs[:number] = np.eye(classes)[(labels[:number] + 1) % classes]
    return Predictions(probs[None])


@pytest.mark.parametrize("order", [("finite", "infinite"), ("infinite", "finite")])
def test_the_finite_arm_is_better_than_one_of_infinite_nll(order):
    labels = some_labels()
    made = {"finite": zeros_for_truth(labels, 0), "infinite": zeros_for_truth(labels, 40)}
    scores, contrasts = quick(metrics=["nll"], rules=["mean"]).tables({arm: made[arm] for arm in order}, labels)
    scores = scores.set_index("arm")
    assert scores.value["infinite"] == scores.low["infinite"] == scores.high["infinite"] == np.inf
    assert math.isfinite(scores.high["finite"])
    (row,) = contrasts.itertuples()
    assert abs(row.difference) == np.inf
    assert {"a": row.arm_a, "b": row.arm_b}[row.better] == "finite"


def test_between_two_infinite_arms_no_difference_is_shown():
    labels = some_labels()
    arms = {"a": zeros_for_truth(labels, 10), "b": zeros_for_truth(labels, 20), "c": zeros_for_truth(labels, 0)}
    table = quick(metrics=["nll"], rules=["mean"]).contrasts(arms, labels)
    row = table[(table.arm_a == "a") & (table.arm_b == "b")].iloc[0]
    assert math.isnan(row.difference)
    assert math.isnan(row.p_adjusted)
    assert row.better == "neither"


def test_one_member_is_shown_once_whatever_the_rules():
    labels = some_labels()
    table = quick(metrics=["nll"]).scores({"single": members_of(labels, 1, members=1)}, labels)
    assert table[["rule", "members"]].to_numpy().tolist() == [["mean", 1]]


def test_scores_of_one_member_do_not_depend_on_the_order_of_the_rules():
    labels = some_labels()
    arms = {"single": members_of(labels, 1, members=1), "ensemble": members_of(labels, 1)}
    values = []
    for rules in (["mean", "majority_vote"], ["majority_vote", "mean"]):
        table = quick(metrics=["nll"], rules=rules).scores(arms, labels)
        values.append(table[table.arm == "single"].value.tolist())
    assert values[0] == values[1]


def test_rules_can_be_given_by_arm_and_the_others_get_all():
    labels = some_labels()
    table = quick(metrics=["nll"], rules={"good": ["mean", EACH]}).scores(two_arms(labels), labels)
    assert table[table.arm == "good"].rule.tolist() == ["mean", EACH]
    assert table[table.arm == "bad"].rule.tolist() == list(STANDARD_RULES)


def test_arms_may_differ_in_members():
    labels = some_labels()
    arms = {"a": members_of(labels, 1, members=2), "b": members_of(labels, 1, members=7)}
    assert quick(metrics=["nll"], rules=["mean"]).scores(arms, labels).members.tolist() == [2, 7]


def test_arms_with_other_numbers_of_examples_are_refused():
    labels = some_labels()
    arms = {"a": members_of(labels, 1), "b": members_of(labels[:-1], 1)}
    with pytest.raises(InputError, match=r"arm 'b' must predict the 80 labelled examples, got \[79\]"):
        quick().scores(arms, labels)


def test_arms_with_other_numbers_of_repetitions_are_refused():
    labels = some_labels()
    one = members_of(labels, 1)
    with pytest.raises(InputError, match=r"same repetitions, got 2 and 1 \('b'\)"):
        quick().scores({"a": [one, one], "b": one}, labels)


def test_no_arms_and_arms_without_predictions_are_refused():
    labels = some_labels()
    with pytest.raises(InputError, match="at least one arm"):
        quick().scores({}, labels)
    with pytest.raises(InputError, match="got nothing"):
        quick().scores({"a": []}, labels)


@pytest.mark.parametrize("labels", [np.full(80, 3), np.full(80, -1), np.zeros(80)])
def test_labels_that_no_class_has_are_refused(labels):
    with pytest.raises(InputError, match="labels must be whole numbers"):
        quick(rules=["mean"]).scores({"a": members_of(some_labels(), 1)}, labels)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"metrics": ["eror"]}, "did you mean 'error'"),
        ({"rules": ["means"]}, "did you mean 'mean'"),
        ({"rules": {"a": ["means"]}}, "did you mean 'mean'"),
        ({"metrics": "nll"}, "metrics must be a list of at least one name, or None, got 'nll'"),
        ({"metrics": []}, "metrics must be a list of at least one name"),
        ({"rules": "mean"}, "rules must be a list of at least one name"),
        ({"resamples": 99}, "resamples must be a whole number of at least 100"),
        ({"margins": {"nll": 0.0}}, "margin of nll must be a number above 0, got 0.0"),
        ({"margins": {"nll": float("inf")}}, "margin of nll must be a number above 0"),
        ({"metrics": ["error"], "margins": {"nll": 0.1}}, "unknown metric in margins 'nll'"),
        ({"level": 1.0}, "level must lie between 0 and 1"),
        ({"level": float("nan")}, "level must lie between 0 and 1"),
    ],
)
def test_settings_that_cannot_be_are_refused_at_once(options, match):
    with pytest.raises(InputError, match=match):
        Evaluator(**options)


def values(labels, arm, name="nll"):
    """Return the score of each example, (repetitions, examples)."""
    return np.array([METRICS[name].function(run.probs.mean(axis=0), labels) for run in arm])


def test_one_network_of_each_arm_says_nothing_of_training_again():
    labels = some_labels(300)
    arms = {name: members_of(labels, skill, seed=skill, members=1) for name, skill in (("good", 5), ("bad", 0))}
    scores, contrasts = quick(metrics=["nll", "ece"], rules=["mean"]).tables(arms, labels)
    assert contrasts.test.tolist() == ["none: of these networks only"] * 2
    assert contrasts[["p_value", "p_adjusted", "detectable"]].isna().all().all()
    assert contrasts.better.tolist() == ["neither"] * 2
    differences = values(labels, [arms["good"]])[0] - values(labels, [arms["bad"]])[0]
    interval = ttest_1samp(differences, 0).confidence_interval(0.95)
    assert contrasts[["low", "high"]].iloc[0].tolist() == pytest.approx(list(interval), rel=1e-3)
    of_good = ttest_1samp(values(labels, [arms["good"]])[0], 0).confidence_interval(0.95)
    row = scores[(scores.arm == "good") & (scores.metric == "nll")].iloc[0]
    assert [row.low, row.high] == pytest.approx([max(0, of_good.low), of_good.high], rel=1e-3)


def test_networks_of_one_repetition_that_are_judged_alone_say_something_of_training_again():
    labels = some_labels(300)
    arms = {name: members_of(labels, skill, seed=skill, members=6) for name, skill in (("good", 4), ("bad", 1))}
    (row,) = quick(metrics=["nll"], rules=[EACH]).contrasts(arms, labels).itertuples()
    assert row.test == "paired t over networks and examples"
    assert row.better == "a"
    (row,) = quick(metrics=["nll"], rules=["mean"]).contrasts(arms, labels).itertuples()
    assert row.test == "none: of these networks only"


def test_where_networks_alone_differ_the_test_is_the_paired_t_test_over_them():
    labels, rng = np.zeros(50, int), np.random.default_rng(3)
    scores = rng.normal(0.7, 0.1, size=(2, 5))  # the same for every example
    arms = {
        name: [Predictions(np.full((1, 50, 2), [p, 1 - p])) for p in np.exp(-of_arm)]
        for name, of_arm in zip("ab", scores, strict=True)
    }
    (row,) = quick(metrics=["nll"], rules=["mean"]).contrasts(arms, labels).itertuples()
    expected = ttest_rel(*scores)
    assert row.test == "paired t over repetitions and examples"
    assert row.p_value == pytest.approx(expected.pvalue, rel=1e-4)
    assert [row.low, row.high] == pytest.approx(list(expected.confidence_interval()), rel=1e-4)


def test_where_examples_alone_differ_the_test_is_the_paired_t_test_over_them():
    labels = some_labels(60)
    arms = {name: [members_of(labels, 1, seed=seed)] * 4 for seed, name in enumerate("ab")}
    (row,) = quick(metrics=["nll"], rules=["mean"]).contrasts(arms, labels).itertuples()
    expected = ttest_rel(*(values(labels, arm)[0] for arm in arms.values()))
    assert row.p_value == pytest.approx(expected.pvalue, rel=1e-3)
    assert [row.low, row.high] == pytest.approx(list(expected.confidence_interval()), rel=1e-3)


def test_arms_with_other_numbers_of_units_have_variances_of_their_own_unless_they_share_networks():
    labels = some_labels(200)
    runs = repeated(labels, 2, members=4)
    rules = {"ensemble": ["mean"], "single": [EACH], "dropout": [EACH]}
    arms = {"ensemble": runs, "single": runs, "dropout": repeated(labels, 1, members=4)}
    table = quick(metrics=["nll"], rules=rules).contrasts(arms, labels).set_index(["arm_a", "arm_b"])
    assert table.test.to_dict() == {
        ("ensemble", "single"): "paired t over repetitions and examples",
        ("ensemble", "dropout"): "t over repetitions, networks and examples",
        ("single", "dropout"): "paired t over networks and examples",
    }


def test_fixed_networks_are_compared_by_mcnemars_test_and_over_examples():
    labels = some_labels()
    arms = two_arms(labels)
    evaluator = quick(metrics=["error", "nll"], rules=["mean"], fixed=True)
    table = evaluator.contrasts(arms, labels).set_index("metric")
    p, test = mcnemar(*(arms[arm].probs.mean(axis=0).argmax(axis=1) != labels for arm in ("good", "bad")))
    assert table.test.tolist() == [test, "t over examples"]
    assert table.p_value["error"] == pytest.approx(p)
    expected = ttest_rel(*(values(labels, [arm])[0] for arm in arms.values()))
    assert table.p_value["nll"] == pytest.approx(expected.pvalue, rel=1e-3)
    repeated_arms = {name: [arm, arm] for name, arm in arms.items()}
    again = evaluator.contrasts(repeated_arms, labels).set_index("metric")
    assert again.test.tolist() == ["t over examples"] * 2
    assert again.p_value["nll"] == pytest.approx(expected.pvalue, rel=1e-3)


def test_error_and_accuracy_are_one_question_with_one_answer():
    labels = some_labels()
    arms = {name: repeated(labels, skill) for name, skill in (("good", 3), ("bad", 2))}
    table = quick(metrics=["error", "accuracy"], rules=["mean"]).contrasts(arms, labels)
    np.testing.assert_allclose(table.p_value[0], table.p_value[1])
    assert table.better.nunique() == 1


QUESTIONS = {
    ("ensemble", "mc_dropout"), ("ensemble", "dropout"), ("ensemble", "single"), ("dropout", "single"),
    ("mc_dropout", "single"), ("mc_dropout", "dropout"), ("ensemble", "ensemble"), ("dropout_ensemble", "ensemble"),
}  # fmt: skip


def of_a_comparison(labels, **skills):
    runs = {name: repeated(labels, skill, members=4) for name, skill in skills.items()}
    passes = [
        Predictions(run.probs, further={"mean": other.probs[:3]})
        for run, other in zip(runs["mc"], runs["dropout"], strict=True)
    ]
    arms = {"single": runs["plain"], "ensemble": runs["plain"], "dropout": runs["dropout"], "mc_dropout": passes}
    rules = {"single": [EACH], "dropout": [EACH], "ensemble": ["mean", "majority_vote"], "mc_dropout": ["mean"]}
    return arms | {"dropout_ensemble": runs["dropout"]}, rules | {"dropout_ensemble": ["mean"]}


def test_the_questions_of_the_verdict_are_one_family_and_all_other_pairs_are_exploratory():
    labels = some_labels(200)
    arms, rules = of_a_comparison(labels, plain=2, dropout=1.9, mc=1.8)
    table = quick(metrics=["error"], rules=rules).contrasts(arms, labels)
    planned = table[table.family == "planned"]
    asked = {tuple(sorted(pair)) for pair in planned[["arm_a", "arm_b"]].itertuples(index=False)}
    assert asked == {tuple(sorted(pair)) for pair in QUESTIONS}
    assert len(planned) == 8
    assert set(table.family) == {"planned", "exploratory"}
    assert planned.p_adjusted.min() == pytest.approx(min(1, 8 * planned.p_value.min()))
    others = table[table.family == "exploratory"]
    assert (others.p_adjusted >= np.minimum(1, others.p_value)).all()
    smallest = table.p_value.min()
    if smallest in set(others.p_value):
        assert others.p_adjusted.min() == pytest.approx(min(1, len(table) * smallest))


@pytest.mark.parametrize("gap", [0.0, 0.1, 0.2, 0.4, 1.0])
def test_an_interval_holds_zero_just_where_no_difference_is_shown(gap):
    labels = some_labels(300)
    arms, rules = of_a_comparison(labels, plain=2, dropout=2 - gap, mc=2 - gap / 2)
    table = quick(metrics=["error", "nll", "brier"], rules=rules).contrasts(arms, labels)
    table = table[np.isfinite(table.difference)]
    shown = table.better != "neither"
    assert (shown == (table.p_adjusted < 0.05)).all()
    beside = (table.difference != 0) & ((table.low >= 0) | (table.high <= 0))
    assert (beside == shown).all()
    assert ((table.low <= table.difference) & (table.difference <= table.high)).all()


def test_simultaneous_intervals_are_as_wide_as_bonferronis():
    labels = some_labels(200)
    arms = {name: repeated(labels, 1 + number / 1000) for number, name in enumerate("abc")}
    three = quick(metrics=["nll"], rules=["mean"]).contrasts(arms, labels).iloc[0]
    one = (
        quick(metrics=["nll"], rules=["mean"], level=1 - 0.05 / 3).contrasts({k: arms[k] for k in "ab"}, labels).iloc[0]
    )
    assert [three.low, three.high] == pytest.approx([one.low, one.high])
    assert three.detectable == pytest.approx((three.high - three.low) / 2)


def test_equivalence_is_shown_by_two_one_sided_tests_against_the_margin():
    labels = some_labels(400)
    arms = {name: [members_of(labels, 2, seed=10 * place + n) for n in range(4)] for place, name in enumerate("ab")}
    (row,) = quick(metrics=["nll"], rules=["mean"], margins={"nll": 0.3}).contrasts(arms, labels).itertuples()
    a, b = (values(labels, arm) for arm in arms.values())
    low, high = (row.difference - row.detectable, row.difference + row.detectable)
    assert row.margin == 0.3
    assert row.equivalent
    assert -0.3 < low < high < 0.3
    assert row.value_a == pytest.approx(a.mean())
    assert row.value_b == pytest.approx(b.mean())
    (narrow,) = quick(metrics=["nll"], rules=["mean"], margins={"nll": 0.001}).contrasts(arms, labels).itertuples()
    assert not narrow.equivalent
    assert narrow.p_equivalent > 0.4
    (none,) = quick(metrics=["nll"], rules=["mean"]).contrasts(arms, labels).itertuples()
    assert math.isnan(none.margin)
    assert none.equivalent is False


def test_two_one_sided_tests_are_those_of_the_normal_law_where_nothing_but_examples_differs():
    labels = some_labels(5000)
    arms = {name: members_of(labels, 2, seed=place) for place, name in enumerate("ab")}
    evaluator = quick(metrics=["brier"], rules=["mean"], fixed=True, margins={"brier": 0.01})
    (row,) = evaluator.contrasts(arms, labels).itertuples()
    d = values(labels, [arms["a"]], "brier")[0] - values(labels, [arms["b"]], "brier")[0]
    expected = norm.sf((0.01 - abs(d.mean())) / (d.std(ddof=1) / np.sqrt(5000)))
    assert row.p_equivalent == pytest.approx(expected, rel=1e-3)


def test_one_infinite_repetition_makes_the_value_infinite_and_nothing_is_tested():
    labels = some_labels()
    runs = [zeros_for_truth(labels, 0), zeros_for_truth(labels, 40)]
    finite = [zeros_for_truth(labels, 0)] * 2
    scores, contrasts = quick(metrics=["nll"], rules=["mean"]).tables({"a": runs, "b": finite}, labels)
    assert scores[["value", "low", "high"]].iloc[0].tolist() == [np.inf] * 3
    assert contrasts[["difference", "low", "high"]].iloc[0].tolist() == [np.inf] * 3
    assert contrasts.test[0] == "none: infinite"
    assert contrasts.better[0] == "b"
    assert math.isnan(contrasts.p_value[0])


def test_passes_of_one_network_are_no_networks_each_alone():
    labels = some_labels()
    with pytest.raises(
        InputError, match="rule 'each' is for members that are networks; those of arm 'mc_dropout' are of"
    ):
        quick(rules=[EACH]).scores({"mc_dropout": members_of(labels, 1)}, labels)


def test_mcnemars_test_and_the_interval_agree():
    labels = np.zeros(100, int)
    right, wrong = [0.9, 0.1], [0.1, 0.9]
    arms = {"a": Predictions(np.array([[right] * 100])), "b": Predictions(np.array([[wrong] * 5 + [right] * 95]))}
    (row,) = quick(metrics=["error"], fixed=True).contrasts(arms, labels).itertuples()
    assert row.p_value == pytest.approx(0.0625)
    assert (row.better, row.high) == ("neither", 0.0)
    assert row.low < row.difference < 0


def test_what_differs_by_rounding_alone_does_not_differ():
    labels = some_labels()
    arms = {"ensemble": [members_of(labels, 1, seed=seed, members=2) for seed in range(4)]}
    (row,) = quick(metrics=["brier"], rules=["mean", "median"]).contrasts(arms, labels).itertuples()
    assert (row.difference, row.p_value, row.better) == (0.0, 1.0, "neither")


def test_one_example_says_nothing_of_others():
    labels = np.zeros(1, int)
    arms = {
        name: [Predictions(np.array([[[p, 1 - p]]])) for p in ps]
        for name, ps in (("a", (0.6, 0.7, 0.8)), ("b", (0.5, 0.5, 0.6)))
    }
    scores, contrasts = quick(metrics=["nll"], rules=["mean"]).tables(arms, labels)
    assert scores[["low", "high"]].isna().all().all()
    assert math.isnan(contrasts.p_value[0])
    assert contrasts.better[0] == "neither"


def test_intervals_of_what_is_not_tested_are_as_wide_as_those_of_the_family():
    labels = some_labels(300)
    arms, rules = of_a_comparison(labels, plain=2, dropout=1.9, mc=1.8)
    once = {name: runs[:1] for name, runs in arms.items()}
    table = quick(metrics=["brier"], rules=rules).contrasts(once, labels)
    fixed = quick(metrics=["brier"], rules=rules, fixed=True).contrasts(once, labels)
    untested = (table.test == "none: of these networks only") & (table.family == "planned")
    assert untested.any()
    np.testing.assert_allclose((table.high - table.low)[untested], 2 * fixed.detectable[untested])


def test_other_data_are_not_told_over_splits():
    labels = some_labels()
    arm = {"a": [members_of(labels, 1, seed=seed) for seed in range(3)]}
    with pytest.raises(InputError, match="leave out test_share"):
        quick(test_share=0.5).detection(arm, arm)


def test_sizes_worth_and_equal_cost_take_the_evaluators_choices():
    rng = np.random.default_rng(3)
    labels = rng.integers(3, size=60)
    arms = {
        arm: [Predictions(rng.dirichlet(np.ones(3), (4, 60))) for _ in range(3)] for arm in ("ensemble", "mc_dropout")
    }
    chosen = {"level": 0.8, "seed": 5}
    evaluator = Evaluator(["error", "brier"], ["majority_vote"], resamples=200, **chosen)
    pd.testing.assert_frame_equal(
        evaluator.size_curves(arms, labels), size_curves(arms, labels, ["error", "brier"], resamples=200, **chosen)
    )
    worth = equivalence(arms, labels, metric="brier", rules={"mc_dropout": "majority_vote"}, resamples=200, **chosen)
    pd.testing.assert_frame_equal(evaluator.equivalence(arms, labels, "brier"), worth)
    assert worth[worth.arm == "mc_dropout"].rule.tolist() == ["majority_vote"]
    cost = pd.DataFrame({"arm": list(arms), "passes": [4.0, 4.0]}).assign(
        **dict.fromkeys(("parameters", "trained", "train_seconds", "predict_seconds"), np.nan)
    )
    pd.testing.assert_frame_equal(
        evaluator.equal_cost(arms, labels, cost, "brier"), equal_cost(arms, labels, cost, "brier", **chosen)
    )
    wide, narrow = (replace(evaluator, level=level).size_curves(arms, labels) for level in (0.99, 0.5))
    assert ((wide.high - wide.low) > (narrow.high - narrow.low)).all()


def test_detection_counts_by_the_unit_too():
    rng = np.random.default_rng(8)
    shifts = rng.normal(size=(3, 1, 1, 1)) + np.zeros((3, 4, 1, 1))  # members of a repetition are alike
    logits = rng.normal(size=(3, 4, 40, 3)) + shifts * np.eye(3)[0]
    own = {"single": [Predictions(np.exp(run) / np.exp(run).sum(-1, keepdims=True)) for run in logits]}
    other = {"single": [Predictions(rng.dirichlet(np.ones(3), (4, 40))) for _ in range(3)]}
    by_network, by_repetition = (
        Evaluator(unit=unit).detection(own, other, resamples=200)[0].query("rule == 'entropy'")
        for unit in ("network", "repetition")
    )
    np.testing.assert_allclose(by_network.value, by_repetition.value)
    assert ((by_repetition.high - by_repetition.low) > (by_network.high - by_network.low)).all()


@given(st.integers(0, 1000), st.sampled_from([0.02, 0.5, 0.98]))
@settings(max_examples=25, deadline=None)
def test_no_interval_leaves_the_range_of_its_measure(seed, right):
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=6)
    arms = {}
    for arm in ("ensemble", "dropout_ensemble"):
        sure = np.eye(3)[np.where(rng.random((3, 6)) < right, labels, (labels + 1) % 3)]
        arms[arm] = [Predictions((0.9 * one + 0.1 / 3)[None]) for one in sure]
    highest = {"error": 1.0, "brier": 2.0, "ece": 1.0, "balanced_error": 1.0}
    evaluator = Evaluator(list(highest), ["mean"], resamples=100)
    scores, contrasts = evaluator.tables(arms, labels)
    most = scores.metric.map(highest)
    assert (scores.low <= scores.value).all()
    assert (scores.value <= scores.high + 1e-12).all()
    assert (scores.high <= most).all()
    most = contrasts.metric.map(highest)
    assert (contrasts[["low", "high"]].abs().max(axis=1) <= most).all()
    assert (contrasts.detectable.fillna(0) <= most).all()
    assert ((contrasts.low <= contrasts.difference) & (contrasts.difference <= contrasts.high)).all()
