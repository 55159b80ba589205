import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.seeds import derive, stream

few = settings(max_examples=60, deadline=None)
paths = st.lists(st.one_of(st.integers(0, 99), st.text(max_size=4)), max_size=4).map(tuple)


def first(seed, *path):
    return stream(seed, *path).integers(2**63)


def test_streams_do_not_depend_on_the_order_of_asking():
    names = [("order", 0), ("order", 1), ("weights", 0)]
    forward = {name: first(7, *name) for name in names}
    backward = {name: first(7, *name) for name in reversed(names)}
    assert forward == backward
    assert len(set(forward.values())) == 3


def test_drawing_from_one_stream_leaves_the_others_alone():
    one, other = stream(0, "a"), stream(0, "b")
    one.random(1000)
    assert other.random() == stream(0, "b").random()


@pytest.mark.slow
@given(seed=st.integers(0, 2**64), path=paths, other=paths)
@few
def test_equal_paths_give_equal_streams_and_other_paths_other_ones(seed, path, other):
    assert first(seed, *path) == first(seed, *path)
    assert (first(seed, *path) == first(seed, *other)) == (path == other)
    assert 0 <= derive(seed, *path) < 2**31


@pytest.mark.parametrize(
    ("path", "other"),
    [
        (("a", "b"), ("ab",)),
        ((1,), ("1",)),
        ((1, 2), (12,)),
        (("a",), ("a", "")),
        ((), ("",)),
        (("a', 'b",), ("a", "b")),
        (("a", 1), (1, "a")),
    ],
)
def test_paths_that_look_alike_are_apart(path, other):
    assert first(0, *path) != first(0, *other)
    assert derive(0, *path) != derive(0, *other)


def test_neighbouring_seeds_and_numbers_have_unrelated_streams():
    draws = np.array([stream(seed, "order", member).normal(size=500) for seed in range(4) for member in range(4)])
    off_diagonal = np.corrcoef(draws)[~np.eye(16, dtype=bool)]
    assert np.abs(off_diagonal).max() < 0.2
    assert len({derive(seed, "weights", member) for seed in range(50) for member in range(50)}) == 2500


def test_streams_are_the_same_in_every_version():
    assert derive(0, "weights", 1) == 242_294_113
    assert first(0, "order", 3) == 11_885_697_204_824_133


def test_a_numpy_seed_is_its_number():
    assert first(np.int64(5), "a") == first(5, "a")


def test_a_numpy_number_in_a_path_is_its_number():
    assert first(0, "order", np.int64(3)) == first(0, "order", 3)


@pytest.mark.parametrize("seed", [-1, 0.5, "0", None, True])
def test_what_is_no_seed_is_refused(seed):
    with pytest.raises(InputError, match="seed must be a whole number of at least 0"):
        stream(seed, "a")
