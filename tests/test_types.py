import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.types import Dataset, Predictions, check_pair, check_probabilities, check_weights


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


def test_predictions_tell_their_shape():
    predictions = Predictions(np.full((5, 4, 2), 0.5))
    assert (predictions.members, predictions.examples, predictions.classes) == (5, 4, 2)
    assert predictions.weights is None


@pytest.mark.parametrize("weights", [None, np.array([0.25, 0.75])])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_predictions_come_back_from_a_file_as_they_were(tmp_path, weights, dtype):
    probs = np.random.default_rng(0).dirichlet([1, 1, 1], (2, 7)).astype(dtype)
    Predictions(probs, weights, "two | networks, é").save(tmp_path / "p")
    back = Predictions.load(tmp_path / "p")
    assert back.probs.dtype == dtype
    np.testing.assert_array_equal(back.probs, probs)
    assert back.method == "two | networks, é"
    if weights is None:
        assert back.weights is None
    else:
        np.testing.assert_array_equal(back.weights, weights)


def write_pickle(path):
    np.savez(path.open("wb"), probs=np.array([{"a": 1}], dtype=object), method=np.array(""))


def write_without_probs(path):
    np.savez(path.open("wb"), method=np.array(""))


def write_truncated(path):
    Predictions(np.full((3, 4, 2), 0.5)).save(path)
    path.write_bytes(path.read_bytes()[:-30])


def write_changed(path):
    Predictions(np.full((3, 40, 2), 0.5)).save(path)
    data = bytearray(path.read_bytes())
    data[400] ^= 1
    path.write_bytes(bytes(data))


def write_text(path):
    path.write_text("hello")


def write_array(path):
    np.save(path.open("wb"), np.ones(3))


def write_nothing(path):
    path.write_bytes(b"")


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.parametrize(
    "write",
    [
        write_pickle,
        write_without_probs,
        write_truncated,
        write_changed,
        write_text,
        write_array,
        write_nothing,
    ],
)
def test_a_file_that_holds_no_predictions_is_refused_by_name(tmp_path, write):
    write(tmp_path / "p")
    with pytest.raises(InputError, match="does not hold saved predictions"):
        Predictions.load(tmp_path / "p")


def test_a_file_whose_values_are_no_probabilities_says_so(tmp_path):
    np.savez(tmp_path / "p.npz", probs=np.full((1, 2, 2), 3.0), method=np.array(""))
    with pytest.raises(InputError, match="apply softmax first"):
        Predictions.load(tmp_path / "p.npz")


def test_rounding_of_float16_and_float32_is_forgiven():
    probs = np.random.default_rng(0).dirichlet(np.ones(10), (2, 50))
    for dtype in ("float16", "float32"):
        assert check_probabilities(probs.astype(dtype)).dtype == dtype


def test_certain_votes_given_as_whole_numbers_are_probabilities():
    assert check_probabilities(np.eye(3, dtype=int)[None]).dtype == float


def test_the_worst_row_is_named():
    probs = np.full((2, 3, 2), 0.5)
    probs[0, 1] = [0.5, 0.6]
    probs[1, 2] = [0.5, 0.7]
    with pytest.raises(InputError, match=r"member 1, example 2 sums to 1.2, 0.2 too much"):
        check_probabilities(probs)
    probs[1, 0] = [0.1, 0.1]
    with pytest.raises(InputError, match=r"member 1, example 0 sums to 0.2, 0.8 too little"):
        check_probabilities(probs)


def test_logits_are_recognised_and_the_remedy_is_told():
    logits = np.random.default_rng(0).normal(size=(2, 3, 4)) * 3
    with pytest.raises(InputError, match=r"member \d, example \d holds .* look like logits: apply softmax first"):
        check_probabilities(logits)
    positive = np.full((1, 2, 2), 0.5)
    positive[0, 1] = [4.0, 2.0]
    with pytest.raises(InputError, match=r"member 0, example 1 holds 4; values from 0\.5 to 4 look like logits"):
        check_probabilities(positive)


def test_logarithms_of_probabilities_are_recognised():
    probs = np.random.default_rng(0).dirichlet([1, 1, 1], (2, 5))
    with pytest.raises(InputError, match="look like logarithms of probabilities; apply exp first"):
        check_probabilities(np.log(probs))


def test_pooled_probabilities_are_checked_like_those_of_members():
    with pytest.raises(InputError, match=r"example 1 sums to 0.9, 0.1 too little"):
        check_pair([[0.5, 0.5], [0.5, 0.4]], [0, 1])
    with pytest.raises(InputError, match="NaN or infinity at example 0"):
        check_pair([[np.nan, 0.5], [0.5, 0.5]], [0, 1])
    with pytest.raises(InputError, match=r"at least one example, got \(2, 2\) and \(3,\)"):
        check_pair([[0.5, 0.5], [0.5, 0.5]], [0, 1, 1])


def test_a_class_that_training_never_saw_is_told_as_such():
    with pytest.raises(InputError, match=r"have 2 classes, got 2 at example 1; a class that training never saw"):
        check_pair([[0.5, 0.5], [0.5, 0.5]], [0, 2])
    with pytest.raises(InputError, match="got -1 at example 0"):
        check_pair([[0.5, 0.5], [0.5, 0.5]], [-1, 1])
    with pytest.raises(InputError, match=r"whole numbers 0\.\.1, got dtype float64"):
        check_pair([[0.5, 0.5], [0.5, 0.5]], [0.0, 1.0])


def test_one_member_without_its_axis_is_told_the_remedy():
    with pytest.raises(InputError, match=r"got \(4, 2\); one member alone is probs\[None\]"):
        check_probabilities(np.full((4, 2), 0.5))


def test_weights_come_back_as_float64():
    assert check_weights([1, 0], 2).dtype == np.float64


@pytest.mark.parametrize("weights", [[0.5, 0.4], [-0.5, 1.5], [np.nan, 1], [np.inf, 0], [1.0], 1.0])
def test_what_is_no_weights_is_refused(weights):
    with pytest.raises(InputError, match="weights must"):
        check_weights(weights, 2)
