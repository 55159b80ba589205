"""Tables as LaTeX, in the style of booktabs."""

from __future__ import annotations

import re
import textwrap

from ensemble_vs_dropout.checks import visible
from ensemble_vs_dropout.report.tables import Cell, Table

_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}",
}  # fmt: skip
_FIT = r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%"  # scaled down where it is too wide


def latex_table(table: Table, title: str, *, quality_only: bool = False) -> str:
    r"""Return a table to `\input`, with its caption, its intervals under the numbers, and its note.

    Args:
        table: Its bold cells are bold here too.
        title: The first sentence of the caption: what is shown, and of which data.
        quality_only: Leave out the columns that have no interval.

    Example:
        >>> from ensemble_vs_dropout.report.tables import Cell
        >>> table = Table("quality", "Quality", ["arm", "error (%)"], [[Cell("ensemble"), Cell("3.2", number=3.2)]])
        >>> r"\toprule" in latex_table(table, "Quality: digits.")
        True
    """
    kept = [
        place
        for place in range(len(table.columns))
        if place == 0 or not quality_only or any(row[place].interval for row in table.rows)
    ]
    align = ["r" if number else "l" for number in table.numeric()]
    body = "\n".join(_row([row[place] for place in kept]) for row in table.rows)
    rules = [
        rf"\begin{{tabular}}{{@{{}}{''.join(align[place] for place in kept)}@{{}}}}",
        r"\toprule",
        " & ".join(_heading(table.columns[place], align[place]) for place in kept) + r" \\",
        r"\midrule",
        body,
        r"\bottomrule",
        r"\end{tabular}",
    ]
    tabular = "\n".join(rules)
    return "\n".join(
        [
            r"% needs \usepackage[T1]{fontenc}, \usepackage{booktabs}, \usepackage{graphicx}",
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{escape(f'{title} {table.note}'.strip())}}}",
            rf"\label{{tab:{re.sub('[^a-z0-9]+', '-', table.name)}}}",
            r"\small",
            _FIT,
            tabular + "}",
            r"\end{table}",
            "",
        ]
    )


def escape(text: str) -> str:
    r"""Return `text` so that LaTeX prints it as it is.

    Example:
        >>> print(escape("50 % of a_b"))
        50 \% of a\_b
    """
    return " ".join("".join(_SPECIAL.get(letter, letter) for letter in visible(text, but="\n")).split())


def _heading(text: str, align: str) -> str:
    """Return a heading on as many short lines as it needs."""
    lines = [escape(line) for line in textwrap.wrap(text, 14)]
    stack = r"\\".join(lines)
    return rf"\shortstack[{align}]{{{stack}}}" if len(lines) > 1 else stack


def _row(cells: list[Cell]) -> str:
    """Return a row, and under it that of the intervals where there are any."""
    row = " & ".join(_cell(cell) for cell in cells) + r" \\"
    if not any(cell.interval for cell in cells):
        return row
    intervals = [rf"{{\scriptsize {_number(cell.interval)}}}" if cell.interval else "" for cell in cells]
    return f"{row}\n" + " & ".join(intervals) + r" \\[2pt]"


def _cell(cell: Cell) -> str:
    text = _number(cell.text) if cell.known else escape(cell.text)
    return rf"\textbf{{{text}}}" if cell.best else text


def _number(text: str) -> str:
    """Return numbers with a true minus sign and a power of ten."""
    text = re.sub(r"e([+-]\d+)$", lambda found: rf"\ensuremath{{\times 10^{{{int(found[1])}}}}}", text)
    return re.sub(r"(?<![\d{])-(?=\d)", r"\\ensuremath{-}", text.replace("< ", r"\ensuremath{<} "))
