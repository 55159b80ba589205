"""Small networks over every layer family of Keras and every way to write a model, for tests that walk over all of them.

Each is built anew by `build()`, compiled, and comes with about 22 examples. Where the toolkit is meant to refuse,
`refused` says which way in (`train`, `checkpoint`, `predict`, `mc`,
`to_keras`, `save`) and a regular expression of the sentence;
`may_refuse` says so where the right numbers would be as good.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from ensemble_vs_dropout.models.backend import keras, tf
from ensemble_vs_dropout.models.classic_dropout import ClassicDropout

L, ops = keras.layers, keras.ops
EXAMPLES, CLASSES = 22, 3
registered = keras.saving.register_keras_serializable("zoo")

TAGS = {
    "quick": "tested in `make check` too",
    "logits": "gives logits, not probabilities",
    "one-hot": "its loss wants one-hot labels, which its name does not tell",
    "random": "has layers that drop or disturb units while training",
    "training differs": "something else depends on training too, so that passes have another mean",
    "not stacked": "the stacked strategy may refuse it, with the reason",
    "own draws": "draws what no strategy can draw again, so that members differ from Keras' fit",
    "half": "computes in bfloat16 or float16",
    "levels": "rounds to levels, so that what is all but nothing may become a level",
    "always random": "its author wants it random while predicting too",
    "traced": "its Keras reference is traced, not run eagerly",
}


@dataclass(frozen=True)
class Network:
    """One network of the zoo.

    Attributes:
        name: Its name.
        build: Returns a new compiled model.
        data: Returns features and labels 0..K-1.
        tags: Some of `TAGS`.
        refused: By the way in, what the refusal must say.
        may_refuse: The same, where the right numbers would do as well.
        calm: Builds the network with the same weights whose predictions the toolkit must give; None for its own.
    """

    name: str
    build: Callable[[], keras.Model]
    data: Callable[[], tuple[np.ndarray, np.ndarray]]
    tags: frozenset[str] = frozenset()
    refused: Mapping[str, str] = field(default_factory=dict)
    may_refuse: Mapping[str, str] = field(default_factory=dict)
    calm: Callable[[], keras.Model] | None = None

    def targets(self, model: keras.Model, labels: np.ndarray) -> np.ndarray:
        """Return the labels as the model's loss wants them."""
        loss = str(getattr(model.loss, "name", model.loss))
        if "binary" in loss:
            return labels.astype("float32")[:, None]
        one_hot = loss.startswith("categorical") or "one-hot" in self.tags
        return np.eye(CLASSES, dtype="float32")[labels] if one_hot else labels

    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """Return the probabilities that the outputs of the model mean."""
        outputs = np.asarray(outputs, dtype="float64")
        if outputs.shape[-1] == 1:
            positive = 1 / (1 + np.exp(-outputs)) if "logits" in self.tags else outputs
            return np.concatenate([1 - positive, positive], axis=-1)
        if "logits" not in self.tags:
            return outputs / outputs.sum(axis=-1, keepdims=True) if "half" in self.tags else outputs
        exp = np.exp(outputs - outputs.max(axis=-1, keepdims=True))
        return exp / exp.sum(axis=-1, keepdims=True)


ZOO: dict[str, Network] = {}


def add(name, data, build, *tags, **more):
    """Put a network into the zoo."""
    assert name not in ZOO, name
    assert {*tags} <= {*TAGS}, tags
    ZOO[name] = Network(name, build, data, frozenset(tags), **more)


# Data


def labels(classes=CLASSES):
    return np.arange(EXAMPLES) % classes


def numbers(*shape, classes=CLASSES, dtype="float32"):
    """Clouds of numbers, one for each class."""

    def data():
        y = labels(classes)
        x = np.random.default_rng(0).normal(size=(EXAMPLES, *shape)) + y.reshape(-1, *[1] * len(shape))
        return x.astype(dtype), y

    return data


def tokens(length=5, highest=6, padded=False, classes=CLASSES):
    """Whole numbers 1..highest, of which those past an example's length are 0 if it is padded."""

    def data():
        y, rng = labels(classes), np.random.default_rng(1)
        x = (rng.integers(highest, size=(EXAMPLES, length)) * (y[:, None] + 1)) % highest + 1
        if padded:
            x[np.arange(length) >= rng.integers(2, length + 1, size=(EXAMPLES, 1))] = 0
        return x.astype("int32"), y

    return data


def padded_sequences():
    """Sequences that end with steps of zeros."""
    x, y = numbers(5, 3)()
    x[np.arange(5) >= np.random.default_rng(1).integers(2, 6, size=(EXAMPLES, 1))] = 0
    return x, y


def pictures(size=8, channels=3, dtype="float32"):
    """Images of brightness 0..255."""

    def data():
        y = labels()
        x = np.random.default_rng(2).integers(160, size=(EXAMPLES, size, size, channels)) + 40 * y[:, None, None, None]
        return x.astype(dtype), y

    return data


def words():
    y, rng = labels(), np.random.default_rng(3)
    known = np.array(["red", "green", "blue", "yellow", "black"])
    return known[(rng.integers(2, size=EXAMPLES) + y) % 5][:, None], y


def sentences():
    y, rng = labels(), np.random.default_rng(3)
    known = ["a red dog", "one green cat", "the blue bird sings", "red cats"]
    return np.array(known)[(rng.integers(2, size=EXAMPLES) + y) % 4][:, None], y


# Building


def loss_of(units, logits):
    if units == 1:
        return keras.losses.BinaryCrossentropy(from_logits=logits)
    return keras.losses.SparseCategoricalCrossentropy(from_logits=logits)


def compiled(model, units=CLASSES, logits=True, loss=None, optimizer=None, **settings):
    optimizer = optimizer or keras.optimizers.SGD(0.05, momentum=0.9)
    model.compile(optimizer, loss or loss_of(units, logits), **settings)
    return model


def chain(shape, *layers, dtype=None, units=CLASSES, logits=True, **settings):
    """A compiled sequential model that ends with a dense layer."""
    last = L.Dense(units, activation=None if logits else ("sigmoid" if units == 1 else "softmax"))
    return compiled(keras.Sequential([keras.Input(shape, dtype=dtype), *layers, last]), units, logits, **settings)


