"""What is found of paired differences keeps the laws of the corrected test, and is what the display draws."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from ensemble_vs_dropout.evaluation.findings.paired_differences import paired_differences
from ensemble_vs_dropout.plots import PairedDifferences

made = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[2] / "plots" / "made_studies.py")))


def test_the_display_draws_the_table_of_the_finding():
    scores = made.several()
    display = PairedDifferences.from_scores(scores, dataset="d", test_share=0.1)
    finding = paired_differences(scores, test_share=0.1)
    pd.testing.assert_frame_equal(display.table, finding.table)
    assert finding.told["tests"] == len(finding.table)
    assert paired_differences(made.several(repetitions=1)).told["tests"] == 0


@pytest.mark.parametrize("share", [0.1, 1.0])
def test_the_correction_takes_off_of_every_t_and_of_no_mean(share):
    naive, corrected = (paired_differences(made.several(), test_share=each).table for each in (0.0, share))
    ratio = corrected["t"] / naive["t"]
    assert ratio.to_numpy() == pytest.approx(((1 / 5) / (1 / 5 + share)) ** 0.5)
    assert (corrected["p_value"] > naive["p_value"]).all()
    pd.testing.assert_series_equal(corrected["value"], naive["value"])
