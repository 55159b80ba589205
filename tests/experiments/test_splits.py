"""`compare(splits=)`, and `new_splits` of a study: every repetition on parts of the data of its own."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from bare import BARE
from typer.testing import CliRunner

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.commands.main import app
from ensemble_vs_dropout.datasets import from_arrays, load_dataset
from ensemble_vs_dropout.evaluation import Evaluator
from ensemble_vs_dropout.evaluation.evaluator import OVER_SPLITS
from ensemble_vs_dropout.experiments import Store, make_plan, parse_study, plan_of, run_study
from ensemble_vs_dropout.experiments.comparing import compare
from ensemble_vs_dropout.experiments.comparison import Comparison, comparisons
from ensemble_vs_dropout.experiments.gallery import DRAWINGS, Lacking, StudySource, read_sources
from ensemble_vs_dropout.experiments.running import data_of
from ensemble_vs_dropout.experiments.store import Memory
from ensemble_vs_dropout.measures import METRICS
from ensemble_vs_dropout.measures.significance import corrected_t_test
from ensemble_vs_dropout.models.builders import mlp
from ensemble_vs_dropout.types import PARTS

SMALL = BARE | {"members": 2, "passes": 3, "epochs": 2, "train_size": 400}
STUDY = """name: two rates
base: {dataset: digits, model: {name: mlp, units: [8]}, members: 2, passes: 3, epochs: 2, train_size: 400,
  new_splits: true}
