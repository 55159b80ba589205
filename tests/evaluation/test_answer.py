import math
import re
from dataclasses import replace

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble_vs_dropout.evaluation import Evaluator
from ensemble_vs_dropout.evaluation.answer import answer
from ensemble_vs_dropout.evaluation.arms import EACH
from ensemble_vs_dropout.evaluation.cost import cost_table
from ensemble_vs_dropout.evaluation.evaluator import CONTRAST_COLUMNS, INFINITE, UNTESTED
from ensemble_vs_dropout.types import Cost, Predictions

COSTS = {
    "single": Cost(100, 1000, 1, 2.0, 0.1, multiply_adds=50),
    "ensemble": Cost(500, 5000, 5, 10.0, 0.5, multiply_adds=250),
    "dropout": Cost(100, 900, 1, 2.0, 0.1, multiply_adds=50),
    "mc_dropout": Cost(100, 900, 50, 2.0, 5.0, multiply_adds=1000),
}
MEAN = "mean"
PAIRS = {
    "ensemble-mc": ("ensemble", MEAN, "mc_dropout", MEAN),
    "ensemble-dropout": ("ensemble", MEAN, "dropout", EACH),
    "ensemble-single": ("ensemble", MEAN, "single", EACH),
    "dropout-single": ("dropout", EACH, "single", EACH),
    "mc-single": ("mc_dropout", MEAN, "single", EACH),
    "mc-dropout": ("mc_dropout", MEAN, "dropout", EACH),
}


def row(pair, metric="error", better="neither", test="paired t", **others):
    """A contrast; 1 point or 0.01 nats where one is better."""
    size = {"a": -0.01, "b": 0.01, "neither": 0.002}[better]
    low, high = sorted((size / 2, size * 1.5)) if better != "neither" else (-0.02, 0.03)
    p = 0.01 if better != "neither" else 0.5
    values = [*PAIRS[pair], metric, size, low, high, p, p, test, better, 0.015, "planned", 0.2 + size, 0.2]
    return dict(zip(CONTRAST_COLUMNS, [*values, np.nan, np.nan, False], strict=True)) | others


def found(*shown, costs=COSTS, **others):
    """The answer where all questions are open but for those given."""
    told = {(one["arm_a"], one["arm_b"], one["metric"]): one for one in shown}
    rows = [row(pair, metric, **others) for pair in PAIRS for metric in ("error", "nll")]
    rows = [told.get((one["arm_a"], one["arm_b"], one["metric"]), one) for one in rows]
    return answer(pd.DataFrame(rows), cost_table({arm: [cost] for arm, cost in costs.items()}))


def test_a_clear_win_names_what_wins_by_how_much_and_at_what_cost():
    one = found(
        row("ensemble-single", better="a"), row("ensemble-dropout", better="a"), row("ensemble-mc", better="a"),
        row("mc-single", "nll", better="a"), row("mc-dropout", "nll", better="a"),
    )  # fmt: skip
    assert one.use.arm == "ensemble"
    assert one.sentences == [
        "Use the averaged ensemble: it is the only one that nothing is shown to beat.",
        "The averaged ensemble against a single network: 1.00 percentage points fewer errors (0.50 to 1.50, "
        "p = 0.010); no difference in NLL shown (0.002 nats, -0.020 to 0.030, p = 0.500).",
        "The averaged ensemble takes 5 times the training work and 5 times the work of predicting, compared "
        "with a single network.",
    ]


def test_where_dropout_wins_it_is_said_in_the_same_words():
    wins = [row("ensemble-mc", better="b"), row("mc-single", better="a"), row("mc-dropout", better="a")]
    one = found(*wins)
    assert (one.use.arm, one.use.rivals) == ("mc_dropout", ())
    assert one.sentences[0] == "Use MC dropout: it is the only one that nothing is shown to beat."
    assert one.sentences[2] == (
        "MC dropout takes 0.9 times the training work and 20 times the work of predicting, compared with a single "
        "network."
    )


