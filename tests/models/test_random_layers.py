"""Which layers are random is found, whoever calls them and however they draw; what does not fit is named."""

import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.models.backend import keras, tf
from ensemble_vs_dropout.models.random_layers import random_layers
from ensemble_vs_dropout.predictors import Ensemble, ExactDropout, MonteCarloDropout, WeightScaling

L = keras.layers
EXAMPLES, FEATURES = 24, 8
X = np.random.default_rng(0).normal(size=(EXAMPLES, FEATURES)).astype("float32")


class AlwaysOn(L.Dropout):
    """Drops in inference mode too."""

    def call(self, inputs, training=None):
        return super().call(inputs, training=True)


class AlwaysOnWithout(L.Dropout):
    """The same, and takes no `training`."""

    def call(self, inputs):
        return super().call(inputs, training=True)


class AlwaysNoisy(L.GaussianNoise):
    def call(self, inputs, training=None):
        return super().call(inputs, training=True)


class Guarded(L.Layer):
    """Calls its dropout only while it trains, as TensorFlow's guide to subclassing does."""

    more = staticmethod(lambda x: x)

    def __init__(self, **named):
        super().__init__(**named)
        self.dense, self.norm = L.Dense(16, "relu"), L.BatchNormalization()
        self.drop = L.Dropout(0.5, name="inner")

    def call(self, x, training=False):
        x = self.norm(self.dense(x), training=training)
        if training:
            x = self.more(self.drop(x, training=training))
        return x


class GuardedAndMore(Guarded):
    more = staticmethod(lambda x: x * 2)


class StochasticDepth(L.Layer):
    """Leaves out a branch of whole examples, by draws of its own."""

    def __init__(self, rate=0.5, **named):
        super().__init__(**named)
        self.rate, self.seed_generator = rate, keras.random.SeedGenerator(3)
        self.dense = L.Dense(FEATURES)

    def call(self, x, training=False):
        branch = self.dense(x)
        if training:
            drawn = keras.random.uniform((keras.ops.shape(x)[0], 1), seed=self.seed_generator)
            branch = branch * keras.ops.cast(drawn >= self.rate, x.dtype) / (1 - self.rate)
        return x + branch


class DropConnect(L.Layer):
    """Drops weights, the same ones for all examples of a batch."""

    def __init__(self, units, **named):
        super().__init__(**named)
        self.units, self.seed_generator = units, keras.random.SeedGenerator(5)

    def build(self, shape):
        self.kernel = self.add_weight((shape[-1], self.units))

    def call(self, x, training=False):
        kernel = keras.random.dropout(self.kernel, 0.5, seed=self.seed_generator) if training else self.kernel
        return x @ kernel


class OneForAll(L.Layer):
    """One draw without any axis for a whole batch."""

    def __init__(self, **named):
        super().__init__(**named)
        self.seed_generator = keras.random.SeedGenerator(5)

    def call(self, x, training=False):
        return x * (1 + keras.random.normal((), stddev=0.3, seed=self.seed_generator)) if training else x


class Own(keras.Model):
    """A subclassed network that draws itself."""

    def __init__(self):
        super().__init__()
        self.hidden, self.out = L.Dense(16, "relu"), L.Dense(3, "softmax")
        self.generator = keras.random.SeedGenerator(1)

    def call(self, x, training=False):
        x = self.hidden(x)
        if training:
            x = keras.random.dropout(x, 0.5, seed=self.generator)
        return self.out(x)


class GuardedModel(keras.Model):
    """A subclassed network that calls its dropout only while it trains."""

    def __init__(self):
        super().__init__()
        self.hidden, self.drop, self.out = L.Dense(16, "relu"), L.Dropout(0.5), L.Dense(3, "softmax")

    def call(self, x, training=False):
        x = self.hidden(x)
        return self.out(self.drop(x, training=True) if training else x)


class Untold(keras.Model):
    """A subclassed network whose call takes no `training`; its layers hear of it all the same."""

    def __init__(self):
        super().__init__()
        self.hidden, self.drop, self.out = L.Dense(16, "relu"), L.Dropout(0.5), L.Dense(3, "softmax")

    def call(self, x):
        return self.out(self.drop(self.hidden(x)))


