"""Nothing in a file leads out of its folder, no link is written or deleted through, and no pipe is waited for."""

import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.commands.main import app, main
from ensemble_vs_dropout.experiments import Store, parse_study, read_study
from ensemble_vs_dropout.experiments.comparison import Comparison
from ensemble_vs_dropout.experiments.folder import claim, finish, is_finished, open_folder, read_asked
from ensemble_vs_dropout.experiments.gallery import draw
from ensemble_vs_dropout.experiments.plan import Run
from ensemble_vs_dropout.experiments.store import DamagedError
from ensemble_vs_dropout.files import digest_of_bytes, inside, own, regular, remove, write_whole
from ensemble_vs_dropout.types import Predictions

GOLDEN = Path(__file__).parent / "golden"
PLAIN = "digits-plain-4626d19caca1b997"  # a run of the golden comparison
NAMES = [
    "",
    ".",
    "..",
    "../victim",
    "/etc/hostname",
    "a/b",
    "a\\b",
    "a\0b",
    "n" * 300,
    "\u4e00" * 90,
    "\ud800",
    3,
    None,
]
HARMS = ["link to file", "link to folder", "link to nothing", "link to device", "pipe"]


class WaitedError(BaseException):
    """Is no `Exception`, which might be taken for what a reader raises."""


@pytest.fixture
def victim(tmp_path):
    """A folder of somebody else's, which must be untouched after the test."""
    folder = tmp_path / "victim"
    (folder / PLAIN).mkdir(parents=True)
    for place in (folder / "years.txt", folder / "golden.yaml", folder / f"{PLAIN}.json", folder / PLAIN / "work.txt"):
        place.write_text("years of work")
    before = {path: path.is_dir() or path.read_bytes() for path in folder.rglob("*")}
    yield folder
    assert {path: path.is_dir() or path.read_bytes() for path in folder.rglob("*")} == before


@pytest.fixture(autouse=True)
def _in_time():
    """Have a test that waits for a pipe fail."""

    def late(*_):
        raise WaitedError

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def store(tmp_path):
    return Path(shutil.copytree(GOLDEN / "store", tmp_path / "golden" / "store"))


@pytest.fixture
def comparison(tmp_path):
    return Path(shutil.copytree(GOLDEN / "comparison", tmp_path / "golden" / "comparison"))


@pytest.fixture(scope="module")
def found():
    return Comparison.load(GOLDEN / "comparison")


