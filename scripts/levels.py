"""How often a comparison shows a difference that is not there, and how often its intervals hold the truth.

    python scripts/levels.py --trials 1000

Simulated is the whole way from predictions to the verdict's table. The networks are made: each has a quality of its
own, which is what another seed changes, and flips of its own on single examples. The two standard deviations are those
of 60 networks trained alike on Fashion-MNIST: on 4,000 test examples 0.37 points of error between seeds and 0.29 of
flips (a ratio of variances of 1.6), in NLL 0.0095 and 0.0052 nats (3.4). Here there are 1,000 examples, with the same
ratios, and networks whose seeds matter twice as much. Printed are, for each number of networks and repetitions:

* family: the share of comparisons in which any of the true nulls among the planned questions is said to differ; the
  nulls are weight scaling, MC dropout and a single network against each other, and the dropout ensemble against the
  ensemble. It should be at most 0.05.
* alone: the share of the nulls' intervals, each by itself, that hold 0. It should be 0.93 to 0.97.
* scores: the share of the intervals of scores that hold the true score, over all arms.
* power: the share of comparisons that show dropout to be better than a single network where it is, by 1.1 points of
  error and 0.025 nats.
"""

import argparse
from dataclasses import dataclass, field
from functools import cache

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
METRICS = ("error", "nll")
NULLS = {("dropout", "single"), ("mc_dropout", "single"), ("mc_dropout", "dropout"), ("dropout_ensemble", "ensemble")}


def networks(rng, hardness, repetitions, members, seeds, gain=0.0):
    """Return probabilities of so many networks, (repetitions, members, examples, 2), and their qualities."""
    quality = gain + seeds * rng.normal(size=(repetitions, members, 1))
    return probabilities(rng, hardness, quality), quality


def probabilities(rng, hardness, quality):
    """Return probabilities of networks of these qualities, each with flips of its own."""
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


@cache
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
    """What the trials of one cell showed by one metric, a list of 0 and 1 each."""

    family: list[bool] = field(default_factory=list)
    alone: list[bool] = field(default_factory=list)
    scores: list[bool] = field(default_factory=list)
    power: list[bool] = field(default_factory=list)


def simulate(repetitions, members, seeds, trials, gain=0.0, seed=0):
    """Return by metric what so many comparisons of networks show."""
    rng = np.random.default_rng([seed, repetitions, members, int(1e4 * seeds), int(1e4 * gain)])
    found, labels = {metric: Found() for metric in METRICS}, np.zeros(EXAMPLES, int)
    sizes = {"single": 1, "dropout": 1, **({"ensemble": members} if members > 1 else {})}
    truths = {
        (arm, metric): truth(metric, size, gain * (arm == "dropout"), seeds)
        for arm, size in sizes.items()
        for metric in METRICS
    }
    for _ in range(trials):
        arms = comparison(rng, repetitions, members, seeds, gain)
        evaluator = Evaluator(METRICS, {arm: RULES[arm] for arm in arms})
        scores, contrasts = evaluator.tables(arms, labels)
        for row in scores.itertuples():
            if (row.arm, row.metric) in truths:
                found[row.metric].scores.append(row.low <= truths[row.arm, row.metric] <= row.high)
        for metric, cell in found.items():
            table = contrasts[contrasts.metric == metric]
            null = [(row.arm_a, row.arm_b) in NULLS or (row.arm_b, row.arm_a) in NULLS for row in table.itertuples()]
            tested = table[np.array(null) & table.p_value.notna()]
            cell.family.append(bool((tested.better != "neither").any()))
            cell.alone += (tested.p_value >= 0.05).tolist()
            pair = table[(table.arm_a == "single") & (table.arm_b == "dropout")].iloc[0]
            cell.power.append(pair.better == "b")
    return found


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=200, help="comparisons for each row")
    trials = parser.parse_args().trials
    print("| seeds | metric | networks | repetitions | family | alone | scores | power |")
    print("|---|---|---|---|---|---|---|---|")
    for times in (1, 2):
        for members in (1, 5, 15):
            for repetitions in (1, 2, 3, 5):
                found = simulate(repetitions, members, times * MEASURED, trials)
                better = simulate(repetitions, members, times * MEASURED, trials, gain=0.1)
                for metric, cell in found.items():
                    shares = [
                        f"{np.mean(part):.3f}" if part else "none"
                        for part in (cell.family if cell.alone else [], cell.alone, cell.scores)
                    ]
                    told = [f"{times} x", metric, members, repetitions, *shares, f"{np.mean(better[metric].power):.2f}"]
                    print(f"| {' | '.join(map(str, told))} |", flush=True)


if __name__ == "__main__":
    main()
