"""One file that takes raw columns or arrays, and predicts as the networks do for what was made of these."""

import json
import subprocess
import sys
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.measures import STANDARD_RULES, aggregate, uncertainty
from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.predictors import Ensemble
from ensemble_vs_dropout.predictors.deployed import TOLD, Deployed, deployed, write
from ensemble_vs_dropout.types import Column, Encoding

TABLE = Encoding(
    (
        Column("since", "date", fill=20_000.0),
        Column("size", "number"),
        Column("same", "number"),
        Column("town", "text", ("Bern", "Oslo", "Rome"), "Oslo"),
        Column("member", "bool", ("False", "True")),
    ),
    np.array([19_000.0, 1e-9, 3.0]),
    np.array([0.25, 1e-10, 0.0]),
)
FEATURES = 8


def networks(features=FEATURES, members=3, dtype="float32", shape=None):
    def build():
        layers = [keras.Input(shape or (features,), dtype=dtype), keras.layers.Flatten(), keras.layers.Rescaling(1.0)]
        model = keras.Sequential([*layers, keras.layers.Dense(3, activation="softmax")])
        model.compile("sgd", "sparse_categorical_crossentropy")
        return model

    return Ensemble(build, members=members)


def raw(examples=40):
    rng = np.random.default_rng(0)
    numbers = np.stack(
        [19_000 + rng.normal(size=examples), 1e-9 + 1e-10 * rng.normal(size=examples), rng.normal(size=examples)], 1
    )
    towns = rng.choice(["Bern", "Oslo", "Rome", "Paris"], examples)
    part = {"numbers": numbers, "categories": np.stack([towns, rng.choice(["False", "True"], examples)], 1)}
    part["categories"] = part["categories"].astype(object)
    numbers[::7, 0] = np.nan
    part["categories"][::5, 0] = ""
    return part


def by_hand(part):
    """The features, made of raw columns one by one."""
    since, size, _ = part["numbers"].T
    since = np.where(np.isnan(since), 20_000.0, since)
    town = np.where(part["categories"][:, 0] == "", "Oslo", part["categories"][:, 0])
    columns = [(since - 19_000) / 0.25, (size - 1e-9) / 1e-10, np.zeros(len(size))]
    columns += [town == name for name in ("Bern", "Oslo", "Rome")]
    columns += [part["categories"][:, 1] == name for name in ("False", "True")]
    return np.stack(columns, 1).astype(np.float32)


@pytest.mark.parametrize("rule", STANDARD_RULES)
def test_raw_columns_give_what_encoded_features_give(rule, tmp_path):
    ensemble, part = networks(), raw()
    told = {"encoding": TABLE.to_json(), "shape": [FEATURES], "dtype": "float32", "classes": ["a", "b", "c"]}
    write(tmp_path / "model.keras", deployed(ensemble.models, TABLE, (FEATURES,), "float32", rule), told)
    network = Deployed(tmp_path / "model.keras")
    assert network.classes == ("a", "b", "c")
    assert network.encoding.to_json() == TABLE.to_json()
    found = network.predict(part, batch_size=7)
    members = ensemble.predict_members(by_hand(part)).probs
    np.testing.assert_allclose(found["probabilities"], aggregate(members, rule), atol=1e-5)
    expected = uncertainty(members)
    np.testing.assert_allclose(found["entropy"], expected.entropy, atol=1e-5)
    np.testing.assert_allclose(found["mutual_information"], expected.mutual_information, atol=1e-5)


def test_one_network_disagrees_with_nobody():
    (model,) = networks(members=1).models
    assert set(deployed([model], TABLE, (FEATURES,), "float32").output) == {"probabilities", "entropy"}


def test_certain_members_have_no_entropy():
    build = networks(features=3, members=2)
    for number, model in enumerate(build.models):
        model.layers[-1].set_weights([1000 * np.roll(np.eye(3), number, axis=1), np.zeros(3)])
    found = deployed(build.models, Encoding(), (3,), "float32")(np.eye(3))
    np.testing.assert_allclose(found["entropy"], np.log(2), rtol=1e-6)
    np.testing.assert_allclose(found["mutual_information"], np.log(2), rtol=1e-6)


@pytest.mark.parametrize("scaled", [True, False])
def test_arrays_are_standardized_as_in_training_or_stay(scaled):
    ensemble, x = networks(features=4), np.random.default_rng(0).normal(1e6, 1.0, (20, 4))
    encoding = Encoding(mean=x.mean(0), deviation=x.std(0)) if scaled else Encoding()
    features = ((x - x.mean(0)) / x.std(0)).astype(np.float32) if scaled else (x / 1e6).astype(np.float32)
    found = deployed(ensemble.models, encoding, (4,), "float32")(x if scaled else features)
    np.testing.assert_allclose(found["probabilities"], ensemble.predict(features), atol=1e-6)


def test_images_stay_bytes():
    ensemble, images = networks(dtype="uint8", shape=(2, 2)), np.arange(40, dtype=np.uint8).reshape(10, 2, 2)
    found = deployed(ensemble.models, Encoding(), (2, 2), "uint8")(images)
    np.testing.assert_allclose(found["probabilities"], ensemble.predict(images), atol=1e-6)


