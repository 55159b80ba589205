"""A finished member is never trained again, and nobody else's members are taken for one's own."""

import json
import shutil
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.models.architecture import architecture
from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.predictors import Ensemble


def assert_same(first, second):
    for model, other in zip(first.models, second.models, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), other.get_weights(), strict=True))


@pytest.fixture
def settings(blobs, tmp_path):
    x, y = blobs(30)
    return {"x": x, "y": y, "epochs": 2, "batch_size": 8, "verbose": 0, "checkpoint": tmp_path / "run"}


@pytest.fixture(scope="module")
def of_one(small, blobs, tmp_path_factory):
    """The checkpoint of a training of one member."""
    x, y = blobs(30)
    folder = tmp_path_factory.mktemp("of_one") / "run"
    Ensemble(small, members=1).fit(x=x, y=y, epochs=2, batch_size=8, verbose=0, checkpoint=folder)
    return folder


@pytest.fixture
def trained(of_one, settings):
    """The settings of a training of one member whose checkpoint is there."""
    shutil.copytree(of_one, settings["checkpoint"])
    return settings


def test_the_second_call_loads_all_and_trains_none(small, settings):
    first, second = Ensemble(small, members=2), Ensemble(small, members=2)
    rows = first.fit(**settings)
    ends = []
    other_rows = second.fit(**settings, on_epoch=ends.append)
    assert ends == []
    assert_same(first, second)
    assert rows.equals(other_rows)


def test_going_on_from_a_checkpoint_warns_of_nothing(small, trained):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Ensemble(small, members=1).fit(**trained)


@pytest.mark.slow
def test_a_checkpoint_changes_nothing_of_the_training(small, settings):
    first, second = Ensemble(small, members=2), Ensemble(small, members=2)
    first.fit(**settings)
    second.fit(**{**settings, "checkpoint": None})
    assert_same(first, second)


@pytest.mark.slow
@pytest.mark.parametrize("epoch", [1, 2])
def test_an_interrupted_training_goes_on_to_the_same_end(small, settings, epoch):
    whole, broken, resumed = (Ensemble(small, members=3) for _ in range(3))
    rows = whole.fit(**{**settings, "checkpoint": None})

    def interrupt(end):
        if (end.member, end.epoch) == (1, epoch):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken.fit(**settings, on_epoch=interrupt)
    ends = []
    resumed_rows = resumed.fit(**settings, on_epoch=ends.append)
    assert {end.member for end in ends} == {1, 2}
    assert_same(whole, resumed)
    assert rows.drop(columns="seconds").equals(resumed_rows.drop(columns="seconds"))


def test_more_members_go_on_from_a_checkpoint_of_fewer(small, trained):
    ends, more, fresh = [], Ensemble(small, members=2), Ensemble(small, members=2)
    more.fit(**trained, on_epoch=ends.append)
    fresh.fit(**{**trained, "checkpoint": None})
    assert {end.member for end in ends} == {1}
    assert_same(more, fresh)


def test_a_member_whose_history_was_not_written_is_trained_again(small, settings):
    first, second = Ensemble(small, members=2), Ensemble(small, members=2)
    first.fit(**settings)
    (settings["checkpoint"] / "member_001.json").unlink()
    ends = []
    second.fit(**settings, on_epoch=ends.append)
    assert {end.member for end in ends} == {1}
    assert_same(first, second)


