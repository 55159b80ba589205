"""Dropout masks that are the same under every strategy: a pure function of a layer's seed state, (seed, step)."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ensemble_vs_dropout.models.backend import draw_seed, tf
from ensemble_vs_dropout.models.draws import Words, drawing_by, dropped, kept_in_training, shape_of


@contextmanager
def own_masks(words: Words) -> Iterator[None]:
    """Let Keras' layers drop by these words in what is traced inside; a graph keeps them when the context is left."""

    def dropout(inputs: tf.Tensor, rate: float, noise_shape: Any = None, seed: Any = None) -> tf.Tensor:
        if rate == 0:
            return inputs
        inputs = tf.convert_to_tensor(inputs)
        shape = shape_of(inputs, noise_shape)
        count = math.prod(shape)
        kept = kept_in_training(words(draw_seed(seed), 0, (count + 7) // 8), rate)
        return dropped(inputs, tf.reshape(kept[:count], shape), rate)

    with drawing_by(dropout=dropout):
        yield
