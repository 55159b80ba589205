"""Reading the folder of a comparison as version 0.1 wrote it; it is never written to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation.arms import ARMS, predicted_for
from ensemble_vs_dropout.evaluation.evaluator import SCORE_COLUMNS
from ensemble_vs_dropout.experiments.plan import Run, make_plan
from ensemble_vs_dropout.experiments.settings import Settings, Study, make_settings
from ensemble_vs_dropout.experiments.store import Memory
from ensemble_vs_dropout.files import as_npz, digest_of_file, inside, read_file, regular
from ensemble_vs_dropout.types import Predictions


def read_first_format(folder: Path) -> tuple[Settings, list[tuple[Run, ...]], Memory, dict[str, str]]:
    """Return settings, runs by repetition, a store that holds them, and the digest of the data.

    Raises:
        InputError: A file has changed since it was written.
    """
    sums = json.loads(read_file(folder / "manifest.json"))
    broken = [name for name, expected in sums.items() if digest_of_file(inside(folder, *name.split("/"))) != expected]
    if broken:
        raise InputError(f"{', '.join(broken)} changed since")
    spec = json.loads(read_file(folder / "spec.json"))
    model = {key: value for key, value in spec["model"].items() if key != "parameters"}
    same = ("members", "rate", "passes", "epochs", "patience", "batch_size", "seed", "controls")
    given = {**{key: spec[key] for key in same}, "arms": spec.get("arms", ()), "watch": ("train", "test")}
    settings = make_settings(dataset=spec["dataset"], model=model, **given)
    study = Study(name="first", base=settings.given(), repetitions=spec["repetitions"])
    facts = {"data_sha256": spec["data_sha256"]}
    points = make_plan(study, facts=facts).points
    memory = Memory()
    for point in points:
        for run in point.runs:
            memory.put(run, _files(folder, spec, run, point.repetition, len(point.runs) * len(points)))
    return settings, [point.runs for point in points], memory, facts


def _files(folder: Path, spec: dict[str, Any], run: Run, repetition: int, runs: int) -> dict[str, bytes]:
    recipe, arrays = run.spec["recipe"], {}
    for split in ("val", "test"):
        arrays[f"labels/{split}"] = np.load(regular(folder / "predictions" / f"labels_{split}.npz"))["labels"]
        for arm in predicted_for(arm.name for arm in ARMS.values() if arm.recipe == recipe):
            file = folder / "predictions" / f"{arm}_{split}_repetition_{repetition}.npz"
            if file.exists():
                one = Predictions.load(file)
                arrays[f"{split}/{arm}"] = one.probs
                arrays |= {} if one.weights is None else {f"weights/{split}/{arm}": one.weights}
    histories = pd.read_parquet(regular(folder / "histories.parquet")).rename(columns={"arm": "recipe"})
    own = histories[(histories.recipe == recipe) & (histories.repetition == repetition)]
    cost = pd.read_csv(regular(folder / "cost.csv"))
    environment = json.loads(read_file(folder / "environment.json"))
    told = {
        "version": spec["version"],
        "seconds": 60 * environment["minutes"] / runs,
        "data": spec["dataset"],
        "parameters": spec["model"].get("parameters"),
        **{key: spec[key] for key in ("sizes", "classes", "data_sha256")},
        **{key: value for key, value in environment.items() if key not in ("minutes", "asked", "arms")},
    }
    of_recipe = cost[cost.arm.isin([arm.name for arm in ARMS.values() if arm.recipe == recipe])]
    return {
        "predictions.npz": as_npz(arrays),
        "histories.csv": own.drop(columns=["recipe", "repetition"]).to_csv(index=False).encode(),
        "cost.json": of_recipe.to_json(orient="records").encode(),
        "environment.json": json.dumps(told).encode(),
        "scores.json": json.dumps({"columns": SCORE_COLUMNS, "data": []}).encode(),
        "models.json": json.dumps({"not_described": f"they lie in {folder / 'models'}"}).encode(),
        "models.npz": b"",
    }
