"""The vocabulary of input checks: every error names the argument, the rule, what came, and what to do."""

import difflib
from collections.abc import Iterable
from numbers import Integral, Real


class InputError(ValueError):
    """What the user gave cannot be used; the message says what to do. The command line exits with code 2."""


def check_at_least(name: str, value: object, minimum: int) -> int:
    """Return `value` as an int of at least `minimum`, or raise `InputError`.

    Example:
        >>> check_at_least("members", 5, 1)
        5
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or int(value) < minimum:
        raise InputError(f"{name} must be a whole number of at least {minimum}, got {value!r}")
    return int(value)


def check_fraction(name: str, value: object) -> float:
    """Return `value` as a float in [0, 1), or raise `InputError`.

    Example:
        >>> check_fraction("rate", 0.5)
        0.5
    """
    if not isinstance(value, Real) or isinstance(value, bool) or not 0.0 <= float(value) < 1.0:
        raise InputError(f"{name} must be a number in [0, 1), got {value!r}")
    return float(value)


def check_known(kind: str, name: object, known: Iterable[str]) -> str:
    """Return `name` if it is one of `known`, else raise `InputError` with the known ones and the nearest.

    Example:
        >>> check_known("rule", "mean", ["mean", "median"])
        'mean'
    """
    names = list(known)
    if name in names:
        return str(name)
    nearest = difflib.get_close_matches(str(name), names, n=1)
    hint = f" (did you mean {nearest[0]!r}?)" if nearest else ""
    raise InputError(f"unknown {kind} {name!r}{hint}; known: {', '.join(names)}")
