"""Making the runs of a group: training their networks together, and judging each run by itself."""

from __future__ import annotations

import inspect
import json
import platform
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ensemble_vs_dropout import __version__
from ensemble_vs_dropout.checks import InputError, check_known
from ensemble_vs_dropout.datasets import OVADIA, load_dataset, shift
from ensemble_vs_dropout.datasets.telling import telling_columns
from ensemble_vs_dropout.evaluation import Evaluator
from ensemble_vs_dropout.evaluation.arms import ARMS, RECIPES, find_arms, judged, rules_of
from ensemble_vs_dropout.evaluation.cost import cost_table
from ensemble_vs_dropout.experiments.kept import INPUTS, as_written, environment_of, read_arrays, read_json
from ensemble_vs_dropout.experiments.plan import RESULTS, Run, data_key, state_of_data
from ensemble_vs_dropout.experiments.settings import ModelSettings, Settings
from ensemble_vs_dropout.experiments.store import Keeping
from ensemble_vs_dropout.experiments.ways import Ways
from ensemble_vs_dropout.files import as_npz, digest, digest_of_arrays
from ensemble_vs_dropout.models.adapted import give_state, state_of
from ensemble_vs_dropout.models.architecture import architecture, has_no_own_code
from ensemble_vs_dropout.models.backend import keras, tf
from ensemble_vs_dropout.models.builders import NETWORKS, Builder, build_for, find_builder, matching_width
from ensemble_vs_dropout.models.heads import declare, declaring, read_head
from ensemble_vs_dropout.predictors import Ensemble, ExactDropout, fit_together
from ensemble_vs_dropout.predictors.base import check_classifies
from ensemble_vs_dropout.progress import EpochEnd
from ensemble_vs_dropout.seeds import derive
from ensemble_vs_dropout.training.numbers import structure
from ensemble_vs_dropout.types import Dataset, Encoding, IntArray, Predictions
from ensemble_vs_dropout.types.inputs import dtypes_of, nested, shapes_of

Files = dict[str, bytes]
PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Given:
    """What exists in this process alone and stands in the place of what the spec of a run names.

    Attributes:
        data: In the place of the data set; None where its name leads to it.
        builder: In the place of the model; None where its name leads to it.
        trained: The ensembles of the runs that were made, by the names of the runs.
    """

    data: Dataset | None = None
    builder: Builder | None = None
    trained: dict[str, Ensemble] = field(default_factory=dict)


def make_runs(
    runs: Sequence[Run],
    planned: int,
    checkpoints: Sequence[Path | None] | None = None,
    on_epoch: Callable[[Run, EpochEnd], None] | None = None,
    given: Given | None = None,
) -> Iterator[tuple[Run, Files | Exception]]:
    """Train the networks of all runs together, and yield each run with the files that hold it.

    Networks of other rates, penalties and learning rates share a program where these are all that they differ in, and
    may see other data of the same kind.

    Args:
        runs: Runs of one group.
        planned: As `Group` has it; the strategy is chosen by it.
        checkpoints: For each run a folder to go on from, or None.
        on_epoch: Called after each epoch of each network.
        given: What stands in the place of what the specs name; its `trained` takes up the ensembles.

    Yields:
        A run and its files; or why it has none, where a network of its diverged, or it has no network or data.

    Raises:
        InputError: The group cannot be made: data, builder or settings do not fit.
    """
    wanted = runs[0].settings
    for run in runs:
        if run.settings.arms:
            find_arms(run.settings.arms)  # arms of the user's own are registered in this process
    sources = _Sources(given or Given(), wanted.watch)
    started = time.perf_counter()
    ensembles, failed = _built(runs, sources.ensemble)
    notes = {number: _notes(_first(one)) for number, one in ensembles.items()}  # training may leave marks
    alike: dict[str, list[int]] = {}  # those of another rate may differ in more than a number
    for number, one in ensembles.items():
        alike.setdefault(structure(_first(one), lasting=True), []).append(number)
    for numbers in alike.values():
        try:
            fit_together(
                [ensembles[number] for number in numbers],
                data=[sources.arguments(runs[number]) for number in numbers],
                checkpoints=[checkpoints[number] for number in numbers] if checkpoints else None,
                planned=planned if len(alike) == 1 else None,
                epochs=wanted.epochs,
                batch_size=wanted.batch_size,
                patience=wanted.patience,
                verbose=0,
                on_epoch=partial(_tell, on_epoch, [runs[number] for number in numbers]) if on_epoch else None,
            )
        except FloatingPointError as error:
            failed |= dict.fromkeys(numbers, error)
    trained = time.perf_counter() - started
    ways = Ways()
    for number, run in enumerate(runs):
        if number in failed:
            yield run, failed[number]
            continue
        ensemble = ensembles[number]
        if ensemble.diverged:  # of fewer networks it would be another run, and which diverge is no accident
            told = f"{len(ensemble.diverged)} of {run.members} networks diverged"
            yield run, FloatingPointError(f"{told}; a lower learning rate or clipped gradients usually help")
            continue
        if given:
            given.trained[run.name] = ensemble
        seconds = trained * run.members / sum(r.members for r in runs)
        yield run, _files(run, ensemble, sources.data(run), ways, seconds, notes[number])