def test_where_no_difference_is_shown_the_cheapest_is_the_answer():
    one = found()
    assert (one.use.arm, one.shown) == ("single", False)
    assert one.sentences[0] == "No difference is shown, so use the cheapest: a single network."
    assert one.sentences[1].startswith("A single network against the averaged ensemble: no difference in error shown")
    assert one.sentences[2].startswith("A single network takes 0.2 times the training work and 0.2 times the work of")
    assert one.sentences[-1] == (
        "Not settled: whether the averaged ensemble, dropout (weight scaling) or MC dropout is better than a single "
        "network; differences from these of up to 1.50 percentage points of error and 0.015 nats of NLL may go unseen."
    )


def test_of_several_that_nothing_beats_the_cheapest_is_the_answer():
    one = found(
        row("ensemble-single", "nll", better="a"), row("mc-single", "nll", better="a"),
        row("mc-dropout", "nll", better="a"), row("ensemble-dropout", "nll", better="a"),
    )  # fmt: skip
    assert one.use.arm == "mc_dropout"
    assert one.use.rivals == one.unsettled == ("the averaged ensemble",)
    assert one.sentences[0] == "Use MC dropout: it is the cheapest of those that nothing is shown to beat."


def test_what_may_go_unseen_is_of_the_arms_that_are_named():
    one = found(row("ensemble-single", detectable=0.05), row("mc-dropout", detectable=0.9))  # the last is of no rival's
    assert one.use.arm == "single"
    assert one.unseen == (("error", 0.05), ("nll", 0.015))
    assert one.sentences[-1].endswith(
        "differences from these of up to 5.00 percentage points of error and 0.015 nats of NLL may go unseen."
    )
    alone = found(
        row("mc-single", "nll", better="a"), row("mc-dropout", "nll", better="a"),
        row("ensemble-mc", "nll", detectable=np.nan), row("ensemble-mc", detectable=0.03),
    )  # fmt: skip
    assert (alone.use.arm, alone.unsettled) == ("mc_dropout", ("the averaged ensemble",))
    assert alone.sentences[-1] == (
        "Not settled: whether the averaged ensemble is better than MC dropout; differences from it of up to 3.00 "
        "percentage points of error may go unseen."
    )


def test_a_margin_is_told_with_the_p_value_of_the_margin():
    within = {"equivalent": True, "margin": 0.05, "p_equivalent": 0.012}
    one = found(*({**row(pair), **within} for pair in ("ensemble-single",)))
    (difference,) = [d for d in one.against if d.metric == "error"]
    assert "is shown to be below 5.00 percentage points" in str(difference)
    assert str(difference).endswith("p = 0.012)")


def test_who_wins_by_one_metric_and_loses_by_another_beats_nobody():
    one = found(row("ensemble-single", better="a"), row("ensemble-single", "nll", better="b"))
    assert one.use.arm == "single"
    assert one.use.mixed == ("the averaged ensemble",)
    assert "the averaged ensemble" not in (*one.use.rivals, *one.unsettled)  # they are shown to differ
    assert "which metric matters more, for the averaged ensemble may be better by yours" in one.sentences[-1]
    assert one.sentences[0] == "Use a single network: it is the cheapest of those that nothing is shown to beat."


def test_each_limit_has_its_own_answer_among_what_it_allows():
    one = found(
        row("ensemble-single", "nll", better="a"), row("mc-single", "nll", better="a"),
        row("mc-dropout", "nll", better="a"), row("ensemble-dropout", "nll", better="a"),
    )  # fmt: skip
    assert list(map(str, one.limits)) == [
        "Training time of one network: MC dropout",
        "Memory of one network: MC dropout",
        "Prediction time of one network: a single network; not shown to differ from dropout (weight scaling)",
        "It must know when it is unsure: MC dropout; not shown to differ from the averaged ensemble",
    ]


def test_of_two_that_differ_both_ways_neither_is_the_only_one_that_nothing_beats():
    pair = [row("ensemble-single", better="a"), row("ensemble-single", "nll", better="b")]
    cost = cost_table({arm: [COSTS[arm]] for arm in ("single", "ensemble")})
    one = answer(pd.DataFrame(pair), cost)
    assert (one.use.rivals, one.use.mixed) == ((), ("the averaged ensemble",))
    assert "only one" not in one.sentences[0]
    assert str(one.limits[-1]) == "It must know when it is unsure: a single network"  # the NLL alone tells them apart


