"""Does a network know that it does not know an image that is turned more and more?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.offsetbox import AnnotationBbox, OffsetImage

from ensemble_vs_dropout.checks import InputError, check_at_least
from ensemble_vs_dropout.evaluation.outcomes import check_arms
from ensemble_vs_dropout.measures.aggregation import aggregate
from ensemble_vs_dropout.measures.uncertainty import uncertainty
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import AxesArray, Display, Fact, draw_line, name_axes, title_room
from ensemble_vs_dropout.plots.pictures import check_pictures
from ensemble_vs_dropout.types import FloatArray, Predictions

SHOWN = 4  # classes, at most
TICKS = 13  # angles with an image and a number, at most
LIKELY = 0.1  # the mean probability that a class beyond the first two must reach somewhere
LOOKS = [style.ArmStyle(style.COLORS[color], marker) for color, marker in ((0, "o"), (1, "^"), (2, "s"), (4, "D"))]


@dataclass(frozen=True, eq=False)
class RotatedExample(Display):
    """The probabilities that every pass gives one image at several angles, one panel per arm, the images on top.

    `table` has the columns role ("pass" or "mean" of an arm's passes), arm, members, member, amount (degrees), x
    (where it is drawn, the classes side by side), class, name, value (a probability), low, high (one standard
    deviation over passes around their mean). Drawn are the classes with the highest mean anywhere, and the true
    one. `images` holds the pictures, one for each angle, or is None. After Gal and Ghahramani (2016), figure 4.
    """

    images: FloatArray | None = None

    @classmethod
    def from_predictions(
        cls,
        amounts: Sequence[float],
        predictions: Mapping[str, Predictions],
        *,
        data: str,
        classes: Sequence[str],
        images: npt.ArrayLike | None = None,
        label: int | None = None,
    ) -> RotatedExample:
        """Make the display.

        Args:
            amounts: The angles in degrees, increasing.
            predictions: For each arm the probabilities of its members, one "example" for each angle.
            data: The name of the data set.
            classes: The names of the classes.
            images: The image at each angle, shape (angles, height, width) or that with 1 or 3 channels.
            label: The true class.

        Raises:
            InputError: Angles that do not increase, other predictions than one for each of them, or no images.
        """
        turns = np.asarray(amounts, dtype=float)
        if turns.ndim != 1 or not len(turns) or not np.isfinite(turns).all() or (np.diff(turns) <= 0).any():
            raise InputError(f"amounts must be increasing angles, got {list(amounts)}")
        runs = {arm: own[0] for arm, own in check_arms(predictions, len(turns)).items()}
        known = next(iter(runs.values())).classes
        if len(classes) != known:
            raise InputError(f"classes must name the {known} classes of the predictions, got {len(classes)} names")
        if label is not None and check_at_least("label", label, 0) >= known:
            raise InputError(f"label must be one of the classes 0..{known - 1}, got {label}")
        pictures = None if images is None else check_pictures("images", images, len(turns), "angles")
        means = {arm: aggregate(run.probs, "mean", run.weights) for arm, run in runs.items()}
        named = [f"{name} (true)" if number == label else str(name) for number, name in enumerate(classes)]
        shown = _choose(np.stack(list(means.values())), label)
        table = pd.concat(
            [_rows(arm, run, means[arm], turns, shown, named) for arm, run in runs.items()], ignore_index=True
        )
        caption = (
            f"One test image of {data}, turned. Small: the probability in one pass (or network); line: their "
            f"mean; band: ±1 standard deviation over passes. Shown: {len(shown)} of {known} classes, those with "
            "the highest mean anywhere. In brackets: passes or networks."
        )
        return cls(
            table,
            title=f"Predictions for a turned image: {data}",
            interval="band: ±1 standard deviation over passes",
            caption=caption,
            facts=tuple(_facts(runs, turns)),
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
        margin, size = 0.6 * _gap(amounts), matplotlib.rcParams["lines.markersize"]
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
    side = room * min(0.95 * _gap(amounts[few]) / np.ptp(ax.get_xlim()), 1 / 14)
    for amount, picture in zip(amounts[few], images[few], strict=True):
        image = OffsetImage(picture, zoom=side / max(picture.shape[:2]), cmap="gray", interpolation="nearest")
        image.image.set_clim(0, 1)
        ax.add_artist(AnnotationBbox(image, (amount, 1.24), frameon=False, pad=0, box_alignment=(0.5, 0.5)))


def _gap(amounts: FloatArray) -> float:
    return float(np.diff(amounts).min()) if len(amounts) > 1 else 1.0


def _choose(means: FloatArray, label: int | None) -> list[int]:
    """Return the classes to show: the true one, and those of the highest mean, shape (arms, angles, classes)."""
    highest = means.max(axis=(0, 1))
    if label is not None:
        highest[label] = np.inf
    order = np.argsort(-highest, kind="stable")[:SHOWN]
    return sorted(int(number) for place, number in enumerate(order) if place < 2 or highest[number] >= LIKELY)


def _rows(
    arm: str, run: Predictions, mean: FloatArray, turns: FloatArray, shown: list[int], classes: Sequence[str]
) -> pd.DataFrame:
    variance = np.average((run.probs - mean) ** 2, axis=0, weights=run.weights)
    spreads = np.sqrt(variance) if run.members > 1 else np.full(variance.shape, np.nan)
    parts = []
    for place, number in enumerate(shown):
        x = turns + 0.16 * _gap(turns) * (place - (len(shown) - 1) / 2)
        common = {"arm": arm, "members": run.members, "class": number, "name": str(classes[number])}
        parts += [
            pd.DataFrame({"role": "pass", "member": m, "amount": turns, "x": x, "value": own[:, number], **common})
            for m, own in enumerate(run.probs)
        ]
        value, spread = mean[:, number], spreads[:, number]
        ends = {"value": value, "low": value - spread, "high": value + spread}
        parts.append(pd.DataFrame({"role": "mean", "amount": turns, "x": x, **ends, **common}))
    order = ["role", "arm", "members", "member", "amount", "x", "class", "name", "value", "low", "high"]
    return pd.concat(parts).reindex(columns=order).astype({"member": "Int64"})


def _facts(runs: Mapping[str, Predictions], turns: FloatArray) -> list[Fact]:
    if 0 not in turns or len(turns) < 2:
        return []
    facts = []
    for arm, run in runs.items():
        if run.members > 1:
            unsure = uncertainty(run.probs, run.weights)["mutual_information"].to_numpy()
            upright, turned = unsure[turns == 0].mean(), unsure[turns != 0].mean()
            facts.append(
                Fact(
                    f"members of {style.arm_label(arm)} disagree more on the turned images than on the upright one",
                    bool(turned > upright),
                    f"mutual information {turned:.3g} (mean over angles) and {upright:.3g} nats",
                )
            )
    return facts


def _cut(name: str, letters: int = 30) -> str:
    return name if len(name) <= letters else f"{name[: letters - 1]}…"
