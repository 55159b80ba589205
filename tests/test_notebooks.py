"""What a notebook or a prompt shows of the things that people hold in their hands; and the notebooks of `examples`."""

import re
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbclient import NotebookClient

import ensemble_vs_dropout as evd
from ensemble_vs_dropout.plots import EnsembleSize

NOTEBOOKS = sorted((Path(__file__).parent.parent / "examples").glob("*.ipynb"))


def text_of(notebook):
    """Return what the cells of a notebook print and show, as text."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return "".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the libraries that run notebooks
@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_a_notebook_runs_and_shows_what_it_says(path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    told = {
        "compare_on_your_data": "no difference|Use ",
        "uncertainty_of_your_model": "the surest 100%",
        "what_dropout_averages": r"weight scaling and the geometric mean differ by \d\.\de-0[678]",
    }[path.stem]
    assert re.search(told, text_of(notebook))  # as it is kept
    for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
        cell["outputs"] = []
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert re.search(told, text_of(notebook))


def test_there_are_three_notebooks():
    assert len(NOTEBOOKS) == 3


def shown(thing):
    text = repr(thing)
    assert len(text.splitlines()) <= 3
    assert max(map(len, text.splitlines())) <= 100
    assert "array(" not in text
    return text


def test_data_and_predictions(blobs):
    data = evd.Dataset("mine", *(blobs(examples=20) * 3), classes=("a", "b", "c"), source="disk")
    assert shown(data) == (
        "Dataset 'mine': 3 classes ('a', 'b', 'c')\n"
        "  20 train, 20 val, 20 test examples of shape (6,), float32\n  from disk"
    )
    assert shown(evd.Predictions(np.full((3, 4, 2), 0.5), method="three")) == (
        "Predictions of three: 3 members, 4 examples, 2 classes"
    )


def test_predictors(small):
    ensemble = evd.Ensemble(small, members=2)
    assert shown(ensemble) == "Ensemble: 2 independent networks, 3 classes"
    assert shown(evd.MonteCarloDropout(ensemble.models[0], passes=7)) == (
        "MonteCarloDropout: Monte Carlo dropout, 7 passes, 3 classes"
    )
    assert shown(evd.WeightScaling(ensemble.models[0])).startswith("WeightScaling: ")


def test_a_display_is_a_picture():
    points = {"arm": "ensemble", "rule": "mean", "members": [1, 5], "metric": "error", "value": [0.2, 0.1]}
    curves = pd.DataFrame(points | {"low": 0.0, "high": 0.3})
    display = EnsembleSize.from_curves(curves, dataset="digits", interval="95 % bootstrap")
    assert shown(display).startswith("EnsembleSize: ")
    assert display._repr_png_().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_comparison_is_its_answer_and_its_table():
    found = evd.compare(
        "digits", members=2, passes=2, repetitions=1, epochs=1, rate=0.5, controls=False, probe=False, verbose=0
    )
    assert shown(found).splitlines()[:2] == [
        "Comparison of mlp on digits", "  1 repetition of 2 networks, 2 passes"
    ]  # fmt: skip
    assert "epoch" in {axis.get_xlabel() for axis in found.plot("learning_curves")}
    axes = found.plot("ensemble_size", metrics=["nll"], colors={"ensemble": "black"}, labels={"ensemble": "two"})
    assert [axis.get_ylabel() for axis in axes] == ["NLL (nats)"]
    assert {line.get_label(): line.get_color() for line in axes[0].lines}["two, mean"] == "black"
    assert len(found.plot("planned_questions", metrics=["nll"])) == 1
    assert len(found.plot("class_errors")) == len(found.plot("confusion_matrix")) == 1
    with pytest.raises(evd.InputError, match="unknown arm 'two'"):
        found.plot("ensemble_size", labels={"two": "ensemble"})
    with pytest.raises(evd.InputError, match=r"unknown figure 'size'; known: arm_intervals, ensemble_size"):
        found.plot("size")
    assert evd.plots.EnsembleSize is EnsembleSize
    page = found._repr_html_()
    assert page.startswith(f"<p>{found.answer().sentences[0]}</p>")
    assert "<td>single network</td>" in page
