"""Copies of Keras models: the same computation on variables of their own.

A copy is made of the layers themselves, not of their configurations. A configuration leaves out what was adapted to
data (vocabularies, bin boundaries), and cannot say what a lambda, a closure or a layer of one's own does.
"""

import functools
import inspect
import types
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.models.backend import Functional, keras, tf
from ensemble_vs_dropout.models.calling import as_tensors, input_of
from ensemble_vs_dropout.models.graphs import graph_of, times_used
from ensemble_vs_dropout.models.heads import declare, declared
from ensemble_vs_dropout.types.inputs import by_place, table

# What a layer holds that belongs to it as an object: its nodes, its lists of variables, TensorFlow's own books.
_OF_THE_OBJECT = {
    "_tracker", "_trainable_variables", "_non_trainable_variables", "_layers", "_metrics", "_seed_generators",
    "_inbound_nodes", "_outbound_nodes", "build", "quantize", "_losses", "_loss_ids", "_losses_override", "_tracked",
    "_saved_model_inputs_spec", "_saved_model_arg_spec",
}  # fmt: skip
# What compiling and training leave in a model.
_OF_TRAINING = {
    "_compile_config", "_compile_loss", "_compile_metrics", "_compiled_trainable_state", "_distribute_strategy",
    "_eval_epoch_iterator", "_jit_compile", "_loss_tracker", "_run_eagerly", "compiled", "history", "loss", "optimizer",
    "predict_function", "steps_per_execution", "stop_evaluating", "stop_predicting", "stop_training", "test_function",
    "train_function", "unrolled_steps_per_execution",
}  # fmt: skip
_TRACKED = ("trainable_variables", "non_trainable_variables", "layers", "seed_generators")


def copy_with(
    model: keras.Model,
    concerned: Callable[[keras.layers.Layer], bool],
    replacement: Callable[[keras.layers.Layer], keras.layers.Layer],
    name: str,
    same: bool = True,
) -> keras.Model:
    """Return a copy of a model with other layers in place of some; it is not compiled.

    Args:
        model: Functional or sequential where a layer is to be replaced, and all models around that layer too.
        concerned: Whether a layer is to be replaced.
        replacement: Returns what stands for such a layer.
        name: Of the copy.
        same: Whether the copy has to predict what the model does.

    Raises:
        InputError: A layer to replace in a subclassed model, whose graph cannot be seen, or inside another layer; a
            model that cannot be copied; a copy that computes something else.
    """
    used = times_used(model) if graph_of(model) is not None else {}
    for layer in model._flatten_layers(include_self=False):
        if concerned(layer) and id(layer) not in used:
            check_seen(model)
            raise InputError(
                f"the layer {layer.name!r} ({type(layer).__name__}) acts inside another layer, where no other can be "
                "put in its place"
            )
    copy = _Copying(lambda layer: replacement(layer) if concerned(layer) else None).layer(model)
    copy.name = name
    declare(copy, declared(model))
    _check_own(model, copy)
    if same:
        check_alike(model, copy)
    return copy


def check_seen(model: keras.Model) -> None:
    """Raise `InputError` if the graph of a model, or of one inside it, cannot be seen."""
    for inner in model._flatten_layers():
        if isinstance(inner, keras.Model) and graph_of(inner) is None:
            raise InputError(
                f"the model {inner.name!r} must be functional or sequential to be copied with other layers; a "
                "subclassed one can be predicted with, but its graph cannot be seen"
            )


def compile_like(model: keras.Model, copy: keras.Model) -> None:
    """Compile a copy as its model is, with an optimizer and metrics of its own."""
    if not getattr(model, "compiled", False):
        return

    def own(value: Any) -> Any:
        if not isinstance(value, (keras.optimizers.Optimizer, keras.metrics.Metric)):
            return value
        try:
            return type(value).from_config(value.get_config())
        except Exception as error:  # of the user's own, which may say anything of how it is made
            raise InputError(
                f"the {type(value).__name__} that {model.name!r} is compiled with cannot be made anew for a copy; give "
                f"it a get_config that its from_config takes ({type(error).__name__})"
            ) from error

    copy.compile(**keras.tree.map_structure(own, dict(model._compile_config.config)))


