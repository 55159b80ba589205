"""What a model is but for its weights, as a string: models whose strings are equal compute alike.

Keras' configurations are the most of it. They leave out what a closure or a partial stands on, what layers were adapted
to, and whatever a layer of the user's own does not tell; that is looked up in the layers themselves.
"""

import functools
import hashlib
import json
import re
import types
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ensemble_vs_dropout.models.backend import keras, tf
from ensemble_vs_dropout.models.graphs import graph_of, nodes

_DEPTH = 6  # of what is looked up in what a layer holds
_PARTS = "parts"  # the first of which is the network itself, which tells best what it has more of
_REMEMBERED: ContextVar[dict[tuple[str, int], tuple[Any, Any]] | None] = ContextVar("remembered", default=None)


@contextmanager
def unchanging() -> Iterator[None]:
    """Describe each model once inside, where nothing changes a model but for its variables."""
    known = _REMEMBERED.get()
    before = _REMEMBERED.set({} if known is None else known)
    try:
        yield
    finally:
        _REMEMBERED.reset(before)


def remembered(what: str, model: keras.Model, describe: Callable[[keras.Model], Any]) -> Any:
    """Return what describes a model in this way, made once where models are `unchanging`.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> with unchanging():
        ...     remembered("name", model, lambda model: "one"), remembered("name", model, lambda model: "two")
        ('one', 'one')
    """
    known = _REMEMBERED.get()
    if known is None:
        return describe(model)
    owner, described = known.get((what, id(model)), (None, None))
    if owner is None or owner() is not model:  # another model may have got the id of one that is gone
        described = describe(model)
        known[what, id(model)] = weakref.ref(model), described
    return described


def difference(one: str, other: str) -> str:
    """Return in words the first thing in which two architectures differ.

    Example:
        >>> models = [keras.Sequential([keras.Input((2,)), keras.layers.Dense(units)]) for units in (1, 3)]
        >>> for model in models:
        ...     model.compile("sgd", "mse")
        >>> difference(*map(architecture, models))
        'units of Dense (1 and 3)'
    """
    return _difference(json.loads(one), json.loads(other), "the network", _PARTS)


def _difference(one: Any, other: Any, owner: str, name: str) -> str:
    if isinstance(one, dict) and isinstance(other, dict):
        kinds = one.get("class_name"), other.get("class_name")
        if kinds[0] != kinds[1]:
            return f"{kinds[0]} in the place of {kinds[1]}"
        keys = sorted({*one, *other}, key=lambda key: (key != "config", key))
        key = next(key for key in keys if one.get(key) != other.get(key))
        return _difference(one.get(key), other.get(key), kinds[0] or owner, key)
    if isinstance(one, list) and isinstance(other, list):
        pairs = (pair for pair in zip(one, other, strict=False) if pair[0] != pair[1])
        pair = next(pairs, None) if len(one) == len(other) or name == _PARTS else None
        if pair is None:
            return f"{name} of {owner} ({len(one)} and {len(other)} of them)"
        return _difference(*pair, owner, name)
    digests = all(isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) for value in (one, other))
    return f"{name} of {owner}" if digests else f"{name} of {owner} ({one} and {other})"


def architecture(model: keras.Model, lasting: bool = False) -> str:
    """Return all of a model but its weights; names are numbered, for Keras counts them on.

    Args:
        model: Any Keras model.
        lasting: Leave out what is another in each process, such as an object that tells nothing of itself.
    """
    layers = model._flatten_layers()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras' of lambdas that could not be loaded: nothing is loaded from this
        described, compiled = [*map(_described, layers)], _compiled(model, _Values(lasting))
        further = [_further(layer, told, lasting) for layer, told in zip(layers, described, strict=True)]
    shapes = [tuple(variable.shape) for variable in model.weights]
    optimizer = getattr(model, "optimizer", None)  # a model that only predicts may have none
    operations = [*layers, *getattr(model, "operations", []), *([] if optimizer is None else [optimizer])]
    operations += inner_optimizers(optimizer)
    numbers = {name: f"#{i}" for i, name in enumerate(dict.fromkeys(operation.name for operation in operations))}
    odd = _unusual(model, layers, _Values(lasting))
    everything = [described, shapes, compiled, *([further] if any(further) else []), *([odd] if odd else [])]
    return json.dumps(_numbered(everything, numbers), sort_keys=True, default=str)


