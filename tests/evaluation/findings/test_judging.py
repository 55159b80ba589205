"""Expectations have three outcomes: each kind of judgment holds, does not, and cannot be judged, in made numbers."""

import numpy as np
import pytest

from ensemble_vs_dropout.evaluation.findings import Fact
from ensemble_vs_dropout.evaluation.findings.judging import (
    Evidence,
    correlation,
    counted,
    every,
    floor,
    judge,
    of_both,
    of_examples,
    of_units,
    some,
    without_each,
)

HELD, FAILED, UNSURE = "held", "did not hold", "cannot be judged"
SURE, NOT, OPEN = Evidence(0.001, 0.999), Evidence(0.999, 0.001), Evidence(0.4, 0.6)


def outcome(evidence):
    return judge("s", evidence, "n").outcome


def units(mean, noise=1.0):
    return of_units(mean + noise * np.array([-1.0, 0.0, 1.0]))


@pytest.mark.parametrize(
    ("estimate", "expected"),
    [(units(9), HELD), (units(-9), FAILED), (units(1), UNSURE), (units(-1), UNSURE), (units(0, 0), UNSURE)],
)
def test_a_direction_holds_beyond_noise_alone(estimate, expected):
    assert outcome(estimate.above()) == expected
    turned = {HELD: FAILED, FAILED: HELD, UNSURE: UNSURE}
    assert outcome(estimate.below()) == turned[expected]
    assert outcome(estimate.above(-100)) == HELD


def test_the_level_is_five_percent_on_either_side():
    t = 2.919986  # of Student's t with two degrees of freedom, 5 % beyond it
    for shift, expected in ((1.01, HELD), (0.99, UNSURE), (-0.99, UNSURE), (-1.01, FAILED)):
        assert outcome(units(shift * t / np.sqrt(3)).above()) == expected


@pytest.mark.parametrize(
    ("value", "noise", "expected"),
    [
        (0.0, 0.1, HELD),
        (0.3, 0.1, HELD),
        (-0.3, 0.1, HELD),
        (0.0, 1.0, UNSURE),
        (0.5, 0.1, UNSURE),
        (0.9, 0.1, FAILED),
        (-0.9, 0.1, FAILED),
        (0.62, 0.42 * 3**0.5, UNSURE),  # what "within 2 standard errors of 0" called the same
    ],
)
def test_the_same_is_shown_within_a_margin_and_not_by_noise(value, noise, expected):
    assert outcome(units(value, noise).within(0.5)) == expected


def test_all_claims_hold_together_or_one_of_them_fails():
    assert [outcome(every(*each)) for each in ((SURE, SURE), (SURE, NOT), (SURE, OPEN))] == [HELD, FAILED, UNSURE]
    many = [Evidence(0.97, 0.03)] * 4  # that one of four has p = 0.03 shows little
    assert outcome(every(*many)) == UNSURE
    assert outcome(every(many[0])) == FAILED


def test_at_least_one_claim_holds_or_all_of_them_fail():
    assert [outcome(some(*each)) for each in ((SURE, NOT), (NOT, NOT), (NOT, OPEN))] == [HELD, FAILED, UNSURE]
    assert outcome(some(*[Evidence(0.03, 0.97)] * 4)) == UNSURE


def test_what_cannot_be_judged_says_why():
    alike = judge("s", units(0, 0).above(), "0 and 0")
    assert alike == Fact("s", UNSURE, "0 and 0", "alike without any noise, as at a floor or a ceiling")
    assert alike.held is None
    assert alike.details == "0 and 0; alike without any noise, as at a floor or a ceiling"
    few = judge("s", of_units([1.0, 2.0]).above(), "n")
    assert few.reason == "of 2 networks: what another training would change is known from 3 on"
    assert judge("s", units(9).unless("of one image").above(), "n").reason == "of one image"
    assert "within the noise" in judge("s", OPEN, "n").reason
    assert judge("s", of_units([1.0, np.nan, 2.0]).above(), "n").reason == "not all of them are known and finite"
    assert every(SURE, Evidence(0.0, 1.0, "why")).why == some(NOT, Evidence(0.0, 1.0, "why")).why == "why"


def test_values_below_the_margin_are_no_evidence_of_sameness():
    assert outcome(units(0.0, 1e-4).unless(floor(0.005, 0.001, 0.0)).within(0.005)) == UNSURE
    assert outcome(units(0.0, 1e-4).unless(floor(0.005, 0.15, 0.0)).within(0.005)) == HELD


def test_numbers_without_noise_are_counted():
    assert [counted("s", held, "n").outcome for held in (True, False)] == [HELD, FAILED]


def test_noise_is_of_networks_and_of_examples():
    rng = np.random.default_rng(0)
    of_networks = 0.1 + np.array([-0.2, 0.0, 0.2])[:, None] + rng.normal(0, 0.01, (3, 400))
    of_few = 0.1 + np.repeat(rng.normal(0, 1, (1, 60)), 3, axis=0)
    sure = 0.1 + rng.normal(0, 0.1, (3, 400))
    assert [outcome(of_examples(rows).above()) for rows in (of_networks, of_few, sure)] == [UNSURE, UNSURE, HELD]
    assert outcome(of_examples(sure[:1]).above()) == UNSURE
    assert outcome(of_examples(sure[:1], fixed=True).above()) == HELD  # said of this network
    assert of_examples(np.full((3, 5), np.inf)).why == "infinite"


def test_units_that_are_not_paired_add_their_noise():
    same = of_both([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    assert same.value == 0
    assert outcome(same.above()) == UNSURE
    assert outcome(of_both([1.0, 1.1, 1.2], [3.0, 3.1, 3.2]).below()) == HELD
    assert outcome(of_both([9.0], [3.0, 3.1, 3.2]).above()) == UNSURE


def test_what_is_left_out_gives_the_noise_of_a_mean_as_its_units_do():
    values = np.array([1.0, 2.0, 4.0])
    without = without_each(values.mean(), lambda one: np.delete(values, one).mean(), 3)
    assert without.words() == of_units(values).words()
    assert "of 2 networks" in without_each(1.0, lambda one: 1.0, 2).why


def test_points_of_one_group_count_once():
    rng = np.random.default_rng(0)
    x = np.arange(8.0)
    y = x + rng.normal(0, 0.5, 8)
    bound = np.arctanh(0.8)
    assert outcome(correlation(x, y, range(8))[0].above(bound)) == HELD
    assert outcome(correlation(x, -y, range(8))[0].above(bound)) == FAILED
    assert outcome(correlation(x, x + rng.normal(0, 3, 8), range(8))[0].above(bound)) == UNSURE
    once = correlation(x, y, range(8))[1]
    again = correlation(np.tile(x, 5), np.tile(y, 5), np.tile(range(8), 5))[1]
    assert once == again
    assert "of 4 groups" in correlation(x, y, np.arange(8) // 2)[0].why
