"""A look at the first step of members that hold code of the user's own, before a faster strategy trains them.

What is made of Keras' own parts is held to Keras' `fit` by the tests. For anything else, and for a Keras that the tests
have not seen, one step of a member among others is compared with Keras' own step of that member alone.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.models.programs import plan
from ensemble_vs_dropout.training.looped import Batch, Looped
from ensemble_vs_dropout.training.schedule import Schedule
from ensemble_vs_dropout.training.stateless import variables

TESTED = "3.15"  # the version of Keras that the tests hold the strategies to
_FAR, _FAR_IN_HALVES = 0.02, 0.25  # of a step's length: more than rounding explains, in float32 and in half precision
_TWO = 2  # members that step side by side, so that it would show if they were not each alone


def disagreement(
    engine: Any,
    models: Sequence[keras.Model],
    schedule: Schedule,
    data: dict[str, Batch],
) -> str | None:
    """Return in words where an engine's first step of a member is not Keras' own, or None.

    Args:
        engine: What would train them; it has no member before and after, and keeps what it has traced.
        models: The members; they are left as they were.
        schedule: What they are trained on.
        data: The parts of it.
    """
    if plan(models[0]) is not None and keras.__version__.startswith(f"{TESTED}."):
        return None
    if isinstance(engine, Looped):
        return None
    once = replace(schedule, steps=1)
    alone = Looped(once, data)
    # The last is compared: the first is what the others' step is traced from.
    pair = list(models[: min(_TWO, engine.slots)])
    model, slot, orders = pair[-1], len(pair) - 1, [once.order(number, 1) for number in range(len(pair))]
    orders = [order[:, : min(one.shape[1] for one in orders)] for order in orders]
    if alone.holds_unknown_variables(model, orders[slot]):
        return (
            "the step of these members moves variables that Keras does not know of, so that they are trained one "
            "after the other"
        )
    before = [_values(one) for one in pair]
    try:
        alone.load(0, model)
        alone.train_epoch({0: orders[slot]})
        expected = _values(model)
        _restore(pair, before)
        for place, one in enumerate(pair):
            engine.load(place, one)
        engine.train_epoch(dict(enumerate(orders)))
        engine.write(slot)
        found = _values(model)
        for place in range(len(pair)):
            engine.drop(place)
    finally:
        _restore(pair, before)
        for one in pair:
            one.reset_metrics()
    far = _FAR if model.compute_dtype in ("float32", "float64") else _FAR_IN_HALVES
    for variable, start, one, other in zip(_all(model), before[slot], expected, found, strict=True):
        if not _same(start, one, other, far):
            return (
                f"its step is not Keras' own for these members ({variable.path!r} differs after one batch), so that "
                "they are trained one after the other"
            )
    return None


def _all(model: keras.Model) -> list[keras.Variable]:
    return [variable for group in variables(model)[:3] for variable in group]


def _values(model: keras.Model) -> list[np.ndarray[Any, Any]]:
    return [variable.numpy() for variable in _all(model)]


def _restore(models: Sequence[keras.Model], before: Sequence[Sequence[np.ndarray[Any, Any]]]) -> None:
    for model, values in zip(models, before, strict=True):
        for variable, value in zip(_all(model), values, strict=True):
            variable.assign(value)


def _same(start: Any, one: Any, other: Any, far: float) -> bool:
    """Return whether two values of a variable agree as well as rounding lets them, measured by the step between."""
    if one.dtype.kind not in "fV":
        return bool(np.array_equal(one, other))
    start, one, other = (value.astype(np.float64) for value in (start, one, other))
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        return bool(np.array_equal(np.isfinite(one), np.isfinite(other)))
    step, size = np.linalg.norm(one - start), np.linalg.norm(one)
    return bool(np.linalg.norm(one - other) <= far * step + 1e-5 * size + 1e-7)
