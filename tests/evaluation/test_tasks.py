"""Arms that predict numbers have the same table, intervals and tests as classifiers."""

import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation import Evaluator
from ensemble_vs_dropout.evaluation.answer import answer
from ensemble_vs_dropout.evaluation.cost import cost_table
from ensemble_vs_dropout.measures import regression
from ensemble_vs_dropout.measures.metrics import REGRESSION_METRICS
from ensemble_vs_dropout.types import Cost, Predictions, RegressionPredictions

EXAMPLES, REPETITIONS = 60, 4
Y = np.random.default_rng(0).normal(size=EXAMPLES)


def arm(members, off, seed, repetitions=REPETITIONS, scale=0.5):
    rng = np.random.default_rng(seed)
    runs = []
    for _ in range(repetitions):
        common = rng.normal(0, off / 3, EXAMPLES)
        means = Y + common + rng.normal(0, off, (members, EXAMPLES))
        runs.append(
            RegressionPredictions(
                means, None if scale is None else scale * (1 + 0.1 * np.arange(members)[:, None]) + 0 * means
            )
        )
    return runs


ARMS = {"ensemble": arm(5, 0.5, 1), "mc_dropout": arm(9, 0.9, 2), "single": arm(5, 0.5, 1)}
RULES = {"ensemble": ["mixture", "moment_matched"], "mc_dropout": ["mixture"], "single": ["each"]}


@pytest.fixture(scope="module")
def tables():
    return Evaluator(rules=RULES).tables(ARMS, Y)


def value(scores, **where):
    for column, wanted in where.items():
        scores = scores[scores[column] == wanted]
    return scores.value.item()


def test_scores_are_the_measures_of_each_repetition_averaged(tables):
    scores = tables[0]
    runs = [regression.pool_normal(run.means, run.scales, "moment_matched") for run in ARMS["ensemble"]]
    wanted = {
        "rmse": np.mean([np.sqrt(regression.squared_error(run[0], Y).mean()) for run in runs]),
        "mae": np.mean([regression.absolute_error(run[0], Y).mean() for run in runs]),
        "gaussian_nll": np.mean([regression.gaussian_nll(*run[:2], Y).mean() for run in runs]),
        "crps": np.mean([regression.crps(*run[:2], Y).mean() for run in runs]),
    }
    for metric, expected in wanted.items():
        assert value(scores, arm="ensemble", rule="moment_matched", metric=metric) == pytest.approx(expected)
    networks = [pair for run in ARMS["single"] for pair in zip(run.means, run.scales, strict=True)]
    each = [regression.crps(mean[None], scale[None], Y).mean() for mean, scale in networks]
    assert value(scores, arm="single", metric="crps") == pytest.approx(np.mean(each))
    assert set(scores.metric) == {"rmse", "mae", "gaussian_nll", "crps"}
    assert (scores.low < scores.value).all()
    assert (scores.value < scores.high).all()


def test_a_mixture_is_no_worse_than_its_members_in_nll_and_crps(tables):
    for metric in ("gaussian_nll", "crps", "rmse"):
        assert value(tables[0], arm="ensemble", rule="mixture", metric=metric) < value(
            tables[0], arm="single", metric=metric
        )


def test_the_planned_questions_are_asked_of_the_mixture(tables):
    contrasts = tables[1]
    planned = contrasts[(contrasts.family == "planned") & (contrasts.metric == "crps")]
    asked = set(planned[["arm_a", "rule_a", "arm_b", "rule_b"]].itertuples(index=False, name=None))
    assert asked == {
        ("ensemble", "mixture", "mc_dropout", "mixture"),
        ("ensemble", "mixture", "single", "each"),
        ("mc_dropout", "mixture", "single", "each"),
    }
    of_single = planned[planned.arm_b == "single"].set_index("arm_a")
    assert of_single.loc["ensemble"].better == "a"
    assert of_single.loc["ensemble"].difference == pytest.approx(
        value(tables[0], arm="ensemble", rule="mixture", metric="crps") - value(tables[0], arm="single", metric="crps")
    )


