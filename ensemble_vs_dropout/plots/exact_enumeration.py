"""Is weight scaling the geometric mean of all thinned networks?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullFormatter, StrMethodFormatter

from ensemble_vs_dropout.checks import InputError, check_at_least, check_fraction
from ensemble_vs_dropout.measures.scores import error
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import AxesArray, Display, Fact, name_axes, require
from ensemble_vs_dropout.types import FloatArray, IntArray, check_pair

LOOKS = {"weight scaling": (style.COLORS[0], "o"), "arithmetic mean": (style.COLORS[1], "^")}
PANELS = {"error": ("error (%)", 100.0), "probability": ("probability of the true class (%)", 100.0)}
FLOOR = 1e-17  # what a difference of 0 is drawn at
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
    """

    words: str
    masked_layers: int
    rate: float
    weight_scaling: FloatArray
    geometric_mean: FloatArray
    arithmetic_mean: FloatArray
    labels: IntArray


@dataclass(frozen=True, eq=False)
class ExactEnumeration(Display):
    """Weight scaling and the arithmetic mean against the exact geometric mean of all masks, one dot per network.

    `table` has the columns panel, role ("network" or "mean"), network (its number), words, masked_layers, rate,
    rule, x, value, low, high. In the panels "error" and "probability" (of the true class, mean over examples) x is
    that of the geometric mean and value that of the rule; in "difference" x is the place at its number of
    masked layers and value the largest difference to a probability of the geometric mean. Its rows of role
    "mean" hold the mean of the logarithms over networks with a rate above 0, one standard deviation around.
    After Warde-Farley et al. (2013), Baldi and Sadowski (2013).
    """

    @classmethod
    def from_predictions(cls, nets: Sequence[SmallNetwork], *, data: str) -> ExactEnumeration:
        """Make the display.

        Args:
            nets: One record for each network.
            data: The name of the data set.

        Raises:
            InputError: No network, numbers that are not what their names say, or weight scaling that is not the
                geometric mean where it must be: with rate 0, or masks that only feed the softmax layer.
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
        caption = [
            f"Small networks, all masks enumerated: {len(nets)}. Data: {data}. Dashed: equal.",
            "Right: largest difference to a probability of the exact geometric mean, against the nonlinear layers "
            "that come after a mask (at 0, masks only feed the softmax layer, and weight scaling must be exact up to "
            "rounding); large: mean of the logarithms, bar: ±1 standard deviation over networks with a rate above 0.",
            f"Differences below {FLOOR:g} are drawn there." if (differences["value"] < FLOOR).any() else "",
        ]
        return cls(
            table.reindex(columns=order).astype({"network": "Int64"}).reset_index(drop=True),
            title=f"Is weight scaling the geometric mean? All masks, {data}",
            interval="bar: ±1 standard deviation over networks",
            caption=" ".join(filter(None, caption)),
            facts=tuple(_facts(table)),
        )

    def _mosaic(self) -> list[list[int]]:
        return [[0, 1, 2]]

    def _height(self) -> float:
        return 2.2

    def _draw(self, axes: AxesArray) -> list[Artist]:
        handles: list[Artist] = []
        for ax, (panel, (label, scale)) in zip(axes[:2], PANELS.items(), strict=True):
            rows = self.table[self.table["panel"] == panel]
            ends = scale * np.array([rows[["x", "value"]].min().min(), rows[["x", "value"]].max().max()])
            ends += np.array([-0.05, 0.05]) * (np.ptp(ends) or 1.0)
            ax.plot(ends, ends, color="0.4", linestyle="--", linewidth=0.8)
            handles = [
                _dots(ax, own["x"] * scale, own["value"] * scale, rule)
                for rule, own in rows.groupby("rule", sort=False)
            ]
            ax.set(xlim=ends, ylim=ends)
            name_axes(ax, xlabel=f"exact geometric mean:\n{label}", ylabel=label)
        self._draw_differences(axes[2])
        return handles

    def _draw_differences(self, ax: Axes) -> None:
        rows = self.table[self.table["panel"] == "difference"]
        ax.set_yscale("log")
        for rule, own in rows[rows["role"] == "network"].groupby("rule", sort=False):
            _dots(ax, own["x"], own["value"].clip(lower=FLOOR), rule)
        for rule, own in rows[rows["role"] == "mean"].groupby("rule", sort=False):
            color, marker = LOOKS[rule]
            ax.vlines(own["x"], own["low"], own["high"], color=color, linewidth=1.8)
            size = 1.3 * matplotlib.rcParams["lines.markersize"]
            ax.plot(own["x"], own["value"], marker, color=color, markersize=size, markeredgecolor="black")
        ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        ax.yaxis.set_minor_formatter(NullFormatter())
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        layers = rows["masked_layers"]
        ax.set_xlim(layers.min() - 0.5, layers.max() + 0.5)
        name_axes(ax, xlabel="nonlinear layers\nafter a mask", ylabel="largest difference\nof a probability")


def _measure(number: int, net: SmallNetwork) -> list[dict[str, object]]:
    """Return the rows of one network, or raise `InputError` where its numbers cannot be right."""
    check_at_least("masked_layers", net.masked_layers, 0)
    check_fraction("rate", net.rate)
    exact, labels = check_pair(net.geometric_mean, net.labels)
    rules = {"weight scaling": net.weight_scaling, "arithmetic mean": net.arithmetic_mean}
    common = {"role": "network", "network": number, **dict(zip(net._fields[:3], net[:3], strict=True))}
    of_exact, rows = _quality(exact, labels), []
    for place, (rule, probs) in enumerate(rules.items()):
        pooled = check_pair(probs, labels)[0]
        if pooled.shape != exact.shape:
            raise InputError(f"all predictions of {net.words!r} must have the shape {exact.shape}, got {pooled.shape}")
        difference = float(np.abs(pooled - exact).max())
        if net.rate == 0 or (net.masked_layers == 0 and rule == "weight scaling"):
            why = "at rate 0" if net.rate == 0 else "where masks only feed the softmax layer"
            limit = PRECISION[_single(pooled) or _single(exact)]
            require(
                f"the {rule} = the geometric mean {why}".replace("the weight", "weight"),
                difference < limit,
                f"a difference of {difference:.2g} for {net.words!r}",
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
    x = first["masked_layers"] + (list(LOOKS).index(first["rule"]) - 0.5) * 0.4
    kept = {name: first[name] for name in ("panel", "masked_layers", "rule")}
    return {**kept, "role": "mean", "x": x, **ends}


def _dots(ax: Axes, x: pd.Series, y: pd.Series, rule: str) -> Artist:
    color, marker = LOOKS[rule]
    return ax.plot(x, y, linestyle="", marker=marker, color=color, alpha=0.6, markeredgewidth=0, label=rule)[0]


def _facts(table: pd.DataFrame) -> list[Fact]:
    rows = table[(table["rule"] == "weight scaling") & (table["role"] == "network")]
    errors = rows[rows["panel"] == "error"]
    gap = errors["value"] - errors["x"]
    noise = float(gap.std() / np.sqrt(len(gap))) if len(gap) > 1 else 0.0
    facts = [
        Fact(
            "the errors of weight scaling and of the exact geometric mean lie on the diagonal: their mean difference "
            "over networks is within 2 standard errors of 0",
            bool(abs(gap.mean()) <= 2 * noise + 1e-12),
            f"{100 * gap.mean():+.3f} points, standard error {100 * noise:.3f}, {len(gap)} networks",
        )
    ]
    generic = rows[(rows["panel"] == "difference") & (rows["masked_layers"] > 0) & (rows["rate"] > 0)]["value"]
    if len(generic):
        facts.append(
            Fact(
                "where masks come before nonlinear layers, weight scaling is not the geometric mean: some probability "
                "of every network differs by more than 0.0001",
                bool((generic > 1e-4).all()),
                f"{int((generic > 1e-4).sum())} of {len(generic)} networks, smallest difference {generic.min():.2g}",
            )
        )
    return facts
