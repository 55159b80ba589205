"""The one door to Keras: import `keras` and `tf` from here, so that the backend is checked before anything is built."""

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from ensemble_vs_dropout.checks import InputError

_ADVICE = "this package runs Keras on TensorFlow; unset KERAS_BACKEND or set KERAS_BACKEND=tensorflow"
if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
    raise InputError(f"{_ADVICE} (it is {os.environ['KERAS_BACKEND']!r})")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # set it lower to see why TensorFlow finds no GPU


@contextmanager
def _quiet_start() -> Iterator[None]:
    """Hold back what TensorFlow's libraries write to standard error while they load; show it if loading fails."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as chatter:
        os.dup2(chatter.fileno(), 2)
        try:
            yield
        except BaseException:
            chatter.seek(0)
            os.write(kept, chatter.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


with _quiet_start():
    import keras
    import tensorflow as tf

if keras.backend.backend() != "tensorflow":  # ~/.keras/keras.json can choose too
    raise InputError(f"{_ADVICE} (it is {keras.backend.backend()!r}, from the Keras configuration file)")


@contextmanager
def one_graph_each() -> Iterator[None]:
    """Keep TensorFlow from warning of retracing where every model rightly has a graph of its own."""

    def other(record: logging.LogRecord) -> bool:
        return "tf.function retracing" not in record.getMessage()

    logger = logging.getLogger("tensorflow")
    logger.addFilter(other)
    try:
        yield
    finally:
        logger.removeFilter(other)


# What Keras does not export and training stands on; its assumptions are in tests/models/test_keras_assumptions.py.
from keras.src.backend import numpy as keras_numpy  # noqa: E402
from keras.src.backend import random as keras_random  # noqa: E402
from keras.src.backend.common import global_state  # noqa: E402
from keras.src.backend.tensorflow.optimizer import TFOptimizer  # noqa: E402
from keras.src.losses.losses import LossFunctionWrapper  # noqa: E402
from keras.src.models.functional import Functional  # noqa: E402
from keras.src.optimizers.base_optimizer import BaseOptimizer  # noqa: E402
from keras.src.random.seed_generator import draw_seed  # noqa: E402

__all__ = [
    "BaseOptimizer", "Functional", "LossFunctionWrapper", "TFOptimizer", "draw_seed", "global_state", "keras",
    "keras_numpy", "keras_random", "one_graph_each", "tf",
]  # fmt: skip
