import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.datasets.label_columns import read_class_numbers, read_labels


@pytest.mark.parametrize(
    ("raw", "kind", "values"),
    [
        (["a", "b"], "text", ["a", "b"]),
        (np.array(["a", "b"]), "text", ["a", "b"]),
        (np.array([b"a", b"b"]), "text", ["a", "b"]),
        (np.array(["a", "b"], dtype=np.dtypes.StringDType()), "text", ["a", "b"]),
        (pd.Series(["a", "b"]), "text", ["a", "b"]),
        (pd.Series(["a", "b"], dtype="category"), "text", ["a", "b"]),
        ([True, False], "bools", [True, False]),
        (pd.Series([True, False], dtype="boolean"), "bools", [True, False]),
        (np.array([0, 3], dtype=np.uint8), "whole numbers", [0, 3]),
        ([-1.0, 1.0], "whole numbers", [-1, 1]),
        (pd.Series([1, 2], dtype="Int64"), "whole numbers", [1, 2]),
        ([[4], [5]], "whole numbers", [4, 5]),
        (np.array([4, 5], dtype=object), "whole numbers", [4, 5]),
        (np.eye(3)[[2, 0]], "whole numbers", [2, 0]),
        (np.eye(3, dtype=bool)[[2, 0]], "whole numbers", [2, 0]),
        (pd.DataFrame(np.eye(3)[[2, 0]]).astype("Int64"), "whole numbers", [2, 0]),
        (scipy.sparse.csr_matrix(np.eye(3)[[2, 0]]), "whole numbers", [2, 0]),
    ],
)
def test_kinds_of_labels(raw, kind, values):
    column = read_labels("y", raw)
    assert (column.kind, column.values.tolist()) == (kind, values)


def test_one_hot_and_floats_are_noted():
    assert read_labels("y", np.eye(2)).notes == ("one-hot labels became the number of their column",)
    assert read_labels("y", [1.0, 2.0]).notes == ("labels were whole numbers held as floats",)


@pytest.mark.parametrize(
    ("raw", "missing"),
    [
        ([1.0, np.nan, np.inf], 2),
        (["a", None, "b"], 1),
        (["a", float("nan")], 1),
        (["a", "", "  "], 2),
        (np.array(["a", ""]), 1),
        (pd.Series([1, None, None], dtype="Int64"), 2),
        (pd.Series(["a", None]), 1),
        (np.ma.masked_equal([0, 1, 1], 1), 2),
        ([None, None], 2),
    ],
)
def test_missing_labels_are_counted(raw, missing):
    with pytest.raises(InputError, match=f"y_train must have a label for every example, got {missing} missing"):
        read_labels("y_train", raw)


@pytest.mark.parametrize("raw", [[0.5, 1.0], [1e300, 1.0], np.array([0.5, 1], dtype=object), [[0.5], [1.5]]])
def test_continuous_labels_are_refused(raw):
    with pytest.raises(InputError, match=r"continuous values such as .*this toolkit compares classifiers"):
        read_labels("y", raw)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ([[0.2, 0.8], [0.5, 0.5]], "of probabilities take the argmax first"),
        ([[1, 1], [0, 1]], "one-hot rows.*multi-label"),
        ([[0, 0], [0, 1]], "rows without a one"),
        ([[2, 1], [0, 1]], "with other rows"),
        (np.zeros((2, 2, 2)), r"shape \(examples,\), got \(2, 2, 2\)"),
        (3, r"shape \(examples,\), got \(\)"),
        ([], "at least one label"),
        ([[1, 2], [3]], "rows of different length"),
        (np.array(["2020-01-01"], dtype="datetime64[D]"), "got dtype datetime64"),
        (np.array([1, "a"], dtype=object), "of one kind .*got int and str"),
        ([1, "a"], "of one kind"),
        ([True, 1, "a"], "of one kind"),
        ([b"\xff", b"a"], "utf-8"),
        (np.array([2**64 - 1, 0], dtype=np.uint64), "as large as"),
        ([1j, 2j], "got dtype complex"),
    ],
)
def test_labels_that_are_none(raw, message):
    with pytest.raises(InputError, match=message):
        read_labels("y", raw)


@pytest.mark.parametrize("raw", [[0, 2, 1], [[0.0], [2.0], [1.0]], np.eye(3)[[0, 2, 1]]])
def test_numbers_of_classes_in_any_form(raw):
    numbers = read_class_numbers("y", raw, 3)
    assert (numbers.dtype, numbers.tolist()) == (np.int64, [0, 2, 1])


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (["0", "1"], "got text such as '0'; load_dataset numbers the classes"),
        ([0, 3], r"whole numbers 0\.\.2, as the model has 3 classes, got \[0, 3\]"),
        ([-1.0, 1.0], r"got \[-1, 1\]"),
        (np.eye(2), "one-hot rows of 3, as the model has 3 classes, got one-hot rows of 2"),
    ],
)
def test_labels_that_number_no_classes_are_refused(raw, message):
    with pytest.raises(InputError, match=message):
        read_class_numbers("y", raw, 3)
