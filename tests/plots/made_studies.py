"""Displays of made-up studies: tables of scores by rate, size, shift and data set, histories, costs and pools."""

import numpy as np
import pandas as pd

from ensemble_vs_dropout import Predictions
from ensemble_vs_dropout.plots.architectures import Architectures
from ensemble_vs_dropout.plots.bias_variance_diversity import BiasVarianceDiversity
from ensemble_vs_dropout.plots.cost_frontier import CostFrontier
from ensemble_vs_dropout.plots.critical_difference import CriticalDifference
from ensemble_vs_dropout.plots.dataset_size import DatasetSize
from ensemble_vs_dropout.plots.eir_vs_der import EIRVersusDER
from ensemble_vs_dropout.plots.facets import Facets
from ensemble_vs_dropout.plots.paired_differences import PairedDifferences
from ensemble_vs_dropout.plots.planned_questions import PlannedQuestions
from ensemble_vs_dropout.plots.retention_sweep import RetentionSweep
from ensemble_vs_dropout.plots.shift_robustness import ShiftRobustness

ARMS = {  # rule, members, and how much of the single network's error
    "single": ("each", 1, 1.0),
    "dropout": ("mean", 1, 0.97),
    "mc_dropout": ("mean", 100, 0.95),
    "ensemble": ("mean", 5, 0.9),
    "dropout_ensemble": ("mean", 5, 0.88),
}
SCALE = {"error": 1.0, "brier": 1.45, "nll": 2.9, "ece": 0.3}


def row(arm, value, repetition, metric="error", **keys):
    rule, members, _ = ARMS[arm]
    found = {**keys, "arm": arm, "rule": rule, "members": members, "metric": metric, "value": value}
    found |= {"low": value * 0.95, "high": value * 1.05, "split": "test", "condition": "clean", "severity": 0}
    return found | {"repetition": repetition} | keys


def sweep(repetitions=3, scaled=False, rates=(0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)):
    rng, rows = np.random.default_rng(1), []
    for repetition in range(repetitions):
        for rate in rates:
            p = 1 - rate
            width = 0.5 / p if scaled else 1.0
            for split, floor in (("test", 0.105), ("train", 0.02)):
                few = (0.001 if scaled else 0.004) / p**1.5
                fit = 0.015 * p**4 if split == "test" else 0.02 * (1 - p)
                value = floor + few + fit + rng.normal(0, 0.002)
                keys = {"rate": rate, "width": width, "split": split}
                if rate == 0:
                    rows.append(row("single", value, repetition, **keys))
                else:
                    rows.append(row("dropout", value, repetition, **keys))
    return pd.DataFrame(rows)


def sizes(repetitions=5, arms=ARMS, values=(100, 500, 1000, 5000, 10000, 50000), metric="error"):
    rng, rows = np.random.default_rng(2), []
    for repetition in range(repetitions):
        for size in values:
            base = 0.9 * size**-0.22
            hump = np.exp(-((np.log10(size) - 3.7) ** 2)) - 0.35
            for arm in arms:
                help_ = (1 - ARMS[arm][2]) * (hump if "dropout" in arm else 1.0)
                value = base * (1 - help_) + rng.normal(0, 0.003)
                rows.append(row(arm, value, repetition, metric, train_size=size))
    return pd.DataFrame(rows)


def histories(names=("2 x 256", "2 x 512", "3 x 256", "3 x 512"), networks=3, epochs=30, errors=True):
    rng, rows = np.random.default_rng(3), []
    for place, name in enumerate(names):
        for arm in ("plain", "dropout"):
            slow, floor = (1.6, 0.18) if arm == "dropout" else (1.0, 0.03)
            for member in range(networks):
                for epoch in range(1, epochs + 1 - 2 * member):
                    train = 0.9 * np.exp(-epoch / (5 * slow)) + floor + rng.normal(0, 0.004)
                    val = train + 0.08 + (0.012 if arm == "plain" else 0.002) * epoch + 0.02 * place
                    found = {"architecture": name, "recipe": arm, "repetition": 0, "member": member, "epoch": epoch}
                    found |= {"loss": train * (1.4 if slow > 1 else 1), "train_loss": train, "val_loss": val}
                    level = 0.09 + 0.2 * np.exp(-epoch / 5 / slow) + 0.005 * place + 0.015 * (arm == "plain")
                    rows.append(found | ({"val_error": level + rng.normal(0, 0.003)} if errors else {}))
    return pd.DataFrame(rows)


