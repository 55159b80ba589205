import numpy as np
import pandas as pd
import pytest

from ensemble_vs_dropout.evaluation import verdict
from ensemble_vs_dropout.evaluation.arms import EACH
from ensemble_vs_dropout.evaluation.cost import cost_table
from ensemble_vs_dropout.evaluation.evaluator import CONTRAST_COLUMNS, UNTESTED
from ensemble_vs_dropout.types import Cost

COST = cost_table(
    {
        "ensemble": [Cost(500, 5000, 5, 10.0, 0.5)],
        "mc_dropout": [Cost(100, 1000, 50, 2.0, 5.0)],
        "single": [Cost(100, 1000, 1, 2.0, 0.1)],
    }
)
PAIR = ("ensemble", "mean", "mc_dropout", "mean")


def contrast(difference, low, high, better, metric="error", pair=PAIR, p=0.012, **others):
    given = [*pair, metric, difference, low, high, p / 2, p, "paired t over repetitions and examples", better, 0.05]
    row = dict(zip(CONTRAST_COLUMNS, [*given, "planned", 0.2 + difference, 0.2, np.nan, np.nan, False], strict=True))
    return row | others


def turned(row):
    sides = {
        f"{name}_{side}": row[f"{name}_{other}"] for name in ("arm", "rule", "value") for side, other in ("ab", "ba")
    }
    better = {"a": "b", "b": "a", "neither": "neither"}[row["better"]]
    return row | sides | {"difference": -row["difference"], "low": -row["high"], "high": -row["low"], "better": better}


def told(*rows, cost=COST):
    return verdict(pd.DataFrame(list(rows), columns=CONTRAST_COLUMNS), cost, "over examples").splitlines()


def test_less_error_is_told_in_points_with_its_interval_and_p():
    first, last = told(contrast(-0.0123, -0.02, -0.004, "a"))
    assert first.startswith(
        "The averaged ensemble against MC dropout: 1.23 of 20.00 percentage points less error (0.40 to 2.00, "
        "p = 0.012), 6 % less"
    )
    assert last == (
        "Intervals are simultaneous 95 % intervals, over examples; p-values are adjusted by Holm over the planned "
        "questions of a metric (1 could be tested), and what is shown goes by these. Depending on the question, "
        "differences below 5.00 percentage points of error may go unseen."
    )


def test_more_nll_is_told_in_nats():
    first, _ = told(contrast(0.25, 0.1, 0.4, "b", "nll", p=0.0001))
    assert "0.250 of 0.200 nats more NLL (0.100 to 0.400, p < 0.001), 125 % more" in first


@pytest.mark.parametrize("difference", [-0.01, 0.01, 0.0])
@pytest.mark.parametrize("metric", ["error", "nll"])
def test_nothing_is_claimed_where_neither_is_better(difference, metric):
    first, _ = told(contrast(difference, -0.03, 0.03, "neither", metric, p=0.4))
    assert "no difference in" in first
    assert " less " not in first
    assert " more " not in first


@pytest.mark.parametrize(
    "row",
    [
        contrast(-0.0123, -0.02, -0.004, "a"),
        contrast(0.0123, 0.004, 0.02, "b"),
        contrast(-0.01, -0.03, 0.02, "neither", p=0.5),
        contrast(0.25, 0.1, 0.4, "b", "nll"),
        contrast(np.inf, np.inf, np.inf, "b", "nll"),
        contrast(-np.inf, -np.inf, -np.inf, "a", "nll"),
    ],
)
def test_a_pair_that_stands_reversed_in_the_table_is_told_the_same_way(row):
    assert told(row) == told(turned(row))


def test_a_sign_stays_with_its_difference_where_none_is_shown():
    first, _ = told(contrast(-0.01, -0.03, 0.02, "neither", p=0.5))
    assert "(-1.00 percentage points, -3.00 to 2.00, p = 0.500)" in first


def test_a_bound_that_is_all_but_zero_has_no_sign():
    first, _ = told(contrast(0.01, -0.0000001, 0.02, "b", "nll"))
    assert "(0.000 to 0.020, p = 0.012)" in first
    first, _ = told(contrast(-0.01, -0.02, 0.0, "a", "nll"))
    assert "(0.000 to 0.020, p = 0.012)" in first


