"""Studies end to end: what is made, what fails, and what is left after being killed."""

import json
import multiprocessing
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import psutil
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation.evaluator import SCORE_COLUMNS
from ensemble_vs_dropout.experiments import Store, local, make_plan, parse_study, results, run_study, status
from ensemble_vs_dropout.experiments.running import data_of, make_runs

pytestmark = pytest.mark.slow
TEXT = """\
name: small
base: {dataset: digits, train_size: 100, model: {name: mlp, units: [8]}, members: 2, passes: 3, epochs: 2,
  metrics: [nll]}
grid: {rate: [0.2, 0.5], seed: [0, 1]}
"""


def plan_of(text=TEXT):
    return make_plan(parse_study(text))


def made(folder, text=TEXT, **options):
    store, plan = Store(folder), plan_of(text)
    report = run_study(plan, store, verbose=0, **options)
    return store, plan, report


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return made(tmp_path_factory.mktemp("study") / "store")


def test_a_study_makes_every_run_once_and_its_table_has_every_point(uninterrupted):
    store, plan, report = uninterrupted
    assert sorted(report.made) == sorted(run.name for run in plan.runs) == sorted(store.finished())
    assert len(plan.runs) == 2 + 4
    table = results(plan, store)
    assert list(table)[:2] == ["rate", "seed"]
    assert list(table)[-len(SCORE_COLUMNS) :] == SCORE_COLUMNS
    arms = table.groupby([*list(table)[:2]]).arm.unique()
    assert len(arms) == 4
    assert all(set(found) == {"single", "ensemble", "dropout", "mc_dropout", "dropout_ensemble"} for found in arms)
    assert not table.duplicated([*list(table)[:2], "arm", "rule", "metric"]).any()
    assert status(plan, store).words() == "6 of 6 runs are finished"


def test_a_finished_study_is_only_read(uninterrupted):
    store, plan, _ = uninterrupted
    before = {path: path.stat().st_mtime_ns for path in store.folder.rglob("*.json")}
    assert run_study(plan, store, verbose=0).made == []
    assert {path: path.stat().st_mtime_ns for path in store.folder.rglob("*.json")} == before


def test_another_study_takes_what_is_there(uninterrupted, tmp_path):
    store, plan, _ = uninterrupted
    wider = TEXT.replace("[0.2, 0.5]", "[0.2, 0.5, 0.7]").replace("name: small", "name: wider")
    more = plan_of(wider)
    assert {run.name for run in plan.runs} < {run.name for run in more.runs}
    waiting = set(status(more, store).waiting)
    assert waiting == {run.name for run in more.runs} - {run.name for run in plan.runs}


def test_a_run_holds_what_it_was_made_from_and_what_it_found(uninterrupted):
    store, plan, _ = uninterrupted
    run = next(run for run in plan.runs if run.spec["recipe"] == "dropout")
    folder = store.folder / "runs" / run.name
    assert {path.name for path in folder.iterdir()} == {
        "spec.json", "environment.json", "inputs.json", "models.json", "models.npz", "histories.csv", "predictions.npz",
        "scores.json", "cost.json", "manifest.json",
    }  # fmt: skip
    with np.load(folder / "predictions.npz", allow_pickle=False) as file:
        labels = data_of(run.settings).y_test
        np.testing.assert_array_equal(file["labels/test"], labels)
        assert file["test/mc_dropout"].shape == (3, len(labels), 10)
        assert file["val/dropout_ensemble"].shape[0] == 2
    assert json.loads((folder / "environment.json").read_text())["version"]


def test_runs_together_find_what_each_finds_alone(uninterrupted):
    store, plan, _ = uninterrupted
    for run in plan.runs[:3]:
        ((_, files),) = make_runs([run], run.members)
        alone, together = (
            json.loads(content)["data"] for content in (files["scores.json"], *store.read(run, "scores.json"))
        )
        assert [row[:4] for row in alone] == [row[:4] for row in together]
        values = [[row[4] for row in rows] for rows in (alone, together)]
        np.testing.assert_allclose(*values, rtol=1e-3)


FAILING = TEXT.replace("units: [8]}", "units: [8], learning_rate: 0.001}").replace(
    "grid: {rate: [0.2, 0.5], seed: [0, 1]}", "grid: {model.learning_rate: [0.001, 1.0e+20], model.optimizer: [sgd]}"
)


def test_a_run_that_diverges_is_told_and_the_others_go_on(tmp_path):
    store, plan, report = made(tmp_path / "store", FAILING)
    assert len(report.made) == 2
    assert len(report.failed) == 2
    assert all("diverged" in reason for reason in report.failed.values())
    found = status(plan, store)
    assert set(found.failed) == set(report.failed)
    assert len(results(plan, store)) > 0
    again = run_study(plan, store, verbose=0)  # it is tried again, and nothing else
    assert again.made == []
    assert set(again.failed) == set(report.failed)


