import pickle
import zipfile

import numpy as np
import psutil
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.datasets.archives import read_npz
from ensemble_vs_dropout.types import Predictions


class Trap:
    """Unpickling this would leave a trace."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_reads_every_array(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.arange(3), names=np.array(["a", "b"]))
    arrays = read_npz(tmp_path / "a.npz")
    assert sorted(arrays) == ["names", "x"]
    assert arrays["x"].tolist() == [0, 1, 2]


def test_an_object_array_is_refused_and_not_run(tmp_path):
    trace = tmp_path / "trace"
    np.savez(tmp_path / "a.npz", x=np.array([Trap(trace)], dtype=object))
    with pytest.raises(InputError, match=r"'x' as Python objects \(a pickle\).*unpickling can run any code"):
        read_npz(tmp_path / "a.npz")
    assert not trace.exists()


def test_a_bare_pickle_inside_is_refused(tmp_path):
    trace = tmp_path / "trace"
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", pickle.dumps(Trap(trace)))
    with pytest.raises(InputError, match="pickle"):
        read_npz(tmp_path / "a.npz")
    assert not trace.exists()


def test_files_that_are_no_npz(tmp_path):
    path = tmp_path / "a.npz"
    with pytest.raises(InputError, match=r"a\.npz' does not exist"):
        read_npz(path)
    with pytest.raises(InputError, match="is a folder"):
        read_npz(tmp_path)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="is empty"):
        read_npz(path)
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"another format; write it with numpy.savez"):
        read_npz(path)
    with path.open("wb") as file:
        np.save(file, np.arange(3))
    with pytest.raises(InputError, match=r"a single array \(npy\)"):
        read_npz(path)
    path.write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(InputError, match="another format"):
        read_npz(path)


def test_a_cut_or_changed_npz_is_damaged(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.arange(1000))
    whole = path.read_bytes()
    path.write_bytes(whole[:500])
    with pytest.raises(InputError, match="it looks cut short"):
        read_npz(path)
    path.write_bytes(whole[:600] + b"\xff" + whole[601:])
    with pytest.raises(InputError, match=r"is damaged: .*write or copy it again"):
        read_npz(path)


def test_what_does_not_fit_in_memory_is_refused_before_it_is_expanded(tmp_path, monkeypatch):
    path = tmp_path / "zeros.npz"
    np.savez_compressed(path, x=np.zeros(10**6))
    assert path.stat().st_size < 10**4
    free = psutil.virtual_memory()._replace(available=10**6)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    monkeypatch.setattr(np, "load", None)  # is not come to
    with pytest.raises(InputError, match=r"zeros\.npz takes 0\.0 GB of memory, with 0\.0 GB free; give a smaller file"):
        read_npz(path)
    with pytest.raises(InputError, match="takes 0"):
        Predictions.load(path)


def test_an_encrypted_file_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, probs=np.arange(3))
    content = path.read_bytes()
    entry = content.index(b"PK\x01\x02") + 8
    path.write_bytes(content[:entry] + b"\x01" + content[entry + 1 :])
    with pytest.raises(InputError, match="is encrypted, password required"):
        read_npz(path)
    with pytest.raises(InputError, match="is encrypted, password required"):
        Predictions.load(path)


@pytest.mark.parametrize("header", ["{'shape': (3,", "'''", "  a\n b\n"], ids=["open", "text", "indented"])
def test_an_array_that_says_no_shape_is_told(tmp_path, header):
    said = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("probs.npy", said)
    with pytest.raises(InputError, match="is damaged"):
        read_npz(tmp_path / "a.npz")
    with pytest.raises(InputError, match="does not hold saved predictions"):
        Predictions.load(tmp_path / "a.npz")
