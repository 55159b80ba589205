"""The artists hold the numbers of the frame, and odd tables are drawn or refused with a sentence."""

import re
from functools import partial

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation.findings.confusions import confusions
from ensemble_vs_dropout.plots import ArmIntervals, ClassErrors, ConfusionMatrix, EnsembleSize, LearningCurves, style
from ensemble_vs_dropout.report.words import spread_in_words
from ensemble_vs_dropout.types import Predictions

LONG = [f"a very long name of an arm that never ends, number {place}, for $5 or $6" for place in range(12)]


def drawn(ax, label):
    (line,) = [line for line in ax.lines if line.get_label() == label]
    return line


def test_ensemble_size_draws_its_frame(tables):
    display = EnsembleSize.from_curves(tables.curves(), dataset="d", references=tables.references())
    frame, axes = display.frame(), display.plot()
    for ax, metric, scale in zip(axes, ("error", "nll", "brier"), (100, 1, 1), strict=True):
        rows = frame[(frame["arm"] == "mc_dropout") & (frame["metric"] == metric)]
        line = drawn(ax, "MC dropout, mean")
        np.testing.assert_array_equal(line.get_xdata(), rows["members"])
        np.testing.assert_allclose(line.get_ydata(), rows["value"] * scale)
        vertices = ax.collections[1].get_paths()[0].vertices[:, 1]
        np.testing.assert_allclose(
            [vertices.min(), vertices.max()], [rows["low"].min() * scale, rows["high"].max() * scale]
        )
        reference = frame[(frame["role"] == "reference") & (frame["metric"] == metric)]["value"].iloc[0]
        assert drawn(ax, "dropout (weight scaling)").get_ydata()[0] == pytest.approx(reference * scale)
        assert [tick.get_text() for tick in ax.get_xticklabels()] == ["1", "2", "5", "10", "20", "50", "100"]
    assert [ax.get_ylabel() for ax in axes] == [style.metric_label(name) for name in ("error", "nll", "brier")]


def test_learning_curves_average_who_still_trains_until_half_have_stopped(tables):
    histories = tables.histories(networks=4, epochs=10)  # they stop after 10, 7, 4 and 1 epochs
    display = LearningCurves.from_histories(histories, dataset="d")
    frame, axes = display.frame(), display.plot()
    rows = frame[(frame["recipe"] == "dropout") & (frame["series"] == "test")]
    assert rows["epoch"].tolist() == list(range(1, 8))
    assert rows["networks"].tolist() == [4, 3, 3, 3, 2, 2, 2]
    third = histories[(histories["recipe"] == "dropout") & (histories["epoch"] == 3)]
    assert rows["value"].iloc[2] == pytest.approx(third["test_loss"].mean())
    assert rows["high"].iloc[2] - rows["value"].iloc[2] == pytest.approx(third["test_loss"].std())
    np.testing.assert_array_equal(drawn(axes[1], "test").get_ydata(), rows["value"])
    gap = (third["test_loss"] - third["train_loss"]).mean()
    assert drawn(axes[4], "gap: test minus train").get_ydata()[2] == pytest.approx(gap)
    assert axes[0].get_ylim() == axes[1].get_ylim()
    titles = [ax.get_title().replace("\n", " ") for ax in axes[:2]]
    assert titles == ["networks without dropout (4)", "dropout networks (4)"]


def test_learning_curves_fall_back_on_what_there_is(tables):
    display = LearningCurves.from_histories(tables.histories(measured=False), dataset="d")
    assert set(display.frame()["series"]) == {"train", "validation", "gap: validation minus train"}
    assert "with dropout on" in display.caption
    assert "no generalization gap" in display.caption
    assert display.title == "Learning curves: d"
    assert LearningCurves.from_histories(tables.histories(), dataset="d").title.startswith(
        "Learning curves and generalization gap"
    )


def test_learning_curves_need_unseen_examples(tables):
    with pytest.raises(InputError, match="test_loss or val_loss"):
        LearningCurves.from_histories(tables.histories(measured=False).drop(columns="val_loss"), dataset="d")


def test_a_diverged_network_is_left_out_and_said(tables):
    histories = tables.histories()
    histories.loc[3, "test_loss"] = np.inf
    display = LearningCurves.from_histories(histories, dataset="d")
    assert "2 values that are infinite" in display.caption  # the loss and its gap
    assert np.isfinite(display.frame()["value"]).all()
    display.plot()


