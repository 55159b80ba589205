"""What a study has found, and how far it is: tables read from the store alone, without Keras."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ensemble_vs_dropout.checks import InputError, visible
from ensemble_vs_dropout.evaluation.arms import EACH, RECIPES, recipe_label
from ensemble_vs_dropout.evaluation.evaluator import SCORE_COLUMNS
from ensemble_vs_dropout.experiments import kept
from ensemble_vs_dropout.experiments.built import BUILT, CODE, Finished, change
from ensemble_vs_dropout.experiments.plan import RESULTS, Plan, Point, Run, digest_of_spec, make_plan
from ensemble_vs_dropout.experiments.settings import Study
from ensemble_vs_dropout.experiments.store import DamagedError, Keeping, Store
from ensemble_vs_dropout.measures import METRICS


@dataclass(frozen=True)
class Status:
    """How far a study is: the names of its runs, each in one of the three, and why those that failed did.

    Example:
        >>> Status(finished=("a", "b"), failed={}, waiting=("c",)).words()
        '2 of 3 runs are finished, 1 are still to be made'
    """

    finished: tuple[str, ...]
    failed: dict[str, str]
    waiting: tuple[str, ...]

    def words(self) -> str:
        """Return it in one sentence."""
        total = len(self.finished) + len(self.failed) + len(self.waiting)
        parts = [f"{len(self.finished)} of {total} runs are finished"]
        if self.failed:
            parts.append(f"{len(self.failed)} failed")
        if self.waiting:
            parts.append(f"{len(self.waiting)} are still to be made")
        return ", ".join(parts)


def plan_of(
    study: Study,
    store: Keeping | None = None,
    guess: bool = False,
    together: int | None = None,
    facts: Mapping[str, str] | None = None,
) -> Plan:
    """Return the plan of a study, with what is chosen already where the trials of that are in the store.

    With `guess` the first candidate stands where nothing is chosen yet, so that the plan is of the right size; `facts`
    are those of `make_plan`.

    Example:
        >>> from ensemble_vs_dropout.experiments.settings import parse_study
        >>> plan = plan_of(parse_study("{name: s, base: {dataset: digits}, grid: {rate: [0.2, 0.5]}, repetitions: 2}"))
        >>> len(plan.points), len(plan.runs)
        (4, 6)
    """
    there = store.finished() if store else set()

    def judged(trial: Run) -> float | None:
        if store is None or trial.name not in there:
            return math.inf if store and store.failure(trial) is not None else 0.0 if guess else None
        try:
            value = score_of_trial(trial, store)
        except (InputError, OSError):  # it is damaged, and will be made again, or the disk fails, which is told then
            return None
        return -value if METRICS[trial.settings.metrics[0]].higher_is_better else value

    return make_plan(study, together, judged, facts, Finished(store) if isinstance(store, Store) else None)


def stages(plan: Plan, store: Keeping) -> Iterator[Plan]:
    """Yield the plan, and when its runs are made the one that their scores lead to, until nothing more is to choose."""
    while True:
        yield plan
        tuned = any(point.trials for point in plan.points)  # what failed before may be made now, and win
        further = plan_of(plan.study, store, together=plan.together, facts=plan.facts) if tuned else plan
        if further.runs == plan.runs:
            return
        plan = further


def status(plan: Plan, store: Keeping) -> Status:
    """Return how far a study is.

    Example:
        >>> from ensemble_vs_dropout.experiments.settings import parse_study
        >>> from ensemble_vs_dropout.experiments.store import Memory
        >>> plan, memory = plan_of(parse_study("{name: s, base: {dataset: digits}}")), Memory()
        >>> memory.put(plan.runs[0], {})
        >>> status(plan, memory).words()
        '1 of 2 runs are finished, 1 are still to be made'
    """
    there = store.finished()
    finished = tuple(run.name for run in plan.runs if run.name in there)
    missing = [run for run in plan.runs if run.name not in there]
    failed = {run.name: reason for run in missing if (reason := store.failure(run)) is not None}
    return Status(finished, failed, tuple(run.name for run in missing if run.name not in failed))


def reasons(plan: Plan, store: Store) -> dict[str, str]:
    """Return why each run that is missing has to be made: what differs from the finished run that is most like it.

    Runs are known by what they were made from: settings, the sum of the data's file and what builds the network.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from ensemble_vs_dropout.experiments.settings import parse_study
        >>> text = "{name: s, base: {dataset: digits, recipes: [plain], epochs: %d}}"
        >>> before, after = (plan_of(parse_study(text % epochs)) for epochs in (5, 6))
        >>> with TemporaryDirectory() as folder:
        ...     store = Store(folder)
        ...     store.put(before.runs[0], {"scores.json": b"{}"})
        ...     [*reasons(after, store).values()]
        ['epochs is 6, and was 5']
    """
    there = store.finished()
    found: dict[str, str] = {}
    known: list[Run] = []
    for name in sorted(there):
        try:
            known.append(store.run(name))
        except (DamagedError, OSError):
            continue  # which is told when it is looked at
    for run in (run for run in plan.runs if run.name not in there):
        own = _flat(run.spec)
        others = [(other, _flat(other.spec)) for other in known if other.recipe == run.recipe]
        differing = [
            (other, {key: spec.get(key) for key in {*own, *spec} if own.get(key) != spec.get(key)})
            for other, spec in others
        ]
        if not differing:
            found[run.name] = f"no run of {recipe_label(run.recipe)} is finished"
            continue
        least = min(len(keys) for _, keys in differing)
        alike = [(other, keys) for other, keys in differing if len(keys) == least]
        told = [
            (keys, change(other, run, store) if CODE in keys else "")
            for other, keys in alike[: None if least == 1 else 1]
        ]
        nearest, code = min(told, key=lambda one: one[1] not in ("", BUILT))  # of equals one that was compared
        said = [code] if code else []
        said += [words for key, words in _FILES.items() if key in nearest]
        said += [
            f"{key} is {value_in_a_cell(own.get(key))}, and was {value_in_a_cell(value)}"
            for key, value in sorted(nearest.items())
            if key not in (*_FILES, CODE)
        ]
        found[run.name] = "; ".join(said)
    return found


_FILES = {
    "data_sha256": "the file of the data has changed",
    "other_sha256": "the file of the other data has changed",
}


def _flat(spec: Mapping[str, Any]) -> dict[str, Any]:
    model = (
        {f"model.{key}": value for key, value in spec["model"].items()} if isinstance(spec.get("model"), dict) else {}
    )
    return {**{key: value for key, value in spec.items() if key != "model" or not model}, **model}


def results(plan: Plan, store: Keeping, left_out: dict[str, str] | None = None) -> pd.DataFrame:
    """Return one row per point, repetition, arm, rule and metric, of all runs that are finished.

    Args:
        plan: Of the study.
        store: Where its runs are.
        left_out: Takes up the names of the runs that cannot be read, and why; None to raise at the first.

    Returns:
        The varied keys of the study; where anything is chosen, trials (those that its recipe had on validation data)
        and chosen (what they led to); then the columns of `Evaluator.scores`: arm, rule, members, metric, value, low,
        high (over the examples, and over networks that are judged one by one), split, condition, severity, repetition.

    Raises:
        InputError: No run is finished, or one is damaged and `left_out` is None.
        OSError: The disk does not give one, and `left_out` is None.

    Example:
        >>> from ensemble_vs_dropout.experiments.settings import parse_study
        >>> from ensemble_vs_dropout.experiments.store import Memory
        >>> study = parse_study("{name: s, base: {dataset: digits, recipes: [plain]}, grid: {epochs: [1, 2]}}")
        >>> plan, memory = plan_of(study), Memory()
        >>> row = ["single", "each", 1, "error", 0.1, 0.08, 0.12, "test", "clean", 0, 0]
        >>> for run in plan.runs:
        ...     memory.put(run, {"scores.json": json.dumps({"columns": SCORE_COLUMNS, "data": [row]}).encode()})
        >>> results(plan, memory)[["epochs", "arm", "value"]].values.tolist()
        [[1, 'single', 0.1], [2, 'single', 0.1]]
    """
    there, known = store.finished(), {}
    for run in plan.runs:
        if run.name in there:
            try:
                known[run.name] = scores_of(run, store)
            except (InputError, OSError) as error:
                if left_out is None:
                    raise
                left_out[run.name] = visible(str(error).removeprefix(f"{run.name}: "))
    keys, tuned = plan.study.keys, any(point.trials for point in plan.points)
    rows = [
        [
            *(value_in_a_cell(point.keys[key]) if key in point.keys else None for key in keys),
            *_effort(point, run, tuned),
            *row,
        ]
        for point in plan.points
        for run in point.runs
        for row in known.get(run.name, ())
    ]
    if not rows:
        unread = "".join(f" and can be read ({name}: {why})" for name, why in list((left_out or {}).items())[:1])
        raise InputError(f"no run of the study {plan.study.name!r} is finished{unread}; evd study run makes them")
    names = [f"study_{key}" if key in SCORE_COLUMNS else key for key in keys]
    return pd.DataFrame(rows, columns=[*names, *(["trials", "chosen"] if tuned else []), *SCORE_COLUMNS])


def score_of_trial(trial: Run, store: Keeping) -> float:
    """Return what a trial scored on validation data: its networks, each alone, by the metric that chooses."""
    metric, arm = trial.settings.metrics[0], RECIPES[trial.recipe].judge
    return next(float(row[4]) for row in scores_of(trial, store) if (row[0], row[1], row[3]) == (arm, EACH, metric))


def scores_of(run: Run, store: Keeping) -> list[list[Any]]:
    """Return the rows of a finished run's scores, in the order of `SCORE_COLUMNS`."""
    try:
        return kept.scores_of(run, store)
    except DamagedError as error:
        raise InputError(f"{error}; evd study run sets it aside and makes the run again") from error


