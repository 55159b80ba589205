"""Settings chosen on validation data: equal effort for each arm, told in the results, and no look at test data."""

import io
import json

import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.experiments import Store, make_plan, parse_study, plan_of, results, run_study
from ensemble_vs_dropout.experiments import running as training
from ensemble_vs_dropout.experiments.tables import scores_of
from ensemble_vs_dropout.measures import nll

TEXT = """\
name: tuned
base:
  dataset: digits
  train_size: 60
  model: {name: mlp, units: [4]}
  members: 2
  passes: 3
  epochs: 2
  rate: auto
  shifts: {rotation: [30]}
  tuning: {dropout: {rate: [0.2, 0.9]}, plain: {batch_size: [16, 64]}}
"""


def study_of(old="", new=""):
    assert old in TEXT
    return parse_study(TEXT.replace(old, new))


def test_until_the_trials_are_judged_there_are_only_trials():
    plan = make_plan(study_of())
    assert plan.open
    (point,) = plan.points
    assert point.runs == ()
    assert plan.runs == point.trials
    assert [(run.spec["recipe"], run.spec.get("rate"), run.spec["batch_size"]) for run in point.trials] == [
        ("plain", None, 16), ("plain", None, 64), ("dropout", 0.2, 128), ("dropout", 0.9, 128),
    ]  # fmt: skip


def test_a_trial_sees_validation_data_alone_and_trains_as_it_is_told():
    for trial in make_plan(study_of("tuning: {", "tuning: {members: 3, metric: error, ")).runs:
        assert trial.spec["splits"] == ["val"]
        assert trial.spec["shifts"] == {}
        assert trial.spec["metrics"] == ["error"]
        assert trial.members == 3
        assert "tuning" not in trial.spec


@pytest.mark.parametrize("best", [0, 1])
def test_the_lowest_loss_is_chosen_and_the_first_of_equals(best):
    judged = lambda trial: float(trial.spec.get("rate", trial.spec["batch_size"]) != (0.2, 0.9)[best])  # noqa: E731
    plan = make_plan(study_of(), judged=judged)
    assert not plan.open
    (point,) = plan.points
    assert point.chosen == {"plain": {"batch_size": 16}, "dropout": {"rate": (0.2, 0.9)[best]}}
    plain, dropout = point.runs
    assert (plain.spec["batch_size"], dropout.spec["batch_size"], dropout.spec["rate"]) == (16, 128, (0.2, 0.9)[best])
    assert plain.spec["splits"] == ["test"]


def test_what_has_no_number_is_never_chosen():
    judged = lambda trial: float("nan") if trial.spec.get("rate") == 0.2 else 1.0  # noqa: E731
    assert make_plan(study_of(), judged=judged).points[0].chosen["dropout"] == {"rate": 0.9}


def test_one_unjudged_trial_leaves_its_point_open():
    plan = make_plan(study_of(), judged=lambda trial: None if trial.spec.get("rate") == 0.9 else 1.0)
    assert plan.open
    assert len(plan.runs) == 4


def test_a_chosen_run_is_the_run_of_a_study_that_names_it():
    plan = make_plan(study_of(), judged=lambda trial: 0.0)
    named = parse_study(
        TEXT.replace("rate: auto", "rate: 0.2, batch_size: 16").split("  tuning")[0].replace(", b", "\n  b")
    )
    assert plan.points[0].runs[0] == make_plan(named).points[0].runs[0]


def test_what_is_tuned_must_not_vary_too():
    with pytest.raises(InputError, match="batch_size is tuned, so grid and cases must not vary it"):
        parse_study(TEXT + "grid: {batch_size: [64, 128]}\n")
    assert len(list(parse_study(TEXT + "grid: {rate: [auto]}\n").points())) == 1


