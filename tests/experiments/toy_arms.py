"""A recipe and an arm of a user's own, registered in this one place."""

from ensemble_vs_dropout.evaluation.arms import Arm, Recipe, register_arm, register_recipe

LIGHT = register_recipe(Recipe("light", "lightly dropped networks", "lightly dropped network", "light_trio", rate=0.5))
TRIO = register_arm(
    Arm(
        "light_trio",
        "trio of lightly dropped networks",
        "light",
        "ensemble_vs_dropout.experiments.ways:members",
        grows="networks",
        combined=True,
        sized="the trio of {members} lightly dropped networks",
    )
)