def graph(shape, body, dtype=None, **settings):
    """A compiled functional model that ends with a dense layer."""
    inputs = keras.Input(shape, dtype=dtype)
    return compiled(keras.Model(inputs, L.Dense(CLASSES)(body(inputs))), **settings)


def add_chain(name, data, shape, layers, *tags, dtype=None, settings=dict, **more):
    """Put a sequential model of logits into the zoo; `layers` and `settings` are functions that make new ones."""
    add(name, data, lambda: chain(shape, *layers(), dtype=dtype, **settings()), "logits", *tags, **more)


def add_graph(name, data, shape, body, *tags, dtype=None, **more):
    """Put a functional model of logits into the zoo."""
    add(name, data, lambda: graph(shape, body, dtype=dtype), "logits", *tags, **more)


def hidden(units=6, **settings):
    return L.Dense(units, **{"activation": "tanh", **settings})


# Outputs and losses

add("softmax", numbers(5), lambda: chain((5,), hidden(), logits=False), "quick")
add("logits", numbers(5), lambda: chain((5,), hidden()), "logits")
add("sigmoid", numbers(5, classes=2), lambda: chain((5,), hidden(), units=1, logits=False))
add("one logit", numbers(5, classes=2), lambda: chain((5,), hidden(), L.Dropout(0.3), units=1), "logits", "random")
add(
    "categorical",
    numbers(5),
    lambda: chain((5,), hidden(), loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)),
    "logits",
)
add(
    "focal",
    numbers(5),
    lambda: chain((5,), hidden(), logits=False, loss=keras.losses.CategoricalFocalCrossentropy()),
)
add(
    "binary focal",
    numbers(5, classes=2),
    lambda: chain((5,), hidden(), units=1, logits=False, loss=keras.losses.BinaryFocalCrossentropy()),
)
add(
    "softmax layer",
    numbers(5),
    lambda: compiled(
        keras.Sequential([keras.Input((5,)), L.Dense(3), L.Softmax()]), loss="sparse_categorical_crossentropy"
    ),
)
add_chain(
    "metrics",
    numbers(5),
    (5,),
    lambda: [hidden()],
    settings=lambda: {
        "loss": keras.losses.CategoricalCrossentropy(from_logits=True),
        "metrics": [keras.metrics.F1Score(average=None), "accuracy", keras.metrics.TopKCategoricalAccuracy(2)],
        "weighted_metrics": [keras.metrics.CategoricalCrossentropy(from_logits=True)],
    },
)


@registered
def own_loss(y_true, y_pred):
    return 2.0 * keras.losses.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)


@registered
class OwnLoss(keras.losses.SparseCategoricalCrossentropy):
    """A loss class of the user's own, which tells what the outputs mean."""

    def call(self, y_true, y_pred):
        return 2.0 * super().call(y_true, y_pred)


add_chain(
    "own loss function",
    numbers(5),
    (5,),
    lambda: [hidden()],
    settings=lambda: {"loss": own_loss},
    refused=dict.fromkeys(
        ("train", "predict", "mc", "to_keras"), "must be known: its loss .* ends with linear; give head="
    ),
)


@registered
def own_focal(y_true, y_pred):
    return -ops.sum(y_true * (1.0 - y_pred) ** 2 * ops.log(ops.maximum(y_pred, 1e-7)), axis=-1)


@registered
def own_sparse(y_true, y_pred):
    return -ops.log(ops.take_along_axis(y_pred, ops.cast(y_true, "int32")[:, None], axis=1)[:, 0] + 1e-7)


for _name, _loss in (("own focal loss", own_focal), ("own sparse loss", own_sparse), ("squares", "mse")):
    add(
        _name,
        numbers(5),
        lambda loss=_loss: chain((5,), hidden(), L.Dropout(0.2), logits=False, loss=loss),
        "random",
        *([] if _name == "own sparse loss" else ["one-hot"]),
    )
add_chain("own loss class", numbers(5), (5,), lambda: [hidden()], settings=lambda: {"loss": OwnLoss(from_logits=True)})


# Core layers

add_chain("dense and dropout", numbers(5), (5,), lambda: [hidden(), L.Dropout(0.4), hidden()], "quick", "random")
add_chain(
    "einsum dense",
    numbers(4, 3),
    (4, 3),
    lambda: [L.EinsumDense("abc,cd->abd", output_shape=(4, 5), bias_axes="d", activation="tanh"), L.Flatten()],
)
add_chain(
    "embedding",
    tokens(),
    (5,),
    lambda: [L.Embedding(7, 3), L.Flatten(), L.Dropout(0.2)],
    "random",
    "quick",
    dtype="int32",
)
add_chain(
    "embedding with masks",
    tokens(padded=True),
    (5,),
    lambda: [L.Embedding(7, 3, mask_zero=True), L.GlobalAveragePooling1D(), L.Dropout(0.3)],
    "random",
    dtype="int32",
)
add_chain("masking", padded_sequences, (5, 3), lambda: [L.Masking(), L.GRU(4), L.Dropout(0.3)], "random")
add_chain(
    "lambda",
    numbers(5),
    (5,),
    lambda: [L.Lambda(lambda x: 2.0 * x), L.Identity(), hidden(), L.Dropout(0.2)],
    "random",
    refused={"save": "Lambda|lambda"},
    may_refuse={"to_keras": "Lambda|lambda", "checkpoint": "Lambda|lambda"},
)
add(
    "reversible embedding",
    tokens(highest=4),
    lambda: _reversible(),
    "logits",
    "random",
)


def _reversible():
    inputs = keras.Input((5,), dtype="int32")
    both = L.ReversibleEmbedding(6, 4)
    middle = L.Dropout(0.3)(L.GlobalAveragePooling1D()(both(inputs)))
    return compiled(keras.Model(inputs, both(middle, reverse=True)))


# Convolution and pooling

