import numpy as np
import pytest

from ensemble_vs_dropout.evaluation.arms import arms_of, judged
from ensemble_vs_dropout.experiments.ways import Ways
from ensemble_vs_dropout.predictors import Ensemble, MonteCarloDropout, WeightScaling
from ensemble_vs_dropout.seeds import derive


def trained(small, blobs, seed, members=2, **options):
    x, y = blobs()
    ensemble = Ensemble(lambda: small(**options), members, seed)
    ensemble.fit(x, y, epochs=1, verbose=0)
    return ensemble


def test_every_arm_predicts_as_its_predictor_alone(small, blobs):
    ensemble, (x, _) = trained(small, blobs, 0), blobs(seed=1)
    predictions, _ = Ways()("dropout", ensemble, 70, {"val": x[:9], "test": x}, passes=7, seed=5)
    first = ensemble.models[0]
    for part, inputs in (("val", x[:9]), ("test", x)):
        assert list(predictions[part]) == [arm.name for arm in arms_of("dropout") if not arm.alone]
        sampler = MonteCarloDropout(first, 7, 5)
        for arm, predictor in (("mc_dropout", sampler), ("dropout_ensemble", ensemble)):
            np.testing.assert_array_equal(predictions[part][arm].probs, predictor.predict_members(inputs).probs)
        of_each = judged(predictions[part])["dropout"].probs
        for model, probs in zip(ensemble.models, of_each, strict=True):
            np.testing.assert_array_equal(probs, WeightScaling(model).predict(inputs))


@pytest.mark.slow
def test_every_dropout_network_is_sampled_with_masks_of_its_own(small, blobs):
    ensemble, (x, _) = trained(small, blobs, 0, members=3), blobs(seed=1)
    rules = ["majority_vote", "mean"]
    predictions, costs = Ways()("dropout", ensemble, 70, {"test": x}, passes=7, seed=5, rules=rules)
    found = predictions["test"]["mc_dropout"]
    assert found.probs.shape[0] == 7
    assert set(found.further) == {"mean", "majority_vote"}
    for number in (1, 2):
        sampler = MonteCarloDropout(ensemble.models[number], 7, derive(5, "network", number))
        for rule in rules:
            np.testing.assert_allclose(found.further[rule][number - 1], sampler.predict(x, rule=rule), atol=1e-6)
    again = Ways().predict("dropout", ensemble, x, 7, 5, rules=rules)["mc_dropout"]
    np.testing.assert_array_equal(found.further["mean"], again.further["mean"])
    assert costs["mc_dropout"].parameters == ensemble.models[0].count_params()
    assert costs["mc_dropout"].trained == pytest.approx(costs["dropout_ensemble"].trained / 3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "dropout"])
def test_what_is_shared_among_ensembles_changes_no_prediction(small, blobs, kind):
    x, _ = blobs(seed=1)
    rate = 0.5 * (kind == "dropout")
    several = [trained(small, blobs, seed, rate=rate) for seed in range(3)]
    together = Ways()
    for seed, ensemble in enumerate(several):
        shared, _ = together(kind, ensemble, 70, {"test": x}, 6, seed)
        alone, _ = Ways()(kind, ensemble, 70, {"test": x}, 6, seed)
        for arm in shared["test"]:
            np.testing.assert_array_equal(shared["test"][arm].probs, alone["test"][arm].probs)


@pytest.mark.slow
def test_networks_that_are_built_otherwise_are_not_taken_for_the_first(small, blobs):
    x, _ = blobs(seed=1)
    together = Ways()
    for units, rate in (((8,), 0.5), ((4,), 0.5), ((8,), 0.2), ((8,), 0.5)):
        ensemble = trained(small, blobs, 0, units=units, rate=rate)
        shared, _ = together("dropout", ensemble, 70, {"test": x}, 6, 0)
        np.testing.assert_array_equal(
            shared["test"]["mc_dropout"].probs, MonteCarloDropout(ensemble.models[0], 6, 0).predict_members(x).probs
        )


def test_a_single_network_costs_a_share_of_the_ensemble(small, blobs):
    x, _ = blobs()
    _, costs = Ways()("plain", trained(small, blobs, 0, members=4, rate=0), 70, {"val": x, "test": x}, 1, 0)
    assert costs["ensemble"].parameters == 4 * costs["single"].parameters
    assert costs["ensemble"].trained == 4 * costs["single"].trained
    assert costs["single"].passes == 1
    assert costs["single"].peak_memory > 0


def test_members_that_diverged_cost_nothing(small, blobs):
    """Member 0 diverged: what a network costs on average is what members 1 and 2 took, not what member 0 did."""
    x, y = blobs()
    ensemble = Ensemble(lambda: small(rate=0.5), 3, 0)
    nan = [np.full(weight.shape, np.nan) for weight in ensemble.models[0].get_weights()]
    ensemble.models[0].set_weights(nan)
    ensemble.fit(x, y, epochs=2, verbose=0, strategy="looped")
    assert ensemble.diverged == (0,)
    histories = ensemble.histories
    assert len(histories[histories.member == 0]) == 1  # of the two epochs
    _, costs = Ways()("dropout", ensemble, 70, {"val": x, "test": x}, 3, 0)
    network = ensemble.models[1].count_params()
    assert costs["dropout"].trained == 2 * 70 * network
    assert costs["dropout"].train_seconds == pytest.approx(histories[histories.member > 0].seconds.sum() / 2)
    assert costs["dropout_ensemble"].parameters == 2 * network
    assert costs["dropout_ensemble"].trained == 2 * 2 * 70 * network
