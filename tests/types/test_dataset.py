import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.types import Dataset


def parts(**changes):
    rng = np.random.default_rng(0)
    given = {"name": "toy", "classes": ("cat", "dog", "owl")}
    for part, size in (("train", 9), ("val", 3), ("test", 6)):
        given |= {f"x_{part}": rng.random((size, 4)), f"y_{part}": np.arange(size) % 3}
    return given | changes


def test_a_dataset_tells_its_shape_and_sizes():
    dataset = Dataset(**parts())
    assert dataset.input_shape == (4,)
    assert dataset.sizes == {"train": 9, "val": 3, "test": 6}


def test_controls_in_what_comes_out_of_files_stand_as_escapes():
    dataset = Dataset(**parts(name="a\x1b[2J", classes=("cat\n", "d\u202eog", "owl")), source="\x07", notes=("a\x9b",))
    assert dataset.name == "a\\x1b[2J"
    assert dataset.classes == ("cat\\n", "d\\u202eog", "owl")
    assert (dataset.source, dataset.notes) == ("\\x07", ("a\\x9b",))


def test_a_class_whose_name_utf_8_cannot_hold_is_refused():
    with pytest.raises(InputError, match=r"the names of classes must be text that UTF-8 can hold, got 'do\\udc80g'"):
        Dataset(**parts(classes=("cat", "do\udc80g", "owl")))
    assert Dataset(**parts(name="file\udc80")).name == "file\\udc80"  # a name of a file is nobody's fault


@pytest.mark.parametrize("dtype", ["uint8", "float32", "int64", "bool"])
def test_features_keep_their_type(dtype):
    given = parts()
    dataset = Dataset(**given | {f"x_{part}": given[f"x_{part}"].astype(dtype) for part in ("train", "val", "test")})
    assert dataset.x_train.dtype == dtype


@pytest.mark.parametrize("part", ["train", "val", "test"])
@pytest.mark.parametrize(
    ("x", "y", "match"),
    [
        (np.zeros((0, 4)), np.zeros(0, dtype=int), "at least one example"),
        (np.full((3, 4), np.nan), np.arange(3), "must be finite, got 12 values"),
        (np.full((3, 4), -np.inf), np.arange(3), "must be finite"),
        (np.full((3, 4), "a"), np.arange(3), "must hold numbers"),
        (np.zeros((3, 4), dtype=complex), np.arange(3), "must hold numbers"),
        (np.zeros((3, 4)), np.arange(2), "one label for each of the 3 examples"),
        (np.zeros((3, 4)), np.eye(3, dtype=int), "one label for each"),
        (np.zeros((3, 4)), np.array([0, 1, 3]), r"whole numbers 0\.\.2"),
        (np.zeros((3, 4)), np.array([0, 1, -1]), r"whole numbers 0\.\.2"),
        (np.zeros((3, 4)), np.array([0.0, 1.0, 2.0]), r"whole numbers 0\.\.2"),
        (np.zeros((3, 4)), np.array(["cat", "dog", "owl"]), "from_arrays encodes"),
    ],
)
def test_a_part_that_cannot_be_trained_on_is_refused_by_name(part, x, y, match):
    with pytest.raises(InputError, match=match) as error:
        Dataset(**parts(**{f"x_{part}": x, f"y_{part}": y}))
    assert f"_{part} of 'toy'" in str(error.value)


@pytest.mark.parametrize("part", ["val", "test"])
def test_parts_of_other_shape_and_labels_that_training_never_saw_are_refused(part):
    with pytest.raises(InputError, match=rf"x_{part} of 'toy' must have examples of the shape of x_train's, \(4,\)"):
        Dataset(**parts(**{f"x_{part}": np.zeros((3, 5)), f"y_{part}": np.arange(3)}))
    unseen = {"y_train": np.arange(9) % 2, "y_val": np.arange(3) % 2, "y_test": np.arange(6) % 2}
    unseen[f"y_{part}"] = np.full_like(unseen[f"y_{part}"], 2)
    with pytest.raises(InputError, match=f"y_{part} of 'toy' holds the label 'owl', which training never saw"):
        Dataset(**parts(**unseen))


def test_one_class_in_training_is_refused():
    with pytest.raises(InputError, match="at least two classes, got only 'dog'"):
        Dataset(**parts(y_train=np.ones(9, dtype=int)))
