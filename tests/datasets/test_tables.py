import shlex

import numpy as np
import pandas as pd
import psutil
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.datasets import load_dataset
from ensemble_vs_dropout.datasets.tables import read_table

ROWS = 100


def frame(rows=ROWS):
    generator = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": generator.normal(40, 9, rows),
            "town": generator.choice(["Bonn", "Köln", "Aachen"], rows),
            "member": generator.random(rows) < 0.5,
            "visits": generator.integers(0, 9, rows),
            "kind": np.array(["x", "y"])[np.arange(rows) % 2],
        }
    )


def write(table, path):
    table.to_csv(path, index=False) if path.suffix == ".csv" else table.to_parquet(path)
    return path


@pytest.mark.parametrize("file", ["a.csv", "a.parquet", "A.CSV"])
def test_a_table_becomes_a_data_set(tmp_path, file):
    path = write(frame(), tmp_path / file) if file != "A.CSV" else tmp_path / file
    if file == "A.CSV":
        frame().to_csv(path, index=False)
    data = load_dataset(path, target="kind")
    assert data.sizes == {"train": 72, "val": 8, "test": 20}
    assert data.classes == ("x", "y")
    assert data.x_train.shape == (72, 2 + 3 + 2)
    assert data.x_train.dtype == np.float32
    np.testing.assert_allclose(data.x_train[:, :2].mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(data.x_train[:, :2].std(axis=0), 1, rtol=1e-5)
    assert (data.x_test[:, 2:5].sum(axis=1) == 1).all()
    assert np.bincount(data.y_test).tolist() == [10, 10]
    assert data.source == str(path)
    assert "2 columns of categories became 5 one-hot features: town, member" in data.notes


def test_csv_and_parquet_agree(tmp_path):
    one = load_dataset(write(frame(), tmp_path / "a.csv"), target="kind", seed=2, train_size=30)
    other = load_dataset(write(frame(), tmp_path / "a.parquet"), target="kind", seed=2, train_size=30)
    np.testing.assert_allclose(one.x_train, other.x_train, rtol=1e-6)
    np.testing.assert_array_equal(one.y_test, other.y_test)


def test_nothing_is_learnt_from_rows_outside_train(tmp_path):
    table = frame()
    write(table, tmp_path / "a.csv")
    for seed in range(3):
        base = load_dataset(tmp_path / "a.csv", target="kind", train_size=40, seed=seed)
        test = np.flatnonzero(~np.isin(np.arange(ROWS), _train_and_val_rows(tmp_path, table, seed)))
        assert len(test) == 20
        changed = table.copy()
        changed.loc[test, "age"] = 1e6
        changed.loc[test, "town"] = "Paris"
        other = load_dataset(write(changed, tmp_path / "b.csv"), target="kind", train_size=40, seed=seed)
        np.testing.assert_array_equal(base.x_train, other.x_train)
        np.testing.assert_array_equal(base.x_val, other.x_val)
        assert not np.array_equal(base.x_test, other.x_test)
        assert any("20 values of column 'town' in test are categories" in note for note in other.notes)


def _train_and_val_rows(tmp_path, table, seed):
    """The rows of train and val, found by marking each row with its number in an npz split the same way."""
    np.savez(tmp_path / "trace.npz", x=np.arange(ROWS).reshape(-1, 1, 1) * 1.0, y=table["kind"].to_numpy(str))
    data = load_dataset(tmp_path / "trace.npz", seed=seed)
    return np.concatenate([data.x_train, data.x_val]).ravel().astype(int)


def test_target_must_be_a_column(tmp_path):
    path = write(frame(), tmp_path / "a.csv")
    with pytest.raises(InputError, match=r"target \(--target\) must name the column .* its columns: age, town, member"):
        load_dataset(path)
    with pytest.raises(InputError, match=r"got 'kin' \(did you mean 'kind'\?\); its columns: age"):
        load_dataset(path, target="kin")
    with pytest.raises(InputError, match="must have a feature beside the target 'kind'"):
        load_dataset(write(frame()[["kind"]], tmp_path / "b.csv"), target="kind")


def test_continuous_and_missing_targets(tmp_path):
    path = write(frame(), tmp_path / "a.csv")
    with pytest.raises(InputError, match="column 'age' must hold classes, got continuous values"):
        load_dataset(path, target="age")
    table = frame()
    table.loc[[3, 5], "kind"] = None
    for file in ("b.csv", "b.parquet"):
        with pytest.raises(InputError, match="must have a label in every row, got none in rows 4, 6 of column 'kind'"):
            load_dataset(write(table, tmp_path / file), target="kind")
    with pytest.raises(InputError, match=r"got none in rows 4, 6 of .*The rest is taken with --missing median$"):
        load_dataset(tmp_path / "b.csv", target="kind")
    for missing in ("drop", "median", "most_frequent"):  # as it says
        assert sum(load_dataset(tmp_path / "b.csv", target="kind", missing=missing).sizes.values()) == ROWS - 2
    nothing = write(frame().assign(kind=None), tmp_path / "none.csv")
    with pytest.raises(InputError, match=r"column 'kind' of .* must hold the labels, got none in any row"):
        load_dataset(nothing, target="kind", missing="median")
    assert (
        "2 of 100 rows left out, for they have no label"
        in load_dataset(tmp_path / "b.csv", target="kind", missing="median").notes
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n\n", "cannot be read as comma-separated utf-8 text"),
        (b"a,b\n", "at least one row of data"),
        (b"a,a,b\n1,2,x\n", "different names, got 'a' more than once"),
        (b"a, a,b\n1,2,x\n", "different names, got 'a' more than once"),
        (b",a,b\n0,1,x\n1,2,y\n", "column 1 has none"),
        (b"a;b\n1;x\n2;y\n", "must be separated by commas, its first line is 'a;b'"),
        (b"a,b\n1,2\n3,4,5,6\n", "cannot be read as comma-separated.*write it as a csv again"),
        (b"a,b\n1,2,3\n3,4,5\n", "cannot be read as comma-separated"),
        (b"PK\x00\x03\xff\xfe", "its content is binary"),
        ("größe,b\n1,x\n".encode("latin-1"), "utf-8"),
    ],
)
def test_files_that_are_no_csv(tmp_path, content, message):
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        load_dataset(path, target="b")
    assert "\n" not in str(caught.value)


