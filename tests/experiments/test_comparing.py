"""`compare` as a function: what it refuses before training, and what its arms are."""

import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from bare import BARE

import ensemble_vs_dropout as evd
from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.datasets import from_arrays, from_batches
from ensemble_vs_dropout.experiments.comparing import compare
from ensemble_vs_dropout.experiments.comparison import Comparison
from ensemble_vs_dropout.experiments.running import class_weights, data_digest
from ensemble_vs_dropout.experiments.settings import make_settings
from ensemble_vs_dropout.measures import brier
from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.models.builders import mlp
from ensemble_vs_dropout.predictors import Ensemble
from ensemble_vs_dropout.seeds import derive
from ensemble_vs_dropout.types import Dataset

TINY = BARE | {"members": 2, "passes": 3, "repetitions": 1, "epochs": 2}


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
        (builder(loss="mse", activation=None), "must be known: its loss 'mse' .* give head="),
        (builder(loss=lambda y, p: keras.ops.mean(p)), "must be lower for the right class"),
        (builder(activation=None), "its loss expects probabilities"),
        (lambda rate: None, "must be a keras.Model, got NoneType"),
        (lambda: None, "must take the argument rate"),
        (builder()(0.0), "must be a function .* got Sequential; the data come first"),
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


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, None),
        ("balanced", {0: 4 / 3, 1: 4 / 3, 2: 2 / 3}),
        ({"no": 3.0}, {0: 3.0, 1: 1.0, 2: 1.0}),
        ({"no": 0.0, "maybe": 0.5}, {0: 0.0, 1: 1.0, 2: 0.5}),
    ],
)
def test_weights_of_classes_go_by_their_names(given, expected):
    x, y = np.zeros((8, 1)), np.array([0, 0, 1, 1, 2, 2, 2, 2])
    data = Dataset("tiny", x, y, x, y, x, y, classes=("no", "yes", "maybe"))
    assert class_weights(given, data) == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"other": 1.0}, "unknown class in class_weight, of 'tiny' 'other'; known: 0, 1, 2"),
        (dict.fromkeys("012", 0.0), "must leave some class a weight above 0"),
        ({0: -1.0}, "must be balanced, or numbers of at least 0 by the names of classes, got {0: -1.0}"),
        ("even", "must be balanced, or numbers .* got 'even'"),
    ],
)
def test_weights_that_no_class_can_have_are_refused(given, message, data):
    with pytest.raises(InputError, match=message):
        compare(data, builder(), **TINY, class_weight=given)


@pytest.mark.slow
def test_weights_of_classes_are_those_of_training_alone(data, tmp_path):
    weights = {0: 5.0, 2: 0.5}
    found = compare(data, builder(), **TINY, class_weight=weights, out=tmp_path / "run")
    fit = {"validation_data": (data.x_val, data.y_val), "epochs": 2, "patience": 10, "batch_size": 128, "verbose": 0}
    for recipe, rate in (("plain", 0.0), ("dropout", 0.5)):
        alone = Ensemble(lambda rate=rate: builder()(rate), 2, derive(0, "repetition", 0))
        alone.fit(data.x_train, data.y_train, class_weight=weights, **fit)
        other = Ensemble(lambda rate=rate: builder()(rate), 2, derive(0, "repetition", 0))
        other.fit(data.x_train, data.y_train, **fit)
        judged = found.ensembles[0][recipe].predict(data.x_test)
        np.testing.assert_allclose(judged, alone.predict(data.x_test), atol=1e-6)
        assert np.abs(judged - other.predict(data.x_test)).max() > 1e-3
    truth = found.scores.query("arm == 'ensemble' and rule == 'mean' and metric == 'error'").value.item()
    right = found.arms["ensemble"][0].probs.mean(0).argmax(1) == data.y_test
    assert float(truth) == pytest.approx(1 - right.mean())  # no example counts more than another
    assert Comparison.load(tmp_path / "run").settings.class_weight == {"0": 5.0, "2": 0.5}
    with pytest.raises(InputError, match="class_weight differ"):
        compare(data, builder(), **TINY, class_weight="balanced", out=tmp_path / "run")


@pytest.mark.slow
def test_weights_of_examples_are_those_of_training_alone(data):
    weights = np.linspace(0.0, 4.0, len(data.y_train)).astype("float32")
    weighted = replace(data, weights_train=weights)
    found = compare(weighted, builder(), **TINY)
    alone = Ensemble(lambda: builder()(0.0), 2, derive(0, "repetition", 0))
    alone.fit(
        data.x_train, data.y_train, sample_weight=weights, validation_data=(data.x_val, data.y_val), epochs=2,
        patience=10, batch_size=128, verbose=0,
    )  # fmt: skip
    judged = found.ensembles[0]["plain"].predict(data.x_test)
    np.testing.assert_allclose(judged, alone.predict(data.x_test), atol=1e-6)
    assert data_digest(weighted) != data_digest(data)


