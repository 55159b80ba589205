"""What a user of Keras expects of `fit`, per member and under every strategy."""

import numpy as np
import pandas as pd
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.models.backend import keras, tf
from ensemble_vs_dropout.models.heads import Head
from ensemble_vs_dropout.models.inputs import Input
from ensemble_vs_dropout.predictors import Ensemble
from ensemble_vs_dropout.training import fitting
from ensemble_vs_dropout.training import strategy as strategy_room
from ensemble_vs_dropout.training.schedule import Part, Schedule
from ensemble_vs_dropout.training.stacked import Stacked
from ensemble_vs_dropout.training.strategy import choose
from ensemble_vs_dropout.training.streams import Stream

STRATEGIES = ["looped", "unrolled", "stacked"]
MOSTLY_SLOW = ["looped", *(pytest.param(name, marks=pytest.mark.slow) for name in STRATEGIES[1:])]
C = keras.callbacks


def same(a, b, atol=1e-6):
    for one, other in zip(a.models, b.models, strict=True):
        for v, w in zip(one.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_allclose(v, w, atol=atol)


# Callbacks


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_learning_rate_of_its_own_reaches_each_member(small, blobs, strategy):
    x, y = blobs(24)

    def callbacks(member):
        return [C.LearningRateScheduler(lambda epoch, rate: 0.0 if member == 1 and epoch >= 1 else rate)]

    ensemble = Ensemble(small, members=2)
    after_one = Ensemble(small, members=2)
    ensemble.fit(x, y, epochs=3, strategy=strategy, callbacks=callbacks, verbose=0)
    after_one.fit(x, y, epochs=1, strategy="looped", verbose=0)
    frozen, moved = (
        np.abs(a.get_weights()[0] - b.get_weights()[0]).max()
        for a, b in zip(reversed(ensemble.models), reversed(after_one.models), strict=True)
    )
    assert frozen < 1e-6 < moved
    assert [float(m.optimizer.learning_rate) for m in ensemble.models] == pytest.approx([0.1, 0.0])


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_keras_own_callbacks_work_member_by_member(small, blobs, tmp_path, strategy):
    x, y = blobs(24)
    noise = np.random.default_rng(0).permutation(y)

    def callbacks(member):
        return [
            C.CSVLogger(tmp_path / f"{member}.csv"),
            C.TensorBoard(tmp_path / f"board_{member}", histogram_freq=1, profile_batch=0),
            C.ReduceLROnPlateau("val_loss", factor=0.5, patience=1, cooldown=0, min_delta=1.0),
            C.EarlyStopping("val_loss", patience=3 + member, min_delta=10.0, restore_best_weights=True),
        ]

    ensemble = Ensemble(small, members=2)
    histories = ensemble.fit(
        x, y, validation_data=(x, noise), epochs=9, strategy=strategy, callbacks=callbacks, verbose=0
    )  # nothing improves by 10, so each stops when its patience ends
    assert histories.groupby("member").epoch.max().tolist() == [4, 5]
    first = Ensemble(small, members=2)
    first.fit(x, y, epochs=1, strategy="looped", verbose=0)
    same(ensemble, first)  # the best weights are those after the first epoch
    assert [float(m.optimizer.learning_rate) for m in ensemble.models] == pytest.approx([0.1 / 8, 0.1 / 16])
    for member in range(2):
        log = pd.read_csv(tmp_path / f"{member}.csv")
        assert log.epoch.tolist() == list(range(4 + member))
        np.testing.assert_allclose(log.val_loss, histories[histories.member == member].val_loss, rtol=1e-5)
        assert list((tmp_path / f"board_{member}").rglob("events*"))


@pytest.mark.slow
def test_a_users_callback_sees_the_weights_and_logs_of_its_member(small, blobs):
    x, y = blobs(24)
    seen = {strategy: {} for strategy in STRATEGIES}

    class Looker(C.Callback):
        def __init__(self, told):
            super().__init__()
            self.told = told

        def on_epoch_end(self, epoch, logs=None):
            self.told.append((epoch, logs["loss"], self.model.get_weights()[0].copy()))

    for strategy, told in seen.items():
        ensemble = Ensemble(small, members=2)
        ensemble.fit(
            x, y, epochs=2, strategy=strategy, verbose=0, callbacks=lambda k, t=told: [Looker(t.setdefault(k, []))]
        )
    for strategy in STRATEGIES[1:]:
        for member in range(2):
            pairs = zip(seen["looped"][member], seen[strategy][member], strict=True)
            for (epoch, loss, weights), (other_epoch, other_loss, other_weights) in pairs:
                assert epoch == other_epoch
                assert loss == pytest.approx(other_loss, rel=1e-5)
                np.testing.assert_allclose(weights, other_weights, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_a_callback_does_to_the_weights_at_the_very_end_stays(small, blobs, strategy):
    class Zero(C.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                self.model.set_weights([weights * 0 for weights in self.model.get_weights()])

    ensemble = Ensemble(small, members=2)
    ensemble.fit(*blobs(20), epochs=2, strategy=strategy, callbacks=lambda member: [Zero()], verbose=0)
    assert all(not weights.any() for model in ensemble.models for weights in model.get_weights())


def test_a_callback_that_is_called_at_each_step_needs_the_looped_strategy(small, blobs):
    x, y = blobs(20)

    class Counter(C.Callback):
        steps = 0

        def on_train_batch_end(self, batch, logs=None):
            Counter.steps += 1

    with pytest.raises(InputError, match=r'called each step.*strategy="looped"'):
        Ensemble(small, members=2).fit(x, y, strategy="stacked", callbacks=lambda k: [Counter()], verbose=0)
    assert Counter.steps == 0
    stepwise, whole = Ensemble(small, members=2), Ensemble(small, members=2)
    stepwise.fit(x, y, batch_size=8, epochs=2, callbacks=lambda k: [Counter()], verbose=0)
    whole.fit(x, y, batch_size=8, epochs=2, strategy="looped", verbose=0)
    assert Counter.steps == 2 * 2 * 3
    same(stepwise, whole)


def test_callbacks_that_would_be_shared_are_refused(small, blobs):
    with pytest.raises(InputError, match=r"callbacks must be a function of the member's number.*lambda member"):
        Ensemble(small, members=2).fit(*blobs(20), callbacks=[C.TerminateOnNaN()], verbose=0)


# Going on


@pytest.mark.slow
@pytest.mark.parametrize("strategy", MOSTLY_SLOW)
def test_going_on_from_an_epoch_ends_where_one_call_ends(small, blobs, strategy):
    x, y = blobs(24)
    settings = {"batch_size": 8, "strategy": strategy, "verbose": 0}

    def build():
        return small(optimizer=keras.optimizers.Adam(0.01))

    whole, parts = Ensemble(build, members=2), Ensemble(build, members=2)
    rows = whole.fit(x, y, epochs=3, **settings)
    parts.fit(x, y, epochs=1, **settings)
    others = parts.fit(x, y, epochs=3, initial_epoch=1, **settings)
    same(whole, parts)
    assert rows[["member", "epoch"]].equals(others[["member", "epoch"]])
    np.testing.assert_allclose(rows.loss, others.loss, rtol=1e-5)


# Divergence


def explosive(member_rates):
    rates = iter(member_rates)

    def build():
        model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(3)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(next(rates)), loss)
        return model

    return build


def explosive_at(member, rate=1e25):
    def callbacks(k):
        return [C.LearningRateScheduler(lambda epoch: rate if k == member else 0.1)]

    return callbacks


@pytest.mark.slow
@pytest.mark.parametrize("strategy", MOSTLY_SLOW)
def test_a_member_that_diverges_is_stopped_named_and_kept_out(small, blobs, strategy, capfd):
    x, y = blobs(24)
    ensemble, alone = Ensemble(small, members=3), Ensemble(small, members=3)
    histories = ensemble.fit(x, y, epochs=4, strategy=strategy, callbacks=explosive_at(1), verbose=1)
    alone.fit(x, y, epochs=4, strategy="looped", verbose=0)
    assert "member 1: the loss is" in capfd.readouterr().err
    assert len(ensemble.models) == 2
    assert ensemble.models[2] is ensemble.models[-1] is [*ensemble.models][1]  # by their numbers
    with pytest.raises(InputError, match="member 1 diverged in training"):
        ensemble.models[1]
    with pytest.raises(IndexError):
        ensemble.models[3]
    assert ensemble.models[:2] == (ensemble.models[0],)
    assert ensemble.predict_members(x).members == 2
    assert ensemble.multiply_adds == 2 * (6 * 8 + 8 * 3)  # of those that predict
    assert np.isfinite(ensemble.to_keras().predict(x, verbose=0)).all()
    assert histories.groupby("member").epoch.max()[[0, 2]].tolist() == [4, 4]
    assert not np.isfinite(histories[histories.member == 1].loss.iloc[-1])
    for one, other in zip(ensemble.models, [alone.models[0], alone.models[2]], strict=True):
        np.testing.assert_allclose(one.get_weights()[0], other.get_weights()[0], atol=1e-6)


def test_divergence_raises_when_asked_to_and_when_nobody_is_left(small, blobs):
    x, y = blobs(24)
    ensemble = Ensemble(small, members=2)
    before = [model.get_weights() for model in ensemble.models]
    with pytest.raises(FloatingPointError, match="member 1: the loss is"):
        ensemble.fit(x, y, epochs=4, strategy="unrolled", callbacks=explosive_at(1), on_divergence="raise", verbose=0)
    assert np.array_equal(before[1][0], ensemble.models[1].get_weights()[0])
    with pytest.raises(FloatingPointError, match="all 2 members diverged"):
        Ensemble(explosive([1e25, 1e25]), members=2).fit(x, y, epochs=4, strategy="unrolled", verbose=0)


# Streams


class Batches(keras.utils.PyDataset):
    def __init__(self, x, y, size):
        super().__init__()
        self.x, self.y, self.size = x, y, size

    def __len__(self):
        return -(-len(self.x) // self.size)

    def __getitem__(self, number):
        where = slice(number * self.size, (number + 1) * self.size)
        return self.x[where], self.y[where]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dataset", "pydataset"])
def test_streamed_batches_in_order_train_what_arrays_in_order_train(small, blobs, kind):
    x, y = blobs(22)
    source = Batches(x, y, 8) if kind == "pydataset" else tf.data.Dataset.from_tensor_slices((x, y)).batch(8)
    settings = {"epochs": 2, "shuffle": False, "verbose": 0}
    streamed, arrays = Ensemble(small, members=2), Ensemble(small, members=2)
    rows = streamed.fit(source, validation_data=source, **settings)
    others = arrays.fit(x, y, validation_data=(x, y), batch_size=8, strategy="looped", **settings)
    same(streamed, arrays)
    np.testing.assert_allclose(rows.val_loss, others.val_loss, rtol=1e-5)


@pytest.mark.parametrize("kind", ["dataset", "pydataset"])
def test_members_see_streamed_batches_in_orders_of_their_own(small, blobs, kind):
    x, y = np.arange(40, dtype="float32").reshape(40, 1), np.zeros(40, dtype=int)
    source = Batches(x, y, 4) if kind == "pydataset" else tf.data.Dataset.from_tensor_slices((x, y)).batch(4)
    stream = Stream(source, Head(classes=3, logits=True, units=3), [Input("network", (1,), "float32")])
    orders = [
        tuple(int(batch[0][0, 0]) for batch in stream.epoch(0, member, epoch, shuffle=True))
        for member in range(2)
        for epoch in range(1, 3)
    ]
    assert len(set(orders)) == 4
    assert all(sorted(order) == list(range(0, 40, 4)) for order in orders)
    again = tuple(int(batch[0][0, 0]) for batch in stream.epoch(0, 0, 1, shuffle=True))
    assert again == orders[0]


FORMS = {
    "column": lambda y: y[:, None],
    "floats": lambda y: y[:, None].astype("float32"),
    "one-hot": lambda y: np.eye(y.max() + 1, dtype="float32")[y],
    "one-hot bools": lambda y: np.eye(y.max() + 1, dtype=bool)[y],
    "bools": lambda y: y.astype(bool) if y.max() == 1 else y,
}


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy"])
def test_labels_train_in_any_form_as_numbers_do(blobs, loss):
    units = 1 if loss.startswith("binary") else 3
    x, y = blobs(22, classes=max(units, 2))

    def build():
        activation = "sigmoid" if units == 1 else "softmax"
        model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(units, activation=activation)])
        model.compile("sgd", loss)
        return model

    def of_tensors(labels):
        return tf.data.Dataset.from_tensor_slices((x, labels)).batch(8)

    def of_arrays(labels):
        return Batches(x, labels, 8)

    settings = {"epochs": 1, "batch_size": 8, "shuffle": False, "verbose": 0}
    expected = Ensemble(build, members=1).fit(x, y, validation_data=(x, y), **settings)
    for name, form in FORMS.items():
        labels = form(y)
        watch = {"tensors": of_tensors(labels), "arrays": of_arrays(labels)}
        for given in [(x, labels), (of_tensors(labels), None), (of_arrays(labels), None)]:
            validation = given if given[1] is not None else given[0]
            more = {"watch": watch} if given[1] is not None else {}
            rows = Ensemble(build, members=1).fit(*given, validation_data=validation, **more, **settings)
            np.testing.assert_allclose(rows.loss, expected.loss, rtol=1e-5, err_msg=name)
            for part in ("val", *more.get("watch", ())):
                np.testing.assert_allclose(rows[f"{part}_loss"], expected.val_loss, rtol=1e-5, err_msg=name)


def test_what_cannot_be_streamed_is_said(small, blobs):
    x, y = blobs(22)
    source = tf.data.Dataset.from_tensor_slices((x, y)).batch(8)
    ensemble = Ensemble(small, members=2)
    for arguments, message in [
        ({"x": source, "y": y}, "y must be left out"),
        ({"x": source, "class_weight": {0: 1.0}}, "class_weight must be left out"),
        ({"x": source, "validation_split": 0.2}, "validation_split needs arrays"),
        ({"x": source, "strategy": "stacked"}, 'streamed.*strategy="looped"'),
        ({"x": source.repeat()}, "without end; give steps_per_epoch"),
        ({"x": tf.data.Dataset.from_tensor_slices(x).batch(8)}, "must yield batches"),
        ({"x": tf.data.Dataset.from_tensor_slices((x, y))}, r"call .batch\(32\)"),
        ({"x": tf.data.Dataset.from_tensor_slices(({"a": x}, y)).batch(8)}, "one dense array .*got dict"),
        ({"x": source.take(0)}, "x must yield at least one batch"),
        ({"x": x, "y": y, "validation_data": source.take(0)}, "val must yield at least one batch"),
        ({"x": x, "y": y, "validation_data": source.repeat()}, "val is a source without end"),
        ({"x": Batches(x, y + 1, 8)}, r"labels of batch 0 of x must be whole numbers 0\.\.2"),
        ({"x": Batches(x, y[:-1], 22)}, "batch 0 of x must hold one label for each of 22 examples, got 21"),
        ({"x": Batches(x * np.nan, y, 8)}, "batch 0 of x must be finite"),
        ({"x": Batches(x[:, :5], y, 8)}, r"batch 0 of x must have shape \(examples, 6\)"),
    ]:
        with pytest.raises(InputError, match=message):
            ensemble.fit(**arguments, verbose=0)
    rows = ensemble.fit(source.repeat(), steps_per_epoch=2, epochs=2, verbose=0)
    assert [int(model.optimizer.iterations) for model in ensemble.models] == [4, 4]
    assert len(rows) == 4


# Choice and limits


def test_auto_says_what_it_chose_and_why(small, blobs, capfd):
    Ensemble(small, members=2).fit(*blobs(20), verbose=2)
    assert "strategy looped: about 0.0 s of steps do not repay compiling" in capfd.readouterr().err


def test_long_training_is_stacked_convolutions_unrolled_and_memory_cuts_the_groups(small, blobs):
    schedule = Schedule(Part(*blobs(60)), seed=0, epochs=3000, batch_size=1)
    models = [prepared(small()) for _ in range(6)]
    choice = choose("auto", models, schedule)
    assert (choice.strategy, choice.slots, choice.xla) == ("stacked", 6, True)
    needed = 4 * sum(v.numpy().nbytes for v in [*models[0].variables, *models[0].optimizer.variables])
    tight = choose("auto", models, schedule, memory_limit=2 * (needed + 16 * 60) + 400)
    assert tight.slots == 2
    assert choose("auto", models[:1], schedule).strategy == "looped"
    averaged = [prepared(small(optimizer=keras.optimizers.SGD(0.1, use_ema=True))) for _ in range(2)]
    assert choose("auto", averaged, schedule).strategy == "unrolled"  # where "stacked" refuses
    conv = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Conv2D(2, 3), keras.layers.Flatten(), keras.layers.Dense(3)]
    )
    conv.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    images = Schedule(Part(np.zeros((60, 8, 8, 1), "float32"), np.arange(60) % 3), 0, 3000, 1)
    choice = choose("auto", [prepared(conv)] * 2, images)
    assert (choice.strategy, choice.slots, choice.xla) == ("unrolled", 2, False)


