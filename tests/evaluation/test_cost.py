import pytest

from ensemble_vs_dropout.evaluation.cost import cost_table
from ensemble_vs_dropout.types import Cost


def test_cost_is_the_mean_over_repetitions_in_the_order_of_the_arms():
    table = cost_table(
        {
            "wide": [Cost(10, 100, 1, 2.0, 0.1), Cost(30, 300, 3, 4.0, 0.3)],
            "ensemble": [Cost(50, 500, 5, 10.0, 0.5)],
        }
    )
    assert table.columns.tolist() == ["arm", "parameters", "trained", "passes", "train_seconds", "predict_seconds"]
    assert table.arm.tolist() == ["wide", "ensemble"]
    assert table.iloc[0, 1:].tolist() == pytest.approx([20, 200, 2, 3.0, 0.2])
    assert table.iloc[1, 1:].tolist() == pytest.approx([50, 500, 5, 10.0, 0.5])
