"""Figures made from members' predictions: the artists hold the frame, the frame holds what a slow computation finds."""

import itertools
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation import size_curves
from ensemble_vs_dropout.evaluation.findings.accuracy_vs_confidence import THRESHOLDS
from ensemble_vs_dropout.evaluation.findings.reliability_pooling import DIAGRAMS
from ensemble_vs_dropout.measures import aggregate, brier, entropy, error, nll, uncertainty
from ensemble_vs_dropout.measures.temperature import apply_temperature, fit_temperature
from ensemble_vs_dropout.plots import (
    accuracy_vs_confidence,
    combiner_comparison,
    deep_ensemble_equivalent,
    mc_vs_weight_scaling,
    ood_entropy,
    power_law,
    reliability_pooling,
    style,
)
from ensemble_vs_dropout.seeds import stream
from ensemble_vs_dropout.types import Predictions

made = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "made_predictions.py")))
MCVersusWeightScaling = mc_vs_weight_scaling.MCVersusWeightScaling
CombinerComparison = combiner_comparison.CombinerComparison
OODEntropy = ood_entropy.OODEntropy
AccuracyVersusConfidence = accuracy_vs_confidence.AccuracyVersusConfidence
ReliabilityPooling = reliability_pooling.ReliabilityPooling
DeepEnsembleEquivalent = deep_ensemble_equivalent.DeepEnsembleEquivalent
PowerLaw = power_law.PowerLaw

LABELS = made.LABELS
FEW = {"resamples": 100}
LONG = "a very long name of an arm that never ends and costs $5 or $6"


def pool(members, examples=60, classes=3, seed=0):
    return Predictions(np.random.default_rng(seed).dirichlet(np.ones(classes), (members, examples)))


def labels(examples=60, classes=3):
    return np.arange(examples) % classes


def same(predictions, members):
    return Predictions(np.repeat(predictions.probs[:1], members, axis=0))


def drawn(ax, label):
    (line,) = [line for line in ax.lines if line.get_label() == label]
    return line


HELD, NOT, UNSURE = "held", "did not hold", "cannot be judged"


def fact(display, words):
    (one,) = [one for one in display.facts if words in one.statement]
    return one


# How many dropout passes match weight scaling?


def test_passes_and_levels_are_drawn_as_the_frame_has_them():
    display = made.mc_versus_weight_scaling()
    frame, axes = display.frame().set_index(["series", "metric"]).sort_index(), display.plot()
    for ax, metric, scale in zip(axes, ("error", "nll", "brier"), (100, 1, 1), strict=True):
        rows = frame.loc[("mc_dropout", metric)]
        line = drawn(ax, "MC dropout, mean")
        np.testing.assert_array_equal(line.get_xdata(), rows["members"])
        np.testing.assert_allclose(line.get_ydata(), rows["value"] * scale)
        band = ax.collections[0].get_paths()[0].vertices[:, 1]
        np.testing.assert_allclose([band.min(), band.max()], [rows["low"].min() * scale, rows["high"].max() * scale])
        for series, label in (("dropout", "dropout (weight scaling)"), ("exact", "all masks, geometric mean")):
            level = frame.loc[(series, metric), "value"].item() * scale
            assert drawn(ax, label).get_ydata()[0] == pytest.approx(level)
            low, high = ax.get_ylim()
            assert low + 0.03 * (high - low) < level < high
    expected = frame.loc[("expected", "brier")]
    np.testing.assert_allclose(drawn(axes[2], "expected of k passes (closed form)").get_ydata(), expected["value"])


def test_draws_of_passes_scatter_around_what_all_draws_give():
    few = pool(3)
    display = MCVersusWeightScaling.from_predictions(few, pool(1), labels(), dataset="d", sizes=[2], repeats=3000)
    rows = display.frame().query("series == 'mc_dropout'").set_index("metric")
    draws = [few.probs[list(chosen)].mean(axis=0) for chosen in itertools.product(range(3), repeat=2)]
    for metric, function in (("error", error), ("nll", nll), ("brier", brier)):
        values = [function(draw, labels()).mean() for draw in draws]
        spread = np.std(values)
        assert rows["value"][metric] == pytest.approx(np.mean(values), abs=4 * spread / 3000**0.5)
        assert rows["high"][metric] - rows["value"][metric] == pytest.approx(spread, rel=0.05)
        assert rows["value"][metric] - rows["low"][metric] == pytest.approx(spread, rel=0.05)


def test_weighted_passes_are_drawn_by_their_chances():
    weighted = Predictions(pool(3).probs, weights=[1.0, 0.0, 0.0])
    frame = MCVersusWeightScaling.from_predictions(weighted, pool(1), labels(), dataset="d", sizes=[1, 5]).frame()
    own = brier(weighted.probs[0], labels()).mean()
    np.testing.assert_allclose(frame.query("metric == 'brier' and series != 'dropout'")["value"], own)


def test_all_masks_are_pooled_by_their_chances_to_the_exact_geometric_mean():
    masks = Predictions(pool(4).probs, weights=[0.1, 0.2, 0.3, 0.4])
    exact = aggregate(masks.probs, "geometric_mean", masks.weights)
    for given in (masks, Predictions(exact[None])):
        display = MCVersusWeightScaling.from_predictions(pool(4), pool(1), labels(), dataset="d", exact=given)
        level = display.frame().query("series == 'exact' and metric == 'nll'")["value"].item()
        assert level == pytest.approx(nll(exact, labels()).mean())


