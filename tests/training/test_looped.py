"""The looped trainer does what Keras' `fit` does: same steps, same metrics, same early stopping."""

import numpy as np
import pytest

from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.models.draws import words_by_operation
from ensemble_vs_dropout.predictors import Ensemble
from ensemble_vs_dropout.training.masks import own_masks


def rich_model():
    """Everything that happens in a step besides the gradient: batch statistics, penalties, constraints."""
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(
                8, kernel_regularizer=keras.regularizers.L2(0.01), kernel_constraint=keras.constraints.MaxNorm(1.0)
            ),
            keras.layers.BatchNormalization(),
            keras.layers.Activation("relu"),
            keras.layers.Dense(3, activity_regularizer=keras.regularizers.L2(1e-3)),
        ]
    )
    model.compile(
        keras.optimizers.Adam(0.02),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,
    )
    return model


def assert_close(model, other, rtol=1e-5, atol=1e-6):
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


@pytest.mark.slow
def test_the_looped_trainer_equals_keras_fit_from_the_same_start(blobs):
    x, y = blobs(70)
    x_val, y_val = blobs(25, seed=1)
    ensemble = Ensemble(rich_model, members=1)
    reference = rich_model()
    reference.set_weights(ensemble.models[0].get_weights())
    settings = {"validation_data": (x_val, y_val), "epochs": 3, "batch_size": 16, "shuffle": False, "verbose": 0}
    histories = ensemble.fit(x, y, **settings)  # the last batch holds 6 examples
    expected = reference.fit(x, y, **settings).history
    assert_close(ensemble.models[0], reference, rtol=2e-6, atol=2e-7)
    for column in ("loss", "accuracy", "val_loss", "val_accuracy"):
        np.testing.assert_allclose(histories[column], expected[column], rtol=1e-5)
    assert int(ensemble.models[0].optimizer.iterations) == int(reference.optimizer.iterations) == 15


@pytest.mark.slow
def test_with_our_masks_keras_fit_gives_the_same_dropout_network(small, blobs):
    x, y = blobs(40)
    ensemble = Ensemble(lambda: small(jit_compile=False), members=1)
    reference = small(jit_compile=False)
    for ours, theirs in zip(ensemble.models[0].variables, reference.variables, strict=True):
        theirs.assign(ours)
    ensemble.fit(x, y, epochs=2, batch_size=16, shuffle=False, verbose=0)
    with own_masks(words_by_operation):
        reference.fit(x, y, epochs=2, batch_size=16, shuffle=False, verbose=0)
    assert_close(ensemble.models[0], reference)


def test_a_train_step_of_the_users_own_is_what_trains(blobs):
    x, y = blobs(20)

    class Frozen(keras.Sequential):
        def train_step(self, data):
            features, labels = data
            loss = self.compute_loss(features, labels, self(features, training=True))
            self._loss_tracker.update_state(loss)
            return self.get_metrics_result()

    def build():
        model = Frozen([keras.Input((6,)), keras.layers.Dense(3)])
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return model

    ensemble = Ensemble(build, members=1)
    before = ensemble.models[0].get_weights()
    ensemble.fit(x, y, epochs=2, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, ensemble.models[0].get_weights(), strict=True))


