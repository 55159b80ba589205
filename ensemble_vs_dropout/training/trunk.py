"""A trunk that training leaves as it is, computed once for all members, epochs and batches.

What a network computes before the first layer that learns or draws is the same in every epoch, and for members whose
frozen weights are the same: a pre-trained network below a new head, or the reading of text. Inside `computed_once` the
models take what their trunks give in place of their inputs; all else of them stays as it is, variables above all.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil

from ensemble_vs_dropout.files import digest_of_arrays
from ensemble_vs_dropout.models.architecture import has_own_functions, own_function
from ensemble_vs_dropout.models.backend import Functional, keras, tf
from ensemble_vs_dropout.models.calling import as_tensors
from ensemble_vs_dropout.models.graphs import graph_of, nodes
from ensemble_vs_dropout.models.layers import COSTLY, FIXED
from ensemble_vs_dropout.models.programs import told_in_a_sentence
from ensemble_vs_dropout.training.numbers import structure
from ensemble_vs_dropout.training.schedule import Part, Schedule
from ensemble_vs_dropout.training.streams import Stream
from ensemble_vs_dropout.types.inputs import table

_AT_ONCE = 256  # examples that go through a trunk together
_COMPARED = 8  # examples that go through it in two ways first
_KEPT = ("float32", "int32", "int64", "uint8", "bool")  # dtypes of features that are kept
_PATCHED = ("call", "_assert_input_compatibility", "_convert_input_args")
_BEFORE: dict[int, dict[str, Any]] = {}  # what models that are cut had of these themselves, by their ids
_OWN = ("train_step", "test_step", "compute_loss", "compute_metrics", "call")


@dataclass(frozen=True)
class Trunk:
    """Where the graph of a model is cut.

    Attributes:
        cut: The tensors that the rest is computed from, among them inputs that the trunk does not read.
        rest: The nodes that come after.
        fixed: How many come before.
        layers: Those before, whose weights must be the same for all members.
    """

    cut: tuple[Any, ...]
    rest: tuple[Any, ...]
    fixed: int
    layers: tuple[keras.layers.Layer, ...]

    @property
    def bytes(self) -> int:
        """What it gives for one example."""
        return int(sum(np.prod(tensor.shape[1:]) * tf.as_dtype(tensor.dtype).size for tensor in self.cut))


def find_trunk(model: keras.Model) -> Trunk | None:
    """Return the trunk of a model, or None where there is none that is worth it.

    Example:
        >>> frozen = keras.layers.Dense(4, trainable=False)
        >>> model = keras.Sequential([keras.Input((8,)), frozen, keras.layers.Dropout(0.5), keras.layers.Dense(2)])
        >>> model.compile("sgd", "mse")
        >>> trunk = find_trunk(model)
        >>> trunk.fixed, len(trunk.rest), trunk.bytes
        (1, 2, 16)
    """
    graph = graph_of(model)
    own = any(name in vars(model) or getattr(type(model), name) not in _usual(name) for name in _OWN)
    if graph is None or own or model.compute_dtype != "float32" or _looks_on(model):
        return None
    known = {id(tensor): tensor for tensor in graph.inputs}
    fixed, rest = [], []
    for node in nodes(graph):
        if _is_fixed(node) and all(id(tensor) in known for tensor in node.input_tensors):
            fixed.append(node)
            known |= {id(tensor): tensor for tensor in node.outputs}
        else:
            rest.append(node)
    within = [node.operation for node in fixed if isinstance(node.operation, keras.layers.Layer)]
    layers = [layer for operation in within for layer in _all(operation)]
    needed = {id(tensor): tensor for node in rest for tensor in node.input_tensors if id(tensor) in known}
    sound = all(None not in tensor.shape[1:] and tensor.dtype in _KEPT for tensor in needed.values())
    ends_there = any(id(tensor) in known for tensor in graph.outputs)
    if not any(isinstance(layer, COSTLY) for layer in layers) or not sound or ends_there:
        return None
    return Trunk(tuple(needed.values()), tuple(rest), len(fixed), tuple(layers))


def _usual(name: str) -> list[Any]:
    """Return what a method is where the user has none of that name."""
    return [getattr(kind, name) for kind in (keras.Model, keras.Sequential, Functional)]


def _looks_on(model: keras.Model) -> bool:
    """Return whether a loss or a metric is of the user's own, and so may call the model itself."""
    config = model._compile_config.config if getattr(model, "_compile_config", None) else {}
    held = keras.tree.flatten([config.get(name) for name in ("loss", "metrics", "weighted_metrics")])
    modules = (getattr(one, "__module__", None) or type(one).__module__ for one in held)
    wrapped = (getattr(one, name, None) for one in held for name in ("fn", "_fn"))
    return not all(module.startswith(("keras.", "builtins")) for module in modules) or any(map(own_function, wrapped))


