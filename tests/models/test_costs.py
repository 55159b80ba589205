"""Multiply-accumulates, against TensorFlow's profiler, against layers whose every product is 1, and by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.models.backend import keras, tf
from ensemble_vs_dropout.models.builders import NETWORKS, mlp
from ensemble_vs_dropout.models.costs import by_place, multiply_adds, rough_multiply_adds
from ensemble_vs_dropout.models.random_layers import random_layers
from ensemble_vs_dropout.predictors.halves import Halves

LAYERS = keras.layers
PRODUCTS = ("MatMul", "BatchMatMulV2", "Conv2D", "Conv2DBackpropInput", "Conv3D", "DepthwiseConv2dNative")


def profiled(function, shape, dtype="float32"):
    """The products of one example by TensorFlow's profiler, which counts two operations for each."""
    traced = tf.function(function, autograph=False).get_concrete_function(tf.TensorSpec((1, *shape), dtype))
    frozen = convert_variables_to_constants_v2(traced).graph.as_graph_def()
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(frozen, name="")
        builder = tf.compat.v1.profiler.ProfileOptionBuilder
        options = builder(builder.float_operation()).with_accounted_types(PRODUCTS).with_empty_output().build()
        products = tf.compat.v1.profiler.profile(graph, cmd="op", options=options).total_float_ops / 2
        return products + sum(map(in_einsum, (op for op in graph.get_operations() if op.type == "Einsum")))


def in_einsum(operation):
    """The products of an einsum, which the profiler leaves out: one for each combination of its labels."""
    terms = operation.get_attr("equation").decode().split("->")[0].split(",")
    pairs = zip(terms, operation.inputs, strict=True)
    sizes = {label: size for term, given in pairs for label, size in zip(term, given.shape, strict=True)}
    return math.prod(sizes.values())


def kind(value):
    return type(value).__name__ if isinstance(value, LAYERS.Layer) else None


def profiled_model(model):
    return profiled(lambda x: model(x, training=False), model.input_shape[1:], model.inputs[0].dtype)


def sequential(shape, *layers):
    return keras.Sequential([keras.Input(shape), *layers])


def functional(shape, call, others=()):
    inputs = [keras.Input(one) for one in (shape, *others)]
    return keras.Model(inputs, call(*inputs))


# Against the profiler


@pytest.mark.parametrize("rate", [0.0, 0.5])
@pytest.mark.parametrize("recipe", [*(make() for make in NETWORKS.values()), mlp(batch_norm=True, dropout="classic")])
def test_every_shipped_network_takes_the_products_that_the_profiler_finds(recipe, rate, toy_dataset):
    images = np.zeros((30, 28, 28), "uint8")
    model = recipe(toy_dataset(images, np.arange(30) % 10), rate=rate)
    assert multiply_adds(model) == profiled_model(model) > 0


def test_wider_networks_take_the_products_that_the_profiler_finds(toy_dataset):
    model = mlp(units=(7, 5))(toy_dataset(np.zeros((9, 4), "float32"), np.arange(9) % 3), width=1.7)
    assert multiply_adds(model) == profiled_model(model)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "layer"),
    [
        ((7, 9, 4), LAYERS.Conv2D(6, (3, 2), strides=2, padding="same")),
        ((7, 6, 5, 2), LAYERS.Conv3D(3, 2, padding="same")),
        ((7, 9, 4), LAYERS.Conv2DTranspose(6, 3, strides=2, padding="same")),
        ((7, 9, 4), LAYERS.DepthwiseConv2D(3, depth_multiplier=2, padding="same")),
        ((7, 9, 4), LAYERS.SeparableConv2D(6, 3, strides=2, depth_multiplier=3)),
        ((5, 4), LAYERS.Dense(3)),
        ((5, 4), LAYERS.SimpleRNN(6, unroll=True)),
        ((5, 4), LAYERS.LSTM(6, unroll=True, return_sequences=True)),
        ((5, 4), LAYERS.GRU(6, unroll=True)),
        ((5, 4), LAYERS.GRU(6, unroll=True, reset_after=False, use_bias=False)),
        ((5, 4), LAYERS.RNN([LAYERS.LSTMCell(6), LAYERS.GRUCell(2)], unroll=True)),
        ((5, 4), LAYERS.Bidirectional(LAYERS.LSTM(6, unroll=True))),
        ((5, 4), LAYERS.TimeDistributed(LAYERS.Dense(3))),
        ((5, 4), LAYERS.TimeDistributed(sequential((4,), LAYERS.Dense(3), LAYERS.Dense(2)))),
    ],
    ids=kind,
)
def test_each_layer_takes_the_products_that_the_profiler_finds(shape, layer):
    model = sequential(shape, layer)
    assert multiply_adds(model) == profiled_model(model) > 0


