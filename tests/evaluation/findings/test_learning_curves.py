"""What is found of histories is what the display draws; the gap is the difference of the curves."""

import numpy as np
import pandas as pd

from ensemble_vs_dropout.evaluation.findings.learning_curves import learning_curves
from ensemble_vs_dropout.plots import LearningCurves


def histories():
    rng = np.random.default_rng(0)
    keys = pd.MultiIndex.from_product(
        [["plain", "dropout"], [0, 1], range(3), range(1, 6)], names=["recipe", "repetition", "member", "epoch"]
    )
    losses = {name: rng.random(len(keys)) for name in ("loss", "train_loss", "val_loss", "test_loss")}
    return pd.DataFrame(losses, index=keys).reset_index()


def test_the_display_draws_the_table_of_the_finding():
    given = histories()
    given.loc[3, "test_loss"] = np.inf
    finding = learning_curves(given)
    pd.testing.assert_frame_equal(LearningCurves.from_histories(given, dataset="d").table, finding.table)
    assert finding.told == {"gap": "test minus train", "train": "train_loss", "left_out": 2}


def test_the_mean_gap_is_the_difference_of_the_mean_losses():
    value = learning_curves(histories()).table.set_index(["series", "recipe", "epoch"])["value"]
    np.testing.assert_allclose(value["gap: test minus train"], value["test"] - value["train"])
