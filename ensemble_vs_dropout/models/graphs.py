"""Keras models as graphs: in which order their layers act, and what follows what.

A functional or sequential model tells its graph, and so do such models inside it; a subclassed one does not.
"""

from collections.abc import Iterator
from typing import Any

from ensemble_vs_dropout.models.backend import Functional, keras


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
