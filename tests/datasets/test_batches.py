"""Sources of batches become the data that their arrays would be, or are refused."""

import itertools

import numpy as np
import pandas as pd
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.datasets import from_arrays, from_batches
from ensemble_vs_dropout.models.backend import keras, tf

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 3)).astype("float32"), np.arange(40) % 2
WEIGHTS = RNG.uniform(0.5, 2, 40).astype("float32")
TEST = [(X[:6], Y[:6])]


class Batches(keras.utils.PyDataset):
    def __init__(self, *parts, size=7, endless=False):
        super().__init__()
        self.parts, self.size, self.endless = parts, size, endless

    @property
    def num_batches(self):
        return None if self.endless else -(-len(self.parts[-1]) // self.size)

    def __getitem__(self, number):
        return tuple(part[number * self.size : (number + 1) * self.size] for part in self.parts)


class Unreadable:
    def __array__(self, *_, **__):
        raise RuntimeError("not now")


class Untold(keras.utils.PyDataset):
    def __getitem__(self, number):
        return X[:3], Y[:3]


class Loader:
    """A loader of another library, which has its own word for how many batches it has."""

    num_batches = 4

    def __iter__(self):
        return iter(chunks(X, Y))


def chunks(*parts, size=7):
    return [tuple(part[start : start + size] for part in parts) for start in range(0, len(parts[-1]), size)]


def assert_same(found, expected):
    for part in ("train", "val", "test"):
        np.testing.assert_array_equal(getattr(found, f"x_{part}"), getattr(expected, f"x_{part}"))
        np.testing.assert_array_equal(getattr(found, f"y_{part}"), getattr(expected, f"y_{part}"))
    assert found.classes == expected.classes


@pytest.mark.parametrize(
    "make",
    [
        lambda *parts: tf.data.Dataset.from_tensor_slices(parts).batch(7),
        lambda *parts: tf.data.Dataset.from_tensor_slices(parts).batch(7).filter(lambda *_: True),  # of unknown length
        Batches,
        chunks,
        lambda *parts: iter(chunks(*parts)),
    ],
    ids=["tf.data", "tf.data of unknown length", "PyDataset", "list", "generator"],
)
def test_batches_of_any_source_are_its_arrays(make):
    found = from_batches(make(X, Y), make(X[:6], Y[:6]), seed=3)
    assert_same(found, from_arrays(X, Y, X[:6], Y[:6], seed=3))
    weighed = from_batches(make(X, Y, WEIGHTS), TEST, val=make(X[:9], Y[:9]))
    np.testing.assert_array_equal(weighed.weights_train, WEIGHTS)
    assert weighed.sizes == {"train": 40, "val": 9, "test": 6}


def test_several_inputs_and_text_come_as_dicts():
    words = np.array(["yes", "no", "größer", "a\x00"])[RNG.integers(4, size=40)]
    parts = {"words": words, "numbers": X}
    source = tf.data.Dataset.from_tensor_slices((parts, Y)).batch(7)
    test = tf.data.Dataset.from_tensor_slices(({name: part[:6] for name, part in parts.items()}, Y[:6])).batch(4)
    expected = from_arrays(parts, Y, {name: part[:6] for name, part in parts.items()}, Y[:6])
    found = from_batches(source, test)
    assert_same(found, expected)
    assert found.input_shape == expected.input_shape == {"numbers": (3,), "words": ()}


def test_one_hot_and_text_labels_are_labels():
    assert from_batches(chunks(X, np.eye(2)[Y]), TEST).classes == ("0", "1")
    names = np.array(["no", "yes"])[Y]
    source = tf.data.Dataset.from_tensor_slices((X, names)).batch(7)
    assert from_batches(source, [(X[:6], names[:6])]).classes == ("no", "yes")


@pytest.mark.parametrize(
    ("train", "words"),
    [
        (
            tf.data.Dataset.from_tensor_slices((X, Y)).batch(7).repeat(),
            "train is a source without end; give source.take",
        ),
        (Batches(X, Y, endless=True), "train is a source without end"),
        ([], "train must yield at least one batch, got none"),
        (X, "train must yield batches .* got ndarray; from_arrays takes arrays"),
        (3, "train must yield batches .* got int"),
        ([X[:3]], "batch 0 of train must be .features, labels. .* got ndarray"),
        ([(X[:3],)], "batch 0 of train must be .* got tuple of 1"),
        ([([X[:3]], Y[:3])], "batch 0 of train must hold an array of features, or a dict"),
        ([(X[:3], {"a": Y[:3]})], "batch 0 of train must hold the labels of one output, got dict"),
        (
            [(X[:3], Y[:4])],
            "the same number of examples in each part, got 3 in the features, 4 in the labels",
        ),
        ([(X[:3], Y[:3]), (X[:3, :2], Y[:3])], r"one structure, got x of shape \(2,\) after \(3,\) in batch 1"),
        ([(X[:3], Y[:3]), (X[:3] > 0, Y[:3])], "got x of dtype bool after float32 in batch 1"),
        ([(X[:3], Y[:3]), (X[:3], Y[:3], WEIGHTS[:3])], "got x and y and weights after x and y in batch 1"),
        ([(X[0], Y[0])], r"batch 0 of train must hold many examples, got a single one in the labels; .batch\(n\)"),
        (
            [(np.ma.masked_array(X[:3], X[:3] > 0), Y[:3])],
            "the features in batch 0 of train must be whole, got . masked",
        ),
        ([(X[:3], np.ma.masked_array(Y[:3], [0, 1, 0]))], "the labels in batch 0 of train must be whole, got 1 masked"),
        ([(pd.DataFrame(X[:3]), Y[:3])], r"must be arrays, got a DataFrame; give its to_numpy\(\)"),
        ([(tf.ragged.constant([[1.0], [2.0, 3.0]]), Y[:2])], "must be dense, got RaggedTensor"),
        ([(tf.cast(X[:3], "bfloat16"), Y[:3])], "got dtype bfloat16; cast them to float32"),
        ([({"": X[:3], "b": X[:3]}, Y[:3])], "batch 0 of train must name its inputs by text, got ''"),
        ([({0: X[:3]}, Y[:3])], "batch 0 of train must name its inputs by text, got 0"),
        ([(Unreadable(), Y[:3])], "the features in batch 0 of train cannot be read as an array: not now"),
        (Untold(), "train does not tell how many batches it has"),
        ([({"a": X[:3]}, Y[:3]), ({"b": X[:3]}, Y[:3])], "got x.b and y after x.a and y in batch 1"),
    ],
)
def test_what_is_no_source_of_batches_is_refused(train, words):
    with pytest.raises(InputError, match=words):
        from_batches(train, TEST)


def test_weights_are_for_training_alone():
    with pytest.raises(InputError, match=r"test must yield batches \(features, labels\), got sample weights"):
        from_batches(chunks(X, Y), chunks(X, Y, WEIGHTS))


def test_what_memory_cannot_hold_is_refused_before_it_is_read(monkeypatch):
    read = []

    def yielding():
        for place, batch in enumerate(itertools.cycle(chunks(X, Y))):
            read.append(place)
            yield batch

    class Memory:
        available = 5_000

    monkeypatch.setattr("ensemble_vs_dropout.files.psutil.virtual_memory", lambda: Memory)
    with pytest.raises(InputError, match=r"train takes .* GB of memory"):
        from_batches(yielding(), TEST)  # without end, and without a word of it
    assert len(read) < 30
    many = tf.data.Dataset.from_tensor_slices((X, Y)).batch(7).repeat(1000)
    with pytest.raises(InputError, match="train takes"):
        from_batches(many, TEST)  # told by the first batch and their number


def test_a_loader_may_fill_the_same_array_again_and_end_with_an_empty_batch():
    def refilling():
        x, y = np.empty((8, 3), "float32"), np.empty(8, int)
        for start in range(0, 40, 8):
            x[:], y[:] = X[start : start + 8], Y[start : start + 8]
            yield x, y
        yield X[:0], []

    assert_same(from_batches(refilling(), TEST), from_arrays(X, Y, X[:6], Y[:6]))
    assert_same(from_batches(Loader(), TEST), from_arrays(X, Y, X[:6], Y[:6]))


def test_texts_without_end_are_refused_by_what_they_hold(monkeypatch):
    class Memory:
        available = 10_000_000

    monkeypatch.setattr("ensemble_vs_dropout.files.psutil.virtual_memory", lambda: Memory)
    long, read = np.array(["x" * 100_000] * 8, object), []
    with pytest.raises(InputError, match="train takes"):
        from_batches(((long, read.append(number) or Y[:8]) for number in itertools.count()), TEST)
    assert len(read) < 15  # of which each holds 0.8 MB
