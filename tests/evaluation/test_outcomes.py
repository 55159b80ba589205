import numpy as np
import pytest

from ensemble_vs_dropout.evaluation.arms import EACH
from ensemble_vs_dropout.evaluation.outcomes import evaluate, measured_slowly, pool
from ensemble_vs_dropout.measures import METRICS, Metric
from ensemble_vs_dropout.measures.resampling import bootstrap_weights
from ensemble_vs_dropout.seeds import stream
from ensemble_vs_dropout.types import Predictions


def some(seed=0, members=4, examples=40, classes=3):
    rng = np.random.default_rng(seed)
    return Predictions(rng.dirichlet(np.full(classes, 0.6), (members, examples)))


def some_labels(examples=40):
    return np.random.default_rng(99).integers(3, size=examples)


@pytest.mark.parametrize("name", list(METRICS))
@pytest.mark.parametrize("repetitions", [1, 3])
@pytest.mark.parametrize("rule", ["mean", EACH])
def test_quick_draws_equal_the_evaluation_of_each_resample(name, repetitions, rule):
    labels, resamples, metric = some_labels(), 100, METRICS[name]
    runs = [some(seed) for seed in range(repetitions)]
    pooled = list(pool({"a": runs}, {"a": [rule]}, labels))
    (outcome,) = evaluate(pooled, labels, {name: metric}, resamples, seed=5)
    rng = stream(5, "bootstrap")
    examples = bootstrap_weights(rng, len(labels), resamples)
    repeats = bootstrap_weights(rng, repetitions, resamples)

    def slowly(probs):
        if name == "calibrated_nll":  # resampling keeps the temperatures of the whole
            return examples @ metric.function(probs, labels)
        return measured_slowly(metric, probs, labels, examples)

    trials = [run.probs if rule == EACH else [run.probs.mean(axis=0)] for run in runs]
    slow = np.stack([np.mean([slowly(probs) for probs in each], axis=0) for each in trials], axis=1)
    expected = (repeats * slow).sum(axis=1)
    assert outcome.value == pytest.approx(
        np.mean([[metric.value(probs, labels) for probs in each] for each in trials]), abs=1e-12
    )
    if not metric.per_example:  # centred on the value, and what is never negative stays so
        expected = expected + outcome.value - expected.mean()
        if name != "excess_aurc" or outcome.draws.min() >= 0:  # which rounding may take below 0
            expected = np.maximum(expected, 0)
    np.testing.assert_allclose(outcome.draws, expected, atol=1e-10)


def test_measures_are_the_same_alone_and_among_others():
    labels = some_labels()
    pooled = list(pool({"a": some(0), "b": some(1)}, {"a": ["mean", EACH], "b": ["mean"]}, labels))
    together = evaluate(pooled, labels, METRICS, 100, seed=0)
    for outcome in together:
        alone = [one for one in pooled if (one.arm, one.rule) == (outcome.arm, outcome.rule)]
        (other,) = evaluate(alone, labels, {outcome.metric: METRICS[outcome.metric]}, 100, seed=0)
        assert other.value == outcome.value
        np.testing.assert_allclose(other.draws, outcome.draws, atol=1e-12)


def test_a_metric_that_takes_no_weights_is_evaluated_on_each_resample():
    ece = METRICS["ece"]
    metrics = {"ece": ece, "slow": Metric(lambda probs, labels: ece.function(probs, labels), "slow", per_example=False)}
    labels = some_labels()
    pooled = list(pool({"a": some()}, {"a": [EACH]}, labels))
    quickly, slowly = evaluate(pooled, labels, metrics, 100, seed=0)
    assert slowly.value == quickly.value
    np.testing.assert_allclose(slowly.draws, quickly.draws, atol=1e-12)


def test_only_a_single_prediction_has_errors_of_zero_and_one():
    labels = some_labels()
    error = {"error": METRICS["error"]}
    rules = {"a": ["mean", EACH]}
    combined, each = evaluate(list(pool({"a": some()}, rules, labels)), labels, error, 100, seed=0)
    np.testing.assert_array_equal(combined.wrong, some().probs.mean(axis=0).argmax(axis=1) != labels)
    assert each.wrong is None
    twice = evaluate(list(pool({"a": [some(), some(1)]}, {"a": ["mean"]}, labels)), labels, error, 100, seed=0)
    assert twice[0].wrong is None


def test_jackknife_values_leave_out_examples_and_repetitions():
    labels = some_labels()
    runs = [some(0), some(1), some(2)]
    pooled = list(pool({"a": runs}, {"a": ["mean"]}, labels))
    (outcome,) = evaluate(pooled, labels, {"brier": METRICS["brier"]}, 100, seed=0, jackknife=True)
    values = np.array([METRICS["brier"].function(run.probs.mean(axis=0), labels) for run in runs])
    without_example, without_run = outcome.jackknife
    np.testing.assert_allclose(without_example, [np.delete(values, i, axis=1).mean() for i in range(40)])
    np.testing.assert_allclose(without_run, [np.delete(values, r, axis=0).mean() for r in range(3)])
    (plain,) = evaluate(pooled, labels, {"brier": METRICS["brier"]}, 100, seed=0)
    assert plain.jackknife == ()
