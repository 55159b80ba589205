"""The folder of a comparison: the store of its runs, and beside it what is made of them.

    store.json runs/ ...            the store, see `store`
    comparison.json                 what was compared, and which runs it is a view of
    scores.csv ... report.md        tables, figures and report, all made of the runs
    manifest.json                   the sha256 of each of these; written last
    report.html                     the page, which the command `evd compare` adds

Another comparison is refused, or with force takes its place: what is made of runs is replaced, and runs are kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.experiments.plan import Run
from ensemble_vs_dropout.experiments.store import Store
from ensemble_vs_dropout.files import digest_of_file, parsed, read_file, remove, write_whole

ASKED = "comparison.json"
PAGE = "report.html"  # is made of the rest, and no part of what makes a folder whole
_MADE = (
    ASKED, "environment.json", "figures", "histories.parquet", "scores.csv", "scores.parquet", "contrasts.csv",
    "contrasts.parquet", "cost.csv", "sizes.csv", "worth.csv", "equal_cost.csv", "diversity.csv", "conditions.csv",
    "verdict.txt", "table.md", "report.md",
)  # fmt: skip


def open_folder(folder: Path) -> Store:
    """Return the store in a folder, which is made if it is not there.

    Raises:
        InputError: The folder holds something else, or cannot be written.
    """
    if is_of_first_format(folder):
        raise InputError(
            f"out {str(folder)!r} holds a comparison of version 0.1, which evd report and Comparison.load read; give "
            "another folder for a new one"
        )
    try:
        return Store(folder, beside=(*_MADE, PAGE, "manifest.json"))
    except InputError as error:
        raise InputError(str(error).replace("store", "out", 1)) from error


def claim(folder: Path, asked: dict[str, Any], force: bool = False) -> None:
    """Make a folder that is held the folder of this comparison.

    Args:
        folder: As `open_folder` took it.
        asked: What is compared, as `asked_of` gives it.
        force: Take the place of another comparison: what is made of its runs is removed, and the runs stay.

    Raises:
        InputError: The folder holds another comparison.
    """
    found = read_asked(folder)
    if found == asked:
        return
    if found and not force:
        raise InputError(
            f"out {str(folder)!r} holds another comparison ({', '.join(_changed(found, asked))} differ); give another "
            "folder, or --force to put this one in its place (the runs of both stay)"
        )
    (folder / "manifest.json").unlink(missing_ok=True)
    for name in (*_MADE, PAGE) if found else ():
        if name != ASKED:  # stays to the end, so that the same call goes on from here
            remove(folder / name)
    write_asked(folder, asked)


def asked_of(settings: Mapping[str, Any], repetitions: int, facts: Mapping[str, str], run: Run) -> dict[str, Any]:
    """Return what a comparison is, as JSON can hold it: its settings, and digests of data and network.

    Args:
        settings: Those that are not as by default.
        repetitions: How many.
        facts: Digests of what exists in Python alone.
        run: One of its runs, whose spec has the digests of files.
    """
    files = {key: value for key, value in run.spec.items() if key.endswith("_sha256")}
    return {
        "format": 1, "settings": dict(settings), "repetitions": repetitions, "facts": dict(facts), "files": files,
    }  # fmt: skip


def has_changed(folder: Path) -> bool:
    """Return whether `comparison.json` is another than the manifest says."""
    try:
        sums = parsed(read_file(folder / "manifest.json"))
        return bool(sums[ASKED] != digest_of_file(folder / ASKED))
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return True


def is_of_first_format(folder: Path) -> bool:
    """Return whether a folder holds a comparison as version 0.1 wrote it."""
    return (folder / "spec.json").is_file() and not (folder / "store.json").exists()


def is_a_comparison(folder: Path) -> bool:
    """Return whether a folder holds a comparison, finished or not, of this format or the first."""
    return (folder / ASKED).exists() or is_of_first_format(folder)


FOUND = ("runs", "chosen", "trials", "probes")  # what a finished comparison adds to what was asked for


def read_asked(folder: Path) -> dict[str, Any]:
    """Return what the comparison in a folder is, without the names of its runs; empty if there is none."""
    return {key: value for key, value in read_comparison(folder).items() if key not in FOUND}


def read_comparison(folder: Path) -> dict[str, Any]:
    """Return all that `comparison.json` holds; empty if it is not there or damaged."""
    try:
        found = parsed(read_file(folder / ASKED))
    except (FileNotFoundError, NotADirectoryError, ValueError):
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
        sums = parsed(read_file(folder / "manifest.json"))
    except (OSError, ValueError):
        return False
    made = {str(path.relative_to(folder)): path for path in _files(folder)}
    return isinstance(sums, dict) and {name: digest_of_file(path) for name, path in made.items()} == sums


def _files(folder: Path) -> list[Path]:
    roots = (folder / name for name in _MADE)
    return sorted(p for root in roots for p in ([root] if root.is_file() else root.rglob("*")) if p.is_file())


_TOLD = {"builder_sha256": "network", "data_sha256": "data", "other_sha256": "other data"}


def _changed(found: dict[str, Any], asked: dict[str, Any]) -> list[str]:
    """Return the names of what differs, of settings one by one."""
    nested = ("settings", "facts", "files")
    flat = [
        {
            **{k: v for k, v in one.items() if k not in nested},
            **{k: v for name in nested for k, v in one.get(name, {}).items()},
        }
        for one in (found, asked)
    ]
    return sorted(_TOLD.get(key, key) for key in {*flat[0], *flat[1]} if flat[0].get(key) != flat[1].get(key))