def prepared(model):
    model.optimizer.build(model.trainable_variables)
    return model


@pytest.mark.slow
def test_members_taken_in_groups_are_the_same(small, blobs, monkeypatch):
    monkeypatch.setattr("ensemble_vs_dropout.training.strategy.AT_ONCE", 2)
    x, y = blobs(20)
    grouped, looped = Ensemble(small, members=5), Ensemble(small, members=5)
    grouped.fit(x, y, epochs=2, strategy="unrolled", verbose=0)
    looped.fit(x, y, epochs=2, strategy="looped", verbose=0)
    same(grouped, looped)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"memory_limit": 100}, r"memory_limit must hold at least one member, about [\d,]+ bytes.*got 100"),
        ({"memory_limit": 0}, "memory_limit must be a whole number of at least 1"),
        ({"initial_epoch": 1}, "initial_epoch must lie below epochs"),
        ({"steps_per_epoch": 9}, "steps_per_epoch must be at most the 1 batches of 32"),
        ({"checkpoint_every": 2}, "checkpoint_every needs checkpoint"),
        ({"on_divergence": "ignore"}, "unknown on_divergence 'ignore'"),
        ({"class_weight": {3: 1.0}}, r"class_weight must map labels 0..2"),
        ({"class_weight": {0: -1.0}}, "non-negative"),
        ({"sample_weight": [1.0]}, "sample_weight must hold one non-negative number for each of the 20"),
        ({"validation_split": 0.01}, "validation_split must leave examples on both sides"),
        ({"validation_split": 1.0}, r"validation_split must be a number in \[0, 1\)"),
        ({"validation_split": 0.5, "validation_data": (np.zeros((2, 6)), [0, 1])}, "cannot both be given"),
        ({"validation_data": np.zeros((2, 6))}, r"val must be \(features, labels\)"),
    ],
)
def test_what_fit_cannot_use_is_refused_before_training(small, blobs, arguments, message):
    ensemble = Ensemble(small, members=2)
    before = ensemble.models[0].get_weights()
    with pytest.raises(InputError, match=message):
        ensemble.fit(*blobs(20), verbose=0, **arguments)
    assert ensemble.histories.empty
    assert np.array_equal(before[0], ensemble.models[0].get_weights()[0])