def test_differences_do_not_depend_on_the_unit_of_the_target():
    turned = {
        name: [RegressionPredictions(1000 * run.means, 1000 * run.scales) for run in runs]
        for name, runs in ARMS.items()
    }
    own, other = (Evaluator(rules=RULES).contrasts(*given) for given in ((ARMS, Y), (turned, 1000 * Y)))
    for metric, factor in (("rmse", 1000), ("mae", 1000), ("crps", 1000), ("gaussian_nll", 1)):
        a, b = (table[table.metric == metric] for table in (own, other))
        np.testing.assert_allclose(b.difference, factor * a.difference, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(b.p_value, a.p_value, rtol=1e-5)


def test_the_rmse_of_resamples_is_that_of_the_resampled_examples():
    pool = regression.pool_normal(ARMS["ensemble"][0].means, ARMS["ensemble"][0].scales)
    picks = np.random.default_rng(0).integers(EXAMPLES, size=(3, EXAMPLES))
    weights = np.stack([np.bincount(pick, minlength=EXAMPLES) for pick in picks]) / EXAMPLES
    expected = [np.sqrt(regression.squared_error(pool[0][:, pick], Y[pick]).mean()) for pick in picks]
    np.testing.assert_allclose(REGRESSION_METRICS["rmse"].function(pool, Y, weights), expected)


def test_an_interval_of_an_nll_is_not_cut_at_0():
    scale = 0.97 / np.sqrt(2 * np.pi * np.e)
    y = scale / 0.97 * np.random.default_rng(2).normal(size=60)
    bare = {"single": RegressionPredictions(np.zeros((1, 60)), np.full((1, 60), scale))}
    (row,) = Evaluator(metrics=["gaussian_nll"], rules=["mixture"]).scores(bare, y).itertuples()
    assert 0 < row.value < 0.02
    assert row.low == pytest.approx(2 * row.value - row.high)
    assert row.low < 0


def test_targets_may_be_a_column():
    own = Evaluator(metrics=["crps"], rules=RULES).scores(ARMS, Y)
    np.testing.assert_array_equal(Evaluator(metrics=["crps"], rules=RULES).scores(ARMS, Y[:, None]).value, own.value)


def test_the_answer_tells_of_rmse_crps_and_nll(tables):
    costs = {
        "ensemble": Cost(10, 500, 5, 5.0, 0.5),
        "mc_dropout": Cost(2, 100, 9, 1.0, 0.9),
        "single": Cost(2, 100, 1, 1.0, 0.1),
    }
    told = str(answer(tables[1], cost_table({arm: [cost] for arm, cost in costs.items()})))
    assert "less RMSE" in told
    assert "less CRPS" in told
    assert "NLL" in told
    assert told.startswith("Use the averaged ensemble")


@pytest.mark.slow
def test_equal_arms_are_shown_no_difference_more_often_than_the_level_says():
    """Of 200 pairs of arms that are equally good, about 5 % may be shown to differ."""
    shown = 0
    for trial in range(200):
        pair = {"a": arm(3, 0.5, 1000 + trial, 3), "b": arm(3, 0.5, 5000 + trial, 3)}
        found = Evaluator(metrics=["crps"], rules=["mixture"]).contrasts(pair, Y)
        shown += found.better.item() != "neither"
    assert shown <= 20


def test_a_mean_alone_has_the_measures_of_means():
    bare = {"a": arm(3, 0.5, 1, scale=None), "b": arm(3, 0.5, 2, scale=None)}
    scores = Evaluator(rules=["mixture"]).scores(bare, Y)
    assert list(scores.metric) == ["rmse", "mae"] * 2
    noisy = {name: [run.with_noise(regression.fit_noise(run.means, Y)) for run in runs] for name, runs in bare.items()}
    assert set(Evaluator(rules=["mixture"]).scores(noisy, Y).metric) == {"rmse", "mae", "gaussian_nll", "crps"}


def test_members_count_by_their_weights():
    (run,) = arm(2, 0.5, 3, repetitions=1)
    given = RegressionPredictions(run.means, run.scales, [0.9, 0.1])
    scores = Evaluator(rules=["mixture"]).scores({"a": given}, Y).set_index("metric").value
    off = 0.9 * run.means[0] + 0.1 * run.means[1] - Y
    assert scores["rmse"] == pytest.approx(np.sqrt((off**2).mean()))
    assert scores["mae"] == pytest.approx(np.abs(off).mean())
    assert scores["crps"] == pytest.approx(regression.crps(run.means, run.scales, Y, [0.9, 0.1]).mean())


def test_one_member_has_nothing_to_combine():
    scores = Evaluator(metrics=["crps"], rules=["mixture", "moment_matched"]).scores({"a": arm(1, 0.5, 1)}, Y)
    assert scores.rule.tolist() == ["mixture"]


def test_repetitions_may_have_a_split_each():
    labels = np.stack([Y] * REPETITIONS)
    found = Evaluator(metrics=["rmse", "crps"], rules=["mixture"], test_share=0.1).contrasts(
        {"a": ARMS["ensemble"], "b": ARMS["mc_dropout"]}, labels
    )
    assert set(found.test) == {"corrected t over splits"}


CLASSES = {"a": Predictions(np.full((2, EXAMPLES, 2), 0.5))}
NUMBERS = {"a": RegressionPredictions(np.tile(Y, (2, 1)), np.ones((2, EXAMPLES)))}
BARE = {"a": RegressionPredictions(np.tile(Y, (2, 1)))}
LABELS = np.arange(EXAMPLES) % 2


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: Evaluator(metrics=["error"]).scores(NUMBERS, Y), "'error' is not of numbers.*known: rmse"),
        (lambda: Evaluator(metrics=["crps"]).scores(CLASSES, LABELS), "'crps' is not of classes.*known: err"),
        (lambda: Evaluator(metrics=["crps"]).scores(BARE, Y), "needs standard deviations, and arm 'a' pre.*with_noise"),
        (lambda: Evaluator(rules=["mean"]).scores(NUMBERS, Y), "unknown pool 'mean'; known: mixture"),
        (lambda: Evaluator(rules=["mixture"]).scores(CLASSES, LABELS), "unknown rule 'mixture'; known: mean"),
        (lambda: Evaluator().scores({**NUMBERS, "b": CLASSES["a"]}, Y), "must predict numbers, or all classes"),
        (lambda: Evaluator().scores({"b": CLASSES["a"], **NUMBERS}, Y), "must predict numbers, or all classes"),
        (lambda: Evaluator().scores(NUMBERS, Y[:5]), "arm 'a' must predict the 5 labelled examples"),
        (lambda: Evaluator().scores(NUMBERS, [*Y[:-1], np.nan]), "y must be finite numbers"),
        (lambda: Evaluator().size_curves(NUMBERS, Y), "of classes, and what predicts numbers is measured by"),
        (lambda: Evaluator().equivalence(NUMBERS, Y, reference="a"), "of classes, and what predicts numbers"),
        (lambda: Evaluator().detection(NUMBERS, NUMBERS), "of classes, and what predicts numbers is"),
        (lambda: Evaluator(margins={"error": 0.1}).contrasts(NUMBERS, Y), "unknown metric in margins 'error'; kn"),
        (lambda: Evaluator(rules=["each"]).scores({"mc_dropout": NUMBERS["a"]}, Y), "arm 'mc_dropout' are of one netw"),
        (lambda: Evaluator().scores({**NUMBERS, "b": None}, Y), "arm 'b' must be RegressionPredictions"),
        (lambda: Evaluator(margins={"rmsse": 1.0}), "unknown metric in margins 'rmsse'"),
    ],
)  # fmt: skip
def test_what_is_of_the_other_task_is_told(call, match):
    with pytest.raises(InputError, match=match):
        call()
