"""What does quality cost?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullFormatter

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation.evaluator import SCORE_COLUMNS
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import AxesArray, Display, Fact, check_table, fold, name_axes, require
from ensemble_vs_dropout.plots.repetitions import (
    NUMBERS,
    ROW,
    better_is,
    choose,
    in_units,
    interval_words,
    left_out,
    summarise,
)

COSTS = {
    "parameters": "parameters to store",
    "multiply_adds": "multiply-adds\nfor one prediction",
    "trained_multiply_adds": "multiply-adds of training\n(forward)",
    "trained": "trained examples times parameters",
}
# Which arm stores as much as another, or as many times as it has members.
STORES = [
    ("ensemble", "single", True),
    ("dropout_ensemble", "dropout", True),
    ("mc_dropout", "dropout", False),
    ("dropout", "single", False),
]
SAME = 1.2  # budgets of parameters within 20 % are one: biases and widths of whole units do not add up exactly
MARKS = "osD^vP"


@dataclass(frozen=True, eq=False)
class CostFrontier(Display):
    """What do you get per parameter, per multiply-add and per unit of training? One point per arm and configuration.

    Lines join the widths of one arm. Where networks of several widths are combined so that their parameters add up to
    the same within 20 %, a last panel shows how to split a memory budget (Lobacheva et al., 2020, NeurIPS; Kondratyuk
    et al., 2020; after Table S1 of Ovadia et al., 2019).

    `table` has the columns panel (the cost, or "split"), the keys of the study, arm, rule, members, metric, x (the
    cost; in "split" the number of networks), budget (in "split" the parameters of all networks), value, low, high,
    repetitions.
    """

    keys: tuple[str, ...] = ()

    @classmethod
    def from_tables(
        cls, scores: pd.DataFrame, costs: pd.DataFrame, *, data: str, metric: str = "error", rule: str = "mean"
    ) -> CostFrontier:
        """Make the display.

        Args:
            scores: Columns arm, rule, members, metric, value, low, high, the varied keys (width and others), and
                repetition, split, condition, severity where they are there (the clean test part is taken).
            costs: The columns of `evaluation.cost.cost_table` with the same keys: arm, parameters, multiply_adds,
                trained_multiply_adds or trained. Several repetitions are averaged. What is NaN has no panel or point.
            data: The name of the data set.
            metric: What is drawn.
            rule: By which the members of every arm are combined; single networks are taken each alone.

        Raises:
            InputError: A missing column, an arm without a cost, several rows for one point, or parameters that do not
                fit the numbers of networks.
        """
        keys = [str(name) for name in costs if name in scores and name not in SCORE_COLUMNS]
        priced_by = [*keys, *(name for name in ("arm", "members") if name in costs)]
        once = [*priced_by, *(["repetition"] if "repetition" in costs else [])]
        check_table("costs", costs, ["arm", "parameters"], once, ["parameters"])
        points = summarise(choose(scores, [metric], keys, rule=rule), [*keys, *ROW, "metric"])
        known = [name for name in COSTS if name in costs and np.isfinite(costs[name].astype(float)).any()]
        known = [name for name in known if name != "trained" or "trained_multiply_adds" not in known]
        priced = costs.groupby(priced_by, dropna=False, as_index=False)[known].mean()
        joined = points.merge(priced, on=priced_by)
        lacking = sorted(set(points["arm"]) - set(joined["arm"]))
        if lacking:
            raise InputError(f"costs must have a row for every arm of scores, got none for {', '.join(lacking)}")
        _check_stores(joined, keys)
        tables = [joined.assign(panel=name, x=joined[name], budget=np.nan) for name in known]
        split = _split(joined)
        table = pd.concat([*tables, split] if len(split) else tables)
        table = table[[*["panel"], *keys, *ROW, "metric", "x", "budget", *NUMBERS, "repetitions"]]
        table = table[np.isfinite(table["x"].astype(float))].reset_index(drop=True)
        words = interval_words(table["repetitions"])
        widths = sorted(joined["width"].unique()) if "width" in keys else []
        caption = [
            f"Point: one arm and configuration ({', '.join(keys)})." if keys else "Point: one arm.",
            f"Lines join the widths {', '.join(f'{width:g}' for width in widths)} of one arm."
            if len(widths) > 1
            else "",
            f"Bar: {words}. In brackets: networks or passes.",
            "Last panel: networks of which all parameters add up to the same within 20 % (the fewest are named)."
            if len(split)
            else "",
            f"Data: {data}.",
            style.direction([metric]),
            left_out(table),
        ]
        return cls(
            table,
            title=f"What does quality cost? Data: {data}",
            interval=f"bar: {words}",
            caption=" ".join(filter(None, caption)),
            facts=tuple(_facts(split)),
            keys=tuple(keys),
        )

    def _panels(self) -> list[str]:
        return list(self.table["panel"].unique())

    def _mosaic(self) -> list[list[int]]:
        count = len(self._panels())
        return fold(range(count), columns=2 if count == 4 else 3)

    def _height(self) -> float:
        return 2.3

    def _draw(self, axes: AxesArray) -> list[Artist]:
        styles, metric = style.arm_styles(self.table["arm"]), str(self.table["metric"].iloc[0])
        handles: dict[Any, Artist] = {}
        others = [name for name in self.keys if name != "width"]
        members = self.table.groupby(["arm", "rule"])["members"].unique()
        for ax, panel in zip(axes, self._panels(), strict=True):
            rows = in_units(self.table[self.table["panel"] == panel], metric)
            name_axes(ax, ylabel=style.metric_label(metric))
            if panel == "split":
                _draw_split(ax, rows)
                continue
            key: Any
            for key, line in rows.groupby([*ROW, *others], sort=False, dropna=False):
                color, marker = styles[key[0]]
                sizes = sorted(members[key[:2]])
                number = ", ".join(map(str, sizes)) if len(sizes) > 1 else sizes[0]
                label = style.arm_label(key[0], key[1], number)
                _draw_points(ax, line.sort_values("x"), color, marker, "-", label)
                handles.setdefault(key[:2], Line2D([], [], color=color, marker=marker, label=label))
            ax.set_xscale("log")
            decades = np.log10(rows["x"].max() / rows["x"].min())
            ax.xaxis.set_major_locator(
                LogLocator(subs=(1, 2, 5) if decades < 1.2 else (1, 3) if decades < 2.2 else (1,))
            )
            ax.xaxis.set_major_formatter(EngFormatter(sep=""))
            ax.xaxis.set_minor_formatter(NullFormatter())
            name_axes(ax, xlabel=COSTS[panel])
        return list(handles.values())


def _draw_points(ax: Axes, rows: pd.DataFrame, color: str, marker: str, line: str, label: str) -> None:
    finite = rows[np.isfinite(rows["value"])]
    ends = finite[np.isfinite(finite[["low", "high"]]).all(axis=1)]
    ax.vlines(ends["x"], ends["low"], ends["high"], color=color, alpha=0.5)
    ax.plot(finite["x"], finite["value"], color=color, marker=marker, linestyle=line, label=label)


def _draw_split(ax: Axes, rows: pd.DataFrame) -> None:
    """Draw one line for each budget, named at its end."""
    for place, (budget, line) in enumerate(rows.groupby("budget")):
        color = style.COLORS[(3, 7, 8, 5, 6, 9)[place % 6]]
        _draw_points(ax, line.sort_values("x"), color, MARKS[place % len(MARKS)], "-", f"{budget:,.0f} parameters")
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    ax.legend(fontsize="small", title="in all networks together", title_fontsize="small")
    name_axes(ax, xlabel="networks that share the parameters")


def _check_stores(points: pd.DataFrame, keys: Sequence[str]) -> None:
    """Refuse parameters that contradict what each arm stores."""
    for arm, other, each in STORES:
        one, many = (points[points["arm"] == name] for name in (other, arm))
        pairs = (
            many.merge(one, on=list(keys), suffixes=("", "_of_other"))
            if keys
            else many.merge(one, how="cross", suffixes=("", "_of_other"))
        )
        expected = pairs["parameters_of_other"] * (pairs["members"] if each else 1)
        numbers = f"{pairs['parameters'].tolist()} and {expected.tolist()}"
        times = "the number of members times those" if each else "those"
        require(
            f"parameters of {arm!r} are {times} of {other!r}",
            np.allclose(pairs["parameters"], expected, rtol=1e-6),
            numbers,
        )


def _split(points: pd.DataFrame) -> pd.DataFrame:
    """Return the networks without dropout of which several numbers have the same parameters together, within 20 %."""
    rows = points[points["arm"].isin(["single", "ensemble"])].sort_values("parameters", kind="stable")
    starts, budget = [], 0.0
    for parameters in rows["parameters"]:
        budget = budget if budget and parameters <= SAME * budget else float(parameters)
        starts.append(budget)
    rows = rows.assign(panel="split", x=rows["members"].astype(float), budget=starts)
    rows = rows.drop_duplicates(["budget", "members"])
    return rows[rows.groupby("budget")["members"].transform("nunique") > 1]


def _facts(split: pd.DataFrame) -> list[Fact]:
    if split.empty or split["budget"].nunique() < 2:
        return []
    sign = better_is(str(split["metric"].iloc[0]))
    best = split.loc[(sign * split["value"]).groupby(split["budget"]).idxmax()].set_index("budget")["members"]
    numbers = "; ".join(f"{budget:,.0f} parameters: {members}" for budget, members in best.items())
    return [
        Fact("The largest budget is best split among several networks", bool(best.iloc[-1] > 1), numbers),
        Fact("The smallest budget is best spent on one network", bool(best.iloc[0] == 1), numbers),
    ]
