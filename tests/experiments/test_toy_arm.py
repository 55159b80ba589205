"""An arm and a recipe of a user's own, registered in one place, are seen wherever arms are."""

import json
import shutil
from pathlib import Path

import pytest

COMPARE = (
    "compare --dataset digits --members 2 --passes 3 --repetitions 1 --epochs 2 --quiet --out run "
    "--rate 0.5 --no-controls --no-probe "
    "--arms single,ensemble,mc_dropout,toy_arms:TRIO"
)
STUDY = """name: toy
base:
  {dataset: digits, train_size: 200, model: {name: mlp, units: [8]}, members: 2, passes: 3, epochs: 1, rate: 0.5,
   metrics: [error], arms: [ensemble, "toy_arms:TRIO"]}
repetitions: 2
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory, evd):
    found = tmp_path_factory.mktemp("toy")
    shutil.copy(Path(__file__).with_name("toy_arms.py"), found)
    evd(COMPARE, found)
    return found


@pytest.mark.slow
def test_the_tables_of_a_comparison_have_it(folder, evd):
    told = json.loads(evd(f"{COMPARE} --json", folder))
    arms = ["single", "ensemble", "mc_dropout", "light_trio"]
    assert list(dict.fromkeys(row["arm"] for row in told["scores"])) == arms
    assert {row["rule"] for row in told["scores"] if row["arm"] == "light_trio"} > {"mean", "majority_vote"}
    assert [row["arm"] for row in told["cost"]] == arms
    assert "light_trio" in {row["arm"] for row in told["worth"]}
    assert "light_trio" in {row["arm"] for row in told["equal_cost"]}
    assert {name.name.split("-")[1] for name in (folder / "run" / "runs").iterdir()} == {"plain", "dropout", "light"}


@pytest.mark.slow
def test_the_verdict_the_report_and_the_figures_name_it(folder, evd):
    verdict = (folder / "run" / "verdict.txt").read_text()
    assert "The averaged trio of lightly dropped networks against the averaged ensemble" in verdict
    told = "How many networks the trio of 2 lightly dropped networks is worth cannot be told from one repetition."
    assert told in verdict
    page = (folder / "run" / "report.md").read_text()
    assert "trio of lightly dropped networks, majority vote (2)" in page
    for name in ("arm_intervals", "ensemble_size"):
        assert "trio of lightly dropped" in (folder / "run" / "figures" / f"{name}.svg").read_text()
    assert "lightly dropped" in (folder / "run" / "figures" / "learning_curves.svg").read_text()


@pytest.mark.slow
def test_a_study_by_two_processes_has_it(folder, evd):
    (folder / "study.yaml").write_text(STUDY)
    evd("study run study.yaml --store store --jobs 2 --quiet", folder)
    evd("study results study.yaml --store store --out table.csv", folder)
    lines = (folder / "table.csv").read_text().splitlines()
    assert {line.split(",")[0] for line in lines[1:]} == {"ensemble", "light_trio"}
