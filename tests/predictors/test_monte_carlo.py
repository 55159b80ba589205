"""Monte Carlo dropout: only the random layers act, the model stays as it was, and a seed decides every mask."""

import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.measures import RULES, aggregate
from ensemble_vs_dropout.measures.aggregation import WEIGHTED_RULES
from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.models.random_layers import Chosen, Off, random_layers, tracing
from ensemble_vs_dropout.predictors import MonteCarloDropout, WeightScaling

LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
LAYERS = keras.layers


def compiled(model):
    model.compile("sgd", LOGITS)
    return model


def x_of(*shape):
    return np.random.default_rng(1).normal(size=shape).astype("float32")


def sequence_model(*layers):
    return compiled(keras.Sequential([keras.Input((5, 4)), *layers, LAYERS.Flatten(), LAYERS.Dense(3)]))


@pytest.mark.parametrize("kind", [LAYERS.Attention, LAYERS.AdditiveAttention])
def test_dot_product_and_additive_attention_drop_too(kind):
    inputs = keras.Input((5, 4))
    attended = kind(dropout=0.5)([inputs, inputs])
    model = compiled(keras.Model(inputs, LAYERS.Dense(3)(LAYERS.Flatten()(attended))))
    assert np.ptp(MonteCarloDropout(model, passes=3).predict_members(x_of(6, 5, 4)).probs, axis=0).max() > 1e-3


def test_stacked_recurrent_cells_drop_too():
    model = sequence_model(LAYERS.RNN([LAYERS.LSTMCell(4, dropout=0.5), LAYERS.LSTMCell(4, dropout=0.5)]))
    assert np.ptp(MonteCarloDropout(model, passes=3).predict_members(x_of(6, 5, 4)).probs, axis=0).max() > 1e-3


def test_a_model_that_is_random_in_nothing_is_refused(small):
    for model in (small(rate=0), compiled(keras.Sequential([keras.Input((4,)), LAYERS.Dropout(0.0), LAYERS.Dense(3)]))):
        with pytest.raises(InputError, match=r"has no random layer such as Dropout.*WeightScaling"):
            MonteCarloDropout(model)


def test_random_augmentation_of_inputs_is_no_dropout():
    model = compiled(keras.Sequential([keras.Input((4, 4, 1)), LAYERS.RandomFlip(), LAYERS.Flatten(), LAYERS.Dense(3)]))
    with pytest.raises(InputError, match="has no random layer"):
        MonteCarloDropout(model)


def test_a_layer_that_is_used_twice_is_switched_on_once_and_restored():
    shared = LAYERS.Dropout(0.5)
    inputs = keras.Input((4,))
    model = compiled(keras.Model(inputs, LAYERS.Dense(3)(shared(LAYERS.Dense(4)(shared(inputs))))))
    assert random_layers(model) == [shared]
    assert np.ptp(MonteCarloDropout(model, passes=3).predict_members(x_of(5, 4)).probs, axis=0).any()
    assert "call" not in vars(shared)


# Only dropout


@pytest.mark.slow
def test_batch_norm_keeps_and_uses_its_moving_statistics(small, blobs):
    x, y = blobs(40)
    model = small(rate=1e-7, batch_norm=True, units=(8, 8))
    model.fit(x, y, epochs=3, verbose=0)
    norms = [layer for layer in model.layers if isinstance(layer, LAYERS.BatchNormalization)]
    before = [np.asarray(v).copy() for layer in norms for v in layer.variables]
    # Hardly anything is dropped, so only batch statistics could make a difference; a shifted batch makes it a big one.
    pooled = MonteCarloDropout(model, passes=3).predict(x + 5)
    np.testing.assert_allclose(pooled, WeightScaling(model).predict(x + 5), atol=1e-5)
    after = [np.asarray(v) for layer in norms for v in layer.variables]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    in_training = model(x + 5, training=True)
    assert np.abs(np.asarray(in_training) - model.predict(x + 5, verbose=0)).max() > 0.1


