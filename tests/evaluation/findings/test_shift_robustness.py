"""What is found of shifts is what the display draws; their severity 0 must be the clean test part."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation.findings.shift_robustness import shift_robustness
from ensemble_vs_dropout.plots import ShiftRobustness

made = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[2] / "plots" / "made_studies.py")))


def test_the_display_draws_the_table_of_the_finding():
    scores = made.shifts(2)
    display = ShiftRobustness.from_scores(scores, dataset="d", metrics=["nll", "error"])
    finding = shift_robustness(scores, metrics=["nll", "error"])
    pd.testing.assert_frame_equal(display.table, finding.table)
    assert display.facts == finding.facts


def test_every_shift_starts_at_the_clean_test_part():
    scores = made.shifts(1)
    starts = shift_robustness(scores).table.query("severity == 0")
    clean = scores[scores["condition"] == "clean"]
    for _, rows in starts.groupby("condition"):
        merged = rows.merge(clean, on=["arm", "metric"])
        assert len(merged) == len(clean)
        assert (merged["value_x"] == merged["value_y"]).all()
    own = clean.assign(condition="rotation", value=clean["value"] + 0.001)
    with pytest.raises(InputError, match="at severity 0 of a shift, those of the clean test part: got"):
        shift_robustness(pd.concat([scores, own]))
