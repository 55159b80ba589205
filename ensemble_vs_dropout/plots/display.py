"""What every display shares: the numbers it holds, the axes it draws on, and the files it writes."""

from __future__ import annotations

import math
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import matplotlib
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend import Legend

from ensemble_vs_dropout.checks import InputError, check_known, counted
from ensemble_vs_dropout.evaluation.findings import Fact as Fact
from ensemble_vs_dropout.files import appearing
from ensemble_vs_dropout.plots import style as looks

AxesArray = npt.NDArray[np.object_]
WIDTHS = {"single": 3.3, "double": 6.9}  # inches, of a column and of a page in print
MARGIN = 0.08  # inches
DPI = 200  # letters are a little wider in fewer dots, so a figure is laid out as it is written
METADATA: dict[str, dict[str, Any]] = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}


@dataclass(frozen=True, eq=False, repr=False)
class Display(ABC):
    """A figure that is not drawn yet: its numbers and its words.

    Attributes:
        table: The numbers, tidy, before any scaling to percent.
        title: What is shown, and of which data.
        interval: What the bands or bars are.
        caption: All that a reader needs besides the picture.
        facts: What was expected to come out, and whether it did.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from ensemble_vs_dropout.plots import EnsembleSize
        >>> points = {"arm": "ensemble", "rule": "mean", "members": [1, 5], "metric": "error", "value": [0.2, 0.1]}
        >>> curves = pd.DataFrame(points | {"low": 0.0, "high": 0.3})
        >>> display = EnsembleSize.from_curves(curves, dataset="digits", interval="95 % bootstrap")
        >>> [ax.get_ylabel() for ax in display.of_metrics(["error"]).plot()]
        ['error (%)']
        >>> display.frame().value.tolist()
        [0.2, 0.1]
        >>> with TemporaryDirectory() as folder:
        ...     print([path.name for path in display.save(f"{folder}/size", ["svg"])])
        ['size.svg']
    """

    table: pd.DataFrame
    title: str
    interval: str
    caption: str
    facts: tuple[Fact, ...] = ()

    EMPTY: ClassVar[int] = -1

    def plot(
        self, ax: Axes | Sequence[Axes] | AxesArray | None = None, *, width: str = "double", style: str = "paper"
    ) -> AxesArray:
        """Draw, and return the axes in one flat array.

        Args:
            ax: Axes to draw on, one per panel (row by row), or one alone where there is one panel. They keep
                the labels and the legend they have and the style of their figure; a new legend goes to the
                right of the last of them (a constrained layout makes room for it), and the caption is left
                to the caller. None makes a figure of its own, with legend and caption.
            width: Of a figure of its own: "double" (6.9 in) or "single" (3.3 in, the panels under each other).
            style: "paper"; "notebook" and "talk" are the same picture 1.3 and 2 times as large.

        Raises:
            InputError: Another number of axes than of panels, things that are not axes, or an unknown width or style.
        """
        check_known("width", width, WIDTHS)
        check_known("style", style, looks.SCALES)
        if ax is None:
            return self._plot_alone(width, style)
        axes = self._check_axes(ax)
        titled = bool(axes[0].get_title())
        with matplotlib.rc_context({"text.parse_math": False}):
            handles = self._draw(axes)
            if not titled:
                room = title_room(axes[0])
                lines = [looks.wrap(self.title, room), looks.wrap(self.interval, room), axes[0].get_title()]
                axes[0].set_title("\n".join(filter(None, lines)), parse_math=False)
            if handles and axes[-1].get_legend() is None:
                axes[-1].legend(handles=handles, loc="upper left", bbox_to_anchor=(1.02, 1.0))
        return axes

    def of_metrics(self, metrics: Sequence[str]) -> Self:
        """Return the display with the panels of these metrics alone, in their order.

        Raises:
            InputError: A metric that it does not show, or a display that shows none.
        """
        if "metric" not in self.table:
            raise InputError(f"metrics cannot be chosen here: {type(self).__name__} is of no metrics")
        there = list(dict.fromkeys(self.table["metric"]))
        places = {check_known("metric of this figure", metric, there): place for place, metric in enumerate(metrics)}
        if not places:
            raise InputError("metrics must name at least one, got none")
        table = self.table[self.table["metric"].isin(places)]
        return replace(self, table=table.sort_values("metric", key=lambda names: names.map(places), kind="stable"))

    def frame(self) -> pd.DataFrame:
        """Return exactly the numbers drawn; an error is a fraction here and a percentage in the figure."""
        return self.table.copy()

    def __repr__(self) -> str:
        panels = len({panel for row in self._mosaic() for panel in row} - {self.EMPTY})
        return (
            f"{type(self).__name__}: {self.title}\n"
            f"  {counted(panels, 'panel')} of {len(self.table):,} rows; bands and bars: {self.interval}\n"
            "  .plot() draws it, .save(path) writes it, .frame() has its numbers"
        )

    def _repr_png_(self) -> bytes:
        """Return the picture that notebooks show."""
        with tempfile.TemporaryDirectory() as folder:
            (path,) = self.save(f"{folder}/display", ["png"], style="notebook")
            return path.read_bytes()

    def save(
        self,
        path: str | PathLike[str],
        formats: Sequence[str] = ("png", "svg", "pdf"),
        *,
        width: str = "double",
        style: str = "paper",
    ) -> list[Path]:
        """Write `path` plus each format's suffix, the same bytes for the same numbers; return the paths.

        Letters stay letters in SVG, and the PDF holds their font. `width` and `style` are those of `plot`.
        """
        for name in formats:
            check_known("format", name, METADATA)
        paths = [Path(f"{path}.{name}") for name in formats]
        with looks.context(style):
            figure = self.plot(width=width, style=style)[0].figure
            figure.set_layout_engine("none")  # the places are found; no format may move them
            for ax in figure.axes:  # the layout's solver is not exact in the last bits
                ax.set_position(np.round(ax.get_position().bounds, 6))
            for name, target in zip(formats, paths, strict=True):
                target.parent.mkdir(parents=True, exist_ok=True)
                with appearing(target) as partial:
                    figure.savefig(partial, format=name, dpi=DPI, metadata={"Title": self.title, **METADATA[name]})
        return paths

    @abstractmethod
    def _mosaic(self) -> list[list[int]]:
        """Return which panel stands where; `EMPTY` where none does."""

    @abstractmethod
    def _height(self) -> float:
        """Return the height in inches of one row of panels."""

    @abstractmethod
    def _draw(self, axes: AxesArray) -> list[Artist]:
        """Draw one panel on each of `axes` and return the handles of the legend."""

    def _plot_alone(self, width: str, style: str) -> AxesArray:
        mosaic = self._mosaic()
        if width == "single":
            mosaic = [[panel] for row in mosaic for panel in dict.fromkeys(row) if panel != self.EMPTY]
        with looks.context(style):
            figure = Figure(figsize=(WIDTHS[width] * looks.SCALES[style], 4), dpi=DPI)
            FigureCanvasAgg(figure)
            cells = figure.subplot_mosaic(cast(Any, mosaic), empty_sentinel=self.EMPTY)
            axes = np.array([cells[panel] for panel in sorted(cells)], dtype=object)
            handles = self._draw(axes)
            height = self._height() * len(mosaic) * looks.SCALES[style]
            _furnish(figure, self.title, self.caption, handles, height)
            figure.draw_without_rendering()  # ticks are made on drawing: make them in this style
        return axes

    def _check_axes(self, ax: object) -> AxesArray:
        axes = np.array([ax] if isinstance(ax, Axes) else ax, dtype=object).ravel()
        strangers = [type(item).__name__ for item in axes if not isinstance(item, Axes)]
        if strangers:
            raise InputError(f"ax must be matplotlib Axes, a sequence of them or None, got {strangers[0]}")
        mosaic = self._mosaic()
        panels = len({panel for row in mosaic for panel in row} - {self.EMPTY})
        if len(axes) != panels:
            raise InputError(
                f"ax must be {panels} axes, one for each panel, got {len(axes)}; "
                f"plt.subplots({len(mosaic)}, {len(mosaic[0])}) makes enough"
            )
        return axes


