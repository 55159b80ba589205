"""How far a mean over networks and examples may be from the truth: variance components, intervals and p-values.

Every network is tested on the same examples (a crossed design). So the variance of a mean over networks and examples
has two parts: what another training would change, and what other examples would. The first is known from a few
networks only, which is what makes small experiments look surer than they are: its uncertainty must widen the interval.

    score of network u on example i = truth + network(u) + example(i) + own(u, i)

The variance of the mean is `S_networks + S_examples - S_own`: the variances of the means over one side count what is
of a network and an example alone (`own`) twice. Here `S_networks` keeps its own uncertainty: the sum of a t variable
for every group of networks and one for the examples, each with its own degrees of freedom (the Behrens-Fisher
distribution; Fisher, 1935). It equals Student's t where one part rules, and is a little cautious in between. The
approximation of Satterthwaite (1946) by one t is too bold where a few networks differ little by chance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import ndtr
from scipy.stats import chi2

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.types import FloatArray

LEAST = 3  # units that can say something of training again: what two say holds, and is of no use to anybody
_MANY = 200  # degrees of freedom from which a variance counts as known


@dataclass(frozen=True)
class Component:
    """One part of the variance of a mean, as it is estimated.

    Attributes:
        variance: The estimate, at least 0.
        degrees: Its degrees of freedom, at least 1.
        floor: The variance is at least this, which is known well.
    """

    variance: float
    degrees: int
    floor: float = 0.0


@dataclass(frozen=True)
class Spread:
    """The spread of a mean, or of a difference of means: parts that add up, each known as well as it is.

    Attributes:
        parts: Components of the variance, independent of each other.

    Example:
        >>> Spread((Component(1.0, 2),)).p_value(4.302653).__round__(4)  # Student's t
        0.05
        >>> round(Spread((Component(1.0, 2), Component(1.0, 500))).half_width(0.95), 2)
        4.63
    """

    parts: tuple[Component, ...]

    @cached_property
    def _variances(self) -> tuple[FloatArray, FloatArray]:
        """What the variance may be, and how probable each of these is: the fiducial distribution on a grid."""
        variances, weights = np.zeros(1), np.ones(1)
        for part in self.parts:
            if part.degrees >= _MANY or part.variance == 0 or np.isnan(part.variance):
                variances = variances + np.maximum(part.variance, part.floor)
                continue
            chances, of_chances = _grid(part.degrees, 32 if len(self.parts) < 3 else 20)
            drawn = np.maximum(part.variance * chances, part.floor)
            variances = (variances[:, None] + drawn).ravel()
            weights = (weights[:, None] * of_chances).ravel()
        return variances, weights

    def tail(self, distance: float) -> float:
        """Return the chance that the mean is further above the truth than `distance`, in [0, 1]; NaN for NaN."""
        if np.isnan(distance):
            return float("nan")
        variances, weights = self._variances
        with np.errstate(divide="ignore", invalid="ignore"):
            standard = np.where((distance == 0) & (variances >= 0), 0.0, distance / np.sqrt(variances))
        return float(np.minimum(1.0, weights @ ndtr(-standard)))

    def p_value(self, difference: float) -> float:
        """Return the two-sided p-value of "the true difference is 0", in [0, 1]; NaN for NaN."""
        return float(np.minimum(1.0, 2 * self.tail(abs(difference))))

    def half_width(self, level: float = 0.95) -> float:
        """Return half the width of the interval that holds the truth with this chance, at least 0."""
        variances, _ = self._variances
        if np.isnan(variances).any():
            return float("nan")
        high = float(np.sqrt(variances.max())) * 50
        if not 0 < high < np.inf:
            return high
        return float(brentq(lambda middle: self.p_value(middle) - (1 - level), 0.0, high, xtol=1e-10 * high, rtol=1e-9))


def spread_of(groups: Sequence[tuple[npt.ArrayLike, npt.ArrayLike]], total: float, degrees: int) -> Spread:
    """Return the spread of a sum or difference of means over groups of networks, on the same examples.

    Args:
        groups: For each group that was trained independently of the others, the score of each network, shape
            (networks,), at least two; and how these hang on the examples, shape (networks, any), such that
            `deviations @ deviations.T` is their covariance over draws of the examples. Networks that are paired across
            two arms are one group, of their differences.
        total: The variance over draws of the examples of the whole, these networks being given.
        degrees: Its degrees of freedom: the examples less one.

    Raises:
        InputError: A group of fewer than two networks: what another training would change cannot be told from one.

    Example:
        >>> scores = np.array([[0.0, 1.0, 1.0, 0.0], [1.0, 1.0, 0.0, 1.0]])
        >>> deviations = (scores - scores.mean(axis=1, keepdims=True)) / np.sqrt(4 * 3)
        >>> total = (deviations.mean(axis=0) ** 2).sum()
        >>> spread = spread_of([(scores.mean(axis=1), deviations)], total, degrees=3)
        >>> [round(part.variance, 3) for part in spread.parts]
        [0.016, 0.0]
    """
    parts, own = [], 0.0
    if degrees < 1:  # one example says nothing of others
        total = float("nan")
    for scores, deviations in groups:
        of_networks, of_examples = np.asarray(scores, dtype=float), np.asarray(deviations, dtype=float)
        count = len(of_networks)
        if count < 2:
            raise InputError(f"a group must have at least two networks, got {count}")
        variance, covariance = (of_examples**2).sum() / count, (of_examples.mean(axis=0) ** 2).sum()
        floor = max(0.0, float(variance - covariance) / (count - 1))
        parts.append(Component(float(of_networks.var(ddof=1)) / count, count - 1, floor))
        own += floor
    return Spread((*parts, Component(float(np.maximum(0.0, total - own)), degrees)))


@lru_cache
def _grid(degrees: int, points: int) -> tuple[FloatArray, FloatArray]:
    """Return what a variance may be in units of its estimate, and weights: Gauss-Legendre, dense in the upper tail."""
    places, weights = np.polynomial.legendre.leggauss(points)
    chances = ((places + 1) / 2) ** 3
    return np.asarray(degrees / chi2.ppf(chances, degrees)), weights / 2 * 3 * ((places + 1) / 2) ** 2
