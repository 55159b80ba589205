"""In which form a loss wants the labels is found out by trying it, without a trace and without being fooled."""

import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.models.targets import read_training_head
from ensemble_vs_dropout.predictors import Ensemble, WeightScaling

L, K = keras.layers, keras.ops
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(12, 3)).astype("float32"), np.arange(12) % 3


def network(loss, units=3, metrics=None, kind=keras.Model, listed=False, penalty=None):
    inputs = keras.Input((3,))
    last = L.Dense(units, "sigmoid" if units == 1 else "softmax", kernel_regularizer=penalty)(inputs)
    model = kind(inputs, [last] if listed else last)
    model.compile(keras.optimizers.SGD(0.5), loss, metrics=metrics)
    return model


def form(*args, **kwargs):
    return read_training_head(network(*args, **kwargs)).form


def weighted(y, p):
    """One-hot labels of two classes; whole numbers would do too for a batch of two."""
    p = K.clip(p, 1e-7, 1 - 1e-7)
    return -K.sum(np.array([1.0, 5.0], "float32") * (y * K.log(p) + (1 - y) * K.log(1 - p)), -1)


def ordinal(y, p):
    """A column of whole numbers."""
    return K.sum(p * K.square(K.cast(K.arange(p.shape[-1]), "float32") - K.cast(y, "float32")), -1)


def gathered(y, p):
    return -K.log(K.take_along_axis(p, K.cast(y, "int32"), axis=1)[:, 0])


def both(y, p):
    y = K.one_hot(K.cast(y, "int32"), 3) if len(y.shape) == 1 else y
    return K.categorical_crossentropy(y, p)


class Counting(keras.losses.Loss):
    """A loss that computes otherwise each time."""

    def __init__(self):
        super().__init__()
        self.seen = keras.Variable(0.0, trainable=False)

    def call(self, y, p):
        self.seen.assign(self.seen + 1.0)
        return -K.sum(y * K.log(p), -1) * K.exp(-0.2 * self.seen)


class OfNumbers(keras.losses.CategoricalCrossentropy):
    """Keras' class of one-hot labels, changed to take whole numbers."""

    def call(self, y, p):
        return keras.losses.sparse_categorical_crossentropy(y, p)


class OwnLoss(keras.Model):
    """A model that computes its loss by itself, of labels as Keras hands them on, shape (examples,)."""

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return K.mean(K.square(K.cast(y, "float32") - y_pred[:, 0])) + 0.0 * K.mean(x)


class OwnLossOfThree(keras.Model):
    """The same of several classes, with the arguments that Keras had first."""

    def compute_loss(self, x, y, y_pred, sample_weight):
        return K.mean(keras.losses.sparse_categorical_crossentropy(y, y_pred)) + sum(self.losses)