def overfitting(learning_rate=0.3):
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(32, activation="relu"), keras.layers.Dense(3)])
    model.compile(
        keras.optimizers.SGD(learning_rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,
    )
    return model


@pytest.mark.slow
def test_early_stopping_gives_back_the_weights_of_the_best_epoch(blobs):
    x, y = blobs(30, noise=3.0)
    validation = blobs(40, seed=1, noise=3.0)
    ensemble = Ensemble(overfitting, members=2)
    histories = ensemble.fit(x, y, validation_data=validation, epochs=40, batch_size=10, patience=3, verbose=0)
    for member, model in enumerate(ensemble.models):
        losses = histories[histories.member == member].val_loss.to_numpy()
        assert len(losses) == losses.argmin() + 1 + 3 < 40  # it went on for just the patience after the best
        restored = model.evaluate(*validation, verbose=0, return_dict=True)["loss"]
        assert restored == pytest.approx(losses.min(), rel=1e-5)
        assert restored < losses[-1] - 1e-4


def test_the_best_weights_come_back_when_the_epochs_run_out_too(blobs):
    x, y = blobs(30, noise=3.0)
    validation = blobs(40, seed=1, noise=3.0)
    ensemble = Ensemble(overfitting, members=1)
    losses = ensemble.fit(x, y, validation_data=validation, epochs=15, batch_size=10, patience=50, verbose=0).val_loss
    assert len(losses) == 15
    assert losses.idxmin() < 14
    assert ensemble.models[0].evaluate(*validation, verbose=0)[0] == pytest.approx(losses.min(), rel=1e-5)


def test_without_patience_the_last_weights_stay(blobs):
    x, y = blobs(30, noise=3.0)
    validation = blobs(40, seed=1, noise=3.0)
    ensemble = Ensemble(overfitting, members=1)
    losses = ensemble.fit(x, y, validation_data=validation, epochs=15, batch_size=10, verbose=0).val_loss
    assert ensemble.models[0].evaluate(*validation, verbose=0)[0] == pytest.approx(losses.iloc[-1], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("patience", [1, 4])
def test_patience_means_what_keras_early_stopping_means(blobs, patience):
    x, y = blobs(30, noise=3.0)
    validation = blobs(40, seed=1, noise=3.0)
    ensemble = Ensemble(overfitting, members=1, seed=2)
    reference = overfitting()
    reference.set_weights(ensemble.models[0].get_weights())
    settings = {"epochs": 40, "batch_size": 10, "shuffle": False, "verbose": 0}
    histories = ensemble.fit(x, y, validation_data=validation, patience=patience, **settings)
    stopping = keras.callbacks.EarlyStopping("val_loss", patience=patience, restore_best_weights=True)
    expected = reference.fit(x, y, validation_data=validation, callbacks=[stopping], **settings).history["val_loss"]
    assert len(histories) == len(expected) < 40
    np.testing.assert_allclose(histories.val_loss, expected, rtol=1e-4)
    assert_close(ensemble.models[0], reference, rtol=1e-3, atol=1e-5)


def test_a_loss_that_diverges_raises_and_names_the_member(blobs):
    x, y = blobs(20)
    ensemble = Ensemble(lambda: overfitting(1e25), members=2)
    with pytest.raises(FloatingPointError, match=r"member 0: the loss is .* after epoch .*lower learning rate"):
        ensemble.fit(x, y, epochs=10, verbose=0, on_divergence="raise")
    assert ensemble.histories.empty


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["class_weight", "sample_weight"])
def test_weights_of_classes_and_examples_and_a_validation_split_are_those_of_keras_fit(small, blobs, weights):
    x, y = blobs(60)
    given = {"class_weight": {0: 3.0, 1: 1.0, 2: 0.2}} if weights == "class_weight" else {}
    if weights == "sample_weight":
        given = {"sample_weight": np.random.default_rng(0).uniform(size=60)}
    settings = {"validation_split": 0.3, "epochs": 3, "batch_size": 16, "shuffle": False, "verbose": 0, **given}
    ensemble = Ensemble(lambda: small(rate=0, weighted_metrics=["accuracy"]), members=1)
    reference = small(rate=0, weighted_metrics=["accuracy"], jit_compile=False)
    reference.set_weights(ensemble.models[0].get_weights())
    histories = ensemble.fit(x, y, **settings)
    expected = reference.fit(x, y, **settings).history
    assert_close(ensemble.models[0], reference)
    for column in expected:
        np.testing.assert_allclose(histories[column], expected[column], rtol=1e-5, err_msg=column)