def networks(number=4, scaled=lambda passes: passes.probs.mean(axis=0), **given):
    """Return passes and weight scaling of several networks, as arguments."""
    pools = [made.predictions(60, 1.2, shared=1.5, seed=seed) for seed in range(number)]
    (first, *rest) = [(passes, Predictions(scaled(passes)[None])) for passes in pools]
    display = MCVersusWeightScaling.from_predictions(*first, LABELS, dataset="d", further=rest, repeats=2, **given)
    return [one.outcome for one in display.facts], display


def test_facts_of_passes_say_whether_weight_scaling_is_met():
    found, _ = networks(8, sizes=[1, 2, 20, 60])
    assert found[:2] == [HELD, UNSURE]  # 400 examples cannot tell half a point
    found, _ = networks(8, scaled=lambda passes: np.full((400, 10), 0.1), sizes=[1, 2, 20, 60])
    assert found == [NOT, NOT, NOT]
    found, display = networks(1, sizes=[1, 2, 20])
    assert found == [UNSURE] * 3
    assert all("of 1 network" in one.reason for one in display.facts)
    right = np.eye(10)[LABELS]
    passes, scaled = Predictions(np.stack([right, right])), Predictions(right[None])
    display = MCVersusWeightScaling.from_predictions(
        passes, scaled, LABELS, dataset="d", further=[(passes, scaled)] * 2, sizes=[1, 2, 20]
    )
    assert [one.outcome for one in display.facts] == [UNSURE] * 3
    assert "all are below the margin: a floor" in [one.reason for one in display.facts]


def test_passes_of_several_networks_or_a_pool_as_weight_scaling_are_refused():
    with pytest.raises(InputError, match="passes must be of one network, got 2 repetitions"):
        MCVersusWeightScaling.from_predictions([pool(3), pool(3)], pool(1), labels(), dataset="d")
    with pytest.raises(InputError, match="weight_scaling must be one prediction, got 3 members"):
        MCVersusWeightScaling.from_predictions(pool(3), pool(3), labels(), dataset="d")
    with pytest.raises(InputError, match="repeats must be a whole number of at least 2"):
        MCVersusWeightScaling.from_predictions(pool(3), pool(1), labels(), dataset="d", repeats=1)


def test_one_pass_that_is_sure_and_wrong_is_drawn():
    sure = Predictions(np.tile([1.0, 0.0, 0.0], (1, 60, 1)))
    display = MCVersusWeightScaling.from_predictions(sure, sure, labels(), dataset="d")
    assert np.isinf(display.frame().query("metric == 'nll'")["value"]).all()
    display.plot()


# Average members, or let them vote?


def test_rules_and_dumbbells_are_drawn_as_the_frame_has_them():
    display = made.BUILDERS["combiners"]()
    frame, axes = display.frame(), display.plot()
    errors = frame[frame["panel"] == "error"]
    for ax, arm in zip(axes, ("ensemble", "mc_dropout"), strict=False):
        assert ax.get_title() == style.arm_label(arm)
        for rule, label in (("mean", "mean"), ("majority_vote", "majority vote")):
            rows = errors[(errors["arm"] == arm) & (errors["rule"] == rule)]
            line = drawn(ax, label)
            np.testing.assert_array_equal(line.get_xdata(), rows["members"])
            np.testing.assert_allclose(line.get_ydata(), rows["value"] * 100)
    nlls = frame[frame["panel"] == "nll"]
    for rule, label in (("mean", "mean"), ("geometric_mean", "geometric mean")):
        np.testing.assert_allclose(drawn(axes[2], label).get_xdata(), nlls[nlls["rule"] == rule]["value"])
    bars = np.concatenate([bars.get_segments() for bars in axes[2].collections])[:, :, 0]
    np.testing.assert_allclose(np.sort(bars, axis=0), np.sort(nlls[["low", "high"]], axis=0))


def test_a_vote_breaks_ties_at_random_over_all_neighbours():
    probs = pool(3)
    frame = CombinerComparison.from_predictions({"a": probs}, labels(), dataset="d", **FEW).frame()
    vote = frame.query("panel == 'error' and rule == 'majority_vote'").set_index("members")["value"]
    votes = probs.probs.argmax(axis=2)
    for size in (1, 2, 3):
        lost = []
        for chosen in itertools.combinations(range(3), size):
            counts = np.stack([(votes[list(chosen)] == k).sum(axis=0) for k in range(3)], axis=1)
            ties = counts == counts.max(axis=1, keepdims=True)
            lost.append(1 - (ties[np.arange(60), labels()] / ties.sum(axis=1)).mean())
        assert vote[size] == pytest.approx(np.mean(lost))


def test_the_error_of_averages_is_the_mean_over_subsets_and_their_nll_that_of_the_pool():
    probs = pool(3)
    frame = CombinerComparison.from_predictions({"a": probs}, labels(), dataset="d", **FEW).frame()
    value = frame.set_index(["panel", "rule", "members"])["value"]
    for rule in ("mean", "geometric_mean", "confidence_vote"):
        pairs = [aggregate(probs.probs[list(pair)], rule) for pair in itertools.combinations(range(3), 2)]
        assert value["error", rule, 2] == pytest.approx(np.mean([error(pair, labels()).mean() for pair in pairs]))
    for rule in ("mean", "geometric_mean"):
        assert value["nll", rule, 3] == pytest.approx(nll(aggregate(probs.probs, rule), labels()).mean())


