"""What would endlessly many networks or passes reach, and how fast is it approached?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from ensemble_vs_dropout.evaluation.findings.power_law import power_law
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import AxesArray, Display, draw_line, fold, integer_ticks, name_axes


@dataclass(frozen=True, eq=False, repr=False)
class PowerLaw(Display):
    """Quality against the number n of members with the law c + b n^-a, and what is left above c on two log axes.

    `table` is that of `evaluation.findings.power_law`.

    Lobacheva et al. (2020) fit the calibrated NLL. For the Brier score of a mean of members of equal weight a = 1 is
    no fit but exact, over all subsets of a pool.

    Example:
        >>> points = {"arm": "ensemble", "rule": "mean", "members": [1, 2, 4], "metric": "brier"}
        >>> curves = pd.DataFrame(points | {"value": [0.5, 0.4, 0.35], "low": 0.3, "high": 0.6})
        >>> law = PowerLaw.from_curves(curves, dataset="digits").frame().iloc[0]
        >>> law[["limit", "gain", "power"]].astype(float).round(6).tolist()
        [0.3, 0.2, 1.0]
    """

    @classmethod
    def from_curves(
        cls, curves: pd.DataFrame, *, dataset: str, interval: str = "95 % bootstrap over examples"
    ) -> PowerLaw:
        """Make the display.

        Args:
            curves: Columns arm, rule, members, metric, value, low, high, as `size_curves` makes them from members of
                equal weight; of the metrics nll, calibrated_nll and brier are drawn. Where mc_error is given and above
                0, the Brier score need not follow the law exactly.
            dataset: The name of the data set.
            interval: What low and high are.

        Raises:
            InputError: A missing column, several rows for one point, no curve with enough finite points (four, or two
                for the Brier score), or a Brier score off the law that it must follow.
        """
        finding = power_law(curves)
        lost = finding.told["lost"]
        short = [
            f"{style.metric_label(metric)} of {style.arm_label(arm, rule)}"
            for metric, arm, rule in finding.told["short"]
        ]
        caption = [
            f"Quality on {dataset}. Band: {interval}.",
            "Line: the law c + b/n^a with n networks or passes, fitted by least squares with c at least 0; for the",
            "Brier score of the mean a = 1, an exact law.",
            "Dotted: c, the limit of endlessly many. Below: what is above c; points at or under c have no place there.",
            f"Too few points to fit: {'; '.join(short)}." if short else "",
            f"Left out: {lost} infinite or undefined values." if lost else "",
            "Lower is better.",
        ]
        return cls(
            finding.table,
            title=f"Does quality follow a power law in the number of members? Data: {dataset}",
            interval=f"band: {interval}",
            caption=" ".join(filter(None, caption)),
            facts=finding.facts,
        )

    def _metrics(self) -> list[str]:
        return list(self.table["metric"].unique())

    def _mosaic(self) -> list[list[int]]:
        metrics = len(self._metrics())
        return fold(range(metrics), columns=3) + fold(range(metrics, 2 * metrics), columns=3)

    def _height(self) -> float:
        return 2.2

    def _draw(self, axes: AxesArray) -> list[Artist]:
        styles, handles = style.arm_styles(self.table["arm"]), {}
        metrics = self._metrics()
        panels = [(panel, metric) for panel in ("quality", "excess") for metric in metrics]
        for ax, (panel, metric) in zip(axes, panels, strict=True):
            whole = self.table[(self.table["panel"] == panel) & (self.table["metric"] == metric)]
            ax.set_xscale("log")
            if (whole["value"] > 0).any() and panel == "excess":
                ax.set_yscale("log")
                ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
                ax.yaxis.set_minor_locator(NullLocator())
            key: Any
            for key, rows in whole.groupby(["arm", "rule", "role"], sort=False):
                arm, rule, role = key
                color, marker = styles[arm]
                line: Any = style.LINES.get(rule, "-")
                x = rows["members"].to_numpy(dtype=float)
                if role == "measured":
                    label = style.arm_label(arm, rule)
                    draw_line(ax, x, rows, color, marker=marker, linestyle="", label=label)
                    handles[arm, rule] = Line2D([], [], color=color, marker=marker, linestyle=line, label=label)
                elif role == "fit":
                    ax.plot(x, rows["value"], color=color, linestyle=line, label="_fit")
                else:
                    ax.axhline(rows["value"].iloc[0], color=color, linestyle=(0, (1, 2)), linewidth=0.9, label="_limit")
            integer_ticks(ax, whole["members"][whole["role"] == "measured"].astype(int).unique())
            label = style.metric_label(metric)
            name_axes(
                ax,
                xlabel="networks or passes, n",
                ylabel=label if panel == "quality" else f"{label}\nabove the limit c",
            )
        return list(handles.values())
