"""Which arms rank differently over several data sets?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.ticker import MaxNLocator
from scipy import stats

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.measures.rankings import average_ranks, friedman, groups, nemenyi_critical_difference
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import AxesArray, Display, name_axes, require, title_room
from ensemble_vs_dropout.plots.repetitions import better_is, choose

NARROW = 17  # characters of a label where there is least room


@dataclass(frozen=True, eq=False)
class CriticalDifference(Display):
    """Which arms rank differently over several data sets? The critical-difference diagram of Demsar (2006, JMLR 7).

    Arms that a thick line joins do not differ: no two of them are further apart than Nemenyi's critical difference.

    `table` has the columns part ("arm", "group", "critical_difference"), arm, label, value (the mean rank, 1 is best;
    the critical difference), low and high (the ends of a group).
    """

    @classmethod
    def from_scores(
        cls, scores: pd.DataFrame, *, data: str, metric: str = "error", rule: str = "mean", level: float = 0.05
    ) -> CriticalDifference:
        """Make the display.

        Args:
            scores: Columns dataset, arm, rule, members, metric, value, low, high; repetitions are averaged; split,
                condition and severity where they are there (the clean test part is taken).
            data: The name of the collection of data sets.
            metric: What arms are ranked by.
            rule: By which the members of every arm are combined; single networks are taken each alone.
            level: The chance of any false alarm among all pairs.

        Raises:
            InputError: A missing column, fewer than two data sets or arms, an arm without a score for a data set, or
                several rows for one point.
        """
        rows = choose(scores, [metric], ["dataset"], rule=rule)
        values = rows.pivot_table(index="dataset", columns="arm", values="value", sort=False)
        if values.isna().to_numpy().any():
            dataset, arm = values.isna().stack().idxmax()
            raise InputError(
                f"scores must hold all arms on all data sets, got none of {arm!r} on {dataset!r}; leave one of them out"
            )
        ranks = average_ranks(values, higher_is_better=better_is(metric) > 0)
        sets, arms = values.shape
        distance = nemenyi_critical_difference(arms, sets, level)
        total = arms * (arms + 1) / 2
        require(
            "the mean ranks add up to k (k + 1) / 2", math.isclose(ranks.sum(), total), f"{ranks.sum():.6g} of {total}"
        )
        quantile = stats.studentized_range.ppf(1 - level, arms, np.inf) / math.sqrt(2)
        closed = quantile * math.sqrt(arms * (arms + 1) / (6 * sets))
        require(
            "CD = q sqrt(k (k + 1) / (6 N))", math.isclose(distance, closed, rel_tol=1e-6), f"{distance} and {closed}"
        )
        order = np.argsort(ranks, kind="stable")
        labels = [_label(rows[rows["arm"] == arm]) for arm in values.columns]
        joined = [group for group in groups(ranks, distance) if len(group) > 1]
        table = pd.concat(
            [
                pd.DataFrame({"part": "arm", "arm": values.columns, "label": labels, "value": ranks}).iloc[order],
                pd.DataFrame([{"low": ranks[group[0]], "high": ranks[group[-1]]} for group in joined]).assign(
                    part="group"
                ),
                pd.DataFrame({"part": ["critical_difference"], "value": [distance]}),
            ],
            ignore_index=True,
        ).reindex(columns=["part", "arm", "label", "value", "low", "high"])
        test = friedman(values)
        p = "p < 0.001" if test.f_p < 0.001 else f"p = {test.f_p:.3f}"
        percent = f"{100 * level:g} %"
        caption = [
            f"Mean rank of {style.metric_label(metric)} over {sets} data sets; 1 is best. Thick lines join arms that "
            f"do not differ by Nemenyi's CD, the critical difference of mean ranks at {percent}.",
            f"Friedman's test of all arms at once: Iman and Davenport's F = {test.f:.3g}, {p}.",
            f"Ranks are of the mean over {_counts(rows)}. In brackets: networks or passes. Data: {data}.",
        ]
        return cls(
            table,
            title=f"Which arms rank differently over data sets? Data: {data}",
            interval=f"CD: critical difference of mean ranks at {percent}",
            caption=" ".join(caption),
        )

    def _levels(self) -> tuple[int, int]:
        """Return how many lines of labels a side has, and how many groups there are."""
        parts = self.table["part"].value_counts()
        return math.ceil(parts["arm"] / 2), int(parts.get("group", 0))

    def _mosaic(self) -> list[list[int]]:
        return [[0]]

    def _height(self) -> float:
        labels = self.table["label"].dropna()
        lines = max(style.wrap(label, NARROW, lines=3).count("\n") + 1 for label in labels)
        rows, bars = self._levels()
        return 0.6 + (0.05 + 0.115 * lines) * (rows + 0.6 * bars + 2)

    def _draw(self, axes: AxesArray) -> list[Artist]:
        (ax,) = axes
        parts = {str(part): rows for part, rows in self.table.groupby("part", sort=False)}
        arms, distance = parts["arm"], float(parts["critical_difference"]["value"].iloc[0])
        styles = style.arm_styles(arms["arm"])
        lines, bars = self._levels()
        room = max(NARROW, title_room(ax) // 3)
        half = max(len(arms), 1 + distance)
        left, right = 1 - 0.03 * (half - 1), half + 0.03 * (half - 1)
        for place, (arm, label, rank) in enumerate(arms[["arm", "label", "value"]].itertuples(index=False)):
            best = place < lines  # the better half stands on the left
            depth = bars * 0.6 + 1 + (place if best else len(arms) - 1 - place)
            edge = left if best else right
            color, marker = styles[arm]
            ax.plot([rank, rank, edge], [0, depth, depth], color=color, linewidth=1)
            ax.plot([rank], [0], color=color, marker=marker, clip_on=False, zorder=4)
            words = style.wrap(label, room, lines=3)
            side = {"ha": "right", "xytext": (-3, 0)} if best else {"ha": "left", "xytext": (3, 0)}
            ax.annotate(
                words,
                (edge, depth),
                textcoords="offset points",
                va="center",
                fontsize="small",
                parse_math=False,
                **side,
            )
        for place, (low, high) in enumerate(parts.get("group", arms[:0])[["low", "high"]].itertuples(index=False)):
            ax.plot([low, high], [0.6 * (place + 1)] * 2, color="0.15", linewidth=3, solid_capstyle="butt")
        bottom = bars * 0.6 + lines + 1
        ax.plot([1, 1 + distance], [bottom] * 2, color="0.15", marker="|", linewidth=1.2)
        ax.annotate(
            f"CD = {distance:.2f}",
            (1 + distance, bottom),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize="small",
        )
        ax.set_xlim(left, right)
        ax.set_ylim(bottom + 0.5, 0)
        ax.xaxis.tick_top()
        ax.xaxis.set_label_position("top")
        ax.xaxis.set_major_locator(MaxNLocator(10, integer=True))
        ax.set_yticks([])
        ax.spines[["left", "bottom"]].set_visible(False)
        ax.spines["top"].set_visible(True)
        ax.grid(False)
        name_axes(ax, xlabel="mean rank (1 is best)")
        return []


def _label(rows: pd.DataFrame) -> str:
    """Return the words for an arm, with its members where they are the same on all data sets."""
    arm, rule, members = (rows[name].unique() for name in ("arm", "rule", "members"))
    return style.arm_label(
        arm[0], rule[0] if len(rule) == 1 and (members != 1).any() else None, members[0] if len(members) == 1 else None
    )


def _counts(rows: pd.DataFrame) -> str:
    counts = rows.groupby(["dataset", "arm"])["repetition"].count().clip(lower=1)
    numbers = sorted({int(counts.min()), int(counts.max())})
    return f"{' to '.join(map(str, numbers))} repetitions (seeds)" if numbers[-1] > 1 else "one repetition"
