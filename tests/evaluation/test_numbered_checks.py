import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation import numbered_checks as nc
from ensemble_vs_dropout.evaluation.answer import answer
from ensemble_vs_dropout.evaluation.arms import EACH
from ensemble_vs_dropout.evaluation.cost import cost_table
from ensemble_vs_dropout.evaluation.evaluator import CONTRAST_COLUMNS, UNTESTED
from ensemble_vs_dropout.evaluation.findings.confusions import confusions
from ensemble_vs_dropout.types import Cost, Dataset, Predictions
from ensemble_vs_dropout.types.inputs import table

CODES = set(nc.TITLES)


def contrasts(a=("dropout", EACH), b=("single", EACH), metric="error", **others):
    values = [*a, *b, metric, 0.01, 0.005, 0.015, 0.001, 0.002, "paired t", "b", 0.008, "planned", 0.21, 0.2]
    row = dict(zip(CONTRAST_COLUMNS, [*values, np.nan, np.nan, False], strict=True))
    return pd.DataFrame([row | others])


def answered(table):
    return answer(table, cost_table({arm: [Cost(1, 1, 1, 1.0, 1.0)] for arm in ("single", "dropout", "ensemble")}))


def codes(found):
    return [check.code for check in found]


def test_every_check_has_a_page_that_says_how_why_and_what_to_do():
    text = (Path(__file__).parents[2] / "docs" / "checks.md").read_text()
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    assert [section.split("\n")[0] for section in sections] == [f"{code}: {title}" for code, title in nc.TITLES.items()]
    for section in sections:
        assert all(f"**{part}.**" in section for part in ("How it is found", "Why it matters", "What to do"))


def test_issues_come_first_and_what_is_ignored_is_left_out():
    found = [nc.Check("EVD002", "a", False), nc.Check("EVD009", "b", True), nc.Check("EVD001", "", True)]
    assert codes(nc.sorted_checks(found)) == ["EVD009", "EVD002"]
    assert codes(nc.sorted_checks(found, ["EVD009"])) == ["EVD002"]
    with pytest.raises(InputError, match="EVD099"):
        nc.sorted_checks(found, ["EVD099"])


@pytest.mark.parametrize(
    ("repetitions", "given_rate", "judges", "expected"),
    [
        (3, 0.5, False, ["EVD005"]),
        (3, None, False, []),
        (3, None, True, ["EVD012"]),
        (2, None, False, ["EVD004"]),
    ],
)
def test_designs(repetitions, given_rate, judges, expected):
    untested = {"test": UNTESTED, "better": "neither", "p_value": np.nan, "p_adjusted": np.nan, "detectable": np.nan}
    told = answered(contrasts(("ensemble", "mean"), **(untested if repetitions < 3 else {})))
    assert codes(nc.of_design(repetitions, told, given_rate, judges_what_chose=judges)) == expected


def test_dropout_that_harms_is_told_whichever_way_the_pair_stands():
    worse = contrasts()
    assert codes(nc.of_differences(worse, False)) == ["EVD006"]
    turned = contrasts(("single", EACH), ("dropout", EACH), difference=-0.01, low=-0.015, high=-0.005, better="a")
    assert codes(nc.of_differences(turned, False)) == ["EVD006"]
    assert "--rate auto" in nc.of_differences(worse, False)[0].found
    assert "--rate auto" not in nc.of_differences(worse, True)[0].found  # it was chosen already
    for fine in (contrasts(better="neither"), contrasts(better="a", difference=-0.01, low=-0.015, high=-0.005)):
        assert nc.of_differences(fine, False) == []


def test_a_margin_that_the_test_part_cannot_tell():
    small = contrasts(better="neither", margin=0.005)
    (found,) = nc.of_differences(small, True)
    assert found.code == "EVD008"
    assert (
        "The margin of error, 0.5, is smaller than what 1 of the planned questions can tell (0.8 at worst)"
        in found.found
    )
    large = contrasts(better="neither", margin=0.02)
    assert nc.of_differences(large, True) == []


def scored(metric="error", **arms):
    rows = {"arm": list(arms), "metric": metric, "value": list(arms.values()), "split": "test", "condition": "clean"}
    return pd.DataFrame(rows)


