import errno
import fcntl
import json
import os
import shutil
import subprocess
import sys
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


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"../../x": "0", "spec.json": "0"}', "not json", "[" * 10_000])
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


@pytest.mark.parametrize("reason", ["\x1b[31m", "\ud800", "a\nb"])
def test_a_reason_is_told_as_it_can_be_shown(store, reason):
    store.fail(a_run(), reason, "")
    assert store.failure(a_run()) == reason.encode("unicode_escape").decode()


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
        ("[" * 10_000, "damaged.*too deeply"),
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


def test_a_disk_that_fails_at_reading_is_no_damage_and_names_the_file(store, monkeypatch):
    run = a_run()
    store.put(run, FILES)

    def read_bytes(path):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    for read in (lambda: store.read(run, "models.npz"), lambda: store.run(run.name), lambda: store.files(run)):
        with pytest.raises(OSError, match=rf"Input/output error: .*{run.name}/(manifest|spec)\.json"):
            read()


def failing(code):
    def flock(handle, how):
        raise OSError(code, os.strerror(code))

    return flock


@pytest.mark.parametrize(
    ("flock", "told"),
    [
        (lambda handle, how: None, "they keep nobody out"),
        (failing(errno.ENOLCK), "No locks available"),
        (failing(errno.ENOSYS), "Function not implemented"),
        (failing(errno.EOPNOTSUPP), "Operation not supported"),
    ],
    ids=["silent", "ENOLCK", "ENOSYS", "EOPNOTSUPP"],
)
def test_locks_that_keep_nobody_out_are_refused_and_what_is_there_is_read(store, monkeypatch, flock, told):
    run = a_run()
    store.put(run, FILES)
    monkeypatch.setattr(fcntl, "flock", flock)
    again = Store(store.folder)
    for write in (lambda: again.claim((a_run(1),)), lambda: again.hold("comparison")):
        with pytest.raises(InputError, match=f"locks of its disk do not work .{told}.*give a folder"), write():
            pass
    with pytest.raises(InputError, match="locks of its disk do not work"):
        again.tidy()
    assert again.read(run, "models.npz") == [b"weights"]
    assert again.finished() == {run.name}
    assert {path.name for path in (store.folder / "locks").iterdir()} == {
        f"{a_run(1).name}.lock", "comparison.lock", "tidy.lock"
    }  # fmt: skip
    monkeypatch.undo()
    with again.claim((a_run(1),)) as mine:  # nothing is still held
        assert mine == [a_run(1)]


def test_locks_are_tried_out_once_and_not_for_reading(store, monkeypatch):
    asked, real = [], fcntl.flock
    store.put(a_run(), FILES)
    monkeypatch.setattr(fcntl, "flock", lambda handle, how: asked.append(how) or real(handle, how))
    again = Store(store.folder)
    again.read(a_run(), "models.npz")
    assert again.damaged(a_run()) == []
    assert asked == []
    for expected in (3, 2):  # taken, refused and given back; then taken and given back
        with again.hold("comparison"):
            pass
        assert len(asked) == expected
        asked.clear()


MANY = """
import json, os, sys, traceback
from pathlib import Path
from ensemble_vs_dropout.experiments.plan import Run
from ensemble_vs_dropout.experiments.store import Store
assert "tensorflow" not in sys.modules
folder, told = map(Path, sys.argv[1:])
runs = [Run({"recipe": "plain", "dataset": "digits", "members": 2, "seed": seed}) for seed in range(20)]
gate, opening = os.pipe()

def work(number):
    os.close(opening)
    os.read(gate, 1)  # till the first process shuts the other end, for all at once
    store, made = Store(folder), []
    store.keep_study("many", "name: many")
    store.tidy()
    for run in runs[number % 20 :] + runs[: number % 20]:
        with store.claim((run,)) as mine:
            for one in mine:
                store.work(one).mkdir(parents=True)
                store.put(one, {"scores.json": b"[]", "models.npz": bytes(1000)})
                made.append(one.name)
    (told / f"{number}.json").write_text(json.dumps(made))

children = []
for number in range(100):
    child = os.fork()
    if child == 0:
        try:
            work(number)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    children.append(child)
os.close(opening)
assert [os.waitpid(child, 0)[1] for child in children] == [0] * 100
"""


@pytest.mark.slow
def test_a_hundred_processes_at_once_make_a_new_store_and_each_run_once(tmp_path):
    (tmp_path / "told").mkdir()
    command = [sys.executable, "-c", MANY, str(tmp_path / "store"), str(tmp_path / "told")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    store = Store(tmp_path / "store")
    told = [json.loads(path.read_text()) for path in (tmp_path / "told").iterdir()]
    assert len(told) == 100
    made = sorted(name for names in told for name in names)
    assert made == sorted(store.finished())
    assert len(made) == 20
    assert [store.damaged(store.run(name)) for name in made] == [[]] * 20
    assert {path.name for path in store.folder.iterdir()} == {"store.json", "studies", "runs", "locks", "work"}
    assert [path.name for path in (store.folder / "studies").iterdir()] == ["many.yaml"]
    assert sorted(path.name for path in (store.folder / "runs").iterdir()) == made
    assert list((store.folder / "work").iterdir()) == []
