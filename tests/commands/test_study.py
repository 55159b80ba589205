"""`evd study ...`, as a user calls it."""

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.commands.main import app
from ensemble_vs_dropout.evaluation.evaluator import SCORE_COLUMNS
from ensemble_vs_dropout.experiments import Store
from ensemble_vs_dropout.files import digest_of_file

TEXT = """\
name: small
base: {dataset: digits, train_size: 60, model: {name: mlp, units: [4]}, members: 2, passes: 3, epochs: 1}
grid: {rate: [0.2, 0.5]}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("commands")
    (path / "study.yaml").write_text(TEXT)
    return path


def call(folder, command, *more):
    files = [] if command == "clean" else [str(folder / "study.yaml")]
    return CliRunner().invoke(app, ["study", command, *files, "--store", str(folder / "store"), *more])


@pytest.fixture(scope="module")
def run(folder):
    before = [call(folder, command) for command in ("status", "results")]
    return before, call(folder, "run")


def test_before_a_run_there_is_no_store_and_that_is_said(run):
    for done in run[0]:
        assert isinstance(done.exception, InputError)
        assert "store.json is not there" in str(done.exception)


def test_a_run_tells_what_it_made(folder, run):
    assert run[1].exit_code == 0
    assert "3 of 3 runs are finished" in run[1].output
    assert call(folder, "status").stdout == "3 of 3 runs are finished\n"
    assert call(folder, "clean").stdout == "nothing to remove\n"


@pytest.mark.usefixtures("run")
def test_results_are_one_tidy_table_in_every_form(folder):
    shown = call(folder, "results")
    for name in ("results.csv", "results.parquet"):
        assert call(folder, "results", "--out", str(folder / name)).exit_code == 0
    assert shown.stdout == (folder / "results.csv").read_text()
    csv, parquet = pd.read_csv(folder / "results.csv"), pd.read_parquet(folder / "results.parquet")
    assert list(csv) == list(parquet) == ["rate", *SCORE_COLUMNS]
    assert len(csv) == len(parquet) > 0
    assert set(csv.rate) == {0.2, 0.5}
    done = call(folder, "results", "--out", str(folder / "results.xlsx"))
    assert "out must end in .csv or .parquet" in str(done.exception)


@pytest.mark.usefixtures("run")
def test_the_plan_tells_groups_time_and_disk(folder):
    done = call(folder, "plan")
    assert done.exit_code == 0
    assert "2 points of 1 repetition, 3 runs, 6 networks in 2 groups" in done.stdout
    assert "about 0.0 minutes and 0 MB for what is not finished" in done.stdout


@pytest.mark.usefixtures("run")
def test_runs_of_a_version_with_other_results_are_told(folder, monkeypatch):
    assert "whose results may differ" not in call(folder, "status").output
    monkeypatch.setattr("ensemble_vs_dropout.experiments.tables.RESULTS", 0)
    for command in ("status", "results"):
        assert "3 runs were made by version 0.1.0, whose results may differ" in call(folder, command).output


def test_a_study_that_fails_ends_with_its_reason_and_code_1(tmp_path):
    (tmp_path / "study.yaml").write_text(TEXT.replace("units: [4]", "unit: [4]"))
    done = call(tmp_path, "run", "--quiet")
    assert done.exit_code == 1
    assert "unknown setting of model 'mlp' 'unit'" in done.output
    assert "3 failed" in call(tmp_path, "status").stdout
    assert call(tmp_path, "clean").stdout.count("failed/") == 3


@pytest.mark.slow
def test_several_processes_share_the_work_and_bad_files_are_one_line(tmp_path):
    evd = [sys.executable, "-m", "ensemble_vs_dropout.commands.main", "study"]
    (tmp_path / "study.yaml").write_text(TEXT.replace("[0.2, 0.5]", "[0.1, 0.2, 0.3, 0.4]"))
    done = subprocess.run(
        [*evd, "run", "study.yaml", "--jobs", "2"], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "5 of 5 runs are finished in store" in done.stderr
    assert len(list((tmp_path / "store/runs").iterdir())) == 5
    (tmp_path / "bad.yaml").write_text("name: bad\nbase: {dataset: digits, epoch: 3}\n")
    done = subprocess.run([*evd, "plan", "bad.yaml"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    assert done.stderr == "evd: bad.yaml, line 2: unknown setting 'epoch'; did you mean 'epochs'?\n"


def test_the_study_that_is_shipped_is_sound():
    from ensemble_vs_dropout.experiments import make_plan, read_study

    files = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
    assert files
    for file in files:
        plan = make_plan(read_study(file))
        assert plan.runs
        assert json.dumps(plan.runs[0].spec)


@pytest.mark.usefixtures("run")
def test_a_store_keeps_the_studies_it_was_asked_for(folder):
    assert [path.read_text() for path in Store(folder / "store").studies()] == [TEXT]


@pytest.mark.usefixtures("run")
def test_a_plan_counts_what_is_left_and_tells_how_many_processes_pay(folder):
    shown = call(folder, "plan").stdout
    assert "about 0.0 minutes and 0 MB for what is not finished" in shown
    assert "processes that pay (--jobs): 1\n" in shown


@pytest.mark.parametrize(
    ("seconds", "computing", "groups", "jobs"),
    [(100, 10, 4, 2), (100, 90, 4, 1), (50, 0, 4, 1), (100, 10, 1, 1), (1000, 10, 40, 3)],
)
def test_processes_pay_where_the_cores_are_idle_and_there_is_work(monkeypatch, seconds, computing, groups, jobs):
    from ensemble_vs_dropout.experiments import estimates

    cores = 2 if groups < 40 else 8
    memory = type("Memory", (), {"available": 3.5 * estimates._PROCESS_BYTES})
    monkeypatch.setattr(estimates, "_cores", lambda: cores)
    monkeypatch.setattr(estimates.psutil, "virtual_memory", lambda: memory)
    table = pd.DataFrame({"seconds": [seconds / groups] * groups, "computing": [computing / groups] * groups})
    assert estimates.jobs_that_pay(table) == jobs


@pytest.mark.slow
def test_two_processes_make_the_study_of_one(folder, tmp_path):
    done = [
        CliRunner().invoke(
            app, ["study", "run", str(folder / "study.yaml"), "--store", str(tmp_path / jobs), "--jobs", jobs]
        )
        for jobs in ("1", "2")
    ]
    assert [one.exit_code for one in done] == [0, 0]
    tables = [
        CliRunner()
        .invoke(app, ["study", "results", str(folder / "study.yaml"), "--store", str(tmp_path / jobs)])
        .stdout
        for jobs in ("1", "2")
    ]
    assert tables[0] == tables[1]


@pytest.mark.usefixtures("run")
def test_the_plan_says_why_a_run_is_to_be_made(folder):
    assert call(folder, "plan", "--why").stdout.endswith("0 of 3 runs are to be made\n")
    other = folder / "other.yaml"
    text = (folder / "study.yaml").read_text()
    assert "epochs: 1" in text
    other.write_text(text.replace("epochs: 1", "epochs: 2"))
    told = CliRunner().invoke(app, ["study", "plan", str(other), "--store", str(folder / "store"), "--why"]).stdout
    assert told.count("epochs is 2, and was 1") == 3
    assert told.endswith("3 of 3 runs are to be made\n")
    nothing = CliRunner().invoke(app, ["study", "plan", str(other), "--store", str(folder / "none"), "--why"]).stdout
    assert nothing.count("nothing is finished") == 3


@pytest.mark.slow
@pytest.mark.usefixtures("run")
def test_points_can_be_chosen_by_their_keys(folder):
    whole = pd.read_csv(io.StringIO(call(folder, "results").stdout))
    some = pd.read_csv(io.StringIO(call(folder, "results", "--where", "rate=0.5").stdout))
    pd.testing.assert_frame_equal(some, whole[whole.rate == 0.5].reset_index(drop=True), check_dtype=False)
    parts = call(folder, "verdict").stdout.partition("In short:\n")
    assert parts[0].count("rate=") == 2
    assert [line.partition(":")[0] for line in parts[2].splitlines()] == ["* rate=0.2", "* rate=0.5"]
    assert "\n* EVD004: With one repetition" in parts[0]
    one = call(folder, "verdict", "--where", "rate=0.5").stdout
    assert one.startswith("rate=0.5\n")
    assert one.count("rate=") == 1
    assert set(pd.read_csv(io.StringIO(call(folder, "contrasts", "--where", "rate=0.2").stdout)).rate) == {0.2}
    for wrong, told in (("rate=0.7", "that a point of the study has, got rate=0.7"), ("rat=1", "unknown key of where"),
                        ("rate", "where must be KEY=VALUE")):  # fmt: skip
        assert told in str(call(folder, "results", "--where", wrong).exception)


GOLDEN = Path(__file__).parent.parent / "experiments" / "golden"


def of_another_kind(run):
    shutil.rmtree(run)
    run.write_text("a file")


def emptied(run):
    shutil.rmtree(run)
    run.mkdir()


def with_a_nan(run):
    """Write a specification that no digest can be made of, and fit the sums to it."""
    spec, manifest = run / "spec.json", run / "manifest.json"
    spec.write_text(json.dumps({**json.loads(spec.read_text()), "rate": float("nan")}))
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "spec.json": digest_of_file(spec)}))


@pytest.mark.parametrize(
    ("harm", "in_table"),
    [
        (lambda run: (run / "manifest.json").write_text("{"), False),
        (lambda run: (run / "manifest.json").write_text("[]"), False),
        (lambda run: (run / "manifest.json").unlink(), False),
        (lambda run: (run / "scores.json").write_text("{}"), False),
        (lambda run: (run / "spec.json").write_text("{}"), True),
        (lambda run: (run / "predictions.npz").write_bytes(b"PK"), True),
        (lambda run: (run / "manifest.json").write_text("[" * 10_000), False),
        (lambda run: (run / "spec.json").write_text("[" * 10_000), True),
        (with_a_nan, True),
        (of_another_kind, False),
        (emptied, False),
        (None, False),
    ],
    ids=[
        "manifest",
        "list",
        "no_manifest",
        "scores",
        "spec",
        "predictions",
        "deep",
        "deep_spec",
        "nan",
        "file",
        "empty",
        "rights",
    ],
)
def test_one_unreadable_run_is_named_and_the_rest_is_told(tmp_path, monkeypatch, harm, in_table):
    folder = Path(shutil.copytree(GOLDEN, tmp_path / "golden"))
    whole = pd.read_csv(io.StringIO(call(folder, "results").stdout))
    bad, *others = sorted((folder / "store" / "runs").iterdir())
    if harm:
        harm(bad)
    else:
        opened = io.open

        def opening(file, *given, **named):
            if Path(file).parent == bad:
                raise PermissionError(13, "Permission denied", str(file))
            return opened(file, *given, **named)

        monkeypatch.setattr(io, "open", opening)
    told = call(folder, "status", "--verify")
    assert told.exit_code == call(folder, "status").exit_code == 0
    lines = told.stdout.splitlines()
    total = len(others) + 1
    assert lines[0] == f"{total} of {total} runs are finished"
    assert [line.split(" cannot be read: ")[0] for line in lines[1:]] == [bad.name]
    found = call(folder, "results")
    assert found.exit_code == (not in_table)
    assert (f"evd: {bad.name} is not in the table, for it cannot be read: " in found.stderr) != in_table
    assert found.stderr.count("is not in the table") == (not in_table)
    table = pd.read_csv(io.StringIO(found.stdout))
    assert (len(table) == len(whole)) == in_table
    assert len(table) > 0
    assert len(table.merge(whole)) == len(table)


def test_where_no_run_can_be_read_one_is_named(tmp_path):
    folder = Path(shutil.copytree(GOLDEN, tmp_path / "golden"))
    runs = sorted((folder / "store" / "runs").iterdir())
    for run in runs:
        (run / "scores.json").unlink()
    with pytest.raises(InputError, match=r"no run .* and can be read \(.*scores\.json cannot be read.*makes them"):
        raise call(folder, "results").exception
