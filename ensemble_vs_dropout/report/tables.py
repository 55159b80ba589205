"""`Cell` and `Table`: what every format of the report shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd


class Cell(NamedTuple):
    """One entry of a table.

    Attributes:
        text: As it is read.
        interval: In brackets, or "".
        number: What the column is sorted by; not finite where there is none.
        best: Whether it is printed bold.

    Example:
        >>> str(Cell("4.1", "[3.8, 4.4]", number=4.1, best=True)), Cell("none").known
        ('4.1 [3.8, 4.4]', False)
    """

    text: str
    interval: str = ""
    number: float = math.nan
    best: bool = False

    def __str__(self) -> str:
        return f"{self.text} {self.interval}".rstrip()

    @property
    def known(self) -> bool:
        """Whether there is a number to sort by."""
        return math.isfinite(self.number)


@dataclass(frozen=True)
class Table:
    """A table in words.

    Attributes:
        name: Of its files and anchors.
        title: Its heading.
        columns: Their headings; the first column names the row.
        rows: One cell for each column.
        note: What a reader must know.

    Example:
        >>> rows = [[Cell("single network"), Cell("4.1", number=4.1)], [Cell("ensemble"), Cell("3.2", number=3.2)]]
        >>> table = Table("quality", "Quality", ["arm", "error (%)"], rows)
        >>> table.numeric(), table.frame().values.tolist()
        ([False, True], [['single network', '4.1'], ['ensemble', '3.2']])
    """

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""

    def frame(self) -> pd.DataFrame:
        """Return the cells as strings."""
        return pd.DataFrame([[str(cell) for cell in row] for row in self.rows], columns=list(self.columns))

    def numeric(self) -> list[bool]:
        """Return for each column whether it holds a number."""
        return [any(row[place].known for row in self.rows) for place in range(len(self.columns))]
