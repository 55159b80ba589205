"""The gallery from end to end: every figure from the study that describes it, shrunk to seconds."""

import math
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.commands.main import app
from ensemble_vs_dropout.datasets import load_dataset
from ensemble_vs_dropout.evaluation.findings import Fact
from ensemble_vs_dropout.experiments import Store, gallery, parse_study, plan_of, read_study, run_study
from ensemble_vs_dropout.experiments.comparing import compare
from ensemble_vs_dropout.models.builders import mlp
from ensemble_vs_dropout.plots import GALLERY

STUDIES = Path(__file__).parents[2] / "scripts" / "studies"
FEWER = {
    "exact": {"grid": {"model.units": [[4], [3, 3]], "rate": [0.5]}},
    "architectures": {"grid": {"model.units": [[8], [8, 8]]}},
    "retention": {"cases": slice(0, None, 6)},
    "trajectories": {"cases": slice(1, None, 4)},
    "eir": {"grid": {"model.units": [[4], [8]], "epochs": [1, 2]}},
    "train_size": {"grid": {"train_size": [100, 200]}},
    "cost": {"grid": {"width": [0.0625, 0.125]}},
    "datasets": {"grid": {"dataset": ["digits", "satellite", "magic"]}},
    "networks": {"cases": [{"model": {"name": "mlp", "units": [8]}}, {"model": {"name": "mlp", "units": [4]}}]},
    "trials": {"grid": {"data_seed": [0, 1]}},
}


OF_FIGURES = {drawing.study for drawing in gallery.DRAWINGS.values()}


def shrunk(path, folder):
    content = yaml.safe_load(path.read_text())
    base = content["base"]
    small = {"members": 3, "passes": 6, "epochs": 2, "resamples": 300}
    base |= {key: min(value, base.get(key, value)) for key, value in small.items()}
    base["train_size"] = 200
    if "shifts" in base:
        base["shifts"] = {"rotation": [45, 90], "translation": [4]}
    for key, fewer in FEWER.get(path.stem, {}).items():
        content[key] = content[key][fewer] if isinstance(fewer, slice) else fewer
    for case in content.get("cases", ()):
        case |= {"epochs": min(case["epochs"], 3)} if "epochs" in case else {}
    if path.stem not in ("datasets", "shifts"):  # a kind of splits each: elsewhere repetitions may train together
        base.pop("new_splits", None)
    least = 3 if base.get("new_splits") is True else 2
    content["repetitions"] = min(least, content.get("repetitions", 1))
    (folder / path.name).write_text(yaml.safe_dump(content))
    return folder / path.name


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gallery")
    kept = Store(folder / "store")
    for name in sorted(OF_FIGURES):
        file = shrunk(STUDIES / f"{name}.yaml", folder)
        study = read_study(file)
        report = run_study(plan_of(study, kept), kept, verbose=0)
        assert report.failed == {}
        kept.keep_study(study.name, file.read_text())
    return kept.folder


def test_every_figure_has_a_study_that_describes_its_runs():
    assert set(gallery.DRAWINGS) == set(GALLERY) - {"arm_intervals", "learning_curves"}
    for recipe in gallery.DRAWINGS.values():
        study = read_study(STUDIES / f"{recipe.study}.yaml")
        assert study.name == recipe.study
        assert plan_of(study).runs


def test_checkpoints_are_of_one_schedule_that_ends_with_the_longest_training():
    settings = [settings for _, settings in read_study(STUDIES / "trajectories.yaml").points()]
    longest = max(one.epochs for one in settings)
    for one in settings:
        assert one.model.model_extra["decay_steps"] == longest * math.ceil(one.train_size / one.batch_size)
    assert {len(load_dataset(settings[0].dataset, train_size=3000).x_train), settings[0].train_size} == {3000}


def test_the_page_of_changes_tells_what_was_told_before_beside_what_is_found():
    scripts = runpy.run_path(str(STUDIES.parent / "make_figures.py"))
    before = yaml.safe_load((STUDIES.parent / "earlier_facts.yaml").read_text())
    facts = [
        Fact("calibrated NLL (nats) of ensemble, mean follows", "cannot be judged", "1", "too few"),
        Fact("NLL (nats) of ensemble, mean follows a|b", "did not hold", "2"),
    ]
    rows = scripts["changed_facts"]({"power_law": facts}).splitlines()[6:]
    assert len(rows) == len(before)
    assert {row.count(" | ") for row in rows} == {3}
    told = {row.split(" | ")[1]: row.split(" | ")[2] for row in rows if row.startswith("| power law")}
    found = {was.split(": ")[1].split(",")[0]: now for was, now in told.items()}
    assert found["NLL (nats) of ensemble"] == "**did not hold**: NLL (nats) of ensemble, mean follows a\\|b (2)"
    assert found["calibrated NLL (nats) of ensemble"] == "left out"
    assert found["Brier score (0 to 2) of ensemble"] == "left out"
    assert found["NLL (nats) of MC dropout"] == "to be drawn"
    assert all(one["why"] and one["outcome"] in ("held", "did not hold") for one in before)


@pytest.mark.slow
def test_every_figure_is_drawn_from_its_own_study(store):
    sources = {source.name: source for source in gallery.read_sources([store])}
    assert set(sources) == OF_FIGURES
    for name, recipe in gallery.DRAWINGS.items():
        display = recipe.draw(sources[recipe.study])
        assert type(display) is GALLERY[name]
        assert not display.frame().empty


