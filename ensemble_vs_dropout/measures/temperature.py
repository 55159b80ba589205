"""Temperature scaling: the one number that makes a prediction surer or less sure without changing its label.

Dividing the logarithms of the probabilities by a temperature T and renormalizing flattens them for T > 1 (Guo et al.
2017). A geometric mean of members commutes with a common temperature; an arithmetic mean does not, so it matters
whether members are calibrated before they are pooled or the pool afterwards.

Few examples say little about a temperature: where all are right the loss falls without end toward T = 0. Fits are
therefore penalized. The loss in nats, summed over the examples, has `prior` times (1/T - 1 + log T) added, which is 0
at T = 1: minus the log density of 1/T under a Gamma distribution with its mode at 1 (shape prior + 1, rate prior).
This is convex in 1/T, as the loss is; a square of log T is not. At a prior of 1, T = 1/2 costs 0.31 nats and T = 2
costs 0.19.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp

from ensemble_vs_dropout.checks import InputError, check_at_least
from ensemble_vs_dropout.measures.aggregation import aggregate
from ensemble_vs_dropout.seeds import stream
from ensemble_vs_dropout.types import FloatArray, IntArray, check_pair, check_probabilities

COLDEST, HOTTEST = 0.01, 100.0
PRIOR = 1.0  # of information about 1/T at T = 1; one example of two classes has 0.44 at most
NOISE = 3.0  # nats: e^3 is odds of 20 to 1
_CLOSE = 1e-4  # of the inverse temperature, relative: Halley's last step leaves about the cube of it


def fit_temperature(probs: npt.ArrayLike, labels: npt.ArrayLike, prior: float = PRIOR) -> float:
    """Return the temperature of lowest penalized log loss, in [0.01, 100]: 1 where the examples say nothing.

    The loss is convex in 1/T, so that the search (Halley's, safeguarded by bisection) ends at the one minimum. It is
    never above the loss at T = 1. Examples whose true class has probability 0 have an infinite loss at every
    temperature and say nothing about it. Fit on validation data.

    Args:
        probs: Shape (examples, classes).
        labels: Shape (examples,), 0..K-1.
        prior: The weight of the penalty that the module describes, at least 0. Its pull on T fades as 1 / examples; 0
            is maximum likelihood (Guo et al. 2017), whose T goes to a limit where all examples are right or wrong.

    Example:
        >>> probs, labels = [[0.9, 0.1], [0.9, 0.1], [0.9, 0.1]], [0, 0, 1]
        >>> round(fit_temperature(probs, labels, prior=0), 2)  # 0.9 becomes 2/3
        3.17
        >>> round(fit_temperature(probs, labels), 2)
        1.74
    """
    given = _Given.of(*check_pair(probs, labels)).known()
    fitted = _fit(given, np.zeros(given.examples, int), np.ones(1), _check_prior(prior))
    return 1 / float(fitted[0])


def apply_temperature(probs: npt.ArrayLike, temperature: float) -> FloatArray:
    """Return probabilities at another temperature, any shape (..., classes); zeros stay 0.

    Example:
        >>> apply_temperature([[0.8, 0.2]], 2.0).round(3).tolist()
        [[0.667, 0.333]]
    """
    if not temperature > 0:
        raise InputError(f"temperature must be above 0, got {temperature!r}")
    array = np.asarray(probs, dtype=np.float64)
    if not (array >= 0).all():
        raise InputError("probs must be non-negative numbers; logits become such by a softmax")
    with np.errstate(divide="ignore"):
        scaled = np.log(array) / temperature
    return np.asarray(np.exp(scaled - logsumexp(scaled, axis=-1, keepdims=True)))


def calibrated_nll(
    probs: npt.ArrayLike, labels: npt.ArrayLike, repeats: int = 5, seed: int = 0, prior: float = PRIOR
) -> FloatArray:
    """Return each example's log loss at a temperature that other examples were fitted to, in nats, in [0, inf].

    Test-time cross-validation (Ashukha et al. 2020): the data are halved at random, each half is scored at the
    temperature fitted to the other, and that is repeated; minus its mean is their calibrated log-likelihood. It
    compares predictions without what one number could mend. Resampling examples keeps the temperatures.

    The fits are penalized, which theirs are not: a half on which all examples are right would get the coldest
    temperature, and one wrong example in the other half would cost a hundred times its loss. With few examples,
    predictions that need little calibrating are therefore favored.

    Args:
        probs: Shape (examples, classes).
        labels: Shape (examples,), 0..K-1.
        repeats: Halvings, at least 1.
        seed: Of the halves, which depend on the number of examples alone: they are the same for all predictions.
        prior: As in `fit_temperature`.

    Returns:
        Shape (examples,), the mean over the repeats. With one example there is no other half: its plain log loss.

    Example:
        >>> probs = np.tile([[0.6, 0.4]], (100, 1))
        >>> calibrated_nll(probs, np.zeros(100, int)).mean().round(2).item()  # always right: it should be surer
        0.04
    """
    given = _Given.of(*check_pair(probs, labels))
    fitted = given.known()
    whole = _fit(fitted, np.zeros(fitted.examples, int), np.ones(1), _check_prior(prior))
    slopes = fitted.slopes(whole)
    total = np.zeros(given.examples)
    for repeat in range(check_at_least("repeats", repeats, 1)):
        half = stream(seed, "halves", repeat).permutation(given.examples) % 2
        groups = half[fitted.places]
        step, bend = _step(slopes, groups, np.repeat(whole, 2), prior)[:2]
        # The first step, for nothing. A half that says nothing stays at 1, whatever the other half says.
        start = np.where(bend > 0, np.clip(whole + step, whole / 2, whole * 2), 1.0)
        total += given.loss(_fit(fitted, groups, start, prior)[1 - half])
    return total / repeats


def calibration_worsens(probs: npt.ArrayLike, labels: npt.ArrayLike, margin: float = NOISE) -> bool:
    """Tell whether temperatures fitted to other examples lose against none: the plain NLL then says more.

    Examples whose true class has probability 0 are left out: their loss is infinite both ways.

    Args:
        probs: Shape (examples, classes).
        labels: Shape (examples,), 0..K-1.
        margin: Of `calibrated_nll` above the plain log loss, in nats, summed over the examples. Fitting a temperature
            to predictions that need none costs about 1 nat in all, however many the examples are, and seldom 3. With
            0 any loss counts, and most calibrated predictions have one.

    Example:
        >>> probs = np.array([[0.99, 0.01]] * 99 + [[0.999, 0.001]])
        >>> labels = np.zeros(100, int)
        >>> calibration_worsens(probs, labels)
        False
        >>> labels[-1] = 1  # wrong where it is surest: the half without it cannot know
        >>> calibration_worsens(probs, labels)
        True
    """
    array, truth = check_pair(probs, labels)
    plain = _Given.of(array, truth).loss(np.ones(1))
    known = np.isfinite(plain)
    return bool((calibrated_nll(array, truth)[known] - plain[known]).sum() > margin)


def pool_then_calibrate(
    val: npt.ArrayLike,
    val_labels: npt.ArrayLike,
    probs: npt.ArrayLike,
    rule: str = "mean",
    weights: npt.ArrayLike | None = None,
) -> FloatArray:
    """Combine the members, then set the temperature of the pool, fitted on validation data.

    What Rahaman and Thiery (2021) recommend: the pool of calibrated members is not calibrated.

    Args:
        val: Members' probabilities on validation data, shape (members, examples, classes).
        val_labels: Shape (examples,).
        probs: The same members' probabilities on the data to predict, shape (members, other examples, classes).
        rule: A name in `RULES`.
        weights: One for each member; None for equal ones.

    Returns:
        Shape (other examples, classes).

    Example:
        >>> val = np.tile([[0.9, 0.1]], (2, 3, 1))
        >>> pool_then_calibrate(val, [0, 0, 1], val).round(2)[0].tolist()
        [0.78, 0.22]
    """
    temperature = fit_temperature(aggregate(val, rule, weights), val_labels)
    return apply_temperature(aggregate(probs, rule, weights), temperature)


def calibrate_then_pool(
    val: npt.ArrayLike,
    val_labels: npt.ArrayLike,
    probs: npt.ArrayLike,
    rule: str = "mean",
    weights: npt.ArrayLike | None = None,
) -> FloatArray:
    """Set each member's own temperature, fitted on validation data, then combine; see `pool_then_calibrate`.

    Example:
        >>> val = np.tile([[0.9, 0.1]], (2, 3, 1))
        >>> calibrate_then_pool(val, [0, 0, 1], val).round(2)[0].tolist()
        [0.78, 0.22]
    """
    fitted, given = check_probabilities(val), check_probabilities(probs)
    if len(fitted) != len(given):
        raise InputError(f"val and probs must be of the same members, got {len(fitted)} and {len(given)}")
    pairs = zip(fitted, given, strict=True)
    calibrated = [apply_temperature(member, fit_temperature(of_val, val_labels)) for of_val, member in pairs]
    return aggregate(np.stack(calibrated), rule, weights)


@dataclass(frozen=True)
class _Given:
    """Predictions whose log loss is asked for at one inverse temperature after another.

    Attributes:
        logs: The logarithms, less the highest of each example; shape (classes, examples).
        true: Those of the true classes, shape (examples,).
        places: The examples' places among all, shape (examples,).
    """

    logs: FloatArray
    true: FloatArray
    places: IntArray

    @classmethod
    def of(cls, probs: FloatArray, labels: IntArray) -> "_Given":
        with np.errstate(divide="ignore"):
            logs = np.log(np.ascontiguousarray(probs.T))
        logs -= logs.max(axis=0)
        places = np.arange(len(labels))
        return cls(logs, logs[labels, places], places)

    @property
    def examples(self) -> int:
        return len(self.true)

    @cached_property
    def beyond(self) -> FloatArray:
        """How far each class is above the true one: no rounding where the true one's probability is near 1."""
        return np.where(np.isneginf(self.logs), 0.0, self.logs - self.true)

    def known(self) -> "_Given":
        """Return the examples whose true class has a probability above 0."""
        known = np.isfinite(self.true)
        return self if known.all() else _Given(self.logs[:, known], self.true[known], self.places[known])

    def loss(self, inverse: FloatArray) -> FloatArray:
        """Return the log loss of each example at its inverse temperature."""
        return np.asarray(np.log(np.exp(self.logs * inverse).sum(axis=0)) - self.true * inverse) + 0.0

    def slopes(self, inverse: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the first three derivatives of each example's log loss by its inverse temperature."""
        powers = self.logs * inverse
        np.exp(powers, out=powers)
        total = powers.sum(axis=0)
        moments = []
        for _ in range(3):
            powers *= self.beyond
            moments.append(powers.sum(axis=0) / total)
        first, second, third = moments
        return first, second - first**2, third - 3 * first * second + 2 * first**3


def _check_prior(prior: float) -> float:
    if not 0 <= prior < np.inf:
        raise InputError(f"prior must be a number of at least 0, got {prior!r}")
    return prior


def _step(
    slopes: Iterable[FloatArray], groups: IntArray, inverse: FloatArray, prior: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return each group's step of Halley's method, and the second and first derivative of its penalized loss."""
    sums = (np.bincount(groups, part, len(inverse)) for part in slopes)
    of_penalty = prior * (1 - 1 / inverse), prior / inverse**2, -2 * prior / inverse**3
    slope, bend, turn = (one + other for one, other in zip(sums, of_penalty, strict=True))
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        newton = np.where(slope == 0, 0.0, -slope / bend)
        curved = 1 + newton * turn / (2 * bend)
    return np.where(curved > 0.5, newton / np.maximum(curved, 0.5), newton), bend, slope


def _fit(given: _Given, groups: IntArray, start: FloatArray, prior: float) -> FloatArray:
    """Return for each group of examples the inverse temperature of lowest penalized loss, from these first guesses."""
    low, high = np.full(len(start), 1 / HOTTEST), np.full(len(start), 1 / COLDEST)
    inverse, last = np.clip(start, low, high), high - low
    for _ in range(100):
        step, _, slope = _step(given.slopes(inverse[groups]), groups, inverse, prior)
        low, high = np.where(slope < 0, inverse, low), np.where(slope > 0, inverse, high)
        # Where all are right the loss only flattens and steps creep: one that does not halve is a bisection.
        slow = ~(np.abs(step) <= last / 2) | (inverse + step < low) | (inverse + step > high)
        step = np.where(slow, np.sqrt(low * high) - inverse, step)
        inverse, last = inverse + step, np.abs(step)
        if (last <= _CLOSE * inverse).all():
            break
    return inverse
