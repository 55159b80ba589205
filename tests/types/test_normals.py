import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.types import RegressionPredictions


def test_predictions_tell_their_shape():
    one = RegressionPredictions(np.zeros((3, 4), "float32"), np.ones((3, 4)), method="three networks")
    assert (one.members, one.examples) == (3, 4)
    assert repr(one) == "RegressionPredictions of three networks: 3 members, 4 examples, scales"
    assert one.means.dtype == one.scales.dtype == np.float64
    assert repr(RegressionPredictions([[1.0]])) == "RegressionPredictions: 1 members, 1 examples, no scales"


def test_a_noise_is_given_to_members_that_have_none():
    bare = RegressionPredictions([[1.0, 2.0]], weights=[1.0], method="one network")
    noisy = bare.with_noise(0.5)
    assert noisy.scales.tolist() == [[0.5, 0.5]]
    assert (noisy.method, noisy.weights.tolist(), noisy.means.tolist()) == ("one network", [1.0], [[1.0, 2.0]])
    assert bare.scales is None
    with pytest.raises(InputError, match="these have their own"):
        noisy.with_noise(1.0)
    with pytest.raises(InputError, match=r"one number or have the shape \(2, 2\), got \(2,\)"):
        RegressionPredictions([[0.0, 0.0], [1.0, 1.0]]).with_noise([1.0, 5.0])


def test_predictions_of_scaled_targets_come_back_in_their_unit():
    y = np.array([100.0, 140.0, 180.0])
    scaled = (y - y.mean()) / y.std()
    found = RegressionPredictions([scaled], [[0.1, 0.2, 0.3]], [1.0], "a network").unscaled(y.mean(), y.std())
    np.testing.assert_allclose(found.means[0], y)
    np.testing.assert_allclose(found.scales[0], np.array([0.1, 0.2, 0.3]) * y.std())
    assert (found.method, found.weights.tolist()) == ("a network", [1.0])
    assert RegressionPredictions([scaled]).unscaled(0.0, 2.0).scales is None
    with pytest.raises(InputError, match=r"deviation above 0, got 0\.0 and 0"):
        found.unscaled(0.0, 0)
    for mean in ("a", None, np.zeros(2)):
        with pytest.raises(InputError, match="mean must be finite and deviation above 0"):
            found.unscaled(mean, 1.0)


@pytest.mark.parametrize(
    ("given", "match"),
    [
        (([1.0, 2.0],), "means must have shape .members, examples."),
        ((np.ma.masked_array([[1.0, 2.0]], [[False, True]]),), "means must have no masked values"),
        (([[1.0], [1.0, 2.0]],), "means must be an array of numbers, got rows of different length"),
        (([[1.0]], None, "equal"), "weights must be numbers, one for each of the 1 members, got 'equal'"),
        (([[1.0, np.nan]],), "means must be finite numbers, got NaN"),
        (([[1.0]], [[-1.0]]), "scales must be standard deviations above 0, got -1"),
        (([[1.0]], None, [0.5]), "weights must be non-negative and sum to 1"),
    ],
)
def test_what_is_no_prediction_is_refused(given, match):
    with pytest.raises(InputError, match=match):
        RegressionPredictions(*given)
