"""The pages of docs make a site, all of them are in it, and the tests that they name are there."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
PAGES = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}


def listed(nav):
    """Yield the pages of a navigation, whatever it is nested in."""
    for entry in nav:
        (found,) = entry.values()
        if isinstance(found, list):
            yield from listed(found)
        else:
            yield found


def test_every_page_is_in_the_navigation_once():
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    assert sorted(listed(nav)) == sorted(PAGES)


@pytest.mark.slow
def test_the_site_is_made_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    written = (tmp_path / "site" / "api" / "predictors.html").read_text()
    assert 'id="ensemble_vs_dropout.predictors.ensemble.Ensemble.fit"' in written
    assert "whatever the strategy" in written.lower()
    for page in (tmp_path / "site").rglob("*.html"):  # nothing is asked of other servers
        assert not re.search(
            r'<(?:script|img)[^>]+src="https?:|<link[^>]+href="https?:[^>]+stylesheet', page.read_text()
        )


def test_every_test_that_a_promise_names_is_there():
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (ROOT / "docs" / "promises.md").read_text())
    assert len(named) > 20
    for file, test in named:
        tree = ast.parse((ROOT / file).read_text())
        assert not test or test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, (file, test)


@pytest.mark.slow
def test_a_promise_is_tried_as_often_as_its_line_says():
    text = (ROOT / "docs" / "promises.md").read_text()
    rows = [row for row in text.splitlines() if "`tests/" in row]
    named = {row: re.findall(r"`(tests/[^`]+)`", row) for row in rows}
    files = sorted({name.partition("::")[0] for names in named.values() for name in names})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    cases = [line.replace("[", "::").split("::")[:2] for line in done.stdout.splitlines() if "::" in line]
    for row, names in named.items():
        found = sum(case[0] == name or "::".join(case) == name for case in cases for name in names)
        assert row.endswith(f" {found:,} |"), (found, row)
