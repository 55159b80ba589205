"""Every optimizer of Keras, and some of a user's own, trains as Keras' `fit` does, under every strategy.

The optimizers are found in `keras.optimizers`, so that a new one cannot slip through.
"""

import itertools
from functools import cache

import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.models.backend import BaseOptimizer, keras, tf
from ensemble_vs_dropout.predictors import Ensemble

L, O = keras.layers, keras.optimizers  # noqa: E741
STRATEGIES = ("looped", "unrolled", "stacked")
CLASSES, EXAMPLES, TOKENS = 3, 22, 7
SETTINGS = {"epochs": 2, "batch_size": 8, "shuffle": False, "verbose": 0}  # the last batch holds 6
RATES = {"Adadelta": 5.0, "Lion": 0.01, "Lamb": 0.02}  # of learning; 0.05 else


EMA = {"use_ema": True, "ema_momentum": 0.6}
KINDS = {  # the settings of an optimizer beside its learning rate
    "dense": {},
    "embedding": {},
    "clipnorm": {"clipnorm": 0.05},
    "clipvalue": {"clipvalue": 0.01},
    "global_clipnorm": {"global_clipnorm": 0.1},
    "weight_decay": {"weight_decay": 0.2},
    "schedule": {"learning_rate": 0.6},
    "ema": EMA,
    "ema overwriting": {**EMA, "ema_overwrite_frequency": 2},
    "accumulation": {"gradient_accumulation_steps": 2},
    "clipped and decaying": {"clipnorm": 0.05, "weight_decay": 0.2, "learning_rate": 0.6},
    "averaged and accumulated": {**EMA, "ema_overwrite_frequency": 2, "gradient_accumulation_steps": 2},
}
# What every optimizer is trained with, and how. Where "stacked" refuses, "auto" must train, which is looped here.
WALKED = {
    **dict.fromkeys(("dense", "embedding", "clipnorm", "ema", "accumulation"), STRATEGIES),
    "clipped and decaying": ("stacked",),
    "averaged and accumulated": ("looped",),
}
# Most other settings are the base class's, so that not every optimizer needs all of them.
WHOLLY = {"Adam": STRATEGIES, "MultiOptimizer": ("stacked",), "SGD": ("stacked",)}
QUICK = (("Adam", "embedding"),)
DIVIDED = 'in its step depends on values; use "unrolled"'  # Keras divides sparse gradients with a branch for zeros
DENSE = ("dense", "clipped and decaying", "averaged and accumulated")  # kinds that are walked without an embedding
REFUSED = ("ema", "accum", "averag")  # "stacked" may refuse kinds with such names


def optimizers():
    """Return the concrete optimizers of Keras by name."""
    found = {name: getattr(O, name) for name in dir(O)}
    return {
        name: kind
        for name, kind in found.items()
        if isinstance(kind, type) and issubclass(kind, BaseOptimizer) and kind is not O.Optimizer
    }


def make(name, kind):
    """Return a new optimizer of this name with the settings of this kind."""
    rate, settings = RATES.get(name, 0.05), KINDS[kind]
    falling = settings.get("learning_rate")  # by this factor every two steps
    rate = O.schedules.ExponentialDecay(rate, decay_steps=2, decay_rate=falling) if falling else rate
    settings = {**settings, "learning_rate": rate}
    if name == "LossScaleOptimizer":
        return O.LossScaleOptimizer(O.Adam(**settings), initial_scale=16.0, dynamic_growth_steps=3)
    if name == "MultiOptimizer":
        return O.MultiOptimizer(O.OptimizerMap(O.SGD(**settings), {".*(embeddings|kernel)": O.Adam(**settings)}))
    own = {"SGD": {"momentum": 0.9, "nesterov": True}, "RMSprop": {"momentum": 0.5, "centered": True}}
    return optimizers()[name](**own.get(name, {}), **settings)


def network(optimizer, body=(), shape=(5,)):
    layers = [*body, L.Dense(6, activation="tanh", name="hidden"), L.Dense(CLASSES, name="out")]
    model = keras.Sequential([keras.Input(shape), *layers])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"], jit_compile=False, auto_scale_loss=False)
    return model


