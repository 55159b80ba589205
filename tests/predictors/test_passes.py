"""A pass is a matter of its seed, its number and the example: not of batches, of other passes, or of how it is used."""

import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.measures import aggregate, uncertainty
from ensemble_vs_dropout.models.backend import keras, tf
from ensemble_vs_dropout.models.classic_dropout import ClassicDropout
from ensemble_vs_dropout.models.random_layers import Chosen, random_layers
from ensemble_vs_dropout.predictors import MonteCarloDropout, WeightScaling
from ensemble_vs_dropout.predictors.halves import Halves
from ensemble_vs_dropout.predictors.passes import Passes

LAYERS = keras.layers
LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def compiled(model):
    model.compile("sgd", LOGITS)
    return model


def x_of(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def sequence_model(*layers):
    return compiled(keras.Sequential([keras.Input((5, 4)), *layers, LAYERS.Flatten(), LAYERS.Dense(3)]))


def branched():
    inputs = keras.Input((6,))
    first = LAYERS.Dense(8, activation="relu")(inputs)
    left = LAYERS.Dropout(0.5)(LAYERS.Dense(7)(first))
    right = LAYERS.Dense(5, activation="tanh")(first)
    return compiled(keras.Model(inputs, LAYERS.Dense(3)(LAYERS.Concatenate()([left, right]))))


def beside_its_inputs():
    inputs = keras.Input((4,))
    left = LAYERS.Dropout(0.5)(LAYERS.Dense(6, activation="relu")(inputs))
    return compiled(keras.Model(inputs, LAYERS.Dense(3)(LAYERS.Concatenate()([left, inputs]))))


def nested():
    inner = keras.Sequential([keras.Input((6,)), LAYERS.Dense(9, activation="relu"), LAYERS.Dropout(0.3)])
    return compiled(keras.Sequential([keras.Input((6,)), LAYERS.Dense(6), inner, LAYERS.Dense(3)]))


def nested_twice():
    inner = keras.Sequential([keras.Input((4,)), LAYERS.Dense(6), LAYERS.Dropout(0.5)])
    return compiled(keras.Sequential([keras.Input((4,)), keras.Sequential([inner]), LAYERS.Dense(3)]))


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden, self.drop, self.out = LAYERS.Dense(6), LAYERS.Dropout(0.5), LAYERS.Dense(3)

    def call(self, inputs, training=False):
        return self.out(self.drop(self.hidden(inputs), training=training))


def subclassed():
    model = compiled(Subclassed())
    model(np.zeros((1, 6), "float32"))
    return model


def attention():
    inputs = keras.Input((5, 4))
    attended = LAYERS.MultiHeadAttention(2, 3, dropout=0.5)(inputs, inputs)
    return compiled(keras.Model(inputs, LAYERS.Dense(3)(LAYERS.Flatten()(attended))))


def masked():
    layers = [LAYERS.Masking(), LAYERS.Dropout(0.5), LAYERS.LSTM(6, dropout=0.3, recurrent_dropout=0.2)]
    return compiled(keras.Sequential([keras.Input((5, 4)), *layers, LAYERS.Dense(3)]))


MODELS = {
    "branched": (branched, (6,)),
    "beside its inputs": (beside_its_inputs, (4,)),
    "nested": (nested, (6,)),
    "nested twice": (nested_twice, (4,)),
    "subclassed": (subclassed, (6,)),
    "masked": (masked, (5, 4)),
    "attention": (attention, (5, 4)),
    "lstm": (lambda: sequence_model(LAYERS.LSTM(6, dropout=0.5)), (5, 4)),
    "recurrent": (lambda: sequence_model(LAYERS.GRU(6, recurrent_dropout=0.5)), (5, 4)),
    "bidirectional": (lambda: sequence_model(LAYERS.Bidirectional(LAYERS.LSTM(3, dropout=0.5))), (5, 4)),
    "spatial": (lambda: sequence_model(LAYERS.SpatialDropout1D(0.5)), (5, 4)),
    "gaussian dropout": (lambda: sequence_model(LAYERS.GaussianDropout(0.5)), (5, 4)),
    "gaussian noise": (lambda: sequence_model(LAYERS.GaussianNoise(0.5)), (5, 4)),
    "alpha": (lambda: sequence_model(LAYERS.AlphaDropout(0.5)), (5, 4)),
    "classic": (lambda: sequence_model(ClassicDropout(0.5)), (5, 4)),
    "gru": (lambda: sequence_model(LAYERS.GRU(6, dropout=0.5, recurrent_dropout=0.5)), (5, 4)),
    "distributed": (lambda: sequence_model(LAYERS.TimeDistributed(LAYERS.Dropout(0.5))), (5, 4)),
}
QUICK = ("branched", "gaussian dropout", "subclassed")
slow = pytest.mark.slow
every_model = pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in QUICK else slow) for n in MODELS])