def test_a_byte_order_mark_and_quotes_are_read(tmp_path):
    path = tmp_path / "a.csv"
    rows = "".join(f'{i},"no, {i % 2}"\n' for i in range(0, 40, 2)) + "".join(f'{i},"yes"\n' for i in range(20))
    path.write_bytes(("a,b\n" + rows).encode("utf-8-sig"))
    assert load_dataset(path, target="b").classes == ("no, 0", "yes")


def test_files_that_are_no_parquet(tmp_path):
    path = tmp_path / "a.parquet"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="cannot be read as parquet"):
        load_dataset(path, target="b")
    write(frame(), path)
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(InputError, match="cannot be read as parquet"):
        load_dataset(path, target="b")
    write(frame().iloc[:0], path)
    with pytest.raises(InputError, match="at least one row"):
        load_dataset(path, target="kind")


def test_double_columns_in_parquet(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table([[1, 2], [3, 4]], names=["a", "a"]), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"'a'|cannot be read as parquet"):
        load_dataset(tmp_path / "a.parquet", target="a")


def test_a_named_index_is_a_column(tmp_path):
    path = tmp_path / "a.parquet"
    frame().set_index("kind").to_parquet(path)
    assert load_dataset(path, target="kind").classes == ("x", "y")


def test_too_few_rows_of_a_class(tmp_path):
    table = frame(20)
    table.loc[:1, "kind"] = "z"
    with pytest.raises(InputError, match=r"column 'kind' must have at least 3 examples .* got 2 of class 'z'"):
        load_dataset(write(table, tmp_path / "a.csv"), target="kind")


def holed(tmp_path):
    table = frame()
    table.loc[[3, 7], "age"] = np.nan
    table.loc[7, "town"] = None
    return write(table, tmp_path / "holed.csv")


def test_columns_and_rows_can_be_left_out(tmp_path):
    path = holed(tmp_path)
    data = load_dataset(path, target="kind", drop=["town", "visits"], missing="drop")
    assert sum(data.sizes.values()) == ROWS - 2
    assert data.x_train.shape[1] == 1 + 2
    assert data.notes[:2] == ("columns left out: town, visits", "2 of 100 rows with missing values left out")
    whole = load_dataset(path, target="kind", drop=["age", "town"])
    assert whole.sizes["train"] == 72


