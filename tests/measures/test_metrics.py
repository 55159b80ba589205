import numpy as np
import pytest

from ensemble_vs_dropout.measures import METRICS, Metric, brier, ece, error, nll

every_metric = pytest.mark.parametrize("name", list(METRICS))


def some(seed=0, examples=40):
    rng = np.random.default_rng(seed)
    return rng.dirichlet([0.5] * 3, examples), rng.integers(3, size=examples)


def test_registry_holds_the_four_metrics_and_lower_is_better_in_all():
    assert list(METRICS) == ["error", "nll", "brier", "ece"]
    assert not any(metric.higher_is_better for metric in METRICS.values())


def test_values_are_those_of_the_functions():
    probs, labels = some()
    for name, function in (("error", error), ("nll", nll), ("brier", brier), ("ece", ece)):
        assert METRICS[name].value(probs, labels) == pytest.approx(np.mean(function(probs, labels)))


@every_metric
def test_the_mean_of_the_rows_determines_the_value(name):
    probs, labels = some()
    metric = METRICS[name]
    rows = metric.rows(probs, labels)
    assert rows.shape[0] == len(labels)
    assert float(metric.from_mean_rows(rows.mean(axis=0))) == pytest.approx(metric.value(probs, labels), abs=1e-12)


@every_metric
def test_the_mean_of_the_rows_of_any_resample_determines_its_value(name):
    probs, labels = some()
    metric = METRICS[name]
    picks = np.random.default_rng(1).integers(40, size=(5, 40))
    rows = metric.rows(probs, labels)
    got = metric.from_mean_rows(np.stack([rows[pick].mean(axis=0) for pick in picks]))
    np.testing.assert_allclose(got, [metric.value(probs[pick], labels[pick]) for pick in picks], atol=1e-12)


@every_metric
def test_the_truth_with_certainty_scores_zero(name):
    labels = np.arange(3)
    assert METRICS[name].value(np.eye(3), labels) == 0


def test_a_metric_without_rows_says_so():
    metric = Metric(lambda probs, labels: 0.5, "constant", per_example=False)
    assert metric.rows(*some()) is None
    assert metric.value(*some()) == 0.5