add_chain(
    "convolution 1d",
    numbers(8, 3),
    (8, 3),
    lambda: [
        L.Conv1D(4, 3, activation="relu"),
        L.SeparableConv1D(4, 2),
        L.DepthwiseConv1D(2),
        L.Conv1DTranspose(3, 2),
        L.SpatialDropout1D(0.3),
        L.Flatten(),
    ],
    "random",
)
add_chain(
    "convolution 2d",
    numbers(7, 7, 2),
    (7, 7, 2),
    lambda: [L.Conv2D(4, 3, activation="relu"), L.SpatialDropout2D(0.3), L.MaxPooling2D(), L.Flatten()],
    "random",
)
add_chain(
    "separable convolution 2d",
    numbers(7, 7, 2),
    (7, 7, 2),
    lambda: [
        L.SeparableConv2D(4, 3, strides=2),
        L.DepthwiseConv2D(2, depth_multiplier=2),
        L.Conv2DTranspose(2, 3),
        L.Conv2D(4, 2, groups=2, dilation_rate=2),
        L.Flatten(),
    ],
    "not stacked",
)
add_chain(
    "convolution 3d",
    numbers(4, 4, 4, 1),
    (4, 4, 4, 1),
    lambda: [L.Conv3D(2, 2), L.Conv3DTranspose(2, 2), L.SpatialDropout3D(0.3), L.Flatten()],
    "random",
)
add_chain(
    "pooling 1d",
    numbers(8, 3),
    (8, 3),
    lambda: [L.MaxPooling1D(2, strides=1), L.AveragePooling1D(2, padding="same"), L.GlobalMaxPooling1D()],
)
add_chain(
    "pooling 2d",
    numbers(7, 7, 2),
    (7, 7, 2),
    lambda: [L.AveragePooling2D(2, strides=1), L.MaxPooling2D(2, padding="same"), L.GlobalAveragePooling2D()],
)
add_graph(
    "pooling 3d",
    numbers(4, 4, 4, 2),
    (4, 4, 4, 2),
    lambda x: L.Concatenate()(
        [
            L.GlobalMaxPooling3D()(L.AveragePooling3D(2)(x)),
            L.GlobalAveragePooling3D()(L.MaxPooling3D(2)(x)),
        ]
    ),
)
add_graph("global pooling 2d", numbers(4, 4, 3), (4, 4, 3), lambda x: L.GlobalMaxPooling2D()(x))
add_graph(
    "adaptive pooling",
    numbers(8, 2),
    (8, 2),
    lambda x: L.Concatenate()(
        [
            L.Flatten()(L.AdaptiveAveragePooling1D(3)(x)),
            L.Flatten()(L.AdaptiveMaxPooling1D(2)(x)),
            L.Flatten()(L.AdaptiveAveragePooling2D(2)(L.Reshape((4, 2, 2))(x))),
            L.Flatten()(L.AdaptiveMaxPooling2D(2)(L.Reshape((4, 2, 2))(x))),
            L.Flatten()(L.AdaptiveAveragePooling3D(2)(L.Reshape((4, 2, 2, 1))(x))),
            L.Flatten()(L.AdaptiveMaxPooling3D(2)(L.Reshape((4, 2, 2, 1))(x))),
        ]
    ),
)


# Recurrent layers

add_chain("simple rnn", numbers(4, 3), (4, 3), lambda: [L.SimpleRNN(5, dropout=0.3, recurrent_dropout=0.2)], "random")
add_chain("lstm", numbers(4, 3), (4, 3), lambda: [L.LSTM(4)])
add_chain(
    "lstm with dropout",
    numbers(4, 3),
    (4, 3),
    lambda: [L.LSTM(4, dropout=0.3, recurrent_dropout=0.3)],
    "random",
)
add_chain(
    "two lstm with masks",
    tokens(padded=True),
    (5,),
    lambda: [L.Embedding(7, 3, mask_zero=True), L.LSTM(4, return_sequences=True), L.LSTM(3, dropout=0.3)],
    "random",
    "not stacked",
    dtype="int32",
)
add_chain("gru", numbers(4, 3), (4, 3), lambda: [L.GRU(4, dropout=0.3, recurrent_dropout=0.2)], "random")
add_chain(
    "gru of the other kind",
    numbers(4, 3),
    (4, 3),
    lambda: [L.GRU(4, reset_after=False, go_backwards=True, unroll=True), L.Dropout(0.3)],
    "random",
)
add_chain(
    "bidirectional",
    numbers(4, 3),
    (4, 3),
    lambda: [L.Bidirectional(L.LSTM(3, dropout=0.3, return_sequences=True)), L.Flatten()],
    "random",
)
add_chain(
    "bidirectional with masks",
    padded_sequences,
    (5, 3),
    lambda: [L.Masking(), L.Bidirectional(L.GRU(3, dropout=0.3), merge_mode="sum")],
    "random",
)
add_chain(
    "stacked cells",
    numbers(4, 3),
    (4, 3),
    lambda: [
        L.RNN(
            [
                L.LSTMCell(4, dropout=0.2),
                L.GRUCell(3, recurrent_dropout=0.2),
                L.SimpleRNNCell(3, dropout=0.2, recurrent_dropout=0.2),
            ]
        )
    ],
    "random",
)
add_chain(
    "time distributed",
    numbers(4, 3),
    (4, 3),
    lambda: [L.TimeDistributed(L.Dense(4, activation="relu")), L.TimeDistributed(L.Dropout(0.3)), L.Flatten()],
    "random",
)
add_chain(
    "convolutional lstm 1d",
    numbers(3, 5, 2),
    (3, 5, 2),
    lambda: [L.ConvLSTM1D(2, 3, dropout=0.3, recurrent_dropout=0.2), L.Flatten()],
    "random",
)
add_chain(
    "convolutional lstm 2d",
    numbers(3, 4, 4, 1),
    (3, 4, 4, 1),
    lambda: [L.ConvLSTM2D(2, 2, dropout=0.3), L.Flatten()],
    "random",
)
add_chain(
    "convolutional lstm 3d",
    numbers(2, 3, 3, 3, 1),
    (2, 3, 3, 3, 1),
    lambda: [L.ConvLSTM3D(2, 2), L.Flatten(), L.Dropout(0.2)],
    "random",
)


def _stateful(layer):
    inputs = keras.Input(batch_shape=(11, 4, 3))
    return compiled(keras.Model(inputs, L.Dense(CLASSES)(layer(inputs))))


_STATEFUL = dict.fromkeys(("train", "predict", "mc", "to_keras", "save"), "stateful")
add("stateful lstm", numbers(4, 3), lambda: _stateful(L.LSTM(4, stateful=True, dropout=0.2)), "logits", "random",
    refused=_STATEFUL)  # fmt: skip
