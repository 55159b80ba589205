"""Every strategy trains the same members: stacked and unrolled are held to looped, and each trap would show."""

from functools import cache

import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.models.draws import words_by_arithmetic, words_by_operation
from ensemble_vs_dropout.models.programs import forget
from ensemble_vs_dropout.predictors import Ensemble
from ensemble_vs_dropout.training import stacked
from ensemble_vs_dropout.training.masks import own_masks

L, O, R = keras.layers, keras.optimizers, keras.regularizers  # noqa: E741
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
CLASSES, EXAMPLES, BATCH = 3, 22, 8  # the last batch holds 6


def network(shape, *layers, optimizer=None, **compiled):
    def build():
        body = [make() for make in layers]
        model = keras.Sequential([keras.Input(shape), *body, L.Dense(CLASSES)])
        chosen = O.SGD(0.1, momentum=0.9) if optimizer is None else optimizer()
        model.compile(chosen, LOSS, **{"metrics": ["accuracy"], **compiled})
        return model

    return build


def dense(**settings):
    return lambda: L.Dense(6, activation="tanh", **settings)


def flat(*layers, **settings):
    return network((5,), dense(), *layers, **settings), (5,)


def sequence(*layers, **settings):
    return network((4, 3), *layers, **settings), (4, 3)


def image(*layers):
    conv = lambda: L.Conv2D(4, 3, activation="relu")  # noqa: E731
    return network((6, 6, 2), conv, *layers, L.Flatten), (6, 6, 2)


def embedded():
    return network((4,), lambda: L.Embedding(7, 3), L.Flatten), (4,)


PENALTIES = {
    "kernel_regularizer": R.L2(0.01),
    "activity_regularizer": R.L2(0.01),
    "kernel_constraint": keras.constraints.MaxNorm(0.8),
}
SCENARIOS = {  # the zoo has every layer, and test_optimizers.py every optimizer
    "dropout": lambda: flat(lambda: L.Dropout(0.4), dense(), lambda: L.Dropout(0.2)),
    "batch norm": lambda: flat(L.BatchNormalization, lambda: L.Dropout(0.3)),
    "penalties": lambda: (network((5,), dense(**PENALTIES)), (5,)),
    "convolution": lambda: image(lambda: L.SpatialDropout2D(0.3), L.MaxPooling2D),
    "embedding": embedded,
    "attention": lambda: sequence(lambda: SelfAttention(), L.Flatten),
    "adam amsgrad": lambda: flat(optimizer=lambda: O.Adam(0.02, amsgrad=True)),
}
QUICK = ("dropout",)


class SelfAttention(L.Layer):
    def __init__(self):
        super().__init__()
        self.attention = L.MultiHeadAttention(2, 3, dropout=0.3)

    def call(self, x, training=False):
        return self.attention(x, x, training=training)