def two_members(first, second, share):
    """Return repetitions of two members for three classes, one of which leads the other in this share of examples."""
    first, second = (np.array(probs)[None].repeat(2000, axis=0) for probs in (first, second))
    swap = np.random.default_rng(0).random((3, 2000, 1)) < share
    return [Predictions(np.stack([np.where(turn, second, first), first])) for turn in swap]


def judged_rules(runs):
    truth = np.zeros(runs[0].examples, int)
    display = CombinerComparison.from_predictions({"a": runs}, truth, dataset="d", **FEW)
    return [one.outcome for one in display.facts]


@pytest.mark.slow
def test_facts_of_rules_follow_the_predictions():
    right = [0.9, 0.05, 0.05]
    assert judged_rules(two_members(right, [0.1, 0.6, 0.3], 0.3)) == [HELD, NOT]  # the averages stay right
    assert judged_rules(two_members([0.4, 0.3, 0.3], [0.01, 0.98, 0.01], 0.3)) == [NOT, NOT]  # they become wrong
    # The vote errs more than the mean, and less than the geometric mean.
    assert judged_rules(two_members([0.9, 0.1, 0.0], [0.01, 0.5, 0.49], 0.3))[0] == NOT
    assert judged_rules(two_members(right, right, 0.3)) == [UNSURE, UNSURE]  # none errs: a floor
    wrong = two_members(right, [0.01, 0.98, 0.01], 0.2)
    alike = [Predictions(np.repeat(run.probs[:1], 4, axis=0)) for run in wrong]
    assert judged_rules(alike) == [UNSURE, HELD]
    assert judged_rules(alike[:1]) == [UNSURE, UNSURE]  # another network may differ


def test_arms_of_one_member_or_with_weights_are_left_out_or_refused():
    both = {"single": pool(1), "ensemble": pool(2)}
    assert set(CombinerComparison.from_predictions(both, labels(), dataset="d", **FEW).frame()["arm"]) == {"ensemble"}
    with pytest.raises(InputError, match="at least 2 members to combine"):
        CombinerComparison.from_predictions({"single": pool(1)}, labels(), dataset="d")
    with pytest.raises(InputError, match="'a' has weights"):
        CombinerComparison.from_predictions({"a": Predictions(pool(2).probs, [0.5, 0.5])}, labels(), dataset="d")


def test_an_infinite_nll_is_said_in_words_and_repetitions_are_averaged():
    vetoed = np.array([[1.0, 0.0], [0.5, 0.5]])[:, None].repeat(50, axis=1)
    display = CombinerComparison.from_predictions({"a": Predictions(vetoed)}, np.ones(50, int), dataset="d", **FEW)
    assert [text.get_text() for text in display.plot()[-1].texts] == ["geometric mean: infinite"]
    runs = [pool(3), pool(3, seed=1), pool(3, seed=2)]
    together, *alone = (
        CombinerComparison.from_predictions({"a": given}, labels(), dataset="d", **FEW) for given in (runs, *runs)
    )
    values = [one.frame()["value"] for one in alone]
    np.testing.assert_allclose(together.frame()["value"], np.mean(values, axis=0))
    assert together.interval.endswith("and training again")
    two = CombinerComparison.from_predictions({"a": runs[:2]}, labels(), dataset="d", **FEW)
    assert not any("training again" in one.interval for one in (two, *alone))


# Does it know what it does not know?


def test_histograms_and_their_sums_are_drawn_as_the_frame_has_them():
    display = made.BUILDERS["ood"]()
    frame, axes = display.frame(), display.plot()
    styles = style.arm_styles(["single", "ensemble", "mc_dropout"])
    for start, panel in ((0, "known"), (4, "unknown")):
        for ax, arm in zip(axes[start:], styles, strict=False):
            rows = frame[(frame["panel"] == panel) & (frame["arm"] == arm)]
            assert len(ax.patches) == rows["members"].nunique()
            for patch, (_, bins) in zip(ax.patches, rows.groupby("members"), strict=True):
                values, edges, _ = patch.get_data()
                np.testing.assert_allclose(values, bins["value"] * 100)
                np.testing.assert_array_equal(edges, [*bins["left"], bins["right"].iloc[-1]])
                assert to_hex(patch.get_edgecolor()).lower() == styles[arm].color.lower()
    for ax, panel in ((axes[3], "auroc"), (axes[7], "median")):
        rows = frame[(frame["panel"] == panel) & (frame["arm"] == "ensemble")].sort_values("members")
        np.testing.assert_array_equal(drawn(ax, "ensemble").get_ydata(), rows["value"])
        bars = np.array(ax.collections[1].get_segments())[:, :, 1]
        np.testing.assert_array_equal(bars, rows[["low", "high"]])
    shares = frame[frame["panel"].isin(["known", "unknown"])].groupby(["panel", "arm", "members"])["value"].sum()
    np.testing.assert_allclose(shares, 1)