def test_arm_intervals_draw_their_frame(tables):
    display = ArmIntervals.from_scores(tables.scores(), dataset="d", interval="95 %")
    frame, axes = display.frame(), display.plot()
    rows = frame[(frame["arm"] == "ensemble") & (frame["metric"] == "error")]
    line = drawn(axes[0], "ensemble")
    np.testing.assert_allclose(line.get_xdata(), rows["value"] * 100)
    np.testing.assert_array_equal(line.get_ydata(), rows["row"])
    bars = np.concatenate([bars.get_segments() for bars in axes[0].collections])
    errors = frame[frame["metric"] == "error"].sort_values("arm", key=lambda arms: pd.factorize(arms)[0], kind="stable")
    np.testing.assert_allclose(bars[:, :, 0], errors[["low", "high"]] * 100)
    labels = [label.get_text().replace("\n", " ") for label in axes[0].get_yticklabels()]
    assert labels[:2] == ["single network", "ensemble, mean (5)"]
    assert labels[6] == "MC dropout, majority vote (100)"
    assert [text.get_text() for text in axes[1].texts] == ["infinite", "infinite"]
    assert axes[1].get_xlim()[1] < 1


def test_values_without_a_place_are_said(tables):
    scores = tables.scores(metrics=["nll"])
    scores["value"] = scores["low"] = scores["high"] = np.inf
    scores.loc[0, "value"] = np.nan
    ax = ArmIntervals.from_scores(scores, dataset="d", interval="95 %").plot()[0]
    assert [text.get_text() for text in ax.texts] == ["undefined"] + ["infinite"] * 8
    scores = tables.scores(metrics=["error"])
    scores.loc[0, "high"] = np.inf
    ax = ArmIntervals.from_scores(scores, dataset="d", interval="95 %").plot()[0]
    assert [line.get_marker() for line in ax.lines].count(">") == 1


def test_repetitions_lie_side_by_side(tables):
    frame = ArmIntervals.from_scores(tables.scores(repetitions=3), dataset="d", interval="95 %").frame()
    first = frame[(frame["metric"] == "error") & (frame["arm"] == "single")]["row"]
    assert len(set(first)) == 3
    assert first.between(-0.5, 0.5).all()


def test_infinite_points_of_a_curve_are_named_in_the_caption(tables):
    curves = tables.curves()
    curves.loc[curves["metric"].eq("nll") & curves["arm"].eq("ensemble"), ["value", "high"]] = np.inf
    display = EnsembleSize.from_curves(curves, dataset="d")
    display.plot()
    assert "NLL (nats) of ensemble, mean" in display.caption


@pytest.mark.slow
@pytest.mark.parametrize("arms", [["ensemble"], LONG])
@pytest.mark.parametrize("members", [(1,), (3, 4), (1, 10, 5000)])
def test_odd_curves_are_drawn(tables, tmp_path, arms, members):
    curves = tables.curves(arms=arms, members=members, metrics=["error"])
    EnsembleSize.from_curves(curves, dataset="$d" * 60).save(tmp_path / "figure")


@pytest.mark.slow
@pytest.mark.parametrize("arms", [["plain"], LONG])
def test_odd_histories_are_drawn(tables, tmp_path, arms):
    histories = tables.histories(arms=arms, networks=1, epochs=1)
    LearningCurves.from_histories(histories, dataset="$d" * 60).save(tmp_path / "figure")


@pytest.mark.slow
def test_odd_scores_are_drawn(tables, tmp_path):
    arms = [(arm, "mean", place) for place, arm in enumerate(LONG, start=1)]
    ArmIntervals.from_scores(tables.scores(arms=arms), dataset="d", interval="95 %").save(tmp_path / "many")
    one = tables.scores(arms=arms[:1], metrics=["error"]).drop(columns=["split", "repetition"])
    ArmIntervals.from_scores(one, dataset="d", interval="95 %").save(tmp_path / "one")


def test_tables_that_do_not_fit_are_refused(tables):
    curves = tables.curves()
    with pytest.raises(InputError, match="missing: low"):
        EnsembleSize.from_curves(curves.drop(columns="low"), dataset="d")
    with pytest.raises(InputError, match="at least one row"):
        EnsembleSize.from_curves(curves[:0], dataset="d")
    with pytest.raises(InputError, match="must be a DataFrame, got list"):
        ArmIntervals.from_scores([1], dataset="d", interval="95 %")
    with pytest.raises(InputError, match="has several for"):
        EnsembleSize.from_curves(pd.concat([curves, curves]), dataset="d")
    with pytest.raises(InputError, match="must hold numbers"):
        EnsembleSize.from_curves(curves.astype({"value": str}), dataset="d")
    scores = tables.scores()
    with pytest.raises(InputError, match="one split"):
        ArmIntervals.from_scores(pd.concat([scores, scores.assign(split="val")]), dataset="d", interval="95 %")