def damaged(runs: Sequence[Run], store: Keeping, all_files: bool = False) -> dict[str, list[str]]:
    """Return the finished runs that are damaged, with their files that are.

    Args:
        runs: Those to look at; unfinished ones are passed over.
        store: Where they are.
        all_files: Whether to read every file, or the scores and the specification alone.
    """
    there = store.finished()
    return {run.name: files for run in runs if run.name in there and (files := _damage(run, store, all_files))}


def unreadable(runs: Sequence[Run], store: Keeping, all_files: bool = False) -> dict[str, str]:
    """Return why finished runs cannot be read: they are `damaged`, or the disk does not give them.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from ensemble_vs_dropout.experiments.settings import parse_study
        >>> run = plan_of(parse_study("{name: s, base: {dataset: digits}}")).runs[0]
        >>> with TemporaryDirectory() as folder:
        ...     store = Store(folder)
        ...     store.put(run, {"scores.json": b"{}"})
        ...     [*unreadable([run], store).values()]
        ["scores.json does not hold what a run writes there (KeyError: 'columns')"]
    """
    there, found = store.finished(), {}
    for run in (run for run in runs if run.name in there):
        try:
            why = ", ".join(_damage(run, store, all_files))
        except OSError as error:
            why = str(error)
        if why:
            found[run.name] = visible(why)
    return found


