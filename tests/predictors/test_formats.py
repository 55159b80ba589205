"""Files of other runtimes predict what the Keras model does, or are refused."""

import json

import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.models.backend import keras, tf
from ensemble_vs_dropout.predictors import Ensemble, MonteCarloDropout
from ensemble_vs_dropout.predictors.deployed import deployed
from ensemble_vs_dropout.predictors.formats import check_path, export_model, write_for_runtime
from ensemble_vs_dropout.types import Column, Encoding

L = keras.layers
NEEDS = {"saved": [], "model.onnx": ["onnx", "tf2onnx", "onnxruntime"], "model.tflite": ["ai_edge_litert"]}
X = np.random.default_rng(0).normal(size=(20, 6, 6, 1)).astype("float32")


def network():
    layers = [L.Conv2D(4, 3, activation="relu"), L.BatchNormalization(), L.Flatten(), L.Dropout(0.4), L.Dense(3)]
    model = keras.Sequential([keras.Input((6, 6, 1)), *layers])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


@pytest.fixture(params=NEEDS)
def name(request):
    for module in NEEDS[request.param]:
        pytest.importorskip(module)
    return request.param


@pytest.fixture(scope="module")
def members():
    ensemble = Ensemble(network, members=3)
    ensemble.fit(X, np.arange(20) % 3, epochs=2, verbose=0)
    return [*ensemble.models]


def by_its_runtime(path, x):
    """What the runtime gives for an array, without the code that is tested."""
    if path.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path))
        names = [one.name for one in session.get_outputs()]
        return dict(zip(names, session.run(None, {session.get_inputs()[0].name: x}), strict=True))
    if path.suffix == ".tflite":
        from ai_edge_litert.interpreter import Interpreter

        return Interpreter(str(path)).get_signature_runner()(x=x)
    loaded = tf.saved_model.load(str(path))
    return {key: value.numpy() for key, value in loaded.serve(tf.constant(x)).items()}


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["mean", "geometric_mean", "majority_vote"])
def test_an_ensemble_is_read_by_its_runtime_and_predicts_the_same(members, name, rule, tmp_path):
    model = deployed(members, Encoding(), (6, 6, 1), "float32", rule)
    found = export_model(tmp_path / name, model)
    expected = model.predict(X, verbose=0)
    told = by_its_runtime(tmp_path / name, X)
    np.testing.assert_allclose(told["probabilities"], expected["probabilities"], atol=1e-5)
    np.testing.assert_allclose(told["mutual_information"], expected["mutual_information"], atol=1e-5)
    assert found.difference <= 1e-5
    assert found.bytes > 4 * sum(member.count_params() for member in members)
    assert 0 < found.seconds < 1
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.slow
def test_passes_of_fixed_masks_are_read_by_the_runtime(members, name, tmp_path):
    passes = MonteCarloDropout(members[0], passes=4, masks="shared")
    model = deployed([passes.materialise(t) for t in range(4)], Encoding(), (6, 6, 1), "float32")
    export_model(tmp_path / name, model)
    told = by_its_runtime(tmp_path / name, X)
    np.testing.assert_allclose(told["probabilities"], passes.predict(X), atol=1e-5)


def test_what_a_saved_model_takes_is_told_beside_it(members, tmp_path):
    model = deployed(members, Encoding(), (6, 6, 1), "float32")
    told = write_for_runtime(tmp_path / "saved", model, {"classes": ["a", "b", "c"]})
    assert json.loads((tmp_path / "saved.json").read_text()) == told
    assert told["exported"]["format"] == "SavedModel"
    with pytest.raises(InputError, match="is there already"):
        export_model(tmp_path / "saved", model)


def test_a_table_of_numbers_and_words_goes_into_a_saved_model(tmp_path):
    columns = (Column("size", "number", fill=2.0), Column("town", "text", ("Bern", "Oslo")))
    one = keras.Sequential([keras.Input((3,)), L.Dense(2, "softmax")])
    model = deployed([one], Encoding(columns, np.array([1.0]), np.array([3.0])), (3,), "float32")
    assert export_model(tmp_path / "saved", model).difference <= 1e-6


@pytest.mark.slow
def test_what_a_runtime_cannot_do_is_refused_and_nothing_is_left(tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    columns = (Column("town", "text", ("Bern", "Oslo")),)
    one = keras.Sequential([keras.Input((2,)), L.Dense(2, "softmax")])
    with pytest.raises(InputError, match=r"ONNX cannot do what the model does: .*; a \.keras file can") as raised:
        export_model(tmp_path / "model.onnx", deployed([one], Encoding(columns), (2,), "float32"))
    assert "\n" not in str(raised.value)
    assert [*tmp_path.iterdir()] == []


def test_a_file_that_predicts_something_else_is_not_written(tmp_path):
    class Odd(L.Layer):
        """Computes otherwise once it is exported."""

        calls = 0

        def call(self, x):
            Odd.calls += 1
            return x + (Odd.calls - 1)

    inputs = keras.Input((2,))
    model = keras.Model(inputs, Odd()(inputs))
    with pytest.raises(InputError, match=r"SavedModel predicts something else than Keras, by [0-9]"):
        export_model(tmp_path / "saved", model)
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("path", ["model.h5", "model.pb", "model.json"])
def test_another_ending_is_refused(path, tmp_path):
    with pytest.raises(InputError, match=r"must end in \.keras, \.onnx or \.tflite, or in nothing for a SavedModel"):
        check_path(tmp_path / path)


def test_a_runtime_that_is_not_installed_is_told_with_what_to_do(members, tmp_path, monkeypatch):
    import sys

    for module in ("tf2onnx", "onnx", "onnxruntime"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=r"ONNX needs .*pip install .ensemble-vs-dropout\[deploy\]"):
        export_model(tmp_path / "model.onnx", deployed(members, Encoding(), (6, 6, 1), "float32"))
