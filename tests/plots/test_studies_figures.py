"""The figures of studies hold their frames, refuse what cannot be, and tell what was expected."""

import importlib.util
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from scipy import stats

from ensemble_vs_dropout import Predictions
from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation.findings.repetitions import choose, differences, summarise
from ensemble_vs_dropout.measures import significance
from ensemble_vs_dropout.plots.architectures import Architectures
from ensemble_vs_dropout.plots.bias_variance_diversity import BiasVarianceDiversity
from ensemble_vs_dropout.plots.cost_frontier import CostFrontier
from ensemble_vs_dropout.plots.critical_difference import CriticalDifference
from ensemble_vs_dropout.plots.dataset_size import DatasetSize
from ensemble_vs_dropout.plots.display import Display
from ensemble_vs_dropout.plots.eir_vs_der import EIRVersusDER
from ensemble_vs_dropout.plots.facets import Facets
from ensemble_vs_dropout.plots.paired_differences import PairedDifferences
from ensemble_vs_dropout.plots.repetitions import interval_words
from ensemble_vs_dropout.plots.retention_sweep import RetentionSweep
from ensemble_vs_dropout.plots.shift_robustness import ShiftRobustness

spec = importlib.util.spec_from_file_location("made_studies", Path(__file__).parent / "made_studies.py")
made = importlib.util.module_from_spec(spec)
spec.loader.exec_module(made)
LONG = [f"a very long name of an arm that never ends, number {place}, for $5 or $6" for place in range(50)]


def with_arms(scores, names):
    """Return the rows of the single network, and those of the ensemble under many names."""
    others = [scores[scores["arm"] == "ensemble"].assign(arm=name) for name in names]
    return pd.concat([scores[scores["arm"] == "single"], *others])


def axes_of(display):
    """Return the axes drawn on, without the layout of a finished figure."""
    panels = sum(panel >= 0 for row in display._mosaic() for panel in row)
    return display.plot(Figure().subplots(1, panels, squeeze=False))


def drawn(ax, label):
    (line,) = [line for line in ax.lines if line.get_label() == label]
    return line


def held(display):
    return [fact.held for fact in display.facts]


# Repetitions


def test_the_interval_over_repetitions_is_that_of_the_t_distribution():
    rows = choose(made.sizes(repetitions=5), ["error"], ["train_size"])
    table = summarise(rows, ["arm", "train_size"])
    one = table[(table["arm"] == "ensemble") & (table["train_size"] == 500)].iloc[0]
    values = rows.loc[(rows["arm"] == "ensemble") & (rows["train_size"] == 500), "value"]
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (one["value"], one["repetitions"]) == (pytest.approx(values.mean()), 5)
    np.testing.assert_allclose([one["low"], one["high"]], [low, high])


def test_one_repetition_keeps_the_interval_of_its_row_and_the_words_say_so():
    rows = choose(made.sizes(repetitions=1), ["error"], ["train_size"])
    table = summarise(rows, ["arm", "train_size"])
    np.testing.assert_allclose(table["low"], table["value"] * 0.95)
    assert interval_words(table["repetitions"]) == "95 % interval over examples (one repetition)"
    averaged = choose(made.sizes(repetitions=1).assign(repetition=None), ["error"], ["train_size"])
    words = interval_words(summarise(averaged, ["arm", "train_size"])["repetitions"])
    assert words == "95 % interval over training again and examples"


def test_differences_are_paired_by_repetition():
    scores = made.sizes(repetitions=3).sample(frac=1, random_state=0)
    rows = choose(scores, ["error"], ["train_size"])
    paired = differences(rows, ["train_size"], "single")
    for row in paired.sample(10, random_state=1).itertuples():
        same = rows[(rows["repetition"] == row.repetition) & (rows["train_size"] == row.train_size)]
        value = same.set_index("arm")["value"]
        assert row.value == pytest.approx(value[row.arm] - value["single"])
    assert "single" not in set(paired["arm"])


def test_every_arm_is_taken_by_the_rule_asked_for_or_its_only_one():
    scores = made.sizes(repetitions=1)
    vote = scores[scores["arm"] == "ensemble"].assign(rule="majority_vote", value=0.5)
    both = pd.concat([scores, vote])
    rules = choose(both, ["error"], ["train_size"]).groupby("arm")["rule"].unique()
    assert (rules["ensemble"], rules["single"]) == (["mean"], ["each"])
    assert set(choose(both, ["error"], ["train_size"], rule="majority_vote").query("value == 0.5")["arm"]) == {
        "ensemble"
    }
    with pytest.raises(InputError, match="the rule 'median' of 'ensemble', which has mean, majority_vote"):
        choose(both, ["error"], ["train_size"], rule="median")


def test_tables_of_scores_that_do_not_fit_are_refused():
    scores = made.sizes(repetitions=1)
    for wrong, told in (
        (scores.drop(columns="train_size"), "missing: train_size"),
        (pd.concat([scores, scores]), "has several for"),
        (scores.assign(split="val"), "of the split test and the condition clean, got no such row"),
        (scores.assign(metric="nll"), "unknown metric 'error'"),
        (scores[scores["arm"] == "single"], "another arm in the same repetitions as 'single'"),
        (scores[scores["arm"] != "single"], "unknown baseline 'single'"),
        (scores.replace({"train_size": {100: None}}), "train_size must be a number"),
        ([1], "must be a DataFrame"),
    ):
        with pytest.raises(InputError, match=told):
            DatasetSize.from_scores(wrong, dataset="d")


