"""Should members be averaged or counted as votes?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ensemble_vs_dropout.evaluation.arms import RULE_LABELS
from ensemble_vs_dropout.evaluation.findings.combiner_comparison import combiner_comparison
from ensemble_vs_dropout.evaluation.pooling import Arms
from ensemble_vs_dropout.evaluation.sizes import SIZES
from ensemble_vs_dropout.measures.spread import LEAST
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import AxesArray, Display, draw_line, fold, integer_ticks, name_axes, title_room

LOOKS = {
    "mean": {"color": style.COLORS[0], "marker": "o", "linestyle": "-"},
    "geometric_mean": {"color": style.COLORS[1], "marker": "^", "linestyle": "-."},
    "majority_vote": {"color": style.COLORS[2], "marker": "s", "linestyle": ":"},
    "confidence_vote": {"color": style.COLORS[3], "marker": "D", "linestyle": (0, (5, 1))},
}
NUMBERS = ["value", "low", "high"]


@dataclass(frozen=True, eq=False, repr=False)
class CombinerComparison(Display):
    """Error against members under four rules, one panel per arm, and the NLL of averaging probabilities or logits.

    `table` is that of `evaluation.findings.combiner_comparison`, which says what enters and what is refused.

    Example:
        >>> from ensemble_vs_dropout import Predictions
        >>> members = Predictions(np.array([[[0.6, 0.4]], [[0.1, 0.9]]]))
        >>> display = CombinerComparison.from_predictions({"ensemble": members}, [1], dataset="digits", resamples=100)
        >>> display.facts[0].outcome  # of one network
        'cannot be judged'
    """

    @classmethod
    def from_predictions(
        cls,
        arms: Arms,
        labels: npt.ArrayLike,
        *,
        dataset: str,
        sizes: Sequence[int] = SIZES,
        subsets: int = 50,
        resamples: int = 1000,
        seed: int = 0,
    ) -> CombinerComparison:
        """Make the display of the data set named `dataset`; all else is as in `combiner_comparison`."""
        found = combiner_comparison(arms, labels, sizes=sizes, subsets=subsets, resamples=resamples, seed=seed)
        again = " and training again" if found.told["repetitions"] >= LEAST else ""
        interval = f"band (of the mean alone): 95 % bootstrap over examples; bar: 95 % interval over examples{again}"
        caption = [
            f"Error on {dataset}, mean over subsets of each arm's pool. A tie is broken at random (the expected",
            "error). In a confidence-weighted vote, a vote counts as much as the member's highest probability.",
            "NLL: of the whole pool; the mean averages probabilities, the geometric mean logits.",
            f"{interval.capitalize()}.",
            "In brackets: networks or passes. Lower is better.",
        ]
        return cls(
            found.table,
            title=f"Average members, or let them vote? Data: {dataset}",
            interval=interval,
            caption=" ".join(caption),
            facts=found.facts,
        )

    def _arms(self) -> list[str]:
        return list(self.table["arm"].unique())

    def _mosaic(self) -> list[list[int]]:
        return fold(range(len(self._arms()) + 1), columns=3)

    def _height(self) -> float:
        return max(2.3, 0.7 + 0.26 * len(self._arms()))

    def _draw(self, axes: AxesArray) -> list[Artist]:
        errors, nll = (self.table[self.table["panel"] == panel] for panel in ("error", "nll"))
        for ax, arm in zip(axes, self._arms(), strict=False):
            panel = errors[errors["arm"] == arm]
            panel = panel.assign(**{name: panel[name] * style.metric_scale("error") for name in NUMBERS})
            ax.set_xscale("log")
            for rule, rows in panel.groupby("rule", sort=False):
                look = LOOKS[str(rule)]
                draw_line(ax, rows["members"].to_numpy(), rows, **look, label=RULE_LABELS[str(rule)])
            integer_ticks(ax, panel["members"].unique())
            title = style.wrap(style.arm_label(arm), title_room(ax), lines=3)
            name_axes(ax, title=title, xlabel="networks or passes", ylabel=style.metric_label("error"))
        _draw_dumbbells(axes[-1], nll, self._arms())
        return [Line2D([], [], **cast(Any, look), label=RULE_LABELS[rule]) for rule, look in LOOKS.items()]


def _draw_dumbbells(ax: Axes, nll: pd.DataFrame, arms: list[str]) -> None:
    """Draw one row per arm: the two averages, each with its bar, and a line between them."""
    finite = nll[np.isfinite(nll["value"])]
    place = finite["arm"].map(arms.index) + finite["rule"].map({"mean": -0.14, "geometric_mean": 0.14})
    for _, rows in finite.assign(place=place).groupby("arm", sort=False):
        ax.plot(rows["value"], rows["place"], color="0.6", linewidth=0.8, zorder=1)
    for rule, rows in finite.assign(place=place).groupby("rule", sort=False):
        look = LOOKS[str(rule)]
        low, high = (rows[end].where(np.isfinite(rows[end]), rows["value"]) for end in ("low", "high"))
        ax.hlines(rows["place"], low, high, color=look["color"], alpha=0.55)
        dots = {"color": look["color"], "marker": look["marker"], "linestyle": ""}
        ax.plot(rows["value"], rows["place"], **cast(Any, dots), label=RULE_LABELS[str(rule)])
    for arm, rule in nll.loc[~np.isfinite(nll["value"]), ["arm", "rule"]].itertuples(index=False):
        text = f"{RULE_LABELS[rule]}: infinite"
        shift = -0.14 if rule == "mean" else 0.14
        ax.text(0.98, arms.index(arm) + shift, text, ha="right", va="center", fontsize="x-small", color="0.2",
                transform=ax.get_yaxis_transform())  # fmt: skip
    sizes = nll.drop_duplicates("arm").set_index("arm")["members"]
    labels = [style.wrap(style.arm_label(arm, members=sizes[arm]), 20, lines=3) for arm in arms]
    ax.set_yticks(range(len(arms)), labels, parse_math=False)
    ax.set_ylim(len(arms) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.grid(False, axis="y")
    ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    name_axes(ax, title="whole pool", xlabel=style.metric_label("nll"))