@pytest.mark.slow
def test_a_network_with_a_loss_of_ones_own_is_compared(data, tmp_path):
    def squares(y, z):
        return keras.ops.mean((y - keras.ops.softmax(z)) ** 2, axis=-1)

    build = builder(activation=None, loss=squares)
    with pytest.raises(InputError, match="give head="):
        compare(data, build, **TINY)
    found = compare(data, build, **TINY, head="logits", out=tmp_path / "run")
    judged = found.arms["ensemble"][0].probs
    logits = [model.predict(data.x_test, verbose=0) for model in found.ensembles[0]["plain"].models]
    np.testing.assert_allclose(judged, np.asarray(keras.ops.softmax(np.stack(logits))), atol=1e-6)
    assert found.settings.head == "logits"
    read = Comparison.load(tmp_path / "run")
    np.testing.assert_allclose(read.ensembles[0]["plain"].predict_members(data.x_test).probs, judged, atol=1e-6)
    read.export(tmp_path / "model.keras", "mc_dropout", passes=3)


def test_names_of_classes_may_be_numbers_of_any_kind():
    told = make_settings(dataset="digits", class_weight={1: np.float32(5), 2.0: 3}).class_weight
    assert told == {"1": 5.0, "2": 3.0}
    for given in (np.ones(3), pd.Series([1.0]), {"a": "b"}):
        with pytest.raises(InputError, match="class_weight: must be balanced, or numbers"):
            make_settings(dataset="digits", class_weight=given)


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
def test_what_is_tested_is_what_networks_and_repetitions_can_tell(data):
    one, three = (compare(data, builder(), **{**TINY, "members": n, "repetitions": r}) for n, r in ((3, 1), (2, 3)))
    assert three.scores.repetition.isna().all()
    tests = {
        (row.arm_a, row.arm_b): (found.query("metric == 'brier'").test[row.Index])
        for found in (one.contrasts,)
        for row in found.query("metric == 'brier'").itertuples()
    }
    assert tests["single", "dropout"] == "paired t over networks and examples"
    assert tests["single", "ensemble"] == "none: of these networks only"
    found = three.contrasts.query("metric == 'brier'").set_index(["arm_a", "rule_a", "arm_b", "rule_b"]).test
    assert found["single", "each", "dropout", "each"] == "paired t over networks and examples"
    assert found["single", "each", "ensemble", "mean"] == "paired t over repetitions and examples"
    assert found["ensemble", "mean", "dropout", "each"] == "t over repetitions, networks and examples"
    assert "over training again (3 repetitions of 2 networks)" in three.verdict()
    assert "of these networks only" in one.verdict()


@pytest.mark.slow
def test_every_dropout_network_counts(data):
    comparison = compare(data, builder(), **{**TINY, "members": 3})
    (passes,) = comparison.predictions["test"]["mc_dropout"]
    assert passes.members == 3
    assert {rule: probs.shape[0] for rule, probs in passes.further.items()} == dict.fromkeys(
        ("mean", "geometric_mean", "majority_vote"), 2
    )
    scores = comparison.scores.set_index(["arm", "rule", "metric"]).value
    labels = comparison.labels["test"]
    each = (passes.probs.mean(axis=0), *passes.further["mean"])
    assert scores["mc_dropout", "mean", "brier"] == pytest.approx(np.mean([brier(p, labels).mean() for p in each]))
    (networks,) = comparison.predictions["test"]["dropout_ensemble"]
    expected = np.mean([brier(p, labels).mean() for p in networks.probs])
    assert scores["dropout", "each", "brier"] == pytest.approx(expected)


@pytest.mark.slow
def test_settings_are_chosen_once_and_the_answer_says_what_from(data):
    tuning = {"dropout": {"rate": [0.5, 0.2]}, "plain": {"batch_size": [32, 64]}}
    wanted = {**TINY, "rate": "auto", "controls": None, "repetitions": 2}
    comparison = compare(data, evd.networks.mlp(units=(8,)), **wanted, tuning=tuning)
    assert len(comparison.trials) == 4
    assert comparison.chosen[0] == comparison.chosen[1]
    assert [run.recipe for run in comparison.runs[0]] == ["plain", "dropout", "wide"]
    chosen = comparison.chosen[0]
    of_recipe = {run.recipe: run.settings for runs in comparison.runs for run in runs}
    assert of_recipe["dropout"].rate == chosen["dropout"]["rate"]
    assert of_recipe["plain"].batch_size == of_recipe["wide"].batch_size == chosen["plain"]["batch_size"]
    told = comparison.verdict().splitlines()[-2:]
    assert told[0].startswith(
        f"For the networks without dropout, batch size {chosen['plain']['batch_size']} was chosen from 2 candidates by "
        "the NLL of one network on validation data ("
    )
    assert f"rate {chosen['dropout']['rate']} was chosen" in told[1]
    assert ("rate 0.5 would have had" in told[1]) == (chosen["dropout"]["rate"] != 0.5)


