import numpy as np
import pandas as pd
import pytest

from ensemble_vs_dropout.evaluation import Evaluator, diversity_table
from ensemble_vs_dropout.evaluation.answer import answer
from ensemble_vs_dropout.evaluation.arms import EACH
from ensemble_vs_dropout.evaluation.cost import cost_table
from ensemble_vs_dropout.report import result_table
from ensemble_vs_dropout.report.words import (
    contrasts_in_words,
    cost_in_words,
    diversity_in_words,
    paid_in_words,
    quality_in_words,
    settings_in_words,
    shown_best,
    spread_in_words,
)
from ensemble_vs_dropout.types import Cost, Predictions

COST = cost_table({"ensemble": [Cost(12_345, 6e7, 5, 1.26, 0.123)]})


def scores_of(*rows):
    return pd.DataFrame(rows, columns=["arm", "rule", "members", "metric", "value", "low", "high"])


def contrasts_of(*rows):
    columns = ["arm_a", "rule_a", "arm_b", "rule_b", "metric", "better"]
    numbers = {"difference": -0.02, "low": -0.03, "high": -0.01, "p_value": 0.0002, "p_adjusted": 0.012}
    return pd.DataFrame([row.split() for row in rows], columns=columns).assign(
        **numbers, test="paired t over networks and examples", family="planned", detectable=0.015
    )


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


def test_all_costs_are_told_and_what_was_not_measured_is_not_known():
    costs = {
        "ensemble": [Cost(12_345, 6e7, 5, 1.26, 0.123, 49_380, 61_000, 3e8, 512e6)],
        "mine": [Cost(12_345, 6e7, 5, 1.26, 0.123)],
    }
    table = cost_in_words(cost_table(costs)).frame().set_index("arm")
    assert table.loc["ensemble"].tolist() == [
        "12,345", "0.05", "61,000", "6e+07", "3e+08", "5", "1.3", "0.12", "512",
    ]  # fmt: skip
    assert (table.loc["mine"] == "not known").sum() == 4


def test_diversity_is_told_for_each_arm_as_a_mean_over_its_repetitions():
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=40)
    runs = [Predictions(rng.dirichlet([1, 1, 1], (4, 40))) for _ in range(2)]
    table = diversity_table({"ensemble": runs, "dropout": [Predictions(run.probs[:1]) for run in runs]}, labels)
    words = diversity_in_words(table).frame()
    assert words["arm"].tolist() == ["ensemble (4)"]
    assert float(words["disagreement (%)"][0]) == pytest.approx(100 * table.disagreement.mean(), rel=1e-2)
    assert float(words["KL (nats)"][0]) == pytest.approx(table.kl.mean(), rel=1e-2)


def test_what_beats_every_other_arm_is_best_though_a_rule_of_its_own_arm_is_not_beaten():
    contrasts = contrasts_of(
        "ensemble mean ensemble vote error neither",
        "ensemble mean dropout mean error a",
        "ensemble vote dropout mean error a",
    )
    assert shown_best(contrasts) == {("error", "ensemble", "mean"), ("error", "ensemble", "vote")}


def test_a_rule_that_is_beaten_by_another_of_its_arm_is_not_best():
    contrasts = contrasts_of(
        "ensemble mean ensemble vote error b",
        "dropout mean ensemble mean error b",
        "dropout mean ensemble vote error b",
    )
    assert shown_best(contrasts) == {("error", "ensemble", "vote")}


@pytest.mark.parametrize("better", ["neither", "b"])
def test_nothing_is_best_where_one_other_arm_is_not_shown_to_be_worse(better):
    contrasts = contrasts_of("ensemble mean dropout mean error a", f"ensemble mean single each error {better}",
                             "dropout mean single each error neither")  # fmt: skip
    assert shown_best(contrasts) == set()


def test_rules_of_one_arm_alone_have_no_best():
    assert shown_best(contrasts_of("ensemble mean ensemble vote error a")) == set()


def test_what_is_best_in_one_metric_is_bold_in_that_metric_alone():
    scores = scores_of(*[["ensemble", "mean", 5, m, 0.1, 0.1, 0.1] for m in ("error", "nll")],
                       *[["forest", "mean", 5, m, 0.2, 0.2, 0.2] for m in ("error", "nll")])  # fmt: skip
    contrasts = contrasts_of("ensemble mean forest mean error a", "ensemble mean forest mean nll neither")
    table = quality_in_words(scores, COST, contrasts)
    assert [[cell.best for cell in row[1:3]] for row in table.rows] == [[True, False], [False, False]]
    assert not any(cell.best for row in quality_in_words(scores, COST).rows for cell in row)


def test_contrasts_name_rows_tests_and_who_is_better():
    scores = scores_of(["ensemble", "mean", 5, "error", 0.1, 0.1, 0.1], ["single", "each", 1, "error", 0.2, 0.2, 0.2])
    (table,) = contrasts_in_words(contrasts_of("ensemble mean single each error a"), scores)
    assert table.title == "error (%): 1 of 1 differences shown"
    assert table.frame().iloc[0].tolist() == [
        "ensemble, mean (5)", "single network", "-2.00 [-3.00, -1.00]", "< 0.001", "0.012",
        "paired t over networks and examples", "planned", "first", "1.50",
    ]  # fmt: skip
    assert "negative difference speaks for the first" in table.note


