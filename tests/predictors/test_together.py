from functools import cache, partial
from inspect import signature
from itertools import product

import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.models.architecture import architecture
from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.predictors import Ensemble, fit_together, together
from ensemble_vs_dropout.training import Options, fitting
from ensemble_vs_dropout.training.arguments import make_schedule
from ensemble_vs_dropout.training.schedule import join
from ensemble_vs_dropout.training.stacked import Stacked

SIZES = (2, 1, 3)


def some_ensembles(small, sizes=SIZES, **options):
    return [Ensemble(lambda: small(**options), members, seed=10 + n) for n, members in enumerate(sizes)]


def weights_of(ensemble):
    return [weights for model in ensemble.models for weights in model.get_weights()]


@pytest.fixture(scope="module")
def alone(blobs, small):
    """A function of a patience that returns ensembles, each trained alone, one member after the other."""

    @cache
    def trained(patience):
        (x, y), several = blobs(), some_ensembles(small)
        settings = {"epochs": 3, "batch_size": 16, "patience": patience, "strategy": "looped", "verbose": 0}
        for ensemble in several:
            ensemble.fit(x, y, validation_data=(x[:20], y[:20]), **settings)
        return several

    return trained


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["looped", "unrolled", "stacked"])
@pytest.mark.parametrize("patience", [None, 1])
def test_each_member_ends_as_its_ensemble_alone_would_leave_it(blobs, small, alone, strategy, patience):
    x, y = blobs()
    settings = {"epochs": 3, "batch_size": 16, "patience": patience, "strategy": strategy, "verbose": 0}
    together = some_ensembles(small)
    fit_together(together, x, y, (x[:20], y[:20]), **settings)
    for one, other in zip(together, alone(patience), strict=True):
        for mine, theirs in zip(weights_of(one), weights_of(other), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-6)
        assert one.histories[["member", "epoch"]].equals(other.histories[["member", "epoch"]])
        np.testing.assert_allclose(one.histories.val_loss, other.histories.val_loss, rtol=1e-4)


RATES = (0.1, 0.5, 0.8)


def in_maps(rate, penalty=0.0, learning_rate=0.1):
    """A network with numbers of every kind: rates, penalties on weights and outputs, weight decay, learning rate."""
    layers = [
        keras.layers.Dense(5, kernel_regularizer=keras.regularizers.L2(penalty)),
        keras.layers.SpatialDropout1D(rate),
        keras.layers.Flatten(),
        keras.layers.Dropout(rate / 2),
        keras.layers.Dense(3, bias_regularizer=keras.regularizers.L1(penalty), activity_regularizer="l2"),
    ]
    model = keras.Sequential([keras.Input((6, 4)), *layers])
    optimizer = keras.optimizers.AdamW(learning_rate, weight_decay=penalty)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def bounded(optimizer, max_value):
    """A network with a bound on the norms of its weights."""
    bound = keras.constraints.MaxNorm(max_value)
    layers = [keras.layers.Dense(5, kernel_constraint=bound), keras.layers.Dense(3, kernel_constraint=bound)]
    model = keras.Sequential([keras.Input((6,)), *layers])
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


decays = keras.optimizers.schedules
OPTIMIZERS = {
    "momentum": lambda n: keras.optimizers.SGD(0.1, momentum=(0.5, 0.9, 0.99)[n]),
    "Nesterov": lambda n: keras.optimizers.SGD(0.1, momentum=(0.5, 0.9, 0.99)[n], nesterov=True),
    "betas": lambda n: keras.optimizers.Adam(0.1, (0.9, 0.5, 0.8)[n], (0.999, 0.9, 0.99)[n], amsgrad=True),
    "betas and decay": lambda n: keras.optimizers.AdamW(0.1, beta_2=(0.999, 0.9, 0.99)[n], weight_decay=0.1 * n),
    "betas of signs": lambda n: keras.optimizers.Lion(0.1, (0.9, 0.5, 0.8)[n], (0.99, 0.9, 0.8)[n]),
    "rho": lambda n: keras.optimizers.RMSprop(0.1, (0.9, 0.5, 0.8)[n], momentum=0.5),
    "cosine": lambda n: keras.optimizers.Adam(decays.CosineDecay((0.1, 0.2, 0.3)[n], (5, 10, 100)[n], 0.1 * n)),
    "exponential": lambda n: keras.optimizers.SGD(decays.ExponentialDecay(0.1 + 0.1 * n, 5 * (n + 1), 0.5 - 0.1 * n)),
    "inverse": lambda n: keras.optimizers.SGD(decays.InverseTimeDecay(0.1 + 0.1 * n, 5 * (n + 1), 0.5 - 0.1 * n)),
}


