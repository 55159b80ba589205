"""What is found of pools and temperatures keeps the laws of calibration, and is what the display draws."""

import numpy as np
import pandas as pd
import pytest

from ensemble_vs_dropout.evaluation.findings.reliability_pooling import predict_in_each_way, reliability_pooling
from ensemble_vs_dropout.plots import ReliabilityPooling
from ensemble_vs_dropout.types import Predictions

LABELS = np.arange(120) % 3


HALF = np.arange(120) % 5 < 2


def pool(seed, sharpness=2.0):
    rng = np.random.default_rng(seed)
    exps = np.exp(sharpness * (np.eye(3)[LABELS] + rng.normal(size=(4, 120, 3))))
    return Predictions(exps / exps.sum(axis=2, keepdims=True))


def test_the_display_draws_the_table_of_the_finding():
    given = (pool(1), LABELS)
    display = ReliabilityPooling.from_predictions(*given, dataset="d", resamples=100)
    finding = reliability_pooling(*given, resamples=100)
    pd.testing.assert_frame_equal(display.table, finding.table)
    assert display.facts == finding.facts
    assert finding.told == {"members": 4, "repetitions": 1, "examples": 120}


@pytest.mark.parametrize("seed", range(3))
def test_diagrams_and_bars_keep_the_laws_of_calibration(seed):
    table = reliability_pooling(pool(seed + 10), LABELS, resamples=100).table
    bins = table[table["right"].notna()].fillna({"value": 0, "confidence": 0})
    accuracy = (bins["share"] * bins["value"]).groupby(bins["way"]).sum()
    confidence = (bins["share"] * bins["confidence"]).groupby(bins["way"]).sum()
    calibration_error = table[table["panel"] == "ece"].set_index("way")["value"]
    for way in ("pool", "calibrate_then_pool", "pool_then_calibrate"):
        assert calibration_error[way] >= abs(accuracy[way] - confidence[way]) - 1e-12
    assert accuracy["pool_then_calibrate"] == pytest.approx(accuracy["pool"])  # the labels stay
    assert confidence["pool"] < confidence["single"]


@pytest.mark.parametrize("seed", range(3))
def test_a_temperature_of_the_other_half_mends_members_that_are_too_sure(seed):
    table = reliability_pooling(pool(seed, sharpness=3.0), LABELS, resamples=100).table
    value = table[table["panel"] == "nll"].set_index("way")["value"]
    assert value["pool_then_calibrate"] < value["pool"]
    assert value["single_calibrated"] < value["single"]


def test_no_example_helps_to_fit_its_own_temperature():
    for turned in (0, 7, 119):
        labels = LABELS.copy()
        labels[turned] = (labels[turned] + 1) % 3
        one, other = (predict_in_each_way(pool(0), truth, HALF) for truth in (LABELS, labels))
        for way in ("calibrate_then_pool", "pool_then_calibrate", "single_calibrated"):
            np.testing.assert_array_equal(one[way][0][turned], other[way][0][turned])
            assert (one[way][0] != other[way][0]).any()