def test_a_dropped_unit_is_zero_and_a_kept_one_is_divided_by_the_keep_probability():
    rate, units = 0.2, 6
    model = compiled(keras.Sequential([keras.Input((units,)), LAYERS.Dropout(rate), LAYERS.Dense(units)]))
    model.set_weights([np.eye(units, dtype="float32"), np.zeros(units, "float32")])
    x = np.linspace(1, 2, units, dtype="float32")[None].repeat(50, axis=0)
    sampler = MonteCarloDropout(model, passes=20, seed=1)
    logs = np.log(sampler.predict_members(x).probs.astype(float))
    kept = 0
    for row in logs.reshape(-1, units):
        # Softmax forgets a common shift; each unit is then one of two values for one and the same shift.
        shifts = [value - row[0] for value in (0, x[0, 0] / (1 - rate))]
        values = [row + shift for shift in shifts]
        legal = [np.minimum(np.abs(v), np.abs(v - x[0] / (1 - rate))).max() for v in values]
        assert min(legal) < 1e-4
        kept += np.count_nonzero(np.abs(values[int(np.argmin(legal))]) > 1e-3)
    assert kept / logs.size == pytest.approx(1 - rate, abs=0.02)


def test_masks_are_drawn_anew_for_each_example(small):
    x = np.ones((40, 6), "float32")
    probs = MonteCarloDropout(small(units=(60,)), passes=2).predict_members(x).probs
    assert len({row.tobytes() for row in probs[0]}) > 20


# Seeds and passes


def test_the_same_seed_gives_the_same_passes_and_another_one_others(small):
    model, x = small(), x_of(20, 6)
    first = MonteCarloDropout(model, passes=4, seed=7)
    probs = first.predict_members(x).probs
    assert np.array_equal(probs, first.predict_members(x).probs)
    assert np.array_equal(probs, MonteCarloDropout(model, passes=4, seed=7).predict_members(x).probs)
    assert not np.array_equal(probs, MonteCarloDropout(model, passes=4, seed=8).predict_members(x).probs)


def test_a_pass_is_the_same_among_fewer_and_among_more(small):
    model, x = small(), x_of(20, 6)
    few = MonteCarloDropout(model, passes=2).predict_members(x).probs
    many = MonteCarloDropout(model, passes=6).predict_members(x).probs
    assert np.array_equal(few, many[:2])


def test_batches_have_masks_of_their_own(small):
    x = np.ones((8, 6), "float32")
    probs = MonteCarloDropout(small(units=(30,)), passes=3).predict_members(x, batch_size=4).probs
    assert not np.array_equal(probs[:, :4], probs[:, 4:])


def test_two_dropout_layers_of_one_pass_draw_different_masks():
    inputs = keras.Input((60,))
    both = LAYERS.Subtract()([LAYERS.Dropout(0.5)(inputs), LAYERS.Dropout(0.5)(inputs)])
    model = compiled(keras.Model(inputs, LAYERS.Dense(3)(both)))
    probs = MonteCarloDropout(model, passes=3).predict_members(np.ones((2, 60), "float32")).probs
    assert np.ptp(probs, axis=0).max() > 1e-3  # equal masks would cancel in every pass


def test_the_models_training_draws_the_masks_it_would_have_drawn_without_us(small):
    model, twin, x = small(), small(), x_of(5, 6)
    for ours, theirs in zip(model.variables, twin.variables, strict=True):
        theirs.assign(ours)
    MonteCarloDropout(model, passes=3).predict_members(x)
    assert np.array_equal(np.asarray(model(x, training=True)), np.asarray(twin(x, training=True)))


def test_weights_set_later_are_the_ones_that_predict(small):
    model, other, x = small(), small(), x_of(9, 6)
    sampler = MonteCarloDropout(model, passes=3)
    before = sampler.predict_members(x).probs
    model.set_weights(other.get_weights())
    after = sampler.predict_members(x).probs
    assert not np.allclose(before, after)
    np.testing.assert_allclose(after, MonteCarloDropout(other, passes=3).predict_members(x).probs, atol=1e-6)


# What it costs


def test_a_random_layer_that_comes_first_makes_every_pass_cost_the_whole_network():
    layers = [LAYERS.Dropout(0.5), LAYERS.Dense(5), LAYERS.Dropout(0.5), LAYERS.Dense(3)]
    model = compiled(keras.Sequential([keras.Input((4,)), *layers]))
    assert MonteCarloDropout(model, passes=7).multiply_adds == 7 * WeightScaling(model).multiply_adds == 7 * 35
    assert MonteCarloDropout(model, passes=7, layers="last").multiply_adds == 4 * 5 + 7 * 5 * 3