def test_a_builder_that_raises_is_told_and_stops_nothing_but_with_fail_fast(tmp_path, monkeypatch):
    (tmp_path / "broken.py").write_text("def build(data, rate):\n    raise RuntimeError('no network today')\n")
    monkeypatch.chdir(tmp_path)
    text = TEXT.replace("{name: mlp, units: [8]}", "mlp").replace(
        "grid: {rate: [0.2, 0.5], seed: [0, 1]}", "grid: {model: ['broken:build', {name: mlp, units: [8]}]}"
    )
    store, plan, report = made(tmp_path / "store", text)
    assert len(report.made) == 2
    assert set(report.failed.values()) == {"no network today"}
    note = json.loads(next((store.folder / "failed").glob("*.json")).read_text())
    assert "broken.py" in note["traceback"]
    with pytest.raises(RuntimeError, match="no network today"):
        run_study(plan, store, fail_fast=True, verbose=0)


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("{name: mlp, unit: [8]}", "unknown setting of model 'mlp' 'unit'"),
        ("{name: resnet}", "unknown model 'resnet'"),
        ("{name: lenet, units: [8]}", "unknown setting of model 'lenet' 'units'"),
    ],
)
def test_a_model_that_cannot_be_is_told_as_the_reason(tmp_path, model, told):
    _, _, report = made(tmp_path / "store", TEXT.replace("{name: mlp, units: [8]}", model))
    assert report.made == []
    assert all(told in reason for reason in report.failed.values())


@pytest.mark.parametrize("name", ["scores.json", "models.npz", "manifest.json", "predictions.npz"])
def test_a_flipped_byte_is_found_set_aside_and_made_again(uninterrupted, tmp_path, name):
    import shutil

    store, plan, _ = uninterrupted
    expected = results(plan, store)
    shutil.copytree(store.folder, tmp_path / "store")
    store = Store(tmp_path / "store")
    run = plan.runs[0]
    path = store.folder / "runs" / run.name / name
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 4
    path.write_bytes(bytes(content))
    if name == "scores.json":
        with pytest.raises(InputError, match="has changed since it was written; evd study run sets it aside"):
            results(plan, store)
    report = run_study(plan, store, verify=True, verbose=0)
    assert list(report.set_aside) == [run.name] == report.made
    assert (store.folder / "damaged" / f"{run.name}-1").is_dir()
    assert results(plan, store).equals(expected)


def test_two_at_once_do_no_work_twice(uninterrupted, tmp_path):
    _, plan, _ = uninterrupted
    stores = [Store(tmp_path / "store"), Store(tmp_path / "store")]
    reports = [None, None]

    def work(number):
        reports[number] = run_study(plan_of(), stores[number], verbose=0)

    first = threading.Thread(target=work, args=(0,))
    first.start()
    time.sleep(0.05)
    work(1)
    first.join()
    done = reports[0].made + reports[1].made
    assert sorted(done) == sorted(run.name for run in plan.runs)


def test_what_another_process_holds_is_waited_for_and_made_if_it_gives_up(tmp_path, capsys):
    store, plan = Store(tmp_path / "store"), plan_of()
    claim = store.claim(plan.groups[0].runs)
    claim.__enter__()
    threading.Timer(2.0, lambda: claim.__exit__(None, None, None)).start()
    report = run_study(plan, Store(store.folder), verbose=1)
    assert sorted(report.made) == sorted(run.name for run in plan.runs)
    assert capsys.readouterr().err.count("1 groups of runs are in other hands; waiting for them") == 1
    held = Store(tmp_path / "other")
    with held.claim(plan.groups[0].runs):
        report = run_study(plan, Store(held.folder), wait=False, verbose=0)
    assert len(report.made) == len(plan.runs) - len(plan.groups[0].runs)


