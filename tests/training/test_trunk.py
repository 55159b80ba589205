"""What does not learn is computed once, and nothing else is different."""

from contextlib import contextmanager

import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.predictors import Ensemble
from ensemble_vs_dropout.training import fitting
from ensemble_vs_dropout.training.trunk import find_trunk

L = keras.layers
RNG = np.random.default_rng(0)
Y = np.arange(40) % 3
PICTURES = RNG.normal(size=(40, 8, 8, 1)).astype("float32")
NUMBERS = RNG.normal(size=(40, 5)).astype("float32")
WORDS = RNG.choice(["red dog", "one green cat", "a blue bird sings", "cats"], size=40)


def frozen(layer):
    layer.trainable = False
    return layer


def base():
    keras.utils.set_random_seed(0)  # as if it were loaded
    layers = [L.Conv2D(4, 3, activation="relu"), L.BatchNormalization(), L.GlobalAveragePooling2D()]
    return frozen(keras.Sequential([keras.Input((8, 8, 1)), *layers]))


BASE = base()


def compiled(inputs, outputs):
    model = keras.Model(inputs, L.Dense(3, "softmax")(L.Dropout(0.3)(L.Dense(6, "relu")(outputs))))
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def pictures():
    inputs = keras.Input((8, 8, 1))
    return compiled(inputs, BASE(L.Rescaling(0.5)(inputs)))


def sequential():
    layers = [L.Rescaling(0.5), BASE, L.Dropout(0.2), L.Dense(3, "softmax")]
    model = keras.Sequential([keras.Input((8, 8, 1)), *layers])
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def words():
    inputs = keras.Input((), dtype="string")
    read = L.TextVectorization(vocabulary=["red", "dog", "cat", "bird", "a"], output_mode="multi_hot")
    return compiled(inputs, read(inputs))


def several():
    """One input goes through a trunk, another does not, and a third is used by both."""
    a, b = keras.Input((8, 8, 1), name="a"), keras.Input((5,), name="b")
    seen = BASE(a)
    both = L.Concatenate()([seen, L.Dropout(0.2)(b), L.GlobalMaxPooling2D()(L.Conv2D(2, 3)(a))])
    return compiled({"a": a, "b": b}, both)


def ends_apart():
    """Two tensors come out of the trunk."""
    inputs = keras.Input((8, 8, 1))
    seen = BASE(inputs)
    return compiled(inputs, L.Concatenate()([L.Dense(3)(seen), L.Dense(2)(BASE(L.Rescaling(2.0)(inputs)))]))


NETWORKS = {
    "pictures": (pictures, PICTURES),
    "sequential": (sequential, PICTURES),
    "words": (words, WORDS),
    "several": (several, {"a": PICTURES, "b": NUMBERS}),
    "ends apart": (ends_apart, PICTURES),
    "tied": (lambda: tied(), NUMBERS),
}


@contextmanager
def whole(models, schedule, say, clock, limit):
    """The slow twin: everything is computed in each step."""
    yield schedule


def part(x, where):
    return {name: column[where] for name, column in x.items()} if isinstance(x, dict) else x[where]