def test_an_arm_alone_has_candidates_of_its_own_number():
    both = "{rate: [0.2, 0.9]}, plain: {batch_size: [16, 64]}}"
    with pytest.raises(InputError, match="5 for plain and 1 for dropout"):
        study_of(both, "{rate: [0.2]}}")
    assert len(make_plan(study_of(both, "{rate: [0.2]}}\n  recipes: [dropout]")).runs) == 1


def test_where_no_trial_succeeds_nothing_is_chosen():
    plan = make_plan(study_of(), judged=lambda trial: float("inf") if trial.spec["recipe"] == "plain" else 0.0)
    assert plan.open
    assert plan.points[0].runs == ()


def test_auto_alone_has_candidates_for_both_arms():
    study = parse_study(TEXT.split("  tuning")[0])
    trials = make_plan(study).points[0].trials
    assert [run.spec["recipe"] for run in trials] == ["plain"] * 5 + ["dropout"] * 5


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("[0.2, 0.9]", "[0.2]", "must have as many candidates as each other.*2 for plain and 1 for dropout"),
        ("[0.2, 0.9]", "[0.2, 0.2]", "line 11: tuning: dropout lists the candidate {'rate': 0.2} twice"),
        ("rate: auto", "rate: 0.5", "rate must be auto where tuning.dropout lists candidates of rate"),
        ("  tuning", "  splits: []\n  tuning", "line 11: splits: .*at least 1 item"),
        ("  tuning", "  splits: [test, test]\n  tuning", "line 11: splits: each must be named once"),
        ("[0.2, 0.9]", "[0.2, 1.9]", r"line 11: tuning: dropout.rate: .*less than 1, got 1.9"),
        ("[0.2, 0.9]", "[0.2, auto]", "line 11: tuning: dropout.rate: a candidate must be a value"),
        ("batch_size: [16", "rate: [16", "line 11: tuning: 'rate' cannot be tuned for plain"),
        ("batch_size: [16", "dataset: [16", "line 11: tuning: 'dataset' cannot be tuned for plain"),
        (
            "{rate: [0.2, 0.9]}",
            "{batch_size: [2, 3]}",
            "rate must be auto where tuning.dropout lists candidates of rate, and only there",
        ),
        (
            "{rate: [0.2, 0.9]}, plain: {batch_size: [16, 64]}",
            "{rate: []}, plain: {epochs: []}",
            "at least one candidate",
        ),
        ("tuning: {", "tuning: {metric: nl, ", "unknown metric 'nl'; did you mean 'nll'"),
        ("rate: auto", "rate: aut", "line 9: rate: .*got 'aut'"),
        ("  tuning", "  splits: [val]\n  tuning", "splits must hold test"),
    ],
)
def test_what_cannot_be_tuned_is_named(old, new, told):
    with pytest.raises(InputError, match=told):
        list(study_of(old, new).points())


@pytest.mark.slow
def test_a_study_chooses_by_its_own_validation_scores_and_tells_the_effort(tmp_path):
    study, store = study_of(), Store(tmp_path / "store")
    report = run_study(plan_of(study), store, verbose=0)
    plan = plan_of(study, store)
    assert len(report.made) == len(plan.runs) == 6
    (point,) = plan.points
    for arm, row_arm in (("plain", "single"), ("dropout", "dropout_ensemble")):
        trials = [run for run in point.trials if run.spec["recipe"] == arm]
        rows = [[row for row in scores_of(run, store) if row[0] == row_arm] for run in trials]
        assert all(len(row) == 1 and row[0][7] == "val" for row in rows)
        losses = [row[0][4] for row in rows]
        best = trials[losses.index(min(losses))].spec
        for key, value in point.chosen[arm].items():
            assert best[key] == value
    table = results(plan, store)
    assert table.columns.tolist()[:3] == ["trials", "chosen", "arm"]
    assert set(table.trials) == {2}
    assert set(table[table.arm == "ensemble"].chosen) == {f"batch_size={point.chosen['plain']['batch_size']}"}
    assert set(table.condition) == {"clean", "rotation"}
    assert run_study(plan_of(study, store), store, verbose=0).made == []


