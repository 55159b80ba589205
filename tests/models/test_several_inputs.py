"""What a network of several inputs is given: by the names or in the order that it has, or refused in a line."""

import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.models.backend import keras, tf
from ensemble_vs_dropout.predictors import Ensemble, MonteCarloDropout, WeightScaling

L = keras.layers
RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(9, 3)).astype("float32"), RNG.normal(size=(9, 2, 2)).astype("float32")
Y = np.arange(9) % 2


def network(kind, named=True):
    a, b = keras.Input((3,), name="a" if named else None), keras.Input((2, 2), name="b" if named else None)
    inputs = {"list": [a, b], "dict": {"b": b, "a": a}, "nested": {"side": [a, b]}}[kind]
    both = L.Concatenate()([a, L.Flatten()(b)])
    model = keras.Model(inputs, L.Dense(2, "softmax")(L.Dropout(0.4)(both)))
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def as_keras_takes_them(model):
    return keras.tree.pack_sequence_as(model.input, [A, B])


def expected(model):
    return model.predict(as_keras_takes_them(model), verbose=0)


GIVEN = {
    ("list", "in order"): [A, B],
    ("list", "as a tuple"): (A, B),
    ("list", "by names"): {"b": B, "a": A},
    ("dict", "by names"): {"b": B, "a": A},
    ("nested", "nested"): {"side": (A, B)},
    ("nested", "by names inside"): {"side": {"b": B, "a": A}},
    ("list", "other kinds"): [A.tolist(), tf.constant(B)],
    ("list", "batches"): tf.data.Dataset.from_tensor_slices(((A, B), Y)).batch(4),
    ("list", "batches by names"): tf.data.Dataset.from_tensor_slices(({"b": B, "a": A}, Y)).batch(4),
    ("dict", "batches without labels"): tf.data.Dataset.from_tensor_slices({"b": B, "a": A}).batch(4),
}


@pytest.mark.slow
@pytest.mark.parametrize("given", GIVEN)
def test_inputs_are_found_as_keras_finds_them(given):
    model = network(given[0])
    for predictor in (WeightScaling(model), Ensemble.from_models([model])):
        np.testing.assert_allclose(predictor.predict(GIVEN[given], batch_size=4), expected(model), atol=1e-6)
    passes = MonteCarloDropout(model, passes=3)
    same = passes.predict(as_keras_takes_them(model))
    np.testing.assert_allclose(passes.predict(GIVEN[given], batch_size=4), same, atol=1e-6)


REFUSED = {
    ("list", "one array"): (A, "must be a list of the 2 inputs that '.*' takes, got a ndarray"),
    ("list", "too few"): ([A], "takes, got a list of 1"),
    ("list", "too many"): ([A, B, A], "got a list of 3"),
    ("list", "another name"): ({"a": A, "c": B}, "takes, 'a', 'b', got a dict of 'a', 'c'"),
    ("dict", "a list"): ([A, B], "must be a dict of the 2 inputs that '.*' takes, 'a', 'b', got a list of 2"),
    ("dict", "a name more"): ({"a": A, "b": B, "c": B}, "got a dict of 'a', 'b', 'c'"),
    ("dict", "the other's"): ({"a": B, "b": A}, r"x\['a'\] must have shape \(examples, 3\)"),
    ("nested", "flat"): ({"a": A, "b": B}, "takes, 'side', got a dict of 'a', 'b'"),
    ("nested", "too few inside"): ({"side": [A]}, r"x\['side'\] must be a list of the 2 inputs"),
    ("list", "other lengths"): (
        [A, B[:4]],
        r"must hold the same examples for each input, got 9 in x\[0\], 4 in x\[1\]",
    ),
    ("list", "text"): ([A.astype(str), B], r"x\[0\] must hold numbers"),
    ("dict", "NaN"): ({"a": np.where(A > 1, np.nan, A), "b": B}, r"x\['a'\] must be finite, got NaN .* in example"),
    ("list", "no batches"): (tf.data.Dataset.from_tensor_slices(((A, B), Y)), r"call .batch\(32\)"),
    ("dict", "batches of others"): (tf.data.Dataset.from_tensor_slices(({"a": A}, Y)).batch(4), "got a dict of 'a'"),
}