def harm(path, kind, victim):
    """Put something else in the place of a file or folder."""
    remove(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    targets = {"file": victim / "years.txt", "folder": victim, "nothing": victim / "new", "device": "/dev/null"}
    os.mkfifo(path) if kind == "pipe" else path.symlink_to(targets[kind.removeprefix("link to ")])


@contextmanager
def refused_or_done():
    """Let one sentence pass, and nothing else that is raised; a pipe that is waited for fails within seconds."""
    signal.alarm(10)
    with suppress(InputError):
        yield
    signal.alarm(60)


def a_run(seed=0):
    return Run({"recipe": "plain", "dataset": "digits", "members": 2, "seed": seed, "repetition": 0})


# Names that come out of files


@pytest.mark.parametrize("name", NAMES)
def test_no_such_name_passes_the_door(tmp_path, name):
    with pytest.raises(InputError, match=r"a name in .* must be plain"):
        inside(tmp_path, name)
    with pytest.raises(InputError):
        inside(tmp_path, "runs", name)


@pytest.mark.parametrize("name", ["a", "store.json", ".hidden", "with space", "..a", "\u4e00" * 70])
def test_plain_names_pass(tmp_path, name):
    assert inside(tmp_path, "runs", name) == tmp_path / "runs" / name
    write_whole(inside(tmp_path, name), b"of any such name a file can be written")


@pytest.mark.parametrize("name", [name for name in NAMES if isinstance(name, str)])
def test_names_in_the_manifest_of_a_run_are_looked_at(comparison, victim, tmp_path, name):
    """With the right sum, so that nothing else than the name gives it away."""
    for place in (comparison / "runs" / "victim", comparison / "victim"):
        shutil.copy(victim / "years.txt", place)
    manifest = comparison / "runs" / PLAIN / "manifest.json"
    sums = json.loads(manifest.read_text()) | {name: digest_of_bytes(b"years of work"), "..": ""}
    manifest.write_text(json.dumps(sums))
    kept = Store(comparison)
    run = kept.run(PLAIN)
    assert kept.damaged(run) == ["manifest.json"]
    with pytest.raises(DamagedError, match=r"manifest\.json cannot be read"):
        kept.files(run)
    with pytest.raises(InputError, match=r"manifest\.json"):
        Comparison.load(comparison)


def test_no_file_is_copied_out_of_or_into_another_folder_by_its_name(comparison, tmp_path):
    """Trials are copied by what their manifest names; their files are not looked at on loading."""
    kept = Store(comparison)
    trial = a_run()
    kept.put(trial, {"scores.json": b"[]"})
    (comparison.parent / "stolen").write_text("a secret")
    manifest = comparison / "runs" / trial.name / "manifest.json"
    sums = {**json.loads(manifest.read_text()), "../../../stolen": digest_of_bytes(b"a secret")}
    manifest.write_text(json.dumps(sums))
    told = json.loads((comparison / "comparison.json").read_text())
    (comparison / "comparison.json").write_text(json.dumps({**told, "trials": [trial.name]}))
    finish(comparison)
    loaded = Comparison.load(comparison)
    (tmp_path / "of" / "mine").mkdir(parents=True)
    with pytest.raises(DamagedError, match="must be plain"):
        loaded.save(tmp_path / "of" / "mine" / "copy")
    assert not (tmp_path / "of" / "mine" / "stolen").exists()


@pytest.mark.parametrize("name", NAMES)
def test_names_in_a_comparison_are_looked_at(comparison, name):
    told = json.loads((comparison / "comparison.json").read_text())
    for kind in ("runs", "trials", "probes"):
        names = [[name]] if kind == "runs" else [name]
        (comparison / "comparison.json").write_text(json.dumps({**told, kind: names}))
        finish(comparison)
        with pytest.raises(InputError, match="is damaged"):
            Comparison.load(comparison)


@pytest.mark.parametrize("name", NAMES)
def test_names_of_runs_and_of_their_files_are_looked_at(store, name):
    kept = Store(store)
    (first, *_) = (kept.run(one) for one in sorted(kept.finished()))
    with pytest.raises(DamagedError):
        kept.run(name)
    with pytest.raises(DamagedError):
        kept.read(first, name)
    with pytest.raises(InputError):
        kept.put(a_run(), {name: b""})
    assert kept.finished() == Store(GOLDEN / "store").finished()


@pytest.mark.parametrize("name", [name for name in NAMES if isinstance(name, str)])
def test_names_in_a_spec_lead_nowhere(store, name):
    for key in ("recipe", "dataset"):
        run = Run({**a_run().spec, key: name})
        for act in (partial(Store(store).put, run, {}), partial(Store(store).fail, run, "no", "")):
            with suppress(InputError):
                act()
    assert {path.name for path in store.parent.iterdir()} == {"store"}
    assert {path.name for path in store.iterdir()} <= {"runs", "failed", "studies", "store.json"}


@pytest.mark.parametrize("name", [name for name in NAMES if isinstance(name, str) and "\ud800" not in name])
def test_names_of_studies_are_looked_at(store, name):
    text = yaml.safe_dump({"name": name, "base": {"dataset": "digits"}})
    with pytest.raises(InputError):  # of letters that are too long for the disk, when it is kept
        Store(store).keep_study(parse_study(text).name, text)
    assert {path.name for path in (store / "studies").iterdir()} == {"golden.yaml"}


def test_data_and_points_of_long_names_have_folders_that_the_disk_takes(store, tmp_path):
    from ensemble_vs_dropout.experiments import comparing

    title = comparing._title(SimpleNamespace(name="\u4e00" * 80), {"name": "mlp"})
    Store(store).keep_study(f"{title}-01234567", "{}")
    assert title.startswith("\u4e00" * 20)


@pytest.mark.parametrize("name", [name for name in NAMES if isinstance(name, str) and name not in ("", "a/b")])
def test_names_in_a_comparison_of_version_0_1_are_looked_at(tmp_path, victim, name):
    folder = Path(shutil.copytree(GOLDEN.parent / "first_format", tmp_path / "first"))
    sums = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**sums, name: ""}))
    with pytest.raises(InputError, match="is damaged"):
        Comparison.load(folder)


