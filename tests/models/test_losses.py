import keras
import numpy as np
import pytest
import tensorflow as tf

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.measures.regression import gaussian_nll
from ensemble_vs_dropout.models.losses import LEAST, GaussianNLL

RNG = np.random.default_rng(0)
Y, MEAN, SCALE = RNG.normal(size=9), RNG.normal(size=9), np.exp(RNG.normal(size=9))
OUTPUTS = np.stack([MEAN, SCALE], axis=1).astype("float32")


def gradients(loss):
    outputs = tf.Variable(OUTPUTS)
    with tf.GradientTape() as tape:
        value = loss(Y[:, None].astype("float32"), outputs)
    return np.asarray(tape.gradient(value, outputs))


def test_the_loss_is_the_density_that_is_measured():
    measured = gaussian_nll(MEAN[None], SCALE[None], Y)
    loss = GaussianNLL(reduction=None)
    for targets in (Y, Y[:, None]):
        np.testing.assert_allclose(loss(targets, OUTPUTS), measured, rtol=1e-5)
    assert GaussianNLL()(Y, OUTPUTS).numpy() == pytest.approx(measured.mean(), rel=1e-5)


def test_beta_1_gives_the_mean_the_gradients_of_half_the_squared_error():
    of_mean = gradients(GaussianNLL(beta=1.0))[:, 0]
    np.testing.assert_allclose(of_mean, (MEAN - Y) / len(Y), rtol=1e-4)
    np.testing.assert_allclose(gradients(GaussianNLL())[:, 0], (MEAN - Y) / SCALE**2 / len(Y), rtol=1e-4)


def test_beta_weighs_each_example_by_its_variance_to_that_power():
    plain, weighed = gradients(GaussianNLL()), gradients(GaussianNLL(beta=0.5))
    np.testing.assert_allclose(weighed, plain * SCALE[:, None], rtol=1e-4)


def test_a_scale_that_rounds_to_0_has_a_finite_loss():
    loss = GaussianNLL(reduction=None)(np.float32([[1]]), np.float32([[1, 0]])).numpy()
    assert loss == pytest.approx(np.log(LEAST) + 0.5 * np.log(2 * np.pi), rel=1e-4)


def test_a_scale_that_collapsed_can_come_back():
    outputs = tf.Variable(np.float32([[0.0, 1e-9]]))
    with tf.GradientTape() as tape:
        value = GaussianNLL()(np.float32([[1.0]]), outputs)
    assert np.asarray(tape.gradient(value, outputs))[0, 1] < 0


def test_it_is_the_same_when_it_is_read_again():
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(GaussianNLL(0.5, name="mine")))
    assert (type(again), again.beta, again.name) == (GaussianNLL, 0.5, "mine")


@pytest.mark.parametrize("beta", [-0.1, 1.1, "half", True])
def test_another_beta_is_refused(beta):
    with pytest.raises(InputError, match=r"beta must be a number in \[0, 1\]"):
        GaussianNLL(beta)
