"""Every network of the zoo is trained, used and kept as Keras itself would have it, or refused in a sentence.

One training by the looped strategy serves all tests of a network.
"""

import importlib.util
import inspect
import re
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.models.backend import keras, tf
from ensemble_vs_dropout.models.draws import words_by_operation
from ensemble_vs_dropout.predictors import Ensemble, MonteCarloDropout, WeightScaling
from ensemble_vs_dropout.training.masks import own_masks

_spec = importlib.util.spec_from_file_location("model_zoo", Path(__file__).with_name("model_zoo.py"))
model_zoo = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(model_zoo)
ZOO, L = model_zoo.ZOO, keras.layers

MEMBERS, SEED = 2, 4
SETTINGS = {"epochs": 2, "batch_size": 8, "shuffle": False, "verbose": 0}  # the last batch holds 6
PASSES = 200


class Trained:
    """A network of the zoo with the ensemble that the looped strategy trained, and what Keras' `fit` made of it."""

    def __init__(self, network, folder):
        self.network, self.folder = network, folder
        self.x, self.y = network.data()
        self.ensemble = self.new()
        self.starts = [[variable.numpy() for variable in model.variables] for model in self.ensemble.models]
        self._reference = None
        self.histories = self.ensemble.fit(self.x, self.y, strategy="looped", checkpoint=folder, **SETTINGS)

    def new(self):
        return Ensemble(self.network.build, members=MEMBERS, seed=SEED)

    @property
    def reference(self):
        """The last member as Keras' own `fit` makes it from the same start, and the losses of the epochs."""
        if self._reference is None:
            self._reference = by_keras(self.network, self.starts[-1], self.x, self.y)
        return self._reference


def by_keras(network, start, x, y):
    model = network.build()
    for variable, value in zip(model.variables, start, strict=True):
        variable.assign(value)
    model.run_eagerly, model.jit_compile = "traced" not in network.tags, False  # eagerly is quicker for a few steps
    with own_masks(words_by_operation):
        if any(one.dtype.kind == "U" for one in keras.tree.flatten(x)):  # Keras takes strings as tensors only
            x = tuple(x) if isinstance(x, list) else x
            batches = tf.data.Dataset.from_tensor_slices((x, network.targets(model, y))).batch(SETTINGS["batch_size"])
            losses = model.fit(batches, epochs=SETTINGS["epochs"], shuffle=False, verbose=0).history["loss"]
        else:
            losses = model.fit(x, network.targets(model, y), **SETTINGS).history["loss"]
    return model, losses


def parameters():
    """Each network of the zoo, all its tests in one process, for they share its training."""
    for name, network in ZOO.items():
        marks = [pytest.mark.xdist_group(f"zoo {name}"), *([] if "quick" in network.tags else [pytest.mark.slow])]
        yield pytest.param(name, marks=marks)


@pytest.fixture(scope="module", params=list(parameters()))
def network(request):
    yield ZOO[request.param]
    keras.backend.clear_session(free_memory=False)


@pytest.fixture(scope="module")
def trained(network, tmp_path_factory):
    """A function that returns the `Trained` network, trained once, or skips where training is refused."""
    known = []

    def get():
        if "train" in network.refused:
            pytest.skip("training is to be refused")
        if not known:
            try:
                known.append(Trained(network, tmp_path_factory.mktemp("members")))
            except InputError as refusal:
                known.append(refusal)
            except Exception as error:  # told in one test, not in each
                known.append(error)
        if isinstance(known[0], Trained):
            return known[0]
        if isinstance(known[0], InputError) and allowed(network, "train"):
            pytest.skip(f"training is refused: {known[0]}")
        raise AssertionError("it cannot be trained, see the test of training") from known[0]

    get.known = known
    return get


def allowed(network, way):
    return {**network.may_refuse, **network.refused}.get(way)


@contextmanager
def refused(network, way):
    """Hold what is done inside to what the zoo says about refusals by this way in."""
    must, may = network.refused.get(way), network.may_refuse.get(way)
    words = None
    try:
        yield
    except InputError as refusal:
        if not (must or may):
            raise
        words = str(refusal)
    if words is None:
        assert not must, f"should have been refused ({must})"
    else:
        assert re.search(must or may, words)
        if not must:
            pytest.skip(f"refused, as it may be: {words}")


def tolerance(network):
    if "levels" in network.tags:
        return {"atol": 2e-3, "rtol": 1e-2}
    return {"atol": 0.05, "rtol": 0.05} if "half" in network.tags else {"atol": 2e-5, "rtol": 1e-3}


