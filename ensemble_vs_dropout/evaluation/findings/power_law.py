"""What would endlessly many networks or passes reach, and how fast is it approached?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation.arms import arm_label
from ensemble_vs_dropout.evaluation.findings.base import Fact, Finding
from ensemble_vs_dropout.evaluation.findings.judging import Estimate, judge
from ensemble_vs_dropout.evaluation.findings.tables import check_table
from ensemble_vs_dropout.measures import METRICS
from ensemble_vs_dropout.measures.spread import Component, Spread
from ensemble_vs_dropout.types import FloatArray

FITTED = ("nll", "calibrated_nll", "brier")
STEEPEST, FLATTEST = 5.0, 0.05  # exponents that are tried
CLOSE = 0.05  # of the gain of all members over one: how near the law must come
_LEAST_POINTS = 5  # three to fit, one more that they must fit, and one to tell
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


def power_law(curves: pd.DataFrame) -> Finding:
    """Return quality against the number n of members, with the law c + b n^-a that fits it.

    Lobacheva et al. (2020) fit the calibrated NLL. For the Brier score of a mean of members of equal weight a = 1 is
    no fit but exact, over all subsets of a pool.

    Args:
        curves: Columns arm, rule, members, metric, value, low, high, as `size_curves` makes them from members of
            equal weight; of the metrics nll, calibrated_nll and brier are fitted. Where mc_error is given and above
            0, the Brier score need not follow the law exactly.

    Returns:
        A table with the columns panel ("quality" or "excess", what is above c), role ("measured", "fit" or "limit",
        the c), arm, rule, members, metric, value, low, high (NaN but for the measured quality), and of the fit limit
        (c), gain (b), power (a), rmse and r_squared. Told are `lost`, the number of points that are not finite and so
        left out, and `short`, the (metric, arm, rule) with too few points to fit.

    Raises:
        InputError: A missing column, several rows for one point, no curve with enough finite points (four, or two
            for the Brier score), or a Brier score off the law that it must follow.

    Example:
        >>> curve = {"arm": "a", "rule": "mean", "members": [1, 2, 4], "metric": "brier", "value": [0.5, 0.4, 0.35]}
        >>> found = power_law(pd.DataFrame({**curve, "low": np.nan, "high": np.nan})).table.iloc[0]
        >>> found[["limit", "gain", "power"]].astype(float).round(6).tolist()
        [0.3, 0.2, 1.0]
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
            short.append((metric, arm, rule))
            continue
        n, values = ordered["members"].to_numpy(dtype=float), ordered["value"].to_numpy(dtype=float)
        law = _fit(n, values, 1.0 if exact else None)
        off = float(np.abs(law(n) - values).max())
        if exact and off > 1e-6 and not ordered.get("mc_error", pd.Series(0.0)).gt(0).any():
            raise InputError(
                "curves must hold Brier scores of the mean that are limit + gain / members, as over all subsets of a "
                f"pool, or mc_error above 0 where subsets were drawn: got a difference of {off:.2g} ({arm})"
            )
        tables.append(_tabulate(ordered[KEYS + NUMBERS], law))
        if not exact:  # else it is arithmetic
            errors = ordered.get("mc_error", pd.Series(0.0, ordered.index)).fillna(0.0).to_numpy(dtype=float)
            facts.append(_fact(arm, rule, metric, law, (n, values, errors)))
    if not tables:
        raise InputError(
            f"curves must hold at least 4 finite points of one of {', '.join(FITTED)} for some arm and rule "
            "(2 of the Brier score of the mean), got none; take more sizes"
        )
    return Finding(pd.concat(tables, ignore_index=True), tuple(facts), {"lost": lost, "short": short})


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


def _fact(arm: str, rule: str, metric: str, law: Law, points: tuple[FloatArray, FloatArray, FloatArray]) -> Fact:
    """Return whether the law of all sizes but the largest tells the value at the largest.

    What is fitted by three numbers is fitted well by many laws; that it tells what it has not seen says more.
    """
    n, values, errors = points
    fall = float(values[0] - values[-1])
    told = _told(n, values)
    # What the choice of subsets may change: the tilt of the prediction by each value.
    tilts = [(_told(n, values + errors * (np.arange(len(n)) == i)) - told) ** 2 for i in range(len(n) - 1)]
    off = Estimate(told - values[-1], Spread((Component(float(sum(tilts) + errors[-1] ** 2), 1000),)))
    if len(n) < _LEAST_POINTS:
        off = off.unless(f"of {len(n)} sizes, and the law has three numbers: at least {_LEAST_POINTS} are needed")
    elif fall <= 0:
        off = off.unless("it does not get better with more members, so that there is no gain to follow a law")
    return judge(
        f"{METRICS[metric].label} of {arm_label(arm)}, {rule.replace('_', ' ')} of these members follows c + b/n^a: "
        f"what is fitted to fewer tells the value of {n[-1]:g} to within {CLOSE:.0%} of their gain over one",
        off.within(CLOSE * abs(fall)),
        f"c = {law.limit:.4f}, b = {law.gain:.4f}, a = {law.power:.2f}; off by {told - values[-1]:+.2g} of {fall:.2g}",
    )


def _told(members: FloatArray, values: FloatArray) -> float:
    """Return the value at the last size by the law of the others."""
    return float(_fit(members[:-1], values[:-1], None)(members[-1:])[0])
