"""What the user's own code says: of a module, and of all of the user's own that it imports."""

import pytest

from ensemble_vs_dropout.checks.code import sums_of_code

FILES = {
    "nets.py": "import json, numpy\nimport pack.deep.layers\nfrom pack import other\nfrom pack.names import NAME\n",
    "pack/__init__.py": "from . import first\n",
    "pack/first.py": "",
    "pack/other.py": "from .deep import *\nfrom ..beyond import nothing\n",
    "pack/names.py": "NAME = 1\n",
    "pack/unused.py": "",
    "pack/deep/__init__.py": "__all__ = ['starred']\n",
    "pack/deep/starred.py": "",
    "pack/deep/layers.py": "from ..cycle import A\nfrom .. import up\n",
    "pack/cycle.py": "import nets\n",
    "pack/up.py": "def f():\n    import late\n",
    "late.py": "",
    "site-packages/installed.py": "",
}
FOUND = {
    "nets", "pack", "pack.first", "pack.other", "pack.names", "pack.deep", "pack.deep.layers", "pack.deep.starred",
    "pack.cycle", "pack.up", "late",
}  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path / "site-packages")
    return tmp_path


def test_all_modules_of_ones_own_that_are_imported_are_found_and_no_others(folder):
    (folder / "late.py").write_text("import installed, ensemble_vs_dropout.models, sys, keras\n")
    assert set(sums_of_code("nets")) == FOUND


def test_imports_are_found_beside_a_number_that_is_not_written_out(folder):
    (folder / "late.py").write_text("import sizes\nX = 0x" + "f" * 5000)
    (folder / "sizes.py").write_text("A = 1")
    assert set(sums_of_code("late")) == {"late", "sizes"}


def test_an_installed_package_is_known_by_all_of_itself(folder):
    (folder / "site-packages" / "installed.py").write_text("import late, numpy")
    assert set(sums_of_code("installed")) == {"installed", "late"}
    assert set(sums_of_code("statistics")) == {"statistics"}
    assert set(sums_of_code("ensemble_vs_dropout.seeds")) == {"ensemble_vs_dropout.seeds"}


def test_what_has_no_file_has_no_sum():
    for module in ("sys", "no_such_module", "", "<mine", "a b", "..", "x" * 5000, "a\x00b"):
        assert sums_of_code(module) == {}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("x = 1", "x = 1  # one", True),
        ("x = [1,\n  2]", "\n\nx = [1, 2]", True),
        ("x = 'a' 'b'", 'x = "ab"', True),
        ("def f():\n  'Say.'\n  return 1", "def f():\n  return 1", True),
        ("class A:\n  'Say.'\n  x = 1", "class A:\n  '''Say more.'''\n  x = 1", True),
        ("'Say.'\nx = 1", "x = 1", True),
        ("x = 1", "x = 1.0", False),
        ("x = 0.0", "x = -0.0", False),
        ("x = True", "x = 1", False),
        ("x = 'a'", "x = b'a'", False),
        ("f(**a)", "f(a=a)", False),
        ("x = a", "x = b", False),
        ("return_ = None", "return_ = ...", False),
        ("def f(a, *, b=1): pass", "def f(a, b=1): pass", False),
        ("x = {**a, 1: 2}", "x = {1: 2, **a}", False),
        ("x: int = 1", "x = 1", False),
        ("x = (", "x = ( ", False),  # no Python: its text tells
        ("x = " + "-" * 3000 + "1", "x = " + "-" * 3001 + "1", False),  # too deep to be read
    ],
)
def test_a_sum_is_of_what_a_file_says_to_python(tmp_path, monkeypatch, one, other, same):
    monkeypatch.chdir(tmp_path)
    sums = []
    for text in (one, other):
        (tmp_path / "said.py").write_text(text)
        sums.append(sums_of_code("said"))
    assert (sums[0] == sums[1]) is same
