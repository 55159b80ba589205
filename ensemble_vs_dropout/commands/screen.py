"""What commands print: sentences that wrap at words, and tables that fit the width of the terminal."""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from ensemble_vs_dropout.checks import counted

if TYPE_CHECKING:
    import pandas as pd

    from ensemble_vs_dropout.experiments.comparison import Comparison
    from ensemble_vs_dropout.report import Cell, Table

_WITH_INTERVALS = 100  # columns of a terminal from which on intervals stand below their numbers
_NO_EDGE = 250  # columns where nothing is to be left out


def show_comparison(
    comparison: Comparison, page: Path | None, seconds: float, wide: bool = False, ignore: Collection[str] = ()
) -> None:
    """Print the answer, then quality and cost, then what a reader must know, and where the whole report is.

    Args:
        comparison: What was found.
        page: The report's page; None where the folder is only to be read, and lacks it.
        seconds: What this call took.
        ignore: Numbers of checks that are not shown.
        wide: Print one table of all columns, with their intervals beside the numbers, whatever the width.
    """
    from rich.console import Console

    from ensemble_vs_dropout.report import cost_in_words, quality_in_words

    width, minutes = Console().width, comparison.environment["minutes"]
    print(_wrapped(str(comparison.answer()), width), end="\n\n")
    contrasts, scores, cost = comparison.contrasts, comparison.scores, comparison.cost
    brackets = f"in brackets 95 % intervals, {comparison.interval}"
    if wide:
        _show(quality_in_words(scores, cost, contrasts), f"Quality and cost; {brackets}", _NO_EDGE, beside=True)
    else:
        title = f"Quality; {brackets}" if width >= _WITH_INTERVALS else "Quality; --wide shows intervals too"
        _show(quality_in_words(scores, None, contrasts), title, width)
        _show(cost_in_words(cost, beside_quality=True), "Cost", width)
    checks = comparison.checks(ignore)
    hidden = len(comparison.checks(())) - len(checks)
    for issue, name in ((True, "Issues, which may change the answer:"), (False, "Hints:")):
        if found := [f"* {check}" for check in checks if check.issue == issue]:
            print(_wrapped("\n".join([name, *found]), width), end="\n\n")
    if hidden:
        print(f"{counted(hidden, 'check')} left out by --ignore.", end="\n\n")
    print(f"Trained and predicted in {minutes:.1f} min; this call took {seconds / 60:.1f} min.")
    print(f"open {page}" if page else "The folder is only to be read: evd report RUN --out FOLDER makes its page.")


def show_text(*lines: str) -> None:
    """Print lines that end at words where the terminal does; elsewhere as they are."""
    from rich.console import Console

    console = Console()
    print("\n".join(_wrapped(line, console.width) if console.is_terminal else line for line in lines))


def show_error(line: str) -> None:
    """Print a line on standard error, which ends at words where that is a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    print(_wrapped(line, console.width) if console.is_terminal else line, file=sys.stderr)


def show_frame(frame: pd.DataFrame, title: str) -> None:
    """Print a table of strings; in a file, which has no edge to wrap at, each row in a line."""
    from rich.console import Console

    from ensemble_vs_dropout.report import Cell, Table

    rows = [[Cell(str(value)) for value in row] for row in frame.itertuples(index=False)]
    console = Console()
    width = console.width if console.is_terminal else _NO_EDGE
    _show(Table("", title, list(map(str, frame.columns)), rows), title, width)


def _show(table: Table, title: str, width: int, beside: bool = False) -> None:
    """Print a table in so many columns; no word is broken that fits a line."""
    from rich import box
    from rich.console import Console
    from rich.table import Table as View
    from rich.text import Text

    console = Console(highlight=False, width=width)
    view = View(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for place, (name, numeric) in enumerate(zip(table.columns, table.numeric(), strict=True)):
        longest = max((len(word) for row in table.rows for word in row[place].text.split()), default=0)
        view.add_column(
            Text(name), justify="right" if numeric else "left", vertical="top", overflow="fold",
            min_width=min(longest, width // 4) if place == 0 else None,
        )  # fmt: skip
    gap = " " if beside else "\n" if width >= _WITH_INTERVALS else None
    for row in table.rows:
        view.add_row(*(Text(_cell(cell, gap), style="bold" if cell.best else "") for cell in row))
    print(_wrapped(title, width))
    console.print(view)
    print()


def _cell(cell: Cell, gap: str | None) -> str:
    return f"{cell.text}{gap}{cell.interval}" if gap and cell.interval else cell.text


def _wrapped(text: str, width: int) -> str:
    """Return lines that end at words, but not within `p = 0.04`; what belongs to a list is set in."""
    bound = re.sub(r" ([=<]) ", "\N{NO-BREAK SPACE}\\1\N{NO-BREAK SPACE}", text)
    lines = "\n".join(
        textwrap.fill(
            line, width, subsequent_indent="  " if line.startswith("* ") else "", break_long_words=False,
            break_on_hyphens=False,
        )
        for line in bound.splitlines()
    )  # fmt: skip
    return lines.replace("\N{NO-BREAK SPACE}", " ")
