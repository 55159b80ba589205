"""Multiply-accumulates (MACs): the products of weights with inputs that a prediction takes, by the layers' shapes.

Unlike seconds they depend on no machine, and unlike parameters they tell that a convolution uses its few weights often.
"""

import math
from collections.abc import Callable
from typing import Any

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.models import layers
from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.models.graphs import graph_of, nodes

Place = tuple[int, ...]  # the number of a node in the graph, then of one inside it, and so on; () is the whole graph


def multiply_adds(model: keras.Model) -> int:
    """Return the multiply-accumulates (MACs) of a model's prediction of one example.

    Products of weights with inputs count, and those of queries, keys and values in attention. What acts on each number
    by itself counts 0: biases, activations, normalisation, dropout, pooling, looking up embeddings; and so does a layer
    without weights, whatever it does inside. A layer that is called twice counts twice, a recurrent one for every step.
    Products with the zeros of padding and with masked steps count, because they are computed.

    Args:
        model: Functional or sequential, of Keras' dense, convolution, recurrent and attention layers, models of such
            layers inside it, and any layers without weights.

    Raises:
        InputError: The model is subclassed or not built, a layer with weights is not one of those, a product stands
            outside any layer, or the size of an axis is not known.

    Example:
        >>> multiply_adds(keras.Sequential([keras.Input((8, 3)), keras.layers.Conv1D(4, 5), keras.layers.Dense(2)]))
        272
    """
    return by_place(model)[()]


def by_place(model: keras.Model) -> dict[Place, int]:
    """Return the multiply-accumulates of each node of a model's graph, of the nodes inside it, and at () of the whole.

    Raises:
        InputError: See `multiply_adds`.
    """
    graph = graph_of(model)
    if graph is None:
        raise InputError(
            f"the model {model.name!r} must be functional or sequential, and built, for its multiply-accumulates to be "
            "counted"
        )
    example = [keras.KerasTensor((1, *tensor.shape[1:]), tensor.dtype) for tensor in graph.inputs]
    try:
        return _in_graph(graph, example, ())
    except InputError:
        raise
    except Exception as error:  # telling shapes may run a user's code
        raise InputError(
            f"the multiply-accumulates of {model.name!r} cannot be counted, because a layer of it does not tell the "
            f"shape of its outputs for one example: {error}"
        ) from error


def rough_multiply_adds(model: keras.Model) -> int:
    """Return about the multiply-accumulates of a prediction of one example, for any built model and at once.

    Each trainable weight counts at each place of its layer's output: biases, too, and what is looked up, but no
    products of attention. A layer counts once, however often it is called, and an unknown size as 1. For dense and
    convolution layers without biases this is `multiply_adds`.
    """
    inner = [layer for layer in model._flatten_layers(include_self=False) if not isinstance(layer, keras.Model)]
    return sum(_places(layer) * _size(*layer.trainable_weights) for layer in inner)


def _places(layer: keras.layers.Layer) -> int:
    shape = getattr(getattr(layer, "output", None), "shape", ()) if hasattr(layer, "kernel") else ()
    return math.prod(size or 1 for size in shape[1:-1])


def _in_graph(graph: Any, inputs: list[Any], place: Place) -> dict[Place, int]:
    # With shapes of their own, because a model may be called on others than it was made with.
    values = {id(symbol): value for symbol, value in zip(graph.inputs, inputs, strict=True)}
    counts: dict[Place, int] = {}
    for number, node in enumerate(nodes(graph)):
        args, kwargs = node.arguments.fill_in(values)
        counts |= _in_call(node.operation, args, kwargs, (*place, number))
        outputs = keras.tree.flatten(_output_of(node.operation, args, kwargs))
        values |= {id(symbol): value for symbol, value in zip(node.outputs, outputs, strict=True)}
    counts[place] = sum(count for inner, count in counts.items() if len(inner) == len(place) + 1)
    return counts


def _in_call(operation: Any, args: Any, kwargs: dict[str, Any], place: Place = ()) -> dict[Place, int]:
    graph = graph_of(operation)
    if graph is None:
        return {place: _of_operation(operation, args, kwargs)}
    given = keras.tree.flatten(args[0] if args else next(iter(kwargs.values())))
    return _in_graph(graph, given, place)


def _of_operation(operation: Any, args: Any, kwargs: dict[str, Any]) -> int:
    what = f"the layer {operation.name!r} ({type(operation).__name__})"
    if not isinstance(operation, keras.layers.Layer):
        if type(operation).__name__ in _PRODUCTS:
            raise InputError(
                f"the product {operation.name!r} stands outside any layer, so that its multiply-accumulates are not "
                "counted; use a layer of Keras that computes it, such as Dense, EinsumDense, Dot or MultiHeadAttention"
            )
        return 0
    count = next((count for kind, count in _COUNTS.items() if _acts_as(operation, kind)), None)
    if count is not None:
        output = _output_of(operation, args, kwargs)
        for shape in _unknown((args, kwargs, output)):
            raise InputError(
                f"{what} acts on an axis of unknown size, {shape}, so that its multiply-accumulates are not known; "
                "give the whole shape of an example to keras.Input"
            )
        return count(operation, output, *args, **kwargs)
    if operation.weights and not any(_acts_as(operation, kind) for kind in layers.ELEMENTWISE):
        raise InputError(
            f"{what} has weights, and how often they are multiplied is not known; multiply-accumulates are counted for "
            "Keras' dense, convolution, recurrent and attention layers, and models of them"
        )
    return 0


