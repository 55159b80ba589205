"""Whatever stands in a file: either it is read, or one sentence says what is wrong with it."""

import hashlib
import io
import json
import random
import shutil
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from bare import BARE
from hypothesis import given, settings
from hypothesis import strategies as st

import ensemble_vs_dropout as evd
from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.datasets import from_arrays
from ensemble_vs_dropout.datasets.rows import Rows
from ensemble_vs_dropout.experiments import Store, kept, parse_study, plan_of, read_study
from ensemble_vs_dropout.experiments.comparison import Comparison
from ensemble_vs_dropout.experiments.settings import Settings
from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.predictors.deployed import Deployed
from ensemble_vs_dropout.types import Encoding

TIMES = 60  # for each kind of file
PIECES = [
    b"[", b"{", b"]", b"}", b"null", b"1e999", b"-", b"\xff\xfe", b"\x00", b'"', b",", b"\n", b"NaN", b"&a",
    b"*a", b": ", b"!!python/object", b"\xed\xa0\x80", b"\xc3", b"\r", b"=", b"\x1b", b"9" * 400, b"[" * 3000,
]  # fmt: skip
STUDY = b"""name: fuzzed
base: {dataset: digits, members: 2, epochs: 1, rate: 0.5, train_size: 60}
grid: {rate: [0.2, 0.5], train_size: [50, 60]}
repetitions: 2
"""


def harmed(content, rng):
    """Return a file with some bytes changed, left out, doubled or put in."""
    found = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 5])):
        at, to = sorted(rng.randrange(len(found) + 1) for _ in range(2))
        kind = rng.randrange(5)
        if kind == 0 and at < len(found):
            found[at] = rng.randrange(256)
        elif kind == 1:
            del found[at : to if rng.random() < 0.5 else at + 4]
        elif kind == 2:
            found[at:at] = found[at : at + 30]
        else:
            found[at:at] = rng.choice(PIECES)
    return bytes(found) or b"x"


def tried(content, path, read, seed=0, times=TIMES):
    """Have `read` read so many harmed files; anything but a result or an `InputError` is raised."""
    rng, kinds = random.Random(seed), {"read": 0, "refused": 0}
    for number in range(times):
        path.write_bytes(harmed(content, rng))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                read(path)
            kinds["read"] += 1
        except InputError:
            kinds["refused"] += 1
        except Exception as error:
            raise AssertionError(f"harm {number} of {path.name} ended in {type(error).__name__}: {error}") from error
    return kinds


def frame():
    return pd.DataFrame(
        {
            "n": np.arange(40) * 1.5,
            "d": pd.date_range("2020-01-01", periods=40).strftime("%Y-%m-%d"),
            "t": [f"{number % 3 * 1000 + 1250:,}" for number in range(40)],
            "c": list("abca") * 10,
            "b": [True, False] * 20,
            "y": ["p", "q"] * 20,
        }
    )


def bytes_of(suffix):
    file = io.BytesIO()
    if suffix == ".parquet":
        frame().to_parquet(file)
    elif suffix == ".npz":
        np.savez(
            file, x=np.random.default_rng(0).random((40, 3)), y=np.arange(40) % 2, class_names=np.array(["a", "b"])
        )
    elif suffix == ".npy":
        np.save(file, np.random.default_rng(0).random((40, 3)))
    return file.getvalue() or frame().to_csv(index=False).encode()


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npz"])
def test_a_data_set_is_read_or_refused(tmp_path, suffix):
    target = None if suffix == ".npz" else "y"
    kinds = tried(bytes_of(suffix), tmp_path / f"a{suffix}", lambda path: evd.load_dataset(path, target=target))
    assert kinds["refused"]


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npy"])
def test_new_rows_are_read_or_refused(tmp_path, suffix):
    (tmp_path / "whole.csv").write_bytes(bytes_of(".csv"))
    encoding = Encoding() if suffix == ".npy" else evd.load_dataset(tmp_path / "whole.csv", target="y").encoding
    path = tmp_path / f"a{suffix}"
    assert tried(bytes_of(suffix), path, lambda path: [*Rows(path, encoding, (3,), "float32")])["refused"]


