"""A network of the user's own is what its builder builds; what the text around that says is nothing."""

import json
import subprocess
import sys

import pytest

from ensemble_vs_dropout import checks, compare
from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.experiments import Store, parse_study, plan_of, run_study
from ensemble_vs_dropout.experiments.built import Finished, change
from ensemble_vs_dropout.experiments.plan import Run
from ensemble_vs_dropout.experiments.tables import reasons
from ensemble_vs_dropout.files import digest_of_file

TEXT = (
    "{name: s, base: {dataset: digits, train_size: 50, members: 1, epochs: 1, recipes: [plain], resamples: 100, "
    "probe: false, model: 'nets_of_mine:build'}}"
)
PARTS = "import keras\nUNITS = 4\nINITIALIZER = 'he_normal'\n"
NETS = """import keras
import parts_of_mine as parts

def build(data, rate):
    hidden = keras.layers.Dense(parts.UNITS, "relu", kernel_initializer=parts.INITIALIZER)
    model = keras.Sequential([keras.Input(data.input_shape), keras.layers.Flatten(), hidden, keras.layers.Dense(10)])
    hidden.kernel.assign(2 * hidden.kernel)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss)
    return model
"""
LAYER = PARTS + "class Scale(keras.layers.Layer):\n    def call(self, x):\n        return 2 * x\n"
OF_LAYER = NETS.replace("Flatten(), hidden", "Flatten(), parts.Scale(), hidden")
BUILT = "the network that is built has changed"
OWN = "the code of the network has changed, and it holds code of your own"
NAMES = ("nets_of_mine", "parts_of_mine")


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Return what writes the two files of the user's own, and stands for a new Python."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(nets=NETS, parts=PARTS, restart=True):
        for name, text in zip(NAMES, (nets, parts), strict=True):
            (tmp_path / f"{name}.py").write_text(text)
            if restart:
                sys.modules.pop(name, None)
                monkeypatch.setattr(checks, "_SEEN", {})
                monkeypatch.setattr(checks, "_FILES", {})
                monkeypatch.setattr("ensemble_vs_dropout.experiments.built._COMPARED", {})

    yield write
    for name in NAMES:
        sys.modules.pop(name, None)


def made(folder):
    store = Store(folder)
    plan = plan_of(parse_study(TEXT), store)
    report = run_study(plan, store, verbose=0)
    assert report.failed == {}
    return store, report.made


def why(store):
    """Return what `evd study plan --why` says."""
    return [*reasons(plan_of(parse_study(TEXT), store), store).values()]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("nets", "parts"),
    [
        (f"# A comment.\n{NETS}", PARTS),
        (NETS.replace("parts", "p").replace("p_of_mine", "parts_of_mine"), PARTS),
        (NETS.replace("rate):\n", 'rate):\n    """Return my network."""\n'), PARTS),
        (NETS.replace("[keras.Input(data.input_shape), ", "[\n  keras.Input( data.input_shape ),\n  "), PARTS),
        (f"{NETS}\ndef other(data, rate):\n    return None\n", PARTS),
        (NETS.replace("parts.UNITS", "2 + 2"), PARTS),
        (NETS, PARTS.replace("UNITS = 4", "UNITS = 2 * 2  # as before")),
    ],
    ids=["comment", "renamed", "docstring", "layout", "another function", "inlined", "another way to say it"],
)  # fmt: skip
def test_code_that_builds_the_same_trains_nothing_again(written, tmp_path, nets, parts):
    written()
    store, first = made(tmp_path / "store")
    written(nets, parts)
    assert why(store) == []
    assert made(store.folder)[1] == []
    assert len(first) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("nets", "parts"),
    [
        (NETS, PARTS.replace("UNITS = 4", "UNITS = 5")),
        (NETS, PARTS.replace("he_normal", "glorot_uniform")),
        (NETS.replace("SGD(0.1)", "SGD(0.2)"), PARTS),
        (NETS.replace("SparseCategoricalCrossentropy(", "SparseCategoricalCrossentropy(ignore_class=3, "), PARTS),
        (NETS.replace("SGD(0.1), loss", "SGD(0.1), loss, metrics=['accuracy']"), PARTS),
        (NETS.replace("2 * hidden.kernel", "3 * hidden.kernel"), PARTS),
    ],
    ids=["width", "initializer", "learning rate", "loss", "metrics", "first weights"],
)  # fmt: skip
def test_code_that_builds_another_network_trains_again_and_why_says_so(written, tmp_path, nets, parts):
    written()
    store, _ = made(tmp_path / "store")
    written(nets, parts)
    assert why(store) == [BUILT]
    assert len(made(store.folder)[1]) == 1
    assert why(store) == []
    written()
    assert made(store.folder)[1] == []  # both are there


def test_a_layer_of_ones_own_is_what_its_code_says(written, tmp_path):
    """Neither its configuration nor its weights tell what it computes."""
    written(OF_LAYER, LAYER)
    store, _ = made(tmp_path / "store")
    written(OF_LAYER, LAYER + "# A comment.\n")
    assert why(store) == []
    written(OF_LAYER, LAYER.replace("2 * x", "3 * x"))
    assert why(store) == [OWN]
    assert len(made(store.folder)[1]) == 1


