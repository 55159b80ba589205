"""The report as one HTML file: styles, script and figures inside, no request outside."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from dataclasses import dataclass
from pathlib import Path

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup, escape

from ensemble_vs_dropout.checks import visible
from ensemble_vs_dropout.evaluation.answer import Answer, Difference
from ensemble_vs_dropout.evaluation.verdict import Paragraph
from ensemble_vs_dropout.evaluation.wording import capital, metric_words, number_words, p_words, unit_of
from ensemble_vs_dropout.report.contents import Report
from ensemble_vs_dropout.report.figures import Figure, inline_svg
from ensemble_vs_dropout.report.tables import Cell, Table

MOST_NUMBERS = 300  # rows of a figure's numbers that a page shows
_FOLDER = Path(__file__).parent


def report_html(report: Report) -> str:
    """Return the page. Everything that comes from the user's data is escaped; no script but the page's own may run.

    Example:
        >>> from ensemble_vs_dropout.report import Cell, Report, Table
        >>> quality = Table("quality", "Quality", ["arm", "error (%)"], [[Cell("ensemble"), Cell("3.2", number=3.2)]])
        >>> settings = Table("settings", "Settings", ["setting", "value"], [[Cell("members"), Cell("5")]])
        >>> from ensemble_vs_dropout.evaluation.verdict import Paragraph
        >>> verdict = [Paragraph("The ensemble errs least.")]
        >>> report = Report("Which is better?", "mlp", verdict, [], quality, [], [], "", [], [settings], "evd", "")
        >>> "<title>Which is better?" in report_html(report)
        True
    """
    loader = jinja2.FileSystemLoader(_FOLDER)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "number": _number,
        "numbers_of": _numbers_of,
        "lead": _lead,
        "forest_of": _forest,
        "prose": _prose,
    }
    environment.globals["drawing"] = _drawing
    script = (_FOLDER / "report.js").read_text(encoding="utf-8")
    page = environment.get_template("report.html.jinja").render(
        report=report,
        style=Markup((_FOLDER / "report.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_sha256=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        most_numbers=MOST_NUMBERS,
    )
    return visible(page, but="\n\t")


@dataclass(frozen=True)
class _Bar:
    """What a planned question found by one metric, at percents of the width of its column."""

    heading: str
    words: str
    p: str
    within: str
    known: bool
    shown: bool
    zero: float
    low: float
    high: float
    at: float


@dataclass(frozen=True)
class _Question:
    a: str
    b: str
    cells: list[_Bar]


def _forest(answer: Answer) -> list[_Question]:
    """Return the planned questions with their bars, those of one metric on one scale."""
    ends: dict[str, list[float]] = {}
    for one in (one for found in answer.planned for one in found):
        ends.setdefault(one.metric, [0.0]).extend(x for x in (one.value, one.low, one.high) if math.isfinite(x))
    return [
        _Question(
            capital(found[0].a), found[0].b, [_bar(one, min(ends[one.metric]), max(ends[one.metric])) for one in found]
        )
        for found in answer.planned
    ]


def _bar(one: Difference, least: float, most: float) -> _Bar:
    width = (most - least) or 1.0

    def place(x: float) -> float:
        return round(2 + 96 * (x - least) / width, 2)

    known, metric = math.isfinite(one.value), one.metric
    low, high = (end if math.isfinite(end) else one.value for end in (one.low, one.high))
    unit = unit_of(metric).strip().removeprefix("percentage ")
    return _Bar(
        heading=f"{metric_words(metric)}, {unit}" if unit else metric_words(metric),
        words=number_words(metric, one.value) if known else str(one),
        p=p_words(one.p) if known and one.tested else "",
        within=f"{number_words(metric, one.low)} to {number_words(metric, one.high)}" if known else "",
        known=known,
        shown=one.better != "neither",
        zero=place(0.0),
        low=place(low) if known else 0.0,
        high=place(high) if known else 0.0,
        at=place(one.value) if known else 0.0,
    )


def _drawing(figure: Figure, width: str) -> Markup:
    return Markup(inline_svg(figure.drawings[width], f"{figure.name}-{width}", figure.alternative))


def _number(cell: Cell) -> Markup:
    """Return a number with a true minus sign and a power of ten; other text as it is."""
    text = str(escape(cell.text))
    if not math.isnan(cell.number):
        text = re.sub(r"e([+-]\d+)$", lambda found: f"&nbsp;&times;&nbsp;10<sup>{int(found[1])}</sup>", text)
        text = re.sub(r"^-(?=[\di])", "&minus;", text)
    return Markup(text)


def _prose(text: str) -> str:
    """Return a sentence whose formulas are not torn apart, with true minus signs."""
    return re.sub(
        r"(?<![\w])-(?=\d)", "\N{MINUS SIGN}", re.sub(r" ([=<]) ", "\N{NO-BREAK SPACE}\\1\N{NO-BREAK SPACE}", text)
    )


def _lead(paragraph: Paragraph) -> Markup:
    """Return a paragraph of the verdict; what it is about is strong."""
    if not paragraph.about:
        return escape(_prose(paragraph.said))
    return Markup("<strong>{}:</strong> {}").format(paragraph.about, _prose(paragraph.said))


def _numbers_of(figure: Figure) -> Table:
    """Return what a figure shows as a table."""
    frame = figure.numbers.head(MOST_NUMBERS)
    columns = [[_plain(value) for value in frame[name]] for name in frame]
    rows = list(zip(*columns, strict=True))
    names = [str(name).replace("_", " ") for name in frame]
    return Table(f"{figure.name}-numbers", f"Numbers of the figure: {figure.title}", names, rows)


def _plain(value: object) -> Cell:
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        number = float(value)
        return Cell(f"{number:.6g}", number=number)
    return Cell("" if pd.isna(value) else str(value))
