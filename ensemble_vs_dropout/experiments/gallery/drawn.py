"""All figures that some sources allow: asked for one by one, and drawn into a folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd

from ensemble_vs_dropout import plots
from ensemble_vs_dropout.checks import InputError, check_known
from ensemble_vs_dropout.evaluation.findings import Fact
from ensemble_vs_dropout.experiments.gallery.drawings import DRAWINGS, Drawing
from ensemble_vs_dropout.experiments.gallery.sources import Lacking, Source, StudySource
from ensemble_vs_dropout.files import as_csv, write_whole
from ensemble_vs_dropout.plots.display import METADATA, WIDTHS
from ensemble_vs_dropout.plots.facets import in_words
from ensemble_vs_dropout.plots.style import SCALES

STUDIES = "scripts/studies"


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
        write_whole(folder / f"{name}.csv", as_csv(display.frame()).encode())
        drawn[name] = made
        outcomes = Counter(fact.outcome for fact in display.facts)
        told = "; expected: " + ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
        say(f"{name}: drawn from {made.source.name}" + told * bool(outcomes))
    facts = [(name, *fact) for name, made in drawn.items() for fact in made.display.facts]
    folder.mkdir(parents=True, exist_ok=True)
    facts_table = as_csv(pd.DataFrame(facts, columns=["figure", *Fact._fields]))
    write_whole(folder / "facts.csv", facts_table.encode())
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
    return f"needs {drawing.needs}{refused}, as {STUDIES}/{drawing.study}.yaml of the repository describes one"
