"""Which arms rank differently over several data sets?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.ticker import MaxNLocator

from ensemble_vs_dropout.evaluation.findings.critical_difference import critical_difference
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import AxesArray, Display, name_axes, title_room

NARROW = 17  # characters of a label where there is least room


@dataclass(frozen=True, eq=False, repr=False)
class CriticalDifference(Display):
    """Which arms rank differently over several data sets? The critical-difference diagram of Demsar (2006, JMLR 7).

    Arms that a thick line joins do not differ: no two of them are further apart than Nemenyi's critical difference.

    `table` is that of `evaluation.findings.critical_difference`, which says what enters and what is refused, with the
    column label, an arm in words, for rule and members.

    Example:
        >>> points = {"dataset": ["a", "b"], "rule": "mean", "members": 5, "metric": "error", "low": 0.0, "high": 0.9}
        >>> values = {"ensemble": [0.1, 0.2], "dropout": [0.2, 0.3]}
        >>> scores = pd.concat([pd.DataFrame(points | {"arm": arm, "value": each}) for arm, each in values.items()])
        >>> frame = CriticalDifference.from_scores(scores, dataset="a and b").frame()
        >>> frame[["part", "arm", "value"]].values.tolist()[:2]
        [['arm', 'ensemble', 1.0], ['arm', 'dropout', 2.0]]
    """

    @classmethod
    def from_scores(
        cls, scores: pd.DataFrame, *, dataset: str, metric: str = "error", rule: str = "mean", level: float = 0.05
    ) -> CriticalDifference:
        """Make the display.

        Args:
            scores: One row for each data set and arm, as studies give them; the clean test part is taken.
            dataset: The names of the data sets.
            metric: What arms are ranked by.
            rule: By which the members of every arm are combined; single networks are taken each alone.
            level: The chance of any false alarm among all pairs.

        Raises:
            InputError: As in the finding.
        """
        found = critical_difference(scores, metric=metric, rule=rule, level=level)
        low, high = found.told["repetitions"]
        counts = f"{' to '.join(map(str, sorted({low, high})))} repetitions" if high > 1 else "one repetition"
        p = "p < 0.001" if found.told["p"] < 0.001 else f"p = {found.told['p']:.3f}"
        percent = f"{100 * level:g} %"
        caption = [
            f"Mean rank of {style.metric_label(metric)} over {found.told['data_sets']} data sets; 1 is best. Thick "
            f"lines join arms that do not differ by Nemenyi's CD, the critical difference of mean ranks at {percent}.",
            f"Friedman's test of all arms at once: Iman and Davenport's F = {found.told['f']:.3g}, {p}.",
            f"Ranks are of the mean over {counts}. In brackets: networks or passes. Data: {dataset}.",
        ]
        return cls(
            _labelled(found.table),
            title=f"Which arms rank differently over data sets? Data: {dataset}",
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


def _labelled(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with the words for an arm, its rule and its members where they are the same on all data sets."""
    known = table[["arm", "rule", "members"]].astype(object).where(table.notna(), None)
    labels = [style.arm_label(*row) if row[0] else None for row in known.itertuples(index=False)]
    return table.assign(label=labels)[["part", "arm", "label", "value", "low", "high"]]
