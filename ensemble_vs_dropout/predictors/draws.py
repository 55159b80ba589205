"""What Keras' random layers draw in a pass: a matter of the pass and the example, whatever the batch.

Each draw of a layer has a key; an example has a stretch of the key's stream, found by its number and the size of what
is drawn for it, which is the same for all examples unless batches are padded differently.
"""

import math
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.models.backend import draw_seed, keras, tf
from ensemble_vs_dropout.models.draws import dropped, kept_in_passes, shape_of, units_per_word, words_by_operation
from ensemble_vs_dropout.models.random_layers import turned_off


class Draws:
    """Draws for a batch of which the first example has the number `first`; see `random_layers.Drawing`.

    Args:
        layers: Who draws; other layers are turned off.
        examples: In the batch, a scalar tensor.
        first: The number of the first one among all, a scalar tensor.
        shared: Whether all examples have the draws of the example with number 0.
        states: The random states that hold the pass's keys.
        rows: Those of the batch that are there, or None for all of them.
    """

    def __init__(
        self,
        layers: Collection[keras.layers.Layer],
        examples: tf.Tensor,
        first: tf.Tensor,
        shared: bool,
        states: Sequence[keras.Variable],
        rows: tf.Tensor | None = None,
    ):
        self._layers = {id(layer) for layer in layers}
        self._states = {id(state) for state in states}
        self.examples, self.first, self.shared, self.rows = examples, first, shared, rows
        self.acted: set[int] = set()  # the ids of those that drew
        self.dropped = 0.0  # units of an example in a pass that are expected to be dropped, as far as is known

    def draw(self, name: str, layer: keras.layers.Layer | None, *args: Any, **kwargs: Any) -> Any:
        """Return what `keras.random.{name}` gives this layer in this pass."""
        if id(layer) not in self._layers:
            return turned_off(name, layer, *args, **kwargs)
        self.acted.add(id(layer))
        if name not in ("dropout", "normal", "uniform"):
            raise InputError(
                f"the random layer {getattr(layer, 'name', None)!r} draws by keras.random.{name}, which cannot be "
                "drawn example by example; dropout, normal and uniform can"
            )
        return getattr(self, name)(*args, **kwargs)

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
        self.dropped += rate * count if isinstance(count, int) else 0
        drawn = self._words(self._key(seed), shape, units_per_word(rate))
        return dropped(inputs, self._shaped(kept_in_passes(drawn, rate), shape), 1 - rate)

    def uniform(
        self, shape: Any, minval: float = 0.0, maxval: float = 1.0, dtype: Any = None, seed: Any = None
    ) -> tf.Tensor:
        """Draw from [minval, maxval)."""
        sizes = _sizes(shape)
        drawn = self._shaped(self._fractions(self._key(seed), sizes), sizes)
        return tf.cast(minval + (maxval - minval) * drawn, dtype or keras.config.floatx())

    def normal(
        self, shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: Any = None
    ) -> tf.Tensor:
        """Draw from the normal distribution, by the transform of Box and Muller (1958)."""
        sizes = _sizes(shape)
        key = self._key(seed)
        rows = sizes[0] if sizes else 1
        drawn = self._fractions(key, [rows, 2, *sizes[1:]])
        pairs = tf.reshape(drawn, (tf.shape(drawn)[0], -1))
        count = math.prod(sizes[1:])
        radius = tf.sqrt(-2.0 * tf.math.log(1.0 - pairs[:, :count]))  # 1 - u is never 0
        value = radius * tf.cos(2 * math.pi * pairs[:, count : 2 * count])
        return tf.cast(mean + stddev * self._shaped(value, sizes), dtype or keras.config.floatx())

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
        if _for_all(shape):
            rows: Any = shape[0] if shape else 1
            return tf.reshape(words_by_operation(key, 0, rows * blocks), (rows, 4 * blocks))
        each = self._rows_each(shape[0])
        rows = each if self.shared else each * self.examples
        first = 0 if self.shared else tf.cast(self.first, tf.int64) * tf.cast(each * blocks, tf.int64)
        return tf.reshape(words_by_operation(key, first, rows * blocks), (rows, 4 * blocks))

    def _rows_each(self, rows: Any) -> tf.Tensor:
        """Return how many rows an example has: more than one where a layer folds time into the batch."""
        there = self.examples if self.rows is None else tf.shape(self.rows)[0]
        return tf.maximum(1, rows // there)

    def _shaped(self, drawn: tf.Tensor, shape: Sequence[Any]) -> tf.Tensor:
        drawn = drawn if drawn.shape.rank == 2 else tf.reshape(drawn, (tf.shape(drawn)[0], -1))
        drawn = drawn[:, : math.prod(shape[1:])]
        if _for_all(shape):
            return tf.reshape(drawn, list(shape))
        each = self._rows_each(shape[0])
        if self.shared:
            drawn = tf.tile(drawn, [shape[0] // each, 1])
        elif self.rows is not None:
            places = self.rows[:, None] * each + tf.range(each)
            drawn = tf.gather(drawn, tf.reshape(places, [-1]))
        return tf.reshape(drawn, [-1, *shape[1:]])


def _for_all(shape: Sequence[Any]) -> bool:
    """Return whether all examples share what has this shape: their number is never known while a pass is traced."""
    return not shape or isinstance(shape[0], int)


def _sizes(shape: Any) -> list[Any]:
    """Return a shape as numbers where they are known, else scalar tensors."""
    if not tf.is_tensor(shape):
        return [int(size) if isinstance(size, np.integer) else size for size in shape]
    known = tf.get_static_value(shape, partial=True)
    return [shape[axis] if known is None or known[axis] is None else int(known[axis]) for axis in range(shape.shape[0])]
