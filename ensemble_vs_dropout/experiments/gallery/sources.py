"""What figures are drawn from: a finished comparison, or a study whose runs lie in a store, or a part of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

import numpy.typing as npt
import pandas as pd

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.datasets import load_dataset
from ensemble_vs_dropout.evaluation.arms import RECIPES, judged
from ensemble_vs_dropout.evaluation.evaluator import SCORE_COLUMNS
from ensemble_vs_dropout.experiments import Plan, Settings, Store, plan_of, read_study, results
from ensemble_vs_dropout.experiments.comparison import Comparison, comparisons
from ensemble_vs_dropout.experiments.folder import is_a_comparison
from ensemble_vs_dropout.experiments.kept import read_arrays, read_json, read_table
from ensemble_vs_dropout.experiments.plan import Point, Run
from ensemble_vs_dropout.experiments.store import Keeping
from ensemble_vs_dropout.experiments.tables import value_in_a_cell
from ensemble_vs_dropout.plots.facets import in_words
from ensemble_vs_dropout.types import Dataset, IntArray, Predictions

Pools = dict[str, list[Predictions]]
T = TypeVar("T")


class Lacking(Exception):
    """A source does not hold what a figure needs."""


@dataclass(frozen=True)
class Experiment:
    """One setting: the predictions of every arm, one for each repetition.

    Attributes:
        data: What it is about, in words.
        pools: By part ("val", "test"; "other" for other data) and arm.
        labels: By part.
        other: The name of the other data, or "".
    """

    data: str
    pools: Mapping[str, Pools]
    labels: Mapping[str, IntArray]
    other: str = ""

    def several(self, part: str = "test") -> Pools:
        """Return the arms that have several members."""
        many = {arm: runs for arm, runs in self.pools.get(part, {}).items() if runs[0].members > 1}
        if not many:
            raise Lacking
        return many

    def of(self, *arms: str, part: str = "test", least: int = 1) -> Pools:
        """Return the repetitions of these arms, if each has at least so many members."""
        judged_by = judged(self.pools.get(part, {}))
        found = {arm: judged_by.get(arm) or [] for arm in arms}
        if not all(runs and runs[0].members >= least for runs in found.values()):
            raise Lacking
        return found


@dataclass(frozen=True)
class StudySource:
    """A study whose runs lie in a store, or the part of it where settings have the values of `at`.

    Attributes:
        name: That of the study.
        plan: Of all of it.
        store: Where the runs are.
        at: Values of keys, and of "repetition", that its points have.
        panels: Keys whose values are told over the panels, so not beside the data.
    """

    name: str
    plan: Plan
    store: Keeping
    at: Mapping[str, Any] = field(default_factory=dict)
    panels: tuple[str, ...] = ()

    @cached_property
    def _every(self) -> list[tuple[Point, Settings]]:
        """All points whose runs are known, and their settings."""
        every = [settings for _, settings in self.plan.study.points() for _ in range(self.plan.study.repetitions)]
        return [pair for pair in zip(self.plan.points, every, strict=True) if pair[0].runs]

    def points(self) -> Iterator[tuple[Point, Settings]]:
        """Yield every point whose runs are known, and its settings."""
        there = {key: in_words(value) for key, value in self.at.items()}
        found = [pair for pair in self._every if all(in_words(value_at(key, *pair)) == there[key] for key in there)]
        if not found:
            raise Lacking
        yield from found

    def values(self, key: str) -> list[Any]:
        """Return the values of a key, or of "repetition", in all of the study."""
        return list({in_words(value): value for value in (value_at(key, *pair) for pair in self._every)}.values())

    @cached_property
    def keys(self) -> list[str]:
        """The keys of which its points have several values."""
        pairs = list(self.points())
        every = [key for key in self.plan.study.keys if key != "recipes"]
        return [key for key in every if len({in_words(value_at(key, *pair)) for pair in pairs}) > 1]

    def where(self, at: Mapping[str, Any]) -> StudySource:
        """Return the part of it where settings have these values."""
        return self._part(at, self.panels)

    def _part(self, at: Mapping[str, Any], panels: Sequence[str]) -> StudySource:
        part = replace(self, at={**self.at, **at}, panels=tuple(panels))
        part.__dict__["_every"] = self._every  # not enumerated again
        return part

    @property
    def varied(self) -> list[str]:
        """The keys, and "repetition", of which all of the study has several values."""
        every = [*(key for key in self.plan.study.keys if key != "recipes"), "repetition"]
        return [key for key in every if len(self.values(key)) > 1]

    def further(self, shown: Sequence[str]) -> list[str]:
        """Return the keys of which points have several values that are alike in all that a figure shows."""
        alike: dict[str, list[tuple[Point, Settings]]] = {}
        own = [key for key in self.keys if is_shown(key, shown)]
        for pair in self.points():
            alike.setdefault(in_words([value_at(key, *pair) for key in own]), []).append(pair)
        return [
            key
            for key in self.keys
            if key not in own
            and any(len({in_words(value_at(key, *pair)) for pair in pairs}) > 1 for pairs in alike.values())
        ]

    def parts(self, keys: Sequence[str]) -> list[StudySource]:
        """Return a part for each combination of values of these keys."""
        found = [{key: value_at(key, *pair) for key in keys} for pair in self.points()]
        each = {in_words(values): values for values in found}.values()
        return [self._part(values, keys) for values in each]

    @cached_property
    def table(self) -> pd.DataFrame:
        """The results, with the settings of every point; those of a case that leaves a key out are the base's."""
        if any(point.trials for point in self.plan.points):
            raise Lacking  # what is chosen differs from point to point
        parts = []
        for point, settings in self.points():
            found = results(replace(self.plan, points=(point,), runs=point.runs), self.store)
            own = {key: value_in_a_cell(value_at(key, point, settings)) for key in self._set}
            parts.append(found.assign(**{f"study_{key}" if key in SCORE_COLUMNS else key: own[key] for key in own}))
        return pd.concat(parts, ignore_index=True)

    @property
    def place(self) -> str:
        """The sentence that tells which part of the study it is; "" for all of it."""
        parts = []
        for key, value in self.at.items():
            every = [in_words(one) for one in self.values(key)]
            some = ", ".join(every) if len(every) <= 6 else f"{len(every)} from {every[0]} to {every[-1]}"
            parts += [f"{key} = {in_words(value)} (of {some})"] if len(every) > 1 else []
        return f"Of the study: {', '.join(parts)}." if parts else ""

    @property
    def _set(self) -> list[str]:
        """The keys of the study that are one value each."""
        whole = ("recipes", "model", "shifts", "tuning")
        return [key for key in self.plan.study.keys if key in Settings.model_fields and key not in whole]

    @property
    def settings(self) -> Settings:
        """Those of the first point."""
        return next(self.points())[1]

    @property
    def data(self) -> str:
        """What it is about, in words: what all its points share."""
        return words_of(next(self.points())[0].runs[0], [*self.keys, *self.panels])

    def arrays(self, run: Run, file: str = "predictions.npz") -> Mapping[str, npt.NDArray[Any]]:
        """Return the arrays of a finished run."""
        if not self.store.has(run):
            raise Lacking
        return read_arrays(run, self.store, file)

    def tables(self, file: str) -> Iterator[tuple[Point, Run, pd.DataFrame]]:
        """Yield a table of every run of every point."""
        for point, _ in self.points():
            for run in point.runs:
                if self.store.has(run):
                    csv = file.endswith("csv")
                    rows = None if csv else read_json(run, self.store, file, list)
                    yield point, run, read_table(run, self.store, file) if csv else pd.DataFrame(rows)

    def experiments(self) -> Iterator[tuple[dict[str, Any], Experiment]]:
        """Yield each point's keys, and its repetitions as one experiment."""
        alike: dict[str, list[Point]] = {}
        for point, settings in self.points():
            if settings.new_tests:
                raise Lacking  # the repetitions of an experiment are of the same examples
            alike.setdefault(json.dumps(point.keys, sort_keys=True), []).append(point)
        for points in alike.values():
            pools: dict[str, Pools] = {}
            labels: dict[str, IntArray] = {}
            for run in (run for point in points for run in point.runs):
                for name, values in self.arrays(run).items():
                    part, _, arm = name.partition("/")
                    if part == "labels":
                        labels[arm] = values
                    elif part in ("val", "test", "other"):
                        pools.setdefault(part, {}).setdefault(arm, []).append(Predictions(values))
            last = points[0].runs[-1]
            yield points[0].keys, Experiment(words_of(last), pools, labels, last.settings.other_data or "")

    @cached_property
    def first(self) -> Experiment:
        """The first point."""
        return next(self.experiments())[1]

    def comparisons(self) -> Iterator[tuple[str, Comparison]]:
        """Yield each finished point as a comparison, by what it has that others have not, in words."""
        varied = self.keys or ["model"]
        shared = [key for key in Settings.model_fields if not any(is_shown(one, (key,)) for one in varied)]
        untold = [key for key in varied if key != "rate" and not is_shown(key, WORDED)]
        try:
            plan = replace(self.plan, points=tuple(point for point, _ in self.points()))
            for keys, found in comparisons(plan, self.store):
                # The rate is that of networks with dropout, and where it was chosen it differs between repetitions.
                rated = [run for run in found.runs[0] if RECIPES[run.recipe].dropout and not found.settings.tuned]
                words = words_of((rated or found.runs[0])[0], shared, "")
                further = [f"{key} {in_words(keys[key])}" for key in untold if key in keys]
                yield ", ".join(filter(None, [words, *further])) or "the only point", found
        except InputError as error:
            raise Lacking from error

    @cached_property
    def comparison(self) -> Comparison:
        """The first point as a comparison."""
        return next(self.comparisons())[1]


