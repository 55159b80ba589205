"""What a study comes to: its runs, each trained once, and which of them are trained together.

A run is what one recipe trains for one point and repetition: `plain` (networks without dropout, which do not depend on
the rate) or `dropout`. Points share the runs that they have in common.

Where settings are chosen on validation data, the candidates are runs too, called trials: judged on validation data
alone. The plan of such a study holds the trials first; with their scores known, it holds what was chosen as well.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import yaml

from ensemble_vs_dropout.checks import InputError, check_known
from ensemble_vs_dropout.checks.code import sums_of_code
from ensemble_vs_dropout.evaluation.arms import EACH, RECIPES, find_arms
from ensemble_vs_dropout.experiments.settings import MOST_RUNS, NO_VALUE, Settings, Study, tuned_like
from ensemble_vs_dropout.files import digest, digest_of_file
from ensemble_vs_dropout.seeds import derive

# What is judged about trained networks, by whose seeds they draw, and numbers that each network of a program may have
# for itself (`training.numbers`): runs that differ in these alone are trained together.
_APART = (
    "seed", "repetition", "rate", "members", "passes", "rules", "metrics", "resamples", "shifts", "keep_shifted",
    "other_data", "splits", "exact", "arms",
)  # fmt: skip
# Settings that came later, by their defaults.
_LATER = {"new_splits": False, "drop": (), "missing": "refuse", "head": None, "class_weight": None}
_DATA = ("train_size", "label_noise", "data_seed", "new_splits")  # what they see may differ too, where it is not much
_NUMBERS = ("l2", "learning_rate", "max_norm", "decay_steps")  # settings of the toolkit's own networks
_DROPOUT_ONLY = ("rate", "passes", "exact")
RESULTS = 2  # raised when a change of the package alters what a run finds
PROBED = 3  # times the epochs and the patience, for a probe
TOGETHER = 120  # networks of one group at most, unless another number is asked for: what an interruption can cost
_TINY, _OF_ONE = 20_000, 0.4  # examples in all epochs, up to which a network counts less, and at least how much
EXAMPLES = 200_000  # training examples of one group's different data, at most: what it holds in memory


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        spec: All that it is; the same spec is the same run, whatever study asks for it.

    Example:
        >>> run = Run({"recipe": "plain", "dataset": "digits", "members": 5, "repetition": 0})
        >>> run.recipe, run.members, run.settings.dataset
        ('plain', 5, 'digits')
    """

    spec: dict[str, Any]

    @property
    def name(self) -> str:
        """The name of its folder: data, recipe and the digest of its spec."""
        words = re.sub(r"[^\w.-]+", "_", Path(self.spec["dataset"]).stem).strip("._") or "data"
        return f"{words[:40]}-{self.spec['recipe']}-{self.digest[:16]}"

    @property
    def digest(self) -> str:
        """The sha256 of the spec, in which the recipe stands as `arm`: so it did at first, and names last."""
        return digest_of_spec(self.spec)

    @property
    def recipe(self) -> str:
        """What is trained, a name in `RECIPES`."""
        return str(self.spec["recipe"])

    @property
    def repetition(self) -> int:
        """From 0."""
        return int(self.spec["repetition"])

    @cached_property
    def settings(self) -> Settings:
        """How it is trained and judged; what has no meaning for its recipe is as by default."""
        return Settings.model_validate({key: self.spec[key] for key in Settings.model_fields if key in self.spec})

    @property
    def members(self) -> int:
        """The networks to train: one where the recipe is of a single network, whatever the size of the ensembles."""
        return 1 if RECIPES[self.recipe].single else int(self.spec["members"])


@dataclass(frozen=True)
class Point:
    """One point and repetition of a study.

    Attributes:
        keys: The keys that vary.
        repetition: From 0.
        runs: Those it takes, one for each recipe; none while what they are is not chosen.
        trials: For each recipe the candidates, and the run that tries each.
        probes: For each recipe of several networks one that may train three times as long; see `Settings.probe`.
        chosen: By recipe, the candidate that was best on validation data; empty if nothing is chosen.
    """

    keys: dict[str, Any]
    repetition: int
    runs: tuple[Run, ...]
    trials: tuple[Run, ...] = ()
    probes: tuple[Run, ...] = ()
    chosen: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Group:
    """Runs that differ in seed, members, numbers of their networks and data alone, trained together.

    Attributes:
        runs: The runs.
        planned: Of the plan's group, of which these runs may be what is left, the networks that are trained on equally
            many examples, at most.
    """

    runs: tuple[Run, ...]
    planned: int


