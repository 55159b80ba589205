"""What is exactly true of any members, on trained networks and on dropout passes (the numbers are those of the proofs).

A: of dropout. B: of any ensemble.
"""

import itertools

import numpy as np
import pytest

from ensemble_vs_dropout.measures import aggregate, brier, entropy, error, nll, uncertainty
from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.predictors import Ensemble, ExactDropout, MonteCarloDropout, WeightScaling

LAYERS = keras.layers


@pytest.fixture(scope="module")
def members():
    """Predictions (members, examples, classes) in float64 of trained networks and of passes, logits, and the labels."""
    rng = np.random.default_rng(0)
    centres = 1.2 * rng.normal(size=(3, 6))
    y, y_test = np.arange(240) % 3, np.arange(150) % 3
    x, x_test = ((centres[labels] + rng.normal(size=(len(labels), 6))).astype("float32") for labels in (y, y_test))

    def build():
        model = keras.Sequential(
            [keras.Input((6,)), LAYERS.Dense(16, activation="relu"), LAYERS.Dropout(0.3), LAYERS.Dense(3)]
        )
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return model

    ensemble = Ensemble(build, members=6)
    ensemble.fit(x, y, epochs=15, verbose=0)
    sampler = MonteCarloDropout(ensemble.models[0], passes=6)
    probs = {
        "networks": ensemble.predict_members(x_test).probs.astype(float),
        "passes": sampler.predict_members(x_test).probs.astype(float),
    }
    logits = np.stack([model.predict(x_test, verbose=0) for model in ensemble.models])
    return probs, logits, y_test


both = pytest.mark.parametrize("kind", ["networks", "passes"])


def subset_mean(probs, labels, size, loss):
    """The loss of the mean of all subsets of a size, averaged over them: one value for each example."""
    subsets = itertools.combinations(range(len(probs)), size)
    return np.mean([loss(probs[list(subset)].mean(axis=0), labels) for subset in subsets], axis=0)


@pytest.mark.slow
@both
def test_a8_more_members_never_raise_the_subset_averaged_loss_of_any_example(members, kind):
    probs, _, y = members
    for loss in (nll, brier):
        chain = [subset_mean(probs[kind], y, size, loss) for size in range(1, 7)]
        for larger, smaller in itertools.pairwise(chain):
            assert (smaller <= larger + 1e-12).all()


@both
def test_b8_the_subset_averaged_brier_score_is_affine_in_one_over_the_size(members, kind):
    probs, _, y = members
    p = probs[kind]
    spread = p.var(axis=0, ddof=1).sum(axis=1)
    single = np.mean([brier(member, y) for member in p], axis=0)
    for size in range(1, 7):
        expected = single - (1 - 1 / size) * spread
        np.testing.assert_allclose(subset_mean(p, y, size, brier), expected, atol=1e-12)


def test_b0_the_geometric_mean_is_the_softmax_of_the_mean_logits(members):
    probs, logits, _ = members
    z = logits.astype(float).mean(axis=0)
    expected = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(aggregate(probs["networks"], "geometric_mean"), expected, atol=1e-6)


@both
def test_b1_b2_the_log_losses_of_the_two_means_are_below_the_members_by_what_the_members_differ(members, kind):
    probs, _, y = members
    p = probs[kind]
    mean_loss = np.mean([nll(member, y) for member in p], axis=0)
    true = p[:, np.arange(len(y)), y]
    gain = np.log(true.mean(axis=0)) - np.log(true).mean(axis=0)
    np.testing.assert_allclose(mean_loss - nll(aggregate(p), y), gain, atol=1e-10)
    assert (gain >= -1e-12).all()
    pooled = aggregate(p, "geometric_mean")
    divergence = np.mean([(pooled * np.log(pooled / member)).sum(axis=1) for member in p], axis=0)
    np.testing.assert_allclose(mean_loss - nll(pooled, y), divergence, atol=1e-10)


@both
def test_b4_b9_b10_the_brier_score_confidence_and_entropy_of_the_mean(members, kind):
    probs, _, y = members
    p, pooled = probs[kind], aggregate(probs[kind])
    ambiguity = ((p - pooled) ** 2).sum(axis=2).mean(axis=0)
    np.testing.assert_allclose(
        brier(pooled, y), np.mean([brier(member, y) for member in p], axis=0) - ambiguity, atol=1e-10
    )
    assert (pooled.max(axis=1) <= p.max(axis=2).mean(axis=0) + 1e-12).all()
    table = uncertainty(p)
    np.testing.assert_allclose(table.entropy, entropy(pooled), atol=1e-12)
    assert (table.mutual_information <= np.log(min(p.shape[0], p.shape[2])) + 1e-12).all()


