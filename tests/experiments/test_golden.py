"""What version 0.1 wrote in the format of today opens in every later version, with the same numbers."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ensemble_vs_dropout.experiments import Store, plan_of, read_study, results, status
from ensemble_vs_dropout.experiments.comparison import Comparison, comparisons

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def golden(tmp_path):
    """A copy, which a later version may add to."""
    return Path(shutil.copytree(GOLDEN, tmp_path / "golden"))


def test_a_store_has_its_runs_under_their_names_and_its_table(golden):
    store = Store(golden / "store")
    plan = plan_of(read_study(golden / "study.yaml"), store)
    assert status(plan, store).words() == f"{len(plan.runs)} of {len(plan.runs)} runs are finished"
    assert [store.damaged(run) for run in plan.runs] == [[]] * len(plan.runs)
    expected = pd.read_csv(golden / "results.csv")
    pd.testing.assert_frame_equal(results(plan, store)[expected.columns], expected, check_dtype=False, rtol=1e-12)
    keys = [keys for keys, found in comparisons(plan, store) if found.answer().sentences]
    assert keys == [{"label_noise": 0.0}, {"label_noise": 0.2}]


def test_a_comparison_has_its_scores(golden):
    found = Comparison.load(golden / "comparison")
    expected = pd.read_csv(golden / "scores.csv")
    np.testing.assert_allclose(found.scores.value, expected.value, rtol=1e-9)
    assert found.scores[["arm", "rule", "metric"]].equals(expected[["arm", "rule", "metric"]])
    assert found.cost.arm.tolist() == found.scores.arm.drop_duplicates().tolist()


@pytest.mark.slow
def test_its_networks_are_built_anew_and_exported(golden, tmp_path):
    found = Comparison.load(golden / "comparison")
    told = found.export(tmp_path / "model.keras", "ensemble")
    assert told["members"] == 2
    assert len(told["classes"]) == 10
