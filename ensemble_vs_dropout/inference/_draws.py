"""What Keras' random layers draw in a pass: a matter of the pass and the example, whatever the batch.

Each draw of a layer has a key; an example has a stretch of the key's stream, found by its number and the size of what
is drawn for it, which is the same for all examples unless batches are padded differently. Rates are kept to 1 part in
130,000, and exactly where they are a multiple of 1/256.
"""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.inference._random_layers import Ran
from ensemble_vs_dropout.keras_backend import draw_seed, keras, tf
from ensemble_vs_dropout.random_draws import drawing_by, shape_of, words

_OTHERS = ("beta", "binomial", "categorical", "gamma", "randint", "shuffle", "truncated_normal")


class Draws:
    """Draws for a batch of which the first example has the number `first`.

    Args:
        examples: In the batch, a scalar tensor.
        first: The number of the first one among all, a scalar tensor.
        shared: Whether all examples have the draws of the example with number 0.
        states: The random states that hold the pass's keys.
        rows: Those of the batch that are there, or None for all of them.
    """

    def __init__(
        self,
        examples: tf.Tensor,
        first: tf.Tensor,
        shared: bool,
        states: Sequence[keras.Variable],
        rows: tf.Tensor | None = None,
    ):
        self._states, self.ran = {id(state) for state in states}, Ran()
        self.examples, self.first, self.shared, self.rows = examples, first, shared, rows
        self.dropped = 0.0  # units of an example in a pass that are expected to be dropped, as far as is known

    def acting(self) -> AbstractContextManager[None]:
        """Let Keras' layers draw by this in what is traced inside."""
        refused = {name: partial(_refused, name) for name in _OTHERS}
        return drawing_by(dropout=self.dropout, normal=self.normal, uniform=self.uniform, **refused)

    def dropout(self, inputs: tf.Tensor, rate: float, noise_shape: Any = None, seed: Any = None) -> tf.Tensor:
        """Drop units with probability `rate`; what is kept is divided by the keep probability."""
        if rate == 0:
            return inputs
        rate = float(rate)
        if rate == 1:
            return tf.zeros_like(inputs)
        inputs = tf.convert_to_tensor(inputs)
        shape = shape_of(inputs, noise_shape)
        count = math.prod(shape[1:])
        self.dropped += rate * count if isinstance(count, int) and self.ran.inside else 0
        kind = tf.uint8 if (rate * 2**8).is_integer() else tf.uint16  # 8 bits do for a rate such as 0.5 or 0.25
        levels = kind.max + 1
        level = tf.constant(min(round(rate * levels), kind.max), kind)
        drawn = tf.bitcast(self._words(self._key(seed), shape, per_word=4 // kind.size), kind)
        kept = self._shaped(drawn >= level, shape)
        return tf.where(kept, inputs / tf.cast(1 - rate, inputs.dtype), tf.zeros((), inputs.dtype))

    def uniform(
        self, shape: Any, minval: float = 0.0, maxval: float = 1.0, dtype: Any = None, seed: Any = None
    ) -> tf.Tensor:
        """Draw from [minval, maxval)."""
        drawn = self._fractions(self._key(seed), list(shape))
        return tf.cast(minval + (maxval - minval) * self._shaped(drawn, list(shape)), dtype or keras.config.floatx())

    def normal(
        self, shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: Any = None
    ) -> tf.Tensor:
        """Draw from the normal distribution, by the transform of Box and Muller (1958)."""
        shape = list(shape)
        key = self._key(seed)
        drawn = self._fractions(key, [shape[0], 2, *shape[1:]])
        pairs = tf.reshape(drawn, (tf.shape(drawn)[0], -1))
        count = math.prod(shape[1:])
        radius = tf.sqrt(-2.0 * tf.math.log(1.0 - pairs[:, :count]))  # 1 - u is never 0
        value = radius * tf.cos(2 * math.pi * pairs[:, count : 2 * count])
        return tf.cast(mean + stddev * self._shaped(value, shape), dtype or keras.config.floatx())

    def _key(self, seed: Any) -> tf.Tensor:
        if not isinstance(seed, keras.random.SeedGenerator) or id(seed.state) not in self._states:
            raise InputError(
                "a random layer draws without a keras.random.SeedGenerator of its own, so that its draws could not be "
                "told from pass to pass; make one in the layer's __init__ and give it as seed="
            )
        return draw_seed(seed)

    def _fractions(self, key: tf.Tensor, shape: Sequence[Any]) -> tf.Tensor:
        drawn = tf.bitwise.right_shift(self._words(key, shape, per_word=1), tf.constant(8, tf.uint32))
        return tf.cast(drawn, tf.float32) * 2.0**-24

    def _words(self, key: tf.Tensor, shape: Sequence[Any], per_word: int) -> tf.Tensor:
        """Return enough words for each row of `shape`, shape (rows, words)."""
        blocks = (math.prod(shape[1:]) + 4 * per_word - 1) // (4 * per_word)
        if isinstance(shape[0], int) and shape[0] == 1:  # on purpose the same for all examples
            return tf.reshape(words(key, 0, blocks), (1, 4 * blocks))
        each = self._rows_each(shape[0])
        rows = each if self.shared else each * self.examples
        first = 0 if self.shared else tf.cast(self.first, tf.int64) * tf.cast(each * blocks, tf.int64)
        return tf.reshape(words(key, first, rows * blocks), (rows, 4 * blocks))

    def _rows_each(self, rows: Any) -> tf.Tensor:
        """Return how many rows an example has: more than one where a layer folds time into the batch."""
        there = self.examples if self.rows is None else tf.shape(self.rows)[0]
        return tf.maximum(1, rows // there)

    def _shaped(self, drawn: tf.Tensor, shape: Sequence[Any]) -> tf.Tensor:
        drawn = drawn if drawn.shape.rank == 2 else tf.reshape(drawn, (tf.shape(drawn)[0], -1))
        drawn = drawn[:, : math.prod(shape[1:])]
        if not (isinstance(shape[0], int) and shape[0] == 1):
            each = self._rows_each(shape[0])
            if self.shared:
                drawn = tf.tile(drawn, [shape[0] // each, 1])
            elif self.rows is not None:
                places = self.rows[:, None] * each + tf.range(each)
                drawn = tf.gather(drawn, tf.reshape(places, [-1]))
        return tf.reshape(drawn, [-1 if axis == 0 else size for axis, size in enumerate(shape)])


def _refused(name: str, *_: Any, **__: Any) -> Any:
    raise InputError(
        f"a random layer draws by keras.random.{name}, which cannot be drawn example by example; dropout, normal and "
        "uniform can"
    )
