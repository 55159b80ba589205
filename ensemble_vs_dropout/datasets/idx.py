"""Reading the gzip IDX files in which MNIST and Fashion-MNIST are published."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.files import check_room

IDX_FILES = {
    "x_train": "train-images-idx3-ubyte.gz",
    "y_train": "train-labels-idx1-ubyte.gz",
    "x_test": "t10k-images-idx3-ubyte.gz",
    "y_test": "t10k-labels-idx1-ubyte.gz",
}


def read_idx_folder(folder: Path) -> dict[str, npt.NDArray[np.generic]]:
    """Return `x_train`, `y_train`, `x_test` and `y_test` from the four files in `folder`."""
    return {key: read_idx(folder / file) for key, file in IDX_FILES.items()}


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """Return the bytes array in the gzip IDX file at `path`, in the shape that its header gives."""
    try:
        with gzip.open(path) as file:
            # The header: two zero bytes, the type (8 = unsigned byte), the number of dimensions, then each big-endian.
            start = file.read(4)
            if len(start) < 4 or start[:3] != b"\x00\x00\x08":
                raise _damaged(path, "it does not begin like an IDX file of bytes")
            sizes = file.read(4 * start[3])
            if len(sizes) < 4 * start[3]:
                raise _damaged(path, "its header is cut short")
            shape = tuple(np.frombuffer(sizes, dtype=">u4").tolist())
            check_room(path, math.prod(shape))
            content = file.read(math.prod(shape) + 1)  # no more, whatever a few bytes may expand to
    except (EOFError, OSError, zlib.error) as error:
        raise _damaged(path, str(error)) from error
    if len(content) != math.prod(shape):
        found = len(content) if len(content) < math.prod(shape) else "more"
        raise _damaged(path, f"its header promises {math.prod(shape)} bytes, it has {found}")
    return np.frombuffer(content, dtype=np.uint8).reshape(shape).copy()


def _damaged(path: Path, why: str) -> InputError:
    return InputError(f"{path} cannot be read as gzip IDX: {why}; delete it or put a whole copy in its place")