@pytest.mark.parametrize("strategy", ["looped", "unrolled", pytest.param("stacked", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", [n if n == "words" else pytest.param(n, marks=pytest.mark.slow) for n in NETWORKS])
def test_members_are_those_that_compute_everything_in_each_step(name, strategy, monkeypatch):
    build, x = NETWORKS[name]
    if strategy == "stacked" and name in ("words", "tied"):
        pytest.skip("text cannot be stacked where it is computed in each step, nor what an operation is given")
    assert find_trunk(build()) is not None
    settings = {
        "validation_data": (part(x, slice(30, None)), Y[30:]), "watch": {"test": (part(x, slice(9)), Y[:9])},
        "epochs": 3, "batch_size": 8, "patience": 2, "class_weight": {0: 2.0}, "verbose": 0, "strategy": strategy,
    }  # fmt: skip
    ensembles = []
    for way in (fitting.computed_once, whole):
        monkeypatch.setattr(fitting, "computed_once", way)
        ensembles.append(Ensemble(build, members=2, seed=1))
        ensembles[-1].fit(part(x, slice(30)), Y[:30], **settings)
    one, other = (ensemble.histories.drop(columns="seconds").to_numpy() for ensemble in ensembles)
    np.testing.assert_allclose(one, other, atol=1e-5)
    for first, second in zip(ensembles[0].models, ensembles[1].models, strict=True):
        for a, b in zip(first.variables, second.variables, strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-5, err_msg=a.path)
    np.testing.assert_allclose(ensembles[0].predict(x), ensembles[1].predict(x), atol=1e-5)
    assert all("call" not in vars(model) for model in ensembles[0].models)


def made(body, shape=(5,), dtype=None, kind=keras.Model):
    inputs = keras.Input(shape, dtype=dtype)
    model = kind(inputs, L.Dense(3, "softmax")(body(inputs)))
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


class OwnStep(keras.Model):
    """What it does with its inputs is its own affair."""

    def train_step(self, data):
        return super().train_step(data)


@keras.saving.register_keras_serializable("trunk")
class Own(L.Layer):
    """A layer that might do anything."""

    def call(self, x):
        return x * 2.0


WITHOUT = {
    "nothing frozen": lambda: made(L.Dense(4)),
    "nothing costly": lambda: made(lambda x: L.Flatten()(L.Rescaling(0.5)(x))),
    "dropout before": lambda: made(lambda x: frozen(L.Dense(4))(L.Dropout(0.5)(x))),
    "a batch norm that moves": lambda: made(
        lambda x: frozen(L.Dense(4))(L.BatchNormalization(scale=False, center=False)(x))
    ),
    "a layer of one's own": lambda: made(lambda x: frozen(L.Dense(4))(Own()(x))),
    "a mask": lambda: made(
        lambda x: L.LSTM(2)(frozen(L.Dense(3))(frozen(L.Embedding(9, 3, mask_zero=True))(x))), dtype="int32"
    ),
    "a penalty on activations": lambda: made(lambda x: frozen(L.Dense(4, activity_regularizer="l2"))(x)),
    "a step of its own": lambda: made(lambda x: frozen(L.Dense(4))(x), kind=OwnStep),
    "an open axis": lambda: made(lambda x: L.GlobalMaxPooling1D()(L.Conv1D(2, 1)(frozen(L.Dense(4))(x))), (None, 5)),
    "all of it": lambda: frozen_whole(),
    "a function of one's own": lambda: made(lambda x: frozen(L.Dense(4, lambda t: t * 2.0))(x)),
    "a loss of one's own": lambda: with_loss(lambda y, p: keras.losses.sparse_categorical_crossentropy(y, p)),
    "a call of one's own": lambda: with_call(),
}


def tied():
    """A weight that learns below is used above."""
    last = L.Dense(4)
    last.build((None, 4))
    return made(lambda x: last(keras.ops.matmul(frozen(L.Dense(4, kernel_initializer="ones"))(x), last.kernel)))


def with_loss(loss):
    model = made(lambda x: frozen(L.Dense(4))(x))
    model.compile("sgd", loss)
    return model


def with_call():
    model = made(lambda x: frozen(L.Dense(4))(x))
    before = model.call
    model.call = lambda inputs, training=None, mask=None: before(inputs * 3.0, training=training)
    return model


def frozen_whole():
    model = made(L.Dense(4))
    model.trainable = False
    return model


@pytest.mark.parametrize("name", WITHOUT)
def test_where_it_would_not_be_the_same_or_not_pay_there_is_no_trunk(name):
    assert find_trunk(WITHOUT[name]()) is None


def test_members_whose_frozen_weights_differ_are_computed_whole(monkeypatch, capsys):
    def build():
        return made(lambda x: L.Dropout(0.2)(frozen(L.Dense(4, "relu"))(x)))

    ensembles = []
    for way in (fitting.computed_once, whole):
        monkeypatch.setattr(fitting, "computed_once", way)
        ensembles.append(Ensemble(build, members=2, seed=1))
        ensembles[-1].fit(NUMBERS, Y, epochs=2, verbose=2, strategy="unrolled")
    np.testing.assert_allclose(ensembles[0].predict(NUMBERS), ensembles[1].predict(NUMBERS), atol=1e-6)
    assert "computed once" not in "".join(capsys.readouterr())


def test_it_is_said_with_what_it_saves(capsys):
    Ensemble(pictures, members=2).fit(PICTURES, Y, epochs=2, verbose=2)
    told = "".join(capsys.readouterr())
    assert "2 of 5 operations of 'functional" in told
    assert "do not learn: computed once, in" in told
    Ensemble(pictures, members=2).fit(PICTURES, Y, epochs=2, verbose=0)
    assert capsys.readouterr().out == ""


def test_models_are_as_they_were_after_an_error():
    def stop(end):
        raise KeyboardInterrupt

    ensemble = Ensemble(pictures, members=2)
    with pytest.raises(KeyboardInterrupt):
        ensemble.fit(PICTURES, Y, epochs=2, verbose=0, on_epoch=stop)
    for model in ensemble.models:
        assert not {"call", "_assert_input_compatibility"} & set(vars(model))
        assert model.predict(PICTURES, verbose=0).shape == (40, 3)


@pytest.mark.slow
def test_a_checkpoint_goes_on_whatever_was_computed_once(tmp_path, monkeypatch):
    settings = {"epochs": 4, "batch_size": 8, "verbose": 0, "strategy": "looped"}
    expected = Ensemble(pictures, members=2, seed=3)
    expected.fit(PICTURES, Y, **settings)

    def stop(end):
        if end.member == 1 and end.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Ensemble(pictures, members=2, seed=3).fit(
            PICTURES, Y, checkpoint=tmp_path, checkpoint_every=1, on_epoch=stop, **settings
        )
    monkeypatch.setattr(fitting, "computed_once", whole)
    again = Ensemble(pictures, members=2, seed=3)
    again.fit(PICTURES, Y, checkpoint=tmp_path, checkpoint_every=1, **settings)
    np.testing.assert_allclose(again.predict(PICTURES), expected.predict(PICTURES), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["uint8", "int32", "bool", "float32"])
@pytest.mark.parametrize("kind", ["sequential", "functional"])
def test_whatever_dtype_comes_in_it_is_keras_own_training(kind, dtype):
    x = RNG.integers(0, 2 if dtype == "bool" else 256, (40, 6, 6, 1)).astype(dtype)

    def build():
        keras.utils.set_random_seed(1)
        inputs = keras.Input((6, 6, 1), dtype=dtype)
        layers = [L.Rescaling(1 / 255), frozen(L.Conv2D(4, 3)), L.Flatten(), L.Dense(3, "softmax")]
        if kind == "sequential":
            model = keras.Sequential([inputs, *layers])
        else:
            outputs = inputs
            for layer in layers:
                outputs = layer(outputs)
            model = keras.Model(inputs, outputs)
        model.compile(keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy")
        return model

    ensemble, alone = Ensemble(build, members=1), build()
    alone.set_weights(ensemble.models[0].get_weights())
    settings = {"epochs": 3, "batch_size": 8, "shuffle": False, "verbose": 0}
    ensemble.fit(x, Y, **settings)
    assert find_trunk(alone) is not None
    losses = alone.fit(x, Y, **settings).history["loss"]
    np.testing.assert_allclose(ensemble.histories.loss, losses, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("differ", ["columns", "scale", "words"])
def test_members_whose_trunks_compute_otherwise_are_computed_whole(differ, monkeypatch):
    def build(number):
        inputs = keras.Input((), dtype="string") if differ == "words" else keras.Input((5,))
        if differ == "words":
            read = L.TextVectorization(vocabulary=["red", "dog", "cat"][: number + 1], output_mode="multi_hot")(inputs)
            read = keras.ops.pad(read, [[0, 0], [0, 3 - number]])
        elif differ == "scale":
            read = L.Rescaling(1.0 + number)(inputs)
        else:
            read = keras.ops.take(inputs, [number, 3], axis=1)
        return compiled(inputs, frozen(L.Dense(4, kernel_initializer="ones"))(read))

    x = WORDS if differ == "words" else NUMBERS
    found = []
    for way in (fitting.computed_once, whole):
        monkeypatch.setattr(fitting, "computed_once", way)
        members = Ensemble(lambda number: build(number), members=2, vary={"number": [0, 1]})
        try:
            members.fit(x, Y, epochs=2, batch_size=8, verbose=0, strategy="looped")
        except InputError as refusal:
            pytest.skip(str(refusal))
        found.append(members.predict_members(x).probs)
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)


def test_what_mixes_examples_is_not_computed_once(monkeypatch):
    def build():
        inputs = keras.Input((5,))
        return compiled(inputs, frozen(L.Dense(4))(inputs - keras.ops.mean(inputs, axis=0, keepdims=True)))

    found = []
    for way in (fitting.computed_once, whole):
        monkeypatch.setattr(fitting, "computed_once", way)
        ensemble = Ensemble(build, members=1, seed=1)
        ensemble.fit(NUMBERS, Y, epochs=3, batch_size=8, verbose=0)
        found.append(ensemble.models[0].get_weights())
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(InputError, match="change with the batch"):
        ensemble.predict(NUMBERS)


def test_who_looks_on_after_an_epoch_sees_the_whole_model():
    seen = []
    ensemble = Ensemble(lambda: made(lambda x: frozen(L.Dense(5))(x)), members=1)
    ensemble.fit(
        NUMBERS, Y, epochs=2, verbose=0, on_epoch=lambda end: seen.append(np.asarray(ensemble.models[0](NUMBERS)))
    )
    np.testing.assert_allclose(seen[-1], ensemble.models[0](NUMBERS), atol=1e-6)


def test_members_that_share_what_learns_are_refused():
    shared = keras.Sequential([keras.Input((5,)), L.Dense(4, "relu")])
    with pytest.raises(InputError, match=r"members 0 and 1 share the variable '.*kernel', so that training one"):
        Ensemble(lambda: made(shared), members=2).fit(NUMBERS, Y, verbose=0)
    shared.trainable = False
    ensemble = Ensemble(lambda: made(shared), members=2)
    ensemble.fit(NUMBERS, Y, epochs=1, verbose=0)
    shared.trainable = True
    with pytest.raises(InputError, match="share the variable|compile the model again"):  # noqa: RUF043
        ensemble.fit(NUMBERS, Y, epochs=2, initial_epoch=1, verbose=0)


def test_a_limit_of_memory_holds_for_what_a_trunk_gives(capsys):
    def told(limit):
        wide = Ensemble(lambda: made(lambda x: frozen(L.Dense(400, kernel_initializer="ones"))(x)), members=2)
        wide.fit(np.repeat(NUMBERS, 10, axis=0), np.repeat(Y, 10), verbose=2, memory_limit=limit)
        return "".join(capsys.readouterr())

    assert "computed once" not in told(400_000)
    assert "computed once" in told(4_000_000)
