"""Whatever one operation of the disk fails: one sentence tells, nothing finished is lost, the same call goes on.

Nothing is trained: runs are those of the stored comparison, and tables and drawings are made once.
"""

import errno
import fcntl
import itertools
import json
import os
import shutil
import sys
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import numpy as np
import pytest
import typer
from faulty_disk import FaultyDisk

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.commands import main
from ensemble_vs_dropout.experiments import Store, comparing, comparison, deploying, running
from ensemble_vs_dropout.experiments.comparison import Comparison
from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.plots.display import Display
from ensemble_vs_dropout.predictors import Ensemble
from ensemble_vs_dropout.predictors.deployed import deployed
from ensemble_vs_dropout.training.checkpoints import Checkpoint, Standing
from ensemble_vs_dropout.training.schedule import Part, Schedule
from ensemble_vs_dropout.types import Encoding

GOLDEN = Path(__file__).parent / "golden"
COMPARE = (
    "compare --dataset digits --members 2 --passes 2 --repetitions 1 --epochs 1 --rate 0.5 --no-controls --no-probe "
    "--quiet --out run"
)
STUDY = """\
name: small
base: {dataset: digits, train_size: 60, model: {name: mlp, units: [2]}, members: 2, passes: 2, epochs: 1,
  recipes: [plain]}
grid: {rate: [0.5], seed: [0, 1, 2]}
"""
ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES)


# What stands in the place of what takes long


@pytest.fixture(scope="module")
def known():
    """A comparison of which all tables are made, the words of its report, and its runs' files by recipe."""
    found = Comparison.load(GOLDEN / "comparison")
    displays = found.figures(["arm_intervals"])
    tables = {"_numbers": found._numbers()["sizes"], "table": found.table(), "scores": found.scores}
    tables |= {"contrasts": found.contrasts, "histories": found.histories}
    made = {name: table.iloc[:2, :3] for name, table in tables.items()}  # small, for they are written often
    made |= {"_numbers": {"scores": made["scores"], "sizes": made["_numbers"]}, "environment": found.environment}
    made |= {"verdict": found.verdict(), "figures": displays, "_content": found._content(displays, drawn=False)}
    runs = {
        run.recipe: {name: found.store.read(run, name)[0] for name in found.store.files(run)}
        for runs in found.runs
        for run in runs
    }
    return made, runs


@pytest.fixture
def quick(known, monkeypatch):
    """Have runs, tables and drawings at once; the disk is asked as ever."""
    made, files = known

    def made_runs(runs, planned, checkpoints=None, on_epoch=None, given=None):
        for run, folder in zip(runs, checkpoints or [None] * len(runs), strict=True):
            if folder:
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "member_000.json").write_text("{}")
            yield run, files[run.recipe]

    def savefig(path, **named):
        with open(path, "wb") as file:
            file.write(f"drawn as {named['format']}".encode())

    monkeypatch.setattr(running, "make_runs", made_runs)
    monkeypatch.setattr(comparing, "_check", lambda *given: [])
    monkeypatch.setattr(main, "show_comparison", lambda *given: None)
    monkeypatch.setattr(main, "app", typer.main.get_command(main.app))  # once, which takes as long as the rest
    for name, value in made.items():
        is_method = name in ("_numbers", "verdict", "table", "figures", "_content")
        monkeypatch.setattr(Comparison, name, (lambda *_, _v=value, **__: _v) if is_method else value)
    for name in ("report_markdown", "report_html", "latex_table"):
        monkeypatch.setattr(comparison.report, name, lambda *given, _text=name, **named: _text)
    figure = SimpleNamespace(axes=(), set_layout_engine=lambda layout: None, savefig=savefig)
    monkeypatch.setattr(Display, "plot", lambda *given, **named: [SimpleNamespace(figure=figure)])


class Told(Exception):
    """What a command wrote to standard error before it left with another code than 0."""


@pytest.fixture
def evd(capsys, monkeypatch):
    """A function that calls the command in this process, and raises what it tells."""

    def called(arguments):
        monkeypatch.setattr(sys, "argv", ["evd", *arguments.split()])
        capsys.readouterr()
        try:
            main.main()
        except SystemExit as left:
            if left.code:
                lines = capsys.readouterr().err.splitlines()
                raise Told(left.code, [line for line in lines if " rows in " not in line]) from left

    return called


# The walk


