import json
import os
import shutil
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.experiments import Store
from ensemble_vs_dropout.experiments.plan import Run
from ensemble_vs_dropout.experiments.store import FORMAT, DamagedError
from ensemble_vs_dropout.files import digest_of_file


def a_run(seed=0):
    return Run({"recipe": "plain", "dataset": "digits", "members": 2, "seed": seed})


FILES = {"scores.json": b'{"columns": [], "data": []}', "models.npz": b"weights"}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def test_what_is_put_is_there_whole(store):
    run = a_run()
    assert not store.has(run)
    store.put(run, FILES)
    assert store.has(run)
    assert store.finished() == {run.name}
    assert store.read(run, "models.npz", "scores.json") == [b"weights", FILES["scores.json"]]
    assert json.loads(store.read(run, "spec.json")[0]) == run.spec
    assert store.damaged(run) == []
    assert set(json.loads((store.folder / "runs" / run.name / "manifest.json").read_text())) == {*FILES, "spec.json"}


@pytest.mark.parametrize("name", ["scores.json", "models.npz", "spec.json"])
@pytest.mark.parametrize("harm", ["flip", "cut", "remove", "grow"])
def test_harm_to_any_file_is_found(store, name, harm):
    run = a_run()
    store.put(run, FILES)
    path = store.folder / "runs" / run.name / name
    content = bytearray(path.read_bytes())
    if harm == "flip":
        content[len(content) // 2] ^= 1
        path.write_bytes(bytes(content))
    elif harm == "cut":
        path.write_bytes(bytes(content[:-1]))
    elif harm == "grow":
        path.write_bytes(bytes(content) + b" ")
    else:
        path.unlink()
    assert store.damaged(run) == [name]
    with pytest.raises(DamagedError, match=name):
        store.read(run, name)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"../../x": "0", "spec.json": "0"}', "not json"])
def test_a_manifest_that_is_none_is_found(store, content):
    run = a_run()
    store.put(run, FILES)
    (store.folder / "runs" / run.name / "manifest.json").write_text(content)
    assert store.damaged(run) == ["manifest.json"]


def test_a_run_of_another_specification_is_found(store):
    run, other = a_run(0), a_run(1)
    store.put(other, FILES)
    (store.folder / "runs" / other.name).rename(store.folder / "runs" / run.name)
    assert store.damaged(run) == ["spec.json"]


def test_what_is_damaged_is_set_aside_and_can_be_made_again(store):
    run = a_run()
    for number in (1, 2):
        store.put(run, FILES)
        aside = store.set_aside(run)
        assert aside.name == f"{run.name}-{number}"
        assert (aside / "models.npz").read_bytes() == b"weights"
        assert not store.has(run)


def test_a_crash_while_writing_leaves_no_run(store, monkeypatch):
    run = a_run()
    calls = []

    def failing(path, content):
        calls.append(path.name)
        if path.name == "manifest.json":
            raise OSError(28, "No space left on device")
        path.write_bytes(content)

    monkeypatch.setattr("ensemble_vs_dropout.experiments.store.write_flushed", failing)
    with pytest.raises(OSError, match="No space left"):
        store.put(run, FILES)
    assert calls[-1] == "manifest.json"
    assert not store.has(run)
    assert store.finished() == set()
    assert list((store.folder / "runs").iterdir()) == []


def test_the_same_run_made_twice_at_once_is_kept_once(store):
    run = a_run()
    store.put(run, FILES)
    store.put(run, {**FILES, "models.npz": b"others"})
    assert store.read(run, "models.npz") == [b"weights"]
    assert [path.name for path in (store.folder / "runs").iterdir()] == [run.name]


def test_a_run_is_held_by_one_at_a_time(store):
    runs = (a_run(0), a_run(1), a_run(2))
    store.put(runs[0], FILES)
    with store.claim(runs[:2]) as mine:
        assert mine == [runs[1]]
        with Store(store.folder).claim(runs) as others:
            assert others == [runs[2]]
    with Store(store.folder).claim(runs) as free:
        assert free == list(runs[1:])


def test_a_failure_is_noted_and_forgotten_when_the_run_is_made(store):
    run = a_run()
    assert store.failure(run) is None
    store.fail(run, "it diverged", "Traceback ...")
    assert store.failure(run) == "it diverged"
    store.put(run, FILES)
    assert store.failure(run) is None


def test_clean_leaves_finished_runs_and_those_in_other_hands(store):
    done, failed, held = a_run(0), a_run(1), a_run(2)
    store.put(done, FILES)
    store.fail(failed, "no", "")
    for run in (failed, held):
        store.work(run).mkdir(parents=True)
    partial = store.folder / "runs" / f".{failed.name}-abc"
    partial.mkdir()
    assert store.finished() == {done.name}
    with store.claim((held,)):
        removed = Store(store.folder).clean()
    assert removed == [f"work/{failed.name}", f"failed/{failed.name}.json", f"runs/.{failed.name}-abc"]
    assert store.has(done)
    assert store.work(held).is_dir()
    assert not partial.exists()