@pytest.mark.parametrize("missing", ["median", "most_frequent"])
def test_missing_values_can_be_filled_in(tmp_path, missing):
    data = load_dataset(holed(tmp_path), target="kind", missing=missing)
    assert data.sizes == {"train": 72, "val": 8, "test": 20}
    assert np.isfinite(data.x_train).all()
    assert any("missing values of column 'age' became the" in note for note in data.notes)


def test_what_is_wrong_with_drop_and_missing_is_told(tmp_path):
    path = holed(tmp_path)
    with pytest.raises(InputError, match=r"missing \(--missing\) can be 'drop', 'median' or 'most_frequent'"):
        load_dataset(path, target="kind")
    with pytest.raises(InputError, match=r"unknown column of .* to drop 'twon'"):
        load_dataset(path, target="kind", drop=["twon"])
    with pytest.raises(InputError, match="drop must not name the target"):
        load_dataset(path, target="kind", drop=["kind"])
    with pytest.raises(InputError, match="drop must be a list of columns, got 'town'"):
        load_dataset(path, target="kind", drop="town")
    with pytest.raises(InputError, match="no other column after drop"):
        load_dataset(path, target="kind", drop=["age", "town", "member", "visits"])
    with pytest.raises(InputError, match="unknown missing 'mean'"):
        load_dataset(path, target="kind", missing="mean")
    with pytest.raises(InputError, match="drop is of the columns of a csv or parquet file, and 'digits' is none"):
        load_dataset("digits", drop=["age"])
    empty = write(frame().assign(age=np.nan), tmp_path / "empty.csv")
    with pytest.raises(InputError, match="leaves no row"):
        load_dataset(empty, target="kind", missing="drop")


@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        ({}, "--drop id,'since when',never,huge --missing median"),
        ({"missing": "median"}, "--drop id,'since when',never,huge --missing median"),
        (
            {"missing": "drop", "drop": ["never"]},
            "--drop never,id,'since when' --missing drop",
        ),  # the rows with holes had the huge one
        ({"drop": ["id", "huge", "never"]}, "--drop id,huge,never,'since when' --missing median"),
        ({"drop": ["id", "huge", "never", "since when"]}, "--drop id,huge,never,'since when' --missing median"),
    ],
)
def test_the_refusal_names_the_options_with_which_the_rest_is_taken(tmp_path, given, remedy):
    table = pd.read_csv(holed(tmp_path)).assign(
        id=[f"u{number}" for number in range(ROWS)], never=None, huge=np.where(np.arange(ROWS) == 3, 1e300, 1.0)
    )
    table["since when"] = pd.to_timedelta(np.arange(ROWS), unit="D")
    table = table[["id", "since when", "never", "huge", "age", "town", "kind"]]
    path = write(table.astype({"never": object}), tmp_path / "bad.parquet")
    with pytest.raises(InputError) as told:
        load_dataset(path, target="kind", **given)
    _, said, options = str(told.value).partition(". The rest is taken with ")
    assert said
    assert shlex.split(options) == shlex.split(remedy)
    drop, *missing = options.split(" --missing ")
    names, missing = shlex.split(drop)[1].split(","), (missing or [given.get("missing", "refuse")])[0]
    data = load_dataset(path, target="kind", drop=names, missing=missing)  # and so it is
    assert data.x_train.shape[1] == 1 + 3 + ("huge" not in names)


def test_no_options_are_named_where_nothing_would_be_left(tmp_path):
    table = pd.DataFrame({"id": [f"u{number}" for number in range(ROWS)], "kind": ["x", "y"] * 50})
    with pytest.raises(InputError, match=r"group its values into at most 100$"):
        load_dataset(write(table, tmp_path / "bad.csv"), target="kind")


def test_a_parquet_that_does_not_fit_in_memory_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = tmp_path / "zeros.parquet"
    pd.DataFrame({"a": np.zeros(10**5), "y": 0}).to_parquet(path)
    free = psutil.virtual_memory()._replace(available=10**6)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    with pytest.raises(InputError, match=r"zeros\.parquet takes 0\.0 GB of memory"):
        read_table(path)
