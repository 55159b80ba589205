"""How many independent networks are k passes, or k other members, worth?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from ensemble_vs_dropout.checks import InputError, check_at_least
from ensemble_vs_dropout.evaluation.equivalence import resampled, worth_of
from ensemble_vs_dropout.evaluation.outcomes import Arms, check_arms
from ensemble_vs_dropout.evaluation.sizes import SIZES, subset_curves
from ensemble_vs_dropout.measures.resampling import percentile_interval
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
from ensemble_vs_dropout.types import Predictions, check_labels

METRIC = "calibrated_nll"
ENSEMBLE = "ensemble"
NUMBERS = ["value", "low", "high"]


@dataclass(frozen=True, eq=False)
class DeepEnsembleEquivalent(Display):
    """The size of the ensemble that is as good as k members of another arm, against k, and what both are judged by.

    `table` has the columns panel ("worth", in networks, infinite where it is more than the ensemble has, or
    "calibrated_nll", in nats), arm, rule, members (k), value, low, high (95 % bootstrap).

    After Ashukha et al. (2020), who call it the deep ensemble equivalent: by the calibrated log-likelihood,
    interpolated linearly between sizes, at least 1.
    """

    networks: int = 0

    @classmethod
    def from_predictions(
        cls,
        ensemble: Predictions | Sequence[Predictions],
        others: Arms,
        labels: npt.ArrayLike,
        *,
        data: str,
        sizes: Sequence[int] | None = None,
        subsets: int = 20,
        resamples: int = 1000,
        seed: int = 0,
    ) -> DeepEnsembleEquivalent:
        """Make the display.

        Args:
            ensemble: Independent networks, at least 2 of equal weight; one pool, or one for each repetition.
            others: Likewise what is measured by them: passes of a network, or members of another kind.
            labels: Shape (examples,).
            data: The name of the data set.
            sizes: Numbers of the others' members; those beyond a pool are left out, and the pool's own is always there.
            subsets: Of a pool at each size, at most; values are their means.
            resamples: Bootstrap resamples of the examples, and of the repetitions where there are several.
            seed: Of subsets, calibration halves and resamples.

        Raises:
            InputError: An ensemble of one network or with weights, another arm of that name, or predictions that do not
                fit each other or the labels.
        """
        truth = np.asarray(labels)
        if ENSEMBLE in others:
            raise InputError(f"others must not hold {ENSEMBLE!r}, which is given apart")
        runs = check_arms({ENSEMBLE: ensemble, **others}, len(truth), same_members=True)
        size = runs[ENSEMBLE][0].members
        if size < 2 or any(run.weights is not None for run in runs[ENSEMBLE]):
            raise InputError(
                "ensemble must have at least 2 members of equal weight to measure worth by, got "
                f"{size}{' with weights' if size > 1 else ''}"
            )
        check_labels(truth, runs[ENSEMBLE][0].classes)
        check_at_least("resamples", resamples, 100)
        own = range(1, size) if size <= 20 else np.unique(np.geomspace(1, size, 20).astype(int)).tolist()
        wanted = {ENSEMBLE: own} | {arm: SIZES if sizes is None else sizes for arm in others}
        curves = {
            arm: [subset_curves(run, truth, [METRIC], "mean", wanted[arm], subsets, seed)[METRIC] for run in each]
            for arm, each in runs.items()
        }
        at = {arm: np.array(each[0].sizes, dtype=float) for arm, each in curves.items()}
        columns = np.stack(
            [np.concatenate([each[r].of_examples for each in curves.values()]) for r in range(len(runs[ENSEMBLE]))]
        )
        draws = np.concatenate(list(resampled(columns, resamples, seed)))
        values, networks = columns.mean(axis=(0, 2))[None], len(at[ENSEMBLE])
        keys = [(arm, int(k)) for arm, each in at.items() for k in each]
        worth, drawn = (worth_of(some[:, :networks], some, at[ENSEMBLE]) for some in (values, draws))
        rows = [
            [panel, arm, "mean", k, point[0, i], *percentile_interval(of_draws[:, i])]
            for panel, point, of_draws in (("worth", worth, drawn), (METRIC, values, draws))
            for i, (arm, k) in enumerate(keys)
        ]
        table = pd.DataFrame(rows, columns=["panel", "arm", "rule", "members", *NUMBERS])
        _check(table)
        over = f"95 % bootstrap over examples{' and repetitions' if len(runs[ENSEMBLE]) > 1 else ''}"
        caption = [
            "Worth: the size of the ensemble with the same calibrated NLL, at least 1 (the deep ensemble equivalent).",
            f"An arrow at the upper edge: more than the {size} networks there are." if _beyond(table) else "",
            "Members are averaged (mean), and values are means over subsets of a pool; temperatures are fitted",
            f"to the other half of the test examples. Data: {data}. Band: {over}.",
            "A lower NLL is better.",
        ]
        return cls(
            table,
            title=f"How many independent networks is it worth? Data: {data}",
            interval=f"band: {over}",
            caption=" ".join(filter(None, caption)),
            facts=tuple(_facts(table, size)),
            networks=size,
        )

    def _mosaic(self) -> list[list[int]]:
        return fold(range(2), columns=2)

    def _height(self) -> float:
        return 2.5

    def _draw(self, axes: AxesArray) -> list[Artist]:
        styles = style.arm_styles(self.table["arm"])
        handles: dict[Any, Artist] = {}
        for ax, panel in zip(axes, ("worth", METRIC), strict=True):
            whole = self.table[self.table["panel"] == panel]
            ax.set_xscale("log")
            if panel == "worth":
                _set_worth_axis(ax, self.networks)
            for (arm, rule), rows in whole.groupby(["arm", "rule"], sort=False):
                color, marker = styles[arm]
                x = rows["members"].to_numpy()
                shown = rows
                if panel == "worth":
                    shown = rows.assign(high=rows["high"].clip(upper=ax.get_ylim()[1]))
                    at_edge = {"transform": ax.get_xaxis_transform(), "clip_on": False}
                    more = x[np.isposinf(rows["value"])]
                    if len(more):
                        ax.plot(more, [1] * len(more), linestyle="", marker="^", color=color, label="_more", **at_edge)
                label = style.arm_label(arm, rule if x.max() > 1 else None)
                handle = draw_line(ax, x, shown, color, marker=marker, label=label)
                handles.setdefault(arm, handle)
            integer_ticks(ax, whole["members"].unique())
            ylabel = f"worth in networks\n(of {self.networks})" if panel == "worth" else style.metric_label(METRIC)
            name_axes(ax, xlabel="networks or passes averaged, k", ylabel=ylabel)
        return list(handles.values())


def _set_worth_axis(ax: Axes, networks: int) -> None:
    """Make the vertical axis logarithmic, from 1 to a little more than the networks there are."""
    ax.set_yscale("log")
    ticks = sorted({1, networks} | {k for k in (1, 2, 3, 5, 10, 20, 50, 100, 200, 500) if k <= 0.7 * networks})
    ax.set_yticks(ticks, [str(tick) for tick in ticks])
    ax.set_yticks([], minor=True)
    ax.set_ylim(0.9, networks * 1.3)


def _beyond(table: pd.DataFrame) -> bool:
    return bool(np.isposinf(table["value"][table["panel"] == "worth"]).any())


def _check(table: pd.DataFrame) -> None:
    """Require what follows from the definition."""
    wide = table.set_index(["arm", "members", "panel"])["value"].unstack()
    require("every worth >= 1", (wide["worth"] >= 1).all(), f"{wide['worth'].min():g}")
    own = wide.loc[ENSEMBLE]
    require("one network is worth 1", own["worth"].iloc[0] == 1, f"{own['worth'].iloc[0]:g}")
    falls = own[METRIC] < own[METRIC].cummin().shift(fill_value=np.inf) - 1e-9
    off = (own["worth"] - own.index).abs()[falls]
    require("where its curve falls, an ensemble of k networks is worth k", (off <= 1e-6).all(), f"{off.max():g} off")
    for arm, rows in wide.groupby(level="arm"):
        worth, value = rows["worth"].to_numpy(), rows[METRIC].to_numpy()
        finite = np.isfinite(worth[1:]) & np.isfinite(worth[:-1])
        rises = ~finite | (np.diff(np.where(np.isfinite(worth), worth, 0.0)) >= -1e-6)
        lost = np.isposinf(worth[:-1]) & np.isfinite(worth[1:])
        require(
            f"the worth of {arm!r} does not fall while its calibrated NLL falls",
            (rises & ~lost)[value[1:] < value[:-1]].all(),
        )


def _facts(table: pd.DataFrame, size: int) -> Iterator[Fact]:
    rows = table[(table["panel"] == "worth") & (table["arm"] == "mc_dropout")]
    worth = rows.set_index("members")["value"]
    if len(worth) < 2:
        return
    last, before = worth.index[-1], worth.index[np.abs(worth.index - worth.index[-1] / 2).argmin()]
    words = {k: f"{worth[k]:.2f}" if np.isfinite(worth[k]) else f"more than {size}" for k in (before, last)}
    yield Fact(
        f"{style.arm_label('mc_dropout')}: from {before} to {last} passes its worth grows by less than half a network",
        bool(np.isfinite(worth[last]) and worth[last] - worth[before] < 0.5),
        f"{words[before]} to {words[last]} networks",
    )
    yield Fact(
        f"{style.arm_label('mc_dropout')}: {last} passes are worth fewer than 5 independent networks",
        bool(worth[last] < 5),
        f"{words[last]} of {size} networks",
    )