@dataclass(frozen=True)
class Plan:
    """All points of a study, its runs without repetition, and their groups.

    Attributes:
        together: Networks of one group, at most; None for 120 or, where they are tiny, up to 300.
        facts: What stands in the spec of every run besides its settings: digests of data and network that no name
            leads to.

    Example:
        >>> plan = make_plan(Study(name="s", base={"dataset": "digits"}, grid={"rate": [0.2, 0.5]}))
        >>> len(plan.runs), plan.open
        (3, False)
        >>> len(plan.without({plan.runs[0].name}).runs)
        2
    """

    study: Study
    points: tuple[Point, ...]
    runs: tuple[Run, ...]
    groups: tuple[Group, ...]
    together: int | None = None
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def open(self) -> bool:
        """Whether there are points whose settings are not chosen yet."""
        return any(not point.runs for point in self.points)

    def where(self, values: Mapping[str, Any]) -> Plan:
        """Return the plan of the points that have these values of keys that vary; its runs stay.

        Raises:
            InputError: A key that does not vary, or values that no point has.

        Example:
            >>> plan = make_plan(Study(name="s", base={"dataset": "digits"}, grid={"rate": [0.2, 0.5]}))
            >>> [point.keys for point in plan.where({"rate": 0.5}).points]
            [{'rate': 0.5}]
        """
        for key in values:
            check_known("key of where, which must vary", key, self.study.keys)
        points = tuple(point for point in self.points if all(point.keys.get(key) == values[key] for key in values))
        if not points:
            told = ", ".join(f"{key}={value}" for key, value in values.items())
            raise InputError(f"where must be values that a point of the study has, got {told}")
        return replace(self, points=points)

    def without(self, finished: Set[str]) -> Plan:
        """Return the plan of those runs that are not finished."""
        left = [tuple(run for run in group.runs if run.name not in finished) for group in self.groups]
        groups = tuple(Group(runs, group.planned) for runs, group in zip(left, self.groups, strict=True) if runs)
        return replace(self, runs=tuple(run for runs in left for run in runs), groups=groups)


_Identified = Callable[[dict[str, Any]], Run]  # adds digests, and finds the run under another name


def parse_where(given: Iterable[str]) -> dict[str, Any]:
    """Return keys and values of words such as "train_size=100"; values are as in a study file.

    Raises:
        InputError: A word without a key or a value.

    Example:
        >>> parse_where(["rate=0.5", "model.units=[64, 64]", "dataset=digits"])
        {'rate': 0.5, 'model.units': [64, 64], 'dataset': 'digits'}
    """
    found = {}
    for text in given:
        key, _, value = text.partition("=")
        try:
            found[key.strip()] = yaml.safe_load(value)
        except (yaml.YAMLError, RecursionError, *NO_VALUE) as error:
            raise InputError(f"where must be KEY=VALUE, the value as in a study file, got {text!r:.200}") from error
        if not (key.strip() and value.strip()):
            raise InputError(f"where must be KEY=VALUE, the value as in a study file, got {text!r}")
    return found


