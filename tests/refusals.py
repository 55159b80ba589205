"""What is refused: the lines of the list in docs/refused.md, each with attempts that must end in that sentence."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from ensemble_vs_dropout.experiments.comparing import compare
from ensemble_vs_dropout.models.backend import keras, tf
from ensemble_vs_dropout.models.losses import GaussianNLL
from ensemble_vs_dropout.predictors import Ensemble, MonteCarloDropout, WeightScaling

L, O = keras.layers, keras.optimizers  # noqa: E741
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(20, 4)).astype("float32"), np.arange(20) % 3
LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


class Attempt(NamedTuple):
    """What a user may try, and words of the sentence that answers."""

    run: Callable[[], object]
    words: str


class Calling(L.Layer):
    """Does in inference mode what it is told."""

    def __init__(self, how, **named):
        super().__init__(**named)
        self.how, self.generator = how, keras.random.SeedGenerator(0)
        self.count = self.add_weight((), trainable=False, name="count")

    def call(self, x):
        return self.how(self, x)


class Guarding(L.Layer):
    """Drops, and doubles what it has, only while it trains."""

    def __init__(self):
        super().__init__()
        self.drop = L.Dropout(0.5)

    def call(self, x, training=False):
        return self.drop(x) * 2 if training else x


class Choosing(L.Layer):
    """Drops by binomial draws."""

    def __init__(self):
        super().__init__()
        self.generator = keras.random.SeedGenerator(0)

    def call(self, x, training=False):
        kept = keras.random.binomial(keras.ops.shape(x), 1, 0.5, seed=self.generator) if training else 1.0
        return x * kept


class OwnStep(keras.Model):
    def __init__(self):
        super().__init__()
        self.drop, self.out = L.Dropout(0.5), L.Dense(3)

    def call(self, x, training=False):
        return self.out(self.drop(x, training=training))

    def train_step(self, data):
        return super().train_step(data)


class OwnCall(keras.Sequential):
    def call(self, inputs, training=None, mask=None):
        return super().call(inputs, training=training, mask=mask) * 2


def network(*layers, out=None, optimizer="sgd", loss=LOGITS, kind=keras.Sequential):
    model = kind([keras.Input((4,)), *layers, out or L.Dense(3)])
    model.compile(optimizer, loss)
    return model


def own_step():
    model = OwnStep()
    model(X[:2])
    model.compile("sgd", LOGITS)
    return model


def two(inputs, outputs):
    given = [keras.Input((4,)) for _ in range(inputs)]
    joined = L.Concatenate()(given) if inputs > 1 else given[0]
    model = keras.Model(given, [L.Dense(3)(joined) for _ in range(outputs)])
    model.compile("sgd", [LOGITS] * outputs)
    return model


def numbers(out=None, loss="mse"):
    return network(out=out or L.Dense(1), loss=loss)


def of_digits(data, rate):
    model = keras.Sequential([keras.Input((8, 8)), L.Flatten(), L.Dropout(rate), L.Dense(1)])
    model.compile("sgd", "mse")
    return model


def recurrent():
    layers = [L.GRU(3, stateful=True, name="gru"), L.Dense(3)]
    model = keras.Sequential([keras.Input(batch_shape=(5, 2, 2)), *layers])
    model.compile("sgd", LOGITS)
    return model


def predict(model, x=X):
    return WeightScaling(model).predict(x)


def fit(build=network, x=X, y=Y, **settings):
    return Ensemble(build, members=2).fit(x, y, verbose=0, **settings)


def stacked(build):
    return fit(build, strategy="stacked")


def loaded_again(model):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        Ensemble.from_models([model]).save(Path(folder) / "e.zip")
        return Ensemble.load(Path(folder) / "e.zip")


def binary(activation, loss="binary_crossentropy"):
    return network(out=L.Dense(1, activation), loss=loss)


def whole_numbers():
    inputs = keras.Input((4,), dtype="int32")
    model = keras.Model(inputs, L.Dense(3)(L.Rescaling(0.1)(inputs)))
    model.compile("sgd", LOGITS)
    return model


def careless(loss):
    return network(out=L.Dense(3, "softmax"), loss=lambda y, p: loss(p))


def one_hot(rows):
    return np.eye(3)[Y] * 0.9 + 0.1 / 3 if rows == "soft" else np.minimum(np.eye(3)[Y] + np.eye(3)[(Y + 1) % 3], 1)


REFUSALS: dict[str, list[Attempt]] = {
    "**Networks** with several outputs; several inputs that are given otherwise than the network takes them.": [
        Attempt(lambda: predict(two(2, 1)), "must be a list of the 2 inputs"),
        Attempt(lambda: predict(two(1, 2)), "must have one output, got 2"),
    ],
    "A loss that is none of Keras' cross-entropies, nor one of [numbers](regression.md), where neither the last "
    "activation nor `head=` tells what the outputs are; or, in training, one that is no lower for the right class than "
    "for a wrong one.": [
        Attempt(lambda: predict(network(out=L.Dense(3), loss="mse")), "must be known: its loss 'mse'"),
        Attempt(lambda: fit(lambda: careless(keras.ops.mean)), "must be lower for the right class"),
    ],
    "Outputs that are no probabilities where the loss expects some: tanh, relu, a softmax over one unit; from a layer "
    "of your own, what is below 0 or does not sum to 1.": [
        Attempt(lambda: predict(binary("tanh")), "ends with tanh, which gives no probabilities"),
        Attempt(lambda: predict(binary("softmax")), "ends with softmax, which is always 1 over one unit"),
        Attempt(lambda: predict(binary(lambda x: x * 9)), "must lie in|between 0 and 1|\\[0, 1\\]"),
    ],
    "A stateful recurrent layer: a prediction would depend on those before it.": [
        Attempt(
            lambda: predict(recurrent()),
            "the layer 'gru' .* is stateful",
        ),
    ],
    "A layer that draws in inference mode too. (Dropout that does is turned off where nothing shall be dropped.)": [
        Attempt(
            lambda: predict(network(Calling(lambda s, x: x + keras.random.normal((4,), seed=s.generator)))),
            "draws by keras.random.normal in inference mode too",
        ),
        Attempt(lambda: predict(network(Calling(lambda _, x: x + tf.random.normal((4,))))), "draws by TensorFlow"),
    ],
    "A layer that mixes the examples of a batch, or that changes a variable, in inference mode.": [
        Attempt(lambda: predict(network(Calling(lambda _, x: x - keras.ops.mean(x, axis=0)))), "change with the batch"),
        Attempt(
            lambda: predict(network(Calling(lambda s, x: x + 0 * tf.cast(s.count._value.assign_add(1.0), x.dtype)))),
            "would change it",
        ),
    ],
    "**Monte Carlo dropout** of a network without a random layer, or of one whose random layers have no effect.": [
        Attempt(lambda: MonteCarloDropout(network()), "has no random layer such as Dropout"),
    ],
    "A layer that calls its dropout only while it trains, and does something else then too.": [
        Attempt(
            lambda: MonteCarloDropout(network(Guarding()), passes=2).predict(X), "calls random layers only while it"
        ),
    ],
    "Draws without a `keras.random.SeedGenerator`, or by other functions than `dropout`, `normal` and `uniform`.": [
        Attempt(
            lambda: MonteCarloDropout(network(L.Lambda(lambda x: keras.random.dropout(x, 0.5))), passes=2).predict(X),
            "without a keras.random.SeedGenerator of its own",
        ),
        Attempt(lambda: MonteCarloDropout(network(Choosing()), passes=2).predict(X), "keras.random.binomial"),
    ],
    "One network of a pass (`materialise`), where the dropout is inside of another layer or of a subclassed model.": [
        Attempt(
            lambda: MonteCarloDropout(own_step(), passes=2, masks="shared").materialise(0),
            "must be functional or sequential",
        ),
        Attempt(
            lambda: MonteCarloDropout(
                network(L.Reshape((2, 2)), L.TimeDistributed(L.Dropout(0.5)), L.Flatten()), passes=2, masks="shared"
            ).materialise(0),
            "acts inside another layer",
        ),
    ],
    '**`strategy="stacked"`** with a training step of your own, averaged weights, accumulated gradients, scaled '
    "losses, or what TensorFlow cannot vectorize: `auto` takes another strategy.": [
        Attempt(lambda: stacked(own_step), "has a train_step of its own"),
        Attempt(lambda: stacked(lambda: network(optimizer=O.SGD(use_ema=True))), "averages weights"),
        Attempt(
            lambda: stacked(lambda: network(optimizer=O.SGD(gradient_accumulation_steps=2))), "accumulates gradients"
        ),
        Attempt(lambda: stacked(lambda: network(optimizer=O.LossScaleOptimizer(O.SGD()))), "scales the loss"),
        Attempt(lambda: stacked(lambda: network(L.SpectralNormalization(L.Dense(5)))), "cannot vectorize its step"),
    ],
    "**Numbers**: standard deviations that are not above 0; targets that are no finite numbers; measures of the other "
    "task; votes, `to_keras` and `compare` of networks that predict a number.": [
        Attempt(lambda: predict(numbers(L.Dense(2), GaussianNLL())), "a standard deviation and must be above 0"),
        Attempt(lambda: fit(numbers, y=np.full(len(X), np.nan)), "must have a label for every example"),
        Attempt(
            lambda: Ensemble(numbers, members=1).evaluate(X, Y, metrics=["error"]), "metric 'error' is not of numbers"
        ),
        Attempt(lambda: WeightScaling(numbers()).predict(X, rule="majority_vote"), "rule must be 'mean' for networks"),
        Attempt(lambda: WeightScaling(numbers()).to_keras(), "this is for classifiers"),
        Attempt(lambda: compare("digits", of_digits, epochs=1, verbose=0), "comparisons are of classifiers"),
    ],
    "**Labels** that are text in `Ensemble.fit`, missing, out of 0..K-1, soft, or several for an example.": [
        Attempt(lambda: fit(y=np.array(["a", "b", "c", "a"] * 5)), "load_dataset|LabelEncoder"),
        Attempt(lambda: fit(y=np.where(Y == 1, np.nan, Y)), "missing"),
        Attempt(lambda: fit(y=Y + 1), r"0\.\.2"),
        Attempt(lambda: fit(y=one_hot("soft")), "argmax"),
        Attempt(lambda: fit(y=one_hot("several")), "multi-label"),
    ],
    "**Features** nested otherwise than the network takes them, missing, NaN, infinite or masked, complex, ragged, of "
    "another shape, no whole numbers where it takes such, tokens that an embedding has no row for, a single example "
    "without its batch axis, or a data set without batches.": [
        Attempt(lambda: predict(whole_numbers(), X * 0.5), "must hold whole numbers"),
        Attempt(lambda: predict(network(L.Embedding(2, 3), L.Flatten()), np.full((3, 4), 5.0)), "is not in"),
        Attempt(lambda: predict(network(), {"x": X}), "^x "),
        Attempt(lambda: predict(network(), X.astype(complex)), "complex"),
        Attempt(lambda: predict(network(), np.ma.masked_less(X, 0)), "masked"),
        Attempt(lambda: predict(network(), X[:, :3]), "shape"),
        Attempt(lambda: predict(network(), X[0]), "batch axis|one example|shape"),
        Attempt(lambda: predict(network(), tf.data.Dataset.from_tensor_slices(X)), "batch"),
        Attempt(lambda: fit(x=np.where(X > 1, np.nan, X)), "finite, got NaN"),
        Attempt(lambda: predict(network(L.ReLU()), np.where(X > 1, np.inf, X)), "finite, got NaN or infinity"),
    ],
    "**Members** that share a layer that learns, so that training one would change the other.": [
        Attempt(lambda: fit(partial(network, L.Dense(4))), "share the variable"),
    ],
    "**Copies and files**: a copy of a functional model with a `call` of its own; `Ensemble.load` without `build=` of "
    "a lambda or a class that is not registered.": [
        Attempt(lambda: WeightScaling(network(kind=OwnCall)).to_keras(), "with a call of its own"),
        Attempt(lambda: loaded_again(network(L.Lambda(lambda x: x * 2, name="twice"))), "twice|[Ll]ambda"),
    ],
}
