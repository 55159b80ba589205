"""Keras models as graphs: in which order their layers act, what follows what, and copies with some layers replaced.

A functional or sequential model tells its graph, and so do such models inside it; a subclassed one does not.
"""

from collections.abc import Callable, Iterator
from typing import Any

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.keras_backend import Functional, keras


def graph_of(operation: Any) -> Any:
    """Return the graph of a functional or sequential model that calls as Keras' own do, or None."""
    if isinstance(operation, keras.Sequential):
        return operation._functional if type(operation).call is keras.Sequential.call else None
    return operation if isinstance(operation, Functional) and type(operation).call is Functional.call else None


def nodes(graph: Any) -> Iterator[Any]:
    """Yield the nodes of a graph, each after those that it needs; an input is none."""
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        yield from (node for node in graph._nodes_by_depth[depth] if node.operation and not node.is_input)


def layers_in_order(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Return a layer and all inside it, each once, in the order in which they act as far as a graph tells."""

    def visit(one: keras.layers.Layer) -> Iterator[keras.layers.Layer]:
        yield one
        graph = graph_of(one)
        inner = [node.operation for node in nodes(graph)] if graph is not None else getattr(one, "_layers", [])
        for operation in inner:
            if isinstance(operation, keras.layers.Layer):
                yield from visit(operation)

    return list({id(found): found for found in visit(layer)}.values())


def times_used(model: keras.Model) -> dict[int, int]:
    """Return how often each layer of a model's graph acts in a prediction, by the layer's id."""
    used: dict[int, int] = {}

    def visit(graph: Any) -> None:
        for node in nodes(graph):
            used[id(node.operation)] = used.get(id(node.operation), 0) + 1
            inner = graph_of(node.operation)
            if inner is not None:
                visit(inner)

    visit(graph_of(model))
    return used


def copy_with(
    model: keras.Model,
    concerned: Callable[[keras.layers.Layer], bool],
    replacement: Callable[[keras.layers.Layer], keras.layers.Layer],
    name: str,
) -> keras.Model:
    """Return a copy of a model with its weights and with other layers in place of some.

    Args:
        model: Functional or sequential, and all models inside it too.
        concerned: Whether a layer is to be replaced.
        replacement: Returns what stands for such a layer; it must have no weights.
        name: Of the copy.

    Raises:
        InputError: A subclassed model, whose graph cannot be seen, or a layer to replace inside another layer.
    """
    for inner in model._flatten_layers():
        if isinstance(inner, keras.Model) and graph_of(inner) is None:
            raise InputError(
                f"the model {inner.name!r} must be functional or sequential to be copied with other layers; a "
                "subclassed one can be predicted with, but its graph cannot be seen"
            )
    used = times_used(model)
    for layer in model._flatten_layers(include_self=False):
        if concerned(layer) and id(layer) not in used:
            raise InputError(
                f"the layer {layer.name!r} ({type(layer).__name__}) acts inside another layer, where no other can be "
                "put in its place"
            )

    def cloned(layer: keras.layers.Layer) -> keras.layers.Layer:
        return replacement(layer) if concerned(layer) else type(layer).from_config(layer.get_config())

    copy = keras.models.clone_model(model, clone_function=cloned, recursive=True)
    copy.name = name
    copy_weights(model, copy)
    return copy


def copy_weights(model: keras.Model, copy: keras.Model) -> None:
    """Give a copy the model's weights, adapted preprocessing included."""
    copy.set_weights(model.get_weights())
    for layer in copy._flatten_layers():
        if hasattr(layer, "finalize_state"):  # Normalization computes with what it makes of its weights here
            layer.finalize_state()
