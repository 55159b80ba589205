"""Features that are text: UTF-8 from the loader to the network."""

import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.datasets import from_arrays, load_dataset
from ensemble_vs_dropout.datasets.rows import Rows
from ensemble_vs_dropout.types.inputs import columns_of, dtypes_of

WORDS = np.array([f"message {number} is {'good' if number % 2 else 'schlecht, näh'}" for number in range(100)])
Y = np.arange(100) % 2


@pytest.mark.parametrize(
    "form", [lambda words: words, list, lambda words: words.astype(object), lambda words: words[:, None]],
    ids=["array", "list", "objects", "column"],
)  # fmt: skip
def test_text_is_kept_whole_in_every_form(form):
    data = from_arrays(form(WORDS[:80]), Y[:80], form(WORDS[80:]), Y[80:])
    assert sorted(text.decode() for part in (data.x_train, data.x_val) for text in part.ravel()) == sorted(WORDS[:80])
    assert [text.decode() for text in data.x_test.ravel()] == WORDS[80:].tolist()
    assert dtypes_of(data.x_test) == {"": "string"}
    assert data.input_shape == np.asarray(form(WORDS[:1])).shape[1:]
    assert data.notes == ()


def test_texts_of_all_parts_have_one_dtype():
    data = from_arrays(["a", "b"] * 20, [0, 1] * 20, ["a much longer text", "ü"], [0, 1])
    assert data.x_train.dtype == data.x_test.dtype == data.x_val.dtype
    assert data.test_in_train == 0


def test_an_npz_holds_text_beside_numbers(tmp_path):
    numbers = np.arange(100.0)[:, None]
    np.savez(tmp_path / "both.npz", y=Y, **{"x.text": WORDS, "x.number": numbers})
    data = load_dataset(tmp_path / "both.npz", train_size=30)
    columns = columns_of(data.x_test)
    back = columns["number"][:, 0] * data.encoding.inputs["number"].deviation + data.encoding.inputs["number"].mean
    assert [text.decode() for text in columns["text"]] == [WORDS[round(number)] for number in back]
    assert data.input_shape == {"text": (), "number": (1,)}


def test_text_where_numbers_were_is_refused_and_the_other_way_round(tmp_path):
    for train, test in ((WORDS[:80], np.arange(20.0)[:, None]), (np.arange(80.0)[:, None], WORDS[80:, None])):
        with pytest.raises(InputError, match="must h"):
            from_arrays(train, Y[:80], test, Y[80:])
    data, path = from_arrays(WORDS[:80], Y[:80], WORDS[80:], Y[80:]), tmp_path / "new.npz"
    np.savez(path, x=WORDS[:3])
    (rows,) = Rows(path, data.encoding, [], "string")
    assert [text.decode() for text in rows["x"]] == WORDS[:3].tolist()
    np.savez(path, x=np.arange(3))
    with pytest.raises(InputError, match="must hold (text|numbers)|must have shape"):  # noqa: RUF043
        list(Rows(path, data.encoding, [], "string"))
    np.savez(path, x=WORDS[:3, None])
    with pytest.raises(InputError, match="must hold numbers"):
        list(Rows(path, data.encoding, [1], "float32"))


@pytest.mark.parametrize("resplit", [False, True])
def test_numbers_beside_text_may_be_whole_in_one_part_alone(tmp_path, resplit):
    y, words = np.arange(40) % 2, np.array(["a", "b c"] * 20)
    numbers = np.arange(40.0)[:, None]
    arrays = {"x_train.t": words, "x_test.t": words[:10], "x_train.n": numbers, "x_test.n": np.arange(10)[:, None]}
    np.savez(tmp_path / "both.npz", y_train=y, y_test=y[:10], **arrays)
    found = load_dataset(tmp_path / "both.npz", resplit=resplit)
    assert dtypes_of(found.x_test) == dtypes_of(found.x_train) == {"n": "float32", "t": "string"}
    if not resplit:
        scaled = (np.arange(10)[:, None] - numbers.mean()) / numbers.std()
        np.testing.assert_allclose(columns_of(found.x_test)["n"], scaled, atol=0.2)


def test_networks_of_the_toolkit_take_no_text():
    from ensemble_vs_dropout.models.builders import build_for, mlp

    data = from_arrays(WORDS[:80], Y[:80], WORDS[80:], Y[80:], name="messages")
    with pytest.raises(InputError, match="mlp takes numbers, and 'messages' holds text; give a network of your own"):
        build_for(mlp(), data, rate=0.0)


def test_text_that_would_not_be_kept_whole_is_refused(monkeypatch):
    with pytest.raises(InputError, match="does not end in NUL"):
        from_arrays(["dog\x00", "cat"] * 20, [0, 1] * 20, ["a", "b"], [0, 1])
    monkeypatch.setattr(
        "ensemble_vs_dropout.types.inputs.psutil.virtual_memory", lambda: type("M", (), {"available": 1000})
    )
    with pytest.raises(InputError, match="would take 3,200 bytes, as one of its 40 texts has 80; cut long texts"):
        from_arrays(["a" * 80, "b"] * 20, [0, 1] * 20, ["a", "b"], [0, 1])
