import pandas as pd

from ensemble_vs_dropout.report import report_markdown, to_markdown


def cells(line):
    return [cell.strip() for cell in line.replace("\\|", "\0").strip("|").split("|")]


def test_a_bar_in_a_name_is_escaped_and_the_columns_stay():
    table = pd.DataFrame({"arm": ["a|b", "c"], "error": ["1", "2|3"]})
    lines = to_markdown(table).splitlines()
    assert len(lines) == 4
    assert "a\\|b" in lines[2]
    assert "2\\|3" in lines[3]
    assert all(len(cells(line)) == 2 for line in lines)


def test_numbers_in_words_are_not_rewritten():
    text = to_markdown(pd.DataFrame({"arm": ["1e3", "007"], "passes": ["12,345", "0.10 [0.05, 0.15]"]}))
    assert all(word in text for word in ("1e3", "007", "12,345", "0.10 [0.05, 0.15]"))


def test_markup_and_links_in_names_are_shown_and_not_followed():
    text = to_markdown(pd.DataFrame({"arm": ["<b>&", "[x](y)", "`c`", "d\ne"]}))
    assert all(word in text for word in ("&lt;b&gt;&amp;", "[x]\\(y)", "\\`c\\`", "d e"))
    assert len(text.splitlines()) == 6


def test_the_report_gives_answer_and_verdict_first_and_what_was_run_last(plain_content):
    text = report_markdown(plain_content)
    parts = [
        "# N independent networks", plain_content.answer.sentences[0], "Choose by your limit:", "## Verdict",
        "- The averaged ensemble against MC dropout", "## Quality and cost", "## Figures",
        "figures/arm_intervals.png", "## Cost", "## Diversity", "## Statistics", "over networks and examples",
        "## What was run", "evd compare --dataset", "a\\|b", "Linux x86_64",
    ]  # fmt: skip
    order = [text.index(part) for part in parts]
    assert order == sorted(order)
    assert text.endswith("\n")


def test_every_table_of_the_report_keeps_its_columns(plain_content):
    tables = [part for part in report_markdown(plain_content).split("\n\n") if part.startswith("|")]
    assert len(tables) == 3 + 5 + 2
    for table in tables:
        assert len({len(cells(line)) for line in table.splitlines()}) == 1


def test_what_is_shown_to_be_best_is_bold(plain_content):
    line = next(line for line in report_markdown(plain_content).splitlines() if line.startswith("| ensemble, mean"))
    assert "**" in line


def test_names_like_markup_reach_the_report_as_text(content, evil):
    text = report_markdown(content)
    assert evil not in text.split("    evd compare")[0]
    assert "&lt;script&gt;alert('it')&lt;/script&gt;" in text
