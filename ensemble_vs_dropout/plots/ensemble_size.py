"""How much do more networks, or more passes, help?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist

from ensemble_vs_dropout.evaluation.arms import ARMS
from ensemble_vs_dropout.evaluation.findings.ensemble_size import ensemble_size
from ensemble_vs_dropout.evaluation.findings.repetitions import NUMBERS
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import AxesArray, Display, draw_line, fold, integer_ticks, name_axes


@dataclass(frozen=True, eq=False, repr=False)
class EnsembleSize(Display):
    """Quality against the number of networks or passes, one panel per metric, one line per arm and rule.

    `table` is that of `evaluation.findings.ensemble_size`, which says what enters and what is refused.

    Example:
        >>> points = {"arm": "ensemble", "rule": "mean", "members": [1, 5], "metric": "error", "value": [0.2, 0.1]}
        >>> curves = pd.DataFrame(points | {"low": 0.0, "high": 0.3})
        >>> EnsembleSize.from_curves(curves, dataset="digits", interval="95 % bootstrap").frame().value.tolist()
        [0.2, 0.1]
    """

    @classmethod
    def from_curves(
        cls,
        curves: pd.DataFrame,
        *,
        dataset: str,
        interval: str = "95 % bootstrap over examples",
        references: pd.DataFrame | None = None,
    ) -> EnsembleSize:
        """Make the display of the data set named `dataset`, where low and high of the curves are an `interval`.

        `references` are drawn as dashed lines.
        """
        table = ensemble_size(curves, references=references).table
        caption = [f"Quality on {dataset}. Band: {interval}.", style.direction(table["metric"].unique())]
        own = [style.arm_label(arm) for arm in table["arm"].unique() if arm in ARMS and ARMS[arm].own]
        if own:
            alone = "the first network of each repetition, where tables average over all networks"
            caption.append(f"{', '.join(own)}: of {alone}.")
        if (table["role"] == "reference").any():
            caption.append("Dashed: one fixed prediction for comparison.")
        return cls(
            table,
            title=f"How much do more networks or passes help? Data: {dataset}",
            interval=f"band: {interval}",
            caption=" ".join(filter(None, [*caption, _left_out(table)])),
        )

    def _metrics(self) -> list[str]:
        return list(self.table["metric"].unique())

    def _mosaic(self) -> list[list[int]]:
        return fold(range(len(self._metrics())), columns=3)

    def _height(self) -> float:
        return 2.4

    def _draw(self, axes: AxesArray) -> list[Artist]:
        styles = style.arm_styles(self.table["arm"])
        handles: dict[Any, Artist] = {}
        for ax, metric in zip(axes, self._metrics(), strict=True):
            panel = self.table[self.table["metric"] == metric]
            panel = panel.assign(**{name: panel[name] * style.metric_scale(metric) for name in NUMBERS})
            ax.set_xscale("log")
            key: Any
            for key, rows in panel.groupby(["role", "arm", "rule"], sort=False, dropna=False):
                role, arm, rule = key
                color, marker = styles[arm]
                if role == "reference":
                    label = _reference_label(rows.iloc[0])
                    level = rows["value"].where(np.isfinite(rows["value"])).iloc[0]
                    handle: Artist = ax.axhline(level, color=color, linestyle="--", label=label)
                else:
                    label, line = style.arm_label(arm, rule), style.LINES.get(rule, "-")
                    x = rows["members"].to_numpy(dtype=int)
                    handle = draw_line(ax, x, rows, color, marker=marker, linestyle=line, label=label)
                handles.setdefault(key, handle)
            integer_ticks(ax, panel["members"][panel["role"] == "curve"].unique())
            name_axes(ax, xlabel="networks (ensemble)\nor passes (MC dropout)", ylabel=style.metric_label(metric))
        return list(handles.values())


def _reference_label(row: pd.Series) -> str:
    rule, members = (None if pd.isna(row[name]) else row[name] for name in ("rule", "members"))
    return style.arm_label(row["arm"], rule, members)


def _left_out(table: pd.DataFrame) -> str:
    """Return the sentence that names what cannot be drawn."""
    lost = table[~np.isfinite(table["value"].astype(float))]
    names = [
        f"{style.metric_label(metric)} of {style.arm_label(arm, None if pd.isna(rule) else rule)}"
        for arm, rule, metric in lost[["arm", "rule", "metric"]].drop_duplicates().itertuples(index=False)
    ]
    return f"Not drawn where infinite or undefined: {'; '.join(names)}." if names else ""