@pytest.mark.slow
def test_keras_alone_loads_it(tmp_path):
    ensemble, part = networks(), raw()
    write(tmp_path / "model.keras", deployed(ensemble.models, TABLE, (FEATURES,), "float32"), {})
    np.savez(tmp_path / "part.npz", numbers=part["numbers"], categories=part["categories"].astype(str))
    code = """
import keras, numpy as np, sys
model, part = keras.models.load_model("model.keras"), np.load("part.npz")
given = {"numbers": part["numbers"], "categories": keras.ops.convert_to_tensor(part["categories"].tolist())}
print(model.predict(given, verbose=0)["probabilities"].sum(), "ensemble_vs_dropout" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0].startswith(("40", "39.99"))
    assert done.stdout.split()[1] == "False"


def test_what_is_no_exported_model_is_refused(tmp_path):
    path = tmp_path / "model.keras"
    with pytest.raises(InputError, match=r"must be a file that ends in \.keras"):
        Deployed(tmp_path / "model.h5")
    with pytest.raises(InputError, match="does not exist"):
        Deployed(path)
    path.write_bytes(b"PK nothing")
    with pytest.raises(InputError, match="is no model of evd export"):
        Deployed(path)
    model = networks().models[0]
    model.save(path)
    with pytest.raises(InputError, match="is no model of evd export, or Keras has saved it since"):
        Deployed(path)
    told = {"format": 1, "encoding": TABLE.to_json(), "shape": [1], "dtype": "float32", "classes": ["a"]}
    for content, message in [
        ("[" * 100_000, "is no model of evd export"),
        ("[]", "must be of format 1"),
        (json.dumps({**told, "format": 2}), "must be of format 1"),
        (json.dumps({**told, "encoding": []}), "what evd export does not write"),
        (json.dumps({**told, "encoding": {"columns": [{"name": "a"}], "mean": None, "deviation": None}}), "not write"),
        (json.dumps({**told, "classes": None}), "not write"),
        (json.dumps({**told, "dtype": "nothing"}), "not write"),
        (json.dumps({**told, "shape": [0]}), "not write"),
        (json.dumps({**told, "shape": [8, -1]}), "not write"),
        (json.dumps({**told, "encoding": {**TABLE.to_json(), "mean": True}}), "not write"),
        (json.dumps({**told, "encoding": {**TABLE.to_json(), "deviation": None}}), "not write"),
        (json.dumps({**told, "dtype": "S3"}), "not write"),
        (json.dumps({**told, "dtype": "\ud800"}), "not write"),
        (json.dumps(told), "cannot be loaded by Keras"),
    ]:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(TOLD, content)
        with pytest.raises(InputError, match=message):
            Deployed(path)


@pytest.mark.parametrize(
    ("place", "value", "where"),
    [(8, 1, "both"), (10, 99, "both"), (0, 255, "stream")],
    ids=["encrypted", "compressed otherwise", "another stream"],
)
def test_an_archive_that_cannot_be_read_is_refused(tmp_path, place, value, where):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(TOLD, "[]")
    content = bytearray(path.read_bytes())
    if where == "stream":
        content[30 + len(TOLD)] = value
    else:
        content[place - 2] = content[content.find(b"PK\1\2") + place] = value
    path.write_bytes(content)
    with pytest.raises(InputError, match="is no model of evd export"):
        Deployed(path)


def test_a_model_that_does_not_fit_in_memory_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = tmp_path / "model.keras"
    write(path, deployed(networks().models, TABLE, (FEATURES,), "float32"), {})
    memory = SimpleNamespace(available=1000)
    monkeypatch.setattr("ensemble_vs_dropout.files.psutil.virtual_memory", lambda: memory)
    with pytest.raises(InputError, match=r"model\.keras takes .* GB of memory"):
        Deployed(path)


def test_classes_are_those_that_the_model_predicts_and_can_be_shown(tmp_path):
    path = tmp_path / "model.keras"
    model = deployed(networks().models, TABLE, (FEATURES,), "float32")
    told = {"encoding": TABLE.to_json(), "shape": [FEATURES], "dtype": "float32"}
    write(path, model, {**told, "classes": ["\x1b[31m", *"abcdefgh"[: model.output["probabilities"].shape[-1] - 1]]})
    assert Deployed(path).classes[0] == "\\x1b[31m"
    for classes in ([], ["a"], "a"):
        write(path, model, {**told, "classes": classes})
        with pytest.raises(InputError, match=r"classes, and its model predicts others"):
            Deployed(path)


def test_nothing_is_left_where_keras_cannot_save(tmp_path, monkeypatch):
    model = deployed(networks().models, TABLE, (FEATURES,), "float32")
    monkeypatch.setattr(type(model), "save", lambda self, path: path.write_bytes(b"half") and 1 / 0)
    with pytest.raises(InputError, match="Keras cannot save the model"):
        write(tmp_path / "model.keras", model, {})
    assert [*tmp_path.iterdir()] == []
    with pytest.raises(InputError, match=r"out must end in \.keras"):
        write(tmp_path / "model.h5", model, {})