def everything(model):
    return [*model.variables, *model.optimizer.variables]


def assert_same(network, model, other):
    """Hold a member to another: weights, statistics and the optimizer's state."""
    for one, two in zip(everything(model), everything(other), strict=True):
        if "seed_generator_state" not in one.path:
            values = (np.asarray(v.numpy(), "float64") for v in (one, two))
            np.testing.assert_allclose(*values, err_msg=one.path, **tolerance(network))


def losses_of(ensemble, member):
    return ensemble.histories[ensemble.histories.member == member].loss.to_numpy()


def assert_moved(network, reference, start):
    """The comparison would show nothing if training did nothing."""
    moved = [
        np.abs(v.numpy() - s).max() for v, s in zip(reference.variables, start, strict=True) if s.dtype.kind == "f"
    ]
    assert max(moved) > 1e-3


# Training


def test_the_looped_strategy_trains_what_fit_trains(network, trained):
    if "train" in network.refused:
        with refused(network, "train"):
            Trained(network, None)
        return
    with refused(network, "train"):
        found = trained.known[0] if trained.known else None
        if found is None:
            try:
                found = trained()
            except AssertionError:
                found = trained.known[0]
        if isinstance(found, Exception):
            raise found
    reference, losses = found.reference
    assert_moved(network, reference, found.starts[-1])
    if "own draws" not in network.tags:
        assert_same(network, found.ensemble.models[-1], reference)
        rough = {"atol": 5e-2} if "half" in network.tags else {"atol": 1e-4, "rtol": 1e-3}
        np.testing.assert_allclose(losses_of(found.ensemble, MEMBERS - 1), losses, **rough)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["unrolled", "stacked"])
def test_other_strategies_train_the_same(network, trained, strategy):
    one = trained()
    ensemble = one.new()
    try:
        ensemble.fit(one.x, one.y, strategy=strategy, **SETTINGS)
    except InputError as refusal:
        reason = re.search('"stacked" cannot train these members: .{10}', str(refusal))
        if strategy != "stacked" or "not stacked" not in network.tags or not reason:
            raise
        ensemble.fit(one.x, one.y, strategy="auto", **SETTINGS)
    if "own draws" in network.tags:
        return
    for member, (model, looped) in enumerate(zip(ensemble.models, one.ensemble.models, strict=True)):
        assert_same(network, model, looped)
        rough = {"atol": 5e-2} if "half" in network.tags else {"atol": 1e-4, "rtol": 1e-3}
        np.testing.assert_allclose(losses_of(ensemble, member), losses_of(one.ensemble, member), **rough)


def test_what_a_checkpoint_holds_is_not_trained_again(network, trained):
    one = trained()
    again, told = one.new(), []
    with refused(network, "checkpoint"):
        again.fit(one.x, one.y, strategy="looped", checkpoint=one.folder, on_epoch=told.append, **SETTINGS)
        assert told == []
        for first, second in zip(one.ensemble.models, again.models, strict=True):
            for a, b in zip(everything(first), everything(second), strict=True):
                np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=a.path)


# Predicting


def model_of(network, trained):
    """A trained member, or a new one where training is refused or fails, so that predicting is tested for itself."""
    try:
        return trained().ensemble.models[0]
    except (AssertionError, pytest.skip.Exception):
        return network.build()


def expected(network, model, x):
    """Return the probabilities that Keras' own `predict` means, of the network that does not draw."""
    if network.calm is not None:
        calm = network.calm()
        calm.set_weights(model.get_weights())
        model = calm
    model.run_eagerly = True
    try:
        return network.probabilities(model.predict(tensors(x), verbose=0, batch_size=11))
    finally:
        model.run_eagerly = False
        model.predict_function = None


def tensors(x):
    return keras.tree.map_structure(tf.constant, x)


def close(network):
    return {"atol": 1e-2} if "half" in network.tags else {"atol": 1e-5}


@pytest.mark.parametrize(
    "kind", [WeightScaling, lambda model: Ensemble.from_models([model])], ids=["scaled", "ensemble"]
)
def test_predictions_are_those_of_keras_whatever_the_batches(network, trained, kind):
    model, (x, _) = model_of(network, trained), network.data()
    with refused(network, "predict"):
        predictor = kind(model)
        whole = predictor.predict(x, batch_size=22)
        np.testing.assert_allclose(whole, expected(network, model, x), **close(network))
        np.testing.assert_allclose(predictor.predict(x, batch_size=5), whole, atol=1e-5)


