"""Should members be calibrated before they are pooled, or the pool afterwards?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from ensemble_vs_dropout.checks import InputError, check_at_least
from ensemble_vs_dropout.evaluation.outcomes import Pooled, check_arms, evaluate
from ensemble_vs_dropout.measures import METRICS, aggregate, ece, nll
from ensemble_vs_dropout.measures.calibration import BINS, reliability
from ensemble_vs_dropout.measures.resampling import percentile_interval
from ensemble_vs_dropout.measures.temperature import (
    apply_temperature,
    calibrate_then_pool,
    fit_temperature,
    pool_then_calibrate,
)
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import AxesArray, Display, Fact, fold, name_axes, require, starts_row, title_room
from ensemble_vs_dropout.types import FloatArray, IntArray, Predictions, check_labels

WAYS = {
    "single": "single",
    "single_calibrated": "single, calibrated",
    "pool": "pool",
    "calibrate_then_pool": "calibrate, then pool",
    "pool_then_calibrate": "pool, then calibrate",
}
DIAGRAMS = [way for way in WAYS if way != "single_calibrated"]
LOOKS = dict(zip(WAYS, [style.ARMS["single"].color, *(style.COLORS[i] for i in (7, 0, 1, 2))], strict=True))
BARS = ("nll", "ece")
FEW = 10  # predictions, below which an accuracy says little
EDGES = ["left", "right", "count", "share", "confidence"]


@dataclass(frozen=True, eq=False)
class ReliabilityPooling(Display):
    """Reliability diagrams of single members and of their pool, calibrated before, after or not, and NLL and ECE.

    `table` has the columns panel (a way of `WAYS` but the second, or "nll", "ece"), way, left, right (edges of the bin
    of confidence; NaN in the last two panels), count (of predictions in the bin), share (of all),
    confidence (their mean), value (their accuracy, NaN in an empty bin; or the NLL in nats or the ECE), low, high (95 %
    bootstrap; NaN in diagrams).

    Temperature scaling: Guo et al. (2017). Before or after: Rahaman and Thiery (2021), Wu and Gales (2021).
    """

    @classmethod
    def from_predictions(
        cls,
        val: Predictions | Sequence[Predictions],
        val_labels: npt.ArrayLike,
        test: Predictions | Sequence[Predictions],
        test_labels: npt.ArrayLike,
        *,
        data: str,
        arm: str = "ensemble",
        bins: int = BINS,
        resamples: int = 1000,
        seed: int = 0,
    ) -> ReliabilityPooling:
        """Make the display.

        Args:
            val: The members' predictions on validation data, to which temperatures are fitted; one, or one for each
                repetition.
            val_labels: Shape (validation examples,).
            test: The same members' on test data.
            test_labels: Shape (test examples,).
            data: The name of the data set.
            arm: Whose members these are.
            bins: Of equal width in a diagram; the ECE has its own 15.
            resamples: Bootstrap resamples of the test examples, and of the repetitions where there are several.
            seed: Of the resamples.

        Raises:
            InputError: Predictions that do not fit each other or their labels, or a single member.
        """
        truth, val_truth = np.asarray(test_labels), np.asarray(val_labels)
        runs = check_arms({"test": test}, len(truth), same_members=True)["test"]
        fitting = check_arms({"val": val}, len(val_truth), same_members=True)["val"]
        shapes = [(len(part), part[0].members, part[0].classes) for part in (fitting, runs)]
        if shapes[0] != shapes[1]:
            raise InputError(
                "val and test must be of the same repetitions, members and classes, "
                f"got {shapes[0]} and {shapes[1]} of them"
            )
        if runs[0].members == 1:
            raise InputError("val and test must be of at least 2 members to pool, got 1")
        for part in (truth, val_truth):
            check_labels(part, runs[0].classes)
        check_at_least("resamples", resamples, 100)
        each = [_predict(fit, val_truth, run) for fit, run in zip(fitting, runs, strict=True)]
        rows: list[list[Any]] = []
        confidences, accuracies = {}, {}
        for way in WAYS:
            trials = [probs for run in each for probs in run[way]]
            everything, answers = np.concatenate(trials), np.tile(truth, len(trials))
            table = reliability(everything, answers, bins)
            confidences[way] = float(everything.max(axis=1).mean())
            accuracies[way] = 1 - METRICS["error"].value(everything, answers)
            _check_gap(everything, answers, accuracies[way] - confidences[way])
            if way in DIAGRAMS:
                table.insert(3, "share", table["count"] / len(answers))
                rows += [[way, way, *part, np.nan, np.nan] for part in table.itertuples(index=False)]
        for fit, run, made in zip(fitting, runs, each, strict=True):
            _check(fit, val_truth, run, made)
        pooled = [Pooled(arm, way, runs[0].members, [run[way] for run in each]) for way in WAYS]
        for one in evaluate(pooled, truth, {name: METRICS[name] for name in BARS}, resamples, seed):
            rows.append([one.metric, one.rule, *[np.nan] * len(EDGES), one.value, *percentile_interval(one.draws)])
        table = pd.DataFrame(rows, columns=["panel", "way", *EDGES, "value", "low", "high"])
        over = f"95 % bootstrap over examples{' and repetitions' if len(runs) > 1 else ''}"
        name = style.arm_label(arm, "mean", runs[0].members)
        caption = [
            f"Members and pool: {name}, test examples of {data}.",
            f"Temperatures were fitted to {len(val_truth)} validation examples: one for each member, or one for the",
            "pool. Single: each member alone, all members' predictions in one diagram, and their mean NLL and ECE.",
            f"Grey: share of the predictions in the bin; hollow: fewer than {FEW}.",
            "Dots over the diagonal: less confident than right.",
            f"Bar: {over}. Lower is better.",
        ]
        return cls(
            table,
            title=f"Calibrate before or after pooling? {style.arm_label(arm)} ({runs[0].members}), data: {data}",
            interval=f"bar: {over}",
            caption=" ".join(caption),
            facts=tuple(_facts(table, confidences, accuracies)),
        )

    def _mosaic(self) -> list[list[int]]:
        return fold(range(len(DIAGRAMS) + len(BARS)), columns=3)

    def _height(self) -> float:
        return 2.1

    def _draw(self, axes: AxesArray) -> list[Artist]:
        for ax, way, first in zip(axes, DIAGRAMS, starts_row(axes), strict=False):
            rows = self.table[self.table["panel"] == way]
            ax.stairs(rows["share"], np.append(rows["left"], rows["right"].iloc[-1]), color="0.8", fill=True)
            ax.plot([0, 1], [0, 1], color="0.4", linewidth=0.8)
            few = rows["count"] < FEW
            seen, rare = rows[~few], rows[few & rows["value"].notna()]
            ax.plot(seen["confidence"], seen["value"], color=LOOKS[way], marker="o", label=WAYS[way])
            dots = {"linestyle": "", "marker": "o", "markerfacecolor": "none", "label": "_few"}
            ax.plot(rare["confidence"], rare["value"], color=LOOKS[way], **dots)
            ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
            ax.set_xlim(-0.03, 1.03)
            ax.set_ylim(-0.03, 1.03)
            name_axes(ax, title=style.wrap(WAYS[way], title_room(ax)), xlabel="confidence")
            if first:
                name_axes(ax, ylabel="accuracy, or share\nof the predictions")
        for ax, metric in zip(axes[len(DIAGRAMS) :], BARS, strict=True):
            _draw_bars(ax, self.table[self.table["panel"] == metric], metric)
        return [
            Line2D([], [], color="0.2", marker="o", label="accuracy in the bin"),
            Patch(color="0.8", label="share of the predictions"),
            Line2D([], [], color="0.4", linewidth=0.8, label="calibrated"),
        ]


def _draw_bars(ax: Axes, rows: pd.DataFrame, metric: str) -> None:
    """Draw one bar for each way with its interval; an infinite one is said."""
    places = np.arange(len(rows))
    finite = np.isfinite(rows["value"])
    ax.barh(places[finite], rows["value"][finite], color=[LOOKS[way] for way in rows["way"][finite]], height=0.7)
    low, high = (rows[end].where(np.isfinite(rows[end]), rows["value"])[finite] for end in ("low", "high"))
    ax.hlines(places[finite], low, high, color="0.1", linewidth=1.2)
    for place in places[~finite]:
        ax.text(0.02, place, "infinite", va="center", fontsize="small", transform=ax.get_yaxis_transform())
    ax.set_yticks(places, [WAYS[way].replace(", ", ",\n") for way in rows["way"]])
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.grid(False, axis="y")
    ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    name_axes(ax, xlabel=style.metric_label(metric))


def _predict(val: Predictions, val_labels: IntArray, test: Predictions) -> dict[str, list[FloatArray]]:
    """Return the test predictions in each way, a list of several where each member stands for itself."""
    fitted = [fit_temperature(member, val_labels) for member in val.probs]
    given = (val.probs, val_labels, test.probs, "mean", test.weights)
    return {
        "single": [member.astype(np.float64) for member in test.probs],
        "single_calibrated": [apply_temperature(*pair) for pair in zip(test.probs, fitted, strict=True)],
        "pool": [aggregate(test.probs, "mean", test.weights)],
        "calibrate_then_pool": [calibrate_then_pool(*given)],
        "pool_then_calibrate": [pool_then_calibrate(*given)],
    }


def _check_gap(probs: FloatArray, labels: IntArray, gap: float) -> None:
    measured = float(ece(probs, labels))
    require("ECE >= |accuracy - mean confidence|", measured >= abs(gap) - 1e-9, f"{measured:.6g} and {abs(gap):.6g}")


def _check(val: Predictions, val_labels: IntArray, test: Predictions, made: dict[str, list[FloatArray]]) -> None:
    """Require what must hold of one repetition."""
    pool = aggregate(val.probs, "mean", val.weights)
    before = nll(pool, val_labels)
    finite = np.isfinite(before)
    cooled = apply_temperature(pool, fit_temperature(pool, val_labels))
    after = nll(cooled, val_labels)
    require(
        "NLL on validation data at the fitted temperature <= without",
        after[finite].sum() <= before[finite].sum() + 1e-6 * len(before),
        f"{after.mean():.6g} and {before.mean():.6g}",
    )
    (raw,), (calibrated,) = made["pool"], made["pool_then_calibrate"]
    same = np.take_along_axis(calibrated, raw.argmax(axis=1)[:, None], axis=1)[:, 0]
    require("the pool's labels do not change with its temperature", (same >= calibrated.max(axis=1) - 1e-9).all())
    sure = np.average(test.probs.max(axis=2).astype(float), axis=0, weights=test.weights)
    require("the pool is no more confident than its members on average", (raw.max(axis=1) <= sure + 1e-6).all())


def _facts(table: pd.DataFrame, confidences: dict[str, float], accuracies: dict[str, float]) -> Iterator[Fact]:
    way = "calibrate_then_pool"
    yield Fact(
        "The pool of calibrated members is less confident than right",
        confidences[way] < accuracies[way],
        f"mean confidence {100 * confidences[way]:.2f} %, accuracy {100 * accuracies[way]:.2f} %",
    )
    bars = table[table["panel"] == "nll"].set_index("way")["value"]
    late, early = bars["pool_then_calibrate"], bars[way]
    yield Fact(
        "To calibrate the pool gives an NLL at most that of pooling calibrated members",
        bool(late <= early),
        f"{late:.4f} and {early:.4f} nats",
    )