def tree(folder):
    """Return what lies in a folder, by name."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def whole_runs(folder):
    """Return the finished runs under a folder that are what was written."""
    stores = [Store(mark.parent) for mark in folder.rglob("store.json")]
    return {(store.folder, name) for store in stores for name in store.finished() if is_whole(store, name)}


def is_whole(store, name):
    try:
        return not store.damaged(store.run(name))
    except InputError:
        return False


def walk(place, disk, start, act, state, step):
    """Fail at every `step`-th operation, alone and with all after it, each time with another of the errors.

    Returns how many faults were tried, and what went wrong.
    """

    def fresh(name):
        folder = place / name
        folder.mkdir()
        start(folder)
        return folder

    act(whole := fresh("whole"))
    expected, tried, wrong = state(whole), 0, []
    for on in (False, True):
        for number in itertools.count(1, step):
            code = ERRORS[(number // step + on) % len(ERRORS)]
            folder, failed = fresh("broken"), None
            before, runs = state(folder), whole_runs(folder)
            with disk.failing(number, code, on):
                try:
                    act(folder)
                except (OSError, InputError, Told) as error:
                    failed = error
            if not disk.fired:
                shutil.rmtree(folder)
                break
            tried += 1
            found = [*badly_told(failed), *(lost(state(folder), before, expected) if not of_the_rest(failed) else ())]
            found += [f"{name} is lost" for _, name in runs - whole_runs(folder)]
            act(folder)
            found += unlike(state(folder), expected)
            wrong += [f"{errno.errorcode[code]} at {disk.fired[0]}{' and on' * on}: {one}" for one in found]
            shutil.rmtree(folder)
    return tried, wrong


def badly_told(failed):
    """Yield what a user would miss in what is told: one sentence, and a code of going wrong."""
    if isinstance(failed, Told):
        code, lines = failed.args
        if code not in (1, 2) or len(lines) != 1 or not lines[0].startswith("evd: "):
            yield f"it ended with {code} and told {lines}"


def of_the_rest(failed):
    """Return whether a table was written, and a run named that is not in it."""
    return isinstance(failed, Told) and "is not in the table" in str(failed)


def lost(found, before, expected):
    """Yield the files, but those in a store, that are neither what they were nor what they were to be."""
    for name, content in before.items():
        if name.partition("/")[0] not in ("run", "store") and found.get(name) not in (content, expected[name]):
            yield f"{name} is lost"


def unlike(found, expected):
    """Yield what is not as the same call leaves it where nothing fails."""
    yield from (f"{name} is left" for name in sorted(found.keys() - expected.keys()))
    yield from (f"{name} is missing" for name in sorted(expected.keys() - found.keys()))
    yield from (
        f"{name} is another" for name in sorted(found.keys() & expected.keys()) if found[name] != expected[name]
    )


@pytest.fixture
def place():
    """A folder in memory where there is such a disk, for the many folders that are made and removed."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.fixture
def disk(place, monkeypatch):
    return FaultyDisk(place / "broken", monkeypatch)


# What is done


def nothing(folder):
    pass


def a_comparison(evd, monkeypatch, place):
    def act(folder):
        monkeypatch.chdir(folder)
        evd(COMPARE)

    return nothing, act


def a_comparison_that_takes_the_place_of_another(evd, monkeypatch, place):
    monkeypatch.chdir(place)
    evd(COMPARE.replace("run", "other").replace("--epochs 1", "--epochs 2"))
    (place / "other" / "conditions.csv").write_text("of the other alone")

    def start(folder):
        shutil.copytree(place / "other", folder / "run")

    def act(folder):
        monkeypatch.chdir(folder)
        evd(f"{COMPARE} --force")

    return start, act


def a_study(evd, monkeypatch, place):
    def start(folder):
        (folder / "study.yaml").write_text(STUDY)
        (folder / "results.csv").write_text("of before")

    def act(folder):
        monkeypatch.chdir(folder)
        evd("study run study.yaml --jobs 1 --checkpoint --quiet")
        evd("study results study.yaml --out results.csv")
        evd("study results study.yaml --out results.parquet")

    return start, act


