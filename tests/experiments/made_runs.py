"""Studies whose runs are made up, with files such as those of real runs: nothing is trained."""

import io
import json
import zlib

import numpy as np
import pandas as pd

from ensemble_vs_dropout.datasets import load_dataset
from ensemble_vs_dropout.evaluation import Evaluator
from ensemble_vs_dropout.evaluation.arms import judged, rules_of
from ensemble_vs_dropout.experiments import gallery, parse_study, plan_of
from ensemble_vs_dropout.experiments.store import Memory
from ensemble_vs_dropout.types import Predictions


def study_of(text, left_out=()):
    """Return a study of which every run is there, but those of the recipes in `left_out`."""
    study, store = parse_study(text), Memory()
    plan = plan_of(study)
    for run in plan.runs:
        if run.recipe not in left_out:
            store.put(run, files_of(run))
    return gallery.StudySource(study.name, plan, store)


def files_of(run):
    """Return the files of a run whose error falls with more examples, more epochs and more width."""
    wanted = run.settings
    rng = np.random.default_rng(zlib.crc32(run.name.encode()))
    data = load_dataset(wanted.dataset, train_size=wanted.train_size, seed=run.spec["data_seed"])
    width = wanted.width * sum((wanted.model.model_extra or {}).get("units", [8]))
    arms = {"plain": {"ensemble": wanted.members}, "dropout": {"dropout": 1, "mc_dropout": wanted.passes}}[run.recipe]
    kept, scores = {"labels/val": data.y_val, "labels/test": data.y_test}, []
    error = 0.6 * (wanted.train_size or 1000) ** -0.2 * width**-0.1 + 0.2 / (1 + wanted.epochs)
    for place, (condition, severity) in enumerate([("val", 0), ("test", 0), *_shifts(wanted)]):
        labels = data.y_val if condition == "val" else data.y_test
        for arm, members in arms.items():
            probs = _predicted(rng, labels, members, error + 0.05 * (place - 1) * (place > 1), len(data.classes))
            if condition in ("val", "test"):
                kept[f"{condition}/{arm}"] = probs
            if condition != "val":
                found = judged({arm: Predictions(probs)})
                evaluator = Evaluator(
                    wanted.metrics, {one: rules_of(one, wanted.rules) for one in found}, resamples=100
                )
                clean = "clean" if condition == "test" else condition
                scores.append(evaluator.scores(found, labels, condition=clean, severity=severity))
    table = pd.concat(scores, ignore_index=True).assign(repetition=run.repetition)
    size = 100.0 * width
    costs = [
        {"arm": arm, "parameters": size * members, "trained": size * members, "passes": number, "train_seconds": 1.0}
        | {"multiply_adds": size * number, "trained_multiply_adds": size * members, "predict_seconds": 1.0}
        for arm, members, number in {
            "plain": [("single", 1, 1), ("ensemble", wanted.members, wanted.members)],
            "dropout": [("dropout", 1, 1), ("mc_dropout", 1, wanted.passes)],
        }[run.recipe]
    ]
    return {
        "environment.json": b'{"version": "0", "results": 1}',
        "predictions.npz": _npz(kept),
        "models.npz": _npz(_weights(rng, run, data)),
        "scores.json": json.dumps(table.astype(object).to_dict("split", index=False)).encode(),
        "cost.json": json.dumps(costs).encode(),
        "histories.csv": _histories(rng, run, error).encode(),
    }


def _shifts(wanted):
    return [(name, amount) for name, amounts in wanted.shifts.items() for amount in amounts]


def _predicted(rng, labels, members, error, classes):
    wrong = rng.random((members, len(labels))) < error
    said = np.where(wrong, rng.integers(classes, size=wrong.shape), labels)
    logits = 3 * np.eye(classes)[said] + rng.normal(0, 0.5, (*said.shape, classes))
    return (np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)).astype(np.float32)


def _weights(rng, run, data):
    inputs = int(np.prod(data.input_shape))
    shapes = [(inputs, 8), (8,)]
    return {f"{k}/{n}": rng.normal(0, 0.1, shape) for k in range(run.members) for n, shape in enumerate(shapes)}


def _histories(rng, run, error):
    rows = [
        {"member": k, "epoch": epoch, "seconds": 0.1}
        | dict.fromkeys(("loss", "train_loss", "val_loss", "test_loss"), error + 1 / epoch + rng.normal(0, 0.01))
        | {"val_accuracy": 1 - error, "test_accuracy": 1 - error - rng.normal(0, 0.01)}
        for k in range(run.members)
        for epoch in range(1, run.settings.epochs + 1)
    ]
    return pd.DataFrame(rows).to_csv(index=False)


def _npz(arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()
