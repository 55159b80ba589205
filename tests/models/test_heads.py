"""What a compiled model's outputs mean is read from its loss, and a softmax is applied exactly once."""

from functools import partial

import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.models.backend import keras, tf
from ensemble_vs_dropout.models.heads import declare, read_head
from ensemble_vs_dropout.models.programs import Programs, forward
from ensemble_vs_dropout.models.targets import read_training_head
from ensemble_vs_dropout.predictors import Ensemble, MonteCarloDropout, WeightScaling

LOSSES = keras.losses
X = np.random.default_rng(5).normal(size=(9, 4)).astype("float32")


def model_with(loss, units=3, activation=None):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units, activation=activation)])
    model.compile("sgd", loss)
    return model


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize(
    ("loss", "units", "activation", "logits", "one_hot"),
    [
        ("sparse_categorical_crossentropy", 3, "softmax", False, False),
        ("categorical_crossentropy", 3, "softmax", False, True),
        ("binary_crossentropy", 1, "sigmoid", False, False),
        (LOSSES.sparse_categorical_crossentropy, 3, "softmax", False, False),
        (LOSSES.SparseCategoricalCrossentropy(), 3, "softmax", False, False),
        (LOSSES.SparseCategoricalCrossentropy(from_logits=True), 3, None, True, False),
        (LOSSES.CategoricalCrossentropy(from_logits=True), 3, None, True, True),
        (LOSSES.CategoricalCrossentropy(label_smoothing=0.1), 3, "softmax", False, True),
        (LOSSES.CategoricalFocalCrossentropy(from_logits=True), 3, None, True, True),
        (LOSSES.BinaryCrossentropy(from_logits=True), 1, None, True, False),
        (LOSSES.BinaryCrossentropy(), 1, "sigmoid", False, False),
        (LOSSES.BinaryFocalCrossentropy(from_logits=True), 1, None, True, False),
    ],
)
def test_the_loss_says_logits_or_probabilities_and_the_form_of_the_labels(loss, units, activation, logits, one_hot):
    head = read_head(model_with(loss, units, activation))
    assert (head.units, head.logits, (head.form == "one_hot"), head.classes) == (units, logits, one_hot, max(units, 2))


