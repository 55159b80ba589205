"""How many dropout passes match weight scaling?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.artist import Artist

from ensemble_vs_dropout.checks import InputError, check_at_least
from ensemble_vs_dropout.evaluation.outcomes import check_arms, runs_of
from ensemble_vs_dropout.evaluation.sizes import SIZES
from ensemble_vs_dropout.measures import METRICS, aggregate
from ensemble_vs_dropout.measures.decomposition import ambiguity
from ensemble_vs_dropout.measures.resampling import weighted_means
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import (
    AxesArray,
    Display,
    Fact,
    draw_line,
    fold,
    integer_ticks,
    name_axes,
    require,
)
from ensemble_vs_dropout.seeds import stream
from ensemble_vs_dropout.types import FloatArray, IntArray, Predictions, check_labels

SHOWN = ("error", "nll", "brier")
CONVEX = ["nll", "brier"]  # what averaging cannot make worse
NUMBERS = ["value", "low", "high"]
_AT_ONCE = 2**23  # probabilities of averages held at once: 64 MiB
_LEVELS = {
    "dropout": ("--", style.ARMS["dropout"].color, style.arm_label("dropout")),
    "exact": ("-.", style.COLORS[3], "all masks, geometric mean"),
}


@dataclass(frozen=True, eq=False)
class MCVersusWeightScaling(Display):
    """Error, NLL and Brier score of k averaged passes of one network, and of its weight scaling.

    `table` has the columns series ("mc_dropout"; "expected", the closed form of the Brier score; "dropout",
    weight scaling; "exact", the geometric mean of all masks), metric, members (k; none for the last two), value
    (the mean over draws), low, high (one standard deviation away).

    As Srivastava et al. (2014), figure 11, was made: k passes are drawn with replacement from one pool, many times.
    """

    @classmethod
    def from_predictions(
        cls,
        passes: Predictions,
        weight_scaling: Predictions,
        labels: npt.ArrayLike,
        *,
        data: str,
        sizes: Sequence[int] | None = None,
        repeats: int = 100,
        exact: Predictions | None = None,
        seed: int = 0,
    ) -> MCVersusWeightScaling:
        """Make the display.

        Args:
            passes: The pool of passes of one dropout network; weights are the chances of being drawn.
            weight_scaling: The same network's deterministic prediction, one member.
            labels: Shape (examples,).
            data: The name of the data set.
            sizes: The numbers k; up to 200 and the size of the pool unless given.
            repeats: Draws of k passes, at least 2.
            exact: All masks of the network with their chances as weights, or their geometric mean as one member.
            seed: Of the draws.

        Raises:
            InputError: Predictions that do not fit each other or the labels, several networks, or too few repeats.
        """
        truth = np.asarray(labels)
        given = {"passes": passes, "weight_scaling": weight_scaling} | ({"exact": exact} if exact else {})
        if (several := len(runs_of(passes))) > 1:
            raise InputError(f"passes must be of one network, got {several} repetitions; give one of them")
        runs = check_arms(given, len(truth))
        pool, scaled = runs["passes"][0], runs["weight_scaling"][0]
        if scaled.members > 1:
            raise InputError(f"weight_scaling must be one prediction, got {scaled.members} members")
        check_labels(truth, pool.classes)
        check_at_least("repeats", repeats, 2)
        wanted = [k for k in SIZES if k <= min(200, pool.members)] if sizes is None else sorted(set(sizes))
        singles = np.array([[METRICS[name].value(one, truth) for name in SHOWN] for one in pool.probs])
        draws = pd.concat(_draws(pool, truth, check_at_least("sizes", k, 1), repeats, singles, seed) for k in wanted)
        split = ambiguity(pool.probs, truth, "brier", pool.weights).mean()
        limit = split["members"] - split["ambiguity"]
        require(
            "Brier score of the pool = mean of its passes - their variance",
            np.isclose(limit, split["ensemble"], atol=1e-6),
            f"{split['ensemble']:.6g} and {limit:.6g}",
        )
        levels = {"dropout": scaled.probs[0]}
        if exact:
            levels["exact"] = aggregate(runs["exact"][0].probs, "geometric_mean", runs["exact"][0].weights)
        fixed = [
            {"series": series, "metric": name, "value": METRICS[name].value(probs, truth)}
            for series, probs in levels.items()
            for name in SHOWN
        ]
        expected = [
            {"series": "expected", "metric": "brier", "members": k, "value": split["members"] + (1 / k - 1) * spread}
            for k in wanted
            for spread in [split["ambiguity"]]
        ]
        table = pd.concat([_summary(draws), pd.DataFrame(expected + fixed)], ignore_index=True)
        weights = np.full(pool.members, 1 / pool.members) if pool.weights is None else pool.weights
        caption = [
            f"Quality on {data} of k averaged passes of one dropout network, drawn with replacement from a pool of "
            f"{pool.members}. Band: ±1 standard deviation over {repeats} such draws, not over examples or networks.",
            "Dashed: the same network with scaled weights, one pass.",
            "Dash-dotted: the renormalised geometric mean of all its masks." if exact else "",
            "Dotted: what the Brier score of k passes is expected to be, an exact law in 1/k.",
            style.direction(SHOWN),
        ]
        return cls(
            table.astype({"members": "Int64"})[["series", "metric", "members", *NUMBERS]],
            title=f"How many passes of MC dropout match weight scaling? Data: {data}",
            interval=f"band: ±1 standard deviation over {repeats} draws of passes",
            caption=" ".join(filter(None, caption)),
            facts=_facts(table, float(weighted_means(weights, singles[:, 0]))),
        )

    def _mosaic(self) -> list[list[int]]:
        return fold(range(len(SHOWN)), columns=3)

    def _height(self) -> float:
        return 2.3

    def _draw(self, axes: AxesArray) -> list[Artist]:
        handles: dict[str, Artist] = {}
        look = style.ARMS["mc_dropout"]
        for ax, metric in zip(axes, SHOWN, strict=True):
            panel = self.table[self.table["metric"] == metric]
            panel = panel.assign(**{name: panel[name] * style.metric_scale(metric) for name in NUMBERS})
            ax.set_xscale("log")
            for series, rows in panel.groupby("series", sort=False):
                x = rows["members"].to_numpy(dtype=float)
                if series == "mc_dropout":
                    label = style.arm_label("mc_dropout", "mean")
                    handle = draw_line(ax, x, rows, look.color, marker=look.marker, label=label)
                elif series == "expected":
                    handle = draw_line(ax, x, rows, "0.1", linestyle=":", label="expected of k passes (closed form)")
                else:
                    line, color, label = _LEVELS[str(series)]
                    level = rows["value"].where(np.isfinite(rows["value"])).iloc[0]
                    handle = ax.axhline(level, color=color, linestyle=line, label=label)
                handles.setdefault(str(series), handle)
            ax.autoscale_view(scalex=False)  # levels alone do not make room for themselves
            integer_ticks(ax, panel["members"].dropna().unique())
            name_axes(ax, xlabel="passes averaged, k", ylabel=style.metric_label(metric))
        return list(handles.values())


def _draws(
    pool: Predictions, labels: IntArray, size: int, repeats: int, singles: FloatArray, seed: int
) -> pd.DataFrame:
    """Return each metric of each draw of `size` passes."""
    chances = np.full(pool.members, 1 / pool.members) if pool.weights is None else pool.weights
    shares = stream(seed, "passes", size).multinomial(size, chances / chances.sum(), size=repeats) / size
    values = np.array([[METRICS[name].value(mean, labels) for name in SHOWN] for mean in _means(pool, shares)])
    table = pd.DataFrame(values, columns=list(SHOWN))
    bound = pd.DataFrame(weighted_means(shares, singles), columns=list(SHOWN))
    excess = np.nanmax((table[CONVEX] - bound[CONVEX]).where(np.isfinite(bound[CONVEX])).fillna(0.0).to_numpy())
    require(
        "NLL and Brier score of averaged passes <= the mean of the same passes'", excess <= 1e-6, f"{excess:.3g} more"
    )
    return table.assign(members=size)


def _means(pool: Predictions, shares: FloatArray) -> Iterator[FloatArray]:
    """Yield the mean of the passes with each row of shares, (examples, classes)."""
    flat = pool.probs.reshape(pool.members, -1).astype(np.float64)
    at_once = max(1, _AT_ONCE // flat.shape[1])
    for start in range(0, len(shares), at_once):
        yield from (shares[start : start + at_once] @ flat).reshape(-1, pool.examples, pool.classes)


def _summary(draws: pd.DataFrame) -> pd.DataFrame:
    """Return mean and spread over draws of each metric and size."""
    groups = draws.melt("members", var_name="metric").groupby(["metric", "members"], sort=False)["value"]
    with np.errstate(invalid="ignore"):  # infinite losses have no spread
        table = groups.agg(value="mean", spread="std").reset_index()
        low, high = table["value"] - table["spread"], table["value"] + table["spread"]
    return table.assign(series="mc_dropout", low=low, high=high).drop(columns="spread")


def _facts(table: pd.DataFrame, single: float) -> tuple[Fact, ...]:
    errors = table[table["metric"] == "error"].set_index("series")
    curve, scaled = errors.loc[["mc_dropout"]], float(errors["value"]["dropout"])
    last = curve.iloc[-1]
    k, sd = int(last["members"]), float(last["high"] - last["value"])
    matching = curve["members"][curve["value"] <= scaled + 1e-12]
    first = int(matching.iloc[0]) if len(matching) else None
    return (
        Fact(
            "One pass errs more than weight scaling",
            single > scaled,
            f"error {100 * single:.2f} % of a single pass, {100 * scaled:.2f} % of weight scaling",
        ),
        Fact(
            f"With {k} passes the error is within two standard deviations of weight scaling's",
            bool(abs(last["value"] - scaled) <= 2 * sd + 1e-12),
            f"{100 * last['value']:.2f} % ± {100 * sd:.2f} % and {100 * scaled:.2f} %",
        ),
        Fact(
            "Between 10 and 100 passes match the error of weight scaling",
            first is not None and 10 <= first <= 100,
            f"first at k = {first}" if first else f"not up to k = {k}",
        ),
    )
