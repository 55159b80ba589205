"""When is combining worth it?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.lines import Line2D

from ensemble_vs_dropout.evaluation.findings.eir_vs_der import Pool, eir_vs_der
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import AxesArray, Display, name_axes

BOUNDS = {"upper": ("-", "upper bound: EIR = DER"), "lower": ("--", "lower bound of competent pools")}


@dataclass(frozen=True, eq=False, repr=False)
class EIRVersusDER(Display):
    """When is combining worth it? Improvement by a vote against disagreement, both in units of the members' error.

    A point is one pool of members that vote. Its ensemble improvement rate (EIR) is the members' mean error less the
    vote's, over the former; its disagreement-error ratio (DER) is the mean disagreement of two members over their mean
    error. EIR never exceeds DER, and competent pools lie above the lower line (Theisen et al., 2023, NeurIPS, theorem 2
    and the figures of EIR against DER). The other panel shows competence: the margin is nowhere negative.

    `table` is that of `evaluation.findings.eir_vs_der`.

    Example:
        >>> import numpy as np
        >>> from ensemble_vs_dropout import Predictions
        >>> votes = Predictions(np.eye(2)[[[1, 0, 0], [0, 1, 0], [0, 0, 1]]])  # each is wrong once, the vote never
        >>> display = EIRVersusDER.from_predictions({("mlp 8", "ensemble"): votes}, [0, 0, 0], dataset="digits")
        >>> display.frame().loc[0, ["x", "value"]].astype(float).round(3).tolist()
        [1.333, 1.0]
    """

    @classmethod
    def from_predictions(
        cls,
        pools: Mapping[tuple[str, str], Pool] | Iterable[tuple[str, str, Pool]],
        labels: npt.ArrayLike,
        *,
        dataset: str,
    ) -> EIRVersusDER:
        """Make the display.

        Args:
            pools: (configuration in words, arm, predictions) of each pool, or a dict of predictions by (configuration,
                arm); every repetition is a point. All predict the same examples.
            labels: Shape (examples,), 0..K-1.
            dataset: The name of the data set.

        Raises:
            InputError: No pool, one that does not fit the labels or the others, or no error of any member.
        """
        finding = eir_vs_der(pools, labels)
        never = finding.told["never"]
        points = finding.table[finding.table["panel"] == "rates"]
        members = sorted({int(points["members"].min()), int(points["members"].max())})
        caption = [
            f"Point: one pool, without an interval, of {' to '.join(map(str, members))} members that vote,",
            f"ties broken at random; {len(points)} pools on {finding.told['examples']:,} examples.",
            "EIR: the members' mean error less the vote's, over the former. DER: the mean disagreement of two members",
            "over their mean error. Filled: competent pools, to which the lower bound applies: their",
            "margin P(t ≤ W < ½) - P(½ < W ≤ 1 - t) is nowhere negative, W being the share of members that are wrong.",
            f"Data: {dataset}.",
            f"Left out: {never} pools whose members never err." if never else "",
        ]
        return cls(
            finding.table,
            title=f"When is combining worth it? Data: {dataset}",
            interval="point: one pool, without an interval",
            caption=" ".join(filter(None, caption)),
            facts=finding.facts,
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
