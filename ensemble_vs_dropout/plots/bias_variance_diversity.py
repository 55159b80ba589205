"""Where does the gain of an ensemble come from?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ensemble_vs_dropout.checks import InputError, check_at_least
from ensemble_vs_dropout.evaluation.outcomes import check_arms
from ensemble_vs_dropout.measures import decomposition
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import AxesArray, Display, Fact, draw_line, name_axes, require
from ensemble_vs_dropout.plots.repetitions import in_units, summarise
from ensemble_vs_dropout.types import FloatArray, Predictions, check_labels

LOSSES = {"nll": "geometric mean", "brier": "mean", "error": "majority vote"}  # and what combines the members
PARTS = {
    "average_bias": ("average bias", style.ArmStyle(style.COLORS[3], "s")),
    "average_variance": ("average variance", style.ArmStyle(style.COLORS[0], "^")),
    "diversity": ("diversity", style.ArmStyle(style.COLORS[2], "o")),
}
TOLERANCE = 1e-9
SIZES = (1, 2, 3, 5, 10, 20, 50, 100)


@dataclass(frozen=True, eq=False)
class BiasVarianceDiversity(Display):
    """Where does the gain come from? The risk of an ensemble, split into bias + variance - diversity, against its size.

    One row each for cross-entropy, Brier score and 0-1 error, each with the rule under which it splits exactly; of the
    0-1 error the parts are effects, which labels enter and which may be negative. Below, the diversity of every trial
    and size against what the vote gains in error over its members (Wood et al., 2023, JMLR 24, Figures 12 and 13).

    `table` has the columns panel ("risk", "parts", "gain"), loss, part ("expected_loss", "average_bias",
    "average_variance", "diversity", "closed_form"; in "gain" "error_gain"), trial (in "gain"), members, x (members; in
    "gain" the diversity), value, low, high, arm.
    """

    @classmethod
    def from_predictions(
        cls,
        trials: Predictions | Sequence[Predictions],
        labels: npt.ArrayLike,
        *,
        data: str,
        sizes: Sequence[int] | None = None,
        arm: str = "ensemble",
    ) -> BiasVarianceDiversity:
        """Make the display.

        Every size is averaged over all runs of so many neighbours in the circle of members. So every member takes part
        as often at each size, and bias and variance are the same at all sizes.

        Args:
            trials: Predictions of each trial, which was trained on other data; member i in the same way in all of
                them. Members count alike, whatever their weights.
            labels: Shape (examples,), 0..K-1.
            data: The name of the data set.
            sizes: Numbers of members; None for 1, 2, 3, 5, 10, ... up to all.
            arm: Whose members they are.

        Raises:
            InputError: Trials of different sizes, predictions that do not fit the labels, sizes that are not there, or
                parts that do not add up.
        """
        truth = np.asarray(labels)
        runs = check_arms({arm: trials}, len(truth), same_members=True)[arm]
        truth = check_labels(truth, runs[0].classes)
        probs, members = np.stack([run.probs for run in runs]).astype(float), runs[0].members
        probs /= probs.sum(axis=-1, keepdims=True)  # in single precision the sums are 1 only to 1e-7
        wanted = {check_at_least("sizes", size, 1) for size in sizes or (size for size in SIZES if size < members)}
        if max(wanted, default=1) > members:
            raise InputError(f"sizes must be at most the {members} members of a trial, got {max(wanted)}")
        taken = sorted(wanted if sizes else wanted | {members})
        pooled = pd.concat([_of_trials(probs, truth, loss, taken) for loss in LOSSES], ignore_index=True)
        table = pd.concat([_of_loss(probs, truth, pooled, loss) for loss in LOSSES] + [_gains(pooled)])
        band = f"95 % t interval over {len(runs)} trials" if len(runs) > 1 else "none, of one trial"
        lost = int((~np.isfinite(table["value"])).sum())
        caption = [
            f"{style.arm_label(arm)}, {members} members, {len(runs)} trials, each trained on other data. Band: {band}.",
            f"Combined, row by row, by the {', the '.join(LOSSES.values())}.",
            "Risk = bias + variance - diversity, exactly.",
            "Dashed: the closed form of the Brier diversity, (1 - 1/M) of the members' variance.",
            f"Points: every trial and size from 2 on. Data: {data}.",
            f"Not drawn, for infinite: {lost} points." if lost else "",
        ]
        columns = ["panel", "loss", "part", "trial", "members", "x", "value", "low", "high"]
        return cls(
            table.assign(arm=arm).reindex(columns=[*columns, "arm"]).reset_index(drop=True),
            title=f"Where does the gain come from? Data: {data}",
            interval=f"band: {band}",
            caption=" ".join(filter(None, caption)),
            facts=_facts(table),
        )

    def _mosaic(self) -> list[list[int]]:
        return [[0, 1], [2, 3], [4, 5], [6, 7]]

    def _height(self) -> float:
        return 1.75

    def _draw(self, axes: AxesArray) -> list[Artist]:
        look = style.arm_styles(self.table["arm"])[self.table["arm"].iloc[0]]
        for (left, right), loss in zip(axes[:6].reshape(3, 2), LOSSES, strict=True):
            rows = in_units(self.table[self.table["loss"] == loss], loss)
            risk = rows[rows["panel"] == "risk"]
            draw_line(left, risk["x"], risk, look.color, marker=look.marker)
            name_axes(left, ylabel=f"risk,\n{style.metric_label(loss)}")
            for part, (_, (color, marker)) in PARTS.items():
                points = rows[(rows["part"] == part) & (rows["panel"] == "parts")]
                draw_line(right, points["x"], points, color, marker=marker)
            closed = rows[rows["part"] == "closed_form"]
            right.plot(closed["x"], closed["value"], color="0.2", linestyle="--", linewidth=1)
            right.axhline(0, color="0.4", linewidth=0.8)
            name_axes(right, ylabel=f"parts of the risk,\n{style.metric_label(loss)}")
            for ax in (left, right):
                ax.set_xlim(risk["x"].min() - 0.3, risk["x"].max() + 0.3)
                ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
                name_axes(ax, xlabel="members M")
        for ax, loss in zip(axes[6:], ("nll", "brier"), strict=True):
            points = self.table[(self.table["panel"] == "gain") & (self.table["loss"] == loss)]
            dots: dict[str, Any] = {"linestyle": "", "marker": look.marker, "markersize": 3, "alpha": 0.6}
            ax.plot(points["x"], points["value"] * style.metric_scale("error"), color=look.color, **dots)
            ax.xaxis.set_major_locator(MaxNLocator(5))
            name_axes(ax, xlabel=f"diversity, {style.metric_label(loss)}", ylabel="gain of the vote\nin error (%)")
        for ax in axes:
            if not any(np.isfinite(line.get_data()).all(axis=0).any() for line in ax.lines):
                ax.text(0.5, 0.5, "infinite or undefined", ha="center", transform=ax.transAxes)
        parts = [Line2D([], [], color=color, marker=marker, label=label) for label, (color, marker) in PARTS.values()]
        closed_form = Line2D([], [], color="0.2", linestyle="--", linewidth=1, label="closed form")
        arm = str(self.table["arm"].iloc[0])
        risk_line = Line2D([], [], color=look.color, marker=look.marker, label=f"risk of {style.arm_label(arm)}")
        return [risk_line, *parts, closed_form]


def _of_trials(probs: FloatArray, labels: npt.NDArray[np.integer], loss: str, sizes: Sequence[int]) -> pd.DataFrame:
    """Return ambiguity and ensemble loss of every trial and size, averaged over runs of members in a circle."""
    count, rows = probs.shape[1], []
    for size in sizes:
        starts = range(count if size < count else 1)
        windows = [np.arange(start, start + size) % count for start in starts]
        for trial, pool in enumerate(probs):
            parts = [decomposition.ambiguity(pool[window], labels, loss).mean() for window in windows]
            means = pd.concat(parts, axis=1).mean(axis=1)
            rows.append({"loss": loss, "members": size, "trial": trial, **means[["ambiguity", "ensemble"]]})
    return pd.DataFrame(rows)


def _of_loss(probs: FloatArray, labels: npt.NDArray[np.integer], pooled: pd.DataFrame, loss: str) -> pd.DataFrame:
    """Return risk and parts of one loss against size, and refuse parts that do not add up to the risk."""
    whole = decomposition.bias_variance_diversity(probs, labels, loss)
    tall = pooled[pooled["loss"] == loss].rename(columns={"ambiguity": "diversity", "ensemble": "expected_loss"})
    tall = tall.melt(["loss", "members", "trial"], ["expected_loss", "diversity"], var_name="part")
    tall = tall.assign(low=np.nan, high=np.nan, repetition=tall["trial"])
    table = summarise(tall, ["loss", "part", "members"]).drop(columns="repetitions")
    risk, diversity = (
        table[table["part"] == part].set_index("members")["value"] for part in ("expected_loss", "diversity")
    )
    total = whole["average_bias"] + whole["average_variance"] - diversity
    finite = np.isfinite(total) & np.isfinite(risk)
    closes = np.allclose(risk[finite], total[finite], rtol=TOLERANCE, atol=TOLERANCE)
    require(f"{loss}: risk = bias + variance - diversity", closes, f"{risk.to_dict()} and {total.to_dict()}")
    alone = diversity.get(1, 0.0)
    require(f"{loss}: one member has no diversity", not abs(alone) > TOLERANCE, f"{alone:.3g}")
    flat = [
        pd.DataFrame({"part": part, "members": diversity.index, "value": whole[part]})
        for part in ("average_bias", "average_variance")
    ]
    if loss == "brier" and probs.shape[1] > 1:  # over all subsets of a pool the diversity is this exactly
        variance = whole["diversity"] / (1 - 1 / probs.shape[1])
        law = (1 - 1 / diversity.index.to_numpy()) * variance
        flat.append(pd.DataFrame({"part": "closed_form", "members": diversity.index, "value": law}))
    table = pd.concat([table, *flat], ignore_index=True).assign(loss=loss)
    table["panel"] = np.where(table["part"] == "expected_loss", "risk", "parts")
    return table.assign(x=table["members"].astype(float))


def _gains(pooled: pd.DataFrame) -> pd.DataFrame:
    """Return the diversity of every trial and size beside what the vote gains in error."""
    keys = ["trial", "members"]
    vote = pooled[pooled["loss"] == "error"].rename(columns={"ambiguity": "value"})[[*keys, "value"]]
    others = pooled[pooled["loss"].isin(["nll", "brier"]) & (pooled["members"] > 1)]
    table = others.merge(vote, on=keys).rename(columns={"ambiguity": "x"}).drop(columns="ensemble")
    return table.assign(panel="gain", part="error_gain")


def _facts(table: pd.DataFrame) -> tuple[Fact, ...]:
    points = table[(table["panel"] == "gain") & (table["loss"] == "nll") & np.isfinite(table["x"])]
    if len(points) < 3 or points[["x", "value"]].nunique().min() < 2:
        return ()
    squared = float(np.corrcoef(points["x"], points["value"])[0, 1] ** 2)
    statement = "Diversity (cross-entropy) tells the gain in error: R² over trials and sizes is above 0.9"
    return (Fact(statement, squared > 0.9, f"R² = {squared:.3f} over {len(points)} points"),)