@pytest.mark.parametrize(
    "call",
    [
        lambda x: LAYERS.MultiHeadAttention(3, 2, value_dim=5, output_shape=7)(x, x),
        lambda x: LAYERS.MultiHeadAttention(2, 3)(query=x, value=LAYERS.Dense(6)(x), key=LAYERS.MaxPooling1D(1)(x)),
        lambda x: LAYERS.MultiHeadAttention(2, 3)(LAYERS.MaxPooling1D(2)(x), x),
        lambda x: LAYERS.Attention(use_scale=True)([x, LAYERS.Dense(4)(x)]),
        lambda x: LAYERS.Attention()([LAYERS.MaxPooling1D(2)(x), LAYERS.Dense(6)(x), x]),
        lambda x: LAYERS.Dot(axes=2)([x, LAYERS.MaxPooling1D(2)(x)]),
    ],
)
def test_attention_takes_the_products_that_the_profiler_finds(call):
    model = functional((5, 4), call)
    assert multiply_adds(model) == profiled_model(model) > 0


def random_after(*layers):
    return sequential((6, 6, 2), LAYERS.Conv2D(3, 3), *layers, LAYERS.Flatten(), LAYERS.Dropout(0.5), LAYERS.Dense(3))


def branched():
    def call(inputs):
        first = LAYERS.Dense(8)(inputs)
        left = LAYERS.Dense(4)(LAYERS.Dropout(0.5)(LAYERS.Dense(7)(first)))
        return LAYERS.Dense(3)(LAYERS.Concatenate()([left, LAYERS.Dense(5)(first)]))

    return functional((6,), call)


def nested_random():
    inner = sequential((6,), LAYERS.Dense(9), LAYERS.Dropout(0.3), LAYERS.Dense(2))
    return sequential((6,), LAYERS.Dense(6), inner, LAYERS.Dense(3))


def nested_plain():
    return random_after(sequential((4, 4, 3), LAYERS.Conv2D(5, 2)))


@pytest.mark.parametrize("build", [random_after, branched, nested_random, nested_plain])
def test_what_the_profiler_finds_in_the_first_half_of_a_pass_is_what_counts_once(build):
    model = build()
    halves = Halves(model, random_layers(model))
    once, each = halves.multiply_adds()
    assert once == profiled(lambda x: [*halves.first(x).values()], model.input_shape[1:])
    assert once > 0 < each
    assert once + each == multiply_adds(model) == profiled_model(model)


# Against layers whose every product is 1, so that their outputs add up to the number of products


def with_ones(layer, shape):
    model = sequential(shape, layer)
    model.set_weights([np.ones_like(weight) for weight in model.get_weights()])
    return multiply_adds(model), float(np.sum(model(np.ones((1, *shape), "float32"))))


@pytest.mark.parametrize(
    ("shape", "layer"),
    [
        ((4,), LAYERS.Dense(3, use_bias=False)),
        ((2, 5, 4), LAYERS.Dense(3, use_bias=False)),
        ((5, 4), LAYERS.EinsumDense("abc,cde->abde", output_shape=(None, 2, 3))),
        ((5, 4), LAYERS.EinsumDense("abc,bcd->ad", output_shape=3)),
        ((5, 4), LAYERS.EinsumDense("...x,xy->...y", output_shape=3)),
        ((9, 4), LAYERS.Conv1D(6, 3, padding="valid", groups=2, use_bias=False)),
        ((6, 6, 5, 2), LAYERS.Conv3D(3, 2, strides=2, use_bias=False)),
        ((9, 4), LAYERS.Conv1DTranspose(6, 3, strides=2, use_bias=False)),
        ((4, 5, 3), LAYERS.Conv2DTranspose(2, 3, use_bias=False)),
        ((3, 4, 3, 2), LAYERS.Conv3DTranspose(2, 2, use_bias=False)),
        ((9, 4), LAYERS.DepthwiseConv1D(3, depth_multiplier=2, use_bias=False)),
        ((5, 9, 4), LAYERS.TimeDistributed(LAYERS.Conv1D(2, 3, use_bias=False))),
    ],
    ids=kind,
)
def test_outputs_of_ones_add_up_to_the_products(shape, layer):
    counted, summed = with_ones(layer, shape)
    assert counted == summed > 0


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(
    height=st.integers(3, 9),
    width=st.integers(3, 9),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    step=st.integers(1, 3),
    dilated=st.booleans(),
    groups=st.sampled_from([1, 2]),
)
def test_outputs_of_ones_add_up_to_the_products_of_any_convolution(height, width, kernel, step, dilated, groups):
    spread = {"dilation_rate": 1 + (max(kernel) * 2 <= min(height, width))} if dilated else {"strides": step}
    counted, summed = with_ones(LAYERS.Conv2D(4, kernel, groups=groups, use_bias=False, **spread), (height, width, 2))
    assert counted == summed


