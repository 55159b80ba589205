"""Does it know what it does not know?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ensemble_vs_dropout.evaluation.findings.ood_entropy import ood_entropy
from ensemble_vs_dropout.evaluation.pooling import Arms
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import AxesArray, Display, fold, name_axes, starts_row, title_room

QUANTITIES = {"entropy": "entropy of the mean (nats)", "mutual_information": "mutual information (nats)"}
LINES: list[Any] = [":", "--", "-", "-.", (0, (1, 1, 3, 1)), (0, (6, 1))]


@dataclass(frozen=True, eq=False, repr=False)
class OODEntropy(Display):
    """Histograms of uncertainty on known and on unknown data for growing numbers of members, one column per arm.

    Two panels more sum them up: AUROC, the chance that an unknown example is more uncertain than a known one, and
    the median uncertainty of unknown examples, against the number of members.

    `table` is that of `evaluation.findings.ood_entropy`.

    After Lakshminarayanan et al. (2017), figure 3.

    Example:
        >>> from ensemble_vs_dropout import Predictions
        >>> sure, unsure = ({"ensemble": Predictions(np.full((2, 9, 2), [p, 1 - p]))} for p in (0.9, 0.5))
        >>> display = OODEntropy.from_predictions(sure, unsure, dataset="digits", other="noise", members=[2])
        >>> display.frame().query("panel == 'auroc'").value.round(6).tolist()
        [1.0]
    """

    quantity: str = "entropy"

    @classmethod
    def from_predictions(
        cls,
        known: Arms,
        unknown: Arms,
        *,
        dataset: str,
        other: str,
        members: Sequence[int] = (1, 5, 10),
        quantity: str = "entropy",
        resamples: int = 1000,
        seed: int = 0,
    ) -> OODEntropy:
        """Make the display.

        Args:
            known: Predictions by arm for examples of the classes that were trained, one or one for each repetition.
            unknown: Those of the same arms for examples of no such class.
            dataset: The name of the known data set.
            other: The name of the unknown one.
            members: How many are combined.
            quantity: "entropy" or "mutual_information".
            resamples: Of the bootstrap.
            seed: Of the resamples.
        """
        finding = ood_entropy(known, unknown, members=members, quantity=quantity, resamples=resamples, seed=seed)
        repeated = finding.told["repetitions"] > 1
        over = f"95 % bootstrap over examples{' and repetitions' if repeated else ''}"
        caption = [
            f"Histograms: share of examples by {QUANTITIES[quantity]} of the first networks or passes of each arm;",
            f"known: {dataset}, unknown: {other}. AUROC: the chance that an unknown example has more of it than a",
            f"known one (0.5: no better than chance). Bar: {over}.",
            "One network or pass alone has no mutual information and is left out."
            if quantity == "mutual_information"
            else "",
        ]
        return cls(
            finding.table,
            title=f"Is it unsure of {other}, which it never saw? Known data: {dataset}",
            interval=f"bar: {over}",
            caption=" ".join(filter(None, caption)),
            facts=finding.facts,
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
