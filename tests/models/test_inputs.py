"""Examples in any usual form are fed to a model as Keras would, or refused in one line."""

import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.models.backend import keras, tf
from ensemble_vs_dropout.models.inputs import Examples, Input, inputs_of
from ensemble_vs_dropout.predictors import Ensemble, ExactDropout, MonteCarloDropout, WeightScaling

X = np.random.default_rng(5).normal(size=(20, 6)).astype("float32")
Y = np.arange(20) % 3
HOLED = np.where(np.arange(120).reshape(20, 6) == 31, np.nan, X)
SOURCE = tf.data.Dataset.from_tensor_slices(X)


def network(*layers, shape, dtype="float32"):
    model = keras.Sequential([keras.Input(shape, dtype=dtype), *layers, keras.layers.Dense(3, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


FORMS = {
    "csr_matrix": scipy.sparse.csr_matrix(X),
    "coo_array": scipy.sparse.coo_array(X),
    "DataFrame": pd.DataFrame(X),
    "nullable DataFrame": pd.DataFrame(X).convert_dtypes(),
    "objects": X.astype(object),
    "longdouble": X.astype(np.longdouble),
    "tensor": tf.constant(X),
    "lists": X.tolist(),
    "unmasked": np.ma.array(X),
    "one more axis": X[..., None],
    "the one of a list": [X],
}


SETTINGS = {"epochs": 1, "verbose": 0}


@pytest.fixture(scope="module")
def of_arrays(small):
    """A predictor, what Keras predicts of arrays, and the loss after training on them."""
    model = small(head="probabilities")
    rows = Ensemble(small, members=1).fit(X, Y, validation_data=(X, Y), **SETTINGS)
    return WeightScaling(model), model.predict(X, verbose=0), rows.val_loss


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_forms_of_the_same_features_predict_and_train_the_same(small, of_arrays, form):
    predictor, expected, val_loss = of_arrays
    np.testing.assert_allclose(predictor.predict(FORMS[form], batch_size=7), expected, atol=1e-6)
    np.testing.assert_allclose(predictor.predict_members(FORMS[form]).probs[0], expected, atol=1e-6)
    assert len(predictor.predict_uncertainty(FORMS[form], batch_size=7)) == 20
    of_form = Ensemble(small, members=1).fit(FORMS[form], Y, validation_data=(FORMS[form], Y), **SETTINGS)
    np.testing.assert_allclose(of_form.val_loss, val_loss, rtol=1e-5)


REFUSED = {
    "masked": (np.ma.masked_greater(X, 1), "masked array with missing values"),
    "NA": (pd.DataFrame(HOLED).convert_dtypes(), "1 missing values"),
    "None": (np.where(np.isnan(HOLED), None, HOLED), "1 missing values"),
    "complex": (X.astype(complex), "got complex numbers"),
    "dates": (np.zeros((20, 6), "M8[D]"), "got dates or times"),
    "records": (np.zeros(20, "f4,f4"), "got records"),
    "text": (X.astype(str), "must hold numbers, .* got text"),
    "a column of text": (pd.DataFrame(X).assign(color="red"), "got text in column 'color'"),
    "text and numbers": ([[1.0, "a"]] * 20, "array of objects .float and str"),
    "dict": ({"x": X}, "got a dict of 'x'"),
    "two inputs": ([X, X], "give one array, as the model has one input"),
    "features and labels": ((X, Y), "parts of different shape"),
    "ragged": (tf.ragged.constant([[1.0, 2.0], [3.0]]), "got a RaggedTensor"),
    "sparse tensor": (tf.sparse.from_dense(X), "got a SparseTensor"),
    "symbol": (keras.Input((6,)), "got a KerasTensor"),
    "one example": (X[0], r"must have shape \(examples, 6\), .*got \(6,\); a single example is x\[None\]"),
    "other width": (X[:, :5], r"must have shape \(examples, 6\), as '.*' takes it, got \(20, 5\)"),
    "other rank": (X[:, None], r"got \(20, 1, 6\)"),
    "no examples": (X[:0], "at least one example"),
    "nothing": (None, "got NoneType"),
    "a word": ("abc", "got str"),
    "no batches": (SOURCE, r"call .batch\(32\)"),
    "dict of batches": (tf.data.Dataset.from_tensor_slices({"a": X}).batch(5), "got dict"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_batch_of_examples_is_refused_in_one_line(small, what):
    x, message = REFUSED[what]
    model = small(head="probabilities")
    for predictor in (WeightScaling(model), MonteCarloDropout(model, passes=2), Ensemble.from_models([model])):
        for way in (predictor.predict, predictor.predict_members, predictor.predict_uncertainty):
            with pytest.raises(InputError, match=message) as raised:
                way(x)
            assert "\n" not in str(raised.value)
    labels = {} if isinstance(x, tf.data.Dataset) else {"y": Y}
    with pytest.raises(InputError):
        Ensemble(small, members=1).fit(x, **labels, verbose=0)
    with pytest.raises(InputError):
        Ensemble(small, members=1).fit(X, Y, validation_data=x if isinstance(x, tf.data.Dataset) else (x, Y), verbose=0)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (SOURCE.batch(5).repeat(), "without end"),
        (SOURCE.take(0).batch(5), "at least one batch"),
        (iter(X), r"batch 0 of x .*a single example is x\[None\]"),
        ([{"a": X}], "got a list of dict"),
    ],
)
def test_sources_that_give_no_batches_are_refused(small, source, message):
    with pytest.raises(InputError, match=message):
        WeightScaling(small()).predict(source)


def test_a_generator_of_batches_predicts(small):
    model = small(head="probabilities")
    found = WeightScaling(model).predict(X[start : start + 8] for start in range(0, 20, 8))
    np.testing.assert_allclose(found, model.predict(X, verbose=0), atol=1e-6)


@pytest.mark.parametrize("activation", ["relu", "tanh"])  # some processors' `relu` takes NaN for 0
def test_nan_is_refused_whether_it_is_a_feature_or_a_weight(small, activation):
    model = small(head="probabilities")
    model.layers[0].activation = keras.activations.get(activation)
    predictors = WeightScaling(model), MonteCarloDropout(model, passes=9, adaptive=0.1), Ensemble.from_models([model])
    for predictor in predictors:
        with pytest.raises(InputError, match=r"^x must be finite, got NaN or infinity in example 5; drop or impute"):
            predictor.predict(HOLED, rule="majority_vote", batch_size=4)
    model.layers[0].kernel.assign(np.full((6, 8), np.nan))
    for kind in (WeightScaling, MonteCarloDropout, ExactDropout, lambda model: Ensemble.from_models([model])):
        with pytest.raises(
            InputError, match=r"weights of .* must be numbers, got NaN in .*kernel; its training diverged"
        ):
            kind(model)


def test_nan_that_a_network_makes_of_finite_features_is_told(small):
    model = network(keras.layers.Lambda(lambda x: (x - x) / (x - x)), shape=(6,))
    with pytest.raises(InputError, match="its features are finite: look for NaN in the weights, or for a layer that"):
        WeightScaling(model).predict(X)


def test_a_member_whose_weights_are_nan_has_diverged_though_its_loss_is_a_number(small):
    class Spoil(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.layers[0].kernel.assign(np.full((6, 8), np.nan))

    with pytest.raises(FloatingPointError, match="weights are no longer finite after epoch 1"):
        Ensemble(small, members=1).fit(
            X, Y, callbacks=lambda member: [Spoil()], epochs=1, verbose=0, on_divergence="raise"
        )


@pytest.mark.parametrize(
    ("shape", "x"),
    [((1,), X[:, 0]), ((6, 1), X), ((6,), X[..., None]), ((None, 1), X), ((), X[:, :1])],
)
def test_an_axis_of_one_is_added_or_dropped_as_keras_does(shape, x):
    model = network(*([keras.layers.Flatten()] if len(shape) != 1 else []), shape=shape) if None not in shape else None
    model = model or network(keras.layers.GlobalAveragePooling1D(), shape=shape)
    np.testing.assert_allclose(WeightScaling(model).predict(x), model.predict(x, verbose=0), atol=1e-6)


def test_a_column_of_a_table_is_one_feature():
    model = network(shape=(1,))
    expected = model.predict(X[:, :1], verbose=0)
    np.testing.assert_allclose(WeightScaling(model).predict(pd.Series(X[:, 0])), expected, atol=1e-6)


def test_a_sequential_model_takes_other_sizes_where_keras_does():
    layers = keras.layers
    model = network(layers.Conv1D(2, 3), layers.GlobalAveragePooling1D(), shape=(6, 1))
    longer = np.ones((4, 9, 1), "float32")
    np.testing.assert_allclose(WeightScaling(model).predict(longer), model.predict(longer, verbose=0), atol=1e-6)
    with pytest.raises(InputError, match=r"\(examples, 6, 1\)"):
        WeightScaling(model).predict(np.ones((4, 9, 2)))


def test_whole_numbers_in_any_form_reach_an_embedding():
    tokens = np.random.default_rng(0).integers(9, size=(5, 4))
    model = network(keras.layers.Embedding(9, 2), keras.layers.GlobalAveragePooling1D(), shape=(None,), dtype="int32")
    expected = model.predict(tokens, verbose=0)
    for given in (tokens.astype(float), tokens.astype(object), tokens.tolist(), scipy.sparse.csr_matrix(tokens)):
        np.testing.assert_allclose(WeightScaling(model).predict(given), expected, atol=1e-6)
    with pytest.raises(InputError, match="is int32, got text"):
        WeightScaling(model).predict(tokens.astype(str))


def test_text_reaches_a_model_of_text_and_numbers_do_not():
    words = keras.layers.TextVectorization(output_sequence_length=3)
    words.adapt(["a b", "b c"])

    def build():
        layers = [words, keras.layers.Embedding(9, 2), keras.layers.GlobalAveragePooling1D()]
        return network(*layers, shape=(1,), dtype="string")

    text = np.array([["a b"], ["c"], ["b"]])
    model = build()
    expected = model.predict(tf.constant(text), verbose=0)
    frame = pd.DataFrame(text).astype("string")
    for given in (text, text.astype(object), text.astype("S"), text.tolist(), text[:, 0], frame):
        np.testing.assert_allclose(WeightScaling(model).predict(given), expected, atol=1e-6)
    assert len(Ensemble(build, members=1).fit(text, [0, 1, 2], verbose=0)) == 1
    with pytest.raises(InputError, match=r"must hold text, as the input of .* is of strings, got float64"):
        WeightScaling(model).predict(np.ones((3, 1)))
    with pytest.raises(InputError, match="1 missing values"):
        WeightScaling(model).predict(pd.DataFrame({"a": ["a", None]}))


def test_a_subclassed_model_says_by_itself_what_it_takes():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.pool, self.out = keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(3, activation="softmax")

        def call(self, inputs):
            return self.out(self.pool(inputs))

    model = Net()
    model(X[:2, :, None])
    model.compile("sgd", "sparse_categorical_crossentropy")
    longer = np.ones((4, 9, 1), "float32")
    np.testing.assert_allclose(WeightScaling(model).predict(longer), model.predict(longer, verbose=0), atol=1e-6)
    for wrong in (np.ones((4, 9, 2)), np.ones((4, 2, 2, 2)), np.full((4, 6, 1), "a")):
        with pytest.raises(InputError):
            WeightScaling(model).predict(wrong)


def test_mapped_arrays_are_read_batch_by_batch(tmp_path):
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    examples = Examples("x", mapped, [Input("m", (6,), "float32")])
    assert np.shares_memory(examples.batch(3, 5), mapped)
    np.testing.assert_array_equal(examples.batch(3, 5), X[3:5])


def test_sparse_features_that_do_not_fit_are_refused_in_training_and_not_in_prediction():
    huge = scipy.sparse.csr_array((10**9, 10**4), dtype="float32")
    examples = Examples("x", huge, [Input("m", (10**4,), "float32")])
    assert examples.batch(0, 2).shape == (2, 10**4)
    with pytest.raises(InputError, match=r"x is sparse and would take [\d,]+ bytes"):
        examples.whole()


def test_members_of_other_inputs_all_check_the_examples(small):
    models = [small(), network(keras.layers.Flatten(), shape=(6, 1))]
    assert len(inputs_of([*models, small()])) == 2
    with warnings.catch_warnings(), pytest.raises(InputError, match=r"\(examples, 6"):
        Ensemble.from_models(models).predict(X[:, :5])