@every_model
def test_every_kind_of_model_and_random_layer_acts_and_is_restored(name):
    build, shape = MODELS[name]
    model, x = build(), x_of(6, *shape)
    outputs = model.predict(x, verbose=0)  # Keras' recurrent layers move their seed state even here
    before = [np.asarray(v).copy() for v in model.variables]
    probs = MonteCarloDropout(model, passes=4, seed=2).predict_members(x).probs
    assert np.ptp(probs, axis=0).max() > 1e-3
    assert len({pass_.tobytes() for pass_ in probs}) == 4
    assert all(np.array_equal(a, np.asarray(b)) for a, b in zip(before, model.variables, strict=True))
    np.testing.assert_array_equal(model.predict(x, verbose=0), outputs)
    assert all("call" not in vars(layer) for layer in model._flatten_layers())


# Seeds


@every_model
@pytest.mark.parametrize("masks", ["per_example", "shared"])
def test_a_pass_is_the_same_whatever_the_batch_and_the_number_of_passes(name, masks):
    build, shape = MODELS[name]
    model, x = build(), x_of(11, *shape)
    whole = MonteCarloDropout(model, passes=6, seed=3, masks=masks).predict_members(x).probs
    few = MonteCarloDropout(model, passes=2, seed=3, masks=masks)
    for size in (1, 4, 11):
        np.testing.assert_allclose(few.predict_members(x, batch_size=size).probs, whole[:2], atol=2e-6)
    assert np.ptp(whole, axis=0).max() > 1e-3


def test_each_example_has_masks_of_its_own_or_all_have_one(small):
    x = np.ones((30, 6), "float32")
    own = MonteCarloDropout(small(units=(60,)), passes=2).predict_members(x).probs
    assert len({row.tobytes() for row in own[0]}) > 20
    shared = MonteCarloDropout(small(units=(60,)), passes=3, masks="shared").predict_members(x).probs
    assert np.ptp(shared, axis=1).max() < 1e-6
    assert np.ptp(shared, axis=0).max() > 1e-3


def test_rates_are_kept_and_units_are_independent():
    for rate in (0.1, 0.25, 0.5, 0.9):
        model = compiled(keras.Sequential([keras.Input((200,)), LAYERS.Dropout(rate), LAYERS.Dense(2)]))
        kept = dropped_units(model, np.ones((100, 200), "float32"), passes=5) > 0
        spread = np.sqrt(rate * (1 - rate) / kept.size)
        assert abs(kept.mean() - (1 - rate)) < 5 * spread
        z = kept.reshape(-1, 200).astype(float) - kept.mean()
        between = (z[:, :-1] * z[:, 1:]).mean()  # neighbours in a word
        assert abs(between) < 5 * rate * (1 - rate) / np.sqrt(kept.size)


def dropped_units(model, x, passes):
    """What the first dropout layer gives in each pass."""
    layer = random_layers(model)[0]
    probe = keras.Model(model.inputs, layer.output)
    probe.compile("sgd", LOGITS)
    passing = Passes(probe, Chosen([layer], []), _Raw(), 0, False)
    return passing(x, 0, passing.keys(0, passes))


class _Raw:
    def predicted(self, outputs):
        return outputs


