"""A function of a model is traced once for all models built alike, and once each where they may differ unseen."""

import gc
import weakref

import numpy as np
import pytest

from ensemble_vs_dropout.models import architecture as architecture_room
from ensemble_vs_dropout.models import programs as programs_room
from ensemble_vs_dropout.models.architecture import architecture, difference, unchanging
from ensemble_vs_dropout.models.backend import keras, tf
from ensemble_vs_dropout.models.classic_dropout import ClassicDropout
from ensemble_vs_dropout.models.programs import Kept, Program, Programs, bound, forget, plan, surroundings
from ensemble_vs_dropout.training.loop import create_variables
from ensemble_vs_dropout.training.looped import train_step


class Shifted(keras.layers.Layer):
    """Adds a constant that its configuration does not tell."""

    def __init__(self, shift, **kwargs):
        super().__init__(**kwargs)
        self.shift = tf.constant(shift)

    def call(self, inputs):
        return inputs + self.shift


def model_of(*layers, loss="mse", optimizer="adam"):
    model = keras.Sequential([keras.Input((3,)), *layers, keras.layers.Dense(1)])
    model.compile(optimizer, loss, metrics=["mae"])
    create_variables(model, BATCH)
    return model


@pytest.fixture(autouse=True)
def _nothing_traced_before():
    forget()


BATCH = (tf.reshape(tf.range(12.0), (4, 3)), tf.ones((4, 1)))


def trained(models, programs):
    for model in models:
        for _ in range(2):
            programs.run(train_step, model, *BATCH)
    return [model.get_weights() for model in models]


def traces(programs):
    return sum(len(known) for known in programs._known.values())


def twins(build):
    """Two models, and two others with the same weights."""
    first, second, third, fourth = (build(i % 2) for i in range(4))
    third.set_weights(first.get_weights())
    fourth.set_weights(second.get_weights())
    return [first, second], [third, fourth]


ALIKE = {
    "dense": lambda i: model_of(keras.layers.Dense(4, "relu")),
    "batch norm, dropout, decay": lambda i: model_of(
        keras.layers.BatchNormalization(),
        keras.layers.Dropout(0.5, seed=3),
        optimizer=keras.optimizers.AdamW(keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.9)),
    ),
    "classic dropout": lambda i: model_of(ClassicDropout(0.5, seed=3)),
    "scaled loss": lambda i: model_of(optimizer=keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1))),
}
UNLIKE = {
    "a constant in a layer": lambda i: model_of(Shifted([float(i), 0.0, 0.0])),
    "a constant in a loss": lambda i: model_of(loss=lambda y, p: (i + 1) * keras.ops.mean((y - p) ** 2)),
    "widths": lambda i: model_of(keras.layers.Dense(4 + i)),
    "rates": lambda i: model_of(keras.layers.Dropout(0.1 + 0.5 * i, seed=3)),
    "optimizers": lambda i: model_of(optimizer=keras.optimizers.SGD(0.1 * (i + 1))),
}


@pytest.mark.slow
@pytest.mark.parametrize("build", [pytest.param(build, id=name) for name, build in {**ALIKE, **UNLIKE}.items()])
def test_what_a_program_does_to_a_model_is_what_one_of_its_own_does(build):
    together, apart = twins(build)
    shared = trained(together, Programs())
    own = [trained([model], Programs())[0] for model in apart]
    for a, b in zip([w for weights in shared for w in weights], [w for weights in own for w in weights], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*ALIKE, *UNLIKE])
def test_only_models_built_alike_of_keras_own_parts_share_a_program(name):
    build, programs = {**ALIKE, **UNLIKE}[name], Programs()
    trained([build(0), build(1)], programs)
    assert traces(programs) == (1 if name in ALIKE else 2)


def test_a_program_takes_any_number_of_examples():
    model, programs = model_of(), Programs()
    for size in (1, 2, 4):
        programs.run(train_step, model, *(part[:size] for part in BATCH))
    assert traces(programs) == 1


def test_a_lambda_or_a_loss_of_the_users_own_has_no_plan():
    assert plan(model_of()) is not None
    assert plan(model_of(keras.layers.Lambda(lambda x: x * 2))) is None
    assert plan(model_of(loss=lambda y, p: keras.ops.mean(p))) is None


