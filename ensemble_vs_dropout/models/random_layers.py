"""Which layers of a model draw at random, and how to let only some of them do so while a prediction is traced.

Keras' own layers are known by their classes. A layer of the user's own is watched: one trace of the model in training
mode tells which layers draw. A layer that its owner calls only in training mode takes its owner into training mode.
"""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial, wraps
from typing import Any, Protocol

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.models.architecture import has_own_functions
from ensemble_vs_dropout.models.backend import keras, keras_random, tf
from ensemble_vs_dropout.models.calling import input_of
from ensemble_vs_dropout.models.draws import FUNCTIONS, drawing_by
from ensemble_vs_dropout.models.graphs import layers_in_order
from ensemble_vs_dropout.models.layers import ATTENTION, BY_NORMAL, BY_RATE

Choice = str | Sequence[str] | Callable[[keras.layers.Layer], bool]
_TRACING = threading.RLock()
# Operations of TensorFlow that draw behind Keras' back; the draws of this package are of none of these kinds.
_RAW_DRAWS = (
    "Random", "StatelessRandom", "Multinomial", "TruncatedNormal", "ParameterizedTruncatedNormal", "StatefulUniform",
    "StatefulStandardNormal", "StatefulTruncatedNormal", "StatefulRandom", "RngReadAndSkip"
)  # fmt: skip
_PREDICTING = "in inference mode, so that a prediction would be another each time"
_BY_KERAS = "drawn_by_keras"  # in the names of the operations of Keras' own draws
_OWN_DRAWS = ("StatelessRandomUniformFullIntV2",)


def is_foreign(layer: Any) -> bool:
    """Return whether a layer holds code of the user's own, which its class does not tell."""
    module = type(layer).__module__
    own = isinstance(layer, keras.layers.Lambda) or not module.startswith(("keras.", "ensemble_vs_dropout."))
    return own or has_own_functions(layer)  # an activation, say


def has_foreign(model: keras.Model) -> bool:
    """Return whether a model has a layer of the user's own, or is of a class of the user's own."""
    return any(map(is_foreign, model._flatten_layers()))


def random_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the layers that drop or disturb units while training, in the model's order, nested ones included.

    Random augmentation of inputs does not count: it changes the example, not the network.
    """
    drawing = _drawing_in_training(model) if has_foreign(model) else None
    if drawing is None:
        return [layer for layer in layers_in_order(model) if _is_random(layer)]
    return [layer for layer in layers_in_order(model) if id(layer) in drawing]


@dataclass(frozen=True)
class Chosen:
    """The layers that shall act at random.

    Attributes:
        layers: Those chosen, in the model's order.
        owners: Layers that call one of them only in training mode, so that they must be in it too.
    """

    layers: list[keras.layers.Layer]
    owners: list[keras.layers.Layer]

    @property
    def modes(self) -> dict[int, bool]:
        """The training mode of layers in a pass, by their ids."""
        return _modes([*self.layers, *self.owners])

    @property
    def modes_without_draws(self) -> dict[int, bool]:
        """The same with the chosen layers in inference mode."""
        return {**_modes(self.owners), **{id(layer): False for layer in self.layers}}


def choose_layers(model: keras.Model, layers: Choice) -> Chosen:
    """Return those of a model's random layers that shall act.

    Args:
        model: Any Keras model.
        layers: "all"; "last" in the model's order; names; or a function of a layer.

    Raises:
        InputError: The model has no random layer, or none is chosen, or a name is not that of one, or one that is
            chosen does not act.
    """
    found = random_layers(model)
    if not found:
        raise InputError(
            f"the model {model.name!r} has no random layer such as Dropout, so that all passes would be the "
            "same; put keras.layers.Dropout(rate), of a rate above 0, into it, or predict with WeightScaling"
        )
    names = [layer.name for layer in found]
    if callable(layers):
        chosen = [layer for layer in found if layers(layer)]
    elif layers in ("all", "last"):
        chosen = found if layers == "all" else found[-1:]
    else:
        wanted = [layers] if isinstance(layers, str) else list(layers)
        unknown = [name for name in wanted if name not in names]
        if unknown:
            raise InputError(
                f"layers must be 'all', 'last', a function, or names of random layers of {model.name!r}, "
                f"{', '.join(names)}; got {unknown[0]!r}"
            )
        chosen = [layer for layer in found if layer.name in wanted]
    if not chosen:
        raise InputError(f"layers must choose at least one of the random layers of {model.name!r}, {', '.join(names)}")
    return Chosen(chosen, _owners(model, chosen) if has_foreign(model) else [])


@dataclass
class Watch:
    """The layers that are being called, the innermost last, and those that were, in the order of their calls."""

    stack: list[keras.layers.Layer] = field(default_factory=list)
    called: list[keras.layers.Layer] = field(default_factory=list)

    def drawing(self) -> keras.layers.Layer | None:
        """Return the layer that draws now; the cell of a recurrent layer draws for it."""
        return next((layer for layer in reversed(self.stack) if not _is_cell(layer)), None)


class Drawing(Protocol):
    """Draws for the layers that may."""

    def draw(self, name: str, layer: keras.layers.Layer | None, *args: Any, **kwargs: Any) -> Any:
        """Return what `keras.random.{name}` gives a layer for these arguments."""


@contextmanager
def tracing(model: keras.Model, modes: Mapping[int, bool], drawing: Drawing) -> Iterator[Watch]:
    """Trace a model with some layers in a training mode of their own, and with other draws; yield who is called.

    A graph traced inside keeps this. Only these instances are touched, and they are restored: `training=True` for the
    whole model would make BatchNorm use and move its batch statistics too.

    Args:
        model: What is traced.
        modes: The training mode of layers by their ids; the others have that which they are called with.
        drawing: Draws instead of Keras.

    Raises:
        InputError: What `drawing` refused, without what Keras adds to errors inside of layers.
    """
    watch, refusals = Watch(), list[InputError]()

    def draw(name: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return drawing.draw(name, watch.drawing(), *args, **kwargs)
        except InputError as refusal:
            refusals.append(refusal)
            raise

    layers = list({id(layer): layer for layer in model._flatten_layers()}.values())
    with _TRACING:
        for layer in layers:
            layer.__dict__["call"] = _watched(layer, watch, modes.get(id(layer)))
        try:
            with drawing_by(**{name: partial(draw, name) for name in FUNCTIONS}):
                yield watch
        except Exception:
            if refusals:
                raise refusals[0] from None
            raise
        finally:
            for layer in layers:
                del layer.__dict__["call"]


class Off:
    """No layer draws: dropout drops nothing, as in weight scaling; what cannot be turned off is refused."""

    def draw(self, name: str, layer: keras.layers.Layer | None, *args: Any, **kwargs: Any) -> Any:
        """Return what a layer is given that is turned off."""
        return turned_off(name, layer, *args, **kwargs)


class _NotingOff(Off):
    """The same, and notes which layers of the user's own it turned off."""

    def __init__(self) -> None:
        self.layers: dict[int, keras.layers.Layer] = {}

    def draw(self, name: str, layer: keras.layers.Layer | None, *args: Any, **kwargs: Any) -> Any:
        """Return what a layer is given that is turned off."""
        if layer is not None and is_foreign(layer):
            self.layers[id(layer)] = layer
        return super().draw(name, layer, *args, **kwargs)


