"""What is found of ranks keeps the laws of ranks, and is what the display draws."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ensemble_vs_dropout.evaluation.findings.critical_difference import critical_difference
from ensemble_vs_dropout.plots import CriticalDifference

made = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[2] / "plots" / "made_studies.py")))


def test_the_display_draws_the_table_of_the_finding_with_arms_in_words():
    scores = made.several()
    display, finding = CriticalDifference.from_scores(scores, dataset="d"), critical_difference(scores)
    shared = ["part", "arm", "value", "low", "high"]
    pd.testing.assert_frame_equal(display.table[shared], finding.table[shared])
    words = dict(zip(finding.table["arm"], display.table["label"], strict=True))
    assert (words["ensemble"], words["single"]) == ("ensemble, mean (5)", "single network")
    assert (finding.told["data_sets"], finding.told["repetitions"]) == (6, (5, 5))


def test_members_that_vary_with_the_data_set_are_missing():
    scores = made.several()
    scores.loc[scores["arm"].eq("ensemble") & scores["dataset"].eq("wine"), "members"] = 10
    arms = critical_difference(scores).table.set_index("arm")
    assert arms["members"].isna()["ensemble"]
    assert arms["members"]["mc_dropout"] == 100
    assert "ensemble, mean" in set(CriticalDifference.from_scores(scores, dataset="d").table["label"])


@pytest.mark.parametrize(("sets", "level"), [(3, 0.05), (9, 0.1)])
def test_mean_ranks_add_up_and_the_critical_difference_has_the_closed_form(sets, level):
    rng = np.random.default_rng(sets)
    scores = made.several(names=[f"set {place}" for place in range(sets)], repetitions=1)
    scores["value"] = rng.normal(size=len(scores)).round(1)  # some are tied
    parts = critical_difference(scores, level=level).table.set_index("part")["value"]
    k = scores["arm"].nunique()
    assert parts["arm"].sum() == pytest.approx(k * (k + 1) / 2)
    quantile = stats.studentized_range.ppf(1 - level, k, np.inf) / np.sqrt(2)
    assert parts["critical_difference"] == pytest.approx(quantile * np.sqrt(k * (k + 1) / (6 * sets)))
