"""On which images do the members disagree, and on which not at all?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import matplotlib
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation.findings.disagreement_images import VOTED, disagreement_images
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import AxesArray, Display, fold, name_axes
from ensemble_vs_dropout.plots.pictures import check_pictures, draw_picture
from ensemble_vs_dropout.types import FloatArray, Predictions

PANELS = {"most": "disagreed on most", "least": "disagreed on least"}
COLUMNS = 4  # images in a row
CELL = 1.36  # the height of an image and its words, in widths


@dataclass(frozen=True, eq=False, repr=False)
class DisagreementImages(Display):
    """The test images on which the members of each arm disagree most and least, with their votes.

    `table` is that of `evaluation.findings.disagreement_images`. `images` holds the picture of each example shown.
    After Lakshminarayanan et al. (2017), figures 10 to 12.

    Example:
        >>> pool = {"ensemble": Predictions(np.array([[[0.9, 0.1], [0.9, 0.1]], [[0.8, 0.2], [0.1, 0.9]]]))}
        >>> images, classes = np.zeros((2, 8, 8)), ["no", "yes"]
        >>> display = DisagreementImages.from_predictions(pool, images, [0, 0], dataset="a", classes=classes, number=1)
        >>> display.frame()[["panel", "example", "voted", "value"]].values.tolist()
        [['most', 1, 0, 0.5], ['most', 1, 1, 0.5], ['least', 0, 0, 1.0]]
    """

    images: Mapping[int, FloatArray] = field(default_factory=dict)
    classes: tuple[str, ...] = ()

    @classmethod
    def from_predictions(
        cls,
        predictions: Mapping[str, Predictions],
        images: npt.ArrayLike,
        labels: npt.ArrayLike,
        *,
        dataset: str,
        classes: Sequence[str],
        number: int = 8,
    ) -> DisagreementImages:
        """Make the display.

        Args:
            predictions: For each arm at least two networks or passes.
            images: Shape (examples, height, width), or that with 1 or 3 channels; uint8 or floats.
            labels: Shape (examples,).
            dataset: The name of the data set.
            classes: The names of the classes.
            number: How many images to show of each kind.

        Raises:
            InputError: An arm of one member, data that are no images, or parts that do not fit together.
        """
        finding = disagreement_images(predictions, labels, number=number)
        known = finding.told["classes"]
        if len(classes) != known:
            raise InputError(f"classes must name the {known} classes of the predictions, got {len(classes)} names")
        pictures = check_pictures("images", images, len(np.asarray(labels)), "labelled examples")
        told = [
            f"{style.arm_label(arm)} {mean:.3g} ±{spread:.2g}"
            for arm, (mean, spread) in finding.told["spreads"].items()
        ]
        caption = (
            f"Test images of {dataset} on which the networks or passes of an arm (their number in brackets) have the "
            "most and the least mutual information (generalised Jensen-Shannon divergence). Under an image: its true "
            f"class; what the mean of the members predicts, ✗ where wrong; the {VOTED} classes with the most votes. "
            f"Mutual information over all examples, in nats, mean ±1 standard deviation: {', '.join(told[:8])}."
        )
        return cls(
            finding.table,
            title=f"Images that members disagree on: {dataset}",
            interval="",
            caption=caption,
            facts=finding.facts,
            images={int(example): pictures[example] for example in finding.table["example"].unique()},
            classes=tuple(map(str, classes)),
        )

    def _panels(self) -> list[pd.DataFrame]:
        return [rows for _, rows in self.table.groupby(["arm", "panel"], sort=False)]

    def _mosaic(self) -> list[list[int]]:
        return fold(range(len(self._panels())), columns=2)

    def _height(self) -> float:
        return 0.3 + 1.15 * math.ceil(self.table["rank"].max() / COLUMNS)

    def _draw(self, axes: AxesArray) -> list[Artist]:
        for ax, rows in zip(axes, self._panels(), strict=True):
            first, unsure = rows.iloc[0], rows["mutual_information"]
            label = f"{style.wrap(style.arm_label(first['arm']), 32, lines=1)} ({first['members']})"
            for _, votes in rows.groupby("rank"):
                self._draw_image(ax, votes)
            lines = math.ceil(self.table["rank"].max() / COLUMNS)
            ax.set(xlim=(0, COLUMNS), ylim=(-lines * CELL, 0), xticks=[], yticks=[])
            ax.grid(False)
            ax.spines[:].set_visible(False)
            ends = f"{unsure.iloc[0]:.2g}" if len(set(unsure)) == 1 else f"{unsure.min():.2g} to {unsure.max():.2g}"
            name_axes(ax, title=f"{label}\n{PANELS[first['panel']]} ({ends} nats)")
        return []

    def _draw_image(self, ax: Axes, votes: pd.DataFrame) -> None:
        one = votes.iloc[0]
        line, column = divmod(int(one["rank"]) - 1, COLUMNS)
        draw_picture(ax, self.images[int(one["example"])], column + 0.5, -line * CELL - 0.43, 0.8)
        wrong = " ✗" if one["predicted"] != one["label"] else ""
        letters = max(
            10,
            int(
                ax.get_window_extent().width / COLUMNS / (0.29 * matplotlib.rcParams["font.size"] * ax.figure.dpi / 72)
            ),
        )
        words = [
            f"true {self.classes[one['label']]}",
            f"pool {_cut(self.classes[one['predicted']], letters - 7)}{wrong}",
        ]
        words += [
            f"{100 * share:.0f} % {self.classes[voted]}"
            for voted, share in zip(votes["voted"], votes["value"], strict=True)
        ]
        text = "\n".join(_cut(word, letters) for word in words)
        ax.text(column + 0.1, -line * CELL - 0.87, text, fontsize="x-small", va="top", parse_math=False, clip_on=True)


def _cut(word: str, letters: int) -> str:
    return word if len(word) <= letters else f"{word[: letters - 1]}…"