# Retention


def retention(**changes):
    scaled = made.sweep(scaled=True, rates=(0.0, 0.2, 0.5, 0.8))
    return RetentionSweep.from_scores(made.sweep(**changes), dataset="d", scaled=scaled)


def test_the_retention_sweep_draws_its_frame():
    display = retention()
    frame, axes = display.frame(), axes_of(display)
    for ax, panel in zip(axes, ("fixed", "scaled"), strict=True):
        for split in ("test", "train"):
            rows = frame[(frame["panel"] == panel) & (frame["split"] == split)].set_index("arm")
            line = drawn(ax, f"dropout (weight scaling), {split}")
            np.testing.assert_allclose(line.get_xdata(), rows.loc["dropout", "p"])
            np.testing.assert_allclose(line.get_ydata(), rows.loc["dropout", "value"] * 100)
            plain = drawn(ax, f"network without dropout, {split}")
            assert (plain.get_xdata()[0], plain.get_ydata()[0]) == (1, pytest.approx(rows.loc["single", "value"] * 100))
        assert ax.get_xlabel() == "p (probability to keep a unit)"
    assert axes[0].get_ylim() == axes[1].get_ylim()
    assert frame["p"].min() == pytest.approx(0.1)


def test_what_is_expected_of_retention_is_told_both_ways():
    scores = made.sweep()
    assert held(retention())[:2] == [True, True]
    flat = scores.assign(value=0.1, low=0.09, high=0.11)
    assert held(RetentionSweep.from_scores(flat, dataset="d")) == [None, None, True]
    alone = RetentionSweep.from_scores(scores[scores["repetition"] == 0], dataset="d")
    assert held(alone) == [None, None, None]
    uneven = scores.assign(value=scores["value"] + 0.01 * (scores["repetition"] - 1) * (scores["rate"] == 0.5))
    assert held(RetentionSweep.from_scores(uneven, dataset="d"))[2] is None
    hump = scores.assign(value=0.1 + 0.02 * scores["rate"].between(0.35, 0.45), low=0.1, high=0.1)
    assert held(RetentionSweep.from_scores(hump, dataset="d"))[2] is False
    steep = scores.assign(value=scores["rate"] + 0.01, low=scores["rate"], high=scores["rate"] + 0.02)
    assert held(RetentionSweep.from_scores(steep, dataset="d")) == [True, True, False]
    worse = RetentionSweep.from_scores(flat, dataset="d", scaled=made.sweep(scaled=True))
    assert "worse with n fixed" in worse.facts[-1].statement
    assert worse.facts[-1].outcome == "did not hold"


def test_a_network_that_keeps_every_unit_must_be_the_plain_one():
    scores = made.sweep(repetitions=1)
    plain = scores[scores["arm"] == "single"].assign(rule="mean")
    same = pd.concat([scores[scores["arm"] != "single"], plain, plain.assign(arm="dropout")])
    RetentionSweep.from_scores(same, dataset="d")
    same.loc[same["arm"].eq("dropout") & same["rate"].eq(0), "value"] += 0.001
    with pytest.raises(InputError, match=r"keeps every unit \(p = 1\), those of the network without dropout"):
        RetentionSweep.from_scores(same, dataset="d")


def test_the_plain_network_of_a_sweep_is_drawn_once():
    scores = made.sweep(repetitions=2)
    plain = scores[scores["arm"] == "single"]
    everywhere = pd.concat([scores[scores["rate"] > 0], *(plain.assign(rate=rate) for rate in (0.3, 0.5))])
    one, other = (RetentionSweep.from_scores(table, dataset="d").frame() for table in (scores, everywhere))
    pd.testing.assert_frame_equal(one, other)


def test_widths_that_do_not_fit_the_panel_are_refused():
    scores = made.sweep()
    with pytest.raises(InputError, match="fixed rows must have one width"):
        RetentionSweep.from_scores(made.sweep(scaled=True), dataset="d")
    with pytest.raises(InputError, match="scaled rows must have width times p about the same"):
        RetentionSweep.from_scores(scores, dataset="d", scaled=scores)
    with pytest.raises(InputError, match="must hold the arm 'dropout'"):
        RetentionSweep.from_scores(scores[scores["arm"] == "single"], dataset="d")
    with pytest.raises(InputError, match=r"rate must lie in \[0, 1\)"):
        RetentionSweep.from_scores(scores.assign(rate=scores["rate"] + 0.2), dataset="d")


# Training sizes


def test_gains_over_training_sizes_are_the_baseline_less_the_arm():
    scores = made.sizes()
    display = DatasetSize.from_scores(scores, dataset="d")
    frame, (above, below) = display.frame(), axes_of(display)
    wide = scores.pivot(index=["train_size", "repetition"], columns="arm", values="value")
    gain = (wide["single"] - wide["ensemble"]).groupby("train_size").mean()
    line = drawn(below, "ensemble, mean (5)")
    np.testing.assert_array_equal(line.get_xdata(), gain.index)
    np.testing.assert_allclose(line.get_ydata(), gain * 100)
    rows = frame[(frame["panel"] == "metric") & (frame["arm"] == "mc_dropout")]
    np.testing.assert_allclose(drawn(above, "MC dropout, mean (100)").get_ydata(), rows["value"] * 100)
    band = below.collections[0].get_paths()[0].vertices[:, 1]
    rows = frame[(frame["panel"] == "gain") & (frame["arm"] == "dropout")]
    np.testing.assert_allclose([band.min(), band.max()], [rows["low"].min() * 100, rows["high"].max() * 100])


