"""Files of a comparison that hold something else than what was written there, though their sums fit, are told of."""

import json
import shutil
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.experiments.comparison import Comparison
from ensemble_vs_dropout.experiments.plan import Run
from ensemble_vs_dropout.files import digest_of_file

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def comparison(tmp_path):
    return Path(shutil.copytree(GOLDEN / "comparison", tmp_path / "comparison"))


def fit(folder, name):
    """Have the manifest of a folder say what a file of it holds now."""
    sums = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**sums, name: digest_of_file(folder / name)}))


@pytest.mark.parametrize("name", ["comparison.json", "store.json", "manifest.json"])
def test_a_file_that_is_nested_too_deeply_is_told(comparison, name):
    (comparison / name).write_text("[" * 10_000)
    if name == "comparison.json":
        fit(comparison, name)
    with pytest.raises(InputError, match=r"damaged|no finished run"):
        Comparison.load(comparison)


@pytest.mark.parametrize("name", ["spec.json", "manifest.json"])
def test_a_file_of_a_run_that_is_nested_too_deeply_is_told(comparison, name):
    run = min((comparison / "runs").iterdir())
    (run / name).write_text("[" * 10_000)
    with pytest.raises(InputError, match=run.name):
        Comparison.load(comparison)


def changed(folder, name, change):
    """Change what a JSON file of every run holds, with sums that fit."""
    for run in (folder / "runs").iterdir():
        content = json.loads((run / name).read_text())
        change(content)
        (run / name).write_text(json.dumps(content))
        fit(run, name)


@pytest.mark.parametrize(
    "content",
    [{"runs": []}, {"runs": [[]]}, {"chosen": ["aaa"]}, {"chosen": [[1]]}, {"chosen": [{"plain": 3}]}],
    ids=["no runs", "none of a repetition", "text", "a list", "a number"],
)
def test_a_comparison_of_another_shape_is_told(comparison, content):
    asked = json.loads((comparison / "comparison.json").read_text())
    (comparison / "comparison.json").write_text(json.dumps({**asked, **content}))
    fit(comparison, "comparison.json")
    with pytest.raises(InputError, match="is damaged"):
        Comparison.load(comparison)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("parameters", float("inf")),
        ("parameters", [None]),
        ("test_in_train", [None]),
        ("seconds", float("inf")),
        ("machine", ["a"]),
        ("data_sha256", float("nan")),
    ],
)
def test_facts_of_a_run_that_are_none_are_told(comparison, name, value):
    changed(comparison, "environment.json", lambda told: told.update({name: value}))
    with pytest.raises(InputError, match=r"environment\.json does not hold what a run writes there"):
        Comparison.load(comparison).to_json()


@pytest.mark.parametrize("value", [-1, 0, 1e308, float("inf")])
def test_costs_that_are_none_are_told(comparison, value):
    changed(comparison, "cost.json", lambda rows: rows[0].update(trained=value))
    with pytest.raises(InputError, match=r"cost\.json does not hold what a run writes there"):
        Comparison.load(comparison).answer()


def test_text_of_a_run_is_shown_and_no_more(comparison):
    odd = {"classes": [f"\x1b[31m{number}" for number in range(10)], "data": "\ud800", "notes": ["a\nb"]}
    changed(comparison, "environment.json", lambda told: told.update(odd))
    found = Comparison.load(comparison)
    assert found.spec["classes"][:2] == ["\\x1b[31m0", "\\x1b[31m1"]
    assert found.spec["dataset"] == "\\ud800"
    assert found.environment["notes"] == ["a\\nb"]


@pytest.mark.parametrize("header", ["{'shape': (3,", "'''", "  a\n b\n"], ids=["open", "text", "indented"])
def test_an_array_that_says_no_shape_is_told(comparison, header):
    run = min((comparison / "runs").iterdir())
    said = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()
    with zipfile.ZipFile(run / "predictions.npz", "w") as archive:
        archive.writestr("test/single.npy", said)
    fit(run, "predictions.npz")
    with pytest.raises(InputError, match=r"predictions\.npz does not hold what a run writes there"):
        Comparison.load(comparison).answer()


def test_arrays_that_do_not_fit_in_memory_are_told_before_they_are_read(comparison, monkeypatch):
    memory = SimpleNamespace(available=1000)
    monkeypatch.setattr("ensemble_vs_dropout.files.psutil.virtual_memory", lambda: memory)
    with pytest.raises(InputError, match=r"predictions\.npz takes .* GB of memory"):
        Comparison.load(comparison).answer()


@pytest.mark.parametrize("change", [{"shifts": 1}, {"shifts": [[1]]}, {"repetition": None}, {"recipe": "nothing"}])
def test_a_specification_that_no_run_is_made_by_is_told(comparison, change):
    asked = json.loads((comparison / "comparison.json").read_text())
    before = comparison / "runs" / asked["runs"][0][0]
    spec = json.loads((before / "spec.json").read_text()) | change
    (before / "spec.json").write_text(json.dumps(spec))
    fit(before, "spec.json")
    before.rename(comparison / "runs" / Run(spec).name)
    asked["runs"][0][0] = Run(spec).name
    (comparison / "comparison.json").write_text(json.dumps(asked))
    fit(comparison, "comparison.json")
    with pytest.raises(InputError, match=r"spec\.json does not hold what a run writes there"):
        Comparison.load(comparison)


def test_inputs_of_a_shape_that_the_networks_do_not_take_are_told(comparison, tmp_path):
    changed(comparison, "inputs.json", lambda told: told.update(shape=[9, 9]))
    with pytest.raises(InputError, match=r"inputs of shape \[9, 9\], which its networks do not take; run it again"):
        Comparison.load(comparison).export(tmp_path / "model.keras", "ensemble")


def test_a_run_that_does_not_tell_its_version_is_read(comparison):
    changed(comparison, "environment.json", lambda told: told.pop("version"))
    assert json.loads(Comparison.load(comparison).to_json())["spec"]["version"] is None
