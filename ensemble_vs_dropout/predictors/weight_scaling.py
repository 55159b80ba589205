"""Weight scaling: the whole network with dropout off, an approximation of the average over all masks."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.models.costs import multiply_adds
from ensemble_vs_dropout.models.inputs import inputs_of
from ensemble_vs_dropout.models.number_heads import read_output
from ensemble_vs_dropout.models.programs import Programs, forward
from ensemble_vs_dropout.predictors.base import Part, Predictor, check_weights_known
from ensemble_vs_dropout.predictors.export import fuse


class WeightScaling(Predictor):
    """Predict once with dropout off (Srivastava et al. 2014, section 3).

    Keras' dropout divides by the keep probability while training, so the scaled weights are the weights themselves;
    `ClassicDropout` multiplies by it here. Where masks reach only the softmax layer, this equals the renormalised
    geometric mean over all masks.

    Args:
        model: A Keras classifier, or a network that predicts a number; it is not changed.
        head: "logits" or "probabilities", of a number "mean" or "normal", where neither its loss nor its last
            activation tells what its outputs are.

    Example:
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dropout(0.5), keras.layers.Dense(2)])
        >>> model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        >>> WeightScaling(model).predict(np.ones((4, 3))).shape
        (4, 2)
        >>> WeightScaling(model).to_keras().output_shape
        (None, 2)
    """

    members = 1
    method = "weight scaling"

    def __init__(self, model: keras.Model, head: str | None = None):
        self.model, self._head, self._programs = model, read_output(model, head), Programs()
        self._inputs = inputs_of([model])
        check_weights_known(model)

    @property
    def multiply_adds(self) -> int:
        """Products of weights with inputs that an example takes: the network's."""
        return multiply_adds(self.model)

    def share(self, other: "WeightScaling") -> None:
        """See `Predictor.share`."""
        self._programs = other._programs

    def _parts(self, x: npt.NDArray[np.generic], first: int) -> Iterator[Part]:
        yield forward(self.model, x, self._programs, head=self._head)[None], None

    def to_keras(self, rule: str = "mean") -> keras.Model:
        """Return one `keras.Model` that gives the probabilities (or with a vote the one label's)."""
        return fuse([self.model], rule, name="weight_scaling", heads=[self._head])