@both
def test_b11_the_improvement_of_the_vote_is_at_most_the_disagreement(members, kind):
    probs, _, y = members
    votes = probs[kind].argmax(axis=2)
    shares = aggregate(probs[kind], "majority_vote")
    members_error = (votes != y).mean()
    disagreement = (1 - (shares**2).sum(axis=1)).mean()
    assert members_error - error(shares, y).mean() <= disagreement + 1e-12


@both
def test_b12_the_geometric_mean_commutes_with_a_common_temperature_and_the_mean_does_not(members, kind):
    probs, _, _ = members

    def tempered(p, temperature=2.5):
        powered = p ** (1 / temperature)
        return powered / powered.sum(axis=-1, keepdims=True)

    before, after = tempered(probs[kind]), tempered(aggregate(probs[kind], "geometric_mean"))
    np.testing.assert_allclose(aggregate(before, "geometric_mean"), after, atol=1e-10)
    assert np.abs(aggregate(before) - tempered(aggregate(probs[kind]))).max() > 1e-4
    np.testing.assert_array_equal(after.argmax(axis=1), aggregate(probs[kind], "geometric_mean").argmax(axis=1))


@both
def test_b13_two_members_vote_as_well_as_one_with_random_ties(members, kind):
    probs, _, y = members
    pair = probs[kind][:2]
    expected = np.mean([error(member, y) for member in pair], axis=0)
    np.testing.assert_allclose(error(aggregate(pair, "majority_vote"), y, ties="expected"), expected, atol=1e-12)


@both
def test_b14_b15_disagreement_of_pairs_from_vote_shares_and_between_its_bounds(members, kind):
    probs, _, y = members
    votes = probs[kind].argmax(axis=2)
    m = len(votes)
    pairs = list(itertools.combinations(range(m), 2))
    by_pair = [(votes[a] != votes[b]).mean() for a, b in pairs]
    shares = aggregate(probs[kind], "majority_vote")
    assert np.mean(by_pair) == pytest.approx(m / (m - 1) * (1 - (shares**2).sum(axis=1)).mean(), abs=1e-12)
    errors = (votes != y).mean(axis=1)
    for (a, b), apart in zip(pairs, by_pair, strict=True):
        assert abs(errors[a] - errors[b]) - 1e-12 <= apart <= min(1, errors[a] + errors[b]) + 1e-12


def test_b16_one_member_is_the_single_network_bit_for_bit_and_alike_ones_are_one(small, blobs):
    x, y = blobs(60)
    ensemble = Ensemble(small, members=1)
    ensemble.fit(x, y, epochs=2, verbose=0)
    model = ensemble.models[0]
    alone = WeightScaling(model).predict_members(x).probs
    np.testing.assert_array_equal(ensemble.predict_members(x).probs, alone)
    np.testing.assert_array_equal(ensemble.predict(x), alone[0].astype(float))
    np.testing.assert_allclose(ensemble.predict(x, rule="geometric_mean"), alone[0], atol=1e-7)
    np.testing.assert_array_equal(Ensemble.from_models([model, model]).predict(x), alone[0].astype(float))


def test_a4_a_binary_networks_weight_scaling_is_the_normalised_geometric_mean_of_its_sigmoids(blobs):
    x, y = blobs(60, classes=2)
    model = keras.Sequential(
        [keras.Input((6,)), LAYERS.Dense(7, activation="relu"), LAYERS.Dropout(0.3), LAYERS.Dense(1)]
    )
    model.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
    model.fit(x, y[:, None], epochs=5, verbose=0)
    predictions = ExactDropout(model).predict_members(x)
    up, down = (np.exp(predictions.weights @ np.log(predictions.probs[:, :, k].astype(float))) for k in (1, 0))
    np.testing.assert_allclose(up / (up + down), WeightScaling(model).predict(x)[:, 1], atol=1e-5)


