"""Whether something expected came out, did not, or cannot be judged: directions beyond noise, sameness within a margin.

Every expectation has a bound: a difference is above 0, or below a margin, or within one (two one-sided tests). It holds
where its contrary is rejected at 5 %, and does not hold where it is rejected itself at 5 %. In between, and where the
noise is not known or the values lie at a floor, it cannot be judged: no difference shown is no sameness shown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.evaluation.findings.base import Fact
from ensemble_vs_dropout.evaluation.outcomes import Outcome, outcome_of_examples
from ensemble_vs_dropout.measures.spread import LEAST, Component, Spread
from ensemble_vs_dropout.types import FloatArray

LEVEL = 0.05  # of every one-sided test
FEW = 10  # counted examples, below which a share is at the floor
MARGINS = {"error": 0.005, "accuracy": 0.005, "nll": 0.01, "calibrated_nll": 0.01, "brier": 0.005}  # that matter
_ROUNDING = 1e-12
_NEAR_ONE = 1 - 1e-12  # the largest correlation whose z is finite
_POINTS = 5  # groups of points, below which a correlation says nothing


@dataclass(frozen=True)
class Evidence:
    """How sure a claim is, and its contrary.

    Attributes:
        for_it: The p-value of its contrary: small where the claim holds.
        against: The p-value of the claim: small where it does not hold.
        why: Why nothing can be judged, whatever the p-values; "" where it can.

    Example:
        >>> judge("rain", Evidence(for_it=0.01, against=0.99), "2 of 2 days").outcome
        'held'
    """

    for_it: float
    against: float
    why: str = ""


@dataclass(frozen=True)
class Estimate:
    """A number that was measured, and how far it may be from the truth.

    Attributes:
        value: The number.
        spread: Of it.
        why: Why nothing can be judged by it; "" where it can.

    Example:
        >>> estimate = Estimate(-0.62, Spread((Component(0.42**2, 29),)))
        >>> judge("the same within half a point", estimate.within(0.5), estimate.words()).outcome
        'cannot be judged'
    """

    value: float
    spread: Spread
    why: str = ""

    def above(self, bound: float = 0.0) -> Evidence:
        """Return the evidence that the truth is above `bound`."""
        distance = self.value - bound
        distance = 0.0 if abs(distance) < _ROUNDING else distance
        same = distance == 0 and not any(part.variance for part in self.spread.parts)
        why = "alike without any noise, as at a floor or a ceiling" if same else ""
        return Evidence(self.spread.tail(distance), self.spread.tail(-distance), self.why or why)

    def below(self, bound: float = 0.0) -> Evidence:
        """Return the evidence that the truth is below `bound`."""
        return replace(self, value=-self.value).above(-bound)

    def within(self, margin: float) -> Evidence:
        """Return the evidence that the truth is nearer to 0 than `margin`: two one-sided tests."""
        return every(self.below(margin), self.above(-margin))

    def unless(self, why: str) -> Estimate:
        """Return the same, by which nothing can be judged where `why` says something."""
        return replace(self, why=self.why or why)

    def words(self, scale: float = 1.0, digits: int = 2) -> str:
        """Return the number and half its 90 % interval, of which each one-sided test at 5 % takes one end."""
        half = f" ±{scale * self.spread.half_width(1 - 2 * LEVEL):.{digits}f}" if not self.why else ""
        return f"{scale * self.value:+.{digits}f}{half}"


def every(*evidence: Evidence) -> Evidence:
    """Return the evidence that all of several claims hold; none of them needs a correction for that.

    Example:
        >>> every(Evidence(0.01, 0.99), Evidence(0.04, 0.96))
        Evidence(for_it=0.04, against=1.0, why='')
    """
    against = min(1.0, len(evidence) * min(one.against for one in evidence))
    return Evidence(max(one.for_it for one in evidence), against, _first_why(evidence))


def some(*evidence: Evidence) -> Evidence:
    """Return the evidence that at least one of several claims holds.

    Example:
        >>> some(Evidence(0.01, 0.99), Evidence(0.5, 0.5))
        Evidence(for_it=0.02, against=0.99, why='')
    """
    for_it = min(1.0, len(evidence) * min(one.for_it for one in evidence))
    return Evidence(for_it, max(one.against for one in evidence), _first_why(evidence))


def _first_why(evidence: tuple[Evidence, ...]) -> str:
    return next((one.why for one in evidence if one.why), "")


def judge(statement: str, evidence: Evidence, numbers: str) -> Fact:
    """Return what was expected and whether it held."""
    if evidence.why:
        return Fact(statement, "cannot be judged", numbers, evidence.why)
    if evidence.for_it <= LEVEL:
        return Fact(statement, "held", numbers)
    if evidence.against <= LEVEL:
        return Fact(statement, "did not hold", numbers)
    sure = f"p = {evidence.for_it:.2g} for it and {evidence.against:.2g} against it"
    return Fact(statement, "cannot be judged", numbers, f"within the noise ({sure})")


def counted(statement: str, held: bool, numbers: str) -> Fact:
    """Return what was expected of numbers without noise: they are of just what the statement tells of.

    Example:
        >>> counted("all of these networks differ", True, "20 of 20").outcome
        'held'
    """
    return Fact(statement, "held" if held else "did not hold", numbers)


def of_examples(rows: FloatArray, fixed: bool = False) -> Estimate:
    """Return the mean of a score of units and examples.

    Args:
        rows: Shape (units, examples); a unit is what is trained independently of the others.
        fixed: Whether the claim is of just these units: the noise is that of the examples.

    Example:
        >>> of_examples(np.zeros((2, 5))).why
        'of 2 networks: what another training would change is known from 3 on'
    """
    return of_outcome(outcome_of_examples("", "", 1, "", np.asarray(rows, dtype=float)[:, None]), fixed)


def of_outcome(outcome: Outcome, fixed: bool = False) -> Estimate:
    """Return the value of an outcome, of which the claim is of just these units where it is `fixed`."""
    if not np.isfinite(outcome.value):
        return Estimate(outcome.value, Spread(()), "infinite")
    return Estimate(outcome.value, outcome.spread(fixed), "" if fixed else _few(outcome.units.size))


def of_units(values: npt.ArrayLike) -> Estimate:
    """Return the mean of numbers of which each is of networks of its own.

    Example:
        >>> of_units([1.0, 2.0, 3.0]).words()
        '+2.00 ±1.69'
    """
    array = np.asarray(values, dtype=float).ravel()
    if not np.isfinite(array).all():
        return Estimate(float("nan"), Spread(()), "not all of them are known and finite")
    if len(array) < LEAST:
        return Estimate(float(array.mean()) if len(array) else float("nan"), Spread(()), _few(len(array)))
    part = Component(float(array.var(ddof=1)) / len(array), len(array) - 1)
    return Estimate(float(array.mean()), Spread((part,)))


def of_both(first: npt.ArrayLike, second: npt.ArrayLike) -> Estimate:
    """Return how much more the mean of the first units is than that of others.

    Example:
        >>> of_both([3.0, 4.0, 5.0], [1.0, 1.0, 1.0]).value
        3.0
    """
    one, other = of_units(first), of_units(second)
    parts = (*one.spread.parts, *other.spread.parts)
    return Estimate(one.value - other.value, Spread(parts), one.why or other.why)


def without_each(whole: float, leaving_out: Callable[[int], float], units: int) -> Estimate:
    """Return what is no mean of units, with the jackknife's noise: by what each unit changes where it is left out.

    Args:
        whole: The number of all units.
        leaving_out: Returns that of all units but one.
        units: How many there are.

    Example:
        >>> values = np.array([1.0, 2.0, 3.0])
        >>> without_each(values.mean(), lambda unit: np.delete(values, unit).mean(), 3).words()
        '+2.00 ±1.69'
    """
    if units < LEAST:
        return of_units([whole] * units)
    pseudo = [units * whole - (units - 1) * leaving_out(unit) for unit in range(units)]
    return replace(of_units(pseudo), value=whole)


def correlation(x: FloatArray, y: FloatArray, groups: npt.ArrayLike) -> tuple[Estimate, str]:
    """Return Pearson's r by Fisher's z, and r with its 90 % interval in words.

    Args:
        x: Of each point.
        y: Likewise.
        groups: To which group each point belongs; points of one group hang together, and so count once.

    Example:
        >>> x = np.arange(20.0)
        >>> correlation(x, x + np.tile([-2, 2], 10), np.arange(20) // 2)[1]
        'r = 0.95 (0.91 to 0.97)'
    """
    own = np.asarray(groups)
    every_group = np.unique(own)

    def z(kept: npt.NDArray[np.bool_]) -> float:
        with np.errstate(invalid="ignore", divide="ignore"):
            return float(np.arctanh(np.clip(np.corrcoef(x[kept], y[kept])[0, 1], -_NEAR_ONE, _NEAR_ONE)))

    whole = z(np.ones(len(own), dtype=bool))
    if len(every_group) < _POINTS:
        few = f"of {len(every_group)} groups of points, fewer than {_POINTS}"
        return Estimate(whole, Spread(()), few), f"r = {np.tanh(whole):.2f}"
    estimate = without_each(whole, lambda group: z(own != every_group[group]), len(every_group))
    half = estimate.spread.half_width(1 - 2 * LEVEL)
    ends = np.tanh([whole - half, whole + half])
    return estimate, f"r = {np.tanh(whole):.2f} ({ends[0]:.2f} to {ends[1]:.2f})"


def floor(margin: float, *values: float) -> str:
    """Return why sameness within a margin cannot be judged: where all values are nearer to 0 than the margin.

    Example:
        >>> floor(0.005, 0.001, 0.0)
        'all are below the margin: a floor'
    """
    return "all are below the margin: a floor" if max(values) < margin else ""


def _few(units: int) -> str:
    if units >= LEAST:
        return ""
    networks = "1 network" if units == 1 else f"{units} networks"
    return f"of {networks}: what another training would change is known from {LEAST} on"
