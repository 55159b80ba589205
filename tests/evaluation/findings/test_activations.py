"""Hidden activations and filters: found without drawing, and every activation counted once."""

import numpy as np
import pandas as pd

from ensemble_vs_dropout.evaluation.findings.activations import activations
from ensemble_vs_dropout.plots import Activations


def arrays(units=80, examples=12):
    rng = np.random.default_rng(0)
    kernels = {arm: rng.normal(size=(12, units)) for arm in ("plain", "dropout")}
    return kernels, {arm: np.maximum(rng.normal(size=(examples, units)) - 0.1 * len(arm), 0) for arm in kernels}


def test_the_display_draws_what_is_found():
    found = activations(*arrays(), image_shape=(2, 2, 3))
    display = Activations.from_arrays(*arrays(), dataset="d", image_shape=(2, 2, 3))
    pd.testing.assert_frame_equal(display.table, found.table)
    assert display.facts == found.facts
    for arm, pictures in found.told["filters"].items():
        np.testing.assert_array_equal(display.filters[arm], pictures)


def test_every_unit_and_activation_is_in_one_bin_and_filters_reach_1_in_size():
    kernels, hidden = arrays()
    found = activations(kernels, hidden, image_shape=(3, 4))
    shares = found.table[found.table["role"] == "bin"].groupby(["panel", "arm"])["value"].sum()
    np.testing.assert_allclose(shares, 1)
    for arm, pictures in found.told["filters"].items():
        assert pictures.shape == (72, 3, 4)
        np.testing.assert_allclose(np.abs(pictures).max(axis=(1, 2)), 1)
        ratio = pictures[5].ravel() / kernels[arm][:, 5]
        np.testing.assert_allclose(ratio, ratio[0])  # the shape of a filter is that of its weights