def test_one_model_of_all_members_predicts_as_they_do(network, trained):
    if "to_keras" in network.refused:
        with refused(network, "to_keras"):
            WeightScaling(network.build()).to_keras()
        return
    one = trained()
    with refused(network, "to_keras"):
        fused = one.ensemble.to_keras()
        fused.compile(run_eagerly=True)
        np.testing.assert_allclose(
            fused.predict(tensors(one.x), verbose=0), one.ensemble.predict(one.x), **close(network)
        )


def test_a_saved_ensemble_is_the_same_when_it_is_loaded(network, trained, tmp_path):
    one = trained()
    with refused(network, "save"):
        one.ensemble.save(tmp_path / "ensemble.zip")
        loaded = Ensemble.load(tmp_path / "ensemble.zip")
        for first, second in zip(one.ensemble.models, loaded.models, strict=True):
            for a, b in zip(everything(first), everything(second), strict=True):
                np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=a.path)
        if "predict" not in network.refused:
            np.testing.assert_allclose(loaded.predict(one.x), one.ensemble.predict(one.x), atol=1e-6)


# Monte Carlo dropout


def test_passes_differ_and_have_the_mean_of_the_model_in_training(network, trained):
    if "random" not in network.tags:
        with pytest.raises(InputError, match=allowed(network, "mc") or "random layer"):
            MonteCarloDropout(model_of(network, trained))
        return
    model, (x, _) = model_of(network, trained), network.data()
    with refused(network, "mc"):
        sampler = MonteCarloDropout(model, passes=PASSES)
        passes = sampler.predict_members(x, batch_size=22).probs
        some = sampler.predict_members(
            keras.tree.map_structure(lambda one: one[:7], x), batch_size=5
        ).probs  # an example has its draws in any batch
        np.testing.assert_allclose(some, passes[:, :7], atol=1e-2 if "half" in network.tags else 1e-5)
        assert np.ptp(passes, axis=0).max() > 1e-3
        if "training differs" not in network.tags:
            assert_same_mean(passes, in_training(network, model, x))


def in_training(network, model, x, together=25):
    """Return what the model gives in training mode for each example, as often as there are passes."""
    states = [(v, v.numpy()) for v in model.variables if "seed_generator_state" in v.path]
    found = []
    repeated = keras.tree.map_structure(lambda one: np.repeat(one, together, axis=0), x)
    for _ in range(PASSES // together):  # each example is drawn for by itself, so that several calls can be one
        outputs = model(tensors(repeated), training=True)
        probabilities = network.probabilities(keras.ops.convert_to_numpy(keras.ops.cast(outputs, "float32")))
        found.append(np.moveaxis(probabilities.reshape(model_zoo.EXAMPLES, together, -1), 1, 0))
    for state, before in states:
        state.assign(before)
    return np.concatenate(found)


def assert_same_mean(passes, calls):
    spread = np.sqrt((passes.var(axis=0) + calls.var(axis=0)) / PASSES)
    apart = np.abs(passes.mean(axis=0) - calls.mean(axis=0))
    assert (apart <= 5 * spread + 1e-4).all(), f"{(apart / (spread + 1e-9)).max():.1f} standard errors apart"
    widths = passes.std(axis=0).mean() / calls.std(axis=0).mean()
    assert 0.85 < widths < 1.15, f"the passes are spread {widths:.2f} times as much as the calls"


# The zoo itself


def layers_of_keras():
    found = {getattr(L, name) for name in dir(L) if inspect.isclass(getattr(L, name))}
    return {kind.__name__: kind for kind in found}


@pytest.mark.slow
def test_every_layer_of_keras_is_in_the_zoo_or_left_out_with_a_reason():
    met = set()
    for network in ZOO.values():
        for layer in network.build()._flatten_layers():
            met |= {base.__name__ for base in type(layer).__mro__}
    unmet = {*layers_of_keras()} - met | {"Layer", "Wrapper"}
    assert unmet == {*model_zoo.EXCLUDED}


def test_the_zoo_is_well_kept():
    assert len(ZOO) >= 65
    assert 5 <= sum("quick" in network.tags for network in ZOO.values()) <= 8
    for network in ZOO.values():
        assert {*network.refused, *network.may_refuse} <= {"train", "checkpoint", "predict", "mc", "to_keras", "save"}
