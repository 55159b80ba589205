"""Pure measures of predictions: arrays in, arrays or numbers out; no Keras, no files, no global state.

Combining:

* `aggregation`: many members become one prediction (`RULES`, `aggregate`, `predict_labels`)
* `learned`: rules that are fitted to validation data (`fit_weights`, `select_members`, `Stacking`)
* `stopping`: when enough votes are in

Measuring pooled probabilities against labels:

* `scores`: one value per example (`error`, `nll`, `brier`, ...); `class_scores`: each class counts alike
* `calibration`: does confidence mean what it says; `temperature`: the one number that mends it
* `selection`: is it right where it is sure
* `metrics`: the registry that the evaluator reads (`METRICS`)

Measuring members:

* `uncertainty`: entropy, mutual information and variance of the members; `detection`: of data that do not belong
* `diversity`: how differently they predict; `decomposition`: what that gains, for each rule

Predictions of numbers:

* `regression`: members that predict normal distributions: pools, errors, NLL, CRPS, parts of the variance, noise
* `quantiles`: their quantiles and intervals, coverage, width and calibration

Judging differences:

* `resampling`: bootstrap, jackknife, intervals; `weighted`: measures of many resamples at once
* `significance`: two arms, and corrections for many tests; `rankings`: several arms over several data sets

A new rule is a function `(members, examples, classes), weights -> (examples, classes)` and one line in `RULES`;
a new metric is a function and one line in `METRICS`.
"""

from ensemble_vs_dropout.measures.aggregation import RULES, STANDARD_RULES, aggregate, predict_labels
from ensemble_vs_dropout.measures.calibration import ece
from ensemble_vs_dropout.measures.learned import Stacking, fit_weights, select_members
from ensemble_vs_dropout.measures.metrics import METRICS, STANDARD_METRICS, Metric
from ensemble_vs_dropout.measures.scores import brier, error, nll
from ensemble_vs_dropout.measures.uncertainty import entropy, uncertainty

__all__ = [
    "METRICS",
    "RULES",
    "STANDARD_METRICS",
    "STANDARD_RULES",
    "Metric",
    "Stacking",
    "aggregate",
    "brier",
    "ece",
    "entropy",
    "error",
    "fit_weights",
    "nll",
    "predict_labels",
    "select_members",
    "uncertainty",
]
