"""Uncertainty on known and unknown data: found without drawing, and within the bounds of information theory."""

import numpy as np
import pandas as pd
import pytest

from ensemble_vs_dropout.evaluation.findings.ood_entropy import ood_entropy
from ensemble_vs_dropout.plots import OODEntropy
from ensemble_vs_dropout.types import Predictions


def pool(members, examples=40, classes=4, seed=0, weights=None):
    probs = np.random.default_rng(seed).dirichlet(np.full(classes, 0.3), (members, examples))
    return Predictions(probs, weights)


KNOWN = {"ensemble": [pool(5), pool(5, seed=1)], "mc_dropout": [pool(3, seed=2), pool(3, seed=3)]}
UNKNOWN = {"ensemble": [pool(5, 30, seed=4), pool(5, 30, seed=5)], "mc_dropout": [pool(3, 30), pool(3, 30, seed=6)]}


@pytest.mark.parametrize("quantity", ["entropy", "mutual_information"])
def test_the_display_draws_what_is_found(quantity):
    given = {"members": (2, 5), "quantity": quantity, "resamples": 100, "seed": 3}
    found = ood_entropy(KNOWN, UNKNOWN, **given)
    display = OODEntropy.from_predictions(KNOWN, UNKNOWN, dataset="d", other="o", **given)
    pd.testing.assert_frame_equal(display.table, found.table)
    assert display.facts == found.facts
    assert found.told["repetitions"] == 2


@pytest.mark.parametrize("weights", [None, [0.2, 0.3, 0.5]])
def test_mutual_information_lies_between_0_and_the_logarithm_of_members_or_classes(weights):
    arms = {"a": pool(3, weights=weights)}
    table = ood_entropy(arms, arms, members=[2, 3], quantity="mutual_information", resamples=100).table
    for size, rows in table.groupby("members"):
        filled = rows[(rows["panel"] == "unknown") & (rows["value"] > 0)]
        assert filled["left"].max() <= np.log(size)
        median = rows[rows["panel"] == "median"]
        assert (median[["low", "value", "high"]] > 0).all(axis=None)
        assert (median[["low", "value", "high"]] < np.log(size)).all(axis=None)


def test_the_entropy_of_the_mean_is_no_lower_than_that_of_members_that_are_alike_in_all_but_order():
    turned = np.stack([np.roll(pool(1).probs[0], turn, axis=1) for turn in range(4)])  # all of the same entropy
    arms = {"a": Predictions(turned)}
    table = ood_entropy(arms, arms, members=[1, 2, 3, 4], resamples=100).table
    medians = table[table["panel"] == "median"].set_index("members")["value"]
    assert (medians.loc[2:] >= medians[1]).all()
    assert medians[4] == pytest.approx(np.log(4))  # the mean over all turns is uniform
