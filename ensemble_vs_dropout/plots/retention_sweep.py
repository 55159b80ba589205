"""How many units should dropout keep?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.artist import Artist

from ensemble_vs_dropout.evaluation.findings.retention_sweep import retention_sweep
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import AxesArray, Display, draw_line, name_axes
from ensemble_vs_dropout.plots.repetitions import in_units, interval_words, left_out

PANELS = {"fixed": "units fixed: n the same for every p", "scaled": "kept units fixed: p n the same for every p"}
LINES = {"test": "-", "train": "--"}


@dataclass(frozen=True, eq=False, repr=False)
class RetentionSweep(Display):
    """Which keep probability? Train and test error of the weight-scaled network against p, after Srivastava 2014.

    The left panel keeps the number of units n (Figure 9a of Srivastava et al. 2014, JMLR 15), the right one the number
    p n of units that are kept on average (Figure 9b), where there is one. The network without dropout is p = 1.

    `table` is that of `evaluation.findings.retention_sweep`, which says what enters and what is refused.

    Example:
        >>> points = {"rate": [0.5, 0.2], "arm": "dropout", "rule": "mean", "members": 1, "metric": "error"}
        >>> scores = pd.DataFrame(points | {"value": [0.1, 0.08], "low": 0.07, "high": 0.12})
        >>> RetentionSweep.from_scores(scores, dataset="digits").frame()[["p", "value"]].values.tolist()
        [[0.5, 0.1], [0.8, 0.08]]
    """

    @classmethod
    def from_scores(
        cls, scores: pd.DataFrame, *, dataset: str, scaled: pd.DataFrame | None = None, metric: str = "error"
    ) -> RetentionSweep:
        """Make the display.

        Args:
            scores: One row for each rate and arm, of networks of one width, as studies give them.
            dataset: The name of the data set.
            scaled: Likewise of networks that are as much wider as fewer units are kept, or None.
            metric: Whose values are drawn.

        Raises:
            InputError: As in the finding.
        """
        found = retention_sweep(scores, scaled=scaled, metric=metric)
        words = interval_words(found.table["repetitions"])
        caption = [
            f"{style.metric_label(metric)} of one dropout network with scaled weights, without passes, against p, the",
            "probability to keep a unit: rate = 1 - p. Grey, at p = 1: the network without dropout.",
            f"Band and bar: {words}.",
            f"Data: {dataset}.",
            left_out(found.table),
        ]
        return cls(
            found.table,
            title=f"Which keep probability? Data: {dataset}",
            interval=f"band: {words}",
            caption=" ".join(filter(None, caption)),
            facts=found.facts,
        )

    def _mosaic(self) -> list[list[int]]:
        return [list(range(self.table["panel"].nunique()))]

    def _height(self) -> float:
        return 2.6

    def _draw(self, axes: AxesArray) -> list[Artist]:
        styles = style.arm_styles(["dropout", "single"])
        metric = self.table["metric"].iloc[0]
        handles: dict[tuple[str, str], Artist] = {}
        for ax, panel in zip(axes, self.table["panel"].unique(), strict=True):
            rows = in_units(self.table[self.table["panel"] == panel], metric)
            for arm in ("dropout", "single"):
                for split, line in LINES.items():
                    points = rows[(rows["arm"] == arm) & (rows["split"] == split)]
                    if points.empty:
                        continue
                    color, marker = styles[arm]
                    name = style.arm_label(arm) if arm == "dropout" else "network without dropout"
                    look = {
                        "marker": marker,
                        "linestyle": line if arm == "dropout" else "",
                        "label": f"{name}, {split}",
                    }
                    face = color if split == "test" else "white"
                    handle = draw_line(ax, points["p"], points, color, markerfacecolor=face, **look)
                    handles.setdefault((arm, split), handle)
            ax.set_xlim(0, 1.04)
            ax.set_xticks(np.linspace(0, 1, 6))
            label = "p (probability to keep a unit)"
            name_axes(ax, xlabel=label, ylabel=style.metric_label(metric), title=PANELS[panel])
        limits = [ax.get_ylim() for ax in axes]
        for ax in axes:
            ax.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
        return list(handles.values())