@pytest.mark.slow
def test_members_that_differ_cannot_be_stacked_but_unrolled(small, blobs):
    x, y = blobs(20)

    def widths(sizes):
        sizes = iter(sizes)
        return lambda: small(units=(next(sizes),))

    with pytest.raises(
        InputError, match=r'"stacked" cannot train these members: .*differs from call to call.*"unrolled"'
    ):
        Ensemble(widths([4, 5]), members=2).fit(x, y, strategy="stacked", verbose=0)
    mixed, looped = Ensemble(widths([4, 5]), members=2), Ensemble(widths([4, 5]), members=2)
    mixed.fit(x, y, epochs=2, strategy="unrolled", verbose=0)
    looped.fit(x, y, epochs=2, strategy="looped", verbose=0)
    same(mixed, looped)


@pytest.mark.slow
def test_data_smaller_than_a_batch_are_one_batch(small, blobs):
    x, y = blobs(5)
    stacked, looped = Ensemble(small, members=2), Ensemble(small, members=2)
    stacked.fit(x, y, epochs=2, strategy="stacked", verbose=0)
    looped.fit(x, y, epochs=2, strategy="looped", verbose=0)
    assert int(stacked.models[0].optimizer.iterations) == 2
    same(stacked, looped)


@pytest.mark.parametrize("strategy", ["looped", "unrolled", "stacked"])
def test_a_token_that_an_embedding_has_no_row_for_is_told_before_any_training(strategy):
    def build():
        layers = [keras.layers.Embedding(5, 3), keras.layers.Flatten(), keras.layers.Dense(3)]
        model = keras.Sequential([keras.Input((4,), dtype="int32"), *layers])
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return model

    tokens, labels = np.arange(40).reshape(10, 4) % 5, np.arange(10) % 3
    tokens[7, 2] = 9
    ensemble = Ensemble(build, members=2)
    for act in (lambda: ensemble.fit(tokens, labels, strategy=strategy, verbose=0), lambda: ensemble.predict(tokens)):
        with pytest.raises(InputError, match=r"cannot take these features: indices\[7,2\] = 9 is not in \[0, 5\)"):
            act()
    missing = np.where(tokens == 9, np.nan, tokens)
    with pytest.raises(InputError, match="x must be finite"):
        ensemble.predict(missing)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["looped", "unrolled", "stacked"])
