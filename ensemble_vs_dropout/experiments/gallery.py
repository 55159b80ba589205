"""Every figure that saved runs allow: what each one needs, and how it is made of what is there; no TensorFlow.

A source is the folder of a comparison, or a store with the studies that were run into it. `figures` asks for each of
its drawings every source; a drawing takes what it needs or says that it is not there.

What else varies in a study is never mixed: a figure of a study has a group of panels for each value (`plots.Facets`),
and a figure of one point is of the first one, or of that chosen by `at`, and says so.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import yaml

from ensemble_vs_dropout import plots
from ensemble_vs_dropout.checks import InputError, check_known
from ensemble_vs_dropout.datasets import load_dataset, shift
from ensemble_vs_dropout.evaluation.arms import RECIPES, arms_of, judged
from ensemble_vs_dropout.evaluation.evaluator import SCORE_COLUMNS
from ensemble_vs_dropout.evaluation.findings import Fact
from ensemble_vs_dropout.evaluation.sizes import SIZES
from ensemble_vs_dropout.experiments import Plan, Settings, Store, plan_of, read_study, results
from ensemble_vs_dropout.experiments.comparison import Comparison, comparisons, shift_units
from ensemble_vs_dropout.experiments.folder import is_a_comparison
from ensemble_vs_dropout.experiments.plan import Point, Run
from ensemble_vs_dropout.experiments.store import Keeping
from ensemble_vs_dropout.experiments.tables import value_in_a_cell
from ensemble_vs_dropout.plots.display import METADATA, WIDTHS
from ensemble_vs_dropout.plots.facets import in_words
from ensemble_vs_dropout.plots.style import SCALES
from ensemble_vs_dropout.types import Dataset, IntArray, Predictions

Pools = dict[str, list[Predictions]]
T = TypeVar("T")
STUDIES = "scripts/studies"


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
        found = [pair for pair in self._every if all(in_words(_value(key, *pair)) == there[key] for key in there)]
        if not found:
            raise Lacking
        yield from found

    def values(self, key: str) -> list[Any]:
        """Return the values of a key, or of "repetition", in all of the study."""
        return list({in_words(value): value for value in (_value(key, *pair) for pair in self._every)}.values())

    @cached_property
    def keys(self) -> list[str]:
        """The keys of which its points have several values."""
        pairs = list(self.points())
        every = [key for key in self.plan.study.keys if key != "recipes"]
        return [key for key in every if len({in_words(_value(key, *pair)) for pair in pairs}) > 1]

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
        own = [key for key in self.keys if _is_shown(key, shown)]
        for pair in self.points():
            alike.setdefault(in_words([_value(key, *pair) for key in own]), []).append(pair)
        return [
            key
            for key in self.keys
            if key not in own
            and any(len({in_words(_value(key, *pair)) for pair in pairs}) > 1 for pairs in alike.values())
        ]

    def parts(self, keys: Sequence[str]) -> list[StudySource]:
        """Return a part for each combination of values of these keys."""
        found = [{key: _value(key, *pair) for key in keys} for pair in self.points()]
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
            own = {key: value_in_a_cell(_value(key, point, settings)) for key in self._set}
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
        return _words(next(self.points())[0].runs[0], [*self.keys, *self.panels])

    def arrays(self, run: Run, file: str = "predictions.npz") -> Mapping[str, npt.NDArray[Any]]:
        """Return the arrays of a finished run."""
        if not self.store.has(run):
            raise Lacking
        with np.load(io.BytesIO(self.store.read(run, file)[0]), allow_pickle=False) as arrays:
            return dict(arrays)

    def tables(self, file: str) -> Iterator[tuple[Point, Run, pd.DataFrame]]:
        """Yield a table of every run of every point."""
        for point, _ in self.points():
            for run in point.runs:
                if self.store.has(run):
                    content = io.BytesIO(self.store.read(run, file)[0])
                    yield point, run, pd.read_csv(content) if file.endswith("csv") else pd.read_json(content)

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
            yield points[0].keys, Experiment(_words(last), pools, labels, last.settings.other_data or "")

    @cached_property
    def first(self) -> Experiment:
        """The first point."""
        return next(self.experiments())[1]

    @cached_property
    def comparison(self) -> Comparison:
        """The first point as a comparison."""
        try:
            plan = replace(self.plan, points=tuple(point for point, _ in self.points()))
            return next(comparisons(plan, self.store))[1]
        except InputError as error:
            raise Lacking from error


@dataclass(frozen=True)
class ComparisonSource:
    """A finished comparison."""

    comparison: Comparison
    name: str

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


@dataclass(frozen=True)
class Drawing:
    """How a figure is made.

    Attributes:
        make: Makes it of a source that has what it needs, or raises `Lacking`.
        study: The study file that describes the runs of the gallery's own.
        needs: What it needs, in words.
        of_study: Whether only a study can have it.
        over: The keys that must vary; what else varies has panels of its own. None for a figure of one point.
        also: Further keys that it shows where they vary, or what returns them; "model" is all of the model's.
        of_one: Whether it is of one repetition.
        apart: Whether what else varies can have panels of its own; else the figure is of the first value of it.
    """

    make: Callable[[Any], plots.Display]
    study: str
    needs: str
    of_study: bool = True
    over: tuple[str, ...] | None = None
    also: tuple[str, ...] | Callable[[StudySource], tuple[str, ...]] = ()
    of_one: bool = False
    apart: bool = True

    def draw(self, source: Source, at: Mapping[str, Any] | None = None) -> plots.Display:
        """Return the figure of a source, where a study's settings have the values of `at`.

        Raises:
            Lacking: It does not hold what the figure needs.
            InputError: What it holds cannot be drawn.
        """
        if isinstance(source, ComparisonSource):
            return self.make(source)
        source = source.where({key: value for key, value in (at or {}).items() if key in source.varied})
        if self.of_one and "repetition" not in source.at:
            source = source.where({"repetition": next(source.points())[0].repetition})
        if not set(self.over or ()) <= set(source.keys):
            raise Lacking
        also = self.also(source) if callable(self.also) else self.also
        further = source.keys if self.over is None else source.further([*self.over, *also])
        if self.apart and self.over is not None and further:
            parts = source.parts(further)
            made = [({key: part.at[key] for key in further}, self.make(part)) for part in parts]
            return _with_place(plots.Facets.from_displays(made), source)
        first = next(source.points())
        source = source.where({key: _value(key, *first) for key in further})
        return _with_place(self.make(source), source)


def _with_place(display: plots.Display, source: StudySource) -> plots.Display:
    """Return the figure with a caption that tells which part of the study it is of."""
    return replace(display, caption=f"{display.caption} {place}") if (place := source.place) else display


def _value(key: str, point: Point, settings: Settings) -> Any:
    """Return the value of a key at a point, as a study file would have it."""
    if key == "repetition":
        return point.repetition
    outer, _, inner = key.partition(".")
    whole = settings.model_dump(mode="json", include={outer}, warnings=False)[outer]
    return whole.get(inner) if inner else whole


def _is_shown(key: str, shown: Sequence[str]) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in shown)


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


def parse_at(given: Iterable[str]) -> dict[str, Any]:
    """Return what `figures` takes as `at` of words such as "train_size=100"; values are as in a study file.

    Raises:
        InputError: A word without a key or a value.

    Example:
        >>> parse_at(["rate=0.5", "model.units=[64, 64]", "dataset=digits"])
        {'rate': 0.5, 'model.units': [64, 64], 'dataset': 'digits'}
    """
    found = {}
    for text in given:
        key, _, value = text.partition("=")
        try:
            found[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise InputError(f"at must be KEY=VALUE, the value as in a study file, got {text!r}") from error
        if not (key.strip() and value.strip()):
            raise InputError(f"at must be KEY=VALUE, the value as in a study file, got {text!r}")
    return found


@dataclass(frozen=True)
class Drawn:
    """A figure, and the source that its numbers come from."""

    display: plots.Display
    source: Source


def figures(sources: Sequence[Source], at: Mapping[str, Any] | None = None) -> Iterator[tuple[str, Drawn | str]]:
    """Yield each figure of the gallery by its name, or why it cannot be drawn and what would make it possible.

    Args:
        sources: As `read_sources` gives them.
        at: Values of the keys of a study, and of "repetition", that figures are of. Without them a figure of a study
            has panels for each value of what it does not show itself, and a figure of one point is of the first.

    Raises:
        InputError: A key that no study varies, or a value that it does not have.
    """
    studies = [source for source in sources if isinstance(source, StudySource)]
    for key, value in (at or {}).items():
        check_known("key of at", key, [*dict.fromkeys(one for source in studies for one in source.varied)])
        known = [in_words(one) for source in studies if key in source.varied for one in source.values(key)]
        check_known(f"value of {key}", in_words(value), [*dict.fromkeys(known)])
    for name, drawing in DRAWINGS.items():
        own = sorted(sources, key=lambda source: source.name != drawing.study)  # that made for it comes first
        yield name, _first_made(drawing, own, at or {})


def draw(
    sources: Sequence[Source],
    out: str | PathLike[str],
    *,
    at: Mapping[str, Any] | None = None,
    formats: Sequence[str] = ("png", "svg", "pdf"),
    width: str = "double",
    style: str = "paper",
    say: Callable[[str], None] = print,
) -> dict[str, Drawn]:
    """Draw every figure that the sources allow into a folder, with its numbers as CSV and its facts as `facts.csv`.

    Args:
        sources: As `read_sources` gives them.
        out: The folder; made if it is not there.
        at: As `figures` takes it.
        formats: "png", "svg" and "pdf".
        width: "double" or "single".
        style: "paper", "notebook" or "talk".
        say: Told of each figure, drawn or not.

    Returns:
        The figures that were drawn, by name.
    """
    for name, given, known in (("width", [width], WIDTHS), ("style", [style], SCALES), ("format", formats, METADATA)):
        for one in given:
            check_known(name, one, known)  # before minutes are spent
    folder, drawn = Path(out), dict[str, Drawn]()
    for name, made in figures(sources, at):
        if isinstance(made, str):
            say(f"{name}: {made}")
            continue
        display = made.display
        display.save(folder / name, formats, width=width, style=style)
        display.frame().to_csv(folder / f"{name}.csv", index=False)
        drawn[name] = made
        outcomes = Counter(fact.outcome for fact in display.facts)
        told = "; expected: " + ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
        say(f"{name}: drawn from {made.source.name}" + told * bool(outcomes))
    facts = [(name, *fact) for name, made in drawn.items() for fact in made.display.facts]
    folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(facts, columns=["figure", *Fact._fields]).to_csv(folder / "facts.csv", index=False)
    return drawn


def _first_made(drawing: Drawing, sources: Sequence[Source], at: Mapping[str, Any]) -> Drawn | str:
    refused = ""
    for source in sources:
        if drawing.of_study and not isinstance(source, StudySource):
            continue
        try:
            return Drawn(drawing.draw(source, at), source)
        except Lacking:
            continue
        except InputError as error:
            refused = refused or f" ({source.name}: {error})"
    return (
        f"needs {drawing.needs}{refused}; evd study run {STUDIES}/{drawing.study}.yaml --store STORE makes it possible"
    )


def _words(run: Run, without: Sequence[str] = ()) -> str:
    """Return data, their number and the network in words."""
    wanted = run.settings
    own = dict(wanted.model.model_extra or {})
    units = own.pop("units", ())
    layers = "-".join(map(str, units)) if isinstance(units, list | tuple) else str(units)
    further = ", ".join(f"{key} {value}" for key, value in own.items())
    parts = {
        "dataset": Path(wanted.dataset).name,
        "train_size": f"{wanted.train_size:,} training examples" if wanted.train_size else "",
        "label_noise": f"{wanted.label_noise:.0%} wrong labels" if wanted.label_noise else "",
        "model": ", ".join(filter(None, [f"{wanted.model.name} {layers}".strip(), further])),
        "width": f"{wanted.width:g} times as wide" if wanted.width != 1 else "",
        "rate": f"rate {wanted.rate:g}" if RECIPES[run.recipe].dropout else "",
    }
    varied = {key.partition(".")[0] for key in without}
    return ", ".join(text for key, text in parts.items() if text and key not in varied) or "several data sets"


def _of_report(name: str) -> Callable[[Source], plots.Display]:
    """Return what draws a figure as the report of a comparison has it, of the same table."""

    def make(source: Source) -> plots.Display:
        return _take(source.comparison.figures([name]), name)

    return make


def _mc_vs_weight_scaling(source: Source) -> plots.Display:
    found = source.first
    arms = found.of("mc_dropout", "dropout")
    # Passes are those of the first network of a repetition, of which weight scaling may be judged for all.
    scaled = [Predictions(run.probs[:1]) for run in arms["dropout"]]
    networks = list(zip(arms["mc_dropout"], scaled, strict=True))
    return plots.MCVersusWeightScaling.from_predictions(
        *networks[0], found.labels["test"], dataset=found.data, further=networks[1:]
    )


def _retention_sweep(source: StudySource) -> plots.Display:
    every = ["rate", "width", *SCORE_COLUMNS]
    table = source.table[source.table.condition == "clean"].assign(width=source.table.get("width", 1.0))
    table = table[every].drop_duplicates()  # the plain networks are the same at every rate
    if "width" not in source.keys:
        return plots.RetentionSweep.from_scores(table, dataset=source.data)
    plain, fixed = table.arm == "single", table.width == 1
    scaled = (_is_scaled(table.rate, table.width) & ~plain) | (plain & fixed)
    return plots.RetentionSweep.from_scores(table[fixed], dataset=source.data, scaled=table[scaled])


def _is_scaled(rate: Any, width: Any) -> Any:
    """Return whether as many units are kept on average as a network of width 1 has."""
    return np.isclose(width * (1 - np.asarray(rate, dtype=float)), 1, atol=0.02)


def _width_if_scaled(source: StudySource) -> tuple[str, ...]:
    """Return the width where it grows as fewer units are kept, so that it has one panel and not one for each width."""
    pairs = [(settings.rate, settings.width) for _, settings in source.points()]
    if any(isinstance(rate, str) for rate, _ in pairs):
        raise Lacking  # it is chosen, and differs from repetition to repetition
    grows = all(width == 1 or _is_scaled(rate, width) for rate, width in pairs)
    return ("width",) if grows and any(width == 1 for _, width in pairs) else ()


def _dataset_size(source: StudySource) -> plots.Display:
    return plots.DatasetSize.from_scores(source.table, dataset=source.data)


def _architectures(source: StudySource) -> plots.Display:
    if not any(_is_shown(key, ("model", "width")) for key in source.keys):
        raise Lacking
    without = ("dataset", "train_size", "label_noise", "rate")
    parts = []
    for point, run, table in source.tables("histories.csv"):
        if run.settings.patience is not None:
            raise Lacking
        known = [part for part in ("val_", "test_") if f"{part}accuracy" in table]
        named = {f"{part}error": 1 - table[f"{part}accuracy"] for part in known}
        where = {"architecture": _words(run, without), "recipe": run.recipe}
        parts.append(table.assign(**named, **where, repetition=point.repetition))
    if not parts:
        raise Lacking
    return plots.Architectures.from_histories(pd.concat(parts, ignore_index=True), dataset=source.data)


def _exact_enumeration(source: StudySource) -> plots.Display:
    nets = []
    runs = {run.name: run for point, _ in source.points() for run in point.runs}
    for run in runs.values():
        wanted, own = run.settings, run.settings.model.model_extra or {}
        if RECIPES[run.recipe].dropout and wanted.exact and wanted.model.name == "mlp" and "units" in own:
            found, units = source.arrays(run), own["units"] * own.get("depth", 1)
            means = {f"{name}_mean": found[f"exact/{rule}"][0] for name, rule in _EXACT.items()}
            words = f"{'-'.join(map(str, units))}, rate {wanted.rate:g}"
            layers = len(units) - (not own.get("input_rate"))  # the last mask only feeds the softmax layer
            scaled = _tested(found, "dropout")[0]
            nets.append(
                plots.SmallNetwork(
                    words, layers, float(wanted.rate), scaled, means["geometric_mean"], means["arithmetic_mean"],
                    found["labels/test"],
                )
            )  # fmt: skip
    if not nets:
        raise Lacking
    return plots.ExactEnumeration.from_predictions(nets, dataset=source.data)


_EXACT = {"geometric": "geometric_mean", "arithmetic": "mean"}


def _combiner_comparison(source: Source) -> plots.Display:
    found = source.first
    arms = found.of("ensemble", "mc_dropout", least=2)
    return plots.CombinerComparison.from_predictions(
        arms, found.labels["test"], dataset=found.data, sizes=(1, 2, 3, 5, 10, 20), subsets=10, resamples=200
    )


def _ood_mutual_information(source: Source) -> plots.Display:
    found = source.first
    known, unknown = (found.of("ensemble", "mc_dropout", part=part) for part in ("test", "other"))
    return plots.OODEntropy.from_predictions(
        known, unknown, dataset=found.data, other=found.other, quantity="mutual_information", resamples=200
    )


def _shift_robustness(source: StudySource) -> plots.Display:
    if not source.settings.shifts:
        raise Lacking
    table = source.table
    metrics = [name for name in ("error", "brier", "nll", "ece") if name in set(table.metric)]
    return plots.ShiftRobustness.from_scores(
        table, dataset=source.data, metrics=metrics, units=shift_units(source.settings)
    )


def _diversity_accuracy_plane(source: StudySource) -> plots.Display:
    _without_stopping(source)
    last = max(settings.epochs for _, settings in source.points())
    plain: dict[int, dict[int, npt.NDArray[Any]]] = {}
    dropout: dict[int, dict[float, tuple[Predictions, Predictions]]] = {}
    for point, settings in source.points():
        for run in point.runs:
            found = source.arrays(run)
            if run.recipe == "plain":
                plain.setdefault(point.repetition, {})[settings.epochs] = _take(found, "test/ensemble")
            elif "rate" in point.keys and settings.epochs == last:
                scaled, passes = (_tested(found, arm) for arm in ("dropout", "mc_dropout"))
                of_rate = Predictions(scaled[:1]), Predictions(passes)
                dropout.setdefault(point.repetition, {})[settings.rate] = of_rate
    if any(len(of_epochs) < 2 or repetition not in dropout for repetition, of_epochs in plain.items()) or not plain:
        raise Lacking
    repetitions = []
    for repetition, of_epochs in plain.items():
        *earlier, last = sorted(of_epochs)
        rates = dropout[repetition]
        clouds: dict[str, Predictions | tuple[Predictions, Predictions]] = {
            "independent networks": Predictions(of_epochs[last][1:]),
            "checkpoints": Predictions(np.stack([of_epochs[epoch][0] for epoch in earlier])),
            **{f"MC dropout, rate {rate:g}": rates[rate] for rate in sorted(rates)},
        }
        repetitions.append((Predictions(of_epochs[last][:1]), clouds))
    return plots.DiversityAccuracyPlane.from_predictions(
        *repetitions[0], source.first.labels["test"], dataset=source.data, further=repetitions[1:]
    )


def _without_stopping(source: StudySource) -> None:
    """Go on if a network of fewer epochs is a checkpoint of one of more."""
    if any(settings.patience is not None for _, settings in source.points()):
        raise Lacking


def _rate_of_cases(source: StudySource) -> tuple[str, ...]:
    """Return the rate where some points leave it out: the figure is of those, and needs no panel for each rate."""
    return ("rate",) if any("rate" not in point.keys for point, _ in source.points()) else ()


def _function_space(source: StudySource) -> plots.Display:
    _without_stopping(source)
    found: dict[int, dict[int, tuple[Any, ...]]] = {}
    for point, _ in source.points():
        for run in point.runs:
            if run.recipe == "dropout" and not ("rate" in source.keys and "rate" in point.keys):
                arrays, models = source.arrays(run), source.arrays(run, "models.npz")
                weights = np.concatenate([v.ravel() for name, v in models.items() if name.startswith("0/")])
                of_run = found.setdefault(point.repetition, {})
                scaled, passes = (_tested(arrays, arm) for arm in ("dropout", "mc_dropout"))
                of_run[run.settings.epochs] = scaled[0], weights, passes
                labels = arrays["labels/test"]
    if len(found) < 2:
        raise Lacking
    runs = [[of_run[epoch] for epoch in sorted(of_run)] for of_run in found.values()]
    epochs = sorted(found[0])
    return plots.FunctionSpace.from_predictions(
        [(epochs, Predictions(np.stack([one[0] for one in run]))) for run in runs],
        labels,
        dataset=source.data,
        weights=[np.stack([one[1] for one in run]) for run in runs],
        extra=[Predictions(run[-1][2]) for run in runs],
    )


def _deep_ensemble_equivalent(source: Source) -> plots.Display:
    found = source.first
    several = {**found.several(), **found.of("ensemble", least=2)}
    return plots.DeepEnsembleEquivalent.from_predictions(
        several.pop("ensemble"),
        several,
        found.labels["test"],
        dataset=found.data,
        sizes=SIZES[1:],
        subsets=2,
        resamples=200,
    )


def _eir_vs_der(source: StudySource) -> plots.Display:
    if source.settings.members < 2 or len(source.keys) < 2:
        raise Lacking
    pools = []
    for keys, found in source.experiments():
        words = ", ".join(f"{key} {keys[key]}" for key in source.keys if key in keys)
        for arm in ("ensemble", "mc_dropout"):
            pools.append((words, arm, found.of(arm)[arm]))
    return plots.EIRVersusDER.from_predictions(pools, source.first.labels["test"], dataset=source.data)


def _bias_variance_diversity(source: StudySource) -> plots.Display:
    if source.settings.train_size is None:
        raise Lacking  # every trial would have the same examples
    found = [experiment for _, experiment in source.experiments()]
    trials = [
        Predictions(np.concatenate([run.probs for run in experiment.of("ensemble")["ensemble"]]))
        for experiment in found
    ]  # networks of all repetitions, which differ in their seeds alone as members do
    labels = found[0].labels["test"]
    if any(not np.array_equal(experiment.labels["test"], labels) for experiment in found):
        raise InputError("the trials must share their test part; a data set without one of its own is split anew")
    return plots.BiasVarianceDiversity.from_predictions(trials, labels, dataset=source.data)


def _cost_frontier(source: StudySource) -> plots.Display:
    settings = {id(point): settings for point, settings in source.points()}
    costs = [
        table.assign(width=settings[id(point)].width, members=table.passes, repetition=point.repetition)
        for point, _, table in source.tables("cost.json")
    ]
    if not costs:
        raise Lacking
    # What does not grow with the ensemble is there once for each of its sizes: that of the largest is kept.
    scores, costs = source.table, pd.concat(costs, ignore_index=True)
    scores = scores.sort_values("study_members", kind="stable") if "study_members" in scores else scores
    once = ["width", "arm", "rule", "members", "metric", "split", "condition", "severity", "repetition"]
    return plots.CostFrontier.from_tables(
        scores.drop_duplicates(once, keep="last"),
        costs.drop_duplicates(["width", "arm", "members", "repetition"], keep="last"),
        dataset=source.data,
    )


def _paired_differences(source: StudySource) -> plots.Display:
    first = {settings.dataset: (point.runs[0], settings) for point, settings in source.points()}
    sizes = {name: _data_of(run).sizes for name, (run, settings) in first.items() if settings.new_tests}
    shares = {name: sizes[name]["test"] / sizes[name]["train"] if name in sizes else 0.0 for name in first}
    return plots.PairedDifferences.from_scores(source.table, dataset=source.data, test_share=shares)


def _critical_difference(source: StudySource) -> plots.Display:
    return plots.CriticalDifference.from_scores(source.table, dataset=source.data)


def _activations(source: StudySource) -> plots.Display:
    kernels, active = {}, {}
    point, _ = next(source.points())
    for run in point.runs:
        model = run.settings.model
        own = model.model_extra or {}
        if model.name != "mlp" or own.get("activation", "relu") != "relu" or own.get("batch_norm"):
            raise Lacking
        weights = source.arrays(run, "models.npz")
        layers = [(weights[f"{k}/0"], weights[f"{k}/1"]) for k in range(run.members) if f"{k}/0" in weights]
        x = _data_of(run).x_test
        x = x.reshape(len(x), -1).astype(float) / (255 if x.dtype == np.uint8 else 1)
        arm = arms_of(run.recipe)[0].name
        kernels[arm] = layers[0][0]
        active[arm] = np.stack([np.maximum(x @ kernel + bias, 0) for kernel, bias in layers])
    shape = _data_of(point.runs[0]).input_shape
    return plots.Activations.from_arrays(
        kernels, active, dataset=source.first.data, image_shape=shape if len(shape) > 1 else None
    )


def _rotated_example(source: StudySource) -> plots.Display:
    of_recipe = {run.recipe: run for run in next(source.points())[0].runs}
    plain, run = (_take(of_recipe, name) for name in ("plain", "dropout"))
    wanted = run.settings
    if not wanted.keep_shifted or wanted.shifts.get("rotation", "severities") == "severities":
        raise Lacking  # the figure is of degrees
    found, data = {**source.arrays(plain), **source.arrays(run)}, _data_of(run)
    names = sorted({name.split("/")[2] for name in found if name.startswith("shifted/rotation/")}, key=float)
    if not names:
        raise Lacking
    kept = _take(found, f"shifted/rotation/{names[0]}/mc_dropout").shape[1]

    def turned(arm: str) -> npt.NDArray[Any]:
        shifted = (_take(found, f"shifted/rotation/{name}/{arm}") for name in names)
        parts = [_take(found, f"test/{arm}")[:, :kept], *shifted]
        return np.stack(parts, axis=1)  # members, angles, examples, classes

    every = {arm: turned(arm) for arm in ("mc_dropout", "ensemble")}
    passes = every["mc_dropout"]
    labels = passes.mean(0).argmax(-1)
    right = labels[0] == data.y_test[:kept]
    example = int(np.argmax(right * (labels[1:] != labels[:-1]).sum(0)))  # it begins right, and changes most often
    one = data.x_test[example : example + 1]
    images = [one[0], *(shift(one, "rotation", amount=float(name), seed=0)[0] for name in names)]
    return plots.RotatedExample.from_predictions(
        [0.0, *map(float, names)],
        {arm: Predictions(of_arm[:, :, example]) for arm, of_arm in every.items()},
        dataset=source.first.data,
        classes=data.classes,
        images=np.stack(images),
        label=int(data.y_test[example]),
        further=[
            {arm: Predictions(of_arm[:, :, other]) for arm, of_arm in every.items()}
            for other in range(kept)
            if other != example
        ],
    )


def _kappa_error(source: Source) -> plots.Display:
    found = source.first
    return plots.KappaError.from_predictions(found.several(), found.labels["test"], dataset=found.data)


def _disagreement_images(source: StudySource) -> plots.Display:
    found, data = source.first, _data_of(next(source.points())[0].runs[0])
    pools = {arm: runs[0] for arm, runs in found.of("ensemble", "mc_dropout", least=2).items()}
    return plots.DisagreementImages.from_predictions(
        pools, data.x_test, found.labels["test"], dataset=found.data, classes=data.classes
    )


def _power_law(source: Source) -> plots.Display:
    return plots.PowerLaw.from_curves(source.comparison.sizes, dataset=source.first.data)


def _take(found: Mapping[str, T], name: str) -> T:
    """Return what a source has by this name, if it has it."""
    if name not in found:
        raise Lacking
    return found[name]


def _tested(found: Mapping[str, npt.NDArray[Any]], arm: str) -> npt.NDArray[Any]:
    """Return what an arm predicted for the test part, or is judged by there."""
    own = {name.removeprefix("test/"): values for name, values in found.items() if name.startswith("test/")}
    return _take(judged(own), arm)


def _data_of(run: Run) -> Dataset:
    wanted = run.settings
    return load_dataset(
        wanted.dataset,
        target=wanted.target,
        train_size=wanted.train_size,
        seed=run.spec["data_seed"],
        resplit=wanted.new_tests,
    )


_ONE = "networks with and without dropout on the same data, as evd compare and every study keep them"
_OTHER = "predictions of other data (other_data of a study)"
DRAWINGS = {
    "mc_vs_weight_scaling": Drawing(_mc_vs_weight_scaling, "main", _ONE, of_study=False),
    "retention_sweep": Drawing(
        _retention_sweep, "retention", "a study that varies the rate", over=("rate",), also=_width_if_scaled
    ),
    "dataset_size": Drawing(_dataset_size, "train_size", "a study that varies train_size", over=("train_size",)),
    "learning_curves_gap": Drawing(
        _architectures,
        "architectures",
        "a study that varies the network, with patience null and watch [train]",
        over=(),
        also=("model", "width"),
    ),
    "exact_enumeration": Drawing(
        _exact_enumeration, "exact", "a study of small networks with exact true", over=(), also=("model", "rate")
    ),
    "ensemble_size": Drawing(_of_report("ensemble_size"), "main", _ONE, of_study=False),
    "combiner_comparison": Drawing(_combiner_comparison, "main", _ONE, of_study=False),
    "ood_entropy_hist": Drawing(_of_report("ood_entropy_hist"), "main", _OTHER, of_study=False),
    "ood_mutual_information": Drawing(_ood_mutual_information, "main", _OTHER, of_study=False),
    "accuracy_vs_confidence": Drawing(_of_report("accuracy_vs_confidence"), "main", _ONE, of_study=False),
    "shift_robustness": Drawing(_shift_robustness, "shifts", "a study with shifts", over=()),
    "reliability_pooling": Drawing(_of_report("reliability_pooling"), "main", _ONE, of_study=False),
    "diversity_accuracy_plane": Drawing(
        _diversity_accuracy_plane,
        "trajectories",
        "a study of plain networks at several epochs and of several rates",
        over=("epochs",),
        also=("rate",),
    ),
    "function_space": Drawing(
        _function_space,
        "trajectories",
        "a study of dropout networks at several epochs, at least two repetitions",
        over=("epochs",),
        also=_rate_of_cases,
        apart=False,
    ),
    "deep_ensemble_equivalent": Drawing(_deep_ensemble_equivalent, "main", _ONE, of_study=False),
    "eir_vs_der": Drawing(
        _eir_vs_der,
        "eir",
        "a study that varies the epochs with the width or train_size",
        over=("epochs",),
        also=("model", "width", "train_size"),
    ),
    "bias_variance_diversity": Drawing(
        _bias_variance_diversity, "trials", "a study that varies data_seed", over=("data_seed",)
    ),
    "cost_frontier": Drawing(
        _cost_frontier, "cost", "a study that varies the width", over=("width",), also=("members",)
    ),
    "paired_differences": Drawing(
        _paired_differences, "datasets", "a study that varies the dataset", over=("dataset",)
    ),
    "critical_difference": Drawing(
        _critical_difference, "datasets", "a study that varies the dataset", over=("dataset",)
    ),
    "activations": Drawing(_activations, "main", "a study of multilayer perceptrons", of_one=True),
    "rotated_example": Drawing(
        _rotated_example, "shifts", "a study with the shift rotation and keep_shifted", of_one=True
    ),
    "kappa_error": Drawing(_kappa_error, "main", _ONE, of_study=False),
    "disagreement_images": Drawing(_disagreement_images, "main", "a study on images", of_one=True),
    "power_law": Drawing(_power_law, "main", _ONE, of_study=False),
}
