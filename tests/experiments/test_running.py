import io
import json

import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.datasets import OVADIA, shift
from ensemble_vs_dropout.evaluation import Evaluator
from ensemble_vs_dropout.experiments import make_plan, parse_study
from ensemble_vs_dropout.experiments.comparing import compare
from ensemble_vs_dropout.experiments.running import Given, builder_of, conditions, data_of, make_runs
from ensemble_vs_dropout.experiments.settings import ModelSettings
from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.models.builders import mlp
from ensemble_vs_dropout.types import Predictions

BASE = (
    "name: t\nbase: {dataset: digits, train_size: 100, model: {name: mlp, units: [8]}, members: 2, passes: 3, epochs: 2"
)


def runs_of(more=""):
    return make_plan(parse_study(f"{BASE}{more}}}\n")).runs


def scores_of(run):
    ((_, files),) = make_runs([run], run.members)
    content = json.loads(files["scores.json"])
    return [dict(zip(content["columns"], row, strict=True)) for row in content["data"]], files


@pytest.mark.slow
def test_networks_that_predict_a_number_are_refused():
    def numbers(data, rate):
        layers = [keras.Input((8, 8)), keras.layers.Flatten(), keras.layers.Dropout(rate), keras.layers.Dense(1)]
        model = keras.Sequential(layers)
        model.compile("sgd", "mse")
        return model

    with pytest.raises(InputError, match="model 'mlp' must be a classifier, got networks that predict a number"):
        list(make_runs(runs_of(), 2, given=Given(builder=numbers)))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_a_seed_means_the_same_split_networks_and_masks_in_a_study_and_a_comparison(seed):
    """From Python and from a study; the command line hands `seed` to both, see tests/commands/test_main.py."""
    settings = {
        "controls": False,
        "probe": False,
        "members": 2,
        "passes": 3,
        "epochs": 2,
        "repetitions": 1,
        "rate": 0.5,
        "batch_size": 512,
    }
    comparison = compare("digits", mlp(units=(8,)), **settings, seed=seed, verbose=0)
    text = "name: t\nbase: {dataset: digits, model: {name: mlp, units: [8]}, members: 2, passes: 3, epochs: 2"
    runs = make_plan(parse_study(f"{text}, batch_size: 512, seed: {seed}}}\n")).runs
    assert len(runs) == 2
    for run in runs:
        for row in scores_of(run)[0]:
            found = comparison.scores[
                (comparison.scores.arm == row["arm"])
                & (comparison.scores.rule == row["rule"])
                & (comparison.scores.metric == row["metric"])
            ]
            assert row["value"] == pytest.approx(found.value.iloc[0], rel=1e-5)


@pytest.mark.slow
def test_shifts_are_further_conditions_of_the_same_predictions():
    run = next(
        r
        for r in runs_of(", metrics: [error], shifts: {rotation: [30, 90], blur: severities}")
        if r.spec["recipe"] == "plain"
    )
    rows, files = scores_of(run)
    seen = sorted({(row["condition"], row["severity"]) for row in rows})
    assert seen == [*(("blur", float(s)) for s in range(1, 6)), ("clean", 0.0), ("rotation", 30.0), ("rotation", 90.0)]
    clean = [row["value"] for row in rows if row["condition"] == "clean"]
    plain = scores_of(next(r for r in runs_of(", metrics: [error]") if r.spec["recipe"] == "plain"))[0]
    assert clean == pytest.approx([row["value"] for row in plain])
    assert b"rotation" not in files["environment.json"]


def test_amounts_severities_and_published_grids_are_told_apart():
    found = list(conditions({"rotation": "ovadia", "blur": "severities", "translation": [2, 4]}))
    assert [amount for name, amount in found if name == "rotation"] == [{"amount": a} for a in OVADIA["rotation"]]
    assert [amount for name, amount in found if name == "blur"] == [{"severity": s} for s in range(1, 6)]
    assert [amount for name, amount in found if name == "translation"] == [{"amount": 2}, {"amount": 4}]
    for name, amount in found[:1] + found[-1:]:
        assert shift(np.zeros((2, 8, 8), np.float32), name, **amount).shape == (2, 8, 8)


@pytest.mark.slow
def test_other_data_are_judged_by_each_detector(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.random((120, 8, 8), dtype=np.float32), np.arange(120) % 10
    np.savez(tmp_path / "noise.npz", x=x, y=y)
    rows, _ = scores_of(runs_of(f", other_data: {tmp_path / 'noise.npz'}")[1])
    found = [row for row in rows if row["metric"] == "auroc"]
    assert {(row["arm"], row["rule"]) for row in found} == {
        (arm, rule)
        for arm in ("dropout", "mc_dropout", "dropout_ensemble")
        for rule in ("max_probability", "entropy", "mutual_information")
    }
    for row in found:
        assert row["condition"] == "noise"
        assert row["low"] - 1e-9 <= row["value"] <= row["high"] + 1e-9


@pytest.mark.slow
def test_other_data_of_another_shape_are_refused():
    with pytest.raises(InputError, match="other_data must have examples of the shape and type of 'digits'"):
        scores_of(runs_of(", other_data: letter")[0])


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (", shifts: [rotatio]", "unknown shift 'rotatio'; did you mean 'rotation'"),
        (", shifts: {blur: ovadia}", "unknown grid of Ovadia et al. 'blur'"),
        (", shifts: {blur: [-1]}", "blur must be severities, ovadia, or a list of amounts of at least 0, got"),
    ],
)
def test_shifts_that_cannot_be_are_refused(more, told):
    with pytest.raises(InputError, match=told):
        runs_of(more)


