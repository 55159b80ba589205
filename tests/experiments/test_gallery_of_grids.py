"""Studies over several keys: what a figure does not show has panels of its own, or is one value and said to be."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.commands.main import app
from ensemble_vs_dropout.evaluation.verdict import find_contrast
from ensemble_vs_dropout.experiments import Store, gallery, plan_of, read_study
from ensemble_vs_dropout.plots import Facets

spec = importlib.util.spec_from_file_location("made_runs", Path(__file__).parent / "made_runs.py")
made = importlib.util.module_from_spec(spec)
spec.loader.exec_module(made)

STUDY = """
name: grid
base:
  {{dataset: digits, train_size: 200, model: {{name: mlp, units: [8]}}, members: 3, passes: 4, epochs: 3,
  patience: null, metrics: [error, nll, brier], resamples: 100, {more}}}
grid: {grid}
repetitions: 2
"""
THREE = "{rate: [0.2, 0.5], train_size: [100, 200], model.units: [[8], [16]]}"


def study(grid, more="", dataset="digits"):
    return made.study_of(STUDY.format(grid=grid, more=more).replace("dataset: digits", f"dataset: {dataset}"))


@pytest.fixture(scope="module")
def three():
    return study(THREE)


OVER = {  # what is drawn of which grid, and the keys whose values have panels of their own
    "retention_sweep": (THREE, "", ["train_size", "model.units"]),
    "dataset_size": (THREE, "", ["rate", "model.units"]),
    "learning_curves_gap": (THREE, "", ["rate", "train_size"]),
    "shift_robustness": ("{rate: [0.2, 0.5], train_size: [100, 200]}", "shifts: {rotation: [15, 30]}", None),
    "diversity_accuracy_plane": ("{epochs: [1, 2], rate: [0.2, 0.5], train_size: [100, 200]}", "", ["train_size"]),
    "eir_vs_der": ("{epochs: [1, 2], rate: [0.2, 0.5], train_size: [100, 200]}", "", ["rate"]),
    "cost_frontier": ("{width: [0.5, 1], rate: [0.2, 0.5], members: [2, 3]}", "", ["rate"]),
    "paired_differences": ("{dataset: [digits, satellite], train_size: [100, 200]}", "", ["train_size"]),
    "critical_difference": ("{dataset: [digits, satellite], train_size: [100, 200]}", "", ["train_size"]),
    "bias_variance_diversity": ("{data_seed: [0, 1], train_size: [50, 100]}", "", ["train_size"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OVER)
def test_further_keys_have_panels_of_their_own(name):
    grid, more, keys = OVER[name]
    source = study(grid, more, "fashion_mnist_10k" if "data_seed" in grid else "digits")
    keys = keys or ["rate", "train_size"]
    display = gallery.DRAWINGS[name].draw(source)
    assert isinstance(display, Facets)
    assert f"for each {' and '.join(keys)}" in display.caption
    combinations = int(np.prod([len(source.values(key)) for key in keys]))
    assert len(display.parts) == combinations
    table = display.frame()
    columns = [f"study_{key}" if f"study_{key}" in table else key for key in keys]
    assert table.groupby(columns).ngroups == combinations
    if "repetitions" in table:
        assert (table.repetitions == 2).all()  # all of them are in the band


def test_panels_hold_the_scores_of_their_own_points(three):
    frame = gallery.DRAWINGS["dataset_size"].draw(three).frame()
    table = three.table
    own = (table.arm == "ensemble") & (table["rule"] == "mean") & (table.metric == "error")
    own &= (table.rate == 0.5) & (table.train_size == 200)
    for units in ("[8]", "[16]"):
        of_point = table[own & (table["model.units"] == units)]
        assert sorted(of_point.repetition) == [0, 1]
        there = (frame.rate == 0.5) & (frame["model.units"] == units) & (frame.train_size == 200)
        found = frame[there & (frame.panel == "metric") & (frame.arm == "ensemble")].value
        assert found.item() == pytest.approx(of_point.value.mean())
    assert table[own].value.nunique() == 4


def test_what_each_point_leaves_no_choice_of_has_no_panels():
    text = STUDY.format(grid="{epochs: [3]}", more="").replace("grid:", "cases:").replace("{epochs: [3]}", "")
    text = text.replace("cases:", "cases: [{dataset: digits, train_size: 100}, {dataset: satellite, train_size: 200}]")
    display = gallery.DRAWINGS["paired_differences"].draw(made.study_of(text))
    assert not isinstance(display, Facets)


OF_ONE_POINT = [name for name, drawing in gallery.DRAWINGS.items() if drawing.over is None]
CHEAP = {"kappa_error", "disagreement_images", "combiner_comparison", "mc_vs_weight_scaling", "activations"}


@pytest.mark.parametrize("name", sorted(CHEAP & set(OF_ONE_POINT)))
def test_a_figure_of_one_point_says_which_and_another_can_be_chosen(three, name):
    drawing = gallery.DRAWINGS[name]
    first = drawing.draw(three)
    said = "rate = 0.2 (of 0.2, 0.5), train_size = 100 (of 100, 200), model.units = [8] (of [8], [16])"
    assert said in first.caption
    other = drawing.draw(three, {"rate": 0.5, "model.units": [16]})
    assert "rate = 0.5 (of 0.2, 0.5), model.units = [16] (of [8], [16]), train_size = 100" in other.caption.replace(
        "repetition = 0 (of 0, 1), ", ""
    )
    assert not other.frame().equals(first.frame())


OF_ONE_REPETITION = {"activations", "disagreement_images", "rotated_example"}


def test_a_figure_of_one_repetition_says_which_and_another_can_be_chosen(three):
    assert {name for name, one in gallery.DRAWINGS.items() if one.of_one} == OF_ONE_REPETITION
    drawing = gallery.DRAWINGS["disagreement_images"]
    first, second = (drawing.draw(three, {"repetition": number}) for number in (0, 1))
    assert "repetition = 1 (of 0, 1)" in second.caption
    assert "repetition = 0 (of 0, 1)" in drawing.draw(three).caption
    assert first.frame().equals(drawing.draw(three).frame())
    assert not first.frame().equals(second.frame())
    assert "repetition" not in gallery.DRAWINGS["kappa_error"].draw(three).caption.partition("Of the study")[2]


def test_a_study_of_one_point_and_repetition_says_nothing_of_it():
    display = gallery.DRAWINGS["disagreement_images"].draw(
        made.study_of(STUDY.format(grid="{}", more="").replace("repetitions: 2", ""))
    )
    assert "Of the study" not in display.caption


def test_a_choice_leaves_fewer_panels_and_stands_in_the_caption(three):
    display = gallery.DRAWINGS["dataset_size"].draw(three, {"model.units": [16]})
    assert list(display.frame().rate.unique()) == [0.2, 0.5]
    assert "Of the study: model.units = [16] (of [8], [16])" in display.caption
    alone = gallery.DRAWINGS["dataset_size"].draw(three, {"model.units": [16], "rate": 0.5})
    assert not isinstance(alone, Facets)
    assert alone.title.endswith("digits, mlp 16")


def test_the_width_has_panels_unless_it_grows_as_units_are_dropped():
    rates = "{rate: [0.2, 0.5], width: [1, 2]}"
    display = gallery.DRAWINGS["retention_sweep"].draw(study(rates))
    assert display.frame().groupby("study_width").width.unique().map(list).to_dict() == {1: [1], 2: [2]}
    cases = "[{rate: 0.2}, {rate: 0.5}, {rate: 0.2, width: 1.25}, {rate: 0.5, width: 2}]"
    scaled = made.study_of(STUDY.format(grid=cases, more="").replace("grid:", "cases:"))
    display = gallery.DRAWINGS["retention_sweep"].draw(scaled)
    assert list(display.frame().panel.unique()) == ["fixed", "scaled"]


def test_ensembles_of_several_sizes_are_beside_one_single_network():
    frame = gallery.DRAWINGS["cost_frontier"].draw(study("{width: [0.5, 1], members: [2, 3]}")).frame()
    members = frame[frame.panel != "split"].groupby("arm").members.unique().map(sorted)
    assert members.to_dict() == {"single": [1], "ensemble": [2, 3], "dropout": [1], "mc_dropout": [4]}
    assert set(frame[frame.panel == "split"].members) <= {1, 2, 3}


def test_clouds_of_dropout_are_of_the_most_epochs():
    up, down = (
        gallery.DRAWINGS["diversity_accuracy_plane"].draw(study(f"{{epochs: {epochs}, rate: [0.2, 0.5]}}")).frame()
        for epochs in ([1, 2], [2, 1])
    )
    assert up.equals(down)


@pytest.mark.slow
def test_networks_of_all_repetitions_are_in_each_trial():
    source = study("{data_seed: [0, 1]}", "", "fashion_mnist_10k")
    frame = gallery.DRAWINGS["bias_variance_diversity"].draw(source).frame()
    assert frame.members.max() == 6


@pytest.mark.slow
def test_more_panels_than_can_be_read_are_refused_and_fewer_can_be_chosen():
    source = study("{train_size: [100, 200], rate: [0.1, 0.2, 0.3, 0.4], batch_size: [8, 16, 32, 64]}")
    told = dict(gallery.figures([source]))["dataset_size"]
    assert "at most 24 panels together, got 32 in 16 figures, one for each rate and batch_size" in told
    drawn = dict(gallery.figures([source], {"batch_size": 8}))["dataset_size"]
    assert len(drawn.display.parts) == 4


@pytest.mark.parametrize(
    ("at", "told"),
    [
        ({"width": 1}, "unknown key of at 'width'; known: rate, train_size, model.units, repetition"),
        ({"rate": 0.35}, r"unknown value of rate '0.35'.*; known: 0.2, 0.5"),
        ({"repetition": 2}, "unknown value of repetition '2'; known: 0, 1"),
    ],
)
def test_a_choice_that_no_study_has_is_refused(three, at, told):
    with pytest.raises(InputError, match=told):
        dict(gallery.figures([three], at))


@pytest.mark.slow
def test_the_command_takes_the_choice(tmp_path):
    text = STUDY.format(grid="{rate: [0.2, 0.5], train_size: [100, 200]}", more="")
    file, kept = tmp_path / "grid.yaml", Store(tmp_path / "store")
    file.write_text(text)
    plan = plan_of(read_study(file))
    for run in plan.runs:
        kept.put(run, made.files_of(run))
    kept.keep_study("grid", text)
    shared = ["--store", str(kept.folder), "--formats", "svg", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, ["study", "figures", str(file), *shared, "--at", "rate=0.5"])
    assert done.exit_code == 0, done.exception
    assert "kappa_error: drawn from grid" in done.stdout
    assert "dataset_size: drawn from grid" in done.stdout
    assert "rate = 0.5 (of 0.2, 0.5)" in (tmp_path / "out" / "kappa_error.svg").read_text()
    wrong = CliRunner().invoke(app, ["study", "figures", str(file), *shared, "--at", "rate"])
    assert "where must be KEY=VALUE" in str(wrong.exception)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("grid", "names"),
    [
        ("{rate: [0.2, 0.5]}", ["rate 0.2", "rate 0.5"]),
        ("{epochs: [1, 2]}", ["epochs 1", "epochs 2"]),
        ("{members: [2, 3], train_size: [100, 200]}", None),
        ("{label_noise: [0.1, 0.125]}", None),
    ],
)
def test_the_forest_of_a_study_has_every_point_by_its_own_name(grid, names):
    source = study(grid)
    display = gallery.DRAWINGS["planned_questions"].draw(source)
    found = list(display.frame().comparison.unique())
    assert len(found) == len(list(source.comparisons())) == len({*found}) >= 2
    assert names is None or found == names
    contrasts = {words: one.contrasts for words, one in source.comparisons()}
    for row in display.frame().itertuples():
        one = find_contrast(contrasts[row.comparison], row.arm_a, row.rule_a, row.arm_b, row.rule_b, row.metric)
        assert row.value == one.difference


@pytest.mark.slow
def test_a_forest_that_nobody_can_read_is_refused():
    with pytest.raises(InputError, match=r"more than 6 points cannot be read; choose some with --where KEY=VALUE"):
        gallery.DRAWINGS["planned_questions"].draw(study("{epochs: [1, 2, 3, 4, 5, 6, 7]}"))
