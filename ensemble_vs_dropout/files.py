"""Files that appear whole or not at all, and digests by which they are known."""

import hashlib
import io
import json
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.checks import visible

PARTIAL = ".partial-"  # how the name of a file begins that is on its way


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """Yield a hidden path on the same disk to write to; when the body ends, the file is flushed and gets its name.

    If the body fails, nothing is left and what was there stays. The name ends as that of `path` does, for what chooses
    a format by it.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder, "numbers.json")
        ...     with appearing(path) as partial:
        ...         _ = partial.write_text("[1, 2]")
        ...     [file.name for file in Path(folder).iterdir()]
        ['numbers.json']
    """
    partial = path.with_name(f"{PARTIAL}{uuid.uuid4().hex}-{path.name}")
    try:
        yield partial
        flush(partial)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    flush_folder(path.parent)


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
