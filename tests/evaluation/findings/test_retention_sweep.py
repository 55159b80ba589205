"""What is found of retention is what the display draws; a network that drops nothing must be the plain one."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation.findings.retention_sweep import retention_sweep
from ensemble_vs_dropout.plots import RetentionSweep

made = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[2] / "plots" / "made_studies.py")))


def test_the_display_draws_the_table_of_the_finding():
    scores, scaled = made.sweep(), made.sweep(scaled=True)
    display = RetentionSweep.from_scores(scores, dataset="d", scaled=scaled)
    finding = retention_sweep(scores, scaled=scaled)
    pd.testing.assert_frame_equal(display.table, finding.table)
    assert display.facts == finding.facts
    assert len(finding.facts) == 4


def test_a_network_that_keeps_every_unit_must_be_the_plain_one():
    scores = made.sweep(repetitions=1)
    plain = scores[scores["arm"] == "single"].assign(rule="mean")
    same = pd.concat([scores[scores["arm"] != "single"], plain, plain.assign(arm="dropout")])
    found = retention_sweep(same).table.query("p == 1").pivot(index="split", columns="arm", values="value")
    assert (found["dropout"] == found["single"]).all()
    same.loc[same["arm"].eq("dropout") & same["rate"].eq(0), "value"] += 0.001
    with pytest.raises(InputError, match=r"keeps every unit \(p = 1\), those of the network without dropout: got"):
        retention_sweep(same)
