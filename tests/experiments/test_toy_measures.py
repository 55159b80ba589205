"""A metric and a rule of a user's own, named where they are asked for, are seen wherever metrics and rules are."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation import Evaluator
from ensemble_vs_dropout.experiments.comparing import compare

OWN = "--metrics error,toy_measures:cost_of_errors,toy_measures:SURE --rules mean,toy_measures:first_member"
COMPARE = (
    "compare --dataset digits --train-size 100 --members 2 --passes 3 --repetitions 1 --epochs 2 --rate 0.5 "
    f"--no-controls --no-probe --out run {OWN}"
)
STUDY = """name: toy
base:
  {dataset: digits, train_size: 100, model: {name: mlp, units: [8]}, members: 2, passes: 3, epochs: 1,
   metrics: [error, "toy_measures:cost_of_errors"], rules: [mean, "toy_measures:first_member"]}
repetitions: 2
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory, evd):
    found = tmp_path_factory.mktemp("toy")
    shutil.copy(Path(__file__).with_name("toy_measures.py"), found)
    evd(f"{COMPARE} --quiet --json", found)
    return found


@pytest.mark.slow
def test_the_tables_of_a_comparison_have_them(folder, evd):
    told = json.loads(evd(f"{COMPARE} --quiet --json", folder))
    for table in ("scores", "contrasts"):
        assert {row["metric"] for row in told[table]} == {
            "error", "toy_measures:cost_of_errors", "toy_measures:SURE",
        }  # fmt: skip
    assert {row["rule"] for row in told["scores"]} == {"each", "mean", "toy_measures:first_member"}
    scores = pd.DataFrame(told["scores"])
    sure = scores[scores.metric == "toy_measures:SURE"].set_index(["arm", "rule"]).value.astype(float)
    assert sure.between(0.1, 1).all()
    first = scores[(scores.rule == "toy_measures:first_member") & (scores.arm == "ensemble")].set_index("metric").value
    assert 0 < float(first["toy_measures:cost_of_errors"]) < 9


@pytest.mark.slow
def test_the_report_and_its_figures_name_them(folder, evd):
    evd("report run --quiet", folder)
    page = (folder / "run-report" / "report.html").read_text()
    assert "cost of errors" in page
    assert "Lower is better, but for confidence (%)." in page
    assert "toy_measures:first_member" in page
    assert OWN.split(" --rules ")[0] in page
    assert (folder / "run" / "figures" / "arm_intervals.svg").exists()


@pytest.mark.slow
def test_a_study_by_two_processes_has_them(folder, evd):
    (folder / "study.yaml").write_text(STUDY)
    evd("study run study.yaml --store store --jobs 2 --quiet", folder)
    evd("study results study.yaml --store store --out table.csv", folder)
    table = pd.read_csv(folder / "table.csv")
    assert set(table.metric) == {"error", "toy_measures:cost_of_errors"}
    assert "toy_measures:first_member" in set(table.rule)


def test_what_is_no_metric_or_rule_is_refused_by_name():
    for settings, told in (
        ({"metrics": ["math:pi"]}, "metric 'math:pi' must be a Metric or a function, got float"),
        ({"metrics": ["nowhere:cost"]}, "metric 'nowhere:cost': cannot import 'nowhere'"),
        ({"rules": ["math:pi"]}, "rule 'math:pi' must be a function, got float"),
        ({"rules": ["meen"]}, "unknown rule 'meen'"),
    ):
        with pytest.raises(InputError, match=told):
            Evaluator(**settings)
        with pytest.raises(InputError, match=told):
            compare("digits", "mlp", **settings, verbose=0)