def test_a_difference_that_is_shown_to_be_below_the_margin_is_told_so():
    margin = {"margin": 0.005, "p_equivalent": 0.01, "equivalent": True}
    first, _ = told(contrast(0.002, -0.001, 0.004, "neither", p=0.3, **margin))
    assert (
        "the difference in error is shown to be below 0.50 percentage points (0.20 percentage points, -0.10 to 0.40)"
        in first
    )
    first, _ = told(contrast(0.002, 0.001, 0.003, "b", **margin))
    assert (
        "0.20 of 20.00 percentage points more error (0.10 to 0.30, p = 0.012), 1 % more, and is shown to be below"
        in first
    )


def test_what_was_not_tested_is_told_of_these_networks_only():
    rest = {"p": np.nan, "test": UNTESTED, "detectable": np.nan}
    first, last = told(contrast(-0.0123, -0.02, -0.004, "neither", **rest))
    assert first.startswith(
        "The averaged ensemble against MC dropout: of these networks only: 1.23 of 20.00 percentage points less error "
        "(0.40 to 2.00), 6 % less"
    )
    assert "p =" not in first
    assert "nothing is known of how others would do that are trained again" in last
    assert "p-values" not in last


@pytest.mark.parametrize(("difference", "arm"), [(np.inf, "the averaged ensemble"), (-np.inf, "MC dropout")])
@pytest.mark.parametrize("better", ["a", "b", "neither"])
def test_the_infinite_arm_is_named_and_no_number_is_told(difference, arm, better):
    first, _ = told(contrast(difference, difference, difference, better, "nll"))
    assert f"the NLL of {arm} is infinite" in first
    assert "inf " not in first
    assert "nan" not in first


def test_two_infinite_arms_are_told_as_such():
    first, _ = told(contrast(np.nan, np.nan, np.nan, "neither", "nll", p=np.nan))
    assert "the NLL of both is infinite" in first
    assert "nan" not in first


def test_error_and_nll_of_a_pair_share_one_paragraph():
    lines = told(contrast(-0.01, -0.02, -0.004, "a"), contrast(0.0, -0.1, 0.1, "neither", "nll", p=1.0))
    assert len(lines) == 2
    assert "less error" in lines[0]
    assert "; no difference in NLL shown" in lines[0]


def test_only_questions_whose_arms_were_run_are_answered():
    strange = contrast(-0.3, -0.4, -0.2, "a", pair=("forest", "mean", "ensemble", "mean"))
    assert len(told(strange)) == 1
    assert len(told()) == 1


def test_where_neither_error_nor_nll_is_measured_the_first_metrics_are_told():
    first, _ = told(contrast(-0.3, -0.4, -0.2, "a", "brier"))
    assert first.startswith("The averaged ensemble against MC dropout: 0.300 of 0.200 less Brier score (0.200 to 0.400")
    first, _ = told(contrast(-0.3, -0.4, -0.2, "a", "brier"), contrast(-0.01, -0.02, -0.005, "a"))
    assert "Brier" not in first


def test_other_rules_of_the_same_arms_are_not_taken_for_the_pair():
    wrong = contrast(-0.3, -0.4, -0.2, "a", pair=("ensemble", "majority_vote", "mc_dropout", "mean"))
    first, _ = told(wrong, contrast(0.01, 0.005, 0.02, "b"))
    assert "1.00 of 20.00 percentage points more error" in first


def test_the_single_network_is_the_average_over_members_each_alone():
    first, _ = told(contrast(-0.02, -0.03, -0.01, "a", pair=("ensemble", "mean", "single", EACH)))
    assert first.startswith(
        "The averaged ensemble against a single network: 2.00 of 20.00 percentage points less error"
    )


def test_the_price_is_told_from_a_to_b():
    first, second, _ = told(
        contrast(-0.0123, -0.02, -0.004, "a"),
        contrast(-0.02, -0.03, -0.01, "a", pair=("ensemble", "mean", "single", EACH)),
    )
    assert "5 times the training work (parameters x examples seen) and 0.1 times the forward passes" in first
    assert "5 times the training work and 5 times the forward passes" in second


