"""Weight scaling: the whole network with dropout off, an approximation of the average over all masks."""

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.checks import check_known
from ensemble_vs_dropout.fusion import fuse
from ensemble_vs_dropout.heads import probabilities, read_head
from ensemble_vs_dropout.keras_backend import keras
from ensemble_vs_dropout.measures import RULES, aggregate
from ensemble_vs_dropout.types import FloatArray, Predictions


class WeightScaling:
    """Predict once with dropout off (Srivastava et al. 2014, section 3).

    Keras' dropout divides by the keep probability while training, so the scaled weights are the weights themselves.
    Where masks reach only the softmax layer, this equals the renormalised geometric mean over all masks.

    Args:
        model: A compiled Keras classifier; it is not changed.
    """

    def __init__(self, model: keras.Model):
        self.model, self._head = model, read_head(model)

    def predict_members(self, x: npt.NDArray[np.generic], batch_size: int = 1024) -> Predictions:
        """Return the one member's probabilities, shape (1, examples, classes)."""
        return Predictions(probabilities(self.model, x, batch_size, self._head)[None], method="weight scaling")

    def predict(self, x: npt.NDArray[np.generic], rule: str = "mean", batch_size: int = 1024) -> FloatArray:
        """Return the probabilities, shape (examples, classes); with one member the means are the member itself."""
        check_known("rule", rule, RULES)
        return aggregate(self.predict_members(x, batch_size).probs, rule)

    def to_keras(self) -> keras.Model:
        """Return one `keras.Model` that gives the probabilities."""
        return fuse([self.model], name="weight_scaling")
