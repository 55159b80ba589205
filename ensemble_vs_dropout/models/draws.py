"""Random numbers that are a pure function of a key and a place, so that neither batches nor strategies change them.

Philox 4x32 with 10 rounds (Salmon et al. 2011): block `b` of the stream of a key is four words of 32 bits. Two
functions compute the same words: `words_by_operation`, which is quick where operations are dispatched one by one, and
`words_by_arithmetic`, which vectorizes and which XLA fuses into what uses the words. TensorFlow's own generator would
draw other numbers inside an XLA program than outside, and through a loop when it is vectorized.

Words become a mask in one of two layouts, `kept_in_training` and `kept_in_passes`; `dropped` is the one dropout. Keras'
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
Words = Callable[[tf.Tensor, Any, Any], tf.Tensor]  # of a key, the first block, and how many blocks


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


def words_by_operation(key: tf.Tensor, first: Any, blocks: Any) -> tf.Tensor:
    """Return the words of these blocks of a key's stream, shape (blocks, 4), uint32, by TensorFlow's own operation.

    Args:
        key: Two numbers below 2**32, shape (2,).
        first: The number of the first block, below 2**63.
        blocks: How many.
    """
    key = tf.cast(key, tf.uint64)
    both = tf.bitwise.bitwise_or(key[0], tf.bitwise.left_shift(key[1], tf.constant(32, tf.uint64)))
    drawn = tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=tf.stack([blocks * 4]),
        key=both[None],
        counter=tf.stack([tf.cast(first, tf.uint64), tf.constant(0, tf.uint64)]),
        alg=1,  # Philox
        dtype=tf.uint32,
    )
    return tf.reshape(drawn, (-1, 4))


def words_by_arithmetic(key: tf.Tensor, first: Any, blocks: Any) -> tf.Tensor:
    """Return the same words, computed element by element."""
    u32, u64 = tf.uint32, tf.uint64

    def halves(whole: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.cast(tf.bitwise.right_shift(whole, tf.constant(32, u64)), u32), tf.cast(whole, u32)

    def product(a: tf.Tensor, factor: int) -> tuple[tf.Tensor, tf.Tensor]:
        return halves(tf.cast(a, u64) * tf.constant(factor, u64))

    xor = tf.bitwise.bitwise_xor
    key_0, key_1 = tf.cast(key[0], u32), tf.cast(key[1], u32)
    word_1, word_0 = halves(tf.cast(first, u64) + tf.cast(tf.range(blocks), u64))
    word_2 = word_3 = tf.zeros((blocks,), u32)
    for _ in range(10):
        high_0, low_0 = product(word_0, 0xD2511F53)
        high_2, low_2 = product(word_2, 0xCD9E8D57)
        word_0, word_1 = xor(xor(high_2, word_1), key_0), low_2
        word_2, word_3 = xor(xor(high_0, word_3), key_1), low_0
        key_0, key_1 = key_0 + tf.constant(0x9E3779B9, u32), key_1 + tf.constant(0xBB67AE85, u32)
    return tf.stack([word_0, word_1, word_2, word_3], axis=1)


def training_threshold(rate: float) -> int:
    """Return the number, of 16 bits, below which a training step drops a unit."""
    return round(rate * 2**16)


def kept_in_training(words: tf.Tensor, threshold: tf.Tensor | int) -> tf.Tensor:
    """Return which units a training step keeps, two for each word, shape (8 * blocks,).

    The 16 low bits of the first words of all blocks come first, then those of the second words, and so on, then the 16
    high bits in the same order. The rate is kept to 1 part in 130,000.

    Args:
        words: Shape (blocks, 4).
        threshold: As `training_threshold` returns it, a number or a tensor of type uint32.
    """
    each = tf.unstack(words, num=4, axis=1)
    halves = [tf.bitwise.bitwise_and(word, tf.constant(2**16 - 1, tf.uint32)) for word in each]
    halves += [tf.bitwise.right_shift(word, tf.constant(16, tf.uint32)) for word in each]
    return tf.concat([half >= tf.convert_to_tensor(threshold, tf.uint32) for half in halves], axis=0)


def kept_in_passes(words: tf.Tensor, rate: float) -> tf.Tensor:
    """Return which units passes of a prediction keep, `units_per_word` for each word, on one further axis.

    The bits of a word are taken in their order, 8 or 16 for a unit. The rate is kept to 1 part in 130,000, and exactly
    where it is a multiple of 1/256.

    Args:
        words: Any shape.
        rate: The probability to drop a unit, below 1.
    """
    kind = {4: tf.uint8, 2: tf.uint16}[units_per_word(rate)]
    return tf.bitcast(words, kind) >= tf.constant(min(round(rate * (kind.max + 1)), kind.max), kind)


def units_per_word(rate: float) -> int:
    """Return for how many units `kept_in_passes` has enough with a word: 8 bits do for a rate such as 0.5 or 0.25."""
    return 4 if (rate * 2**8).is_integer() else 2


def dropped(inputs: tf.Tensor, kept: tf.Tensor, keep: tf.Tensor | float) -> tf.Tensor:
    """Return what dropout leaves of the inputs: 0 for what is dropped, and the rest divided by the keep probability.

    This is Keras' formulation; `ClassicDropout` does not divide.
    """
    return tf.where(kept, inputs / tf.cast(keep, inputs.dtype), tf.zeros((), inputs.dtype))