def test_an_infinite_difference_is_said_with_its_sign_and_has_no_interval():
    scores = scores_of(["ensemble", "mean", 5, "nll", 0.1, 0.1, 0.1], ["single", "each", 1, "nll", 0.2, 0.2, 0.2])
    contrasts = contrasts_of("ensemble mean single each nll a").assign(difference=-np.inf, low=-np.inf, high=0.0)
    (table,) = contrasts_in_words(contrasts, scores)
    assert table.frame()["first minus second"].tolist() == ["-infinite"]


def test_the_spread_names_the_lowest_and_the_highest_of_each_metric_and_leaves_out_what_is_infinite():
    numbers = scores_of(
        ["ensemble", "mean", 5, "error", 0.05, 0, 0],
        ["single", "each", 1, "error", 0.1, 0, 0],
        ["ensemble", "mean", 5, "nll", np.inf, 0, 0],
    )
    assert spread_in_words(numbers) == "error (%): lowest 5.00 (ensemble, mean (5)), highest 10.00 (single network)."


def test_the_spread_of_learning_curves_names_networks_and_epochs():
    numbers = pd.DataFrame({"recipe": ["dropout", "dropout"], "series": "test", "epoch": [1, 2], "value": [2.0, 1.0]})
    assert spread_in_words(numbers) == (
        "test: lowest 1.000 (dropout networks, epoch 2), highest 2.000 (dropout networks, epoch 1)."
    )


def test_the_spread_keeps_the_panels_of_a_figure_apart_and_names_them():
    numbers = pd.DataFrame(
        {"panel": ["accuracy", "retained", "retained"], "arm": ["ensemble", "single", "ensemble"], "value": [0.9, 1, 0]}
    )
    assert spread_in_words(numbers) == (
        "accuracy (%): lowest 90.00 (ensemble), highest 90.00 (ensemble). "
        "retained: lowest 0.000 (ensemble), highest 1.000 (single network)."
    )
    numbers = pd.DataFrame({"panel": ["gain", "risk"], "metric": "error", "what": ["a", "b"], "value": [0.1, 0.2]})
    assert spread_in_words(numbers) == (
        "gain, error (%): lowest 10.00 (a), highest 10.00 (a). risk, error (%): lowest 20.00 (b), highest 20.00 (b)."
    )


@pytest.mark.parametrize("of_arm", [{}, {"arm": np.nan}])
def test_a_series_or_a_line_needs_no_arm(of_arm):
    numbers = pd.DataFrame({"series": ["exact", "expected"], "metric": "nll", "value": [1.0, 2.0], **of_arm})
    assert spread_in_words(numbers) == "NLL (nats): lowest 1.000 (exact), highest 2.000 (expected)."
    numbers = pd.DataFrame({"panel": "bound", "role": ["upper", "lower"], "value": [1.0, 0.0], **of_arm})
    assert spread_in_words(numbers) == "bound: lowest 0.000 (lower), highest 1.000 (upper)."
    numbers = numbers.drop(columns="role").assign(epoch=np.nan)
    assert spread_in_words(numbers) == "bound: lowest 0.000, highest 1.000."


def test_numbers_of_any_shape_have_a_spread_or_none():
    assert spread_in_words(pd.DataFrame({"x": [1, 2]})) == ""
    assert spread_in_words(pd.DataFrame({"what": ["a", "b"], "value": [1.0, 2.0]})) == (
        "value: lowest 1.000 (a), highest 2.000 (b)."
    )


def test_settings_are_written_as_people_write_them():
    table = settings_in_words("s", "S", {"a_b": None, "c": {"d": [1, 2]}, "e": True, "f": 12_345, "g": list(range(60))})
    assert table.frame()["value"].tolist()[:4] == ["none", "d 1, 2", "yes", "12,345"]
    assert table.frame()["value"].tolist()[4].endswith("49 and 10 more")
    assert table.frame()["setting"].tolist()[0] == "a b"


def test_the_costs_of_the_first_screen_are_those_of_the_answer():
    rng = np.random.default_rng(0)
    arms = {name: [Predictions(rng.dirichlet([1, 1], (2, 50))) for _ in range(3)] for name in ("single", "ensemble")}
    rules = {"single": [EACH], "ensemble": ["mean"]}
    contrasts = Evaluator(["error"], rules).contrasts(arms, rng.integers(2, size=50))
    paid = {"single": Cost(10, 100.0, 1, 1.0, 0.1, bytes=9, multiply_adds=7, trained_multiply_adds=50.0)}
    paid["ensemble"] = Cost(50, 450.0, 5, 1.0, 0.1, bytes=90, multiply_adds=21, trained_multiply_adds=900.0)
    cost = cost_table({arm: [one] for arm, one in paid.items()})
    told = answer(contrasts, cost)
    table = paid_in_words(cost, "single")
    shown = dict(zip(table.columns[1:], table.rows[1][1:], strict=True))
    assert told.against[0].a == "a single network"
    assert shown["training"].number == pytest.approx(1 / told.training)
    assert shown["predicting"].number == pytest.approx(1 / told.predicting)
    assert shown["memory"].number == 5