def shifts(repetitions=4, conditions=("rotation", "gaussian_noise"), metrics=tuple(SCALE)):
    rng, rows = np.random.default_rng(4), []
    for repetition in range(repetitions):
        for condition in ("clean", *conditions):
            amounts = (0,) if condition == "clean" else range(15, 181, 15) if condition == "rotation" else range(1, 6)
            for severity in amounts:
                hard = 1 + 7 * (severity / 180 if condition == "rotation" else severity / 8) ** 0.8
                for arm, (_, _, share) in ARMS.items():
                    for metric in metrics:
                        power = 1.5 if metric == "brier" else 1.0
                        value = 0.1 * SCALE[metric] * hard * share**power * (1 + rng.normal(0, 0.01))
                        rows.append(row(arm, value, repetition, metric, condition=condition, severity=severity))
    return pd.DataFrame(rows)


def pool(accuracy, members=7, examples=300, classes=10, common=0.5, seed=0):
    """Return members that are right on easy examples, wrong alike on hard ones and independently on the others."""
    rng = np.random.default_rng(seed)
    labels = np.random.default_rng(99).integers(classes, size=examples)
    difficulty = rng.random(examples)
    draws = np.where(rng.random((members, examples)) < common, difficulty, rng.random((members, examples)))
    alike = (labels + 1) % classes
    wrong = np.where(rng.random((members, examples)) < 0.5, alike, labels - 1) % classes
    said = np.where(draws < accuracy, labels, wrong)
    logits = 2.5 * np.eye(classes)[said] + rng.normal(0, 0.5, (members, examples, classes))
    probs = np.exp(logits)
    return Predictions(probs / probs.sum(axis=2, keepdims=True)), labels


def pools(classes=10):
    grid = [
        ("ensemble" if common < 0.6 else "mc_dropout", accuracy, common)
        for accuracy in (0.7, 0.8, 0.85, 0.9)
        for common in (0.2, 0.5, 0.7, 0.9)
    ]
    return [
        (f"accuracy {accuracy}, common {common}", arm, pool(accuracy, common=common, seed=seed, classes=classes)[0])
        for seed, (arm, accuracy, common) in enumerate(grid)
    ]


def trials(count=4, members=6, examples=120, classes=4):
    """Return the trials of an ensemble whose members' logits have a common and an own error."""
    rng = np.random.default_rng(6)
    labels = rng.integers(classes, size=examples)
    truth = 2 * np.eye(classes)[labels] + rng.normal(0, 0.7, (examples, classes))
    found = []
    for _ in range(count):
        logits = truth + rng.normal(0, 0.5, (examples, classes)) + rng.normal(0, 1.0, (members, examples, classes))
        probs = np.exp(logits)
        found.append(Predictions(probs / probs.sum(axis=2, keepdims=True)))
    return found, labels


def costs(widths=(0.25, 0.5, 1.0, 2.0), members=(5,), repetitions=3, split=False):
    """Return scores and costs; with `split` also ensembles whose parameters add up to those of wider networks."""
    rng, scores, table = np.random.default_rng(7), [], []
    sizes_ = [(width, count) for width in widths for count in members]
    sizes_ += [(0.25, 4), (0.5, 2), (0.25, 8), (0.5, 4), (1.0, 2)] if split else []
    for width, count in sizes_:
        for arm, (_, usual, share) in ARMS.items():
            number = count if "ensemble" in arm else usual
            if split and "ensemble" not in arm and (width, count) not in [(w, members[0]) for w in widths]:
                continue
            if split and arm == "dropout_ensemble":
                continue
            nets = number if "ensemble" in arm else 1
            parameters = 270_000 * width * nets
            for repetition in range(repetitions):
                gain = 1 - (1 - share) * (1.25 - 1 / nets if "ensemble" in arm else 1)
                value = 0.12 * width**-0.12 * gain + rng.normal(0, 0.001)
                scores.append(row(arm, value, repetition, width=width) | {"members": number})
            found = {"width": width, "arm": arm, "parameters": parameters, "passes": number}
            found |= {"multiply_adds": 270_000 * width * number, "trained_multiply_adds": parameters * 2e5}
            table.append(found | ({"members": number} if split else {}))
    return pd.DataFrame(scores), pd.DataFrame(table)


