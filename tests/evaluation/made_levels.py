"""Networks whose truth is known, from which the level of every test of a comparison is simulated.

Each network has a quality of its own, which is what another seed changes, and flips of its own on single examples. The two
standard deviations are those that 60 networks trained alike on Fashion-MNIST had: on 4,000 test examples 0.37 points of
error between seeds and 0.29 of flips (a ratio of variances of 1.6), in NLL 0.0095 and 0.0052 nats (3.4). Here are 1,000
examples, with the same ratios.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from ensemble_vs_dropout.evaluation import Evaluator
from ensemble_vs_dropout.evaluation.arms import EACH
from ensemble_vs_dropout.types import Predictions

EXAMPLES = 1000
HARDNESS, SPREAD, OWN, SHARP = 2.1, 1.95, 0.62, 1.3
MEASURED = 0.064  # the standard deviation between seeds, in units of the margin, that gives the measured ratios
RULES = {
    "single": [EACH],
    "dropout": [EACH],
    "ensemble": ["mean"],
    "dropout_ensemble": ["mean"],
    "mc_dropout": ["mean"],
}
NULLS = {("dropout", "single"), ("mc_dropout", "single"), ("mc_dropout", "dropout"), ("dropout_ensemble", "ensemble")}


def networks(rng, hardness, repetitions, members, seeds, gain=0.0):
    """Return probabilities of so many networks, (repetitions, members, examples, 2), and their qualities."""
    quality = gain + seeds * rng.normal(size=(repetitions, members, 1))
    return probabilities(rng, hardness, quality), quality


def probabilities(rng, hardness, quality):
    own = OWN * rng.normal(size=(*quality.shape[:2], len(hardness)))
    right = 1 / (1 + np.exp(-SHARP * (hardness + quality + own)))
    return np.stack([right, 1 - right], axis=-1)


def comparison(rng, repetitions, members, seeds, gain=0.0):
    """Return the arms of a comparison whose dropout networks are as good as the others, or by `gain` better.

    A Monte Carlo prediction has the quality of its network, and flips of its own.
    """
    hardness = rng.normal(HARDNESS, SPREAD, EXAMPLES)
    plain, _ = networks(rng, hardness, repetitions, members, seeds)
    dropout, quality = networks(rng, hardness, repetitions, members, seeds, gain)
    sampled = probabilities(rng, hardness, quality)
    of_plain, of_dropout = ([Predictions(run) for run in several] for several in (plain, dropout))
    arms = {"single": of_plain, "dropout": of_dropout}
    arms["mc_dropout"] = [Predictions(run[:1], further={"mean": run[1:]} if members > 1 else {}) for run in sampled]
    if members > 1:
        arms |= {"ensemble": of_plain, "dropout_ensemble": of_dropout}
    return arms


def truth(metric, members, gain=0.0, seeds=MEASURED):
    """Return the expected score of an ensemble of so many networks, over networks and examples."""
    if members == 1:
        grid = np.linspace(-8, 8, 20_001)
        weights = stats.norm.pdf(grid) / stats.norm.pdf(grid).sum()
        margin = HARDNESS + gain + np.sqrt(SPREAD**2 + OWN**2 + seeds**2) * grid
        scores = (margin < 0) if metric == "error" else np.log1p(np.exp(-SHARP * margin))
        return float(weights @ scores)
    rng, found = np.random.default_rng(7), []
    for _ in range(400):
        hardness = rng.normal(HARDNESS, SPREAD, 5000)
        right = networks(rng, hardness, 1, members, seeds, gain)[0][0].mean(axis=0)[:, 0]
        found.append((right < 0.5).mean() if metric == "error" else -np.log(right).mean())
    return float(np.mean(found))


@dataclass
class Found:
    """What the trials of one cell showed, each a list with one value per trial (and row)."""

    printed: list = field(default_factory=list)  # whether any p-value of a true null was
    false: list = field(default_factory=list)  # whether any true null was said to differ
    simultaneous: list = field(default_factory=list)  # whether all intervals of true nulls hold 0
    alone: list = field(default_factory=list)  # whether the p-value of one true null, by itself, is at least 0.05
    held: dict = field(default_factory=dict)  # by arm, whether the interval of its score holds the truth
    shown: list = field(default_factory=list)  # whether dropout is shown to be better than a single network


def simulate(metric, repetitions, members, seeds, trials, gain=0.0, seed=0):
    """Return what so many comparisons of networks show by one metric."""
    rng, found = np.random.default_rng([seed, repetitions, members, int(1e4 * seeds)]), Found()
    labels = np.zeros(EXAMPLES, int)
    truths = {arm: truth(metric, 1, gain * (arm == "dropout"), seeds) for arm in ("single", "dropout")}
    if members > 1:
        truths["ensemble"] = truth(metric, members, 0.0, seeds)
    for _ in range(trials):
        arms = comparison(rng, repetitions, members, seeds, gain)
        evaluator = Evaluator([metric], {arm: RULES[arm] for arm in arms})
        scores, table = evaluator.tables(arms, labels)
        pairs = list(table[["arm_a", "arm_b"]].itertuples(index=False, name=None))
        null = np.array([pair in NULLS or pair[::-1] in NULLS for pair in pairs]) & (table.family == "planned")
        tested = table[null & table.p_value.notna()]
        found.printed.append(len(tested) > 0)
        found.false.append(bool((tested.better != "neither").any()))
        found.simultaneous.append(bool(((tested.low <= 0) & (tested.high >= 0)).all()))
        found.alone += (tested.p_value >= 0.05).tolist()
        for row in scores.itertuples():
            if row.arm in truths:
                found.held.setdefault(row.arm, []).append(row.low <= truths[row.arm] <= row.high)
        pair = table[(table.arm_a == "single") & (table.arm_b == "dropout")].iloc[0]
        found.shown.append(pair.better == "b")
    return found