def dense(optimizer):
    return network(optimizer)


def embedded(optimizer):
    """A network whose gradients are sparse: rows of the embedding, some of them several times in a batch."""
    return network(optimizer, [L.Embedding(TOKENS, 3, name="embedding"), L.Flatten()], (4,))


def data_for(build):
    rng = np.random.default_rng(0)
    labels = np.arange(EXAMPLES) % CLASSES
    if build is embedded:
        return (rng.integers(TOKENS - 1, size=(EXAMPLES, 4)) * (labels[:, None] + 1)) % TOKENS, labels
    return (rng.normal(size=(EXAMPLES, 5)) + labels[:, None]).astype("float32"), labels


def state(model):
    """Return all that training moves, by path."""
    optimizer = getattr(model.optimizer, "inner_optimizer", None)
    moved = [*model.variables, *model.optimizer.variables, *(optimizer.variables if optimizer else [])]
    return [(variable.path, np.array(variable)) for variable in moved]


def expected_from(build, build_network, eager=True):
    """Return what Keras' `fit` makes of the second member's start; the first is what others are traced from."""
    x, y = data_for(build_network)
    model = Ensemble(build, members=2).models[1]
    before = model.get_weights()
    model.run_eagerly = eager
    model.fit(x, y, **SETTINGS)
    moved = [np.abs(a - b).max() for a, b in zip(model.get_weights(), before, strict=True)]
    assert min(moved) > 1e-5, moved  # every weight; the smallest steps are those of Adafactor's averages
    assert max(moved) > 1e-4
    return state(model)


def assert_trains_as(expected, build, build_network, strategy):
    x, y = data_for(build_network)
    ensemble = Ensemble(build, members=2)
    ensemble.fit(x, y, strategy=strategy, **SETTINGS)
    for (path, value), (_, right) in zip(state(ensemble.models[1]), expected, strict=True):
        np.testing.assert_allclose(value, right, atol=1e-5, rtol=1e-3, err_msg=path)


def refusal_of(expected, build, build_network, strategy):
    """Return the sentence in which "stacked" refuses, where "auto" must train, or "" if it trains."""
    try:
        assert_trains_as(expected, build, build_network, strategy)
    except InputError as error:
        if strategy != "stacked":
            raise
        refusal = str(error)
    else:
        return ""
    assert_trains_as(expected, build, build_network, "auto")
    return refusal


@cache
def expected_of(name, kind):
    build_network = dense if kind in DENSE else embedded
    return expected_from(lambda: build_network(make(name, kind)), build_network)


def cases():
    for name in optimizers():
        wholly = dict.fromkeys(KINDS, WHOLLY.get(name, ()))
        for kind, strategy in itertools.product(KINDS, STRATEGIES):
            if strategy in wholly[kind] or strategy in WALKED.get(kind, ()):
                marks = [pytest.mark.xdist_group(f"{name} {kind}")]  # one process computes what is expected
                marks += [] if (name, kind) in QUICK else [pytest.mark.slow]
                yield pytest.param(name, kind, strategy, marks=marks, id=f"{name}-{kind}-{strategy}")


def test_the_walk_knows_the_optimizers_it_began_with():
    assert {"Adam", "SGD", "LossScaleOptimizer", "MultiOptimizer", "Muon", "ScheduleFreeAdamW"} <= set(optimizers())
    assert "Optimizer" not in optimizers()


@pytest.mark.parametrize(("name", "kind", "strategy"), list(cases()))
def test_an_optimizer_of_keras_trains_as_fit_does(name, kind, strategy, monkeypatch):
    if kind != "embedding":  # whether XLA compiles it is no matter of the settings
        monkeypatch.setattr("ensemble_vs_dropout.training.strategy._compiles_well", lambda layer: False)
    build_network = dense if kind in DENSE else embedded
    expected = expected_of(name, kind)

    def build():
        return build_network(make(name, kind))

    refusal = refusal_of(expected, build, build_network, strategy)
    if refusal and not (refusal.endswith(DIVIDED) and build_network is embedded):
        assert name == "LossScaleOptimizer" or any(word in kind for word in REFUSED), refusal
        assert "optimizer" in refusal


