"""Reading npz files: every array of one, and never a pickle."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.files import DAMAGED_ARCHIVE, check_archive


def read_npz(path: Path) -> dict[str, npt.NDArray[np.generic]]:
    """Return the arrays in the npz file at `path` by name, or raise `InputError` saying what is wrong."""
    check_file(path)
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path} is not a whole npz file: {_guess(path)}; write it with numpy.savez")
    try:
        check_archive(path)
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {key: _read_member(path, archive, key) for key in archive.files}
    except InputError:
        raise
    except (*DAMAGED_ARCHIVE, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{path} is damaged: {reason}; write or copy it again") from error


def check_file(path: Path) -> None:
    """Raise `InputError` unless `path` is a file with something in it."""
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise InputError(f"the data file {str(path)!r} {what}; give the path of an npz, csv or parquet file")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty; give a file with data in it")


def _read_member(path: Path, archive: np.lib.npyio.NpzFile, key: str) -> npt.NDArray[np.generic]:
    try:
        member = archive[key]
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise _refused(path, key) from error
        raise
    # NumPy hands back the raw bytes of a member that is not an array.
    if not isinstance(member, np.ndarray):
        raise _refused(path, key)
    return member


def _refused(path: Path, key: str) -> InputError:
    return InputError(
        f"{path} holds {key!r} as Python objects (a pickle), which is refused because unpickling can run any "
        "code; save plain arrays of numbers or strings"
    )


def _guess(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(6)
    if start.startswith(b"PK"):
        return "it looks cut short"
    if start == b"\x93NUMPY":
        return "it is a single array (npy)"
    return "its content is of another format"
