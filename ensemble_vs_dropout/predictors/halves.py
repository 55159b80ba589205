"""A model's graph in two halves: what no random layer touches, and the rest.

The first half is the same in every pass, so it is computed once. Functional and sequential models are cut wherever
their graph allows, nested ones inside; a subclassed model is one piece, and what comes before it is the first half.
"""

from collections.abc import Collection, Iterator
from typing import Any

from ensemble_vs_dropout.models.backend import keras, tf
from ensemble_vs_dropout.models.costs import Place, by_place
from ensemble_vs_dropout.models.graphs import graph_of, nodes


class Halves:
    """The two halves of a model with some of its layers random.

    Args:
        model: Any Keras model.
        layers: Its random layers.
    """

    def __init__(self, model: keras.Model, layers: Collection[keras.layers.Layer]):
        self.model, self._random = model, {id(layer) for layer in layers}
        self.graph = graph_of(model)

    def first(self, x: Any) -> dict[Any, list[Any]]:
        """Return what does not depend on any random layer, by its place in the graph."""
        known: dict[Any, list[Any]] = {}
        if self.graph is None:
            known["inputs"] = [x]
        else:
            self.model._assert_input_compatibility(x)
            known["inputs"] = self.graph._standardize_inputs(x)
            self._run(self.graph, known["inputs"], known, (), computing=False)
        return known

    def second(self, known: dict[Any, list[Any]], repeats: Any = None) -> tf.Tensor:
        """Return the outputs from what `first` returned, for each example `repeats` times, one after another."""
        if repeats is not None:
            known = keras.tree.map_structure(lambda value: _repeated(value, repeats), known)
        if self.graph is None:
            return self.model(known["inputs"][0], training=False)
        outputs = self._run(self.graph, known["inputs"], known, (), computing=True)
        assert outputs is not None
        return outputs[0]

    def describe(self) -> str:
        """Say in a sentence what is computed once and what in each pass."""
        if self.graph is None:
            return f"{self.model.name!r} is subclassed, so that all of it is computed in each pass"
        cut = [once for _, once in self._cut()]
        return (
            f"{sum(cut)} of the {len(cut)} operations of {self.model.name!r} come before any random layer: computed "
            "once"
        )

    def multiply_adds(self) -> tuple[int, int]:
        """Return the multiply-accumulates (MACs) for an example that are computed once, and those of each pass.

        Raises:
            InputError: They cannot be counted; see `models.costs.multiply_adds`.
        """
        counts = by_place(self.model)
        first = sum(counts[place] for place, once in self._cut() if once)
        return first, counts[()] - first

    def _cut(self) -> Iterator[tuple[Place, bool]]:
        """Yield the place of each operation, and whether it is computed once or else in each pass."""
        return self._cut_inside(self.graph, set(map(id, self.graph.inputs)), ())

    def _cut_inside(self, graph: Any, known: set[int], path: Place) -> Iterator[tuple[Place, bool]]:
        for number, node in enumerate(nodes(graph)):
            place = (*path, number)
            fixed = all(id(tensor) in known for tensor in node.input_tensors)
            inner = graph_of(node.operation) if self._is_random(node.operation) else None
            if inner is not None:
                yield from self._cut_inside(inner, set(map(id, inner.inputs)) if fixed else set(), place)
                continue
            once = fixed and not self._is_random(node.operation)
            if once:
                known |= set(map(id, node.outputs))
            yield place, once

    def _run(
        self, graph: Any, inputs: list[tf.Tensor], known: dict[Any, Any], path: Place, computing: bool
    ) -> list[tf.Tensor] | None:
        """Go through a graph; `computing` the random part, or else noting what is known without it."""
        values = {id(place): value for place, value in zip(graph.inputs, inputs, strict=True)}
        for number, node in enumerate(nodes(graph)):
            key = (*path, number)
            if key in known:
                outputs = known[key]
            elif any(id(tensor) not in values for tensor in node.input_tensors):
                continue
            else:
                args, kwargs = node.arguments.fill_in(values)
                inner = graph_of(node.operation) if self._is_random(node.operation) else None
                if inner is not None and kwargs.get("mask") is None:
                    given = _standardised(inner, args[0] if args else next(iter(kwargs.values())))
                    outputs = self._run(inner, given, known, key, computing)
                elif self._is_random(node.operation) and not computing:
                    continue
                else:
                    outputs = keras.tree.flatten(_call(node.operation, args, kwargs))
                    if not computing:
                        known[key] = outputs
                if outputs is None:
                    continue
            values |= {id(place): value for place, value in zip(node.outputs, outputs, strict=True)}
        if any(id(place) not in values for place in graph.outputs):
            return None
        return [values[id(place)] for place in graph.outputs]

    def _is_random(self, operation: Any) -> bool:
        if id(operation) in self._random:
            return True
        layers = operation._flatten_layers() if isinstance(operation, keras.layers.Layer) else ()
        return any(id(layer) in self._random for layer in layers)


def _standardised(graph: Any, given: Any) -> list[tf.Tensor]:
    """Return what an inner model takes, with Keras' mask of padded steps, which a cast would lose."""
    standard = graph._standardize_inputs(given)
    for before, after in zip(keras.tree.flatten(given), standard, strict=True):
        mask = getattr(before, "_keras_mask", None)
        if mask is not None:
            after._keras_mask = mask
    return list(standard)


def _call(operation: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    if getattr(operation, "_call_has_training_arg", False):  # as Keras does, whatever the graph was made with
        kwargs = {**kwargs, "training": False}
    return operation(*args, **kwargs)


def _repeated(value: tf.Tensor, repeats: Any) -> tf.Tensor:
    repeated = tf.repeat(value, repeats, axis=0)
    mask = getattr(value, "_keras_mask", None)  # of padded steps; Keras hands it on with the tensor
    if mask is not None:
        repeated._keras_mask = tf.repeat(mask, repeats, axis=0)
    return repeated
