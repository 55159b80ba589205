"""Running a study on a Ray cluster: each group of runs is a task, tried again when its worker or its node dies.

The store is written by the tasks themselves where all nodes see one file system ("shared"), or by the process that
asked ("return"), to which they send what they made through Ray's object store.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ensemble_vs_dropout.checks import InputError, check_at_least, check_known
from ensemble_vs_dropout.experiments.local import Report, make_group, note_failure, set_damaged_aside, told
from ensemble_vs_dropout.experiments.plan import Group, Plan, Run
from ensemble_vs_dropout.experiments.store import Store
from ensemble_vs_dropout.experiments.tables import stages
from ensemble_vs_dropout.progress import Progress

RETRIES = 5  # of a task whose worker or node died
Made = tuple[dict[str, Any], dict[str, bytes] | None, str, str]  # spec, files, reason and traceback of a failure


def run_on_ray(
    plan: Plan,
    store: Store,
    *,
    address: str | None = "auto",
    transport: str = "shared",
    cpus: float = 1,
    gpus: float = 0,
    verify: bool = False,
    fail_fast: bool = False,
    verbose: str | int = "auto",
) -> Report:
    """Make every run of the plan that is not finished, on a Ray cluster.

    Args:
        plan: What to run.
        store: Where runs are kept.
        address: Of the cluster: "auto" for the one of this machine, "ray://host:port", or None to start one here.
        transport: "shared" if all nodes see the store's folder under the same path, else "return".
        cpus: Cores that a group of runs is promised.
        gpus: GPUs that it is promised.
        verify: As in `run_study`.
        fail_fast: Stop at the first run that fails.
        verbose: 0 silent, else a line for each group.

    Returns:
        What was made, what failed and why, and what was set aside.

    Raises:
        InputError: Ray is not installed, or the cluster cannot be reached.
    """
    check_known("transport", transport, ("shared", "return"))
    ray = _ray()
    started = not ray.is_initialized()
    if started:
        try:
            ray.init(address=address, log_to_driver=False, logging_level="error", configure_logging=False)
        except (ConnectionError, ValueError) as error:
            raise InputError(
                f"address {address!r} reaches no Ray cluster ({error}); start one by `ray start --head`, or give local"
            ) from error
    try:
        store.tidy()
        report = Report()
        for stage in stages(plan, store):
            with Progress(max(1, len(stage.groups)), verbose) as progress:
                report.set_aside |= set_damaged_aside(stage, store, verify, progress)
                _run(ray, stage, store, transport, {"num_cpus": cpus, "num_gpus": gpus}, fail_fast, report, progress)
        return report
    finally:
        if started:
            ray.shutdown()


def _run(
    ray: Any,
    plan: Plan,
    store: Store,
    transport: str,
    needs: dict[str, float],
    fail_fast: bool,
    report: Report,
    progress: Progress,
) -> None:
    there = store.finished()
    left = [group for group in plan.groups if any(run.name not in there for run in group.runs)]
    task = ray.remote(max_retries=RETRIES, **needs)(_make_shared if transport == "shared" else _make_returned)
    folder = str(store.folder.resolve())
    flying: dict[Any, tuple[Group, ExitStack]] = {}
    try:
        for group in left:
            claim = ExitStack()  # where the tasks write, they hold the runs themselves
            mine = claim.enter_context(store.claim(group.runs)) if transport == "return" else group.runs
            specs = [run.spec for run in mine]
            if specs:
                flying[task.remote(specs, group.planned, folder, str(Path.cwd()))] = group, claim
        done = 0
        while flying:
            (ready, *_), _ = ray.wait(list(flying), num_returns=1)
            group, claim = flying.pop(ready)
            try:
                _take(ray.get(ready), store, transport, report, progress)
            except ray.exceptions.RayError as error:
                reason, trace = told(error)
                for run in (run for run in group.runs if not store.has(run)):
                    died = f"its task died {RETRIES + 1} times: {reason}"
                    note_failure(run, died, trace, store, report, progress)
            finally:
                claim.close()
            done += 1
            progress.reach(done)
            progress.say(f"group {done} of {len(left)}: {len(report.made)} runs made, {len(report.failed)} failed")
            if fail_fast and report.failed:
                name, reason = next(iter(report.failed.items()))
                raise InputError(f"{name} failed: {reason}")
    finally:
        for reference, (_, claim) in flying.items():
            ray.cancel(reference, force=True)
            claim.close()


def _take(found: Any, store: Store, transport: str, report: Report, progress: Progress) -> None:
    """Account for what a task made; write it where the task could not."""
    if transport == "shared":
        made, failed = found
        report.made += made
        report.failed |= failed
        return
    for spec, files, reason, trace in found:
        run = Run(spec)
        if files is None:
            note_failure(run, reason, trace, store, report, progress)
        else:
            store.put(run, files)
            report.made.append(run.name)


def _make_shared(
    specs: Sequence[dict[str, Any]], planned: int, folder: str, here: str
) -> tuple[list[str], dict[str, str]]:
    """Make the runs on a worker and write them to the store that all nodes see."""
    _stand(here)
    report = Report()
    group = Group(tuple(map(Run, specs)), planned)
    with Progress(1, 0) as progress:
        make_group(group, Store(folder, create=False), report, progress)
    return report.made, report.failed


def _make_returned(specs: Sequence[dict[str, Any]], planned: int, folder: str, here: str) -> list[Made]:
    """Make the runs on a worker and send them back."""
    _stand(here)
    from ensemble_vs_dropout.experiments.running import make_runs

    made: list[Made] = []
    try:
        for run, files in make_runs(list(map(Run, specs)), planned):
            if isinstance(files, Exception):
                made.append((run.spec, None, *told(files)))
            else:
                made.append((run.spec, files, "", ""))
    except Exception as error:
        known = [spec for spec, *_ in made]
        made += [(spec, None, *told(error)) for spec in specs if spec not in known]
    return made


def _stand(here: str) -> None:
    """Let a worker find the user's own modules where the study was asked for, if it has that folder."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if Path(here).is_dir():
        os.chdir(here)


def _ray() -> Any:
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise InputError("the executor ray needs Ray: pip install 'ensemble-vs-dropout[ray]'") from error
    check_at_least("ray's version", int(ray.__version__.partition(".")[0]), 2)
    return ray
