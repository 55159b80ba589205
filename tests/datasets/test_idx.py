import gzip
import struct

import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.datasets.idx import read_idx


def idx_bytes(array):
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.tobytes()


@pytest.mark.parametrize("shape", [(5,), (3, 2, 4)])
def test_reads_what_was_written(tmp_path, shape):
    array = np.random.default_rng(0).integers(0, 256, size=shape, dtype=np.uint8)
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(idx_bytes(array)))
    read = read_idx(path)
    np.testing.assert_array_equal(read, array)
    assert read.dtype == np.uint8
    assert read.flags.writeable


WHOLE = gzip.compress(idx_bytes(np.arange(200, dtype=np.uint8)), mtime=0)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "does not begin"),
        (b"plain", "cannot be read as gzip IDX"),
        (WHOLE[:-20], "cannot be read as gzip IDX"),
        (WHOLE[:30] + b"\xff\xff\xff" + WHOLE[33:], "cannot be read as gzip IDX"),
        (gzip.compress(b"\x00\x00\x0d\x01aaaa"), "does not begin like an IDX file of bytes"),
        (gzip.compress(b"\x00\x00\x08\x03\x00"), "header is cut short"),
        (gzip.compress(idx_bytes(np.arange(9, dtype=np.uint8))[:-2]), "promises 9 bytes, it has 7"),
        (gzip.compress(idx_bytes(np.arange(9, dtype=np.uint8)) + bytes(10**6)), "promises 9 bytes, it has more"),
        (gzip.compress(b"\x00\x00\x08\x03" + b"\xff" * 12), "GB of memory, with .* GB free"),
    ],
    ids=["empty", "plain", "cut", "changed", "other type", "short header", "short data", "a bomb", "a huge header"],
)
def test_damaged_files_are_named(tmp_path, content, why):
    path = tmp_path / "train.gz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=why) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)
