"""How far do the labels of two members agree beyond chance, and how often do the two err?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from ensemble_vs_dropout.checks import InputError, check_at_least
from ensemble_vs_dropout.evaluation.findings.base import Finding
from ensemble_vs_dropout.evaluation.pooling import check_arms
from ensemble_vs_dropout.measures.scores import error
from ensemble_vs_dropout.seeds import stream
from ensemble_vs_dropout.types import FloatArray, IntArray, Predictions, check_labels

INDEPENDENT = "independent errors"


def kappa_error(
    arms: Mapping[str, Predictions | Sequence[Predictions]], labels: npt.ArrayLike, *, pairs: int = 500, seed: int = 0
) -> Finding:
    """Return kappa and mean error of pairs of members, and what both would be if errors were independent.

    Kappa is Cohen's of the labels that two members predict, as Margineantu and Dietterich (1997) take it; the one of
    `measures.diversity.pairwise` sees only which of them are right.

    Args:
        arms: Predictions by arm, one or one for each repetition; only members of one repetition make a pair.
        labels: Shape (examples,).
        pairs: How many of an arm are taken at most; of more, as many are chosen at random.
        seed: Of that choice.

    Returns:
        A table with the columns role ("pair", "mean" of an arm's pairs, or "reference"), arm, members, repetition,
        first, second, kappa, kappa_low, kappa_high, value (the mean error of the two), low, high; the ends are one
        standard deviation over pairs. The reference is the kappa of two members of the same error whose errors are
        independent, all wrong classes equally likely. Told are `alone`, the arms of one member, and `lost`, the
        number of pairs of one and the same constant class, which have no kappa.

    Raises:
        InputError: No arm with two members, or predictions and labels that do not fit together.

    Example:
        >>> pool = Predictions(np.eye(2)[[[0, 1, 0, 1], [0, 1, 1, 0]]])
        >>> kappa_error({"a": pool}, [0, 1, 0, 1]).table.query("role == 'pair'")[["kappa", "value"]].to_numpy().tolist()
        [[0.0, 0.25]]
    """
    check_at_least("pairs", pairs, 1)
    runs = check_arms(arms, len(np.asarray(labels)))
    alone = [arm for arm, own in runs.items() if all(run.members == 1 for run in own)]
    if len(alone) == len(runs):
        raise InputError(f"kappa needs an arm of at least 2 members, got one in each of {list(runs)}")
    classes = next(iter(runs.values()))[0].classes
    truth = check_labels(labels, classes)
    parts = [_pairs(arm, own, truth, pairs, seed) for arm, own in runs.items()]
    dots = pd.concat([part for part in parts if len(part)], ignore_index=True)
    table = pd.concat([_reference(dots["value"], truth, classes), dots, _means(dots)], ignore_index=True)
    order = ["role", "arm", "members", "repetition", "first", "second", "kappa", "kappa_low", "kappa_high"]
    table = table[[*order, "value", "low", "high"]]
    return Finding(
        table.astype(dict.fromkeys(["members", "repetition", "first", "second"], "Int64")),
        told={"alone": alone, "lost": int(dots["kappa"].isna().sum())},
    )


def label_kappa(first: IntArray, second: IntArray, classes: int) -> FloatArray:
    """Return Cohen's kappa of each row of labels with the row of another array; NaN where both are one constant.

    Example:
        >>> label_kappa(np.array([[0, 1, 0, 1]]), np.array([[0, 1, 1, 0]]), 2).tolist()
        [0.0]
    """
    shares = [np.stack([(labels == k).mean(axis=1) for k in range(classes)]) for labels in (first, second)]
    chance = (shares[0] * shares[1]).sum(axis=0)
    return _beyond_chance((first == second).mean(axis=1), chance)


def _beyond_chance(agreement: FloatArray, chance: FloatArray) -> FloatArray:
    room = 1 - chance
    return np.divide(agreement - chance, room, out=np.full(len(room), np.nan), where=room > 1e-12)


def _pairs(arm: str, runs: list[Predictions], truth: IntArray, pairs: int, seed: int) -> pd.DataFrame:
    """Return the pairs of an arm, from each repetition about as many."""
    parts = []
    for repetition, run in enumerate(runs):
        first, second = np.triu_indices(run.members, 1)
        most = pairs // len(runs) + (repetition < pairs % len(runs))
        if len(first) > most:
            chosen = stream(seed, "pairs", arm, repetition).choice(len(first), most, replace=False)
            first, second = first[np.sort(chosen)], second[np.sort(chosen)]
        labels = run.probs.argmax(axis=2)
        wrong = np.array([error(probs, truth).mean() for probs in run.probs])
        kappa = label_kappa(labels[first], labels[second], run.classes)
        pair = {"first": first, "second": second, "kappa": kappa, "value": (wrong[first] + wrong[second]) / 2}
        parts.append(
            pd.DataFrame({"role": "pair", "arm": arm, "members": run.members, "repetition": repetition, **pair})
        )
    return pd.concat(parts)


def _means(dots: pd.DataFrame) -> pd.DataFrame:
    groups = dots.groupby("arm", sort=False)
    mean, spread = groups[["kappa", "value"]].mean(), groups[["kappa", "value"]].std()
    ends = {
        "kappa_low": mean["kappa"] - spread["kappa"],
        "kappa_high": mean["kappa"] + spread["kappa"],
        "low": mean["value"] - spread["value"],
        "high": mean["value"] + spread["value"],
    }
    return mean.assign(role="mean", members=groups["members"].first(), **ends).reset_index()


def _reference(errors: pd.Series, truth: IntArray, classes: int) -> pd.DataFrame:
    """Return the kappa of members of the errors drawn if their errors were independent."""
    margin = 0.1 * (errors.max() - errors.min()) + 0.02 * errors.max()
    wrong = np.linspace(max(errors.min() - margin, 0.0), min(errors.max() + margin, 1.0), 100)
    right = np.bincount(truth, minlength=classes)[:, None] / len(truth)
    predicted = right * (1 - wrong) + (1 - right) * wrong / (classes - 1)
    agreement = (1 - wrong) ** 2 + wrong**2 / (classes - 1)
    kappa = _beyond_chance(agreement, (predicted**2).sum(axis=0))
    return pd.DataFrame({"role": "reference", "arm": INDEPENDENT, "kappa": kappa, "value": wrong})
