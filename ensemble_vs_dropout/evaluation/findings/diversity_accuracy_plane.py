"""Are dropout passes as diverse as independent networks?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation.findings.base import Fact, Finding
from ensemble_vs_dropout.evaluation.outcomes import check_arms
from ensemble_vs_dropout.measures.diversity import pairwise
from ensemble_vs_dropout.measures.scores import error
from ensemble_vs_dropout.types import FloatArray, IntArray, Predictions, check_labels

BASE = "the base network"
LIMITS = ("upper bound", "independent errors", "lower bound")
TOLERANCE = 1e-12
NEAR, NEAREST = 0.01, 5  # in accuracy, and points where none is so near: what is compared at about equal accuracy


def diversity_accuracy_plane(
    base: Predictions,
    clouds: Mapping[str, Predictions | tuple[Predictions, Predictions]],
    labels: npt.ArrayLike,
    *,
    independent: str = "independent networks",
) -> Finding:
    """Return how differently networks or passes predict from their base network, and how accurate they are.

    After Fort et al. (2019), figure 5, where samples lie around their own base network.

    Args:
        base: One network, that is, one member; the limits are what is possible beside it.
        clouds: Each member is a point: other networks, passes with masks, checkpoints, ... by their name. They are
            measured against `base`, or, given as (base of this cloud, members), against a base of their own.
        labels: Shape (examples,).
        independent: The cloud that the facts compare the others with, if it is there.

    Returns:
        A table with the columns role ("base", "member", "mean" of a cloud, or "limit"), cloud (or the limit's name; of
        the base of all others "the base network"), member, accuracy, accuracy_low, accuracy_high, disagreement (the
        share of examples with another label than the base network's), value (the disagreement over the error of the
        point; NaN without errors), low, high. The ends are one standard deviation over the members of a cloud. Told are
        `own`, the clouds with a base of their own, and `lost`, the number of points without errors.

    Raises:
        InputError: A base of several members, no cloud, or predictions and labels that do not fit together.

    Example:
        >>> base, other = (Predictions(np.eye(2)[[said]]) for said in ([0, 0, 1, 0], [0, 1, 1, 1]))
        >>> found = diversity_accuracy_plane(base, {"a": other}, [0, 0, 0, 0]).table.query("role == 'member'")
        >>> found[["accuracy", "disagreement"]].to_numpy().tolist()
        [[0.25, 0.5]]
    """
    if not clouds:
        raise InputError("clouds must hold at least one cloud, got none")
    pairs = {cloud: given for cloud, given in clouds.items() if isinstance(given, tuple) and len(given) == 2}
    own = {cloud: net for cloud, (net, _) in pairs.items()}
    members = cast(dict[str, Predictions], {**clouds, **{cloud: run for cloud, (_, run) in pairs.items()}})
    for name, net in {"base": base, **{f"base of {cloud!r}": net for cloud, net in own.items()}}.items():
        if not isinstance(net, Predictions) or net.members != 1:
            raise InputError(f"{name} must be Predictions of one member, got {getattr(net, 'members', type(net))}")
    every = {**members, BASE: base, **{f"base of {cloud}": net for cloud, net in own.items()}}
    check_arms(every, len(np.asarray(labels)))
    truth = check_labels(labels, base.classes)
    points = [_points("member", cloud, run, own.get(cloud, base), truth) for cloud, run in members.items()]
    points += [_points("base", cloud, net, net, truth) for cloud, net in {**own, BASE: base}.items()]
    dots = pd.concat(points, ignore_index=True)
    curves = _curves(dots, 1 - dots["accuracy"].iloc[-1], base.classes)
    table = pd.concat([curves, dots, _means(dots)], ignore_index=True)
    order = ["role", "cloud", "member", "accuracy", "accuracy_low", "accuracy_high", "disagreement"]
    return Finding(
        table[[*order, "value", "low", "high"]].astype({"member": "Int64"}),
        tuple(_facts(dots, independent)),
        {"own": list(own), "lost": int(dots["value"].isna().sum())},
    )


def _points(role: str, cloud: str, run: Predictions, base: Predictions, labels: IntArray) -> pd.DataFrame:
    """Return the point of each member beside its base network, which is itself at 0."""
    wrong = np.array([error(probs, labels).mean() for probs in run.probs])
    differ = np.array([pairwise([base.probs[0], probs], labels)[0, 1] for probs in run.probs])
    value = np.divide(differ, wrong, out=np.full(len(wrong), np.nan), where=wrong > 0)
    if role == "base":
        value = differ  # 0, whatever it is divided by
    point = {"role": role, "cloud": cloud, "member": range(len(wrong)), "accuracy": 1 - wrong}
    return pd.DataFrame({**point, "disagreement": differ, "value": value})


def limits(wrong: FloatArray, own: float, classes: int) -> FloatArray:
    """Return the most, the independent and the least disagreement of networks with these errors; shape (3, errors).

    Args:
        wrong: The errors of networks, fractions.
        own: That of their base network.
        classes: How many there are.

    Example:
        >>> limits(np.array([0.2]), 0.1, 2).round(2).ravel().tolist()
        [0.3, 0.26, 0.1]
    """
    both_differ = wrong * own * (classes - 2) / (classes - 1)
    independent = wrong * (1 - own) + own * (1 - wrong) + both_differ
    return np.stack([np.minimum(1.0, wrong + own), independent, np.abs(wrong - own)])


def _curves(dots: pd.DataFrame, own: float, classes: int) -> pd.DataFrame:
    """Return the limits over the errors of the points and a little beyond, as lines."""
    seen = 1 - dots.loc[dots["accuracy"] < 1, "accuracy"]
    low, high = (seen.min(), seen.max()) if len(seen) else (0.01, 0.01)
    margin = 0.1 * (high - low) + 0.1 * low
    wrong = np.unique(np.append(np.linspace(max(low - margin, low / 2), min(high + margin, 1.0), 200), own or low))
    values = limits(wrong, own, classes) / wrong
    lines = [
        pd.DataFrame(
            {"role": "limit", "cloud": name, "accuracy": 1 - wrong, "disagreement": value * wrong, "value": value}
        )
        for name, value in zip(LIMITS, values, strict=True)
    ]
    return pd.concat(lines)


def _means(dots: pd.DataFrame) -> pd.DataFrame:
    """Return the mean point of each cloud and one standard deviation around, where it has several members."""
    groups = dots[dots["role"] == "member"].groupby("cloud", sort=False)[["accuracy", "disagreement", "value"]]
    mean, spread = groups.mean(), groups.std()
    ends = {
        "accuracy_low": mean["accuracy"] - spread["accuracy"],
        "accuracy_high": mean["accuracy"] + spread["accuracy"],
        "low": mean["value"] - spread["value"],
        "high": mean["value"] + spread["value"],
    }
    return mean.assign(role="mean", **ends).reset_index()


def _facts(dots: pd.DataFrame, independent: str) -> list[Fact]:
    members = dots[(dots["role"] == "member") & dots["value"].notna()]
    networks = members[members["cloud"] == independent]
    facts = []
    for cloud, rows in members[members["cloud"] != independent].groupby("cloud", sort=False):
        if networks.empty:
            break
        higher, apart = [], []
        for network in networks.itertuples():
            gap = (rows["accuracy"] - network.accuracy).abs().sort_values(kind="stable")
            near = gap[gap <= NEAR + TOLERANCE] if gap.iloc[0] <= NEAR + TOLERANCE else gap[:NEAREST]
            higher += list(network.value > rows.loc[near.index, "value"])
            apart.append(near.max())
        facts.append(
            Fact(
                f"at about equal accuracy (within {100 * NEAR:g} point, else the {NEAREST} nearest) {independent} "
                f"disagree more with their base than the points of {cloud} do",
                bool(2 * sum(higher) > len(higher)),
                f"higher disagreement / error in {sum(higher)} of {len(higher)} pairs "
                f"(accuracies at most {100 * max(apart):.1f} points apart)",
            )
        )
    return facts