def fold(panels: Iterable[int], columns: int) -> list[list[int]]:
    """Return `panels` as rows of at most `columns`, as even as can be, the last one filled up with `Display.EMPTY`.

    Example:
        >>> fold(range(3), 2), fold(range(5), 4)
        ([[0, 1], [2, -1]], [[0, 1, 2], [3, 4, -1]])
    """
    row = list(panels)
    columns = math.ceil(len(row) / math.ceil(len(row) / columns))
    row += [Display.EMPTY] * (math.ceil(len(row) / columns) * columns - len(row))
    return [row[start : start + columns] for start in range(0, len(row), columns)]


def name_axes(ax: Axes, **names: str) -> None:
    """Set `xlabel`, `ylabel` or `title` where the axes have none yet."""
    for name, text in names.items():
        if not getattr(ax, f"get_{name}")():
            getattr(ax, f"set_{name}")(text, parse_math=False)


def starts_row(axes: AxesArray) -> list[bool]:
    """Return for each panel whether it is the first of these on its row of the grid, or stands in no grid."""
    specs = [ax.get_subplotspec() for ax in axes]
    rows = [
        (id(spec.get_gridspec()), spec.rowspan.start) if spec else (id(ax), 0)
        for ax, spec in zip(axes, specs, strict=True)
    ]
    return [row not in rows[:place] for place, row in enumerate(rows)]