def data_for(shape, examples=EXAMPLES, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(examples) % CLASSES
    x = rng.normal(size=(examples, *shape)).astype("float32") + labels.reshape(-1, *[1] * len(shape))
    return x, labels


def trained(build, strategy, *arguments, members=3, **settings):
    ensemble = Ensemble(build, members=members, seed=5)
    settings = {"epochs": 3, "batch_size": BATCH, "verbose": 0, **settings}
    histories = ensemble.fit(*arguments, strategy=strategy, **settings)
    return ensemble, histories.drop(columns="seconds")


def everything(model):
    return [*model.variables, *model.optimizer.variables]


def assert_same(first, second, atol=2e-5):
    (a, rows), (b, other_rows) = first, second
    for one, other in zip(a.models, b.models, strict=True):
        for v, w in zip(everything(one), everything(other), strict=True):
            np.testing.assert_allclose(v.numpy(), w.numpy(), atol=atol, rtol=1e-4, err_msg=v.path)
    assert rows[["member", "epoch"]].equals(other_rows[["member", "epoch"]])
    np.testing.assert_allclose(rows, other_rows, atol=max(1e-4, atol), rtol=1e-3)


@cache
def looped(name):
    """A scenario's network and data, and what the looped strategy makes of them, once for both other strategies."""
    build, shape = SCENARIOS[name]()
    x, y = data_for(shape)
    if name == "embedding":
        x = np.abs(x * 3).astype("int32") % 7
    return build, x, y, trained(build, "looped", x, y, validation_data=(x[:9], y[:9]))


def scenarios():
    for name in SCENARIOS:
        marks = [pytest.mark.xdist_group(f"scenario {name}"), *([] if name in QUICK else [pytest.mark.slow])]
        yield pytest.param(name, marks=marks)


@pytest.mark.parametrize("strategy", ["unrolled", "stacked"])
@pytest.mark.parametrize("name", list(scenarios()))
def test_members_are_those_of_the_looped_strategy(name, strategy):
    build, x, y, expected = looped(name)
    assert_same(expected, trained(build, strategy, x, y, validation_data=(x[:9], y[:9])))


# The traps: what would go wrong if members were not each alone


@pytest.mark.slow
def test_each_member_stops_by_its_own_validation_loss_and_gets_its_best_weights_back():
    build, shape = flat(lambda: L.Dropout(0.5), optimizer=lambda: O.Adam(0.1))
    (x, y), (x_val, y_val) = data_for(shape), data_for(shape, seed=1)
    settings = {"validation_data": (x_val, np.roll(y_val, 1)), "epochs": 25, "patience": 2, "members": 5}
    expected = trained(build, "looped", x, y, **settings)
    assert len(set(expected[1].groupby("member").epoch.max())) > 1, "the members should stop at different epochs"
    for strategy in ("unrolled", "stacked"):
        result = trained(build, strategy, x, y, **settings)
        assert_same_weights(expected, result)
        for _, rows in result[1].groupby("member"):
            assert len(rows) == min(25, rows.val_loss.to_numpy().argmin() + 1 + 2)


@pytest.mark.slow
def test_a_member_that_stops_makes_room_for_the_next(monkeypatch):
    monkeypatch.setattr("ensemble_vs_dropout.training.strategy._CACHE", 1)  # two at a time
    build, shape = flat(optimizer=lambda: O.Adam(0.1))
    (x, y), (x_val, y_val) = data_for(shape), data_for(shape, seed=1)
    settings = {"validation_data": (x_val, np.roll(y_val, 1)), "epochs": 20, "patience": 1, "members": 5}
    assert_same_weights(trained(build, "looped", x, y, **settings), trained(build, "stacked", x, y, **settings))


@pytest.mark.parametrize(
    "strategy", ["looped", *(pytest.param(name, marks=pytest.mark.slow) for name in ("unrolled", "stacked"))]
)
def test_a_member_alone_is_that_member_among_others(strategy):
    build, shape = flat(L.BatchNormalization, lambda: L.Dropout(0.5))
    x, y = data_for(shape)
    alone, among = (trained(build, strategy, x, y, members=n, epochs=2)[0].models[0] for n in (1, 3))
    for a, b in zip(everything(alone), everything(among), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["unrolled", "stacked"])
def test_weights_of_classes_and_examples_and_fewer_steps_mean_the_same(strategy):
    build, shape = flat(lambda: L.Dropout(0.3), weighted_metrics=["accuracy"])
    x, y = data_for(shape)
    weights = np.random.default_rng(0).uniform(size=len(x))
    settings = {"class_weight": {0: 3.0, 2: 0.5}, "sample_weight": weights, "validation_split": 0.2}
    settings |= {"steps_per_epoch": 2}
    assert_same(trained(build, "looped", x, y, **settings), trained(build, strategy, x, y, **settings))


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["unrolled", "stacked"])
def test_bfloat16_computes_the_same_members(strategy):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        build, shape = flat(lambda: L.Dropout(0.3))
        x, y = data_for(shape)
        first, second = trained(build, "looped", x, y), trained(build, strategy, x, y)
    finally:
        keras.config.set_dtype_policy("float32")
    assert first[0].models[0].layers[0].compute_dtype == "bfloat16"
    (a, rows), (b, other_rows) = first, second
    hits = [column for column in rows if "accuracy" in column]
    assert_same((a, rows.drop(columns=hits)), (b, other_rows.drop(columns=hits)), atol=3e-2)
    np.testing.assert_allclose(rows[hits], other_rows[hits], atol=2.1 / EXAMPLES)  # rounding may turn two examples


@pytest.mark.slow
def test_float16_trains_unrolled_and_is_refused_stacked_with_the_reason():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        build, shape = flat()
        x, y = data_for(shape)
        assert_same(trained(build, "looped", x, y), trained(build, "unrolled", x, y), atol=3e-2)
        with pytest.raises(InputError, match=r'"stacked" cannot train these members: .*scales the loss.*"unrolled"'):
            trained(build, "stacked", x, y)
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("words", [words_by_operation, words_by_arithmetic])
def test_masks_drop_at_the_rate_and_keep_the_mean(words):
    layer, ones = L.Dropout(0.3, seed=1), np.ones((400, 500), "float32")
    with own_masks(words):
        first, second = (layer(ones, training=True).numpy() for _ in range(2))
    assert set(np.unique(first)) == {0.0, np.float32(1) / np.float32(0.7)}
    spread = np.sqrt(0.3 * 0.7 / ones.size)
    assert abs((first == 0).mean() - 0.3) < 5 * spread
    both = ((first == 0) & (second == 0)).mean()
    assert abs(both - 0.09) < 5 * np.sqrt(0.09 * 0.91 / ones.size)  # the next step's mask is independent of it
    for axis in (0, 1):
        assert abs((first == 0).mean(axis=axis) - 0.3).max() < 5.5 * np.sqrt(0.21 / first.shape[axis])
    assert layer(ones, training=False).numpy().min() == 1