def several(names=("fashion_mnist", "digits", "wine", "iris", "breast_cancer", "letters"), repetitions=5):
    rng, rows = np.random.default_rng(8), []
    for place, name in enumerate(names):
        base = 0.05 + 0.03 * place
        for repetition in range(repetitions):
            luck = rng.normal(0, 0.004)
            for arm, (_, _, share) in ARMS.items():
                rows.append(row(arm, base * share + luck + rng.normal(0, 0.003), repetition, dataset=name))
    return pd.DataFrame(rows)


def variance_trials():
    given, labels = trials()
    return BiasVarianceDiversity.from_predictions(given, labels, dataset="fashion_mnist")


def facets(values=(0.2, 0.5, 0.8), key="rate"):
    """Return the dataset-size figure for each of a further setting's values, all arms worse the larger it is."""
    parts = []
    for value in values:
        scores = sizes(values=(100, 1000, 10000))
        scores[["value", "low", "high"]] *= 1 + value
        parts.append(({key: value}, DatasetSize.from_scores(scores, dataset="fashion_mnist")))
    return Facets.from_displays(parts)


def asked(comparisons=("mlp 256-256", "a network with a name that is longer than a line has room for")):
    """Contrasts of two comparisons, one infinite and one half endless."""
    pairs = [("ensemble", "mean", "mc_dropout", "mean"), ("mc_dropout", "mean", "single", "each")]
    pairs.append(("ensemble", "mean", "ensemble", "majority_vote"))
    tables = {}
    for place, name in enumerate(comparisons):
        rows = []
        for number, pair in enumerate(pairs):
            for metric in ("error", "nll", "accuracy"):
                value = RATES[metric] * (number - 1.2 + 0.1 * place)
                low, high = value - RATES[metric], value + RATES[metric]
                if pair[3] == "majority_vote" and metric == "nll":
                    value = low = high = -np.inf
                elif number == 1:
                    high = np.inf
                of_pair = dict(zip(("arm_a", "rule_a", "arm_b", "rule_b"), pair, strict=True))
                found = {
                    "value_a": 0.5 + value,
                    "value_b": 0.5,
                    "difference": value,
                    "low": low,
                    "high": high,
                    "p_value": 0.01,
                    "p_adjusted": 0.03,
                }
                rows.append(
                    of_pair | {"metric": metric} | found | {"better": ("a", "neither")[number % 2], "test": "t"}
                )
        tables[name] = pd.DataFrame(rows)
    return tables


RATES = {"error": 0.01, "nll": 0.03, "accuracy": 0.01}
BUILDERS = {
    "retention": lambda: RetentionSweep.from_scores(
        sweep(), dataset="fashion_mnist", scaled=sweep(scaled=True, rates=(0.0, 0.1, 0.2, 0.4, 0.5, 0.6, 0.8))
    ),
    "dataset_size": lambda: DatasetSize.from_scores(sizes(), dataset="fashion_mnist"),
    "architectures": lambda: Architectures.from_histories(histories(), dataset="fashion_mnist"),
    "shift": lambda: ShiftRobustness.from_scores(shifts(), dataset="fashion_mnist"),
    "eir": lambda: EIRVersusDER.from_predictions(pools(), pool(0.9)[1], dataset="fashion_mnist"),
    "variance": variance_trials,
    "cost": lambda: CostFrontier.from_tables(*costs(), dataset="fashion_mnist"),
    "paired": lambda: PairedDifferences.from_scores(several(), dataset="fashion_mnist and 5 others", test_share=1 / 9),
    "facets": facets,
    "planned": lambda: PlannedQuestions.from_contrasts(asked(), dataset="fashion_mnist"),
    "planned one": lambda: PlannedQuestions.from_contrasts(
        asked(), dataset="fashion_mnist", metrics=["error", "nll", "accuracy"], about=[("ensemble", "mc_dropout")]
    ),
    "critical": lambda: CriticalDifference.from_scores(several(), dataset="5 others and fashion_mnist"),
}
