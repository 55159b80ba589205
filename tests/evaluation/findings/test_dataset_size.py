"""What is found of training sizes is what the display draws, and a gain is better whichever way the metric goes."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pandas as pd

from ensemble_vs_dropout.evaluation.findings.dataset_size import dataset_size
from ensemble_vs_dropout.plots import DatasetSize

made = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[2] / "plots" / "made_studies.py")))


def test_the_display_draws_the_table_of_the_finding():
    scores = made.sizes()
    display, finding = DatasetSize.from_scores(scores, dataset="d"), dataset_size(scores)
    pd.testing.assert_frame_equal(display.table, finding.table)
    assert display.facts == finding.facts
    assert len(finding.facts) == 4


def test_gains_in_error_and_in_accuracy_are_the_same():
    errors = made.sizes(repetitions=3)
    accuracies = errors.assign(metric="accuracy", value=1 - errors["value"])
    gains, others = (
        dataset_size(scores, metric=metric).table.query("panel == 'gain'")[
            ["arm", "train_size", "value", "low", "high"]
        ]
        for scores, metric in ((errors, "error"), (accuracies, "accuracy"))
    )
    pd.testing.assert_frame_equal(gains, others)
