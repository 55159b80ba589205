"""A made-up comparison with names that no page may act on, and its report."""

import json

import numpy as np
import pandas as pd
import pytest

from ensemble_vs_dropout.evaluation.arms import arms_of
from ensemble_vs_dropout.evaluation.cost import cost_table
from ensemble_vs_dropout.evaluation.evaluator import SCORE_COLUMNS
from ensemble_vs_dropout.experiments.comparison import Comparison
from ensemble_vs_dropout.experiments.plan import make_plan
from ensemble_vs_dropout.experiments.settings import Study, make_settings
from ensemble_vs_dropout.experiments.store import Memory
from ensemble_vs_dropout.files import as_npz
from ensemble_vs_dropout.types import Cost, Predictions

EVIL = "<script>alert('it')</script>"


def make_up(members=3, passes=5, repetitions=1, examples=60, name="toy"):
    """A comparison of random predictions: networks are good, dropout is bad; nobody was trained."""
    rng = np.random.default_rng(0)
    labels = {split: np.arange(examples) % 3 for split in ("val", "test")}

    def predict(split, sure, count):
        noisy = sure * np.eye(3)[labels[split]] + rng.gumbel(size=(count, examples, 3))
        return Predictions(np.exp(noisy) / np.exp(noisy).sum(axis=2, keepdims=True))

    sizes = {"ensemble": (4.0, members), "dropout": (0.5, 1), "mc_dropout": (0.4, passes)}
    sizes["dropout_ensemble"] = (0.5, members)
    predictions = {
        split: {arm: [predict(split, *size) for _ in range(repetitions)] for arm, size in sizes.items()}
        for split in labels
    }
    settings = make_settings(
        dataset=name, model={"name": "mlp", "units": [8]}, members=members, passes=passes, epochs=3, batch_size=32,
        patience=None, seed=7, watch=("train", "test"),
    )  # fmt: skip
    facts = {"data_sha256": "0" * 64}
    study = Study(name="made up", base=settings.given(), repetitions=repetitions)
    memory, points = Memory(), make_plan(study, facts=facts).points
    for point in points:
        for run in point.runs:
            arms = [arm.name for arm in arms_of(run.spec["recipe"])]
            arrays = {
                f"{split}/{arm}": predictions[split][arm][point.repetition].probs
                for split in labels
                for arm in arms
                if arm in predictions[split]
            }
            memory.put(run, files_of(run, arrays | {f"labels/{k}": v for k, v in labels.items()}, arms, name, examples))
    return Comparison(settings, [point.runs for point in points], memory, facts)


def files_of(run, arrays, arms, name, examples):
    """The files of a run, as `make_runs` writes them."""
    histories = pd.DataFrame(
        [(m, e) for m in range(run.members) for e in (1, 2, 3)], columns=["member", "epoch"]
    )  # fmt: skip
    for place, loss in enumerate(("loss", "train_loss", "val_loss", "test_loss")):
        histories[loss] = 1 / histories["epoch"] + 0.1 * place
    told = {
        "version": "0.1.0", "machine": "Linux x86_64", "seconds": 3.0, "source": f"/data/{name}.npz", "notes": [],
        "data": name, "classes": ["good", EVIL, "a|b"], "data_sha256": "0" * 64, "parameters": 1234,
        "sizes": {"train": 12_345, "val": examples, "test": examples},
    }  # fmt: skip
    cost = cost_table({arm: [Cost(1234, 5.5e8, 5, 1.0, 0.1)] for arm in arms})
    return {
        "predictions.npz": as_npz(arrays),
        "histories.csv": histories.to_csv(index=False).encode(),
        "cost.json": cost.to_json(orient="records").encode(),
        "environment.json": json.dumps(told).encode(),
        "scores.json": json.dumps({"columns": SCORE_COLUMNS, "data": []}).encode(),
        "models.json": b"{}",
        "models.npz": b"",
    }


def content_of(comparison, drawn=True):
    return comparison._content(comparison.figures(["arm_intervals", "ensemble_size", "learning_curves"]), drawn=drawn)


@pytest.fixture(scope="session")
def made_up():
    return make_up


@pytest.fixture(scope="session")
def evil():
    return EVIL


@pytest.fixture(scope="session")
def content():
    """All parts of the report of a comparison whose data set and classes are named like markup."""
    return content_of(make_up(name=EVIL))


@pytest.fixture(scope="session")
def plain_content():
    return content_of(make_up(repetitions=4), drawn=False)
