import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.types import check_pair, check_probabilities, check_weights


def test_rounding_of_float16_and_float32_is_forgiven():
    probs = np.random.default_rng(0).dirichlet(np.ones(10), (2, 50))
    for dtype in ("float16", "float32"):
        assert check_probabilities(probs.astype(dtype)).dtype == dtype


def test_certain_votes_given_as_whole_numbers_are_probabilities():
    assert check_probabilities(np.eye(3, dtype=int)[None]).dtype == float


def test_the_worst_row_is_named():
    probs = np.full((2, 3, 2), 0.5)
    probs[0, 1] = [0.5, 0.6]
    probs[1, 2] = [0.5, 0.7]
    with pytest.raises(InputError, match=r"member 1, example 2 sums to 1.2, 0.2 too much"):
        check_probabilities(probs)
    probs[1, 0] = [0.1, 0.1]
    with pytest.raises(InputError, match=r"member 1, example 0 sums to 0.2, 0.8 too little"):
        check_probabilities(probs)


def test_logits_are_recognised_and_the_remedy_is_told():
    logits = np.random.default_rng(0).normal(size=(2, 3, 4)) * 3
    with pytest.raises(InputError, match=r"member \d, example \d holds .* look like logits: apply softmax first"):
        check_probabilities(logits)
    positive = np.full((1, 2, 2), 0.5)
    positive[0, 1] = [4.0, 2.0]
    with pytest.raises(InputError, match=r"member 0, example 1 holds 4; values from 0\.5 to 4 look like logits"):
        check_probabilities(positive)


def test_logarithms_of_probabilities_are_recognised():
    probs = np.random.default_rng(0).dirichlet([1, 1, 1], (2, 5))
    with pytest.raises(InputError, match="look like logarithms of probabilities; apply exp first"):
        check_probabilities(np.log(probs))


def test_pooled_probabilities_are_checked_like_those_of_members():
    with pytest.raises(InputError, match=r"example 1 sums to 0.9, 0.1 too little"):
        check_pair([[0.5, 0.5], [0.5, 0.4]], [0, 1])
    with pytest.raises(InputError, match="NaN or infinity at example 0"):
        check_pair([[np.nan, 0.5], [0.5, 0.5]], [0, 1])
    with pytest.raises(InputError, match=r"at least one example, got \(2, 2\) and \(3,\)"):
        check_pair([[0.5, 0.5], [0.5, 0.5]], [0, 1, 1])


def test_a_class_that_training_never_saw_is_told_as_such():
    with pytest.raises(InputError, match=r"have 2 classes, got 2 at example 1; a class that training never saw"):
        check_pair([[0.5, 0.5], [0.5, 0.5]], [0, 2])
    with pytest.raises(InputError, match="got -1 at example 0"):
        check_pair([[0.5, 0.5], [0.5, 0.5]], [-1, 1])
    with pytest.raises(InputError, match=r"whole numbers 0\.\.1, got dtype float64"):
        check_pair([[0.5, 0.5], [0.5, 0.5]], [0.0, 1.0])


def test_one_member_without_its_axis_is_told_the_remedy():
    with pytest.raises(InputError, match=r"got \(4, 2\); one member alone is probs\[None\]"):
        check_probabilities(np.full((4, 2), 0.5))


def test_weights_come_back_as_float64():
    assert check_weights([1, 0], 2).dtype == np.float64


@pytest.mark.parametrize("weights", [[0.5, 0.4], [-0.5, 1.5], [np.nan, 1], [np.inf, 0], [1.0], 1.0])
def test_what_is_no_weights_is_refused(weights):
    with pytest.raises(InputError, match="weights must"):
        check_weights(weights, 2)