# By hand


@pytest.mark.parametrize(
    ("shape", "layer", "expected"),
    [
        ((5, 4), LAYERS.SimpleRNN(6), 5 * (4 * 6 + 6 * 6)),
        ((5, 4), LAYERS.GRU(6), 5 * 3 * (4 * 6 + 6 * 6)),
        ((5, 4), LAYERS.LSTM(6), 5 * 4 * (4 * 6 + 6 * 6)),
        ((5, 4), LAYERS.Bidirectional(LAYERS.LSTM(6), merge_mode="sum"), 2 * 5 * 4 * (4 * 6 + 6 * 6)),
        ((9, 4), LAYERS.SeparableConv1D(6, 3), 7 * (3 * 4 + 4 * 6)),
        ((4, 9), LAYERS.Conv1D(6, 3, data_format="channels_first"), 7 * 3 * 4 * 6),
        ((4, 9), LAYERS.DepthwiseConv1D(3, depth_multiplier=2, data_format="channels_first"), 7 * 3 * 4 * 2),
    ],
    ids=kind,
)
def test_layers_take_the_products_that_their_formulas_tell(shape, layer, expected):
    assert multiply_adds(sequential(shape, layer)) == expected


def test_attention_within_some_axes_multiplies_only_along_them():
    model = functional((5, 7, 4), lambda x: LAYERS.MultiHeadAttention(2, 3, attention_axes=(2,))(x, x))
    projections, products = 4 * (5 * 7) * 4 * (2 * 3), 2 * (5 * 7) * 7 * (2 * 3)
    assert multiply_adds(model) == projections + products


def test_additive_attention_multiplies_its_scale_and_the_values():
    def attended(**arguments):
        return multiply_adds(functional((5, 4), lambda x: LAYERS.AdditiveAttention(**arguments)([x, x])))

    assert attended() == 5 * 5 * (4 + 4)
    assert attended(use_scale=False) == 5 * 5 * 4


@pytest.mark.parametrize(
    "layers",
    [
        [LAYERS.BatchNormalization(), LAYERS.Activation("relu"), LAYERS.PReLU(), LAYERS.Dropout(0.5)],
        [LAYERS.LayerNormalization(), LAYERS.RMSNormalization(), LAYERS.GroupNormalization(2), LAYERS.Softmax()],
        [LAYERS.Normalization(mean=0.0, variance=1.0), LAYERS.MaxPooling1D(), LAYERS.GlobalAveragePooling1D()],
        [LAYERS.Rescaling(2.0), LAYERS.Lambda(lambda x: x**2, output_shape=lambda shape: shape), LAYERS.Flatten()],
    ],
)
def test_what_acts_on_each_number_alone_counts_nothing(layers):
    assert multiply_adds(sequential((6, 4), *layers)) == 0


def test_looking_up_embeddings_counts_nothing_however_many_steps():
    model = sequential((None,), LAYERS.Embedding(20, 4), LAYERS.GlobalAveragePooling1D(), LAYERS.Dense(3))
    assert multiply_adds(model) == 4 * 3


# Through the graph


def test_a_layer_that_is_called_twice_counts_twice_and_the_graph_stays_as_it_was():
    shared = LAYERS.Dense(4)
    model = functional((4,), lambda x: LAYERS.Dense(3)(shared(shared(x))))
    nodes = [len(layer._inbound_nodes) for layer in model.layers]
    assert multiply_adds(model) == multiply_adds(model) == 2 * 4 * 4 + 4 * 3
    assert [len(layer._inbound_nodes) for layer in model.layers] == nodes


def test_a_model_that_is_called_on_other_sizes_counts_for_each_of_them():
    inner = sequential((None, None, 2), LAYERS.Conv2D(3, 3), LAYERS.GlobalAveragePooling2D())
    model = functional((6, 7, 2), lambda a, b: LAYERS.Add()([inner(a), inner(b)]), others=[(3, 3, 2)])
    assert multiply_adds(model) == (4 * 5 + 1) * 3 * 3 * 2 * 3
    with pytest.raises(InputError, match=r"acts on an axis of unknown size, \(1, None, None, 2\).*whole shape"):
        multiply_adds(inner)


