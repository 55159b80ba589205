"""Checkpoints in function space: found without drawing; disagreement and angle are alike both ways."""

import numpy as np
import pandas as pd

from ensemble_vs_dropout.evaluation.findings.function_space import function_space
from ensemble_vs_dropout.plots import FunctionSpace
from ensemble_vs_dropout.types import Predictions


def runs(count=2, checkpoints=3, examples=30, classes=4):
    rng = np.random.default_rng(0)
    paths = [(range(1, checkpoints + 1), rng.dirichlet(np.ones(classes), (checkpoints, examples)))] * count
    paths = [(epochs, Predictions(np.roll(probs, place, axis=1))) for place, (epochs, probs) in enumerate(paths)]
    return paths, rng.integers(classes, size=examples), rng.normal(size=(count, checkpoints, 50))


def test_the_display_draws_what_is_found():
    paths, labels, weights = runs()
    extra = [path for _, path in paths]
    found = function_space(paths, labels, weights=weights, extra=extra)
    display = FunctionSpace.from_predictions(paths, labels, dataset="d", weights=weights, extra=extra)
    pd.testing.assert_frame_equal(display.table, found.table)
    assert display.facts == found.facts
    assert found.told["errors"] == [np.mean(path.probs[-1].argmax(axis=1) != labels) for path in extra]


def test_disagreement_and_angle_are_symmetric_and_a_checkpoint_is_like_itself():
    paths, _, weights = runs(3)
    table = function_space(paths, weights=weights).table
    for panel, itself in (("disagreement", 0), ("weights", 1)):
        square = table.loc[table["panel"] == panel, "value"].to_numpy().reshape(9, 9)
        np.testing.assert_allclose(square, square.T, atol=1e-10)
        np.testing.assert_allclose(square.diagonal(), itself, atol=1e-10)
        assert len(np.unique(square.round(6))) > 3
    assert table["value"].max() <= 1
