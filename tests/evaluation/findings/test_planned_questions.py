"""The forest of planned questions: which differences, which way round, and what is left out."""

from functools import cache

import numpy as np
import pandas as pd
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation.arms import EACH
from ensemble_vs_dropout.evaluation.evaluator import Evaluator
from ensemble_vs_dropout.evaluation.findings.planned_questions import planned_questions
from ensemble_vs_dropout.evaluation.verdict import find_contrast
from ensemble_vs_dropout.plots import PlannedQuestions
from ensemble_vs_dropout.types import Predictions


@cache
def contrasts(seed=0, repetitions=3):
    """What the evaluator finds of made-up networks: five, a dropout network and its passes."""
    rng = np.random.default_rng(seed)
    y = np.arange(200) % 3

    def members(number, noise):
        logits = 1.5 * np.eye(3)[y] + rng.normal(0, noise, (number, 200, 3))
        probs = np.exp(logits)
        return Predictions(probs / probs.sum(2, keepdims=True))

    networks = [members(5, 1.5) for _ in range(repetitions)]
    arms = {
        "single": networks,
        "ensemble": networks,
        "dropout": [members(1, 1.2) for _ in range(repetitions)],
        "mc_dropout": [members(9, 1.4) for _ in range(repetitions)],
    }
    several = ["mean", "majority_vote"]
    rules = {"single": [EACH], "dropout": [EACH], "ensemble": several, "mc_dropout": several}
    evaluator = Evaluator(metrics=["error", "nll"], rules=rules, resamples=200)
    return evaluator.contrasts(arms, y)


def test_each_question_has_the_numbers_of_its_contrast_the_way_it_was_asked():
    tables = {"a": contrasts(0), "b": contrasts(1)}
    found = planned_questions(tables).table
    assert set(found.comparison) == {"a", "b"}
    for row in found.itertuples():
        same = find_contrast(tables[row.comparison], row.arm_a, row.rule_a, row.arm_b, row.rule_b, row.metric)
        assert (row.value, row.low, row.high, row.p_adjusted) == (same.difference, same.low, same.high, same.p_adjusted)
        assert (row.better, row.shown) == (same.better, same.better != "neither")
    asked = found.groupby("row")[["comparison", "arm_a", "rule_a", "arm_b", "rule_b"]].nunique()
    assert (asked == 1).all().all()
    assert list(found[found.row < 0.5].comparison.unique()) == ["a", "b"]  # of one question, beside each other
    assert found.row.is_monotonic_increasing
    apart = found[found.comparison == "a"].row.drop_duplicates()
    assert set(apart.diff().dropna().round(9)) == {1.0}


def test_a_vote_of_infinite_nll_is_left_out_and_counted():
    found = planned_questions({"a": contrasts()})
    vote = found.table[found.table.rule_b == "majority_vote"]
    assert list(vote.metric) == ["error"]
    assert found.told["left_out"] == 1
    assert found.table.tested.all()


def test_one_repetition_is_told_as_untested():
    assert not planned_questions({"a": contrasts(repetitions=1)}).table.tested.any()
    both = {"one": contrasts(repetitions=1), "three": contrasts()}
    assert set(planned_questions(both).table.groupby("comparison").tested.mean()) == {0.0, 1.0}


def caption(tables, **options):
    return PlannedQuestions.from_contrasts(tables, dataset="d", **options).caption


def test_the_caption_tells_tests_and_the_lack_of_them():
    few = "too few networks for a test"
    assert "Filled: a difference is shown" in caption({"a": contrasts()})
    assert few not in caption({"a": contrasts()})
    assert "Too few networks for a test." in caption({"a": contrasts(repetitions=1)})
    both = caption({"one": contrasts(repetitions=1), "three": contrasts()})
    assert "or over the test examples alone where there are too few networks for a test." in both
    assert "Filled: a difference is shown" in both


def test_a_network_judged_by_its_mean_stands_beside_those_judged_one_by_one():
    other = contrasts().replace({"rule_a": {"each": "mean"}, "rule_b": {"each": "mean"}})
    tables = {"a": contrasts(), "b": other}
    display = PlannedQuestions.from_contrasts(tables, dataset="d", metrics=["error"])
    assert set(display.table.groupby("label").row.agg(lambda rows: round(rows.max() - rows.min(), 9))) == {0.35}
    (axes,) = display.plot()
    low, high = sorted(axes.get_ylim())
    assert display.table.row.between(low, high).all()


def test_comparisons_that_answer_different_questions_have_looks_of_their_own():
    one, other = (contrasts().query(f"arm_a == '{a}' and arm_b == '{b}'") for a, b in
                  (("single", "dropout"), ("single", "mc_dropout")))  # fmt: skip
    display = PlannedQuestions.from_contrasts({"a": one, "b": other}, dataset="d", metrics=["error"])
    assert len(set(display._looks().values())) == 2


def test_questions_can_be_chosen():
    found = planned_questions({"a": contrasts()}, metrics=["nll"], about=[("mc_dropout", "single")]).table
    assert found[["arm_a", "arm_b", "metric"]].values.tolist() == [["mc_dropout", "single", "nll"]]
    tables = {name: contrasts() for name in "abc"}
    assert list(planned_questions(tables, metrics=["nll"], about=[("dropout", "single")]).table.row) == [0, 1, 2]


@pytest.mark.parametrize(
    ("tables", "options", "words"),
    [
        ({}, {}, "contrasts must hold at least one"),
        ({"a": contrasts()}, {"metrics": []}, "metrics must hold at least one"),
        ({"a": contrasts()}, {"metrics": ["brier"]}, "unknown metric of 'a' 'brier'"),
        ({"a": contrasts().drop(columns="better")}, {}, "'a' lack the column 'better'"),
        ({"a": contrasts()}, {"about": [("wide", "ensemble")]}, "a planned question of wide and ensemble"),
        ({"a": contrasts().query("arm_a == 'nobody'")}, {"metrics": ["nll"]}, "unknown metric"),
        ({"a": pd.DataFrame()}, {}, "lack the column 'arm_a'"),
    ],
)
def test_what_cannot_be_drawn_is_refused(tables, options, words):
    with pytest.raises(InputError, match=words):
        planned_questions(tables, **options)
