import io
import os
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pandas as pd
import pytest

from ensemble_vs_dropout.files import (
    appearing,
    as_csv,
    as_npz,
    digest,
    digest_of_arrays,
    digest_of_bytes,
    digest_of_file,
    write_whole,
)


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_whole(path, b"old")
    monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_what_is_interrupted_while_it_is_written_leaves_nothing(tmp_path):
    def interrupted():
        with appearing(tmp_path / "model.keras") as partial:
            partial.write_bytes(b"half")
            assert partial.suffix == ".keras"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from ensemble_vs_dropout.files import appearing
with appearing(Path(sys.argv[1])) as partial:
    partial.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_on_its_way_goes_with_the_next_and_what_others_write_stays(tmp_path, monkeypatch):
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "a.json")], check=False)
    assert len(list(tmp_path.iterdir())) == 1
    monkeypatch.chdir(tmp_path)
    with appearing(Path("b.json")) as partial:
        partial.write_bytes(b"more")
        write_whole(tmp_path / "c.json", b"c")
        assert sorted(path.name for path in tmp_path.iterdir()) == [partial.name, "c.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.json", "c.json"]


def test_what_another_machine_writes_is_not_touched(tmp_path):
    (tmp_path / ".partial-0123abcd-999999999-0-a.json").write_text("half")
    write_whole(tmp_path / "a.json", b"a")
    assert len(list(tmp_path.iterdir())) == 2


def test_a_digest_is_of_the_content_alone(tmp_path):
    assert digest({"a": [1, {"b": 2, "c": 3}]}) == digest({"a": [1, {"c": 3, "b": 2}]})
    assert digest({"a": 1}) != digest({"a": "1"})
    (tmp_path / "a").write_bytes(b"content")
    assert digest_of_file(tmp_path / "a") == digest_of_bytes(b"content")
    assert digest_of_file(tmp_path / "none") == ""


@pytest.mark.parametrize("dtype", ["float32", "int64", "bool", "U3", ml_dtypes.bfloat16])
def test_a_digest_of_arrays_is_of_their_bytes_in_any_layout(dtype):
    array = np.arange(6).reshape(2, 3).astype(dtype)
    assert digest_of_arrays([array, array[0]]) == digest_of_bytes(array.tobytes() + array[0].tobytes())
    assert digest_of_arrays([np.asfortranarray(array)]) == digest_of_bytes(array.tobytes())
    assert digest_of_arrays([np.array(1.5)]) == digest_of_bytes(np.array(1.5).tobytes())


@pytest.mark.parametrize("text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)"])
def test_no_spreadsheet_takes_a_text_for_a_formula(text):
    table = pd.DataFrame({text: [text, "plain"], "value": [-1.0, 2.0], "kind": pd.Categorical([text, "x"])})
    read = pd.read_csv(io.StringIO(as_csv(table)), keep_default_na=False)
    assert next(iter(read.columns)) == f"'{text}"
    assert read.iloc[0].tolist() == [f"'{text}", -1.0, f"'{text}"]
    assert read.iloc[1].tolist() == ["plain", 2.0, "x"]


def test_controls_in_a_cell_stand_as_escapes():
    assert as_csv(pd.DataFrame({"a": ["x\r=1", "\t=1", "\x1b[2J"]})).splitlines() == [
        "a", "x\\r=1", "\\t=1", "\\x1b[2J"
    ]  # fmt: skip


def test_numbers_and_other_text_stay_as_they_are():
    table = pd.DataFrame({"a": ["-1", "+0.5", "-inf", "a=b", "", None], "b": [1, 2, 3, 4, 5, 6]})
    assert as_csv(table) == table.to_csv(index=False)


def test_an_npz_holds_what_it_is_given_and_no_pickles():
    arrays = {"x": np.arange(3), "words": np.array(["a", "b"]), "none": np.zeros((0, 2))}
    with np.load(io.BytesIO(as_npz(arrays)), allow_pickle=False) as file:
        assert {name: file[name].tolist() for name in file.files} == {n: a.tolist() for n, a in arrays.items()}
    with pytest.raises(ValueError, match="x must hold numbers or text, got objects"):
        as_npz({"x": np.array([{}], dtype=object)})
