"""What the README and the pages of docs show, runs, and what they point to is there."""

import re
from pathlib import Path

import pytest
from called import as_before

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = {
    f"{page.stem}-{number}": block
    for page in PAGES
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL))
}


def test_the_readme_is_short_and_has_examples():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150
    assert {"README-0", "README-1", "README-2", "dropout-0", "your_data-0", "reading-0"} <= set(BLOCKS)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_python_block_runs(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with as_before():
        exec(compile(block, "<block>", "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_every_file_it_names_is_there(page):
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text())
    assert links or page.stem != "README"
    assert [link for link in links if not (page.parent / link).exists()] == []
