"""Pure measures of predictions: arrays in, arrays or numbers out; no Keras, no files, no global state.

* `aggregation`: many members become one prediction (`RULES`, `aggregate`, `predict_labels`)
* `scores`: one value per example (`error`, `nll`, `brier`)
* `calibration`: does confidence mean what it says (`ece`)
* `metrics`: the registry that the evaluator reads (`METRICS`)
* `statistics`: bootstrap weights, McNemar, Holm

A new rule is a function `(members, examples, classes), weights -> (examples, classes)` and one line in `RULES`;
a new metric is a function and one line in `METRICS`.
"""

from ensemble_vs_dropout.measures.aggregation import RULES, aggregate, predict_labels
from ensemble_vs_dropout.measures.calibration import ece
from ensemble_vs_dropout.measures.metrics import METRICS, Metric
from ensemble_vs_dropout.measures.scores import brier, error, nll

__all__ = ["METRICS", "RULES", "Metric", "aggregate", "brier", "ece", "error", "nll", "predict_labels"]
