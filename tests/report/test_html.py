import base64
import hashlib
import re
from html.parser import HTMLParser
from itertools import pairwise

import pandas as pd
import pytest

from ensemble_vs_dropout.evaluation.verdict import Paragraph
from ensemble_vs_dropout.report import Figure, report_html
from ensemble_vs_dropout.report.figures import inline_svg

VOID = {"meta", "link", "br", "hr", "img", "input"}
SVG = """<?xml version="1.0"?><!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/x.dtd">
<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 1 1" width="1pt">
<metadata>https://matplotlib.org</metadata><style>*{fill: red}</style>
<clipPath id="p1"/><path id="m1" clip-path="url(#p1)" style="fill: #ffffff"/><use xlink:href="#m1"/>
<text>&lt;b&gt;\x01</text></svg>"""


class Page(HTMLParser):
    """Every element with its attributes and its own text; fails where tags do not close in order."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open = [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes), []))
        if tag not in VOID:
            self.open.append((tag, self.elements[-1]))

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes), []))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if self.open:
            self.open[-1][1][2].append(data)

    def all(self, tag):
        return [(attributes, "".join(text)) for name, attributes, text in self.elements if name == tag]


@pytest.fixture(scope="module")
def text(content):
    return report_html(content)


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def test_markup_in_names_is_text_wherever_it_comes_from(text, page, evil):
    assert len(page.all("script")) == 1
    assert not [name for _, attributes, _ in page.elements for name in attributes if name.startswith("on")]
    assert any(evil in said for _, said in page.all("title"))  # the data set's name
    assert any(evil in said for _, said in page.all("td"))  # a class's name
    assert any("<script>alert(" in said for _, said in page.all("code"))  # the file's name
    assert any(evil in attributes.get("aria-label", "") for attributes, _ in page.all("svg"))
    assert "<script>alert" not in text


def test_no_script_but_the_pages_own_may_run(page):
    ((_, script),) = page.all("script")
    policy = next(a["content"] for a, _ in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert "default-src 'none'" in policy
    assert re.findall(r"script-src ([^;]+);", policy) == [f"'sha256-{digest}'"]


def test_nothing_is_asked_from_outside(text, page):
    links = [a[name] for _, a, _ in page.elements for name in ("href", "src", "srcset", "action") if name in a]
    assert all(link.startswith("#") or link == "data:," for link in links)
    assert re.findall(r"@import|url\((?!#)", text) == []


def test_a_page_can_be_mailed(text):
    assert 50_000 < len(text.encode()) < 5_000_000


def test_headings_come_in_order_and_there_is_one_first(page):
    levels = [int(tag[1]) for tag, _, _ in page.elements if re.fullmatch(r"h\d", tag)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(below - above <= 1 for above, below in pairwise(levels))


def test_the_answer_stands_first_and_the_settings_last(page, content):
    headings = [said for _, said in page.all("h2")]
    assert headings == ["Answer", "Verdict", "Quality and cost", "Figures", "Cost", "Statistics", "What was run"]
    answer = next(index for index, (_, a, _) in enumerate(page.elements) if a.get("class") == "answer")
    assert "".join(page.elements[answer][2]) == content.answer.sentences[0]


def test_every_id_is_there_once_and_every_reference_finds_one(text, page):
    ids = [attributes["id"] for _, attributes, _ in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    wanted = {a[name].lstrip("#") for _, a, _ in page.elements for name in ("href", "aria-labelledby") if name in a}
    wanted |= set(re.findall(r"url\(#([^)]+)\)", text))
    assert wanted - {"data:,"} <= set(ids)
    assert len([one for one in ids if one.startswith("arm_intervals-wide-")]) > 10


def test_every_figure_has_its_numbers_in_words_and_as_a_table(page, content):
    pictures = [picture for picture in page.all("svg") if picture[0].get("aria-hidden") != "true"]
    assert len(pictures) == 2 * len(content.figures) == 6
    for attributes, _ in pictures:
        assert attributes["role"] == "img"
        assert re.search(r"lowest \d.* highest \d", attributes["aria-label"])
    captions = " ".join(said for _, said in page.all("p"))
    assert all(" ".join(figure.caption.split()) in captions for figure in content.figures)
    assert len([a for a, _ in page.all("caption") if a["id"].endswith("-numbers-caption")]) == 3


def test_every_table_has_a_caption_headings_and_a_region_to_scroll(page):
    tables = page.all("table")
    assert len(tables) == len(page.all("caption")) == 2 + 3 + 3 + 5 + 2
    regions = [a for a, _ in page.all("div") if a.get("role") == "region"]
    assert len(regions) == len(tables)
    assert all(region["tabindex"] == "0" and region["aria-labelledby"] for region in regions)
    assert {a["scope"] for a, _ in page.all("th")} == {"col", "row"}


def test_numbers_are_sorted_by_value_and_what_is_infinite_has_none(page):
    cells = {said.strip(): a.get("data-sort") for a, said in page.all("td") if "number" in a.get("class", "")}
    assert cells["1,234"] == "1234.0"
    assert "infinite" in cells
    assert cells["infinite"] is None


def test_a_verdict_of_one_line_and_a_report_without_figures_make_a_page(content):
    from dataclasses import replace

    page = Page(report_html(replace(content, verdict=[Paragraph("Nothing to compare.")], figures=[], checks=[])))
    assert any(said.strip() == "Nothing to compare." for _, said in page.all("p"))


def test_of_very_many_numbers_the_page_shows_the_first_and_says_so(content):
    from dataclasses import replace

    numbers = pd.concat([content.figures[0].numbers] * 30)
    text = report_html(replace(content, figures=[replace(content.figures[0], numbers=numbers)]))
    assert f"The first 300 of {len(numbers)} rows" in text


def test_the_same_report_gives_the_same_page(content, text):
    assert report_html(content) == text


def test_a_drawing_becomes_part_of_a_page_without_touching_the_rest_of_it():
    text = inline_svg(SVG, "mine", 'a "name"')
    assert 'id="mine-m1"' in text
    assert 'href="#mine-m1"' in text
    assert "url(#mine-p1)" in text
    assert 'aria-label="a &quot;name&quot;"' in text
    assert "&lt;b&gt;</text>" in text
    assert "fill: #ffffff" in text
    assert not any(part in text for part in ("style>", "metadata", "http", "DOCTYPE", "ns0", "1pt"))


def test_a_figure_without_values_is_described_by_its_title():
    assert Figure("f", "What is shown", "Caption.", pd.DataFrame({"x": [1]})).alternative == "What is shown."