def builders(kind, small):
    if kind == "all numbers":
        return [partial(in_maps, 0.1, 0.3, 0.01), partial(in_maps, 0.5, 0.0, 0.2), partial(in_maps, 0.8, 0.1, 0.1)]
    if kind in OPTIMIZERS:
        return [lambda n=n: bounded(OPTIMIZERS[kind](n), 0.5 + n) for n in range(3)]
    return [partial(small, rate=rate, units=(8, 6)) for rate in RATES]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "strategy"),
    [*product(["rate", "all numbers"], ["stacked", "unrolled"]), *product(OPTIMIZERS, ["stacked"])],
)
def test_members_may_differ_in_numbers(blobs, small, strategy, kind, monkeypatch):
    """In a stacked program they are numbers of each member, and each stops at an epoch of its own."""
    x, y = blobs()
    if kind == "all numbers":
        x = np.repeat(x[:, :, None], 4, axis=2)
    builds = builders(kind, small)

    def trained(train, strategy):
        several = [Ensemble(build, 2, seed=number) for number, build in enumerate(builds)]
        settings = {"epochs": 8, "batch_size": 16, "patience": 1, "verbose": 0, "strategy": strategy}
        train(several, (x[:20], y[:20]), settings)
        return several

    def together(several, validation, settings):
        fit_together(several, x, y, validation, **settings)

    def alone(several, validation, settings):
        for ensemble in several:
            ensemble.fit(x, y, validation_data=validation, **settings)

    engines = []
    monkeypatch.setattr(fitting, "Stacked", lambda *given: engines.append(Stacked(*given)) or engines[-1])
    found, expected = trained(together, strategy), trained(alone, "looped")
    assert len(engines) == (strategy == "stacked")
    assert len({len(one.histories) for one in expected}) > 1
    for one, other in zip(found, expected, strict=True):
        assert one.histories[["member", "epoch"]].equals(other.histories[["member", "epoch"]])
        np.testing.assert_allclose(
            one.histories[["loss", "val_loss"]], other.histories[["loss", "val_loss"]], rtol=1e-3
        )
        for mine, theirs in zip(weights_of(one), weights_of(other), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-5)
        for model, alike in zip(one.models, other.models, strict=True):  # what stood in their places is gone
            assert architecture(model, lasting=True) == architecture(alike, lasting=True)
    if strategy == "stacked":
        monkeypatch.setattr(fitting, "differ", lambda models: False)
        wrong = trained(together, strategy)
        assert not np.allclose(weights_of(wrong[-1])[0], weights_of(expected[-1])[0], atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["stacked", "unrolled", "looped"])
def test_ensembles_may_see_other_data(blobs, small, strategy, monkeypatch):
    """Sizes that share batches or leave a rest, labels, weights and validation data of their own, over one copy."""
    x, y = blobs(70)
    noisy = np.where(np.arange(70) % 5 == 0, (y + 1) % 3, y)
    sizes = {"x": x[:37], "y": y[:37], "validation_data": (x[:20], y[:20])}
    data = [
        {"x": x, "y": y, "validation_data": (x[:20], y[:20])},
        {"x": x, "y": noisy, "validation_data": (x[20:45], y[20:45]), "sample_weight": np.linspace(0, 2, 70)},
        sizes,
        sizes,
        {"x": x[40:50] + 1, "y": y[40:50], "validation_data": (x[:20], y[:20]), "watch": {"train": (x[:9], y[:9])}},
    ]
    builds = [partial(small, rate=rate) for rate in (*RATES, 0.3, 0.4)]
    settings = {"epochs": 8, "batch_size": 16, "patience": 1, "verbose": 0}
    seen = []
    monkeypatch.setattr(together, "join", lambda *given: seen.append(join(*given)) or seen[-1])
    found, expected = ([Ensemble(build, 2, seed=n) for n, build in enumerate(builds)] for _ in range(2))
    fit_together(found, data=data, strategy=strategy, **settings)
    assert seen[0].train.x.shape == (80, *x.shape[1:])
    for own, one, other in zip(data, found, expected, strict=True):
        other.fit(**own, **settings, strategy="looped")
        assert list(one.histories) == list(other.histories)
        assert one.histories[["member", "epoch"]].equals(other.histories[["member", "epoch"]])
        columns = [name for name in one.histories if name.endswith("loss")]
        np.testing.assert_allclose(one.histories[columns], other.histories[columns], rtol=1e-3)
        for mine, theirs in zip(weights_of(one), weights_of(other), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-5)
    assert len({len(one.histories) for one in expected}) > 1


