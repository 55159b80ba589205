"""Members are independent, each the same whatever stands beside it, and the caller's world is left alone."""

import random

import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.predictors import Ensemble
from ensemble_vs_dropout.training.looped import mask_states
from ensemble_vs_dropout.training.schedule import Part, Schedule


def same(a, b):
    return all(np.array_equal(p, q) for p, q in zip(a, b, strict=True))


def weights(ensemble):
    return [model.get_weights() for model in ensemble.models]


# Independence and reproducibility


@pytest.mark.slow
def test_a_member_is_the_same_alone_among_more_and_after_add_members(small, blobs):
    x, y = blobs(40)
    settings = {"epochs": 2, "batch_size": 16, "verbose": 0}
    alone = Ensemble(small, members=1, seed=4)
    alone.fit(x, y, **settings)
    among = Ensemble(small, members=3, seed=4)
    among.fit(x, y, **settings)
    grown = Ensemble(small, members=1, seed=4)
    grown.fit(x, y, **settings)
    grown.add_members(2)
    grown.fit(x, y, **settings)
    assert same(weights(alone)[0], weights(among)[0])
    for a, b in zip(weights(among), weights(grown), strict=True):
        assert same(a, b)
    assert among.histories.drop(columns="seconds").equals(grown.histories.drop(columns="seconds"))


def test_what_was_drawn_before_from_the_global_streams_changes_no_member(small):
    first = weights(Ensemble(small, members=2, seed=1))
    random.random()
    np.random.random(7)  # noqa: NPY002  # the global stream is the point
    keras.layers.Dense(3).build((None, 2))
    assert all(same(a, b) for a, b in zip(first, weights(Ensemble(small, members=2, seed=1)), strict=True))


def test_another_seed_gives_other_members(small):
    first, second = weights(Ensemble(small, members=1)), weights(Ensemble(small, members=1, seed=1))
    assert not np.array_equal(first[0][0], second[0][0])


def test_members_start_from_different_weights(small):
    kernels = [w[0] for w in weights(Ensemble(small, members=4))]
    assert len({kernel.tobytes() for kernel in kernels}) == 4


def test_members_and_epochs_have_orders_of_their_own_that_are_whole(blobs):
    schedule = Schedule(train=Part(*blobs(30)), seed=0, epochs=2, batch_size=8)
    orders = [schedule.order(member, epoch) for member in range(3) for epoch in (1, 2)]
    assert all(np.array_equal(rows, places) for rows, places in orders)  # of features, and of labels
    assert all(np.array_equal(np.sort(places), np.arange(30)) for _, places in orders)
    assert len({order.tobytes() for order in orders}) == 6
    assert np.array_equal(schedule.order(2, 1), Schedule(Part(*blobs(30)), 0, 9, 3).order(2, 1))
    assert np.array_equal(Schedule(Part(*blobs(30)), 0, 2, 8, shuffle=False).order(1, 2)[1], np.arange(30))


def test_the_order_alone_makes_members_of_one_start_differ(small, blobs):
    x, y = blobs(40)
    ensemble = Ensemble(lambda: small(rate=0), members=2)
    ensemble.models[1].set_weights(ensemble.models[0].get_weights())
    ensemble.fit(x, y, batch_size=8, verbose=0)
    assert not same(*weights(ensemble))
    straight = Ensemble(lambda: small(rate=0), members=2)
    straight.models[1].set_weights(straight.models[0].get_weights())
    straight.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    assert same(*weights(straight))


@pytest.mark.parametrize("seed", [None, 1], ids=["free", "fixed by the builder"])
def test_members_drop_different_units_even_where_the_builder_fixes_the_dropouts_seed(seed):
    def build():
        model = keras.Sequential(
            [keras.Input((40,)), keras.layers.Dropout(0.5, seed=seed), keras.layers.Dropout(0.1, seed=seed)]
        )
        model.add(keras.layers.Dense(2))
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return model

    ensemble = Ensemble(build, members=3)
    states = [np.asarray(state).tolist() for model in ensemble.models for state in mask_states(model)]
    assert len({tuple(state) for state in states}) == 6
    x = np.ones((1, 40), "float32")
    masks = [np.asarray(model.layers[0](x, training=True)).tobytes() for model in ensemble.models]
    assert len(set(masks)) == 3


