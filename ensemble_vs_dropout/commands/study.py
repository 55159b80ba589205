"""The commands `evd study ...`: parse, call one function, print. Heavy imports wait until a command needs them."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ensemble_vs_dropout.checks import InputError, check_known, counted

if TYPE_CHECKING:
    import pandas as pd

    from ensemble_vs_dropout.experiments import Plan, Store

app = typer.Typer(no_args_is_help=True, help="Many comparisons from one file, each training done once and kept.")
File = Annotated[Path, typer.Argument(help="The study, a YAML file.", show_default=False)]
Folder = Annotated[Path, typer.Option("--store", help="Folder that keeps the runs, of this study and of others.")]
Table = Annotated[Path | None, typer.Option("--out", help="A .csv or .parquet file; else the table is printed as CSV.")]
Together = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Networks trained together, at most; fewer make more groups for more processes.",
        show_default="120, or up to 300 that are tiny",
    ),
]
Where = Annotated[list[str] | None, typer.Option("--where", help="KEY=VALUE of the points that are wanted; repeat it.")]
_STORE = Path("store")
_LONGEST = 200  # bytes of the name of a point's folder


@app.command()
def plan(
    file: File,
    store: Folder = _STORE,
    together: Together = None,
    why: Annotated[
        bool, typer.Option("--why", help="Say of each run that is to be made what differs from the most alike.")
    ] = False,
) -> None:
    """Show the runs of a study, which are trained together, and what they will take."""
    from ensemble_vs_dropout.experiments import Store, plan_of, read_study
    from ensemble_vs_dropout.experiments.estimates import estimate, jobs_that_pay
    from ensemble_vs_dropout.experiments.tables import reasons

    kept = Store(store, create=False) if (store / "store.json").exists() else None
    made = plan_of(read_study(file), kept, guess=True, together=together)
    if why:
        told = reasons(made, kept) if kept else dict.fromkeys((run.name for run in made.runs), "nothing is finished")
        print(*(f"{name}: {reason}" for name, reason in told.items()), sep="\n")
        print(f"{len(told)} of {len(made.runs)} runs are to be made")
        return
    there = kept.finished() if kept else set()
    table = estimate(made)
    table["finished"] = [sum(run.name in there for run in group.runs) for group in made.groups]
    print(table.rename(columns={"computing": "of them computing"}).to_string(index=False))
    waiting = table[table.finished < table.runs]
    repetitions = made.study.repetitions
    print(
        f"\n{counted(len(made.points) // repetitions, 'point')} of {counted(repetitions, 'repetition')}, "
        f"{counted(len(made.runs), 'run')}, {table.networks.sum()} networks in {len(made.groups)} groups; "
        f"about {waiting.seconds.sum() / 60:.1f} minutes and "
        f"{waiting.megabytes.sum():.0f} MB for what is not finished"
    )
    trials = {run.name for point in made.points for run in point.trials}
    if trials:
        print(
            f"{len(trials)} of the runs are trials on validation data, as many for each recipe; what they choose is "
            "counted here as the first candidate"
        )
    jobs = jobs_that_pay(waiting)
    print(f"processes that pay (--jobs): {jobs}" + (", as these networks are too small to fill the cores" * (jobs > 1)))


@app.command()
def run(
    file: File,
    store: Folder = _STORE,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Processes.", show_default="as many as `evd study plan` says pay"),
    ] = None,
    together: Together = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every file of finished runs, not the scores alone.")
    ] = False,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Stop at the first run that fails.")] = False,
    checkpoint: Annotated[
        bool, typer.Option("--checkpoint", help="Keep each network as soon as it is trained.")
    ] = False,
    wait: Annotated[bool, typer.Option(help="Wait for runs that other processes are making.")] = True,
    executor: Annotated[str, typer.Option(help="local, or ray: a Ray cluster.")] = "local",
    address: Annotated[
        str, typer.Option(help="Of the cluster: auto, ray://HOST:PORT, or local to start one.")
    ] = "auto",
    transport: Annotated[
        str, typer.Option(help="shared if all nodes see the store's folder, return to send results back.")
    ] = "shared",
    cpus: Annotated[float, typer.Option(help="Cores of a cluster that each group of runs is promised.")] = 1,
    gpus: Annotated[float, typer.Option(help="GPUs of a cluster that each group of runs is promised.")] = 0,
    verbose: Annotated[bool, typer.Option("--verbose", help="A line for each network that is trained.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Make every run of a study that is not finished; interrupted, the same command goes on."""
    from ensemble_vs_dropout.experiments import Store, plan_of, read_study, run_study
    from ensemble_vs_dropout.experiments.local import end_with_parent, in_processes
    from ensemble_vs_dropout.experiments.ray import run_on_ray

    check_known("executor", executor, ("local", "ray"))
    end_with_parent()
    study, kept = read_study(file), Store(store)
    made, level = plan_of(study, kept, together=together), 0 if quiet else 2 if verbose else 1
    _tell_versions(made, kept)
    kept.keep_study(study.name, file.read_text(encoding="utf-8"))
    if jobs is None:
        whole = plan_of(study, kept, guess=True, together=together)
        jobs = _jobs(whole.without(kept.finished())) if executor == "local" else 1
    try:
        if executor == "local":
            with in_processes(file, store, jobs - 1, together, checkpoint):
                run_study(
                    made, kept, verify=verify, fail_fast=fail_fast, wait=wait, checkpoint=checkpoint, verbose=level
                )
        else:
            run_on_ray(
                made, kept, address=None if address == "local" else address, transport=transport, cpus=cpus, gpus=gpus,
                verify=verify, fail_fast=fail_fast, verbose=level,
            )  # fmt: skip
    except KeyboardInterrupt:
        print("evd: interrupted; the same command goes on with the runs that are not finished", file=sys.stderr)
        sys.exit(130)
    _tell(plan_of(study, kept), kept, store, quiet)


