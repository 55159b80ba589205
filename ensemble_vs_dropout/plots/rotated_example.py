"""Does a network know that it does not know an image that is turned more and more?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.offsetbox import AnnotationBbox, OffsetImage

from ensemble_vs_dropout.evaluation.findings.rotated_example import gap, rotated_example
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import AxesArray, Display, draw_line, name_axes, title_room
from ensemble_vs_dropout.plots.pictures import check_pictures
from ensemble_vs_dropout.types import FloatArray, Predictions

TICKS = 13  # angles with an image and a number, at most
LOOKS = [style.ArmStyle(style.COLORS[color], marker) for color, marker in ((0, "o"), (1, "^"), (2, "s"), (4, "D"))]


@dataclass(frozen=True, eq=False, repr=False)
class RotatedExample(Display):
    """The probabilities that every pass gives one image at several angles, one panel per arm, the images on top.

    `table` is that of `evaluation.findings.rotated_example`. `images` holds the pictures, one for each angle, or is
    None. After Gal and Ghahramani (2016), figure 4.

    Example:
        >>> turned = {"ensemble": Predictions(np.array([[[0.9, 0.1], [0.4, 0.6]]]))}
        >>> display = RotatedExample.from_predictions([0, 90], turned, dataset="digits", classes=["one", "seven"])
        >>> display.frame().query("role == 'mean'")[["amount", "name", "value"]].values.tolist()
        [[0.0, 'one', 0.9], [90.0, 'one', 0.4], [0.0, 'seven', 0.1], [90.0, 'seven', 0.6]]
    """

    images: FloatArray | None = None

    @classmethod
    def from_predictions(
        cls,
        amounts: Sequence[float],
        predictions: Mapping[str, Predictions],
        *,
        dataset: str,
        classes: Sequence[str],
        images: npt.ArrayLike | None = None,
        label: int | None = None,
        further: Sequence[Mapping[str, Predictions]] = (),
    ) -> RotatedExample:
        """Make the display.

        Args:
            amounts: The angles in degrees, increasing.
            predictions: For each arm the probabilities of its members, one "example" for each angle.
            dataset: The name of the data set.
            classes: The names of the classes.
            images: The image at each angle, shape (angles, height, width) or that with 1 or 3 channels.
            label: The true class.
            further: The predictions of further images, for the facts.

        Raises:
            InputError: Angles that do not increase, other predictions than one for each of them, or no images.
        """
        finding = rotated_example(amounts, predictions, classes=classes, label=label, further=further)
        pictures = None if images is None else check_pictures("images", images, len(amounts), "angles")
        shown = finding.table["class"].nunique()
        caption = (
            f"One test image of {dataset}, turned. Small: the probability in one pass (or network); line: their "
            f"mean; band: ±1 standard deviation over passes. Shown: {shown} of {len(classes)} classes, those with "
            "the highest mean anywhere. In brackets: passes or networks."
        )
        return cls(
            finding.table,
            title=f"Predictions for a turned image: {dataset}",
            interval="band: ±1 standard deviation over passes",
            caption=caption,
            facts=finding.facts,
            images=pictures,
        )

    def _arms(self) -> list[str]:
        return list(self.table["arm"].unique())

    def _mosaic(self) -> list[list[int]]:
        return [[arm] for arm in range(len(self._arms()))]

    def _height(self) -> float:
        return 1.9

    def _draw(self, axes: AxesArray) -> list[Artist]:
        amounts = self.table["amount"].unique()
        names = dict(zip(self.table["class"], self.table["name"], strict=True))
        looks = dict(zip(names, LOOKS, strict=False))
        margin, size = 0.6 * gap(amounts), matplotlib.rcParams["lines.markersize"]
        for ax, arm in zip(axes, self._arms(), strict=True):
            rows = self.table[self.table["arm"] == arm]
            for number, own in rows.groupby("class", sort=False):
                look, dots, mean = looks[number], own[own["role"] == "pass"], own[own["role"] == "mean"]
                dot = {"color": look.color, "alpha": 0.3, "markersize": 0.6 * size, "markeredgewidth": 0}
                ax.plot(dots["x"], dots["value"], look.marker, **dot)
                draw_line(ax, mean["x"], mean, look.color, marker=look.marker, label=names[number])
            ax.set(xlim=(amounts[0] - margin, amounts[-1] + margin), ylim=(-0.03, 1.03))
            ax.set_xticks(amounts[:: -(-len(amounts) // TICKS)])
            ax.set_yticks([0, 0.25, 0.5, 0.75, 1])
            if self.images is not None:
                ax.set_ylim(-0.03, 1.45)
                _draw_strip(ax, amounts, self.images)
            label = style.arm_label(arm, members=rows["members"].iloc[0])
            name_axes(ax, ylabel="probability", title=style.wrap(label, title_room(ax)))
        name_axes(axes[-1], xlabel="turned by (degrees)")
        return [
            Line2D([], [], color=look.color, marker=look.marker, label=_cut(names[number]))
            for number, look in looks.items()
        ]


def _draw_strip(ax: Axes, amounts: FloatArray, images: FloatArray) -> None:
    """Draw the images above what is possible, as many as there is room for."""
    few = slice(None, None, -(-len(amounts) // TICKS))
    room = 72 * ax.get_window_extent().width / ax.figure.dpi  # in points
    side = room * min(0.95 * gap(amounts[few]) / np.ptp(ax.get_xlim()), 1 / 14)
    for amount, picture in zip(amounts[few], images[few], strict=True):
        image = OffsetImage(picture, zoom=side / max(picture.shape[:2]), cmap="gray", interpolation="nearest")
        image.image.set_clim(0, 1)
        ax.add_artist(AnnotationBbox(image, (amount, 1.24), frameon=False, pad=0, box_alignment=(0.5, 0.5)))


def _cut(name: str, letters: int = 30) -> str:
    return name if len(name) <= letters else f"{name[: letters - 1]}…"