@pytest.mark.parametrize("name", ["../words.txt", "..", "/words.txt", "n" * 300, "a\0b"])
def test_names_of_files_that_layers_keep_are_looked_at(name):
    from ensemble_vs_dropout.models.adapted import give_state, state_of
    from ensemble_vs_dropout.models.backend import keras

    layer = keras.layers.StringLookup()
    layer.adapt(["red", "blue"])
    model = keras.Sequential([keras.Input((1,), dtype="string"), layer])
    ((key, content),) = state_of(model).items()
    with pytest.raises(InputError, match="must be plain"):
        give_state(model, {key: content, key.replace("vocabulary.txt", name): content})


@pytest.mark.parametrize("name", [name for name in NAMES if isinstance(name, str) and "\ud800" not in name])
def test_names_in_a_saved_ensemble_lead_nowhere(tmp_path, victim, name):
    import ensemble_vs_dropout as evd

    told = {"masks": [[]], "histories": [], "diverged": [], "head": None, "seed": 0, "files": [name]}
    path = tmp_path / "of" / "saved.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ensemble.json", json.dumps(told))
        for entry in (name, "../victim/years.txt"):
            archive.writestr(entry or "x", b"no model")
    with pytest.raises(InputError):
        evd.Ensemble.load(path)
    assert [entry.name for entry in path.parent.iterdir()] == ["saved.zip"]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_names_in_a_checkpoint_are_looked_at(tmp_path, victim, small, blobs, name):
    import ensemble_vs_dropout as evd

    x, y = blobs(30)
    told = {"finished": False, "file": name, "sha256": digest_of_bytes(b"years of work")}
    fit = partial(evd.Ensemble(small, members=1).fit, x, y, epochs=1, batch_size=30, verbose=0)
    with suppress(StopIteration):
        fit(checkpoint=tmp_path / "kept", on_epoch=stop)
    (tmp_path / "kept" / "member_000.json").write_text(json.dumps(told))
    with pytest.raises(InputError, match=r"a name in .* must be plain"):
        fit(checkpoint=tmp_path / "kept")


def stop(*_):
    raise StopIteration


@pytest.mark.parametrize("command", ["report", "export", "study status", "figures", "predict"])
def test_a_name_that_is_too_long_is_told_in_a_line(monkeypatch, capsys, tmp_path, command):
    long = str(tmp_path / ("n" * 300))
    arguments = {
        "report": [long], "export": [long], "study status": [str(GOLDEN / "study.yaml"), "--store", long],
        "figures": ["--from", long], "predict": [f"{long}.keras", f"{long}.npz"],
    }[command]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["evd", *command.split(), *arguments])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    assert len([line for line in capsys.readouterr().err.splitlines() if line.startswith("evd: ")]) == 1


# Links, pipes and devices

IN_A_STORE = [
    "store.json", "runs", f"runs/{PLAIN}", f"runs/{PLAIN}/manifest.json", f"runs/{PLAIN}/spec.json",
    f"runs/{PLAIN}/scores.json", f"runs/.{PLAIN}-0123", "studies", "studies/golden.yaml", "work", f"work/{PLAIN}",
    "failed", f"failed/{PLAIN}.json", "damaged", f"damaged/{PLAIN}-1", "locks", f"locks/{PLAIN}.lock",
    "locks/comparison.lock",
]  # fmt: skip