def test_an_ensemble_may_have_no_validation_data_where_others_have(blobs, small):
    x, y = blobs()
    several = [Ensemble(small, members=1, seed=seed) for seed in range(3)]
    fit_together(several, x, y, (x, y), data=[{}, {"validation_data": None}, {}], epochs=1, verbose=0)
    assert ["val_loss" in one.histories for one in several] == [True, False, True]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ([{}], "data must hold the arguments for each of the 2 ensembles, got 1"),
        ([{"epochs": 2}, {}], "data must name arguments among class_weight, sample_weight, .*, got 'epochs'"),
        ([{"x": np.zeros((4, 2), "uint8")}, {}], r"one shape and type, got \(2,\) of float32, \(2,\) of uint8"),
    ],
)
def test_data_that_do_not_fit_are_refused(data, told):
    def build():
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, activation="softmax")])
        model.compile("sgd", "sparse_categorical_crossentropy")
        return model

    several = [Ensemble(build, members=1, seed=seed) for seed in range(2)]
    with pytest.raises(InputError, match=told):
        fit_together(several, np.zeros((4, 2), "float32"), np.array([0, 1, 0, 1]), data=data, verbose=0)


@pytest.mark.slow
def test_a_checkpoint_is_of_an_ensembles_own_data(blobs, small, tmp_path):
    x, y = blobs()
    data = [{"x": x, "y": y}, {"x": x[:30], "y": y[:30]}]
    folders = [tmp_path / "0", tmp_path / "1"]

    def trained(data):
        several = [Ensemble(small, members=1, seed=seed) for seed in range(2)]
        fit_together(several, data=data, epochs=1, checkpoints=folders, verbose=0)
        return several

    first = trained(data)
    alone = Ensemble(small, members=1, seed=1)
    alone.fit(x[:30], y[:30], epochs=1, checkpoint=folders[1], verbose=0)  # goes on from what was trained together
    for mine, theirs in zip(weights_of(first[1]), weights_of(alone), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    with pytest.raises(InputError, match="is of another training: train_data differ"):
        trained([data[0], {"x": x[:31], "y": y[:31]}])


def test_what_is_no_number_in_a_program_is_trained_by_another_strategy(blobs, small):
    x, y = blobs()

    def noisy(rate):
        layers = [keras.layers.Dense(5), keras.layers.GaussianDropout(rate), keras.layers.Dense(3)]
        model = keras.Sequential([keras.Input(x.shape[1:]), *layers])
        model.compile(keras.optimizers.Adam(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return model

    def with_none(rate):  # at a rate of 0 there is no layer that draws
        return small(rate=max(0, rate - 0.1))

    def penalized(rate):
        """One penalty for two layers, or two: those of a program cannot stand for both."""
        one, two = keras.regularizers.L2(rate), keras.regularizers.L2(0.3)
        layers = [keras.layers.Dense(5, kernel_regularizer=one)]
        layers += [keras.layers.Dense(3, kernel_regularizer=one if rate == RATES[0] else two)]
        model = keras.Sequential([keras.Input(x.shape[1:]), *layers])
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return model

    for build in (noisy, with_none, penalized):
        ensembles = [Ensemble(partial(build, rate), 1, seed) for seed, rate in enumerate(RATES)]
        with pytest.raises(InputError, match="must have one architecture"):
            fit_together(ensembles, x, y)


def test_ensembles_of_other_seeds_do_differ(blobs, small):
    x, y = blobs()
    several = some_ensembles(small, (1, 1))
    fit_together(several, x, y, epochs=1, verbose=0)
    assert any(not np.allclose(a, b) for a, b in zip(*map(weights_of, several), strict=True))


def test_progress_tells_whose_member_it_was(blobs, small):
    x, y = blobs()
    told = []
    fit_together(
        some_ensembles(small),
        x,
        y,
        epochs=2,
        verbose=0,
        on_epoch=lambda n, end: told.append((n, end.member, end.epoch)),
    )
    assert sorted(told) == [(n, k, e) for n, size in enumerate(SIZES) for k in range(size) for e in (1, 2)]


@pytest.mark.slow
def test_what_is_kept_is_taken_up_again_in_each_folder(blobs, small, tmp_path, monkeypatch):
    x, y = blobs()
    settings = {"epochs": 2, "verbose": 0, "strategy": "looped"}
    folders = [tmp_path / str(n) for n in range(3)]
    first = some_ensembles(small)
    fit_together(first, x, y, checkpoints=folders, **settings)
    assert sorted(path.name for path in folders[2].glob("*.keras")) == [f"member_00{k}.keras" for k in range(3)]
    (folders[1] / "member_000.json").unlink()
    trained = []
    again = some_ensembles(small)
    fit_together(again, x, y, checkpoints=folders, on_epoch=lambda n, end: trained.append(n), **settings)
    assert set(trained) == {1}
    for one, other in zip(first, again, strict=True):
        for mine, theirs in zip(weights_of(one), weights_of(other), strict=True):
            np.testing.assert_array_equal(mine, theirs)
    alone = Ensemble(small, 3, seed=12)  # a folder is that of its ensemble alone
    alone.fit(x, y, checkpoint=folders[2], on_epoch=lambda end: trained.append("alone"), **settings)
    assert "alone" not in trained


@pytest.mark.slow
def test_members_on_their_way_are_kept_in_each_folder(blobs, small, tmp_path):
    x, y = blobs()
    settings = {"epochs": 3, "verbose": 0, "strategy": "looped", "checkpoints": [tmp_path / "0", tmp_path / "1"]}

    def interrupt(number, end):
        if (number, end.epoch) == (1, 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_together(some_ensembles(small, (1, 1)), x, y, checkpoint_every=1, on_epoch=interrupt, **settings)
    kept = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("member_*") if path.suffix != ".json"}
    assert kept == {"0/member_000.keras", "1/member_000.epoch_2.npz"}
    told, resumed, whole = [], some_ensembles(small, (1, 1)), some_ensembles(small, (1, 1))
    fit_together(resumed, x, y, checkpoint_every=1, on_epoch=lambda n, end: told.append((n, end.epoch)), **settings)
    fit_together(whole, x, y, **{**settings, "checkpoints": None})
    assert told == [(1, 3)]
    for one, other in zip(resumed, whole, strict=True):
        for mine, theirs in zip(weights_of(one), weights_of(other), strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_settings_that_are_left_out_are_those_of_fit():
    fit, known = signature(Ensemble.fit).parameters, {}
    for function in (make_schedule, Options):
        known |= {name: p.default for name, p in signature(function).parameters.items() if name in fit}
    assert set(fit) - set(known) == {"self", "checkpoint"}
    assert known == {name: signature(make_schedule).empty if name in "xy" else fit[name].default for name in known}


@pytest.mark.slow
def test_the_rest_of_a_plan_computes_as_it_would_have_in_all_of_it(blobs, small):
    x, y = blobs()
    settings = {"epochs": 3, "batch_size": 16, "strategy": "stacked", "verbose": 0}
    whole, rest = some_ensembles(small), some_ensembles(small)
    fit_together(whole, x, y, **settings)
    fit_together(rest[2:], x, y, planned=sum(SIZES), **settings)
    for mine, theirs in zip(weights_of(whole[2]), weights_of(rest[2]), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_one_ensemble_that_diverges_does_not_stop_the_others(blobs, small):
    x, y = blobs()

    def exploding():
        model = small(rate=0.0)
        model.layers[-1].set_weights([np.full_like(w, np.nan) for w in model.layers[-1].get_weights()])
        return model

    calls = iter([exploding, *[lambda: small(rate=0.0)] * 2])
    several = [Ensemble(lambda: next(calls)(), 1, seed=seed) for seed in range(3)]
    fit_together(several, x, y, epochs=1, verbose=0)
    assert [ensemble.members for ensemble in several] == [0, 1, 1]


@pytest.mark.slow
def test_what_cannot_be_trained_together_is_refused(blobs, small):
    x, y = blobs()
    with pytest.raises(InputError, match="at least one ensemble"):
        fit_together([], x, y)
    with pytest.raises(InputError, match="must have one architecture"):
        fit_together([Ensemble(small, 1), Ensemble(lambda: small(units=(4,)), 1)], x, y)
    with pytest.raises(InputError, match="checkpoints must hold a folder for each of the 2 ensembles, got 1"):
        fit_together([Ensemble(small, 1), Ensemble(small, 1, 1)], x, y, checkpoints=["a"])
    with pytest.raises(InputError, match="callbacks has no meaning"):
        fit_together([Ensemble(small, 1)], x, y, callbacks=lambda member: [keras.callbacks.History()])
    trained = Ensemble(small, 1)
    trained.fit(x, y, verbose=0)
    with pytest.raises(InputError, match="number 1 has members that are trained"):
        fit_together([Ensemble(small, 1), trained], x, y)
