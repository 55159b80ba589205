"""What travels between the rooms.

* `dataset`: labelled examples (`Dataset`), and how their features were made (`Encoding`, of `Column`)
* `predictions`: what members predict (`Predictions`), and what an arm costs (`Cost`)
* `normals`: what members predict of numbers (`RegressionPredictions`)
* `probabilities`: the checks of probabilities, labels and weights
* `inputs`: several inputs of a network in one array
"""

from ensemble_vs_dropout.types.dataset import PARTS, Column, Dataset, Encoding, check_weighing
from ensemble_vs_dropout.types.normals import RegressionPredictions
from ensemble_vs_dropout.types.predictions import Cost, Predictions
from ensemble_vs_dropout.types.probabilities import (
    FloatArray,
    IntArray,
    check_labels,
    check_pair,
    check_probabilities,
    check_weights,
)

__all__ = [
    "PARTS",
    "Column",
    "Cost",
    "Dataset",
    "Encoding",
    "FloatArray",
    "IntArray",
    "Predictions",
    "RegressionPredictions",
    "check_labels",
    "check_pair",
    "check_probabilities",
    "check_weighing",
    "check_weights",
]
