"""The one door to Keras: import `keras` and `tf` from here, so that the backend is checked before anything is built."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from ensemble_vs_dropout.checks import InputError

_ADVICE = "this package runs Keras on TensorFlow; unset KERAS_BACKEND or set KERAS_BACKEND=tensorflow"
if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
    raise InputError(f"{_ADVICE} (it is {os.environ['KERAS_BACKEND']!r})")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # start-up chatter is not the user's concern

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

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


__all__ = ["keras", "one_graph_each", "tf"]
