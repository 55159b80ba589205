"""From how many training examples on does each method help?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, NullFormatter

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import AxesArray, Display, Fact, draw_line, name_axes
from ensemble_vs_dropout.plots.repetitions import (
    ROW,
    better_is,
    choose,
    differences,
    in_units,
    interval_words,
    left_out,
    summarise,
    told,
)


@dataclass(frozen=True, eq=False)
class DatasetSize(Display):
    """When does each method help? Quality against training examples, and the paired gain over one network.

    Extends Figure 10 of Srivastava et al. (2014, JMLR 15) to ensembles and MC dropout.

    `table` has the columns panel ("metric"; "gain": better than the baseline of the same repetition by so much), arm,
    rule, members, train_size, metric, value, low, high, repetitions.
    """

    @classmethod
    def from_scores(
        cls,
        scores: pd.DataFrame,
        *,
        data: str,
        metric: str = "error",
        rule: str = "mean",
        baseline: str = "single",
    ) -> DatasetSize:
        """Make the display.

        Args:
            scores: Columns train_size, arm, rule, members, metric, value, low, high, and repetition, split, condition,
                severity where they are there (the clean test part is taken).
            data: The name of the data set.
            metric: What is drawn.
            rule: By which the members of every arm are combined; single networks are taken each alone.
            baseline: The arm that gains are over.

        Raises:
            InputError: A missing column or size, a metric or arm that is not there, or several rows for one point.
        """
        rows = choose(scores, [metric], ["train_size"], rule=rule)
        if not pd.api.types.is_numeric_dtype(rows["train_size"]) or not rows["train_size"].gt(0).all():
            raise InputError(
                "train_size must be a number above 0 in every row; give the whole training part its number of examples"
            )
        gains = differences(rows, ["train_size"], baseline)
        gains["value"] *= better_is(metric)
        keys = ["panel", *ROW, "train_size", "metric"]
        table = summarise(pd.concat([rows.assign(panel="metric"), gains.assign(panel="gain")]), keys)
        order = {"panel": ["metric", "gain"], "arm": list(table["arm"].unique())}
        places = {name: table[name].map(values.index) for name, values in order.items()}
        table = table.loc[table.assign(**places).sort_values(["panel", "arm", "train_size"], kind="stable").index]
        words = interval_words(table["repetitions"])
        unsure = table["panel"].eq("gain") & table["low"].isna()
        caption = [
            f"Above: {style.metric_label(metric)}; below: by how much each arm is better than the "
            f"{style.arm_label(baseline)} of the same repetition. Band: {words}.",
            "Gains without a band are of one repetition." if unsure.any() else "",
            f"In brackets: networks or passes combined by the rule before. Data: {data}.",
            style.direction([metric]),
            left_out(table),
        ]
        return cls(
            table.reset_index(drop=True),
            title=f"From how many training examples on does it help? Data: {data}",
            interval=f"band: {words}",
            caption=" ".join(filter(None, caption)),
            facts=tuple(_facts(table, metric)),
        )

    def _mosaic(self) -> list[list[int]]:
        return [[0], [1]]

    def _height(self) -> float:
        return 2.0

    def _draw(self, axes: AxesArray) -> list[Artist]:
        styles, metric = style.arm_styles(self.table["arm"]), self.table["metric"].iloc[0]
        handles: dict[Any, Artist] = {}
        for ax, panel in zip(axes, ("metric", "gain"), strict=True):
            ax.set_xscale("log")
            key: Any
            rows = in_units(self.table[self.table["panel"] == panel], metric)
            for key, curve in rows.groupby(ROW, sort=False):
                color, marker = styles[key[0]]
                look = {"marker": marker, "linestyle": style.LINES.get(key[1], "-"), "label": style.arm_label(*key)}
                handles.setdefault(key, draw_line(ax, curve["train_size"], curve, color, **look))
            _size_ticks(ax, self.table["train_size"].unique())
            name_axes(ax, xlabel="training examples")
        axes[1].axhline(0, color="0.4", linewidth=0.8)
        name_axes(axes[0], ylabel=style.metric_label(metric))
        name_axes(axes[1], ylabel=f"gain in\n{style.metric_label(metric)}")
        return list(handles.values())


def _size_ticks(ax: Axes, sizes: np.ndarray) -> None:
    """Put the sizes themselves on the log axis where they are few, else leave it its powers of ten."""
    if len(sizes) <= 8:
        ax.set_xticks(sorted(sizes))
        ax.set_xticks([], minor=True)
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    ax.xaxis.set_minor_formatter(NullFormatter())
    if len(sizes) == 1:
        ax.set_xlim(sizes[0] / 2, sizes[0] * 2)


def _facts(table: pd.DataFrame, metric: str) -> list[Fact]:
    name = style.metric_label(metric)
    panels = {panel: rows.set_index("train_size") for panel, rows in table.groupby("panel")}
    facts = []
    curves = {style.arm_label(arm): rows["value"] for arm, rows in panels["metric"].groupby("arm", sort=False)}
    if all(len(curve) > 1 for curve in curves.values()):
        held = all((better_is(metric) * curve.diff().dropna() > 0).all() for curve in curves.values())
        ends = "; ".join(f"{arm}: {told(curve.iloc[[0, -1]], metric)}" for arm, curve in curves.items())
        facts.append(Fact(f"Every arm gets better in {name} with each larger training part", held, ends))
    gains = {arm: rows for arm, rows in panels["gain"].groupby("arm", sort=False)}
    if "dropout" in gains:
        gain = gains["dropout"]
        first = gain.index[0]
        if first <= 500:
            reach = gain["low"].fillna(gain["value"]).iloc[0]
            statement = f"With {first:,.0f} training examples no gain of dropout (weight scaling) is shown"
            facts.append(Fact(statement, bool(reach <= 0), told(gain[["value", "low", "high"]].iloc[0], metric)))
        if len(gain) > 2:
            peak = int(gain["value"].to_numpy().argmax())
            statement = "Dropout (weight scaling) gains most between the smallest and the largest training part"
            facts.append(
                Fact(statement, 0 < peak < len(gain) - 1, f"most at {gain.index[peak]:,.0f} training examples")
            )
    if "ensemble" in gains:
        values = gains["ensemble"]["value"]
        statement = "The ensemble's mean gain over the baseline is at least 0 at every size"
        facts.append(Fact(statement, bool((values >= 0).all()), told(values, metric)))
    return facts
