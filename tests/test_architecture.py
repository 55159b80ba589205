"""The house stays one house: arrows point one way, and heavy imports stay at the edge."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "ensemble_vs_dropout"
FLOORS = [  # lowest first: a room imports from lower floors alone, not from another of its own floor
    ["checks", "seeds", "types", "progress", "files"],
    ["measures", "datasets", "models"],
    ["training", "evaluation"],
    ["predictors"],
    ["plots", "report"],
    ["experiments"],
    ["commands"],
    ["cli", "studies", "__main__"],  # the first names of two rooms, for scripts that call them; the command
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
MAY_IMPORT = {
    "keras": {"models/backend", "datasets/fetching"},
    "tensorflow": {"models/backend", "experiments/comparing"},
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
    assert {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in files()} == set(FLOOR)


def test_a_folder_holds_more_than_one_file():
    for room in set(FLOOR) - set(FLOORS[0]) - set(FLOORS[-1]):
        assert len([*(PACKAGE / room).glob("*.py")]) > 2, room


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_arrows_point_down(path):
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for module in imported(path):
        if module.startswith("ensemble_vs_dropout.") and not module.endswith("__version__"):
            other = room(module)
            below = FLOOR[other] < FLOOR[own] or (FLOOR[other] == FLOOR[own] == 0)
            assert other == own or below, f"{path.name} imports {module}, which is not below it"


def private_names(tree):
    """Return the private names that a module gives to methods and attributes."""
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    defined = {node.name for one in classes for node in one.body if isinstance(node, ast.FunctionDef)}
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    defined |= {node.attr for node in attributes if isinstance(node.ctx, ast.Store)}
    return {name for name in defined if is_private(name)}


def is_private(name):
    return name.startswith("_") and not name.startswith("__") and name != "_"


@pytest.fixture(scope="module")
def private_names_of_rooms():
    rooms = {}
    for path in files():
        own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        rooms.setdefault(own, set()).update(private_names(ast.parse(path.read_text())))
    return rooms


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_private_name_crosses_a_room(path, private_names_of_rooms):
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    ours = set().union(*(names for room, names in private_names_of_rooms.items() if room != own))
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ensemble_vs_dropout"):
            names = [*node.module.split("."), *(alias.name for alias in node.names)]
            assert room(f"{node.module}.") == own or not [*filter(is_private, names)], ast.unparse(node)
        foreign = isinstance(node, ast.Attribute) and ast.unparse(node.value) not in ("self", "cls")
        if foreign and is_private(node.attr) and node.attr not in private_names_of_rooms[own]:
            assert node.attr not in ours, f"{path.name}, line {node.lineno}: {ast.unparse(node)}"


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
        ("import ensemble_vs_dropout.commands.main", {"tensorflow", "keras", "pandas", "numpy"}),
        ("import ensemble_vs_dropout.measures, ensemble_vs_dropout.evaluation", {"tensorflow", "keras", "matplotlib"}),
        ("import ensemble_vs_dropout.plots, ensemble_vs_dropout.experiments.comparison", {"tensorflow", "keras"}),
        ("import ensemble_vs_dropout.experiments.gallery", {"tensorflow", "keras"}),
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


def test_the_first_names_of_rooms_still_lead_to_them():
    from ensemble_vs_dropout import commands, experiments, studies
    from ensemble_vs_dropout.cli import main
    from ensemble_vs_dropout.studies.spec import parse_study

    assert studies.Store is experiments.Store
    assert parse_study is experiments.parse_study
    assert main is commands.main.main
