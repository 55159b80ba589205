"""`compare`: the main job. N independent networks and one with dropout on the same data, judged in pairs.

A comparison is a study of one point: its settings, runs, store and tables are those of `experiments`.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import traceback
from collections.abc import Mapping, Sequence, Set
from contextlib import nullcontext
from os import PathLike
from pathlib import Path
from typing import Any

import yaml

from ensemble_vs_dropout.checks import InputError, check_at_least, check_fraction, check_known, load_named
from ensemble_vs_dropout.datasets import shift
from ensemble_vs_dropout.datasets.loading import check_names_data
from ensemble_vs_dropout.evaluation.arms import ARMS, RECIPES, STANDARD_ARMS, Arm, find_arms
from ensemble_vs_dropout.experiments.comparison import Comparison, beside_runs
from ensemble_vs_dropout.experiments.folder import asked_of, claim, is_finished, open_folder, read_asked
from ensemble_vs_dropout.experiments.kept import environment_of
from ensemble_vs_dropout.experiments.local import in_processes, run_study
from ensemble_vs_dropout.experiments.plan import Run
from ensemble_vs_dropout.experiments.ray import run_on_ray
from ensemble_vs_dropout.experiments.running import (
    Given,
    architecture_of,
    class_weights,
    conditions,
    data_digest,
    data_of,
    other_data,
)
from ensemble_vs_dropout.experiments.settings import Settings, Study, make_settings
from ensemble_vs_dropout.experiments.store import DamagedError, Keeping, Memory, Store
from ensemble_vs_dropout.experiments.tables import plan_of
from ensemble_vs_dropout.files import digest
from ensemble_vs_dropout.measures import METRICS, RULES, STANDARD_METRICS, STANDARD_RULES
from ensemble_vs_dropout.measures.aggregation import find_rule
from ensemble_vs_dropout.measures.spread import LEAST
from ensemble_vs_dropout.models.adapted import check_vocabularies
from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.models.builders import (
    NETWORKS,
    Builder,
    Network,
    build_for,
    check_takes_width,
    find_builder,
    matching_width,
    takes_width,
)
from ensemble_vs_dropout.models.calling import input_of
from ensemble_vs_dropout.models.heads import declaring
from ensemble_vs_dropout.models.number_heads import NumberHead
from ensemble_vs_dropout.models.random_layers import random_layers
from ensemble_vs_dropout.models.targets import read_training_output
from ensemble_vs_dropout.models.tokens import check_whole
from ensemble_vs_dropout.predictors import Ensemble, ExactDropout, MonteCarloDropout, WeightScaling
from ensemble_vs_dropout.progress import Progress
from ensemble_vs_dropout.types import Dataset

__all__ = ["Comparison", "compare"]
_OF_THE_PACKAGE = (*METRICS, *RULES)  # before anybody registers one


def compare(
    data: Dataset | str | os.PathLike[str],
    build: Builder | str = "mlp",
    *,
    members: int = 5,
    rate: float | str = "auto",
    passes: int = 100,
    repetitions: int | None = None,
    splits: int | None = None,
    epochs: int = 60,
    patience: int | None = 10,
    batch_size: int = 128,
    seed: int = 0,
    controls: bool | None = None,
    arms: Sequence[str | Arm] | None = None,
    metrics: Sequence[str] = STANDARD_METRICS,
    rules: Sequence[str] = STANDARD_RULES,
    margins: Mapping[str, float] | None = None,
    target: str | None = None,
    drop: Sequence[str] = (),
    missing: str = "refuse",
    train_size: int | None = None,
    label_noise: float = 0.0,
    class_weight: Mapping[str, float] | str | None = None,
    head: str | None = None,
    shifts: Sequence[str] | Mapping[str, Any] = (),
    other_data: str | None = None,
    exact: bool = False,
    tuning: Mapping[str, Any] | None = None,
    probe: bool = True,
    watch: Sequence[str] = (),
    out: str | PathLike[str] | None = None,
    force: bool = False,
    jobs: int = 1,
    executor: str = "local",
    verbose: str | int = "auto",
) -> Comparison:
    """Train N networks and one with dropout on the same data, and judge every way to use them.

    Arms: `single` (a network without dropout alone, averaged over the members), `ensemble` (the members combined by
    every rule), `dropout` (a dropout network, weight-scaled, averaged over all of them), `mc_dropout` (the same
    networks, the passes of each combined by every rule), `dropout_ensemble` (N dropout networks, weight-scaled,
    averaged), and `wide` (one network with about the ensemble's parameters). All have the same data, the same largest
    number of epochs and the same early stopping on the validation part; test data are only looked at.

    A comparison is a study of one point: what `evd study` makes of the same settings is the same runs.

    Args:
        data: A `Dataset`, or what `load_dataset` takes, which is split by `seed`.
        build: A recipe of `networks`, its name, "package.module:function", or a function of some of `data`, `rate`
            and `width` that returns a compiled model; it must take `rate`.
        members: Networks in an ensemble, at least 1.
        rate: Probability to drop a unit, in (0, 1); or "auto": chosen once for all repetitions, on validation data
            from 0.1, 0.2, 0.3, 0.5 and 0.7, with as many trials of the batch size for networks without dropout.
        passes: Forward passes of Monte Carlo dropout, at least 1.
        repetitions: Of the whole experiment with other seeds, on the same split; None for 3.
        splits: In place of `repetitions`: as many, each on training, validation and test parts of its own, for answers
            that span other data too; at least 3, of data that a name or a file leads to.
        epochs: At most so many for every network.
        patience: Epochs without a lower validation loss until a network stops and takes its best weights back; None
            trains all epochs.
        batch_size: Examples in a training step.
        seed: Root of all random draws.
        controls: Train the wide network too; None if `build` takes a `width`, and there are several members.
        arms: The ways to use networks that are judged: names in `ARMS`, "package.module:NAME" of an `Arm` of your own,
            or arms. None for all that are registered, the wide network by `controls`.
        metrics: What is measured: names in `METRICS`, or "package.module:NAME" of a `Metric` or a function of
            probabilities and labels.
        rules: How members are combined: names in `RULES`, or "package.module:function".
        margins: By metric, in the unit that tables show, such as {"error": 0.5} for half a percentage point:
            differences below it do not matter, and the verdict says where one is shown to be below it.
        target: The label's column, where `data` is the name of a table; like the next four, as `load_dataset` takes it.
        drop: Columns of a table that are left out.
        missing: What is done about features that are missing in a table.
        train_size: Train on a stratified subset of this size.
        label_noise: Fraction of training labels to falsify, in [0, 1).
        class_weight: By the names of classes, how much their examples count in training, 1 where none is given; or
            "balanced": as much in all as if every class were equally frequent. What is judged, and the validation
            loss, are not weighted.
        head: What the outputs of a network of your own are, "logits" or "probabilities", where its loss is none of
            Keras' cross-entropies and its last activation does not tell.
        shifts: What is done to the test inputs, as further conditions: names in `datasets.SHIFTS`, or by name
            "severities", "ovadia" or amounts; see `Comparison.conditions`.
        other_data: The name of a data set of the same input shape; how well uncertainty tells it is judged too.
        exact: Average the dropout network over all its masks too: 16 units of dropout at most.
        tuning: What is chosen on validation data, as in a study file: {"dropout": {"rate": [0.2, 0.5]}, "plain":
            {"batch_size": [64, 128]}}, as many candidates for each.
        probe: Train one network of each recipe with three times the epochs and the patience, to tell whether these are
            enough.
        watch: Further parts whose loss is recorded after each epoch, for the learning curves: "train", "test".
        out: Folder of the run, written as the work goes on; the same call goes on after an interruption, and only
            reads what is finished. None keeps everything in memory.
        force: Take the place of another comparison in `out`.
        jobs: Processes; more than 1 need `out`, and data and a network that other processes can find by name.
        executor: "local", or "ray" for a Ray cluster, with the same needs as `jobs`.
        verbose: 0 silent; 1 or "auto" a bar over the whole job, or where there is no terminal a line at each tenth; 2
            a line per network.

    Returns:
        A `Comparison` with `scores`, `contrasts`, `cost`, `verdict()`, `table()`, `save(folder)`, `report(folder)`.

    Raises:
        InputError: Anything that cannot be compared, before any training.
        FloatingPointError: A network diverged.

    Example:
        >>> import numpy as np
        >>> from ensemble_vs_dropout.datasets import from_arrays
        >>> x = np.random.default_rng(0).normal(size=(120, 4))
        >>> data = from_arrays(x[:80], x[:80, 0] > 0, x[80:], x[80:, 0] > 0, name="halves")
        >>> arms = ["single", "ensemble", "dropout"]
        >>> found = compare(data, members=2, rate=0.5, repetitions=2, epochs=1, arms=arms, probe=False, verbose=0)
        >>> found
        Comparison of mlp on halves
          2 repetitions of 2 networks, 100 passes
          .answer(), .verdict(), .scores, .contrasts, .cost, .figures(), .report(folder)
        >>> sorted(set(found.scores["arm"])), len(found.answer().sentences)
        (['dropout', 'ensemble', 'single'], 4)
    """
    repetitions = _repetitions(repetitions, splits)
    numbers = {"members": members, "passes": passes, "repetitions": repetitions, "epochs": epochs}
    for name, value in {**numbers, "batch_size": batch_size, "jobs": jobs}.items():
        check_at_least(name, value, 1)
    if patience is not None:
        check_at_least("patience", patience, 1)
    if not isinstance(rate, str) and check_fraction("rate", rate) == 0:
        raise InputError("rate must be above 0, for at 0 there is no dropout, got 0")
    check_at_least("seed", seed, 0)
    check_known("executor", executor, ("local", "ray"))
    if not isinstance(build, str) and (isinstance(build, keras.Model) or not callable(build)):
        raise InputError(
            f"build must be a function (data, rate) that returns a compiled keras.Model, or the name of one, got "
            f"{type(build).__name__}; the data come first: compare(data, build)"
        )
    builder = find_builder(build) if isinstance(build, str) else build
    if controls is None:
        controls = arms is None and members > 1 and takes_width(builder)
    chosen = find_arms(_registered(controls) if arms is None else arms)
    if rate == "auto" and not tuning and not any(RECIPES[arm.recipe].dropout for arm in chosen):
        rate = 0.5  # of which there is nothing to choose
    if len(chosen) < 2:
        raise InputError(f"arms must name at least two arms, to compare them, got {[arm.name for arm in chosen]}")
    if members == 1 and len([arm for arm in chosen if arm.grows != "networks"]) < 2:
        raise InputError("members must be at least 2 to compare these arms: of one network there is no ensemble, got 1")
    loading = {
        "target": target, "train_size": train_size, "label_noise": label_noise, "drop": tuple(drop), "missing": missing,
    }  # fmt: skip
    dataset, named, facts = _data(data, loading, seed, splits is not None)
    model, names = _model(builder, build, dataset), _names(arms, chosen)
    settings = make_settings(
        **named, model=model, members=members, rate=rate, passes=passes, epochs=epochs, patience=patience,
        batch_size=batch_size, seed=seed, controls=controls and not names, arms=names, tuning=tuning,
        shifts=shifts, other_data=other_data, exact=exact, watch=tuple(watch), probe=probe,
        metrics=tuple(metrics), rules=tuple(rules), margins=dict(margins or {}), head=head,
        class_weight=class_weight,
    )  # fmt: skip
    builder = declaring(builder, head)
    networks = _check(builder, dataset, settings, {arm.recipe for arm in chosen})
    if "<" in model["name"]:
        facts |= {"builder_sha256": digest([architecture_of(one) for one in networks])}
    given = Given(dataset if "data_sha256" in facts else None, builder if "builder_sha256" in facts else None)
    if jobs > 1 or executor != "local":
        _check_travels(facts, chosen, names, [*metrics, *rules], out)
    study = Study(name="comparison", base=settings.given(), repetitions=repetitions)
    store: Keeping = open_folder(Path(out)) if out is not None else Memory()
    asked = _asked(study, settings, store, facts)
    study = study.model_copy(update={"name": f"{_title(dataset, model)}-{digest(asked)[:8]}"})
    with store.hold("comparison") if isinstance(store, Store) else nullcontext():
        if isinstance(store, Store):
            claim(store.folder, asked, force)
        with Progress(1, verbose) as progress:
            for line in [f"{dataset.name}: {dataset.source}", *dataset.notes] if not isinstance(data, Dataset) else ():
                progress.say(line)
        _check_runs(plan_of(study, store, facts=facts).runs, store, builder, dataset)
        _make(study, store, facts, given, jobs, executor, verbose)
        return _found(study, settings, store, facts, given)


def _asked(study: Study, settings: Settings, store: Keeping, facts: Mapping[str, str]) -> dict[str, Any]:
    """Return what is compared: what the folder holds, if only code has changed that builds the same for some run."""
    runs = plan_of(study, store, facts=facts).runs
    several = [asked_of(settings.given(), study.repetitions, facts, run) for run in runs]
    before = read_asked(store.folder) if isinstance(store, Store) else {}
    return before if before in several else several[0]


def _make(
    study: Study,
    store: Keeping,
    facts: Mapping[str, str],
    given: Given,
    jobs: int,
    executor: str,
    verbose: str | int,
) -> None:
    """Make the runs that are not made yet."""
    plan = plan_of(study, store, facts=facts)
    if jobs > 1:  # a group for each process, if there are as many runs
        together = max(1, sum(run.members for run in plan.runs) // jobs)
        plan = plan_of(study, store, facts=facts, together=together)
    whole = not plan.open and all(store.has(run) and not store.damaged(run) for run in plan.runs)
    if whole:
        store.tidy()
        if isinstance(store, Store):
            with Progress(1, verbose) as progress:
                progress.say(f"finished before, and read from {store.folder}: nothing is trained again")
        return
    there = len([run for run in plan.runs if store.has(run)])
    if there and isinstance(store, Store):
        with Progress(1, verbose) as progress:
            progress.say(
                f"going on with the unfinished run in {store.folder}: {there} of {len(plan.runs)} parts are finished"
            )
    if not isinstance(store, Store):
        run_study(plan, store, fail_fast=True, given=given, verbose=verbose)
        return
    file = None if facts else store.keep_study(study.name, _yaml(study))
    if executor == "ray":
        run_on_ray(plan, store, verify=True, fail_fast=True, verbose=verbose)
        return
    with in_processes(file, store.folder, jobs - 1, plan.together, checkpoint=True) if file else nullcontext():
        run_study(
            plan, store, verify=True, fail_fast=True, checkpoint=True, given=given, verbose=verbose
        )  # fmt: skip


def _found(study: Study, settings: Settings, store: Keeping, facts: Mapping[str, str], given: Given) -> Comparison:
    """Return the comparison of runs that are made, and write what is made of them unless it is there."""
    plan = plan_of(study, store, facts=facts)
    if plan.open:
        failed = [reason for point in plan.points for run in point.trials if (reason := store.failure(run))]
        raise FloatingPointError(f"nothing could be chosen, as all candidates failed: {failed[0] if failed else ''}")
    points = plan.points
    chosen = [point.chosen for point in points if point.chosen]
    beside = beside_runs(points, store)
    comparison = Comparison(settings, [point.runs for point in points], store, facts, chosen, *beside, given.trained)
    if isinstance(store, Store) and not is_finished(store.folder):
        comparison.write(store.folder)
    return comparison


def _check_runs(runs: Sequence[Run], store: Keeping, builder: Builder, data: Dataset) -> None:
    """Raise `InputError` if finished runs are of other networks than the builder makes now.

    A run is known by the code of the builder; what that reads besides may have changed.
    """
    seen: dict[tuple[Any, ...], str] = {}
    for run in (run for run in runs if store.has(run) and ":" in run.settings.model.name):
        recipe, wanted = RECIPES[run.recipe], run.settings
        data = data_of(wanted) if wanted.new_splits else data
        rate = float(wanted.rate) * recipe.rate if recipe.dropout else 0.0
        width = matching_width(builder, data, wanted.members) if recipe.single else 1.0
        network = (rate, width, str(data.input_shape))
        if network not in seen:
            seen[network] = architecture_of(build_for(builder, data, rate=rate, width=width))
        try:
            told = environment_of(run, store).get("architecture")
        except DamagedError:
            continue  # it will be set aside
        if told not in (None, seen[network]):
            raise InputError(
                f"the finished run {run.name} is of another network than {wanted.model.name!r} makes now, whose "
                "code is the same; give another folder"
            )


def _registered(controls: bool) -> list[str]:
    """Return the names of all arms, those of a single network with `controls` alone."""
    return [arm.name for arm in ARMS.values() if controls or not RECIPES[arm.recipe].single]


def _names(arms: Sequence[str | Arm] | None, chosen: Sequence[Arm]) -> tuple[str, ...]:
    """Return the names of the arms for the settings; none where all are meant, and all come with the package."""
    if arms is None:
        own = any(arm.name not in STANDARD_ARMS for arm in chosen)
        return tuple(arm.name for arm in chosen) if own else ()
    places = list(ARMS)
    names = [arm.name if isinstance(arm, Arm) else arm for arm in arms]
    return tuple(sorted(names, key=lambda name: places.index(find_arms([name])[0].name)))


def _repetitions(repetitions: int | None, splits: int | None) -> int:
    """Return how many repetitions there are, one for each split if these are given."""
    if splits is None:
        return 3 if repetitions is None else repetitions
    if repetitions not in (None, splits):
        raise InputError(
            f"repetitions must be left out with splits, which is their number, got {repetitions} and {splits} splits"
        )
    return check_at_least("splits", splits, LEAST)


def _data(
    data: Dataset | str | os.PathLike[str], loading: Mapping[str, Any], seed: int, new_splits: bool
) -> tuple[Dataset, dict[str, Any], dict[str, str]]:
    """Return the data (of the first split), the settings that name them, and their digest where none do."""
    if not isinstance(data, Dataset):
        check_names_data("data", data)
        named = {"dataset": os.fspath(data), **loading, "new_splits": new_splits}
        return data_of(make_settings(**named, data_seed=seed)), named, {}
    given = [name for name, value in loading.items() if value and value != "refuse"]
    if given:
        raise InputError(f"{given[0]} is for data that are loaded by name; give it to load_dataset instead")
    asked = dict(data.asked)
    again = _again(asked, data) if asked else None
    known = again is not None and data_digest(again) == data_digest(data)
    if known and (new_splits or not asked["resplit"]):  # that one split alone is drawn anew is no setting
        named = {"dataset": asked["name"], **{name: asked[name] for name in loading}, "new_splits": new_splits}
        first = data_of(make_settings(**named, data_seed=asked["seed"])) if new_splits else data
        return first, {**named, "data_seed": None if asked["seed"] == seed else asked["seed"]}, {}
    if new_splits:
        raise InputError(
            "splits need data that can be loaded anew for each, by a name or a file with load_dataset's own fractions, "
            "got arrays; save them as x and y of an .npz, not standardized, and give its path"
        )
    return data, {"dataset": data.name}, {"data_sha256": data_digest(data)}


def _again(asked: Mapping[str, Any], data: Dataset) -> Dataset | None:
    """Return what a run would load, or None where it could not: of other fractions, or no longer there."""
    try:
        loading = {name: asked[name] for name in ("target", "train_size", "label_noise", "drop", "missing")}
        named = {"dataset": asked["name"], "data_seed": asked["seed"], "new_splits": asked["resplit"]}
        again = data_of(make_settings(**loading, **named))
    except (InputError, OSError):
        return None
    return again if again.asked == data.asked and again.name == data.name else None


def _model(builder: Builder, build: Builder | str, data: Dataset) -> dict[str, Any]:
    """Return the settings that name a builder; the name holds "<" where none leads to it."""
    if isinstance(build, str):
        return {"name": build}
    if isinstance(builder, Network) and builder.name in NETWORKS:
        taken = inspect.signature(NETWORKS[builder.name]).parameters
        other = {
            name: value
            for name, value in builder.settings.items()
            if name in taken and name != "rate" and value != taken[name].default
        }
        again = NETWORKS[builder.name](**other)
        both = [architecture_of(build_for(one, data, rate=0.5)) for one in (again, builder)]
        if both[0] == both[1]:
            return {"name": builder.name, **json.loads(json.dumps(other, default=int))}
        return {"name": f"<{builder.name}>"}
    name = f"{getattr(builder, '__module__', '')}:{getattr(builder, '__qualname__', type(builder).__qualname__)}"
    try:
        found = load_named("model", name) if "__main__" not in name else None
    except InputError:
        found = None
    return {"name": name if found is builder else f"<{name}>"}


def _check(builder: Builder, data: Dataset, settings: Settings, recipes: Set[str]) -> list[keras.Model]:
    """Try everything that could fail on two examples, before any training; return a network of each kind."""
    plain = _check_network(builder, data, 0.0)
    if random_layers(plain):
        raise InputError(f"build with rate=0 must make no random layer, got {random_layers(plain)[0].name!r}")
    networks = [plain]
    class_weights(settings.class_weight, data)
    if any(RECIPES[recipe].dropout for recipe in recipes):
        tried = settings.how.dropout.get("rate", [0.5])
        rate = tried[0] if isinstance(settings.rate, str) else settings.rate
        networks.append(_check_network(builder, data, rate))
        MonteCarloDropout(networks[-1])  # says so if there is nothing random in it
    if settings.members > 1:
        Ensemble(lambda: build_for(builder, data, rate=0.0), 2, settings.seed)  # would members start identical?
    if any(RECIPES[recipe].single for recipe in recipes):
        check_takes_width(builder)
        build_for(builder, data, rate=0.0, width=settings.members**0.5)  # about as wide as it will be
    if settings.exact:
        ExactDropout(networks[-1])
    for name, amount in conditions(settings.shifts):
        shift(data.x_test[:2], name, seed=settings.seed, **amount)
    if settings.other_data:
        other_data(settings.other_data, data)
    for rule in settings.rules:
        find_rule(rule)
    return networks


def _raised(builder: Builder, rate: float, error: Exception) -> str:
    """Say what a builder raised, and in which line of its own file."""
    frames = traceback.extract_tb(error.__traceback__)
    file = getattr(getattr(builder, "__code__", None), "co_filename", "")
    place = next((frame for frame in reversed(frames) if frame.filename == file), frames[-1])
    return (
        f"{getattr(builder, '__qualname__', 'build')} raised {type(error).__name__} with rate={rate:g}: "
        f"{' '.join(str(error).split())[:500]} ({Path(place.filename).name}, line {place.lineno})"
    )


def _check_network(builder: Builder, data: Dataset, rate: float) -> keras.Model:
    try:
        model = build_for(builder, data, rate=rate)
    except InputError:
        raise
    except Exception as error:  # the user's own code may raise anything
        raise InputError(_raised(builder, rate, error)) from error
    head = read_training_output(model)
    if isinstance(head, NumberHead):
        raise InputError(
            f"{model.name!r} predicts a number, and comparisons are of classifiers: end it with one unit for each "
            "class and a cross-entropy; Ensemble, MonteCarloDropout and Evaluator take networks that predict a number"
        )
    if head.classes != len(data.classes):
        raise InputError(
            f"the outputs of {model.name!r} must match the {len(data.classes)} classes of {data.name!r}, "
            f"got {head.classes}"
        )
    taken = input_of(model)
    same = not hasattr(taken, "shape") or tuple(taken.shape[1:]) == data.input_shape
    if not same and data.x_train.dtype.kind != "S":  # of several inputs and of text predicting tells
        raise InputError(
            f"the input of {model.name!r} must have the shape of an example of {data.name!r}, {data.input_shape}, "
            f"got {tuple(taken.shape[1:])}"
        )
    check_vocabularies(model)
    check_whole(model, data.x_train[:256])
    WeightScaling(model).predict_members(data.x_train[:2])
    return model


def _check_travels(
    facts: Mapping[str, str], arms: Sequence[Arm], names: Sequence[str], measured: Sequence[str], out: Any
) -> None:
    """Raise `InputError` unless other processes can make the runs."""
    rule = "more than 1 job, and executor ray, need"
    if out is None:
        raise InputError(f"{rule} out, a folder that the processes share, got None")
    if "data_sha256" in facts:
        raise InputError(f"{rule} data that other processes can load: a name or a file, got arrays of this process")
    if "builder_sha256" in facts:
        raise InputError(f"{rule} a network that other processes can import, as package.module:function")
    imported = {find_arms([name])[0].name for name in names if ":" in name}
    own = [arm.name for arm in arms if arm.name not in STANDARD_ARMS and arm.name not in imported]
    own += [name for name in measured if ":" not in name and name not in _OF_THE_PACKAGE]
    if own:
        raise InputError(
            f"{rule} arms, metrics and rules that other processes can import, as package.module:NAME, got {own[0]!r}, "
            "which was registered in this process"
        )


def _title(data: Dataset, model: Mapping[str, Any]) -> str:
    """Return the name of the study."""
    words = re.sub(r"[^\w+-]+", "_", f"{data.name}-{model['name']}").strip("_+-")
    return words.encode()[:80].decode(errors="ignore") or "comparison"


def _yaml(study: Study) -> str:
    return yaml.safe_dump(study.model_dump(mode="json", exclude_defaults=True), sort_keys=False, allow_unicode=True)