def test_an_interrupted_command_says_how_to_go_on(tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from ensemble_vs_dropout.commands.main import app

    def interrupted(*given, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr("ensemble_vs_dropout.experiments.run_study", interrupted)
    (tmp_path / "study.yaml").write_text(TEXT)
    done = CliRunner().invoke(app, ["study", "run", str(tmp_path / "study.yaml"), "--store", str(tmp_path / "store")])
    assert done.exit_code == 130
    assert "the same command goes on with the runs that are not finished" in done.output


def child(text, folder, limit=None):
    """What a process does that may be killed at any moment."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    if limit:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        made(folder, text)
    except OSError as error:
        print(f"{error.strerror}", flush=True)
        os._exit(7)


@pytest.fixture(scope="module")
def processes():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ensemble_vs_dropout.experiments.running"])
    return context


def test_killed_at_twenty_moments_it_ends_with_the_table_of_an_uninterrupted_one(uninterrupted, processes, tmp_path):
    expected = results(uninterrupted[1], uninterrupted[0])
    folder, moments, killed = tmp_path / "store", random.Random(0), 0
    for _ in range(20):
        process = processes.Process(target=child, args=(TEXT, folder))
        process.start()
        process.join(timeout=moments.uniform(0.1, 2.5))
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            killed += 1
        process.join()
        if (folder / "store.json").exists():
            plan, store = plan_of(), Store(folder)
            for run in plan.runs:
                assert not store.has(run) or store.damaged(run) == []
            if len(store.finished()) == len(plan.runs):  # start over, so that all moments are moments of work
                assert results(plan, store).equals(expected)
                folder = folder.with_name(f"{folder.name}x")
    assert killed >= 5
    store, plan, _ = made(folder)
    assert results(plan, store).equals(expected)
    assert len(store.finished()) == len(plan.runs)


def test_a_clock_set_back_changes_nothing(uninterrupted, tmp_path, monkeypatch):
    first = TEXT.replace("seed: [0, 1]", "seed: [0]")
    store, _, report = made(tmp_path / "store", first)
    tomorrow = time.time() + 86_400
    for path in store.folder.rglob("*"):
        os.utime(path, (tomorrow, tomorrow))
    monkeypatch.setattr(time, "time", lambda: 0.0)
    _, plan, further = made(tmp_path / "store")
    assert len(report.made) == len(further.made) == 3
    assert results(plan, store).equals(results(uninterrupted[1], uninterrupted[0]))


def test_a_full_disk_is_told_and_it_goes_on_when_there_is_room(uninterrupted, processes, tmp_path):
    process = processes.Process(target=child, args=(TEXT, tmp_path / "store", 20_000))
    process.start()
    process.join()
    assert process.exitcode == 7
    store, plan = Store(tmp_path / "store"), plan_of()
    assert store.finished() == set()
    assert [path for path in (store.folder / "runs").iterdir()] == []
    run_study(plan, store, verbose=0)
    assert results(plan, store).equals(results(uninterrupted[1], uninterrupted[0]))


@pytest.mark.parametrize(
    ("others", "told", "here", "there"),
    [(2, None, 2, ["2", "2"]), (0, None, 8, []), (2, "5", 8, [None, "5"])],  # what the user has set stays
)
def test_processes_share_the_cores(tmp_path, monkeypatch, others, told, here, there):
    started = []

    class Process:
        def __init__(self, command, env):
            started.append([env.get("OPENBLAS_NUM_THREADS"), env.get("MKL_NUM_THREADS")])

        def wait(self):
            pass

    def threads():
        return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}

    monkeypatch.setattr(local.subprocess, "Popen", Process)
    monkeypatch.setattr(local.psutil, "cpu_count", lambda: 8)
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    if told:
        monkeypatch.setenv("MKL_NUM_THREADS", told)
    with threadpool_limits(8, user_api="blas"):
        with local.in_processes(tmp_path / "s.yaml", tmp_path, others, None, False):
            assert threads() == {here}
        assert threads() == {8}
    assert started == [there] * others


@pytest.mark.slow
@pytest.mark.parametrize("by", ["SIGKILL", "SIGTERM", "SIGHUP", "SIGINT"])
def test_a_process_ends_with_the_one_that_started_it(tmp_path, by):
    """By whatever signal that one ends; the started one would train on for hours."""
    child = (
        "import time; from ensemble_vs_dropout.experiments.local import end_with_parent; end_with_parent(); "
        "open('started', 'w').close(); time.sleep(60)"
    )
    parent = (
        "import os, signal, subprocess, sys; from pathlib import Path\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # else they may be left out, as by nohup
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
        "from ensemble_vs_dropout.experiments.local import in_processes\n"
        "start = subprocess.Popen\n"
        f"subprocess.Popen = lambda command, env: start([sys.executable, '-c', {child!r}], env=env)\n"
        "with in_processes(Path('s.yaml'), Path('store'), 1, 120, False):\n"
        "    import time; time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", parent], cwd=tmp_path)
    end = time.monotonic() + 60
    while not (tmp_path / "started").exists() and time.monotonic() < end:
        time.sleep(0.1)
    (started,) = psutil.Process(process.pid).children()
    process.send_signal(getattr(signal, by))
    process.wait(timeout=30)
    gone, alive = psutil.wait_procs([started], timeout=10)
    assert (len(gone), alive) == (1, [])
