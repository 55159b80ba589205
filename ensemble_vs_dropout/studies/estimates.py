"""What the groups of a plan will take, before anything is trained: about, and said so."""

from __future__ import annotations

import pandas as pd

from ensemble_vs_dropout.multiply_adds import multiply_adds
from ensemble_vs_dropout.networks import build_for
from ensemble_vs_dropout.studies.plan import Plan
from ensemble_vs_dropout.studies.training import builder_of, data_of

_SPEED = 2e10  # multiply-adds a second, forward and backward, of networks that are trained together
_GROUP_SECONDS = 4.0  # compiling a group's programs
_RUN_SECONDS = 0.15  # predicting, judging and writing a run


def estimate(plan: Plan) -> pd.DataFrame:
    """Return one row per group: arm, dataset, examples, runs, networks, and about the seconds and megabytes.

    Raises:
        InputError: A group that cannot be made: its data, builder or settings do not fit.
    """
    rows = []
    for group in plan.groups:
        spec = group.runs[0].spec
        data = data_of(spec)
        model = build_for(builder_of(spec), data, rate=spec.get("rate", 0.0), width=spec["width"])
        try:
            products = float(multiply_adds(model))
        except ValueError:
            products = float(model.count_params())
        examples, predicted = len(data.x_train), len(data.x_val) + len(data.x_test)
        work = group.members * (3.0 * spec["epochs"] * examples + predicted)
        seconds = _GROUP_SECONDS + _RUN_SECONDS * len(group.runs) + work * products / _SPEED
        cells, kept = predicted * len(data.classes) * 4, 0
        for run in group.runs:
            members = run.members if spec["arm"] == "plain" else run.members + run.spec["passes"] + 1
            seconds += run.spec.get("passes", 0) * predicted * products / _SPEED
            kept += members * cells + run.members * model.count_params() * 4 + 20_000
        rows.append(
            [spec["arm"], spec["dataset"], examples, len(group.runs), group.members, round(seconds, 1), kept / 1e6]
        )
    columns = ["arm", "dataset", "examples", "runs", "networks", "seconds", "megabytes"]
    return pd.DataFrame(rows, columns=columns).round(2)