add("stateful gru inside", numbers(4, 3), lambda: _stateful(L.Bidirectional(L.GRU(4, stateful=True))), "logits",
    refused=_STATEFUL)  # fmt: skip


# Attention

add_graph(
    "multi-head attention",
    numbers(4, 3),
    (4, 3),
    lambda x: L.Flatten()(L.MultiHeadAttention(2, 3, dropout=0.3)(x, x, use_causal_mask=True)),
    "random",
)
add_graph(
    "multi-head attention with masks",
    tokens(padded=True),
    (5,),
    lambda x: L.GlobalAveragePooling1D()(_attended(L.Embedding(7, 4, mask_zero=True)(x))),
    "random",
    dtype="int32",
)


def _attended(x):
    return L.MultiHeadAttention(2, 3, dropout=0.2)(x, x)


add_graph(
    "attention",
    numbers(4, 3),
    (4, 3),
    lambda x: L.Flatten()(L.Attention(use_scale=True, dropout=0.3)([L.Dense(3)(x), x])),
    "random",
)
add_graph(
    "additive attention",
    numbers(4, 3),
    (4, 3),
    lambda x: L.Flatten()(L.AdditiveAttention(dropout=0.3)([L.Dense(3)(x), x])),
    "random",
)
add_graph(
    "group query attention",
    numbers(4, 3),
    (4, 3),
    lambda x: L.Flatten()(L.GroupQueryAttention(3, 4, 2, dropout=0.3)(x, x)),
    "random",
)


# Normalization and regularization

add_chain(
    "batch normalization",
    numbers(5),
    (5,),
    lambda: [hidden(), L.BatchNormalization(), L.Dropout(0.3)],
    "quick",
    "random",
    "training differs",
)
add_chain(
    "batch normalization with masks",
    padded_sequences,
    (5, 3),
    lambda: [L.Masking(), L.BatchNormalization(momentum=0.8), L.SimpleRNN(4)],
    "not stacked",
)
add_chain(
    "normalizations",
    numbers(4, 4, 4),
    (4, 4, 4),
    lambda: [
        L.LayerNormalization(),
        L.GroupNormalization(2),
        L.Conv2D(3, 2),
        L.RMSNormalization(),
        L.UnitNormalization(),
        L.Flatten(),
    ],
)
add_chain(
    "spectral normalization",
    numbers(5),
    (5,),
    lambda: [L.SpectralNormalization(L.Dense(6)), L.Activation("tanh"), L.Dropout(0.2)],
    "random",
    "not stacked",
    "training differs",
)
add_chain(
    "gaussian dropout and alpha dropout",
    numbers(5),
    (5,),
    lambda: [hidden(), L.GaussianDropout(0.3), hidden(), L.AlphaDropout(0.2)],
    "random",
)
add_chain(
    "noise and activity regularization",
    numbers(5),
    (5,),
    lambda: [L.GaussianNoise(0.3), hidden(), L.ActivityRegularization(l1=0.01, l2=0.01)],
    "random",
)
add_chain(
    "dropout of noise shape",
    numbers(4, 3),
    (4, 3),
    lambda: [L.Dense(4), L.Dropout(0.4, noise_shape=(None, 1, 4)), L.Flatten(), L.Dropout(0.2)],
    "random",
)
add_chain(
    "classic dropout",
    numbers(5),
    (5,),
    lambda: [hidden(), ClassicDropout(0.3)],
    "random",
    "training differs",  # in inference the kept units are scaled
)
add_chain(
    "penalties and constraints",
    numbers(5),
    (5,),
    lambda: [
        L.Dense(
            6,
            activation="relu",
            kernel_regularizer=keras.regularizers.L1L2(0.01, 0.02),
            bias_regularizer="l2",
            activity_regularizer=keras.regularizers.L2(0.01),
            kernel_constraint=keras.constraints.MaxNorm(0.8),
        ),
        L.Dense(5, kernel_constraint="unit_norm", bias_constraint="non_neg"),
        L.Dense(5, kernel_regularizer=keras.regularizers.OrthogonalRegularizer()),
    ],
)


# Preprocessing


def _adapted(layer, data):
    layer.adapt(data()[0])
    return layer