def test_a_softmax_layer_of_its_own_counts_as_probabilities():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Softmax()])
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert not read_head(model).logits
    model.compile("sgd", LOSSES.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(InputError, match="applied twice"):
        read_head(model)


@pytest.mark.parametrize(
    ("loss", "units", "activation", "message"),
    [
        (LOSSES.SparseCategoricalCrossentropy(from_logits=True), 3, "softmax", "softmax.*applied twice"),
        (LOSSES.BinaryCrossentropy(from_logits=True), 1, "sigmoid", "sigmoid.*applied twice"),
        ("sparse_categorical_crossentropy", 3, None, "gives logits while its loss expects probabilities"),
        ("binary_crossentropy", 1, None, "gives logits while its loss expects probabilities"),
        ("mse", 3, None, "must be known: its loss 'mse' .* ends with linear; give head="),
        ("mse", 3, "sigmoid", "sigmoid over 3 units, which is for several labels"),
        ("binary_crossentropy", 3, "sigmoid", "one unit with a binary cross-entropy"),
        ("sparse_categorical_crossentropy", 1, "softmax", "one unit for each class"),
    ],
)
def test_a_loss_that_contradicts_the_outputs_is_refused(loss, units, activation, message):
    # Keras itself warns of one of the combinations only when it trains, so building must be silent.
    with pytest.raises(InputError, match=message):
        read_head(model_with(loss, units, activation))


def test_what_is_no_compiled_model_with_one_output_row_is_refused():
    with pytest.raises(InputError, match=r"must be a keras.Model, got str"):
        read_head("model")
    with pytest.raises(InputError, match="must be compiled"):
        read_training_head(keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")]))
    with pytest.raises(InputError, match="with a loss to be trained, got none"):
        read_training_head(model_with(None, activation="softmax"))
    model = keras.Sequential([keras.Input((5, 4)), keras.layers.Dense(3, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(InputError, match="one output of shape"):
        read_head(model)


def test_logits_are_softmaxed_once_and_probabilities_never():
    logits = model_with(LOSSES.SparseCategoricalCrossentropy(from_logits=True))
    probs = model_with("sparse_categorical_crossentropy", activation="softmax")
    probs.set_weights(logits.get_weights())
    expected = softmax(X @ logits.get_weights()[0])
    for model in (logits, probs):
        np.testing.assert_allclose(forward(model, X, Programs(), 4), expected, atol=1e-6)
        np.testing.assert_allclose(Ensemble.from_models([model]).predict(X), expected, atol=1e-6)
        np.testing.assert_allclose(WeightScaling(model).predict(X), expected, atol=1e-6)


def test_one_sigmoid_unit_becomes_two_columns_class_1_last():
    logits = model_with(LOSSES.BinaryCrossentropy(from_logits=True), 1)
    probs = model_with("binary_crossentropy", 1, "sigmoid")
    probs.set_weights(logits.get_weights())
    positive = 1 / (1 + np.exp(-(X @ logits.get_weights()[0])[:, 0]))
    for model in (logits, probs):
        result = forward(model, X, Programs(), 4)
        np.testing.assert_allclose(result, np.stack([1 - positive, positive], axis=1), atol=1e-6)


def test_a_saturated_softmax_is_never_exactly_zero():
    head = read_head(model_with(LOSSES.SparseCategoricalCrossentropy(from_logits=True)))
    probs = np.asarray(head.predicted(tf.constant([[0.0, 500.0, 0.0]])))
    assert probs.min() > 0
    assert probs[0, 1] == 1


def test_monte_carlo_dropout_of_logits_and_of_probabilities_is_the_same(small):
    logits, probs = small(head="logits", features=4), small(head="probabilities", features=4)
    probs.set_weights(logits.get_weights())
    passes = [MonteCarloDropout(m, passes=5, seed=3).predict_members(X).probs for m in (logits, probs)]
    np.testing.assert_allclose(passes[0], passes[1], atol=1e-6)


@pytest.mark.parametrize(
    ("loss", "classes", "units", "activation"),
    [
        ("categorical_crossentropy", 3, 3, "softmax"),
        (LOSSES.CategoricalCrossentropy(from_logits=True), 3, 3, None),
        ("binary_crossentropy", 2, 1, "sigmoid"),
        (LOSSES.BinaryCrossentropy(from_logits=True), 2, 1, None),
    ],
)
def test_integer_labels_train_whatever_form_the_loss_wants(blobs, loss, classes, units, activation):
    x, y = blobs(60, features=4, classes=classes)

    def build():
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units, activation=activation)])
        model.compile(keras.optimizers.SGD(0.3), loss, metrics=["accuracy"])
        return model

    ensemble = Ensemble(build, members=1)
    histories = ensemble.fit(x, y, epochs=8, batch_size=10, verbose=0)
    assert histories.loss.iloc[-1] < histories.loss.iloc[0]
    accuracy = (ensemble.predict(x).argmax(axis=1) == y).mean()
    assert accuracy > 0.8
    assert histories.accuracy.iloc[-1] == pytest.approx(accuracy, abs=0.15)


def test_a_softmax_operation_at_the_end_is_seen_as_probabilities():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.ops.softmax(keras.layers.Dense(3)(inputs)))
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert not read_head(model).logits


def test_a_nested_softmax_with_a_logits_loss_is_refused():
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    model = keras.Sequential([keras.Input((4,)), inner])
    model.compile("sgd", LOSSES.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(InputError, match="applied twice"):
        read_head(model)


def test_a_subclassed_model_that_was_called_on_a_batch_is_accepted():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.out = keras.layers.Dense(3, activation="softmax")

        def call(self, inputs):
            return self.out(inputs)

    model = Net()
    model.compile("sgd", "sparse_categorical_crossentropy")
    model(X)
    assert read_head(model).classes == 3


def test_a_subclass_that_creates_its_softmax_layer_first_is_accepted():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.out = keras.layers.Dense(3, activation="softmax")
            self.hidden = keras.layers.Dense(5)

        def call(self, inputs):
            return self.out(self.hidden(inputs))

    model = Net()
    model.compile("sgd", "sparse_categorical_crossentropy")
    model(X)
    assert not read_head(model).logits


def custom(outputs):
    return keras.ops.sigmoid(outputs)


def ending(*layers, units=1, loss="binary_crossentropy"):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units), *layers])
    model.compile("sgd", loss)
    return model


