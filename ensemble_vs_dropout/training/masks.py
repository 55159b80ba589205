"""Dropout masks that are the same under every strategy: a pure function of a layer's seed state, (seed, step)."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ensemble_vs_dropout.models.backend import draw_seed, tf
from ensemble_vs_dropout.models.draws import (
    Words,
    drawing_by,
    dropped,
    kept_in_training,
    shape_of,
    training_threshold,
)

Rate = tuple[tf.Tensor, tf.Tensor]  # the threshold of the draws, uint32, and the keep probability, float32


@contextmanager
def own_masks(words: Words, rates: Mapping[int, Rate] | None = None) -> Iterator[None]:
    """Let Keras' layers drop by these words in what is traced inside; a graph keeps them when the context is left.

    Args:
        words: Makes random words of a key.
        rates: By the identity of a layer's seed generator, a rate that stands in the place of the layer's own.
    """

    def dropout(inputs: tf.Tensor, rate: float, noise_shape: Any = None, seed: Any = None) -> tf.Tensor:
        if rate == 0:
            return inputs
        inputs = tf.convert_to_tensor(inputs)
        shape = shape_of(inputs, noise_shape)
        count = math.prod(shape)
        threshold, keep = (rates or {}).get(id(seed), (training_threshold(rate), 1 - rate))
        kept = kept_in_training(words(draw_seed(seed), 0, (count + 7) // 8), threshold)
        return dropped(inputs, tf.reshape(kept[:count], shape), keep)

    with drawing_by(dropout=dropout):
        yield
