"""What sentences call arms, metrics, sizes, p-values and ratios."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ensemble_vs_dropout.evaluation.arms import ARMS, arm_label
from ensemble_vs_dropout.measures.metrics import EVERY_METRIC

_MOST_DIGITS = 6  # of a number below 1: smaller ones are rounding


def arm_words(arm: str, rule: str) -> str:
    """Return an arm and its rule as a sentence calls them.

    Example:
        >>> arm_words("ensemble", "mean"), arm_words("single", "each")
        ('the averaged ensemble', 'a single network')
    """
    name, known = arm_label(arm), ARMS.get(arm)
    several = known is not None and known.grows == "networks"
    if rule == "majority_vote":
        return f"the voting {name}" if several else f"{name} by majority vote"
    if several:
        return f"the averaged {name}"
    return (known.phrase if known else "") or name


def metric_words(metric: str) -> str:
    """Return a metric's name without its unit.

    Example:
        >>> metric_words("nll")
        'NLL'
    """
    return EVERY_METRIC[metric].label.partition(" (")[0]


def unit_of(metric: str) -> str:
    """Return what differences of a metric are in.

    Example:
        >>> unit_of("error"), unit_of("nll")
        (' percentage points', ' nats')
    """
    known = EVERY_METRIC[metric]
    return " percentage points" if known.scale == 100 else " nats" if "(nats)" in known.label else ""


def number_words(metric: str, value: float, nonzero: bool = False) -> str:
    """Return a difference as a number, rounded, and without a minus before a zero.

    Args:
        metric: A name in `METRICS`.
        value: The difference.
        nonzero: Whether one that is not 0 shall not be rounded to it, as the end of an interval beside 0.

    Example:
        >>> number_words("error", -0.0123), number_words("nll", -0.0001), number_words("nll", -0.0001, nonzero=True)
        ('-1.23', '0.000', '-0.0001')
    """
    scaled = value * EVERY_METRIC[metric].scale
    usual = 2 if EVERY_METRIC[metric].scale == 100 else 3
    tried = range(usual, _MOST_DIGITS + 1) if nonzero else ()
    digits = next((digits for digits in tried if round(scaled, digits)), usual)
    return f"{round(scaled, digits) + 0.0:.{digits}f}"


def size_words(metric: str, value: float, nonzero: bool = False) -> str:
    """Return the size of a difference, with its unit; `nonzero` as in `number_words`.

    Example:
        >>> size_words("error", -0.0123)
        '1.23 percentage points'
    """
    return f"{number_words(metric, abs(value), nonzero)}{unit_of(metric)}"


def p_words(value: float) -> str:
    """Return a p-value.

    Example:
        >>> p_words(0.0002), p_words(0.04), p_words(0.04996)
        ('p < 0.001', 'p = 0.040', 'p = 0.0499')
    """
    if value < 0.05 <= round(value, 3):  # what is shown does not read as what is not
        return f"p = {math.floor(value * 1e4) / 1e4:.4f}"
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def times_words(ratio: float) -> str:
    """Return a ratio of costs, to stand before what is counted.

    Example:
        >>> times_words(1.02), times_words(5.0), times_words(0.05)
        ('about the same', '5 times the', '1/20 of the')
    """
    if abs(ratio - 1) < 0.05:
        return "about the same"
    if not ratio:
        return "none of the"
    return f"{_two_digits(ratio)} times the" if ratio >= 0.1 else f"1/{_two_digits(1 / ratio)} of the"


def listed(names: Sequence[str], last: str = "and") -> str:
    """Return names as a sentence lists them.

    Example:
        >>> listed(["a", "b", "c"], "or")
        'a, b or c'
    """
    return f" {last} ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def capital(text: str) -> str:
    """Return a text that begins a sentence.

    Example:
        >>> capital("a single network")
        'A single network'
    """
    return text[:1].upper() + text[1:]


def _two_digits(number: float) -> str:
    return f"{number:.2g}" if number < 99.5 else f"{float(f'{number:.2g}'):,.0f}"