def test_no_partial_file_is_left(trained):
    names = sorted(path.name for path in trained["checkpoint"].iterdir())
    assert names == ["member_000.json", "member_000.keras", "settings.json"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"epochs": 3}, "epochs differ"),
        ({"batch_size": 9}, "batch_size differ"),
        ({"shuffle": False}, "shuffle differ"),
        ({"x": np.zeros((30, 6), "float32")}, "train_data differ"),
        ({"y": np.arange(30) % 2}, "train_data differ"),
        ({"patience": 1, "validation_data": (np.zeros((2, 6)), [0, 1])}, "patience, val_data differ"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused_and_kept(small, trained, change, named):
    before = {path.name: path.read_bytes() for path in trained["checkpoint"].iterdir()}
    with pytest.raises(InputError, match=f"is of another training: .*{named}"):
        Ensemble(small, members=1).fit(**{**trained, **change})
    assert before == {path.name: path.read_bytes() for path in trained["checkpoint"].iterdir()}


def test_a_checkpoint_of_another_seed_is_refused(small, trained):
    with pytest.raises(InputError, match="seed differ"):
        Ensemble(small, members=1, seed=1).fit(**trained)


@pytest.mark.parametrize(
    "change", [{"units": (9,)}, {"rate": 0.25}, {"optimizer": keras.optimizers.SGD(0.2)}, {"batch_norm": True}]
)
def test_a_checkpoint_of_another_network_is_refused(small, trained, change):
    with pytest.raises(InputError, match="model differ"):
        Ensemble(lambda: small(**change), members=1).fit(**trained)


def varied(activation="relu", penalty=0.0, smoothing=0.0):
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(8, activation=activation, kernel_regularizer=keras.regularizers.L2(penalty)),
            keras.layers.Dense(3),
        ]
    )
    model.compile(
        keras.optimizers.SGD(0.1), keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
    )
    return model


@pytest.mark.parametrize("change", [{"activation": "tanh"}, {"penalty": 0.1}, {"smoothing": 0.2}])
def test_a_checkpoint_of_another_activation_penalty_or_loss_is_refused(settings, change):
    Ensemble(varied, members=1).fit(**settings)
    with pytest.raises(InputError, match="another training"):
        Ensemble(lambda: varied(**change), members=1).fit(**settings)


def test_a_checkpoint_steered_by_other_validation_data_is_refused(small, blobs, settings):
    Ensemble(small, members=1).fit(**settings, patience=1, validation_data=blobs(20, seed=1))
    with pytest.raises(InputError, match="another training"):
        Ensemble(small, members=1).fit(**settings, patience=1, validation_data=blobs(20, seed=2))


@pytest.mark.parametrize("kind", ["softmax", "activation"])
def test_the_names_that_keras_counts_on_do_not_make_another_network(kind):
    def build():
        last = keras.layers.Softmax() if kind == "softmax" else keras.layers.Activation("softmax")
        inputs = keras.Input((4,))
        hidden = keras.layers.Dense(5, activation="relu")(inputs)
        branches = [keras.layers.Dense(3, activation="softmax")(part) for part in (inputs, hidden)]
        model = keras.Model(inputs, last(keras.layers.Add()(branches)))
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    assert architecture(build()) == architecture(build())


class OwnFunctional(keras.Model):
    """A functional model with a method of its own, which Keras describes as one of the user's."""

    def compute_loss(self, *args, **kwargs):
        return 0.5 * super().compute_loss(*args, **kwargs)


class OwnSequential(keras.Sequential):
    pass


@pytest.mark.parametrize("depth", [0, 1])
@pytest.mark.parametrize("kind", [OwnFunctional, OwnSequential])
def test_a_subclassed_model_with_the_same_graph_is_the_same_network(kind, depth):
    """So that such members are stacked: what Keras keeps of its own about a graph holds numbers of objects."""

    def build(units=4):
        inputs, layer = keras.Input((4,)), keras.layers.Dense(units)
        if kind is OwnSequential:
            model = kind([inputs, layer])
        else:
            model = kind(inputs, [layer(inputs)] if depth else layer(inputs))
        if depth:
            outside = keras.Input((4,))
            inside = model(outside)
            model = keras.Model(outside, inside[0] if isinstance(inside, list) else inside)
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return model

    assert architecture(build()) == architecture(build())
    assert architecture(build()) != architecture(build(5))


def test_another_wiring_of_the_same_layers_is_another_network():
    def build(swapped):
        inputs = keras.Input((4,))
        first, second = keras.layers.Dense(4)(inputs), keras.layers.Dense(4, "tanh")(inputs)
        model = keras.Model(inputs, keras.layers.Subtract()([second, first] if swapped else [first, second]))
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return model

    assert architecture(build(False)) != architecture(build(True))


# On the way