def _damage(run: Run, store: Keeping, all_files: bool) -> list[str]:
    """Return what is damaged of a finished run."""
    if all_files:
        return store.damaged(run)
    try:
        kept.scores_of(run, store)
        spec = kept.read_json(run, store, "spec.json")
        with kept.as_written(run, "spec.json"):  # a NaN, say, has no digest
            whole = digest_of_spec(spec) == run.digest
    except DamagedError as error:
        return [error.why]
    return [] if whole else ["spec.json"]


def made_otherwise(runs: Sequence[Run], store: Keeping) -> dict[str, str]:
    """Return the finished runs that another version of the package made, whose results may differ, and that version."""
    there, found = store.finished(), {}
    for run in (run for run in runs if run.name in there):
        try:
            environment = kept.environment_of(run, store)
        except (DamagedError, OSError):
            continue  # `damaged` and `unreadable` tell
        if environment.get("results") != RESULTS:
            found[run.name] = str(environment.get("version"))
    return found


def with_resamples_of_before(runs: Sequence[Run], store: Keeping) -> int:
    """Return how many runs are not there, but are with the resamples that were the default before."""
    there = store.finished()
    missing = [run for run in runs if run.name not in there and run.settings.resamples == 10_000]
    return sum(Run({**run.spec, "resamples": 1000}).name in there for run in missing)


def _effort(point: Point, run: Run, tuned: bool) -> list[Any]:
    if not tuned:
        return []
    recipe = run.recipe
    trials = {trial.name for trial in point.trials if trial.recipe == recipe}
    return [
        len(trials),
        ", ".join(f"{key}={value_in_a_cell(value)}" for key, value in point.chosen.get(recipe, {}).items()),
    ]


def value_in_a_cell(value: Any) -> Any:
    """Return a setting as a table can hold it."""
    return value if isinstance(value, str | int | float | bool) or value is None else json.dumps(value)
