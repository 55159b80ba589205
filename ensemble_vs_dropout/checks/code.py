"""What the user's own code says: the file of a module, and those of the user's own that it imports."""

import ast
import hashlib
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

_PACKAGE = __name__.partition(".")[0]
_STDLIB = Path(sysconfig.get_path("stdlib")).resolve()
_INSTALLED = {"site-packages", "dist-packages"}
_WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def sums_of_code(module: str) -> dict[str, str]:
    """Return by name the sums of a module and of all of the user's own that it imports, found without importing any.

    A sum is of what a file says to Python: comments, docstrings and layout aside. Modules of the standard library and
    those that are installed are passed over, and so is what is not named in an import statement.

    Args:
        module: As Python imports it, from where the user stands or where Python looks.

    Returns:
        Nothing where the module has no file.

    Example:
        >>> from contextlib import chdir
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder, chdir(folder):
        ...     for name, text in (("sizes", "UNITS = 8"), ("nets", "import json, sizes  # mine")):
        ...         _ = Path(f"{name}.py").write_text(text)
        ...     found = sums_of_code("nets")
        ...     _ = Path("nets.py").write_text("import json, sizes")
        ...     [*found], sums_of_code("nets") == found
        (['nets', 'sizes'], True)
    """
    PathFinder.invalidate_caches()  # else a file of this moment may not be seen
    found: dict[str, str] = {}
    left = [module]
    while left:
        name = left.pop()
        file = file_of(name)
        if name in found or file is None or not _is_own(name, file, module):
            continue
        state = file.stat()
        found[name], imported = _read(file, state.st_mtime_ns, state.st_size)
        package = name if file.name == "__init__.py" else name.rpartition(".")[0]
        needed = {name.rpartition(".")[0], *(_absolute(package, level, word) for level, word in imported)}
        left += needed - {""}
    return found


def file_of(module: str) -> Path | None:
    """Return the file of a module, found without importing it; None if there is none."""
    *packages, name = module.split(".")
    folders = [str(Path(folder, *packages)) for folder in ("", *sys.path)]
    found = PathFinder.find_spec(name, folders)
    return Path(found.origin) if found and found.origin and Path(found.origin).is_file() else None


def _is_own(module: str, file: Path, first: str) -> bool:
    """Return whether a module that the first one leads to is of the user's own."""
    own, top = first.partition(".")[0], module.partition(".")[0]
    if module == first or (top == own != _PACKAGE):
        return True
    file = file.resolve()
    return top != _PACKAGE and not file.is_relative_to(_STDLIB) and not _INSTALLED & set(file.parts)


@lru_cache(maxsize=1024)
def _read(file: Path, *state: int) -> tuple[str, tuple[tuple[int, str], ...]]:
    """Return the sum of what a file says, and what it imports: how many packages up, and the name from there."""
    content, tree = file.read_bytes(), ast.Module([], [])
    # No Python, none of this version, too deeply nested, or with a number of thousands of digits: its text tells.
    with suppress(SyntaxError, ValueError, RecursionError):
        tree = ast.parse(content)
        content = repr(_said(tree)).encode()
    return hashlib.sha256(content).hexdigest(), tuple(_imported(tree))


def _said(node: Any) -> Any:
    """Return a syntax tree without places, docstrings and empty fields, which differ between versions of Python."""
    if isinstance(node, list):
        return [_said(one) for one in node]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = {name: value for name, value in ast.iter_fields(node) if value is not None and value != []}
    if isinstance(node, _WITH_DOCSTRING) and ast.get_docstring(node, clean=False) is not None:
        fields["body"] = node.body[1:]
    return type(node).__name__, [(name, _said(value)) for name, value in fields.items()]


def _imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.level, node.module or ""
            yield from ((node.level, f"{node.module or ''}.{alias.name}".strip(".")) for alias in node.names)
        elif isinstance(node, ast.Assign) and "__all__" in map(ast.unparse, node.targets):  # for `import *`
            yield from ((1, str(word.value)) for word in ast.walk(node.value) if isinstance(word, ast.Constant))


def _absolute(package: str, level: int, name: str) -> str:
    """Return the full name of what a module of a package imports."""
    parts = package.split(".") if level and package else []
    return ".".join([*parts[: max(0, len(parts) - level + 1)], *filter(None, [name])])