def compiled(model):
    if not model.built:
        model(X[:2])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy())
    return model


def network(*layers):
    return compiled(keras.Sequential([keras.Input((FEATURES,)), *layers, L.Dense(3, "softmax")]))


def loop(model, passes):
    draw = tf.function(lambda x: model(x, training=True))
    return np.stack([draw(X) for _ in range(passes)])


ACTING = {
    "always on": lambda: network(L.Dense(16, "relu"), AlwaysOn(0.5)),
    "always on, no training": lambda: network(L.Dense(16, "relu"), AlwaysOnWithout(0.5)),
    "always noisy": lambda: network(AlwaysNoisy(0.5)),
    "stochastic depth": lambda: network(StochasticDepth()),
    "drop connect": lambda: network(DropConnect(16), L.ReLU()),
    "one draw for all": lambda: network(OneForAll()),
    "a model that draws": lambda: compiled(Own()),
    "a model that guards": lambda: compiled(GuardedModel()),
    "a model that takes no training": lambda: compiled(Untold()),
    "a nested model that guards": lambda: network(GuardedModel()),
    "within a wrapper": lambda: network(L.Reshape((4, 2)), L.TimeDistributed(AlwaysOn(0.5)), L.Flatten()),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ACTING)
def test_passes_are_those_of_a_loop_in_training_mode_and_no_batch_changes_them(name):
    model = ACTING[name]()
    sampler = MonteCarloDropout(model, passes=400, seed=1)
    probs = sampler.predict_members(X).probs
    np.testing.assert_allclose(sampler.predict_members(X, batch_size=7).probs, probs, atol=1e-5)
    drawn = loop(model, 400)
    spread = np.sqrt((probs.var(axis=0) + drawn.var(axis=0)) / 400)
    assert (np.abs(probs.mean(axis=0) - drawn.mean(axis=0)) < 6 * spread + 1e-4).all()
    assert 0.8 < probs.std(axis=0).mean() / drawn.std(axis=0).mean() < 1.25
    assert (probs[0] != probs[1]).any()


@pytest.mark.slow
@pytest.mark.parametrize("name", ACTING)
def test_weight_scaling_and_ensembles_predict_with_nothing_drawn(name):
    model = ACTING[name]()
    found = WeightScaling(model).predict(X)
    np.testing.assert_allclose(WeightScaling(model).predict(X, batch_size=5), found, atol=1e-6)
    np.testing.assert_allclose(Ensemble.from_models([model]).predict(X), found, atol=1e-6)
    if "always" not in name and "wrapper" not in name:
        np.testing.assert_allclose(found, model.predict(X, verbose=0), atol=1e-6)
    else:
        off = [layer for layer in model._flatten_layers() if isinstance(layer, (AlwaysOn, AlwaysOnWithout))]
        for layer in off:
            layer.rate = 0.0
        if off:
            np.testing.assert_allclose(found, model.predict(X, verbose=0), atol=1e-6)


@pytest.mark.slow
def test_a_guarded_layer_acts_and_nothing_else_of_its_owner_does():
    model = network(Guarded(), L.Dropout(0.5, name="outer"))
    x, y = X, np.arange(EXAMPLES) % 3
    model.fit(x, y, epochs=2, verbose=0)  # the moving statistics differ from those of a batch
    assert [layer.name for layer in random_layers(model)] == ["inner", "outer"]
    inner = MonteCarloDropout(model, passes=300, layers=["inner"])
    probs = inner.predict_members(x).probs
    block = next(layer for layer in model.layers if isinstance(layer, Guarded))
    hidden = np.asarray(block(x, training=False))
    rng = np.random.default_rng(0)
    by_hand = [np.asarray(model.layers[-1](hidden * (rng.uniform(size=hidden.shape) < 0.5) * 2)) for _ in range(300)]
    spread = np.sqrt((probs.var(axis=0) + np.var(by_hand, axis=0)) / 300)
    assert (np.abs(probs.mean(axis=0) - np.mean(by_hand, axis=0)) < 6 * spread + 1e-4).all()
    np.testing.assert_allclose(inner.predict_members(x, batch_size=5).probs, probs, atol=1e-5)