def a_study_that_goes_on(evd, monkeypatch, place):
    """Of three runs one is finished, one is damaged, and one has failed before."""
    monkeypatch.chdir(place)
    (place / "study.yaml").write_text(STUDY)
    evd("study run study.yaml --jobs 1 --checkpoint --quiet")
    store = Store(place / "store")
    _, second, third = sorted(store.finished())
    (store.folder / "runs" / second / "scores.json").write_text("[]")
    run = store.run(third)
    shutil.rmtree(store.folder / "runs" / third)
    store.fail(run, "no memory", "")
    store.work(run).mkdir(parents=True)
    (store.work(run) / "member_000.json").write_text("{}")

    def start(folder):
        shutil.copytree(place / "store", folder / "store")
        (folder / "study.yaml").write_text(STUDY)

    def act(folder):
        monkeypatch.chdir(folder)
        evd("study run study.yaml --jobs 1 --checkpoint --quiet --verify")

    return start, act


def a_report(evd, monkeypatch, place):
    def start(folder):
        shutil.copytree(GOLDEN / "comparison", folder / "run")
        for name in ("report.html", "tables/quality.tex", "figures/arm_intervals.svg"):
            (folder / "report" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "report" / name).write_text("of before")

    def act(folder):
        monkeypatch.chdir(folder)
        evd("report run --quiet --out report")

    return start, act


def an_export(evd, monkeypatch, place):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, activation="softmax")])
    encoding = Encoding()
    told = {
        "encoding": encoding.to_json(), "shape": [2], "dtype": "float32", "classes": ["a", "b"], "arm": "single",
        "label": "single", "rule": "mean", "members": 1,
    }  # fmt: skip
    whole = deployed([model], encoding, [2], "float32", "mean")
    monkeypatch.setattr(deploying, "deployable", lambda *given: (whole, told))

    def start(folder):
        shutil.copytree(GOLDEN / "comparison", folder / "run")

    def act(folder):
        monkeypatch.chdir(folder)
        evd("export run --out models/x.keras")

    return start, act


def a_save(evd, monkeypatch, place):
    def build():
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, activation="softmax")])
        model.compile("sgd", "sparse_categorical_crossentropy")
        return model

    ensemble = Ensemble(build, members=2)

    def start(folder):
        (folder / "own.zip").write_text("of before")

    def act(folder):
        ensemble.save(folder / "own.zip")

    return start, act


def a_checkpoint(evd, monkeypatch, place):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    schedule = Schedule(Part(np.zeros((4, 2), "float32"), np.arange(4) % 2), seed=0, epochs=3, batch_size=2)

    def act(folder):
        kept = Checkpoint(folder / "kept", schedule, model, every=1)
        for member in range(2):
            if kept.load(member, model) is not None:
                continue
            stands = kept.resume(member, model.variables) or Standing()
            for epoch in range(stands.epoch + 1, 4):
                rows = [{"epoch": float(one)} for one in range(1, epoch + 1)]
                if epoch < 3:
                    kept.keep(member, model.variables, Standing(epoch, rows))
            kept.save(member, model, rows)

    return nothing, act


def without_times(folder):
    """Return what lies in a folder, of archives what they hold: they tell the time, and the sums of them differ."""
    found = tree(folder)
    for name, content in found.items():
        if content and zipfile.is_zipfile(folder / name):
            with zipfile.ZipFile(folder / name) as archive:
                inside = [one for one in archive.namelist() if not one.endswith((".h5", ".keras", "metadata.json"))]
                found[name] = {one: archive.read(one) for one in inside}
        elif content and b"sha256" in content and name.startswith("kept"):
            found[name] = {**json.loads(content), "sha256": ""}
    return found


SCENES = [
    a_comparison, a_comparison_that_takes_the_place_of_another, a_study, a_study_that_goes_on, a_report, an_export,
    a_save, a_checkpoint,
]  # fmt: skip


@pytest.mark.parametrize("step", [67, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_whatever_fails_the_same_call_goes_on(quick, evd, disk, monkeypatch, place, scene, step):
    start, act = scene(evd, monkeypatch, place)
    state = without_times if scene in (an_export, a_save, a_checkpoint) else tree
    tried, wrong = walk(place, disk, start, act, state, step)
    print(f"{tried} faults")
    assert wrong == []
    assert tried >= 2


@pytest.mark.parametrize("command", [COMPARE, "study run study.yaml --jobs 1 --quiet"])
def test_a_disk_without_locks_is_told_in_a_line_before_anything_is_made(quick, evd, place, monkeypatch, command):
    def flock(handle, how):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    (place / "study.yaml").write_text(STUDY)
    monkeypatch.chdir(place)
    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(Told, match=r"2, .*the locks of its disk do not work \(No locks available\)") as failed:
        evd(command)
    assert [*badly_told(failed.value)] == []
    assert [*place.rglob("runs/*")] == []
