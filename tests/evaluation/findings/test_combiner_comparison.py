"""What is found of averages and votes keeps the laws of ties and of the NLL, and is what the display draws."""

import numpy as np
import pandas as pd
import pytest

from ensemble_vs_dropout.evaluation.findings.combiner_comparison import combiner_comparison
from ensemble_vs_dropout.measures import error, nll
from ensemble_vs_dropout.measures.decomposition import ambiguity
from ensemble_vs_dropout.plots import CombinerComparison
from ensemble_vs_dropout.types import Predictions

LABELS = np.arange(60) % 3


def pool(members=5, seed=0):
    return Predictions(np.random.default_rng(seed).dirichlet(np.ones(3), (members, 60)))


def found(runs):
    return combiner_comparison({"ensemble": runs}, LABELS, sizes=[2, 3], subsets=10, resamples=100)


def test_the_display_draws_the_table_of_the_finding():
    given = {"dataset": "d", "sizes": [2, 3], "subsets": 10, "resamples": 100}
    runs = [pool(), pool(seed=1)]
    display, finding = CombinerComparison.from_predictions({"ensemble": runs}, LABELS, **given), found(runs)
    pd.testing.assert_frame_equal(display.table, finding.table)
    assert (display.facts, finding.told["repetitions"]) == (finding.facts, 2)


@pytest.mark.parametrize("seed", range(3))
def test_a_vote_of_one_or_two_members_errs_as_much_as_the_mean_member(seed):
    runs = [pool(seed=seed), pool(seed=seed + 10)]
    votes = found(runs).table.query("panel == 'error' and rule == 'majority_vote'").set_index("members")["value"]
    alone = np.mean([error(member, LABELS).mean() for run in runs for member in run.probs])
    np.testing.assert_allclose([votes[1], votes[2]], alone)


@pytest.mark.parametrize("seed", range(3))
def test_the_nll_of_the_geometric_mean_is_the_mean_members_less_their_divergence_and_the_means_is_below(seed):
    runs = pool(seed=seed)
    value = found(runs).table.query("panel == 'nll'").set_index("rule")["value"]
    alone = np.mean([nll(member, LABELS).mean() for member in runs.probs])
    divergence = ambiguity(runs.probs, LABELS, "nll")["ambiguity"].mean()
    assert value["geometric_mean"] == pytest.approx(alone - divergence)
    assert value["mean"] < alone
