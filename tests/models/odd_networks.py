"""Networks that a configuration does not tell wholly, each with data for it, for the tests of copies and of files."""

import functools

import numpy as np

from ensemble_vs_dropout.models.backend import keras

WORDS = np.array([["red fox"], ["blue\nsea"], ["red sea"], ["a blue fox"]] * 5)
NUMBERS = np.random.default_rng(0).normal(size=(20, 4)).astype("float32")
CLASSES = np.arange(20) % 3


def compiled(*layers, shape=(4,), dtype=None):
    inputs = keras.Input(shape, dtype=dtype)
    model = keras.Sequential([inputs, *layers, keras.layers.Dropout(0.5), keras.layers.Dense(3, "softmax")])
    return finished(model)


def finished(model):
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    return model


def adapted(layer, data):
    layer.adapt(data)
    return layer


def text(**settings):
    settings = {"output_mode": "multi_hot", **settings}
    return compiled(
        adapted(keras.layers.TextVectorization(**settings), WORDS[:, 0]),
        keras.layers.Dense(4, "tanh"),
        shape=(),
        dtype="string",
    )


def lookup():
    words = adapted(keras.layers.StringLookup(output_mode="multi_hot"), WORDS)
    return compiled(words, keras.layers.Dense(8, "tanh"), shape=(1,), dtype="string")


def embedded():
    words = adapted(keras.layers.StringLookup(), WORDS)
    inner = keras.Sequential([keras.Input((1,), dtype="string"), words, keras.layers.Embedding(9, 4)])
    return compiled(inner, keras.layers.Flatten(), shape=(1,), dtype="string")


def bins():
    return compiled(
        adapted(keras.layers.Discretization(num_bins=3, output_mode="one_hot"), NUMBERS), keras.layers.Flatten()
    )


def standardised():
    return compiled(adapted(keras.layers.Normalization(), NUMBERS * 3 + 5))


def with_lambda():
    double = keras.layers.Lambda(lambda x, by: x * by, arguments={"by": 2.0}, output_shape=(4,))
    return compiled(keras.layers.Dense(4, "tanh"), double)


class Scale(keras.layers.Layer):
    """With a configuration, but not registered."""

    def __init__(self, factor=1.0, **named):
        super().__init__(**named)
        self.factor = factor

    def call(self, x):
        return x * self.factor

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


class Bare(keras.layers.Layer):
    """Without a configuration, with weights in a list and a nested layer."""

    def __init__(self, function, width):
        super().__init__()
        self.function, self.width, self.inner, self.pairs = function, width, keras.layers.Dense(width), []

    def build(self, shape):
        self.inner.build(shape)
        for _ in range(2):
            self.pairs.append(self.add_weight(shape=(self.width,), initializer="random_normal"))
        self.steps = self.add_weight(shape=(), initializer="ones", trainable=False)
        super().build(shape)

    def call(self, x):
        return self.function(self.inner(x)) * (1 + self.pairs[0]) + self.pairs[1] * self.steps


class Weightless(keras.layers.Layer):
    """Without a configuration and without weights."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, x):
        return self.function(x)


class Adapted(keras.layers.Layer):
    """Holds what it was adapted to in a plain attribute."""

    mean = 0.0

    def call(self, x):
        return x - self.mean


class Broken(keras.layers.Layer):
    """Whose configuration cannot be asked for."""

    def get_config(self):
        raise RuntimeError("no")

    def call(self, x):
        return x * 3.0


def shifted():
    layer = Adapted()
    layer.mean = NUMBERS.mean(axis=0) + 2
    return compiled(layer, keras.layers.Dense(4, "tanh"))


def closure(slope=0.4):
    def activation(x):
        return keras.ops.leaky_relu(x, slope)

    return activation


class Subclassed(keras.Model):
    """Without a configuration, of a layer, a list of layers and a functional model."""

    def __init__(self, act):
        super().__init__()
        self.act, self.hidden = act, [keras.layers.Dense(4, act), keras.layers.Dense(4, "tanh")]
        inputs = keras.Input((4,))
        self.head = keras.Model(inputs, keras.layers.Dense(3, "softmax")(inputs))
        self.drop = keras.layers.Dropout(0.5)

    def call(self, x, training=False):
        for layer in self.hidden:
            x = layer(x)
        return self.head(self.drop(x, training=training))


def subclassed():
    model = Subclassed(closure())
    model(NUMBERS[:1])
    return finished(model)


def nested():
    inner = keras.Sequential([keras.Input((4,)), Scale(3.0), Bare(closure(), 4)])
    return compiled(inner, keras.layers.Dense(4, closure(0.7)))


def recurrent():
    act = functools.partial(keras.activations.leaky_relu, negative_slope=0.4)
    return compiled(keras.layers.Reshape((2, 2)), keras.layers.LSTM(3, activation=act, dropout=0.2))


def branched():
    """Functional, with a layer used twice and operations outside layers."""
    inputs = keras.Input((4,))
    shared = keras.layers.Dense(4, closure())
    both = keras.ops.concatenate([shared(inputs), shared(inputs * 2.0) + 1.0], axis=-1)
    hidden = keras.layers.Dropout(0.5)(both)
    return finished(keras.Model(inputs, keras.layers.Dense(3, "softmax")(hidden)))


NETWORKS = {
    "TextVectorization": text,
    "TextVectorization tf_idf": lambda: text(output_mode="tf_idf"),
    "TextVectorization with line ends": lambda: text(standardize=None, split="character"),
    "StringLookup": lookup,
    "StringLookup and Embedding in a model": embedded,
    "Discretization": bins,
    "Normalization": standardised,
    "Lambda": with_lambda,
    "own layer": lambda: compiled(Scale(2.0), keras.layers.Dense(4, "tanh")),
    "own layer without a configuration": lambda: compiled(Bare(closure(), 4)),
    "own layer without weights or a configuration": lambda: compiled(Weightless(closure()), keras.layers.Dense(4)),
    "own layer with a broken configuration": lambda: compiled(Broken(), keras.layers.Dense(4)),
    "own layer adapted": shifted,
    "partial": lambda: compiled(
        keras.layers.Dense(4, functools.partial(keras.activations.leaky_relu, negative_slope=0.4))
    ),
    "closure": lambda: compiled(keras.layers.Dense(4, closure()), keras.layers.Activation(closure(0.9))),
    "lambda as activation": lambda: compiled(keras.layers.Dense(4, activation=lambda x: x * x)),
    "function as initializer": lambda: compiled(
        keras.layers.Dense(4, kernel_initializer=lambda shape, dtype: keras.initializers.RandomNormal()(shape, dtype))
    ),
    "nested": nested,
    "recurrent": recurrent,
    "branched": branched,
    "subclassed": subclassed,
}


def data_for(model):
    """Return examples that a network takes."""
    dtype = getattr(model, "input_dtype", "float32") if not getattr(model, "inputs", None) else model.inputs[0].dtype
    if dtype != "string":
        return NUMBERS
    return WORDS if len(model.inputs[0].shape) == 2 else WORDS[:, 0]