@pytest.mark.slow
def test_gaussian_draws_have_their_moments():
    model = compiled(keras.Sequential([keras.Input((300,)), LAYERS.GaussianDropout(0.2), LAYERS.Dense(2)]))
    drawn = dropped_units(model, np.ones((200, 300), "float32"), passes=3)
    assert drawn.mean() == pytest.approx(1, abs=5 * 0.5 / np.sqrt(drawn.size))
    assert drawn.var() == pytest.approx(0.2 / 0.8, rel=0.02)
    scaled = (drawn - 1) / 0.5
    assert (scaled**3).mean() == pytest.approx(0, abs=0.03)
    assert (scaled**4).mean() == pytest.approx(3, abs=0.1)


# What is computed once


def test_what_precedes_the_first_random_layer_is_computed_once_and_in_nested_models_too():
    for build, once, each in ((branched, 3, 3), (nested, 2, 2)):
        model = build()
        told = Halves(model, random_layers(model)).describe()
        assert told.startswith(f"{once} of the {once + each} operations of"), told
    model = subclassed()
    assert "is subclassed, so that all of it is computed in each pass" in Halves(model, random_layers(model)).describe()


@every_model
def test_the_two_halves_make_the_whole(name):
    build, shape = MODELS[name]
    model, x = build(), tf.constant(x_of(5, *shape))
    halves = Halves(model, random_layers(model))
    np.testing.assert_allclose(halves.second(halves.first(x)), model(x, training=False), atol=1e-6)
    repeated = halves.second(halves.first(x), 3)
    np.testing.assert_allclose(repeated, np.repeat(model(x, training=False), 3, axis=0), atol=1e-6)


def test_the_first_half_runs_once_for_all_passes():
    calls = []

    class Counting(LAYERS.Layer):
        def call(self, inputs):
            tf.py_function(lambda: calls.append(1), [], [])
            return inputs

    model = compiled(keras.Sequential([keras.Input((4,)), Counting(), LAYERS.Dropout(0.5), LAYERS.Dense(3)]))
    sampler, x = MonteCarloDropout(model, passes=20), x_of(6, 4)
    sampler.predict(x)  # the first prediction of a layer of one's own is looked at in two ways
    calls.clear()
    sampler.predict(x[:1])
    assert len(calls) == 1


def test_verbose_2_says_what_is_computed_once(capsys):
    MonteCarloDropout(nested(), passes=2, verbose=2)
    assert "computed once" in capsys.readouterr().err


# Which layers


def test_layers_chooses_which_of_them_act():
    model = compiled(
        keras.Sequential(
            [
                keras.Input((6,)),
                LAYERS.Dropout(0.5, name="early"),
                LAYERS.Dense(8, activation="relu"),
                LAYERS.Dropout(0.5, name="late"),
                LAYERS.Dense(3),
            ]
        )
    )
    x = x_of(7, 6)
    one_by_one = [MonteCarloDropout(model, passes=3, layers=choice) for choice in ("late", ["late"], "last")]
    first = one_by_one[0].predict_members(x).probs
    for other in one_by_one[1:]:
        np.testing.assert_array_equal(other.predict_members(x).probs, first)
    chosen = MonteCarloDropout(model, passes=3, layers=lambda layer: layer.name == "late").predict_members(x).probs
    np.testing.assert_array_equal(chosen, first)
    assert not np.allclose(MonteCarloDropout(model, passes=3).predict_members(x).probs, first)
    with pytest.raises(InputError, match=r"names of random layers of .*early, late; got 'middle'"):
        MonteCarloDropout(model, layers=["middle"])
    with pytest.raises(InputError, match="must choose at least one"):
        MonteCarloDropout(model, layers=lambda layer: False)
    with pytest.raises(InputError, match="unknown masks 'fixed'"):
        MonteCarloDropout(model, masks="fixed")


# Streaming and sources


