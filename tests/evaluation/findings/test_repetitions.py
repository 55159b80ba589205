"""Means over repetitions and paired differences keep what is known of them."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ensemble_vs_dropout.evaluation.findings.repetitions import choose, differences, summarise

made = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[2] / "plots" / "made_studies.py")))


def test_the_mean_of_paired_differences_is_the_difference_of_the_means():
    rows = choose(made.sizes(repetitions=4), ["error"], ["train_size"])
    means = summarise(rows, ["arm", "train_size"]).set_index(["arm", "train_size"])["value"]
    gains = summarise(differences(rows, ["train_size"], "single"), ["arm", "train_size"])
    for arm, size, value in gains[["arm", "train_size", "value"]].itertuples(index=False):
        assert value == pytest.approx(means[arm, size] - means["single", size])


def test_splits_that_share_examples_widen_the_interval_by_their_share():
    rows = choose(made.sizes(repetitions=4), ["error"], ["train_size"])
    plain, shared = (summarise(rows, ["arm", "train_size"], share) for share in (0.0, 0.75))
    np.testing.assert_allclose(shared["high"] - shared["low"], 2 * (plain["high"] - plain["low"]))
