"""Draw the gallery of paper-style figures.

    python scripts/make_figures.py --from RUN --from STORE --out DIR     # what there is; under a minute, no TensorFlow
    python scripts/make_figures.py --all                                 # run every study first: some 75 minutes

`--from` takes folders of finished comparisons (`evd compare`) and stores of studies (`evd study run`). `--all` runs
each study that a figure is of (`scripts/studies`) into the store and draws the lot; interrupted, the same command goes
on. What must come out: one PNG, SVG and PDF and one CSV of the drawn numbers for each figure, `facts.csv` with what
was expected and whether it held, `gallery.md` that shows them all, and `gallery_facts.md` beside it: what was told
before, and now. A figure that cannot be drawn is named, with what it needs.
"""

import inspect
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
import yaml

from ensemble_vs_dropout.evaluation.findings import Fact
from ensemble_vs_dropout.experiments import read_study
from ensemble_vs_dropout.experiments.gallery import DRAWINGS, Drawn, StudySource, draw, read_sources

STUDIES = Path(__file__).parent / "studies"
EARLIER = Path(__file__).parent / "earlier_facts.yaml"


def main(
    source: Annotated[list[Path] | None, typer.Option("--from", help="A finished comparison, or a store.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the figures.")] = Path("figures"),
    page: Annotated[Path | None, typer.Option(help="Page that shows them.", show_default="OUT/gallery.md")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Run every study of scripts/studies first.")] = False,
    store: Annotated[Path, typer.Option(help="With --all: where the studies' runs are kept.")] = Path("runs/gallery"),
    formats: Annotated[str, typer.Option(help="Comma-separated: png, svg, pdf.")] = "png,svg,pdf",
) -> None:
    """Draw every figure that finished runs allow."""
    if everything:
        for name in sorted({drawing.study for drawing in DRAWINGS.values()}):
            file = STUDIES / f"{name}.yaml"
            print(f"{file.name}: {about(file)}", file=sys.stderr)
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
            start = time.perf_counter()
            if subprocess.run(command).returncode:
                raise SystemExit(1)
            note_minutes(store, file.stem, (time.perf_counter() - start) / 60)
        source = [*(source or []), store]
    if not source:
        raise typer.BadParameter("give --from RUN, or --all to run every study first")
    drawn = draw(read_sources(source), out, formats=formats.split(","))
    minutes = {name: spent for folder in source for name, spent in minutes_of(folder).items()}
    target = page or out / "gallery.md"
    target.write_text(gallery(drawn, Path(os.path.relpath(out, target.parent)), minutes))
    target.with_name("gallery_facts.md").write_text(
        changed_facts({name: made.display.facts for name, made in drawn.items()})
    )
    print(target)


def about(file: Path) -> str:
    """Return what a study file says of itself."""
    lines = itertools.takewhile(lambda line: line.startswith("#"), file.read_text().splitlines())
    return " ".join(line.lstrip("# ") for line in lines)


def minutes_of(store: Path) -> dict[str, float]:
    """Return what each study took."""
    file = store / "minutes.json"
    return json.loads(file.read_text()) if file.exists() else {}


def note_minutes(store: Path, study: str, minutes: float) -> None:
    """Note what a study took; a study that was finished before takes nothing worth a note."""
    known = minutes_of(store)
    if minutes > 2 * known.get(study, 0) or minutes > 0.5:
        (store / "minutes.json").write_text(json.dumps(known | {study: round(minutes, 2)}, indent=1))


def gallery(drawn: dict[str, Drawn], images: Path, minutes: dict[str, float]) -> str:
    """Return the page that shows the figures, with the command, seeds and minutes of each, and what was expected."""
    parts = [
        "# Gallery",
        "Figures in the form that papers made familiar, at a scale that two cores manage in minutes; "
        "`python scripts/make_figures.py --all` makes those of the studies in `scripts/studies`. What was *expected* "
        "follows from nothing: it is what the papers found. Here it held, did not hold, or cannot be judged: a "
        "direction counts where it is beyond the noise, sameness where it is shown within a margin, at 5 % each. "
        "[What changed](gallery_facts.md) since expectations were told without margins and noise.",
    ]
    for name, made in drawn.items():
        display, source = made.display, made.source
        question = (inspect.getdoc(sys.modules[type(display).__module__]) or "").split("\n")[0]
        parts += [
            f"## {name.replace('_', ' ')}",
            question,
            f"![{display.title}]({(images / name).as_posix()}.png)",
        ]
        if isinstance(source, StudySource):
            study, took = source.plan.study, minutes.get(source.name)
            file = STUDIES / f"{study.name}.yaml"
            ours = file.exists() and read_study(file) == study
            command = f"`evd study run scripts/studies/{file.name} --store STORE`" if ours else f"study {study.name!r}"
            splits = {
                True: ", each with parts of its own",
                "train": ", each with training and validation parts of its own",
            }
            parts.append(
                f"{command}{f', {took:.1f} minutes' if took else ''}; seed {source.settings.seed}, "
                f"{study.repetitions} repetition{'s' * (study.repetitions > 1)}"
                f"{splits.get(source.settings.new_splits, '')}."
            )
        else:
            parts.append(f"Comparison {source.name!r}; seed {source.comparison.spec['seed']}.")
        facts = [f"- {_marked(fact.outcome)}: {fact.statement} ({fact.details})" for fact in display.facts]
        if facts:
            parts.append("Expected:\n\n" + "\n".join(facts))
    return "\n\n".join(parts) + "\n"


def changed_facts(facts: Mapping[str, Sequence[Fact]]) -> str:
    """Return the page that puts what was told of each expectation before beside what is found now, and why.

    Args:
        facts: Those of the figures that were drawn, by name.
    """
    rows = []
    for was in yaml.safe_load(EARLIER.read_text()):
        now = [one for one in facts.get(was["figure"], ()) if was["now"] is not None and was["now"] in one.statement]
        if was["now"] is None:
            after = "left out"
        elif now:
            found = min(now, key=lambda one: one.statement.index(was["now"]))  # "NLL" is in "calibrated NLL" too
            after = f"{_marked(found.outcome)}: {found.statement} ({found.details})"
        else:
            after = "to be drawn"
        before = f"{_marked(was['outcome'])}: {was['statement']} ({was['numbers']})"
        cells = (was["figure"].replace("_", " "), before, after, was["why"])
        rows.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    head = [
        "# Expectations of the gallery, before and now",
        "Expectations of the [gallery](gallery.md) were once told by the numbers alone. Now each has a direction "
        "beyond noise or a margin (half a point of error where nothing else is said), and what is neither shown nor "
        "refuted cannot be judged. `scripts/make_figures.py` writes this page.",
    ]
    table = ["| figure | before | now | why it is judged otherwise |", "|---|---|---|---|", *rows]
    return "\n\n".join([*head, "\n".join(table)]) + "\n"


def _marked(outcome: str) -> str:
    return outcome if outcome == "held" else f"**{outcome}**"


if __name__ == "__main__":
    typer.run(main)