def test_streamed_predictions_do_not_depend_on_how_many_passes_are_held(small, monkeypatch):
    model, x = small(), x_of(13, 6)
    whole = MonteCarloDropout(model, passes=9, seed=2)
    expected = {rule: whole.predict(x, rule=rule) for rule in ("mean", "geometric_mean", "majority_vote")}
    unsure = whole.predict_uncertainty(x)
    monkeypatch.setattr("ensemble_vs_dropout.predictors.monte_carlo._AT_ONCE", 60)
    for rule, pooled in expected.items():
        np.testing.assert_allclose(whole.predict(x, rule=rule, batch_size=7), pooled, atol=1e-6)
    np.testing.assert_allclose(whole.predict_uncertainty(x, batch_size=7), unsure, atol=1e-6)
    np.testing.assert_allclose(unsure, uncertainty(whole.predict_members(x).probs), atol=1e-9)


def test_data_sets_generators_of_batches_and_mapped_files_predict_as_arrays_do(small, tmp_path):
    model, x = small(), x_of(23, 6)
    sampler = MonteCarloDropout(model, passes=3)
    expected = sampler.predict_members(x).probs
    batches = tf.data.Dataset.from_tensor_slices((x, np.zeros(23))).batch(5)

    class Source(keras.utils.PyDataset):
        def __len__(self):
            return 5

        def __getitem__(self, number):
            return x[number * 5 : number * 5 + 5], np.zeros(5)

    np.save(tmp_path / "x.npy", x)
    for source in (batches, Source(), np.load(tmp_path / "x.npy", mmap_mode="r"), x.astype("float64"), x.tolist()):
        np.testing.assert_allclose(sampler.predict_members(source).probs, expected, atol=1e-6)
        np.testing.assert_allclose(sampler.predict(source), aggregate(expected), atol=1e-6)
    with pytest.raises(InputError, match="at least one example"):
        sampler.predict(x[:0])
    with pytest.raises(InputError, match="at least one batch"):
        sampler.predict(batches.take(0))


def test_members_that_memory_does_not_hold_are_refused_with_their_size_and_advice(small):
    sampler = MonteCarloDropout(small(), passes=100)
    x = x_of(50, 6)
    with pytest.raises(InputError, match=r"100 members for 50 examples and 3 classes take 60,000 bytes.*predict\(x"):
        sampler.predict_members(x, memory_limit=59_999)
    assert sampler.predict_members(x, memory_limit=60_000).members == 100
    with pytest.raises(InputError, match="memory_limit"):
        sampler.predict_members(tf.data.Dataset.from_tensor_slices(x).batch(10), memory_limit=20_000)


# Guards


def test_passes_that_are_the_same_though_many_units_were_dropped_raise():
    model = compiled(keras.Sequential([keras.Input((40,)), LAYERS.Dropout(0.5), LAYERS.Dense(3)]))
    model.set_weights([np.zeros((40, 3)), np.zeros(3)])
    with pytest.raises(InputError, match=r"all 5 passes of .* are the same, though about 400 units were dropped"):
        MonteCarloDropout(model, passes=5).predict(np.ones((4, 40), "float32"))


def test_a_layer_that_changes_itself_in_inference_mode_raises_and_has_not_changed():
    class Restless(LAYERS.Layer):
        def build(self, shape):
            self.seen = self.add_weight(shape=(), trainable=False, initializer="zeros")

        def call(self, inputs):
            self.seen._value.assign_add(1.0)
            return inputs

    model = compiled(keras.Sequential([keras.Input((4,)), LAYERS.Dropout(0.5), Restless(), LAYERS.Dense(3)]))
    with pytest.raises(InputError, match=r"would change it .*even in inference mode"):
        MonteCarloDropout(model, passes=2).predict(x_of(3, 4))
    assert float(model.layers[1].seen) == 0


# One mask as one network


MATERIALISED = {
    "branched": (branched, (6,)),
    "nested": (nested, (6,)),
    "spatial": MODELS["spatial"],
    "gaussian dropout": MODELS["gaussian dropout"],
    "gaussian noise": MODELS["gaussian noise"],
    "alpha": MODELS["alpha"],
    "classic": MODELS["classic"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in QUICK else slow) for n in MATERIALISED])
