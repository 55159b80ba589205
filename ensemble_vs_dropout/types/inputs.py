"""Several inputs of a network in one array, with a field for each.

A structured NumPy array has an example in each row, whatever the shapes and dtypes of its fields, so that it is cut,
drawn from, joined and kept as any other array of features. The name of a field is the place of its input in what the
network is called with: a key of a dict, "[0]" in a list, "sides/[0]" where one is inside the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil

from ensemble_vs_dropout.checks import InputError

_WITHIN = "/"


def by_place(nested_values: Any) -> dict[str, Any]:
    """Return nested values by their places, in the order in which Keras flattens them.

    Raises:
        InputError: A key of a dict reads as a place itself.

    Example:
        >>> by_place({"sides": [1, 2], "color": 3})
        {'color': 3, 'sides/[0]': 1, 'sides/[1]': 2}
    """
    if isinstance(nested_values, Mapping):
        for key in nested_values:
            if not isinstance(key, str) or not key or key.startswith("[") or _WITHIN in key:
                raise InputError(f"inputs must have names without {_WITHIN!r} that begin with no '[', got {key!r}")
        items = [(key, nested_values[key]) for key in sorted(nested_values)]
    elif isinstance(nested_values, (list, tuple)):
        items = [(f"[{number}]", inner) for number, inner in enumerate(nested_values)]
    else:
        return {"": nested_values}
    return {
        f"{key}{_WITHIN}{place}" if place else key: value
        for key, inner in items
        for place, value in by_place(inner).items()
    }


def nested(values: Mapping[str, Any]) -> Any:
    """Return values by their places as they are nested; `by_place` turned round.

    Example:
        >>> nested({"color": 3, "sides/[0]": 1, "sides/[1]": 2})
        {'color': 3, 'sides': [1, 2]}
    """
    if "" in values:
        return values[""]
    groups: dict[str, dict[str, Any]] = {}
    for place, value in values.items():
        key, _, rest = place.partition(_WITHIN)
        groups.setdefault(key, {})[rest] = value
    inner = {key: nested(group) for key, group in groups.items()}
    return [*inner.values()] if all(key.startswith("[") for key in inner) else inner


def told(place: str) -> str:
    """Return the place of an input as Python code has it.

    Example:
        >>> told("sides/[0]")
        "['sides'][0]"
    """
    return "".join(key if key.startswith("[") else f"[{key!r}]" for key in place.split(_WITHIN) if key)


def table(columns: Mapping[str, npt.NDArray[np.generic]]) -> npt.NDArray[np.void]:
    """Return arrays by their places, each of shape (examples, ...), as one array with a field for each.

    Example:
        >>> table({"image": np.zeros((5, 8, 8)), "age": np.zeros((5, 1))}).shape
        (5,)
    """
    kinds = [(place, column.dtype, column.shape[1:]) for place, column in columns.items()]
    rows = np.empty(len(next(iter(columns.values()))), np.dtype(kinds))
    for place, column in columns.items():
        rows[place] = column
    return rows


def columns_of(x: npt.NDArray[np.generic]) -> dict[str, npt.NDArray[np.generic]]:
    """Return the fields of an array by their places; one without fields stands at the place "".

    Example:
        >>> list(columns_of(table({"image": np.zeros((5, 8, 8)), "age": np.zeros((5, 1))})))
        ['image', 'age']
    """
    fields: Any = x
    return {place: fields[place] for place in x.dtype.names} if x.dtype.names else {"": x}


def shapes_of(x: npt.NDArray[np.generic]) -> dict[str, tuple[int, ...]]:
    """Return the shape of an example of each input, by their places.

    Example:
        >>> shapes_of(table({"image": np.zeros((5, 8, 8)), "age": np.zeros((5, 1))}))
        {'image': (8, 8), 'age': (1,)}
    """
    return {place: column.shape[1:] for place, column in columns_of(x).items()}


def dtypes_of(x: npt.NDArray[np.generic]) -> dict[str, str]:
    """Return the name of the dtype of each input, "string" for text, by their places.

    Example:
        >>> dtypes_of(np.zeros((5, 1), "float32"))
        {'': 'float32'}
    """
    return {
        place: "string" if column.dtype.kind in "SU" else column.dtype.name for place, column in columns_of(x).items()
    }


def as_bytes(name: str, texts: Sequence[bytes]) -> npt.NDArray[np.bytes_]:
    """Return texts in UTF-8 as one array, in which each has the room of the longest.

    Raises:
        InputError: One ends in NUL, which such an array does not keep, or the array would take more than half of the
            free memory.

    Example:
        >>> as_bytes("x", [b"a message", b"another"]).dtype.itemsize
        9
    """
    longest = max(map(len, texts), default=1)
    if longest * len(texts) > psutil.virtual_memory().available // 2:
        raise InputError(
            f"{name} would take {longest * len(texts):,} bytes, as one of its {len(texts):,} texts has {longest:,}; "
            "cut long texts"
        )
    if any(text.endswith(b"\x00") for text in texts):
        raise InputError(f"{name} must hold text that does not end in NUL (\\x00), which would be lost; strip it")
    return np.array(texts, np.bytes_)
