"""What the texts of a column are read as, and what is told of those that were hardly meant as categories."""

import numpy as np
import pandas as pd
import pytest

from ensemble_vs_dropout.datasets.kinds import read_columns


@pytest.mark.parametrize(
    ("column", "numbers", "what"),
    [
        (["1,234", "56", "-1,234,567.5"], [1234, 56, -1234567.5], "numbers with commas between thousands"),
        (["1970-01-02", None, "1971-01-01"], [1, np.nan, 365], "dates from 1970-01-02 to 1971-01-01, read as days"),
        (["1970-01-01 12:00", "1970-01-03T00:00:00"], [0.5, 2], "dates from 1970-01-01 to 1970-01-03, read as days"),
        (pd.to_datetime(["1970-01-11", "1970-01-10"]), [10, 9], "dates from 1970-01-10 to 1970-01-11, read as days"),
        (pd.to_datetime(["1970-01-01T01:00+01:00"]), [0], "dates from 1970-01-01 to 1970-01-01, read as days"),
    ],
)
def test_dates_and_numbers_with_commas_are_numbers(column, numbers, what):
    frame, notes, kinds = read_columns(pd.DataFrame({"a": 1.0, "c": column}))
    np.testing.assert_allclose(frame.c.astype(float), numbers)
    assert notes == [f"column 'c' holds {what}"]
    assert kinds == {"c": "thousands" if "thousands" in what else "date"}


@pytest.mark.parametrize(
    "column",
    [
        ["0,125", "1,250"],
        ["1,23", "4,56"],
        ["12", "13"],
        ["1970-13-01", "1970-01-01"],
        ["01/02/2020"],
        ["1,234 $"],
        [None],
    ],
)
def test_what_may_mean_something_else_stays_text(column):
    given = pd.DataFrame({"c": column})
    frame, notes, kinds = read_columns(given)
    assert frame is given
    assert notes == []
    assert kinds == {}


@pytest.mark.parametrize(
    ("values", "note"),
    [
        (
            [*map(str, range(20, 50)), "unknown", "33"],
            "column 'c' is numbers but for 1 of 32 values, such as 'unknown' in row 31, so that all of them become "
            "categories; mend these to have numbers",
        ),
        (
            [f"{number}%" for number in range(12)],
            "column 'c' looks like numbers with a unit or a decimal comma, such as '0%', and becomes "
            "categories; write them as plain numbers",
        ),
        (
            [f"{day}/02/2024" for day in range(1, 13)],
            "column 'c' looks like dates, such as '1/02/2024', and becomes categories; write them as 2026-01-31",
        ),
        (
            ["Gold", "gold ", "silver"] * 3,
            "column 'c' holds texts that differ in case or spaces alone, and count as different: 'Gold' and 'gold '",
        ),
        (["0", "1", "2", "3+"] * 5, None),  # few: categories indeed
        (["a1", "b2", "c3"] * 9, None),
    ],
)
def test_what_was_hardly_meant_as_categories_is_noted(values, note):
    _, notes, kinds = read_columns(pd.DataFrame({"c": values}))
    assert notes == ([note] if note else [])
    assert kinds == {}


def test_columns_may_have_any_name_and_numbers_any_size():
    big = pd.DataFrame({"self": ["1,000", "2,000"] * 5, "large": ["1,000,000,000,000,000,000,000,000", "5"] * 5})
    frame, notes, kinds = read_columns(big)
    assert kinds == {"self": "thousands", "large": "thousands"}
    assert frame["large"].max() == 1e24
    assert len(notes) == 2


def test_one_wrong_date_among_dates_is_named():
    dates = [f"2020-01-{day:02}" for day in range(1, 29)]
    _, (note,), _ = read_columns(pd.DataFrame({"c": [*dates, "2020-02-31"]}))
    assert note == (
        "column 'c' is dates but for 1 of 29 values, such as '2020-02-31' in row 29, so that all of them become "
        "categories; mend these to have dates"
    )