def test_of_runs_that_were_not_compared_no_more_is_said_than_is_known(written, tmp_path):
    written()
    store, _ = made(tmp_path / "store")
    (first,) = map(store.run, store.finished())
    store.put(Run({**first.spec, "builder_sha256": "0"}), {"scores.json": b"{}"})  # of a version that noted less
    written(NETS.replace("SGD(0.1)", "SGD(0.2)"))
    assert why(store) == [BUILT]
    changed = parse_study(TEXT.replace("epochs: 1", "epochs: 2"))
    assert [*reasons(plan_of(changed, store), store).values()] == [
        "the code of the network has changed; epochs is 2, and was 1"
    ]


def test_what_was_imported_is_not_taken_for_what_the_files_say_now(written, tmp_path):
    written()
    store, _ = made(tmp_path / "store")
    written(parts=PARTS + "# A comment.\n", restart=False)
    assert made(store.folder)[1] == []
    written(parts=PARTS.replace("UNITS = 4", "UNITS = 5"), restart=False)
    with pytest.raises(InputError, match=r"parts_of_mine.py has changed since Python imported it.*restart Python"):
        made(store.folder)


@pytest.mark.parametrize(
    "nets",
    [NETS, NETS.replace("import parts_of_mine as parts", PARTS).replace("parts.", "")],
    ids=["with imports", "alone"],
)
def test_a_run_that_was_known_by_the_text_of_the_file_goes_on(written, tmp_path, nets):
    written(nets)
    now, _ = made(tmp_path / "now")
    (run,) = plan_of(parse_study(TEXT), now).runs
    files = {name: now.read(run, name)[0] for name in now.files(run)}
    environment = {key: value for key, value in json.loads(files["environment.json"]).items() if key != "built"}
    before = Run({**run.spec, "builder_sha256": digest_of_file(tmp_path / "nets_of_mine.py")})
    store = Store(tmp_path / "store")
    store.put(before, {**files, "environment.json": json.dumps(environment).encode()})
    written(nets)
    assert why(store) == []
    assert made(store.folder)[1] == []
    assert store.finished() == {before.name}
    written(nets, PARTS.replace("UNITS = 4", "UNITS = 5"))
    assert why(store) == (["the code of the network has changed"] if "parts" in nets else [])
    written(nets + "# A comment.\n")  # of what it built, its first weights were not noted
    assert why(store) == ["the code of the network has changed"]


@pytest.mark.slow
@pytest.mark.parametrize("before", [False, True], ids=["by its code", "by its text"])
def test_a_comparison_goes_on_with_code_that_builds_the_same(written, tmp_path, before):
    """A folder that was made before knows the builder by the text of its file."""
    nets = NETS.replace("hidden, keras", "hidden, *[keras.layers.Dropout(rate)] * (rate > 0), keras")
    nets = nets.replace("import parts_of_mine as parts", PARTS).replace("parts.", "")
    asked = {
        "members": 2, "passes": 2, "rate": 0.5, "repetitions": 1, "epochs": 1, "train_size": 50, "probe": False,
        "verbose": 0, "out": tmp_path / "run",
    }  # fmt: skip
    written(nets)
    if before:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                "ensemble_vs_dropout.experiments.plan._code", lambda name: digest_of_file(tmp_path / "nets_of_mine.py")
            )
            compare("digits", "nets_of_mine:build", **asked)
    else:
        compare("digits", "nets_of_mine:build", **asked)
    store = Store(tmp_path / "run")
    made = store.finished()
    written(nets if before else nets.replace("model", "network"))
    compare("digits", "nets_of_mine:build", **asked)
    assert store.finished() == made
    written(nets.replace("SGD(0.1)", "SGD(0.2)"))
    with pytest.raises(InputError, match=r"holds another comparison \(network differ\)"):
        compare("digits", "nets_of_mine:build", **asked)
    compare("digits", "nets_of_mine:build", **asked, force=True)
    assert len(store.finished()) == 2 * len(made)


def test_planning_builds_nothing_where_no_code_has_changed(written, tmp_path):
    written()
    made(tmp_path / "store")
    written(f"# A comment.\n{NETS}")
    code = (
        "import sys; from ensemble_vs_dropout.experiments import *; "
        f"plan = plan_of(parse_study({TEXT!r}), Store('store')); "
        "print(status(plan, Store('store')).words(), 'keras' in sys.modules, 'nets_of_mine' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert told.stdout == "1 of 1 runs are finished False False\n"


@pytest.mark.parametrize("name", ["spec.json", "environment.json"])
def test_a_run_that_the_disk_does_not_give_stops_no_plan(tmp_path, name):
    store = Store(tmp_path / "store")
    spec = {"recipe": "plain", "dataset": "digits", "members": 1, "model": {"name": "nets:build"}}
    before, now = (Run({**spec, "builder_sha256": digest}) for digest in "01")
    store.put(before, {"environment.json": b"{}"})
    file = store.folder / "runs" / before.name / name
    file.unlink()
    file.symlink_to(file)
    assert Finished(store)(now) is now
    assert change(before, now, store) == "the code of the network has changed"