def test_a_materialised_pass_is_a_plain_model_that_predicts_what_the_pass_does(name, tmp_path):
    build, shape = MATERIALISED[name]
    model, x = build(), x_of(9, *shape)
    sampler = MonteCarloDropout(model, passes=3, seed=5, masks="shared")
    probs = sampler.predict_members(x).probs
    for t in (0, 2):
        thin = sampler.materialise(t)
        np.testing.assert_allclose(WeightScaling(thin).predict(x), probs[t], atol=1e-6)
        assert not random_layers(thin)
        thin.save(tmp_path / "thin.keras")
        loaded = keras.models.load_model(tmp_path / "thin.keras", safe_mode=True)
        np.testing.assert_allclose(loaded.predict(x, verbose=0), thin.predict(x, verbose=0), atol=1e-6)
    fused = sampler.to_keras("geometric_mean")
    np.testing.assert_allclose(fused.predict(x, verbose=0), aggregate(probs, "geometric_mean"), atol=1e-6)


def test_what_cannot_be_materialised_says_why(small):
    with pytest.raises(InputError, match='needs masks="shared"'):
        MonteCarloDropout(small(), passes=2).materialise(0)
    with pytest.raises(InputError, match="must be functional or sequential"):
        MonteCarloDropout(subclassed(), passes=2, masks="shared").materialise(0)
    with pytest.raises(InputError, match="does more than multiply and add"):
        MonteCarloDropout(MODELS["gru"][0](), passes=2, masks="shared").materialise(0)
    shared = LAYERS.Dropout(0.5)
    inputs = keras.Input((4,))
    twice = compiled(keras.Model(inputs, LAYERS.Dense(3)(shared(LAYERS.Dense(4)(shared(inputs))))))
    with pytest.raises(InputError, match="used more than once"):
        MonteCarloDropout(twice, passes=2, masks="shared").materialise(0)


# Stopping early


@pytest.mark.slow
def test_adaptive_votes_are_those_of_the_passes_they_took_and_settle_on_the_label_of_all(small, blobs):
    x, y = blobs(300)
    model = small(rate=0.4, units=(12,))
    model.fit(x, y, epochs=20, verbose=0)
    plain = MonteCarloDropout(model, passes=100, seed=1)
    votes = plain.predict_members(x).probs.argmax(axis=2)
    early = MonteCarloDropout(model, passes=100, seed=1, adaptive=0.05)
    shares = early.predict(x, rule="majority_vote", batch_size=70)
    used = early.passes_used
    assert used.min() < 20
    assert used.max() == 100 or used.mean() < 50
    for example in range(300):
        counted = np.bincount(votes[: used[example], example], minlength=3) / used[example]
        np.testing.assert_allclose(shares[example], counted, atol=1e-12)
    everyone = np.array([np.bincount(votes[:, i], minlength=3).argmax() for i in range(300)])
    assert (shares.argmax(axis=1) != everyone).mean() < 0.05


def test_adaptive_says_what_it_saved_and_refuses_other_rules(small, capsys):
    sampler = MonteCarloDropout(small(), passes=20, adaptive=0.05, verbose=2)
    sampler.predict(x_of(10, 6), rule="majority_vote")
    assert "of 20 passes an example were drawn" in capsys.readouterr().err
    with pytest.raises(InputError, match="use rule=\"majority_vote\", got 'mean'"):
        sampler.predict(x_of(10, 6))
    for wrong in (0.0, 1.0, 5, "yes"):
        with pytest.raises(InputError, match="adaptive must be None or a probability of error"):
            MonteCarloDropout(small(), adaptive=wrong)


@pytest.mark.slow
def test_outputs_that_are_no_probabilities_raise_with_the_member_and_the_sum():
    unknown = LAYERS.Lambda(keras.ops.relu)  # a known activation is refused before
    model = keras.Sequential([keras.Input((4,)), LAYERS.Dropout(0.5), LAYERS.Dense(3), unknown])
    model.compile("sgd", "sparse_categorical_crossentropy")  # which expects probabilities
    for predictor in (WeightScaling(model), MonteCarloDropout(model, passes=3)):
        for method in (predictor.predict, predictor.predict_members, predictor.predict_uncertainty):
            with pytest.raises(
                InputError, match=r"member \d, sum to .* and not to 1 for example \d; if the model gives logits"
            ):
                method(x_of(5, 4))
