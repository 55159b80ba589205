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


def test_what_runs_differ_in_is_noise_however_many_the_examples():
    rng = np.random.default_rng(0)

    def run(changes):
        """Return four checkpoints, of which the last differs from the one before in this share of 2,000 examples."""
        labels = rng.integers(4, size=2000)
        later = np.where(rng.random(2000) < changes, (labels + 1) % 4, labels)
        return [1, 2, 3, 4], Predictions(np.eye(4)[[labels, labels, labels, later]])

    for changes, outcome in (((0.1, 0.1, 0.1), "held"), ((0.0, 1.0, 0.0), "cannot be judged")):
        (fact,) = function_space([run(share) for share in changes]).facts
        assert fact.outcome == outcome
