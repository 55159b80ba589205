"""Kappa and error of pairs: found without drawing, and kappa never beyond 1 either way."""

import numpy as np
import pandas as pd
import pytest

from ensemble_vs_dropout.evaluation.findings.kappa_error import kappa_error, label_kappa
from ensemble_vs_dropout.plots import KappaError
from ensemble_vs_dropout.types import Predictions


def pool(members, seed=0, examples=60, classes=3):
    return Predictions(np.random.default_rng(seed).dirichlet(np.ones(classes), (members, examples)))


def test_the_display_draws_what_is_found():
    arms, labels = (
        {"single": pool(1), "ensemble": pool(6), "a": Predictions(np.full((2, 60, 3), 1 / 3))},
        [0, 1, 2] * 20,
    )
    found = kappa_error(arms, labels, pairs=5, seed=2)
    display = KappaError.from_predictions(arms, labels, dataset="d", pairs=5, seed=2)
    pd.testing.assert_frame_equal(display.table, found.table)
    assert found.told == {"alone": ["single"], "lost": 1}


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_kappa_lies_between_minus_1_and_1_and_both_are_reached(classes):
    arms, labels = {"a": pool(20, examples=12, classes=classes)}, np.arange(12) % classes
    kappa = kappa_error(arms, labels).table.query("role == 'pair'")["kappa"]
    assert kappa.between(-1, 1).all()
    assert kappa.min() < 0 < kappa.max()
    half = np.arange(12)[None] % 2
    assert label_kappa(half, np.concatenate([half, 1 - half]), classes).tolist() == [1, -1]
