"""What no configuration tells of a member shows in its first step, and it is trained by itself."""

from typing import ClassVar

import numpy as np
import pytest

from ensemble_vs_dropout.models.backend import keras, tf
from ensemble_vs_dropout.predictors import Ensemble
from ensemble_vs_dropout.training import fitting, guard

L, O = keras.layers, keras.optimizers  # noqa: E741
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(22, 4)).astype("float32"), RNG.integers(3, size=22)
SETTINGS = {"epochs": 2, "batch_size": 8, "shuffle": False}


class Scaled(L.Layer):
    """Multiplies by a number of its own, which it does not hold itself."""

    numbers: ClassVar = {}

    def __init__(self, **named):
        super().__init__(**named)
        Scaled.numbers[id(self)] = float(len(Scaled.numbers) + 1)

    def call(self, x):
        return x * Scaled.numbers[id(self)]


class Mixed(L.Layer):
    """Leaves its inputs as they are."""

    def call(self, x):
        return x * 1.0


def loss_of_ones_own(y, predicted):
    return keras.losses.sparse_categorical_crossentropy(y, predicted, from_logits=True)


def network(*layers, optimizer="sgd"):
    model = keras.Sequential([keras.Input((4,)), *layers, L.Dense(3)])
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def by_keras(model, weights):
    model.set_weights(weights)
    model.fit(X, Y, **SETTINGS, verbose=0)
    return model.get_weights()


@pytest.mark.slow
def test_members_that_differ_in_what_no_configuration_tells_are_trained_one_after_the_other(capsys):
    made = []

    def build():
        made.append(network(Scaled()))
        return made[-1]

    ensemble = Ensemble(build, members=2)
    starts, numbers = [model.get_weights() for model in made], [Scaled.numbers[id(model.layers[0])] for model in made]
    ensemble.fit(X, Y, strategy="stacked", verbose=1, **SETTINGS)
    assert "strategy looped: its step is not Keras' own for these members" in capsys.readouterr().err.replace("\n", " ")
    for model, start, number in zip(ensemble.models, starts, numbers, strict=True):
        alone = network(Scaled())
        Scaled.numbers[id(alone.layers[0])] = number
        for one, other in zip(model.get_weights(), by_keras(alone, start), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["unrolled", "stacked"])
def test_a_layer_of_ones_own_that_is_right_stays_with_the_strategy_and_starts_as_it_was(strategy, capsys):
    ensemble = Ensemble(lambda: network(Mixed(), L.Dropout(0.5)), members=2)
    start = ensemble.models[1].get_weights()
    ensemble.fit(X, Y, strategy=strategy, verbose=2, **SETTINGS)
    told = capsys.readouterr().err
    assert f"strategy {strategy}" in told
    assert "looped" not in told
    looped = Ensemble(lambda: network(Mixed(), L.Dropout(0.5)), members=2)
    looped.models[1].set_weights(start)
    looped.fit(X, Y, strategy="looped", verbose=0, **SETTINGS)
    for one, other in zip(ensemble.models[1].get_weights(), looped.models[1].get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["unrolled", "stacked"])
def test_the_program_that_was_looked_at_has_no_members_afterwards(strategy, monkeypatch):
    seen = []

    def spy(engine, *given):
        told = guard.disagreement(engine, *given)
        seen.append(dict(engine.models))
        return told

    monkeypatch.setattr(fitting, "disagreement", spy)
    Ensemble(lambda: network(Mixed()), members=3).fit(X, Y, strategy=strategy, verbose=0, **SETTINGS)
    assert seen == [{}]


@pytest.mark.slow
def test_a_keras_that_the_tests_have_not_seen_is_looked_at_too(monkeypatch):
    looked = []
    values = guard._values
    monkeypatch.setattr(guard, "_values", lambda model: looked.append(model) or values(model))
    Ensemble(lambda: network(), members=2).fit(X, Y, strategy="stacked", verbose=0, **SETTINGS)
    assert not looked
    monkeypatch.setattr(keras, "__version__", "3.99.0")
    Ensemble(lambda: network(), members=2).fit(X, Y, strategy="unrolled", verbose=0, **SETTINGS)
    assert looked


class Sparse(O.Optimizer):
    """Updates by an operation on TensorFlow's variable itself, which no tensor can stand for."""

    def update_step(self, gradient, variable, learning_rate):
        handle = variable.handle
        tf.raw_ops.ResourceApplyGradientDescent(var=handle, alpha=tf.cast(learning_rate, tf.float32), delta=gradient)


@pytest.mark.slow
def test_an_optimizer_that_no_tensor_can_serve_is_trained_by_another_strategy(capsys):
    def build():
        return network(optimizer=Sparse(0.1))

    with pytest.raises(ValueError, match=r'"stacked" cannot train these members: .*; use "unrolled"'):
        Ensemble(build, members=2).fit(X, Y, strategy="stacked", verbose=0, **SETTINGS)
    ensemble = Ensemble(build, members=2)
    start = ensemble.models[0].get_weights()
    ensemble.fit(X, Y, strategy="unrolled", verbose=0, **SETTINGS)
    for one, other in zip(ensemble.models[0].get_weights(), by_keras(build(), start), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