def test_a_model_is_described_once_where_models_do_not_change_and_anew_where_they_may():
    model = model_of(keras.layers.Dropout(0.5))
    with unchanging():
        before = plan(model)
        model.layers[0].rate = 0.25
        with unchanging():
            assert plan(model) == before
    assert plan(model) != before


@pytest.mark.slow
def test_what_is_remembered_of_a_model_keeps_it_not_alive_and_is_not_told_of_another():
    with unchanging():
        model = model_of(keras.layers.Dropout(0.5))
        place, gone = id(model), weakref.ref(model)
        plan(model)
        del model
        gc.collect()
        assert gone() is None
        known = architecture_room._REMEMBERED.get()
        other = model_of(keras.layers.Dropout(0.25))
        known["plan", id(other)] = known["plan", place]  # as if it had got the place of the one that is gone
        assert '"rate": 0.25' in plan(other)


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        ([keras.layers.Dropout(0.5)], [keras.layers.Dropout(0.25)], "rate of Dropout (0.5 and 0.25)"),
        ([keras.layers.Dropout(0.5)], [], "layers of Sequential (3 and 2 of them)"),
        ([keras.layers.Dropout(0.5)], [keras.layers.ReLU()], "Dropout in the place of ReLU"),
    ],
)
def test_what_two_architectures_differ_in_is_named(one, other, told):
    assert difference(*(architecture(model_of(*layers)) for layers in (one, other))) == told


def test_a_difference_in_the_optimizer_is_named():
    models = [model_of(optimizer=keras.optimizers.Adam(rate)) for rate in (0.5, 0.25)]
    assert difference(*map(architecture, models)) == "learning_rate of Adam (0.5 and 0.25)"


def test_another_trainer_runs_what_was_traced_for_a_model_built_alike(monkeypatch):
    made = []
    monkeypatch.setattr(programs_room, "Program", lambda *given: made.append(1) or Program(*given))
    (first, second), alone = twins(ALIKE["batch norm, dropout, decay"])
    together = [weights for model in (first, second) for weights in trained([model], Programs())]
    assert len(made) == 1
    for model, weights in zip(alone, together, strict=True):
        forget()
        for one, other in zip(trained([model], Programs())[0], weights, strict=True):
            np.testing.assert_array_equal(one, other)
    assert len(made) == 3


def test_the_model_that_was_traced_may_get_another_optimizer_since():
    model, twin = (model_of(keras.layers.Dense(4, "relu")) for _ in range(2))
    twin.set_weights(model.get_weights())
    start = model.get_weights()
    trained([model], Programs())
    for one in (model, twin):  # the same again, from the start: its variables are others than those that were captured
        one.set_weights(start)
        one.compile("adam", "mse", metrics=["mae"])
        create_variables(one, BATCH)
    found, expected = (trained([one], Programs())[0] for one in (model, twin))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert int(model.optimizer.iterations) == 2


def test_what_keras_is_told_for_all_models_counts_and_where_a_model_is():
    model = model_of(keras.layers.Dense(4))
    before = surroundings(model)
    assert any("device:CPU:0" in str(told) for told in before)
    keras.config.set_epsilon(1e-3)
    try:
        assert surroundings(model) != before
    finally:
        keras.config.set_epsilon(before[0])
    assert surroundings(model) == before


def test_a_body_is_the_same_for_all_or_is_not_kept():
    assert bound(train_step, 3) is bound(train_step, 3)
    model, given = model_of(keras.layers.Dense(4)), (BATCH[0],)

    def inside(model, x):
        return model(x)

    for body, kept in ((inside, False), (lambda model, x: model(x), False), (_called, True)):
        first, second = Programs(), Programs()
        first.run(body, model, *given)
        second.run(body, model, *given)
        assert (traces(second) == 0) == kept


def _called(model, x):
    return model(x)


def test_what_was_used_longest_ago_goes_first_and_nothing_too_large_is_kept():
    kept = Kept(most=2, largest=100)
    kept.put("a", 1, 10)
    kept.put("b", 2, 10)
    assert kept.get("a") == 1
    kept.put("c", 3, 10)
    assert (kept.get("a"), kept.get("b"), kept.get("c")) == (1, None, 3)
    kept.put("d", 4, 95)
    assert (kept.get("c"), kept.get("d")) == (None, 4)
    kept.put("e", 5, 101)
    assert (kept.get("d"), kept.get("e")) == (4, None)