class Signed(O.Optimizer):
    """What Keras' guide shows: an optimizer that overrides `update_step`, with a variable of its own."""

    def __init__(self, learning_rate=0.05, **settings):
        super().__init__(learning_rate=learning_rate, **settings)

    def build(self, variables):
        if not self.built:
            super().build(variables)
            self.means = self.add_optimizer_variables(variables, "mean")

    def update_step(self, gradient, variable, learning_rate):
        mean = self.means[self._get_variable_index(variable)]
        self.assign(mean, 0.5 * mean + 0.5 * gradient)
        self.assign_sub(variable, keras.ops.cast(learning_rate, variable.dtype) * keras.ops.tanh(10 * mean))


class Centralized(O.SGD):
    """One that overrides `apply`: each gradient less its mean, more of it in odd steps."""

    def apply(self, grads, trainable_variables=None):
        odd = keras.ops.cast(self.iterations % 2, "float32")
        centered = [gradient - (0.5 + 0.3 * odd) * keras.ops.mean(gradient) for gradient in grads]
        return super().apply(centered, trainable_variables)


class Normed(O.SGD):
    """One that overrides `_backend_update_step` as Keras' own Nadam does, with a variable for all gradients."""

    def build(self, variables):
        if not self.built:
            super().build(variables)
            self.largest = self.add_variable((), name="largest")

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        norm = keras.ops.sqrt(sum(keras.ops.sum(keras.ops.square(gradient)) for gradient in grads))
        self.assign(self.largest, keras.ops.maximum(self.largest, norm))
        grads = [gradient / self.largest for gradient in grads]
        super()._backend_update_step(grads, trainable_variables, learning_rate)


class Direct(Signed):
    """One that assigns to variables directly, not by the optimizer's `assign`."""

    def update_step(self, gradient, variable, learning_rate):
        mean = self.means[self._get_variable_index(variable)]
        mean.assign(0.5 * mean + 0.5 * gradient)
        variable.assign(variable - keras.ops.cast(learning_rate, variable.dtype) * mean)
        variable.assign_sub(0.01 * mean)


class Numbered(Signed):
    """One whose instances differ in what no configuration tells."""

    made = itertools.count()

    def __init__(self, **settings):
        super().__init__(**settings)
        self.factor = 1.0 + next(self.made) % 2

    def update_step(self, gradient, variable, learning_rate):
        super().update_step(gradient, variable, learning_rate * self.factor)


class Clipping(Signed):
    """One that clips by a rule of its own, in a method that Keras calls."""

    def _clip_gradients(self, grads):
        return [keras.ops.clip(gradient, -0.02, 0.02) for gradient in grads]


class Recorded(O.SGD):
    """One that keeps its step in a raw TensorFlow variable, which Keras does not know."""

    def __init__(self, **settings):
        super().__init__(0.1, **settings)
        self.steps = tf.Variable(1.0, trainable=False)

    def update_step(self, gradient, variable, learning_rate):
        super().update_step(gradient, variable, learning_rate / self.steps)
        self.steps.assign_add(0.5)


OWN = (Signed, Centralized, Normed, Direct, Numbered, Clipping, Recorded)
# State that Keras does not know cannot be stacked: there, a sentence is as good.
REFUSED_OWN = (Numbered, Recorded)


@cache
def expected_of_own(kind):
    return expected_from(lambda: dense(own(kind)), dense, eager=False)


def own(kind):
    return kind(learning_rate=0.1) if issubclass(kind, O.SGD) and kind is not Recorded else kind()


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["unrolled", "stacked"])
@pytest.mark.parametrize("kind", OWN)
def test_an_optimizer_of_the_users_own_trains_as_fit_does(kind, strategy):
    expected = expected_of_own(kind)

    def build():
        return dense(own(kind))

    refusal = refusal_of(expected, build, dense, strategy)
    assert not refusal or kind in REFUSED_OWN, refusal
