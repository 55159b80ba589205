from functools import cache

import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation import Evaluator
from ensemble_vs_dropout.models.backend import keras, tf
from ensemble_vs_dropout.predictors import Ensemble

LOSSES = ["sparse_categorical_crossentropy", "categorical_crossentropy", "binary_crossentropy"]


def build(loss=LOSSES[0], classes=3):
    units, last = (1, "sigmoid") if loss == LOSSES[2] else (classes, "softmax")
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(8, activation="relu", kernel_regularizer="l2"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(units, activation=last),
        ]
    )
    other = keras.metrics.SparseTopKCategoricalAccuracy(2) if loss == LOSSES[0] else keras.metrics.AUC(name="auc")
    model.compile("sgd", loss, metrics=["accuracy", other])
    return model


def values_of(table, what):
    rows = table[table["of"] == what]
    return dict(zip(rows["metric"], rows["value"], strict=True))


def targets(loss, y):
    return np.eye(3)[y] if loss == LOSSES[1] else y.astype("float32")[:, None]


def check_members(table, models, x, y):
    """Hold the rows of members to Keras' own `evaluate`, in batches of another size."""
    for number, model in models.items():
        expected = model.evaluate(x, targets(model.loss, y), batch_size=7, verbose=0, return_dict=True)
        assert values_of(table, f"member {number}") == pytest.approx(expected, abs=1e-5)


@pytest.fixture(scope="module")
def fitted(blobs):
    """A function of a loss that returns an ensemble, trained once, with its data."""

    @cache
    def trained(loss):
        x, y = blobs(40, classes=2 if loss == LOSSES[2] else 3)
        ensemble = Ensemble(lambda: build(loss), members=2)
        ensemble.fit(x, y, epochs=2, batch_size=8, strategy="looped", verbose=0)
        return ensemble, x, y

    return trained


@pytest.mark.parametrize("loss", [LOSSES[0], *(pytest.param(loss, marks=pytest.mark.slow) for loss in LOSSES[1:])])
def test_members_have_what_keras_evaluate_gives_and_rules_what_the_evaluator_gives(fitted, loss):
    ensemble, x, y = fitted(loss)
    before = [weights for model in ensemble.models for weights in model.get_weights()]
    table = ensemble.evaluate(x, y)
    check_members(table, dict(enumerate(ensemble.models)), x, y)
    scores = Evaluator().scores({"a": ensemble.predict_members(x)}, y)
    rules = table[~table["of"].str.startswith("member")]
    assert list(table) == ["of", "metric", "value"]
    assert table["of"].unique().tolist() == ["member 0", "member 1", *scores["rule"].unique()]
    assert values_of(table, "member 0")["loss"] != values_of(table, "member 1")["loss"]
    assert rules[["of", "metric"]].to_numpy().tolist() == scores[["rule", "metric"]].to_numpy().tolist()
    np.testing.assert_allclose(rules["value"], scores["value"], rtol=1e-12)
    for mine, theirs in zip(before, (w for model in ensemble.models for w in model.get_weights()), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.slow
def test_labels_come_in_any_form_and_in_batches(fitted):
    ensemble, x, y = fitted(LOSSES[0])
    expected = ensemble.evaluate(x, y, rules=["median"], metrics=["nll"])
    assert expected["of"].tolist() == [*["member 0"] * 3, *["member 1"] * 3, "median"]
    weights = np.arange(len(y))
    for given in [
        (x, np.eye(3)[y]),
        (x.astype("float64"), y[:, None].astype("float32")),
        (tf.data.Dataset.from_tensor_slices((x, y)).batch(9),),
        (tf.data.Dataset.from_tensor_slices((x, y, weights)).batch(9),),
    ]:
        found = ensemble.evaluate(*given, rules=["median"], metrics=["nll"])
        assert found[["of", "metric"]].equals(expected[["of", "metric"]])
        np.testing.assert_allclose(found["value"], expected["value"], rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("lazy", [False, True])
def test_members_whose_losses_want_other_labels_have_their_own(blobs, tmp_path, lazy):
    x, y = blobs(40)
    models = {number: build(loss) for number, loss in enumerate([LOSSES[0], LOSSES[1], LOSSES[0]])}
    for number, model in models.items():
        model.save(tmp_path / f"{number}.keras")
    ensemble = Ensemble.from_models([tmp_path / f"{number}.keras" for number in models], lazy=lazy)
    check_members(ensemble.evaluate(x, y), models, x, y)


@pytest.mark.slow
def test_a_member_that_diverged_is_left_out_and_the_others_keep_their_numbers(blobs):
    x, y = blobs(40)
    models = [build() for _ in range(3)]
    models[1].layers[-1].set_weights([np.full_like(w, np.nan) for w in models[1].layers[-1].get_weights()])
    given = iter(models)
    ensemble = Ensemble(lambda: next(given), members=3)
    ensemble.fit(x, y, epochs=1, verbose=0)
    table = ensemble.evaluate(x, y)
    assert [of for of in table["of"].unique() if "member" in of] == ["member 0", "member 2"]
    check_members(table, {0: models[0], 2: models[2]}, x, y)


@pytest.mark.parametrize(
    ("given", "settings", "message"),
    [
        ((np.zeros((3, 6)), [0, 1]), {}, "one label for each, got 3 examples and 2 labels"),
        ((np.zeros((3, 6)), [0, 1, 3]), {}, r"whole numbers 0..2"),
        ((np.zeros((3, 6)),), {}, "one label for each example, got None"),
        ((np.zeros((3, 6)), [0, 1, 2]), {"rules": ["meen"]}, "unknown rule 'meen'"),
        ((np.zeros((3, 6)), [0, 1, 2]), {"metrics": ["eror"]}, "'eror'"),
        ((np.zeros((3, 6)), [0, 1, 2]), {"batch_size": 0}, "batch_size must be a whole number of at least 1"),
        ((tf.data.Dataset.from_tensors((np.zeros((3, 6)), [0, 1, 2])), [0, 1, 2]), {}, "y must be left out"),
        ((tf.data.Dataset.from_tensors((np.zeros((3, 6)), [0, 1, 2])).repeat(),), {}, "the data is a source without"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(given, settings, message):
    with pytest.raises(InputError, match=message):
        Ensemble(build, members=1).evaluate(*given, **settings)
