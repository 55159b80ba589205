"""Can its confidence be used to decide when to trust it?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy.typing as npt
from matplotlib.artist import Artist

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation.findings.accuracy_vs_confidence import LEAST as LEAST
from ensemble_vs_dropout.evaluation.findings.accuracy_vs_confidence import THRESHOLDS, accuracy_vs_confidence
from ensemble_vs_dropout.evaluation.pooling import Arms
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import AxesArray, Display, draw_line, name_axes

NUMBERS = ["value", "low", "high"]


@dataclass(frozen=True, eq=False, repr=False)
class AccuracyVersusConfidence(Display):
    """Accuracy on the examples that are predicted with a confidence of at least a threshold, and how many these are.

    `table` is that of `evaluation.findings.accuracy_vs_confidence`, which says what enters and what is refused.

    Example:
        >>> import numpy as np
        >>> from ensemble_vs_dropout import Predictions
        >>> sure = np.linspace(0.5, 1, 100)
        >>> known = {"ensemble": Predictions(np.stack([sure, 1 - sure], axis=1)[None])}
        >>> labels = 1 * (sure < 0.6)
        >>> display = AccuracyVersusConfidence.from_predictions(known, labels, dataset="digits", resamples=100)
        >>> display.frame().panel.unique().tolist()
        ['accuracy', 'retained']
    """

    @classmethod
    def from_predictions(
        cls,
        known: Arms,
        labels: npt.ArrayLike,
        unknown: Arms | None = None,
        *,
        dataset: str,
        other: str | None = None,
        thresholds: Sequence[float] = THRESHOLDS,
        rule: str = "mean",
        resamples: int = 1000,
        seed: int = 0,
    ) -> AccuracyVersusConfidence:
        """Make the display.

        Args:
            known: Predictions by arm for examples of the classes that were trained, one or one for each repetition.
            labels: Their labels, shape (examples,).
            unknown: Predictions by arm for examples of no such class, or None.
            dataset: The name of the data set.
            other: The name of the unknown examples, where there are any.
            thresholds: Confidences from which on an example counts.
            rule: By which the members of every arm are combined.
            resamples: Of the bootstrap.
            seed: Of the resamples.

        Raises:
            InputError: As in the finding, or unknown examples without a name.
        """
        if unknown is not None and other is None:
            raise InputError("other must name the data that unknown was predicted for, got None")
        found = accuracy_vs_confidence(
            known, labels, unknown, thresholds=thresholds, rule=rule, resamples=resamples, seed=seed
        )
        over = f"95 % bootstrap over examples{' and repetitions' if found.told['repetitions'] > 1 else ''}"
        mixed = (
            f", mixed with {found.told['unknown']} unknown ones of {other}, on which every prediction counts as wrong"
        )
        caption = [
            f"Confidence: the highest pooled probability. Data: {found.told['known']} examples of {dataset}"
            f"{mixed if unknown is not None else ''}.",
            f"Accuracies of fewer than {LEAST} retained examples are not drawn. Band: {over}.",
            "In brackets: networks or passes combined.",
        ]
        return cls(
            found.table,
            title=f"Is it right where it is confident? {f'Unknown: {other}, known' if other else 'Data'}: {dataset}",
            interval=f"band: {over}",
            caption=" ".join(caption),
            facts=found.facts,
        )

    def _mosaic(self) -> list[list[int]]:
        return [[0], [1]]

    def _height(self) -> float:
        return 2.0

    def _draw(self, axes: AxesArray) -> list[Artist]:
        styles = style.arm_styles(self.table["arm"])
        handles: list[Artist] = []
        for ax, panel in zip(axes, ("accuracy", "retained"), strict=True):
            rows = self.table[self.table["panel"] == panel]
            rows = rows.assign(**{name: rows[name] * 100 for name in NUMBERS})
            drawn = []
            for (arm, rule, members), curve in rows.groupby(["arm", "rule", "members"], sort=False):
                color, marker = styles[arm]
                label = style.arm_label(arm, rule, members)
                drawn.append(draw_line(ax, curve["threshold"], curve, color, marker=marker, label=label))
            handles = handles or drawn
            ax.set_xlim(-0.02, 1.02)
        axes[1].set_ylim(-3, 103)
        name_axes(axes[0], ylabel="accuracy of the retained (%)", xlabel="confidence at least")
        name_axes(axes[1], ylabel="examples retained (%)", xlabel="confidence at least")
        return handles
