"""`compare`: the main job. N independent networks and one with dropout on the same data, judged in pairs."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ensemble_vs_dropout import __version__
from ensemble_vs_dropout.checks import InputError, check_at_least, check_fraction
from ensemble_vs_dropout.datasets import load_dataset
from ensemble_vs_dropout.evaluation.arms import ARMS, RECIPES, Arm, Recipe, find_arms
from ensemble_vs_dropout.evaluation.cost import cost_table
from ensemble_vs_dropout.experiments import runs
from ensemble_vs_dropout.experiments.comparison import Comparison, models_folder
from ensemble_vs_dropout.experiments.ways import Ways
from ensemble_vs_dropout.files import digest_of_arrays
from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.models.builders import Builder, Network, build_for, find_builder, takes_width
from ensemble_vs_dropout.models.heads import input_of, read_head
from ensemble_vs_dropout.models.random_layers import random_layers
from ensemble_vs_dropout.predictors import Ensemble, MonteCarloDropout, WeightScaling
from ensemble_vs_dropout.progress import EpochEnd, Progress
from ensemble_vs_dropout.seeds import derive
from ensemble_vs_dropout.types import Cost, Dataset, Predictions

__all__ = ["Comparison", "compare"]


def compare(
    data: Dataset | str,
    build: Builder | str = "mlp",
    *,
    members: int = 5,
    rate: float = 0.5,
    passes: int = 100,
    repetitions: int = 3,
    epochs: int = 20,
    patience: int | None = 3,
    batch_size: int = 128,
    seed: int = 0,
    controls: bool = False,
    arms: Sequence[str | Arm] | None = None,
    out: str | PathLike[str] | None = None,
    force: bool = False,
    verbose: str | int = "auto",
) -> Comparison:
    """Train N networks and one with dropout on the same data, and judge every way to use them.

    Arms: `single` (a network without dropout alone, averaged over the members), `ensemble` (the members combined by
    every rule), `dropout` (the first dropout network, weight-scaled), `mc_dropout` (the same network, its passes
    combined by every rule), `dropout_ensemble` (N dropout networks, weight-scaled, averaged), and with `controls`
    `wide` (one network with about the ensemble's parameters). All have the same data, the same largest number of
    epochs and the same early stopping on the validation part; test data are only looked at.

    Args:
        data: A `Dataset`, or what `load_dataset` takes, which is split by `seed`.
        build: A recipe of `networks`, its name, "package.module:function", or a function of some of `data`, `rate`
            and `width` that returns a compiled model; it must take `rate`.
        members: Networks in an ensemble, at least 1.
        rate: Probability to drop a unit, in (0, 1).
        passes: Forward passes of Monte Carlo dropout, at least 1.
        repetitions: Of the whole experiment with other seeds, on the same split.
        epochs: At most so many for every network.
        patience: Epochs without a lower validation loss until a network stops and takes its best weights back; None
            trains all epochs.
        batch_size: Examples in a training step.
        seed: Root of all random draws.
        controls: Train the wide network too.
        arms: The ways to use networks that are judged: names in `ARMS`, "package.module:NAME" of an `Arm` of your own,
            or arms. None for all that are registered, the wide network only with `controls`.
        out: Folder of the run, written as the work goes on; the same call goes on after an interruption, and only
            reads what is finished. None keeps everything in memory.
        force: Replace another run in `out`.
        verbose: 0 silent, 1 or "auto" progress, 2 one line per epoch.

    Returns:
        A `Comparison` with `scores`, `contrasts`, `cost`, `verdict()`, `table()`, `save(folder)`, `report(folder)`.

    Raises:
        InputError: Anything that cannot be compared, before any training.
    """
    dataset = load_dataset(data, seed=check_at_least("seed", seed, 0)) if isinstance(data, str) else data
    builder = find_builder(build) if isinstance(build, str) else build
    numbers = {"members": members, "passes": passes, "repetitions": repetitions, "epochs": epochs}
    numbers["batch_size"] = batch_size
    for name, value in numbers.items():
        check_at_least(name, value, 1)
    if patience is not None:
        check_at_least("patience", patience, 1)
    check_fraction("rate", rate)
    every = [arm.name for arm in ARMS.values() if controls or not RECIPES[arm.recipe].single]
    chosen = find_arms(every if arms is None else arms)
    if len(chosen) < 2:
        raise InputError(f"arms must name at least two arms, to compare them, got {[arm.name for arm in chosen]}")
    recipes = [recipe for recipe in RECIPES.values() if recipe.name in {arm.recipe for arm in chosen}]
    plain = _check_network(builder, dataset, 0.0)
    if random_layers(plain):
        raise InputError(f"build with rate=0 must make no random layer, got {random_layers(plain)[0].name!r}")
    if any(recipe.dropout for recipe in recipes):
        MonteCarloDropout(_check_network(builder, dataset, rate))  # says so if there is nothing random in it
    if members > 1:
        Ensemble(lambda: build_for(builder, dataset, rate=0.0), 2, seed)  # would members start identical?
    wide = _find_width(builder, dataset, members) if any(recipe.single for recipe in recipes) else 1.0
    spec = {
        "version": __version__,
        "dataset": dataset.name,
        "sizes": dataset.sizes,
        "classes": list(dataset.classes),
        "data_sha256": _digest(dataset),
        "model": _describe(builder, plain),
        **numbers,
        "rate": float(rate),
        "patience": patience,
        "seed": check_at_least("seed", seed, 0),
        "controls": controls,
        **({} if arms is None else {"arms": [arm.name for arm in chosen]}),
    }
    spec = json.loads(json.dumps(spec))  # as it will be read back
    with _folder(out, spec, force) as (path, state, broken):
        if path and state == "finished":
            return Comparison.load(path)
        started = time.perf_counter()
        networks = sum(1 if recipe.single else members for recipe in recipes)
        with Progress(repetitions * networks * epochs, verbose) as progress:
            for name in broken:
                progress.say(f"{name} had changed since it was written; it is made again")
            if path and state == "unfinished":
                progress.say(f"going on with the unfinished run in {path}")
            repeated = []
            for r in range(repetitions):

                def fit(recipe: Recipe, r: int = r) -> Ensemble:
                    given = {"rate": rate * recipe.rate, "width": wide if recipe.single else 1.0}
                    return _fit(
                        lambda: build_for(builder, dataset, **given),
                        dataset,
                        1 if recipe.single else members,
                        derive(seed, "repetition", r),
                        {"epochs": epochs, "batch_size": batch_size, "patience": patience},
                        models_folder(path, r, recipe.name) if path else None,
                        lambda end: progress.epoch(_words(recipe, end, r, repetitions), end),
                    )

                trained = {}
                for recipe in recipes:
                    trained[recipe.name] = fit(recipe)
                    progress.reach((r * networks + sum(len(e.models) for e in trained.values())) * epochs)
                progress.say(f"repetition {r + 1} of {repetitions}: predicting")
                masks = derive(seed, "masks", r)
                repeated.append((trained, *_predict(trained, dataset, passes, masks, [arm.name for arm in chosen])))
        comparison = Comparison(
            spec=spec,
            labels={"val": dataset.y_val, "test": dataset.y_test},
            predictions={
                split: {arm: [run[1][split][arm] for run in repeated] for arm in repeated[0][1][split]}
                for split in ("val", "test")
            },
            histories=_histories([run[0] for run in repeated]),
            cost=cost_table({arm.name: [run[2][arm.name] for run in repeated] for arm in chosen}),
            environment=_environment(time.perf_counter() - started, dataset, arms),
            ensembles=[run[0] for run in repeated],
        )
        if path:
            comparison.write(path)
        return comparison


def _fit(
    build: Any,
    data: Dataset,
    members: int,
    seed: int,
    budget: Mapping[str, Any],
    checkpoint: Path | None,
    on_epoch: Any,
) -> Ensemble:
    """Train one kind of network; all kinds have the same budget and look at the same parts."""
    ensemble = Ensemble(build, members, seed)
    ensemble.fit(
        data.x_train,
        data.y_train,
        validation_data=(data.x_val, data.y_val),
        watch={"train": (data.x_train, data.y_train), "test": (data.x_test, data.y_test)},
        checkpoint=checkpoint,
        verbose=0,
        on_divergence="raise",
        on_epoch=on_epoch,
        **budget,
    )
    return ensemble


def _predict(
    trained: Mapping[str, Ensemble], data: Dataset, passes: int, seed: int, arms: Sequence[str] | None = None
) -> tuple[dict[str, dict[str, Predictions]], dict[str, Cost]]:
    """Return the predictions of every arm on val and test, and what each arm costs."""
    ways, inputs = Ways(), {"val": data.x_val, "test": data.x_test}
    predictions: dict[str, dict[str, Predictions]] = {part: {} for part in inputs}
    costs: dict[str, Cost] = {}
    for recipe, ensemble in trained.items():
        found, of_recipe = ways(recipe, ensemble, len(data.x_train), inputs, passes, seed, arms)
        costs |= of_recipe
        for part in inputs:
            predictions[part] |= found[part]
    return predictions, costs


def _check_network(builder: Builder, data: Dataset, rate: float) -> keras.Model:
    """Build one network and try it on two examples, so that what cannot work is said before any training."""
    model = build_for(builder, data, rate=rate)
    head = read_head(model)
    if head.classes != len(data.classes):
        raise InputError(
            f"the outputs of {model.name!r} must match the {len(data.classes)} classes of {data.name!r}, "
            f"got {head.classes}"
        )
    shape, _ = input_of(model)
    if shape != data.input_shape:
        raise InputError(
            f"the input of {model.name!r} must have the shape of an example of {data.name!r}, {data.input_shape}, "
            f"got {shape}"
        )
    WeightScaling(model).predict_members(data.x_train[:2])
    return model


def _find_width(builder: Builder, data: Dataset, members: int) -> float:
    """Return the width at which one network has about as many parameters as `members` of width 1."""
    if not takes_width(builder):
        raise InputError(
            "controls need a builder that takes width (1.0 is the network itself): def build(data, rate, width)"
        )
    wanted = members * build_for(builder, data, rate=0.0).count_params()
    low, high = 1.0, float(members)
    for _ in range(10):
        middle = (low + high) / 2
        fits = build_for(builder, data, rate=0.0, width=middle).count_params() <= wanted
        low, high = (middle, high) if fits else (low, middle)
    return low


@contextmanager
def _folder(
    out: str | PathLike[str] | None, spec: dict[str, Any], force: bool
) -> Iterator[tuple[Path | None, str, list[str]]]:
    if out is None:
        yield None, "new", []
    else:
        with runs.open_run(Path(out), spec, force) as (state, broken):
            yield Path(out), state, broken


def _words(recipe: Recipe, end: EpochEnd, repetition: int, repetitions: int) -> str:
    return f"repetition {repetition + 1} of {repetitions}, {recipe.one} {end.member + 1}"


def _histories(repeated: list[dict[str, Ensemble]]) -> pd.DataFrame:
    return pd.concat(
        [
            ensemble.histories.assign(recipe=recipe, repetition=r)
            for r, trained in enumerate(repeated)
            for recipe, ensemble in trained.items()
        ],
        ignore_index=True,
    )


def _digest(data: Dataset) -> str:
    parts = ("x_train", "y_train", "x_val", "y_val", "x_test", "y_test")
    return digest_of_arrays(getattr(data, part) for part in parts)


def _describe(builder: Builder, model: keras.Model) -> dict[str, Any]:
    if isinstance(builder, Network):
        settings = {key: value for key, value in builder.settings.items() if key not in ("rate",)}
        return {"name": builder.name, **settings, "parameters": model.count_params()}
    name = f"{getattr(builder, '__module__', '')}:{getattr(builder, '__qualname__', repr(builder))}"
    return {"name": name, "parameters": model.count_params()}


def _environment(seconds: float, data: Dataset, arms: Sequence[str | Arm] | None) -> dict[str, Any]:
    import tensorflow as tf

    return {
        "minutes": round(seconds / 60, 2),
        "source": data.source,
        "asked": dict(data.asked),
        "arms": None if arms is None else [arm.name if isinstance(arm, Arm) else arm for arm in arms],
        "notes": list(data.notes),
        "python": platform.python_version(),
        "keras": keras.__version__,
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
        "machine": f"{platform.system()} {platform.machine()}",
    }
