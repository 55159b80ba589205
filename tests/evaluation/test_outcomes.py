import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation.arms import EACH
from ensemble_vs_dropout.evaluation.outcomes import evaluate, measured_slowly
from ensemble_vs_dropout.evaluation.pooling import pool
from ensemble_vs_dropout.measures import METRICS, Metric, aggregate
from ensemble_vs_dropout.measures.resampling import bootstrap_weights
from ensemble_vs_dropout.seeds import stream
from ensemble_vs_dropout.types import Predictions


def some(seed=0, members=4, examples=40, classes=3):
    rng = np.random.default_rng(seed)
    return Predictions(rng.dirichlet(np.full(classes, 0.6), (members, examples)))


def some_labels(examples=40):
    return np.random.default_rng(99).integers(3, size=examples)


def outcome(runs, name, rule="mean", resamples=100):
    labels = some_labels()
    pooled = list(pool({"a": runs}, {"a": [rule]}, labels))
    (found,) = evaluate(pooled, labels, {name: METRICS[name]}, resamples, seed=5)
    return found


def trials_of(runs, rule):
    return [probs for run in runs for probs in (run.probs if rule == EACH else [run.probs.mean(axis=0)])]


@pytest.mark.parametrize("name", list(METRICS))
@pytest.mark.parametrize("repetitions", [1, 3])
@pytest.mark.parametrize("rule", ["mean", EACH])
def test_every_unit_has_the_score_of_its_prediction(name, repetitions, rule):
    runs = [some(seed) for seed in range(repetitions)]
    found = outcome(runs, name, rule)
    expected = [METRICS[name].value(probs, some_labels()) for probs in trials_of(runs, rule)]
    assert found.units.shape == (repetitions, 4 if rule == EACH else 1)
    np.testing.assert_allclose(found.units.ravel(), expected, atol=1e-12)
    assert found.value == pytest.approx(np.mean(expected), abs=1e-12)


@pytest.mark.parametrize("name", [name for name in METRICS if METRICS[name].per_example])
def test_deviations_of_means_have_the_covariance_of_means_of_examples(name):
    runs = [some(0), some(1)]
    found = outcome(runs, name, EACH)
    rows = np.array([METRICS[name].function(probs, some_labels()) for probs in trials_of(runs, EACH)], dtype=float)
    np.testing.assert_allclose(found.deviations @ found.deviations.T, np.cov(rows) / 40, atol=1e-14)
    assert found.over_examples == pytest.approx(rows.mean(axis=0).var(ddof=1) / 40)


@pytest.mark.parametrize("name", [name for name in METRICS if not METRICS[name].per_example])
def test_deviations_of_other_measures_are_those_of_the_resamples_evaluated_one_by_one(name):
    runs = [some(0), some(1)]
    found = outcome(runs, name, "mean")
    weights = bootstrap_weights(stream(5, "bootstrap"), 40, 100)
    draws = np.array(
        [measured_slowly(METRICS[name], probs, some_labels(), weights) for probs in trials_of(runs, "mean")]
    )
    np.testing.assert_allclose(found.deviations @ found.deviations.T, np.cov(draws), atol=1e-12)


def test_measures_are_the_same_alone_and_among_others():
    labels = some_labels()
    pooled = list(pool({"a": some(0), "b": some(1)}, {"a": ["mean", EACH], "b": ["mean"]}, labels))
    together = evaluate(pooled, labels, METRICS, 100, seed=0)
    for found in together:
        alone = [one for one in pooled if (one.arm, one.rule) == (found.arm, found.rule)]
        (other,) = evaluate(alone, labels, {found.metric: METRICS[found.metric]}, 100, seed=0)
        assert other.value == found.value
        np.testing.assert_allclose(other.deviations, found.deviations, atol=1e-12)


def test_a_metric_that_takes_no_weights_is_evaluated_on_each_resample():
    ece = METRICS["ece"]
    metrics = {"ece": ece, "slow": Metric(lambda probs, labels: ece.function(probs, labels), "slow", per_example=False)}
    labels = some_labels()
    pooled = list(pool({"a": some()}, {"a": [EACH]}, labels))
    quickly, slowly = evaluate(pooled, labels, metrics, 100, seed=0)
    assert slowly.value == quickly.value
    np.testing.assert_allclose(slowly.deviations, quickly.deviations, atol=1e-12)


def test_only_a_single_prediction_has_errors_of_zero_and_one():
    np.testing.assert_array_equal(
        outcome([some()], "error").wrong, some().probs.mean(axis=0).argmax(axis=1) != some_labels()
    )
    assert outcome([some()], "error", EACH).wrong is None
    assert outcome([some(), some(1)], "error").wrong is None


@pytest.mark.parametrize("name", ["nll", "ece"])
def test_a_mean_by_repetition_and_a_difference_are_those_of_the_predictions(name):
    a, b = (outcome([some(seed), some(seed + 1)], name, EACH) for seed in (0, 7))
    np.testing.assert_allclose(a.by_repetition.units.ravel(), a.units.mean(axis=1))
    assert a.by_repetition.over_examples == pytest.approx(a.over_examples)
    assert a.minus(b).value == pytest.approx(a.value - b.value)
    both = np.concatenate([a.deviations, b.deviations])
    covariance = both @ both.T
    contrast = np.repeat([1 / 8, -1 / 8], 8)
    assert a.minus(b).over_examples == pytest.approx(contrast @ covariance @ contrast)


def test_further_networks_are_units_of_their_own():
    labels, first, others = some_labels(), some(0), some(1, members=2)
    run = Predictions(first.probs, further={"mean": others.probs})
    found = outcome([run], "nll")
    expected = [METRICS["nll"].value(probs, labels) for probs in (first.probs.mean(axis=0), *others.probs)]
    np.testing.assert_allclose(found.units, [expected])
    assert found.members == 4


def test_a_rule_that_was_not_kept_for_the_further_networks_is_refused():
    run = Predictions(some(0).probs, further={"mean": some(1, members=2).probs})
    with pytest.raises(InputError, match="rule 'median' was not kept for all networks of arm 'a', only mean; run"):
        list(pool({"a": run}, {"a": ["median"]}, some_labels()))


def test_further_networks_of_another_shape_are_refused_and_survive_saving(tmp_path):
    with pytest.raises(
        InputError, match=r"further\['mean'\] must have the shape \(networks, 40, 3\), got \(2, 39, 3\)"
    ):
        Predictions(some(0).probs, further={"mean": some(1, members=2, examples=39).probs})
    Predictions(some(0).probs, further={"mean": some(1, members=2).probs}).save(tmp_path / "kept.npz")
    back = Predictions.load(tmp_path / "kept.npz")
    np.testing.assert_array_equal(back.further["mean"], some(1, members=2).probs)


def test_repetitions_with_other_numbers_of_networks_are_refused():
    runs = [some(0, members=3), some(1, members=4)]
    with pytest.raises(
        InputError, match="arm 'a' must have the same networks in each repetition under rule 'each', got"
    ):
        outcome(runs, "nll", EACH)
    assert outcome(runs, "nll").units.shape == (2, 1)


def test_combined_members_are_pooled_by_the_rule():
    (pooled,) = pool({"a": some()}, {"a": ["geometric_mean"]}, some_labels())
    np.testing.assert_array_equal(pooled.trials[0][0], aggregate(some().probs, "geometric_mean"))