def test_building_and_fitting_leave_the_global_random_states_alone(small, blobs):
    x, y = blobs(20)

    def build():
        random.random()
        np.random.random()  # noqa: NPY002  # as a user's builder may
        return small()

    before = random.getstate(), np.random.get_state()  # noqa: NPY002
    ensemble = Ensemble(build, members=2)
    ensemble.fit(x, y, validation_data=(x, y), patience=1, epochs=2, verbose=0)
    ensemble.add_members(1)
    ensemble.predict(x)
    after = random.getstate(), np.random.get_state()  # noqa: NPY002
    assert before[0] == after[0]
    assert np.array_equal(before[1][1], after[1][1])
    assert before[1][2:] == after[1][2:]


def test_a_builder_that_fails_leaves_the_global_random_state_alone():
    def build():
        random.random()
        raise RuntimeError("no network today")

    before = random.getstate()
    with pytest.raises(RuntimeError, match="no network today"):
        Ensemble(build)
    assert random.getstate() == before


# Test data steer nothing


@pytest.mark.slow
def test_watched_test_data_steer_nothing(small, blobs):
    x, y = blobs(40, noise=3.0)
    validation, (x_test, y_test) = blobs(30, seed=1, noise=3.0), blobs(30, seed=2)
    results = []
    for labels in (y_test, np.random.default_rng(0).permutation(y_test)):
        ensemble = Ensemble(small, members=1)
        histories = ensemble.fit(
            x, y, validation_data=validation, epochs=12, patience=2, watch={"test": (x_test, labels)}, verbose=0
        )
        results.append((ensemble, histories))
    (first, rows), (second, other_rows) = results
    assert not rows.test_loss.equals(other_rows.test_loss)
    assert rows.val_loss.equals(other_rows.val_loss)
    assert same(weights(first)[0], weights(second)[0])
    unwatched = Ensemble(small, members=1)
    unwatched.fit(x, y, validation_data=validation, epochs=12, patience=2, verbose=0)
    assert same(weights(first)[0], weights(unwatched)[0])


def test_a_watched_part_cannot_take_the_place_of_the_validation_data(small, blobs):
    validation, test = blobs(20, seed=1), blobs(20, seed=2)
    with pytest.raises(InputError, match="val"):
        Ensemble(small, members=1).fit(
            *blobs(20), validation_data=validation, patience=1, watch={"val": test}, verbose=0
        )


# Histories and reports


def test_histories_have_one_row_per_member_and_epoch_with_these_columns(small, blobs):
    x, y = blobs(20)
    ensemble = Ensemble(small, members=2)
    assert ensemble.histories.columns.tolist() == ["member", "epoch", "loss", "seconds"]
    histories = ensemble.fit(x, y, validation_data=(x, y), watch={"test": (x, y)}, epochs=3, verbose=0)
    assert histories.columns.tolist() == [
        "member", "epoch", "loss", "accuracy", "val_loss", "val_accuracy", "test_loss", "test_accuracy", "seconds",
    ]  # fmt: skip
    assert histories.member.tolist() == [0, 0, 0, 1, 1, 1]
    assert histories.epoch.tolist() == [1, 2, 3, 1, 2, 3]
    assert histories.val_loss.equals(histories.test_loss.rename("val_loss"))
    assert (histories.seconds > 0).all()
    assert histories.equals(ensemble.histories)


