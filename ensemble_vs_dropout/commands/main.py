"""The command `evd`: parse, call one function, print. Heavy imports wait until a command needs them."""

from __future__ import annotations

import errno
import inspect
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from ensemble_vs_dropout import __version__
from ensemble_vs_dropout.checks import InputError, visible
from ensemble_vs_dropout.commands import study as study_commands
from ensemble_vs_dropout.commands.deploy import export, predict
from ensemble_vs_dropout.commands.screen import show_comparison, show_error, show_frame

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "N independent networks, or one network with dropout? A fair, paired answer on your data.\n\n"
        "Exit codes: 0 done; 1 something went wrong on the way (a full disk, a network that diverged), and the same "
        "command goes on; 2 the input is wrong; 130 interrupted."
    ),
)


app.add_typer(study_commands.app, name="study")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"ensemble_vs_dropout {__version__}")
        raise typer.Exit


@app.callback()
def _group(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None: ...


@app.command()
def compare(
    dataset: Annotated[str, typer.Option(help="A known name (see `evd datasets`), or a .npz, .csv or .parquet.")],
    model: Annotated[str, typer.Option(help="mlp, lenet, small_cnn, or module:function of yours.")] = "mlp",
    members: Annotated[int, typer.Option(help="Independent networks in an ensemble.")] = 5,
    rate: Annotated[
        str, typer.Option(help="Probability to drop a unit, in (0, 1); auto chooses it on validation data.")
    ] = "auto",
    passes: Annotated[int, typer.Option(help="Forward passes of Monte Carlo dropout.")] = 100,
    repetitions: Annotated[
        int | None, typer.Option(help="Of the whole experiment, with other seeds.", show_default="3")
    ] = None,
    splits: Annotated[
        int | None,
        typer.Option(help="As many repetitions, each on training, validation and test parts of its own."),
    ] = None,
    epochs: Annotated[int, typer.Option(help="At most so many for every network.")] = 60,
    patience: Annotated[int, typer.Option(help="Epochs without a lower validation loss; 0 trains all epochs.")] = 10,
    batch_size: Annotated[int, typer.Option(help="Examples in a training step.")] = 128,
    train_size: Annotated[int | None, typer.Option(help="Train on a stratified subset of this size.")] = None,
    label_noise: Annotated[float, typer.Option(help="Fraction of training labels to falsify, in [0, 1).")] = 0.0,
    class_weight: Annotated[
        str | None,
        typer.Option(
            help="How much examples of a class count in training: yes=5,no=1, or balanced.", show_default="all alike"
        ),
    ] = None,
    head: Annotated[
        str | None,
        typer.Option(
            help="What a network of your own gives, logits or probabilities.", show_default="as its loss or layers tell"
        ),
    ] = None,
    target: Annotated[str | None, typer.Option(help="The label's column in a .csv or .parquet.")] = None,
    drop: Annotated[
        str | None, typer.Option(help="Columns of a table that are left out, by commas.", show_default="none")
    ] = None,
    missing: Annotated[
        str, typer.Option(help="Features that are missing in a table: refuse, drop, median or most_frequent.")
    ] = "refuse",
    seed: Annotated[int, typer.Option(help="Root of all random draws.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the run; goes on where it stood.", show_default="runs/DATASET-MODEL-SEED"),
    ] = None,
    controls: Annotated[
        bool | None,
        typer.Option(help="Also one wide network of the ensemble's size.", show_default="if the model takes a width"),
    ] = None,
    probe: Annotated[
        bool, typer.Option(help="Train one network of each kind three times as long, to see whether it gains.")
    ] = True,
    arms: Annotated[
        str | None,
        typer.Option(help="Ways to use networks, by commas; module:NAME of your own.", show_default="all"),
    ] = None,
    metrics: Annotated[
        str | None, typer.Option(help="What is measured, by commas; module:NAME of your own.", show_default="five")
    ] = None,
    rules: Annotated[
        str | None,
        typer.Option(help="How members are combined, by commas; module:function.", show_default="means and vote"),
    ] = None,
    margin: Annotated[
        str | None,
        typer.Option(
            help="Differences below it do not matter: 0.5 for percentage points of error, or error=0.5,nll=0.01.",
            show_default="none",
        ),
    ] = None,
    shifts: Annotated[
        str | None, typer.Option(help="Judge shifted test inputs too: rotation,blur,... by commas.")
    ] = None,
    watch: Annotated[
        str | None, typer.Option(help="Record the loss on train,test after each epoch too, for learning curves.")
    ] = None,
    other_data: Annotated[str | None, typer.Option(help="A data set that does not belong, to be told apart.")] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Average over all masks too; 16 units at most.")] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Processes that train.")] = 1,
    executor: Annotated[str, typer.Option(help="local, or ray for a Ray cluster.")] = "local",
    force: Annotated[bool, typer.Option("--force", help="Take the place of another comparison in the folder.")] = False,
    ignore: Annotated[
        str | None, typer.Option(help="Checks that are not shown, by commas: EVD003,EVD005.", show_default="none")
    ] = None,
    wide: Annotated[bool, typer.Option("--wide", help="One table of all columns, whatever the terminal.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="A line for each network that is trained.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Train N networks and one with dropout on the same data; print the answer, write the report.

    For example:

    evd compare --dataset digits

    evd compare --dataset mine.csv --target label --members 10

    evd compare --dataset mine.npz --model mynets:build --margin 0.5
    """
    started = time.perf_counter()
    from ensemble_vs_dropout.evaluation.numbered_checks import sorted_checks
    from ensemble_vs_dropout.experiments.comparing import compare as run
    from ensemble_vs_dropout.experiments.running import data_of
    from ensemble_vs_dropout.experiments.settings import make_settings
    from ensemble_vs_dropout.files import inside
    from ensemble_vs_dropout.measures import STANDARD_METRICS, STANDARD_RULES

    ignored = [code.strip().upper() for code in ignore.split(",")] if ignore else []
    dropped = tuple(drop.split(",")) if drop else ()
    sorted_checks([], ignored)  # a number that no check has is told before anything is trained
    loaded = make_settings(
        dataset=dataset, target=target, drop=dropped, missing=missing, train_size=train_size, label_noise=label_noise,
        seed=seed,
    )  # fmt: skip
    name = data_of(loaded).name
    folder = out or inside(Path("runs"), f"{name}-{model.replace(':', '.').replace('/', '.')}-{seed}")
    try:
        with _insistent_interrupt():
            comparison = run(
                dataset,
                model,
                target=target,
                drop=dropped,
                missing=missing,
                train_size=train_size,
                label_noise=label_noise,
                class_weight=_class_weight(class_weight),
                head=head,
                members=members,
                rate=rate if rate == "auto" else _number_of("rate", rate, " or auto"),
                passes=passes,
                repetitions=repetitions,
                splits=splits,
                epochs=epochs,
                patience=patience or None,
                batch_size=batch_size,
                seed=seed,
                controls=controls,
                arms=arms.split(",") if arms else None,
                metrics=metrics.split(",") if metrics else STANDARD_METRICS,
                rules=rules.split(",") if rules else STANDARD_RULES,
                margins=_margins(margin) if margin else None,
                shifts=shifts.split(",") if shifts else (),
                watch=watch.split(",") if watch else (),
                other_data=other_data,
                exact=exact,
                probe=probe,
                out=folder,
                force=force,
                jobs=jobs,
                executor=executor,
                verbose=0 if quiet else 2 if verbose else 1,
            )
    except KeyboardInterrupt:  # typer would leave without a word
        print("evd: interrupted; the same command goes on with the networks that are finished", file=sys.stderr)
        sys.exit(130)
    page = comparison.write_page(folder)
    if json:
        print(comparison.to_json(folder))
        return
    show_comparison(comparison, page, time.perf_counter() - started, wide, ignored)


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="Folder of a finished `evd compare`.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="Folder of the report.", show_default="RUN-report")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress; the path alone.")] = False,
) -> None:
    """Make the report of a finished run: report.html, one file to open or to mail.

    Beside it report.md, figures, and tables in LaTeX and CSV. All is made anew from the run's predictions, without
    TensorFlow; the run is only read.

    Example: evd report runs/digits-mlp-0
    """
    from ensemble_vs_dropout.experiments.comparison import Comparison

    if not quiet:
        print(f"reading {run}", file=sys.stderr)
    comparison = Comparison.load(run)
    if not quiet:
        print("resampling and drawing", file=sys.stderr)
    named = run if run.name not in ("", "..") else run.resolve()
    print(comparison.report(out or named.with_name(f"{named.name}-report")))


app.command()(export)
app.command()(predict)


@app.command()
def figures(
    source: Annotated[
        list[Path],
        typer.Option("--from", help="Folder of a finished `evd compare`, or the store of studies; repeat it."),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the figures.")] = Path("figures"),
    formats: Annotated[str, typer.Option(help="Comma-separated: png, svg, pdf.")] = "png,svg,pdf",
    width: Annotated[str, typer.Option(help="double (6.9 in) or single (3.3 in).")] = "double",
    style: Annotated[str, typer.Option(help="paper, notebook or talk.")] = "paper",
    where: Annotated[
        list[str] | None, typer.Option("--where", "--at", help="KEY=VALUE of a study that figures are of; repeat it.")
    ] = None,
) -> None:
    """Draw every figure of the gallery that finished runs allow, and say what the others need; no TensorFlow.

    Example: evd figures --from runs/digits-mlp-0 --formats png --width single
    """
    from ensemble_vs_dropout.experiments.gallery import draw, read_sources
    from ensemble_vs_dropout.experiments.plan import parse_where

    draw(read_sources(source), out, at=parse_where(where or ()), formats=formats.split(","), width=width, style=style)


@app.command()
def datasets() -> None:
    """List the known data sets, their sizes and licences, and where each would come from."""
    from ensemble_vs_dropout.datasets import describe_datasets

    show_frame(describe_datasets(), "data sets")


@app.command()
def doctor(
    out: Annotated[Path, typer.Option(help="Where runs would be written.")] = Path("runs"),
) -> None:
    """Look at versions, processor, memory, disk, data sets and strategies; exit code 1 on a problem.

    Example: evd doctor
    """
    from ensemble_vs_dropout.commands.doctor import examine

    problems = 0
    for finding in examine(out):
        print(finding, flush=True)
        problems += bool(finding.problem)
    if problems:
        raise typer.Exit(1)


def _flow(*apps: typer.Typer) -> None:
    """Have the paragraphs of every help flow, wherever the lines of its docstring end, and `[words]` stay."""
    for command in (command for one in apps for command in one.registered_commands):
        paragraphs = (inspect.getdoc(command.callback) or "").split("\n\n")
        command.help = escape("\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs))


_flow(app, study_commands.app)


def main() -> None:
    """Run the command line.

    What is wrong with the input is one line on standard error and exit code 2; what went wrong on the way (a full
    disk, too little memory, a diverged network) is one line and exit code 1.
    """
    try:
        app()
    except InputError as error:
        show_error(f"evd: {error}")
        sys.exit(2)
    except (OSError, FloatingPointError) as error:
        if getattr(error, "errno", None) == errno.ENAMETOOLONG:
            show_error(f"evd: {visible(str(error))[:200]}; give a shorter one")
            sys.exit(2)
        show_error(f"evd: {visible(str(error))}; once that is mended, the same command goes on with what is finished")
        sys.exit(1)
    except Exception as error:
        if not isinstance(error, MemoryError) and type(error).__name__ != "ResourceExhaustedError":  # TensorFlow's own
            raise
        show_error(
            "evd: memory is too small for this; ask for fewer or smaller networks, smaller batches or fewer examples"
        )
        sys.exit(1)


def _number_of(name: str, given: str, otherwise: str = "") -> float:
    try:
        return float(given)
    except ValueError as error:
        raise InputError(f"{name} must be a number{otherwise}, got {given!r}") from error


def _margins(given: str) -> dict[str, float]:
    """Return the margin of each metric; one number alone is of the error."""
    pairs = [part.rpartition("=") for part in given.split(",")]
    return {name or "error": _number_of("margin", value) for name, _, value in pairs}


def _class_weight(given: str | None) -> dict[str, float] | str | None:
    """Return the weight of each class that is named, or "balanced"."""
    if given is None or "=" not in given:
        return given
    pairs = [part.rpartition("=") for part in given.split(",")]
    return {name: _number_of("class-weight", value) for name, _, value in pairs}


@contextmanager
def _insistent_interrupt() -> Iterator[None]:
    """Raise Ctrl-C until it is heard: inside a destructor, of which TensorFlow has many, it is lost or disguised."""
    if not hasattr(signal, "setitimer"):  # Windows
        yield
        return

    pressed = False

    def interrupt(*_: object) -> None:
        nonlocal pressed
        pressed = True
        signal.setitimer(signal.ITIMER_REAL, 2.0)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGALRM)}
    try:
        yield
    except Exception as error:
        if pressed:
            raise KeyboardInterrupt from error
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    main()
