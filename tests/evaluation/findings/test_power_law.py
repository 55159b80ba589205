"""The law of quality in the number of members: found without drawing, and exact for the Brier score."""

import numpy as np
import pandas as pd
import pytest

from ensemble_vs_dropout.evaluation import size_curves
from ensemble_vs_dropout.evaluation.findings.power_law import power_law
from ensemble_vs_dropout.measures import brier
from ensemble_vs_dropout.plots import PowerLaw
from ensemble_vs_dropout.types import Predictions

PROBS = np.random.default_rng(0).dirichlet(np.ones(3), (6, 50))
LABELS = np.arange(50) % 3


def curves(metrics=("nll", "brier")):
    return size_curves({"ensemble": Predictions(PROBS)}, LABELS, metrics, resamples=100)


def test_the_display_draws_what_is_found():
    few = curves()[lambda rows: rows["members"] < 4].assign(arm="mc_dropout")
    given = pd.concat([curves(), few], ignore_index=True)
    given.loc[0, "value"] = np.inf
    found, display = power_law(given), PowerLaw.from_curves(given, dataset="d")
    pd.testing.assert_frame_equal(display.table, found.table)
    assert display.facts == found.facts
    assert found.told == {"lost": 1, "short": [("nll", "mc_dropout", "mean")]}


def test_the_limit_of_the_brier_score_is_that_of_a_mean_over_endlessly_many_draws():
    found = power_law(curves(["brier"])).table.iloc[0]
    spread = PROBS.var(axis=0, ddof=1).sum(axis=1).mean()
    single = np.mean([brier(member, LABELS).mean() for member in PROBS])
    assert [found["limit"], found["gain"], found["power"]] == pytest.approx([single - spread, spread, 1])
    assert found["rmse"] < 1e-9
