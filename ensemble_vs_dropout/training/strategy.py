"""Which strategy trains the members, how many at a time, and why."""

from collections.abc import Sequence
from dataclasses import dataclass

import psutil

from ensemble_vs_dropout.checks import InputError, check_known
from ensemble_vs_dropout.models.architecture import difference, inner_optimizers
from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.models.classic_dropout import ClassicDropout
from ensemble_vs_dropout.models.costs import rough_multiply_adds
from ensemble_vs_dropout.models.layers import GOOD_FOR_XLA
from ensemble_vs_dropout.training.numbers import structure
from ensemble_vs_dropout.training.schedule import Schedule
from ensemble_vs_dropout.training.streams import Stream

STRATEGIES = ("auto", "looped", "unrolled", "stacked")
_CACHE = 10 * 2**20  # bytes of variables that stacked members go through in a step before it slows them down ...
_SLOWED = 1.2  # ... by this factor
_STEP_SECONDS = 1e-4  # that a step costs whatever it does
_EPOCH_SECONDS = 4e-3  # that an epoch costs a member more where it is alone
_SPEED = 8e10  # operations a second, about
_SHORT = {"stacked": 1.0, "unrolled": 3.0}  # seconds one after the other below which compiling is not repaid
AT_ONCE = 5  # models in one unrolled graph: more bring nothing, and a graph of many is slow to make


@dataclass(frozen=True)
class Choice:
    """A strategy, how many members it takes at a time, whether XLA compiles it, and why."""

    strategy: str
    slots: int
    xla: bool
    reason: str


def choose(strategy: str, models: Sequence[keras.Model], schedule: Schedule, memory_limit: int | None = None) -> Choice:
    """Choose for these untrained members.

    Args:
        strategy: One of `STRATEGIES`; "auto" leaves the choice to this function.
        models: The members.
        schedule: What they are trained on.
        memory_limit: Bytes; by default half of what is free.

    Raises:
        InputError: The strategy cannot train these members, or not even one fits in memory.
    """
    check_known("strategy", strategy, STRATEGIES)
    at_once = _fitting(models, schedule, memory_limit)
    if isinstance(schedule.train, Stream) or schedule.stepwise:
        what = "data that are streamed" if isinstance(schedule.train, Stream) else "callbacks that are called each step"
        if strategy not in ("auto", "looped"):
            raise InputError(f'{what} need a step-by-step loop; give strategy="looped"')
        return Choice("looped", 1, False, f"{what} need a step-by-step loop")
    obstacle = why_not_stacked(models)
    xla = all(_compiles_well(layer) for layer in models[0]._flatten_layers())
    if strategy == "stacked" and obstacle:
        raise InputError(f'strategy="stacked" cannot train these members: {obstacle}; use "unrolled"')
    if strategy == "auto":
        seconds = _seconds_alone(models, schedule)
        together = "stacked" if obstacle is None and xla else "unrolled"
        if len(models) == 1 or at_once == 1:
            why = "there is one member" if len(models) == 1 else "memory holds one member at a time"
            strategy, reason = "looped", why
        elif seconds < _SHORT[together]:
            strategy, reason = "looped", f"about {seconds:.1f} s of steps do not repay compiling a larger program"
        elif together == "stacked":
            strategy, reason = "stacked", f"all layers vectorise well, and {seconds:.0f} s of steps repay compiling"
        else:
            strategy, reason = "unrolled", obstacle or "XLA does not compile all layers well when they are vectorised"
    else:
        reason = "as asked for"
    slots = 1
    if strategy == "stacked":
        slots = _quickest_group(models, schedule.batch_size, at_once)
    elif strategy == "unrolled":
        slots = _even(len(models), min(at_once, AT_ONCE))
    return Choice(strategy, slots, strategy == "stacked" and xla, reason)


