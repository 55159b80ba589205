"""On which data sets does an arm differ from a baseline?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.measures.significance import corrected_t_test, holm
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import AxesArray, Display, name_axes, require
from ensemble_vs_dropout.plots.repetitions import (
    ROW,
    better_is,
    choose,
    differences,
    in_units,
    interval_words,
    left_out,
    summarise,
)

LEVEL = 0.05


@dataclass(frozen=True, eq=False)
class PairedDifferences(Display):
    """On which data sets does an arm differ from the baseline, and by how much? A forest of paired differences.

    The interval is that of the corrected resampled t-test (Nadeau and Bengio, 2003, Machine Learning 52), which allows
    for random splits of one data set that share examples; the p-values are that test's.

    `table` has the columns dataset, arm, rule, members, metric, row (from 0 at the top; arms lie side by side within
    it), value (the arm less the baseline, mean over repetitions), low, high, repetitions, test_share, t, p_value,
    p_adjusted (Holm, over all points), shown.
    """

    level: float = LEVEL

    @classmethod
    def from_scores(
        cls,
        scores: pd.DataFrame,
        *,
        data: str,
        baseline: str = "single",
        metric: str = "error",
        rule: str = "mean",
        test_share: float | Mapping[str, float] = 0.0,
    ) -> PairedDifferences:
        """Make the display.

        Args:
            scores: Columns dataset, arm, rule, members, metric, value, low, high, repetition; split, condition and
                severity where they are there (the clean test part is taken).
            data: The name of the collection of data sets.
            baseline: The arm that is subtracted, repetition by repetition.
            metric: Of what the differences are.
            rule: By which the members of every arm are combined; single networks are taken each alone.
            test_share: n_test / n_train where the repetitions are random splits of one data set, of all data sets or
                by name; 0 (the plain paired t-test) where they are seeds on one split.

        Raises:
            InputError: A missing column, a baseline, metric or data set that is not there, a share below 0, or several
                rows for one point.
        """
        rows = differences(choose(scores, [metric], ["dataset"], rule=rule), ["dataset"], baseline)
        share = rows["dataset"].map(test_share) if isinstance(test_share, Mapping) else float(test_share)
        rows = rows.assign(test_share=share)
        if not (np.isfinite(rows["test_share"]) & (rows["test_share"] >= 0)).all():
            raise InputError(f"test_share must be n_test / n_train >= 0 of every data set, got {test_share!r}")
        keys = ["dataset", *ROW, "metric"]
        table = summarise(rows, [*keys, "test_share"], rows["test_share"])
        tests = [_tested(group) for _, group in rows.groupby([*keys, "test_share"], sort=False, dropna=False)]
        table[["t", "p_value"]] = tests
        table["p_adjusted"] = holm(table["p_value"].astype(float))
        table["shown"] = table["p_adjusted"] < LEVEL
        lines = table.groupby("dataset", sort=False).ngroup()
        arms = table.groupby(ROW, sort=False).ngroup()
        table.insert(5, "row", lines + (arms - arms.max() / 2) * 0.7 / (arms.max() + 1))
        corrected = (table["test_share"] > 0).any()
        words = f"{'corrected ' if corrected else ''}{interval_words(table['repetitions'])}"
        several = (table["repetitions"] > 1).any()
        caption = [
            f"Each arm less the {style.arm_label(baseline)} of the same repetition; left of 0 is "
            f"{'worse' if better_is(metric) > 0 else 'better'} than it.",
            f"Bar: {words}." if several else "One repetition: no interval and no test.",
            "Corrected for splits that share examples (Nadeau and Bengio, 2003)." if corrected else "",
            f"Filled: shown at 5 % by the t-test, Holm over {int(table['p_value'].notna().sum())} tests."
            if several
            else "",
            f"In brackets: networks or passes. Data: {data}.",
            left_out(table),
        ]
        return cls(
            table,
            title=f"Paired differences to the {style.arm_label(baseline)}: {data}",
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
        name_axes(ax, xlabel=f"difference in {style.metric_label(metric)}")
        return handles


def _words(name: object) -> str:
    return style.wrap(str(name), 32, lines=2)


def _tested(rows: pd.DataFrame) -> tuple[float, float]:
    """Return t and p of the differences, NaN of a single one."""
    values = rows["value"].to_numpy(dtype=float)
    if len(values) < 2:
        return float("nan"), float("nan")
    t, p = corrected_t_test(values, float(rows["test_share"].iloc[0]))
    naive, _ = corrected_t_test(values, 0.0)
    require(
        "the corrected t is no larger than the naive one", not abs(t) > abs(naive) + 1e-9, f"{t:.4g} and {naive:.4g}"
    )
    return t, p