def test_each_epoch_of_each_member_is_reported_once_with_its_logs(small, blobs):
    x, y = blobs(20)
    ends = []
    histories = Ensemble(small, members=2).fit(x, y, epochs=2, on_epoch=ends.append, verbose=0)
    assert [(end.member, end.epoch, end.epochs, end.stopped) for end in ends] == [
        (0, 1, 2, False), (0, 2, 2, True), (1, 1, 2, False), (1, 2, 2, True),
    ]  # fmt: skip
    assert [end.logs["loss"] for end in ends] == histories.loss.tolist()


def test_fit_again_trains_only_members_that_are_new(small, blobs):
    x, y = blobs(20)
    ensemble = Ensemble(small, members=1)
    ensemble.fit(x, y, verbose=0)
    trained = weights(ensemble)[0]
    ends = []
    ensemble.add_members(1)
    ensemble.fit(x, y, on_epoch=ends.append, verbose=0)
    assert [end.member for end in ends] == [1]
    assert same(weights(ensemble)[0], trained)


def test_silent_means_silent_and_2_means_a_line_per_epoch(small, blobs, capfd):
    x, y = blobs(20)
    Ensemble(small, members=1).fit(x, y, epochs=2, verbose=0)
    assert "epoch" not in capfd.readouterr().err
    Ensemble(small, members=2).fit(x, y, epochs=2, verbose=2)
    lines = [line for line in capfd.readouterr().err.splitlines() if "epoch" in line]
    assert len(lines) == 4
    assert lines[3].startswith("network 2 of 2, epoch 2 of 2: loss ")


@pytest.mark.slow
def test_fit_after_an_interruption_in_the_same_ensemble_equals_an_uninterrupted_one(small, blobs):
    x, y = blobs(30)
    settings = {"epochs": 3, "batch_size": 8, "verbose": 0}
    whole = Ensemble(small, members=2)
    whole.fit(x, y, **settings)

    def interrupt(end):
        if (end.member, end.epoch) == (1, 2):
            raise KeyboardInterrupt

    broken = Ensemble(small, members=2)
    with pytest.raises(KeyboardInterrupt):
        broken.fit(x, y, on_epoch=interrupt, **settings)
    broken.fit(x, y, **settings)
    assert same(weights(whole)[0], weights(broken)[0])
    assert same(weights(whole)[1], weights(broken)[1])


# Prediction


def test_one_member_predicts_as_its_model_alone(small, blobs):
    x, _ = blobs(20)
    ensemble = Ensemble(lambda: small(head="probabilities"), members=1)
    expected = ensemble.models[0].predict(x, verbose=0)
    np.testing.assert_allclose(ensemble.predict(x), expected, atol=1e-7)
    np.testing.assert_allclose(ensemble.predict(x, rule="geometric_mean"), expected, atol=1e-6)
    assert np.array_equal(ensemble.predict(x, rule="majority_vote").argmax(axis=1), expected.argmax(axis=1))


@pytest.mark.slow
def test_the_mean_of_the_members_is_the_mean_of_their_softmaxes(small, blobs):
    x, _ = blobs(20)
    ensemble = Ensemble(small, members=3)
    logits = np.stack([model.predict(x, verbose=0) for model in ensemble.models])
    each = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    np.testing.assert_allclose(ensemble.predict_members(x, batch_size=7).probs, each, atol=1e-6)
    np.testing.assert_allclose(ensemble.predict(x), each.mean(axis=0), atol=1e-6)
    with pytest.raises(InputError, match=r"unknown rule 'men' \(did you mean 'mean'\?\)"):
        ensemble.predict(x, rule="men")


# What is refused


def test_a_builder_that_is_not_callable_or_gives_no_compiled_model_is_refused(small):
    model = small()
    with pytest.raises(InputError, match="build must be a function"):
        Ensemble(model.get_config())
    with pytest.raises(InputError, match=r"must be a keras.Model, got int.*builder must return one"):
        Ensemble(lambda: 3)
    with pytest.raises(InputError, match="must be compiled"):
        Ensemble(lambda: keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)]))