def _unusual(model: keras.Model, layers: Sequence[keras.layers.Layer], values: "_Values") -> list[Any]:
    """Return what variables hold, and an optimizer knows of them, that neither layers nor configurations tell."""
    found: list[Any] = []
    for layer in layers:
        for variable in () if isinstance(layer, keras.Model) else layer._trainable_variables:
            held = [variable.regularizer, variable.constraint]
            own = [one for one in held if one is not None and not any(one is value for value in vars(layer).values())]
            if own or variable.trainable != layer.trainable:
                found.append([variable.name, variable.trainable, *map(values, own)])
    optimizer = getattr(model, "optimizer", None)
    excluded = getattr(optimizer, "_exclude_from_weight_decay", None) or set()
    pattern = getattr(optimizer, "_exclude_from_weight_decay_pattern", None)
    if excluded or pattern:
        ids = {getattr(optimizer, "_var_key", id)(variable): place for place, variable in enumerate(model.variables)}
        found.append([sorted(ids.get(key, -1) for key in excluded), getattr(pattern, "pattern", "")])
    return found


def inner_optimizers(optimizer: keras.optimizers.Optimizer | None) -> list[keras.optimizers.Optimizer]:
    """Return the optimizers that one hands its work to."""
    inner = getattr(optimizer, "inner_optimizer", None)
    return list(getattr(optimizer, "optimizers", [])) if inner is None else [inner]


def _numbered(value: Any, numbers: Mapping[str, str], naming: bool = False) -> Any:
    """Replace names by their numbers where Keras' configurations hold names."""
    if isinstance(value, Mapping):
        keys = ("name", "keras_history", "input_layers", "output_layers")
        return {key: _numbered(inner, numbers, key in keys) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_numbered(inner, numbers, naming) for inner in value]
    return numbers.get(value, value) if naming and isinstance(value, str) else value


def _described(layer: keras.layers.Layer) -> Any:
    try:
        return keras.saving.serialize_keras_object(layer)
    except Exception:  # a layer of the user's own may not say how it is made, or may fail at it
        return {"module": "undescribed", "class_name": f"{type(layer).__module__}.{type(layer).__qualname__}"}


def _compiled(model: keras.Model, values: "_Values") -> Any:
    if not getattr(model, "compiled", False):
        return None
    try:
        return model.get_compile_config()
    except Exception:  # a loss, metric or optimizer of the user's own
        return {"module": "undescribed", "class_name": "compiled", "with": values(dict(model._compile_config.config))}


def _further(layer: keras.layers.Layer, described: Any, lasting: bool) -> list[Any]:
    """Return what a layer computes with and its configuration does not tell."""
    values = _Values(lasting)
    own = {key: value for key, value in vars(layer).items() if key not in _BASE and not key.startswith("_self_")}
    foreign = isinstance(described, Mapping) and described.get("module") == "undescribed"
    if not lasting:
        foreign = foreign or not _of_keras(type(layer).__module__)
    if foreign:
        found = [(key, values(value)) for key, value in own.items()]
        found += [(type(layer).__qualname__, [*_of_class(type(layer), values)])]
        found += [("graph", [*_wiring(layer, values)])]
    else:
        found = [(key, values(value)) for key, value in own.items() if own_function(value)]
    return [*found, *_state(layer)]


def _of_class(kind: type[Any], values: "_Values") -> Iterator[Any]:
    """Yield the methods of a class that was made inside a function, whose variables they may stand on."""
    for one in kind.__mro__:
        if "<locals>" in one.__qualname__:
            yield from (values(value) for value in vars(one).values() if isinstance(value, types.FunctionType))