def test_an_owner_that_does_more_while_it_trains_is_refused_by_name():
    model = network(GuardedAndMore(name="block"))
    with pytest.raises(InputError, match=r"'block' \(GuardedAndMore\) calls random layers only while it trains"):
        MonteCarloDropout(model, passes=3).predict(X)


def test_what_was_not_chosen_is_off_even_where_it_draws_always():
    model = network(L.Dense(16, "relu"), AlwaysOn(0.5, name="always"), L.Dense(16), L.Dropout(0.3, name="other"))
    probs = MonteCarloDropout(model, passes=200, layers=["other"]).predict_members(X).probs
    hidden = model.layers[2](model.layers[0](X))  # without the dropout between
    rng = np.random.default_rng(0)
    kept = [np.asarray(hidden) * (rng.uniform(size=hidden.shape) >= 0.3) / 0.7 for _ in range(200)]
    drawn = np.stack([np.asarray(model.layers[-1](one)) for one in kept])
    spread = np.sqrt((probs.var(axis=0) + drawn.var(axis=0)) / 200)
    assert (np.abs(probs.mean(axis=0) - drawn.mean(axis=0)) < 6 * spread + 1e-4).all()


class DrawsAlways(L.Layer):
    how = None

    def __init__(self, **named):
        super().__init__(**named)
        self.generator = keras.random.SeedGenerator(0)

    def call(self, x):
        return DrawsAlways.how(self, x)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (lambda s, x: x + keras.random.normal(keras.ops.shape(x), seed=s.generator), r"'noisy' .*keras.random.normal"),
        (lambda s, x: x * keras.random.uniform(keras.ops.shape(x), seed=s.generator), "keras.random.uniform in infer"),
        (lambda _, x: x + tf.random.normal(tf.shape(x)), r"draws by TensorFlow \(.*RandomStandardNormal\)"),
        (lambda _, x: tf.nn.dropout(x, 0.5), r"draws by TensorFlow \(.*RandomUniform\)"),
        (lambda _, x: x * tf.random.stateless_uniform(tf.shape(x), (1, 2)), "draws by TensorFlow"),
        (lambda _, x: x - keras.ops.mean(x, axis=0), "change with the batch"),
    ],
)
def test_what_draws_or_mixes_examples_in_inference_mode_is_refused(how, words, monkeypatch):
    monkeypatch.setattr(DrawsAlways, "how", staticmethod(how))
    model = network(DrawsAlways(name="noisy"), L.Dropout(0.5))
    for predict in (
        lambda: WeightScaling(model).predict(X),
        lambda: Ensemble.from_models([model]).predict(X),
        lambda: MonteCarloDropout(model, passes=3, layers=lambda layer: layer.name != "noisy").predict(X),
    ):
        with pytest.raises(InputError, match=words):
            predict()


def test_a_lambda_that_draws_is_refused_or_drawn_by_the_pass():
    model = network(L.Lambda(lambda x: keras.random.dropout(x, 0.5), name="drops"))
    with pytest.raises(InputError, match="SeedGenerator of its own"):
        MonteCarloDropout(model, passes=3).predict(X)
    undropped = np.asarray(model.layers[-1](X))
    np.testing.assert_allclose(WeightScaling(model).predict(X), undropped, atol=1e-6)


