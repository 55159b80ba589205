"""A copy computes with variables of its own, however a layer comes by the model's."""

import functools

import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.models.backend import keras, tf
from ensemble_vs_dropout.models.copies import copy_with

X = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")


class Own(keras.layers.Layer):
    """A layer with weights, whose subclasses hide how they compute with them."""

    def build(self, shape):
        self.w = self.add_weight(shape=(shape[-1],), initializer=keras.initializers.RandomNormal())
        self.hide()

    def hide(self):
        pass

    def call(self, x):
        return self.fn(x)


class ThroughItself(Own):
    def hide(self):
        self.fn = lambda x: x * self.w


class ThroughTheWeight(Own):
    def hide(self):
        weight = self.w
        self.fn = lambda x: x * weight


class ThroughTwoFunctions(Own):
    def hide(self):
        def inner(x):
            return x * self.w

        self.fn = functools.partial(lambda f, x: f(x) + 1.0, inner)


class ThroughAFunctionThatHoldsItself(Own):
    def hide(self):
        def fn(x, again=True):
            return fn(x, again=False) if again else x * self.w

        self.fn = fn


class ThroughContainers(Own):
    def hide(self):
        self.cache = {"w": [self.w, {"x": (self.w,)}]}

    def call(self, x):
        return x * self.cache["w"][1]["x"][0]


class ThroughATracedFunction(Own):
    def hide(self):
        self.fn = tf.function(lambda x: x * self.w)


class Helper:
    def __init__(self, layer):
        self.layer = layer

    def __call__(self, x):
        return x * self.layer.w


class ThroughAnObject(Own):
    def hide(self):
        self.fn = Helper(self)


def compiled(*layers):
    model = keras.Sequential([keras.Input((4,)), *layers, keras.layers.Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def tied():
    """The weights of a layer are used again by a Lambda."""
    inputs = keras.Input((4,))
    first = keras.layers.Dense(5)
    hidden = first(inputs)
    back = keras.layers.Lambda(lambda h: keras.ops.matmul(h, keras.ops.transpose(first.kernel)))(hidden)
    model = keras.Model(inputs, keras.layers.Dense(3, "softmax")(back))
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


COPIED = [ThroughItself, ThroughTheWeight, ThroughTwoFunctions, ThroughAFunctionThatHoldsItself, ThroughContainers]


def copied(model):
    return copy_with(model, lambda layer: False, lambda layer: layer, "copy")


@pytest.mark.parametrize("build", [*(lambda kind=kind: compiled(kind()) for kind in COPIED), tied])
def test_a_copy_stays_as_it_is_when_the_model_changes(build):
    model = build()
    copy, before = copied(model), np.asarray(model(X))
    np.testing.assert_allclose(copy(X), before, atol=1e-6)
    for variable in model.weights:
        variable.assign(np.asarray(variable) + np.random.default_rng(1).normal(size=variable.shape))
    assert np.abs(np.asarray(model(X)) - before).max() > 1e-3
    np.testing.assert_allclose(copy(X), before, atol=1e-6)


@pytest.mark.parametrize("kind", [ThroughATracedFunction, ThroughAnObject])
def test_a_copy_that_would_change_with_the_model_is_refused(kind):
    with pytest.raises(InputError, match=r"cannot be copied: what computes with '.*' is hidden in"):
        copied(compiled(kind()))
