"""Files that appear whole or not at all, where they may lie, and digests by which they are known."""

import hashlib
import io
import json
import os
import re
import shutil
import socket
import struct
import tokenize
import uuid
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil

from ensemble_vs_dropout.checks import InputError, visible

PARTIAL = ".partial-"  # how the name of a file begins that is on its way; machine and process follow
DAMAGED_ARCHIVE = (  # what reading a zip file or an array of one raises where it is not what was written
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, KeyError, ValueError, TypeError, MemoryError, OverflowError,
    RuntimeError,  # encrypted, or compressed in a way that is not known here
    SyntaxError, tokenize.TokenError,  # in what NumPy says before the numbers of an array
)  # fmt: skip
_writing: set[str] = set()  # the names of what this process has on its way
_LONGEST = 210  # bytes of a name: a disk takes 255, and a file on its way needs up to 39 of them


def inside(folder: Path, *names: Any) -> Path:
    """Return the place in a folder that names lead to, one name for each step: the door for names out of files.

    Raises:
        InputError: One is no plain name: it leads elsewhere, is too long, or no file can be called so.

    Example:
        >>> inside(Path("store"), "runs", "digits-plain-01").as_posix()
        'store/runs/digits-plain-01'
        >>> inside(Path("a"), "../b")
        Traceback (most recent call last):
        ensemble_vs_dropout.checks.InputError: a name in 'a' must be plain (no .. or /), 210 bytes at most, got '../b'
    """
    for name in names:
        if not _is_plain(name):
            raise InputError(
                f"a name in {str(folder)!r} must be plain (no .. or /), {_LONGEST} bytes at most, got {name!r:.100}"
            )
    return folder.joinpath(*names)


def _is_plain(name: Any) -> bool:
    if not isinstance(name, str) or name in ("", "..") or "\\" in name or "\0" in name or Path(name).name != name:
        return False
    try:
        return len(os.fsencode(name)) <= _LONGEST
    except UnicodeEncodeError:  # what UTF-8 cannot hold
        return False


def own(path: Path, kind: str = "folder") -> Path:
    """Return the path of a folder, or a file, that may be written to: what is there is that itself, or nothing yet.

    Raises:
        InputError: A link is there, for it leads elsewhere, or something of another kind.

    Example:
        >>> own(Path("nothing")).name
        'nothing'
    """
    if os.path.lexists(path) and _kind(path) != kind:
        raise InputError(f"{str(path)!r} must be a {kind}, got a {_kind(path)}; move it away")
    return path


def _kind(path: Path) -> str:
    if path.is_symlink():
        return "link"
    return "folder" if path.is_dir() else "file" if path.is_file() else "pipe or device"


def regular(path: Path) -> Path:
    """Return the path of a file, or of nothing, which is to be read: reading a pipe or a device might never end.

    Raises:
        InputError: Something else is there.

    Example:
        >>> regular(Path("nothing")).name
        'nothing'
    """
    if path.exists() and not path.is_file():
        raise InputError(f"{str(path)!r} must be a file, got a {_kind(path.resolve())}")
    return path


def read_file(path: Path) -> bytes:
    """Return what a file holds, or raise as `regular` does."""
    return regular(path).read_bytes()