def test_too_few_networks_settle_nothing():
    one = found(test=UNTESTED, p_value=np.nan, p_adjusted=np.nan, detectable=np.nan)
    assert one.sentences[0] == "These networks are too few to show a difference, so use the cheapest: a single network."
    assert one.sentences[1] == (
        "A single network against the averaged ensemble: 0.20 percentage points fewer errors in these networks (-2.00 "
        "to 3.00 over the examples); 0.002 nats less NLL in these networks (-0.020 to 0.030 over the examples)."
    )
    assert one.sentences[-1] == (
        "Not settled: how a single network, the averaged ensemble, dropout (weight scaling) and MC dropout would do if "
        "trained again (3 repetitions or more tell)."
    )


def test_a_vote_with_an_infinite_nll_is_beaten_and_said_to_be_infinite():
    nothing = {"p_value": np.nan, "p_adjusted": np.nan, "detectable": np.nan, "test": INFINITE}
    ends = {"difference": -np.inf, "low": -np.inf, "high": -np.inf}
    vote = row("ensemble-mc", "nll", better="a", **nothing, **ends)
    vote |= {"arm_b": "ensemble", "rule_b": "majority_vote"}
    of_error = row("ensemble-mc") | {"arm_b": "ensemble", "rule_b": "majority_vote"}
    one = answer(pd.DataFrame([of_error, vote]), cost_table({"ensemble": [COSTS["ensemble"]]}))
    assert (one.use.rule, one.use.rivals) == ("mean", ())
    assert "the NLL of the voting ensemble is infinite" in str(one)


def test_what_is_shown_to_be_as_good_is_settled():
    equal = {"margin": 0.02, "p_equivalent": 0.001, "equivalent": True}
    one = found(row("ensemble-single", **equal), row("ensemble-single", "nll", **equal))
    assert "the averaged ensemble" in one.use.rivals
    assert "the averaged ensemble" not in one.unsettled
    assert "the difference in error is shown to be below 2.00 percentage points (0.20 percentage points," in str(one)


def test_identical_predictions_are_called_that_and_no_zero_has_a_minus():
    rng = np.random.default_rng(0)
    runs = [Predictions(rng.dirichlet([1, 1, 1], (1, 60))) for _ in range(3)]
    labels = rng.integers(3, size=60)
    contrasts = Evaluator(["error", "nll"], {"single": [EACH], "dropout": [EACH]}).contrasts(
        {"single": runs, "dropout": runs}, labels
    )
    text = str(answer(contrasts, cost_table({"single": [COSTS["single"]], "dropout": [COSTS["dropout"]]})))
    assert "the same error, on every example; the same NLL, on every example" in text
    assert not re.search(r"-0\.0+\b", text)


def test_one_arm_alone_is_compared_with_nothing():
    one = answer(pd.DataFrame(columns=CONTRAST_COLUMNS), cost_table({"single": [COSTS["single"]]}))
    assert one.sentences == ["No planned question compares these arms, so use the cheapest: a single network."]


