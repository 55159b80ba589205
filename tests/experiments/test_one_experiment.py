"""A comparison is a study of one point: the same runs, the same tables, and what one can do both can."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from bare import BARE
from typer.testing import CliRunner

import ensemble_vs_dropout as evd
from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.commands.main import app
from ensemble_vs_dropout.datasets import from_arrays
from ensemble_vs_dropout.evaluation.arms import ARMS, Arm
from ensemble_vs_dropout.experiments import Store, parse_study, plan_of, run_study
from ensemble_vs_dropout.experiments.comparing import compare
from ensemble_vs_dropout.experiments.comparison import Comparison, comparisons
from ensemble_vs_dropout.models.builders import mlp

SMALL = BARE | {"members": 2, "passes": 3, "epochs": 2, "train_size": 100}
STUDY = """name: two rates
base: {dataset: digits, model: {name: mlp, units: [8]}, members: 2, passes: 3, epochs: 2, train_size: 100}
grid: {rate: [0.2, 0.5]}
repetitions: 2
"""


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """A comparison in a folder, and the study whose second point it is, run in the same folder."""
    folder = tmp_path_factory.mktemp("one") / "run"
    comparison = compare("digits", mlp(units=(8,)), **SMALL, repetitions=2, out=folder)
    study = parse_study(STUDY)
    store = Store(folder)
    before = store.finished()
    report = run_study(plan_of(study, store), store, verbose=0)
    return folder, comparison, study, before, report


@pytest.mark.slow
def test_a_study_takes_the_runs_of_a_comparison_as_its_own(compared):
    _, comparison, _, before, report = compared
    assert before == {run.name for runs in comparison.runs for run in runs}
    assert len(before) == 4
    assert len(report.made) == 2  # of the other rate; networks without dropout are the same
    assert report.failed == {}


@pytest.mark.slow
def test_a_point_of_a_study_is_a_comparison_with_the_same_tables(compared):
    folder, comparison, study, *_ = compared
    (_, other), (keys, same) = comparisons(plan_of(study, Store(folder)), Store(folder))
    assert keys == {"rate": 0.5}
    for name in ("scores", "contrasts", "cost", "worth", "diversity", "equal_cost"):
        pd.testing.assert_frame_equal(getattr(same, name), getattr(comparison, name))
    assert same.verdict() == comparison.verdict()
    assert str(same.answer()) == str(comparison.answer())
    assert 1 <= len(same.answer().sentences) <= 4
    assert not other.scores.value.equals(same.scores.value)


@pytest.mark.slow
def test_a_study_has_contrasts_a_verdict_and_reports_on_the_command_line(compared, tmp_path):
    folder, comparison, *_ = compared
    (tmp_path / "study.yaml").write_text(STUDY)

    def evd_study(*arguments):
        done = CliRunner().invoke(app, ["study", *map(str, arguments), "--store", str(folder)])
        assert done.exit_code == 0, done.output
        return done.stdout

    evd_study("contrasts", tmp_path / "study.yaml", "--out", tmp_path / "contrasts.csv")
    table = pd.read_csv(tmp_path / "contrasts.csv")
    assert list(table)[:2] == ["rate", "arm_a"]
    half = table[table.rate == 0.5].reset_index(drop=True)
    np.testing.assert_allclose(half.difference, comparison.contrasts.difference)
    np.testing.assert_allclose(half.p_adjusted, comparison.contrasts.p_adjusted)
    told = evd_study("verdict", tmp_path / "study.yaml")
    issues = "".join(f"* {check}\n" for check in comparison.checks() if check.issue)
    assert f"rate=0.5\n{' '.join(comparison.answer().sentences)}\n{issues}{comparison.verdict()}" in told
    pages = evd_study("report", tmp_path / "study.yaml", "--out", tmp_path / "reports").splitlines()
    assert pages == [str(tmp_path / "reports" / f"rate={rate}" / "report.html") for rate in (0.2, 0.5)]
    assert "dropout at rate 0.2" in (tmp_path / "reports" / "rate=0.2" / "report.html").read_text()


@pytest.mark.slow
def test_all_repetitions_of_a_recipe_are_trained_together(monkeypatch):
    from ensemble_vs_dropout.experiments import running

    calls, fit_together = [], running.fit_together

    def counting(ensembles, *arguments, **settings):
        calls.append(len(ensembles))
        return fit_together(ensembles, *arguments, **settings)

    monkeypatch.setattr(running, "fit_together", counting)
    compare("digits", mlp(units=(8,)), **SMALL, repetitions=3)
    assert calls == [3, 3]  # networks without dropout, and with it


@pytest.mark.slow
def test_the_networks_of_a_folder_are_built_anew(compared):
    folder, comparison, *_ = compared
    loaded, data = Comparison.load(folder), evd.load_dataset("digits", train_size=100)
    for recipe, arm in (("plain", "ensemble"), ("dropout", "dropout_ensemble")):
        again = loaded.ensembles[1][recipe].predict_members(data.x_test).probs
        np.testing.assert_allclose(again, comparison.predictions["test"][arm][1].probs, atol=1e-6)
        trained = comparison.ensembles[1][recipe].models[0].get_weights()
        for mine, theirs in zip(loaded.ensembles[1][recipe].models[0].get_weights(), trained, strict=True):
            np.testing.assert_array_equal(mine, theirs)


@pytest.mark.slow
def test_a_comparison_has_shifts_other_data_all_masks_and_a_chosen_rate(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "noise.npz", x=rng.random((120, 8, 8), dtype=np.float32), y=np.arange(120) % 10)
    found = compare(
        "digits", mlp(units=(8,)), **{**SMALL, "rate": "auto"}, repetitions=2, shifts={"rotation": [30, 90]},
        exact=True, other_data=str(tmp_path / "noise.npz"),
        tuning={"dropout": {"rate": [0.2, 0.6]}, "plain": {"batch_size": [32, 64]}}, out=tmp_path / "run",
    )  # fmt: skip
    table = found.conditions
    assert {(row.condition, row.severity) for row in table.itertuples()} == {
        ("clean", 0), ("rotation", 30), ("rotation", 90), ("noise", 0),
    }  # fmt: skip
    assert set(table.repetition) == {0, 1}
    assert "exact_dropout" in set(table.arm)
    assert {one["dropout"]["rate"] for one in found.chosen} <= {0.2, 0.6}
    assert all(set(one) == {"plain", "dropout"} for one in found.chosen)
    for r, runs in enumerate(found.runs):
        of_recipe = {run.spec["recipe"]: run.spec for run in runs}
        assert of_recipe["dropout"]["rate"] == found.chosen[r]["dropout"]["rate"]
        assert of_recipe["plain"]["batch_size"] == found.chosen[r]["plain"]["batch_size"]
    page = found.report(tmp_path / "report").read_text()
    assert "chosen on validation data" in page
    figures = {path.stem for path in (tmp_path / "report" / "figures").iterdir()}
    assert {"shift_robustness", "ood_entropy_hist"} <= figures
    again = Comparison.load(tmp_path / "run")
    assert again.verdict() == found.verdict()
    assert again.spec == found.spec
    assert again.chosen == found.chosen


@pytest.mark.slow
def test_two_processes_find_what_one_finds(tmp_path):
    one, two = (
        compare("digits", mlp(units=(8,)), **SMALL, repetitions=2, jobs=jobs, out=tmp_path / str(jobs))
        for jobs in (1, 2)
    )
    pd.testing.assert_frame_equal(one.scores, two.scores, rtol=1e-4)


def toy():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 4)).astype("float32")
    return from_arrays(x[:40], (x[:40, 0] > 0).astype(int), x[40:], (x[40:, 0] > 0).astype(int), name="toy")


def test_what_other_processes_cannot_find_is_refused_with_the_reason(tmp_path):
    settings = BARE | {"members": 2, "passes": 2, "epochs": 1, "repetitions": 1, "jobs": 2}
    with pytest.raises(InputError, match="more than 1 job, and executor ray, need out, a folder"):
        compare("digits", "mlp", **settings)
    with pytest.raises(InputError, match="data that other processes can load: a name or a file, got arrays"):
        compare(toy(), "mlp", **settings, out=tmp_path / "a")
    with pytest.raises(InputError, match="a network that other processes can import"):
        compare("digits", lambda data, rate: mlp()(data, rate), **settings, out=tmp_path / "b")
    own = Arm("of_this_process", "own", "plain", "ensemble_vs_dropout.experiments.ways:members")
    try:
        with pytest.raises(
            InputError, match=r"arms, metrics and rules that other processes can import.*got 'of_this_process'"
        ):
            compare("digits", "mlp", **settings, arms=["ensemble", own], out=tmp_path / "c")
    finally:
        ARMS.pop("of_this_process", None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_data_and_networks_of_this_process_are_told_apart_by_what_they_are(tmp_path):
    """Nothing is taken for finished that was made of other arrays, or by another function of the same name."""

    def builder(units):
        return lambda data, rate: mlp(units=(units,))(data, rate)

    settings = BARE | {"members": 1, "passes": 2, "epochs": 1, "repetitions": 1, "out": tmp_path / "run"}
    compare(toy(), builder(4), **settings)
    for data, build, what in ((toy(), builder(5), "network"), (evd.load_dataset("digits"), "mlp", "dataset")):
        with pytest.raises(InputError, match=rf"holds another comparison \(.*{what}.*differ\)"):
            compare(data, build, **settings)
    other = from_arrays(*[2 * part for part in (toy().x_train,)], toy().y_train, toy().x_test, toy().y_test, name="toy")
    with pytest.raises(InputError, match=r"holds another comparison \(data differ\)"):
        compare(other, builder(4), **settings)


@pytest.mark.slow
def test_data_that_were_loaded_by_name_are_known_by_it():
    data = evd.load_dataset("digits", train_size=100, seed=0)
    named = compare(data, mlp(units=(8,)), **{**SMALL, "train_size": None}, repetitions=1)
    assert named.facts == {}
    assert named.settings.dataset == "digits"
    assert named.settings.train_size == 100
    with pytest.raises(InputError, match="train_size is for data that are loaded by name"):
        compare(data, mlp(units=(8,)), **SMALL, repetitions=1)
    changed = compare(
        evd.load_dataset("digits", train_size=100, val_fraction=0.3), mlp(units=(8,)),
        **{**SMALL, "train_size": None}, repetitions=1,
    )  # fmt: skip
    assert set(changed.facts) == {"data_sha256"}


@pytest.mark.slow
def test_a_network_that_diverges_stops_a_comparison_and_fails_a_run():
    with pytest.raises(FloatingPointError, match="members diverged; a lower learning rate"):
        compare("digits", mlp(units=(8,), learning_rate=1e20, optimizer="sgd"), **SMALL, repetitions=1)


def test_heads_are_read_before_anything_is_kept(tmp_path):
    """A folder is not even made for what cannot be compared."""
    with pytest.raises(InputError, match="needs images"):
        compare("letter", "lenet", **SMALL, repetitions=1, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def table(path, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(90, 3)).astype("float32")
    np.savez(path, x=x, y=(x[:, seed % 3] > 0).astype(int))


FEW = BARE | {"members": 2, "passes": 3, "repetitions": 1, "epochs": 1}


@pytest.mark.slow
def test_a_file_that_changed_is_loaded_anew_and_is_another_comparison(tmp_path):
    data, out = tmp_path / "d.npz", tmp_path / "run"
    table(data, 0)
    first = compare(str(data), mlp(units=(4,)), **FEW, out=out)
    table(data, 1)
    with pytest.raises(InputError, match=r"holds another comparison \(data differ\)"):
        compare(str(data), mlp(units=(4,)), **FEW, out=out)
    second = compare(str(data), mlp(units=(4,)), **FEW, out=out, force=True)
    assert not second.scores.value.equals(first.scores.value)
    table(data, 0)
    again = compare(str(data), mlp(units=(4,)), **FEW, out=out, force=True)
    pd.testing.assert_frame_equal(again.scores, first.scores)
    with pytest.raises(InputError, match="holds another comparison"):
        second.save(out)


@pytest.mark.slow
def test_force_leaves_no_table_of_the_other_comparison(tmp_path):
    out = tmp_path / "run"
    compare("digits", mlp(units=(4,)), **{**FEW, "train_size": 100}, shifts={"rotation": [30]}, out=out)
    assert (out / "conditions.csv").exists()
    found = Comparison.load(out)
    page = found.write_page(out)
    assert page.read_text().startswith("<!doctype html>")
    found.write(out)  # anew: the page was made of what is replaced
    assert not page.exists()
    compare("digits", mlp(units=(4,)), **{**FEW, "train_size": 100, "members": 1}, out=out, force=True)
    assert not [name for name in ("conditions.csv", "worth.csv", "diversity.csv") if (out / name).exists()]


@pytest.mark.slow
@pytest.mark.parametrize("arms", [["ensemble", "mc_dropout"], ["mc_dropout", "dropout_ensemble"]])
def test_arms_without_a_single_network_have_all_tables_and_figures(arms, tmp_path):
    table(tmp_path / "d.npz", 0)
    found = compare(str(tmp_path / "d.npz"), mlp(units=(4,)), **FEW, arms=arms, out=tmp_path / "run")
    assert list(dict.fromkeys(found.scores.arm)) == arms == found.cost.arm.tolist()
    assert (tmp_path / "run" / "figures" / "ensemble_size.svg").exists()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"exact": True}, "max_units"),
        ({"other_data": "letter"}, "other_data must have examples of the shape"),
        ({"other_data": "no_such_data"}, "no_such_data"),
        ({"rules": ["mean", "weighted_mean"]}, "needs weights"),
        ({"arms": ["ensemble", "dropout_ensemble"], "members": 1}, "members must be at least 2 to compare these arms"),
        ({"shifts": ["rotation"], "data": "letter"}, "rotation"),
    ],
)
def test_what_cannot_be_judged_is_refused_before_training(settings, told, monkeypatch):
    from ensemble_vs_dropout.experiments import running

    monkeypatch.setattr(running, "fit_together", lambda *_, **__: pytest.fail("trained"))
    data = settings.pop("data", "digits") if "data" in settings else "digits"
    with pytest.raises(InputError, match=told):
        compare(data, "mlp", **{**FEW, **settings})


@pytest.mark.slow
def test_a_candidate_that_diverges_is_not_chosen_and_stops_nothing():
    found = compare(
        "digits", mlp(units=(4,), optimizer="sgd"), **{**FEW, "epochs": 2, "train_size": 100, "rate": "auto"},
        tuning={"plain": {"model.learning_rate": [0.01, 1e30]}, "dropout": {"rate": [0.2, 0.5]}},
    )  # fmt: skip
    assert found.chosen[0]["plain"] == {"model.learning_rate": 0.01}
    told = [
        line for line in found.verdict().splitlines() if "model.learning rate 0.01 was chosen from 2 candidates" in line
    ]
    assert len(told) == 1


@pytest.mark.slow
def test_a_probe_that_diverges_stops_nothing(monkeypatch):
    """A probe has three times the epochs, and more chances to diverge."""
    from ensemble_vs_dropout.experiments import running

    make = running.make_runs

    def fail_probes(runs, *arguments, **options):
        for run, files in make(runs, *arguments, **options):
            yield run, FloatingPointError("1 of 1 networks diverged") if run.settings.epochs == 3 else files

    monkeypatch.setattr(running, "make_runs", fail_probes)
    found = compare("digits", mlp(units=(4,)), **{**FEW, "train_size": 100, "probe": True})
    assert found.probes == []
    assert "ensemble" in found.verdict()


@pytest.mark.slow
def test_candidates_are_known_by_what_they_mean():
    tuning = {"plain": {"batch_size": ["32", 64]}, "dropout": {"rate": [0.2, 0.5]}}
    found = compare("digits", mlp(units=(4,)), **{**FEW, "train_size": 100, "rate": "auto"}, tuning=tuning)
    assert found.verdict().count("was chosen from 2 candidates by the NLL of one network") == 2


def test_settings_of_a_network_of_this_process_cannot_be_tuned():
    with pytest.raises(InputError, match="can be tuned for the networks of this package"):
        compare(
            "digits", lambda data, rate: mlp(units=(4,))(data, rate), **{**FEW, "rate": "auto"},
            tuning={"plain": {"model.units": [[8], [16]]}, "dropout": {"rate": [0.2, 0.5]}},
        )  # fmt: skip


@pytest.mark.slow
def test_a_network_of_a_standard_name_but_another_body_is_not_taken_for_the_standard_one():
    other = replace(mlp(units=(4,)), body=mlp(units=(9,)).body)
    found = compare("digits", other, **{**FEW, "train_size": 100})
    assert set(found.facts) == {"builder_sha256"}
    assert found.spec["model"]["parameters"] == 64 * 9 + 9 + 9 * 10 + 10


@pytest.mark.slow
def test_what_a_builders_module_imports_is_part_of_the_network(tmp_path, monkeypatch):
    """Its code is the same, and so is the name of the run; what it builds is not."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "sizes_of_mine.py").write_text("UNITS = 4\n")
    (tmp_path / "nets_of_mine.py").write_text(
        "import sizes_of_mine\nfrom ensemble_vs_dropout.models.builders import mlp\n"
        "def build(data, rate):\n    return mlp(units=(sizes_of_mine.UNITS,))(data, rate)\n"
    )
    settings = {**FEW, "train_size": 100, "out": tmp_path / "run"}
    compare("digits", "nets_of_mine:build", **settings)
    compare("digits", "nets_of_mine:build", **settings)
    import sizes_of_mine

    sizes_of_mine.UNITS = 9
    with pytest.raises(InputError, match="is of another network than 'nets_of_mine:build' makes now"):
        compare("digits", "nets_of_mine:build", **settings)
    (tmp_path / "nets_of_mine.py").write_text((tmp_path / "nets_of_mine.py").read_text() + "EDITED = True\n")
    with pytest.raises(InputError, match="has changed since Python imported it"):
        compare("digits", "nets_of_mine:build", **settings)