@pytest.mark.parametrize(
    ("expected", "arguments"),
    [
        ("one_hot", (weighted, 2)),
        ("column", (ordinal, 2)),
        ("column", (ordinal, 3)),
        ("column", (gathered, 3)),
        ("numbers", (both, 3)),
        ("one_hot", (both, 3, [keras.metrics.F1Score()])),
        ("one_hot", (both, 3, ["categorical_accuracy"])),
        ("numbers", (both, 3, ["accuracy"])),
        ("numbers", (OfNumbers(), 3)),
        ("one_hot", ("mse", 3)),
        ("column", ("mse", 1)),
        ("numbers", ("mse", 1, None, OwnLoss)),
        ("numbers", ("categorical_crossentropy", 3, None, OwnLossOfThree)),
    ],
)
def test_labels_are_given_in_the_form_that_the_loss_wants(expected, arguments):
    assert form(*arguments) == expected
    assert form("mse", penalty=keras.regularizers.L2(1e3)) == "one_hot"


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize(
    ("loss", "units", "kind", "targets"),
    [
        (weighted, 2, keras.Model, lambda y: np.eye(2, dtype="float32")[y % 2]),
        (ordinal, 2, keras.Model, lambda y: (y % 2)[:, None]),
        ("mse", 1, OwnLoss, lambda y: (y % 2).astype("float32")),
        (OfNumbers(), 3, keras.Model, lambda y: y),
        ("kl_divergence", 3, keras.Model, lambda y: np.eye(3, dtype="float32")[y]),
    ],
)
def test_training_is_keras_own_whatever_the_batch(loss, units, kind, targets, size):
    ensemble = Ensemble(lambda: network(loss, units, None, kind), members=1, seed=2)
    alone = network(loss, units, None, kind)
    alone.set_weights(ensemble.models[0].get_weights())
    settings = {"epochs": 2, "batch_size": size, "shuffle": False, "verbose": 0}
    ensemble.fit(X, Y % max(units, 2), strategy="looped", **settings)
    alone.fit(X, targets(Y), **settings)
    for found, wanted in zip(ensemble.models[0].get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_trying_leaves_no_trace():
    model, twin = network("mse", listed=True), network("mse", listed=True)
    twin.set_weights(model.get_weights())
    one_hot = np.eye(3, dtype="float32")[Y]
    told = Ensemble.from_models([model]).evaluate(X, Y).value[0]
    assert told == pytest.approx(twin.evaluate(X, one_hot, verbose=0), rel=1e-5)
    assert model.evaluate(X, one_hot, verbose=0) == pytest.approx(told, rel=1e-5)
    loss = Counting()
    counting = network(loss)
    Ensemble.from_models([counting]).evaluate(X, Y)
    assert float(loss.seen) <= 1  # one batch, or none where a program has a copy


@pytest.mark.parametrize("strategy", ["looped", "stacked"])
def test_a_loss_that_counts_counts_steps_alone(strategy):
    losses = []

    def build():
        losses.append(Counting())
        return network(losses[-1])

    Ensemble(build, members=1, seed=2).fit(X, Y, epochs=4, batch_size=6, strategy=strategy, verbose=0)
    assert float(losses[0].seen) == 8


@pytest.mark.parametrize(
    ("loss", "metrics", "message"),
    [
        (lambda y, p: -keras.losses.categorical_crossentropy(y, p), None, "must be lower for the right class"),
        (lambda y, p: K.mean(p, -1), None, "must be lower for the right class"),
        (lambda y, p: 1 / 0, None, "ZeroDivisionError"),
        (lambda y, p: K.max(K.square(y - p)), None, "or the sum over examples"),
        (both, [keras.metrics.F1Score(), keras.metrics.SparseCategoricalAccuracy()], "must want labels in one form"),
        ("mse", [keras.metrics.SparseCategoricalAccuracy()], "SparseCategoricalAccuracy wants whole numbers"),
        ("sparse_categorical_crossentropy", [keras.metrics.AUC()], "AUC wants one-hot labels"),
    ],
)
def test_what_no_form_of_labels_fits_is_refused_before_training(loss, metrics, message):
    with pytest.raises(InputError, match=message) as raised:
        Ensemble(lambda: network(loss, metrics=metrics), members=2).fit(X, Y, verbose=0)
    assert "\n" not in str(raised.value)


def test_members_whose_losses_want_other_forms_are_refused():
    def build(kind):
        return network(kind)

    both_forms = ["sparse_categorical_crossentropy", "categorical_crossentropy"]
    with pytest.raises(InputError, match="losses that want labels in one form, got numbers and others"):
        Ensemble(build, members=2, vary={"kind": both_forms}).fit(X, Y, verbose=0)


def test_what_is_said_of_a_head_stays_with_the_predictor():
    class Odd(L.Layer):
        def call(self, x):
            return K.softmax(x)

    model = keras.Sequential([keras.Input((3,)), L.Dense(3), Odd()])
    predictor = WeightScaling(model, head="probabilities")
    before = predictor.predict(X)
    WeightScaling(model, head="logits").predict(X)
    np.testing.assert_array_equal(predictor.predict(X), before)
    compiled = keras.Sequential([keras.Input((3,)), L.Dense(3)])
    compiled.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(InputError, match="leave it out"):
        WeightScaling(compiled, head="probabilities")
    assert WeightScaling(compiled).predict(X).shape == (12, 3)


def test_of_several_models_a_head_is_said_of_those_that_do_not_tell():
    logits = keras.Sequential([keras.Input((3,)), L.Dense(3)])
    probs = network("sparse_categorical_crossentropy")
    found = Ensemble.from_models([logits, probs], head="logits").predict_members(X).probs
    np.testing.assert_allclose(found[1], probs.predict(X, verbose=0), atol=1e-6)
    np.testing.assert_allclose(found[0], K.softmax(logits.predict(X, verbose=0)), atol=1e-6)


@pytest.mark.parametrize("weights", ["balanced", [1.0, 2.0, 3.0], {0: "a"}, {0: True}, {7: 1.0}, {0: -1.0}])
def test_class_weights_that_are_none_are_refused(weights):
    with pytest.raises(InputError, match=r"class_weight must map labels 0\.\.2 to non-negative numbers"):
        Ensemble(lambda: network("mse"), members=2).fit(X, Y, class_weight=weights, verbose=0)


def test_a_call_that_takes_its_inputs_apart_is_refused():
    class Apart(keras.Model):
        def __init__(self):
            super().__init__()
            self.out = L.Dense(3, "softmax")

        def call(self, a, b):
            return self.out(K.concatenate([a, b], -1))

    model = Apart()
    model(X[:2], X[:2])
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(InputError, match="must take all inputs as its first argument"):
        WeightScaling(model)
