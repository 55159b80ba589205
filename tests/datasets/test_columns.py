from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.datasets.columns import Columns, check_columns, encode_columns

PATH = Path("table.csv")


def check(**columns):
    return check_columns(PATH, pd.DataFrame(columns))


def test_kinds_of_columns():
    columns = check(
        whole=[1, 2],
        real=[0.5, 1.5],
        text=["a", "b"],
        flag=[True, False],
        nullable=pd.array([1, 2], dtype="Int64"),
        maybe=pd.array([True, False], dtype="boolean"),
        category=pd.Categorical(["u", "v"]),
        old_text=pd.Series(["a", "b"], dtype=object),
        old_flag=pd.Series([True, False], dtype=object),
    )
    assert columns.numeric == ("whole", "real", "nullable")
    assert columns.categorical == ("text", "flag", "maybe", "category", "old_text", "old_flag")


@pytest.mark.parametrize(
    "column",
    [
        pd.to_timedelta([1, 2]),
        pd.period_range("2020-01", periods=2, freq="M"),
        [[1], [2]],
        [1j, 2j],
        pd.Series([1, "a"], dtype=object),
    ],
)
def test_other_columns_are_refused(column):
    with pytest.raises(InputError, match=r"column 'c' of table.csv must hold numbers, text or bools, got"):
        check(c=column)


def test_missing_values_are_counted_by_column():
    with pytest.raises(InputError, match=r"missing ones in column 'a' \(1\), column 'b' \(2\); drop those rows"):
        check(a=[1.0, None, 2.0], b=["u", None, None], c=[1, 2, 3])


def test_all_that_is_wrong_is_told_at_once():
    with pytest.raises(InputError) as told:
        check(a=[1.0, None], b=[np.inf, 1.0], c=pd.to_timedelta([1, 2]), d=["u", "v"])
    parts = str(told.value).split(". Also, ")
    assert [part.split(",")[0].split(" got")[0] for part in parts] == [
        "table.csv must have a value in every field",
        "column 'c' of table.csv must hold numbers",
        "table.csv must hold numbers that are finite and fit float32",
    ]
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("value", "like"),
    [
        ("${:,}.50", "numbers with a unit or a decimal comma; write them as plain numbers, or drop the column"),
        ("{} km", "numbers with a unit or a decimal comma; write them as plain numbers, or drop the column"),
        ("{}.3.2024", "dates; write them as 2026-01-31, or drop the column"),
        ("user{}", None),
    ],
)
def test_a_column_of_too_many_texts_says_what_they_look_like(value, like):
    texts = [value.format(number) for number in range(12, 28)]
    with pytest.raises(InputError) as told:
        check(c=texts)
    said = str(told.value)
    assert f"got 16 different texts in 16 rows, such as {texts[0]!r}" in said
    assert (f"which look like {like}" if like else "like an identifier; drop it") in said


def test_a_column_of_one_category_is_noted():
    frame = pd.DataFrame({"c": ["u"] * 4, "d": ["u", "v"] * 2})
    _, notes, _ = encode(frame, (), ("c", "d"), train=[0, 1], val=[2], test=[3])
    assert notes[-1] == "column 'c' has one value in training, 'u', and says nothing"


def test_missing_values_are_filled_in_by_what_training_knows():
    frame = pd.DataFrame({"n": [1.0, np.nan, 3.0, 5.0, np.nan], "c": ["u", "v", "v", None, "u"]})
    columns = check_columns(PATH, frame, "median")
    rows = {"train": np.array([0, 1, 2]), "val": np.array([3]), "test": np.array([4])}
    parts, notes, _ = encode_columns(frame, columns, rows, "median")
    whole, *_ = encode_columns(frame.fillna({"n": 2.0, "c": "v"}), columns, rows)
    for part in rows:
        np.testing.assert_array_equal(parts[part], whole[part])
    assert notes[:2] == [
        "2 missing values of column 'n' became the median in training, 2.0",
        "1 missing value of column 'c' became the most frequent value in training, v",
    ]
    most, *_ = encode_columns(frame, columns, rows, "most_frequent")
    np.testing.assert_array_equal(
        most["train"][:, 0], encode_columns(frame.fillna({"n": 1.0, "c": "v"}), columns, rows)[0]["train"][:, 0]
    )


@pytest.mark.parametrize("missing", ["median", "most_frequent"])
def test_missing_values_of_any_kind_of_column_are_filled_in(missing):
    frame = pd.DataFrame(
        {
            "whole": pd.array([1, None, 4, 2], dtype="Int64"),
            "flag": pd.array([True, None, False, True], dtype="boolean"),
            "kind": pd.Categorical(["u", None, "v", "v"]),
            "old": pd.Series(["a", None, "a", "b"], dtype=object),
        }
    )
    columns = check_columns(PATH, frame, missing)
    parts, notes, _ = encode_columns(
        frame, columns, {"train": np.array([0, 1, 2]), "val": np.array([3]), "test": np.array([1])}, missing
    )
    assert np.isfinite(np.concatenate([*parts.values()])).all()
    assert len([note for note in notes if "missing value" in note]) == 4