def make_plan(
    study: Study,
    together: int | None = None,
    judged: Callable[[Run], float | None] | None = None,
    facts: Mapping[str, str] | None = None,
    known: Callable[[Run], Run] | None = None,
) -> Plan:
    """Return the plan of a study.

    Args:
        study: As `read_study` gives it.
        together: As `Plan` has it; a run is never cut.
        judged: Returns what a trial scored on validation data, lower being better; None while that is not known.
        facts: As `Plan` has them.
        known: Returns the finished run that a run is under another name, else the run itself.

    Example:
        >>> study = Study(name="s", base={"dataset": "digits"}, grid={"rate": [0.2, 0.5]}, repetitions=2)
        >>> plan = make_plan(study)
        >>> len(plan.points), len(plan.runs), len(plan.groups)
        (4, 6, 2)
    """
    judged, facts = judged or (lambda trial: None), facts or {}
    code = lru_cache(_code)  # one look for a plan

    def identified(spec: dict[str, Any]) -> Run:
        builder = code(spec["model"]["name"])
        run = Run({**spec, **({"builder_sha256": builder} if builder else {}), **facts})
        return known(run) if known else run

    points: list[Point] = []
    runs_by_name: dict[str, Run] = {}
    for keys, settings in study.points():
        for repetition in range(study.repetitions):
            point = _point(keys, settings, repetition, judged, identified)
            points.append(point)
            runs_by_name |= {run.name: run for run in (*point.trials, *point.runs, *point.probes)}
            if len(runs_by_name) > MOST_RUNS:
                raise InputError(f"study {study.name!r} must have at most {MOST_RUNS:,} runs; leave out values")
    alike: dict[str, list[Run]] = {}
    for run in runs_by_name.values():
        alike.setdefault(digest(_trained_alike(run.spec)), []).append(run)
    groups = [group for several in alike.values() for group in _cut(several, together)]
    return Plan(study, tuple(points), tuple(runs_by_name.values()), tuple(groups), together, facts)