class _Copying:
    """Copies layers, each once, so that what is shared in a model is shared in its copy."""

    def __init__(self, replacement: Callable[[keras.layers.Layer], keras.layers.Layer | None]):
        self._replacement = replacement
        self._made: dict[int, Any] = {}

    def layer(self, one: Any) -> Any:
        """Return the copy of a layer, or of an operation in a graph."""
        if id(one) not in self._made:
            other = self._replacement(one) if isinstance(one, keras.layers.Layer) else None
            if other is not None:
                self._made[id(one)] = other
            elif graph_of(one) is not None:
                self._made[id(one)] = self._graph(one)
            else:
                self._object(one)
        return self._made[id(one)]

    def _graph(self, model: keras.Model) -> keras.Model:
        def fresh(tensor: Any) -> Any:
            sparse = getattr(tensor, "sparse", False)
            return keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor.name, sparse=sparse)

        graph = graph_of(model)
        if isinstance(model, keras.Sequential):
            layers = [self.layer(layer) for layer in model.layers]
            copy = keras.Sequential([fresh(graph.inputs[0]), *layers], name=model.name)
        else:
            inputs = keras.tree.map_structure(fresh, graph._inputs_struct)
            outputs = graph._run_through_graph(inputs, operation_fn=self.layer)
            signatures = [inspect.signature(kind.__init__) for kind in (type(model), Functional)]
            kind = type(model) if signatures[0] == signatures[1] else keras.Model
            copy = kind(inputs, outputs, name=model.name)
        copy._trainable = model._trainable
        return copy

    def _object(self, one: Any) -> None:
        """Make an object of the same class with the same attributes, but with variables and layers of its own."""
        kind: Any = type(one)
        if isinstance(one, (Functional, keras.Sequential)):
            raise InputError(
                f"the model {one.name!r} ({kind.__name__}) is functional or sequential with a call of its own, and "
                "cannot be copied; derive it from keras.Model, with the layers as attributes"
            )
        self._made[id(one)] = copy = kind.__new__(kind)
        if not isinstance(one, keras.layers.Layer):
            vars(copy).update(vars(one) | {"_inbound_nodes": [], "_outbound_nodes": []})
            return
        base = keras.Model if isinstance(one, keras.Model) else keras.layers.Layer
        base.__init__(copy, name=one.name)
        for group in _TRACKED:  # in their order, for that is the order of the weights
            for value in one._tracker.config[group][1]:
                copy._tracker.add_to_store(group, self.value(value))
        left = _OF_THE_OBJECT | (_OF_TRAINING if base is keras.Model else set())
        for key, value in vars(one).items():
            if key not in left and not key.startswith("_self_"):
                setattr(copy, key, self.value(value))
        if one._tracker.locked:
            copy._tracker.lock(one._tracker._lock_violation_msg)

    def value(self, value: Any) -> Any:
        """Return what stands in a copy for what a layer holds: a copy of what has variables, else the same."""
        if id(value) in self._made:
            return self._made[id(value)]
        if isinstance(value, keras.Operation):
            return self.layer(value)
        if isinstance(value, keras.Variable):
            return self._remember(value, _variable(value))
        if isinstance(value, tf.Variable):
            return self._remember(value, tf.Variable(value.numpy(), trainable=value.trainable, dtype=value.dtype))
        if isinstance(value, keras.random.SeedGenerator):
            copy = self._remember(value, object.__new__(type(value)))
            vars(copy).update({key: self.value(inner) for key, inner in vars(value).items()})
            return copy
        if isinstance(value, types.MethodType):
            return types.MethodType(value.__func__, self.value(value.__self__))
        if isinstance(value, types.FunctionType) and value.__closure__:
            return self._function(value)
        if isinstance(value, functools.partial):
            named = {key: self.value(inner) for key, inner in value.keywords.items()}
            return type(value)(self.value(value.func), *map(self.value, value.args), **named)
        if isinstance(value, tuple):
            inner = [self.value(each) for each in value]
            return type(value)(*inner) if hasattr(value, "_fields") else tuple(inner)
        for kind in (list, set, OrderedDict, dict):
            if isinstance(value, kind) and (type(value) is kind or type(value).__name__.startswith("Tracked")):
                return kind(map(self.value, value.items() if isinstance(value, dict) else value))
        return value

    def _function(self, function: types.FunctionType) -> types.FunctionType:
        """Return a function that stands on the copies of what this one stands on, such as the layer that holds it."""
        cells = [types.CellType() for _ in function.__closure__ or ()]
        copy = types.FunctionType(
            function.__code__, function.__globals__, function.__name__, function.__defaults__, tuple(cells)
        )
        self._remember(function, functools.update_wrapper(copy, function))  # first, for it may hold itself
        copy.__kwdefaults__ = function.__kwdefaults__
        same = True
        for cell, held in zip(cells, function.__closure__ or (), strict=True):
            try:
                cell.cell_contents = self.value(held.cell_contents)
                same = same and cell.cell_contents is held.cell_contents
            except ValueError:  # a name that has no value yet
                continue
        return self._remember(function, function) if same else copy

    def _remember(self, value: Any, copy: Any) -> Any:
        self._made[id(value)] = copy
        return copy