def _is_fixed(node: Any) -> bool:
    """Return whether a node computes the same in training as in inference mode, whatever is learned."""
    operation = node.operation
    given = keras.tree.flatten([node.arguments.args, node.arguments.kwargs])
    if any(isinstance(value, (keras.Variable, tf.Variable)) for value in given):
        return False
    graph = graph_of(operation)
    if graph is not None:
        return all(map(_is_fixed, nodes(graph)))
    if has_own_functions(operation):
        return False
    of_keras = type(operation).__module__.startswith("keras.")
    return _is_still(operation) if isinstance(operation, keras.layers.Layer) else of_keras


def _is_still(layer: keras.layers.Layer) -> bool:
    masking = getattr(layer, "mask_zero", False)  # a mask goes with a tensor, and would be lost
    learns = bool(layer.trainable_variables) or (isinstance(layer, keras.layers.BatchNormalization) and layer.trainable)
    return type(layer) in FIXED and not (masking or learns or layer.losses or layer.activity_regularizer)


def _all(layer: keras.layers.Layer) -> Iterator[keras.layers.Layer]:
    """Yield a layer, and all inside a model; what a layer holds is its own affair."""
    yield layer
    for inner in layer.layers if isinstance(layer, keras.Model) else ():
        yield from _all(inner)


@contextmanager
def computed_once(
    models: Sequence[keras.Model],
    schedule: Schedule,
    say: Callable[[str], None],
    clock: Callable[[], float],
    limit: int | None = None,
) -> Iterator[Schedule]:
    """Let models take what their trunks give, and yield the schedule with that in place of their inputs.

    Args:
        models: Of one architecture, untrained.
        schedule: What they are fitted to; nothing is changed where it is streamed or has callbacks, which may look at
            the model, or where the models have no trunk, or different ones.
        say: Told in a sentence what is computed once.
        clock: Gives seconds.
        limit: Bytes that what the trunks give may take, as arrays and as tensors; by default half of what is free.
    """
    trunks = _trunks(models, schedule, limit)
    start = clock()
    parts = {id(part): part for part in (schedule.train, *schedule.watched.values()) if isinstance(part, Part)}
    features: dict[int, Part] = {}
    for key, part in parts.items() if trunks else ():
        x = _features(models[0], trunks[0], part.x)
        if x is None:
            trunks = []
            break
        features[key] = part._replace(x=x)
    if not trunks:
        yield schedule
        return
    seconds, size = clock() - start, sum(part.x.nbytes for part in features.values())
    epochs = (schedule.epochs - schedule.initial_epoch) * len(models)
    say(
        f"{trunks[0].fixed} of {trunks[0].fixed + len(trunks[0].rest)} operations of {models[0].name!r} do not learn: "
        f"computed once, in {seconds:.1f} s ({size / 1e6:.0f} MB), which saves up to {seconds * (epochs - 1):.0f} s"
    )
    with _cut(models, trunks):
        watched = {name: features[id(part)] for name, part in schedule.watched.items()}
        yield replace(schedule, train=features[id(schedule.train)], watched=watched)


def _trunks(models: Sequence[keras.Model], schedule: Schedule, limit: int | None) -> list[Trunk]:
    """Return the trunk of each model, or none."""
    if isinstance(schedule.train, Stream) or schedule.callbacks or not models:
        return []
    trunks: list[Trunk] = []
    for model in models:
        trunk = find_trunk(model)
        if trunk is None or (trunks and (trunk.fixed, trunk.bytes) != (trunks[0].fixed, trunks[0].bytes)):
            return []
        trunks.append(trunk)
    if len({structure(model) for model in models}) > 1:  # of constants, settings and vocabularies, too
        return []
    digests = {digest_of_arrays(weight for layer in trunk.layers for weight in _weights(layer)) for trunk in trunks}
    examples = sum(len(part.x) for part in (schedule.train, *schedule.watched.values()))
    allowed = psutil.virtual_memory().available // 2 if limit is None else limit
    fits = 2 * examples * trunks[0].bytes <= allowed  # as arrays, and as tensors
    return trunks if len(digests) == 1 and fits else []


def _weights(layer: keras.layers.Layer) -> list[npt.NDArray[Any]]:
    return [] if isinstance(layer, keras.Model) else layer.get_weights()