add_chain(
    "rescaling and normalization",
    numbers(5),
    (5,),
    lambda: [L.Rescaling(0.5, offset=0.1), _adapted(L.Normalization(), numbers(5)), hidden(), L.Dropout(0.3)],
    "random",
)
add_chain(
    "discretization",
    numbers(5),
    (5,),
    lambda: [_adapted(L.Discretization(num_bins=4), numbers(5)), L.Embedding(6, 2), L.Flatten()],
)
add_chain(
    "text vectorization",
    sentences,
    (1,),
    lambda: [
        _adapted(L.TextVectorization(output_sequence_length=4), sentences),
        L.Embedding(20, 3, mask_zero=True),
        L.GlobalAveragePooling1D(),
        L.Dropout(0.2),
    ],
    "random",
    "not stacked",
    dtype="string",
)
add_chain(
    "string lookup",
    words,
    (1,),
    lambda: [L.StringLookup(vocabulary=["red", "green", "blue", "yellow"]), L.Embedding(8, 3), L.Flatten()],
    "not stacked",
    dtype="string",
)
add_chain(
    "integer lookup",
    tokens(),
    (5,),
    lambda: [_adapted(L.IntegerLookup(), tokens()), L.Embedding(9, 2), L.Flatten()],
    "not stacked",
    dtype="int32",
)
add_chain(
    "hashing of strings", words, (1,), lambda: [L.Hashing(5), L.Embedding(5, 3), L.Flatten()], "not stacked",
    dtype="string",
)  # fmt: skip
add_chain(
    "hashing of numbers", tokens(), (5,), lambda: [L.Hashing(5), L.Embedding(5, 3), L.Flatten()], "not stacked",
    dtype="int32",
)  # fmt: skip
add_chain(
    "category encoding",
    tokens(),
    (5,),
    lambda: [L.CategoryEncoding(8, output_mode="multi_hot"), hidden(), L.Dropout(0.2)],
    "random",
    "not stacked",
    dtype="int32",
)
add_graph(
    "hashed crossing",
    tokens(length=2),
    (2,),
    lambda x: L.Flatten()(L.Embedding(6, 3)(L.HashedCrossing(6)((x[:, :1], x[:, 1:])))),
    "not stacked",
    dtype="int32",
)
add_chain(
    "images of bytes",
    pictures(dtype="uint8"),
    (8, 8, 3),
    lambda: [
        L.Rescaling(1 / 255),
        L.Resizing(7, 6),
        L.CenterCrop(5, 5),
        L.Conv2D(2, 3, activation="relu"),
        L.Flatten(),
        L.Dropout(0.3),
    ],
    "random",
    "not stacked",
    dtype="uint8",
)
add_chain(
    "spectrograms",
    numbers(64),
    (64,),
    lambda: [
        L.Reshape((64, 1)),
        L.STFTSpectrogram("psd", frame_length=16, frame_step=8, fft_length=16),
        L.Flatten(),
        L.LayerNormalization(),
    ],
    "not stacked",
)
add_chain(
    "mel spectrogram",
    numbers(64),
    (64,),
    lambda: [L.MelSpectrogram(fft_length=16, sequence_stride=8, num_mel_bins=4, sampling_rate=100), L.Flatten()],
    "not stacked",
)
AUGMENTATIONS = {
    "places": lambda: [
        L.RandomFlip(),
        L.RandomRotation(0.1),
        L.RandomTranslation(0.1, 0.1),
        L.RandomZoom(0.1),
    ],
    "crops and holes": lambda: [
        L.RandomCrop(7, 7),
        L.Resizing(7, 7),
        L.RandomErasing(),
        L.RandomPerspective(),
        L.RandomElasticTransform(),
    ],
    "light": lambda: [L.RandomBrightness(0.2), L.RandomContrast(0.2), L.RandomSharpness(0.3), L.RandomGaussianBlur()],
    "colors": lambda: [
        L.RandomColorDegeneration(0.3),
        L.RandomHue(0.1),
        L.RandomSaturation(0.3),
        L.RandomGrayscale(0.5),
        L.RandomInvert(0.5),
        L.RandomPosterization(4),
    ],
    "color jitter": lambda: [
        L.RandomColorJitter(brightness_factor=0.1, contrast_factor=0.1, saturation_factor=0.1, hue_factor=0.1)
    ],
    "mixtures": lambda: [L.MixUp(), L.CutMix()],
    "chosen at random": lambda: [L.RandAugment()],
    "chains": lambda: [L.AugMix(num_chains=2, chain_depth=2)],
}
for _name, _layers in AUGMENTATIONS.items():
    add_chain(
        f"augmentation: {_name}",
        pictures(),
        (8, 8, 3),
        lambda layers=_layers: [*layers(), L.Rescaling(1 / 255), L.Flatten(), L.Dropout(0.3)],
        "random",
        "training differs",
        "not stacked",
        *(["traced"] if _name == "crops and holes" else []),  # they draw otherwise where shapes are known
        *(["levels"] if _name == "chosen at random" else []),  # rounding decides which level a color gets
        *(["own draws"] if _name == "chains" else []),  # AugMix chooses by Python's random while a step is traced
    )
add_chain(
    "augmentation: shear",
    pictures(),
    (8, 8, 3),
    lambda: [L.RandomShear(0.1, 0.1), L.Rescaling(1 / 255), L.Flatten(), L.Dropout(0.3)],
    "random",
    "training differs",
    "not stacked",
    # Keras writes a configuration of it that Keras does not take back.
    may_refuse=dict.fromkeys(("train", "checkpoint", "to_keras", "save"), "RandomShear|random_shear|load"),
)