@pytest.mark.parametrize("given", REFUSED)
def test_other_inputs_are_refused_in_a_line(given):
    (x, message), model = REFUSED[given], network(given[0])
    for predictor in (WeightScaling(model), MonteCarloDropout(model, passes=2)):
        with pytest.raises(InputError, match=message) as raised:
            predictor.predict(x)
        assert "\n" not in str(raised.value)
    labels = {} if isinstance(x, tf.data.Dataset) else {"y": Y}
    with pytest.raises(InputError):
        Ensemble(lambda: network(given[0]), members=1).fit(x, **labels, verbose=0)


def test_inputs_without_names_are_taken_in_their_order_alone():
    model = network("list", named=False)
    np.testing.assert_allclose(WeightScaling(model).predict([A, B]), expected(model), atol=1e-6)
    with pytest.raises(InputError, match="must be a list of the 2 inputs"):
        WeightScaling(model).predict({"a": A, "b": B})


def test_networks_that_take_other_inputs_are_no_ensemble():
    with pytest.raises(InputError, match="must take the same inputs"):
        Ensemble.from_models([network("list"), network("dict")]).predict([A, B])


def test_a_source_whose_batches_change_is_refused_at_that_batch():
    def batches():
        yield {"a": A, "b": B}
        yield {"a": A, "c": B}

    with pytest.raises(InputError, match="batch 1 of x must be a dict of the 2 inputs"):
        WeightScaling(network("dict")).predict(batches())


def test_models_that_name_their_inputs_in_another_order_take_no_dict():
    def other(swapped):
        a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
        both = L.Dense(2, "softmax")(L.Concatenate()([a, 2 * b]))
        model = keras.Model([b, a] if swapped else [a, b], both)
        model.compile("sgd", "sparse_categorical_crossentropy")
        return model

    ensemble = Ensemble.from_models([other(False), other(True)])
    with pytest.raises(InputError, match="name their inputs in another order, a, b and b, a, got a dict"):
        ensemble.predict({"a": A, "b": A[::-1]})
    found = ensemble.predict_members([A, A[::-1].copy()]).probs
    for member, probs in zip(ensemble.models, found, strict=True):
        np.testing.assert_allclose(probs, member.predict([A, A[::-1]], verbose=0), atol=1e-6)


def test_one_input_may_come_by_its_name():
    inputs = keras.Input((3,), name="a")
    model = keras.Model(inputs, L.Dense(2, "softmax")(inputs))
    model.compile("sgd", "sparse_categorical_crossentropy")
    np.testing.assert_allclose(WeightScaling(model).predict({"a": A}), model.predict(A, verbose=0), atol=1e-6)


def test_an_input_may_have_the_name_of_a_member():
    a, b = keras.Input((3,), name="member_0"), keras.Input((2, 2), name="b")
    model = keras.Model({"member_0": a, "b": b}, L.Dense(2, "softmax")(L.Concatenate()([a, L.Flatten()(b)])))
    model.compile("sgd", "sparse_categorical_crossentropy")
    ensemble = Ensemble.from_models([model, keras.models.clone_model(model)], head="probabilities")
    x = {"member_0": A, "b": B}
    np.testing.assert_allclose(ensemble.to_keras().predict(x, verbose=0), ensemble.predict(x), atol=1e-6)


def test_models_of_other_dtypes_become_no_one_model():
    def of(dtype):
        inputs = keras.Input((3,), dtype=dtype)
        model = keras.Sequential([inputs, L.Rescaling(0.5), L.Dense(2, "softmax")])
        model.compile("sgd", "sparse_categorical_crossentropy")
        return model

    with pytest.raises(InputError, match="inputs of one dtype to become one model, got float32 and int32"):
        Ensemble.from_models([of("int32"), of("float32")]).to_keras()