def test_every_arm_keeps_its_style_and_no_two_share_one():
    styles = style.arm_styles(["ensemble", *LONG])
    assert len(set(styles.values())) == 13
    assert style.arm_styles([*reversed(LONG), "ensemble"]) == styles


def test_dollar_signs_in_names_stay_text_on_users_axes(tables):
    ax = Figure(layout="constrained").subplots()
    curves = tables.curves(arms=["costs $5 or $6^"], metrics=["error"])
    EnsembleSize.from_curves(curves, dataset="$d^$").plot(ax)
    ax.figure.canvas.draw()
    assert [text.get_parse_math() for text in (ax.title, *ax.get_legend().get_texts())] == [False, False]


def confused(classes=3):
    rng = np.random.default_rng(0)
    arms = {name: Predictions(rng.dirichlet([0.3] * classes, (2, 90))) for name in ("ensemble", "dropout_ensemble")}
    return confusions(arms, np.arange(90) % classes, [f"class {number}" for number in range(classes)])


def test_a_confusion_matrix_shows_the_percentages_of_its_frame():
    display = ConfusionMatrix.from_confusions(confused(), "ensemble", dataset="d")
    (ax,) = display.plot()
    shares = display.frame().pivot(index="truth", columns="predicted", values="share").to_numpy()
    np.testing.assert_allclose(ax.images[0].get_array(), 100 * shares)
    written = [float(text.get_text()) for text in ax.texts]
    np.testing.assert_allclose(written, 100 * shares.ravel(), atol=0.5)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["class 0", "class 1", "class 2"]
    with pytest.raises(InputError, match="unknown arm 'single'"):
        ConfusionMatrix.from_confusions(confused(), "single", dataset="d")


def test_class_errors_draw_a_dot_for_each_arm_and_class():
    display = ClassErrors.from_confusions(confused(), dataset="d")
    (ax,) = display.plot()
    frame = display.frame()
    for arm, label in (("ensemble", "ensemble, mean (2)"), ("dropout_ensemble", "dropout ensemble, mean (2)")):
        rows = frame[frame.arm == arm]
        np.testing.assert_allclose(drawn(ax, label).get_xdata(), 100 * rows["value"])
        assert (rows["low"] <= rows["value"]).all()
        assert (rows["value"] <= rows["high"]).all()
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["class 0 (30)", "class 1 (30)", "class 2 (30)"]


@pytest.mark.parametrize(
    "kind", [ClassErrors.from_confusions, partial(ConfusionMatrix.from_confusions, arm="ensemble")]
)
def test_more_classes_than_have_room_are_refused(kind):
    assert len(kind(confused(30), dataset="d").plot()) == 1
    with pytest.raises(InputError, match="room for 30 classes, got 31"):
        kind(confused(31), dataset="d")


def test_metrics_colors_and_labels_can_be_chosen(tables):
    display = EnsembleSize.from_curves(tables.curves(), dataset="d").of_metrics(["brier", "error"])
    with style.named({"ensemble": "#123456"}, {"ensemble": "five of them"}):
        axes = display.plot()
    assert [ax.get_ylabel() for ax in axes] == [style.metric_label(name) for name in ("brier", "error")]
    assert drawn(axes[0], "five of them, mean").get_color() == "#123456"
    assert drawn(display.plot()[0], "ensemble, mean").get_color() == style.ARMS["ensemble"].color
    with pytest.raises(InputError, match="unknown metric of this figure 'ece'"):
        display.of_metrics(["ece"])
    with pytest.raises(InputError, match="metrics must name at least one"):
        display.of_metrics([])
    with pytest.raises(InputError, match="is of no metrics"):
        LearningCurves.from_histories(tables.histories(), dataset="d").of_metrics(["error"])


def test_the_numbers_of_classes_are_told_with_their_class_and_unit():
    found = confused()
    errors = spread_in_words(ClassErrors.from_confusions(found, dataset="d").frame())
    assert re.fullmatch(r"error \(%\): lowest \d+\.\d\d \(.*, class \d\), highest \d+\.\d\d \(.*, class \d\)\.", errors)
    shares = spread_in_words(ConfusionMatrix.from_confusions(found, "ensemble", dataset="d").frame())
    assert shares.startswith("share of a class: lowest 0.")
    assert re.search(r", class \d as class \d\)", shares)