@pytest.mark.parametrize("kind", HARMS)
@pytest.mark.parametrize("name", IN_A_STORE)
def test_a_store_writes_and_removes_through_no_link_and_waits_for_no_pipe(comparison, victim, name, kind):
    run = Store(comparison).run(PLAIN)
    harm(comparison / name, kind, victim)

    def claimed(kept):
        with kept.hold("comparison"), kept.claim((run,)):
            kept.work(run).mkdir(parents=True, exist_ok=True)
            (kept.work(run) / "settings.json").write_text("{}")

    acts = [
        lambda kept: [kept.has(run), kept.finished(), kept.failure(run), kept.damaged(run)],
        lambda kept: [read_study(path) for path in kept.studies()],
        lambda kept: kept.run(PLAIN),
        lambda kept: kept.read(run, "scores.json"),
        lambda kept: kept.keep_study("golden", "name: golden"),
        lambda kept: kept.fail(run, "no", ""),
        claimed,
        lambda kept: kept.put(run, {"scores.json": b"[]"}),
        lambda kept: kept.set_aside(run) if os.path.lexists(kept.folder / "runs" / PLAIN) else None,
        lambda kept: kept.put(run, {"scores.json": b"[]"}),
        lambda kept: kept.clean(),
    ]
    for act in acts:
        with refused_or_done():
            act(Store(comparison))


@pytest.mark.parametrize("kind", HARMS)
@pytest.mark.parametrize("folder", ["work", "failed", "damaged", "runs"])
def test_clean_removes_links_and_not_what_they_lead_to(store, victim, folder, kind):
    name = f"runs/.{PLAIN}-0123" if folder == "runs" else f"{folder}/{PLAIN}"
    harm(store / name, kind, victim)
    assert Store(store).clean() == [name]
    assert not os.path.lexists(store / name)


@pytest.mark.parametrize("folder", ["work", "failed", "damaged", "runs", "locks"])
def test_a_folder_of_the_store_that_is_a_link_is_refused(store, victim, folder):
    harm(store / folder, "link to folder", victim)
    with pytest.raises(InputError, match=f"{folder}' must be a folder, got a link; move it away"):
        Store(store).clean() if folder != "locks" else Store(store).claim((a_run(),)).__enter__()


def test_a_store_may_be_reached_by_a_link(store, tmp_path):
    (tmp_path / "link").symlink_to(store, target_is_directory=True)
    kept = Store(tmp_path / "link")
    with kept.hold("comparison"), kept.claim((a_run(),)) as mine:
        kept.work(a_run()).mkdir(parents=True)
        kept.put(mine[0], {"scores.json": b"[]"})
    kept.fail(a_run(1), "no", "")
    assert kept.clean() == [f"failed/{a_run(1).name}.json"]
    assert Store(store).read(a_run(), "scores.json") == [b"[]"]


@pytest.mark.parametrize("kind", HARMS)
def test_what_lies_in_the_place_of_a_run_is_set_aside(store, victim, kind):
    run = a_run()
    harm(store / "runs" / run.name, kind, victim)
    Store(store).put(run, {"scores.json": b"[]"})
    assert Store(store).read(run, "scores.json") == [b"[]"]
    assert os.path.lexists(store / "damaged" / f"{run.name}-1")


@pytest.mark.parametrize("kind", HARMS)
@pytest.mark.parametrize("name", ["comparison.json", "manifest.json", "scores.csv", "figures", "report.html"])
def test_the_folder_of_a_comparison_is_read_and_taken_over_through_no_link(comparison, victim, name, kind):
    finish(comparison)
    harm(comparison / name, kind, victim)
    for act in (Comparison.load, is_finished, read_asked):
        with refused_or_done():
            act(comparison)
    with refused_or_done():
        open_folder(comparison)
        claim(comparison, {"format": 1, "settings": {"members": 9}}, force=True)


