"""What is found of costs is what the display draws; parameters that no number of networks can have are refused."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation.findings.cost_frontier import cost_frontier
from ensemble_vs_dropout.plots import CostFrontier

made = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[2] / "plots" / "made_studies.py")))


@pytest.mark.parametrize("split", [False, True])
def test_the_display_draws_the_table_of_the_finding(split):
    display, finding = (
        CostFrontier.from_tables(*made.costs(split=split), dataset="d"),
        cost_frontier(*made.costs(split=split)),
    )
    pd.testing.assert_frame_equal(display.table, finding.table)
    assert display.facts == finding.facts
    assert len(finding.facts) == (2 if split else 0)
    assert finding.told == {"widths": [0.25, 0.5, 1.0, 2.0]}


@pytest.mark.parametrize(
    ("arm", "rule"),
    [("ensemble", "its number of members times those of 'single'"), ("mc_dropout", "those of 'dropout'")],
)
def test_parameters_that_contradict_the_networks_are_refused(arm, rule):
    scores, table = made.costs()
    table.loc[(table["arm"] == arm) & (table["width"] == 1), "parameters"] *= 1.01
    with pytest.raises(InputError, match=f"costs must give '{arm}' {rule} as parameters: got"):
        cost_frontier(scores, table)