def test_dropout_that_is_never_called_is_no_random_layer():
    class Unused(L.Layer):
        def __init__(self):
            super().__init__()
            self.dense, self.drop = L.Dense(4), L.Dropout(0.5, name="unused")

        def call(self, x, training=False):
            return self.dense(x)

    model = network(Unused(), L.Dropout(0.5, name="used"))
    assert [layer.name for layer in random_layers(model)] == ["used"]
    with pytest.raises(InputError, match="got 'unused'"):
        MonteCarloDropout(model, layers=["unused"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "noise_shape"),
    [
        ((4, 6), (None, 1, 6)),
        ((4, 6), (None, 4, 1)),
        ((4, 6), (1, 4, 6)),
        ((4, 6), (1, 1, 6)),
        ((4, 6), (EXAMPLES, 1, 6)),
        ((4, 6), [None, None, 1]),
        ((4, 6), (6,)),
        ((4, 6), (4, 1)),
        ((6,), (6,)),
        ((6,), (1, 6)),
        ((6,), (None, None)),
    ],
)
def test_a_mask_has_its_noise_shape_whatever_the_batch(shape, noise_shape):
    layers = [L.Dropout(0.5, noise_shape=noise_shape, name="drop"), L.Flatten(), L.Dense(3, "softmax")]
    model = compiled(keras.Sequential([keras.Input(shape), *layers]))
    x = np.random.default_rng(0).normal(size=(EXAMPLES, *shape)).astype("float32")
    sampler = MonteCarloDropout(model, passes=6)
    probs = sampler.predict_members(x).probs
    for size in (1, 5):
        np.testing.assert_allclose(sampler.predict_members(x, batch_size=size).probs, probs, atol=1e-6)
    assert (probs[0] != probs[1]).any()
    same = np.repeat(x[:1], EXAMPLES, axis=0)
    alike = sampler.predict_members(same).probs
    shared = len(noise_shape) <= len(shape) or noise_shape[0] == 1
    assert (np.ptp(alike, axis=1).max() < 1e-6) == shared


def test_a_noise_shape_that_fits_no_input_is_told():
    for noise_shape in ((None, 6), (1, 1, 4, 6)):
        layers = [L.Dropout(0.5, noise_shape=noise_shape), L.Flatten(), L.Dense(3, "softmax")]
        model = compiled(keras.Sequential([keras.Input((4, 6)), *layers]))
        with pytest.raises(InputError, match="noise_shape must have an entry for each of the 3 axes"):
            MonteCarloDropout(model, passes=2).predict(np.ones((3, 4, 6), "float32"))


@pytest.mark.slow
def test_exact_dropout_enumerates_the_masks_of_a_guarded_layer_and_of_one_that_is_always_on():
    guarded = network(L.Dense(4, "relu"), GuardedModel4())
    exact = ExactDropout(guarded)
    assert exact.members == 2**4
    off = WeightScaling(guarded).predict(X)
    np.testing.assert_allclose(
        exact.predict(X, rule="mean"), MonteCarloDropout(guarded, passes=3000).predict(X), atol=0.03
    )
    assert np.abs(exact.predict(X, rule="mean") - off).max() > 1e-3
    always = network(L.Dense(4, "relu"), AlwaysOn(0.5))
    assert ExactDropout(always).members == 2**4


class GuardedModel4(L.Layer):
    def __init__(self):
        super().__init__()
        self.drop = L.Dropout(0.5)

    def call(self, x, training=False):
        return self.drop(x, training=True) ** 2 / 2 if training else x**2 / 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", [AlwaysOn, AlwaysOnWithout])
def test_one_model_of_all_members_has_no_dropout_that_is_always_on(kind, tmp_path):
    ensemble = Ensemble(lambda: network(L.Dense(16, "relu"), kind(0.5)), members=2)
    fused = ensemble.to_keras()
    np.testing.assert_allclose(fused.predict(X, verbose=0), ensemble.predict(X), atol=1e-6)
    fused.save(tmp_path / "fused.keras")
    loaded = keras.models.load_model(tmp_path / "fused.keras")
    np.testing.assert_allclose(loaded.predict(X, verbose=0), ensemble.predict(X), atol=1e-6)


class AlwaysOnAndMore(L.Dropout):
    def call(self, inputs, training=None):
        return 3 * super().call(inputs, training=True)


def test_dropout_that_is_always_on_and_does_more_is_not_put_into_one_model():
    model = network(L.Dense(16, "relu"), AlwaysOnAndMore(0.5, name="more"))
    with pytest.raises(InputError, match=r"the layers 'more' of .* draw in inference mode too, and do more than drop"):
        WeightScaling(model).to_keras()
    both = network(L.Dense(16, "relu"), AlwaysOn(0.5, name="always"), L.Dropout(0.5, name="other"))
    sampler = MonteCarloDropout(both, passes=2, masks="shared", layers=["other"])
    with pytest.raises(InputError, match=r"'always' .* was not chosen"):
        sampler.materialise(0)
