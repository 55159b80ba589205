"""Dropout masks that are the same under every strategy.

TensorFlow's own generator draws other numbers inside an XLA program than outside, and draws through a loop when it is
vectorised. Here a mask is a pure function of the layer's seed state: Philox 4x32 with 10 rounds (Salmon et al. 2011),
keyed by (seed, step), each word cut into two numbers of 16 bits, so that the rate is kept to 1 part in 130,000. It is
computed by TensorFlow's Philox operation where operations are dispatched one by one, or by plain arithmetic, which
vectorises and which XLA fuses into the layer.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ensemble_vs_dropout.models import draws as random_draws
from ensemble_vs_dropout.models.backend import draw_seed, tf
from ensemble_vs_dropout.models.draws import drawing_by, shape_of

_LEVELS = 2**16
Words = Callable[[tf.Tensor, tf.Tensor], list[tf.Tensor]]


@contextmanager
def own_masks(words: Words) -> Iterator[None]:
    """Let Keras' layers drop by these masks in what is traced inside; a graph keeps them when the context is left."""

    def dropout(inputs: tf.Tensor, rate: float, noise_shape: Any = None, seed: Any = None) -> tf.Tensor:
        return _dropout(words, inputs, rate, noise_shape, seed)

    with drawing_by(dropout=dropout):
        yield


def words_by_operation(key: tf.Tensor, blocks: tf.Tensor) -> list[tf.Tensor]:
    """Return the four words of each block from TensorFlow's Philox operation."""
    return tf.unstack(tf.transpose(tf.reshape(random_draws.words(key, 0, blocks), (-1, 4))), num=4)


def words_by_arithmetic(key: tf.Tensor, blocks: tf.Tensor) -> list[tf.Tensor]:
    """Return the same words, computed element by element."""
    u32, u64 = tf.uint32, tf.uint64

    def product(a: tf.Tensor, factor: int) -> tuple[tf.Tensor, tf.Tensor]:
        whole = tf.cast(a, u64) * tf.constant(factor, u64)
        return tf.cast(tf.bitwise.right_shift(whole, tf.constant(32, u64)), u32), tf.cast(whole, u32)

    xor = tf.bitwise.bitwise_xor
    key_0, key_1 = tf.cast(key[0], u32), tf.cast(key[1], u32)
    zero = tf.zeros((blocks,), u32)
    word_0, word_1, word_2, word_3 = tf.cast(tf.range(blocks), u32), zero, zero, zero
    for _ in range(10):
        high_0, low_0 = product(word_0, 0xD2511F53)
        high_2, low_2 = product(word_2, 0xCD9E8D57)
        word_0, word_1 = xor(xor(high_2, word_1), key_0), low_2
        word_2, word_3 = xor(xor(high_0, word_3), key_1), low_0
        key_0, key_1 = key_0 + tf.constant(0x9E3779B9, u32), key_1 + tf.constant(0xBB67AE85, u32)
    return [word_0, word_1, word_2, word_3]


def _dropout(words: Words, inputs: tf.Tensor, rate: float, noise_shape: Any, seed: Any) -> tf.Tensor:
    if rate == 0:
        return inputs
    inputs = tf.convert_to_tensor(inputs)
    shape = shape_of(inputs, noise_shape)
    count = math.prod(shape)
    drawn = words(draw_seed(seed), (count + 7) // 8)
    half = [tf.bitwise.bitwise_and(word, tf.constant(_LEVELS - 1, tf.uint32)) for word in drawn]
    half += [tf.bitwise.right_shift(word, tf.constant(16, tf.uint32)) for word in drawn]
    dropped = tf.concat([part < tf.constant(round(rate * _LEVELS), tf.uint32) for part in half], axis=0)
    mask = tf.reshape(dropped[:count], shape)
    return tf.where(mask, tf.zeros((), inputs.dtype), inputs / tf.cast(1 - rate, inputs.dtype))
