"""The folder of a comparison: whose it is, what is kept, and what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.experiments.comparison import Comparison
from ensemble_vs_dropout.experiments.folder import claim, finish, is_finished
from ensemble_vs_dropout.experiments.folder import open_folder as open_store
from ensemble_vs_dropout.experiments.plan import Run

ASKED = {"format": 1, "settings": {"dataset": "toy", "members": 3}, "repetitions": 2, "facts": {}}
OTHER = {**ASKED, "settings": {"dataset": "toy", "members": 5, "seed": 1}}
FIRST = Path(__file__).parent / "first_format"


def open_folder(folder, asked, force=False):
    store = open_store(folder)
    with store.hold("comparison"):
        claim(folder, asked, force)
    return store


def complete(folder):
    store = open_folder(folder, ASKED)
    store.put(Run({"recipe": "plain", "dataset": "toy", "members": 3}), {"scores.json": b"[]"})
    (folder / "scores.csv").write_text("a,b")
    (folder / "figures").mkdir()
    (folder / "figures" / "sizes.svg").write_text("<svg/>")
    finish(folder)
    return store


def test_a_new_folder_is_made_with_its_parents_and_says_what_is_compared(tmp_path):
    open_folder(tmp_path / "a" / "b", ASKED)
    assert json.loads((tmp_path / "a" / "b" / "comparison.json").read_text()) == ASKED
    assert not is_finished(tmp_path / "a" / "b")


def test_it_is_finished_when_all_that_is_made_of_runs_is_as_it_was_written(tmp_path):
    complete(tmp_path)
    assert is_finished(tmp_path)
    for name, content in (("scores.csv", "a,c"), ("figures/sizes.svg", ""), ("manifest.json", "[]")):
        before = (tmp_path / name).read_text()
        (tmp_path / name).write_text(content)
        assert not is_finished(tmp_path), name
        (tmp_path / name).write_text(before)
    (tmp_path / "scores.csv").unlink()
    assert not is_finished(tmp_path)


def test_notes_beside_it_do_not_count(tmp_path):
    complete(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    open_folder(tmp_path, ASKED)
    assert is_finished(tmp_path)


def test_the_page_is_no_part_of_what_is_whole_and_goes_with_the_comparison(tmp_path):
    complete(tmp_path)
    (tmp_path / "report.html").write_text("<html>")
    assert is_finished(tmp_path)
    open_folder(tmp_path, ASKED)
    assert (tmp_path / "report.html").exists()
    open_folder(tmp_path, OTHER, force=True)
    assert not (tmp_path / "report.html").exists()


def test_another_comparison_is_refused_with_what_differs_and_nothing_is_touched(tmp_path):
    complete(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match=r"holds another comparison \(members, seed differ\).*--force"):
        open_folder(tmp_path, OTHER)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_force_puts_another_in_its_place_and_keeps_the_runs(tmp_path):
    runs = complete(tmp_path).finished()
    store = open_folder(tmp_path, OTHER, force=True)
    assert store.finished() == runs != set()
    assert not is_finished(tmp_path)
    assert json.loads((tmp_path / "comparison.json").read_text()) == OTHER
    assert {path.name for path in tmp_path.iterdir()} == {"store.json", "runs", "locks", "comparison.json"}


def test_a_comparison_that_another_process_writes_is_not_touched_by_force(tmp_path):
    store = complete(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    with store.hold("comparison"), pytest.raises(InputError, match="being written by another process"):
        open_folder(tmp_path, OTHER, force=True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.json")} == before


@pytest.mark.parametrize("name", ["report.md", "figures"])
def test_what_has_the_name_of_a_report_but_is_not_ours_is_refused(tmp_path, name):
    (tmp_path / name).mkdir() if name == "figures" else (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match=f"holds something else \\({name}\\)"):
        open_folder(tmp_path, ASKED, force=True)


def test_a_comparison_whose_marks_were_lost_goes_on_with_its_runs(tmp_path):
    runs = complete(tmp_path).finished()
    for name in ("store.json", "comparison.json", "manifest.json", "scores.csv"):
        (tmp_path / name).unlink()
    assert open_folder(tmp_path, ASKED).finished() == runs


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_with_foreign_files_is_refused_and_named(tmp_path, force):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match=r"out .* holds something else \(thesis.tex\)"):
        open_folder(tmp_path, ASKED, force)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(InputError, match="cannot be used"):
        open_folder(tmp_path / "out", ASKED)
    assert (tmp_path / "out").read_text() == "a file"


def test_a_manifest_that_names_files_elsewhere_touches_none(tmp_path):
    folder = tmp_path / "run"
    complete(folder)
    (tmp_path / "victim.txt").write_text("years of work")
    sums = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**sums, "../victim.txt": "0" * 64}))
    assert not is_finished(folder)
    open_folder(folder, ASKED)
    assert (tmp_path / "victim.txt").read_text() == "years of work"


def test_one_process_at_a_time_writes_it(tmp_path):
    store = open_folder(tmp_path, ASKED)
    with (
        store.hold("comparison"),
        pytest.raises(InputError, match="being written by another process"),
        store.hold("comparison"),
    ):
        pass


def test_a_run_that_another_process_makes_is_not_saved_over(tmp_path):
    found, folder = Comparison.load(Path(__file__).parent / "golden" / "comparison"), tmp_path / "run"
    run = found.runs[0][1]
    with open_store(folder).claim((run,)), pytest.raises(InputError, match=f"{run.name} is being made by another"):
        found.save(folder)
    assert not is_finished(folder)


@pytest.mark.slow
def test_a_folder_of_version_0_1_is_read_and_never_written_to(tmp_path):
    """Made by version 0.1 from 60 made-up examples, with its models and figures left out."""
    folder = tmp_path / "first"
    shutil.copytree(FIRST, folder)
    found, expected = Comparison.load(folder), pd.read_csv(FIRST / "scores.csv")
    expected.loc[expected.arm == "dropout", "rule"] = "each"  # of all dropout networks now, of the first then
    pd.testing.assert_frame_equal(found.scores[["arm", "rule", "metric"]], expected[["arm", "rule", "metric"]])
    same = (expected.arm != "dropout") & (expected.metric != "calibrated_nll")  # which had no prior then
    np.testing.assert_allclose(found.scores.value[same], expected.value[same])
    assert found.cost.parameters.tolist() == pd.read_csv(FIRST / "cost.csv").parameters.tolist()
    assert "30 test examples" in found.report(tmp_path / "report").read_text()
    with pytest.raises(InputError, match=r"holds a comparison of version 0\.1.*another folder"):
        open_folder(folder, ASKED, force=True)
    assert {path.name for path in folder.iterdir()} == {path.name for path in FIRST.iterdir()}


def test_a_damaged_folder_of_version_0_1_is_refused(tmp_path):
    shutil.copytree(FIRST, tmp_path / "first")
    (tmp_path / "first" / "cost.csv").write_text("arm\n")
    with pytest.raises(InputError, match=r"is damaged: cost\.csv changed since"):
        Comparison.load(tmp_path / "first")


@pytest.mark.parametrize("name", ["../elsewhere", "digits-plain-0123456789abcdef"])
def test_a_comparison_of_runs_that_are_not_there_is_refused(tmp_path, name):
    complete(tmp_path)
    (tmp_path / "comparison.json").write_text(json.dumps({**ASKED, "runs": [[name]]}))
    finish(tmp_path)
    with pytest.raises(InputError, match="is damaged"):
        Comparison.load(tmp_path)


def test_a_changed_comparison_json_is_damage(tmp_path):
    complete(tmp_path)
    (tmp_path / "comparison.json").write_text(json.dumps({**OTHER, "runs": []}))
    with pytest.raises(InputError, match=r"comparison\.json changed since"):
        Comparison.load(tmp_path)