def test_a_model_inside_with_named_inputs_counts():
    named = {"b": keras.Input((3,), name="b"), "a": keras.Input((2,), name="a")}
    inner = keras.Model(named, LAYERS.Concatenate()([LAYERS.Dense(5)(named["a"]), LAYERS.Dense(7)(named["b"])]))
    model = functional((2,), lambda a, b: inner({"a": a, "b": b}), others=[(3,)])
    assert multiply_adds(inner) == multiply_adds(model) == 2 * 5 + 3 * 7


def test_rows_that_are_folded_into_the_examples_count():
    model = functional((5, 4), lambda x: LAYERS.Dense(3)(keras.ops.reshape(x, (-1, 4))))
    assert multiply_adds(model) == 5 * 4 * 3


def test_the_whole_is_the_sum_of_its_places():
    inner = sequential((6,), LAYERS.Dense(9), LAYERS.Dense(2))
    model = sequential((6,), LAYERS.Dense(6), inner, LAYERS.Dense(3))
    assert by_place(model) == {(0,): 36, (1, 0): 54, (1, 1): 18, (1,): 72, (2,): 6, (): 114}


# Roughly


@pytest.mark.parametrize(
    "model",
    [
        lambda: sequential((6,), LAYERS.Dense(9, use_bias=False), LAYERS.Dropout(0.5), LAYERS.Dense(2, use_bias=False)),
        lambda: sequential((9, 8, 2), LAYERS.Conv2D(4, 3, use_bias=False), LAYERS.Conv2D(3, 2, 2, use_bias=False)),
        lambda: sequential((7, 2), LAYERS.Conv1D(4, 3, use_bias=False), LAYERS.ReLU(), LAYERS.Dense(3, use_bias=False)),
    ],
)
def test_the_rough_count_is_the_exact_one_for_dense_and_convolution_layers_without_biases(model):
    assert rough_multiply_adds(model()) == multiply_adds(model()) > 0


def test_the_rough_count_adds_biases_and_refuses_nothing():
    model = sequential((7, 2), LAYERS.Conv1D(4, 3), LAYERS.Dense(3))
    assert rough_multiply_adds(model) == multiply_adds(model) + 5 * 4 + 5 * 3
    assert rough_multiply_adds(sequential((4, 4, 1), LAYERS.ConvLSTM1D(2, 2))) > 0
    inner = sequential((6,), LAYERS.Dense(9, use_bias=False))
    assert rough_multiply_adds(sequential((6,), inner, LAYERS.Dense(2, use_bias=False))) == 6 * 9 + 9 * 2


# What cannot be counted


class Doubled(LAYERS.Dense):
    def call(self, inputs, training=None):
        return super().call(inputs) + super().call(inputs)


class OwnCell(LAYERS.SimpleRNNCell):
    def call(self, sequence, states, training=False):
        return super().call(sequence, states, training)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.out = LAYERS.Dense(3)

    def call(self, inputs):
        return self.out(inputs)


class Shapeless(LAYERS.Layer):
    def compute_output_shape(self, input_shape):
        return (None, 4) if input_shape[0] is None else 1 / 0

    def call(self, inputs):
        return inputs


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (Subclassed, "must be functional or sequential, and built"),
        (lambda: keras.Sequential([LAYERS.Dense(3)]), "must be functional or sequential, and built"),
        (lambda: sequential((4,), Subclassed()), r"\(Subclassed\) has weights, and how often"),
        (lambda: sequential((4,), Doubled(3, name="twice")), r"'twice' \(Doubled\) has weights, and how often"),
        (lambda: sequential((4, 4, 1), LAYERS.ConvLSTM1D(2, 2)), r"\(ConvLSTM1D\) has weights, and how often"),
        (lambda: sequential((5, 4), LAYERS.RNN(OwnCell(3))), r"\(OwnCell\) must be a SimpleRNNCell, GRUCell or LSTM"),
        (lambda: functional((5, 4), lambda x: keras.ops.matmul(x, x[:, 0, :, None])), "stands outside any layer"),
        (lambda: sequential((None, 4), LAYERS.LSTM(3)), "acts on an axis of unknown size"),
        (lambda: sequential((4,), Shapeless(), LAYERS.Dense(3)), "does not tell the shape of its outputs"),
    ],
)
def test_what_cannot_be_counted_is_refused_by_name_and_with_what_to_do(build, message):
    with pytest.raises(InputError, match=message):
        multiply_adds(build())
