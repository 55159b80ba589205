"""What is found for a figure: its numbers, and what was expected of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pandas as pd


class Fact(NamedTuple):
    """What is expected of a figure's numbers but follows from nothing: it is reported, never required.

    Attributes:
        statement: What should come out, in words.
        held: Whether it did.
        numbers: Those that say so.

    Example:
        >>> fact = Fact("The ensemble errs least", held=True, numbers="3.1 %, the next 3.4 %")
        >>> fact.held
        True
    """

    statement: str
    held: bool
    numbers: str


@dataclass(frozen=True, eq=False)
class Finding:
    """The numbers behind one figure.

    Attributes:
        table: What is drawn, tidy, before any scaling to percent.
        facts: What was expected to come out, and whether it did.
        told: Further numbers that the figure's caption tells, by name.
    """

    table: pd.DataFrame
    facts: tuple[Fact, ...] = ()
    told: Mapping[str, Any] = field(default_factory=dict)