@pytest.mark.slow
def test_a_probe_goes_on_where_its_network_stopped_and_tells_what_that_gains(data, tmp_path):
    wanted = {**TINY, "probe": True, "patience": 1, "epochs": 4}
    comparison = compare(data, builder(), **wanted, out=tmp_path / "run")
    assert [(run.recipe, run.settings.epochs, run.settings.patience) for run in comparison.probes] == [
        ("plain", 12, 3), ("dropout", 12, 3),
    ]  # fmt: skip
    histories, gains = comparison.histories, []
    for run in comparison.probes:
        longer = pd.read_csv(io.BytesIO(comparison.store.read(run, "histories.csv")[0])).val_loss.to_numpy()
        usual = histories[(histories.recipe == run.recipe) & (histories.member == 0)].val_loss.to_numpy()
        np.testing.assert_allclose(longer[: len(usual)], usual, rtol=1e-4)
        gains.append(1 - longer.min() / usual.min())
    assert max(gains) > 0.01
    words = {"plain": "networks without dropout", "dropout": "dropout networks"}
    for run, gain in zip(comparison.probes, gains, strict=True):
        told = f"{100 * gain:.0f} % ({words[run.recipe]})"
        assert (told in comparison.notes()) == (gain >= 0.01)
    again = evd.Comparison.load(tmp_path / "run")
    assert again.notes() == comparison.notes()


@pytest.mark.slow
def test_markup_in_names_does_not_reach_the_table(data, tmp_path):
    from dataclasses import replace

    comparison = compare(replace(data, name="a|b [red]"), builder(), **TINY)
    assert "a\\|b [red]" in comparison.save(tmp_path / "run").read_text()
    assert "a|b [red]" in comparison.report(tmp_path / "report").read_text()


@pytest.mark.slow
def test_a_table_with_holes_is_cleaned_as_asked_and_the_runs_say_so(tmp_path):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"a": rng.normal(size=120), "b": rng.normal(size=120), "id": np.arange(120)})
    table["label"] = np.where(table.a > 0, "yes", "no")
    table.loc[[2, 5], "b"] = np.nan
    table.to_csv(tmp_path / "holes.csv", index=False)
    cleaned = {"target": "label", "drop": ["id"], "missing": "median"}
    found = compare(str(tmp_path / "holes.csv"), "mlp", **TINY | {"epochs": 1}, **cleaned)
    data = evd.load_dataset(tmp_path / "holes.csv", **cleaned)
    np.testing.assert_array_equal(found.labels["test"], data.y_test)
    assert found.ensembles[0]["plain"].models[0].input_shape == (None, 2)
    assert found.spec["drop"] == ["id"]
    assert found.spec["missing"] == "median"
    assert all(run.spec["missing"] == "median" for runs in found.runs for run in runs)
    same = compare(data, "mlp", **TINY | {"epochs": 1})  # what it was loaded by is known
    assert [run.name for run in same.runs[0]] == [run.name for run in found.runs[0]]


def raising(data, rate):
    if rate:
        return data.x_trian
    return evd.networks.mlp(units=(4,), rate=0)(data)


def test_a_builder_that_raises_is_told_with_its_own_line():
    line = raising.__code__.co_firstlineno + 2
    with pytest.raises(InputError, match=rf"raising raised AttributeError with rate=0.5: .*x_trian.* line {line}\)"):
        evd.compare("digits", raising, rate=0.5, verbose=0)


@pytest.mark.slow
def test_batches_are_compared_as_their_arrays_with_weights_of_classes_and_examples():
    rng = np.random.default_rng(0)
    y = np.arange(150) % 3
    x, weights = rng.normal(size=(150, 4)) + y[:, None], rng.uniform(0.5, 2.0, 150)
    few = {"members": 2, "rate": 0.2, "passes": 3, "repetitions": 1, "epochs": 2, "class_weight": "balanced", **BARE}
    places = [slice(start, start + 16) for start in range(0, 150, 16)]
    chunks = [(x[place], y[place], weights[place]) for place in places]
    tested = [(x[:60], y[:60])]
    arrays = from_arrays(x, y, x[:60], y[:60], weights_train=weights)
    one, other = (compare(data, mlp(units=[8]), **few) for data in (from_batches(chunks, tested), arrays))
    pd.testing.assert_frame_equal(one.scores, other.scores)
