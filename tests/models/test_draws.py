"""The stream of a key is Philox, wherever it is entered; Keras' own functions come back."""

import numpy as np
import pytest

from ensemble_vs_dropout.models.backend import keras_random, tf
from ensemble_vs_dropout.models.draws import drawing_by, words


def test_the_first_block_of_key_zero_is_the_published_one():
    # Salmon et al. 2011, the known answer of philox4x32-10 for counter 0 and key 0
    expected = [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert words(tf.constant([0, 0], tf.uint32), 0, 1).numpy().tolist() == expected


@pytest.mark.parametrize("first", [1, 7, 2**32 - 1, 2**40])
def test_a_stream_can_be_entered_anywhere(first):
    key = tf.constant([3, 4_000_000_000], tf.uint32)
    whole = words(key, first - 1, 6).numpy()
    np.testing.assert_array_equal(words(key, first, 5).numpy(), whole[4:])


def test_keys_have_streams_of_their_own_and_both_halves_count():
    drawn = {tuple(words(tf.constant(key, tf.uint32), 0, 2).numpy()) for key in ([0, 0], [1, 0], [0, 1], [1, 1])}
    assert len(drawn) == 4


def test_other_functions_are_in_place_while_inside_and_gone_after_an_error():
    before = keras_random.normal, keras_random.uniform

    def fail():
        with drawing_by(normal=1, uniform=2):
            assert (keras_random.normal, keras_random.uniform) == (1, 2)
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        fail()
    assert (keras_random.normal, keras_random.uniform) == before