@pytest.mark.parametrize("quantity", ["entropy", "mutual_information"])
def test_histograms_auroc_and_median_are_what_counting_finds(quantity):
    own, other = pool(6), pool(6, examples=50, seed=3)
    display = OODEntropy.from_predictions(
        {"a": own}, {"a": other}, dataset="d", other="o", members=(1, 4), quantity=quantity, **FEW
    )
    frame = display.frame()
    assert sorted(frame["members"].unique()) == ([1, 4] if quantity == "entropy" else [4])

    def measure(run):
        parts = uncertainty(run.probs[:4])
        whole = entropy(run.probs[:4].mean(axis=0))
        return whole if quantity == "entropy" else whole - parts["expected_entropy"].to_numpy()

    inside, outside = measure(own), measure(other)
    wins = np.mean([(x > y) + 0.5 * (x == y) for x in outside for y in inside])
    rows = frame[frame["members"] == 4].set_index("panel")
    assert rows["value"]["auroc"] == pytest.approx(wins)
    assert rows["value"]["median"] == pytest.approx(np.median(outside))
    assert rows["low"]["median"] <= np.median(outside) <= rows["high"]["median"]
    for left, right, value in rows.loc["unknown", ["left", "right", "value"]].iloc[:-1].itertuples(index=False):
        assert value == pytest.approx(np.mean([left <= x < right for x in outside]))


def repeated(make, **kwargs):
    """Return the arms of three repetitions."""
    each = [make(**kwargs, seed=seed) for seed in range(3)]
    return {arm: [one[arm] for one in each] for arm in each[0]}


def test_facts_of_uncertainty_hold_or_not_with_the_data():
    known = repeated(made.arms, sharpness=1.5)
    unknown = repeated(made.arms, sharpness=1.5, examples=300, signal=0.0)
    right = OODEntropy.from_predictions(known, unknown, dataset="d", other="o", **FEW)
    wrong = OODEntropy.from_predictions(unknown, known, dataset="d", other="o", **FEW)
    alike = OODEntropy.from_predictions(known, known, dataset="d", other="o", **FEW)
    for words in ("ensemble: entropy tells", "MC dropout: entropy tells"):
        assert [fact(one, words).outcome for one in (right, wrong, alike)] == [HELD, NOT, UNSURE]
    rising = "median entropy of unknown examples rises"
    assert fact(right, rising).outcome == HELD
    turned = {"ensemble": [Predictions(run.probs[::-1]) for run in falling()]}
    for given, outcome in ((turned, HELD), ({"ensemble": falling()}, NOT)):
        assert fact(OODEntropy.from_predictions(given, given, dataset="d", other="o", **FEW), rising).outcome == outcome
    once = {"ensemble": [Predictions(run.probs[[0, 9, 9, 9, 9, 0, 0, 0, 0, 0]]) for run in falling()]}
    given = OODEntropy.from_predictions(once, once, dataset="d", other="o", **FEW)
    assert fact(given, rising).outcome == NOT  # it falls first, and then rises
    same_all = {"ensemble": [same(run, 10) for run in known["ensemble"]]}
    level = fact(OODEntropy.from_predictions(same_all, same_all, dataset="d", other="o", **FEW), rising)
    assert level.outcome == UNSURE


def falling():
    """Return members of which the first know nothing, and each further one more."""
    shares = np.linspace(0, 0.9, 10)[:, None, None] + 0.001 * np.random.default_rng(0).random((10, 60, 1))
    return [Predictions(shares * np.eye(10)[0] + (1 - shares) / 10) for _ in range(3)]


@pytest.mark.slow
def test_shares_near_0_are_compared_unless_both_are_at_the_floor():
    unsure = [made.predictions(10, 2.0, signal=0.0, shared=0.1, sharpness=0.2, seed=seed) for seed in range(3)]
    sure = [Predictions(np.tile(np.eye(10)[0], (10, 400, 1))) for _ in range(3)]

    def near(ensemble, mc_dropout):
        arms = {"ensemble": ensemble, "mc_dropout": mc_dropout}
        return fact(OODEntropy.from_predictions(arms, arms, dataset="d", other="o", **FEW), "near 0 with MC dropout")

    assert [near(*arms).outcome for arms in ((unsure, sure), (sure, unsure))] == [HELD, NOT]
    assert "100.0 % of 10 passes" in near(unsure, sure).numbers
    assert near(unsure, unsure).reason == "a floor: fewer than 10 examples are near 0 in both"
    assert near(sure, sure).outcome == UNSURE


def test_data_and_arms_that_say_nothing_of_disagreement_are_refused():
    with pytest.raises(InputError, match="at least 2 members"):
        OODEntropy.from_predictions(
            {"a": pool(1)}, {"a": pool(1)}, dataset="d", other="o", quantity="mutual_information"
        )
    with pytest.raises(InputError, match="unknown quantity 'variance'"):
        OODEntropy.from_predictions({"a": pool(1)}, {"a": pool(1)}, dataset="d", other="o", quantity="variance")
    with pytest.raises(InputError, match="same arms"):
        OODEntropy.from_predictions({"a": pool(1)}, {"b": pool(1)}, dataset="d", other="o")
    with pytest.raises(InputError, match="at least one number"):
        OODEntropy.from_predictions({"a": pool(1)}, {"a": pool(1)}, dataset="d", other="o", members=[])


# Is it right where it is confident?