def _trained_alike(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return what runs that are trained together have in common."""
    apart = (*_APART, *_DATA) if spec["train_size"] else _APART  # how many all are is not known here
    common = {key: value for key, value in spec.items() if key not in apart}
    model = spec["model"]
    return common | {"model": {key: model[key] for key in model if key not in _NUMBERS or ":" in model["name"]}}


def digest_of_spec(spec: Mapping[str, Any]) -> str:
    """Return the digest of a run's spec as it is made now or was written in the first format."""
    return digest({"arm" if key == "recipe" else key: value for key, value in spec.items()})


def _point(
    keys: dict[str, Any],
    settings: Settings,
    repetition: int,
    judged: Callable[[Run], float | None],
    identified: _Identified,
) -> Point:
    trials: list[Run] = []
    chosen: dict[str, dict[str, Any]] = {}
    for recipe in settings.tuned_recipes:
        candidates = settings.how.candidates(recipe)
        place = repetition if settings.new_splits else 0  # settings are chosen once for every split of the data
        of_recipe = [_trial(settings, candidate, recipe, place, identified) for candidate in candidates]
        trials += of_recipe
        losses = [judged(trial) for trial in of_recipe]
        if None not in losses:
            known = [math.inf if loss is None or math.isnan(loss) else loss for loss in losses]
            if min(known) < math.inf:
                chosen[recipe] = candidates[known.index(min(known))]  # the first of equals
    if len(chosen) < len(settings.tuned_recipes):
        return Point(keys, repetition, (), tuple(trials))
    taken = {recipe: chosen.get(tuned_like(recipe)) for recipe in settings.trained}
    wanted = {recipe: settings.chosen(one) if one else settings for recipe, one in taken.items()}
    runs = tuple(_run(one, recipe, repetition, identified) for recipe, one in wanted.items())
    probed = [recipe for recipe in wanted if settings.probe and not RECIPES[recipe].single]
    probes = tuple(_probe(wanted[recipe], recipe, identified) for recipe in probed)
    return Point(keys, repetition, runs, tuple(trials), probes, chosen)


def _trial(settings: Settings, candidate: dict[str, Any], recipe: str, repetition: int, identified: _Identified) -> Run:
    """Return the run that tries a candidate: it sees validation data alone."""
    how = settings.how
    only = {"members": how.members, "metrics": (how.metric,)}
    return _on_validation_data(settings.chosen(candidate), only, recipe, repetition, identified)


def _probe(settings: Settings, recipe: str, identified: _Identified) -> Run:
    """Return the run of the first network of the first repetition, with three times the epochs and the patience."""
    patience = settings.patience and PROBED * settings.patience
    only = {"members": 1, "metrics": ("nll",), "epochs": PROBED * settings.epochs, "patience": patience}
    return _on_validation_data(settings, only, recipe, 0, identified)


def _on_validation_data(
    settings: Settings, only: Mapping[str, Any], recipe: str, repetition: int, identified: _Identified
) -> Run:
    """Return a run that is judged on validation data alone."""
    alone = {
        "shifts": {},
        "keep_shifted": 0,
        "other_data": None,
        "exact": False,
        "watch": (),
        "rules": (EACH,),
        "arms": (),
        "margins": {},
    }
    few = {"passes": 1, "splits": ("val",), "resamples": 100}
    return _run(settings.model_copy(update={**alone, **few, **only}), recipe, repetition, identified)


def _run(settings: Settings, recipe: str, repetition: int, identified: _Identified) -> Run:
    spec = json.loads(settings.model_dump_json(exclude={"recipes", "tuning", "arms", "controls", "margins", "probe"}))
    if settings.arms:
        arms = [one for one in find_arms(settings.arms) if one.recipe == recipe]
        spec["arms"] = [named for named in settings.arms if find_arms([named])[0] in arms]
    if spec["data_seed"] is None:
        spec["data_seed"] = spec["seed"]
    for key in (key for key, usual in _LATER.items() if getattr(settings, key) == usual):
        del spec[key]  # so that runs have the names that they had before there was such a setting
    if settings.new_splits and repetition:
        spec["data_seed"] = derive(spec["data_seed"], "split", repetition)
    for key in _DROPOUT_ONLY if not RECIPES[recipe].dropout else ():
        del spec[key]
    files = {
        "data_sha256": _data_file(settings.dataset),
        "other_sha256": _data_file(settings.other_data) if settings.other_data else None,
    }
    content = {key: _sum(file) for key, file in files.items() if file}  # what has changed is other
    return identified({"recipe": recipe, "repetition": repetition, **content, **spec})


def _sum(file: Path) -> str:
    state = file.stat()
    return _sum_of(file, state.st_mtime_ns, state.st_size)


@lru_cache
def _sum_of(file: Path, *state: int) -> str:
    return digest_of_file(file)


def state_of_data(name: str) -> tuple[Any, ...]:
    """Return what tells whether the file of a data set has changed; () for one that is no file."""
    file = _data_file(name)
    return (str(file.resolve()), file.stat().st_mtime_ns, file.stat().st_size) if file else ()


def _data_file(name: str) -> Path | None:
    """Return the file that a data set's name leads to, if it is one."""
    try:
        file = Path(name).expanduser()
        return file if file.is_file() else None
    except (OSError, RuntimeError, ValueError):  # too long a name, the home of nobody, what no file is called
        return None


def _code(model: str) -> str | None:
    """Return the sum of the code behind the user's builder, or None if it has no file."""
    module, _, function = model.partition(":")
    sums = sums_of_code(module) if function else {}
    return digest(sums) if sums else None


def _cut(runs: Sequence[Run], together: int | None) -> list[Group]:
    """Return groups of as many networks as may be together; those of one size stay together as far as can be."""
    groups: list[list[Run]] = [[]]
    load, seen = 0.0, dict[tuple[Any, ...], int]()
    for run in sorted(runs, key=lambda run: run.spec["train_size"] or 0):
        examples = run.spec["train_size"] or 0
        own = run.members * (1.0 if together or not examples else _load(run.spec["epochs"] * examples))
        load += own
        seen[data_key(run)] = examples
        if groups[-1] and (load > (together or TOGETHER) + 1e-6 or sum(seen.values()) > EXAMPLES):
            groups.append([])
            load, seen = own, {data_key(run): examples}
        groups[-1].append(run)
    return [Group(tuple(group), _planned(group)) for group in groups]


def _load(examples: int) -> float:
    return min(1.0, max(_OF_ONE, examples / _TINY))


def data_key(run: Run) -> tuple[Any, ...]:
    """Return what tells the data of a run from those of others that are trained with it."""
    return tuple(run.spec.get(key) for key in _DATA)


def _planned(runs: Sequence[Run]) -> int:
    members = Counter[int | None]()
    for run in runs:
        members[run.spec["train_size"]] += run.members
    return max(members.values())
