"""Are dropout passes as diverse as independent networks?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation.findings.base import Fact, Finding
from ensemble_vs_dropout.evaluation.findings.judging import judge, of_examples
from ensemble_vs_dropout.evaluation.pooling import check_arms
from ensemble_vs_dropout.measures.aggregation import predict_labels
from ensemble_vs_dropout.measures.diversity import pairwise
from ensemble_vs_dropout.measures.scores import error
from ensemble_vs_dropout.measures.spread import LEAST
from ensemble_vs_dropout.types import FloatArray, IntArray, Predictions, check_labels

BASE = "the base network"
LIMITS = ("upper bound", "independent errors", "lower bound")
TOLERANCE = 1e-12
NEAR = 0.01  # in accuracy: what is compared at about equal accuracy
Clouds = Mapping[str, Predictions | tuple[Predictions, Predictions]]


def diversity_accuracy_plane(
    base: Predictions,
    clouds: Clouds,
    labels: npt.ArrayLike,
    *,
    independent: str = "independent networks",
    further: Sequence[tuple[Predictions, Clouds]] = (),
) -> Finding:
    """Return how differently networks or passes predict from their base network, and how accurate they are.

    After Fort et al. (2019), figure 5, where samples lie around their own base network.

    Args:
        base: One network, that is, one member; the limits are what is possible beside it.
        clouds: Each member is a point: other networks, passes with masks, checkpoints, ... by their name. They are
            measured against `base`, or, given as (base of this cloud, members), against a base of their own.
        labels: Shape (examples,).
        independent: The cloud that the facts compare the others with, if it is there.
        further: Bases and clouds of further repetitions. Facts count each repetition once, whatever the number of pairs
            that share its base network; the table is of the first.

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
    truth = np.asarray(labels)
    repetitions = [_repetition(base, clouds, truth), *(_repetition(*one, truth) for one in further)]
    pairs = {cloud: given for cloud, given in clouds.items() if isinstance(given, tuple) and len(given) == 2}
    own = {cloud: net for cloud, (net, _) in pairs.items()}
    members = cast(dict[str, Predictions], {**clouds, **{cloud: run for cloud, (_, run) in pairs.items()}})
    points = [_points("member", cloud, run, own.get(cloud, base), truth) for cloud, run in members.items()]
    points += [_points("base", cloud, net, net, truth) for cloud, net in {**own, BASE: base}.items()]
    dots = pd.concat(points, ignore_index=True)
    curves = _curves(dots, 1 - dots["accuracy"].iloc[-1], base.classes)
    table = pd.concat([curves, dots, _means(dots)], ignore_index=True)
    order = ["role", "cloud", "member", "accuracy", "accuracy_low", "accuracy_high", "disagreement"]
    return Finding(
        table[[*order, "value", "low", "high"]].astype({"member": "Int64"}),
        tuple(_facts(repetitions, independent)),
        {"own": list(own), "lost": int(dots["value"].isna().sum())},
    )


class _Point(NamedTuple):
    """One network or pass: its accuracy, and what each example adds to its disagreement over its error."""

    accuracy: float
    rows: FloatArray


def _repetition(base: Predictions, clouds: Clouds, labels: IntArray) -> dict[str, list[_Point]]:
    """Return the points of each cloud, those without errors left out, or raise `InputError`."""
    if not clouds:
        raise InputError("clouds must hold at least one cloud, got none")
    split = {name: given if isinstance(given, tuple) else (base, given) for name, given in clouds.items()}
    for name, net in {"base": base, **{f"base of {cloud!r}": net for cloud, (net, _) in split.items()}}.items():
        if not isinstance(net, Predictions) or net.members != 1:
            raise InputError(f"{name} must be Predictions of one member, got {getattr(net, 'members', type(net))}")
    own = {f"base of {cloud}": net for cloud, (net, _) in split.items() if net is not base}
    check_arms({**{cloud: run for cloud, (_, run) in split.items()}, BASE: base, **own}, len(labels))
    check_labels(labels, base.classes)
    return {cloud: list(_ratios(run, net, labels)) for cloud, (net, run) in split.items()}


def _ratios(run: Predictions, base: Predictions, labels: IntArray) -> Iterator[_Point]:
    own = predict_labels(base.probs[0])
    for probs in run.probs:
        wrong, differ = error(probs, labels), predict_labels(probs) != own
        if wrong.any():
            ratio = differ.mean() / wrong.mean()
            yield _Point(1 - float(wrong.mean()), ratio + (differ - ratio * wrong) / wrong.mean())


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


def _facts(repetitions: Sequence[Mapping[str, Sequence[_Point]]], independent: str) -> Iterator[Fact]:
    for cloud in repetitions[0]:
        if cloud == independent or independent not in repetitions[0]:
            continue
        each = [_compared(one[independent], one[cloud]) for one in repetitions if cloud in one]
        known = [rows for rows, *_ in each if rows is not None]
        pairs, apart = sum(count for _, count, _ in each), min(nearest for *_, nearest in each)
        more = of_examples(np.stack(known)) if known else None
        why = (
            f"no equal accuracy in {len(each) - len(known)} of {len(each)} repetitions"
            if len(known) < len(each)
            else ""
        )
        numbers = f"nearest accuracies {100 * apart:.1f} points apart, {pairs} pairs of {len(each)} base networks"
        statement = (
            f"at equal accuracy (within {100 * NEAR:g} point) {independent} disagree more with their base than the "
            f"points of {cloud} do"
        )
        if more is None or len(known) < min(LEAST, len(each)):
            yield Fact(statement, "cannot be judged", numbers, why)
            continue
        yield judge(statement, more.above(), f"disagreement / error {more.words()}; {numbers}")


def _compared(networks: Sequence[_Point], points: Sequence[_Point]) -> tuple[FloatArray | None, int, float]:
    """Return by example how much more networks disagree than points of their accuracy; the pairs; the nearest."""
    rows, pairs, nearest = [], 0, np.inf
    for network in networks:
        gaps = [abs(point.accuracy - network.accuracy) for point in points]
        near = [point.rows for point, gap in zip(points, gaps, strict=True) if gap <= NEAR + TOLERANCE]
        nearest, pairs = min([nearest, *gaps]), pairs + len(near)
        rows += [network.rows - np.mean(near, axis=0)] if near else []
    return (np.mean(rows, axis=0) if rows else None), pairs, float(nearest)