def test_the_price_of_predicting_is_in_multiply_accumulates_where_they_are_counted():
    cost = cost_table(
        {
            "ensemble": [Cost(5, 5, 5, 1.0, 1.0, multiply_adds=500.0)],
            "mc_dropout": [Cost(1, 1, 100, 1.0, 1.0, multiply_adds=7400.0)],
        }
    )
    first, _ = told(contrast(-0.0123, -0.02, -0.004, "a"), cost=cost)
    assert first.endswith("(parameters x examples seen) and 1/15 of the multiply-accumulates of predicting.")


def test_an_equal_price_is_not_told_as_a_multiple():
    pair = ("mc_dropout", "mean", "dropout", "mean")
    cost = cost_table({"mc_dropout": [Cost(1, 10, 100, 1.0, 1.0)], "dropout": [Cost(1, 10, 1, 1.0, 1.0)]})
    first, _ = told(contrast(0.0, -0.1, 0.1, "neither", pair=pair, p=1.0), cost=cost)
    assert "about the same training work (parameters x examples seen) and 100 times the forward passes" in first


def test_two_rules_of_one_arm_have_no_price():
    pair = ("ensemble", "mean", "ensemble", "majority_vote")
    first, _ = told(contrast(-0.0123, -0.02, -0.004, "a", pair=pair))
    assert first.startswith("The averaged ensemble against the voting ensemble: ")
    assert "training work" not in first


def test_arms_without_a_known_cost_are_told_without_a_price():
    first, _ = told(contrast(-0.0123, -0.02, -0.004, "a"), cost=COST[COST.arm == "ensemble"])
    assert first.endswith("p = 0.012), 6 % less.")


def test_what_would_go_unseen_is_told_once_at_the_end():
    first, last = told(
        contrast(-0.01, -0.03, 0.02, "neither", p=0.5, detectable=0.031),
        contrast(0.01, -0.03, 0.02, "neither", "nll", p=0.5),
    )
    assert "unseen" not in first
    assert last.endswith("differences below 3.10 percentage points of error and 0.050 nats of NLL may go unseen.")
    _, _, last = told(
        contrast(-0.01, -0.03, 0.02, "neither", p=0.5, detectable=0.031),
        contrast(-0.02, -0.03, -0.01, "a", pair=("ensemble", "mean", "single", EACH), detectable=0.008),
    )
    assert last.endswith("differences below 0.80 to 3.10 percentage points of error may go unseen.")


WORTH = pd.DataFrame(
    [
        ["ensemble", "mean", 5, "calibrated_nll", 0.3, 5.0, 5.0, 5.0, 5],
        ["mc_dropout", "mean", 100, "calibrated_nll", 0.4, 1.83, 1.31, np.inf, 5],
        ["dropout", "mean", 1, "calibrated_nll", 0.4, 1.0, 1.0, 1.0, 5],
        ["dropout_ensemble", "mean", 5, "calibrated_nll", 0.2, np.inf, 4.2, np.inf, 5],
        ["wide", "mean", 1, "calibrated_nll", 0.4, 1.0, 1.0, 1.4, 5],
    ],
    columns=["arm", "rule", "members", "metric", "value", "worth", "low", "high", "pool"],
)