def test_a_builder_that_returns_the_same_object_twice_is_refused(small):
    model = small()
    with pytest.raises(InputError, match="same object twice"):
        Ensemble(lambda: model, members=2)


def test_a_model_in_place_of_a_builder_is_refused(small):
    with pytest.raises(InputError, match="build must be a function"):
        Ensemble(small(), members=1)


def fixed_initialiser():
    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(3, kernel_initializer=keras.initializers.GlorotUniform(seed=1))]
    )
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def fixed_global_seed():
    random.seed(3)  # what keras.utils.set_random_seed does first
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


@pytest.mark.parametrize("build", [fixed_initialiser, fixed_global_seed])
def test_members_that_start_identical_are_refused(build):
    with pytest.raises(InputError, match="members 0 and 1 start with identical weights"):
        Ensemble(build, members=2)
    ensemble = Ensemble(build, members=1)
    with pytest.raises(InputError, match="identical weights"):
        ensemble.add_members(1)
    assert len(ensemble.models) == 1


def test_any_two_members_that_start_identical_are_refused(small):
    seeds = iter([1, 2, 2])

    def build():
        random.seed(next(seeds))
        return small()

    with pytest.raises(InputError, match="identical weights"):
        Ensemble(build, members=3)


def test_members_that_share_an_optimizer_are_refused_with_advice(small, blobs):
    optimizer = keras.optimizers.SGD(0.1)
    x, y = blobs(20)
    with pytest.raises(InputError, match="optimizer"):
        Ensemble(lambda: small(optimizer=optimizer), members=2).fit(x, y, verbose=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epochs": 0}, "epochs must be a whole number of at least 1, got 0"),
        ({"epochs": 2.0}, "epochs must be a whole number"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1"),
        ({"batch_size": True}, "batch_size must be a whole number"),
        ({"patience": 0}, "patience must be a whole number of at least 1"),
        ({"patience": 2}, "patience needs validation_data"),
        ({"strategy": "loopd"}, r"unknown strategy 'loopd' \(did you mean 'looped'\?\)"),
        ({"verbose": 3}, "verbose must be 0, 1, 2 or 'auto', got 3"),
        ({"watch": {"test": (np.zeros((2, 6)), [0, 3])}}, r"labels of test must be whole numbers 0..2.*\[0, 3\]"),
        ({"validation_data": (np.full((2, 6), np.nan), [0, 1])}, "x of val must be finite"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused_before_training(small, blobs, arguments, message):
    x, y = blobs(20)
    ensemble, ends = Ensemble(small, members=1), []
    before = weights(ensemble)[0]
    with pytest.raises(InputError, match=message):
        ensemble.fit(x, y, **{"verbose": 0, "on_epoch": ends.append, **arguments})
    assert ends == []
    assert same(weights(ensemble)[0], before)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 3], r"whole numbers 0..2, as the model has 3 classes, got \[0, 3\]"),
        ([-1, 0, 1], r"got \[-1, 1\]"),
        ([0.0, 0.5, 2.0], "continuous values"),
        (["a", "b", "c"], "whole numbers 0..2, got text such as 'a'; load_dataset .*LabelEncoder"),
        (np.eye(4)[:3], "one-hot rows of 3, .* got one-hot rows of 4"),
        ([[0.2, 0.3, 0.5]] * 3, "argmax"),
        ([[1, 1, 0], [0, 1, 0], [0, 0, 1]], "multi-label"),
        (None, "one label for each example, got None"),
        ([0, 1], "one label for each"),
    ],
)
def test_labels_that_the_model_has_no_class_for_are_refused(small, labels, message):
    with pytest.raises(InputError, match=message):
        Ensemble(small, members=1).fit(np.zeros((3, 6), "float32"), labels, verbose=0)


