"""Is weight scaling the geometric mean of all thinned networks?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullFormatter, StrMethodFormatter

from ensemble_vs_dropout.evaluation.findings.exact_enumeration import FLOOR, RULES, exact_enumeration
from ensemble_vs_dropout.evaluation.findings.exact_enumeration import SmallNetwork as SmallNetwork
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import AxesArray, Display, name_axes

LOOKS = dict(zip(RULES, ((style.COLORS[0], "o"), (style.COLORS[1], "^")), strict=True))
PANELS = {"error": ("error (%)", 100.0), "probability": ("probability of the true class (%)", 100.0)}


@dataclass(frozen=True, eq=False, repr=False)
class ExactEnumeration(Display):
    """Weight scaling and the arithmetic mean against the exact geometric mean of all masks, one dot per network.

    `table` is that of `evaluation.findings.exact_enumeration`. After Warde-Farley et al. (2013), Baldi and Sadowski
    (2013).

    Example:
        >>> half, other = np.array([[0.5, 0.5]]), np.array([[0.8, 0.2]])
        >>> net = SmallNetwork("one layer", 1, 0.5, half, other, half, np.array([0]))
        >>> ExactEnumeration.from_predictions([net], dataset="digits").frame().panel.unique().tolist()
        ['error', 'probability', 'difference']
    """

    @classmethod
    def from_predictions(cls, nets: Sequence[SmallNetwork], *, dataset: str) -> ExactEnumeration:
        """Make the display.

        Args:
            nets: One record for each network.
            dataset: The name of the data set.

        Raises:
            InputError: No network, numbers that are not what their names say, or weight scaling that is not the
                geometric mean where it must be: with rate 0, or masks that only feed the softmax layer.
        """
        finding = exact_enumeration(nets)
        table = finding.table
        differences = table.loc[(table["panel"] == "difference") & (table["role"] == "network"), "value"]
        caption = [
            f"Small networks, all masks enumerated: {len(nets)}. Data: {dataset}. Dashed: equal.",
            "Right: largest difference to a probability of the exact geometric mean, against the nonlinear layers "
            "that come after a mask (at 0, masks only feed the softmax layer, and weight scaling must be exact up to "
            "rounding); large: mean of the logarithms, bar: ±1 standard deviation over networks with a rate above 0.",
            f"Differences below {FLOOR:g} are drawn there." if (differences < FLOOR).any() else "",
        ]
        return cls(
            table,
            title=f"Is weight scaling the geometric mean? All masks, {dataset}",
            interval="bar: ±1 standard deviation over networks",
            caption=" ".join(filter(None, caption)),
            facts=finding.facts,
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


def _dots(ax: Axes, x: pd.Series, y: pd.Series, rule: str) -> Artist:
    color, marker = LOOKS[rule]
    return ax.plot(x, y, linestyle="", marker=marker, color=color, alpha=0.6, markeredgewidth=0, label=rule)[0]
