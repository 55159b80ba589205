"""Is weight scaling the geometric mean of all thinned networks?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from ensemble_vs_dropout.checks import InputError, check_at_least, check_fraction
from ensemble_vs_dropout.evaluation.findings.base import Fact, Finding
from ensemble_vs_dropout.evaluation.findings.judging import MARGINS, counted, floor, judge, of_examples, of_units
from ensemble_vs_dropout.measures.scores import error
from ensemble_vs_dropout.types import FloatArray, IntArray, check_pair

RULES = ("weight scaling", "arithmetic mean")
FLOOR = 1e-17  # what a difference of 0 counts as where logarithms are taken
PRECISION = {True: 1e-5, False: 1e-6}  # of probabilities in single precision, and otherwise


class SmallNetwork(NamedTuple):
    """A network so small that all its masks were enumerated.

    Attributes:
        words: What network it is.
        masked_layers: How many nonlinear hidden layers come after a mask; 0 where masks only feed the softmax layer.
        rate: The dropout rate, in [0, 1).
        weight_scaling: Its prediction without masks, shape (examples, classes).
        geometric_mean: The renormalised geometric mean over all masks, likewise.
        arithmetic_mean: The mean over all masks, likewise.
        labels: Shape (examples,).

    Example:
        >>> same = np.array([[0.8, 0.2]])
        >>> net = SmallNetwork("12, rate 0.5", masked_layers=0, rate=0.5, weight_scaling=same, geometric_mean=same,
        ...                    arithmetic_mean=np.array([[0.7, 0.3]]), labels=np.array([0]))
        >>> net.rate
        0.5
    """

    words: str
    masked_layers: int
    rate: float
    weight_scaling: FloatArray
    geometric_mean: FloatArray
    arithmetic_mean: FloatArray
    labels: IntArray


def exact_enumeration(nets: Sequence[SmallNetwork]) -> Finding:
    """Return weight scaling and the arithmetic mean of networks against the exact geometric mean of all masks.

    After Warde-Farley et al. (2013), Baldi and Sadowski (2013).

    Args:
        nets: One record for each network.

    Returns:
        A table with the columns panel, role ("network" or "mean"), network (its number), words, masked_layers, rate,
        rule, x, value, low, high. In the panels "error" and "probability" (of the true class, mean over examples) x is
        that of the geometric mean and value that of the rule; in "difference" x is the place at its number of
        masked layers and value the largest difference to a probability of the geometric mean. Its rows of role
        "mean" hold the mean of the logarithms over networks with a rate above 0, one standard deviation around.

    Raises:
        InputError: No network, numbers that are not what their names say, or weight scaling that is not the
            geometric mean where it must be: with rate 0, or masks that only feed the softmax layer.

    Example:
        >>> half, other = np.array([[0.5, 0.5]]), np.array([[0.8, 0.2]])
        >>> net = SmallNetwork("one layer", 1, 0.5, half, other, half, np.array([0]))
        >>> table = exact_enumeration([net]).table
        >>> table[(table["panel"] == "difference") & (table["role"] == "network")].value.round(3).tolist()
        [0.3, 0.3]
    """
    if not nets:
        raise InputError("nets must hold at least one network, got none")
    table = pd.DataFrame([row for number, net in enumerate(nets) for row in _measure(number, net)])
    differences = table[table["panel"] == "difference"]
    means = [
        _mean_of_logarithms(rows)
        for _, rows in differences[differences["rate"] > 0].groupby(["masked_layers", "rule"], sort=True)
    ]
    table = pd.concat([table, pd.DataFrame(means)]) if means else table
    order = ["panel", "role", "network", "words", "masked_layers", "rate", "rule", "x", "value", "low", "high"]
    table = table.reindex(columns=order).astype({"network": "Int64"}).reset_index(drop=True)
    return Finding(table, tuple(_facts(table, nets)))


def _measure(number: int, net: SmallNetwork) -> list[dict[str, object]]:
    """Return the rows of one network, or raise `InputError` where its numbers are not what their names say."""
    check_at_least("masked_layers", net.masked_layers, 0)
    check_fraction("rate", net.rate)
    exact, labels = check_pair(net.geometric_mean, net.labels)
    rules = dict(zip(RULES, (net.weight_scaling, net.arithmetic_mean), strict=True))
    common = {"role": "network", "network": number, **dict(zip(net._fields[:3], net[:3], strict=True))}
    of_exact, rows = _quality(exact, labels), []
    for place, (rule, probs) in enumerate(rules.items()):
        pooled = check_pair(probs, labels)[0]
        if pooled.shape != exact.shape:
            raise InputError(f"all predictions of {net.words!r} must have the shape {exact.shape}, got {pooled.shape}")
        difference = float(np.abs(pooled - exact).max())
        if net.rate == 0 or (net.masked_layers == 0 and rule == "weight scaling"):
            limit = PRECISION[_single(pooled) or _single(exact)]
            if difference >= limit:
                why = "at rate 0" if net.rate == 0 else "where masks only feed the softmax layer"
                raise InputError(
                    f"nets must hold predictions of {rule} equal to the geometric mean {why}, up to {limit:g}: got a "
                    f"difference of {difference:.2g} for {net.words!r}"
                )
        for panel, value in _quality(pooled, labels).items():
            rows.append({"panel": panel, **common, "rule": rule, "x": of_exact[panel], "value": value})
        # Networks of the same number of layers lie side by side, in an order that repeats.
        x = net.masked_layers + (place - 0.5) * 0.4 + 0.16 * (number * 0.618 % 1 - 0.5)
        rows.append({"panel": "difference", **common, "rule": rule, "x": x, "value": difference})
    return rows


def _quality(probs: FloatArray, labels: IntArray) -> dict[str, float]:
    true_class = probs[np.arange(len(labels)), labels]
    return {"error": float(error(probs, labels).mean()), "probability": float(true_class.mean())}


def _single(probs: FloatArray) -> bool:
    """Return whether these numbers were computed in single precision, which shows in double precision too."""
    return bool((probs == probs.astype(np.float32)).all())


def _mean_of_logarithms(rows: pd.DataFrame) -> dict[str, object]:
    logs = np.log10(rows["value"].clip(lower=FLOOR))
    first = rows.iloc[0]
    spread = logs.std()
    ends = {"value": 10 ** logs.mean(), "low": 10 ** (logs.mean() - spread), "high": 10 ** (logs.mean() + spread)}
    x = first["masked_layers"] + (RULES.index(first["rule"]) - 0.5) * 0.4
    kept = {name: first[name] for name in ("panel", "masked_layers", "rule")}
    return {**kept, "role": "mean", "x": x, **ends}


def _facts(table: pd.DataFrame, nets: Sequence[SmallNetwork]) -> Iterator[Fact]:
    """Return what is expected of networks of which weight scaling is not the geometric mean in any case."""
    generic = [net for net in nets if net.masked_layers and net.rate]
    if not generic:
        return
    margin = MARGINS["error"]
    errors = [[error(probs, net.labels) for probs in (net.weight_scaling, net.geometric_mean)] for net in generic]
    shared = all(np.array_equal(net.labels, generic[0].labels) for net in generic)
    gaps = [scaled - exact for scaled, exact in errors]
    gap = of_examples(np.stack(gaps)) if shared else of_units([own.mean() for own in gaps])
    means = np.array([[of_one.mean() for of_one in pair] for pair in errors]).mean(axis=0)
    yield judge(
        "where masks come before nonlinear layers, weight scaling errs as the exact geometric mean does, within "
        f"{100 * margin:g} points in the mean of the networks",
        gap.unless(floor(margin, *means)).within(margin),
        f"{gap.words(100)} points, {len(generic)} networks",
    )
    rows = table[(table["rule"] == "weight scaling") & (table["role"] == "network") & (table["panel"] == "difference")]
    apart = rows[(rows["masked_layers"] > 0) & (rows["rate"] > 0)]["value"]
    yield counted(
        "where masks come before nonlinear layers, weight scaling is not the geometric mean: some probability of each "
        "of these networks differs by more than 0.0001",
        bool((apart > 1e-4).all()),
        f"{int((apart > 1e-4).sum())} of {len(apart)} networks, smallest difference {apart.min():.2g}",
    )
