"""All masks of small networks: found without drawing, and weight scaling exact where it is proved to be."""

from itertools import product

import numpy as np
import pandas as pd

from ensemble_vs_dropout.evaluation.findings.exact_enumeration import SmallNetwork, exact_enumeration
from ensemble_vs_dropout.measures import aggregate
from ensemble_vs_dropout.plots import ExactEnumeration


def network(layers, rate, seed, units=5, examples=20):
    """Return the record of a network with a mask before each of its ReLU layers and before the softmax layer."""
    rng = np.random.default_rng(seed)
    x, kernels = rng.normal(size=(examples, units)), rng.normal(size=(layers, units, units))
    last, labels = rng.normal(size=(units, 3)), rng.integers(3, size=examples)
    masks = np.array(list(product([0, 1], repeat=units)))

    def predict(mask):
        h = x
        for kernel in kernels:
            h = np.maximum((h * mask) @ kernel, 0)
        logits = (h * mask) @ last
        return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)

    probs = np.stack([predict(mask / (1 - rate)) for mask in masks])
    chances = np.where(masks, 1 - rate, rate).prod(axis=1)
    pooled = [aggregate(probs, rule, chances / chances.sum()) for rule in ("geometric_mean", "mean")]
    return SmallNetwork(f"{layers} layers", layers, rate, predict(np.ones(units)), *pooled, labels)


NETS = [network(layers, rate, seed) for layers, rate, seed in product((0, 1, 2), (0.0, 0.3, 0.5), (1, 2))]


def test_the_display_draws_what_is_found():
    found, display = exact_enumeration(NETS), ExactEnumeration.from_predictions(NETS, dataset="d")
    pd.testing.assert_frame_equal(display.table, found.table)
    assert display.facts == found.facts


def test_weight_scaling_is_the_geometric_mean_without_layers_after_a_mask_or_without_masks_and_else_is_not():
    table = exact_enumeration(NETS).table
    rows = table[(table["panel"] == "difference") & (table["role"] == "network")].set_index("rule")
    scaled, mean = rows.loc["weight scaling"], rows.loc["arithmetic mean"]
    exact = (scaled["masked_layers"] == 0) | (scaled["rate"] == 0)
    assert (scaled.loc[exact, "value"] < 1e-12).all()
    assert (scaled.loc[~exact, "value"] > 1e-4).all()
    assert ((mean["value"] > 1e-4) == (mean["rate"] > 0)).all()
