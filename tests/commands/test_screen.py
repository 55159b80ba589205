from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from ensemble_vs_dropout.commands.screen import show_comparison, show_frame
from ensemble_vs_dropout.evaluation.answer import answer
from ensemble_vs_dropout.evaluation.arms import EACH
from ensemble_vs_dropout.evaluation.cost import cost_table
from ensemble_vs_dropout.evaluation.evaluator import CONTRAST_COLUMNS, SCORE_COLUMNS
from ensemble_vs_dropout.evaluation.numbered_checks import Check
from ensemble_vs_dropout.types import Cost

ROWS = {("single", EACH, 1): 0.15, ("ensemble", "mean", 5): 0.14, ("ensemble", "majority_vote", 5): 0.145}


def comparison():
    """What the screen shows of a comparison, with made-up numbers."""
    metrics = {"error": 1.0, "nll": 3.0, "calibrated_nll": 2.9, "brier": 1.5, "ece": 0.2}
    scores = pd.DataFrame(
        [
            [*row, metric, value * of, value * of * 0.9, value * of * 1.1, "test", "clean", 0, 0]
            for row, value in ROWS.items()
            for metric, of in metrics.items()
        ],
        columns=SCORE_COLUMNS,
    )
    infinite = (scores.rule == "majority_vote") & scores.metric.isin(["nll", "calibrated_nll"])
    scores.loc[infinite, ["value", "low", "high"]] = np.inf
    pair = ["ensemble", "mean", "single", EACH]
    ends = ["paired t", "a", 0.004, "planned", 0.14, 0.15, np.nan, np.nan, False]
    contrasts = pd.DataFrame(
        [[*pair, metric, -0.01, -0.015, -0.005, 0.001, 0.004, *ends] for metric in ("error", "nll")],
        columns=CONTRAST_COLUMNS,
    )
    cost = cost_table({"single": [Cost(1000, 5e6, 1, 2.0, 0.1)], "ensemble": [Cost(5000, 2.5e7, 5, 10.0, 0.5)]})
    return SimpleNamespace(
        scores=scores, contrasts=contrasts, cost=cost, interval="over the test examples",
        environment={"minutes": 1.25},
        checks=lambda ignore: [] if ignore else [Check("EVD004", "There is one repetition alone.", issue=True)],
        answer=lambda: answer(contrasts, cost),
    )  # fmt: skip


def shown(capsys, monkeypatch, width, **options):
    monkeypatch.setenv("COLUMNS", str(width))
    show_comparison(comparison(), "runs/mine/report.html", 90.0, **options)
    return capsys.readouterr().out


def plain(text):
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


@pytest.mark.parametrize("width", [80, 100, 120])
def test_what_is_printed_fits_the_terminal(capsys, monkeypatch, width):
    text = plain(shown(capsys, monkeypatch, width))
    assert text == (Path(__file__).parent / "screen" / f"{width}.txt").read_text(encoding="utf-8")
    assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize("width", [80, 100, 120])
def test_no_word_is_broken(capsys, monkeypatch, width):
    words = {*shown(capsys, monkeypatch, 400).split(), "--wide", "shows", "intervals", "too"}
    assert {word for word in shown(capsys, monkeypatch, width).split() if "─" not in word} <= words


def test_wide_shows_all_columns_side_by_side(capsys, monkeypatch):
    text = shown(capsys, monkeypatch, 80, wide=True)
    line = next(line for line in text.splitlines() if line.startswith("ensemble, mean (5)"))
    cells = "14.00 [12.60, 15.40] 0.420 [0.378, 0.462] 0.406 [0.365, 0.447] 0.210 [0.189, 0.231] 0.028 [0.025, 0.031]"
    assert " ".join(line.split()) == f"ensemble, mean (5) {cells} 5,000 2.5e+07 5 10.0 0.50"


def test_in_a_file_each_row_of_a_table_is_a_line(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    show_frame(pd.DataFrame({"name": ["a"], "licence": ["a licence of many words " * 4]}), "data sets")
    assert "a licence of many words a licence of many words" in capsys.readouterr().out


def test_checks_that_are_left_out_are_counted(capsys, monkeypatch):
    text = shown(capsys, monkeypatch, 80, ignore=["EVD004"])
    assert "EVD004" not in text
    assert "1 check left out by --ignore." in text
    assert "left out by" not in shown(capsys, monkeypatch, 80)