def test_a_higher_accuracy_is_a_gain():
    scores = made.sizes().assign(metric="accuracy", value=lambda rows: 1 - rows["value"])
    frame = DatasetSize.from_scores(scores, dataset="d", metric="accuracy").frame()
    assert (frame[(frame["panel"] == "gain") & (frame["arm"] == "ensemble")]["value"] > 0).all()


def test_what_is_expected_of_training_sizes_is_told_both_ways():
    scores = made.sizes()
    assert held(DatasetSize.from_scores(scores, dataset="d")) == [True, True, None, True]
    far = scores.assign(value=scores["value"] - 0.1 * (scores["arm"] == "dropout") * (scores["train_size"] == 1000))
    assert held(DatasetSize.from_scores(far, dataset="d")) == [False, True, True, True]
    assert held(DatasetSize.from_scores(scores[scores["repetition"] < 2], dataset="d")) == [None] * 4
    turned = scores.assign(value=1 - scores["value"])
    assert not DatasetSize.from_scores(turned, dataset="d").facts[0].held
    best = scores.assign(value=scores["value"] - 0.02 * (scores["arm"] == "dropout") * (scores["train_size"] == 100))
    assert held(DatasetSize.from_scores(best, dataset="d"))[1:3] == [False, False]
    worse = scores.assign(value=scores["value"] + 0.1 * (scores["arm"] == "ensemble"))
    assert not DatasetSize.from_scores(worse, dataset="d").facts[-1].held


# Architectures


def test_architectures_draw_the_mean_over_networks():
    histories = made.histories()
    display = Architectures.from_histories(histories, dataset="d")
    frame, (above, below) = display.frame(), axes_of(display)
    third = histories[(histories["epoch"] == 3) & (histories["architecture"] == "3 x 256")]
    plain = third[third["recipe"] == "plain"]
    rows = frame[(frame["architecture"] == "3 x 256") & (frame["recipe"] == "plain")].set_index(["panel", "epoch"])
    assert rows.loc[("unseen", 3), "value"] == pytest.approx(plain["val_error"].mean())
    assert rows.loc[("gap", 3), "value"] == pytest.approx((plain["val_loss"] - plain["train_loss"]).mean())
    assert rows.loc[("gap", 3), "high"] - rows.loc[("gap", 3), "value"] == pytest.approx(
        (plain["val_loss"] - plain["train_loss"]).std()
    )
    line = next(line for line in above.lines if line.get_linestyle() == ":" and line.get_color() == "#6E6E6E")
    np.testing.assert_allclose(line.get_ydata(), rows.loc["unseen", "value"] * 100)
    line = next(line for line in below.lines if line.get_linestyle() == ":" and line.get_color() == "#6E6E6E")
    np.testing.assert_allclose(line.get_ydata(), rows.loc["gap", "value"])
    assert rows.loc["unseen"].index.max() == 28  # two of three reached it, one alone the last two


def test_architectures_fall_back_on_the_loss_and_say_so():
    display = Architectures.from_histories(made.histories(errors=False).drop(columns="train_loss"), dataset="d")
    assert set(display.frame()["series"]) == {"val_loss", "val_loss - loss"}
    assert "with dropout on" in display.caption
    assert axes_of(display)[0].get_ylabel() == "validation loss"


def test_what_is_expected_of_architectures_is_told_both_ways():
    histories = made.histories(errors=False)
    display = Architectures.from_histories(histories, dataset="d")
    assert held(display) == [True] * 4
    swapped = histories.assign(recipe=histories["recipe"].map({"plain": "dropout", "dropout": "plain"}))
    swapped["val_loss"] -= 0.02 * swapped["epoch"] * (swapped["recipe"] == "plain")
    assert held(Architectures.from_histories(swapped, dataset="d")) == [False] * 4
    assert Architectures.from_histories(histories[histories["recipe"] == "plain"], dataset="d").facts == ()


def test_histories_without_unseen_examples_or_with_too_many_architectures_are_refused():
    with pytest.raises(InputError, match="test_loss or val_loss"):
        Architectures.from_histories(made.histories().drop(columns="val_loss"), dataset="d")
    with pytest.raises(InputError, match=r"at most 24 architectures.*got 25"):
        Architectures.from_histories(made.histories(names=range(25), networks=1, epochs=1), dataset="d")


# Shifts


def test_shifts_draw_their_frame_from_the_clean_test_part_on():
    scores = made.shifts()
    units = {"rotation": "rotation (degrees)"}
    display = ShiftRobustness.from_scores(scores, dataset="d", metrics=["error", "nll"], units=units)
    frame, axes = display.frame(), axes_of(display)
    panels = [(condition, metric) for condition in ("rotation", "gaussian_noise") for metric in ("error", "nll")]
    for ax, (condition, metric) in zip(axes, panels, strict=True):
        rows = frame[(frame["condition"] == condition) & (frame["metric"] == metric) & (frame["arm"] == "ensemble")]
        line = drawn(ax, "ensemble, mean (5)")
        np.testing.assert_array_equal(line.get_xdata(), rows["severity"])
        np.testing.assert_allclose(line.get_ydata(), rows["value"] * (100 if metric == "error" else 1))
        clean = scores[(scores["condition"] == "clean") & (scores["metric"] == metric) & (scores["arm"] == "ensemble")]
        assert rows["value"].iloc[0] == pytest.approx(clean["value"].mean())
    xlabels = [ax.get_xlabel().replace("\n", " ") for ax in axes[::2]]
    assert xlabels == ["rotation (degrees)", "gaussian noise (amount or severity)"]