def test_accuracy_and_retained_share_are_drawn_as_the_frame_has_them():
    display = made.BUILDERS["confidence"]()
    frame, axes = display.frame(), display.plot()
    for ax, panel in zip(axes, ("accuracy", "retained"), strict=True):
        rows = frame[(frame["panel"] == panel) & (frame["arm"] == "ensemble")]
        line = drawn(ax, "ensemble, mean (10)")
        np.testing.assert_array_equal(line.get_xdata(), rows["threshold"])
        np.testing.assert_allclose(line.get_ydata(), rows["value"] * 100)
        shown = rows[rows["value"].notna()]
        band = np.concatenate([path.vertices[:, 1] for path in ax.collections[1].get_paths()])
        np.testing.assert_allclose([band.min(), band.max()], [shown["low"].min() * 100, shown["high"].max() * 100])


def test_accuracy_counts_unknown_examples_as_wrong_and_few_not_at_all():
    own, other = made.known(), made.unknown()
    display = AccuracyVersusConfidence.from_predictions(own, LABELS, other, dataset="d", other="o", **FEW)
    table = display.frame().set_index(["panel", "arm", "threshold"])
    inside, outside = (part["mc_dropout"].probs.mean(axis=0) for part in (own, other))
    masked = 0
    for tau in THRESHOLDS:
        kept = [row.max() >= tau for row in inside]
        many = sum(kept) + sum(row.max() >= tau for row in outside)
        right = sum(k and row.argmax() == y for k, row, y in zip(kept, inside, LABELS, strict=True))
        retained, accuracy = (table.loc[(panel, "mc_dropout", tau)] for panel in ("retained", "accuracy"))
        assert retained["examples"] == many
        assert retained["value"] == pytest.approx(many / 700)
        if many < 50:
            masked += 1
            assert np.isnan(accuracy["value"])
        else:
            assert accuracy["value"] == pytest.approx(right / many)
            assert accuracy["low"] <= accuracy["value"] <= accuracy["high"]
    assert masked


def test_repetitions_are_averaged_and_resampled():
    runs = [made.predictions(3, 1.0, seed=seed) for seed in (1, 2)]
    display = AccuracyVersusConfidence.from_predictions({"a": runs}, LABELS, dataset="d", thresholds=[0, 0.5], **FEW)
    means = [run.probs.mean(axis=0) for run in runs]
    kept = [(mean.max(axis=1) >= 0.5).sum() for mean in means]
    hits = [((mean.max(axis=1) >= 0.5) & (mean.argmax(axis=1) == LABELS)).sum() for mean in means]
    value = display.frame().set_index(["panel", "threshold"])["value"]
    assert value["accuracy", 0.5] == pytest.approx(sum(hits) / sum(kept))
    assert value["retained", 0.5] == pytest.approx(np.mean(kept) / 400)
    assert "repetitions" in display.interval


@pytest.mark.parametrize(
    ("right", "examples", "outcome"),
    [
        (lambda place, chance: chance < place, 20_000, HELD),
        (lambda place, chance: chance < 1 - place / 2, 20_000, NOT),
        (lambda place, chance: chance < 0.9, 20_000, HELD),
        (lambda place, chance: chance < 0.9, 300, UNSURE),
        (lambda place, chance: chance >= 0, 300, UNSURE),
    ],
)
def test_the_fact_of_accuracy_that_does_not_fall_holds_or_not(right, examples, outcome):
    place = np.linspace(0.5, 1, examples)
    runs = []
    for seed in range(3):
        top = np.where(right(place, np.random.default_rng(seed).random(examples)), place, 1 - place)
        runs.append(Predictions(np.stack([top, 1 - top], axis=1)[None]))
    given = {"dataset": "d", "thresholds": [0.5, 0.6], **FEW}
    display = AccuracyVersusConfidence.from_predictions({"a": runs}, np.zeros(examples, int), **given)
    assert fact(display, "accuracy does not fall").outcome == outcome
    if (runs[0].probs[0].argmax(axis=1) == 0).all():
        assert fact(display, "accuracy does not fall").reason == "accuracy is 100 % at every threshold: a ceiling"


def test_unnamed_too_few_or_different_examples_are_refused():
    given = {"a": pool(2)}
    with pytest.raises(InputError, match="other must name"):
        AccuracyVersusConfidence.from_predictions(given, labels(), given, dataset="d")
    with pytest.raises(InputError, match="at least 50 examples together, got 40"):
        AccuracyVersusConfidence.from_predictions({"a": pool(2, 40)}, labels(40), dataset="d")
    with pytest.raises(InputError, match=r"numbers in \[0, 1\]"):
        AccuracyVersusConfidence.from_predictions(given, labels(), dataset="d", thresholds=[1.5])
    with pytest.raises(InputError, match="the arms of known"):
        AccuracyVersusConfidence.from_predictions(given, labels(), {"a": pool(3)}, dataset="d", other="o")


# Calibrate before or after pooling?


def test_diagrams_and_bars_are_drawn_as_the_frame_has_them():
    display = made.reliability_pooling()
    frame, axes = display.frame(), display.plot()
    for ax, way in zip(axes, DIAGRAMS, strict=False):
        rows = frame[frame["panel"] == way]
        many = rows[rows["count"] >= 10]
        line = drawn(ax, reliability_pooling.WAYS[way])
        np.testing.assert_array_equal(line.get_xdata(), many["confidence"])
        np.testing.assert_array_equal(line.get_ydata(), many["value"])
        few = rows[(rows["count"] < 10) & (rows["count"] > 0)]
        np.testing.assert_array_equal(drawn(ax, "_few").get_ydata(), few["value"])
        values, edges, _ = ax.patches[0].get_data()
        np.testing.assert_array_equal(values, rows["share"])
        assert (edges[0], edges[-1]) == (0, 1)
    for ax, metric in zip(axes[4:], ("nll", "ece"), strict=True):
        rows = frame[frame["panel"] == metric]
        assert [bar.get_width() for bar in ax.patches] == rows["value"].tolist()
        np.testing.assert_array_equal(np.array(ax.collections[0].get_segments())[:, :, 0], rows[["low", "high"]])
        assert [label.get_text().replace("\n", " ") for label in ax.get_yticklabels()] == list(
            reliability_pooling.WAYS.values()
        )