@registered
class Equalized(L.Layer):
    """Keras' equalization inside a layer, as its own symbolic call returns the input, which no graph can hold."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = L.Equalization()

    def build(self, shape):
        self.inner.build(shape)

    def call(self, x):
        return self.inner(x)


add_chain(
    "levels of images",
    pictures(),
    (8, 8, 3),
    lambda: [
        L.Pipeline([L.AutoContrast(), L.Solarization(0.1, 0.8)]),
        Equalized(),
        L.ContrastLimitedAdaptiveHistogramEqualization(tile_grid_size=(2, 2)),
        L.Rescaling(1 / 255),
        L.Flatten(),
    ],
    "not stacked",
)


# Shapes, merging, activations

add_chain(
    "shapes 1d",
    numbers(6),
    (6,),
    lambda: [
        L.RepeatVector(3),
        L.Permute((2, 1)),
        L.ZeroPadding1D(1),
        L.UpSampling1D(2),
        L.Cropping1D((1, 2)),
        L.Conv1D(2, 2),
        L.Reshape((-1,)),
    ],
)
add_chain(
    "shapes 2d",
    numbers(4, 4, 2),
    (4, 4, 2),
    lambda: [
        L.ZeroPadding2D(1),
        L.UpSampling2D(2, interpolation="bilinear"),
        L.Cropping2D(((1, 2), (2, 1))),
        L.Conv2D(2, 3, strides=2),
        L.Flatten(),
    ],
    "not stacked",
)
add_chain(
    "shapes 3d",
    numbers(3, 3, 3, 1),
    (3, 3, 3, 1),
    lambda: [L.ZeroPadding3D(1), L.UpSampling3D(2), L.Cropping3D(3), L.Flatten()],
)


def _merged(x):
    a, b = hidden()(x), L.Dropout(0.3)(hidden()(x))
    every = [L.Add, L.Subtract, L.Multiply, L.Average, L.Maximum, L.Minimum, L.Concatenate]
    return L.Concatenate()([*(merge()([a, b]) for merge in every), L.Dot(1, normalize=True)([a, b])])


add_graph("merging", numbers(5), (5,), _merged, "random")
add_chain(
    "activations",
    numbers(5),
    (5,),
    lambda: [
        L.Dense(6),
        L.LeakyReLU(0.2),
        L.Dense(6),
        L.PReLU(),
        L.Dense(6),
        L.ELU(),
        L.Dense(6),
        L.ReLU(max_value=3.0, negative_slope=0.1),
        L.Softmax(),
        L.Activation("gelu"),
        L.Dropout(0.2),
    ],
    "random",
)


# Ways to write a model


def _functional(x):
    near = hidden(5)(x)
    return L.Add()([x, L.Dropout(0.3)(near)])


add_graph("functional with a residual", numbers(5), (5,), _functional, "random")


def _nested():
    inner = keras.Sequential([keras.Input((5,)), hidden(4), L.Dropout(0.3)])
    inputs = keras.Input((4,))
    middle = keras.Model(inputs, L.Dropout(0.2)(L.BatchNormalization()(L.Dense(4)(inputs))))
    return [inner, middle]


add_chain("nested", numbers(5), (5,), _nested, "random", "training differs")


def _shared(x):
    layer, drop = hidden(5), L.Dropout(0.3)
    return L.Concatenate()([drop(layer(x)), drop(layer(layer(x)))])


add_graph("shared layers", numbers(5), (5,), _shared, "random")


def _shared_model(x):
    inner = keras.Sequential([keras.Input((5,)), hidden(5), L.Dropout(0.3)])
    return L.Add()([inner(x), inner(L.Rescaling(2.0)(x))])


add_graph("a shared model", numbers(5), (5,), _shared_model, "random")


def _operations(x):
    # Not as many units as a batch has examples: Keras' eager `add` would take a column of them for a bias.
    h = ops.relu(L.Dense(7)(x) - 0.1)
    h = h * ops.sigmoid(L.Dense(7)(x)) + ops.mean(x, axis=-1, keepdims=True)
    return L.Dropout(0.3)(ops.concatenate([h, x[:, :2]], axis=-1))


add_graph("operations in the graph", numbers(5), (5,), _operations, "random")


@registered
class Subclassed(keras.Model):
    """A subclassed model with dropout, guarded by `if training:` or not."""

    def __init__(self, guarded=0.0, rate=0.3, **kwargs):
        super().__init__(**kwargs)
        self.guarded_rate, self.rate = guarded, rate
        self.first, self.out = hidden(), L.Dense(CLASSES)
        self.guarded, self.drop = L.Dropout(guarded), L.Dropout(rate)

    def call(self, x, training=False):
        h = self.first(x)
        if training and self.guarded_rate:
            h = self.guarded(h, training=training)
        return self.out(self.drop(h, training=training))

    def get_config(self):
        return {**super().get_config(), "guarded": self.guarded_rate, "rate": self.rate}


def called(model, data, **settings):
    """A subclassed model that was called on a batch, and so has its weights."""
    model(keras.tree.map_structure(lambda one: one[:2], data()[0]))
    return compiled(model, **settings)


# Several inputs


def several(pack):
    """Numbers, pictures and tokens, put together as a network takes them."""

    def data():
        y = labels()
        return pack(numbers(5)()[0], pictures(4, 1)()[0], tokens()()[0]), y

    return data


def _sides(a, picture, words):
    """What several inputs have in common: a network of each, and dropout where they meet."""
    seen = L.Flatten()(L.Conv2D(2, 2, activation="relu")(picture))
    read = L.GlobalAveragePooling1D()(L.Embedding(7, 3)(words))
    together = L.Concatenate()([L.BatchNormalization()(hidden(4)(a)), seen, read])
    return L.Dense(CLASSES)(L.Dropout(0.4)(together))


def _three(named=False):
    shapes = {"numbers": (5,), "picture": (4, 4, 1), "words": (5,)}
    kinds = {"numbers": "float32", "picture": "float32", "words": "int32"}
    return [keras.Input(shapes[key], dtype=kinds[key], name=key if named else None) for key in shapes]


def _in_a_list():
    inputs = _three()
    return compiled(keras.Model(inputs, _sides(*inputs)))


def _in_a_list_by_name():
    inputs = _three(named=True)
    return compiled(keras.Model(inputs, _sides(*inputs)))


def _in_a_dict():
    inputs = _three(named=True)
    return compiled(keras.Model({one.name: one for one in reversed(inputs)}, _sides(*inputs)))


def _nested_inputs():
    inputs = _three(named=True)
    return compiled(keras.Model({"seen": [inputs[1], inputs[0]], "words": inputs[2]}, _sides(*inputs)))


def _twins():
    inputs, inner = (
        [keras.Input((5,)), keras.Input((5,))],
        keras.Sequential([keras.Input((5,)), hidden(), L.Dropout(0.3)]),
    )
    both = [inner(one) for one in inputs]
    return compiled(keras.Model(inputs, L.Dense(CLASSES)(L.Concatenate()([*both, L.Dot(axes=1)(both)]))))


def _two_inside():
    sides = [keras.Input((5,)), keras.Input((4,))]
    inner = keras.Model(sides, L.Concatenate()([L.Dropout(0.3)(hidden()(sides[0])), sides[1]]))
    return lambda x: inner([x, L.Dense(4)(x)])


@registered
class Reading(keras.Model):
    """A subclassed model of several inputs."""

    def __init__(self, listed=False, **kwargs):
        super().__init__(**kwargs)
        self.listed, self.first, self.embed = listed, hidden(), L.Embedding(7, 3)
        self.drop, self.out = L.Dropout(0.4), L.Dense(CLASSES)

    def call(self, x, training=False):
        a, words = x if self.listed else (x["numbers"], x["words"])
        read = ops.mean(self.embed(words), axis=1)
        return self.out(self.drop(ops.concatenate([self.first(a), read], axis=-1), training=training))

    def get_config(self):
        return {**super().get_config(), "listed": self.listed}


_IN_A_LIST = several(lambda a, picture, words: [a, picture, words])
_IN_A_DICT = several(lambda a, picture, words: {"numbers": a, "picture": picture, "words": words})
_NESTED = several(lambda a, picture, words: {"seen": (picture, a), "words": words})
add("inputs in a list", _IN_A_LIST, _in_a_list, "logits", "random", "training differs", "quick")
add("inputs in a dict", _IN_A_DICT, _in_a_dict, "logits", "random", "training differs")
add("inputs in a list, given by their names", _IN_A_DICT, _in_a_list_by_name, "logits", "random", "training differs")
add("inputs nested", _NESTED, _nested_inputs, "logits", "random", "training differs")
add("twins", several(lambda a, picture, words: (a, a[:, ::-1])), _twins, "logits", "random")
add_graph("two inputs inside", numbers(5), (5,), lambda x: _two_inside()(x), "random")


for _listed, _pack in (
    (True, lambda a, picture, words: [a, words]),
    (False, lambda a, picture, words: {"numbers": a, "words": words}),
):
    _data = several(_pack)
    add(
        f"subclassed with inputs in a {'list' if _listed else 'dict'}",
        _data,
        lambda listed=_listed, data=_data: called(Reading(listed), data),
        "logits",
        "random",
    )


def _text_beside_numbers():
    inputs = {"text": keras.Input((), dtype="string", name="text"), "numbers": keras.Input((5,), name="numbers")}
    known = ["red", "dog", "one", "green", "cat", "the", "blue", "bird", "sings"]
    read = L.TextVectorization(vocabulary=known, output_mode="multi_hot")(inputs["text"])
    together = L.Concatenate()([hidden(4)(read), inputs["numbers"]])
    return compiled(keras.Model(inputs, L.Dense(CLASSES)(L.Dropout(0.3)(together))))


add(
    "text beside numbers",
    lambda: ({"text": sentences()[0][:, 0], "numbers": numbers(5)()[0]}, labels()),
    _text_beside_numbers,
    "logits",
    "random",
    "traced",
    "not stacked",
)

# Subclassed

add("subclassed", numbers(5), lambda: called(Subclassed(), numbers(5)), "logits", "random", "quick")
_GUARDED = {"mc": "training|acted|random layer"}
add(
    "subclassed with guarded dropout",
    numbers(5),
    lambda: called(Subclassed(0.4, 0.0), numbers(5)),
    "logits",
    "random",
    may_refuse=_GUARDED,
)
add(
    "subclassed with guarded dropout beside another",
    numbers(5),
    lambda: called(Subclassed(0.5, 0.1), numbers(5)),
    "logits",
    "random",
    may_refuse=_GUARDED,
)


@registered
class Guard(L.Layer):
    """A layer with dropout inside, guarded by `if training:`."""

    def __init__(self, rate=0.4, **kwargs):
        super().__init__(**kwargs)
        self.rate, self.drop = rate, L.Dropout(rate)

    def call(self, x, training=False):
        return self.drop(x, training=True) if training else x

    def get_config(self):
        return {**super().get_config(), "rate": self.rate}


add_chain(
    "a layer with guarded dropout",
    numbers(5),
    (5,),
    lambda: [hidden(), Guard(), hidden(), L.Dropout(0.1)],
    "random",
    may_refuse=_GUARDED,
)


@registered
class Block(L.Layer):
    """A layer of layers: attention, dropout and normalization with a residual."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.attention, self.drop, self.norm = L.MultiHeadAttention(2, 2), L.Dropout(0.3), L.LayerNormalization()

    def build(self, shape):
        self.attention.build(shape, shape)
        self.norm.build(shape)

    def call(self, x, training=False):
        return self.norm(x + self.drop(self.attention(x, x), training=training))