def test_a_folder_with_something_else_is_no_store(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match=r"holds something else \(mine.txt\)"):
        Store(tmp_path)
    with pytest.raises(InputError, match=r"store.json is not there"):
        Store(tmp_path / "none", create=False)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (json.dumps({"format": FORMAT + 1}), "written by a newer version"),
        (json.dumps({"format": "2"}), "newer version"),
        ("[]", "damaged"),
        ("{", "damaged"),
    ],
)
def test_a_store_that_this_version_does_not_know_is_refused(tmp_path, content, match):
    (tmp_path / "store.json").write_text(content)
    with pytest.raises(InputError, match=match):
        Store(tmp_path)


@pytest.fixture
def locked():
    """Yield a folder, and what takes the right to write it; root gives up its own for that time."""
    folder, user = Path(tempfile.mkdtemp()), os.geteuid()
    folder.chmod(0o755)

    @contextmanager
    def read_only():
        places = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
        for place in places:
            place.chmod(0o555)
        if user == 0:
            os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(user)
            for place in places:
                place.chmod(0o755)

    yield folder, read_only
    shutil.rmtree(folder)


def test_a_store_that_cannot_be_written_is_told(locked):
    folder, read_only = locked
    with read_only(), pytest.raises(InputError, match="cannot be used: Permission denied"):
        Store(folder / "inside")


def test_a_read_only_store_is_read_and_what_it_lacks_is_refused_by_the_system(locked):
    folder, read_only = locked
    store, other = Store(folder / "store"), Run({**a_run().spec, "members": 9})
    store.put(a_run(), FILES)
    store.keep_study("mine", "name: mine")
    with read_only():
        again = Store(folder / "store")
        assert again.finished() == {a_run().name}
        assert again.read(a_run(), *FILES) == list(FILES.values())
        assert again.damaged(a_run()) == []
        again.keep_study("mine", "name: mine")  # as it is there, nothing is to be written
        for write in (lambda: again.put(other, FILES), lambda: again.keep_study("mine", "name: changed")):
            with pytest.raises(PermissionError):
                write()
        with pytest.raises(PermissionError), again.claim((other,)):
            pass
    assert store.finished() == {a_run().name}
    assert store.studies()[0].read_text() == "name: mine"


@pytest.mark.parametrize("name", ["with space", "ünïcode", "a+b"])
def test_folders_of_any_name_do(tmp_path, name):
    store = Store(tmp_path / name)
    store.put(a_run(), FILES)
    assert Store(tmp_path / name).finished() == {a_run().name}


def test_a_store_of_the_first_format_is_read_on(tmp_path):
    """There, the spec of a run called its recipe its arm; the name of the run is the same."""
    store, run = Store(tmp_path / "store"), a_run()
    store.put(run, FILES)
    place = store.folder / "runs" / run.name
    spec = {"arm" if key == "recipe" else key: value for key, value in run.spec.items()}
    (place / "spec.json").write_text(json.dumps(spec))
    sums = json.loads((place / "manifest.json").read_text())
    (place / "manifest.json").write_text(json.dumps({**sums, "spec.json": digest_of_file(place / "spec.json")}))
    assert store.damaged(run) == []
    assert store.read(run, "spec.json") == [json.dumps(spec).encode()]
    assert Store(tmp_path / "store").finished() == {run.name}
    (place / "spec.json").write_text(json.dumps({**spec, "members": 3}))
    assert store.damaged(run) == ["spec.json"]


def test_what_a_process_left_that_was_killed_while_it_made_the_store_is_no_stranger(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / ".partial-0123-store.json").write_text("")
    assert Store(tmp_path / "store").finished() == set()


def test_a_store_whose_mark_was_lost_still_has_its_runs(store):
    store.put(a_run(), FILES)
    (store.folder / "store.json").unlink()
    assert Store(store.folder).has(a_run())


def test_several_that_make_one_store_at_the_same_moment_all_get_it(tmp_path):
    def opened(number):
        barrier.wait()
        try:
            Store(tmp_path / "store")
        except InputError as error:
            refused.append(error)

    barrier, refused = threading.Barrier(8), []
    threads = [threading.Thread(target=opened, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == []


def test_a_run_is_found_by_its_name_and_no_other_name_leads_out_of_the_store(store):
    run = a_run()
    store.put(run, FILES)
    assert store.run(run.name) == run
    for name in ("../store", "nothing-plain-0123", f"{run.name}/."):
        with pytest.raises(DamagedError):
            store.run(name)


def test_one_process_holds_what_it_writes(store):
    with (
        store.hold("comparison"),
        pytest.raises(InputError, match="being written by another"),
        store.hold("comparison"),
    ):
        pass
