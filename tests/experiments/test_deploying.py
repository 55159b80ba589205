"""An arm of a comparison as one file: it predicts for the user's rows what was judged."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from bare import BARE

import ensemble_vs_dropout as evd
from ensemble_vs_dropout.datasets import from_arrays
from ensemble_vs_dropout.datasets.rows import Rows
from ensemble_vs_dropout.experiments.comparison import Comparison
from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.predictors.deployed import Deployed


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A csv file of two kinds of columns with holes."""
    rng, examples = np.random.default_rng(0), 240
    frame = pd.DataFrame(
        {
            "since": pd.date_range("2001-01-01", periods=examples, freq="7D").strftime("%Y-%m-%d"),
            "age": rng.integers(18, 80, examples).astype(float),
            "town": rng.choice(["Rome", "Oslo", "Bern"], examples),
        }
    )
    frame["label"] = np.where(frame.town.eq("Rome") ^ (frame.age > 60), "yes", "no")
    frame.loc[::9, "age"], frame.loc[::11, "town"] = np.nan, None
    path = tmp_path_factory.mktemp("table") / "people.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def finished(table):
    """A comparison in a folder, and read again from there."""
    few = {"members": 2, "passes": 5, "repetitions": 2, "epochs": 3, "batch_size": 32, **BARE, "controls": True}
    evd.compare(str(table), target="label", missing="median", out=table.parent / "run", **few)
    return Comparison.load(table.parent / "run")


def predicted(path, table, numbers):
    """What the file predicts for these rows of the table."""
    network = Deployed(path)
    (part,) = Rows(table, network.encoding, network.shape, network.dtype)
    return network.predict({name: values[numbers] for name, values in part.items()})


@pytest.fixture(scope="module")
def tested(table):
    """The rows of the table that were tested on, in the order of the test part."""
    from ensemble_vs_dropout.datasets.splits import Plan, hold_out
    from ensemble_vs_dropout.seeds import stream

    labels = (pd.read_csv(table).label == "yes").to_numpy(int)
    return hold_out(labels, Plan().test_fraction, stream(0, "split", "test"), "test_fraction", ("no", "yes"))[1]


@pytest.mark.slow
@pytest.mark.parametrize("repetition", [0, 1])
@pytest.mark.parametrize("arm", ["single", "ensemble", "dropout", "dropout_ensemble", "wide"])
def test_the_file_predicts_for_raw_rows_what_was_judged(finished, table, tested, arm, repetition, tmp_path):
    told = finished.export(tmp_path / "model.keras", arm, repetition=repetition)
    judged = finished.arms[arm][repetition].probs
    alone = arm in ("single", "dropout")
    assert (told["arm"], told["rule"], told["members"]) == (arm, "mean", 1 if alone else len(judged))
    found = predicted(tmp_path / "model.keras", table, tested)
    np.testing.assert_allclose(found["probabilities"], judged[0] if alone else judged.mean(0), atol=1e-6)


def functional(data, rate):
    """A network whose layers are calls."""
    inputs = keras.Input(data.input_shape)
    hidden = (
        keras.layers.Dropout(rate)(keras.layers.Dense(8, "relu")(inputs)) if rate else keras.layers.Dense(8)(inputs)
    )
    model = keras.Model(inputs, keras.layers.Dense(len(data.classes), "softmax")(hidden))
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


@pytest.mark.slow
@pytest.mark.parametrize("arm", ["ensemble", "dropout_ensemble"])
def test_functional_networks_are_built_anew_from_the_folder(table, tested, tmp_path, arm):
    few = {"members": 2, "passes": 2, "repetitions": 1, "epochs": 1, **BARE}
    evd.compare(str(table), functional, target="label", missing="median", out=tmp_path / "run", **few)
    read = Comparison.load(tmp_path / "run")
    read.export(tmp_path / "model.keras", arm)
    found = predicted(tmp_path / "model.keras", table, tested)
    np.testing.assert_allclose(found["probabilities"], read.arms[arm][0].probs.mean(0), atol=1e-6)


OWN = """
import keras

class Scale(keras.layers.Layer):
    def build(self, shape):
        self.w = self.add_weight((1,), initializer="ones")

    def call(self, x):
        return x * self.w

def build(data, rate):
    drop = [keras.layers.Dropout(rate)] if rate else []
    head = keras.layers.Dense(len(data.classes), "softmax")
    model = keras.Sequential([keras.Input(data.input_shape), Scale(), keras.layers.Dense(UNITS, "relu"), *drop, head])
    model.compile("adam", "sparse_categorical_crossentropy")
    return model
"""


