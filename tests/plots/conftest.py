"""Displays for the contract test, and tables such as the evaluator and the trainer write, with made-up numbers."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from ensemble_vs_dropout.plots import ArmIntervals, EnsembleSize, LearningCurves

RATES = {"error": (0.115, 0.02), "nll": (0.33, 0.05), "brier": (0.165, 0.02), "ece": (0.03, 0.01)}


def curves(arms=("ensemble", "mc_dropout"), members=(1, 2, 5, 10, 20, 50, 100), metrics=("error", "nll", "brier")):
    rows = []
    for place, arm in enumerate(arms):
        for metric in metrics:
            floor, gain = RATES[metric]
            for number in members:
                value = floor * (1 + 0.03 * place) + gain / number
                row = {"arm": arm, "rule": "mean", "members": number, "metric": metric, "value": value}
                rows.append(row | {"low": value * 0.96, "high": value * 1.04})
    return pd.DataFrame(rows)


def references(arms=("dropout",), metrics=("error", "nll", "brier", "ece")):
    rows = [
        {"arm": arm, "rule": "mean", "members": 1, "metric": metric, "value": RATES[metric][0] * 1.08}
        for arm in arms
        for metric in metrics
    ]
    return pd.DataFrame(rows)


def histories(arms=("plain", "dropout", "wide"), networks=5, epochs=20, measured=True, stop_early=True):
    rng = np.random.default_rng(0)
    rows = []
    for place, arm in enumerate(arms):
        for member in range(networks):
            last = epochs - (3 * member if stop_early else 0)
            for epoch in range(1, max(last, 1) + 1):
                train = 0.5 * np.exp(-epoch / 6) + 0.1 + 0.02 * place + rng.normal(0, 0.01)
                test = train + 0.01 * epoch / (1 + (arm == "dropout")) + rng.normal(0, 0.005)
                row = {"recipe": arm, "repetition": 0, "member": member, "epoch": epoch, "seconds": 0.5}
                row |= {"loss": train * (1.5 if arm == "dropout" else 1.0), "val_loss": test + 0.01}
                rows.append(row | ({"train_loss": train, "test_loss": test} if measured else {}))
    return pd.DataFrame(rows)


def scores(metrics=("error", "nll", "brier", "ece"), repetitions=1, arms=None):
    arms = arms or [
        ("single", "mean", 1),
        ("ensemble", "mean", 5),
        ("ensemble", "geometric_mean", 5),
        ("ensemble", "majority_vote", 5),
        ("dropout", "mean", 1),
        ("mc_dropout", "mean", 100),
        ("mc_dropout", "majority_vote", 100),
        ("dropout_ensemble", "mean", 5),
        ("wide", "mean", 1),
    ]
    rows = []
    for repetition in range(repetitions):
        for place, (arm, rule, members) in enumerate(arms):
            for metric in metrics:
                value = RATES[metric][0] * (1 + 0.03 * (place % 4) + 0.01 * repetition)
                low, high = value * 0.95, value * 1.05
                if (metric, rule) == ("nll", "majority_vote"):
                    value = low = high = np.inf
                row = {"arm": arm, "rule": rule, "members": members, "metric": metric, "value": value}
                row |= {"low": low, "high": high, "split": "test", "condition": "clean", "severity": 0}
                rows.append(row | {"repetition": repetition})
    return pd.DataFrame(rows)


BUILDERS = {
    "size": lambda: EnsembleSize.from_curves(curves(), dataset="fashion_mnist", references=references()),
    "learning": lambda: LearningCurves.from_histories(histories(), dataset="fashion_mnist"),
    "arms": lambda: ArmIntervals.from_scores(scores(), dataset="fashion_mnist", interval="95 % bootstrap"),
}
for path in sorted(Path(__file__).parent.glob("made_*.py")):  # each holds BUILDERS of its own
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    BUILDERS |= module.BUILDERS


@pytest.fixture
def tables():
    return SimpleNamespace(curves=curves, references=references, histories=histories, scores=scores)


QUICK = ("size", "learning", "arms")  # the others are slow only because they are many


@pytest.fixture(params=[name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in BUILDERS])
def display(request):
    return BUILDERS[request.param]()