def test_what_precedes_the_first_random_layer_costs_once_and_in_models_inside_too(small):
    assert MonteCarloDropout(small(units=(8,)), passes=7).multiply_adds == 6 * 8 + 7 * 8 * 3
    inner = keras.Sequential([keras.Input((5,)), LAYERS.Dense(9), LAYERS.Dropout(0.3), LAYERS.Dense(2)])
    model = compiled(keras.Sequential([keras.Input((4,)), LAYERS.Dense(5), inner, LAYERS.Dense(3)]))
    assert MonteCarloDropout(model, passes=7).multiply_adds == 4 * 5 + 5 * 9 + 7 * (9 * 2 + 2 * 3)


def test_a_random_layer_with_weights_costs_them_in_each_pass():
    model = sequence_model(LAYERS.Dense(6), LAYERS.GRU(2, dropout=0.5, return_sequences=True))
    each = 5 * 3 * (6 * 2 + 2 * 2) + 5 * 2 * 3
    assert MonteCarloDropout(model, passes=7).multiply_adds == 5 * 4 * 6 + 7 * each


# Restoring


def test_the_layers_are_restored_after_an_exception():
    layer = LAYERS.Dropout(0.5)
    model = keras.Sequential([keras.Input((40,)), layer])
    x = np.ones((1, 40), "float32")

    def fail():
        with tracing(model, {id(layer): True}, Off()) as watch:
            model(x, training=False)
            assert [one.name for one in watch.called] == [model.name, layer.name]
            assert "call" in vars(layer)
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        fail()
    assert "call" not in vars(layer)
    assert np.array_equal(np.asarray(layer(x, training=False)), x)
    with tracing(model, {}, Off()):  # the lock is free again
        pass


def test_the_model_is_restored_after_a_prediction_that_failed(small):
    model = small()
    sampler = MonteCarloDropout(model, passes=3)
    with pytest.raises(ValueError, match="x must have shape"):
        sampler.predict_members(np.ones((3, 7), "float32"))
    assert all("call" not in vars(layer) for layer in model.layers)
    x = x_of(4, 6)
    assert np.array_equal(np.asarray(model(x)), np.asarray(model(x)))
    assert sampler.predict_members(x).members == 3


# Rules


@pytest.mark.slow
@pytest.mark.parametrize("rule", [rule for rule in RULES if rule not in WEIGHTED_RULES])
def test_the_pooled_prediction_is_the_pool_of_the_passes(small, rule):
    sampler, x = MonteCarloDropout(small(), passes=7, seed=1), x_of(20, 6)
    for size in (1024, 6):
        expected = aggregate(sampler.predict_members(x, batch_size=size).probs, rule)
        np.testing.assert_allclose(sampler.predict(x, rule=rule, batch_size=size), expected, atol=1e-12)
    assert sampler.predict_members(x).method == "Monte Carlo dropout, 7 passes"


def test_an_unknown_rule_and_impossible_passes_are_refused(small):
    with pytest.raises(InputError, match="unknown rule"):
        MonteCarloDropout(small()).predict(x_of(2, 6), rule="average")
    with pytest.raises(InputError, match="passes must be a whole number of at least 1"):
        MonteCarloDropout(small(), passes=0)


def test_passes_that_are_all_the_same_on_a_layer_that_does_not_act_raise(small, monkeypatch):
    sampler, x = MonteCarloDropout(small(), passes=3), x_of(5, 6)
    monkeypatch.setattr(sampler._passes, "chosen", Chosen([LAYERS.Dropout(0.5, name="elsewhere")], []))
    with pytest.raises(InputError, match=r"'elsewhere' of .* was chosen but does not act"):
        sampler.predict_members(x)


def test_a_small_rate_on_one_example_may_give_equal_passes(small):
    sampler = MonteCarloDropout(small(rate=1e-6, units=(4,)), passes=2)
    assert sampler.predict_members(x_of(1, 6)).members == 2