@pytest.mark.slow
def test_networks_with_layers_of_ones_own_are_built_by_the_function_that_the_run_names(table, tmp_path):
    """Each step is a process of its own, as on the command line: nothing is registered with Keras."""

    def evd_says(*arguments):
        command = [sys.executable, "-m", "ensemble_vs_dropout", *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        return done.returncode, done.stdout, done.stderr

    (tmp_path / "own_nets.py").write_text(OWN.replace("UNITS", "8"))
    few = "--members 2 --passes 2 --repetitions 1 --epochs 1 --rate 0.5 --no-probe --out run --quiet --missing median"
    asked = ["compare", "--dataset", str(table), "--target", "label", "--model", "own_nets:build", *few.split()]
    assert evd_says(*asked)[0] == 0
    assert evd_says("export", "run", "--arm", "ensemble", "--out", "model.keras")[0] == 0
    code, _, told = evd_says("predict", "model.keras", str(table))
    assert code == 2
    assert "it needs the class 'Scale'; name the module that holds layers of your own (evd predict --import)" in told
    code, said, _ = evd_says("predict", "model.keras", str(table), "--import", "own_nets")
    assert (code, len(said.splitlines())) == (0, 241)
    (tmp_path / "own_nets.py").write_text(OWN.replace("UNITS", "9"))
    code, _, told = evd_says("export", "run", "--arm", "ensemble", "--out", "model.keras")
    assert code == 2
    assert "'own_nets:build' makes another network now than in" in told


@pytest.mark.slow
def test_passes_become_the_networks_of_fixed_masks(finished, table, tested, tmp_path):
    told = finished.export(tmp_path / "model.keras", "mc_dropout", "majority_vote", passes=3)
    assert told["members"] == 3
    network = finished.ensembles[0]["dropout"].models[0]
    data = evd.load_dataset(table, target="label", missing="median")
    seed = evd.MonteCarloDropout(network, 3, seed=_masks(0), masks="shared")
    expected = seed.predict(data.x_test, rule="majority_vote")
    found = predicted(tmp_path / "model.keras", table, tested)
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-6)
    assert finished.to_keras("mc_dropout").output["mutual_information"].shape == (None,)


def _masks(repetition):
    from ensemble_vs_dropout.seeds import derive

    return derive(0, "masks", repetition)


@pytest.mark.slow
def test_the_arm_of_the_answer_is_what_is_exported_if_none_is_named(finished, tmp_path):
    assert finished.export(tmp_path / "model.keras")["arm"] == finished.answer().use.arm


@pytest.mark.slow
def test_what_does_not_exist_is_refused(finished, tmp_path):
    with pytest.raises(evd.InputError, match="unknown arm 'ensembel'"):
        finished.export(tmp_path / "model.keras", "ensembel")
    with pytest.raises(evd.InputError, match="repetition must be 0 to 1, got 2"):
        finished.export(tmp_path / "model.keras", "single", repetition=2)
    with pytest.raises(evd.InputError, match=r"out must end in \.keras"):
        finished.export(tmp_path / "model.h5", "single")
    with pytest.raises(evd.InputError, match="passes must be a whole number of at least 1, got 0"):
        finished.export(tmp_path / "model.keras", "mc_dropout", passes=0)
    with pytest.raises(evd.InputError, match="unknown rule 'median'"):
        finished.export(tmp_path / "model.keras", "ensemble", "median")
    assert [*tmp_path.iterdir()] == []


def _without_inputs(store):
    """Make the runs of a store as they were before they told what their networks take."""
    for manifest in store.glob("runs/*/manifest.json"):
        sums = json.loads(manifest.read_text())
        del sums["inputs.json"]
        manifest.write_text(json.dumps(sums))
        (manifest.parent / "inputs.json").unlink()


@pytest.mark.slow
def test_runs_of_before_tell_by_their_data(finished, table, tested, tmp_path):
    copied = table.with_name("copy.csv")
    copied.write_bytes(table.read_bytes())
    few = {"members": 2, "passes": 2, "repetitions": 1, "epochs": 1, "arms": ["single", "ensemble"], **BARE}
    evd.compare(str(copied), target="label", missing="median", out=tmp_path / "run", **few)
    _without_inputs(tmp_path / "run")
    old = Comparison.load(tmp_path / "run")
    old.save(tmp_path / "elsewhere")  # what is not there is not missed
    old.export(tmp_path / "model.keras", "single")
    found = predicted(tmp_path / "model.keras", copied, tested)
    np.testing.assert_allclose(found["probabilities"], old.arms["single"][0].probs[0], atol=1e-6)
    copied.write_text(copied.read_text().replace("Rome", "Roma"))
    with pytest.raises(evd.InputError, match="run the same comparison into a new folder to export it"):
        old.export(tmp_path / "model.keras", "single")
    copied.unlink()
    with pytest.raises(evd.InputError, match="its data cannot be loaded"):
        old.export(tmp_path / "model.keras", "single")


@pytest.mark.slow
def test_arrays_given_in_python_are_exported_too(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(50, 3, (120, 4))
    y = (x[:, 0] > 50).astype(int)
    data = from_arrays(x[:80], y[:80], x[80:], y[80:])
    few = {"members": 2, "passes": 2, "repetitions": 1, "epochs": 1, "arms": ["single", "ensemble"], **BARE}
    comparison = evd.compare(data, **few)
    model = comparison.to_keras("ensemble")
    np.testing.assert_allclose(
        model(x[80:])["probabilities"],
        comparison.arms["ensemble"][0].probs.mean(0),
        atol=1e-6,
    )
