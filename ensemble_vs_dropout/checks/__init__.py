"""The vocabulary of input checks: every error names the argument, the rule, what came, and what to do.

`code` tells what the user's own code says: the file of a module, and those of the user's own that it imports.
"""

import difflib
import functools
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterable
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from ensemble_vs_dropout.checks.code import file_of, sums_of_code

P = ParamSpec("P")
T = TypeVar("T")


class InputError(ValueError):
    """What the user gave cannot be used; the message says what to do. The command line exits with code 2.

    Example:
        >>> try:
        ...     check_at_least("members", 0, 1)
        ... except InputError as error:
        ...     print(error)
        members must be a whole number of at least 1, got 0
    """

    def __init__(self, *told: object):
        super().__init__(*(visible(str(one)) for one in told))


# Controls of terminals, of lines and of the direction of writing, and what UTF-8 cannot hold.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str, but: str = "") -> str:
    r"""Return a text from elsewhere as it can be shown: controls and what UTF-8 cannot hold stand as escapes.

    Args:
        text: Of whatever origin.
        but: Controls that stay, such as the ends of lines of a whole file.

    Example:
        >>> print(visible("a\x1b[31mb\nc"))
        a\x1b[31mb\nc
    """
    return _UNSEEN.sub(lambda at: at[0] if at[0] in but else at[0].encode("unicode_escape").decode(), text)


def counted(count: int, what: str) -> str:
    """Return how many there are of something, in the plural but for one.

    Example:
        >>> counted(1, "row"), counted(2000, "row")
        ('1 row', '2,000 rows')
    """
    return f"{count:,} {what}{'s' * (count != 1)}"


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


_SEEN: dict[str, str] = {}  # modules of the user's own, by what their files said at first
_FILES: dict[str, dict[Path, tuple[int, int]]] = {}  # by a module that was loaded, those files as they were then


def load_named(kind: str, name: str) -> Any:
    """Return what `package.module:name` names; modules where the user stands are found too.

    Raises:
        InputError: No such module or name; the message says which.

    Example:
        >>> load_named("function", "math:floor")(2.5)
        2
    """
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise InputError(f"{kind} {name!r} must be package.module:name")
    if module_name.endswith(".py") or "/" in module_name:
        imported = module_name.removesuffix(".py").strip("./").replace("/", ".")
        raise InputError(
            f"{kind} must name a module as Python imports it, {imported}:{attribute}, got the file {name!r}"
        )
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # as `python -m` does
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise InputError(f"{kind} {name!r}: cannot import {module_name!r}: {error}") from error
    if module_name not in _FILES or _FILES[module_name] != _states(_FILES[module_name]):
        sums = sums_of_code(module_name)
        for own, said in sums.items():
            if own in sys.modules and _SEEN.setdefault(own, said) != said:
                raise InputError(
                    f"{kind} {name!r}: {sys.modules[own].__file__} has changed since Python imported it, and what was "
                    "imported is the old; restart Python"
                )
        _FILES[module_name] = _states(filter(None, map(file_of, sums)))
    if not hasattr(module, attribute):
        raise InputError(f"{kind} {name!r}: {module_name!r} has no {attribute!r}")
    return getattr(module, attribute)


def _states(files: Iterable[Path]) -> dict[Path, tuple[int, int]]:
    return {file: (file.stat().st_mtime_ns, file.stat().st_size) for file in files if file.is_file()}


def by_keyword(*old: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Let a call that gives by position what is keyword-only be told which keyword it meant.

    Args:
        old: The keywords in the order in which they could be given by position once.

    Example:
        >>> @by_keyword("rule")
        ... def predict(x, *, rule="mean"):
        ...     return rule
        >>> predict(0, "median")
        Traceback (most recent call last):
        ensemble_vs_dropout.checks.InputError: predict takes x by position and all else by keyword; write rule='median'
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        kinds = inspect.signature(function).parameters.values()
        first = [parameter.name for parameter in kinds if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]

        @functools.wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> T:
            if len(args) > len(first):
                names = " and ".join(name for name in first if name != "self")
                value = args[len(first)]
                told = repr(value) if isinstance(value, str | int | float) else "..."
                raise InputError(
                    f"{function.__name__} takes {names} by position and all else by keyword; write {old[0]}={told}"
                )
            return function(*args, **kwargs)

        return called

    return decorate