@pytest.mark.parametrize(
    "strategy", ["looped", *(pytest.param(name, marks=pytest.mark.slow) for name in ("unrolled", "stacked"))]
)
def test_members_kept_on_their_way_go_on_to_the_same_end(small, blobs, settings, strategy):
    settings |= {"epochs": 5, "validation_data": blobs(20, seed=1), "strategy": strategy}
    settings |= {"patience": 4 if strategy == "looped" else None}

    def build():
        return small(optimizer=keras.optimizers.Adam(0.05))

    whole, broken, resumed = (Ensemble(build, members=2) for _ in range(3))
    rows = whole.fit(**{**settings, "checkpoint": None})

    def interrupt(end):
        if (end.member, end.epoch) == (1, 3):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken.fit(**settings, on_epoch=interrupt, checkpoint_every=2)
    ends = []
    others = resumed.fit(**settings, on_epoch=ends.append, checkpoint_every=2)
    assert min(end.epoch for end in ends if end.member == 1) == 3
    for a, b in zip(whole.models, resumed.models, strict=True):
        for v, w in zip(a.get_weights(), b.get_weights(), strict=True):
            np.testing.assert_allclose(v, w, atol=1e-6)
    np.testing.assert_allclose(rows.drop(columns="seconds"), others.drop(columns="seconds"), rtol=1e-5)
    assert not list(settings["checkpoint"].glob("*.npz"))


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_to_the_same_end(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(TRAINING)
    whole = subprocess.run([sys.executable, script, tmp_path / "whole"], capture_output=True, text=True, check=True)
    for wait in (0.05, 0.3):
        process = subprocess.Popen([sys.executable, script, tmp_path / "cut"], stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline().startswith("start")
        time.sleep(wait + 1)
        assert process.poll() is None, "it should be killed on its way"
        process.kill()
        process.wait()
        process.stdout.close()
    end = subprocess.run([sys.executable, script, tmp_path / "cut"], capture_output=True, text=True, check=True)
    assert whole.stdout == end.stdout


TRAINING = """
import sys
import numpy as np
import ensemble_vs_dropout as evd
from ensemble_vs_dropout.models.backend import keras

def build():
    layers = [keras.Input((6,)), keras.layers.Dense(8, "relu"), keras.layers.Dropout(0.5), keras.layers.Dense(3)]
    model = keras.Sequential(layers)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model

rng = np.random.default_rng(0)
x, y = rng.normal(size=(2000, 6)).astype("float32"), rng.integers(3, size=2000)
ensemble = evd.Ensemble(build, members=3)
print("start", flush=True)
ensemble.fit(x, y, epochs=12, batch_size=16, checkpoint=sys.argv[1], checkpoint_every=1, verbose=0)
print(*[np.abs(w).sum() for model in ensemble.models for w in model.get_weights()])
"""


@pytest.mark.parametrize(
    "change",
    [
        None,
        {"rows": [[1]]},
        {"rows": [{"epoch": {}}]},
        {"rows": [{"epoch": 10**40}]},
        {"masks": 1.5},
        {"finished": {}},
        {"finished": None},
        {"finished": False},
    ],
)
def test_a_checkpoint_of_another_shape_is_refused(small, trained, change):
    path = trained["checkpoint"] / "member_000.json"
    path.write_text("[" * 10_000 if change is None else json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InputError, match=r"checkpoint .*member_000.* is (damaged|of another shape)"):
        Ensemble(small, members=2).fit(**trained)


@pytest.mark.parametrize("name", ["member_000.keras", "member_000.json", "settings.json"])
def test_a_damaged_checkpoint_is_refused_by_name(small, trained, name):
    path = trained["checkpoint"] / name
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"checkpoint .*(damaged|has changed since it was written)"):
        Ensemble(small, members=1).fit(**trained)


def test_a_checkpoint_of_another_version_is_refused(small, trained):
    path = trained["checkpoint"] / "settings.json"
    path.write_text(path.read_text().replace('"format": 2', '"format": 1'))
    with pytest.raises(InputError, match="is of another training: format differ"):
        Ensemble(small, members=1).fit(**trained)