@pytest.mark.slow
@pytest.mark.parametrize("kind", HARMS)
def test_what_is_made_of_runs_is_written_through_no_link(comparison, found, victim, kind):
    for name in ("scores.csv", "scores.parquet", "contrasts.parquet", "histories.parquet", "report.md", "report.html",
                 "table.md", "manifest.json", "environment.json", "figures/ensemble_size.svg"):  # fmt: skip
        harm(comparison / name, kind, victim)
    found.write(comparison)
    assert is_finished(comparison)
    assert not [path for path in comparison.rglob("*") if path.is_symlink() or not (path.is_file() or path.is_dir())]
    harm(comparison / "figures", kind, victim)
    with pytest.raises(InputError, match="figures' must be a folder"):
        found.write(comparison)


@pytest.mark.slow
@pytest.mark.parametrize("kind", HARMS)
def test_a_report_is_written_through_no_link(found, victim, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(Comparison, "figures", lambda *_: {})
    out = tmp_path / "report"
    for name in ("report.md", "report.html", "tables/quality.tex", "tables/scores.csv"):
        harm(out / name, kind, victim)
    found.report(out)
    assert not [path for path in out.rglob("*") if path.is_symlink() or path.is_fifo()]
    for name in ("figures", "tables"):
        harm(out / name, kind, victim)
        with pytest.raises(InputError, match=f"{name}' must be a folder"):
            found.report(out)
        remove(out / name)


@pytest.mark.parametrize("kind", HARMS)
def test_tables_predictions_and_facts_are_written_through_no_link(store, victim, tmp_path, kind):
    out = tmp_path / "out"
    for name in ("results.csv", "results.parquet", "facts.csv", "predictions.npz"):
        harm(out / name, kind, victim)
    for suffix in ("csv", "parquet"):
        arguments = ["study", "results", str(GOLDEN / "study.yaml"), "--store", str(store), "--out"]
        done = CliRunner().invoke(app, [*arguments, str(out / f"results.{suffix}")])
        assert done.exit_code == 0, done.exception
    assert len(pd.read_csv(out / "results.csv")) == len(pd.read_parquet(out / "results.parquet"))
    draw([], out, say=lambda _: None)
    with refused_or_done(), suppress(FileNotFoundError):
        Predictions.load(out / "predictions.npz")
    Predictions(np.full((1, 2, 2), 0.5)).save(out / "predictions.npz")
    assert Predictions.load(out / "predictions.npz").classes == 2
    assert not [path for path in out.iterdir() if path.is_symlink() or path.is_fifo()]


@pytest.mark.parametrize("kind", HARMS)
def test_a_report_of_a_study_is_written_through_no_link(store, victim, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(Comparison, "figures", lambda *_: {})
    harm(tmp_path / "reports" / "label_noise=0.0", kind, victim)
    arguments = ["report", str(GOLDEN / "study.yaml"), "--store", str(store), "--out", str(tmp_path / "reports")]
    done = CliRunner().invoke(app, ["study", *arguments])
    assert isinstance(done.exception, InputError)


@pytest.mark.parametrize("kind", HARMS)
def test_what_is_given_to_be_read_is_a_file(victim, tmp_path, kind):
    import ensemble_vs_dropout as evd
    from ensemble_vs_dropout.predictors.deployed import Deployed

    readers = {
        "study.yaml": read_study, "saved.zip": evd.Ensemble.load, "data.csv": partial(evd.load_dataset, target="y"),
        "data.npz": evd.load_dataset, "model.keras": Deployed, "predictions.npz": Predictions.load,
        "network.keras": lambda path: evd.Ensemble.from_models([path]), "run": Comparison.load,
    }  # fmt: skip
    for name, read in readers.items():
        harm(tmp_path / name, kind, victim)
        with refused_or_done(), suppress(FileNotFoundError):
            read(tmp_path / name)


@pytest.mark.slow
@pytest.mark.parametrize("kind", HARMS)
@pytest.mark.parametrize("name", ["settings.json", "member_000.json", "member_000.epoch_1.npz"])
def test_a_checkpoint_is_read_and_written_through_no_link(victim, tmp_path, small, blobs, name, kind):
    import ensemble_vs_dropout as evd

    x, y = blobs(30)
    harm(tmp_path / "kept" / name, kind, victim)
    with refused_or_done():
        evd.Ensemble(small, members=1).fit(x, y, epochs=1, batch_size=30, verbose=0, checkpoint=tmp_path / "kept")


def test_a_saved_model_takes_the_place_of_no_link(tmp_path, victim):
    from ensemble_vs_dropout.predictors.formats import check_path

    harm(tmp_path / "model", "link to nothing", victim)
    with pytest.raises(InputError, match="is there already"):
        check_path(tmp_path / "model")


def test_kinds_of_what_is_there_are_told(tmp_path, victim):
    (tmp_path / "a").write_text("")
    assert own(tmp_path / "a", "file") == regular(tmp_path / "a") == tmp_path / "a"
    with pytest.raises(InputError, match="must be a folder, got a file"):
        own(tmp_path / "a")
    harm(tmp_path / "a", "pipe", victim)
    with pytest.raises(InputError, match="must be a file, got a pipe or device"):
        regular(tmp_path / "a")


# Disks that are read-only

READ = """
import sys
from pathlib import Path
from typer.testing import CliRunner
import ensemble_vs_dropout as evd
from ensemble_vs_dropout.commands.main import app
from ensemble_vs_dropout.commands.screen import show_comparison

golden, out = map(Path, sys.argv[1:])
try:
    (golden / "new").mkdir()
except OSError as error:
    assert error.errno == 30, error
network = evd.networks.mlp(units=(2,))
asked = {"train_size": 60, "members": 2, "passes": 2, "epochs": 1, "rate": 0.5, "repetitions": 1, "probe": False}
found = evd.compare("digits", network, **asked, out=golden / "comparison", verbose=0)
assert found.write_page(golden / "comparison") is None
show_comparison(found, None, 1.0)
study = [str(golden / "study.yaml"), "--store", str(golden / "store")]
for command in (
    *(["study", one, *study] for one in ("plan", "status", "results", "verdict", "contrasts", "run")),
    ["study", "report", *study, "--out", str(out / "reports"), "--where", "label_noise=0.0"],
    ["study", "figures", *study, "--out", str(out / "of_study"), "--formats", "svg"],
    ["figures", "--from", str(golden / "comparison"), "--out", str(out / "figures"), "--formats", "svg"],
    ["report", str(golden / "comparison"), "--out", str(out / "report")],
    ["export", str(golden / "comparison"), "--arm", "single", "--out", str(out / "model.keras")],
    ["predict", str(golden / "model.keras"), str(golden / "x.npz"), "--out", str(out / "predictions.csv")],
):
    if command[0] == "predict" and not (golden / "model.keras").exists():
        command[1] = str(out / "model.keras")
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, (command, done.exception, done.output)
print("all is read")
"""


@pytest.mark.slow
def test_what_is_finished_is_read_on_a_disk_that_is_read_only(tmp_path):
    golden = Path(shutil.copytree(GOLDEN, tmp_path / "golden"))
    finish(golden / "comparison")  # whose figures were left out
    np.savez(golden / "x.npz", x=np.zeros((3, 8, 8), np.uint8))
    (tmp_path / "out").mkdir()
    mounted = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1"'
    alone = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    if not shutil.which("unshare") or subprocess.run([*alone, mounted, "", golden], capture_output=True).returncode:
        pytest.skip("this machine mounts nothing")
    signal.alarm(300)
    script = f'{mounted} && exec "$2" -c "$3" "$1" "$4"'
    done = subprocess.run(
        [*alone, script, "", golden, sys.executable, READ, tmp_path / "out"], capture_output=True, text=True
    )
    assert done.stdout.endswith("all is read\n"), done.stderr
    assert "The folder is only to be read" in done.stdout
