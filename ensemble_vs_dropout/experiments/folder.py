"""The folder of a comparison: the store of its runs, and beside it what is made of them.

    store.json runs/ ...            the store, see `store`
    comparison.json                 what was compared, and which runs it is a view of
    scores.csv ... report.md        tables, figures and report, all made of the runs
    manifest.json                   the sha256 of each of these; written last

Another comparison is refused, or with force takes its place: what is made of runs is replaced, and runs are kept.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.experiments.store import Store
from ensemble_vs_dropout.files import digest_of_file, write_whole

ASKED = "comparison.json"
_MADE = (
    ASKED, "environment.json", "figures", "histories.parquet", "scores.csv", "scores.parquet", "contrasts.csv",
    "contrasts.parquet", "cost.csv", "sizes.csv", "worth.csv", "equal_cost.csv", "diversity.csv", "conditions.csv",
    "verdict.txt", "table.md", "report.md",
)  # fmt: skip


def open_folder(folder: Path, asked: dict[str, Any], force: bool = False) -> Store:
    """Return the store in a folder, which from now on is the folder of this comparison.

    Args:
        folder: Made if it is not there.
        asked: What is compared, as JSON can hold it.
        force: Take the place of another comparison; its runs stay.

    Raises:
        InputError: The folder holds something else or another comparison, or cannot be written.
    """
    if is_of_first_format(folder):
        raise InputError(
            f"out {str(folder)!r} holds a comparison of version 0.1, which evd report and Comparison.load read; give "
            "another folder for a new one"
        )
    try:
        store = Store(folder, beside=(*_MADE, "manifest.json"))
    except InputError as error:
        raise InputError(str(error).replace("store", "out", 1)) from error
    found = read_asked(folder)
    if found == asked:
        return store
    if found and not force:
        raise InputError(
            f"out {str(folder)!r} holds another comparison ({', '.join(_changed(found, asked))} differ); give another "
            "folder, or --force to put this one in its place (the runs of both stay)"
        )
    (folder / "manifest.json").unlink(missing_ok=True)
    write_asked(folder, asked)
    return store


def is_of_first_format(folder: Path) -> bool:
    """Return whether a folder holds a comparison as version 0.1 wrote it."""
    return (folder / "spec.json").is_file() and not (folder / "store.json").exists()


def is_a_comparison(folder: Path) -> bool:
    """Return whether a folder holds a comparison, finished or not, of this format or the first."""
    return (folder / ASKED).exists() or is_of_first_format(folder)


def read_asked(folder: Path) -> dict[str, Any]:
    """Return what the comparison in a folder is, without the names of its runs; empty if there is none."""
    return {key: value for key, value in read_comparison(folder).items() if key not in ("runs", "chosen")}


def read_comparison(folder: Path) -> dict[str, Any]:
    """Return all that `comparison.json` holds; empty if it is not there or damaged."""
    try:
        found = json.loads((folder / ASKED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_asked(folder: Path, asked: dict[str, Any]) -> None:
    """Write what is compared."""
    write_whole(folder / ASKED, json.dumps(asked, indent=1).encode())


def finish(folder: Path) -> None:
    """Write the manifest: what is made of the runs is whole."""
    sums = {str(path.relative_to(folder)): digest_of_file(path) for path in _files(folder)}
    write_whole(folder / "manifest.json", json.dumps(sums, indent=1).encode())


def is_finished(folder: Path) -> bool:
    """Return whether all that is made of the runs is there, as it was written."""
    try:
        sums = json.loads((folder / "manifest.json").read_text())
    except (OSError, ValueError):
        return False
    made = {str(path.relative_to(folder)): path for path in _files(folder)}
    return isinstance(sums, dict) and {name: digest_of_file(path) for name, path in made.items()} == sums


def _files(folder: Path) -> list[Path]:
    roots = (folder / name for name in _MADE)
    return sorted(p for root in roots for p in ([root] if root.is_file() else root.rglob("*")) if p.is_file())


def _changed(found: dict[str, Any], asked: dict[str, Any]) -> list[str]:
    """Return the names of what differs, of settings one by one."""
    nested = ("settings", "facts")
    flat = [
        {**{k: v for k, v in one.items() if k not in nested}, **one.get("settings", {}), **one.get("facts", {})}
        for one in (found, asked)
    ]
    return sorted(key for key in {*flat[0], *flat[1]} if flat[0].get(key) != flat[1].get(key))
