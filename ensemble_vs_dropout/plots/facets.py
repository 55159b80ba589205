"""Is it so for every value of a further setting?"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import AxesArray, Display, fold, title_room

MOST = 24  # panels that can be read in one figure
COLUMNS = 3
_ONE = "One group of panels for each {}, found by itself, on the same axes where these mean the same."


@dataclass(frozen=True, eq=False, repr=False)
class Facets(Display):
    """One figure for each value of further settings: the same panels over and over, on the same axes.

    `table` holds those of the figures one after the other, with a column for each of the settings.

    Example:
        >>> from ensemble_vs_dropout.plots import DatasetSize
        >>> scores = pd.DataFrame({"rate": [0.2, 0.5] * 2, "train_size": 100, "arm": ["single"] * 2 + ["dropout"] * 2})
        >>> scores = scores.assign(rule="mean", members=1, metric="error", value=0.5, low=0.4, high=0.6)
        >>> parts = [
        ...     ({"rate": rate}, DatasetSize.from_scores(rows, dataset="digits"))
        ...     for rate, rows in scores.groupby("rate")
        ... ]
        >>> Facets.from_displays(parts).frame().groupby("rate").size().to_dict()
        {0.2: 3, 0.5: 3}
    """

    parts: tuple[tuple[str, Display], ...] = ()

    @classmethod
    def from_displays(cls, parts: Sequence[tuple[Mapping[str, Any], Display]]) -> Facets:
        """Make one figure of several of a kind.

        Args:
            parts: For each the values of the settings that it is of, and the figure, named by what all share.

        Raises:
            InputError: No figure, figures of several kinds, or more panels than can be read.
        """
        kinds = {type(display) for _, display in parts}
        if len(kinds) != 1:
            names = ", ".join(sorted(kind.__name__ for kind in kinds)) or "none"
            raise InputError(f"parts must be figures of one kind, at least one, got {names}")
        panels = sum(_panels(display) for _, display in parts)
        if panels > MOST:
            raise InputError(
                f"parts must have at most {MOST} panels together, got {panels} in {len(parts)} figures, one for each "
                f"{' and '.join(parts[0][0])}; give fewer of these"
            )
        named = tuple((settings_in_words(keys), display) for keys, display in parts)
        tables = [_with_settings(display.table, keys) for keys, display in parts]
        intervals = dict.fromkeys(display.interval for _, display in parts)
        captions = dict.fromkeys(display.caption for _, display in parts)
        told = captions if len(captions) == 1 else [f"{name}: {display.caption}" for name, display in named]
        return cls(
            pd.concat(tables, ignore_index=True),
            title=parts[0][1].title,
            interval="; ".join(intervals),
            caption=" ".join([*told, _ONE.format(" and ".join(parts[0][0]))]),
            facts=tuple(
                fact._replace(statement=f"{name}: {fact.statement}")
                for name, display in named
                for fact in display.facts
            ),
            parts=named,
        )

    def _blocks(self) -> list[list[list[int]]]:
        """Return the rows of panels of each part, numbered on from part to part."""
        blocks, first = [], 0
        for _, display in self.parts:
            rows = display._mosaic()
            blocks.append([[panel if panel == self.EMPTY else panel + first for panel in row] for row in rows])
            first += _panels(display)
        return blocks

    def _mosaic(self) -> list[list[int]]:
        blocks = self._blocks()
        width, height = (max(sizes) for sizes in zip(*((len(rows[0]), len(rows)) for rows in blocks), strict=True))
        blocks = [_padded(rows, width, height) for rows in blocks]
        empty = _padded([[self.EMPTY]], width, height)
        grid = fold(range(len(blocks)), columns=max(1, COLUMNS // width))
        return [
            [panel for place in line for panel in (empty if place == self.EMPTY else blocks[place])[row]]
            for line in grid
            for row in range(height)
        ]

    def _height(self) -> float:
        return max(display._height() for _, display in self.parts)

    def _draw(self, axes: AxesArray) -> list[Artist]:
        handles: dict[str, Artist] = {}
        drawn: list[AxesArray] = []
        for (name, display), rows in zip(self.parts, self._blocks(), strict=True):
            panels = sorted({panel for row in rows for panel in row} - {self.EMPTY})
            own = axes[panels]
            drawn.append(own)
            titled = [bool(ax.get_title()) for ax in own]
            for handle in display._draw(own):
                handles.setdefault(str(handle.get_label()), handle)
            for panel in dict.fromkeys(rows[0]):
                if panel != self.EMPTY and not titled[panels.index(panel)]:
                    ax = axes[panel]
                    whole = name.replace(" = ", "\u00a0=\u00a0")  # a setting is not torn from its value
                    lines = [style.wrap(text, title_room(ax)) for text in (whole, ax.get_title())]
                    ax.set_title("\n".join(filter(None, lines)), parse_math=False)
        for place in range(max(map(len, drawn))):
            _share([own[place] for own in drawn if place < len(own)])
        return list(handles.values())


def settings_in_words(settings: Mapping[str, Any]) -> str:
    """Return settings as they stand in the title of a panel.

    Example:
        >>> settings_in_words({"rate": 0.5, "model.units": [64, 64]})
        'rate = 0.5, model.units = [64, 64]'
    """
    return ", ".join(f"{key} = {in_words(value)}" for key, value in settings.items())


def in_words(value: Any) -> str:
    """Return a value as a study file has it, the same for the same values.

    Example:
        >>> in_words(2.0), in_words("digits"), in_words([64, 64]), in_words(None)
        ('2', 'digits', '[64, 64]', 'null')
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _with_settings(table: pd.DataFrame, settings: Mapping[str, Any]) -> pd.DataFrame:
    """Return the table with the settings as its first columns; one that has such a name already is of the study."""
    cells = {key: value if isinstance(value, int | float) else in_words(value) for key, value in settings.items()}
    own = {f"study_{key}" if key in table else key: cell for key, cell in cells.items()}
    return pd.concat([pd.DataFrame(own, index=table.index), table], axis=1)


def _panels(display: Display) -> int:
    return len({panel for row in display._mosaic() for panel in row} - {Display.EMPTY})


def _padded(rows: list[list[int]], width: int, height: int) -> list[list[int]]:
    filled = [row + [Display.EMPTY] * (width - len(row)) for row in rows]
    return filled + [[Display.EMPTY] * width] * (height - len(rows))


def _share(axes: Sequence[Axes]) -> None:
    """Give panels that mean the same the same limits."""
    alike = {(ax.get_xscale(), ax.get_yscale(), ax.get_xlabel(), ax.get_ylabel()) for ax in axes}
    if len(alike) > 1:
        return
    for way in ("xlim", "ylim"):
        limits = np.array([getattr(ax, f"get_{way}")() for ax in axes])
        ends = [limits.min(), limits.max()]
        for ax in axes:
            getattr(ax, f"set_{way}")(ends if limits[0, 0] <= limits[0, 1] else ends[::-1])
