"""Does it know what it does not know?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ensemble_vs_dropout.checks import InputError, check_at_least, check_known
from ensemble_vs_dropout.evaluation.outcomes import Arms, check_arms, detect, resampled_weights, row_means
from ensemble_vs_dropout.measures import uncertainty
from ensemble_vs_dropout.measures.resampling import percentile_interval
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import (
    AxesArray,
    Display,
    Fact,
    fold,
    name_axes,
    require,
    starts_row,
    title_room,
)
from ensemble_vs_dropout.types import FloatArray, Predictions

QUANTITIES = {"entropy": "entropy of the mean (nats)", "mutual_information": "mutual information (nats)"}
BINS = 25
LINES: list[Any] = [":", "--", "-", "-.", (0, (1, 1, 3, 1)), (0, (6, 1))]


@dataclass(frozen=True, eq=False)
class OODEntropy(Display):
    """Histograms of uncertainty on known and on unknown data for growing numbers of members, one column per arm.

    Two panels more sum them up: AUROC, the chance that an unknown example is more uncertain than a known one, and
    the median uncertainty of unknown examples, against the number of members.

    `table` has the columns panel ("known", "unknown", "auroc", "median"), arm, members, left, right (edges of the
    bin in nats; NaN in the last two panels), value (the share of the examples in the bin; the AUROC in [0, 1]; nats),
    low, high (95 % bootstrap; NaN for the shares).

    After Lakshminarayanan et al. (2017), figure 3.
    """

    quantity: str = "entropy"

    @classmethod
    def from_predictions(
        cls,
        known: Arms,
        unknown: Arms,
        *,
        data: str,
        other: str,
        members: Sequence[int] = (1, 5, 10),
        quantity: str = "entropy",
        resamples: int = 1000,
        seed: int = 0,
    ) -> OODEntropy:
        """Make the display.

        Args:
            known: Members of each arm on data like those it was trained on, one `Predictions`, or one for each
                repetition, whose examples share one histogram.
            unknown: Likewise on data of other classes.
            data: The name of the known data set.
            other: The name of the unknown one.
            members: The first so many members are combined; numbers beyond an arm's are left out, and an arm with
                fewer than all of them is shown at its own.
            quantity: "entropy" of the members' mean, or "mutual_information", for which one member, which cannot
                disagree with itself, is left out.
            resamples: Bootstrap resamples of the examples, and of the repetitions where there are several.
            seed: Of the resamples.

        Raises:
            InputError: Arms that differ between known and unknown, an unknown quantity, or nothing left to draw.
        """
        check_known("quantity", quantity, QUANTITIES)
        check_at_least("resamples", resamples, 100)
        inside, outside = check_arms(known, same_members=True), check_arms(unknown, same_members=True)
        least = 2 if quantity == "mutual_information" else 1
        sizes = {check_at_least("members", size, 1) for size in members}
        if not sizes:
            raise InputError("members must name at least one number, got none")
        chosen = {
            arm: [size for size in sorted(sizes | {min(max(sizes), runs[0].members)})
                  if least <= size <= runs[0].members]
            for arm, runs in inside.items()
        }  # fmt: skip
        chosen = {arm: taken for arm, taken in chosen.items() if taken}
        if not chosen:
            raise InputError("mutual_information needs an arm and a number of at least 2 members, got one in each")
        rows: list[list[Any]] = []
        seen: dict[tuple[str, str, int], FloatArray] = {}
        for size in sorted({size for taken in chosen.values() for size in taken}):
            own, others = (_first(part, size, chosen) for part in (inside, outside))
            for one in detect(own, others, resamples, seed):
                if (one.rule, one.metric) == (quantity, "auroc"):
                    bounds = percentile_interval(one.draws)
                    rows.append(["auroc", one.arm, size, np.nan, np.nan, one.value, *bounds])
            for panel, part in (("known", own), ("unknown", others)):
                for arm, runs in part.items():
                    seen[panel, arm, size] = np.stack([_measure(run, quantity) for run in runs])
        for (panel, arm, size), values in seen.items():
            if panel == "unknown":
                median = float(np.median(values, axis=1).mean())
                rows.append(["median", arm, size, np.nan, np.nan, median, *_median_interval(values, resamples, seed)])
        classes = next(iter(inside.values()))[0].classes
        top = np.log(classes) if quantity == "entropy" else max(values.max() for values in seen.values())
        edges = np.linspace(0, top if top > 0 else np.log(classes), BINS + 1)
        for (panel, arm, size), values in seen.items():
            share = np.histogram(np.clip(values, 0, edges[-1]), edges)[0] / values.size
            rows += [
                [panel, arm, size, *edge, value, np.nan, np.nan]
                for *edge, value in zip(edges, edges[1:], share, strict=False)
            ]
        table = pd.DataFrame(rows, columns=["panel", "arm", "members", "left", "right", "value", "low", "high"])
        order = {arm: place for place, arm in enumerate(chosen)}
        table = table.sort_values("arm", key=lambda arms: arms.map(order), kind="stable").reset_index(drop=True)
        repeated = len(next(iter(inside.values()))) > 1
        over = f"95 % bootstrap over examples{' and repetitions' if repeated else ''}"
        caption = [
            f"Histograms: share of examples by {QUANTITIES[quantity]} of the first networks or passes of each arm;",
            f"known: {data}, unknown: {other}. AUROC: the chance that an unknown example has more of it than a known",
            f"one (0.5: no better than chance). Bar: {over}.",
            "One network or pass alone has no mutual information and is left out." if least == 2 else "",
        ]
        return cls(
            table,
            title=f"Is it unsure of {other}, which it never saw? Known data: {data}",
            interval=f"bar: {over}",
            caption=" ".join(filter(None, caption)),
            facts=tuple(_facts(table, seen, quantity)),
            quantity=quantity,
        )

    def _arms(self) -> list[str]:
        return list(self.table["arm"].unique())

    def _sizes(self) -> list[int]:
        return sorted(int(size) for size in self.table["members"].unique())

    def _mosaic(self) -> list[list[int]]:
        columns = len(self._arms()) + 1
        return fold(range(columns), columns=4) + fold(range(columns, 2 * columns), columns=4)

    def _height(self) -> float:
        return 1.75

    def _draw(self, axes: AxesArray) -> list[Artist]:
        styles, half = style.arm_styles(self._arms()), len(axes) // 2
        lines = dict(zip(self._sizes(), LINES * len(self._sizes()), strict=False))
        for panel, part, summary in (("known", axes[:half], "auroc"), ("unknown", axes[half:], "median")):
            rows = self.table[self.table["panel"] == panel]
            for ax, arm, first in zip(part, self._arms(), starts_row(part), strict=False):
                for size, bins in rows[rows["arm"] == arm].groupby("members"):
                    edges = np.append(bins["left"], bins["right"].iloc[-1])
                    ax.stairs(bins["value"] * 100, edges, color=styles[arm].color, linestyle=lines[size], label=size)
                ax.set_ylim(0, 105 * rows["value"].max())
                ax.set_xlim(0, self.table["right"].max())
                ax.tick_params(labelleft=first)
                title = style.wrap(f"{style.arm_label(arm)}: {panel}", title_room(ax), lines=3)
                name_axes(ax, title=title, xlabel=QUANTITIES[self.quantity].replace(" of", "\nof"))
                if first:
                    name_axes(ax, ylabel=f"share of {panel} (%)")
            self._draw_summary(part[-1], summary)
        handles: list[Artist] = [
            Line2D([], [], color=look.color, marker=look.marker, label=style.arm_label(arm))
            for arm, look in styles.items()
        ]
        return handles + [
            Line2D([], [], color="0.2", linestyle=line, label=f"{size} member{'s' * (size > 1)}")
            for size, line in lines.items()
        ]

    def _draw_summary(self, ax: Axes, panel: str) -> None:
        rows = self.table[self.table["panel"] == panel]
        sizes, styles = self._sizes(), style.arm_styles(self._arms())
        for place, (arm, look) in enumerate(styles.items()):
            points = rows[rows["arm"] == arm].sort_values("members")
            shift = 0.3 * (place - (len(styles) - 1) / 2) / len(styles)
            x = np.array([sizes.index(size) for size in points["members"]]) + shift
            ax.vlines(x, points["low"], points["high"], color=look.color, alpha=0.55)
            ax.plot(x, points["value"], color=look.color, marker=look.marker, linewidth=0.8, label=style.arm_label(arm))
        ax.set_xticks(range(len(sizes)), [str(size) for size in sizes])
        ax.set_xlim(-0.5, len(sizes) - 0.5)
        ax.grid(False, axis="x")
        if panel == "auroc":
            ax.axhline(0.5, color="0.4", linewidth=0.8)
        title, ylabel = ("unknown from known", "AUROC") if panel == "auroc" else ("median of unknown", "nats")
        name_axes(ax, title=title, xlabel="networks or passes", ylabel=ylabel)


def _first(
    arms: Mapping[str, Sequence[Predictions]], size: int, chosen: Mapping[str, Sequence[int]]
) -> dict[str, list[Predictions]]:
    """Return the first `size` members of the arms that are shown at this size."""
    return {arm: [_take(run, size) for run in runs] for arm, runs in arms.items() if size in chosen.get(arm, ())}


def _take(run: Predictions, size: int) -> Predictions:
    weights = None if run.weights is None else run.weights[:size] / run.weights[:size].sum()
    return Predictions(run.probs[:size], weights)


def _measure(run: Predictions, quantity: str) -> FloatArray:
    """Return the quantity of each example, after requiring what must hold of it."""
    parts = uncertainty(run.probs, run.weights)
    between = parts["mutual_information"]
    require(
        "entropy of the mean >= mean entropy of the members",
        (parts["entropy"] >= parts["expected_entropy"] - 1e-9).all(),
    )
    most = np.log(min(run.members, run.classes))
    require(
        f"0 <= mutual information <= log min(members, classes) = {most:.4g}",
        between.between(0, most + 1e-6).all(),
        f"{between.min():.4g} to {between.max():.4g}",
    )
    return parts[quantity].to_numpy()


def _median_interval(values: FloatArray, resamples: int, seed: int) -> tuple[float, float]:
    """Return the bootstrap interval of the median over examples, mean over repetitions: (repetitions, examples)."""
    order = np.argsort(values, axis=1)
    draws = []
    for examples, repeats in resampled_weights(seed, values.shape[1], len(values), resamples):
        middle = [(examples[:, places].cumsum(axis=1) >= 0.5 - 1e-12).argmax(axis=1) for places in order]
        medians = np.stack([row[o][m] for row, o, m in zip(values, order, middle, strict=True)], axis=1)
        draws.append(row_means(repeats, medians))
    return percentile_interval(np.concatenate(draws))


def _facts(table: pd.DataFrame, seen: Mapping[tuple[str, str, int], FloatArray], quantity: str) -> Iterator[Fact]:
    short = quantity.replace("_", " ")
    for arm, rows in table.groupby("arm", sort=False):
        name = style.arm_label(str(arm))
        medians = rows[rows["panel"] == "median"].set_index("members")["value"].sort_index()
        if arm == "ensemble" and len(medians) > 1:
            yield Fact(
                f"{name}: the median {short} of unknown examples rises with the number of networks",
                bool((medians.diff().dropna() > 0).all()),
                ", ".join(f"{value:.3f} of {size}" for size, value in medians.items()),
            )
        auroc = rows[rows["panel"] == "auroc"].sort_values("members").iloc[-1]
        yield Fact(
            f"{name}: {short} tells unknown from known examples better than chance",
            bool(auroc["value"] > 0.5),
            f"AUROC {auroc['value']:.3f} ({auroc['low']:.3f} to {auroc['high']:.3f}) of {auroc['members']}",
        )
    sizes = table[table["panel"] == "auroc"].groupby("arm")["members"].max()
    if {"ensemble", "mc_dropout"} <= set(sizes.index):
        near = table["right"].min()
        both = [float((seen["unknown", arm, int(sizes[arm])] < near).mean()) for arm in ("mc_dropout", "ensemble")]
        yield Fact(
            f"More unknown examples have {short} near 0 with MC dropout than with the ensemble",
            both[0] > both[1],
            f"{100 * both[0]:.1f} % of {sizes['mc_dropout']} passes and {100 * both[1]:.1f} % of {sizes['ensemble']} "
            f"networks below {near:.3g} nats",
        )
