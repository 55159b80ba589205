"""What a file's names and values hold reaches no terminal, page, figure or table as anything but text."""

import numpy as np
import pandas as pd
import pytest
from called import evd

CONTROLS = tuple("\x1b\x07\x9b\u202e")
TEXT = (".csv", ".json", ".html", ".md", ".svg", ".txt", ".tex", ".yaml")


def held(text):
    return [control for control in CONTROLS if control in text]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """All that the commands print and write for a table that is full of controls and formulas."""
    folder = tmp_path_factory.mktemp("hostile")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "a": rng.normal(size=120),
            "b\x1b[2J": rng.choice(["u\x1b[31m", "=v", "w\u202e"], 120),
            "=c": rng.normal(size=120),
        }
    )
    frame["la\x07bel"] = np.where(frame.a > 0, "=cmd|' /C calc'!A0", "no\x1b]0;mine\x07\x9b")
    file, target = "ta\x1b[31mble.csv", "la\x07bel"
    frame.to_csv(folder / file, index=False)
    few = ["--members", "2", "--epochs", "1", "--passes", "2", "--repetitions", "1", "--rate", "0.5"]
    few += ["--no-probe", "--no-controls", "--out", "run"]
    said = [
        evd(["compare", "--dataset", file, "--target", target, *few], folder),
        evd(["report", "run", "--out", "report"], folder),
        evd(["export", "run", "--out", "model.keras"], folder),
        evd(["predict", "model.keras", file, "--out", "predictions.csv"], folder),
        evd(["compare", "--dataset", file, "--target", "no\x1b[5m"], folder),  # is refused
    ]
    return folder, said, file


@pytest.mark.slow
def test_no_control_reaches_the_terminal(written):
    assert [done.returncode for done in written[1]] == [0, 0, 0, 0, 2], written[1][0].stderr
    for done in written[1]:
        assert held(done.stdout + done.stderr) == []


@pytest.mark.slow
def test_no_control_is_written_to_a_text_file(written):
    folder, _, source = written
    files = [path for path in folder.rglob("*") if path.suffix in TEXT and path.name != source]
    assert {path.suffix for path in files} >= {".csv", ".json", ".html", ".md", ".svg", ".tex"}
    assert {str(path): found for path in files if (found := held(path.read_text(encoding="utf-8")))} == {}


@pytest.mark.slow
def test_no_cell_is_a_formula(written):
    folder, _, source = written
    for path in (path for path in folder.rglob("*.csv") if path.name != source):
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        cells = [*table.columns, *table.to_numpy().ravel()]
        assert [cell for cell in cells if cell.startswith(("=", "@", "\t", "\r"))] == [], path
    labels = pd.read_csv(folder / "predictions.csv").label
    assert set(labels) <= {"'=cmd|' /C calc'!A0", r"no\x1b]0;mine\x07\x9b"}