def always_on(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the layers of the user's own that drop in inference mode too, where predictors here turn them off.

    Raises:
        InputError: One draws in inference mode and cannot be turned off.
    """
    if not has_foreign(model):
        return []
    noting = _NotingOff()

    def call(x: Any) -> Any:
        with keras.StatelessScope(), tracing(model, {}, noting):
            return model(x, training=False)

    try:
        traced = tf.function(call, autograph=False).get_concrete_function(input_of(model))
    except InputError:
        raise
    except Exception:  # the user's own code, which may want a batch of a certain size
        return []
    check_raw_draws(traced.graph, model.name)
    return list(noting.layers.values())


def turned_off(name: str, layer: keras.layers.Layer | None, *args: Any, **kwargs: Any) -> Any:
    """Return what `keras.random.{name}` gives a layer that shall not draw.

    Raises:
        InputError: It would draw all the same, and its draws have no neutral value.
    """
    if name == "dropout":
        return args[0] if args else kwargs["inputs"]
    if name == "normal" and isinstance(layer, BY_NORMAL):
        return _mean_of_normal(*args, **kwargs)
    if layer is not None and not is_foreign(layer):  # Keras' own do not use what they draw in inference mode
        return _drawn_by_keras(name, *args, **kwargs)
    told = "the model" if layer is None else f"the layer {layer.name!r} ({type(layer).__name__})"
    raise InputError(
        f"{told} draws by keras.random.{name} in inference mode too, so that a prediction would be another each time; "
        "let it draw only where training is true"
    )


def check_raw_draws(graph: Any, name: str, mode: str = _PREDICTING) -> None:
    """Raise if a traced call of a model draws by TensorFlow itself, which no seed of this package reaches.

    Args:
        graph: Of the traced function.
        name: Of the model.
        mode: When, and why that matters, in words.
    """
    definition = graph.as_graph_def()
    nodes = [*definition.node, *(node for function in definition.library.function for node in function.node_def)]
    for node in nodes:
        if node.op.startswith(_RAW_DRAWS) and node.op not in _OWN_DRAWS and _BY_KERAS not in node.name:
            raise InputError(
                f"the model {name!r} draws by TensorFlow ({node.name}: {node.op}) {mode}; draw by keras.random with a "
                "SeedGenerator, where training is true"
            )


def _is_cell(layer: keras.layers.Layer) -> bool:
    """Return whether a layer is part of a recurrent one, which drops through it."""
    return hasattr(layer, "get_dropout_mask") or isinstance(layer, keras.layers.StackedRNNCells)


def _is_random(layer: keras.layers.Layer) -> bool:
    if isinstance(layer, BY_RATE):
        return bool(layer.rate > 0)
    if isinstance(layer, keras.layers.GaussianNoise):
        return bool(layer.stddev > 0)
    if isinstance(layer, keras.layers.RNN):
        cells = getattr(layer.cell, "cells", [layer.cell])
        return any(getattr(cell, "dropout", 0) or getattr(cell, "recurrent_dropout", 0) for cell in cells)
    if isinstance(layer, ATTENTION):
        return bool(layer.dropout > 0)
    return False  # multi-head attention drops through a Dropout layer of its own, which is found by itself


class _Noting:
    """Lets Keras draw, and notes for whom, with the layers around each."""

    def __init__(self) -> None:
        self.seen: dict[int, tuple[keras.layers.Layer, ...]] = {}
        self.watch = Watch()

    def draw(self, name: str, layer: keras.layers.Layer | None, *args: Any, **kwargs: Any) -> Any:
        """Draw as Keras does."""
        if layer is not None and not type(layer).__module__.startswith("keras.src.layers.preprocessing"):
            self.seen.setdefault(id(layer), tuple(self.watch.stack))
        return _drawn_by_keras(name, *args, **kwargs)


def _drawn_by_keras(name: str, *args: Any, **kwargs: Any) -> Any:
    """Draw as Keras does, under a name by which `check_raw_draws` knows that it was Keras."""
    with tf.name_scope(_BY_KERAS):
        return _KERAS[name](*args, **kwargs)


def _drawing_in_training(model: keras.Model) -> dict[int, tuple[keras.layers.Layer, ...]] | None:
    """Return by id the layers that draw while the model trains, with the layers around each; None if unknown."""
    return _traced_draws(model, {}, training=True)


def _traced_draws(
    model: keras.Model, modes: Mapping[int, bool], training: bool
) -> dict[int, tuple[keras.layers.Layer, ...]] | None:
    given, noting = input_of(model), _Noting()

    def call(x: Any) -> Any:
        with keras.StatelessScope(), tracing(model, modes, noting) as noting.watch:
            return model(x, training=training)

    try:
        traced = tf.function(call, autograph=False).get_concrete_function(given)
    except Exception:  # the user's own code, which may want a batch of a certain size: the classes tell what they can
        return None
    check_raw_draws(traced.graph, model.name, "in training mode, which passes could not repeat")
    return noting.seen


def _owners(model: keras.Model, chosen: Collection[keras.layers.Layer]) -> list[keras.layers.Layer]:
    """Return the layers that must be in training mode for these to act."""
    around = _drawing_in_training(model)
    acting = _traced_draws(model, _modes(chosen), training=False)
    if around is None or acting is None:
        return []
    silent = [layer for layer in chosen if id(layer) not in acting]
    owners = {id(owner): owner for layer in silent for owner in around.get(id(layer), ())[:-1] if is_foreign(owner)}
    found = [owner for owner in owners.values() if all(owner is not layer for layer in chosen)]
    acting = _traced_draws(model, _modes([*chosen, *found]), training=False) or {}
    silent = [layer for layer in chosen if id(layer) not in acting]
    if silent:
        raise InputError(
            f"the random layer {silent[0].name!r} of {model.name!r} was chosen but does not act: what calls it does so "
            "only while the whole model trains; call it in every mode, it does nothing in inference mode by itself"
        )
    return found


def _modes(on: Collection[keras.layers.Layer]) -> dict[int, bool]:
    """Return the modes in which these layers train, and nothing inside of them does by that."""
    inside = {id(inner): inner for layer in on for inner in layer._flatten_layers(include_self=False)}
    modes = {key: False for key, inner in inside.items() if not _is_cell(inner)}
    return modes | {id(layer): True for layer in on}


def _watched(layer: keras.layers.Layer, watch: Watch, mode: bool | None) -> Callable[..., Any]:
    call, signature = layer.call, layer._call_signature

    @wraps(call)
    def watched_call(*args: Any, **kwargs: Any) -> Any:
        if mode is not None and "training" in signature.parameters:
            bound = signature.bind(*args, **kwargs)
            bound.arguments["training"] = mode
            args, kwargs = bound.args, bound.kwargs
        watch.called.append(layer)
        watch.stack.append(layer)
        try:
            return call(*args, **kwargs)
        finally:
            watch.stack.pop()

    return watched_call


def _mean_of_normal(shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: Any = None) -> Any:
    return tf.fill(shape, tf.cast(mean, dtype or keras.config.floatx()))


_KERAS = {name: getattr(keras_random, name) for name in FUNCTIONS}
