"""When is combining worth it?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.lines import Line2D

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation.outcomes import check_arms
from ensemble_vs_dropout.measures.decomposition import competence, improvement
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import AxesArray, Display, Fact, name_axes, require
from ensemble_vs_dropout.types import Predictions

Pool = Predictions | Sequence[Predictions]
TOLERANCE = 1e-9
BOUNDS = {"upper": ("-", "upper bound: EIR = DER"), "lower": ("--", "lower bound of competent pools")}


@dataclass(frozen=True, eq=False)
class EIRVersusDER(Display):
    """When is combining worth it? Improvement by a vote against disagreement, both in units of the members' error.

    A point is one pool of members that vote. Its ensemble improvement rate (EIR) is the members' mean error less the
    vote's, over the former; its disagreement-error ratio (DER) is the mean disagreement of two members over their mean
    error. EIR never exceeds DER, and competent pools lie above the lower line (Theisen et al., 2023, NeurIPS, theorem 2
    and the figures of EIR against DER). The other panel shows competence: the margin is nowhere negative.

    `table` has the columns panel ("rates", "competence", "upper", "lower": the ends of the two lines), configuration,
    arm, repetition, members, competent, x (DER; in "competence" t, a share of members) and value (EIR; in "competence"
    the margin P(t <= W < 1/2) - P(1/2 < W <= 1 - t), where W is the share of members that are wrong on an example).
    """

    @classmethod
    def from_predictions(
        cls,
        pools: Mapping[tuple[str, str], Pool] | Iterable[tuple[str, str, Pool]],
        labels: npt.ArrayLike,
        *,
        data: str,
    ) -> EIRVersusDER:
        """Make the display.

        Args:
            pools: (configuration in words, arm, predictions) of each pool, or a dict of predictions by (configuration,
                arm); every repetition is a point. All predict the same examples.
            labels: Shape (examples,), 0..K-1.
            data: The name of the data set.

        Raises:
            InputError: No pool, one that does not fit the labels or the others, no error of any member, or bounds that
                do not hold.
        """
        listed = [(*key, pool) for key, pool in pools.items()] if isinstance(pools, Mapping) else list(pools)
        if not listed or not all(isinstance(item, tuple) and len(item) == 3 for item in listed):
            raise InputError("pools must hold (configuration, arm, predictions) of at least one pool")
        truth, tables, never, classes = np.asarray(labels), [], 0, set()
        for configuration, arm, pool in listed:
            for repetition, run in enumerate(check_arms({configuration: pool}, len(truth))[configuration]):
                classes.add(run.classes)
                rates = improvement(run.probs, truth)
                if np.isnan(rates["eir"]):
                    never += 1
                    continue
                named = {"configuration": configuration, "arm": arm, "repetition": repetition, "members": run.members}
                tables.append(_of_pool(rates, competence(run.probs, truth)).assign(**named))
        if len(classes) > 1:
            raise InputError(f"pools must all predict the same classes, got {sorted(classes)}")
        if not tables:
            raise InputError("pools must hold a member that errs, else neither rate is defined; none of them ever does")
        table = pd.concat([*tables, _bounds(pd.concat(tables), classes.pop())], ignore_index=True)
        points = table[table["panel"] == "rates"]
        members = sorted({int(points["members"].min()), int(points["members"].max())})
        caption = [
            f"Point: one pool, without an interval, of {' to '.join(map(str, members))} members that vote,",
            f"ties broken at random; {len(points)} pools on {len(truth):,} examples.",
            "EIR: the members' mean error less the vote's, over the former. DER: the mean disagreement of two members",
            "over their mean error. Filled: competent pools, to which the lower bound applies: their",
            "margin P(t ≤ W < ½) - P(½ < W ≤ 1 - t) is nowhere negative, W being the share of members that are wrong.",
            f"Data: {data}.",
            f"Left out: {never} pools whose members never err." if never else "",
        ]
        return cls(
            table[["panel", "configuration", "arm", "repetition", "members", "competent", "x", "value"]],
            title=f"When is combining worth it? Data: {data}",
            interval="point: one pool, without an interval",
            caption=" ".join(filter(None, caption)),
            facts=_facts(points),
        )

    def _mosaic(self) -> list[list[int]]:
        return [[0, 1]]

    def _height(self) -> float:
        return 2.8

    def _draw(self, axes: AxesArray) -> list[Artist]:
        scatter, margins = axes
        points = self.table[self.table["panel"] == "rates"]
        styles = style.arm_styles(points["arm"])
        handles: list[Artist] = []
        for arm, of_arm in points.groupby("arm", sort=False):
            color, marker = styles[str(arm)]
            for competent, rows in of_arm.groupby("competent"):
                face = color if competent else "none"
                scatter.plot(rows["x"], rows["value"], linestyle="", marker=marker, color=color, markerfacecolor=face)
            handles.append(Line2D([], [], linestyle="", marker=marker, color=color, label=style.arm_label(str(arm))))
        for bound, (line, label) in BOUNDS.items():
            ends = self.table[self.table["panel"] == bound]
            handles += scatter.plot(ends["x"], ends["value"], color="0.3", linestyle=line, linewidth=1, label=label)
        low, high = min(0.0, points["value"].min()), max(0.0, points["value"].max())
        room = 0.12 * max(high - low, 0.05)
        scatter.set_ylim(low - room, high + room)
        scatter.set_xlim(0, ends["x"].max())
        name_axes(scatter, xlabel="disagreement-error ratio (DER)", ylabel="ensemble improvement rate (EIR)")
        curves = self.table[self.table["panel"] == "competence"]
        for _, curve in curves.groupby(["configuration", "arm", "repetition"], sort=False):
            color, marker = styles[curve["arm"].iloc[0]]
            dot = {"marker": marker} if len(curve) == 1 else {}
            margins.plot(
                curve["x"], curve["value"], color=color, drawstyle="steps-pre", linewidth=0.9, alpha=0.7, **dot
            )
        margins.axhline(0, color="0.3", linewidth=1)
        margins.set_xlim(-0.02, 0.52)
        name_axes(margins, xlabel="t (share of members)", ylabel="margin of competence")
        return handles


def _of_pool(rates: pd.Series, curve: pd.DataFrame) -> pd.DataFrame:
    """Return the point of a pool and its curve of competence, or refuse rates outside their bounds."""
    eir, der, lower, competent = (rates[name] for name in ("eir", "der", "lower", "competent"))
    require("EIR <= DER", eir <= der + TOLERANCE, f"{eir:.6g} and {der:.6g}")
    above = not competent or eir >= lower - TOLERANCE
    require("EIR >= its lower bound for a competent pool", above, f"{eir:.6g} and {lower:.6g}")
    point = pd.DataFrame({"panel": ["rates"], "x": [der], "value": [eir]})
    margins = curve.rename(columns={"threshold": "x", "margin": "value"})[["x", "value"]].assign(panel="competence")
    return pd.concat([point, margins]).assign(competent=bool(competent))


def _bounds(table: pd.DataFrame, classes: int) -> pd.DataFrame:
    """Return the ends of both lines, to beyond the DER from which the lower one promises a gain."""
    slope, offset = 2 * (classes - 1) / classes, (3 * classes - 4) / classes
    ends = np.array([0.0, 1.08 * max(table.loc[table["panel"] == "rates", "x"].max(), offset / slope)])
    lines = {"upper": ends, "lower": slope * ends - offset}
    return pd.concat([pd.DataFrame({"panel": name, "x": ends, "value": line}) for name, line in lines.items()])


def _facts(points: pd.DataFrame) -> tuple[Fact, ...]:
    if len(points) < 3 or points[["x", "value"]].nunique().min() < 2:
        return ()
    r = float(np.corrcoef(points["x"], points["value"])[0, 1])
    statement = "EIR rises with DER: Pearson's r over the pools is at least 0.8"
    return (Fact(statement, r >= 0.8, f"r = {r:.2f} over {len(points)} pools"),)
