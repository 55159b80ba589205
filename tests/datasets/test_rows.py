import numpy as np
import pandas as pd
import pytest

from ensemble_vs_dropout import InputError, load_dataset
from ensemble_vs_dropout.datasets import rows
from ensemble_vs_dropout.datasets.rows import Rows
from ensemble_vs_dropout.types import Column, Encoding


def people(number=60):
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": rng.integers(18, 80, number),
            "income": [f"{value:,}" for value in rng.integers(1, 9, number) * 1000 + 250],
            "since": pd.date_range("2001-01-01", periods=number, freq="97D").strftime("%Y-%m-%d"),
            "town, district": rng.choice(["Rome", "Oslo, north", "Bern"], number),
            "member": rng.choice([True, False], number),
            "label": rng.choice(["no", "yes"], number),
        }
    )


def encoded(encoding, part):
    """What a network takes, made of raw rows the slow way: one column after the other."""
    numbers = (part["numbers"] - encoding.mean) / np.where(encoding.deviation == 0, np.inf, encoding.deviation)
    categorical = [column for column in encoding.columns if not column.numeric]
    of_text = [part["categories"][:, [k]] == np.array(c.categories, object) for k, c in enumerate(categorical)]
    return np.concatenate([numbers, *of_text], axis=1).astype(np.float32)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_the_rows_that_were_tested_on_are_read_as_they_were_encoded(tmp_path, suffix, monkeypatch):
    monkeypatch.setattr(rows, "ROWS", 7)
    frame, path = people(), tmp_path / f"people{suffix}"
    frame.to_csv(path, index=False) if suffix == ".csv" else frame.to_parquet(path)
    data = load_dataset(path, target="label", seed=3)
    assert [column.kind for column in data.encoding.columns] == ["number", "thousands", "date", "text", "bool"]
    parts = [*Rows(path, data.encoding, data.input_shape, "float32")]
    assert len(parts) == 9
    together = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    found = encoded(data.encoding, together)
    ours = {tuple(row) for row in np.concatenate([data.x_train, data.x_val, data.x_test]).round(5)}
    assert {tuple(row) for row in found.round(5)} == ours


def table(tmp_path, **columns):
    path = tmp_path / "new.csv"
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


TWO = Encoding((Column("a", "number"), Column("c", "text", ("u", "v"))), np.array([0.0]), np.array([1.0]))


def test_columns_may_come_in_another_order_and_among_others(tmp_path):
    path = table(tmp_path, more=["x", "y"], c=["v", "w"], label=[1, 2], a=[2, 1])
    new = Rows(path, TWO, (3,), "float32")
    (part,) = new
    assert part["numbers"].tolist() == [[2], [1]]
    assert part["categories"].tolist() == [["v"], ["w"]]
    assert new.unseen == {"c": 1}


def test_what_is_missing_is_filled_in_as_in_training(tmp_path):
    filling = Encoding((Column("a", "number", fill=7.0), Column("c", "text", ("u", "v"), "v")), TWO.mean, TWO.deviation)
    (part,) = Rows(table(tmp_path, a=[None, 1], c=["u", None]), filling, (3,), "float32")
    assert part["numbers"].tolist() == [[7], [1]]
    assert part["categories"].tolist() == [["u"], ["v"]]


def test_a_category_that_looks_like_a_number_stays_what_it_is(tmp_path):
    codes = Encoding((Column("code", "text", ("007", "7", "x")),), None, None)
    (part,) = Rows(table(tmp_path, code=["007", "7"]), codes, (3,), "float32")
    assert part["categories"].tolist() == [["007"], ["7"]]


def test_bools_are_read_as_pandas_reads_them(tmp_path):
    flag = Encoding((Column("f", "bool", ("False", "True")),), None, None)
    new = Rows(table(tmp_path, f=["TRUE", "false", "True"]), flag, (2,), "float32")
    assert next(iter(new))["categories"].ravel().tolist() == ["True", "False", "True"]
    assert new.unseen == {"f": 0}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": [1]}, r"it lacks 'c'; its columns: a"),
        ({"a": ["1", "?"], "c": ["u", "u"]}, r"column 'a' of .* must hold finite numbers, got '\?' in row 2"),
        ({"a": ["1", "1e99"], "c": ["u", "u"]}, r"got '1e99' in row 2"),
        ({"a": ["1", "1,200"], "c": ["u", "u"]}, r"got '1,200' in row 2"),
        ({"a": [1, None], "c": ["u", "u"]}, r"column 'a' of .* must have a value in every row, got none in row 2"),
        ({"a": [1, 2], "c": ["u", None]}, r"column 'c' of .* got none in row 2; give one, or train with missing"),
        ({"a": [], "c": []}, "must have at least one row of data"),
    ],
)
def test_what_cannot_be_predicted_is_refused(tmp_path, columns, message, monkeypatch):
    monkeypatch.setattr(rows, "ROWS", 1)
    with pytest.raises(InputError, match=message):
        [*Rows(table(tmp_path, **columns), TWO, (3,), "float32")]