def test_no_examples_are_refused(small):
    with pytest.raises(InputError, match="at least one example"):
        Ensemble(small, members=1).fit(np.zeros((0, 6)), np.zeros(0, int), verbose=0)


@pytest.mark.parametrize("members", [0, -1, 1.5, True])
def test_members_must_be_a_positive_whole_number(small, members):
    with pytest.raises(InputError, match="members must be a whole number of at least 1"):
        Ensemble(small, members=members)
    with pytest.raises(InputError, match="members must be a whole number of at least 1"):
        Ensemble(small, members=1).add_members(members)


def test_a_negative_seed_is_refused(small):
    with pytest.raises(InputError, match="seed must be a whole number of at least 0"):
        Ensemble(small, seed=-1)


@pytest.mark.slow
def test_an_initializer_that_draws_by_keras_without_a_seed_is_a_matter_of_the_members_seed():
    def drawn(shape, dtype=None, **_):
        return keras.random.normal(shape, dtype=dtype)

    def build():
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, kernel_initializer=drawn)])
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return model

    keras.utils.set_random_seed(5)
    expected = np.asarray(keras.random.normal((2,)))
    keras.utils.set_random_seed(5)
    first = Ensemble(build, members=2)
    assert np.array_equal(keras.random.normal((2,)), expected)  # the user's own stream goes on as if nothing had been
    second = Ensemble(build, members=2)
    for one, other in zip(first.models, second.models, strict=True):
        assert np.array_equal(one.get_weights()[0], other.get_weights()[0])


def test_a_builder_that_wants_something_is_told_how_to_give_it():
    with pytest.raises(
        InputError, match=r"build must take nothing here, got a function of \(units, depth\).*lambda: build"
    ):
        Ensemble(lambda units, depth: None)


@pytest.mark.slow
def test_what_varies_is_told_kept_and_saved(small, blobs, tmp_path):
    x, y = blobs(30)
    vary = {"rate": [0.2, 0.5, 0.8], "batch_norm": [False, True, False]}
    ensemble = Ensemble(small, members=3, vary=vary)
    assert [model.layers[-2].rate for model in ensemble.models] == vary["rate"]
    assert ensemble.histories.columns.tolist() == ["member", "rate", "batch_norm", "epoch", "loss", "seconds"]
    histories = ensemble.fit(x, y, epochs=2, verbose=0, checkpoint=tmp_path / "members")
    assert histories.groupby("member")[["rate", "batch_norm"]].first().to_dict("list") == vary
    again = Ensemble(small, members=3, vary=vary)
    again.fit(x, y, epochs=2, verbose=0, checkpoint=tmp_path / "members", on_epoch=lambda end: pytest.fail("again"))
    assert again.histories.equals(histories)
    other = Ensemble(small, members=3, vary=vary | {"rate": [0.2, 0.5, 0.7]})
    with pytest.raises(InputError, match="is of another training: vary differ"):
        other.fit(x, y, epochs=2, verbose=0, checkpoint=tmp_path / "members")
    ensemble.save(tmp_path / "ensemble.zip")
    assert Ensemble.load(tmp_path / "ensemble.zip").histories.equals(histories)
    with pytest.raises(InputError, match="add_members has no rate, batch_norm for further members"):
        ensemble.add_members(1)


@pytest.mark.parametrize(
    ("vary", "told"),
    [
        ({"rate": [0.1]}, r"vary\['rate'\] must hold a value for each of the 2 members, got 1"),
        ({"rate": [0.1, None]}, r"vary\['rate'\] must hold numbers, words or booleans, got \[0.1, None\]"),
        ({"rat": [0.1, 0.2]}, "vary must name arguments of build"),
        ({"loss": ["a", "b"]}, "vary must not name 'loss', a column of the histories"),
    ],
)
def test_what_cannot_vary_is_refused(vary, told):
    def build(rate, loss="a"):
        raise AssertionError("built")

    with pytest.raises(InputError, match=told):
        Ensemble(build, members=2, vary=vary)
