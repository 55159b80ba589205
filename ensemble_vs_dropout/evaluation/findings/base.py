"""What is found for a figure: its numbers, and what was expected of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import pandas as pd

Judged = Literal["held", "did not hold", "cannot be judged"]


class Fact(NamedTuple):
    """What is expected of a figure's numbers but follows from nothing: it is reported, never required.

    Attributes:
        statement: What should come out, in words.
        outcome: Whether it did, beyond noise; "cannot be judged" where neither it nor its contrary is shown.
        numbers: Those that say so.
        reason: Why it cannot be judged; "" where it can.

    Example:
        >>> fact = Fact("The ensemble errs least", "cannot be judged", "0.0 %, the next 0.0 %", "both are at the floor")
        >>> fact.held is None
        True
    """

    statement: str
    outcome: Judged
    numbers: str
    reason: str = ""

    @property
    def held(self) -> bool | None:
        """True or False, and None where it cannot be judged."""
        return {"held": True, "did not hold": False}.get(self.outcome)

    @property
    def details(self) -> str:
        """The numbers, and why it cannot be judged."""
        return "; ".join(filter(None, [self.numbers, self.reason]))


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