def why_not_stacked(models: Sequence[keras.Model]) -> str | None:
    """Return why these models cannot share one vectorised program, or None if they can."""
    first = models[0]
    shapes = {str(getattr(model, "input_shape", None)) for model in models}
    if len(shapes) > 1:
        return f"their input shapes differ ({', '.join(sorted(shapes))})"
    structures = [*dict.fromkeys(map(structure, models))]
    if len(structures) > 1:
        return f"the builder's architecture differs from call to call: {difference(*structures[:2])}"
    for method in ("train_step", "test_step"):
        if getattr(type(first), method) is not getattr(keras.Model, method):
            return f"{type(first).__name__} has a {method} of its own"
    optimizer = first.optimizer
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return "its optimizer scales the loss (float16)"
    if any(one.gradient_accumulation_steps or one.use_ema for one in [optimizer, *inner_optimizers(optimizer)]):
        return "its optimizer accumulates gradients or averages weights"
    return None


def _compiles_well(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, keras.Model) or type(layer) in (*GOOD_FOR_XLA, ClassicDropout)


def _state_bytes(model: keras.Model) -> int:
    return max(
        1,
        sum(v.value.dtype.size * v.value.shape.num_elements() for v in [*model.variables, *model.optimizer.variables]),
    )


def _fitting(models: Sequence[keras.Model], schedule: Schedule, memory_limit: int | None) -> int:
    """Return how many members fit in memory at once."""
    limit = psutil.virtual_memory().available // 2 if memory_limit is None else memory_limit
    largest = max(_state_bytes(model) for model in models)
    needed = 4 * largest + _activation_bytes(models[0], schedule.batch_size) + _order_bytes(schedule)
    if needed > limit:
        raise InputError(
            f"memory_limit must hold at least one member, about {needed:,} bytes with its gradients and a batch's "
            f"activations, got {limit:,}; lower batch_size, or give more"
        )
    return int(limit // needed)


def _order_bytes(schedule: Schedule) -> int:
    """Return what a member's own places and labels take, and its order of an epoch."""
    return 0 if isinstance(schedule.train, Stream) else 4 * 4 * schedule.examples


def _activation_bytes(model: keras.Model, batch_size: int) -> int:
    """Return about what a step of one member keeps for the backward pass, and once more for the gradients."""
    outputs = [getattr(layer, "output", None) for layer in getattr(model, "layers", [])]
    shapes = [output.shape[1:] for output in outputs if output is not None and hasattr(output, "shape")]
    units = sum(_size(shape) for shape in shapes)
    return 2 * 4 * batch_size * units


def _size(shape: Sequence[int | None]) -> int:
    size = 1
    for length in shape:
        size *= length or 1
    return size


def _quickest_group(models: Sequence[keras.Model], batch_size: int, at_once: int) -> int:
    """Return how many stacked members at a time are quickest in all: few rounds, no empty slots, small state."""
    state, alone = _state_bytes(models[0]), _product_seconds(models[0], batch_size)

    def seconds(group: int) -> float:
        rounds = -(-len(models) // group)
        return rounds * (_STEP_SECONDS + group * alone * (1.0 if group * state <= _CACHE else _SLOWED))

    candidates = range(min(2, len(models)), min(at_once, len(models)) + 1)
    return min(candidates, key=seconds, default=1)


def _seconds_alone(models: Sequence[keras.Model], schedule: Schedule) -> float:
    """Return about how long all members' steps take one after the other."""
    epochs, steps = schedule.epochs - schedule.initial_epoch, -(-schedule.examples // schedule.batch_size)
    each = [2 * _STEP_SECONDS + _product_seconds(model, schedule.batch_size) for model in models]
    return epochs * sum(_EPOCH_SECONDS + steps * seconds for seconds in each)


def _product_seconds(model: keras.Model, batch_size: int) -> float:
    """Return about how long the products of a step take: those of a prediction, and twice as many for the gradients."""
    return 6.0 * rough_multiply_adds(model) * batch_size / _SPEED


def _even(members: int, at_once: int) -> int:
    """Return the size of groups as even as can be: 12 members, 10 at once, are two groups of 6."""
    at_once = max(1, min(members, at_once))
    groups = -(-members // at_once)
    return -(-members // groups)
