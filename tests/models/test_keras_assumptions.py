"""What the package assumes of Keras and Keras does not promise: a new Keras that breaks one is named here."""

import random

import numpy as np
import pytest

from ensemble_vs_dropout.models import copies
from ensemble_vs_dropout.models.backend import BaseOptimizer, TFOptimizer, keras, keras_random, tf
from ensemble_vs_dropout.training.stateless import DISTRIBUTED


def seed_states(model):
    return [v for v in model.non_trainable_variables if v.name == "seed_generator_state"]


def nested_dropout_model():
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4), keras.layers.Dropout(0.5)])
    return keras.Sequential([keras.Input((4,)), inner, keras.layers.GaussianDropout(0.5), keras.layers.Dense(2)])


def test_every_random_layer_has_one_non_trainable_variable_named_seed_generator_state():
    assert len(seed_states(nested_dropout_model())) == 2
    for layer in (keras.layers.SpatialDropout1D(0.5), keras.layers.LSTM(3, dropout=0.5)):
        model = keras.Sequential([keras.Input((5, 4)), layer])
        assert len(seed_states(model)) == 1


def test_a_seed_state_is_two_numbers_the_first_the_seed():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5, seed=7)])
    (state,) = seed_states(model)
    assert np.asarray(state).tolist() == [7, 0]


def test_a_seed_state_alone_decides_the_mask():
    model = keras.Sequential([keras.Input((50,)), keras.layers.Dropout(0.5)])
    (state,) = seed_states(model)
    x = np.ones((1, 50), "float32")
    masks = []
    for seed in (3, 3, 4):
        state.assign([seed, 0])
        masks.append(np.asarray(model(x, training=True)))
    assert np.array_equal(masks[0], masks[1])
    assert not np.array_equal(masks[0], masks[2])


def test_weights_exclude_the_seed_states_so_set_weights_leaves_them():
    model = nested_dropout_model()
    states = seed_states(model)
    before = [np.asarray(s).copy() for s in states]
    assert all(all(weight is not state for state in states) for weight in model.weights)
    model.set_weights([weight + 1 for weight in model.get_weights()])
    assert all(np.array_equal(a, np.asarray(b)) for a, b in zip(before, states, strict=True))


def test_a_call_set_on_one_layer_instance_is_honoured_and_gone_once_deleted():
    layer = keras.layers.Dropout(0.5)
    model = keras.Sequential([keras.Input((3,)), layer])
    x = np.ones((2, 3), "float32")
    layer.__dict__["call"] = lambda inputs, training=False: inputs * 7
    assert np.asarray(model(x)).tolist() == (x * 7).tolist()
    del layer.__dict__["call"]
    assert np.asarray(model(x)).tolist() == x.tolist()


def test_stateless_call_moves_neither_seed_states_nor_moving_statistics():
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.BatchNormalization(), keras.layers.Dropout(0.5), keras.layers.Dense(2)]
    )
    before = [np.asarray(v).copy() for v in model.variables]
    x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    fixed = list(model.non_trainable_variables)
    _, moved = model.stateless_call(list(model.trainable_variables), fixed, x, training=True)
    assert all(np.array_equal(a, np.asarray(b)) for a, b in zip(before, model.variables, strict=True))
    assert any(not np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(fixed, moved, strict=True))


@pytest.mark.parametrize("initialiser", ["glorot_uniform", "he_normal", "orthogonal", "random_uniform"])
def test_initialisers_draw_from_pythons_global_random_state(initialiser):
    state = random.getstate()
    try:
        kernels = []
        for seed in (5, 5, 6):
            random.seed(seed)
            layer = keras.layers.Dense(4, kernel_initializer=initialiser)
            layer.build((None, 4))
            kernels.append(np.asarray(layer.kernel))
    finally:
        random.setstate(state)
    assert np.array_equal(kernels[0], kernels[1])
    assert not np.array_equal(kernels[0], kernels[2])


def test_a_compiled_model_has_the_steps_the_looped_trainer_calls_and_they_work_inside_a_graph(small):
    model = small()
    x, y = tf.zeros((4, 6)), tf.constant([0, 1, 2, 0])
    model.optimizer.build(model.trainable_variables)
    predicted = model(x, training=False)
    model.compute_loss(x, y, predicted)
    model.compute_metrics(x, y, predicted)
    model.reset_metrics()
    tf.function(model.train_step)((x, y))
    assert set(model.get_metrics_result()) == {"loss", "accuracy"}
    model.reset_metrics()
    tf.function(model.test_step)((x, y))
    assert float(np.asarray(model.get_metrics_result()["accuracy"])) in (0.25, 0.5)
    assert float(np.asarray(model.optimizer.iterations)) == 1