def test_a_study_is_planned_or_refused(tmp_path):
    assert tried(STUDY, tmp_path / "a.yaml", lambda path: plan_of(read_study(path)), times=3 * TIMES)["refused"]


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**40) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(place=st.sampled_from(["name", "base", "grid", "cases", "repetitions", *Settings.model_fields]), value=ANYTHING)
def test_a_study_with_anything_at_any_place_is_planned_or_refused(place, value):
    study = {"name": "any", "base": {"dataset": "digits", "members": 2}}
    (study if place in ("name", "base", "grid", "cases", "repetitions") else study["base"])[place] = value
    with suppress(InputError):
        plan_of(parse_study(yaml.safe_dump(study)))


READERS = {
    "environment.json": kept.environment_of,
    "inputs.json": kept.inputs_of,
    "cost.json": kept.costs_of,
    "scores.json": kept.scores_of,
}


@pytest.fixture(scope="module")
def golden(tmp_path_factory):
    golden = Path(__file__).parent / "experiments" / "golden" / "comparison"
    return Path(shutil.copytree(golden, tmp_path_factory.mktemp("golden") / "run"))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(name=st.sampled_from(sorted(READERS)), place=st.integers(0, 40), value=ANYTHING)
def test_a_run_with_anything_at_any_place_is_read_or_refused(golden, name, place, value):
    store = Store(golden)
    run = store.run(min(store.finished()))
    whole, sums = (golden / "runs" / run.name / file for file in (name, "manifest.json"))
    before = {file: file.read_bytes() for file in (whole, sums)}
    content = json.loads(before[whole])
    part = content if isinstance(content, dict) else content[0]
    part[sorted(part)[place % len(part)]] = value
    try:
        whole.write_text(json.dumps(content))
        digest = hashlib.sha256(whole.read_bytes()).hexdigest()
        sums.write_text(json.dumps({**json.loads(before[sums]), name: digest}))
        with suppress(InputError):
            READERS[name](run, store)
    finally:
        for file, bytes_before in before.items():
            file.write_bytes(bytes_before)


@pytest.mark.slow
def test_a_saved_ensemble_and_an_exported_file_are_loaded_or_refused(tmp_path):
    def build():
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation="softmax")])
        model.compile("sgd", "sparse_categorical_crossentropy")
        return model

    evd.Ensemble(build, members=2).save(tmp_path / "whole.zip")
    whole = (tmp_path / "whole.zip").read_bytes()
    assert tried(whole, tmp_path / "a.zip", evd.Ensemble.load)["refused"]
    assert tried(whole, tmp_path / "a.zip", lambda path: evd.Ensemble.load(path, build), seed=1)["refused"]
    x = np.random.default_rng(0).random((30, 3))
    data = from_arrays(x, np.arange(30) % 2, x[:6], np.arange(6) % 2)
    small = {"members": 2, "passes": 1, "repetitions": 1, "epochs": 1, "arms": ["single", "ensemble"], **BARE}
    evd.compare(data, **small).export(tmp_path / "whole.keras", "single")
    assert tried((tmp_path / "whole.keras").read_bytes(), tmp_path / "a.keras", Deployed)["refused"]


@pytest.mark.slow
def test_a_run_whose_files_are_whole_by_their_sums_and_hold_something_else_is_read_or_refused(tmp_path):
    small = {"members": 2, "passes": 2, "repetitions": 1, "epochs": 1, "train_size": 60, **BARE}
    evd.compare("digits", out=tmp_path / "whole", **small)
    files = sorted(path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole" / "runs").rglob("*.*"))
    files = [file for file in files if file.name != "manifest.json"]
    assert {file.name for file in files} >= {
        "scores.json",
        "cost.json",
        "predictions.npz",
        "histories.csv",
        "inputs.json",
    }

    def use(path):
        sums = path.with_name("manifest.json")
        told = json.loads(sums.read_text())
        sums.write_text(json.dumps(told | {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}))
        found = Comparison.load(tmp_path / "harmed")
        for what in ("cost", "histories", "predictions", "labels", "spec", "environment", "conditions"):
            getattr(found, what)
        with suppress(InputError):  # what stands in JSON may be another network, which is then refused
            _ = found.ensembles

    refused = 0
    for number, file in enumerate(files):
        for times in range(6):
            shutil.rmtree(tmp_path / "harmed", ignore_errors=True)
            shutil.copytree(tmp_path / "whole", tmp_path / "harmed")
            path = tmp_path / "harmed" / file
            refused += tried(path.read_bytes(), path, use, seed=10 * number + times, times=1)["refused"]
    assert refused > len(files)