def _wiring(model: keras.layers.Layer, values: "_Values") -> Iterator[Any]:
    graph = graph_of(model)
    if graph is None:
        return
    made = {id(tensor): f"input {place}" for place, tensor in enumerate(graph.inputs)}
    for number, node in enumerate(nodes(graph)):
        args = [made.get(id(value)) or values(value) for value in keras.tree.flatten(node.arguments.args)]
        named = keras.tree.flatten(dict(node.arguments.kwargs))
        yield [type(node.operation).__name__, args, [made.get(id(value)) or values(value) for value in named]]
        if not isinstance(node.operation, keras.layers.Layer):  # what it was made with
            held = {key: value for key, value in vars(node.operation).items() if not key.startswith("_")}
            yield values({key: value for key, value in held.items() if key != "name"})
        made |= {id(tensor): f"{number} {place}" for place, tensor in enumerate(node.outputs)}
    yield [made[id(tensor)] for tensor in graph.outputs]


def _state(layer: keras.layers.Layer) -> Iterator[dict[str, str]]:
    """Yield the digest of what a layer was adapted to: without variables what it holds besides, else those.

    A layer with variables that finalizes its state computes with constants that it made of them.
    """
    if layer.variables and hasattr(layer, "finalize_state"):
        yield _adapted_to(layer, (np.ascontiguousarray(weight).tobytes() for weight in layer.get_weights()))
    if layer.variables or isinstance(layer, keras.Model):
        return
    try:
        store: dict[str, Any] = {}
        layer.save_own_variables(store)
        if hasattr(layer, "save_assets"):
            with TemporaryDirectory() as folder:
                layer.save_assets(folder)
                store |= {path.name: path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file()}
        if hasattr(layer, "get_vocabulary"):  # a file of words does not tell where one with a line end in it ends
            store["vocabulary"] = json.dumps([str(word) for word in layer.get_vocabulary()]).encode()
    except Exception:  # a layer that was not adapted yet, or one of the user's own that fails at it
        return
    if store:
        parts = (value if isinstance(value, bytes) else np.asarray(value).tobytes() for value in store.values())
        yield _adapted_to(layer, parts)


def _adapted_to(layer: keras.layers.Layer, parts: Iterable[bytes]) -> dict[str, str]:
    return {"module": "keras", "class_name": type(layer).__name__, "adapted state": _digest(parts)}


class _Values:
    """Describes what a layer holds."""

    def __init__(self, lasting: bool):
        self._lasting = lasting

    def __call__(self, value: Any, depth: int = 0) -> Any:
        """Return something that JSON can hold, and that is equal for values with which the same is computed."""
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        if isinstance(value, (keras.Variable, tf.Variable)):
            return ["variable", list(value.shape), str(value.dtype)]
        if isinstance(value, (np.ndarray, np.generic)) or (tf.is_tensor(value) and hasattr(value, "numpy")):
            array = np.asarray(value)
            content = repr(array.tolist()).encode() if array.dtype == object else array.tobytes()
            return [str(array.dtype), list(array.shape), _digest([content])]
        if isinstance(value, keras.random.SeedGenerator):
            return ["seed", self(value._initial_seed, depth + 1)]
        if isinstance(value, (keras.Operation, keras.KerasTensor)) or depth == _DEPTH:
            return type(value).__qualname__
        if isinstance(value, Mapping):
            return {str(key): self(inner, depth + 1) for key, inner in value.items()}
        if isinstance(value, (list, tuple)):
            return [self(inner, depth + 1) for inner in value]
        if isinstance(value, (set, frozenset)):
            return sorted(json.dumps(self(inner, depth + 1)) for inner in value)
        if isinstance(value, types.FunctionType):
            return self._function(value, depth)
        if isinstance(value, types.MethodType):
            return [self(value.__func__, depth + 1), self(value.__self__, depth + 1)]
        if isinstance(value, functools.partial):
            return [self(part, depth + 1) for part in (value.func, value.args, value.keywords)]
        if isinstance(value, (type, types.BuiltinFunctionType, np.ufunc)):
            return f"{value.__module__ if hasattr(value, '__module__') else ''}.{value.__name__}"
        try:
            return json.dumps(keras.saving.serialize_keras_object(value), sort_keys=True)
        except Exception:  # an object that tells nothing of itself
            held = getattr(value, "__dict__", {})
            name = f"{type(value).__module__}.{type(value).__qualname__}"
            return [name, self(held, depth + 1), *([] if self._lasting or held else [id(value)])]

    def _function(self, function: types.FunctionType, depth: int) -> Any:
        name = f"{function.__module__}.{function.__qualname__}"
        if _of_keras(function.__module__) and not function.__closure__:
            return name
        known = {key: function.__globals__[key] for key in function.__code__.co_names if key in function.__globals__}
        plain = {key: value for key, value in known.items() if isinstance(value, (bool, int, float, str))}
        cells = [cell.cell_contents for cell in function.__closure__ or () if _filled(cell)]
        held = [self(part, depth + 1) for part in (cells, function.__defaults__, function.__kwdefaults__, plain)]
        return [name, _digest(_code(function.__code__)), *held]


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _code(code: types.CodeType) -> Iterator[bytes]:
    yield code.co_code
    yield repr(code.co_names).encode()
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _code(constant)
        else:
            yield repr(sorted(map(repr, constant)) if isinstance(constant, frozenset) else constant).encode()


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _of_keras(module: str) -> bool:
    return module.partition(".")[0] in ("keras", "ensemble_vs_dropout")