def test_a9_max_norm_leaves_columns_inside_alone_and_is_idempotent(blobs):
    x, y = blobs(60)
    constraint = keras.constraints.MaxNorm(0.7, axis=0)
    model = keras.Sequential([keras.Input((6,)), LAYERS.Dense(9, kernel_constraint=constraint), LAYERS.Dense(3)])
    model.compile(keras.optimizers.Adam(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, y, epochs=6, verbose=0)
    kernel = np.asarray(model.layers[0].kernel)
    norms = np.linalg.norm(kernel, axis=0)
    assert norms.max() <= 0.7 + 1e-5
    assert norms.max() > 0.69  # it acted
    np.testing.assert_allclose(np.asarray(constraint(kernel)), kernel, atol=1e-6)
    inside = kernel[:, norms < 0.69]
    np.testing.assert_allclose(np.asarray(constraint(kernel))[:, norms < 0.69], inside, rtol=1e-6)


# Over repetitions of the whole training


@pytest.fixture(scope="module")
def repeated():
    """Probabilities (repetitions, members, examples, classes) of networks trained on other data each, and labels."""
    rng = np.random.default_rng(3)
    centres = 1.2 * rng.normal(size=(3, 5))
    y_test = np.arange(60) % 3
    x_test = (centres[y_test] + rng.normal(size=(60, 5))).astype("float32")

    def build():
        model = keras.Sequential([keras.Input((5,)), LAYERS.Dense(8, activation="tanh"), LAYERS.Dense(3)])
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return model

    everything = []
    for repetition in range(4):
        y = rng.integers(3, size=60)
        x = (centres[y] + rng.normal(size=(60, 5))).astype("float32")
        ensemble = Ensemble(build, members=3, seed=repetition)
        ensemble.fit(x, y, epochs=10, verbose=0)
        everything.append(ensemble.predict_members(x_test).probs.astype(float))
    return np.stack(everything), y_test


@pytest.mark.slow
def test_b3_b5_the_squared_error_of_the_mean_by_ambiguity_and_by_bias_variance_and_covariance(repeated):
    probs, y = repeated
    f, target = probs[..., 0], (y == 0).astype(float)
    pooled = f.mean(axis=1)
    ambiguity = ((f - pooled[:, None]) ** 2).mean(axis=1)
    np.testing.assert_allclose(
        (pooled - target) ** 2, ((f - target) ** 2).mean(axis=1) - ambiguity, atol=1e-12
    )  # Krogh and Vedelsby
    members = f.shape[1]
    centred = f - f.mean(axis=0)
    bias = (f.mean(axis=0) - target).mean(axis=0)
    covariance = np.einsum("dan,dbn->abn", centred, centred) / len(f)
    variance = np.einsum("aan->n", covariance) / members
    between = (covariance.sum(axis=(0, 1)) - members * variance) / (members * (members - 1))
    expected = bias**2 + variance / members + (1 - 1 / members) * between
    np.testing.assert_allclose(((pooled - target) ** 2).mean(axis=0), expected, atol=1e-12)  # Ueda and Nakano


@pytest.mark.slow
def test_b6_the_loss_of_the_ensemble_is_average_bias_and_variance_less_diversity(repeated):
    probs, y = repeated
    truth = np.eye(3)[y]
    centre = probs.mean(axis=0)
    bias = ((centre - truth) ** 2).sum(axis=-1).mean(axis=0)
    variance = ((probs - centre) ** 2).sum(axis=-1).mean(axis=(0, 1))
    diversity = ((probs - probs.mean(axis=1, keepdims=True)) ** 2).sum(axis=-1).mean(axis=(0, 1))
    loss = np.mean([brier(aggregate(one), y) for one in probs], axis=0)
    np.testing.assert_allclose(loss, bias + variance - diversity, atol=1e-10)

    def geometric(p, axis):
        logs = np.log(p).mean(axis=axis, keepdims=True)
        powered = np.exp(logs)
        return powered / powered.sum(axis=-1, keepdims=True)

    def divergence(p, q):
        return (p * np.log(p / q)).sum(axis=-1)

    centre = geometric(probs, 0)
    bias = -np.log(centre[0, :, np.arange(len(y)), y]).mean(axis=1)
    variance = divergence(centre, probs).mean(axis=(0, 1))
    diversity = divergence(geometric(probs, 1), probs).mean(axis=(0, 1))
    loss = np.mean([nll(aggregate(one, "geometric_mean"), y) for one in probs], axis=0)
    np.testing.assert_allclose(loss, bias + variance - diversity, atol=1e-9)


def test_b7_the_variance_of_a_mixture_is_the_mean_variance_and_the_variance_of_the_means(members):
    probs, _, _ = members
    logits = np.log(probs["passes"][..., 0] / probs["passes"][..., 1]).reshape(2, 3, -1)  # two members of three passes
    within, between = logits.var(axis=1).mean(axis=0), logits.mean(axis=1).var(axis=0)
    np.testing.assert_allclose(logits.reshape(6, -1).var(axis=0), within + between, atol=1e-10)


@pytest.mark.parametrize("rate", [0.2, 0.5])
def test_a6_dropout_of_inputs_is_ridge_regression_in_expectation(rate, blobs):
    x, y = blobs(40)
    model = keras.Sequential([keras.Input((6,)), LAYERS.Dropout(rate), LAYERS.Dense(3)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, y, epochs=3, verbose=0)
    exact = ExactDropout(model)
    masks = exact.masks()
    weights, v = exact.probabilities_of(masks), np.asarray(model.layers[-1].kernel, float)[:, 0]
    x, target = x.astype(float), (y == 0).astype(float)
    over_masks = np.einsum("m,mn->", weights, (target - np.einsum("mf,nf,f->mn", masks / (1 - rate), x, v)) ** 2)
    ridge = ((target - x @ v) ** 2).sum() + rate / (1 - rate) * ((x**2).sum(axis=0) * v**2).sum()
    assert over_masks == pytest.approx(ridge, rel=1e-10)