def _output_of(operation: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    output = operation.compute_output_spec(*args, **kwargs)
    if _unknown(output) and not _unknown((args, kwargs)):  # some layers tell less than their call does
        output = keras.Operation.compute_output_spec(operation, *args, **kwargs)
    return output


def _unknown(tensors: Any) -> list[tuple[int | None, ...]]:
    shapes = [tuple(getattr(tensor, "shape", ())) for tensor in keras.tree.flatten(tensors)]
    return [shape for shape in shapes if None in shape]


def _acts_as(layer: keras.layers.Layer, kind: type[Any]) -> bool:
    return isinstance(layer, kind) and type(layer).call is kind.call


def _size(*kernels: Any) -> int:
    return sum(math.prod(kernel.shape) for kernel in kernels)


def _rows(tensor: Any) -> int:
    return math.prod(tensor.shape[:-1])


# Each takes a layer, its output, and what the layer is called with.


def _dense(layer: Any, output: Any, inputs: Any, **others: Any) -> int:
    return _rows(inputs) * _size(layer.kernel)


def _einsum(layer: Any, output: Any, inputs: Any, **others: Any) -> int:
    terms, result = layer.equation.split("->")
    labels = zip(terms.split(",")[1], layer.kernel.shape, strict=True)
    return _size(output) * math.prod(size for label, size in labels if label not in result)


def _convolution(layer: Any, output: Any, inputs: Any, **others: Any) -> int:
    return _size(output) // layer.filters * _size(layer.kernel)


def _transposed(layer: Any, output: Any, inputs: Any, **others: Any) -> int:
    return _size(inputs) // layer.kernel.shape[-1] * _size(layer.kernel)


def _depthwise(layer: Any, output: Any, inputs: Any, **others: Any) -> int:
    return _size(output) * math.prod(layer.kernel.shape[:-2])


def _separable(layer: Any, output: Any, inputs: Any, **others: Any) -> int:
    return _size(output) // layer.filters * _size(layer.depthwise_kernel, layer.pointwise_kernel)


def _recurrent(layer: Any, output: Any, sequences: Any, *others: Any, **further: Any) -> int:
    cells = layer.cell.cells if _acts_as(layer.cell, keras.layers.StackedRNNCells) else [layer.cell]
    for cell in cells:
        if not any(_acts_as(cell, kind) for kind in layers.CELLS):
            raise InputError(
                f"the cell {cell.name!r} ({type(cell).__name__}) must be a SimpleRNNCell, GRUCell or LSTMCell of Keras "
                "for the multiply-accumulates of its steps to be counted"
            )
    return sequences.shape[1] * sum(_size(cell.kernel, cell.recurrent_kernel) for cell in cells)


def _bidirectional(layer: Any, output: Any, sequences: Any, *others: Any, **further: Any) -> int:
    return sum(_of_operation(one, (sequences,), {}) for one in (layer.forward_layer, layer.backward_layer))


def _distributed(layer: Any, output: Any, inputs: Any, *others: Any, **further: Any) -> int:
    step = keras.KerasTensor((inputs.shape[0], *inputs.shape[2:]), inputs.dtype)
    return inputs.shape[1] * _in_call(layer.layer, (step,), {})[()]


def _heads(layer: Any, output: Any, query: Any, value: Any, *others: Any, **further: Any) -> int:
    projected = _rows(query) * _size(layer.query_dense.kernel, layer.output_dense.kernel)
    projected += _rows(value) * _size(layer.key_dense.kernel, layer.value_dense.kernel)
    attended = math.prod(value.shape[axis] for axis in layer.attention_axes)
    return projected + _rows(query) * attended * layer.num_heads * (layer.key_dim + layer.value_dim)


def _attention(layer: Any, output: Any, inputs: Any, *others: Any, **further: Any) -> int:
    query, value = inputs[:2]
    additive = isinstance(layer, keras.layers.AdditiveAttention)
    multiplied = layer.use_scale if additive else layer.score_mode == "dot"  # else the scores are plain sums
    return _rows(query) * value.shape[-2] * (query.shape[-1] * multiplied + value.shape[-1])


def _dot(layer: Any, output: Any, inputs: Any, **others: Any) -> int:
    axes = layer.axes
    return _size(output) * inputs[0].shape[axes if isinstance(axes, int) else axes[0]]


_COUNTS: dict[type[Any], Callable[..., int]] = {
    keras.layers.Dense: _dense,
    keras.layers.EinsumDense: _einsum,
    **dict.fromkeys(layers.CONVOLUTIONS, _convolution),
    **dict.fromkeys(layers.TRANSPOSED, _transposed),
    **dict.fromkeys(layers.DEPTHWISE, _depthwise),
    **dict.fromkeys(layers.SEPARABLE, _separable),
    **dict.fromkeys(layers.RECURRENT, _recurrent),
    keras.layers.Bidirectional: _bidirectional,
    keras.layers.TimeDistributed: _distributed,
    keras.layers.MultiHeadAttention: _heads,
    keras.layers.Attention: _attention,
    keras.layers.Dot: _dot,
}
_PRODUCTS = {
    "Conv", "ConvTranspose", "DepthwiseConv", "Dot", "DotProductAttention", "Einsum", "Inner", "Matmul",
    "SeparableConv", "Tensordot", "Vdot",
}  # fmt: skip