def draw_line(ax: Axes, x: Any, rows: pd.DataFrame, color: str, **line: Any) -> Artist:
    """Draw the column `value` as a line over its band from `low` to `high`, and return the line.

    What is not finite is left out; a line of one point gets a bar for a band.
    """
    value, low, high = (rows[name].astype(float).where(np.isfinite).to_numpy() for name in ("value", "low", "high"))
    if len(rows) > 1:
        ax.fill_between(x, low, high, color=color, alpha=0.18, linewidth=0)
    elif np.isfinite([low, high]).all():
        ax.vlines(x, low, high, color=color, alpha=0.5)
    return ax.plot(x, value, color=color, **line)[0]


def integer_ticks(ax: Axes, members: Iterable[int]) -> None:
    """Put plain numbers on the log axis: 1, 2, 5, 10, ..., or the members where those are too few."""
    seen = sorted(int(number) for number in members)
    decades = [10**power for power in range(len(str(seen[-1])))]
    for steps in ((1, 2, 5), (1,)):
        ticks = [step * ten for ten in decades for step in steps if seen[0] <= step * ten <= seen[-1]]
        if len(ticks) <= 8:
            break
    ticks = ticks if len(ticks) > 2 else seen[:8]
    ax.set_xticks(ticks, [str(tick) for tick in ticks])
    ax.set_xticks([], minor=True)
    if len(seen) == 1:
        ax.set_xlim(seen[0] / 2, seen[0] * 2)


def title_room(ax: Axes) -> int:
    """Return how many characters of a title fit over the axes, roughly."""
    letter = 0.6 * float(ax.title.get_fontsize()) * ax.figure.dpi / 72
    return max(20, int(ax.get_window_extent().width / letter))


def _furnish(figure: Figure, title: str, caption: str, handles: list[Artist], height: float) -> None:
    """Stack caption, legend, panels and title, each as high as it is, and give the figure their height."""
    ink: dict[str, Any] = {"transform": figure.dpi_scale_trans, "va": "bottom"}
    width, top = figure.get_figwidth(), MARGIN
    room = (width - 2 * MARGIN) * 8 / matplotlib.rcParams["font.size"]  # inches of paper

    def above(artist: Artist) -> float:
        return top + artist.get_window_extent().height / figure.dpi + MARGIN

    top = above(figure.text(MARGIN, top, looks.wrap(caption, int(18.7 * room)), fontsize="small", color="0.25", **ink))
    if handles:
        top = above(_widest_legend(figure, handles, top))
    bottom = top
    top += height
    heading = looks.wrap(title, int(11.9 * room))
    top = above(figure.text(MARGIN, top + MARGIN, heading, fontsize="large", weight="bold", **ink)) + MARGIN
    figure.set_size_inches(width, top)
    figure.set_layout_engine("constrained", rect=(0.005, bottom / top, 0.99, height / top))


def _widest_legend(figure: Figure, handles: list[Artist], bottom: float) -> Legend:
    """Return a legend above `bottom` with as many columns as the figure has room for."""
    for columns in range(len(handles), 0, -1):
        legend = figure.legend(
            handles=handles,
            ncols=columns,
            loc="lower left",
            bbox_to_anchor=(MARGIN, bottom),
            bbox_transform=figure.dpi_scale_trans,
            borderaxespad=0.0,
            borderpad=0.0,
        )
        if columns == 1 or legend.get_window_extent().width <= (figure.get_figwidth() - 2 * MARGIN) * figure.dpi:
            break
        legend.remove()
    return legend
