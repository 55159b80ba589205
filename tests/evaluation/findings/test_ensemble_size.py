"""What is found of curves is what the display draws, with those references that belong to them."""

import pandas as pd

from ensemble_vs_dropout.evaluation.findings.ensemble_size import ensemble_size
from ensemble_vs_dropout.plots import EnsembleSize

CURVES = pd.DataFrame(
    {"arm": "ensemble", "rule": "mean", "members": [5, 1, 2], "metric": "error", "value": [0.1, 0.3, 0.2]}
    | {"low": 0.0, "high": 0.4}
)
REFERENCES = pd.DataFrame({"arm": "dropout", "metric": ["error", "nll"], "value": [0.25, 0.7]})


def test_the_display_draws_the_table_of_the_finding():
    display = EnsembleSize.from_curves(CURVES, dataset="d", references=REFERENCES)
    pd.testing.assert_frame_equal(display.table, ensemble_size(CURVES, references=REFERENCES).table)


def test_curves_grow_by_members_and_references_of_other_metrics_are_left_out():
    table = ensemble_size(CURVES, references=REFERENCES).table
    assert table["members"].tolist()[:3] == [1, 2, 5]
    assert table["value"].tolist() == [0.3, 0.2, 0.1, 0.25]
    assert set(ensemble_size(CURVES, references=REFERENCES[1:]).table["role"]) == {"curve"}
