"""Does dropout change what the hidden units detect, and how sparsely they are active?"""

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
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from ensemble_vs_dropout.evaluation.findings.activations import FILTERS
from ensemble_vs_dropout.evaluation.findings.activations import activations as find_activations
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import AxesArray, Display, fold, name_axes, title_room
from ensemble_vs_dropout.types import FloatArray

PANELS = {"units": ("mean activation of a unit", "units (%)"), "activations": ("activation", "activations (%)")}
COLUMNS = 12  # of filters in a panel, at most
LINES = 6  # of marks above a histogram; more arms share them


@dataclass(frozen=True, eq=False, repr=False)
class Activations(Display):
    """First-layer filters of each arm, and histograms of its hidden activations after ReLU.

    `table` is that of `evaluation.findings.activations`. `filters` holds the pictures of each arm, in
    [-1, 1], shape (filters, height, width) or with 3 channels last. After Srivastava et al. (2014), figures 7 and 8.

    Example:
        >>> kernels, active = {"plain": np.ones((4, 2))}, {"plain": [[0.0, 1.0], [0.0, 3.0]]}
        >>> display = Activations.from_arrays(kernels, active, dataset="digits", image_shape=(2, 2))
        >>> display.frame().role.unique().tolist()
        ['bin', 'mean', 'zeros']
    """

    filters: Mapping[str, FloatArray] = field(default_factory=dict)

    @classmethod
    def from_arrays(
        cls,
        weights: Mapping[str, npt.ArrayLike],
        activations: Mapping[str, npt.ArrayLike],
        *,
        dataset: str,
        image_shape: Sequence[int] | None = None,
    ) -> Activations:
        """Make the display.

        Args:
            weights: For each arm the kernel of its first layer, shape (inputs, units).
            activations: For each arm its hidden units after ReLU on test inputs, shape (examples, units), or (networks,
                examples, units): the first network is shown, facts are of all.
            dataset: The name of the data set.
            image_shape: Of an input, (height, width) or that with 1 or 3 channels; None for data that are no images,
                of which no filters are shown.

        Raises:
            InputError: Different arms or units, an image shape of other inputs, or activations below 0.
        """
        finding = find_activations(weights, activations, image_shape=image_shape)
        table, filters = finding.table, finding.told["filters"]
        examples = " and ".join(map(str, finding.told["examples"]))
        zeros = table[table["role"] == "zeros"]
        told = [
            f"{style.arm_label(arm)} {100 * share:.1f} %"
            for arm, share in zip(zeros["arm"], zeros["value"], strict=True)
        ]
        caption = [
            f"Hidden units after ReLU on {examples} test inputs of {dataset}. Marks: the mean; bar: ±1 standard "
            "deviation over units. The height of a step is the share in its bin, the first of which begins at 0.",
            f"Activations that are exactly 0: {', '.join(told[:8])}.",
        ]
        if filters:
            caption.append(
                f"Filters: incoming weights of the first {FILTERS} units at most, each in units of its own "
                "largest weight: white positive, grey 0, black negative."
            )
        return cls(
            table,
            title=f"Features and activations of hidden units: {dataset}",
            interval="bar: ±1 standard deviation over units",
            caption=" ".join(caption),
            facts=finding.facts,
            filters=filters,
        )

    def _mosaic(self) -> list[list[int]]:
        pictures = len(self.filters)
        upper = fold(range(pictures), columns=2) if pictures > 1 else [[0, self.EMPTY]] * pictures
        return [*upper, [pictures, pictures + 1]]

    def _height(self) -> float:
        return 1.8

    def _draw(self, axes: AxesArray) -> list[Artist]:
        for ax, (arm, pictures) in zip(axes, self.filters.items(), strict=False):
            _draw_filters(ax, arm, pictures)
        looks = style.arm_styles(self.table["arm"])
        for ax, panel in zip(axes[-2:], PANELS, strict=True):
            _draw_histograms(ax, self.table[self.table["panel"] == panel], panel, looks)
        units = self.table.drop_duplicates("arm").set_index("arm")["units"]
        return [
            Line2D([], [], color=look.color, marker=look.marker, label=f"{style.arm_label(arm)} ({units[arm]} units)")
            for arm, look in looks.items()
        ]


def _draw_filters(ax: Axes, arm: str, pictures: FloatArray) -> None:
    """Draw the filters as one picture, a line apart."""
    columns = min(COLUMNS, len(pictures))
    height, width = pictures.shape[1:3]
    rows = math.ceil(len(pictures) / columns)
    sheet = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1, *pictures.shape[3:]), np.nan)
    for place, picture in enumerate(pictures):
        top, left = place // columns * (height + 1), place % columns * (width + 1)
        sheet[top : top + height, left : left + width] = picture
    shown = np.ma.masked_invalid(sheet) if sheet.ndim == 2 else np.nan_to_num(sheet, nan=1.0) / 2 + 0.5
    ax.imshow(shown, cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(False)
    ax.spines[:].set_visible(False)
    name_axes(ax, title=style.wrap(f"filters of {style.arm_label(arm)}", title_room(ax)))


def _draw_histograms(ax: Axes, rows: pd.DataFrame, panel: str, looks: dict[str, style.ArmStyle]) -> None:
    for arm, own in rows.groupby("arm", sort=False):
        look = looks[str(arm)]
        bins = own[own["role"] == "bin"]
        edges = np.append(bins["left"], bins["right"].iloc[-1])
        ax.stairs(bins["value"] * 100, edges, color=look.color, linewidth=matplotlib.rcParams["lines.linewidth"])
        ax.plot((edges[1:] + edges[:-1]) / 2, bins["value"] * 100, look.marker, color=look.color, markevery=6)
    if panel == "activations":
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        ax.yaxis.set_minor_formatter(NullFormatter())
    means = rows[rows["role"] == "mean"]
    if len(means):
        ax.set_ylim(0, ax.get_ylim()[1] / (0.93 - 0.06 * min(len(means), LINES)))
    for place, (_, mean) in enumerate(means.iterrows()):
        look, height = looks[mean["arm"]], 0.95 - 0.06 * (place % LINES)
        ax.hlines(height, mean["low"], mean["high"], color=look.color, transform=ax.get_xaxis_transform())
        ax.plot([mean["value"]], [height], marker=look.marker, color=look.color, transform=ax.get_xaxis_transform())
    ax.set_xlim(0, rows["right"].max())
    xlabel, ylabel = PANELS[panel]
    name_axes(ax, xlabel=xlabel, ylabel=ylabel)