def test_arrays_are_of_the_shape_and_the_type_of_training(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "ROWS", 4)
    images = np.arange(40, dtype=np.uint8).reshape(10, 2, 2)
    for path in (tmp_path / "x.npy", tmp_path / "x.npz"):
        np.save(path, images) if path.suffix == ".npy" else np.savez(path, x_test=images, y_test=np.zeros(10))
        parts = [part["x"] for part in Rows(path, Encoding(), (2, 2), "uint8")]
        assert [len(part) for part in parts] == [4, 4, 2]
        np.testing.assert_array_equal(np.concatenate(parts), images)
        with pytest.raises(InputError, match=r"must hold examples of shape \(3, 3\), got an array of \(10, 2, 2\)"):
            [*Rows(path, Encoding(), (3, 3), "uint8")]
    np.save(tmp_path / "x.npy", images.astype(float))
    with pytest.raises(InputError, match="must hold uint8, as the networks were trained on it, got float64"):
        [*Rows(tmp_path / "x.npy", Encoding(), (2, 2), "uint8")]
    np.save(tmp_path / "x.npy", np.array([{}], object))
    with pytest.raises(InputError, match="cannot be read as an array"):
        [*Rows(tmp_path / "x.npy", Encoding(), (2, 2), "uint8")]


def test_another_kind_of_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"were trained on a table, so data must end in \.csv or \.parquet"):
        Rows(tmp_path / "x.npz", TWO, (3,), "float32")
    with pytest.raises(InputError, match=r"were trained on arrays, so data must end in \.npz or \.npy"):
        Rows(tmp_path / "x.csv", Encoding(), (3,), "float32")
    with pytest.raises(InputError, match="does not exist"):
        Rows(tmp_path / "x.csv", TWO, (3,), "float32")


def test_what_is_filled_in_is_counted(tmp_path):
    filling = Encoding((Column("a", "number", fill=7.0), Column("c", "text", ("u", "v"), "v")), TWO.mean, TWO.deviation)
    new = Rows(table(tmp_path, a=[None, 1, None], c=["u", None, "u"]), filling, (3,), "float32")
    assert new.filled == {}
    next(iter(new))
    assert new.filled == {"a": 2, "c": 1}


def test_another_separator_is_told(tmp_path):
    path = tmp_path / "new.csv"
    path.write_text("a;c\n1;u\n")
    with pytest.raises(InputError, match="must be separated by commas, its first line is 'a;c'"):
        [*Rows(path, TWO, (3,), "float32")]
    path.write_text("a;b,more;c\n1;2,5;u\n")  # numbers with decimal commas
    with pytest.raises(InputError, match="must be separated by commas, its first line is 'a;b,more;c'"):
        [*Rows(path, TWO, (3,), "float32")]


def test_a_column_that_pandas_kept_as_the_index_is_a_column(tmp_path):
    frame = people().set_index("age")
    frame.to_parquet(tmp_path / "trained.parquet")
    encoding = load_dataset(tmp_path / "trained.parquet", target="label").encoding
    assert "age" in [column.name for column in encoding.columns]
    other = frame.set_index(pd.Index([f"row {number}" for number in range(len(frame))], name="name"), append=True)
    other.to_parquet(tmp_path / "new.parquet")
    (part,) = Rows(tmp_path / "new.parquet", encoding, (1,), "float32")
    place = [column.name for column in encoding.numbers].index("age")
    np.testing.assert_array_equal(part["numbers"][:, place], frame.index)
    other.iloc[2:3].assign(income="?").to_parquet(tmp_path / "new.parquet")
    with pytest.raises(InputError, match=r"got '\?' in row 1"):
        [*Rows(tmp_path / "new.parquet", encoding, (1,), "float32")]


def test_no_examples_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((0, 3)))
    with pytest.raises(InputError, match="must have at least one row of data, got none"):
        [*Rows(tmp_path / "x.npy", Encoding(), (3,), "float32")]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_columns_can_be_kept_to_tell_rows_apart(tmp_path, suffix, monkeypatch):
    monkeypatch.setattr(rows, "ROWS", 2)
    frame = pd.DataFrame({"id": ["u1", None, "NA", "=3"], "c": ["u", "v", "u", "v"], "a": [1, 2, 3, 4]})
    frame["long"] = pd.array([2**53 + 1, None, 7, 8], dtype="Int64")
    path = tmp_path / f"new{suffix}"
    frame.to_csv(path, index=False) if suffix == ".csv" else frame.to_parquet(path)
    new = Rows(path, TWO, (3,), "float32", keep=["id", "a", "long", "id"])
    found = [(part["numbers"].ravel().tolist(), new.kept) for part in new]
    assert found == [
        ([1.0, 2.0], [["u1", ""], ["1", "2"], ["9007199254740993", ""]]),
        ([3.0, 4.0], [["NA", "=3"], ["3", "4"], ["7", "8"]]),
    ]
    with pytest.raises(InputError, match=r"unknown column of .* to keep 'ids' \(did you mean 'id'\?\)"):
        list(Rows(path, TWO, (3,), "float32", keep=["ids"]))
    with pytest.raises(InputError, match="keep is of the columns of a table"):
        Rows(tmp_path / "x.npy", Encoding(), (3,), "float32", keep=["id"])


def test_kept_columns_of_parquet_may_hold_anything(tmp_path):
    frame = pd.DataFrame({"c": ["u", "v"], "a": [1, 2], "lists": [[1, 2], [3]], "raw": [b"ab", b"\xff"]})
    frame.to_parquet(tmp_path / "new.parquet")
    new = Rows(tmp_path / "new.parquet", TWO, (3,), "float32", keep=["lists", "raw"])
    list(new)
    assert new.kept == [["[1, 2]", "[3]"], ["ab", "\\xff"]]
