"""The page in a real browser: what it asks for, how it sorts, and whom it shuts out."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from ensemble_vs_dropout.report import report_html

CHROMIUM = os.environ.get("EVD_CHROMIUM") or shutil.which("chromium")
AXE = Path(
    os.environ.get("EVD_AXE") or Path(__file__).parent.parent.parent / "node_modules" / "axe-core" / "axe.min.js"
)
QUIET = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium, or set EVD_CHROMIUM"),
]


@pytest.fixture(scope="module")
def chromium():
    playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright here: pip install playwright")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def file(content, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(report_html(content), encoding="utf-8")
    return path


@pytest.fixture
def visit(chromium, file):
    """Open the page anew; what it says and asks for is kept in `said` and `asked`."""
    contexts = []

    def open_page(width=1280, height=900, unfolded=True, **settings):
        contexts.append(chromium.new_context(viewport={"width": width, "height": height}, **settings))
        page = contexts[-1].new_page()
        page.said, page.asked = [], []
        page.on("console", lambda message: page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.on("dialog", lambda dialog: (page.said.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(file.as_uri())
        if unfolded:
            page.locator("section > details").evaluate_all("all => all.forEach(one => one.open = true)")
        return page

    yield open_page
    for context in contexts:
        context.close()


def column(page, number):
    return page.locator(f"#quality tbody tr > :nth-child({number})").all_inner_texts()


def values(page, number):
    cells = page.locator(f"#quality tbody tr > :nth-child({number})")
    return [float(value) if value else None for value in cells.evaluate_all("c => c.map(x => x.dataset.sort)")]


def test_the_page_says_nothing_and_asks_for_nothing(visit, file):
    page = visit()
    page.get_by_role("button", name="error (%)").first.click()
    page.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")
    page.wait_for_timeout(200)
    assert page.said == []
    assert [url for url in page.asked if not url.startswith("data:")] == [file.as_uri()]


def test_nothing_may_be_asked_for_even_if_something_tried(visit):
    page = visit()
    page.evaluate("document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.1:9/x.png'}))")
    page.evaluate("document.body.append(Object.assign(document.createElement('script'), {text: 'window.ran = 1'}))")
    page.wait_for_timeout(200)
    assert page.evaluate("window.ran") is None
    assert len([line for line in page.said if "Content Security Policy" in line]) == 2


@pytest.mark.parametrize(("width", "height", "screens"), [(1280, 900, 1), (375, 812, 2)])
def test_the_answer_the_planned_questions_and_the_costs_stand_on_the_first_screens(visit, width, height, screens):
    page = visit(width, height, unfolded=False)
    for part in (".answer", ".told", ".forest", "#paid-caption", ".beside .scroll:last-child"):
        box = page.locator(f"#answer {part}").bounding_box()
        assert box["y"] + box["height"] <= screens * height, part
    assert page.locator("section > details[open]").count() == 0  # the rest is folded


@pytest.mark.parametrize("part", ["quality", "figures", "arm_intervals", "run"])
def test_a_folded_part_opens_when_it_is_gone_to(visit, part):
    page = visit(unfolded=False)
    shown = page.locator("#quality table, #figures figure, #run pre")
    assert shown.first.is_visible() is False
    page.evaluate(f"location.hash = {part!r}")
    page.wait_for_timeout(200)
    assert page.locator("section > details[open]").count() == 1
    assert page.locator(f"#{part}").is_visible()


def test_bars_stand_where_their_numbers_are(visit, content):
    page, box = visit(), "p => { const box = p.getBBox(); return { x: box.x, width: box.width }; }"
    for number, found in enumerate(content.answer.planned):
        for place, one in enumerate(found):
            cell = page.locator(f".forest tbody tr:nth-child({number + 1}) td:nth-child({place + 2})")
            if not np.isfinite(one.value):
                assert "infinite" in cell.inner_text()
                assert cell.locator("svg").count() == 0
                continue
            zero, bar, dot = (cell.locator(f".{kind}").evaluate(box) for kind in ("zero", "bar", "dot"))
            assert np.sign(round(dot["x"] - zero["x"], 1)) in (0, np.sign(one.value))
            assert bar["x"] - 0.1 <= dot["x"] <= bar["x"] + bar["width"] + 0.1
            inside = bar["x"] + 0.1 < zero["x"] < bar["x"] + bar["width"] - 0.1
            assert inside == (one.low < 0 < one.high)


def test_a_click_sorts_by_number_up_then_down_then_as_it_was(visit):
    page = visit()
    before = column(page, 1)
    head = page.locator("#quality thead th:nth-child(2)")
    button = page.locator("#quality").get_by_role("button", name="error (%)")
    button.click()
    assert values(page, 2) == sorted(values(page, 2))
    assert column(page, 1) != before
    assert head.get_attribute("aria-sort") == "ascending"
    button.click()
    assert values(page, 2) == sorted(values(page, 2), reverse=True)
    assert head.get_attribute("aria-sort") == "descending"
    button.click()
    assert column(page, 1) == before
    assert head.get_attribute("aria-sort") is None


def test_the_keyboard_reaches_a_heading_and_sorts_with_enter_and_with_space(visit):
    page = visit()
    page.locator("#quality .scroll").focus()
    for key, direction in (("Enter", "ascending"), ("Space", "descending")):
        if direction == "ascending":
            page.keyboard.press("Tab")
            page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "error (%)"
        page.keyboard.press(key)
        assert page.locator("#quality thead th:nth-child(2)").get_attribute("aria-sort") == direction


def test_what_is_infinite_stands_last_in_both_directions_and_only_one_heading_is_sorted(visit):
    page = visit()
    page.locator("#quality").get_by_role("button", name="error (%)").click()
    button = page.locator("#quality").get_by_role("button", name="NLL (nats)", exact=True)
    for sign in (1, -1):
        button.click()
        numbers = values(page, 3)
        known = [number for number in numbers if number is not None]
        assert len(known) < len(numbers)
        assert numbers[: len(known)] == sorted(known, key=lambda number: sign * number)
    assert page.locator("#quality th[aria-sort]").count() == 1


def test_what_has_no_number_stands_last_wherever_it_stood(visit):
    script = """sign => {
        const rows = ["", "2", "", "10", "1", ""].map((number, place) => {
            const row = document.createElement("tr");
            row.insertCell().textContent = number || "infinite " + place;
            if (number) row.cells[0].dataset.sort = number;
            return row;
        });
        return sorted(rows, 0, sign).map((row) => row.textContent);
    }"""
    infinite = ["infinite 0", "infinite 2", "infinite 5"]
    page = visit()
    assert page.evaluate(script, 1) == ["1", "2", "10", *infinite]
    assert page.evaluate(script, -1) == ["10", "2", "1", *infinite]


def test_equal_rows_keep_their_order_in_both_directions(visit):
    page = visit()
    before = column(page, 1)
    button = page.locator("#quality").get_by_role("button", name="parameters", exact=True)
    for _ in range(2):
        button.click()
        assert column(page, 1) == before  # all arms have as many


def test_words_are_sorted_as_words(visit):
    page = visit()
    page.locator("#quality").get_by_role("button", name="arm", exact=True).click()
    assert column(page, 1) == sorted(column(page, 1), key=str.lower)


def test_without_scripts_the_tables_are_plain_and_complete(visit, content):
    page = visit(java_script_enabled=False)
    assert page.locator("#quality button, .hint:visible").count() == 0
    assert len(column(page, 1)) == len(content.quality.rows)


@pytest.mark.parametrize("width", [320, 375, 768, 1280])
def test_the_page_never_scrolls_sideways(visit, width):
    page = visit(width)
    page.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.body.scrollWidth") <= width
    shown = page.locator("figure svg:visible")
    assert shown.count() == 3  # of the wide and the narrow drawing one


def test_a_wide_table_scrolls_in_its_own_region_with_the_keyboard(visit):
    page = visit(375)
    region = page.locator("#quality .scroll")
    assert region.evaluate("r => r.scrollWidth > r.clientWidth")
    region.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(300)
    assert region.evaluate("r => r.scrollLeft") > 0


def test_on_paper_all_contrasts_are_shown_and_nothing_is_cut_off(visit):
    page = visit(700)
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#statistics table:visible").count() == 5
    assert page.locator("nav:visible").count() == 0
    assert page.locator(".scroll").evaluate_all("all => all.every(r => r.scrollWidth <= r.clientWidth + 1)")
    assert page.evaluate("document.documentElement.scrollWidth") <= 700


@pytest.mark.skipif(not AXE.is_file(), reason="no axe-core here: npm install axe-core, or set EVD_AXE to axe.min.js")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1280])
def test_axe_finds_nothing_that_shuts_people_out(visit, scheme, width):
    page = visit(width, color_scheme=scheme)
    page.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run().then(r => ({passed: r.passes.map(p => p.id), violated: r.violations}))")
    assert {"color-contrast", "heading-order", "svg-img-alt", "scrollable-region-focusable"} <= set(found["passed"])
    assert [(one["id"], one["impact"], one["nodes"][0]["html"]) for one in found["violated"]] == []
