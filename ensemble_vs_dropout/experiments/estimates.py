"""What the groups of a plan will take, before anything is trained: about, and said so."""

from __future__ import annotations

import os

import pandas as pd
import psutil

from ensemble_vs_dropout.evaluation.arms import RECIPES
from ensemble_vs_dropout.experiments.plan import Plan
from ensemble_vs_dropout.experiments.running import builder_of, data_of
from ensemble_vs_dropout.files import digest
from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.models.builders import build_for
from ensemble_vs_dropout.models.costs import multiply_adds
from ensemble_vs_dropout.models.heads import declaring

_SPEED = 2e10  # multiply-accumulates a second, forward and backward, of networks that are trained together
_GROUP_SECONDS = 4.0  # compiling a group's programs
_PROCESS_BYTES = 2 * 2**30  # of one process, about
_RUN_SECONDS = 0.4  # building, predicting, judging and writing a run


def estimate(plan: Plan) -> pd.DataFrame:
    """Return one row per group: recipe, dataset, examples, runs, networks, and about the seconds and megabytes.

    Examples are those of the training part, "500 to 1000" where the group's runs see different numbers of them.
    Of the seconds, those under `computing` are spent in products of weights with inputs, which fill the cores.

    Raises:
        InputError: A group that cannot be made: its data, builder or settings do not fit.
    """
    rows, sizes = [], dict[str, tuple[float, int]]()
    for group in plan.groups:
        first = group.runs[0]
        wanted, recipe = first.settings, RECIPES[first.recipe]
        data, rate = data_of(wanted), float(wanted.rate) * recipe.rate if recipe.dropout else 0.0
        members = sum(run.members for run in group.runs)
        network = digest([first.spec.get(key) for key in ("recipe", "dataset", "target", "drop", "model", "width")])
        if network not in sizes:
            sizes[network] = _size(
                build_for(declaring(builder_of(wanted.model), wanted.head), data, rate=rate, width=wanted.width)
            )
        products, parameters = sizes[network]
        examples, predicted = len(data.x_train), len(data.x_val) + len(data.x_test)
        computing, counts = 0.0, {run.spec["train_size"] or examples for run in group.runs}
        cells, kept = predicted * len(data.classes) * 4, 0
        for run in group.runs:
            passes = run.settings.passes if recipe.dropout else 0
            seen = run.spec["train_size"] or examples
            work = run.members * (3.0 * wanted.epochs * seen + predicted) + passes * predicted
            computing += work * products / _SPEED
            kept += (run.members + passes + recipe.dropout) * cells + run.members * parameters * 4 + 20_000
        seconds = _GROUP_SECONDS + _RUN_SECONDS * len(group.runs) + computing
        shown = f"{min(counts)} to {max(counts)}" if len(counts) > 1 else examples
        rows.append([recipe.name, wanted.dataset, shown, len(group.runs), members, seconds, computing, kept / 1e6])
    columns = ["recipe", "dataset", "examples", "runs", "networks", "seconds", "computing", "megabytes"]
    return pd.DataFrame(rows, columns=columns).round(1)


def _size(model: keras.Model) -> tuple[float, int]:
    """Return the products of one prediction, and the parameters."""
    parameters = int(model.count_params())
    try:
        return float(multiply_adds(model)), parameters
    except ValueError:
        return float(parameters), parameters


def jobs_that_pay(table: pd.DataFrame) -> int:
    """Return how many processes should share the groups of `estimate`.

    One process fills the cores with products. Where most seconds are spent between them (compiling, predicting,
    judging, as with hundreds of tiny networks) a process for each core is quicker, if there is work for a minute, a
    group for each, and memory.
    """
    room = int(psutil.virtual_memory().available / _PROCESS_BYTES)
    if table.seconds.sum() < 60 or table.computing.sum() > table.seconds.sum() / 2:
        return 1
    return max(1, min(_cores(), len(table), room))


def _cores() -> int:
    """Return the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
