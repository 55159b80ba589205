"""What is found of confident predictions keeps the laws of thresholds, and is what the display draws."""

import numpy as np
import pandas as pd
import pytest

from ensemble_vs_dropout.evaluation.findings.accuracy_vs_confidence import accuracy_vs_confidence
from ensemble_vs_dropout.measures import METRICS, aggregate
from ensemble_vs_dropout.plots import AccuracyVersusConfidence
from ensemble_vs_dropout.types import Predictions

LABELS = np.arange(90) % 3


def pool(seed, examples=90):
    return Predictions(np.random.default_rng(seed).dirichlet(np.ones(3), (4, examples)))


def test_the_display_draws_the_table_of_the_finding():
    known, unknown = {"a": [pool(0), pool(1)]}, {"a": [pool(2, 50), pool(3, 50)]}
    display = AccuracyVersusConfidence.from_predictions(known, LABELS, unknown, dataset="d", other="o", resamples=100)
    finding = accuracy_vs_confidence(known, LABELS, unknown, resamples=100)
    pd.testing.assert_frame_equal(display.table, finding.table)
    assert display.facts == finding.facts
    assert finding.told == {"known": 90, "unknown": 50, "repetitions": 2}


@pytest.mark.parametrize("seed", range(3))
def test_a_higher_threshold_retains_no_more_and_threshold_0_gives_the_overall_accuracy(seed):
    runs = [pool(seed), pool(seed + 10)]
    table = accuracy_vs_confidence({"a": runs}, LABELS, resamples=100).table
    assert (np.diff(table.query("panel == 'retained'").sort_values("threshold")["value"]) <= 0).all()
    start = table.query("panel == 'accuracy' and threshold == 0")["value"].item()
    overall = [METRICS["accuracy"].value(aggregate(run.probs, "mean"), LABELS) for run in runs]
    assert start == pytest.approx(np.mean(overall))
