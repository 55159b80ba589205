"""What does quality cost?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullFormatter

from ensemble_vs_dropout.evaluation.findings.cost_frontier import cost_frontier
from ensemble_vs_dropout.evaluation.findings.repetitions import ROW
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import AxesArray, Display, fold, name_axes
from ensemble_vs_dropout.plots.repetitions import in_units, interval_words, left_out

COSTS = {
    "parameters": "parameters to store",
    "multiply_adds": "multiply-accumulates (MACs)\nfor one prediction",
    "trained_multiply_adds": "multiply-accumulates (MACs)\nof training (forward)",
    "trained": "trained examples times parameters",
}
MARKS = "osD^vP"
DASHES: list[Any] = ["-", "--", ":", "-."]


@dataclass(frozen=True, eq=False, repr=False)
class CostFrontier(Display):
    """What do you get per parameter, per multiply-accumulate (MAC) and per unit of training?

    One point per arm and configuration; lines join the widths of one arm. Where networks of several widths are combined
    so that their parameters add up to the same within 20 %, a last panel shows how to split a memory budget.

    `table` is that of `evaluation.findings.cost_frontier`, which says what enters and what is refused.

    Example:
        >>> points = {"arm": ["single", "ensemble"], "rule": "mean", "members": [1, 5], "metric": "error"}
        >>> scores = pd.DataFrame(points | {"value": [0.1, 0.08], "low": 0.07, "high": 0.12})
        >>> costs = pd.DataFrame({"arm": ["single", "ensemble"], "parameters": [100, 500]})
        >>> frame = CostFrontier.from_tables(scores, costs, dataset="digits").frame()
        >>> frame[["panel", "arm", "x", "value"]].values.tolist()
        [['parameters', 'single', 100.0, 0.1], ['parameters', 'ensemble', 500.0, 0.08]]
    """

    @classmethod
    def from_tables(
        cls, scores: pd.DataFrame, costs: pd.DataFrame, *, dataset: str, metric: str = "error", rule: str = "mean"
    ) -> CostFrontier:
        """Make the display.

        Args:
            scores: One row for each arm and width, as studies give them; the clean test part is taken.
            costs: One row for each arm and width, as `evaluation.cost.cost_table` gives them.
            dataset: The name of the data set.
            metric: Whose values are drawn.
            rule: By which the members of every arm are combined; single networks are taken each alone.

        Raises:
            InputError: As in the finding.
        """
        found = cost_frontier(scores, costs, metric=metric, rule=rule)
        words = interval_words(found.table["repetitions"])
        widths = ", ".join(f"{width:g}" for width in found.told["widths"])
        split = (found.table["panel"] == "split").any()
        caption = [
            f"Point: one arm and width. Lines join the widths {widths} of one arm." if widths else "Point: one arm.",
            f"Bar: {words}. In brackets: networks or passes.",
            "Last panel: networks of which all parameters add up to the same within 20 % (the fewest are named)."
            if split
            else "",
            f"Data: {dataset}.",
            style.direction([metric]),
            left_out(found.table),
        ]
        return cls(
            found.table,
            title=f"What does quality cost? Data: {dataset}",
            interval=f"bar: {words}",
            caption=" ".join(filter(None, caption)),
            facts=found.facts,
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
        members = self.table.groupby(["arm", "rule"])["members"].unique()
        for ax, panel in zip(axes, self._panels(), strict=True):
            rows = in_units(self.table[self.table["panel"] == panel], metric)
            name_axes(ax, ylabel=style.metric_label(metric))
            if panel == "split":
                _draw_split(ax, rows)
                continue
            key: Any
            for key, line in rows.groupby(ROW, sort=False, dropna=False):
                color, marker = styles[key[0]]
                dashes = DASHES[sorted(members[key[:2]]).index(key[2]) % len(DASHES)]
                label = style.arm_label(*key)
                _draw_points(ax, line.sort_values("x"), color, marker, dashes, label)
                handles.setdefault(key, Line2D([], [], color=color, marker=marker, linestyle=dashes, label=label))
            ax.set_xscale("log")
            decades = np.log10(rows["x"].max() / rows["x"].min())
            ax.xaxis.set_major_locator(
                LogLocator(subs=(1, 2, 5) if decades < 1.2 else (1, 3) if decades < 2.2 else (1,))
            )
            ax.xaxis.set_major_formatter(EngFormatter(sep=""))
            ax.xaxis.set_minor_formatter(NullFormatter())
            name_axes(ax, xlabel=COSTS[panel])
        return list(handles.values())


def _draw_points(ax: Axes, rows: pd.DataFrame, color: str, marker: str, line: Any, label: str) -> None:
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
