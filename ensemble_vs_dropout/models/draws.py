"""Random numbers that are a pure function of a key and a place, so that neither batches nor strategies change them.

Philox 4x32 with 10 rounds (Salmon et al. 2011): block `b` of the stream of a key is four words of 32 bits. Keras'
layers draw through one module; `drawing_by` puts other functions in place of its own while a graph is traced.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.models.backend import keras_random, tf

# What the layers of Keras draw by.
FUNCTIONS = (
    "beta", "binomial", "categorical", "dropout", "gamma", "normal", "randint", "shuffle", "truncated_normal", "uniform"
)  # fmt: skip
_TRACING = threading.RLock()


@contextmanager
def drawing_by(**functions: Callable[..., Any]) -> Iterator[None]:
    """Let Keras' layers draw by these functions in what is traced inside; a graph keeps them afterwards.

    Args:
        **functions: By the names of `keras.src.backend.random`, with its arguments.
    """
    with _TRACING:
        before = {name: getattr(keras_random, name) for name in functions}
        for name, function in functions.items():
            setattr(keras_random, name, function)
        try:
            yield
        finally:
            for name, function in before.items():
                setattr(keras_random, name, function)


def shape_of(inputs: tf.Tensor, noise_shape: Any = None) -> list[Any]:
    """Return the shape of a mask for a layer's inputs: numbers where they are known, else scalar tensors.

    The first is 1 only if all examples shall have one mask. A `noise_shape` of fewer axes than the inputs is that of
    their last axes, as in broadcasting; a batch size in it stands for that of the batch at hand.

    Raises:
        InputError: A `noise_shape` of fewer axes that leaves one open, or of more axes.
    """
    known, actual = inputs.shape.as_list(), tf.shape(inputs)
    wanted = [None] * len(known) if noise_shape is None else list(noise_shape)
    if len(wanted) != len(known):
        if any(size is None for size in wanted) or len(wanted) > len(known):
            raise InputError(
                f"noise_shape must have an entry for each of the {len(known)} axes of the layer's inputs, or numbers "
                f"for the last ones, got {tuple(wanted)}"
            )
        wanted = [1] * (len(known) - len(wanted)) + wanted
    if wanted and not (isinstance(wanted[0], int) and wanted[0] == 1):  # Keras may give a symbol for the batch size
        wanted[0] = known[0] if known[0] not in (None, 1) else actual[0]
    return [
        size if size is not None else known[axis] if known[axis] is not None else actual[axis]
        for axis, size in enumerate(wanted)
    ]


def words(key: tf.Tensor, first: Any, blocks: Any) -> tf.Tensor:
    """Return the words of these blocks of a key's stream, shape (4 * blocks,), uint32.

    Args:
        key: Two numbers below 2**32, shape (2,).
        first: The number of the first block, below 2**63.
        blocks: How many.
    """
    key = tf.cast(key, tf.uint64)
    both = tf.bitwise.bitwise_or(key[0], tf.bitwise.left_shift(key[1], tf.constant(32, tf.uint64)))
    return tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=tf.stack([blocks * 4]),
        key=both[None],
        counter=tf.stack([tf.cast(first, tf.uint64), tf.constant(0, tf.uint64)]),
        alg=1,  # Philox
        dtype=tf.uint32,
    )
