"""Models whose steps, metrics, averages and callbacks are the user's own train as Keras' `fit` trains them."""

import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.models.backend import keras, tf
from ensemble_vs_dropout.predictors import Ensemble

L, O = keras.layers, keras.optimizers  # noqa: E741
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(22, 4)).astype("float32"), RNG.integers(3, size=22)
SETTINGS = {"epochs": 3, "batch_size": 8, "shuffle": False, "verbose": 0}


class Stepping(keras.Model):
    """A network with a training step of its own, that returns what its class says."""

    names = ("loss",)
    tests = None

    def __init__(self):
        super().__init__()
        self.out = L.Dense(3)

    def call(self, x):
        return self.out(x)

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(y, self(x), from_logits=True))
        self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
        return {name: loss * (place + 1) for place, name in enumerate(self.names)}


class Evaluating(Stepping):
    def test_step(self, data):
        return {"odd": tf.reduce_sum(self(data[0]))}


def built(kind, optimizer=lambda: O.SGD(0.1), **compiled):
    def build():
        model = kind()
        model(X[:2])
        model.compile(optimizer(), LOSS, **compiled)
        return model

    return build


def dense(optimizer=lambda: O.SGD(0.1), **compiled):
    def build():
        model = keras.Sequential([keras.Input((4,)), L.Dense(6, "relu"), L.Dense(3)])
        model.compile(optimizer(), LOSS, **compiled)
        return model

    return build


def both(build, strategy, **settings):
    """Return a member trained here, Keras' model trained from the same start, and both histories."""
    ensemble = Ensemble(build, members=2)
    alone = build()
    alone.set_weights(ensemble.models[0].get_weights())
    own = {key: value for key, value in settings.items() if key != "callbacks"}
    made = settings.get("callbacks")
    history = alone.fit(X, Y, **SETTINGS, **own, callbacks=made(0) if made else None).history
    rows = ensemble.fit(X, Y, strategy=strategy, **SETTINGS, **settings)
    return ensemble.models[0], alone, rows[rows.member == 0], history


@pytest.mark.parametrize("strategy", ["looped", "unrolled"])
def test_a_step_that_returns_other_names_has_them_in_the_history_as_keras_has(strategy, monkeypatch):
    monkeypatch.setattr(Stepping, "names", ("mine", "twice"))
    model, alone, rows, history = both(built(Stepping), strategy, validation_data=(X[:9], Y[:9]))
    for name in ("mine", "twice", "val_loss"):
        np.testing.assert_allclose(rows[name], history[name], rtol=1e-4)
    np.testing.assert_allclose(model.get_weights()[0], alone.get_weights()[0], atol=1e-6)


@pytest.mark.parametrize("strategy", ["looped", "unrolled"])
def test_a_loss_that_its_metric_did_not_see_is_that_of_the_last_batch(strategy):
    _, _, rows, history = both(built(Stepping), strategy)
    assert history["loss"] == [0.0, 0.0, 0.0]  # Keras' own, which is no loss
    assert (rows["loss"] > 0.1).all()


@pytest.mark.slow
def test_a_test_step_of_ones_own_is_evaluated_in_keras_batches():
    _, _, rows, history = both(built(Evaluating), "looped", validation_data=(X, Y))
    np.testing.assert_allclose(rows["val_odd"], history["val_odd"], rtol=1e-4)
    with pytest.raises(
        InputError, match=r"patience needs a val_loss, one number, but test_step of Evaluating gives val_o"
    ):
        Ensemble(built(Evaluating), members=2).fit(X, Y, validation_data=(X, Y), patience=2, **SETTINGS)


@pytest.mark.parametrize("names", [("loss",), ("mine",)])
def test_a_member_whose_own_step_diverges_is_left_out(names, monkeypatch):
    monkeypatch.setattr(Stepping, "names", names)
    rates = iter([1e30, 0.1])
    ensemble = Ensemble(built(Stepping, lambda: O.SGD(next(rates))), members=2)
    ensemble.fit(X * 1e15, Y, **SETTINGS)
    assert ensemble.members == 1


def test_stacking_a_step_of_ones_own_is_refused_and_a_step_that_returns_no_dict_too(monkeypatch):
    with pytest.raises(InputError, match="has a train_step of its own"):
        Ensemble(built(Stepping), members=2).fit(X, Y, strategy="stacked", **SETTINGS)
    monkeypatch.setattr(Stepping, "train_step", lambda self, data: tf.constant(1.0))
    with pytest.raises(InputError, match="must return a dict of numbers"):
        Ensemble(built(Stepping), members=2).fit(X, Y, **SETTINGS)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["looped", "unrolled", "stacked"])
def test_metrics_that_have_several_numbers_are_numbered_columns(strategy):
    build = dense(metrics=[keras.metrics.F1Score(average=None)])

    def one_hot():
        model = build()
        model.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True), metrics=[keras.metrics.F1Score()])
        return model

    rows = Ensemble(one_hot, members=2).fit(X, Y, validation_data=(X, Y), strategy=strategy, **SETTINGS)
    names = [f"{part}f1_score_{number}" for part in ("", "val_") for number in range(3)]
    assert set(names) <= set(rows.columns)
    assert ((rows[names] >= 0) & (rows[names] <= 1)).all().all()
    assert all(isinstance(value, float) for value in rows[names].to_numpy().ravel().tolist())


class Listening(keras.callbacks.Callback):
    """Notes when validation begins and ends."""

    def __init__(self):
        super().__init__()
        self.heard = []

    def on_test_begin(self, logs=None):
        self.heard.append("begin")

    def on_test_end(self, logs=None):
        self.heard.append(sorted(logs))


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["looped", "unrolled", "stacked"])
def test_callbacks_hear_of_validation(strategy):
    heard = {}

    def callbacks(member):
        return [heard.setdefault(member, Listening())]

    Ensemble(dense(), members=2).fit(X, Y, validation_data=(X, Y), callbacks=callbacks, strategy=strategy, **SETTINGS)
    assert heard[1].heard == ["begin", ["loss"]] * 3


AVERAGED = {"use_ema": True, "ema_momentum": 0.7}


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["looped", "unrolled", "auto"])
@pytest.mark.parametrize("settings", [AVERAGED, {**AVERAGED, "ema_overwrite_frequency": 2}])
def test_averages_of_weights_end_in_the_model(strategy, settings):
    model, alone, _, _ = both(dense(lambda: O.Adam(0.05, **settings)), strategy)
    for one, other in zip(model.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["looped", "unrolled"])
@pytest.mark.parametrize("on_epoch", [False, True])
def test_averages_are_swapped_in_for_validation(strategy, on_epoch):
    build = dense(lambda: O.Adam(0.05, **AVERAGED))
    callbacks = lambda member: [keras.callbacks.SwapEMAWeights(swap_on_epoch=on_epoch)]  # noqa: E731
    model, alone, rows, history = both(build, strategy, validation_data=(X, Y), callbacks=callbacks)
    np.testing.assert_allclose(rows["val_loss"], history["val_loss"], rtol=1e-4)
    for one, other in zip(model.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
