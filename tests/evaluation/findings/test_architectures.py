"""What is found of architectures is what the display draws, and measures that some lack are not taken."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pandas as pd

from ensemble_vs_dropout.evaluation.findings.architectures import architectures
from ensemble_vs_dropout.plots import Architectures

made = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[2] / "plots" / "made_studies.py")))


def test_the_display_draws_the_table_of_the_finding():
    histories = made.histories(names=["a", "b"], epochs=8)
    display, finding = Architectures.from_histories(histories, dataset="d"), architectures(histories)
    pd.testing.assert_frame_equal(display.table, finding.table)
    assert display.facts == finding.facts
    assert finding.told["networks"] == {"plain": (3, 3), "dropout": (3, 3)}


def test_a_measure_is_taken_only_where_every_family_has_it():
    histories = made.histories(names=["a", "b"], epochs=4)
    assert architectures(histories).told["unseen"] == "val_error"
    histories.loc[histories["architecture"].eq("b") & histories["recipe"].eq("plain"), "val_error"] = None
    finding = architectures(histories)
    assert finding.told["unseen"] == "val_loss"
    assert set(finding.table["metric"]) == {"loss"}
