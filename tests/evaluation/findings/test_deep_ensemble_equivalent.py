"""What members are worth in networks: found without drawing, and never against its definition."""

import numpy as np
import pandas as pd
import pytest

from ensemble_vs_dropout.evaluation.findings.deep_ensemble_equivalent import deep_ensemble_equivalent
from ensemble_vs_dropout.plots import DeepEnsembleEquivalent
from ensemble_vs_dropout.types import Predictions

LABELS = np.random.default_rng(0).integers(4, size=80)
FEW = {"subsets": 3, "resamples": 100}


def pool(members, own, seed, shared=0.8):
    rng = np.random.default_rng(seed)
    logits = 1.5 * np.eye(4)[LABELS] + shared * rng.normal(size=(80, 4)) + own * rng.normal(size=(members, 80, 4))
    return Predictions(np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True))


def test_the_display_draws_what_is_found():
    ensemble, others = [pool(4, 1.5, 1), pool(4, 1.5, 2)], {"mc_dropout": [pool(6, 0.7, 3), pool(6, 0.7, 4)]}
    found = deep_ensemble_equivalent(ensemble, others, LABELS, sizes=[1, 3], **FEW)
    display = DeepEnsembleEquivalent.from_predictions(ensemble, others, LABELS, dataset="d", sizes=[1, 3], **FEW)
    pd.testing.assert_frame_equal(display.table, found.table)
    assert display.facts == found.facts
    assert (display.networks, found.told) == (4, {"networks": 4, "repetitions": 2})


@pytest.mark.parametrize("seed", range(3))
def test_worth_follows_its_definition(seed):
    others = {"good": pool(6, 0.5, 10 + seed), "bad": pool(6, 3.0, 20 + seed)}
    table = deep_ensemble_equivalent(pool(6, 1.5, seed), others, LABELS, seed=seed, **FEW).table
    wide = table.set_index(["arm", "members", "panel"])["value"].unstack()
    assert (wide["worth"] >= 1).all()
    own = wide.loc["ensemble"]
    assert own["worth"].iloc[0] == 1
    falls = own["calibrated_nll"] < own["calibrated_nll"].cummin().shift(fill_value=np.inf) - 1e-9
    assert falls.sum() > 2
    np.testing.assert_allclose(own["worth"][falls], own.index[falls], atol=1e-6)  # k networks are worth k
    for arm in ("ensemble", *others):  # what is better is worth no less
        ordered = wide.loc[arm].sort_values("calibrated_nll", ascending=False)
        assert ordered["worth"].is_monotonic_increasing