def test_diagrams_and_bars_are_what_counting_finds():
    test = made.predictions(3, 1.0, seed=2)
    display = ReliabilityPooling.from_predictions(test, LABELS, dataset="d", **FEW)
    frame = display.frame()
    members = [(member, truth) for probs in test.probs for member, truth in zip(probs, LABELS, strict=True)]
    for row in frame[frame["panel"] == "single"].itertuples():
        held = [(probs.max(), probs.argmax() == y) for probs, y in members if row.left < probs.max() <= row.right]
        assert row.count == len(held)
        assert row.share == pytest.approx(len(held) / 1200)
        if held:
            assert [row.confidence, row.value] == pytest.approx(np.mean(held, axis=0).tolist())
    value = frame.set_index(["panel", "way"])["value"]
    half = stream(0, "halves", 0).permutation(len(LABELS)) % 2

    def calibrated(probs):
        """Return each half at the temperature that was fitted to the other."""
        found = np.empty(probs.shape)
        for own in (half == 0, half == 1):
            found[own] = apply_temperature(probs[own], fit_temperature(probs[~own], LABELS[~own]))
        return found

    each, late = [calibrated(member) for member in test.probs], calibrated(test.probs.mean(axis=0))
    expected = {
        "single": np.mean([nll(member, LABELS).mean() for member in test.probs]),
        "single_calibrated": np.mean([nll(member, LABELS).mean() for member in each]),
        "pool": nll(test.probs.mean(axis=0), LABELS).mean(),
        "calibrate_then_pool": nll(np.mean(each, axis=0), LABELS).mean(),
        "pool_then_calibrate": nll(late, LABELS).mean(),
    }
    assert value["nll"].to_dict() == pytest.approx(expected)


def test_facts_of_calibration_hold_or_not_with_the_data():
    runs = [made.predictions(8, 1.6, seed=seed, shared=1.2, sharpness=1.6) for seed in range(4)]
    good = ReliabilityPooling.from_predictions(runs, LABELS, dataset="d", **FEW)
    assert [one.held for one in good.facts] == [True, True]
    alone = ReliabilityPooling.from_predictions(runs[0], LABELS, dataset="d", **FEW)
    assert [one.reason.partition(":")[0] for one in alone.facts] == ["of 1 network"] * 2
    # Members that are all alike need no other temperature when they are pooled.
    alike = [same(made.predictions(1, 1.0, seed=seed), 4) for seed in range(4)]
    same_way = fact(ReliabilityPooling.from_predictions(alike, LABELS, dataset="d", **FEW), "To calibrate the pool")
    assert same_way.reason == "alike without any noise, as at a floor or a ceiling"


def test_members_that_are_alone_or_without_examples_are_refused():
    with pytest.raises(InputError, match="at least 2 members to pool, got 1"):
        ReliabilityPooling.from_predictions(pool(1), labels(), dataset="d")
    with pytest.raises(InputError, match="number of labels must be"):
        ReliabilityPooling.from_predictions(pool(2, 1), labels(1), dataset="d")


def test_an_infinite_nll_has_no_bar_but_a_word():
    sure = Predictions(np.tile([1.0, 0.0, 0.0], (2, 60, 1)))
    axes = ReliabilityPooling.from_predictions(sure, labels(), dataset="d", **FEW).plot()
    assert [text.get_text() for text in axes[4].texts] == ["infinite"] * 5
    assert not axes[4].patches


# How many independent networks is it worth?


def equivalent(others, ensemble=None, **kwargs):
    ensemble = ensemble or made.arms()["ensemble"]
    return DeepEnsembleEquivalent.from_predictions(
        ensemble, others, LABELS, dataset="d", subsets=3, **{"resamples": 100} | kwargs
    )


def test_worth_and_calibrated_nll_are_drawn_as_the_frame_has_them():
    display = equivalent({"mc_dropout": made.predictions(20, 1.0, shared=1.2)})
    frame, axes = display.frame(), display.plot()
    for ax, panel in zip(axes, ("worth", "calibrated_nll"), strict=True):
        for arm, label in (("ensemble", "ensemble, mean"), ("mc_dropout", "MC dropout, mean")):
            rows = frame[(frame["panel"] == panel) & (frame["arm"] == arm)]
            line = drawn(ax, label)
            np.testing.assert_array_equal(line.get_xdata(), rows["members"])
            np.testing.assert_array_equal(line.get_ydata(), rows["value"])


