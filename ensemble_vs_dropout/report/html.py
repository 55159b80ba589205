"""The report as one HTML file: styles, script and figures inside, no request outside."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from pathlib import Path

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup, escape

from ensemble_vs_dropout.evaluation.verdict import Paragraph
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
        "prose": _prose,
    }
    environment.globals["drawing"] = _drawing
    script = (_FOLDER / "report.js").read_text(encoding="utf-8")
    return environment.get_template("report.html.jinja").render(
        report=report,
        style=Markup((_FOLDER / "report.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_sha256=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        most_numbers=MOST_NUMBERS,
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
