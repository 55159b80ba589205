import shutil
import subprocess

import pytest

from ensemble_vs_dropout.report import Cell, Table, latex_table
from ensemble_vs_dropout.report.latex import escape

NAME = 'a_b & 50% $x$ #1 {y} ~z ^w \\input{/etc} <|> "q"'
TABLE = Table(
    "quality",
    "Quality",
    ["arm", "error (%)", "passes"],
    [[Cell(NAME), Cell("-1.20", "[-2.00, 0.50]", -1.2, best=True), Cell("5.5e+08", number=5.5e8)],
     [Cell("other"), Cell("infinite"), Cell("< 0.001", number=0.0)]],
    "Bold: 95 %.",
)  # fmt: skip


def test_controls_stand_as_escapes():
    assert escape("a\x1b[31m\u202eb\nc") == r"a\textbackslash{}x1b[31m\textbackslash{}u202eb c"


def test_the_rules_are_those_of_booktabs_and_each_row_has_all_its_columns():
    text = latex_table(TABLE, "Quality.")
    assert [text.count(rf"\{rule}rule") for rule in ("top", "mid", "bottom")] == [1, 1, 1]
    assert r"\usepackage{booktabs}" in text
    assert r"\begin{tabular}{@{}lrr@{}}" in text
    rows = [line for line in text.splitlines() if line.endswith((r"\\", r"\\[2pt]"))]
    assert [line.replace(r"\&", "").count("&") for line in rows] == [2] * 4  # head, row, its intervals, row


def test_bold_minus_powers_and_intervals_are_typeset():
    text = latex_table(TABLE, "Quality.")
    assert r"\textbf{\ensuremath{-}1.20}" in text
    assert r"{\scriptsize [\ensuremath{-}2.00, 0.50]}" in text
    assert r"5.5\ensuremath{\times 10^{8}}" in text
    assert r"\ensuremath{<} 0.001" in text
    assert r"Bold: 95 \%." in text


def test_every_special_character_of_a_name_is_escaped():
    assert escape(NAME) == (
        r"a\_b \& 50\% \$x\$ \#1 \{y\} \textasciitilde{}z \textasciicircum{}w \textbackslash{}input\{/etc\} "
        r"\textless{}\textbar{}\textgreater{} \textquotedbl{}q\textquotedbl{}"
    )
    assert escape("two\n\nparagraphs") == "two paragraphs"


def test_columns_without_intervals_can_be_left_out():
    text = latex_table(TABLE, "Quality.", quality_only=True)
    assert "{@{}lr@{}}" in text
    assert "passes" not in text


def test_a_long_heading_stands_on_several_lines():
    table = Table("t", "T", ["arm", "trained examples in %"], [[Cell("a"), Cell("1", number=1.0)]])
    assert r"arm & \shortstack[r]{trained\\examples in \%} \\" in latex_table(table, "")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here")
def test_all_tables_of_a_report_compile(content, tmp_path):
    tables = [latex_table(table, NAME, quality_only=table.name == "quality") for table in [TABLE, *content.tables]]
    packages = "".join(rf"\usepackage{{{name}}}" for name in ("booktabs", "graphicx"))
    document = rf"\documentclass{{article}}\usepackage[T1]{{fontenc}}{packages}\begin{{document}}"
    (tmp_path / "all.tex").write_text(document + "\n\\clearpage\n".join(tables) + r"\end{document}", encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout
