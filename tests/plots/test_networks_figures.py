"""Figures of networks and their members: the artists hold the frame, theorems are checked, odd input is met."""

import importlib.util
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from ensemble_vs_dropout import Predictions
from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.measures import aggregate
from ensemble_vs_dropout.plots.activations import Activations
from ensemble_vs_dropout.plots.disagreement_images import DisagreementImages
from ensemble_vs_dropout.plots.diversity_accuracy_plane import DiversityAccuracyPlane
from ensemble_vs_dropout.plots.exact_enumeration import FLOOR, ExactEnumeration
from ensemble_vs_dropout.plots.function_space import FunctionSpace
from ensemble_vs_dropout.plots.kappa_error import KappaError
from ensemble_vs_dropout.plots.pictures import check_pictures
from ensemble_vs_dropout.plots.rotated_example import RotatedExample

spec = importlib.util.spec_from_file_location("made_networks", Path(__file__).parent / "made_networks.py")
made = importlib.util.module_from_spec(spec)
spec.loader.exec_module(made)
LONG = "a very long name that never ends, for $5 or $6^ " * 3


def one_hot(labels, classes):
    return np.eye(classes)[np.asarray(labels)]


def drawn(ax):
    """Return the points of every line on the axes, shape (points, 2)."""
    return [np.asarray(line.get_xydata(), dtype=float) for line in ax.lines]


def holds(ax, x, y):
    """Return whether some line holds just these points."""
    wanted = np.column_stack([np.asarray(x, dtype=float), np.asarray(y, dtype=float)])
    return any(have.shape == wanted.shape and np.allclose(have, wanted, equal_nan=True) for have in drawn(ax))


def holds_crosses(ax, means, x, x_scale, y_scale):
    """Check the two bars through each mean."""
    bars = [bars.get_segments()[0] for bars in ax.collections]
    across, upright = np.array(bars[::2]), np.array(bars[1::2])
    np.testing.assert_allclose(across[:, :, 0], means[[f"{x}_low", f"{x}_high"]] * x_scale)
    np.testing.assert_allclose(upright[:, :, 1], means[["low", "high"]] * y_scale)
    np.testing.assert_allclose(across[:, :, 1], means[["value", "value"]] * y_scale)
    np.testing.assert_allclose(upright[:, :, 0], means[[x, x]] * x_scale)


# Exact enumeration


def test_exact_enumeration_draws_its_frame():
    display = ExactEnumeration.from_predictions(made.small_networks(2), dataset="d")
    frame, axes = display.frame(), display.plot()
    for ax, panel in zip(axes, ("error", "probability"), strict=False):
        rows = frame[(frame["panel"] == panel) & (frame["rule"] == "weight scaling")]
        assert holds(ax, rows["x"] * 100, rows["value"] * 100)
    rows = frame[(frame["panel"] == "difference") & (frame["rule"] == "arithmetic mean")]
    for role in ("network", "mean"):
        own = rows[rows["role"] == role]
        assert holds(axes[2], own["x"], own["value"])
    bars = axes[2].collections[0].get_segments()
    means = rows[rows["role"] == "mean"]
    np.testing.assert_allclose([bar[:, 1] for bar in bars], means[["low", "high"]])


def test_exact_enumeration_measures_what_it_says():
    nets = made.small_networks(1)
    frame = ExactEnumeration.from_predictions(nets, dataset="d").frame()
    for number, net in enumerate(nets):
        own = frame[(frame["network"] == number) & (frame["rule"] == "arithmetic mean")].set_index("panel")
        wrong = [row.argmax() != label for row, label in zip(net.arithmetic_mean, net.labels, strict=True)]
        assert own["value"]["error"] == pytest.approx(np.mean(wrong))
        likely = [row[label] for row, label in zip(net.geometric_mean, net.labels, strict=True)]
        assert own["x"]["probability"] == pytest.approx(np.mean(likely))
        assert own["value"]["difference"] == pytest.approx(abs(net.arithmetic_mean - net.geometric_mean).max())
    logs = np.log10(frame[(frame["panel"] == "difference") & (frame["role"] == "network")].iloc[[-3, -1]]["value"])
    last = frame[(frame["role"] == "mean") & (frame["masked_layers"] == 2)].set_index("rule").loc["arithmetic mean"]
    assert np.log10(last["value"]) == pytest.approx(logs.mean())
    assert np.log10(last["high"] / last["value"]) == pytest.approx(logs.std())


@pytest.mark.parametrize(
    ("changes", "statement"),
    [
        ({"masked_layers": 0}, "weight scaling equal to the geometric mean where masks only feed the softmax layer"),
        ({"rate": 0.0}, "weight scaling equal to the geometric mean at rate 0"),
    ],
)
def test_weight_scaling_that_is_not_exact_where_it_must_be_is_refused(changes, statement):
    net = made.small_network(1, 0.5, seed=0)._replace(**changes)
    with pytest.raises(InputError, match=statement):
        ExactEnumeration.from_predictions([net], dataset="d")


@pytest.mark.parametrize(("off", "dtype", "fits"), [(5e-6, "f4", True), (5e-6, "f8", False), (5e-5, "f4", False)])
def test_single_precision_may_differ_by_more(off, dtype, fits):
    net = made.small_network(0, 0.5, seed=0)
    near = (net.weight_scaling + np.array([off, -off])).clip(1e-9, 1).astype(dtype).astype("f8")
    net = net._replace(weight_scaling=near)
    if fits:
        ExactEnumeration.from_predictions([net], dataset="d")
    else:
        with pytest.raises(InputError, match="weight scaling equal to the geometric mean"):
            ExactEnumeration.from_predictions([net], dataset="d")


def test_rate_0_makes_all_means_one_and_is_drawn_at_the_floor():
    net = made.small_network(1, 0.5, seed=0)
    same = net._replace(rate=0.0, geometric_mean=net.weight_scaling, arithmetic_mean=net.weight_scaling)
    display = ExactEnumeration.from_predictions([same], dataset="$d" * 60)
    assert f"below {FLOOR:g}" in display.caption
    assert set(display.frame()["role"]) == {"network"}
    display.plot(width="single")


def test_facts_of_exact_enumeration_are_held_and_not():
    nets = made.small_networks(2)
    facts = ExactEnumeration.from_predictions(nets, dataset="d").facts
    assert facts[1].held
    assert facts[1].numbers.startswith("8 of 8")
    exact = [net._replace(weight_scaling=net.geometric_mean) for net in nets]
    facts = ExactEnumeration.from_predictions(exact, dataset="d").facts
    assert [fact.held for fact in facts] == [True, False]
    worse = [net._replace(weight_scaling=1 - net.geometric_mean) for net in nets if net.masked_layers]
    assert not ExactEnumeration.from_predictions(worse, dataset="d").facts[0].held
    far = [net._replace(geometric_mean=net.weight_scaling, weight_scaling=net.geometric_mean) for net in worse]
    assert ExactEnumeration.from_predictions(far, dataset="d").facts[0].outcome == "did not hold"  # nor much better


def test_networks_that_are_not_what_they_say_are_refused():
    net = made.small_network(1, 0.5, seed=0)
    for wrong, message in [
        ({"rate": 1.0}, "rate must be"),
        ({"masked_layers": -1}, "masked_layers must be"),
        ({"arithmetic_mean": net.arithmetic_mean * 2}, "sum to 1|logits"),
        ({"weight_scaling": np.full((60, 3), 1 / 3)}, "must have the shape"),
    ]:
        with pytest.raises(InputError, match=message):
            ExactEnumeration.from_predictions([net._replace(**wrong)], dataset="d")
    with pytest.raises(InputError, match="at least one network"):
        ExactEnumeration.from_predictions([], dataset="d")


# The plane of diversity and accuracy


def test_the_plane_draws_its_frame():
    display = made.BUILDERS["diversity_accuracy"]()
    frame, (ax,) = display.frame(), display.plot()
    for cloud in made.clouds():
        rows = frame[frame["cloud"] == cloud]
        for role in ("member", "mean"):
            own = rows[rows["role"] == role]
            assert holds(ax, own["accuracy"] * 100, own["value"])
    holds_crosses(ax, frame[frame["role"] == "mean"], "accuracy", 100, 1)
    for name in ("upper bound", "independent errors", "lower bound"):
        rows = frame[frame["cloud"] == name]
        assert holds(ax, rows["accuracy"] * 100, rows["value"])
    bases = frame[frame["role"] == "base"].set_index("cloud")
    assert list(bases.index) == ["MC dropout, rate 0.1", "MC dropout, rate 0.5", "the base network"]
    assert (bases[["disagreement", "value"]] == 0).all(axis=None)
    colors = {line.get_label(): line.get_color() for line in ax.lines}
    for cloud, base in bases.iterrows():
        wrong = [a.argmax() != b for a, b in zip(base_of(cloud).probs[0], made.truth(), strict=True)]
        assert base["accuracy"] == pytest.approx(1 - np.mean(wrong))
        (star,) = (
            line
            for line in ax.lines
            if line.get_marker() == "*" and np.allclose(line.get_xydata(), [[base["accuracy"] * 100, 0]])
        )
        label = cloud if cloud == "the base network" else f"{cloud} (20)"
        assert star.get_color() == colors[label]


def base_of(cloud):
    """Return the network that a cloud is measured against."""
    given = made.clouds().get(cloud)
    return given[0] if isinstance(given, tuple) else made.base()


@pytest.mark.parametrize("cloud", ["Gaussian subspace", "MC dropout, rate 0.1"])
def test_the_plane_counts_labels_that_differ_from_those_of_the_clouds_base(cloud):
    labels, base = made.truth(), base_of(cloud)
    frame = made.BUILDERS["diversity_accuracy"]().frame()
    own = frame[(frame["cloud"] == cloud) & (frame["role"] == "member")]
    given = made.clouds()[cloud]
    members = given[1] if isinstance(given, tuple) else given
    for row, probs in zip(own.itertuples(), members.probs, strict=True):
        differ = np.mean([a.argmax() != b.argmax() for a, b in zip(probs, base.probs[0], strict=True)])
        wrong = np.mean([a.argmax() != label for a, label in zip(probs, labels, strict=True)])
        assert (row.accuracy, row.disagreement, row.value) == pytest.approx((1 - wrong, differ, differ / wrong))
    mean = frame[(frame["cloud"] == cloud) & (frame["role"] == "mean")].iloc[0]
    assert mean["high"] - mean["value"] == pytest.approx(own["value"].std())
    assert mean["accuracy"] - mean["accuracy_low"] == pytest.approx(own["accuracy"].std())


def test_passes_like_their_own_base_do_not_disagree_whatever_the_other_base_is():
    labels = np.arange(20) % 4
    right, half = (Predictions(one_hot((labels + off) % 4, 4)[None]) for off in (0, np.arange(20) < 10))
    frame = DiversityAccuracyPlane.from_predictions(right, {"a": (half, half), "b": half}, labels, dataset="d").frame()
    found = frame[frame["role"] == "member"].set_index("cloud")
    assert found["disagreement"].to_dict() == {"a": 0, "b": 0.5}
    assert frame[frame["role"] == "base"].set_index("cloud")["accuracy"].to_dict() == {"a": 0.5, "the base network": 1}


def test_independent_networks_disagree_more_than_a_cloud_or_not():
    facts = made.BUILDERS["diversity_accuracy"]().facts
    assert len(facts) == 4
    assert all("of 1 network" in fact.reason or "no equal accuracy" in fact.reason for fact in facts)
    assert facts[0].statement == (
        "at equal accuracy (within 1 point) independent networks disagree more with their base than the points of "
        "MC dropout, rate 0.1 do"
    )
    same = {"independent networks": made.clouds()["checkpoints"], "other": made.clouds()["independent networks"]}
    assert not DiversityAccuracyPlane.from_predictions(
        made.base(), {"other": same["other"]}, made.truth(), dataset="d"
    ).facts


def test_members_without_errors_are_told_not_drawn():
    labels = np.arange(20) % 4
    right, wrong = one_hot(labels, 4), one_hot((labels + (np.arange(20) < 3)) % 4, 4)
    cloud = Predictions(np.stack([right, wrong]))
    display = DiversityAccuracyPlane.from_predictions(
        Predictions(wrong[None]), {LONG: cloud}, labels, dataset="$d" * 40
    )
    assert "without errors: 1." in display.caption
    assert display.frame().loc[lambda rows: rows["role"] == "member", "value"].isna().tolist() == [True, False]
    display.plot(width="single")
    perfect = DiversityAccuracyPlane.from_predictions(
        Predictions(right[None]), {"a": Predictions(right[None])}, labels, dataset="d"
    )
    perfect.plot(width="single")


def test_planes_that_make_no_sense_are_refused():
    with pytest.raises(InputError, match="base must be Predictions of one member, got 2"):
        DiversityAccuracyPlane.from_predictions(made.members(2), made.clouds(), made.truth(), dataset="d")
    with pytest.raises(InputError, match="base of 'a' must be Predictions of one member, got 2"):
        DiversityAccuracyPlane.from_predictions(
            made.base(), {"a": (made.members(2), made.base())}, made.truth(), dataset="d"
        )
    with pytest.raises(InputError, match="must predict the 400 labelled examples, got"):
        DiversityAccuracyPlane.from_predictions(
            made.base(), {"a": (made.members(1, examples=7), made.base())}, made.truth(), dataset="d"
        )
    with pytest.raises(InputError, match="at least one cloud"):
        DiversityAccuracyPlane.from_predictions(made.base(), {}, made.truth(), dataset="d")
    with pytest.raises(InputError, match="labelled examples"):
        DiversityAccuracyPlane.from_predictions(made.base(), made.clouds(), made.truth(7), dataset="d")
    with pytest.raises(InputError, match="same repetitions"):
        DiversityAccuracyPlane.from_predictions(made.base(), {"a": [made.base()] * 2}, made.truth(), dataset="d")
    many = {f"cloud {number}": made.base() for number in range(50)}
    DiversityAccuracyPlane.from_predictions(made.base(), many, made.truth(), dataset="d").plot(Figure().subplots())


# Function space


def test_function_space_draws_its_frame():
    display = made.function_space()
    frame, axes = display.frame(), display.plot()
    for ax, panel, scale in zip(axes, ("disagreement", "weights"), (100, 1), strict=False):
        square = frame[frame["panel"] == panel]["value"].to_numpy().reshape(24, 24)
        np.testing.assert_allclose(ax.images[0].get_array(), square * scale)
    for run in (1, 2, 3):
        for role in ("checkpoint", "sample"):
            own = frame[(frame["role"] == role) & (frame["run"] == run)]
            assert holds(axes[2], own["x"], own["y"])
    shares = frame[frame["role"] == "variance"]["value"]
    assert axes[2].get_xlabel() == f"component 1 ({100 * shares.iloc[0]:.0f} %)"


def test_function_space_measures_what_it_says():
    paths, labels, weights = made.trajectories(runs=2, checkpoints=3, examples=30)
    frame = FunctionSpace.from_predictions(paths, labels, dataset="d", weights=weights).frame()
    probs, vectors = np.concatenate([path.probs for _, path in paths]), np.concatenate(weights)
    for panel, measure in [
        ("disagreement", lambda a, b: (probs[a].argmax(1) != probs[b].argmax(1)).mean()),
        (
            "weights",
            lambda a, b: vectors[a] @ vectors[b] / np.sqrt(vectors[a] @ vectors[a] * (vectors[b] @ vectors[b])),
        ),
    ]:
        rows = frame[frame["panel"] == panel]
        assert rows["value"].to_numpy() == pytest.approx([measure(a, b) for a in range(6) for b in range(6)])
        assert rows[["run", "epoch", "other_run", "other_epoch"]].iloc[4].tolist() == [1, 2.0, 2, 4.0]
    plane = frame[frame["role"] == "checkpoint"][["x", "y"]].to_numpy(dtype=float)
    flat = probs.reshape(6, -1) / np.sqrt(30)
    gram = np.cov(flat.T, ddof=0)
    values, axes = np.linalg.eigh(gram)
    slow = (flat - flat.mean(axis=0)) @ axes[:, [-1, -2]]
    np.testing.assert_allclose(abs(plane), abs(slow), atol=1e-9)
    assert (plane[abs(plane).argmax(axis=0), [0, 1]] > 0).all()
    shares = frame[frame["role"] == "variance"]["value"].tolist()
    assert shares == pytest.approx((values[[-1, -2]] / values.sum()).tolist())


def test_runs_that_are_one_mode_hold_no_block_structure():
    facts = made.function_space().facts
    assert [fact.held for fact in facts] == [True, True]
    paths, _, _ = made.trajectories(runs=1)
    thrice = [*paths, *((paths[0][0], Predictions(paths[0][1].probs.copy())) for _ in range(2))]
    extra = [made.near(paths[0][1], 4, 0.7, seed) for seed in range(3)]
    facts = FunctionSpace.from_predictions(thrice, dataset="d", extra=extra).facts
    assert [fact.outcome for fact in facts] == ["did not hold", "cannot be judged"]
    facts = FunctionSpace.from_predictions(thrice[:2], dataset="d", extra=extra[:2]).facts
    assert all(fact.reason.startswith("of 2 networks") for fact in facts)


def test_pairs_of_runs_count_once_for_each_run():
    paths, _, _ = made.trajectories(runs=4)
    (fact,) = FunctionSpace.from_predictions(paths, dataset="d").facts
    labels = [run.probs[run.members // 2 :].argmax(axis=2) for _, run in paths]

    def more(runs):
        apart = {
            (a, b): np.mean([np.mean(x != y) for i, x in enumerate(labels[a]) for j, y in enumerate(labels[b])
                             if a != b or i != j])
            for a in runs for b in runs
        }  # fmt: skip
        own = [apart[run, run] for run in runs]
        return np.mean([value for (a, b), value in apart.items() if a != b]) - np.mean(own)

    assert f"{100 * more(range(4)):+.2f} ±" in fact.numbers
    assert fact.numbers.endswith("points, 4 runs")
    without = [4 * more(range(4)) - 3 * more([run for run in range(4) if run != left]) for left in range(4)]
    half = float(fact.numbers.split("±")[1].split()[0]) / 100
    assert np.std(without, ddof=1) > 0
    assert half >= 2.353 * np.std(without, ddof=1) / 2 - 1e-4  # Student's t of 3 degrees of freedom, and examples


def test_the_caption_tells_late_disagreement_within_and_between_runs():
    paths, labels, _ = made.trajectories(runs=2, checkpoints=4)
    display = FunctionSpace.from_predictions(paths, labels, dataset="d")
    frame = display.frame().query("panel == 'disagreement' and epoch > 4 and other_epoch > 4")
    within = frame.query("run == other_run and epoch != other_epoch")["value"]
    between = frame.query("run != other_run")["value"]
    assert f"within a run {100 * within.mean():.1f} ±{100 * within.std(ddof=0):.1f} %" in display.caption
    assert f"between runs {100 * between.mean():.1f} ±" in display.caption
    wrong = [100 * (path.probs[-1].argmax(1) != labels).mean() for _, path in paths]
    assert f"Error of the last checkpoints: {wrong[0]:.1f}, {wrong[1]:.1f} %." in display.caption


@pytest.mark.slow
def test_odd_trajectories_are_drawn():
    paths, _, _ = made.trajectories(runs=12, checkpoints=1, examples=20)
    FunctionSpace.from_predictions(paths, dataset="$d" * 60).plot(width="single")
    constant = Predictions(np.full((2, 5, 3), 1 / 3))
    display = FunctionSpace.from_predictions([([1, 2], constant)], dataset="d")
    assert display.frame().query("role == 'variance'")["value"].tolist() == [0.0, 0.0]
    display.plot(width="single")


def test_trajectories_that_do_not_fit_are_refused():
    paths, labels, weights = made.trajectories(runs=2)
    for arguments, message in [
        (([],), "at least one run"),
        (([([1], made.base())],), "at least 2 checkpoints"),
        (([([2, 1], made.members(2))],), "increasing numbers"),
        (([([1], made.members(2))],), "2 increasing numbers"),
        ((paths, labels[:5] + 50), "labels must be whole numbers"),
    ]:
        with pytest.raises(InputError, match=message):
            FunctionSpace.from_predictions(*arguments, dataset="d")
    with pytest.raises(InputError, match="all of the same parameters"):
        FunctionSpace.from_predictions(paths, dataset="d", weights=[weights[0], weights[1][:, :3]])
    with pytest.raises(InputError, match="not all 0"):
        FunctionSpace.from_predictions(paths, dataset="d", weights=[weights[0], weights[1] * 0])
    with pytest.raises(InputError, match="same repetitions"):
        FunctionSpace.from_predictions(paths, dataset="d", extra=[made.members(2, examples=300)])


# Activations


def test_activations_draw_their_frame():
    display = made.BUILDERS["activations"]()
    frame, axes = display.frame(), display.plot()
    for ax, panel in zip(axes[2:], ("units", "activations"), strict=True):
        for patch, arm in zip(ax.patches, ("plain", "dropout"), strict=True):
            bins = frame[(frame["panel"] == panel) & (frame["arm"] == arm) & (frame["role"] == "bin")]
            np.testing.assert_allclose(patch.get_data().values, bins["value"] * 100)
            np.testing.assert_allclose(patch.get_data().edges[1:], bins["right"])
    mean = frame[(frame["role"] == "mean") & (frame["arm"] == "dropout")].iloc[0]
    bar = axes[2].collections[1].get_segments()[0]
    np.testing.assert_allclose(bar[:, 0], mean[["low", "high"]].astype(float))
    for ax, arm in zip(axes, ("plain", "dropout"), strict=False):
        sheet = ax.images[0].get_array()
        np.testing.assert_allclose(sheet[9:17, 18:26], display.filters[arm][12 + 2])  # second line, third unit


def test_activations_are_counted_right():
    kernels, hidden = made.hidden(units=7, examples=11)
    display = Activations.from_arrays(kernels, hidden, dataset="d", image_shape=(8, 8, 1))
    frame = display.frame()
    bins = frame[frame["role"] == "bin"].groupby(["panel", "arm"])["value"].sum()
    np.testing.assert_allclose(bins, 1)
    for arm, values in hidden.items():
        own = frame[frame["arm"] == arm]
        means = [sum(values[:, unit]) / 11 for unit in range(7)]
        mean = own[own["role"] == "mean"].iloc[0]
        assert mean["value"] == pytest.approx(np.mean(means))
        assert mean["high"] - mean["value"] == pytest.approx(np.std(means, ddof=1))
        zeros = sum(value == 0 for value in values.ravel()) / 77
        assert own[own["role"] == "zeros"]["value"].iloc[0] == pytest.approx(zeros)
        first = kernels[arm][:, 0].reshape(8, 8)
        np.testing.assert_allclose(display.filters[arm][0], first / abs(first).max())


def test_sparser_activations_are_told_and_denser_ones_too():
    kernels, hidden = made.hidden()
    alone = Activations.from_arrays(kernels, hidden, dataset="d")
    assert [fact.held for fact in alone.facts] == [None, None]
    several = {arm: np.stack([factor * np.asarray(own) for factor in (1, 1.1, 0.9)]) for arm, own in hidden.items()}
    display = Activations.from_arrays(kernels, several, dataset="d")
    pd.testing.assert_frame_equal(display.frame(), alone.frame())  # of the first network
    assert [fact.held for fact in display.facts] == [True, True]
    swapped = dict(zip(several, list(several.values())[::-1], strict=True))
    assert [fact.held for fact in Activations.from_arrays(kernels, swapped, dataset="d").facts] == [False, False]
    assert not Activations.from_arrays({"a": kernels["plain"]}, {"a": hidden["plain"]}, dataset="d").facts


@pytest.mark.slow
@pytest.mark.parametrize("arms", [["plain"], ["a", "b", "c"], [f"{LONG} {number}" for number in range(9)]])
def test_odd_activations_are_drawn(arms):
    kernels, hidden = {arm: np.zeros((12, 1)) for arm in arms}, {arm: np.zeros((1, 1)) for arm in arms}
    Activations.from_arrays(kernels, hidden, dataset="$d", image_shape=(2, 2, 3)).plot(width="single")
    assert Activations.from_arrays(kernels, hidden, dataset="d")._mosaic() == [[0, 1]]


def test_arrays_that_are_no_activations_are_refused():
    kernels, hidden = made.hidden()
    for weights, activations, message in [
        (kernels, {"plain": hidden["plain"]}, "same arms"),
        (kernels, {arm: values - 1 for arm, values in hidden.items()}, "not below 0, as after ReLU"),
        (kernels, {arm: values[0] for arm, values in hidden.items()}, "examples, units"),
        ({arm: kernel[:, :5] for arm, kernel in kernels.items()}, hidden, r"\(inputs, 60\)"),
    ]:
        with pytest.raises(InputError, match=message):
            Activations.from_arrays(weights, activations, dataset="d")
    with pytest.raises(InputError, match="of the 64 inputs"):
        Activations.from_arrays(kernels, hidden, dataset="d", image_shape=(9, 9))


# The turned image


def test_the_turned_image_draws_its_frame():
    display = made.rotated()
    frame, axes = display.frame(), display.plot()
    for ax, arm in zip(axes, ("mc_dropout", "ensemble"), strict=True):
        for number in (1, 5, 7):
            rows = frame[(frame["arm"] == arm) & (frame["class"] == number)]
            for role in ("pass", "mean"):
                own = rows[rows["role"] == role]
                assert holds(ax, own["x"], own["value"])
        boxes = [artist for artist in ax.artists if hasattr(artist, "offsetbox")]
        assert [box.xy[0] for box in boxes] == frame["amount"].unique().tolist()
        for box, picture in zip(boxes, display.images, strict=True):
            np.testing.assert_array_equal(box.offsetbox.get_data(), picture)


def test_the_turned_image_shows_passes_their_mean_and_spread():
    amounts, arms = made.turned(passes=6)
    frame = RotatedExample.from_predictions(amounts, arms, dataset="d", classes=range(10), label=9).frame()
    own = frame[(frame["arm"] == "mc_dropout") & (frame["amount"] == 30) & (frame["class"] == 5)]
    passes = arms["mc_dropout"].probs[:, 2, 5]
    assert own[own["role"] == "pass"]["value"].tolist() == passes.tolist()
    mean = own[own["role"] == "mean"].iloc[0]
    spread = math.sqrt(sum((value - passes.mean()) ** 2 for value in passes) / 6)
    assert mean[["value", "low", "high"]].tolist() == pytest.approx(
        [passes.mean(), passes.mean() - spread, passes.mean() + spread]
    )
    assert sorted(frame["class"].unique()) == [1, 5, 7, 9]  # the likely ones and the true one
    assert frame["name"].unique().tolist() == ["1", "5", "7", "9 (true)"]


@pytest.mark.slow
def test_members_that_do_not_disagree_more_when_turned_are_told():
    amounts, arms = made.turned()
    given = {"dataset": "d", "classes": range(10)}
    of_one = RotatedExample.from_predictions(amounts, arms, **given)
    assert {fact.reason for fact in of_one.facts} == {"of one image"}
    of_many = RotatedExample.from_predictions(amounts, arms, **given, further=[arms] * 4)
    pd.testing.assert_frame_equal(of_many.frame(), of_one.frame())
    assert all(fact.held for fact in of_many.facts)
    wild = arms["mc_dropout"].probs.copy()
    wild[:, 0] = one_hot(np.arange(len(wild)) % 10, 10)  # upright, every pass is sure of another class
    odd = {"a": Predictions(wild)}
    (fact,) = RotatedExample.from_predictions(amounts, odd, **given, further=[odd] * 4).facts
    assert fact.outcome == "did not hold"
    usual = {"a": arms["mc_dropout"]}
    (fact,) = RotatedExample.from_predictions(amounts, odd, **given, further=[usual]).facts
    assert fact.outcome == "cannot be judged"
    assert not RotatedExample.from_predictions(amounts + 1, arms, dataset="d", classes=range(10)).facts


def test_odd_turned_images_are_drawn():
    one = Predictions(np.full((1, 1, 200), 1 / 200))
    names = [f"{LONG} {number}" for number in range(200)]
    display = RotatedExample.from_predictions(
        [0], {LONG: one}, dataset="$d", classes=names, images=np.zeros((1, 5, 9, 3))
    )
    assert display.frame().query("role == 'mean'")["low"].isna().all()
    display.plot(width="single")
    amounts = np.arange(0, 181, 5)
    RotatedExample.from_predictions(
        amounts,
        {"mc_dropout": made.members(3, examples=37)},
        dataset="d",
        classes=made.FASHION,
        images=made.pictures(37, dtype="float32"),
    ).plot(width="single")


@pytest.mark.slow
def test_turned_images_that_do_not_fit_are_refused():
    amounts, arms = made.turned()
    good = {"dataset": "d", "classes": range(10)}
    for wrong, options, message in [
        (amounts[::-1], {}, "increasing angles"),
        (amounts[:5], {}, "must predict the 5"),
        (amounts, {"classes": range(3)}, "must name the 10 classes"),
        (amounts, {"label": 10}, r"0\.\.9, got 10"),
        (amounts, {"images": np.zeros((12, 7))}, "only data that are images"),
        (amounts, {"images": np.zeros((3, 7, 7))}, "one image for each of the 12 angles"),
    ]:
        with pytest.raises(InputError, match=message):
            RotatedExample.from_predictions(wrong, arms, **good | options)


# Kappa and error


def slow_kappa(first, second, classes):
    table = np.zeros((classes, classes))
    for a, b in zip(first, second, strict=True):
        table[a, b] += 1 / len(first)
    chance = sum(table[k].sum() * table[:, k].sum() for k in range(classes))
    return (np.trace(table) - chance) / (1 - chance)


def test_kappa_and_error_draw_their_frame():
    display = made.BUILDERS["kappa_error"]()
    frame, (ax,) = display.frame(), display.plot()
    for arm in ("ensemble", "mc_dropout"):
        for role in ("pair", "mean"):
            own = frame[(frame["arm"] == arm) & (frame["role"] == role)]
            assert holds(ax, own["kappa"], own["value"] * 100)
    holds_crosses(ax, frame[frame["role"] == "mean"], "kappa", 1, 100)
    line = frame[frame["role"] == "reference"]
    assert holds(ax, line["kappa"], line["value"] * 100)


def test_kappa_is_that_of_the_labels_of_every_pair():
    pool, labels = made.members(4, examples=80), made.truth(80)
    frame = KappaError.from_predictions({"ensemble": pool}, labels, dataset="d").frame()
    pairs = frame[frame["role"] == "pair"]
    assert pairs[["first", "second"]].to_numpy().tolist() == [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]
    guesses = pool.probs.argmax(axis=2)
    for row in pairs.itertuples():
        assert row.kappa == pytest.approx(slow_kappa(guesses[row.first], guesses[row.second], 10))
        assert row.value == pytest.approx((guesses[[row.first, row.second]] != labels).mean())
    mean = frame[frame["role"] == "mean"].iloc[0]
    assert mean["kappa"] - mean["kappa_low"] == pytest.approx(pairs["kappa"].std())
    assert mean["high"] - mean["value"] == pytest.approx(pairs["value"].std())


def test_the_reference_is_the_kappa_of_independent_errors():
    rng = np.random.default_rng(0)
    truth = rng.choice(3, size=100_000, p=[0.6, 0.3, 0.1])
    guesses = [
        np.where(rng.random(len(truth)) < 0.3, (truth + rng.integers(1, 3, len(truth))) % 3, truth) for _ in range(2)
    ]
    pool = Predictions(np.stack([one_hot(guess, 3) for guess in guesses]))
    frame = KappaError.from_predictions({"a": pool}, truth, dataset="d").frame()
    line, pair = frame[frame["role"] == "reference"], frame[frame["role"] == "pair"].iloc[0]
    nearest = line.iloc[(line["value"] - pair["value"]).abs().argmin()]
    assert pair["kappa"] == pytest.approx(nearest["kappa"], abs=0.02)


def test_many_pairs_are_sampled_alike_by_the_same_seed():
    runs = {"mc_dropout": [made.members(12, seed=2), made.members(12, seed=3), made.members(12, seed=4)]}
    frames = [
        KappaError.from_predictions(runs, made.truth(), dataset="d", pairs=50, seed=seed).frame() for seed in (0, 0, 1)
    ]
    pd.testing.assert_frame_equal(frames[0], frames[1])
    assert not frames[0].equals(frames[2])
    pairs = frames[0][frames[0]["role"] == "pair"]
    assert pairs["repetition"].value_counts().to_dict() == {0: 17, 1: 17, 2: 16}
    assert not pairs.duplicated(["repetition", "first", "second"]).any()


def test_arms_without_pairs_and_constant_members_are_told():
    constant = Predictions(np.full((2, 400, 10), 0.1))
    display = KappaError.from_predictions(
        {"single": made.base(), LONG: constant, "ensemble": made.members(2)}, made.truth(), dataset="$d"
    )
    assert "without pairs: single network" in display.caption
    assert "the same class: 1 pairs" in display.caption
    display.plot(width="single")
    identical = Predictions(np.repeat(made.base().probs, 2, axis=0))
    frame = KappaError.from_predictions({"a": identical}, made.truth(), dataset="d").frame()
    assert frame[frame["role"] == "pair"]["kappa"].tolist() == [1.0]
    with pytest.raises(InputError, match="at least 2 members"):
        KappaError.from_predictions({"single": made.base()}, made.truth(), dataset="d")


# Images that members disagree on


@pytest.mark.slow
def test_disagreement_images_draw_their_frame():
    display = made.BUILDERS["disagreement_images"]()
    frame, axes = display.frame(), display.plot()
    panels = [("ensemble", "most"), ("ensemble", "least"), ("mc_dropout", "most"), ("mc_dropout", "least")]
    for ax, (arm, panel) in zip(axes, panels, strict=True):
        rows = frame[(frame["arm"] == arm) & (frame["panel"] == panel)]
        examples = rows.drop_duplicates("rank")["example"]
        for image, example in zip(ax.images, examples, strict=True):
            np.testing.assert_array_equal(image.get_array(), made.pictures(400)[example] / np.float32(255))
        for text, (_, votes) in zip(ax.texts, rows.groupby("rank"), strict=True):
            words = text.get_text().split("\n")
            assert words[0] == f"true {made.FASHION[votes['label'].iloc[0]]}"
            assert words[1].startswith(f"pool {made.FASHION[votes['predicted'].iloc[0]]}")
            assert ("✗" in words[1]) == (votes["label"].iloc[0] != votes["predicted"].iloc[0])
            assert words[2] == f"{100 * votes['value'].iloc[0]:.0f} % {made.FASHION[votes['voted'].iloc[0]]}"


def test_the_most_and_least_mutual_information_are_found():
    pool, labels = made.members(5, examples=60), made.truth(60)
    frame = DisagreementImages.from_predictions(
        {"a": pool}, made.pictures(60), labels, dataset="d", classes=made.FASHION, number=3
    ).frame()

    def entropy(p):
        return -sum(value * math.log(value) for value in p)

    slow = np.array([entropy(p.mean(axis=0)) - np.mean([entropy(row) for row in p]) for p in pool.probs.swapaxes(0, 1)])
    shown = frame.drop_duplicates(["panel", "rank"])
    assert shown["mutual_information"].to_numpy() == pytest.approx(slow[shown["example"]])
    assert shown[shown["panel"] == "most"]["example"].tolist() == np.argsort(-slow)[:3].tolist()
    assert shown[shown["panel"] == "least"]["example"].tolist() == np.argsort(slow)[:3].tolist()
    assert shown["label"].tolist() == labels[shown["example"]].tolist()
    assert shown["predicted"].tolist() == aggregate(pool.probs)[shown["example"]].argmax(axis=1).tolist()
    for row in frame.itertuples():
        votes = pool.probs[:, row.example].argmax(axis=1)
        assert row.value == pytest.approx((votes == row.voted).mean())


def test_wrong_where_they_disagree_is_told_both_ways():
    labels = np.zeros(20, dtype=int)
    probs = np.zeros((2, 20, 3))
    probs[0, :, 0], probs[1, :, 0] = 0.9, np.where(np.arange(20) < 10, 0.6, 0.9)
    probs[..., 1] = 1 - probs[..., 0]
    labels[10:] = 1  # wrong where all agree
    (fact,) = DisagreementImages.from_predictions(
        {"a": Predictions(probs)}, made.pictures(20), labels, dataset="d", classes="abc"
    ).facts
    assert fact.outcome == "did not hold"
    assert fact.numbers == "0 of 8 wrong; disagreed on least: 8 of 8"

    def judged(labels):
        given = {"dataset": "d", "classes": "abc"}
        return DisagreementImages.from_predictions({"a": Predictions(probs)}, made.pictures(20), labels, **given).facts

    assert judged(1 - labels)[0].outcome == "held"
    assert judged(np.eye(20, dtype=int)[9])[0].outcome == "cannot be judged"  # 1 of 8 may be chance
    assert judged(np.zeros(20, dtype=int))[0].reason == "none is wrong: a floor"


def test_odd_images_are_drawn():
    labels, names = made.truth(3), [LONG] * 10
    pools = {f"{LONG} {number}": made.members(2, examples=3) for number in range(2)}
    colour = np.random.default_rng(0).normal(size=(3, 9, 4, 3)).astype("float32")
    display = DisagreementImages.from_predictions(pools, colour, labels, dataset="$d", classes=names, number=50)
    assert display.frame().groupby(["arm", "panel"])["rank"].max().tolist() == [2] * 4
    display.plot(width="single")


def test_what_are_no_images_is_refused():
    pool, labels = {"a": made.members(3)}, made.truth()
    for images, message in [
        (np.zeros((400, 784)), "images of shape.*only data that are images can be shown as such"),
        (np.zeros((400, 4, 4, 2)), "1 or 3 channels"),
        (np.zeros((7, 4, 4)), "one image for each of the 400 labelled examples, got 7"),
        (np.zeros((400, 4, 4), dtype=int), "uint8 or floats, got dtype int64"),
        (np.full((400, 4, 4), np.nan), "finite"),
    ]:
        with pytest.raises(InputError, match=message):
            DisagreementImages.from_predictions(pool, images, labels, dataset="d", classes=made.FASHION)
    with pytest.raises(InputError, match="at least 2 members, got 1 in a"):
        DisagreementImages.from_predictions(
            {"a": made.base()}, made.pictures(400), labels, dataset="d", classes=made.FASHION
        )
    with pytest.raises(InputError, match="must name the 10 classes"):
        DisagreementImages.from_predictions(pool, made.pictures(400), labels, dataset="d", classes="abc")


def test_bytes_and_floats_of_an_image_look_the_same():
    whole = made.pictures(5)
    for images in (whole, whole / 255, whole[..., None], (whole / 255).astype("float32")):
        np.testing.assert_allclose(check_pictures("images", images, 5, "examples"), whole / 255, atol=1e-6)
    beyond = check_pictures("images", np.array([[[-3.0, 0.0]], [[1.0, 5.0]]]), 2, "examples")
    assert beyond.ravel().tolist() == [0.0, 0.375, 0.5, 1.0]
    assert check_pictures("images", np.full((1, 2, 2), 7.0), 1, "examples").max() == 0


def test_dollar_signs_stay_text_on_users_axes():
    figure = Figure(layout="constrained", figsize=(9, 4))
    axes = figure.subplots(1, 2)
    pool = {"costs $5^ or $6^": made.members(3, examples=20)}
    DisagreementImages.from_predictions(
        pool, made.pictures(20), made.truth(20), dataset="$d^$", classes=["$5^ or $6^"] * 10
    ).plot(axes)
    figure.canvas.draw()
    assert not any(text.get_parse_math() for ax in axes for text in (ax.title, *ax.texts))