class _Sources:
    """What runs that are trained together are made of: data, loaded once each, and untrained networks."""

    def __init__(self, given: Given, watch: Sequence[str]):
        self._given, self._watch = given, watch
        self._data: dict[tuple[Any, ...], Dataset] = {}
        self._arguments: dict[int, dict[str, Any]] = {}
        self._widths: dict[str, float] = {}

    def data(self, run: Run) -> Dataset:
        """Return the data of a run."""
        if self._given.data:
            return self._given.data
        key = data_key(run)
        if key not in self._data:
            self._data[key] = data_of(run.settings)
        return self._data[key]

    def arguments(self, run: Run) -> dict[str, Any]:
        """Return the arguments of `fit` that hold the data, the same object for the same data."""
        data = self.data(run)
        if id(data) not in self._arguments:
            x, y = _part(data, "train")
            watch = {part: _part(data, part) for part in self._watch}
            told: dict[str, Any] = {"validation_data": _part(data, "val"), "watch": watch}
            weights = class_weights(run.settings.class_weight, data)
            told |= {"class_weight": weights, "sample_weight": data.weights_train}
            self._arguments[id(data)] = {"x": x, "y": y, **told}
        return self._arguments[id(data)]

    def ensemble(self, run: Run, members: int | None = None) -> Ensemble:
        """Return the networks of a run, or so many of them, untrained."""
        wanted, recipe, data = run.settings, RECIPES[run.recipe], self.data(run)
        builder = self._given.builder or declaring(builder_of(wanted.model), wanted.head)
        rate = float(wanted.rate) * recipe.rate if recipe.dropout else 0.0
        width = wanted.width * (self._matching(run, builder, data) if recipe.single else 1)
        seed = derive(wanted.seed, "repetition", run.repetition)
        made = Ensemble(partial(build_for, builder, data, rate=rate, width=width), members or run.members, seed)
        check_classifies(f"model {wanted.model.name!r}", made)
        return made

    def _matching(self, run: Run, builder: Builder, data: Dataset) -> float:
        kind = json.dumps([run.spec["members"], run.spec["model"]])
        if kind not in self._widths:
            self._widths[kind] = matching_width(builder, data, run.settings.members)
        return self._widths[kind]


def _built(
    runs: Sequence[Run], untrained: Callable[[Run], Ensemble]
) -> tuple[dict[int, Ensemble], dict[int, Exception]]:
    """Return the ensembles of the runs by their places, and why others have none; raise where no run has one."""
    ensembles: dict[int, Ensemble] = {}
    failed: dict[int, Exception] = {}
    for number, run in enumerate(runs):
        try:
            ensembles[number] = untrained(run)
        except Exception as error:  # the user's builder may refuse one rate and take another
            failed[number] = error
    if not ensembles:
        raise failed[0]
    return ensembles, failed


def _first(ensemble: Ensemble) -> keras.Model:
    return next(iter(ensemble.models))


def _tell(on_epoch: Callable[[Run, EpochEnd], None], runs: Sequence[Run], number: int, end: EpochEnd) -> None:
    on_epoch(runs[number], end)


def architecture_of(model: keras.Model) -> str:
    """Return the digest of all of a network but its weights, the same in every process."""
    return digest(architecture(model, lasting=True))


def notes_of(run: Run) -> dict[str, Any]:
    """Return what a run would note of its first network, which is built by the function that the run names."""
    return _notes(_first(_Sources(Given(), ()).ensemble(run, 1)))


def _notes(untrained: keras.Model) -> dict[str, Any]:
    """Return digests of a network, and of its first weights with it; None where code of the user's own is in it."""
    kind, whole = architecture_of(untrained), has_no_own_code(untrained)
    return {"architecture": kind, "built": digest([kind, digest_of_arrays(untrained.get_weights())]) if whole else None}