@pytest.mark.slow
def test_a_trial_that_fails_is_not_chosen_and_does_not_stop_the_study(tmp_path):
    study = study_of("plain: {batch_size: [16, 64]}", "plain: {model.nonsense: [1], batch_size: [16, 64]}")
    store = Store(tmp_path / "store")
    report = run_study(plan_of(study), store, verbose=0)
    assert len(report.failed) == 2  # both trials of plain: nothing is chosen for it
    assert all("nonsense" in reason for reason in report.failed.values())
    assert {run.spec["recipe"] for run in plan_of(study, store).runs if store.has(run)} == {"dropout"}


@pytest.mark.slow
def test_a_trial_counts_the_mean_of_its_networks_whatever_the_arm(tmp_path):
    study, store = study_of("tuning: {", "tuning: {members: 3, "), Store(tmp_path / "store")
    run_study(plan_of(study), store, verbose=0)
    plan = plan_of(study, store)
    for arm, kind in (("plain", "ensemble"), ("dropout", "dropout_ensemble")):
        losses = []
        for trial in (run for run in plan.points[0].trials if run.spec["recipe"] == arm):
            with np.load(io.BytesIO(store.read(trial, "predictions.npz")[0])) as found:
                each = [nll(probs, found["labels/val"]).mean() for probs in found[f"val/{kind}"]]
            assert len(each) == 3
            losses.append(np.mean(each))
        candidates = study_of().points()
        best = next(candidates)[1].how.candidates(arm)[int(np.argmin(losses))]
        assert plan.points[0].chosen[arm] == best


@pytest.mark.slow
def test_a_damaged_trial_is_made_again(tmp_path):
    study, store = study_of(), Store(tmp_path / "store")
    run_study(plan_of(study), store, verbose=0)
    before = plan_of(study, store)
    (store.folder / "runs" / before.points[0].trials[0].name / "scores.json").write_bytes(b"no")
    assert plan_of(study, store).open
    report = run_study(plan_of(study, store), store, verbose=0)
    assert list(report.set_aside) == [before.points[0].trials[0].name]
    assert plan_of(study, store) == before


@pytest.mark.slow
def test_a_trial_that_succeeds_later_may_still_win(tmp_path, monkeypatch):
    study, store = study_of(), Store(tmp_path / "store")
    run_study(plan_of(study), store, verbose=0)
    best = plan_of(study, store).points[0].chosen["dropout"]["rate"]
    later = Store(tmp_path / "later")
    whole = training.build_for
    monkeypatch.setattr(
        training, "build_for", lambda *given, rate, **named: whole(*given, rate=rate if rate != best else 2, **named)
    )
    run_study(plan_of(study), later, verbose=0)
    assert plan_of(study, later).points[0].chosen["dropout"]["rate"] != best
    monkeypatch.undo()
    run_study(plan_of(study, later), later, verbose=0)
    assert all(later.has(run) for run in plan_of(study, later).runs)
    assert plan_of(study, later).points[0].chosen["dropout"]["rate"] == best


@pytest.mark.slow
def test_further_parts_and_epochs_are_recorded_where_asked_for(tmp_path):
    text = TEXT.split("  shifts")[0].replace("rate: auto", "rate: 0.5") + "  splits: [test, train]\n  watch: [train]\n"
    store = Store(tmp_path / "store")
    plan = plan_of(parse_study(text))
    run_study(plan, store, verbose=0)
    assert set(results(plan, store).split) == {"test", "train"}
    header = store.read(plan.runs[0], "histories.csv")[0].decode().splitlines()[0].split(",")
    assert {"train_loss", "val_loss", "val_accuracy"} <= set(header)
    assert json.loads(store.read(plan.runs[0], "spec.json")[0])["watch"] == ["train"]
