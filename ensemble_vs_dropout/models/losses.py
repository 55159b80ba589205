"""The loss of a network that predicts a number and how sure it is of it."""

import math

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.models.backend import keras

LEAST = 1e-6  # is added to a predicted standard deviation, which softplus rounds to 0


@keras.saving.register_keras_serializable(package="ensemble_vs_dropout")
class GaussianNLL(keras.losses.Loss):  # type: ignore[misc]
    """The negative log density of a target under a normal distribution, in nats (Nix and Weigend 1994).

    For a network with two outputs for each example, a mean and a standard deviation above 0: end it with
    `Concatenate()([Dense(1)(h), Dense(1, activation="softplus")(h)])`. Scale the targets to a deviation of about 1.

    Trained on it alone, a network may explain what is hard to fit as noise, and its mean stays poor. `beta` weighs each
    example by its predicted variance to that power, held constant (Seitzer et al. 2022, equation 6): 0 is the plain
    density, 1 gives the mean the gradients of the squared error, and they advise 0.5. The loss is then no density any
    more, and its values do not compare with those of another beta.

    Args:
        beta: In [0, 1].
        reduction: Keras' own.
        name: Of the loss.
        dtype: Of its computations.

    Example:
        >>> round(float(GaussianNLL()(keras.ops.zeros((1, 1)), keras.ops.array([[0.0, 1.0]]))), 3)
        0.919
    """

    def __init__(
        self,
        beta: float = 0.0,
        reduction: str = "sum_over_batch_size",
        name: str = "gaussian_nll",
        dtype: str | None = None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        if isinstance(beta, bool) or not isinstance(beta, int | float) or not 0 <= beta <= 1:
            raise InputError(f"beta must be a number in [0, 1], got {beta!r}")
        self.beta = float(beta)

    def call(self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
        """Return the loss of each example, shape (examples,), of targets (examples, 1) and outputs (examples, 2)."""
        ops = keras.ops
        mean, scale = y_pred[..., 0], ops.maximum(y_pred[..., 1], 0) + LEAST
        z = (ops.reshape(ops.cast(y_true, mean.dtype), ops.shape(mean)) - mean) / scale
        loss = 0.5 * z * z + ops.log(scale) + 0.5 * math.log(2 * math.pi)
        return loss * ops.stop_gradient(scale ** (2 * self.beta)) if self.beta else loss

    def get_config(self) -> dict[str, object]:
        """Return what makes the same loss again."""
        return {**super().get_config(), "beta": self.beta}