def test_spatial_dropout_drops_whole_maps():
    with own_masks(words_by_arithmetic):
        dropped = L.SpatialDropout2D(0.5, seed=0)(np.ones((8, 3, 3, 16), "float32"), training=True).numpy()
    maps = dropped.reshape(8, 9, 16)
    assert (maps == maps[:, :1]).all()
    assert 0.3 < (maps == 0).mean() < 0.7


def assert_same_weights(first, second, atol=1e-3):
    (a, rows), (b, other_rows) = first, second
    assert rows[["member", "epoch"]].equals(other_rows[["member", "epoch"]])
    for one, other in zip(a.models, b.models, strict=True):
        for v, w in zip(one.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_allclose(v, w, atol=atol)


@pytest.mark.slow
@pytest.mark.parametrize("steps", [stacked.FEW_STEPS, stacked.FEW_STEPS + 1])
def test_recurrent_layers_of_few_steps_are_traced_step_by_step_and_stay_as_they_were(steps):
    seen = []

    class Seen(keras.layers.GRU):
        def call(self, sequences, initial_state=None, mask=None, training=False):
            seen.append(self.unroll)
            return super().call(sequences, initial_state, mask, training)

    Seen.__module__ = keras.layers.GRU.__module__  # a layer of one's own keeps its loop

    def build():
        model = keras.Sequential([keras.Input((steps, 2)), Seen(3), keras.layers.Dense(2)])
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return model

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, steps, 2)).astype("float32"), np.arange(12) % 2
    one, other = (Ensemble(build, members=2, seed=1) for _ in range(2))
    seen.clear()
    one.fit(x, y, strategy="stacked", epochs=2, batch_size=6, verbose=0)
    assert any(seen) == (steps <= stacked.FEW_STEPS)
    assert not any(model.layers[0].unroll for model in one.models)
    other.fit(x, y, strategy="looped", epochs=2, batch_size=6, verbose=0)
    for ours, theirs in zip(one.models, other.models, strict=True):
        for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.slow
def test_members_built_alike_are_trained_by_what_was_traced_before(monkeypatch):
    """The second fit of such a network, on other data and with other seeds, finds what one of its own finds."""
    build = network((5,), lambda: L.Dense(4, "relu"), lambda: L.Dropout(0.4))
    rng, traced = np.random.default_rng(0), []
    own = stacked.stateless.train_step
    monkeypatch.setattr(stacked.stateless, "train_step", lambda *given: traced.append(1) or own(*given))
    settings = {"strategy": "stacked", "epochs": 2, "batch_size": BATCH, "verbose": 0}

    def fitted(seed, examples):
        x, y = rng.normal(size=(examples, 5)).astype("float32"), np.arange(examples) % CLASSES
        members = [Ensemble(build, members=3, seed=seed) for _ in range(2)]
        members[0].fit(x, y, **settings)
        count = len(traced)
        forget()
        members[1].fit(x, y, **settings)
        for one, other in zip(members[0].models, members[1].models, strict=True):
            for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
                np.testing.assert_allclose(a, b, atol=1e-6)
        return count, len(traced)

    forget()
    first, after = fitted(1, EXAMPLES)
    again, _ = fitted(2, EXAMPLES + 1)  # as many whole batches
    assert first > 0
    assert again == after


@pytest.mark.slow
def test_a_recurrent_layer_that_also_sees_a_long_sequence_keeps_its_loop():
    inputs = keras.Input((stacked.FEW_STEPS, 2))
    layer = L.GRU(3)
    long = L.Concatenate(axis=1)([inputs, inputs])
    model = keras.Model(inputs, L.Dense(2)(L.Add()([layer(inputs), layer(long)])))
    with stacked._short_loops_unrolled(model):
        assert not layer.unroll
    short = keras.Model(inputs, L.Dense(2)(L.GRU(3, name="short")(inputs)))
    with stacked._short_loops_unrolled(short):
        assert short.get_layer("short").unroll
    assert not short.get_layer("short").unroll
