"""Predictions and labels to tables; pure NumPy, SciPy and pandas, no Keras.

* `evaluator`: `Evaluator`, scores with intervals and paired contrasts
* `outcomes`: one arm, rule and metric as a value and its bootstrap draws, the same resamples for all
* `sizes`: quality against the number of members or passes
* `cost`: what each arm costs
* `verdict`: sentences from the contrasts alone
* `arms`: the names of the arms in words
"""

from ensemble_vs_dropout.evaluation.evaluator import Evaluator
from ensemble_vs_dropout.evaluation.sizes import size_curves
from ensemble_vs_dropout.evaluation.verdict import verdict

__all__ = ["Evaluator", "size_curves", "verdict"]
