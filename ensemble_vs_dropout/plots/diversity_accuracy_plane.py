"""Are dropout passes as diverse as independent networks?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.artist import Artist

from ensemble_vs_dropout.evaluation.findings.diversity_accuracy_plane import (
    BASE,
    LIMITS,
    Clouds,
    diversity_accuracy_plane,
)
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import AxesArray, Display, name_axes
from ensemble_vs_dropout.types import FloatArray, Predictions

LINES = dict(zip(LIMITS, (":", "--", "-."), strict=True))
LOOKS = [style.ArmStyle(style.COLORS[i % 10], "sD^vPX<>h"[i % 9]) for i in range(90)]


@dataclass(frozen=True, eq=False, repr=False)
class DiversityAccuracyPlane(Display):
    """How differently a network or pass predicts from its base network, against how accurate it is.

    `table` is that of `evaluation.findings.diversity_accuracy_plane`. After Fort et al. (2019), figure 5.

    Example:
        >>> base, other = (Predictions(np.eye(2)[[said]]) for said in ([0, 0, 1, 0], [0, 1, 1, 1]))
        >>> display = DiversityAccuracyPlane.from_predictions(base, {"another": other}, [0, 0, 0, 0], dataset="digits")
        >>> display.frame().query("role == 'member'")[["accuracy", "disagreement"]].values.tolist()
        [[0.25, 0.5]]
    """

    @classmethod
    def from_predictions(
        cls,
        base: Predictions,
        clouds: Clouds,
        labels: npt.ArrayLike,
        *,
        dataset: str,
        independent: str = "independent networks",
        further: Sequence[tuple[Predictions, Clouds]] = (),
    ) -> DiversityAccuracyPlane:
        """Make the display.

        Args:
            base: One network, that is, one member; the lines are what is possible beside it.
            clouds: Each member is a point: other networks, passes with masks, checkpoints, ... by their name. They are
                measured against `base`, or, given as (base of this cloud, members), against a base of their own.
            labels: Shape (examples,).
            dataset: The name of the data set.
            independent: The cloud that the facts compare the others with, if it is there.
            further: Bases and clouds of further repetitions, for the facts.

        Raises:
            InputError: A base of several members, no cloud, or predictions and labels that do not fit together.
        """
        finding = diversity_accuracy_plane(base, clouds, labels, independent=independent, further=further)
        own, lost = finding.told["own"], finding.told["lost"]
        caption = [
            f"Each small dot is one network or one pass; its height is the share of examples on which its label is not "
            f"its base network's, over its error. Large: mean of a cloud; cross: ±1 standard deviation over its "
            f"members. Data: {dataset}. Lines: what is possible beside the base network (black star), and where errors "
            f"are independent and wrong classes equally likely.",
            f"Coloured star: the own base network of {', '.join(own)}, to which the lines do not belong."
            if own
            else "",
            f"Not drawn, being without errors: {lost}." if lost else "",
        ]
        return cls(
            finding.table,
            title=f"Diversity against accuracy: {dataset}",
            interval="cross: ±1 standard deviation over members",
            caption=" ".join(filter(None, caption)),
            facts=finding.facts,
        )

    def _mosaic(self) -> list[list[int]]:
        return [[0]]

    def _height(self) -> float:
        return 3.0

    def _draw(self, axes: AxesArray) -> list[Artist]:
        ax, handles = axes[0], []
        roles = dict(list(self.table.groupby("role")))
        curves, bases = roles["limit"], roles["base"].set_index("cloud")
        base = bases.loc[BASE]
        star: dict[str, Any] = {"linestyle": "", "marker": "*", "markeredgecolor": "black", "zorder": 3}
        looks, size = _looks(roles["member"]["cloud"]), matplotlib.rcParams["lines.markersize"]
        for cloud, look in looks.items():
            dots = roles["member"][roles["member"]["cloud"] == cloud]
            dot: dict[str, Any] = {"linestyle": "", "marker": look.marker, "color": look.color}
            ax.plot(dots["accuracy"] * 100, dots["value"], alpha=0.45, markeredgewidth=0, **dot)
            mean = roles["mean"][roles["mean"]["cloud"] == cloud].iloc[0]
            ax.hlines(mean["value"], mean["accuracy_low"] * 100, mean["accuracy_high"] * 100, color=look.color)
            ax.vlines(mean["accuracy"] * 100, mean["low"], mean["high"], color=look.color)
            label = style.arm_label(cloud, members=len(dots))
            handles += ax.plot(
                [mean["accuracy"] * 100],
                [mean["value"]],
                markersize=1.8 * size,
                markeredgecolor="black",
                label=label,
                **dot,
            )
            if cloud in bases.index:
                ax.plot(bases.loc[cloud, "accuracy"] * 100, 0, color=look.color, markersize=2 * size, **star)
        for name, line in LINES.items():
            rows = curves[curves["cloud"] == name]
            handles += ax.plot(rows["accuracy"] * 100, rows["value"], color="0.4", linestyle=line, label=name)
        handles += ax.plot(base["accuracy"] * 100, 0, color="black", markersize=2.4 * size, label=BASE, **star)
        top = np.nanmax([roles["member"]["value"].max(), np.interp(base["accuracy"], *_line(curves, "upper bound"))])
        ax.set_ylim(-0.04 * top, 1.05 * top)
        name_axes(ax, xlabel="accuracy (%)", ylabel="disagreement with the base network / error")
        return handles


def _looks(clouds: Iterable[str]) -> dict[str, style.ArmStyle]:
    """Return the look of an arm for a cloud that has the name of one, and the next colour for any other."""
    names = list(dict.fromkeys(clouds))
    taken = {style.ARMS[name].color for name in names if name in style.ARMS}
    spare = cycle(look for look in LOOKS if look.color not in taken)
    return {name: style.ARMS[name] if name in style.ARMS else next(spare) for name in names}


def _line(curves: pd.DataFrame, name: str) -> tuple[FloatArray, FloatArray]:
    rows = curves[curves["cloud"] == name].sort_values("accuracy")
    return rows["accuracy"].to_numpy(), rows["value"].to_numpy()