add_chain("a layer of layers", numbers(4, 3), (4, 3), lambda: [Block(), Block(), L.Flatten()], "random")
add_chain(
    "wrappers of wrappers",
    numbers(2, 4, 3),
    (2, 4, 3),
    lambda: [L.TimeDistributed(L.Bidirectional(L.LSTM(2, dropout=0.2))), L.Flatten()],
    "random",
)


# Numbers of other kinds

add_chain("float64 inputs", numbers(5, dtype="float64"), (5,), lambda: [hidden(), L.Dropout(0.3)], "random")
add_chain(
    "float64 layers",
    numbers(5),
    (5,),
    lambda: [L.Dense(6, activation="tanh", dtype="float64"), L.Dropout(0.3, dtype="float64")],
    "random",
)
add_chain(
    "mixed bfloat16",
    numbers(5),
    (5,),
    lambda: [
        L.Dense(6, activation="tanh", dtype="mixed_bfloat16"),
        L.Dropout(0.3, dtype="mixed_bfloat16"),
        L.BatchNormalization(dtype="mixed_bfloat16"),
    ],
    "random",
    "half",
    "training differs",
)
add(
    "softmax in bfloat16",
    numbers(5),
    lambda: _half_softmax(),
    "half",
)


def _half_softmax():
    layers = [hidden(dtype="mixed_bfloat16"), L.Dense(CLASSES, activation="softmax", dtype="mixed_bfloat16")]
    return compiled(keras.Sequential([keras.Input((5,)), *layers]), logits=False)


add_chain(
    "mixed float16 with loss scaling",
    numbers(5),
    (5,),
    lambda: [hidden(dtype="mixed_float16"), L.Dropout(0.3, dtype="mixed_float16")],
    "random",
    "half",
    "not stacked",
    settings=lambda: {"optimizer": keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.05))},
)


# Training of the user's own


@registered
class Penalty(L.Layer):
    """Adds a loss of what passes through, and a weight of its own."""

    def build(self, shape):
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")

    def call(self, x):
        self.add_loss(0.1 * ops.mean(ops.square(x)))
        return x * self.scale


add_chain("losses that layers add", numbers(5), (5,), lambda: [hidden(), Penalty(), L.Dropout(0.2)], "random")


@registered
class Running(L.Layer):
    """Keeps a running mean while training, as a weight that is not trained."""

    def build(self, shape):
        self.mean = self.add_weight(shape=shape[1:], initializer="zeros", trainable=False, name="mean")

    def call(self, x, training=False):
        if training:
            self.mean.assign(0.9 * self.mean + 0.1 * ops.mean(x, axis=0))
        return x - self.mean


add_chain("running statistics of the user's own", numbers(5), (5,), lambda: [Running(), hidden()], "training differs")
add_chain(
    "a frozen layer",
    numbers(5),
    (5,),
    lambda: [L.Dense(6, trainable=False), L.BatchNormalization(trainable=False), L.Dropout(0.3)],
    "random",
)


@registered
class OwnStep(keras.Model):
    """A functional model with a training step of its own, which clips gradients."""

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x, y, self(x, training=True))
        gradients = [tf.clip_by_value(g, -0.02, 0.02) for g in tape.gradient(loss, self.trainable_variables)]
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        self._loss_tracker.update_state(loss)
        return {"loss": self._loss_tracker.result()}


def _own_step():
    inputs = keras.Input((5,))
    return compiled(OwnStep(inputs, L.Dense(CLASSES)(L.Dropout(0.3)(hidden()(inputs)))))