@dataclass(frozen=True)
class ComparisonSource:
    """A finished comparison."""

    comparison: Comparison
    name: str

    @property
    def data(self) -> str:
        """What it is about, in words."""
        return words_of(self.comparison.runs[0][0], ["rate"])

    def comparisons(self) -> Iterator[tuple[str, Comparison]]:
        """Yield it, by its network in words."""
        yield words_of(self.comparison.runs[0][0], ["dataset", "train_size", "rate"]), self.comparison

    @cached_property
    def first(self) -> Experiment:
        """The comparison."""
        found = self.comparison
        if found.settings.new_tests:
            raise Lacking  # as above
        words = f"{found.spec['dataset']}, {found.settings.model.name}"
        pools = {part: {arm: list(runs) for arm, runs in arms.items()} for part, arms in found.predictions.items()}
        return Experiment(words, pools, found.labels)


Source = StudySource | ComparisonSource


def read_sources(folders: Sequence[str | PathLike[str]]) -> list[Source]:
    """Return what folders hold.

    Raises:
        InputError: A folder that is neither a finished comparison nor a store with studies.
    """
    sources: list[Source] = []
    for folder in map(Path, folders):
        store = Store(folder, create=False) if (folder / "store.json").exists() else None
        files = store.studies() if store else []
        if is_a_comparison(folder) or store is None:
            sources.append(ComparisonSource(Comparison.load(folder), folder.resolve().name))
        elif not files:
            raise InputError(f"the store {str(folder)!r} knows no study; evd study run FILE --store makes it know")
        studies = [read_study(file) for file in files]
        sources += [StudySource(study.name, plan_of(study, store), store) for study in studies if store]
    return sources