def by_operation(operation):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, operation(keras.layers.Dense(1)(inputs)))
    model.compile("sgd", "binary_crossentropy")
    return model


NO_PROBABILITIES = {
    "tanh": lambda: model_with("binary_crossentropy", 1, "tanh"),
    "relu": lambda: model_with("categorical_crossentropy", 3, "relu"),
    "elu": lambda: ending(keras.layers.Activation("elu")),
    "leaky_relu": lambda: ending(keras.layers.LeakyReLU()),
    "softplus": lambda: ending(keras.layers.Dense(1, activation="softplus"), keras.layers.Reshape((1,))),
    "sigmoid": lambda: model_with("categorical_crossentropy", 3, "sigmoid"),
    "hard_tanh": lambda: by_operation(keras.ops.hard_tanh),
    "selu": lambda: ending(keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, activation="selu")])),
    "silu|swish": lambda: ending(keras.layers.Activation("silu"), keras.layers.Activation("linear")),
    "softsign": lambda: ending(keras.layers.SpectralNormalization(keras.layers.Dense(1, activation="softsign"))),
    "softmax, which is always 1": lambda: ending(keras.layers.Softmax()),
}


@pytest.mark.parametrize("activation", NO_PROBABILITIES)
def test_a_known_activation_that_gives_no_probabilities_is_refused(activation):
    with pytest.raises(InputError, match=f"ends with ({activation}).*end with (sigmoid|softmax)"):
        read_head(NO_PROBABILITIES[activation]())


@pytest.mark.parametrize(
    "made",
    [
        lambda: model_with("binary_crossentropy", 1, "hard_sigmoid"),
        lambda: model_with("binary_crossentropy", 1, custom),
        lambda: ending(keras.layers.Activation("sigmoid"), keras.layers.Activation("linear", dtype="float32")),
        lambda: ending(keras.layers.ReLU(max_value=1)),
        lambda: by_operation(keras.ops.sigmoid),
    ],
)
def test_activations_that_give_probabilities_or_may_are_taken(made):
    model = made()
    assert not read_head(model).logits
    assert WeightScaling(model).predict(X).min() >= 0


class Fives(keras.Model):
    def __init__(self, units):
        super().__init__()
        self.drop, self.out = keras.layers.Dropout(0.5), keras.layers.Dense(units)

    def call(self, inputs, training=False):
        return 5 * self.out(self.drop(inputs, training=training))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["subclassed", "subclassed of two units", "custom activation", "arithmetic"])
def test_what_turns_out_to_be_no_probability_is_refused_when_it_predicts(kind):
    if kind.startswith("subclassed"):
        model = Fives(2 if "two" in kind else 1)
        model(X)
        model.compile("sgd", "categorical_crossentropy" if "two" in kind else "binary_crossentropy")
    elif kind == "arithmetic":
        model = by_operation(lambda outputs: 3 * keras.layers.Dropout(0.1)(outputs))
    else:
        model = ending(keras.layers.Dropout(0.1), keras.layers.Dense(1, activation=lambda z: 3 * z))
    for predictor in (Ensemble.from_models([model]), WeightScaling(model), MonteCarloDropout(model, passes=3)):
        for way in (predictor.predict, predictor.predict_members, predictor.predict_uncertainty):
            with pytest.raises(InputError, match=r"lie in \[0, 1\]|not to 1"):
                way(X)


def test_probabilities_that_rounding_put_below_0_are_taken_as_0():
    model = by_operation(lambda outputs: 1 + 1e-5 * keras.ops.abs(outputs))
    probs = WeightScaling(model).predict_members(X).probs
    assert probs.min() == 0
    assert probs.max() == 1


@pytest.mark.parametrize(
    "wrapped",
    [
        pytest.param(lambda out: [out], marks=pytest.mark.slow),
        pytest.param(lambda out: (out,), marks=pytest.mark.slow),
        lambda out: {"classes": out},
    ],
    ids=["list", "tuple", "dict"],
)
def test_one_output_in_a_list_a_tuple_or_a_dict_is_that_output(blobs, wrapped):
    x, y = blobs(20, features=4)

    def build():
        inputs = keras.Input((4,))
        dropped = keras.layers.Dropout(0.2)(inputs)
        model = keras.Model(inputs, wrapped(keras.layers.Dense(3, activation="softmax")(dropped)))
        model.compile("sgd", "sparse_categorical_crossentropy")
        return model

    ensemble = Ensemble(build, members=2)
    ensemble.fit(x, y, validation_data=(x, y), verbose=0)
    model = ensemble.models[0]
    expected = keras.tree.flatten(model.predict(x, verbose=0))[0]
    assert MonteCarloDropout(model, passes=2).predict(x).shape == (20, 3)
    np.testing.assert_allclose(WeightScaling(model).predict(x), expected, atol=1e-6)
    np.testing.assert_allclose(ensemble.to_keras().predict(x, verbose=0), ensemble.predict(x), atol=1e-6)