def _features(model: keras.Model, trunk: Trunk, x: npt.NDArray[np.generic]) -> npt.NDArray[np.generic] | None:
    """Return what a trunk gives, a field for each tensor if there are several; None if it mixes examples."""
    graph = graph_of(model)
    after = {id(node) for node in trunk.rest}
    before = [node for node in nodes(graph) if id(node) not in after]

    def given(inputs: Any) -> list[Any]:
        values = dict(zip(map(id, graph.inputs), graph._standardize_inputs(inputs), strict=True))
        with keras.StatelessScope():
            values = _run(before, values, training=False)
        return [values[id(tensor)] for tensor in trunk.cut]

    compiled = tf.function(given, reduce_retracing=True, autograph=False)

    def of(part: npt.NDArray[np.generic]) -> list[npt.NDArray[Any]]:
        return [np.asarray(value) for value in compiled(as_tensors(part))]

    some = x[:_COMPARED]
    try:
        with told_in_a_sentence(model):
            whole, halves = of(some), [of(some[: len(some) // 2]), of(some[len(some) // 2 :])] if len(some) > 1 else []
    except (tf.errors.InvalidArgumentError, ValueError):  # what folds examples together may not take fewer
        return None
    for place, values in enumerate(whole):
        parts = [half[place] for half in halves] or [values]
        if sum(map(len, parts)) != len(some) or values.shape != (len(some), *trunk.cut[place].shape[1:]):
            return None
        if not np.allclose(np.concatenate(parts), values, rtol=1e-4, atol=1e-5):
            return None
    with told_in_a_sentence(model):
        found = [of(x[start : start + _AT_ONCE]) for start in range(0, len(x), _AT_ONCE)]
    columns = {f"[{place}]": np.concatenate(parts) for place, parts in enumerate(zip(*found, strict=True))}
    return table(columns) if len(columns) > 1 else columns["[0]"]


def _run(some: Sequence[Any], values: dict[int, Any], training: bool | None) -> dict[int, Any]:
    """Go through nodes of a graph, as a functional model does when it is called."""
    for node in some:
        args, kwargs = node.arguments.fill_in(values)
        if training is not None and getattr(node.operation, "_call_has_training_arg", False):
            kwargs = {**kwargs, "training": training}
        outputs = keras.tree.flatten(node.operation(*args, **kwargs))
        values |= dict(zip(map(id, node.outputs), outputs, strict=True))
    return values


@contextmanager
def _cut(models: Sequence[keras.Model], trunks: Sequence[Trunk]) -> Iterator[None]:
    """Let models be called with what their trunks give."""
    try:
        for model, trunk in zip(models, trunks, strict=True):
            patches = dict(zip(_PATCHED, (_rest_of(model, trunk), _takes_anything, False), strict=True))
            _BEFORE[id(model)] = {name: vars(model)[name] for name in _PATCHED if name in vars(model)}
            vars(model).update(patches)
        yield
    finally:
        for model in models:
            if id(model) in _BEFORE:
                _put_back(model, _BEFORE.pop(id(model)))


@contextmanager
def as_they_are(models: Sequence[keras.Model]) -> Iterator[None]:
    """Let models be called with their own inputs inside, as by a function of the user's own that looks on."""
    cut = [(model, {name: vars(model)[name] for name in _PATCHED}) for model in models if id(model) in _BEFORE]
    for model, _ in cut:
        _put_back(model, _BEFORE[id(model)])
    try:
        yield
    finally:
        for model, patches in cut:
            vars(model).update(patches)


def _put_back(model: keras.Model, before: Mapping[str, Any]) -> None:
    for name in _PATCHED:
        vars(model).pop(name, None)
    vars(model).update(before)


def _takes_anything(*_: Any) -> None:
    """Check no input."""


def _rest_of(model: keras.Model, trunk: Trunk) -> Callable[..., Any]:
    graph = graph_of(model)

    def call(inputs: Any, training: bool | None = None, mask: Any = None, **_: Any) -> Any:
        values = _run(trunk.rest, dict(zip(map(id, trunk.cut), keras.tree.flatten(inputs), strict=True)), training)
        outputs = keras.tree.map_structure(lambda tensor: values[id(tensor)], graph._outputs_struct)
        return outputs[0] if isinstance(outputs, (list, tuple)) and len(outputs) == 1 else outputs  # as Keras does

    call.of_trunk = True  # type: ignore[attr-defined]  # a description of the model leaves it out
    return call