@pytest.mark.slow
def test_the_command_draws_all_without_tensorflow_and_writes_numbers_and_facts(store, tmp_path):
    code = (
        "import sys; from ensemble_vs_dropout.experiments.gallery import draw, read_sources;"
        f"drawn = draw(read_sources([{str(store)!r}]), {str(tmp_path)!r}, formats=['svg']);"
        "print(len(drawn), 'tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == f"{len(gallery.DRAWINGS)} False"
    for name in gallery.DRAWINGS:
        assert (tmp_path / f"{name}.svg").stat().st_size > 5_000
        assert (tmp_path / f"{name}.csv").exists()
        assert f"{name}: drawn from " in done.stdout
    assert (tmp_path / "facts.csv").read_text().startswith("figure,statement,outcome,numbers,reason\n")


@pytest.mark.slow
def test_a_comparison_allows_what_it_has_and_tells_what_the_others_need(tmp_path):
    run = tmp_path / "run"
    compare(
        load_dataset("digits", train_size=100), mlp(units=(8,)), members=3, passes=6, epochs=2, repetitions=2, out=run,
        rate=0.5, controls=True, probe=False, verbose=0,
    )  # fmt: skip
    source, as_a_study = gallery.read_sources([run])
    assert isinstance(source, gallery.ComparisonSource)
    assert isinstance(as_a_study, gallery.StudySource)
    curves = gallery.DRAWINGS["ensemble_size"].make(source).frame()
    assert set(curves[curves.role == "reference"].arm) == {"single", "dropout", "wide"}
    done = CliRunner().invoke(app, ["figures", "--from", str(run), "--out", str(tmp_path / "out"), "--formats", "svg"])
    assert done.exit_code == 0, done.exception
    for name in ("mc_vs_weight_scaling", "ensemble_size", "combiner_comparison", "reliability_pooling", "kappa_error"):
        assert f"{name}: drawn from " in done.stdout
        assert (tmp_path / "out" / f"{name}.svg").exists()
    told = next(line for line in done.stdout.splitlines() if line.startswith("shift_robustness"))
    assert told.endswith("needs a study with shifts, as scripts/studies/shifts.yaml of the repository describes one")


@pytest.mark.slow
def test_a_study_draws_its_own_figures(store, tmp_path):
    file = store.parent / "train_size.yaml"
    done = CliRunner().invoke(
        app, ["study", "figures", str(file), "--store", str(store), "--out", str(tmp_path), "--formats", "svg"]
    )
    assert done.exit_code == 0, done.exception
    assert "dataset_size: drawn from train_size" in done.stdout
    assert "retention_sweep: needs a study that varies the rate" in done.stdout


def test_what_is_no_source_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no finished run"):
        gallery.read_sources([tmp_path])
    Store(tmp_path / "store")
    with pytest.raises(InputError, match="knows no study"):
        gallery.read_sources([tmp_path / "store"])


@pytest.mark.parametrize("wrong", [{"formats": ["jpeg"]}, {"width": "wide"}, {"style": "poster"}])
def test_what_cannot_be_drawn_is_refused_before_anything_is(tmp_path, wrong):
    with pytest.raises(InputError, match=r"unknown (format 'jpeg'|width 'wide'|style 'poster')"):
        gallery.draw([], tmp_path / "out", **wrong)
    assert not (tmp_path / "out").exists()


OWN = """
import keras

def build(data, rate):
    layers = [keras.Input(data.input_shape), keras.layers.Flatten(), keras.layers.Dense(8, "relu")]
    layers += [keras.layers.Dropout(rate)] if rate else []
    model = keras.Sequential([*layers, keras.layers.Dense(len(data.classes), "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    return model
"""
OF_ONE = {
    "mc_vs_weight_scaling", "ensemble_size", "combiner_comparison", "accuracy_vs_confidence", "reliability_pooling",
    "deep_ensemble_equivalent", "kappa_error",
}  # fmt: skip


@pytest.mark.slow
def test_a_study_of_a_network_of_the_users_own_has_the_figures_of_one_comparison(tmp_path, monkeypatch):
    (tmp_path / "network_of_my_own.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    text = "name: own\nbase: {dataset: digits, model: 'network_of_my_own:build', members: 3, passes: 6, epochs: 2}\n"
    kept, study = Store(tmp_path / "store"), parse_study(text)
    assert run_study(plan_of(study, kept), kept, verbose=0).failed == {}
    kept.keep_study(study.name, text)
    made = dict(gallery.figures(gallery.read_sources([kept.folder])))
    drawn = {name for name, one in made.items() if not isinstance(one, str)}
    assert drawn >= OF_ONE, {name: made[name] for name in OF_ONE - drawn}
    assert "needs predictions of other data" in made["ood_entropy_hist"]


def test_an_error_in_a_drawing_is_not_told_as_something_missing(monkeypatch):
    def wrong(source):
        raise KeyError("units")

    drawing = gallery.drawings.Drawing(wrong, "main", "nothing", of_study=False)
    monkeypatch.setattr(gallery.drawn, "DRAWINGS", {"power_law": drawing})
    with pytest.raises(KeyError, match="units"):
        dict(gallery.figures([gallery.ComparisonSource(None, "s")]))
