"""A run is a folder whose last act is `manifest.json`, with the sha256 of every file in it.

A folder without it is unfinished work to go on with; a file whose sum does not fit is told, removed and made again.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.files import digest_of_file, write_whole

State = Literal["new", "unfinished", "finished"]
_OWN = (
    "spec.json", "environment.json", "manifest.json", "models", "predictions", "figures", "histories.parquet",
    "scores.csv", "scores.parquet", "contrasts.csv", "contrasts.parquet", "cost.csv", "sizes.csv", "worth.csv",
    "equal_cost.csv", "diversity.csv", "verdict.txt", "table.md", "report.md", ".lock",
)  # fmt: skip


@contextmanager
def open_run(folder: Path, spec: dict[str, Any], force: bool = False) -> Iterator[tuple[State, list[str]]]:
    """Hold `folder` for the run described by `spec`; give its state, and the damaged files that were removed.

    Args:
        folder: Made if it is not there.
        spec: What the run is; a folder with another spec is another run.
        force: Remove what another run left in the folder; files that no run makes are never touched.

    Raises:
        InputError: The folder holds something else, another process is writing there, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"out {str(folder)!r} cannot be made: {error.strerror}") from error
    strangers = sorted(path.name for path in folder.iterdir() if path.name not in _OWN)
    if strangers and not (folder / "spec.json").exists() and not force:
        raise InputError(
            f"out {str(folder)!r} holds something else ({strangers[0]}); give an empty or new folder, or --force to "
            "write beside it"
        )
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise InputError(f"out {str(folder)!r} is being written by another process") from error
    except OSError as error:
        raise InputError(f"out {str(folder)!r} cannot be written: {error.strerror}") from error
    try:
        yield _claim(folder, spec, force)
    finally:
        lock.release()


def finish(folder: Path) -> None:
    """Write the manifest: from now on the run counts as finished."""
    sums = {str(path.relative_to(folder)): digest_of_file(path) for path in _files(folder)}
    write_whole(folder / "manifest.json", json.dumps(sums, indent=1).encode())


def damaged(folder: Path) -> list[str]:
    """Return the files of a finished run that are missing or changed since."""
    try:
        sums: dict[str, str] = json.loads((folder / "manifest.json").read_text())
    except ValueError:
        return ["manifest.json"]
    return [name for name, expected in sums.items() if digest_of_file(folder / name) != expected]


def _claim(folder: Path, spec: dict[str, Any], force: bool) -> tuple[State, list[str]]:
    path = folder / "spec.json"
    try:
        found = json.loads(path.read_text()) if path.exists() else None
    except json.JSONDecodeError:
        found = {}
    if found is None:
        taken = [name for name in _OWN if name != ".lock" and (folder / name).exists()]
        if taken:  # without spec.json it is no run, and what is not a run's is never removed
            raise InputError(f"out {str(folder)!r} holds {taken[0]!r}, which no run has written; give another folder")
    elif found != spec and not force:
        changed = sorted(k for k in {*spec, *found} if found.get(k) != spec.get(k))
        raise InputError(
            f"out {str(folder)!r} holds another run ({', '.join(changed)} differ); give another folder, or --force "
            "to replace it"
        )
    if force or found != spec:
        _clear(folder)
        write_whole(path, json.dumps(spec, indent=2).encode())
        return "new", []
    if not (folder / "manifest.json").exists():
        return "unfinished", []
    broken = damaged(folder)
    if not broken:
        return "finished", []
    for name in broken:
        file = folder / name
        file.unlink(missing_ok=True)
        file.with_name(f"{file.name.partition('.')[0]}.json").unlink(missing_ok=True)  # the mark of a finished member
    (folder / "manifest.json").unlink(missing_ok=True)
    write_whole(path, json.dumps(spec, indent=2).encode())
    return "unfinished", broken


def _clear(folder: Path) -> None:
    for name in _OWN:
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif name != ".lock":
            path.unlink(missing_ok=True)


def _files(folder: Path) -> list[Path]:
    roots = (folder / name for name in _OWN if name not in ("manifest.json", ".lock"))
    return sorted(p for root in roots for p in ([root] if root.is_file() else root.rglob("*")) if p.is_file())