def test_a_cost_that_cannot_be_counted_takes_the_passes():
    unknown = {
        arm: Cost(c.parameters, c.trained, c.passes, 1.0, 1.0, multiply_adds=math.nan) for arm, c in COSTS.items()
    }
    one = found(row("mc-single", better="a"), costs=unknown)
    assert one.use.arm == "dropout"
    one = found(row("mc-single", better="a"), row("mc-dropout", better="a"), costs=unknown)
    assert one.predicting == 50


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 1.5), st.integers(1, 4))
def test_sentences_agree_with_their_intervals_and_p_values(seed, shift, repetitions):
    """Whatever the data: better has p below 0.05 and an interval on one side of 0, none shown has neither."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=40)
    truth = np.eye(3)[labels]

    def runs(members, pull):
        logits = [rng.normal(size=(members, 40, 3)) + pull * truth for _ in range(repetitions)]
        return [Predictions(np.exp(z) / np.exp(z).sum(-1, keepdims=True)) for z in logits]

    plain, dropout = runs(3, shift), runs(3, 0.5)
    arms = {"single": plain, "ensemble": plain, "dropout": dropout, "mc_dropout": dropout}
    rules = {"single": [EACH], "dropout": [EACH], "ensemble": ["mean"], "mc_dropout": ["mean"]}
    contrasts = Evaluator(["error", "nll"], rules).contrasts(arms, labels)
    one = answer(contrasts, cost_table({arm: [cost] for arm, cost in COSTS.items()}))
    assert 1 <= len(one.sentences) <= 4
    assert len(one.planned) == 5
    for difference in (d for found in one.planned for d in found):
        said = str(difference)
        if not difference.tested:
            assert "in these networks" in said or said.startswith("the same")
            assert np.isnan(difference.p)
        elif difference.better == "neither":
            assert said.startswith(("no difference", "the same"))
            assert difference.p >= 0.05
            assert difference.low <= 0 <= difference.high
        else:
            assert difference.p < 0.05
            assert difference.low >= 0 or difference.high <= 0
            assert ("fewer" in said or " less " in said) == (difference.value < 0)


def test_of_more_questions_than_are_shown_their_number_is_told():
    text = str(found())
    assert (
        "\nThe first 5 of 6 planned questions (the others: the report's Verdict); intervals and p-values are adjusted "
        "for all:\n"
    ) in text
    few = answer(
        pd.DataFrame([row("ensemble-single")]), cost_table({arm: [COSTS[arm]] for arm in ("single", "ensemble")})
    )
    assert "\nPlanned questions; intervals and p-values are adjusted for all of them:\n" in str(few)


def test_what_may_go_unseen_is_of_planned_questions_alone():
    """No planned question compares one wide network with a single one: the table has that pair, to explore."""
    wide = {"arm_a": "ensemble", "rule_a": MEAN, "arm_b": "wide", "rule_b": MEAN}
    beside = {"arm_a": "single", "rule_a": EACH, "arm_b": "wide", "rule_b": MEAN, "detectable": 0.9, "family": "all"}
    rows = [row("ensemble-single", metric) for metric in ("error", "nll")]
    rows += [row("ensemble-single", metric) | of for of in (wide, beside) for metric in ("error", "nll")]
    costs = {"single": COSTS["single"], "ensemble": COSTS["ensemble"], "wide": COSTS["ensemble"]}
    one = answer(pd.DataFrame(rows), cost_table({arm: [cost] for arm, cost in costs.items()}))
    assert one.unsettled == ("the averaged ensemble", "one wide network")
    assert one.compared == ("the averaged ensemble",)
    assert one.sentences[-1] == (
        "Not settled: whether the averaged ensemble or one wide network is better than a single network; differences "
        "from the averaged ensemble of up to 1.50 percentage points of error and 0.015 nats of NLL may go unseen."
    )


def test_the_end_of_an_interval_beside_0_is_not_rounded_to_it():
    said = str(found(row("ensemble-single", "nll", better="a", high=-0.00004)))
    assert "0.010 nats less NLL (0.00004 to 0.015, p = 0.010)" in said
    said = str(found(row("ensemble-single", "nll", better="a", high=-0.001, p_adjusted=0.04999)))
    assert "0.010 nats less NLL (0.001 to 0.015, p = 0.0499)" in said


def test_an_answer_shows_itself_in_words():
    one = found()
    assert repr(one) == str(one)


def test_what_may_go_unseen_is_told_beside_the_arms_that_it_is_of():
    both = replace(found(), untested=("one wide network",))
    assert both.sentences[-1].endswith(
        "differences from these of up to 1.50 percentage points of error and 0.015 nats of NLL may go unseen; how one "
        "wide network would do if trained again (3 repetitions or more tell)."
    )


def test_networks_that_err_alike_have_neither_more_nor_fewer_errors():
    (one,) = (found for found in found(test=UNTESTED, p_value=np.nan, p_adjusted=np.nan).against[:1])
    assert str(replace(one, value=0.0)) == "the same error in these networks (-3.00 to 2.00 over the examples)"
