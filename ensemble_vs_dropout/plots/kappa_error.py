"""Which arm has accurate members that still differ?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy.typing as npt
from matplotlib.artist import Artist

from ensemble_vs_dropout.evaluation.findings.kappa_error import INDEPENDENT, kappa_error
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import AxesArray, Display, name_axes
from ensemble_vs_dropout.types import Predictions


@dataclass(frozen=True, eq=False, repr=False)
class KappaError(Display):
    """The mean error of two members against how far their labels agree beyond chance, one dot per pair.

    `table` is that of `evaluation.findings.kappa_error`.

    Example:
        >>> import numpy as np
        >>> pool = {"ensemble": Predictions(np.eye(2)[[[0, 1, 0, 1], [0, 1, 1, 0]]])}
        >>> frame = KappaError.from_predictions(pool, [0, 1, 0, 1], dataset="digits").frame()
        >>> frame.query("role == 'pair'")[["kappa", "value"]].values.tolist()
        [[0.0, 0.25]]
    """

    @classmethod
    def from_predictions(
        cls,
        arms: Mapping[str, Predictions | Sequence[Predictions]],
        labels: npt.ArrayLike,
        *,
        dataset: str,
        pairs: int = 500,
        seed: int = 0,
    ) -> KappaError:
        """Make the display.

        Args:
            arms: Predictions by arm, one or one for each repetition; only members of one repetition make a pair.
            labels: Shape (examples,).
            dataset: The name of the data set.
            pairs: How many of an arm are drawn at most; of more, as many are chosen at random.
            seed: Of that choice.

        Raises:
            InputError: No arm with two members, or predictions and labels that do not fit together.
        """
        finding = kappa_error(arms, labels, pairs=pairs, seed=seed)
        lost = finding.told["lost"]
        alone = [style.arm_label(arm) for arm in finding.told["alone"]]
        caption = [
            f"Each small dot is a pair of networks or passes, at most {pairs} for each arm; kappa is Cohen's, of the "
            f"labels that the two predict (1: always the same, 0: as by chance). Large: mean; cross: ±1 standard "
            f"deviation over pairs. In brackets: networks or passes. Data: {dataset}.",
            "Dashed: two members of that error whose errors are independent, wrong classes equally likely.",
            f"Of one member, so without pairs: {', '.join(alone)}." if alone else "",
            f"Not drawn, both always predicting one and the same class: {lost} pairs." if lost else "",
        ]
        return cls(
            finding.table,
            title=f"Kappa and error of pairs: {dataset}",
            interval="cross: ±1 standard deviation over pairs",
            caption=" ".join(filter(None, caption)),
        )

    def _mosaic(self) -> list[list[int]]:
        return [[0]]

    def _height(self) -> float:
        return 3.0

    def _draw(self, axes: AxesArray) -> list[Artist]:
        ax, size = axes[0], matplotlib.rcParams["lines.markersize"]
        roles = dict(list(self.table.groupby("role")))
        handles: list[Artist] = []
        for arm, look in style.arm_styles(roles["pair"]["arm"]).items():
            dots, mean = (roles[role][roles[role]["arm"] == arm] for role in ("pair", "mean"))
            dot: dict[str, Any] = {"linestyle": "", "marker": look.marker, "color": look.color}
            ax.plot(dots["kappa"], dots["value"] * 100, alpha=0.35, markersize=0.7 * size, markeredgewidth=0, **dot)
            ax.hlines(mean["value"] * 100, mean["kappa_low"], mean["kappa_high"], color=look.color)
            ax.vlines(mean["kappa"], mean["low"] * 100, mean["high"] * 100, color=look.color)
            label = style.arm_label(arm, members=mean["members"].iloc[0])
            large = {"markersize": 1.8 * size, "markeredgecolor": "black", "label": label, **dot}
            handles += ax.plot(mean["kappa"], mean["value"] * 100, **large)
        line = roles["reference"]
        handles += ax.plot(line["kappa"], line["value"] * 100, color="0.4", linestyle="--", label=INDEPENDENT)
        name_axes(
            ax, xlabel="kappa of the predicted labels\n(to the left: more diverse)", ylabel="mean error of a pair (%)"
        )
        return handles
