"""Reports: tables, strings and SVG text in, text out; who writes the files is `Comparison.report`.

* `tables`: `Cell` and `Table`, what all formats show
* `words`: the tables of a comparison in words
* `figures`: `Figure`, its numbers in words, and its SVG as part of a page
* `contents`: `Report`, all parts of a report in their order, and the command that makes a run again
* `markdown`, `latex`, `html`: the same parts in each format

A new part is a field of `Report` and a line in each format.
"""

from ensemble_vs_dropout.report.contents import Report, compose
from ensemble_vs_dropout.report.figures import Figure
from ensemble_vs_dropout.report.html import report_html
from ensemble_vs_dropout.report.latex import latex_table
from ensemble_vs_dropout.report.markdown import report_markdown, to_markdown
from ensemble_vs_dropout.report.tables import Cell, Table
from ensemble_vs_dropout.report.words import cost_in_words, quality_in_words, result_table

__all__ = [
    "Cell",
    "Figure",
    "Report",
    "Table",
    "compose",
    "cost_in_words",
    "latex_table",
    "quality_in_words",
    "report_html",
    "report_markdown",
    "result_table",
    "to_markdown",
]