add("own training step", numbers(5), _own_step, "logits", "random", "not stacked")


@registered
class OwnLossOfModel(keras.Model):
    """A functional model that computes its loss by itself."""

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return 0.5 * super().compute_loss(x, y, y_pred, sample_weight, training)


def _own_loss_of_model():
    inputs = keras.Input((5,))
    return compiled(OwnLossOfModel(inputs, L.Dense(CLASSES)(hidden()(inputs))))


add("own loss of a model", numbers(5), _own_loss_of_model, "logits")


@registered
class OwnOptimizer(keras.optimizers.Optimizer):
    """Moves against the sign-like direction of a running mean."""

    def build(self, variables):
        if not self.built:
            super().build(variables)
            self.moments = self.add_optimizer_variables(variables, "moment")

    def update_step(self, gradient, variable, learning_rate):
        moment = self.moments[self._get_variable_index(variable)]
        self.assign(moment, 0.9 * moment + gradient)
        self.assign_sub(variable, ops.cast(learning_rate, variable.dtype) * ops.tanh(moment))


add_chain(
    "own optimizer",
    numbers(5),
    (5,),
    lambda: [hidden(), L.Dropout(0.3)],
    "random",
    "not stacked",
    settings=lambda: {"optimizer": OwnOptimizer(learning_rate=0.05)},
)


# Layers that draw by themselves


class _Drawing(L.Layer):
    """A layer with a random stream of its own."""

    always = False

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seeds = keras.random.SeedGenerator()

    def call(self, x, training=False):
        return self.disturbed(x) if training or self.always else x


@registered
class OwnDropout(_Drawing):
    def disturbed(self, x):
        return keras.random.dropout(x, 0.4, seed=self.seeds)


@registered
class OwnNoise(_Drawing):
    def disturbed(self, x):
        return x * keras.random.normal(ops.shape(x), 1.0, 0.5, seed=self.seeds)


@registered
class StochasticDepth(_Drawing):
    """Leaves out a whole branch for some examples (Huang et al. 2016)."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.branch = hidden(5)

    def build(self, shape):
        self.branch.build(shape)

    def call(self, x, training=False):
        there = self.branch(x)
        if training:
            kept = keras.random.uniform((ops.shape(x)[0], 1), seed=self.seeds) < 0.6
            return x + ops.cast(kept, x.dtype) * there / 0.6
        return x + there


@registered
class OwnBinomial(_Drawing):
    def disturbed(self, x):
        return x * ops.cast(keras.random.binomial(ops.shape(x), 1, 0.6, seed=self.seeds), x.dtype) / 0.6


@registered
class AlwaysNormal(OwnNoise):
    always = True


@registered
class AlwaysUniform(_Drawing):
    always = True

    def disturbed(self, x):
        return x + keras.random.uniform(ops.shape(x), -1.0, 1.0, seed=self.seeds)


@registered
class RawNoise(L.Layer):
    """Draws from TensorFlow's own stream, which no key steers."""

    def __init__(self, always=False, **kwargs):
        super().__init__(**kwargs)
        self.always = always

    def call(self, x, training=False):
        return x + tf.random.normal(tf.shape(x)) if training or self.always else x

    def get_config(self):
        return {**super().get_config(), "always": self.always}


@registered
class MCDropout(L.Dropout):
    """Dropout that is on while predicting too, as many write it for Monte Carlo dropout."""

    def call(self, inputs, training=None):
        return super().call(inputs, training=True)


@registered
class MCDropoutWithoutArgument(L.Dropout):
    """The same, without the argument."""

    def call(self, inputs):
        return super().call(inputs, training=True)


_MC = {"mc": "random|draw"}
_NO_LAMBDA = dict.fromkeys(("save", "checkpoint"), "random|draw|Lambda|lambda")
_ALWAYS = {"predict": "random|draw", "to_keras": "random|draw"}


def _with(layer):
    return lambda: [hidden(5), layer(), hidden(), L.Dropout(0.1)]


for _name, _layer, _may in (
    ("own dropout", OwnDropout, {}),
    ("own noise", OwnNoise, {}),
    ("stochastic depth", StochasticDepth, {}),
    ("own binomial noise", OwnBinomial, _MC),
):
    add_chain(_name, numbers(5), (5,), _with(_layer), "random", "not stacked", may_refuse=_may or _MC)
add_chain(
    "raw noise while training",
    numbers(5),
    (5,),
    _with(RawNoise),
    "random",
    "own draws",
    "not stacked",
    may_refuse=_MC,
)
for _name, _layer in (("normal", AlwaysNormal), ("uniform", AlwaysUniform), ("raw", lambda: RawNoise(True))):
    add_chain(
        f"{_name} noise while predicting",
        numbers(5),
        (5,),
        _with(_layer),
        "random",
        "own draws",
        "not stacked",
        refused=_ALWAYS,
        may_refuse={"train": "random|draw", "mc": "random|draw", "save": "random|draw"},
    )
add_chain(
    "a lambda that draws",
    numbers(5),
    (5,),
    _with(lambda: L.Lambda(lambda x: x + keras.random.normal(ops.shape(x)))),
    "random",
    "own draws",
    "not stacked",
    refused=_ALWAYS,
    may_refuse={**dict.fromkeys(("train", "mc"), "random|draw"), **_NO_LAMBDA},
)
for _name, _layer in (("with", MCDropout), ("without", MCDropoutWithoutArgument)):
    add_chain(
        f"dropout that is always on, {_name} a training argument",
        numbers(5),
        (5,),
        lambda layer=_layer: [hidden(), layer(0.4), hidden()],
        "random",
        "always random",
        calm=lambda: chain((5,), hidden(), L.Dropout(0.4), hidden()),
        may_refuse={"to_keras": "random|draw|training"},
    )


# What is not there

EXCLUDED = {
    "Layer": "the base class of all layers",
    "Wrapper": "the base class of wrappers, which calls nothing",
    "InputSpec": "no layer",
    "FlaxLayer": "needs JAX",
    "JaxLayer": "needs JAX",
    "TorchModuleWrapper": "needs PyTorch",
    "TFSMLayer": "wraps a SavedModel, which cannot be trained anew or saved as .keras",
    "MaxNumBoundingBoxes": "works on bounding boxes alone, which no classifier takes",
}
