"""`Comparison.report` and `evd report`: which files are written where, and what is refused."""

import os
import subprocess
import sys

import pandas as pd
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.experiments.folder import is_finished

pytestmark = pytest.mark.slow  # every report is drawn


def evd(*arguments):
    code = "import sys\nfrom ensemble_vs_dropout.commands.main import main\n"
    code += "try: main()\nfinally: print('tensorflow' in sys.modules)"
    command = [sys.executable, "-c", code, "report", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, "COLUMNS": "100"})


@pytest.fixture(scope="module")
def run(made_up, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made up") / "run"
    made_up().save(folder)
    return folder


@pytest.fixture(scope="module")
def made(run):
    """The command's answer; the report lies beside the run."""
    return evd(run)


def test_the_report_lies_beside_the_run_which_stays_as_it_was(run, made):
    assert made.returncode == 0, made.stderr
    report = run.with_name("run-report")
    assert made.stdout.splitlines()[0] == str(report / "report.html")
    assert is_finished(run)
    assert {path.name for path in report.iterdir()} == {"report.html", "report.md", "figures", "tables"}
    written = {path.name for path in (report / "tables").iterdir()}
    assert {"quality.tex", "cost.tex", "diversity.tex", "contrasts_error.tex", "scores.csv", "contrasts.csv"} <= written
    figures = {path.name for path in (report / "figures").iterdir()}
    assert {f"{name}.{suffix}" for name in ("arm_intervals", "ensemble_size", "learning_curves")
            for suffix in ("png", "svg", "csv")} <= figures  # fmt: skip


def test_the_report_needs_no_tensorflow(made):
    assert made.stdout.splitlines()[-1] == "False"


def test_the_tables_hold_the_numbers_of_the_run(run, made):
    report = run.with_name("run-report")
    for name in ("scores", "contrasts", "cost"):
        pd.testing.assert_frame_equal(pd.read_csv(run / f"{name}.csv"), pd.read_csv(report / "tables" / f"{name}.csv"))
    short, long = ((folder / "report.md").read_text() for folder in (run, report))
    for text in (short, long):
        assert "figures/arm_intervals.png" in text
    assert "figures/reliability_pooling.png" in long  # what takes a few seconds more
    assert short.partition("## Figures")[0] == long.partition("## Figures")[0]
    assert short.partition("## Cost")[2] == long.partition("## Cost")[2]


def test_progress_goes_to_standard_error_or_nowhere(run, made, tmp_path):
    assert "reading" in made.stderr
    quiet = evd(run, "--quiet", "--out", tmp_path / "elsewhere")
    assert quiet.stderr == ""
    assert (tmp_path / "elsewhere" / "report.html").exists()


def test_the_help_says_what_goes_in_and_what_comes_out():
    told = " ".join(evd("--help").stdout.replace("│", " ").split())
    assert all(word in told for word in ("default: (RUN-report)", "report.html", "evd compare", "LaTeX", "--quiet"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "holds no finished run"),
        (["{run}", "--out", "{run}"], "is a finished run, whose files stay as they are; give another folder"),
        (["{run}", "--out", "{run}/store.json"], "cannot be made"),
    ],
)
def test_what_cannot_be_reported_is_one_line_and_exit_code_2(arguments, message, run):
    done = evd("--quiet", *(argument.format(run=run) for argument in arguments))
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert is_finished(run)


def test_a_damaged_run_is_refused_by_the_name_of_the_file(made_up, tmp_path):
    made_up().save(tmp_path / "run")
    next((tmp_path / "run" / "runs").glob("*-plain-*/cost.json")).write_text("[]")
    done = evd(tmp_path / "run")
    assert done.returncode == 2
    assert "/cost.json changed since" in done.stderr


def test_a_comparison_of_one_network_each_has_a_report(made_up, tmp_path):
    path = made_up(members=1).report(tmp_path / "one")
    assert "Diversity" not in path.read_text()
    assert "MC dropout against a single network" in path.read_text()


def test_a_report_into_a_finished_run_is_refused(made_up, run):
    with pytest.raises(InputError, match="is a finished run"):
        made_up().report(run)
