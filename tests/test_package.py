"""The wheel: it holds the data, and works where the repository is not."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def test_the_lowest_versions_that_are_tested_are_the_lower_bounds():
    lists = [(ROOT / name).read_text() for name in ("requirements.txt", "constraints-lowest.txt")]
    bounds, tested = (
        re.findall(rf"^([\w-]+){sign}([\d.]+)", text, re.M) for text, sign in zip(lists, (">=", "=="), strict=True)
    )
    assert bounds == tested
    assert len(bounds) == len([line for line in lists[0].splitlines() if not line.startswith("#")])


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the package as a wheel installs it."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder


def run(installed, *arguments):
    command = [sys.executable, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(installed / "site")}
    done = subprocess.run(command, cwd=installed, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
def test_the_wheel_holds_the_data_the_page_and_its_types(installed):
    package = installed / "site" / "ensemble_vs_dropout"
    shipped = {path.name for path in (ROOT / "data").iterdir()}
    assert {path.name for path in (package / "shipped").iterdir()} == shipped
    assert (package / "py.typed").exists()
    assert {path.suffix for path in (package / "report").iterdir()} >= {".jinja", ".css", ".js"}
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "ensemble_vs_dropout").rglob("*.py")}
    assert {str(path.relative_to(installed / "site")) for path in package.rglob("*.py")} == modules


@pytest.mark.slow
def test_the_commands_work_away_from_the_repository(installed):
    where = "import ensemble_vs_dropout; print(ensemble_vs_dropout.__file__)"
    assert run(installed, "-c", where).startswith(str(installed))
    few = "--train-size 200 --members 2 --epochs 1 --passes 2 --repetitions 1 --rate 0.5 --no-probe --no-controls"
    told = run(installed, "-m", "ensemble_vs_dropout", "compare", "--dataset", "letter", *few.split(), "--out", "run")
    assert told.endswith("open run/report.html\n")
    assert run(installed, "-m", "ensemble_vs_dropout", "report", "run").endswith("run-report/report.html\n")
    study = "{name: s, base: {dataset: letter, train_size: 100, members: 1, epochs: 1, rate: 0.5, passes: 2}}"
    (installed / "s.yaml").write_text(study)
    run(installed, "-m", "ensemble_vs_dropout", "study", "run", "s.yaml", "--jobs", "1", "--quiet")
    assert run(installed, "-m", "ensemble_vs_dropout", "study", "status", "s.yaml").startswith("2 of 2 runs")