def test_several_outputs_are_refused():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, [keras.layers.Dense(3)(inputs), keras.layers.Dense(2)(inputs)])
    model.compile("sgd", [LOSSES.SparseCategoricalCrossentropy(from_logits=True)] * 2)
    with pytest.raises(InputError, match="must have one output, got 2"):
        read_head(model)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "units", "expected"),
    [
        ("bce", 1, (False, False)),
        ("CategoricalCrossentropy", 3, (False, True)),
        ("crossentropy", 3, (False, False)),
        ("ce", 1, (False, False)),
        (LOSSES.categorical_focal_crossentropy, 3, (False, True)),
        (LOSSES.BinaryFocalCrossentropy, 1, (False, False)),
        (["binary_crossentropy"], 1, (False, False)),
        ((LOSSES.SparseCategoricalCrossentropy(from_logits=True),), 3, (True, False)),
        ({"out": "categorical_crossentropy"}, 3, (False, True)),
        (partial(LOSSES.binary_crossentropy, from_logits=True), 1, (True, False)),
    ],
)
def test_a_loss_may_be_spelled_in_any_way_that_keras_takes(loss, units, expected):
    inputs = keras.Input((4,))
    activation = None if expected[0] else "sigmoid" if units == 1 else "softmax"
    model = keras.Model(inputs, keras.layers.Dense(units, activation=activation, name="out")(inputs))
    model.compile("sgd", loss)
    head = read_head(model)
    assert (head.logits, (head.form == "one_hot")) == expected
    model.fit(X, head.targets(np.arange(9) % max(units, 2)), verbose=0)  # Keras takes it too


@pytest.mark.parametrize("loss", [{"other": "binary_crossentropy"}, ["bce", "bce"], "junk", lambda y, p: 0.0])
def test_other_losses_are_refused(loss):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid", name="out")(inputs))
    model.compile("sgd", loss)
    with pytest.raises(InputError, match=r"the loss of .* must be"):
        read_training_head(model)


def focal(y, p):
    return -keras.ops.sum(y * (1 - p) ** 2 * keras.ops.log(keras.ops.maximum(p, 1e-7)), axis=-1)


def of_numbers(y, p):
    return -keras.ops.log(keras.ops.take_along_axis(p, keras.ops.cast(y, "int32")[:, None], axis=1)[:, 0])


class Squares(LOSSES.Loss):
    """A loss class of the user's own that wants one-hot labels."""

    def call(self, y, p):
        return keras.ops.mean((y - p) ** 2, axis=-1)


OTHER = {  # the loss, the last activation, what the user says, the units, logits, one-hot
    "focal": (focal, "softmax", None, 3, False, True),
    "of numbers": (of_numbers, "softmax", None, 3, False, False),
    "class": (Squares(), "softmax", "probabilities", 3, False, True),
    "many classes": ("mse", "softmax", None, 12, False, True),
    "divergence": ("kl_divergence", "softmax", None, 3, False, True),
    "hinge": ("categorical_hinge", None, "logits", 3, True, True),
}


@pytest.mark.parametrize("name", OTHER)
def test_another_loss_is_tried_out_for_the_form_of_labels_that_it_wants(name):
    loss, activation, said, units, logits, one_hot = OTHER[name]
    head = read_training_head(declare(model_with(loss, units, activation), said))
    assert (head.logits, (head.form == "one_hot"), head.units) == (logits, one_hot, units)


