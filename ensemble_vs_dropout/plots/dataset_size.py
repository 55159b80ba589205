"""From how many training examples on does each method help?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, NullFormatter

from ensemble_vs_dropout.evaluation.findings.dataset_size import dataset_size
from ensemble_vs_dropout.evaluation.findings.repetitions import ROW
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import AxesArray, Display, draw_line, name_axes
from ensemble_vs_dropout.plots.repetitions import in_units, interval_words, left_out


@dataclass(frozen=True, eq=False, repr=False)
class DatasetSize(Display):
    """When does each method help? Quality against training examples, and the paired gain over one network.

    Extends Figure 10 of Srivastava et al. (2014, JMLR 15) to ensembles and MC dropout.

    `table` is that of `evaluation.findings.dataset_size`, which says what enters and what is refused.

    Example:
        >>> points = {"train_size": 100, "arm": ["single", "ensemble"], "rule": "mean", "members": [1, 5]}
        >>> scores = pd.DataFrame(points | {"metric": "error", "value": [0.5, 0.25], "low": 0.2, "high": 0.6})
        >>> DatasetSize.from_scores(scores, dataset="digits").frame()[["panel", "arm", "value"]].values.tolist()
        [['metric', 'single', 0.5], ['metric', 'ensemble', 0.25], ['gain', 'ensemble', 0.25]]
    """

    @classmethod
    def from_scores(
        cls,
        scores: pd.DataFrame,
        *,
        dataset: str,
        metric: str = "error",
        rule: str = "mean",
        baseline: str = "single",
    ) -> DatasetSize:
        """Make the display.

        Args:
            scores: One row for each train_size and arm, as studies give them; the clean test part is taken.
            dataset: The name of the data set.
            metric: Whose values are drawn.
            rule: By which the members of every arm are combined; single networks are taken each alone.
            baseline: The arm that gains are over.

        Raises:
            InputError: As in the finding.
        """
        found = dataset_size(scores, metric=metric, rule=rule, baseline=baseline)
        words = interval_words(found.table["repetitions"])
        unsure = found.table["panel"].eq("gain") & found.table["low"].isna()
        caption = [
            f"Above: {style.metric_label(metric)}; below: by how much each arm is better than the "
            f"{style.arm_label(baseline)} of the same repetition. Band: {words}.",
            "Gains without a band are of one repetition." if unsure.any() else "",
            f"In brackets: networks or passes combined by the rule before. Data: {dataset}.",
            style.direction([metric]),
            left_out(found.table),
        ]
        return cls(
            found.table,
            title=f"From how many training examples on does it help? Data: {dataset}",
            interval=f"band: {words}",
            caption=" ".join(filter(None, caption)),
            facts=found.facts,
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