@app.command()
def status(
    file: File,
    store: Folder = _STORE,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every file of finished runs, not the scores alone.")
    ] = False,
) -> None:
    """Say how far a study is, which runs failed, and which cannot be read."""
    from ensemble_vs_dropout.experiments import status as look
    from ensemble_vs_dropout.experiments.tables import unreadable

    kept = _existing(store)
    made = _plan(file, kept)
    found = look(made, kept)
    print(found.words())
    _tell_versions(made, kept)
    for name, reason in found.failed.items():
        print(f"{name} failed: {reason}")
    for name, reason in unreadable(made.runs, kept, verify).items():
        print(f"{name} cannot be read: {reason}")


@app.command()
def results(
    file: File,
    store: Folder = _STORE,
    out: Table = None,
    where: Where = None,
) -> None:
    """Write one table of all finished runs: the keys that vary, then arm, rule, metric, value and interval.

    Runs that cannot be read are named, with exit code 1, and the table holds the others.
    """
    from ensemble_vs_dropout.experiments import results as read
    from ensemble_vs_dropout.experiments import status as look

    _check_table(out)
    kept = _existing(store)
    made = _plan(file, kept, where)
    unread: dict[str, str] = {}
    table = read(made, kept, unread)
    for key in made.study.keys:  # a parquet column has one type, and of some rates one may be auto
        if key in table and len({type(value) for value in table[key].dropna()}) > 1:
            table[key] = table[key].map(str, na_action="ignore")
    found = look(made, kept)
    _tell_versions(made, kept)
    if found.waiting or found.failed:
        print(f"evd: {found.words()}; the table holds those that are finished", file=sys.stderr)
    _write(table, out)
    for name, reason in unread.items():
        print(f"evd: {name} is not in the table, for it cannot be read: {reason}", file=sys.stderr)
    if unread:
        sys.exit(1)


def _check_table(out: Path | None) -> None:
    if out is not None and out.suffix not in (".csv", ".parquet"):
        raise InputError(f"out must end in .csv or .parquet, got {str(out)!r}")


def _write(table: pd.DataFrame, out: Path | None) -> None:
    """Write a table to a file, or print it as CSV."""
    from ensemble_vs_dropout.files import as_csv, write_whole

    if out is None:
        print(as_csv(table), end="")
        return
    if out.suffix == ".csv":
        write_whole(out, as_csv(table).encode())
    else:
        write_whole(out, table.to_parquet(index=False))
    print(f"{len(table):,} rows in {out}", file=sys.stderr)


@app.command()
def contrasts(
    file: File,
    store: Folder = _STORE,
    out: Table = None,
    where: Where = None,
) -> None:
    """Write one table of the paired differences between arms at every finished point, with their tests."""
    from ensemble_vs_dropout.experiments.comparison import contrasts_of

    _check_table(out)
    kept = _existing(store)
    _write(contrasts_of(_plan(file, kept, where), kept), out)


