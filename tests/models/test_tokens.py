"""What is looked up by whole numbers must be whole numbers: Keras casts without a word."""

import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.datasets import from_arrays
from ensemble_vs_dropout.experiments.comparing import compare
from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.predictors import Ensemble

L = keras.layers
RNG = np.random.default_rng(0)
TOKENS, AGES, Y = RNG.integers(0, 30, (90, 5)), RNG.normal(50, 9, (90, 1)), np.arange(90) % 2


def reader(rate=0.0, dtype="int32"):
    tokens, age = keras.Input((5,), dtype=dtype, name="tokens"), keras.Input((1,), name="age")
    read = L.GlobalAveragePooling1D()(L.Embedding(30, 4)(tokens))
    both = L.Concatenate()([read, age])
    model = keras.Model({"tokens": tokens, "age": age}, L.Dense(2, "softmax")(L.Dropout(rate)(both) if rate else both))
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def data(**choices):
    parts = {"train": slice(60), "test": slice(60, None)}
    train, test = ({"tokens": TOKENS[where], "age": AGES[where]} for where in parts.values())
    return from_arrays(train, Y[:60], test, Y[60:], **choices)


@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_standardized_tokens_are_refused_with_what_to_do(dtype):
    with pytest.raises(InputError, match=r"whole numbers.*standardise=False"):
        compare(data(), lambda rate: reader(rate, dtype), members=2, rate=0.5, verbose=0)
    x = {"tokens": (TOKENS - 15) / 8, "age": AGES}
    with pytest.raises(InputError, match="whole numbers"):
        Ensemble(lambda: reader(dtype=dtype), members=2).fit(x, Y, verbose=0)


def test_inputs_are_standardized_by_name():
    found = data(standardise=["age"])
    assert set(np.unique(found.x_train["tokens"])) <= set(range(30))
    assert abs(float(found.x_train["age"].mean())) < 1e-6
    Ensemble(reader, members=2).fit(found.x_train, found.y_train, verbose=0)
    with pytest.raises(InputError, match="unknown input of standardise 'ages'"):
        data(standardise=["ages"])


def test_inputs_of_whole_numbers_take_no_others_wherever_they_come():
    def build():
        inputs = keras.Input((3,), dtype="uint8")
        model = keras.Model(inputs, L.Dense(2, "softmax")(L.Rescaling(1 / 255)(inputs)))
        model.compile("sgd", "sparse_categorical_crossentropy")
        return model

    whole = RNG.integers(0, 256, (1200, 3))
    ensemble = Ensemble(build, members=2)
    ensemble.predict(whole.astype(float))
    late = whole.astype(float)
    late[-1, 0] = 1.5
    for x in (late, whole / 255, whole + 200, -whole):
        for way in (ensemble.predict, lambda x: ensemble.fit(x, np.arange(1200) % 2, verbose=0)):
            with pytest.raises(InputError, match="must hold whole numbers, as the model takes uint8, got"):
                way(x)