def networks_of(run: Run, store: Keeping) -> Ensemble:
    """Return the trained networks of a finished run, built anew from what is kept of them.

    Networks that do not tell how they are made, such as those with layers of the user's own, are built by the function
    that the run names, if it still makes the same.

    Raises:
        InputError: Networks that neither tell how they are made, nor are made by a function that can be found.
    """
    config, arrays = read_json(run, store, "models.json"), read_arrays(run, store, "models.npz")
    models, reason = _told(config, run.members, run.settings.head)
    if not models:
        models = _by_name(run, store, reason)
    for member, model in enumerate(models):
        with as_written(run, "models.npz"):
            model.set_weights([arrays[f"{member}/{number}"] for number in range(len(model.weights))])
            start = f"{member}/state/"
            declare(model, run.settings.head)
            give_state(model, {key.removeprefix(start): arrays[key] for key in arrays if key.startswith(start)})
    return Ensemble.from_models(models, head=run.settings.head)


def _told(config: Mapping[str, Any], number: int, said: str | None) -> tuple[list[keras.Model], str]:
    """Return so many models of one configuration, or none and why Keras cannot make them."""
    if "not_described" in config:
        return [], str(config["not_described"])
    reason = ""
    for without in ((), ("compile_config",)):  # to predict, what its outputs are will do
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                told = {key: value for key, value in config.items() if key not in without}
                copies = [deepcopy(told) for _ in range(number)]  # of each Keras takes things out
                models = [keras.saving.deserialize_keras_object(one, safe_mode=True) for one in copies]
            if without:
                read_head(models[0], said)
            return models, ""
        except Exception as error:  # Keras' reader raises anything
            reason = reason or str(error)
    return [], reason


def _by_name(run: Run, store: Keeping, reason: str) -> list[keras.Model]:
    """Return the untrained networks that the function makes which a run names, or raise `InputError`."""
    why = " ".join(reason.split())[:200]
    refused = (
        f"the networks of {run.name} do not tell how they are made ({why}); build one by your function, and give it "
        "the weights in models.npz, named member/number"
    )
    if ":" not in run.settings.model.name or "<" in run.settings.model.name:
        raise InputError(refused)
    try:
        models = [*_Sources(Given(), ()).ensemble(run).models]
    except InputError as error:  # of data that were given as arrays, above all
        raise InputError(f"{refused} (the function could not be called again: {error})") from error
    if architecture_of(models[0]) != environment_of(run, store).get("architecture"):
        raise InputError(f"{run.settings.model.name!r} makes another network now than in {run.name}; {refused}")
    return models


def data_of(settings: Settings) -> Dataset:
    """Return the data that settings name."""
    wanted, state, seed = settings, state_of_data(settings.dataset), _data_seed(settings)
    loading = (wanted.dataset, wanted.target, wanted.drop, wanted.missing, wanted.train_size, wanted.label_noise)
    data = _load(*loading, seed, wanted.new_tests, state)
    if wanted.new_splits == "train" and not np.array_equal(data.y_test, _load(*loading, seed + 1, False, state).y_test):
        raise InputError(
            f"new_splits can be 'train' where the source has a test part of its own, which {data.name!r} has not: use "
            "true, which draws all parts anew"
        )
    return data


def class_weights(given: Mapping[str, float] | str | None, data: Dataset) -> dict[int, float] | None:
    """Return the weight of each label, by what settings say of the classes.

    Raises:
        InputError: A class that the data have not, or weights that are all 0.
    """
    if given is None:
        return None
    if isinstance(given, str):
        counts = np.bincount(data.y_train, minlength=len(data.classes))
        return {
            label: len(data.y_train) / (len(counts) * count) for label, count in enumerate(counts.tolist()) if count
        }
    for name in given:
        if name in ("True", "False") and name not in data.classes:
            told = f"class_weight must name classes of {data.name!r}, got {name}"
            raise InputError(f"{told}; quote yes and no in a study file")
        check_known(f"class in class_weight, of {data.name!r}", name, data.classes)
    weights = {label: float(given.get(name, 1.0)) for label, name in enumerate(data.classes)}
    if not any(weights.values()):
        raise InputError("class_weight must leave some class a weight above 0, got 0 for all")
    return weights


def data_digest(data: Dataset) -> str:
    """Return the digest of all features and labels."""
    weights = [] if data.weights_train is None else [data.weights_train]
    return digest_of_arrays([*(array for part in PARTS for array in _part(data, part)), *weights])


