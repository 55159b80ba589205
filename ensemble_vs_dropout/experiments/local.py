"""Running a study: group by group, in this process and as many others as are asked for.

A process takes the runs that nobody holds, so that processes, machines with one file system, and a second call of the
same study share the work without a word between them. What fails is noted and does not stop the rest.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from threadpoolctl import threadpool_limits

from ensemble_vs_dropout.checks import visible
from ensemble_vs_dropout.evaluation.arms import RECIPES
from ensemble_vs_dropout.experiments.plan import Group, Plan, Run
from ensemble_vs_dropout.experiments.store import Keeping
from ensemble_vs_dropout.experiments.tables import damaged, plan_of, stages
from ensemble_vs_dropout.progress import EpochEnd, Progress

if TYPE_CHECKING:
    from ensemble_vs_dropout.experiments.running import Given

Tell = Callable[[Run, EpochEnd], None]
_PARENT = "EVD_PARENT_PROCESS"  # the environment variable that tells a process who started it
_BLAS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")  # the variables that NumPy's products heed
_POLL = 0.5  # seconds between two looks at runs in other hands


@dataclass
class Report:
    """What a call of `run_study` did.

    Example:
        >>> report = Report(made=["digits-plain-1"], failed={"digits-dropout-2": "2 of 5 networks diverged"})
        >>> len(report.made), list(report.failed.values())
        (1, ['2 of 5 networks diverged'])
    """

    made: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    set_aside: dict[str, list[str]] = field(default_factory=dict)


def run_study(
    plan: Plan,
    store: Keeping,
    *,
    verify: bool = False,
    fail_fast: bool = False,
    wait: bool = True,
    checkpoint: bool = False,
    given: Given | None = None,
    verbose: str | int = "auto",
) -> Report:
    """Make every run of the plan that is not finished.

    Args:
        plan: What to run.
        store: Where runs are kept, of this study and of others.
        verify: Read every file of the finished runs, not their scores alone; what is damaged is set aside and made
            again.
        fail_fast: Stop at the first run that fails.
        wait: Wait for runs that other processes are making, and make them if these give up.
        checkpoint: Keep each network as soon as it is trained, so that an interruption costs less: worth its time where
            networks take minutes.
        given: Data and network that exist in this process alone, in the place of what the runs' specs name.
        verbose: 0 silent; 1 or "auto" a bar, or where there is no terminal a line at each tenth; 2 a line per
            network.

    Returns:
        What was made, what failed and why, and what was set aside.

    Raises:
        InputError: With `fail_fast`, why a run failed.
        OSError: The store cannot be written; what is finished stays, and the same call goes on from there.

    Example:
        >>> from ensemble_vs_dropout.experiments import parse_study, plan_of
        >>> from ensemble_vs_dropout.experiments.store import Memory
        >>> base = "{dataset: digits, train_size: 50, members: 1, epochs: 1, recipes: [plain], resamples: 100}"
        >>> plan, memory = plan_of(parse_study(f"{{name: small, base: {base}}}")), Memory()
        >>> len(run_study(plan, memory, verbose=0).made), len(memory.finished())
        (1, 1)
    """
    store.tidy()
    report = Report()
    with Progress(0, verbose, job=True) as progress:
        for stage in stages(plan, store):
            progress.expect(_all_epochs(stage, store))
            report.set_aside |= set_damaged_aside(stage, store, verify, progress)
            may_fail = {run.name for point in stage.points for run in (*point.trials, *point.probes)}
            make = partial(
                make_group, store=store, report=report, progress=progress, fail_fast=fail_fast, checkpoint=checkpoint,
                tell=_telling(stage, progress) if progress.verbose else None, given=given, may_fail=may_fail,
            )  # fmt: skip
            _run_stage(stage, store, report, progress, make, wait or plan.open)
    return report


def _all_epochs(plan: Plan, store: Keeping) -> int:
    """Return the epochs of the whole job, those of runs that are not chosen yet as they will be about."""
    guessed = plan_of(plan.study, store, guess=True, facts=plan.facts) if plan.open else plan
    return sum(map(_epochs, guessed.runs))


def _run_stage(
    plan: Plan,
    store: Keeping,
    report: Report,
    progress: Progress,
    make: Callable[[Group], None],
    wait: bool,
) -> None:
    """Make the runs of a plan whose settings are all known."""
    total = sum(map(_epochs, plan.runs))
    there, said = store.finished(), 0
    left = [group for group in plan.groups if any(run.name not in there for run in group.runs)]
    while left:
        waiting = sum(_epochs(run) for group in left for run in group.runs)
        for number, group in enumerate(left):
            make(group)
            progress.reach(sum(_epochs(r) for g in left[: number + 1] for r in g.runs) + total - waiting)
        there = store.finished()
        left = [g for g in left if any(r.name not in there and r.name not in report.failed for r in g.runs)]
        if left and not wait:
            break
        if left and len(left) != said:
            said = len(left)
            progress.say(f"{said} groups of runs are in other hands; waiting for them")
        if left:
            time.sleep(_POLL)


def set_damaged_aside(plan: Plan, store: Keeping, verify: bool, progress: Progress) -> dict[str, list[str]]:
    """Set aside the finished runs that are damaged, say so, and return their files that are."""
    broken = damaged(plan.runs, store, verify)
    for run in (run for run in plan.runs if run.name in broken):
        try:
            aside = store.set_aside(run)
        except FileNotFoundError:  # another process has done so a moment ago
            continue
        progress.say(f"{run.name} was damaged ({', '.join(broken[run.name])}); it lies in {aside} now")
    return broken


def make_group(
    group: Group,
    store: Keeping,
    report: Report,
    progress: Progress,
    *,
    fail_fast: bool = False,
    checkpoint: bool = False,
    tell: Tell | None = None,
    given: Given | None = None,
    may_fail: Collection[str] = (),
) -> None:
    """Make those runs of a group that are neither finished nor in other hands.

    `tell` hears of each epoch. Of those that `may_fail`, trials and
    probes, a network that diverges stops nothing.
    """
    with store.claim(group.runs) as mine:
        todo = [run for run in mine if run.name not in report.failed]
        if not todo:
            return
        from ensemble_vs_dropout.experiments.running import make_runs  # loads Keras
        from ensemble_vs_dropout.models.architecture import unchanging

        folders = [store.work(run) for run in todo] if checkpoint else None
        left = {run.name: run for run in todo}
        try:
            with unchanging():
                for run, files in make_runs(todo, group.planned, folders, tell, given):
                    if isinstance(files, Exception):
                        note_failure(run, *told(files), store, report, progress)
                        if fail_fast and run.name not in may_fail:
                            diverged = isinstance(files, FloatingPointError)
                            raise FloatingPointError(f"{run.name} failed: {files}") if diverged else files
                    else:
                        store.put(run, files)
                        report.made.append(run.name)
                    del left[run.name]
        except (OSError, MemoryError):
            raise
        except Exception as error:
            if fail_fast:
                raise
            for run in left.values():
                note_failure(run, *told(error), store, report, progress)


@contextmanager
def in_processes(file: Path, store: Path, others: int, together: int | None, checkpoint: bool) -> Iterator[None]:
    """Have so many other processes call the same study meanwhile; each takes what the others do not hold.

    They end by themselves when nothing is left, are ended if the body fails, and end if this process is killed.
    """
    command = [
        sys.executable,
        "-m",
        "ensemble_vs_dropout.commands.main",
        "study",
        "run",
        str(file),
        "--store",
        str(store),
    ]
    command += ["--quiet", "--no-wait", "--jobs", "1", *["--checkpoint"] * checkpoint]
    command += ["--together", str(together)] if together else []
    with _shared_cores(others + 1) as shared:
        environment = {**os.environ, **shared, _PARENT: str(os.getpid())}
        processes = [subprocess.Popen(command, env=environment) for _ in range(others)]
        try:
            yield
        except BaseException:
            for process in processes:
                process.terminate()
            raise
        finally:
            for process in processes:
                process.wait()


@contextmanager
def _shared_cores(processes: int) -> Iterator[dict[str, str]]:
    """Hold NumPy's products to this process's share of the cores; yield the variables that do so in the others.

    Their threads wait for each other by turning: on two cores, two processes of two threads took 1.3 times as long.
    TensorFlow's are left alone, for networks with convolutions round by their number.
    """
    if processes == 1 or any(name in os.environ for name in _BLAS):
        yield {}
        return
    share = max(1, (psutil.cpu_count() or 1) // processes)
    with threadpool_limits(share, user_api="blas"):
        yield dict.fromkeys(_BLAS, str(share))


def end_with_parent() -> None:
    """Have this process end when the one that started it by `in_processes` is gone, however that ended."""
    parent = os.environ.get(_PARENT)
    if parent is None:
        return

    def watch() -> None:
        while os.getppid() == int(parent):
            time.sleep(_POLL)
        os._exit(1)  # what is finished is in the store, and locks end with the process

    threading.Thread(target=watch, name="end_with_parent", daemon=True).start()


def _epochs(run: Run) -> int:
    """Return the epochs of all networks of a run, if none stops early."""
    return run.members * int(run.spec["epochs"])  # of ten thousand runs, which are not worth checking


def told(error: Exception) -> tuple[str, str]:
    """Return an error in words, and its traceback."""
    return visible(str(error)) or type(error).__name__, "".join(traceback.format_exception(error))


def note_failure(run: Run, reason: str, trace: str, store: Keeping, report: Report, progress: Progress) -> None:
    """Note that a run could not be made, and say why."""
    store.fail(run, reason, trace)
    report.failed[run.name] = reason
    progress.say(f"{run.name} failed: {reason}")


def _telling(plan: Plan, progress: Progress) -> Tell:
    """Return what shows a network on its way, by what it is for where a plan has one point, else by its run."""
    trials = list(dict.fromkeys(run.name for point in plan.points for run in point.trials))
    probes = {run.name for point in plan.points for run in point.probes}

    def words(run: Run, member: int) -> str:
        recipe = RECIPES[run.recipe]
        if plan.study.keys:
            return f"{run.name}, network {member + 1}"
        if run.name in probes:
            return f"probe, {recipe.one} {member + 1}"
        if run.name in trials:
            return f"trial {trials.index(run.name) + 1} of {len(trials)}, {recipe.one} {member + 1}"
        return f"repetition {run.repetition + 1} of {plan.study.repetitions}, {recipe.one} {member + 1}"

    return lambda run, end: progress.epoch(words(run, end.member), end)
