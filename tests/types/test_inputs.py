import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.models.backend import keras, tf
from ensemble_vs_dropout.types.inputs import by_place, columns_of, dtypes_of, nested, shapes_of, table, told

KEYS = st.text(min_size=1, max_size=5).filter(lambda key: "/" not in key and not key.startswith("["))
NESTED = st.recursive(
    st.integers(),
    lambda inner: st.lists(inner, min_size=1, max_size=3) | st.dictionaries(KEYS, inner, min_size=1, max_size=3),
    max_leaves=12,
)


@given(NESTED)
def test_what_is_taken_apart_by_places_is_put_together_again(values):
    assert nested(by_place(values)) == values


@given(NESTED)
def test_a_place_is_told_as_python_has_it(values):
    for place, value in by_place(values).items():
        assert eval(f"values{told(place)}", {"values": values}) == value


def test_places_have_the_order_in_which_keras_and_tensorflow_flatten():
    values = {"words": 2, "a": {"z": 1, "b": [0, 5]}}
    flat = [*by_place(values).values()]
    assert flat == keras.tree.flatten(values) == tf.nest.flatten(values)


@pytest.mark.parametrize("key", ["", "[0]", "a/b", 3])
def test_a_key_that_reads_as_a_place_is_refused(key):
    with pytest.raises(InputError, match="inputs must have names"):
        by_place({key: 1})


def test_an_array_of_inputs_is_cut_drawn_from_and_joined_as_any_other():
    columns = {
        "image": np.arange(40.0, dtype="float32").reshape(10, 2, 2),
        "age": np.arange(10, dtype="uint8")[:, None],
    }
    whole = table(columns)
    assert whole.shape == (10,)
    chosen = np.concatenate([whole[[7, 2]], whole[8:]])
    for place, column in columns_of(chosen).items():
        np.testing.assert_array_equal(column, columns[place][[7, 2, 8, 9]])
    assert shapes_of(whole) == {"image": (2, 2), "age": (1,)}
    assert dtypes_of(whole) == {"image": "float32", "age": "uint8"}
    assert table(columns).tobytes() == whole.tobytes()  # so that a digest is of what it holds
