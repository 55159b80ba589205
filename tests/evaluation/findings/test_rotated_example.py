"""A turned image: its probabilities are found without drawing, and their means are those of all passes."""

import numpy as np
import pandas as pd

from ensemble_vs_dropout.evaluation.findings.rotated_example import rotated_example
from ensemble_vs_dropout.plots import RotatedExample
from ensemble_vs_dropout.types import Predictions

ANGLES = [0, 30, 90]


def arms():
    rng = np.random.default_rng(0)
    weighted = Predictions(rng.dirichlet(np.ones(3), (4, 3)), [0.1, 0.2, 0.3, 0.4])
    return {"mc_dropout": weighted, "ensemble": Predictions(rng.dirichlet(np.ones(3), (1, 3)))}


def test_the_display_draws_what_is_found():
    found = rotated_example(ANGLES, arms(), classes="abc", label=1)
    display = RotatedExample.from_predictions(
        ANGLES, arms(), dataset="d", classes="abc", label=1, images=np.zeros((3, 4, 4))
    )
    pd.testing.assert_frame_equal(display.table, found.table)
    assert display.facts == found.facts


def test_means_are_those_of_all_passes_by_their_weights_and_one_pass_has_no_spread():
    table = rotated_example(ANGLES, arms(), classes="abc").table
    for (arm, number), rows in table[table["role"] == "mean"].groupby(["arm", "class"]):
        run = arms()[arm]
        mean = np.average(run.probs[:, :, number], axis=0, weights=run.weights)
        np.testing.assert_allclose(rows["value"], mean)
        spread = np.sqrt(np.average((run.probs[:, :, number] - mean) ** 2, axis=0, weights=run.weights))
        np.testing.assert_allclose(rows["high"] - rows["value"], spread if arm == "mc_dropout" else np.nan)