def has_no_own_code(model: keras.Model) -> bool:
    """Return whether nothing but Keras' own code makes a model compute and learn, so that `architecture` tells it all.

    Example:
        >>> models = [keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]) for _ in range(2)]
        >>> for model, loss in zip(models, ("mse", lambda y, outputs: outputs)):
        ...     model.compile("sgd", loss)
        >>> [has_no_own_code(model) for model in models]
        [True, False]
    """
    text = architecture(model, lasting=True)
    modules = re.findall(r'\bmodule\\*": \\*"?([^"\\,}]*)', text)  # null where Keras knows none; in strings too
    quoted = text.replace("\\", "")
    registered = (
        str(getattr(one, "__module__", ""))
        for name, one in keras.saving.get_custom_objects().items()
        if f'"{name}"' in quoted  # others are registered for other networks
    )
    held = any(has_own_functions(layer) for layer in model._flatten_layers())
    return all(map(_of_keras, [*modules, *registered])) and "__lambda__" not in text and not held


def has_own_functions(operation: Any) -> bool:
    """Return whether a layer or an operation holds a function of the user's own, as an activation, say.

    Example:
        >>> from statistics import mean
        >>> has_own_functions(keras.layers.Dense(2, "relu")), has_own_functions(keras.layers.Dense(2, mean))
        (False, True)
    """
    held = (value for key, value in vars(operation).items() if key not in _BASE)
    return any(own_function(value) and not _of_keras(_module(value)) for value in held)


def _module(function: Any) -> str:
    """Return where a function is from, or that which a method or a partial stands for."""
    while isinstance(function, (functools.partial, types.MethodType)):
        function = function.func if isinstance(function, functools.partial) else function.__func__
    return str(getattr(function, "__module__", None) or "")


def own_function(value: Any) -> bool:
    """Return whether a value is a function of the user's own, of which Keras writes down no more than a name."""
    if getattr(value, "of_trunk", False):  # what stands for a model's call while its trunk is computed once
        return False
    if isinstance(value, (functools.partial, types.MethodType)):
        return True
    if not isinstance(value, types.FunctionType) or (_of_keras(value.__module__) and not value.__closure__):
        return False
    return keras.saving.get_registered_name(value) == value.__name__  # else it is registered


def _plain_models() -> Iterator[keras.layers.Layer]:
    """Yield one of each kind of Keras' own; what every one of its kind has is told otherwise, such as by the graph."""
    yield keras.layers.Layer(name="base")
    yield keras.Model(name="base")
    inputs, layer = keras.Input((1,), name="input"), keras.layers.Identity(name="base")
    yield keras.Model(inputs, layer(inputs), name="base")
    yield keras.Sequential([inputs, layer], name="base")


_BASE = {
    *(key for model in _plain_models() for key in vars(model)), "_compile_config",
    "_compiled_trainable_state", "_distribute_strategy", "_eval_epoch_iterator", "history", "optimizer",
    "predict_function", "stop_evaluating", "stop_predicting", "stop_training", "test_function", "train_function",
    "unrolled_steps_per_execution",
}  # fmt: skip
