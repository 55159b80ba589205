from dataclasses import replace

import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation import arms
from ensemble_vs_dropout.evaluation.arms import ARMS, EACH, RECIPES, RULE_LABELS, Arm, Recipe, arm_label, row_label
from ensemble_vs_dropout.measures import RULES, STANDARD_RULES
from ensemble_vs_dropout.measures.regression import POOLS


def test_every_rule_has_words():
    assert set(RULE_LABELS) == {*RULES, *POOLS, EACH}


def test_words_of_arms_recipes_and_rules_are_distinct():
    labels = [entry.label for entry in (*ARMS.values(), *RECIPES.values())]
    assert len(set(labels)) == len(labels)
    assert len(set(RULE_LABELS.values())) == len(RULE_LABELS)


def test_an_arm_of_the_users_own_keeps_its_name():
    assert arm_label("forest | 3") == "forest | 3"
    assert row_label("forest", "my_rule", 4) == "forest, my_rule (4)"
    assert arms.rules_of("forest", STANDARD_RULES) == ("mean",)


def test_rule_and_size_are_told_where_there_is_a_choice_only():
    assert row_label("ensemble", "geometric_mean", 5) == "ensemble, geometric mean (5)"
    assert row_label("dropout", "mean", 1) == "dropout (weight scaling)"


def test_the_rules_of_an_arm_are_those_it_has_a_choice_of():
    assert arms.rules_of("ensemble", STANDARD_RULES) == tuple(STANDARD_RULES)
    assert arms.rules_of("dropout_ensemble", STANDARD_RULES) == ("mean",)
    assert arms.rules_of("single", STANDARD_RULES) == (EACH,)
    assert arms.rules_of("ensemble", [EACH]) == (EACH,)  # a trial asks of each member alone
    assert arms.rules_of("mc_dropout", [EACH]) == ("mean",)  # passes are no networks
    assert arms.rules_of("mc_dropout", ["median", EACH]) == ("median",)


def test_a_single_network_is_judged_by_the_predictions_of_the_ensemble():
    assert list(arms.judged({"wide": 3, "mine": 4, "ensemble": 1, "mc_dropout": 2}).items()) == [
        ("single", 1), ("ensemble", 1), ("mc_dropout", 2), ("wide", 3), ("mine", 4),
    ]  # fmt: skip
    assert "single" not in arms.judged({"dropout_ensemble": 1})


def test_every_recipe_is_judged_by_an_arm_of_its_own():
    for recipe in RECIPES.values():
        assert ARMS[recipe.judge].recipe == recipe.name


def test_what_is_registered_twice_or_without_its_recipe_is_refused(monkeypatch):
    monkeypatch.setattr(arms, "ARMS", dict(ARMS))
    monkeypatch.setattr(arms, "RECIPES", dict(RECIPES))
    with pytest.raises(InputError, match="arm must have a name of its own, got 'single'"):
        arms.register_arm(replace(ARMS["single"], label="another"))
    assert arms.register_arm(ARMS["single"]) is ARMS["single"]  # the same again, as a module that is imported twice
    with pytest.raises(InputError, match="recipe must have a name of its own, got 'plain'"):
        arms.register_recipe(replace(RECIPES["plain"], label="another"))
    with pytest.raises(InputError, match="unknown recipe 'plian'"):
        arms.register_arm(Arm("new", "new", "plian", "nowhere:nothing"))
    arms.register_recipe(Recipe("late", "late networks", "late network", judge="latest"))
    arms.register_arm(Arm("latest", "latest", "late", "nowhere:nothing"))
    assert [arm.name for arm in arms.arms_of("late")] == ["latest"]


def test_an_arm_that_nothing_predicts_for_is_refused_and_not_left_out(monkeypatch):
    monkeypatch.setattr(arms, "ARMS", dict(ARMS))
    lonely = Arm("lonely", "lonely", "plain", "nowhere:nothing", alone=True)
    with pytest.raises(InputError, match="arm 'lonely' judges members alone"):
        arms.find_arms(["ensemble", lonely])


def test_arms_are_found_by_name_in_the_order_of_the_registry():
    assert [arm.name for arm in arms.find_arms(["mc_dropout", ARMS["single"]])] == ["single", "mc_dropout"]
    for given, told in (
        ("single", "arms must be a list of names, got 'single'"),
        ([], "must name at least one arm"),
        (["single", "single"], "each once"),
        (["singel"], "did you mean 'single'"),
        (["math:pi"], "'math:pi' must be a name or an Arm, got float"),
        (["nowhere:ARM"], "cannot import 'nowhere'"),
    ):
        with pytest.raises(InputError, match=told):
            arms.find_arms(given)
