"""The house stays one house: arrows point one way, and heavy imports stay at the edge."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "ensemble_vs_dropout"
# From left to right; a room may import from its own name and from what stands to its left.
ROOMS = [
    "checks", "seeds", "types", "keras_backend", "graphs", "multiply_adds", "memory", "measures", "datasets",
    "progress", "heads", "copies", "inputs", "random_draws", "random_layers", "classic_dropout", "networks",
    "fusion", "prediction", "training", "inference", "ways", "classifier", "evaluation", "plots", "report", "runs",
    "results", "comparison", "studies", "figures", "study_commands", "cli",
]  # fmt: skip
MAY_IMPORT = {
    "keras": {"keras_backend", "datasets/fetching"},
    "tensorflow": {"keras_backend", "comparison"},
    "matplotlib": {"plots"},
    "seaborn": {"plots"},
}


def files():
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def imported(path, type_checking=False):
    """Yield the modules that a file imports, those for type checking left out."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            if node.module == "ensemble_vs_dropout":
                yield from (f"ensemble_vs_dropout.{alias.name}" for alias in node.names)


def room(module):
    return module.split(".")[1] if module.count(".") else None


def test_every_room_has_its_place():
    assert {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in files()} == set(ROOMS)


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_arrows_point_one_way(path):
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for module in imported(path):
        if module.startswith("ensemble_vs_dropout.") and not module.endswith("__version__"):
            assert ROOMS.index(room(module)) <= ROOMS.index(own), f"{path.name} imports {module}, to its right"


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_heavy_libraries_are_imported_only_where_they_belong(path):
    relative = path.relative_to(PACKAGE)
    names = {relative.parts[0].removesuffix(".py"), str(relative.with_suffix(""))}
    for module in imported(path):
        allowed = MAY_IMPORT.get(module.split(".")[0])
        assert allowed is None or names & allowed, f"{relative} imports {module}"


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        ("import ensemble_vs_dropout", {"tensorflow", "keras", "pandas", "numpy"}),
        ("import ensemble_vs_dropout.cli", {"tensorflow", "keras", "pandas", "numpy"}),
        ("import ensemble_vs_dropout.measures, ensemble_vs_dropout.evaluation", {"tensorflow", "keras", "matplotlib"}),
        ("import ensemble_vs_dropout.plots, ensemble_vs_dropout.results", {"tensorflow", "keras"}),
        ("import ensemble_vs_dropout.figures", {"tensorflow", "keras"}),
        ("import ensemble_vs_dropout.datasets", {"tensorflow", "keras", "pandas", "sklearn"}),
    ],
)
def test_importing_a_light_room_leaves_heavy_libraries_out(code, unwanted):
    command = f"{code}; import sys; print(*sorted(set(sys.modules) & {unwanted!r}))"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_every_public_name_is_there():
    import ensemble_vs_dropout as evd

    assert all(getattr(evd, name) is not None for name in evd.__all__)
    assert set(evd.__all__) <= set(dir(evd))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = evd.nonsense
