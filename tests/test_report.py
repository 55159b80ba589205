import numpy as np
import pandas as pd
import pytest

from ensemble_vs_dropout.evaluation import Evaluator, diversity_table
from ensemble_vs_dropout.evaluation.cost import cost_table
from ensemble_vs_dropout.report import cost_in_words, diversity_in_words, report_markdown, result_table, to_markdown
from ensemble_vs_dropout.types import Cost, Predictions

COST = cost_table({"ensemble": [Cost(12_345, 6e7, 5, 1.26, 0.123)]})


def scores_of(*rows):
    return pd.DataFrame(rows, columns=["arm", "rule", "members", "metric", "value", "low", "high"])


def cells(line):
    return [cell.strip() for cell in line.replace("\\|", "\0").strip("|").split("|")]


def test_one_row_for_each_arm_and_rule_with_intervals_and_cost():
    table = result_table(
        scores_of(
            ["ensemble", "mean", 5, "error", 0.0512, 0.04, 0.0623],
            ["ensemble", "mean", 5, "nll", 0.25, 0.2, 0.3],
            ["ensemble", "majority_vote", 5, "error", 0.06, 0.05, 0.07],
        ),
        COST,
    )
    assert table["arm"].tolist() == ["ensemble, mean (5)", "ensemble, majority vote (5)"]
    assert table["error (%)"].tolist() == ["5.12 [4.00, 6.23]", "6.00 [5.00, 7.00]"]
    assert table["NLL (nats)"].tolist() == ["0.250 [0.200, 0.300]", ""]
    assert table.iloc[0, 3:].tolist() == ["12,345", "6e+07", "5", "1.3", "0.12"]


def test_an_infinite_score_is_shown_as_infinite_and_an_undefined_one_as_undefined():
    table = result_table(
        scores_of(
            ["ensemble", "majority_vote", 5, "nll", np.inf, np.inf, np.inf],
            ["ensemble", "mean", 5, "nll", np.nan, np.nan, np.nan],
        ),
        COST,
    )
    assert table["NLL (nats)"].tolist() == ["infinite", "undefined"]


def test_an_arm_without_a_cost_has_empty_cells():
    table = result_table(
        scores_of(["ensemble", "mean", 5, "nll", 0.1, 0.1, 0.1], ["forest", "mean", 5, "nll", 0.1, 0.1, 0.1]), COST
    )
    assert table.iloc[1].tolist() == ["forest, mean (5)", "0.100 [0.100, 0.100]", "", "", "", "", ""]


def test_the_table_of_an_evaluator_has_all_its_rows():
    rng = np.random.default_rng(0)
    probs = rng.dirichlet([1, 1], (5, 30))
    probs[:, 0] = [0.1, 0.9]  # nobody votes for the truth of the first example
    arms = {"ensemble": Predictions(probs), "dropout": Predictions(probs[1:2])}
    table = result_table(Evaluator(resamples=100).scores(arms, np.zeros(30, dtype=int)), COST)
    assert table.shape == (4, 11)
    assert table["NLL (nats)"].tolist()[2] == "infinite"  # the votes of five
    assert not table.isna().any().any()


def test_a_bar_in_a_name_is_escaped_and_the_columns_stay():
    table = pd.DataFrame({"arm": ["a|b", "c"], "error": ["1", "2|3"]})
    lines = to_markdown(table).splitlines()
    assert len(lines) == 4
    assert "a\\|b" in lines[2]
    assert "2\\|3" in lines[3]
    assert all(len(cells(line)) == 2 for line in lines)


def test_numbers_in_words_are_not_rewritten():
    text = to_markdown(pd.DataFrame({"arm": ["1e3", "007"], "passes": ["12,345", "0.10"]}))
    assert all(word in text for word in ("1e3", "007", "12,345", "0.10"))


def test_the_report_gives_the_verdict_before_the_table_and_what_was_run_last():
    table = pd.DataFrame({"arm": ["ensemble"], "error (%)": ["5.00 [4.00, 6.00]"]})
    spec = {"dataset": "toy", "classes": ["yes|no", "maybe"], "members": 5}
    tables = {"Quality": (table, "Intervals over examples. One note."), "Cost": (cost_in_words(COST), "All of it.")}
    text = report_markdown("First sentence.\nSecond sentence.", tables, spec)
    assert text.startswith(
        "# N independent networks, or one with dropout: toy\n\n- First sentence.\n- Second sentence."
    )
    order = [
        text.index(part)
        for part in ("Second sentence", "5.00 [4.00", "over examples", "## Cost", "figures/", "yes\\|no")
    ]
    assert order == sorted(order)
    assert "One note." in text
    assert text.endswith("\n")
    settings = [line for line in text[text.index("What was run") :].splitlines() if line.startswith("|")]
    assert len(settings) == 5
    assert all(len(cells(line)) == 2 for line in settings)


def test_all_costs_are_told_and_what_was_not_measured_is_not_known():
    costs = {
        "ensemble": [Cost(12_345, 6e7, 5, 1.26, 0.123, 49_380, 61_000, 3e8, 512e6)],
        "mine": [Cost(12_345, 6e7, 5, 1.26, 0.123)],
    }
    table = cost_in_words(cost_table(costs)).set_index("arm")
    assert table.loc["ensemble"].tolist() == [
        "12,345", "0.05", "61,000", "6e+07", "3e+08", "5", "1.3", "0.12", "512",
    ]  # fmt: skip
    assert (table.loc["mine"] == "not known").sum() == 4


def test_diversity_is_told_for_each_arm_as_a_mean_over_its_repetitions():
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=40)
    runs = [Predictions(rng.dirichlet([1, 1, 1], (4, 40))) for _ in range(2)]
    table = diversity_table({"ensemble": runs, "dropout": [Predictions(run.probs[:1]) for run in runs]}, labels)
    words = diversity_in_words(table)
    assert words["arm"].tolist() == ["ensemble (4)"]
    assert float(words["disagreement (%)"][0]) == pytest.approx(100 * table.disagreement.mean(), rel=1e-2)
    assert float(words["KL (nats)"][0]) == pytest.approx(table.kl.mean(), rel=1e-2)
