"""Whose code a network runs is told by the network, not by what else is registered."""

import pytest

from ensemble_vs_dropout.models.architecture import has_no_own_code
from ensemble_vs_dropout.models.backend import keras


@keras.saving.register_keras_serializable("test_own_code")
class Doubled(keras.layers.Layer):
    def call(self, x):
        return 2 * x


@keras.saving.register_keras_serializable("test_own_code")
def halved(x):
    return x / 2


@keras.saving.register_keras_serializable("test_own_code")
def distance(y, outputs):
    return keras.ops.mean((y - outputs) ** 2, axis=-1)


def network(*layers, loss="mse"):
    model = keras.Sequential([keras.Input((2,)), *layers, keras.layers.Dense(1)])
    model.compile("sgd", loss)
    return model


def test_a_network_of_keras_parts_holds_none_whatever_is_registered():
    assert has_no_own_code(network(keras.layers.Dense(2, "relu")))


@pytest.mark.parametrize(
    "made",
    [
        lambda: network(Doubled()),
        lambda: network(keras.layers.Dense(2, halved)),
        lambda: network(loss=distance),
        lambda: network(loss=lambda y, outputs: y - outputs),
        lambda: network(keras.layers.Lambda(lambda x: x, output_shape=(2,))),
        lambda: network(keras.Sequential([keras.Input((2,)), Doubled()])),
    ],
    ids=["layer", "activation", "loss", "a nameless loss", "lambda", "inside"],
)
def test_code_of_the_users_own_is_found_where_it_is_used(made):
    assert not has_no_own_code(made())