def test_flattened_layers_include_nested_ones_and_the_dropout_inside_multi_head_attention():
    kinds = [type(layer).__name__ for layer in nested_dropout_model()._flatten_layers(include_self=False)]
    assert {"Dropout", "GaussianDropout"} <= set(kinds)
    inputs = keras.Input((4, 3))
    attention = keras.layers.MultiHeadAttention(2, 3, dropout=0.5)(inputs, inputs)
    model = keras.Model(inputs, attention)
    assert any(isinstance(layer, keras.layers.Dropout) for layer in model._flatten_layers(include_self=False))


def test_dropout_divides_what_it_keeps_by_the_keep_probability():
    layer = keras.layers.Dropout(0.2, seed=1)
    values = np.asarray(layer(np.ones((100, 10), "float32"), training=True))
    assert np.allclose(np.unique(values), [0, 1 / 0.8])
    assert np.asarray(layer(np.ones((2, 2), "float32"))).tolist() == [[1, 1], [1, 1]]


@pytest.mark.parametrize("layer", [keras.layers.Dropout(0.5), keras.layers.SpatialDropout1D(0.5)])
def test_layers_drop_through_the_backends_dropout_looked_up_at_each_call(layer, monkeypatch):
    monkeypatch.setattr(keras_random, "dropout", lambda inputs, *_, **__: inputs * 0 + 7)
    assert (layer(np.ones((2, 3, 4)), training=True).numpy() == 7).all()


def test_optimizers_differ_from_their_base_class_in_what_goes_through_distribution():
    for name in DISTRIBUTED:
        assert callable(vars(BaseOptimizer)[name])
        assert callable(vars(TFOptimizer)[name])
    order = keras.optimizers.Nadam.__mro__
    assert order.index(TFOptimizer) < order.index(BaseOptimizer)


def test_a_model_has_what_a_step_of_ours_uses():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    assert model._call_has_training_arg
    assert model._loss_tracker.name == "loss"


class OfLayers(keras.Model):
    def __init__(self):
        super().__init__()
        self.body = [keras.layers.Dense(4), keras.layers.Dropout(0.5), keras.layers.BatchNormalization()]

    def call(self, x, training=False):
        for layer in self.body:
            x = layer(x, training=training) if layer is not self.body[0] else layer(x)
        return keras.ops.softmax(x)


@pytest.mark.slow
def test_what_compiling_and_training_leave_in_a_model_is_what_a_copy_leaves_out():
    """A new attribute of Keras would be carried into copies, and with it the trained program of another model."""
    model, x, y = OfLayers(), np.zeros((4, 3), "float32"), np.arange(4)
    model(x)
    before = {key: id(value) for key, value in vars(model).items()}
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, validation_data=(x, y), verbose=0)
    model.evaluate(x, y, verbose=0)
    model.predict(x, verbose=0)
    changed = {key for key, value in vars(model).items() if before.get(key) != id(value)}
    left_out = copies._OF_TRAINING | copies._OF_THE_OBJECT
    assert not {key for key in changed - left_out if not key.startswith("_self_")}


def test_a_layer_keeps_its_books_where_copies_look_for_them():
    """By what is tracked in these stores, in this order, a copy gets its weights in the order of the model's."""
    model = OfLayers()
    model(np.zeros((4, 3), "float32"))
    assert set(copies._TRACKED) <= set(model._tracker.config)
    for layer in model._flatten_layers():
        for group in ("trainable_variables", "non_trainable_variables"):
            assert list(map(id, layer._tracker.config[group][1])) == list(map(id, getattr(layer, f"_{group}")))
        assert {"_tracker", "_trainable_variables", "_layers", "_losses", "_inbound_nodes"} <= set(vars(layer))
    twin = copies.copy_with(model, lambda layer: False, lambda layer: layer, "twin")
    assert [v.path for v in twin.weights] == [v.path for v in model.weights]
    assert not {id(v) for v in twin.variables} & {id(v) for v in model.variables}