@pytest.mark.parametrize("said", [None, "logits"])
def test_another_loss_over_one_unit_is_tried_out_too(said):
    def squares(y, p):
        return keras.ops.mean((y - (keras.ops.sigmoid(p) if said else p)) ** 2, axis=-1)

    model = declare(model_with(squares, 1, None if said else "sigmoid"), said)
    assert read_training_head(model).logits == bool(said)
    with pytest.raises(InputError, match=r"no lower for the right class"):
        read_training_head(declare(model_with(lambda y, p: -squares(y, p), 1, None if said else "sigmoid"), said))


def test_a_loss_that_prefers_the_wrong_class_in_any_form_is_refused():
    for loss in (lambda y, p: -focal(y, p), lambda y, p: keras.ops.mean(p, axis=-1), lambda y, p: 1 / 0):
        with pytest.raises(InputError, match="must be lower for the right class than for a wrong one"):
            Ensemble(lambda loss=loss: model_with(loss, activation="softmax"), 2).fit(X, np.arange(9) % 3, verbose=0)


@pytest.mark.parametrize("strategy", ["looped", "stacked"])
def test_training_by_another_loss_is_keras_own(strategy):
    """One step of gradient descent, computed by hand from the gradient of the loss."""
    y, build = np.arange(9) % 3, lambda: model_with(focal, activation="softmax")
    ensemble = Ensemble(build, 2, seed=1)
    before = [w.copy() for w in ensemble.models[1].get_weights()]
    with tf.GradientTape() as tape:
        kernel, bias = map(tf.Variable, before)
        loss = tf.reduce_mean(focal(tf.one_hot(y, 3), tf.nn.softmax(X @ kernel + bias)))
    expected = [w - 0.01 * g.numpy() for w, g in zip(before, tape.gradient(loss, [kernel, bias]), strict=True)]
    ensemble.fit(X, y, batch_size=9, shuffle=False, strategy=strategy, verbose=0)
    for found, wanted in zip(ensemble.models[1].get_weights(), expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_a_network_without_a_loss_predicts_by_its_last_activation_or_by_what_is_said(tmp_path):
    probs = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    logits = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5), keras.layers.Dense(3)])
    logits.set_weights(probs.get_weights())
    expected = probs.predict(X, verbose=0)
    np.testing.assert_allclose(WeightScaling(probs).predict(X), expected, atol=1e-6)
    np.testing.assert_allclose(WeightScaling(logits, head="logits").predict(X), expected, atol=1e-6)
    both = Ensemble.from_models([logits], head="logits")
    np.testing.assert_allclose(both.to_keras().predict(X, verbose=0), expected, atol=1e-6)
    both.save(tmp_path / "both.zip")
    np.testing.assert_allclose(Ensemble.load(tmp_path / "both.zip").predict(X), expected, atol=1e-6)
    passes = MonteCarloDropout(logits, passes=4, masks="shared", head="logits")
    thinned = passes.materialise(2)
    np.testing.assert_allclose(WeightScaling(thinned).predict(X), passes.predict_members(X).probs[2], atol=1e-6)
    with pytest.raises(InputError, match="must be compiled to be trained or evaluated"):
        both.evaluate(X, np.arange(9) % 3)


def test_models_of_paths_are_read_as_is_said(tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.save(tmp_path / "m.keras")
    for lazy in (False, True):
        ensemble = Ensemble.from_models([tmp_path / "m.keras"], lazy=lazy, head="logits")
        np.testing.assert_allclose(ensemble.predict(X), softmax(model.predict(X, verbose=0)), atol=1e-6)


@pytest.mark.parametrize(
    ("loss", "activation", "said", "message"),
    [
        (
            "sparse_categorical_crossentropy",
            "softmax",
            "logits",
            "what its loss expects, 'probabilities', got 'logits'",
        ),
        ("mse", "softmax", "logits", "ends with softmax while head is 'logits', so it would be applied twice"),
        ("mse", None, "probabilities", "gives logits while head is 'probabilities'"),
        ("mse", "tanh", "probabilities", "ends with tanh, which gives no probabilities, while head is"),
        ("mse", "softmax", "scores", "unknown head 'scores'; known: logits, probabilities"),
    ],
)
def test_what_is_said_must_not_contradict_the_network(loss, activation, said, message):
    for predictor in (WeightScaling, MonteCarloDropout):
        with pytest.raises(InputError, match=message):
            predictor(model_with(loss, activation=activation), head=said)
    with pytest.raises(InputError, match=message):
        Ensemble(lambda: model_with(loss, activation=activation), 2, head=said)