def parsed(content: bytes) -> Any:
    """Return what JSON says, or raise `ValueError`, also where it is nested too deeply.

    Example:
        >>> parsed(b'{"format": 1}')
        {'format': 1}
    """
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def remove(path: Path) -> None:
    """Remove a file, a folder with all in it, or a link, if it is there; what a link leads to stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def can_write(folder: Path) -> bool:
    """Return whether this process may write to a folder; never to one on a disk that is read-only.

    Example:
        >>> can_write(Path("nothing"))
        False
    """
    return os.access(folder, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """Yield a hidden path on the same disk to write to; when the body ends, the file is flushed and gets its name.

    If the body fails, nothing is left and what was there stays. What a failing disk or a kill left of files on their
    way goes with the next that appears. The name ends as that of `path` does, for what chooses a format by it.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder, "numbers.json")
        ...     with appearing(path) as partial:
        ...         _ = partial.write_text("[1, 2]")
        ...     [file.name for file in Path(folder).iterdir()]
        ['numbers.json']
    """
    partial = path.with_name(f"{PARTIAL}{_machine()}-{os.getpid()}-{uuid.uuid4().hex[:12]}-{path.name}")
    _writing.add(partial.name)
    try:
        yield partial
        flush(partial)
        partial.replace(path)
    except BaseException:
        with suppress(OSError):  # the next that appears here removes it
            partial.unlink()
        raise
    finally:
        _writing.discard(partial.name)
    flush_folder(path.parent)
    remove_left(path.parent)


def remove_left(folder: Path) -> None:
    """Remove files on their way to this folder whose process on this machine has ended or given up, if the disk does.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     for process in (os.getpid(), os.getppid()):
        ...         _ = Path(folder, f"{PARTIAL}{_machine()}-{process}-0-a.json").write_text("[1")
        ...     remove_left(Path(folder))
        ...     len(list(Path(folder).iterdir()))
        1
    """
    with suppress(OSError):
        for path in folder.iterdir():
            known = re.match(rf"{re.escape(PARTIAL)}{_machine()}-(\d+)-", path.name)
            if known is None:
                continue
            process = int(known[1])
            if path.name not in _writing if process == os.getpid() else not psutil.pid_exists(process):
                path.unlink()


@cache
def _machine() -> str:
    """Return a short name of this machine, or of the container in which its processes are counted."""
    counted = Path("/proc/self/ns/pid")
    return digest([socket.gethostname(), str(counted.readlink()) if counted.exists() else ""])[:8]


def as_csv(table: Any) -> str:
    """Return a pandas table as comma-separated text that no spreadsheet takes for formulas.

    A text that a spreadsheet would compute (it begins with =, +, - or @, and is no number) gets a ' in front; controls
    stand as escapes.

    Example:
        >>> import pandas as pd
        >>> as_csv(pd.DataFrame({"label": ["=1+1", "-1", "cat"], "value": [-0.5, 1.0, 2.0]})).splitlines()
        ['label,value', "'=1+1,-0.5", '-1,1.0', 'cat,2.0']
    """
    safe = table.rename(columns=no_formula)
    for name in safe.columns:
        if safe[name].dtype.kind not in "biufcmM":
            shown = {text: no_formula(text) for text in safe[name].dropna() if isinstance(text, str)}  # each once
            column = [shown[cell] if isinstance(cell, str) else cell for cell in safe[name]]
            safe = safe.assign(**{name: column})
    return str(safe.to_csv(index=False))


def no_formula(cell: Any) -> Any:
    """Return what stands in a cell of a table, as `as_csv` writes it.

    Example:
        >>> no_formula("@SUM(A1)"), no_formula("-0.5"), no_formula(3)
        ("'@SUM(A1)", '-0.5', 3)
    """
    if not isinstance(cell, str):
        return cell
    shown = visible(cell)
    if not shown.startswith(("=", "+", "-", "@")):
        return shown
    try:
        float(shown)
    except ValueError:
        return f"'{shown}"
    return shown


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that appears whole or not at all."""
    with appearing(path) as partial:
        partial.write_bytes(content)


def as_npz(arrays: Mapping[str, Any]) -> bytes:
    """Return arrays as a plain npz file holds them; objects, which would be pickled, raise `ValueError`.

    Example:
        >>> with np.load(io.BytesIO(as_npz({"x": np.arange(3)}))) as file:
        ...     file["x"].tolist()
        [0, 1, 2]
    """
    for name, array in arrays.items():
        if np.asarray(array).dtype.hasobject:  # NumPy can refuse them itself from 2.2 on
            raise ValueError(f"{name} must hold numbers or text, got objects, which only a pickle holds")
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def write_flushed(path: Path, content: bytes) -> None:
    """Write a new file and wait until it is on the disk."""
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def flush(path: Path) -> None:
    """Wait until a file is on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Wait until a folder's entries are on the disk, where the system can tell."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def check_room(path: Any, needed: int) -> None:
    """Raise `InputError` unless so many bytes of memory are free, before a file is expanded that takes them.

    Example:
        >>> check_room("zeros.npz", 10**15)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ensemble_vs_dropout.checks.InputError: zeros.npz takes 1,000,000.0 GB of memory, with ... GB free; ...
    """
    free = psutil.virtual_memory().available
    if needed > free:
        raise InputError(
            f"{path} takes {needed / 1e9:,.1f} GB of memory, with {free / 1e9:,.1f} GB free; give a smaller file, or a "
            "machine with more memory"
        )


def check_archive(path: Path) -> None:
    """Raise `InputError` unless a path leads to a file, and all that it says that it holds fits in memory."""
    check_room(path, expanded(regular(path)))


def expanded(file: Any) -> int:
    """Return how many bytes a zip file, or its path, says that it holds.

    Example:
        >>> expanded(io.BytesIO(as_npz({"x": np.zeros(1000)})))
        8128
    """
    with zipfile.ZipFile(file) as archive:
        return sum(member.file_size for member in archive.infolist())


def digest(content: Any) -> str:
    """Return the sha256 of what JSON can hold, whatever the order of its keys.

    Example:
        >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
        True
    """
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return digest_of_bytes(canonical.encode())


def digest_of_bytes(content: bytes) -> str:
    """Return the hexadecimal sha256 of bytes."""
    return hashlib.sha256(content).hexdigest()


def digest_of_file(path: Path) -> str:
    """Return the hexadecimal sha256 of a file, or "" if it is not there."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of_arrays(arrays: Iterable[npt.NDArray[Any]]) -> str:
    """Return the hexadecimal sha256 of what arrays hold, one after the other."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)  # of any dtype, bfloat16 too
    return found.hexdigest()
