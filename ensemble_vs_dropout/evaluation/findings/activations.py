"""Does dropout change what the hidden units detect, and how sparsely they are active?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation.arms import arm_label
from ensemble_vs_dropout.evaluation.findings.base import Fact, Finding
from ensemble_vs_dropout.evaluation.findings.judging import judge, of_both
from ensemble_vs_dropout.types import FloatArray

BINS = {"units": 25, "activations": 40}
FILTERS = 72  # of an arm, at most


def activations(
    weights: Mapping[str, npt.ArrayLike],
    activations: Mapping[str, npt.ArrayLike],
    *,
    image_shape: Sequence[int] | None = None,
) -> Finding:
    """Return histograms of the hidden activations of each arm after ReLU, and its first-layer filters.

    After Srivastava et al. (2014), figures 7 and 8.

    Args:
        weights: For each arm the kernel of its first layer, shape (inputs, units).
        activations: For each arm its hidden units after ReLU on test inputs, shape (examples, units), or (networks,
            examples, units): the table is of the first network, facts are of all.
        image_shape: Of an input, (height, width) or that with 1 or 3 channels; None for data that are no images,
            which have no filters.

    Returns:
        A table with the columns panel, role, arm, units, left, right, value, low, high. In the panels "units" (mean
        activation over examples, for each unit) and "activations" (all of them) role "bin" holds the share that lies
        from `left` to `right`, role "zeros" the share of activations that are exactly 0, and role "mean" the mean, one
        standard deviation over units around it. Told are `examples`, the numbers of test inputs that arms have, and
        `filters`: for each arm the incoming weights of its first units as pictures in [-1, 1], each in units of its own
        largest weight, shape (filters, height, width) or with 3 channels last; none without `image_shape`.

    Raises:
        InputError: Different arms or units, an image shape of other inputs, or activations below 0.

    Example:
        >>> found = activations({"plain": np.ones((4, 2))}, {"plain": [[0.0, 1.0], [0.0, 3.0]]}, image_shape=(2, 2))
        >>> found.table[found.table["role"] == "zeros"].value.tolist()
        [0.5]
    """
    if not activations or weights.keys() != activations.keys():
        raise InputError(
            f"weights and activations must be of the same arms, at least one, got {list(weights)} and "
            f"{list(activations)}"
        )
    every = {arm: _check_activations(arm, values) for arm, values in activations.items()}
    hidden = {arm: networks[0] for arm, networks in every.items()}
    kernels = {arm: _check_kernel(arm, values, hidden[arm].shape[1]) for arm, values in weights.items()}
    filters = {} if image_shape is None else {arm: _filters(arm, k, image_shape) for arm, k in kernels.items()}
    rows = [row for panel in BINS for row in _histograms(panel, hidden)]
    order = ["panel", "role", "arm", "units", "left", "right", "value", "low", "high"]
    table = pd.DataFrame(rows).reindex(columns=order)
    examples = list(dict.fromkeys(len(values) for values in hidden.values()))
    return Finding(table, tuple(_facts(every)), {"examples": examples, "filters": filters})


def _histograms(panel: str, hidden: dict[str, FloatArray]) -> list[dict[str, object]]:
    """Return the bins and the mean of each arm, in bins that all share."""
    values = {arm: (array.mean(axis=0) if panel == "units" else array.ravel()) for arm, array in hidden.items()}
    edges = np.linspace(0, max(own.max() for own in values.values()) or 1.0, BINS[panel] + 1)
    rows: list[dict[str, object]] = []
    for arm, own in values.items():
        common = {"panel": panel, "arm": arm, "units": hidden[arm].shape[1]}
        shares = np.histogram(own, edges)[0] / len(own)
        rows += [
            {**common, "role": "bin", "left": left, "right": right, "value": share}
            for left, right, share in zip(edges[:-1], edges[1:], shares, strict=True)
        ]
        if panel == "units":
            mean, spread = own.mean(), own.std(ddof=1) if len(own) > 1 else np.nan
            rows.append({**common, "role": "mean", "value": mean, "low": mean - spread, "high": mean + spread})
        else:
            rows.append({**common, "role": "zeros", "value": (own == 0).mean()})
    return rows


def _check_activations(arm: str, values: npt.ArrayLike) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    array = array[None] if array.ndim == 2 else array
    if array.ndim != 3 or 0 in array.shape:
        raise InputError(
            f"the activations of {arm!r} must have shape (examples, units), or that of each network, got "
            f"{np.shape(values)}"
        )
    if not np.isfinite(array).all() or array.min() < 0:
        raise InputError(
            f"the activations of {arm!r} must be finite and not below 0, as after ReLU, got values from "
            f"{array.min():.4g} to {array.max():.4g}"
        )
    return array


def _check_kernel(arm: str, values: npt.ArrayLike, units: int) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or 0 in array.shape or array.shape[1] != units or not np.isfinite(array).all():
        raise InputError(
            f"the weights of {arm!r} must be a finite kernel of shape (inputs, {units}), for there are activations of "
            f"{units} units, got shape {array.shape}"
        )
    return array


def _filters(arm: str, kernel: FloatArray, image_shape: Sequence[int]) -> FloatArray:
    """Return the incoming weights of units as pictures in [-1, 1]."""
    shape = tuple(int(size) for size in image_shape)
    shape = shape[:2] if len(shape) == 3 and shape[2] == 1 else shape
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] != 3) or math.prod(shape) != len(kernel):
        raise InputError(
            f"image_shape must be (height, width), or that with 1 or 3 channels, of the {len(kernel)} inputs of "
            f"{arm!r}, got {tuple(image_shape)}; leave it out for data that are no images"
        )
    first = kernel.T[:FILTERS]
    largest = np.abs(first).max(axis=1, keepdims=True)
    return np.asarray(first / np.where(largest > 0, largest, 1.0)).reshape(-1, *shape)


def _facts(hidden: Mapping[str, FloatArray]) -> Iterator[Fact]:
    means = {arm: networks.mean(axis=(1, 2)) for arm, networks in hidden.items()}
    zeros = {arm: (networks == 0).mean(axis=(1, 2)) for arm, networks in hidden.items()}
    without = next((arm for arm in ("plain", "single", "ensemble") if arm in means), "")
    for arm in (arm for arm in means if without and "dropout" in arm):
        names, count = (arm_label(arm), arm_label(without)), f"{len(means[arm])} and {len(means[without])} networks"
        yield judge(
            f"the mean activation of {names[0]} is below that of {names[1]}",
            of_both(means[arm], means[without]).below(),
            f"{means[arm].mean():.3g} and {means[without].mean():.3g}, {count}",
        )
        yield judge(
            f"more activations of {names[0]} than of {names[1]} are exactly 0",
            of_both(zeros[arm], zeros[without]).above(),
            f"{100 * zeros[arm].mean():.1f} % and {100 * zeros[without].mean():.1f} %, {count}",
        )