def inputs_of_data(data: Dataset) -> dict[str, Any]:
    """Return what networks of these data take, and which classes they know, as JSON can hold it."""
    encoding = data.encoding.to_json() if data.encoding else None
    shape, dtype = (nested(of(data.x_train)) for of in (shapes_of, dtypes_of))
    told = {"shape": shape if isinstance(shape, dict) else list(shape), "dtype": dtype, "classes": list(data.classes)}
    return {"encoding": encoding or Encoding().to_json(), **told}


def _data_seed(settings: Settings) -> int:
    return settings.seed if settings.data_seed is None else settings.data_seed


def builder_of(model: ModelSettings) -> Builder:
    """Return the builder that settings name, or raise `InputError`."""
    name, settings = model.name, model.model_extra or {}
    if name not in NETWORKS:
        if settings:
            raise InputError(f"model {name!r} takes no settings of a study, got {', '.join(settings)}")
        return find_builder(name)
    known = inspect.signature(NETWORKS[name]).parameters
    for setting in settings:
        check_known(f"setting of model {name!r}", setting, known)
    try:
        return NETWORKS[name](**settings)
    except TypeError as error:  # a number where a list is meant, and the like
        raise InputError(f"model {name!r} cannot be made with {settings}: {error}") from error


@lru_cache(maxsize=4)
def _load(
    name: str,
    target: str | None,
    drop: tuple[str, ...],
    missing: str,
    train_size: int | None,
    label_noise: float,
    seed: int,
    resplit: bool,
    state: tuple[Any, ...],
) -> Dataset:
    """Load data, or take them from the last few; `state` is that of the file, so that what has changed is loaded."""
    return load_dataset(
        name, target=target, drop=drop, missing=missing, train_size=train_size, label_noise=label_noise, seed=seed,
        resplit=resplit,
    )  # fmt: skip


def _part(data: Dataset, name: str) -> tuple[npt.NDArray[np.generic], IntArray]:
    return getattr(data, f"x_{name}"), getattr(data, f"y_{name}")


def _files(run: Run, ensemble: Ensemble, data: Dataset, ways: Ways, seconds: float, notes: dict[str, Any]) -> Files:
    wanted, recipe, started = run.settings, run.recipe, time.perf_counter()
    masks = derive(wanted.seed, "masks", run.repetition)
    parts = {part: _part(data, part) for part in PARTS if part == "val" or part in wanted.splits}
    inputs = {part: x for part, (x, _) in parts.items()}
    passes = wanted.passes
    asked = [arm.name for arm in find_arms(wanted.arms)] if wanted.arms else None
    predictions, costs = ways(recipe, ensemble, len(data.x_train), inputs, passes, masks, asked, wanted.rules)
    costs = {arm: cost for arm, cost in costs.items() if asked is None or arm in asked}
    seconds += time.perf_counter() - started
    tables = [_scores(wanted, predictions[part], parts[part][1], split=part) for part in wanted.splits]
    kept: dict[str, npt.NDArray[Any]] = {
        f"{part}/{arm}": p.probs for part in ("val", "test") for arm, p in predictions.get(part, {}).items()
    }
    for part in ("val", "test"):
        kept |= _beside(part, predictions.get(part, {}))
    for name, amount in conditions(wanted.shifts):
        x = shift(data.x_test, name, seed=_data_seed(wanted), **amount)
        shifted, (severity,) = ways.predict(recipe, ensemble, x, passes, masks, asked, wanted.rules), amount.values()
        tables.append(_scores(wanted, shifted, data.y_test, condition=name, severity=severity))
        if n := wanted.keep_shifted:
            kept |= {f"shifted/{name}/{severity:g}/{arm}": p.probs[:, :n] for arm, p in shifted.items()}
    if wanted.other_data:
        other = other_data(wanted.other_data, data)
        strange = ways.predict(recipe, ensemble, other.x_test, passes, masks, asked)
        own, unlike = judged(predictions["test"]), judged(strange)
        found, _ = Evaluator(seed=wanted.seed).detection(own, unlike, wanted.resamples)
        tables.append(found.assign(condition=other.name))
        kept |= {f"other/{arm}": p.probs for arm, p in strange.items()}
        kept |= _beside("other", strange)
    if wanted.exact and RECIPES[recipe].dropout:
        exact = ExactDropout(_first(ensemble))
        for rule in ("mean", "geometric_mean"):
            pooled = Predictions(exact.predict(data.x_test, rule=rule)[None])
            table = _scores(wanted, {"exact_dropout": pooled}, data.y_test)
            tables.append(table.assign(rule=rule, members=exact.members))
            kept[f"exact/{rule}"] = pooled.probs
    scores = pd.concat(tables, ignore_index=True).assign(repetition=run.repetition)
    weights = {
        f"{member}/{number}": values
        for member, model in enumerate(ensemble.models)
        for number, values in enumerate(model.get_weights())
    }
    for member, model in enumerate(ensemble.models):
        weights |= {f"{member}/state/{key}": values for key, values in state_of(model).items()}
    environment = {
        "version": __version__,
        "results": RESULTS,
        "python": platform.python_version(),
        "keras": keras.__version__,
        "numpy": np.__version__,
        "machine": f"{platform.system()} {platform.machine()}",
        "tensorflow": tf.__version__,
        "seconds": round(seconds, 3),
        "source": data.source,
        "notes": list(data.notes),
        "data": data.name,
        "classes": list(data.classes),
        "sizes": data.sizes,
        "test_in_train": data.test_in_train,
        "telling_columns": list(telling_columns(data)),
        "data_sha256": data_digest(data),
        "parameters": _first(ensemble).count_params(),
        **notes,
    }
    kept |= {f"labels/{part}": y for part, (_, y) in parts.items() if part != "train"}
    return {
        "environment.json": json.dumps(environment, indent=1).encode(),
        INPUTS: json.dumps(inputs_of_data(data)).encode(),
        "models.json": _described(_first(ensemble)).encode(),
        "models.npz": _npz(weights),
        "histories.csv": ensemble.histories.to_csv(index=False).encode(),
        "predictions.npz": _npz(kept),
        "scores.json": json.dumps(scores.astype(object).to_dict("split", index=False)).encode(),
        "cost.json": cost_table({arm: [cost] for arm, cost in costs.items()}).to_json(orient="records").encode(),
    }