def test_the_worth_of_each_arm_is_told_in_networks():
    lines = verdict(pd.DataFrame(columns=CONTRAST_COLUMNS), COST, "over examples", WORTH).splitlines()
    assert lines[:3] == [
        "100-pass MC dropout is worth at least 1.3 independent networks here (likely 1.8), by calibrated NLL.",
        "Dropout by weight scaling is worth no more than 1 independent network here, by calibrated NLL.",
        "The ensemble of 5 dropout networks is worth at least 4.2 independent networks here (likely more than 5), "
        "by calibrated NLL.",
    ]
    ends = "is not shown to be worth 1 independent network here (its interval ends at 1.4), by calibrated NLL."
    assert lines[3] == f"One wide network {ends}"
    assert len(lines) == 5


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (np.nan, np.nan, "How many networks 100-pass MC dropout is worth cannot be told from one repetition."),
        (
            1.0,
            np.inf,
            "How many networks 100-pass MC dropout is worth cannot be told here, by calibrated NLL: any number",
        ),
        (np.inf, np.inf, "100-pass MC dropout is worth more than 5 independent networks here, by calibrated NLL."),
        (1.3, 2.5, "100-pass MC dropout is worth 1.8 independent networks here (1.3 to 2.5), by calibrated NLL."),
    ],
)
def test_a_worth_that_cannot_be_told_is_not_told(low, high, expected):
    worth = WORTH[WORTH.arm == "mc_dropout"].assign(low=low, high=high)
    first, *_ = verdict(pd.DataFrame(columns=CONTRAST_COLUMNS), COST, "over examples", worth).splitlines()
    assert first.startswith(expected)


def equal_rows(axis, budget, *rows):
    return [
        {"axis": axis, "budget": budget, "arm": arm, "members": m, "best": i == 0, "shown": shown, "metric": "nll"}
        for i, (arm, m, shown) in enumerate(rows)
    ]


def test_the_best_at_equal_cost_is_told_with_those_it_is_not_shown_to_beat():
    equal = pd.DataFrame(
        [
            *equal_rows("parameters", 100.0, ("mc_dropout", 50, False), ("ensemble", 1, True)),
            *equal_rows("parameters", 500.0, ("ensemble", 5, False), ("mc_dropout", 50, True)),
            *equal_rows("passes", 50.0, ("ensemble", 5, False), ("mc_dropout", 50, False), ("dropout", 1, True)),
            *equal_rows("train_seconds", 2.0, ("ensemble", 1, False), ("mc_dropout", 50, True)),
        ]
    )
    first, _ = verdict(pd.DataFrame(columns=CONTRAST_COLUMNS), COST, "over examples", None, equal).splitlines()
    assert first == (
        "Best NLL for no more than MC dropout costs, chosen on the test data, in parameters: MC dropout of 50; "
        "forward passes: ensemble of 5, "
        "not shown to differ from MC dropout of 50; seconds of training: a single network."
    )


def test_ensembles_of_one_are_told_as_what_they_are():
    equal = pd.DataFrame(
        equal_rows(
            "passes",
            50.0,
            ("mc_dropout", 5, False),
            ("ensemble", 1, False),
            ("dropout_ensemble", 1, False),
            ("dropout", 1, False),
        )
    )
    first, _ = verdict(pd.DataFrame(columns=CONTRAST_COLUMNS), COST, "over examples", None, equal).splitlines()
    assert first.endswith("MC dropout of 5, not shown to differ from a single network and dropout (weight scaling).")


def test_costs_that_are_not_known_are_not_told():
    cost = cost_table(
        {arm: [Cost(1, float("nan"), 5.0 + i, 1.0, 1.0)] for i, arm in enumerate(("ensemble", "mc_dropout"))}
    )
    first, _ = told(contrast(-0.0123, -0.02, -0.004, "a"), cost=cost)
    assert first.endswith("p = 0.012), 6 % less, for 0.83 times the forward passes.")
    first, _ = told(contrast(-0.0123, -0.02, -0.004, "a"), cost=cost.drop(columns=["trained", "passes"]))
    assert first.endswith("p = 0.012), 6 % less.")


def test_the_level_of_the_intervals_is_told():
    lines = verdict(pd.DataFrame(columns=CONTRAST_COLUMNS), COST, "over examples", level=0.5).splitlines()
    assert lines[-1] == "Intervals are simultaneous 50 % intervals, over examples."


def test_nothing_is_said_about_the_cost_of_an_arm_that_was_not_run():
    equal = pd.DataFrame(equal_rows("parameters", 100.0, ("ensemble", 1, False)))
    cost = COST[COST.arm == "ensemble"]
    lines = verdict(pd.DataFrame(columns=CONTRAST_COLUMNS), cost, "over examples", None, equal).splitlines()
    assert len(lines) == 1