def test_what_cannot_be_filled_in_is_refused():
    with pytest.raises(InputError, match="got none in 'a'; drop it"):
        check_columns(PATH, pd.DataFrame({"a": [None, None], "b": [1.0, None]}), "median")
    frame = pd.DataFrame({"n": [np.nan, 1.0, 2.0]})
    with pytest.raises(InputError, match="column 'n' has no value in the training part"):
        encode_columns(frame, Columns(("n",), ()), {"train": np.array([0]), "val": np.array([1])}, "median")


def test_infinite_values_are_counted_by_column():
    with pytest.raises(InputError, match=r"column 'a' \(1\), column 'b' \(1\)"):
        check(a=[1.0, np.inf], b=[1e300, 1.0], c=[1, 2])


def test_identifiers_are_refused():
    with pytest.raises(
        InputError, match=r"column 'id' .* got 30 different texts in 30 rows, such as 'user0', like an identifier; drop"
    ):
        check(id=[f"user{i}" for i in range(30)])
    with pytest.raises(InputError, match="101 different texts in 1010 rows"):
        check(code=[f"c{i % 101}" for i in range(1010)])
    assert check(code=[f"c{i % 100}" for i in range(1000)]).categorical == ("code",)
    assert check(few=["a", "b", "c"]).categorical == ("few",)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([*map(str, range(30)), "?"], r"must hold numbers, as most of it does, got '\?' in row 31; mend it"),
        (["12 %", *map(str, range(30)), "?"], r"must hold numbers, .* got '12 %' in row 1 and 1 more; mend them"),
        ([*(f"{k},250" for k in range(1, 30)), "1,2"], r"must hold numbers, as most of it does, got '1,2' in row 30"),
        ([f"2020-01-{k:02}" for k in range(1, 30)] + ["31/12/2020"], r"must hold dates, .* got '31/12/2020' in row 30"),
    ],
)
def test_a_column_that_is_nearly_numbers_or_dates_names_what_is_none(column, message):
    with pytest.raises(InputError, match=rf"column 'dirty' of table.csv {message}"):
        check(dirty=column)


def encode(frame, numeric=(), categorical=(), **rows):
    return encode_columns(frame, Columns(numeric, categorical), {part: np.array(i) for part, i in rows.items()})


def test_numbers_come_first_and_categories_after():
    frame = pd.DataFrame({"c": ["u", "v", "u", "v"], "n": [1.0, 3.0, 5.0, 9.0]})
    parts, notes, _ = encode(frame, ("n",), ("c",), train=[0, 1], val=[2], test=[3])
    assert parts["train"].tolist() == [[-1, 1, 0], [1, 0, 1]]
    assert parts["val"].tolist() == [[3, 1, 0]]
    assert parts["test"].dtype == np.float32
    assert notes[-1] == "1 column of categories became 2 one-hot features: c"


def test_unseen_categories_are_zeros_and_noted():
    frame = pd.DataFrame({"c": ["u", "v", "w", "w", "u"]})
    parts, notes, _ = encode(frame, (), ("c",), train=[0, 1], val=[4], test=[2, 3])
    assert parts["test"].tolist() == [[0, 0], [0, 0]]
    assert notes[-1].startswith("2 values of column 'c' in test are categories that training never saw")
    assert len(notes) == 2


def test_a_row_counter_is_noted():
    frame = pd.DataFrame({"id": np.arange(1, 6), "n": [1, 5, 2, 4, 4]})
    _, notes, _ = encode(frame, ("id", "n"), train=[0, 1, 2], test=[3, 4])
    assert notes[0] == "column 'id' goes up by one from row to row: drop it if it only counts the rows"
    assert not any("'n'" in note for note in notes)


def test_holes_of_a_column_of_any_name_are_filled_in():
    holed = pd.DataFrame({"self": [1.0, np.nan, 3.0, 4.0]})
    rows = {"train": np.array([0, 2]), "val": np.array([1]), "test": np.array([3])}
    parts, _, _ = encode_columns(holed, check_columns(PATH, holed, "median"), rows, "median")
    assert np.isfinite(parts["val"]).all()


def test_long_texts_are_cut():
    with pytest.raises(InputError) as told:
        check(c=[f"{number} {'x' * 10_000}" for number in range(20)])
    assert len(str(told.value)) < 400
