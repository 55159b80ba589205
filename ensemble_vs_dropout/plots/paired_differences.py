"""On which data sets does an arm differ from a baseline?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist

from ensemble_vs_dropout.evaluation.findings.paired_differences import LEVEL, paired_differences
from ensemble_vs_dropout.evaluation.findings.repetitions import ROW
from ensemble_vs_dropout.evaluation.findings.words import better_is
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import AxesArray, Display, name_axes
from ensemble_vs_dropout.plots.repetitions import in_units, interval_words, left_out


@dataclass(frozen=True, eq=False, repr=False)
class PairedDifferences(Display):
    """On which data sets does an arm differ from the baseline, and by how much? A forest of paired differences.

    The interval and the test are those of the corrected resampled t-test (Nadeau and Bengio, 2003).

    `table` is that of `evaluation.findings.paired_differences`, which says what enters and what is refused.

    Example:
        >>> points = {"dataset": "a", "rule": "mean", "members": 1, "metric": "error", "low": 0.0, "high": 0.9}
        >>> values = {"single": [0.25, 0.5, 0.75], "dropout": [0.25, 0.25, 0.25]}
        >>> points["repetition"] = range(3)
        >>> scores = pd.concat([pd.DataFrame(points | {"arm": arm, "value": each}) for arm, each in values.items()])
        >>> frame = PairedDifferences.from_scores(scores, dataset="a").frame()
        >>> frame[["arm", "value", "low", "high"]].round(2).values.tolist()
        [['dropout', -0.25, -0.87, 0.37]]
    """

    level: float = LEVEL

    @classmethod
    def from_scores(
        cls,
        scores: pd.DataFrame,
        *,
        dataset: str,
        baseline: str = "single",
        metric: str = "error",
        rule: str = "mean",
        test_share: float | Mapping[str, float] = 0.0,
    ) -> PairedDifferences:
        """Make the display.

        Args:
            scores: One row for each data set and arm, as studies give them; the clean test part is taken.
            dataset: The names of the data sets.
            baseline: The arm that is subtracted.
            metric: Of what the differences are.
            rule: By which the members of every arm are combined; single networks are taken each alone.
            test_share: n_test / n_train where repetitions are random splits, of all data sets or by name; else 0.

        Raises:
            InputError: As in the finding.
        """
        found = paired_differences(scores, baseline=baseline, metric=metric, rule=rule, test_share=test_share)
        table = found.table
        corrected, several = (table["test_share"] > 0).any(), (table["repetitions"] > 1).any()
        words = f"{'corrected ' if corrected else ''}{interval_words(table['repetitions'])}"
        caption = [
            f"Each arm less the {style.arm_label(baseline)} of the same repetition; left of 0 is "
            f"{'worse' if better_is(metric) > 0 else 'better'} than it.",
            f"Bar: {words}." if several else "One repetition: no interval and no test.",
            "Corrected for splits that share examples (Nadeau and Bengio, 2003)." if corrected else "",
            f"Filled: shown at 5 % by the t-test, Holm over {found.told['tests']} tests." if several else "",
            f"In brackets: networks or passes. Data: {dataset}.",
            left_out(table),
        ]
        return cls(
            table,
            title=f"Paired differences to the {style.arm_label(baseline)}: {dataset}",
            interval=f"bar: {words}" if several else "no interval: one repetition",
            caption=" ".join(filter(None, caption)),
        )

    def _mosaic(self) -> list[list[int]]:
        return [[0]]

    def _height(self) -> float:
        lines = self.table.drop_duplicates("dataset")["dataset"].map(_words).str.count("\n").add(1)
        arms = self.table.drop_duplicates(ROW)
        return float(0.7 + (lines * 0.16).clip(lower=0.1 + 0.1 * len(arms)).sum())

    def _draw(self, axes: AxesArray) -> list[Artist]:
        (ax,) = axes
        metric = str(self.table["metric"].iloc[0])
        styles = style.arm_styles(self.table["arm"])
        table = in_units(self.table, metric)
        ax.axvline(0, color="0.3", linewidth=1)
        handles: list[Artist] = []
        key: Any
        for key, rows in table.groupby(ROW, sort=False):
            color, marker = styles[key[0]]
            finite = rows[np.isfinite(rows["value"])]
            ax.hlines(finite["row"], finite["low"], finite["high"], color=color, linewidth=1.6, alpha=0.55)
            for shown in (True, False):
                dots = finite[finite["shown"] == shown]
                look: dict[str, Any] = {"linestyle": "", "marker": marker, "color": color}
                ax.plot(dots["value"], dots["row"], markerfacecolor=color if shown else "white", **look)
            (handle,) = ax.plot([], [], color=color, marker=marker, label=style.arm_label(*key))
            handles.append(handle)
        names = table["dataset"].unique()
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.set_yticks(range(len(names)), [_words(name) for name in names], parse_math=False)
        ax.tick_params(axis="y", length=0)
        ax.grid(False, axis="y")
        name_axes(ax, xlabel=style.difference_label(metric))
        return handles


def _words(name: object) -> str:
    return style.wrap(str(name), 32, lines=2)
