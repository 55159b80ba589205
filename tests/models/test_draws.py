"""The stream of a key is Philox, wherever it is entered; words become masks; Keras' own functions come back."""

import numpy as np
import pytest

from ensemble_vs_dropout.models.backend import keras_random, tf
from ensemble_vs_dropout.models.draws import (
    drawing_by,
    dropped,
    kept_in_passes,
    kept_in_training,
    training_threshold,
    words_by_arithmetic,
    words_by_operation,
)

BOTH = pytest.mark.parametrize("words", [words_by_operation, words_by_arithmetic])


@BOTH
def test_the_first_block_of_key_zero_is_the_published_one(words):
    # Salmon et al. 2011, the known answer of philox4x32-10 for counter 0 and key 0
    expected = [[0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]]
    assert words(tf.constant([0, 0], tf.uint32), 0, 1).numpy().tolist() == expected


@BOTH
@pytest.mark.parametrize("first", [1, 7, 2**32 - 1, 2**40])
def test_a_stream_can_be_entered_anywhere(first, words):
    key = tf.constant([3, 4_000_000_000], tf.uint32)
    whole = words(key, first - 1, 6).numpy()
    np.testing.assert_array_equal(words(key, first, 5).numpy(), whole[1:])


@BOTH
def test_keys_have_streams_of_their_own_and_both_halves_count(words):
    drawn = {words(tf.constant(key, tf.uint32), 0, 2).numpy().tobytes() for key in ([0, 0], [1, 0], [0, 1], [1, 1])}
    assert len(drawn) == 4


@pytest.mark.parametrize("key", [[0, 0], [5, 7], [2**31 - 1, 12_345], [2**32 - 1, 4_000_000_000]])
@pytest.mark.parametrize("first", [0, 3, 2**32 - 2, 2**62])
def test_the_operation_and_the_arithmetic_give_the_same_words(key, first):
    key = tf.constant(key, tf.int64)
    for blocks in (1, 9):
        np.testing.assert_array_equal(words_by_operation(key, first, blocks), words_by_arithmetic(key, first, blocks))


def test_training_takes_the_low_halves_of_first_words_first():
    words = tf.constant([[0x9000_1000, 2, 3, 4], [0x1000_9000, 6, 7, 8]], tf.uint32)
    assert kept_in_training(words, training_threshold(0.5)).numpy().tolist() == [
        *[False, True, *[False] * 6],
        *[True, *[False] * 7],
    ]


@pytest.mark.parametrize(
    ("rate", "expected"),
    [(0.5, [False, True, False, True]), (0.25, [False, True, True, True]), (0.51, [True, True]), (0.6, [False, True])],
)
def test_passes_take_bytes_or_halves_from_the_low_end(rate, expected):
    words = tf.constant([0xA040_9010], tf.uint32)
    assert kept_in_passes(words, rate).numpy().tolist() == [expected]


def test_what_is_kept_is_divided_by_the_keep_probability():
    inputs, kept = tf.constant([1.0, 2.0, 3.0]), tf.constant([True, False, True])
    assert dropped(inputs, kept, 0.25).numpy().tolist() == [4.0, 0.0, 12.0]
    assert dropped(inputs, tf.zeros(3, tf.bool), 0.0).numpy().tolist() == [0.0, 0.0, 0.0]


def test_other_functions_are_in_place_while_inside_and_gone_after_an_error():
    before = keras_random.normal, keras_random.uniform

    def fail():
        with drawing_by(normal=1, uniform=2):
            assert (keras_random.normal, keras_random.uniform) == (1, 2)
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        fail()
    assert (keras_random.normal, keras_random.uniform) == before
