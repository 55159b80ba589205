"""What is found of arms is what the display draws beside their names."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation.findings.arm_intervals import arm_intervals
from ensemble_vs_dropout.plots import ArmIntervals

made = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[2] / "plots" / "made_studies.py")))


def scores(repetitions=3):
    return made.sizes(repetitions, values=(100,)).drop(columns="train_size")


def test_the_display_draws_the_table_of_the_finding_beside_arms_in_words():
    display, finding = ArmIntervals.from_scores(scores(), dataset="d", interval="95 %"), arm_intervals(scores())
    pd.testing.assert_frame_equal(display.table.drop(columns="label"), finding.table)
    assert finding.told == {"split": "test", "condition": "clean", "severity": 0}
    assert "Data: d, the test part." in display.caption
    blurred = scores().assign(condition="blur", severity=3)
    moved = ArmIntervals.from_scores(blurred, dataset="d", interval="95 %")
    assert "Data: d, the test part, blur of severity 3." in moved.caption


def test_repetitions_lie_side_by_side_around_the_line_of_their_arm():
    table = arm_intervals(scores(repetitions=4)).table
    rows = table.groupby("arm", sort=False)["row"]
    assert rows.mean().tolist() == pytest.approx(range(5))
    assert (rows.nunique() == 4).all()
    assert table["row"].is_unique


def test_scores_of_several_conditions_are_refused():
    with pytest.raises(InputError, match="scores must be of one condition, got clean, rotation"):
        arm_intervals(pd.concat([scores(), scores().assign(condition="rotation")]))