def value_at(key: str, point: Point, settings: Settings) -> Any:
    """Return the value of a key at a point, as a study file would have it."""
    if key == "repetition":
        return point.repetition
    outer, _, inner = key.partition(".")
    whole = settings.model_dump(mode="json", include={outer}, warnings=False)[outer]
    return whole.get(inner) if inner else whole


def is_shown(key: str, shown: Sequence[str]) -> bool:
    """Return whether a key, or the table that it is in, is among those that a figure shows."""
    return any(key == name or key.startswith(f"{name}.") for name in shown)


WORDED = ("dataset", "train_size", "label_noise", "model", "width", "rate")  # settings that `words_of` tells


def words_of(run: Run, without: Sequence[str] = (), otherwise: str = "several data sets") -> str:
    """Return data, their number and the network in words."""
    wanted = run.settings
    own = dict(wanted.model.model_extra or {})
    units = own.pop("units", ())
    layers = "-".join(map(str, units)) if isinstance(units, list | tuple) else str(units)
    further = ", ".join(f"{key} {value}" for key, value in own.items())
    parts = {
        "dataset": Path(wanted.dataset).name,
        "train_size": f"{wanted.train_size:,} training examples" if wanted.train_size else "",
        "label_noise": f"{100 * wanted.label_noise:g} % wrong labels" if wanted.label_noise else "",
        "model": ", ".join(filter(None, [f"{wanted.model.name} {layers}".strip(), further])),
        "width": f"{wanted.width:g} times as wide" if wanted.width != 1 else "",
        "rate": f"rate {wanted.rate:g}" if RECIPES[run.recipe].dropout else "",
    }
    varied = {key.partition(".")[0] for key in without}
    return ", ".join(text for key, text in parts.items() if text and key not in varied) or otherwise


def take(found: Mapping[str, T], name: str) -> T:
    """Return what a source has by this name, if it has it."""
    if name not in found:
        raise Lacking
    return found[name]


def data_of(run: Run) -> Dataset:
    """Return the data that a run was of, without the wrong labels that it may have trained on."""
    wanted = run.settings
    return load_dataset(
        wanted.dataset,
        target=wanted.target,
        drop=wanted.drop,
        missing=wanted.missing,
        train_size=wanted.train_size,
        seed=run.spec["data_seed"],
        resplit=wanted.new_tests,
    )
