"""`evd export` and `evd predict`: from a finished comparison to predictions for new examples."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import numpy.typing as npt


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a finished `evd compare`.", show_default=False)],
    arm: Annotated[
        str | None, typer.Option(help="Which way to use networks.", show_default="the one that the answer names")
    ] = None,
    out: Annotated[
        Path, typer.Option(help="The file: .keras, .onnx, .tflite, or a folder without an ending for a SavedModel.")
    ] = Path("model.keras"),
    rule: Annotated[
        str | None,
        typer.Option(help="mean, geometric_mean or majority_vote.", show_default="that of the answer, or the mean"),
    ] = None,
    repetition: Annotated[int, typer.Option(min=0, help="Whose networks, from 0.")] = 0,
    passes: Annotated[
        int | None,
        typer.Option(min=1, help="Of MC dropout, each with one fixed mask.", show_default="as many as were judged"),
    ] = None,
) -> None:
    """Write an arm of a finished comparison to one file, to predict with.

    What was fitted on the training data (categories, means, what is filled in) is part of the model. It is made of
    stock layers, so that Keras loads it without this package. ONNX and LiteRT need pip install
    "ensemble-vs-dropout[deploy]"; what is written is read back, and must predict what Keras does.

    Example: evd export runs/mine-mlp-0 --arm ensemble --out model.keras
    """
    from ensemble_vs_dropout.experiments.comparison import Comparison

    told = Comparison.load(run).export(out, arm, rule, repetition=repetition, passes=passes)
    several = f", {told['rule'].replace('_', ' ')} of {told['members']}" if told["members"] > 1 else ""
    found = told.get("exported")
    size = found["bytes"] if found else out.stat().st_size
    print(f"{out}: {told['label']}{several}, {size / 1e6:.1f} MB")
    if found:
        seconds = ", ".join(
            f"{found[key] * 1e3:.2g} ms by {name}"
            for key, name in (("seconds", found["format"]), ("keras_seconds", "Keras"))
        )
        print(f"one example takes {seconds}; the two differ by {found['difference']:.1g} at most")
        print(f"what it takes and gives is told in {out}.json")
        return
    suffix = ".csv" if told["encoding"]["columns"] else ".npz"
    print(f"evd predict {out} new{suffix} --out predictions.csv")


def predict(
    model: Annotated[Path, typer.Argument(help="A file that `evd export` wrote.", show_default=False)],
    data: Annotated[
        Path,
        typer.Argument(
            help="Of the kind trained on: a .csv or .parquet with the same columns (others are not looked at), or an "
            ".npz (x, else x_test) or .npy.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="The .csv of the predictions.", show_default="standard output")
    ] = None,
    module: Annotated[
        str | None, typer.Option("--import", help="A Python module that holds layers of your own, such as mynets.")
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(help="A column of the table that is copied to the predictions; repeat it.", show_default="none"),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Predict new examples: label, probability of each class, entropy and mutual information (in nats), a row each.

    The file is read and written a part at a time, so that it may be larger than memory.

    Example: evd predict model.keras new.csv --keep customer_id --out predictions.csv
    """
    from ensemble_vs_dropout.checks import InputError, counted, load_named
    from ensemble_vs_dropout.datasets.rows import Rows
    from ensemble_vs_dropout.files import no_formula
    from ensemble_vs_dropout.predictors.deployed import Deployed

    if out and out.suffix.lower() != ".csv":
        raise InputError(f"out must end in .csv, got {str(out)!r}")
    if out and out.exists() and out.samefile(data):
        raise InputError(f"out must be another file than the data, got {str(out)!r} for both")
    own = load_named("import", f"{module}:__dict__") if module else {}
    network = Deployed(model, {name: one for name, one in own.items() if isinstance(one, type)})
    kept = list(dict.fromkeys(keep or ()))
    rows = Rows(data, network.encoding, network.shape, network.dtype, kept)
    done = 0
    with _written(out) as file:
        table = csv.writer(file, lineterminator="\n")
        for part in rows:
            found = network.predict(part)
            if not done:
                further = [name for name in found if name != "probabilities"]
                names = ["label", *(f"probability_{name}" for name in network.classes), *further]
                own_names = [f"table_{name}" if name in names else name for name in kept]
                table.writerow([*map(no_formula, own_names), *names])
            lines = list(_lines(network.classes, found))
            beside = [[no_formula(texts[row]) for texts in rows.kept] for row in range(len(lines))]
            table.writerows([*own, *line] for own, line in zip(beside, lines, strict=True))
            done += len(found["probabilities"])
            if not quiet and out and sys.stderr.isatty():
                print(f"\r{done:,} rows", end="", file=sys.stderr, flush=True)
    if not quiet and out:
        print(f"{chr(13) if sys.stderr.isatty() else ''}{done:,} rows in {out}", file=sys.stderr)
    for counts, what in (
        (rows.unseen, "no category that training saw, and counted as none"),
        (rows.filled, "missing, and filled in by what training knows"),
    ):
        for name, number in counts.items():
            if number:
                print(f"evd: {counted(number, 'value')} of column {name!r}: {what}", file=sys.stderr)


def _lines(classes: tuple[str, ...], found: dict[str, npt.NDArray[Any]]) -> Iterator[list[str]]:
    """Yield a line for each example: its label, which is no formula, and numbers of seven digits, as float32 has."""
    from ensemble_vs_dropout.files import no_formula

    probs = found["probabilities"]
    further = [values for name, values in found.items() if name != "probabilities"]
    for row, label in enumerate(probs.argmax(axis=1)):
        numbers = [*probs[row], *(max(values[row], 0.0) for values in further)]
        yield [str(no_formula(classes[label])), *(f"{number:.7g}" for number in numbers)]


@contextmanager
def _written(out: Path | None) -> Iterator[IO[str]]:
    """Yield what the table is written to: a file that appears whole or not at all, or standard output."""
    from ensemble_vs_dropout.files import appearing

    if out is None:
        yield sys.stdout
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    with appearing(out) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        yield file
