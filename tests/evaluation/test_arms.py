from ensemble_vs_dropout.evaluation.arms import ARM_LABELS, EACH, RULE_LABELS, arm_label, row_label
from ensemble_vs_dropout.measures import RULES


def test_every_rule_has_words():
    assert set(RULE_LABELS) == {*RULES, EACH}


def test_words_of_arms_and_of_rules_are_distinct():
    assert len(set(ARM_LABELS.values())) == len(ARM_LABELS)
    assert len(set(RULE_LABELS.values())) == len(RULE_LABELS)


def test_an_arm_of_the_users_own_keeps_its_name():
    assert arm_label("forest | 3") == "forest | 3"
    assert row_label("forest", "my_rule", 4) == "forest, my_rule (4)"


def test_rule_and_size_are_told_where_there_is_a_choice_only():
    assert row_label("ensemble", "geometric_mean", 5) == "ensemble, geometric mean (5)"
    assert row_label("dropout", "mean", 1) == "dropout (weight scaling)"