@pytest.mark.slow
def test_amounts_that_look_like_severities_are_not_called_such():
    scores = made.shifts(1, ("rotation",), ("error",))
    scores = scores[scores["severity"].isin([0, 15, 45, 75])].assign(severity=lambda table: table["severity"] // 15)
    (ax,) = axes_of(ShiftRobustness.from_scores(scores, dataset="d", metrics=["error"]))
    assert ax.get_xlabel().replace("\n", " ") == "rotation (amount or severity)"


def test_severity_0_must_be_the_clean_test_part():
    scores = made.shifts()
    start = scores[scores["condition"] == "clean"].assign(condition="rotation")
    same = ShiftRobustness.from_scores(pd.concat([scores, start]), dataset="d")
    pd.testing.assert_frame_equal(same.frame(), ShiftRobustness.from_scores(scores, dataset="d").frame())
    with pytest.raises(InputError, match="at severity 0 of a shift, those of the clean test part"):
        ShiftRobustness.from_scores(pd.concat([scores, start.assign(value=start["value"] + 0.001)]), dataset="d")


def test_what_is_expected_of_shifts_is_told_both_ways():
    scores = made.shifts()
    assert held(ShiftRobustness.from_scores(scores, dataset="d")) == [True, True]
    clean = scores["condition"] == "clean"
    easier = scores.assign(value=np.where(clean, 0.99, scores["value"]))
    assert not ShiftRobustness.from_scores(easier, dataset="d").facts[0].held
    alike = scores.assign(value=np.where(scores["metric"] == "brier", 0.3, scores["value"]))
    assert not ShiftRobustness.from_scores(alike, dataset="d").facts[1].held


def test_shifts_need_clean_rows_and_a_shift():
    scores = made.shifts()
    for wrong in (scores[scores["condition"] == "clean"], scores[scores["condition"] != "clean"]):
        with pytest.raises(InputError, match="the condition 'clean' and at least one shift"):
            ShiftRobustness.from_scores(wrong, dataset="d")
    with pytest.raises(InputError, match="metrics must be a list"):
        ShiftRobustness.from_scores(scores, dataset="d", metrics="error")


# Improvement against disagreement


def test_improvement_and_disagreement_are_those_of_a_slow_count():
    run, labels = made.pool(0.8, members=4, examples=40, classes=3)
    frame = EIRVersusDER.from_predictions([("c", "ensemble", run)], labels, dataset="d").frame()
    said = run.probs.argmax(axis=2)
    wrong = np.mean(said != labels)
    vote = 0.0
    for example, label in enumerate(labels):
        counts = [list(said[:, example]).count(k) for k in range(3)]
        winners = [k for k in range(3) if counts[k] == max(counts)]
        vote += (1 - (label in winners) / len(winners)) / len(labels)
    pairs = np.mean([np.mean(said[a] != said[b]) for a in range(4) for b in range(4)])
    point = frame[frame["panel"] == "rates"].iloc[0]
    np.testing.assert_allclose([point["x"], point["value"]], [pairs / wrong, (wrong - vote) / wrong])
    shares = np.mean(said != labels, axis=0)
    for row in frame[frame["panel"] == "competence"].itertuples():
        right = np.mean((shares >= row.x - 1e-9) & (shares < 0.5))
        assert row.value == pytest.approx(right - np.mean((shares > 0.5) & (shares <= 1 - row.x + 1e-9)))


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_the_bounds_are_lines_through_known_points(classes):
    pools = [(str(seed), "ensemble", made.pool(0.7, classes=classes, seed=seed)[0]) for seed in range(3)]
    frame = EIRVersusDER.from_predictions(pools, made.pool(0.7, classes=classes)[1], dataset="d").frame()
    for bound, slope, offset in (
        ("upper", 1, 0),
        ("lower", 2 * (classes - 1) / classes, (3 * classes - 4) / classes),
    ):
        rows = frame[frame["panel"] == bound]
        np.testing.assert_allclose(rows["value"], slope * rows["x"] - offset)


def test_the_scatter_draws_its_frame_and_marks_competent_pools():
    display = EIRVersusDER.from_predictions(made.pools(), made.pool(0.9)[1], dataset="d")
    frame, (scatter, margins) = display.frame(), axes_of(display)
    points = frame[frame["panel"] == "rates"]
    dots = [line for line in scatter.lines if line.get_linestyle() == "None"]
    found = np.concatenate([np.column_stack(line.get_data()) for line in dots])
    expected = points[["x", "value"]].to_numpy()
    np.testing.assert_allclose(found[np.lexsort(found.T)], expected[np.lexsort(expected.T)])
    filled = sum(len(line.get_xdata()) for line in dots if line.get_markerfacecolor() != "none")
    assert filled == points["competent"].sum() > 0
    assert len(margins.lines) == len(points) + 1
    curve = frame[(frame["panel"] == "competence") & (frame["configuration"] == points["configuration"].iloc[0])]
    np.testing.assert_allclose(margins.lines[0].get_ydata(), curve["value"])


def test_the_correlation_of_the_rates_is_told():
    display = EIRVersusDER.from_predictions(made.pools(), made.pool(0.9)[1], dataset="d")
    points = display.frame().query("panel == 'rates'")
    assert held(display) == [True]
    assert display.facts[0].numbers.startswith(f"r = {points['x'].corr(points['value']):.2f} (")
    assert display.facts[0].numbers.endswith(" over 16 pools of 16 configurations")
    few = EIRVersusDER.from_predictions(made.pools()[:2], made.pool(0.9)[1], dataset="d")
    assert few.facts == ()


def test_pools_that_do_not_fit_are_refused_and_repetitions_are_points():
    run, labels = made.pool(0.8)
    repeated = {("c", "ensemble"): [run, made.pool(0.8, seed=1)[0]]}
    frame = EIRVersusDER.from_predictions(repeated, labels, dataset="d").frame()
    assert frame.query("panel == 'rates'")["repetition"].tolist() == [0, 1]
    perfect = Predictions(np.eye(10)[labels][None])
    some = EIRVersusDER.from_predictions([("c", "a", run), ("p", "b", perfect)], labels, dataset="d")
    assert "Left out: 1 pools whose members never err" in some.caption
    for pools, told in (
        ([], "at least one pool"),
        ([run], "at least one pool"),
        ([("p", "b", perfect)], "a member that errs"),
        ([("c", "a", Predictions(run.probs[:, :5]))], "must predict the 300 labelled examples"),
        ([("c", "a", run), ("k", "a", Predictions(np.pad(run.probs, ((0, 0), (0, 0), (0, 1)))))], "the same classes"),
    ):
        with pytest.raises(InputError, match=told):
            EIRVersusDER.from_predictions(pools, labels, dataset="d")


# Bias, variance and diversity


def test_bias_variance_and_diversity_of_the_brier_score_are_those_of_a_slow_count():
    trials, labels = made.trials(count=3, members=4, examples=30)
    frame = BiasVarianceDiversity.from_predictions(trials, labels, dataset="d", sizes=[1, 3]).frame()
    probs, truth = np.stack([trial.probs for trial in trials]), np.eye(4)[labels]
    windows = [(0, 1, 2), (1, 2, 3), (2, 3, 0), (3, 0, 1)]
    risk, diversity = [], []
    for trial in probs:
        for window in windows:
            mean = sum(trial[member] for member in window) / 3
            risk.append(((mean - truth) ** 2).sum(axis=1).mean())
            diversity.append(np.mean([((trial[member] - mean) ** 2).sum(axis=1).mean() for member in window]))
    centres = probs.mean(axis=0)
    bias = np.mean([((centre - truth) ** 2).sum(axis=1).mean() for centre in centres])
    rows = frame[(frame["loss"] == "brier") & (frame["members"] == 3)].set_index("part")["value"]
    assert rows["expected_loss"] == pytest.approx(np.mean(risk))
    assert rows["diversity"] == pytest.approx(np.mean(diversity))
    assert rows["average_bias"] == pytest.approx(bias)


def test_the_closed_form_is_the_mean_over_all_subsets():
    trials, labels = made.trials(count=2, members=4, examples=30)
    frame = BiasVarianceDiversity.from_predictions(trials, labels, dataset="d").frame()
    closed = frame[frame["part"] == "closed_form"].set_index("members")["value"]
    for size in (2, 3, 4):
        spread = [
            trial.probs[list(subset)].var(axis=0).sum(axis=1).mean()
            for trial in trials
            for subset in combinations(range(4), size)
        ]
        assert closed[size] == pytest.approx(np.mean(spread))


def test_bias_variance_diversity_draws_its_frame():
    trials, labels = made.trials()
    display = BiasVarianceDiversity.from_predictions(trials, labels, dataset="d")
    frame, axes = display.frame(), axes_of(display)
    for row, (loss, scale) in enumerate((("nll", 1), ("brier", 1), ("error", 100))):
        values = frame[(frame["loss"] == loss) & (frame["panel"] != "gain")].groupby("part")["value"].apply(list)
        np.testing.assert_allclose(axes[2 * row].lines[0].get_ydata(), np.array(values["expected_loss"]) * scale)
        for line, part in zip(axes[2 * row + 1].lines, ("average_bias", "average_variance", "diversity"), strict=False):
            np.testing.assert_allclose(line.get_ydata(), np.array(values[part]) * scale)
    for ax, loss in zip(axes[6:], ("nll", "brier"), strict=True):
        points = frame[(frame["panel"] == "gain") & (frame["loss"] == loss)]
        np.testing.assert_allclose(ax.lines[0].get_data(), [points["x"], points["value"] * 100])


def test_odd_trials_are_drawn_or_refused():
    (one, *others), labels = made.trials(count=2, members=3)
    alone = BiasVarianceDiversity.from_predictions(Predictions(one.probs[:1]), labels, dataset="d")
    assert alone.interval == "band: none, of one trial"
    axes_of(alone)
    certain = [Predictions(np.eye(4)[run.probs.argmax(axis=2)]) for run in (one, *others)]
    display = BiasVarianceDiversity.from_predictions(certain, labels, dataset="d")
    assert "Not drawn, for infinite" in display.caption
    assert [text.get_text() for text in axes_of(display)[0].texts] == ["infinite or undefined"]
    with pytest.raises(InputError, match="at most the 3 members of a trial, got 4"):
        BiasVarianceDiversity.from_predictions(one, labels, dataset="d", sizes=[4])
    with pytest.raises(InputError, match="same members in each repetition"):
        BiasVarianceDiversity.from_predictions([one, Predictions(one.probs[:2])], labels, dataset="d")


# Cost


def test_costs_draw_their_frame():
    scores, table = made.costs()
    display = CostFrontier.from_tables(scores, table, dataset="d")
    frame, axes = display.frame(), axes_of(display)
    for ax, cost in zip(axes, ("parameters", "multiply_adds", "trained_multiply_adds"), strict=True):
        for arm, label in (("mc_dropout", "MC dropout, mean (100)"), ("single", "single network")):
            rows = frame[(frame["panel"] == cost) & (frame["arm"] == arm)].sort_values("x")
            np.testing.assert_allclose(drawn(ax, label).get_data(), [rows["x"], rows["value"] * 100])
            np.testing.assert_array_equal(rows["x"], np.sort(table.loc[table["arm"] == arm, cost]))
            values = scores[(scores["arm"] == arm)].groupby("width")["value"].mean()
            np.testing.assert_allclose(rows.sort_values("width")["value"], values)
        assert ax.get_xscale() == "log"


def test_costs_that_were_not_counted_have_no_panel():
    scores, table = made.costs()
    display = CostFrontier.from_tables(
        scores, table.assign(multiply_adds=np.nan, trained_multiply_adds=np.nan, trained=1.0), dataset="d"
    )
    assert list(display.frame()["panel"].unique()) == ["parameters", "trained"]


@pytest.mark.parametrize("arm", ["ensemble", "dropout_ensemble", "mc_dropout", "dropout"])
def test_parameters_that_contradict_the_networks_are_refused(arm):
    scores, table = made.costs()
    table.loc[(table["arm"] == arm) & (table["width"] == 1), "parameters"] *= 1.01
    with pytest.raises(InputError, match=rf"costs must give .*'{arm}' .*as parameters"):
        CostFrontier.from_tables(scores, table, dataset="d")


def test_a_memory_budget_is_split_where_parameters_add_up_to_the_same():
    display = CostFrontier.from_tables(*made.costs(split=True), dataset="d")
    split = display.frame().query("panel == 'split'").groupby("budget")["members"].apply(sorted).to_dict()
    assert split == {270_000: [1, 2, 4], 540_000: [1, 2, 4, 8]}
    ax = axes_of(display)[3]
    rows = display.frame().query("panel == 'split' and budget == 540_000").sort_values("x")
    np.testing.assert_allclose(drawn(ax, "540,000 parameters").get_data(), [rows["x"], rows["value"] * 100])
    assert held(display) == [None, None]  # two networks do about as well as one
    scores, table = made.costs(split=True)
    scores["value"] += 0.05 * (scores["members"] > 1)
    assert held(CostFrontier.from_tables(scores, table, dataset="d")) == [False, True]
    few = scores[scores["repetition"] < 2]
    assert held(CostFrontier.from_tables(few, table, dataset="d")) == [None, None]
    scores["value"] = 0.5 / scores["members"]
    assert held(CostFrontier.from_tables(scores, table, dataset="d")) == [True, False]


@pytest.mark.parametrize(("times", "same"), [(1.19, True), (1.21, False)])
def test_budgets_within_20_percent_are_the_same(times, same):
    scores, table = made.costs(widths=(0.25, 0.5), members=(5,))
    scores, table = (each[each["arm"].isin(["single", "ensemble"])] for each in (scores, table))
    one, many = (table["width"] == 0.5) & (table["arm"] == "single"), table["arm"] == "ensemble"
    table.loc[one, "parameters"] = table.loc[many & (table["width"] == 0.25), "parameters"].item() * times
    table = table[one | (many & (table["width"] == 0.25))]
    scores = scores.merge(table[["width", "arm"]])
    display = CostFrontier.from_tables(scores, table, dataset="d")
    assert (display.frame()["panel"] == "split").any() == same
    assert ("within 20 %" in display.caption) == same


def test_costs_must_know_every_arm_once():
    scores, table = made.costs()
    with pytest.raises(InputError, match="got none for ensemble"):
        CostFrontier.from_tables(scores, table[table["arm"] != "ensemble"], dataset="d")
    with pytest.raises(InputError, match="costs must have one row for each width, arm"):
        CostFrontier.from_tables(scores, pd.concat([table, table]), dataset="d")
    with pytest.raises(InputError, match="costs must be a DataFrame"):
        CostFrontier.from_tables(scores, [1], dataset="d")


# Data sets


def test_paired_differences_have_the_corrected_interval_and_test():
    scores = made.several()
    display = PairedDifferences.from_scores(scores, dataset="d", test_share=1 / 9)
    frame, (ax,) = display.frame(), axes_of(display)
    wide = scores[scores["dataset"] == "wine"].pivot(index="repetition", columns="arm", values="value")
    d = wide["ensemble"] - wide["single"]
    row = frame[(frame["dataset"] == "wine") & (frame["arm"] == "ensemble")].iloc[0]
    reach = stats.t.ppf(0.975, 4) * np.sqrt((1 / 5 + 1 / 9) * d.var())
    np.testing.assert_allclose(
        row[["value", "low", "high"]].astype(float), [d.mean(), d.mean() - reach, d.mean() + reach]
    )
    assert row["p_value"] == significance.corrected_t_test(d, 1 / 9)[1]
    np.testing.assert_allclose(frame["p_adjusted"], significance.holm(frame["p_value"]))
    dots = np.concatenate([np.column_stack(line.get_data()) for line in ax.lines if line.get_linestyle() == "None"])
    expected = np.column_stack([frame["value"] * 100, frame["row"]])
    np.testing.assert_allclose(dots[np.lexsort(dots.T)], expected[np.lexsort(expected.T)])
    bars = np.concatenate([bars.get_segments() for bars in ax.collections])[:, :, 0]
    np.testing.assert_allclose(np.sort(bars, axis=0), np.sort(frame[["low", "high"]] * 100, axis=0))
    filled = sum(len(dot.get_xdata()) for dot in ax.lines[1:] if dot.get_markerfacecolor() not in ("white",))
    assert 0 < filled == frame["shown"].sum() < len(frame)


def test_the_correction_widens_and_takes_a_share_for_each_data_set():
    scores = made.several(names=("a", "b"))
    plain, of_a = (
        PairedDifferences.from_scores(scores, dataset="d", test_share=share).frame()
        for share in (0.0, {"a": 0.5, "b": 0})
    )
    wider = (of_a["high"] - of_a["low"]) / (plain["high"] - plain["low"])
    np.testing.assert_allclose(wider, np.where(of_a["dataset"] == "a", np.sqrt((0.2 + 0.5) / 0.2), 1))
    for wrong in (-0.1, {"a": 0.5}):
        with pytest.raises(InputError, match="test_share must be n_test / n_train >= 0"):
            PairedDifferences.from_scores(scores, dataset="d", test_share=wrong)


def test_one_repetition_is_drawn_without_interval_and_test():
    display = PairedDifferences.from_scores(made.several(repetitions=1), dataset="d")
    assert display.interval == "no interval: one repetition"
    assert display.frame()[["low", "p_value"]].isna().all(axis=None)
    display.plot()


def test_the_critical_difference_is_demsars_and_arms_stand_at_their_mean_rank():
    scores = made.several()
    display = CriticalDifference.from_scores(scores, dataset="d")
    frame, (ax,) = display.frame(), axes_of(display)
    parts = {part: rows for part, rows in frame.groupby("part")}
    assert parts["critical_difference"]["value"].item() == pytest.approx(2.728 * np.sqrt(5 * 6 / (6 * 6)), rel=1e-3)
    means = scores.groupby(["dataset", "arm"])["value"].mean().unstack()
    ranks = means.rank(axis=1).mean()
    np.testing.assert_allclose(parts["arm"].set_index("arm")["value"], ranks[parts["arm"]["arm"]])
    assert parts["arm"]["value"].sum() == pytest.approx(15)
    marked = [line.get_xdata()[0] for line in ax.lines if line.get_marker() not in ("None", "|")]
    np.testing.assert_allclose(marked, parts["arm"]["value"])
    thick = [line.get_xdata() for line in ax.lines if line.get_linewidth() == 3]
    np.testing.assert_allclose(thick, parts["group"][["low", "high"]])
    apart = (parts["group"]["high"] - parts["group"]["low"]).max()
    assert apart <= parts["critical_difference"]["value"].item()


def test_two_arms_that_do_not_differ_are_joined_and_an_arm_alone_is_not():
    two = made.several(names=("a", "b")).query("arm in ('single', 'ensemble')")
    frame = CriticalDifference.from_scores(two, dataset="d").frame()
    assert frame.query("part == 'group'")[["low", "high"]].to_numpy().tolist() == [[1, 2]]
    many = made.several(names=[f"set {place}" for place in range(20)]).query("arm in ('single', 'ensemble')")
    frame = CriticalDifference.from_scores(many, dataset="d").frame()
    assert "group" not in set(frame["part"])


def test_a_higher_accuracy_ranks_first():
    scores = made.several()
    errors = CriticalDifference.from_scores(scores, dataset="d").frame()
    turned = scores.assign(metric="accuracy", value=1 - scores["value"])
    accuracies = CriticalDifference.from_scores(turned, dataset="d", metric="accuracy").frame()
    pd.testing.assert_frame_equal(errors, accuracies)


def test_an_arm_that_lacks_a_data_set_is_refused():
    scores = made.several()
    less = scores[~((scores["arm"] == "ensemble") & (scores["dataset"] == "wine"))]
    with pytest.raises(InputError, match="got none of 'ensemble' on 'wine'"):
        CriticalDifference.from_scores(less, dataset="d")
    with pytest.raises(InputError, match="at least two"):
        CriticalDifference.from_scores(scores[scores["dataset"] == "wine"], dataset="d")


# Further settings


def test_facets_draw_the_rows_of_each_value_in_panels_of_its_own_on_the_same_axes():
    display = made.facets(values=(0.2, 0.5))
    frame, axes = display.frame(), display.plot()
    assert [ax.get_title() for ax in axes] == ["rate\u00a0=\u00a00.2", "", "rate\u00a0=\u00a00.5", ""]
    for place, rate in enumerate((0.2, 0.5)):
        for ax, panel in zip(axes[2 * place : 2 * place + 2], ("metric", "gain"), strict=True):
            rows = frame[(frame["rate"] == rate) & (frame["panel"] == panel) & (frame["arm"] == "ensemble")]
            np.testing.assert_allclose(drawn(ax, "ensemble, mean (5)").get_ydata(), rows["value"] * 100)
    assert axes[0].get_ylim() == axes[2].get_ylim()
    assert axes[1].get_ylim() == axes[3].get_ylim() != axes[0].get_ylim()
    assert {fact.statement.partition(": ")[0] for fact in display.facts} == {"rate = 0.2", "rate = 0.5"}
    assert "One group of panels for each rate" in display.caption


SCALED = made.sweep(scaled=True, rates=(0.0, 0.2, 0.5))


def test_panels_stand_where_their_figure_has_them_also_where_one_has_more():
    few, more = (RetentionSweep.from_scores(made.sweep(), dataset="d", **given) for given in ({}, {"scaled": SCALED}))
    assert Facets.from_displays([({"k": 1}, few), ({"k": 2}, more)])._mosaic() == [[0, Display.EMPTY], [1, 2]]


def test_a_setting_that_the_table_has_as_well_is_of_the_study():
    display = made.facets(values=(1, 2), key="members")
    assert display.frame().groupby("study_members").size().to_dict() == {1: 27, 2: 27}


def test_facets_of_several_kinds_or_of_more_panels_than_can_be_read_are_refused():
    one = DatasetSize.from_scores(made.sizes(), dataset="d")
    with pytest.raises(InputError, match="figures of one kind, at least one, got none"):
        Facets.from_displays([])
    with pytest.raises(InputError, match="one kind, at least one, got CostFrontier, DatasetSize"):
        Facets.from_displays([({"rate": 1}, one), ({"rate": 2}, CostFrontier.from_tables(*made.costs(), dataset="d"))])
    with pytest.raises(InputError, match="at most 24 panels together, got 26 in 13 figures, one for each rate; give f"):
        Facets.from_displays([({"rate": rate}, one) for rate in range(13)])


def test_rows_of_several_further_settings_are_refused_by_their_names():
    scores = pd.concat([made.sizes().assign(rate=rate, units=units) for rate in (0.2, 0.5) for units in ("[8]", "[9]")])
    with pytest.raises(
        InputError, match=r"of one value of each setting that the figure does not show, got .* rate, un"
    ):
        DatasetSize.from_scores(scores, dataset="d")
    scores, costs = (
        pd.concat([table.assign(rate=rate) for rate in (0.2, 0.5)]) for table in made.costs(widths=(0.5, 1.0))
    )
    with pytest.raises(InputError, match="one value of all settings but width, got several of rate; make a figure of"):
        CostFrontier.from_tables(scores, costs, dataset="d")


def test_each_number_of_members_has_a_line_of_its_own_and_is_in_the_legend():
    ax = axes_of(CostFrontier.from_tables(*made.costs(split=True), dataset="d"))[0]
    looks = {line.get_label(): line.get_linestyle() for line in ax.lines if "ensemble, mean (" in line.get_label()}
    assert looks["ensemble, mean (2)"] != looks["ensemble, mean (4)"] != looks["ensemble, mean (5)"]


# What is odd


@pytest.mark.slow
@pytest.mark.parametrize(
    "display",
    [
        lambda: RetentionSweep.from_scores(made.sweep(repetitions=1, rates=(0.5,)), dataset="$d"),
        lambda: DatasetSize.from_scores(made.sizes(repetitions=1, values=(500,)), dataset="$d"),
        lambda: DatasetSize.from_scores(
            with_arms(made.sizes(2, values=range(100, 1100, 100)), LONG[:12]), dataset="$d"
        ),
        lambda: Architectures.from_histories(made.histories(names=LONG[:3], networks=1, epochs=1), dataset="$d"),
        lambda: ShiftRobustness.from_scores(
            with_arms(made.shifts(1, ("$noise " * 9,), ("error",)), LONG[:12]), dataset="$d", metrics=["error"]
        ),
        lambda: EIRVersusDER.from_predictions([("$c", "$a", made.pool(0.9, 1)[0])], made.pool(0.9)[1], dataset="$d"),
        lambda: CostFrontier.from_tables(*(t.drop(columns="width") for t in made.costs((1.0,))), dataset="$d"),
        lambda: PairedDifferences.from_scores(with_arms(made.several(LONG[:2], 2), LONG[:20]), dataset="$d"),
        lambda: CriticalDifference.from_scores(with_arms(made.several(repetitions=1), LONG), dataset="$d"),
    ],
    ids=[
        "one rate",
        "one size",
        "many arms",
        "one epoch",
        "a long shift",
        "one member",
        "one width",
        "20 arms",
        "50 ranks",
    ],
)
def test_odd_tables_are_drawn(display):
    display().plot()


def test_infinite_scores_are_left_out_and_said():
    scores = made.sizes(metric="nll")
    scores.loc[scores["arm"] == "ensemble", ["value", "high"]] = np.inf
    display = DatasetSize.from_scores(scores, dataset="d", metric="nll")
    assert "Not drawn, for infinite or undefined: 12 of 54 points" in display.caption
    display.plot()
