"""Monte Carlo dropout: many passes with dropout on, each the prediction of one thinned network."""

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.checks import InputError, check_at_least, check_known
from ensemble_vs_dropout.heads import read_head
from ensemble_vs_dropout.inference._random_layers import random_layers, switched_on
from ensemble_vs_dropout.keras_backend import keras, one_graph_each, tf
from ensemble_vs_dropout.measures import RULES, aggregate
from ensemble_vs_dropout.seeds import stream
from ensemble_vs_dropout.types import FloatArray, Predictions

_STREAMED = 2**24  # probabilities held at once by `predict`: 64 MiB


class MonteCarloDropout:
    """Predict many times with the dropout layers random and everything else in inference mode.

    Each pass drops units of each example anew (Gal and Ghahramani, 2016). BatchNorm keeps its moving statistics, and
    neither the model's weights nor its own random streams are changed. The draws depend on the seed, the number of
    the pass and that of the batch.

    Args:
        model: A compiled Keras classifier with at least one random layer.
        passes: How many, at least 1.
        seed: Of the masks.

    Raises:
        InputError: The model has no random layer, so that all passes would be the same.
    """

    def __init__(self, model: keras.Model, passes: int = 100, seed: int = 0):
        self.model, self._head = model, read_head(model)
        self.passes = check_at_least("passes", passes, 1)
        self.seed = check_at_least("seed", seed, 0)
        self._layers = random_layers(model)
        if not self._layers:
            raise InputError(
                f"the model {model.name!r} has no random layer such as Dropout, so that all passes would be the "
                "same; build it with rate above 0, or predict with WeightScaling"
            )
        self._states = [
            number
            for number, variable in enumerate(model.non_trainable_variables)
            if variable.name == "seed_generator_state"
        ]
        self._run = self._compile()

    def predict_members(self, x: npt.NDArray[np.generic], batch_size: int = 1024) -> Predictions:
        """Return the probabilities of every pass, shape (passes, examples, classes)."""
        probs = np.concatenate([self._batch(x, start, batch_size) for start in range(0, len(x), batch_size)], axis=1)
        return Predictions(probs, method=f"Monte Carlo dropout, {self.passes} passes")

    def predict(self, x: npt.NDArray[np.generic], rule: str = "mean", batch_size: int = 1024) -> FloatArray:
        """Return the passes combined by the named rule, shape (examples, classes).

        Batches are combined one by one, and many passes make them smaller, so memory does not grow with examples or
        passes.
        """
        check_known("rule", rule, RULES)
        size = max(1, min(batch_size, _STREAMED // (self.passes * self._head.classes)))
        pooled = [aggregate(self._batch(x, start, size), rule) for start in range(0, len(x), size)]
        return np.concatenate(pooled)

    def _batch(self, x: npt.NDArray[np.generic], start: int, size: int) -> FloatArray:
        keys = [
            stream(self.seed, "pass", t, start).integers(1, 2**31, size=len(self._states)) for t in range(self.passes)
        ]
        states = np.stack([np.array(keys), np.zeros_like(keys)], axis=-1)
        with one_graph_each():
            outputs = self._run(tf.convert_to_tensor(x[start : start + size]), tf.constant(states))
        return self._head.probabilities(outputs)

    def _compile(self) -> tf.types.experimental.PolymorphicFunction:
        model, places = self.model, self._states

        @tf.function(reduce_retracing=True)
        def run(x: tf.Tensor, states: tf.Tensor) -> tf.Tensor:
            fixed = list(model.non_trainable_variables)

            def one_pass(keys: tf.Tensor) -> tf.Tensor:
                # Stateless: the random streams are arguments, so the model's own are neither read nor moved.
                for row, place in enumerate(places):
                    fixed[place] = tf.cast(keys[row], model.non_trainable_variables[place].dtype)
                outputs, _ = model.stateless_call(list(model.trainable_variables), fixed, x, training=False)
                return tf.cast(outputs, tf.float32)

            with switched_on(self._layers) as ran:
                outputs = tf.map_fn(one_pass, states, fn_output_signature=tf.float32, parallel_iterations=1)
            if not ran:
                raise RuntimeError(f"no random layer of {model.name!r} acted, so that all passes would be the same")
            return outputs

        return run