def test_the_worth_is_where_the_ensembles_curve_is_as_good():
    mc = made.predictions(20, 1.0, shared=1.2)
    frame = equivalent({"mc_dropout": mc}).frame()
    curves = size_curves({"ensemble": made.arms()["ensemble"]}, LABELS, ["calibrated_nll"], sizes=range(1, 10),
                         subsets=3, resamples=100)  # fmt: skip
    value = frame.set_index(["panel", "arm", "members"])["value"].sort_index()
    np.testing.assert_allclose(value["calibrated_nll", "ensemble"], curves["value"])
    assert curves["value"].is_monotonic_decreasing
    worth = np.interp(-value["calibrated_nll", "mc_dropout"], -curves["value"], curves["members"])
    np.testing.assert_allclose(value["worth", "mc_dropout"], worth)
    np.testing.assert_allclose(value["worth", "ensemble"], range(1, 11))


def test_more_than_the_networks_there_are_is_an_arrow_at_the_edge_and_said():
    best = made.predictions(4, 0.1, shared=0.1, signal=9.0)
    display = equivalent({"mc_dropout": best})
    assert np.isinf(display.frame().query("panel == 'worth' and arm == 'mc_dropout'")["value"]).all()
    ax = display.plot()[0]
    arrows = drawn(ax, "_more")
    np.testing.assert_array_equal(arrows.get_xdata(), [1, 2, 3, 4])
    assert (arrows.get_marker(), set(arrows.get_ydata())) == ("^", {1})
    assert "more than the 10 networks" in display.caption
    assert [one.held for one in display.facts] == [None, None]
    assert "more than 10" in display.facts[0].numbers
    runs = [made.predictions(10, 1.6, shared=0.9, seed=seed) for seed in range(3)]
    bests = [made.predictions(4, 0.1, shared=0.1, signal=9.0, seed=seed) for seed in range(3)]
    display = DeepEnsembleEquivalent.from_predictions(
        runs, {"mc_dropout": bests}, LABELS, dataset="d", subsets=3, **FEW
    )
    assert [one.outcome for one in display.facts] == [UNSURE, NOT]
    assert "a ceiling" in display.facts[0].reason


@pytest.mark.slow
def test_passes_that_are_all_alike_saturate():
    display = equivalent({"mc_dropout": same(made.arms()["ensemble"], 20)})
    assert (display.frame().query("panel == 'worth'")["value"] >= 1).all()
    assert "more than the" not in display.caption
    assert ["of 1 network" in one.reason for one in display.facts] == [True, True]
    runs = [made.predictions(10, 1.6, shared=0.9, seed=seed) for seed in range(3)]

    def judged(passes):
        given = {"dataset": "d", "subsets": 3, **FEW}
        return [one.outcome for one in DeepEnsembleEquivalent.from_predictions(runs, passes, LABELS, **given).facts]

    half = [Predictions(np.concatenate([run.probs[:2], run.probs[:2]])) for run in runs]
    assert judged({"mc_dropout": half}) == [HELD, HELD]
    assert judged({"mc_dropout": [Predictions(run.probs[:4]) for run in runs]})[0] == NOT


def test_an_ensemble_that_measures_nothing_is_refused():
    with pytest.raises(InputError, match="at least 2 members of equal weight"):
        DeepEnsembleEquivalent.from_predictions(pool(1), {"a": pool(2)}, labels(), dataset="d")
    with pytest.raises(InputError, match="must not hold 'ensemble'"):
        DeepEnsembleEquivalent.from_predictions(pool(2), {"ensemble": pool(2)}, labels(), dataset="d")


# Does quality follow a power law?


def law(limit=0.2, gain=0.3, power=0.7, sizes=(1, 2, 5, 10, 20, 50), metric="nll", arm="ensemble", noise=0.0):
    n = np.array(sizes, dtype=float)
    value = limit + gain * n**-power + noise * np.random.default_rng(0).normal(size=len(n))
    return pd.DataFrame(
        {"arm": arm, "rule": "mean", "members": sizes, "metric": metric, "value": value, "low": value - 0.01}
        | {"high": value + 0.01}
    )


def test_points_fit_and_limit_are_drawn_as_the_frame_has_them():
    display = PowerLaw.from_curves(made.curves(), dataset="d")
    frame, axes = display.frame(), display.plot()
    panels = itertools.product(("quality", "excess"), ("nll", "calibrated_nll", "brier"))
    for ax, (panel, metric) in zip(axes, panels, strict=True):
        rows = frame[(frame["panel"] == panel) & (frame["metric"] == metric) & (frame["arm"] == "mc_dropout")]
        line = drawn(ax, "MC dropout, mean")
        measured = rows[rows["role"] == "measured"]
        np.testing.assert_array_equal(line.get_xdata(), measured["members"])
        np.testing.assert_array_equal(line.get_ydata(), measured["value"])
        fit = [line for line in ax.lines if line.get_label() == "_fit"][1]
        np.testing.assert_array_equal(fit.get_ydata(), rows[rows["role"] == "fit"]["value"])
        limits = [line.get_ydata()[0] for line in ax.lines if line.get_label() == "_limit"]
        assert limits[1:] == rows[rows["role"] == "limit"]["value"].tolist()
    assert {ax.get_yscale() for ax in axes[3:]} == {"log"}


@pytest.mark.parametrize("power", [0.4, 1.0, 2.5])
def test_a_law_is_found_again(power):
    display = PowerLaw.from_curves(law(power=power), dataset="d")
    found = display.frame().iloc[0]
    assert [found["limit"], found["gain"], found["power"]] == pytest.approx([0.2, 0.3, power], rel=1e-3)
    assert found["r_squared"] == pytest.approx(1)
    excess = display.frame().query("panel == 'excess' and role == 'measured'")
    np.testing.assert_allclose(excess["value"], 0.3 * excess["members"] ** -power, rtol=0.02)


