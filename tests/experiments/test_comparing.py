"""`compare` as a function: what it refuses before training, and what its arms are."""

import numpy as np
import pytest

import ensemble_vs_dropout as evd
from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.datasets import from_arrays
from ensemble_vs_dropout.experiments.comparing import compare
from ensemble_vs_dropout.models.backend import keras

TINY = {
    "rate": 0.5,
    "controls": False,
    "probe": False,
    "members": 2,
    "passes": 3,
    "repetitions": 1,
    "epochs": 2,
    "verbose": 0,
}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4)).astype("float32")
    y = (x[:, 0] > 0).astype(int) + (x[:, 1] > 1)
    return from_arrays(x[:200], y[:200], x[200:], y[200:], name="tiny")


def builder(outputs=3, activation="softmax", compiled=True, seed=None, dropout=True, shape=(4,), loss=None):
    def build(rate):
        layers = [
            keras.Input(shape),
            keras.layers.Dense(8, "relu", kernel_initializer=keras.initializers.HeNormal(seed)),
        ]
        if rate and dropout:
            layers.append(keras.layers.Dropout(rate))
        last = keras.initializers.HeNormal(seed)
        model = keras.Sequential([*layers, keras.layers.Dense(outputs, activation, kernel_initializer=last)])
        if compiled:
            model.compile("adam", loss or "sparse_categorical_crossentropy")
        return model

    return build


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (builder(outputs=4), "must match the 3 classes of 'tiny', got 4"),
        (builder(compiled=False), "must be compiled"),
        (builder(dropout=False), "has no random layer"),
        (builder(seed=1), "start with identical weights"),
        (builder(shape=(5,)), r"must have the shape of an example of 'tiny', \(4,\)"),
        (builder(loss="mse"), "must be a cross-entropy"),
        (builder(activation=None), "its loss expects probabilities"),
        (lambda rate: None, "must be a keras.Model, got NoneType"),
        (lambda: None, "must take the argument rate"),
    ],
)
def test_a_builder_that_cannot_work_is_refused_before_training(build, message, data):
    with pytest.raises(InputError, match=message):
        compare(data, build, **TINY)


def test_a_builder_that_gives_one_object_twice_is_refused(data):
    model = builder()(0.0)
    with pytest.raises(InputError, match="the same object twice"):
        compare(data, lambda rate: builder()(rate) if rate else model, **TINY)


def test_controls_need_a_width(data):
    with pytest.raises(InputError, match="takes width"):
        compare(data, builder(), **{**TINY, "controls": True})


@pytest.mark.slow
def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(data):
    first, second, other = (compare(data, builder(), **TINY, seed=seed) for seed in (0, 0, 1))
    assert first.scores.equals(second.scores)
    assert not first.scores.value.equals(other.scores.value)


@pytest.mark.slow
def test_more_members_change_no_member(data):
    few, many = (compare(data, builder(), **{**TINY, "members": n}) for n in (2, 3))
    np.testing.assert_array_equal(
        few.predictions["test"]["ensemble"][0].probs, many.predictions["test"]["ensemble"][0].probs[:2]
    )


@pytest.mark.slow
def test_costs_are_those_of_the_arms(data):
    comparison = compare(data, evd.networks.mlp(units=(8,)), **{**TINY, "controls": True})
    cost = comparison.cost.set_index("arm")
    network = 4 * 8 + 8 + 8 * 3 + 3
    assert cost.parameters[["single", "dropout", "mc_dropout"]].tolist() == [network] * 3
    assert cost.parameters[["ensemble", "dropout_ensemble"]].tolist() == [2 * network] * 2
    assert abs(cost.parameters["wide"] / (2 * network) - 1) < 0.1
    assert cost.passes[["single", "ensemble", "dropout", "mc_dropout"]].tolist() == [1, 2, 1, 3]
    trained = len(data.x_train) * network * 2  # two epochs
    assert cost.trained["dropout"] == cost.trained["mc_dropout"] == trained
    assert cost.trained["ensemble"] == cost.trained["dropout_ensemble"] == 2 * trained


@pytest.mark.slow
def test_test_data_steer_nothing(data):
    from dataclasses import replace

    spoiled = replace(data, x_test=data.x_test[::-1].copy(), y_test=np.roll(data.y_test, 1))
    one, two = (compare(d, builder(), **TINY, patience=1) for d in (data, spoiled))
    np.testing.assert_array_equal(
        one.predictions["val"]["dropout_ensemble"][0].probs, two.predictions["val"]["dropout_ensemble"][0].probs
    )


@pytest.mark.slow
def test_repetitions_are_resampled_and_their_table_says_so(data):
    comparison = compare(data, builder(), **{**TINY, "repetitions": 2})
    assert comparison.scores.repetition.isna().all()
    assert set(comparison.contrasts.test) == {"paired bootstrap"}
    assert "2 repetitions" in comparison.verdict()


@pytest.mark.slow
def test_one_repetition_compares_errors_by_mcnemar(data):
    errors = compare(data, builder(), **TINY).contrasts.query("metric == 'error'")
    alone = (errors.arm_a == "single") | (errors.arm_b == "single")
    assert errors.test[~alone].str.startswith("McNemar").all()
    assert set(errors.test[alone]) == {"paired bootstrap"}


@pytest.mark.slow
def test_markup_in_names_does_not_reach_the_table(data, tmp_path):
    from dataclasses import replace

    comparison = compare(replace(data, name="a|b [red]"), builder(), **TINY)
    assert "a\\|b [red]" in comparison.save(tmp_path / "run").read_text()
    assert "a|b [red]" in comparison.report(tmp_path / "report").read_text()
