"""What would endlessly many networks or passes reach, and how fast is it approached?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter
from scipy.optimize import minimize_scalar

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import (
    AxesArray,
    Display,
    Fact,
    check_table,
    draw_line,
    fold,
    integer_ticks,
    name_axes,
    require,
)
from ensemble_vs_dropout.types import FloatArray

FITTED = ("nll", "calibrated_nll", "brier")
STEEPEST, FLATTEST = 5.0, 0.05  # exponents that are tried
NUMBERS = ["value", "low", "high"]
KEYS = ["arm", "rule", "members", "metric"]


class Law(NamedTuple):
    """value = limit + gain * members ** -power, and how far from it the points lie."""

    limit: float
    gain: float
    power: float
    rmse: float
    r_squared: float

    def __call__(self, members: FloatArray) -> FloatArray:
        """Return the values at these numbers of members."""
        return self.limit + self.gain * np.asarray(members, dtype=float) ** -self.power


@dataclass(frozen=True, eq=False)
class PowerLaw(Display):
    """Quality against the number n of members with the law c + b n^-a, and what is left above c on two log axes.

    `table` has the columns panel ("quality" or "excess"), role ("measured", "fit" or "limit", the c), arm, rule,
    members, metric, value, low, high (NaN but for the measured quality), and of the fit limit (c), gain (b), power (a),
    rmse and r_squared.

    Lobacheva et al. (2020) fit the calibrated NLL. For the Brier score of a mean of members of equal weight a = 1 is
    no fit but exact, over all subsets of a pool.
    """

    @classmethod
    def from_curves(
        cls, curves: pd.DataFrame, *, data: str, interval: str = "95 % bootstrap over examples"
    ) -> PowerLaw:
        """Make the display.

        Args:
            curves: Columns arm, rule, members, metric, value, low, high, as `size_curves` makes them from members of
                equal weight; of the metrics nll, calibrated_nll and brier are drawn. Where mc_error is given and above
                0, the Brier score need not follow the law exactly.
            data: The name of the data set.
            interval: What low and high are.

        Raises:
            InputError: A missing column, several rows for one point, no curve with enough finite points (four, or two
                for the Brier score), or a Brier score that cannot be right.
        """
        check_table("curves", curves, KEYS + NUMBERS, KEYS, ["members", *NUMBERS])
        fitted = curves["metric"].isin(FITTED)
        lost = int(np.count_nonzero(~np.isfinite(curves["value"][fitted])))
        curves = curves[fitted & np.isfinite(curves["value"])]
        tables, facts, short = [], [], []
        for (arm, rule, metric), rows in curves.groupby(["arm", "rule", "metric"], sort=False):
            ordered = rows.sort_values("members")
            exact = metric == "brier" and rule == "mean"
            if len(ordered) < (2 if exact else 4):
                short.append(f"{style.metric_label(metric)} of {style.arm_label(arm, rule)}")
                continue
            n, values = ordered["members"].to_numpy(dtype=float), ordered["value"].to_numpy(dtype=float)
            law = _fit(n, values, 1.0 if exact else None)
            if exact and not ordered.get("mc_error", pd.Series(0.0)).gt(0).any():
                off = float(np.abs(law(n) - values).max())
                require("Brier score = limit + gain / members", off <= 1e-6, f"a difference of {off:.2g} ({arm})")
            tables.append(_tabulate(ordered[KEYS + NUMBERS], law))
            facts.append(_fact(arm, rule, metric, law, len(n)))
        if not tables:
            raise InputError(
                f"curves must hold at least 4 finite points of one of {', '.join(FITTED)} for some arm and rule "
                "(2 of the Brier score of the mean), got none; take more sizes"
            )
        table = pd.concat(tables, ignore_index=True)
        caption = [
            f"Quality on {data}. Band: {interval}.",
            "Line: the law c + b/n^a with n networks or passes, fitted by least squares with c at least 0; for the",
            "Brier score of the mean a = 1, an exact law.",
            "Dotted: c, the limit of endlessly many. Below: what is above c; points at or under c have no place there.",
            f"Too few points to fit: {'; '.join(short)}." if short else "",
            f"Left out: {lost} infinite or undefined values." if lost else "",
            "Lower is better.",
        ]
        return cls(
            table,
            title=f"Does quality follow a power law in the number of members? Data: {data}",
            interval=f"band: {interval}",
            caption=" ".join(filter(None, caption)),
            facts=tuple(facts),
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


def _fit(members: FloatArray, values: FloatArray, power: float | None) -> Law:
    """Return the law of least squares whose limit is a possible loss, at least 0; None searches for the best power."""

    def given(a: float) -> Law:
        falling = members**-a
        design = np.stack([np.ones(len(members)), falling], axis=1)
        limit, gain = np.linalg.lstsq(design, values, rcond=None)[0]
        if limit < 0:
            limit, gain = 0.0, falling @ values / (falling @ falling)
        squares = float(np.square(values - limit - gain * falling).sum())
        spread = float(np.square(values - values.mean()).sum())
        known = spread > (1e-12 * np.abs(values).max()) ** 2
        r_squared = 1 - squares / spread if known else float("nan")
        return Law(float(limit), float(gain), a, (squares / len(values)) ** 0.5, r_squared)

    if power is not None:
        return given(power)
    bounds = float(np.log(FLATTEST)), float(np.log(STEEPEST))
    starts = np.linspace(bounds[0], bounds[1], 25)
    best = starts[np.argmin([given(float(np.exp(start))).rmse for start in starts])]
    near = (max(bounds[0], best - 0.2), min(bounds[1], best + 0.2))
    found = minimize_scalar(lambda log: given(float(np.exp(log))).rmse, bounds=near, method="bounded")
    return given(float(np.exp(found.x)))


def _tabulate(rows: pd.DataFrame, law: Law) -> pd.DataFrame:
    """Return what is drawn of one curve in both panels."""
    key = rows[["arm", "rule", "metric"]].iloc[0].to_dict()
    grid = np.geomspace(rows["members"].min(), rows["members"].max(), 60)
    excess = rows["value"] - law.limit
    parts = [
        rows.assign(panel="quality", role="measured"),
        pd.DataFrame({"panel": "quality", "role": "fit", "members": grid, "value": law(grid)}),
        pd.DataFrame({"panel": "quality", "role": "limit", "value": [law.limit]}),
        rows.assign(panel="excess", role="measured", value=excess.where(excess > 0), low=np.nan, high=np.nan),
    ]
    if law.gain > 0:
        above = law.gain * grid**-law.power
        parts.append(pd.DataFrame({"panel": "excess", "role": "fit", "members": grid, "value": above}))
    table = pd.concat(parts).assign(**key, **law._asdict())
    return table[["panel", "role", *KEYS, *NUMBERS, *Law._fields]]


def _fact(arm: str, rule: str, metric: str, law: Law, points: int) -> Fact:
    found = np.isfinite(law.r_squared)
    return Fact(
        f"{style.metric_label(metric)} of {style.arm_label(arm, rule)} follows c + b/n^a",
        bool(found and law.r_squared > 0.99),
        f"c = {law.limit:.4f}, b = {law.gain:.4f}, a = {law.power:.2f}; "
        f"R² = {law.r_squared:.4f}, rmse {law.rmse:.2g} over {points} points",
    )