def _variable(value: keras.Variable) -> keras.Variable:
    copy = keras.Variable(
        value.numpy().copy(),
        dtype=value.dtype,
        trainable=value.trainable,
        autocast=value._autocast,
        aggregation=value.aggregation,
        synchronization=value.synchronization,
        name=value.name,
    )
    copy.regularizer, copy.constraint, copy._path = value.regularizer, value.constraint, value._path
    copy.overwrite_with_gradient = value.overwrite_with_gradient
    return copy


def _check_own(model: keras.Model, copy: keras.Model) -> None:
    """Raise `InputError` if a copy computes with the model's variables, so that it would change as the model does."""
    if not any(map(_has_own_code, model._flatten_layers())):
        return
    function = tf.function(lambda x: _called(copy, x), autograph=False)
    with keras.StatelessScope():  # as in predicting, for recurrent layers would change their states
        captured = function.get_concrete_function(input_of(model)).captured_inputs
    used = {id(tensor) for tensor in captured}
    for layer in model._flatten_layers():
        for variable in layer.variables:
            if id(variable.value.handle) in used:
                raise InputError(
                    f"the model {model.name!r} cannot be copied: what computes with {variable.path!r} is hidden in an "
                    "object or a tf.function that a layer holds; let the layer's call compute with it itself"
                )


def _has_own_code(layer: keras.layers.Layer) -> bool:
    """Return whether a layer computes with code that is not Keras'."""
    held = [value for value in vars(layer).values() if callable(value) and not isinstance(value, type)]
    modules = [type(layer).__module__, *(getattr(each, "__module__", None) or type(each).__module__ for each in held)]
    return any(not f"{module}.".startswith(("keras.", "ensemble_vs_dropout.")) for module in modules)


def _called(model: keras.Model, x: Any) -> Any:
    if getattr(model, "_inputs_struct", None) is not None:
        x = keras.tree.pack_sequence_as(model._inputs_struct, keras.tree.flatten(x))
    return model(x, training=False)


def check_alike(model: keras.Model, copy: keras.Model) -> None:
    """Raise `InputError` if a copy predicts something else than its model for some made-up examples."""
    x = probe(model)
    expected = predicted(model, x)
    if expected is None:
        return
    if not alike(expected, predicted(copy, x), 1e-4) and alike(expected, predicted(model, x), 1e-4):
        raise InputError(
            f"a copy of the model {model.name!r} does not predict what the model does, so none is made; a layer of it "
            "computes with something that is no variable, layer or plain value of its own"
        )


def probe(model: keras.Model) -> npt.NDArray[Any]:
    """Return a few made-up examples of what a model takes: small numbers, or words that it knows."""
    columns = {place: _made_up(model, spec) for place, spec in by_place(input_of(model)).items()}
    return columns[""] if "" in columns else table(columns)


def _made_up(model: keras.Model, spec: tf.TensorSpec) -> npt.NDArray[Any]:
    size, dtype = (4, *(16 if axis is None else axis for axis in spec.shape[1:])), spec.dtype.name
    rng = np.random.default_rng(0)
    if dtype == "string":
        known = [layer.get_vocabulary() for layer in model._flatten_layers() if hasattr(layer, "get_vocabulary")]
        words = [str(word) for vocabulary in known for word in vocabulary[-20:]] + ["a", "b", "the first words"]
        return rng.choice(np.array([*words, " ".join(words[:8])], dtype=np.str_), size)
    if dtype == "bool" or "int" in dtype:
        return rng.integers(0, 2, size).astype(dtype)
    return rng.normal(scale=2.0, size=size).astype("float32")


def predicted(model: keras.Model, x: npt.NDArray[Any]) -> list[npt.NDArray[Any]] | None:
    """Return a model's outputs in inference mode as float32, and leave it as it is; None if it does not take `x`."""
    before = [(variable, variable.numpy().copy()) for variable in model.non_trainable_variables]
    try:
        outputs = keras.tree.flatten(_called(model, as_tensors(x)))
        return [np.asarray(keras.ops.cast(output, "float32")) for output in outputs]
    except Exception:  # made-up examples may be none for a user's own layers, and then nothing can be told by them
        return None
    finally:
        for variable, value in before:
            variable.assign(value)


def alike(expected: list[npt.NDArray[Any]], found: list[npt.NDArray[Any]] | None, tolerance: float) -> bool:
    """Return whether outputs are the same but for rounding."""
    if found is None or [one.shape for one in expected] != [one.shape for one in found]:
        return False
    scale = max([1.0, *(np.abs(one[np.isfinite(one)]).max(initial=0) for one in expected)])
    pairs = zip(expected, found, strict=True)
    return all(np.allclose(one, other, rtol=0, atol=tolerance * scale, equal_nan=True) for one, other in pairs)