grid: {rate: [0.2, 0.5]}
repetitions: 3
"""


def planned(given="", repetitions=3, **options):
    text = f"name: p\nbase: {{dataset: digits, members: 3, epochs: 2{given}}}\nrepetitions: {repetitions}\n"
    return make_plan(parse_study(text), **options)


def by_repetition(plan):
    return {(run.recipe, run.repetition): run for run in plan.runs}


def test_runs_without_new_splits_have_the_spec_that_they_had():
    without, within = by_repetition(planned()), by_repetition(planned(", new_splits: true"))
    assert without.keys() == within.keys()
    for key, run in without.items():
        assert "new_splits" not in run.spec
        assert within[key].spec == {**run.spec, "new_splits": True, "data_seed": within[key].spec["data_seed"]}
        assert within[key].settings.new_splits
        assert not run.settings.new_splits
    assert planned(", new_splits: false").runs == planned().runs


@pytest.mark.parametrize(("given", "first"), [(", seed: 4", 4), (", seed: 4, data_seed: 9", 9)])
def test_every_repetition_has_a_split_seed_of_its_own_that_depends_on_nothing_else(given, first):
    three, five = (by_repetition(planned(f"{given}, new_splits: true", many)) for many in (3, 5))
    seeds = [five["plain", r].spec["data_seed"] for r in range(5)]
    assert seeds[0] == first
    assert len(set(seeds)) == 5
    assert [five["dropout", r].spec["data_seed"] for r in range(5)] == seeds
    assert all(five[key] == run for key, run in three.items())
    assert [run.settings.data_seed for run in three.values() if run.recipe == "plain"] == seeds[:3]


def test_runs_of_different_splits_are_not_trained_together():
    groups = planned(", new_splits: true").groups
    assert len(groups) == 6
    assert all(len({run.spec["data_seed"] for run in group.runs}) == 1 for group in groups)
    assert len(planned().groups) == 2


def test_the_parts_of_a_repetition_are_disjoint_and_differ_from_those_of_another():
    """The first split is that of a comparison without splits, where the source has no test part."""
    plain = [run for run in planned(", new_splits: true").runs if run.recipe == "plain"]
    every = [data_of(run.settings) for run in plain]
    alone = data_of(planned().runs[0].settings)
    np.testing.assert_array_equal(every[0].x_test, alone.x_test)
    np.testing.assert_array_equal(every[0].y_train, alone.y_train)
    seen = []
    for data in every:
        assert data.sizes == alone.sizes
        rows = [[one.tobytes() for one in getattr(data, f"x_{part}")] for part in PARTS]
        assert len(set().union(*rows)) == sum(map(len, rows)) == 1797
        seen.append([frozenset(part) for part in rows])
    assert all(len(set(part)) == 3 for part in zip(*seen, strict=True))


def test_a_source_with_a_test_part_is_pooled_for_every_repetition():
    plan = make_plan(parse_study("name: p\nbase: {dataset: satellite, new_splits: true}\nrepetitions: 3\n"))
    every = [data_of(run.settings) for run in plan.runs if run.recipe == "plain"]
    own = load_dataset("satellite")
    for data in every:
        assert data.sizes == own.sizes
        assert not np.array_equal(data.y_test, own.y_test)


def test_with_train_the_test_part_of_the_source_stays():
    study = "name: p\nbase: {dataset: satellite, new_splits: train}\nrepetitions: 3\n"
    every = [data_of(run.settings) for run in make_plan(parse_study(study)).runs if run.recipe == "plain"]
    own = load_dataset("satellite")
    for data in every:
        assert data.sizes == own.sizes
        np.testing.assert_array_equal(data.y_test, own.y_test)  # features are scaled by those of the training part
        np.testing.assert_allclose(np.corrcoef(data.x_test[:, 0], own.x_test[:, 0])[0, 1], 1)
    np.testing.assert_array_equal(every[0].x_val, own.x_val)
    assert not any(np.array_equal(own.x_val, data.x_val) for data in every[1:])
    assert not np.array_equal(every[1].x_train, every[2].x_train)


def test_train_is_refused_where_the_test_part_would_be_drawn_anew():
    with pytest.raises(InputError, match="where the source has a test part of its own, which 'digits' has not"):
        data_of(planned(", new_splits: train").runs[0].settings)


@pytest.mark.slow
def test_a_point_with_the_same_test_part_is_judged_by_repetition():
    """Networks of one repetition share their training data: only another repetition says what others would give."""
    text = STUDY.replace("digits", "satellite").replace("new_splits: true", "new_splits: train")
    plan, memory = make_plan(parse_study(text)), Memory()
    run_study(plan, memory, verbose=0)
    (_, found), _ = comparisons(plan, memory)
    assert found.labels["test"].ndim == 1
    assert found.labels["val"].shape[0] == 3
    assert "3 repetitions of 2 networks, each on training and validation parts of its own" in found.interval
    planned_rows = found.contrasts[found.contrasts.family == "planned"]
    assert set(planned_rows.test[planned_rows.metric == "error"]) == {"paired t over repetitions and examples"}
    assert len(found.worth)
    evaluator = Evaluator(["nll"], ["each"], unit="network")
    arm = {"single": found.predictions["test"]["ensemble"]}
    by_network = evaluator.scores(arm, found.labels["test"])
    by_repetition = replace(evaluator, unit="repetition").scores(arm, found.labels["test"])
    assert by_network.value.tolist() == pytest.approx(by_repetition.value.tolist())
    mine = found.scores[(found.scores.arm == "single") & (found.scores.metric == "nll")]
    assert mine[["low", "high"]].to_numpy() == pytest.approx(by_repetition[["low", "high"]].to_numpy())
    assert by_network[["low", "high"]].to_numpy() != pytest.approx(by_repetition[["low", "high"]].to_numpy())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"splits": 2}, "splits must be a whole number of at least 3, got 2"),
        ({"splits": 3, "repetitions": 4}, "repetitions must be left out with splits, .* got 4 and 3 splits"),
    ],
)
def test_a_number_of_splits_that_cannot_be_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        compare("digits", **given)


def test_arrays_cannot_be_split_anew():
    x = np.random.default_rng(0).normal(size=(60, 4))
    arrays = from_arrays(x[:40], np.arange(40) % 2, x[40:], np.arange(20) % 2)
    for data in (arrays, load_dataset("digits", test_fraction=0.3)):
        with pytest.raises(InputError, match="splits need data that can be loaded anew for each"):
            compare(data, splits=3)


def test_data_that_were_drawn_anew_have_a_name_where_every_repetition_has_a_split(tmp_path):
    data = load_dataset("satellite", resplit=True, seed=3)
    with pytest.raises(InputError, match=r"must be a keras\.Model"):  # what comes after the data
        compare(data, lambda rate: None, splits=3)
    with pytest.raises(InputError, match="need data that other processes can load"):  # no setting is that one split
        compare(data, "mlp", jobs=2, out=tmp_path / "run")


def test_a_study_of_fewer_splits_is_refused_before_any_training():
    with pytest.raises(InputError, match=r"repetitions must be at least 3 with new_splits, .* got 2"):
        planned(", new_splits: true", repetitions=2)


def test_the_command_line_has_the_option():
    done = CliRunner().invoke(app, ["compare", "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert "--splits" in re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("splits") / "run"
    return folder, compare("digits", mlp(units=(8,)), **SMALL, splits=3, out=folder)


def errors_of(comparison, arm):
    """The error of an arm on each split, by hand."""
    runs, labels = comparison.arms[arm], comparison.labels["test"]
    pairs = zip(runs, labels, strict=True)
    return np.array([METRICS["error"].value(run.probs.mean(axis=0), truth) for run, truth in pairs])


@pytest.mark.slow
def test_labels_are_those_of_each_split_and_networks_predict_them(compared):
    _, comparison = compared
    for repetition, runs in enumerate(comparison.runs):
        for run in runs:
            data = data_of(run.settings)
            for part in ("val", "test"):
                np.testing.assert_array_equal(comparison.labels[part][repetition], getattr(data, f"y_{part}"))
            ensemble = comparison.ensembles[repetition][run.recipe]
            arm = {"plain": "ensemble", "dropout": "dropout_ensemble"}[run.recipe]
            found = comparison.predictions["test"][arm][repetition].probs
            np.testing.assert_allclose(ensemble.predict_members(data.x_test).probs, found, atol=1e-5)


@pytest.mark.slow
def test_scores_and_contrasts_are_over_splits(compared):
    _, comparison = compared
    one, other = (errors_of(comparison, arm) for arm in ("ensemble", "dropout_ensemble"))
    scores = comparison.scores.query("metric == 'error' and rule == 'mean'").set_index("arm")
    assert scores.value["ensemble"] == pytest.approx(one.mean())
    (row,) = comparison.contrasts.query(
        "arm_a == 'ensemble' and rule_a == 'mean' and arm_b == 'dropout_ensemble' and metric == 'error'"
    ).itertuples()
    assert row.test == OVER_SPLITS
    assert row.p_value == pytest.approx(corrected_t_test(one - other, 359 / 400)[1], rel=1e-3)


@pytest.mark.slow
def test_words_say_what_intervals_span_and_what_is_left_out(compared, tmp_path):
    folder, comparison = compared
    span = "over 3 splits of the data (training, validation and test parts, with new networks)"
    assert comparison.interval == span
    told = comparison.verdict()
    assert f"Intervals are simultaneous 95 % intervals, {span}" in told
    assert "by a rule of thumb (Nadeau and Bengio, 2003)" in told
    assert "independent networks here" not in told
    assert "Left out over splits of the data" in comparison.notes()
    assert not (folder / "worth.csv").exists()
    assert '"worth": []' in comparison.to_json()
    with pytest.raises(InputError, match="worth is told on the same test examples"):
        _ = comparison.worth
    figures = {"arm_intervals", "ensemble_size", "learning_curves", "class_errors", "confusion_matrix"}
    assert set(comparison.figures()) == figures
    page = comparison.report(tmp_path / "report").with_name("report.md").read_text()
    assert "--passes 3 --splits 3 --epochs 2" in page
    assert "--repetitions" not in page
    assert "3 splits" in page
    assert "Left out over splits of the data" in page
    assert "(1/J + n_test/n_train)" in page
    seeds = ", ".join(str(runs[0].spec["data_seed"]) for runs in comparison.runs)
    assert seeds in page
    assert "the first of 3 splits" in page


@pytest.mark.slow
def test_a_folder_is_read_again_and_saved_elsewhere(compared, tmp_path, evd):
    folder, comparison = compared
    comparison.save(tmp_path / "copy")
    for place in (folder, tmp_path / "copy"):
        again = Comparison.load(place)
        pd.testing.assert_frame_equal(again.contrasts, comparison.contrasts)
        pd.testing.assert_frame_equal(again.scores, comparison.scores)
        pd.testing.assert_frame_equal(again.sizes, comparison.sizes)
        assert again.verdict() == comparison.verdict()
        assert again.spec == comparison.spec
    assert "report.html" in evd(f"report {folder} --out {tmp_path / 'page'}", tmp_path)


@pytest.mark.slow
def test_a_dataset_that_was_loaded_by_name_is_split_as_its_name_is(compared):
    folder, comparison = compared
    data = load_dataset("digits", train_size=400)
    small = {name: value for name, value in SMALL.items() if name != "train_size"}
    same = compare(data, mlp(units=(8,)), **small, splits=3, out=folder)  # another comparison would be refused
    assert same.trained == {}
    assert [[run.name for run in runs] for runs in same.runs] == [
        [run.name for run in runs] for runs in comparison.runs
    ]


@pytest.mark.slow
def test_a_study_of_two_processes_takes_the_runs_of_the_comparison_as_its_own(compared, tmp_path, evd):
    folder, comparison = compared
    before = Store(folder).finished()
    (tmp_path / "study.yaml").write_text(STUDY)
    evd(f"study run {tmp_path / 'study.yaml'} --store {folder} --jobs 2 --quiet", tmp_path)
    assert len(Store(folder).finished() - before) == 3  # dropout networks of the other rate
    study, store = parse_study(STUDY), Store(folder)
    (_, other), (keys, same) = comparisons(plan_of(study, store), store)
    assert keys == {"rate": 0.5}
    pd.testing.assert_frame_equal(same.contrasts, comparison.contrasts)
    assert set(other.contrasts.test) <= {OVER_SPLITS, "none: infinite"}
    told = evd(f"study verdict {tmp_path / 'study.yaml'} --store {folder}", tmp_path)
    assert comparison.verdict() in told


@pytest.mark.slow
def test_no_figure_of_the_gallery_takes_the_labels_of_one_split_for_all(compared):
    folder, comparison = compared
    sources = [*read_sources([folder]), StudySource("s", plan_of(parse_study(STUDY), Store(folder)), Store(folder))]
    for source in sources:
        with pytest.raises(Lacking):
            _ = source.first
    drawing = DRAWINGS["ensemble_size"]
    pd.testing.assert_frame_equal(
        drawing.make(sources[0]).table, comparison.figures(["ensemble_size"])["ensemble_size"].table
    )
    with pytest.raises(Lacking):
        DRAWINGS["reliability_pooling"].make(sources[0])


def test_a_kind_of_splits_that_is_none_is_refused():
    with pytest.raises(InputError, match="new_splits: must be true, false or train, got 'tran'"):
        planned(", new_splits: tran")
