"""The report as Markdown."""

from __future__ import annotations

import re

import pandas as pd

from ensemble_vs_dropout.checks import visible
from ensemble_vs_dropout.evaluation.answer import Answer
from ensemble_vs_dropout.report.contents import Report
from ensemble_vs_dropout.report.figures import Figure
from ensemble_vs_dropout.report.tables import Table


def report_markdown(report: Report) -> str:
    """Return the report: the answer and the verdict first, then tables and figures, and last what was run.

    Example:
        >>> from ensemble_vs_dropout.report import Cell, Report, Table
        >>> quality = Table("quality", "Quality", ["arm", "error (%)"], [[Cell("ensemble"), Cell("3.2", number=3.2)]])
        >>> settings = Table("settings", "Settings", ["setting", "value"], [[Cell("members"), Cell("5")]])
        >>> report = Report("Which is better?", "mlp", [], [], quality, [], [], "", [], [settings], "evd compare", "")
        >>> report_markdown(report).splitlines()[:3]
        ['# Which is better?', '', 'mlp']
    """
    parts = [
        f"# {escape(report.title)}",
        escape(report.subtitle),
        *(_answer(report.answer) if report.answer else []),
        "\n".join(f"- {escape(str(paragraph))}" for paragraph in report.verdict),
        *(
            ["\n".join(f"- {one.code}, {escape(one.title)}: {escape(one.found)}" for one in report.checks)]
            * bool(report.checks)
        ),
        _section("##", report.quality),
        "## Figures",
        *map(_figure, report.figures),
        *(_section("##", table) for table in report.costs),
        "## Statistics",
        escape(report.tests),
        *(_section("###", table) for table in report.statistics),
        "## What was run",
        "\n".join(f"    {line}" for line in report.command.splitlines()),
        escape(report.command_note),
        *(_section("###", table) for table in report.settings),
    ]
    return visible("\n\n".join(parts) + "\n", but="\n")


def to_markdown(table: pd.DataFrame) -> str:
    """Return a table as Markdown; what Markdown or HTML would act on in a name is escaped.

    Example:
        >>> print(to_markdown(pd.DataFrame({"arm": ["ensemble"], "error (%)": ["3.2"]})))
        | arm      |   error (%) |
        |:---------|------------:|
        | ensemble |         3.2 |
    """
    return _aligned(table.map(lambda text: escape(str(text))))


def escape(text: str) -> str:
    r"""Return `text` in one line so that Markdown shows it as it is.

    Example:
        >>> print(escape("a|b <script> [x](y)"))
        a\|b &lt;script&gt; [x]\(y)
    """
    text = " ".join(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").split())
    return re.sub(r"([\\|*`]|(?<=\])\()", r"\\\1", text)


def _answer(answer: Answer) -> list[str]:
    limits = "\n".join(f"- {escape(str(choice))}." for choice in answer.limits)
    return [escape(" ".join(answer.sentences)), *(["Choose by your limit:", limits] if limits else []), "## Verdict"]


def _section(level: str, table: Table) -> str:
    cells = [[f"**{escape(str(cell))}**" if cell.best else escape(str(cell)) for cell in row] for row in table.rows]
    shown = _aligned(pd.DataFrame(cells, columns=[escape(column) for column in table.columns]))
    return f"{level} {escape(table.title)}\n\n{shown}\n\n{escape(table.note)}".rstrip()


def _figure(figure: Figure) -> str:
    picture = f"![{escape(figure.title)}](figures/{figure.name}.png)"
    return f"{picture}\n\n{escape(figure.caption)} {escape(figure.spread)}".rstrip()


def _aligned(table: pd.DataFrame) -> str:
    align = ["left"] + ["right"] * (table.shape[1] - 1)
    return table.to_markdown(index=False, disable_numparse=True, colalign=align)