@pytest.mark.slow
def test_scores_are_those_of_the_saved_predictions():
    run = runs_of()[1]
    rows, files = scores_of(run)
    with np.load(io.BytesIO(files["predictions.npz"]), allow_pickle=False) as file:
        beside = "further/test/mc_dropout/"  # the passes of the first network are kept, and what the others say
        further = {name.removeprefix(beside): file[name] for name in file.files if name.startswith(beside)}
        assert {len(others) for others in further.values()} == {1}
        arms = {"mc_dropout": Predictions(file["test/mc_dropout"], further=further)}
        again = Evaluator(resamples=1000).scores(arms, file["labels/test"])
    mine = {(row["rule"], row["metric"]): row["value"] for row in rows if row["arm"] == "mc_dropout"}
    for row in again.itertuples():
        assert mine[row.rule, row.metric] == pytest.approx(row.value, nan_ok=True)


@pytest.mark.slow
def test_models_can_be_built_again_from_what_is_kept():
    run = runs_of()[0]
    _, files = scores_of(run)
    model = keras.saving.deserialize_keras_object(json.loads(files["models.json"]), safe_mode=True)
    with np.load(io.BytesIO(files["models.npz"]), allow_pickle=False) as file:
        weights = [file[f"0/{number}"] for number in range(len(model.get_weights()))]
    model.set_weights(weights)
    data = data_of(run.settings)
    with np.load(io.BytesIO(files["predictions.npz"]), allow_pickle=False) as file:
        expected = file["test/ensemble"][0]
    np.testing.assert_allclose(keras.ops.softmax(model(data.x_test, training=False)), expected, atol=1e-5)


def test_a_builder_of_the_users_own_takes_no_settings():
    with pytest.raises(InputError, match="takes no settings of a study, got units"):
        builder_of(ModelSettings(name="mine:build", units=[3]))


def noisy(data, rate):
    layers = [keras.Input(data.input_shape), keras.layers.Flatten(), keras.layers.GaussianDropout(rate)]
    model = keras.Sequential([*layers, keras.layers.Dense(len(data.classes))])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


@pytest.mark.slow
@pytest.mark.parametrize("builder", [None, noisy], ids=["a number", "another network"])
def test_runs_of_several_rates_find_together_what_each_finds_alone(builder):
    """Where the rate is no number of a program, the networks of each rate are trained apart."""
    study = f"{BASE}}}\ngrid: {{rate: [0.1, 0.3, 0.6]}}\n"
    (group,) = (group for group in make_plan(parse_study(study)).groups if group.runs[0].recipe == "dropout")
    assert [run.settings.rate for run in group.runs] == [0.1, 0.3, 0.6]
    given = Given(builder=builder)
    together = list(make_runs(group.runs, group.planned, given=given))
    for run, files in together:
        ((_, alone),) = make_runs([run], group.planned, given=given)
        with np.load(io.BytesIO(files["models.npz"])) as mine, np.load(io.BytesIO(alone["models.npz"])) as other:
            assert mine.files == other.files
            for name in mine.files:
                np.testing.assert_allclose(mine[name], other[name], rtol=1e-3, atol=1e-5)
        architectures = [json.loads(one["environment.json"])["architecture"] for one in (files, alone)]
        assert architectures[0] == architectures[1]
    assert len({json.loads(files["environment.json"])["architecture"] for _, files in together}) == 3


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["wide", "dropout"])
def test_runs_of_one_group_find_what_each_finds_alone(recipe):
    """Whatever they differ in: numbers of networks, rates, sizes, labels and seeds of data."""
    what = "recipes: [plain], controls: true" if recipe == "wide" else "recipes: [dropout]"
    varied = (
        "{members: 1, train_size: 60, data_seed: 0}, {members: 2, train_size: 100, label_noise: 0.2, data_seed: 1}, "
    )
    varied += "{members: 2, train_size: 100, rate: 0.5, data_seed: 0}, {members: 2, train_size: 60, data_seed: 0}"
    plan = make_plan(parse_study(f"{BASE}, patience: 1, {what}}}\ncases: [{varied}]"))
    (group,) = (group for group in plan.groups if group.runs[0].recipe == recipe)
    assert len(group.runs) == 4
    seen = set()
    for run, files in make_runs(group.runs, group.planned):
        ((_, alone),) = make_runs([run], run.members)
        found, expected = (json.loads(one["scores.json"]) for one in (files, alone))
        assert [row[:4] for row in found["data"]] == [row[:4] for row in expected["data"]]
        values = [[row[found["columns"].index("value")] for row in one["data"]] for one in (found, expected)]
        np.testing.assert_allclose(*values, rtol=1e-3, atol=1e-6)
        for name in ("parameters", "data_sha256", "notes", "sizes", "architecture"):
            assert json.loads(files["environment.json"])[name] == json.loads(alone["environment.json"])[name]
        seen.add(json.loads(files["environment.json"])["parameters"])
    assert len(seen) == (2 if recipe == "wide" else 1)
