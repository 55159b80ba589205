from functools import partial

import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.models.backend import keras, tf
from ensemble_vs_dropout.models.heads import Head, declare, read_head
from ensemble_vs_dropout.models.losses import LEAST, GaussianNLL
from ensemble_vs_dropout.models.number_heads import NumberHead, read_output
from ensemble_vs_dropout.models.targets import read_training_output

L = keras.layers


def network(units=1, ending=None, loss="mse", **compiled):
    model = keras.Sequential([keras.Input((4,)), L.Dense(units, activation=ending)], name="net")
    if loss is not None:
        model.compile("sgd", loss, **compiled)
    return model


def hidden_ending():
    """A scale that ends with no activation, inside of a model and under a cast."""
    given, outer = keras.Input((4,)), keras.Input((4,))
    inner = keras.Model(given, L.Concatenate()([L.Dense(1)(given), L.Dense(1)(given)]))
    model = keras.Model(outer, L.Activation("linear", dtype="float32")(inner(outer)), name="net")
    model.compile("sgd", GaussianNLL())
    return model


def normal(scale="softplus", loss=None, metrics=None):
    given = keras.Input((4,))
    outputs = L.Concatenate()([L.Dense(1)(given), L.Dense(1, activation=scale)(given)])
    model = keras.Model(given, outputs, name="net")
    model.compile("sgd", loss or GaussianNLL(), metrics=metrics)
    return model


class Own(keras.losses.MeanSquaredError):
    def call(self, y_true, y_pred):
        return super().call(y_true, y_pred) ** 2


class Twice(GaussianNLL):
    def call(self, y_true, y_pred):
        return 2 * super().call(y_true, y_pred)


def fourth_power(y_true, y_pred):
    return keras.ops.mean((y_true - y_pred) ** 4, axis=-1)


@pytest.mark.parametrize(
    "loss",
    [
        "mse", "mean_squared_error", "mae", "huber", "log_cosh", "mape", "msle", keras.losses.Huber(2.0),
        keras.losses.MeanSquaredError, keras.losses.mean_absolute_error, ["mse"],
    ],
    ids=lambda loss: getattr(loss, "__name__", str(loss)[:20]),
)  # fmt: skip
def test_a_loss_of_keras_for_regression_over_one_unit_predicts_a_mean(loss):
    model = network(loss=loss)
    assert read_output(model) == read_training_output(model) == NumberHead("mean")


@pytest.mark.parametrize("ending", [None, "relu", "softplus", "exponential"])
def test_whatever_ending_a_number_may_have(ending):
    assert read_output(network(ending=ending)) == NumberHead("mean")


def test_the_gaussian_nll_over_two_units_predicts_a_mean_and_a_scale():
    assert read_output(normal()) == read_training_output(normal()) == NumberHead("normal")
    assert read_output(normal(loss=GaussianNLL(beta=0.5))).columns == 2


@pytest.mark.parametrize(
    ("units", "ending", "loss"),
    [(1, "sigmoid", "mse"), (3, "softmax", "mse"), (1, None, keras.losses.BinaryCrossentropy(from_logits=True))],
)
def test_classifiers_stay_what_they_were(units, ending, loss):
    model = network(units, ending, loss)
    assert read_output(model) == read_head(model)
    assert isinstance(read_output(model), Head)


def test_a_metric_of_the_users_own_may_know_both_outputs():
    def own(y_true, y_pred):
        return keras.ops.abs(y_true[:, 0] - y_pred[:, 0])

    assert read_training_output(normal(metrics=[own])) == NumberHead("normal")


def test_a_partial_loss_and_a_subclassed_network_that_is_said_to_predict_a_number_do():
    assert read_output(network(loss=partial(keras.losses.huber, delta=2.0))) == NumberHead("mean")

    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = L.Dense(1)

        def call(self, inputs):
            return self.dense(inputs)

    model = Subclassed()
    model(np.zeros((2, 4), "float32"))
    model.compile("sgd", "mse")
    with pytest.raises(InputError, match='no activation of Keras; give head="mean" for a number'):
        read_output(model)
    assert read_training_output(declare(model, "mean")) == NumberHead("mean")


def test_what_the_user_says_counts_where_the_loss_does_not_tell():
    assert read_output(network(loss=fourth_power), "mean") == NumberHead("mean")
    assert read_output(network(loss=None), "mean") == NumberHead("mean")
    assert read_output(declare(network(loss=None), "mean")) == NumberHead("mean")
    assert read_output(network(2, loss=None), "logits") == Head(2, True, 2)
    assert read_output(network(), "logits").classes == 2  # a network of two classes may be trained on squared errors


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: read_output(network(loss=fourth_power)), "what the outputs of 'net' mean must be known"),
        (lambda: read_output(network(loss=Own())), "what the outputs of 'net' mean must be known"),
        (lambda: read_training_output(declare(network(loss=fourth_power), "mean")), "must be one of Keras for regress"),
        (lambda: read_training_output(declare(network(loss=Own()), "mean")), "must be one of Keras for regression"),
        (lambda: read_output(network(2, "softplus", GaussianNLL())) and read_output(network(3, None, GaussianNLL())),
         "the outputs of 'net' must be 2, a mean and a standard deviation, got 3"),
        (lambda: read_output(network(ending=lambda x: x * 2)), 'must be known, .* head="mean" for a number, or'),
        (lambda: read_output(network(2, "softplus", Twice())), "what the outputs of 'net' mean must be known"),
        (lambda: read_output(network(ending="tanh")), 'it ends with tanh; give head="mean" for a number'),
        (lambda: read_output(network(1, "sigmoid", "binary_crossentropy"), "mean"), "must be of classes, as its loss"),
        (lambda: read_output(network(loss={"wrong": "mse"})), "must be given by itself, as its output"),
        (lambda: read_output(hidden_ending()), "second output .* above 0, but ends with linear"),
        (lambda: read_training_output(normal(metrics=["mae"])), "of Keras compares both with the target"),
        (lambda: read_training_output(normal(metrics=[keras.metrics.RootMeanSquaredError()])), "compares both"),
        (lambda: read_output(network(2, None, GaussianNLL())), "second output .* above 0, but ends with linear"),
        (lambda: read_output(normal("tanh")), "second output .* above 0, but ends with tanh"),
        (lambda: read_output(network(), "normal"), "head of 'net' must be what its loss expects, 'mean', got 'normal'"),
        (lambda: read_output(network(loss=None), "number"), "unknown head 'number'; known: .*mean, normal"),
        (lambda: read_head(declare(network(loss=None), "mean")), "said to predict a number, which has no classes"),
        (lambda: NumberHead("mean").classes, "no classes; this is for classifiers"),
        (lambda: read_output(keras.Sequential([keras.Input((4,)), L.Reshape((4, 1))])), "mean must be|one output of"),
    ],
)  # fmt: skip
def test_outputs_that_do_not_fit_are_told(call, match):
    with pytest.raises(InputError, match=match):
        call()


def test_outputs_become_means_and_scales():
    head = NumberHead("normal")
    found = np.asarray(head.predicted(tf.constant([[1.0, 2.0], [3.0, 0.0], [5.0, -1.0]])))
    np.testing.assert_allclose(found, [[1, 2], [3, LEAST], [5, -1]], rtol=1e-6)  # below 0 is told where it is seen
    half = head.predicted(tf.constant([[1.0, 2.0]], tf.bfloat16))
    assert half.dtype == tf.float32
    assert head.targets(np.array([1.5, 2.5])).tolist() == [[1.5], [2.5]]
