import hashlib
import json

import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.experiments import runs
from ensemble_vs_dropout.experiments.runs import damaged, finish, open_run

SPEC = {"dataset": "toy", "members": 3, "layers": [8, 8]}


def complete(folder):
    with open_run(folder, SPEC):
        (folder / "models").mkdir()
        (folder / "models" / "m0.keras").write_bytes(b"weights")
        (folder / "models" / "m0.json").write_text("done")
        (folder / "scores.csv").write_text("a,b")
        finish(folder)
    return folder


def state_of(folder, spec=SPEC, force=False):
    with open_run(folder, spec, force) as state:
        return state


def test_a_new_folder_is_made_with_its_parents_and_keeps_the_spec(tmp_path):
    folder = tmp_path / "a" / "b"
    assert state_of(folder) == ("new", [])
    assert json.loads((folder / "spec.json").read_text()) == SPEC


def test_a_folder_without_manifest_is_unfinished_and_keeps_its_work(tmp_path):
    with open_run(tmp_path, SPEC):
        (tmp_path / "scores.csv").write_text("kept")
    assert state_of(tmp_path) == ("unfinished", [])
    assert (tmp_path / "scores.csv").read_text() == "kept"


def test_an_error_inside_leaves_the_run_unfinished_and_the_folder_free(tmp_path):
    with pytest.raises(RuntimeError), open_run(tmp_path, SPEC):
        raise RuntimeError
    assert state_of(tmp_path) == ("unfinished", [])


def test_a_finished_run_is_finished_and_its_manifest_sums_every_file(tmp_path):
    complete(tmp_path)
    sums = json.loads((tmp_path / "manifest.json").read_text())
    assert set(sums) == {"spec.json", "scores.csv", "models/m0.keras", "models/m0.json"}
    assert sums["models/m0.keras"] == hashlib.sha256(b"weights").hexdigest()
    assert state_of(tmp_path) == ("finished", [])
    assert damaged(tmp_path) == []


def test_a_changed_byte_is_found_told_and_only_that_file_is_removed(tmp_path):
    complete(tmp_path)
    (tmp_path / "models" / "m0.keras").write_bytes(b"weighty")
    assert state_of(tmp_path) == ("unfinished", ["models/m0.keras"])
    assert not (tmp_path / "models" / "m0.keras").exists()
    assert not (tmp_path / "models" / "m0.json").exists()  # so that the member is trained again
    assert not (tmp_path / "manifest.json").exists()
    assert (tmp_path / "scores.csv").read_text() == "a,b"
    assert state_of(tmp_path) == ("unfinished", [])


def test_a_missing_file_is_found(tmp_path):
    complete(tmp_path)
    (tmp_path / "scores.csv").unlink()
    assert damaged(tmp_path) == ["scores.csv"]
    assert state_of(tmp_path) == ("unfinished", ["scores.csv"])


def test_a_spec_written_otherwise_is_damaged_but_the_same_run(tmp_path):
    complete(tmp_path)
    (tmp_path / "spec.json").write_text(json.dumps(SPEC))
    assert state_of(tmp_path) == ("unfinished", ["spec.json"])
    assert json.loads((tmp_path / "spec.json").read_text()) == SPEC


@pytest.mark.parametrize("text", ["", '{"scores.csv": "12'])
def test_a_damaged_manifest_makes_the_run_unfinished(tmp_path, text):
    complete(tmp_path)
    (tmp_path / "manifest.json").write_text(text)
    assert state_of(tmp_path)[0] == "unfinished"


def test_another_spec_is_refused_with_what_differs_and_nothing_is_touched(tmp_path):
    complete(tmp_path)
    with pytest.raises(InputError, match=r"holds another run \(members, seed differ\)"):
        state_of(tmp_path, {**SPEC, "members": 5, "seed": 1})
    assert state_of(tmp_path) == ("finished", [])


def test_force_replaces_another_run(tmp_path):
    complete(tmp_path)
    other = {**SPEC, "members": 5}
    assert state_of(tmp_path, other, force=True) == ("new", [])
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != ".lock") == ["spec.json"]
    assert state_of(tmp_path, other) == ("unfinished", [])


def test_force_starts_the_same_run_again(tmp_path):
    complete(tmp_path)
    assert state_of(tmp_path, force=True) == ("new", [])
    assert not (tmp_path / "models").exists()


def test_a_folder_with_foreign_files_is_refused_and_named(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match=r"holds something else \(thesis.tex\).*--force"):
        state_of(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_force_leaves_strangers_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "models").write_text("cats")
    assert state_of(tmp_path, force=True) == ("new", [])
    assert state_of(tmp_path, {**SPEC, "members": 9}, force=True) == ("new", [])
    assert (tmp_path / "thesis.tex").read_text() == "years of work"
    assert (tmp_path / "photos" / "models").read_text() == "cats"


def test_notes_beside_a_run_do_not_stop_it_and_are_not_part_of_it(tmp_path):
    complete(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    assert state_of(tmp_path) == ("finished", [])
    (tmp_path / "notes.txt").write_text("changed")
    assert state_of(tmp_path) == ("finished", [])


def test_files_named_like_a_runs_own_but_without_its_spec_are_not_taken_over(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mine.keras").write_text("precious")
    for force in (False, True):
        with pytest.raises(InputError, match="holds 'models', which no run has written"):
            state_of(tmp_path, force=force)
    assert (tmp_path / "models" / "mine.keras").read_text() == "precious"


def test_a_spec_that_is_no_json_is_another_run(tmp_path):
    (tmp_path / "spec.json").write_text("not json")
    with pytest.raises(InputError, match="holds another run"):
        state_of(tmp_path)
    assert (tmp_path / "spec.json").read_text() == "not json"


def test_a_second_holder_is_refused_while_the_first_works(tmp_path):
    with (
        open_run(tmp_path, SPEC),
        pytest.raises(InputError, match="being written by another process"),
        open_run(tmp_path, SPEC),
    ):
        pass
    assert state_of(tmp_path) == ("unfinished", [])


def test_a_second_holder_cannot_force_its_way(tmp_path):
    with open_run(tmp_path, SPEC):
        (tmp_path / "scores.csv").write_text("in work")
        with pytest.raises(InputError, match="another process"):
            state_of(tmp_path, {"other": 1}, force=True)
        assert (tmp_path / "scores.csv").read_text() == "in work"


def test_a_linked_folder_is_unlinked_and_what_it_points_to_stays(tmp_path):
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "run"
    elsewhere.mkdir()
    (elsewhere / "m.keras").write_text("shared")
    with open_run(folder, SPEC):
        (folder / "models").symlink_to(elsewhere)
    state_of(folder, force=True)
    assert not (folder / "models").exists()
    assert (elsewhere / "m.keras").read_text() == "shared"


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(InputError, match="cannot be made"):
        state_of(tmp_path / "out")
    assert (tmp_path / "out").read_text() == "a file"


def test_a_manifest_is_whole_or_absent(tmp_path, monkeypatch):
    with open_run(tmp_path, SPEC):
        monkeypatch.setattr(runs.json, "dumps", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            finish(tmp_path)
    monkeypatch.undo()
    assert not (tmp_path / "manifest.json").exists()
    assert state_of(tmp_path) == ("unfinished", [])