def test_no_loss_has_a_limit_below_0():
    found = PowerLaw.from_curves(law(limit=-0.05, power=0.2), dataset="d").frame().iloc[0]
    assert found["limit"] == 0
    assert found["rmse"] > 1e-4


def test_a_brier_score_that_breaks_the_law_is_refused_unless_subsets_were_drawn():
    wrong = law(metric="brier", power=1.0)
    wrong.loc[2, "value"] += 1e-3
    with pytest.raises(
        InputError, match=r"curves must hold Brier scores .* limit \+ gain / members.*a difference of .* \(ensemble\)"
    ):
        PowerLaw.from_curves(wrong, dataset="d")
    assert PowerLaw.from_curves(wrong.assign(mc_error=0.001), dataset="d").frame()["power"].eq(1).all()


def test_the_fact_of_a_law_says_how_well_it_fits():
    curves = pd.concat([law(), law(arm="mc_dropout", noise=0.1)])
    display = PowerLaw.from_curves(curves, dataset="d")
    assert [one.held for one in display.facts] == [True, False]
    n, value = (display.frame().query("panel == 'quality' and role == 'measured' and arm == 'mc_dropout'")[name]
                for name in ("members", "value"))  # fmt: skip
    found = display.frame().query("arm == 'mc_dropout'").iloc[0]
    left = value - found["limit"] - found["gain"] * n.astype(float) ** -found["power"]
    assert found["r_squared"] == pytest.approx(1 - (left**2).sum() / ((value - value.mean()) ** 2).sum())
    assert found["rmse"] == pytest.approx((left**2).mean() ** 0.5)
    assert f"a = {found['power']:.2f}" in display.facts[1].numbers


def test_a_law_must_tell_what_it_was_not_fitted_to():
    def judged(curves):
        (one,) = PowerLaw.from_curves(curves, dataset="d").facts
        return one

    assert judged(law()).outcome == HELD
    off = law()
    off.loc[5, "value"] += 0.03
    assert judged(off).outcome == NOT
    assert judged(off.assign(mc_error=0.02)).outcome == UNSURE
    assert "of 4 sizes" in judged(law(sizes=(1, 2, 5, 10))).reason
    assert "does not get better" in judged(law(gain=-0.1)).reason
    brier = law(metric="brier", power=1.0)
    assert PowerLaw.from_curves(brier, dataset="d").facts == ()  # exact, whatever the members are


def test_curves_without_enough_points_are_named_or_refused():
    few = law(arm="mc_dropout", sizes=(1, 2, 3))
    with pytest.raises(InputError, match="at least 4 finite points"):
        PowerLaw.from_curves(few, dataset="d")
    display = PowerLaw.from_curves(pd.concat([law(), few]), dataset="d")
    assert "Too few points to fit: NLL (nats) of MC dropout, mean." in display.caption
    with pytest.raises(InputError, match="missing: low"):
        PowerLaw.from_curves(law().drop(columns="low"), dataset="d")
    endless = law()
    endless.loc[0, "value"] = np.inf
    display = PowerLaw.from_curves(endless, dataset="d")
    assert "Left out: 1 infinite" in display.caption
    assert np.isfinite(display.frame()["limit"]).all()
    flat = law(gain=0.0)
    display = PowerLaw.from_curves(flat, dataset="d")
    assert not display.facts[0].held
    display.plot()


# What is odd


@pytest.mark.slow
def test_many_classes_and_constant_predictions_are_drawn():
    classes = 200
    flat = Predictions(np.full((3, 60, classes), 1 / classes))
    truth = np.arange(60) % classes
    given = {LONG: flat, "ensemble": flat}
    for display in {
        "mc": MCVersusWeightScaling.from_predictions(flat, Predictions(flat.probs[:1]), truth, dataset="$d^$"),
        "rules": CombinerComparison.from_predictions(given, truth, dataset="$d^$", **FEW),
        "ood": OODEntropy.from_predictions(given, given, dataset="$d^$", other="$o", **FEW),
        "mi": OODEntropy.from_predictions(given, given, dataset="d", other="o", quantity="mutual_information", **FEW),
        "confidence": AccuracyVersusConfidence.from_predictions(given, truth, dataset="$d^$", **FEW),
        "reliability": ReliabilityPooling.from_predictions(flat, truth, dataset="$d^$", arm=LONG, **FEW),
        "worth": DeepEnsembleEquivalent.from_predictions(flat, {LONG: flat}, truth, dataset="$d^$", subsets=2, **FEW),
    }.values():
        display.plot()


@pytest.mark.slow
def test_many_arms_are_drawn():
    arms = {f"arm {place}": pool(2, seed=place) for place in range(12)}
    AccuracyVersusConfidence.from_predictions(arms, labels(), dataset="d", **FEW).plot()
    CombinerComparison.from_predictions(arms, labels(), dataset="d", **FEW).plot()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["combiners", "ood", "equivalent", "mc_vs_ws"])
def test_the_same_predictions_give_the_same_numbers(name):
    pd.testing.assert_frame_equal(made.BUILDERS[name]().frame(), made.BUILDERS[name]().frame())