def test_data():
    even, skewed, fair = np.arange(100) % 4, np.repeat([0, 1], [80, 20]), scored(single=0.1)
    assert nc.of_data(even, "abcd", fair, 0) == []
    assert nc.of_data(even, "abcd", fair, None) == []
    (leaked,) = nc.of_data(even, "abcd", fair, 3)
    assert leaked.code == "EVD009"
    assert leaked.issue
    assert "3 of 100 test examples" in leaked.found
    assert codes(nc.of_data(skewed, "ab", fair, 0)) == ["EVD010"]
    assert nc.of_data(skewed, "ab", scored("nll", single=0.1), 0) == []
    (small,) = nc.of_data(even[:40], "abcd", fair, 0)
    assert small.code == "EVD016"
    assert "40 examples, so that one of them is 2.5 points" in small.found
    assert "--splits" in small.found
    (small,) = nc.of_data(np.stack([even[:40]] * 3), "abcd", fair, 0)  # over splits already
    assert "--splits" not in small.found


def test_arms_that_learnt_next_to_nothing():
    labels = np.repeat([0, 1], [60, 40])
    (found,) = nc.of_data(labels, ["no", "yes"], scored(single=0.4, dropout=0.41, ensemble=0.39), 0)
    assert found.code == "EVD017"
    assert "'no' errs in 40.00 %, and not more often than single network and dropout" in found.found
    assert nc.of_data(labels, ["no", "yes"], scored(single=0.39), 0) == []
    for examples, most in ((100, 57), (200, 118), (1000, 700)):  # whose shares are rounded
        labels = np.repeat([0, 1], [most, examples - most])
        assert "EVD017" in codes(nc.of_data(labels, "ab", scored(single=1 - most / examples), 0))
        assert "EVD017" in codes(nc.of_data(labels, "ab", scored(single=np.mean(labels != 0)), 0))
    assert nc.of_data(labels, ["no", "yes"], scored("nll", single=0.7), 0) == []


def test_columns_that_tell_the_label_are_named():
    labels, fair = np.arange(100) % 4, scored(single=0.1)
    (one,) = nc.of_data(labels, "abcd", fair, 0, ["code"])
    assert (one.code, one.issue) == ("EVD015", True)
    assert one.found.startswith("'code' alone tells the label")
    (many,) = nc.of_data(labels, "abcd", fair, 0, list("uvwxyz"))
    assert many.found.startswith("'u', 'v', 'w', 'x' and 'y' and others alone each tell")


def test_members_alike():
    table = pd.DataFrame({"arm": ["ensemble", "mc_dropout"], "disagreement_over_error": [0.5, 0.01]})
    assert nc.of_members(table) == []
    assert codes(nc.of_members(table.assign(disagreement_over_error=0.05))) == ["EVD007"]


def test_test_examples_in_the_training_data_are_counted(blobs):
    x, y = blobs(examples=20)
    new = x + 1
    assert Dataset("mine", x, y, x, y, new, y, ("a", "b", "c")).test_in_train == 0
    new[[3, 7]] = x[[5, 5]]
    assert Dataset("mine", x, y, x, y, new, y, ("a", "b", "c")).test_in_train == 2


def test_two_zeros_are_one_number_and_texts_of_two_inputs_do_not_run_together():
    y = np.array([0, 1])
    x, same = np.array([[[0.0, 1.0]], [[0.0, 2.0]]]), np.array([[[-0.0, 1.0]], [[-0.0, 3.0]]])
    assert Dataset("mine", x, y, x, y, same, y, ("a", "b")).test_in_train == 1
    one, other = (
        table({"a": np.array([a, b"x"]), "b": np.array([b, b"x"])}) for a, b in ((b"ab", b"c"), (b"a", b"bc"))
    )
    assert Dataset("mine", one, y, one, y, other, y, ("a", "b")).test_in_train == 1


def test_a_class_that_nobody_predicts_right_is_an_issue():
    labels = np.repeat([0, 1, 2], [20, 6, 4])
    always = np.tile([0.8, 0.1, 0.1], (30, 1))
    better = np.where((labels == 1)[:, None], [0.1, 0.8, 0.1], always)
    arms = {"single": Predictions(always[None]), "ensemble": Predictions(better[None])}
    (check,) = nc.of_classes(confusions(arms, labels, ["no", "may be", "yes"]).table)
    assert (check.code, check.issue) == ("EVD014", True)
    assert (
        "'may be' (6 test examples) by single network." in check.found
    )  # and of four examples of a class nothing is said
    assert "'yes'" not in check.found
    (both,) = nc.of_classes(confusions({"single": arms["single"]}, labels, ["no", "may be", "yes"]).table)
    assert "'may be' (6 test examples) by any arm." in both.found
    assert nc.of_classes(confusions({"ensemble": arms["ensemble"]}, labels, ["no", "may be", "yes"]).table) == []
