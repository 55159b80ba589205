"""A copy computes what its model does, whatever the model is made of, on variables of its own."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.models.backend import keras, tf
from ensemble_vs_dropout.models.classic_dropout import to_classic, to_inverted
from ensemble_vs_dropout.models.copies import copy_with
from ensemble_vs_dropout.predictors import Ensemble, ExactDropout, MonteCarloDropout, WeightScaling

spec = importlib.util.spec_from_file_location("odd_networks", Path(__file__).parent / "odd_networks.py")
odd_networks = importlib.util.module_from_spec(spec)
spec.loader.exec_module(odd_networks)

NETWORKS = pytest.mark.parametrize("build", odd_networks.NETWORKS.values(), ids=odd_networks.NETWORKS)
IN_GRAPHS = pytest.mark.parametrize(
    "build",
    [build for name, build in odd_networks.NETWORKS.items() if name != "subclassed"],
    ids=[name for name in odd_networks.NETWORKS if name != "subclassed"],
)


def outputs(model, x):
    return np.asarray(model(tf.constant(x)))


def copied(model):
    return copy_with(model, lambda layer: False, lambda layer: layer, "copied")


@NETWORKS
def test_a_copy_computes_the_same_on_variables_of_its_own(build):
    model = build()
    x = odd_networks.data_for(model)
    before, copy = outputs(model, x), copied(model)
    np.testing.assert_array_equal(outputs(copy, x), before)
    assert not {id(variable) for variable in model.variables} & {id(variable) for variable in copy.variables}
    assert [v.name for v in copy.weights] == [v.name for v in model.weights]
    rng = np.random.default_rng(0)
    copy.set_weights([weights + rng.normal(size=weights.shape) for weights in copy.get_weights()])
    np.testing.assert_array_equal(outputs(model, x), before)
    assert np.abs(outputs(copy, x) - before).max() > 1e-3


@pytest.mark.slow
@NETWORKS
def test_one_model_of_an_ensemble_predicts_what_the_ensemble_does(build):
    ensemble = Ensemble.from_models([build(), build()])
    x = odd_networks.data_for(ensemble.models[0])
    expected = np.mean([outputs(model, x) for model in ensemble.models], axis=0)
    np.testing.assert_allclose(outputs(ensemble.to_keras(), x), expected, atol=1e-6)
    model = ensemble.models[0]
    np.testing.assert_allclose(outputs(WeightScaling(model).to_keras(), x), outputs(model, x), atol=1e-6)


@pytest.mark.slow
@IN_GRAPHS
def test_a_thinned_network_predicts_what_its_pass_does(build):
    model = build()
    x = odd_networks.data_for(model)
    shared = MonteCarloDropout(model, passes=2, masks="shared", layers=lambda layer: "dropout" in layer.name)
    network = shared.materialise(1)
    assert network.compiled
    np.testing.assert_allclose(outputs(network, x), shared.predict_members(x).probs[1], atol=1e-6)


@pytest.mark.slow
@IN_GRAPHS
def test_the_other_kind_of_dropout_computes_the_same(build):
    model = build()
    x = odd_networks.data_for(model)
    classic = to_classic(model)
    np.testing.assert_allclose(outputs(classic, x), outputs(model, x), atol=1e-5)
    np.testing.assert_allclose(outputs(to_inverted(classic), x), outputs(model, x), atol=1e-5)
    assert classic.optimizer is not model.optimizer


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float16"])
@pytest.mark.parametrize("rule", ["mean", "geometric_mean", "majority_vote"])
def test_pooled_outputs_are_float32_whatever_the_policy(small, policy, rule):
    keras.config.set_dtype_policy(policy)
    try:
        ensemble = Ensemble.from_models([small(), small()])
        fused = ensemble.to_keras(rule)
        exact = ExactDropout(small(units=(2,)))
        pooled = exact.to_keras()
    finally:
        keras.config.set_dtype_policy("float32")
    x = np.random.default_rng(0).normal(size=(9, 6)).astype("float32")
    for model, predictor, named in ((fused, ensemble, rule), (pooled, exact, "mean")):
        found = model.predict(x, verbose=0)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, predictor.predict(x, rule=named), atol=1e-2 if named == "mean" else 2e-2)


@pytest.mark.parametrize("kind", [list, dict])
def test_the_structure_of_inputs_and_outputs_is_kept(kind):
    inputs = keras.Input((4,), name="given")
    outputs = keras.layers.Dense(3, name="out")(inputs)
    model = keras.Model(*(([one] if kind is list else {one.name: one}) for one in (inputs, outputs)))
    copy = copied(model)
    assert copy.output_shape == model.output_shape
    x = odd_networks.NUMBERS
    given = [x] if kind is list else {"given": x}
    for one, other in zip(keras.tree.flatten(copy(given)), keras.tree.flatten(model(given)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_is_shared_in_a_model_is_shared_in_its_copy():
    copy = copied(odd_networks.branched())
    assert len(copy.weights) == 4


def test_a_frozen_layer_stays_frozen_and_a_batch_norm_keeps_its_statistics(small):
    model = small(batch_norm=True)
    model.layers[0].trainable = False
    model.layers[1].moving_mean.assign(np.arange(8))
    copy = copied(model)
    assert [v.name for v in copy.trainable_variables] == [v.name for v in model.trainable_variables]
    np.testing.assert_array_equal(copy.layers[1].moving_mean, np.arange(8))


def test_a_copy_draws_the_masks_that_its_model_would(small):
    model = small()
    copy, x = copied(model), np.ones((5, 6), "float32")
    np.testing.assert_array_equal(copy(x, training=True), model(x, training=True))


class Hidden(keras.layers.Layer):
    """Computes with another one's numbers after it was copied."""

    made = 0

    def __new__(cls, *args, **named):
        Hidden.made += 1
        layer = super().__new__(cls, *args, **named)
        layer.__dict__["_self_number"] = float(Hidden.made)
        return layer

    def call(self, x):
        return x * self.__dict__["_self_number"]


def test_a_copy_that_computes_something_else_is_refused():
    model = odd_networks.compiled(Hidden())
    with pytest.raises(InputError, match="does not predict what the model does"):
        WeightScaling(model).to_keras()


def test_a_sequential_model_with_a_call_of_its_own_is_refused():
    class Own(keras.Sequential):
        def call(self, x, training=False):
            return super().call(x) * 2.0

    model = odd_networks.finished(Own([keras.Input((4,)), keras.layers.Dense(3, "softmax")]))
    with pytest.raises(InputError, match=r"'own.*with a call of its own.*derive it from keras.Model"):
        WeightScaling(model).to_keras()


def test_a_layer_to_replace_inside_a_subclassed_model_is_refused():
    with pytest.raises(InputError, match="must be functional or sequential to be copied with other layers"):
        MonteCarloDropout(odd_networks.subclassed(), passes=2, masks="shared").materialise(0)


def test_an_optimizer_that_cannot_be_made_anew_is_refused_by_name():
    class Own(keras.optimizers.SGD):
        def __init__(self, rate):
            super().__init__(rate)

    model = odd_networks.compiled(keras.layers.Dense(4))
    model.compile(Own(0.1), "sparse_categorical_crossentropy")
    with pytest.raises(InputError, match=r"the Own that .* is compiled with cannot be made anew for a copy"):
        to_classic(model)
