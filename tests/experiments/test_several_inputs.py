"""A comparison of networks that take several inputs, from the data to a deployed file."""

import numpy as np
import pytest
from bare import BARE

import ensemble_vs_dropout as evd
from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.datasets import from_arrays
from ensemble_vs_dropout.datasets.rows import Rows
from ensemble_vs_dropout.experiments.comparison import Comparison
from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.predictors.deployed import Deployed

RNG = np.random.default_rng(0)
Y = RNG.integers(3, size=240)
X = {
    "picture": RNG.integers(200, size=(240, 4, 4, 1)).astype("uint8"),
    "x": RNG.normal(50.0, 10.0, size=(240, 2)) + 9 * Y[:, None],  # the name that stands for the one array elsewhere
}
FEW = {"members": 2, "passes": 4, "repetitions": 2, "epochs": 2, "batch_size": 32, **BARE}


def part(where):
    return {name: column[where] for name, column in X.items()}


@pytest.fixture(scope="module")
def data():
    return from_arrays(part(slice(160)), Y[:160], part(slice(160, None)), Y[160:], name="both")


def build(data, rate, listed=False):
    """A network that takes a dict of what the data hold, or a list in another order."""
    inputs = {name: keras.Input(shape, name=name) for name, shape in data.input_shape.items()}
    seen = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs["picture"]))
    hidden = keras.layers.Dense(8, "relu")(keras.layers.Concatenate()([seen, inputs["x"]]))
    hidden = keras.layers.Dropout(rate)(hidden) if rate else hidden
    taken = [inputs["x"], inputs["picture"]] if listed else inputs
    model = keras.Model(taken, keras.layers.Dense(len(data.classes), "softmax")(hidden))
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def listed(data, rate):
    return build(data, rate, listed=True)


@pytest.fixture(scope="module", params=[build, listed], ids=["dict", "list"])
def finished(request, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    evd.compare(data, request.param, out=folder, **FEW)
    return Comparison.load(folder)


@pytest.mark.slow
def test_what_is_judged_is_what_the_networks_predict(finished, data):
    for repetition in (0, 1):
        judged = finished.arms["ensemble"][repetition].probs
        again = finished.ensembles[repetition]["plain"].predict_members(data.x_test).probs
        np.testing.assert_allclose(again, judged, atol=1e-6)
    assert {"single", "ensemble", "dropout", "mc_dropout"} <= {*finished.arms}


@pytest.mark.slow
@pytest.mark.parametrize("arm", ["ensemble", "dropout_ensemble"])
def test_an_exported_file_takes_raw_inputs_by_their_names(finished, arm, tmp_path):
    finished.export(tmp_path / "model.keras", arm)
    judged = finished.arms[arm][0].probs.mean(0)
    network, new = Deployed(tmp_path / "model.keras"), tmp_path / "new.npz"
    np.savez(new, **{f"x.{name}": column for name, column in part(slice(160, None)).items()})
    (rows,) = Rows(new, network.encoding, network.shape, network.dtype)
    np.testing.assert_allclose(network.predict(rows)["probabilities"], judged, atol=1e-6)
    model = keras.models.load_model(tmp_path / "model.keras")
    found = model.predict(part(slice(160, None)), verbose=0)
    np.testing.assert_allclose(found["probabilities"], judged, atol=1e-5)


@pytest.mark.slow
def test_the_page_and_the_figures_are_written(finished, tmp_path):
    page = finished.write_page(tmp_path)
    assert "picture" not in str(finished.answer())
    assert page.read_text(encoding="utf-8").count("<svg") >= 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shifts": {"rotation": "severities"}}, "got several inputs"),
        ({"other_data": "digits"}, "must have examples of the shape and type of 'both'"),
        ({"build": "mlp"}, r"mlp takes one input, and 'both' has 2 \(picture, x\)"),
    ],
)
def test_what_is_of_one_input_alone_is_refused(data, change, message):
    change = dict(change)
    with pytest.raises(InputError, match=message):
        evd.compare(data, change.pop("build", build), **FEW, **change)


def test_a_network_of_other_inputs_is_refused_before_training(data):
    def other(data, rate):
        inputs = {name: keras.Input(shape, name=f"{name}s") for name, shape in data.input_shape.items()}
        both = keras.layers.Concatenate()([keras.layers.Flatten()(one) for one in inputs.values()])
        model = keras.Model([*inputs.values()], keras.layers.Dense(3, "softmax")(both))
        model.compile("adam", "sparse_categorical_crossentropy")
        return model

    with pytest.raises(
        InputError, match=r"x must be a list of the 2 inputs that .* takes, 'pictures', 'xs', got a dict"
    ):
        evd.compare(data, other, **FEW)