def test_a_watched_part_called_train_is_not_what_is_learned_from(small, blobs, strategy):
    (x, y), weights = blobs(), []
    for watch in ({}, {"train": (x[:9], y[:9])}):
        ensemble = Ensemble(small, members=2, seed=3)
        ensemble.fit(x, y, epochs=1, watch=watch, strategy=strategy, verbose=0)
        weights.append([values for model in ensemble.models for values in model.get_weights()])
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert "train_loss" in ensemble.histories
    with pytest.raises(InputError, match="watch must not hold 'training data'"):
        ensemble.fit(x, y, watch={"training data": (x, y)})


@pytest.mark.slow
def test_members_of_several_architectures_are_trained_in_groups_that_share_a_program(small, blobs, monkeypatch, capsys):
    (x, y), engines = blobs(), []
    monkeypatch.setattr(strategy_room, "_SHORT", {"stacked": 0.0, "unrolled": 0.0})
    monkeypatch.setattr(fitting, "Stacked", lambda *given: engines.append(Stacked(*given)) or engines[-1])
    vary = {"width": [8, 6, 8, 6, 6], "rate": [0.1, 0.2, 0.3, 0.4, 0.5]}

    def build(width, rate):
        return small(units=(width,), rate=rate)

    found, expected = (Ensemble(build, members=5, seed=3, vary=vary) for _ in range(2))
    settings = {"epochs": 4, "batch_size": 16, "patience": 1, "validation_data": (x[:20], y[:20])}
    found.fit(x, y, **settings, verbose=2)
    assert [engine.slots for engine in engines] == [2, 3]
    told = capsys.readouterr().err
    assert "networks differ in units of Dense (8 and 6), so that they are trained in 2 groups" in told
    expected.fit(x, y, **settings, strategy="looped", verbose=0)
    for one, other in zip(found.models, expected.models, strict=True):
        for mine, theirs in zip(one.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-5)
    columns = ["member", "epoch", "rate"]
    assert found.histories[columns].equals(expected.histories[columns])
    with pytest.raises(InputError, match=r"differs from call to call: units of Dense \(8 and 6\)"):
        Ensemble(build, members=5, vary=vary).fit(x, y, strategy="stacked")
