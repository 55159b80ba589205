"""What members disagree on: found without drawing, and never more than members or classes allow."""

import numpy as np
import pandas as pd
import pytest

from ensemble_vs_dropout.evaluation.findings.disagreement_images import disagreement_images
from ensemble_vs_dropout.plots import DisagreementImages
from ensemble_vs_dropout.types import Predictions

LABELS = np.arange(30) % 3


def pool(members, classes=3, seed=0, weights=None):
    probs = np.random.default_rng(seed).dirichlet(np.full(classes, 0.1), (members, 30))
    return Predictions(probs, weights)


def test_the_display_draws_what_is_found():
    arms = {"ensemble": pool(3), "mc_dropout": pool(8, seed=1)}
    found = disagreement_images(arms, LABELS, number=4)
    display = DisagreementImages.from_predictions(
        arms, np.zeros((30, 5, 5)), LABELS, dataset="d", classes="abc", number=4
    )
    pd.testing.assert_frame_equal(display.table, found.table)
    assert display.facts == found.facts
    assert set(display.images) == set(found.table["example"])


@pytest.mark.parametrize(
    ("members", "classes", "weights"), [(2, 5, None), (8, 3, None), (8, 10, None), (3, 4, [0.2, 0.3, 0.5])]
)
def test_mutual_information_lies_between_0_and_the_logarithm_of_members_or_classes(members, classes, weights):
    unsure = disagreement_images({"a": pool(members, classes, weights=weights)}, LABELS, number=15).table
    most = np.log(min(members, classes))
    assert unsure["mutual_information"].between(0, most).all()
    assert unsure["mutual_information"].max() > 0.6 * most  # not far from it, where members are sure of other classes