@app.command()
def verdict(file: File, store: Folder = _STORE, where: Where = None) -> None:
    """Print what the finished runs say of ensembles and dropout: point by point, then the answers alone."""
    from ensemble_vs_dropout.commands.screen import show_text
    from ensemble_vs_dropout.experiments.comparison import comparisons

    kept, short = _existing(store), []
    for keys, found in comparisons(_plan(file, kept, where), kept):
        sentences = found.answer().sentences
        issues = [f"* {check}" for check in found.checks() if check.issue]
        show_text(_point(keys), " ".join(sentences), *issues, *map(str, found.paragraphs), "")
        short.append(f"* {_point(keys)}: {sentences[0][0].lower()}{sentences[0][1:]}")
    if len(short) > 1:
        show_text("In short:", *short)


@app.command()
def report(
    file: File,
    store: Folder = _STORE,
    out: Annotated[Path, typer.Option(help="Folder of the reports, one folder for each point.")] = Path("reports"),
    where: Where = None,
) -> None:
    """Make the report of every finished point, as `evd report` makes that of a comparison."""
    from ensemble_vs_dropout.experiments.comparison import comparisons
    from ensemble_vs_dropout.files import digest, inside, own

    kept = _existing(store)
    for keys, found in comparisons(_plan(file, kept, where), kept):
        name = re.sub(r"[^\w.,=+-]+", "_", _point(keys))
        if len(name.encode()) > _LONGEST:
            name = f"{name[:40]}-{digest(keys)[:16]}"
        print(found.report(own(inside(out, name))))


def _point(keys: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in keys.items()) or "the only point"


@app.command()
def figures(
    file: File,
    store: Folder = _STORE,
    out: Annotated[Path, typer.Option(help="Folder of the figures.")] = Path("figures"),
    formats: Annotated[str, typer.Option(help="Comma-separated: png, svg, pdf.")] = "png,svg,pdf",
    where: Annotated[
        list[str] | None, typer.Option("--where", "--at", help="KEY=VALUE that figures are of; repeat it.")
    ] = None,
) -> None:
    """Draw every figure of the gallery that the finished runs of a study allow."""
    from ensemble_vs_dropout.experiments import read_study
    from ensemble_vs_dropout.experiments.gallery import StudySource, draw
    from ensemble_vs_dropout.experiments.plan import parse_where

    study, kept = read_study(file), _existing(store)
    draw(
        [StudySource(study.name, _plan(file, kept), kept)], out, at=parse_where(where or ()), formats=formats.split(",")
    )


@app.command()
def clean(store: Folder = _STORE) -> None:
    """Remove what interrupted and failed runs left behind; finished runs stay."""
    removed = _existing(store).clean()
    print("\n".join(removed) if removed else "nothing to remove")


def _jobs(todo: Plan) -> int:
    """Return how many processes pay for what is to be done; what cannot be made is reported when it is tried."""
    if not todo.runs:
        return 1
    from ensemble_vs_dropout.experiments.estimates import estimate, jobs_that_pay

    try:
        return jobs_that_pay(estimate(todo))
    except Exception:  # the user's builder may raise anything
        return 1


def _tell(made: Plan, kept: Store, folder: Path, quiet: bool) -> None:
    """Say how far the study is and what failed; leave with code 1 if anything did."""
    from ensemble_vs_dropout.experiments import status as look

    found = look(made, kept)
    if not quiet or found.failed:
        print(f"evd: {found.words()} in {folder}", file=sys.stderr)
    _tell_versions(made, kept)
    for name, reason in found.failed.items():
        print(f"evd: {name} failed: {reason}", file=sys.stderr)
    if found.failed:
        sys.exit(1)


def _tell_versions(made: Plan, kept: Store) -> None:
    """Say so where runs are of a version that found other results, or had another default."""
    from ensemble_vs_dropout.experiments.tables import made_otherwise, with_resamples_of_before

    before = with_resamples_of_before(made.runs, kept)
    if before:
        print(
            f"evd: {before} runs are there with 1,000 resamples, the default of before; write resamples: 1000 into "
            "base to keep them, else they are made again with 10,000",
            file=sys.stderr,
        )
    others = made_otherwise(made.runs, kept)
    if others:
        print(
            f"evd: {len(others)} runs were made by version {', '.join(sorted(set(others.values())))}, whose results "
            f"may differ from this one's, such as {next(iter(others))}; move them out of {kept.folder / 'runs'} "
            "and they are made again",
            file=sys.stderr,
        )


def _plan(file: Path, store: Store, where: list[str] | None = None) -> Plan:
    from ensemble_vs_dropout.experiments import plan_of, read_study
    from ensemble_vs_dropout.experiments.plan import parse_where

    return plan_of(read_study(file), store).where(parse_where(where or ()))


def _existing(folder: Path) -> Store:
    from ensemble_vs_dropout.experiments import Store

    return Store(folder, create=False)
