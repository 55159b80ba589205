"""Where does the gain of an ensemble come from?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from ensemble_vs_dropout.checks import InputError, check_at_least
from ensemble_vs_dropout.evaluation.findings.base import Fact, Finding
from ensemble_vs_dropout.evaluation.findings.judging import correlation, judge
from ensemble_vs_dropout.evaluation.findings.repetitions import summarise
from ensemble_vs_dropout.evaluation.pooling import check_arms
from ensemble_vs_dropout.measures import decomposition
from ensemble_vs_dropout.types import FloatArray, IntArray, Predictions, check_labels

LOSSES = {"nll": "geometric mean", "brier": "mean", "error": "majority vote"}  # and what combines the members
SIZES = (1, 2, 3, 5, 10, 20, 50, 100)


def bias_variance_diversity(
    trials: Predictions | Sequence[Predictions],
    labels: npt.ArrayLike,
    *,
    sizes: Sequence[int] | None = None,
    arm: str = "ensemble",
) -> Finding:
    """Return the risk of an ensemble, split into bias + variance - diversity, against its size.

    For cross-entropy, Brier score and 0-1 error, each with the rule under which it splits exactly; of the 0-1 error the
    parts are effects, which labels enter and which may be negative. Every size is averaged over all runs of so many
    neighbours in the circle of members. So every member takes part as often at each size, and bias and variance are the
    same at all sizes. After Wood et al. (2023, JMLR 24), figures 12 and 13.

    Args:
        trials: Predictions of each trial, which was trained on other data; member i in the same way in all of
            them. Members count alike, whatever their weights.
        labels: Shape (examples,), 0..K-1.
        sizes: Numbers of members; None for 1, 2, 3, 5, 10, ... up to all.
        arm: Whose members they are.

    Returns:
        A table with the columns panel ("risk", "parts", "gain"), loss, part ("expected_loss", "average_bias",
        "average_variance", "diversity", "closed_form": the Brier diversity over all subsets of a pool, (1 - 1/M) of the
        members' variance; in "gain" "error_gain", what the vote gains in error over its members), trial (in "gain"),
        members, x (members; in "gain" the diversity), value, low, high (95 % t interval over trials), arm. Told are
        `members` and `trials`, how many there are, and `lost`, the number of infinite values.

    Raises:
        InputError: Trials of different sizes, predictions that do not fit the labels, or sizes that are not there.

    Example:
        >>> pool = Predictions(np.array([[[0.8, 0.2]], [[0.6, 0.4]]]))
        >>> table = bias_variance_diversity(pool, [0], sizes=[2]).table
        >>> table[(table["loss"] == "brier") & (table["panel"] != "gain")].set_index("part").value.round(3).to_dict()
        {'expected_loss': 0.18, 'diversity': 0.02, 'average_bias': 0.2, 'average_variance': 0.0, 'closed_form': 0.02}
    """
    truth = np.asarray(labels)
    runs = check_arms({arm: trials}, len(truth), same_members=True)[arm]
    truth = check_labels(truth, runs[0].classes)
    probs, members = np.stack([run.probs for run in runs]).astype(float), runs[0].members
    probs /= probs.sum(axis=-1, keepdims=True)  # in single precision the sums are 1 only to 1e-7
    wanted = {check_at_least("sizes", size, 1) for size in sizes or (size for size in SIZES if size < members)}
    if max(wanted, default=1) > members:
        raise InputError(f"sizes must be at most the {members} members of a trial, got {max(wanted)}")
    taken = sorted(wanted if sizes else wanted | {members})
    pooled = pd.concat([_of_trials(probs, truth, loss, taken) for loss in LOSSES], ignore_index=True)
    table = pd.concat([_of_loss(probs, truth, pooled, loss) for loss in LOSSES] + [_gains(pooled)])
    columns = ["panel", "loss", "part", "trial", "members", "x", "value", "low", "high", "arm"]
    return Finding(
        table.assign(arm=arm).reindex(columns=columns).reset_index(drop=True),
        _facts(table),
        {"members": members, "trials": len(runs), "lost": int((~np.isfinite(table["value"])).sum())},
    )


def _of_trials(probs: FloatArray, labels: IntArray, loss: str, sizes: Sequence[int]) -> pd.DataFrame:
    """Return ambiguity and ensemble loss of every trial and size, averaged over runs of members in a circle."""
    count, rows = probs.shape[1], []
    for size in sizes:
        starts = range(count if size < count else 1)
        windows = [np.arange(start, start + size) % count for start in starts]
        for trial, pool in enumerate(probs):
            parts = [decomposition.ambiguity(pool[window], labels, loss).mean() for window in windows]
            means = pd.concat(parts, axis=1).mean(axis=1)
            rows.append({"loss": loss, "members": size, "trial": trial, **means[["ambiguity", "ensemble"]]})
    return pd.DataFrame(rows)


def _of_loss(probs: FloatArray, labels: IntArray, pooled: pd.DataFrame, loss: str) -> pd.DataFrame:
    """Return risk and parts of one loss against size."""
    whole = decomposition.bias_variance_diversity(probs, labels, loss)
    tall = pooled[pooled["loss"] == loss].rename(columns={"ambiguity": "diversity", "ensemble": "expected_loss"})
    tall = tall.melt(["loss", "members", "trial"], ["expected_loss", "diversity"], var_name="part")
    tall = tall.assign(low=np.nan, high=np.nan, repetition=tall["trial"])
    table = summarise(tall, ["loss", "part", "members"]).drop(columns="repetitions")
    diversity = table[table["part"] == "diversity"].set_index("members")["value"]
    flat = [
        pd.DataFrame({"part": part, "members": diversity.index, "value": whole[part]})
        for part in ("average_bias", "average_variance")
    ]
    if loss == "brier" and probs.shape[1] > 1:  # over all subsets of a pool the diversity is this exactly
        variance = whole["diversity"] / (1 - 1 / probs.shape[1])
        law = (1 - 1 / diversity.index.to_numpy()) * variance
        flat.append(pd.DataFrame({"part": "closed_form", "members": diversity.index, "value": law}))
    table = pd.concat([table, *flat], ignore_index=True).assign(loss=loss)
    table["panel"] = np.where(table["part"] == "expected_loss", "risk", "parts")
    return table.assign(x=table["members"].astype(float))


def _gains(pooled: pd.DataFrame) -> pd.DataFrame:
    """Return the diversity of every trial and size beside what the vote gains in error."""
    keys = ["trial", "members"]
    vote = pooled[pooled["loss"] == "error"].rename(columns={"ambiguity": "value"})[[*keys, "value"]]
    others = pooled[pooled["loss"].isin(["nll", "brier"]) & (pooled["members"] > 1)]
    table = others.merge(vote, on=keys).rename(columns={"ambiguity": "x"}).drop(columns="ensemble")
    return table.assign(panel="gain", part="error_gain")


def _facts(table: pd.DataFrame) -> tuple[Fact, ...]:
    points = table[(table["panel"] == "gain") & (table["loss"] == "nll") & np.isfinite(table["x"])]
    if len(points) < 3 or points[["x", "value"]].nunique().min() < 2:
        return ()
    z, words = correlation(points["x"].to_numpy(), points["value"].to_numpy(), points["trial"])
    statement = "Diversity (cross-entropy) tells the gain in error: R² over trials and sizes is above 0.9"
    numbers = (
        f"R² = {np.tanh(z.value) ** 2:.3f}, {words} over {len(points)} points of {points['trial'].nunique()} trials"
    )
    return (judge(statement, z.above(np.arctanh(np.sqrt(0.9))), numbers),)
