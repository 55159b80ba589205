"""Are dropout passes as diverse as independent networks?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import cycle
from typing import Any, cast

import matplotlib
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.artist import Artist

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation.outcomes import check_arms
from ensemble_vs_dropout.measures.diversity import pairwise
from ensemble_vs_dropout.measures.scores import error
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import AxesArray, Display, Fact, name_axes, require
from ensemble_vs_dropout.types import FloatArray, IntArray, Predictions, check_labels

BASE = "the base network"
LIMITS = {"upper bound": ":", "independent errors": "--", "lower bound": "-."}
TOLERANCE = 1e-12
NEAR, NEAREST = 0.01, 5  # in accuracy, and points where none is so near: what is compared at about equal accuracy
LOOKS = [style.ArmStyle(style.COLORS[i % 10], "sD^vPX<>h"[i % 9]) for i in range(90)]


@dataclass(frozen=True, eq=False)
class DiversityAccuracyPlane(Display):
    """How differently a network or pass predicts from its base network, against how accurate it is.

    `table` has the columns role ("base", "member", "mean" of a cloud, or "limit"), cloud (or the limit's name; of the
    base of all others "the base network"), member, accuracy, accuracy_low, accuracy_high, disagreement (the share of
    examples with another label than the base network's), value (the disagreement over the error of the point; NaN
    without errors), low, high. The ends are one standard deviation over the members of a cloud. After Fort et al.
    (2019), figure 5, where samples lie around their own base network.
    """

    @classmethod
    def from_predictions(
        cls,
        base: Predictions,
        clouds: Mapping[str, Predictions | tuple[Predictions, Predictions]],
        labels: npt.ArrayLike,
        *,
        data: str,
        independent: str = "independent networks",
    ) -> DiversityAccuracyPlane:
        """Make the display.

        Args:
            base: One network, that is, one member; the lines are what is possible beside it.
            clouds: Each member is a point: other networks, passes with masks, checkpoints, ... by their name. They are
                measured against `base`, or, given as (base of this cloud, members), against a base of their own.
            labels: Shape (examples,).
            data: The name of the data set.
            independent: The cloud that the facts compare the others with, if it is there.

        Raises:
            InputError: A base of several members, no cloud, or predictions and labels that do not fit together.
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
        lost = int(dots["value"].isna().sum())
        curves = _curves(dots, 1 - dots["accuracy"].iloc[-1], base.classes)
        table = pd.concat([curves, dots, _means(dots)], ignore_index=True)
        order = ["role", "cloud", "member", "accuracy", "accuracy_low", "accuracy_high", "disagreement"]
        caption = [
            f"Each small dot is one network or one pass; its height is the share of examples on which its label is not "
            f"its base network's, over its error. Large: mean of a cloud; cross: ±1 standard deviation over its "
            f"members. Data: {data}. Lines: what is possible beside the base network (black star), and where errors "
            f"are independent and wrong classes equally likely.",
            f"Coloured star: the own base network of {', '.join(own)}, to which the lines do not belong."
            if own
            else "",
            f"Not drawn, being without errors: {lost}." if lost else "",
        ]
        return cls(
            table[[*order, "value", "low", "high"]].astype({"member": "Int64"}),
            title=f"Diversity against accuracy: {data}",
            interval="cross: ±1 standard deviation over members",
            caption=" ".join(filter(None, caption)),
            facts=tuple(_facts(dots, independent)),
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
        for name, line in LIMITS.items():
            rows = curves[curves["cloud"] == name]
            handles += ax.plot(rows["accuracy"] * 100, rows["value"], color="0.4", linestyle=line, label=name)
        handles += ax.plot(base["accuracy"] * 100, 0, color="black", markersize=2.4 * size, label=BASE, **star)
        top = np.nanmax([roles["member"]["value"].max(), np.interp(base["accuracy"], *_line(curves, "upper bound"))])
        ax.set_ylim(-0.04 * top, 1.05 * top)
        name_axes(ax, xlabel="accuracy (%)", ylabel="disagreement with the base network / error")
        return handles


def _points(role: str, cloud: str, run: Predictions, base: Predictions, labels: IntArray) -> pd.DataFrame:
    """Return the point of each member beside its base network, which is itself at 0."""
    own = float(error(base.probs[0], labels).mean())
    wrong = np.array([error(probs, labels).mean() for probs in run.probs])
    differ = np.array([pairwise([base.probs[0], probs], labels)[0, 1] for probs in run.probs])
    require(
        f"|difference of the errors| <= disagreement <= sum of the errors in {cloud!r}",
        (abs(wrong - own) <= differ + TOLERANCE).all() and (differ <= limits(wrong, own, 2)[0] + TOLERANCE).all(),
    )
    value = np.divide(differ, wrong, out=np.full(len(wrong), np.nan), where=wrong > 0)
    if role == "base":
        require("the base network does not disagree with itself", (differ == 0).all())
        value = differ  # 0, whatever it is divided by
    point = {"role": role, "cloud": cloud, "member": range(len(wrong)), "accuracy": 1 - wrong}
    return pd.DataFrame({**point, "disagreement": differ, "value": value})


def _looks(clouds: Iterable[str]) -> dict[str, style.ArmStyle]:
    """Return the look of an arm for a cloud that has the name of one, and the next colour for any other."""
    names = list(dict.fromkeys(clouds))
    taken = {style.ARMS[name].color for name in names if name in style.ARMS}
    spare = cycle(look for look in LOOKS if look.color not in taken)
    return {name: style.ARMS[name] if name in style.ARMS else next(spare) for name in names}


def limits(wrong: FloatArray, own: float, classes: int) -> FloatArray:
    """Return the most, the independent and the least disagreement of networks with these errors; shape (3, errors)."""
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


def _line(curves: pd.DataFrame, name: str) -> tuple[FloatArray, FloatArray]:
    rows = curves[curves["cloud"] == name].sort_values("accuracy")
    return rows["accuracy"].to_numpy(), rows["value"].to_numpy()


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