def _beside(part: str, predictions: Mapping[str, Predictions]) -> dict[str, npt.NDArray[Any]]:
    """Return what predictions hold besides their members, by its name in `predictions.npz`."""
    found: dict[str, npt.NDArray[Any]] = {}
    for arm, one in predictions.items():
        found |= {f"further/{part}/{arm}/{rule}": probs for rule, probs in one.further.items()}
        if one.weights is not None:
            found[f"weights/{part}/{arm}"] = one.weights
    return found


def conditions(shifts: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the shifts of a run: a name, and its severity or amount."""
    for name, wanted in shifts.items():
        if wanted == "severities":
            yield from ((name, {"severity": severity}) for severity in range(1, 6))
        else:
            yield from ((name, {"amount": amount}) for amount in (OVADIA[name] if wanted == "ovadia" else wanted))


def other_data(name: str, data: Dataset) -> Dataset:
    """Return data that do not belong, or raise `InputError` if they are of another shape or type."""
    other = _load(name, None, (), "refuse", None, 0.0, 0, False, state=state_of_data(name))
    (shape, dtype), (shape_there, dtype_there) = (
        (one.input_shape, nested(dtypes_of(one.x_test))) for one in (data, other)
    )
    if (shape, dtype) != (shape_there, dtype_there):
        raise InputError(
            f"other_data must have examples of the shape and type of {data.name!r}, {shape} of {dtype}, but those of "
            f"{other.name!r} are {shape_there} of {dtype_there}"
        )
    return other


def _scores(
    wanted: Settings,
    arms: Mapping[str, Predictions],
    labels: IntArray,
    **where: Any,
) -> pd.DataFrame:
    """Return one row per arm, rule and metric of a run."""
    asked = {arm.name for arm in find_arms(wanted.arms)} if wanted.arms else None
    arms = {arm: found for arm, found in judged(arms).items() if asked is None or arm not in ARMS or arm in asked}
    rules = {arm: rules_of(arm, wanted.rules) for arm in arms}
    evaluator = Evaluator(wanted.metrics, rules, resamples=wanted.resamples, seed=wanted.seed)
    return evaluator.scores(arms, labels, **where)


def _described(model: keras.Model) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Keras' of lambdas: nothing is loaded from this
            return json.dumps(keras.saving.serialize_keras_object(model))
    except Exception as error:  # a layer of the user's own that does not say how it is made
        return json.dumps({"not_described": str(error)})


def _npz(arrays: Mapping[str, npt.NDArray[np.generic]]) -> bytes:
    # NumPy's files forget what bfloat16 is; as float32 the numbers are the same.
    return as_npz(
        {name: array.astype("float32") if array.dtype.kind == "V" else array for name, array in arrays.items()}
    )
