"""Predictions and labels to tables; pure NumPy, SciPy and pandas, no Keras.

* `evaluator`: `Evaluator`, scores with intervals and paired contrasts
* `outcomes`: one arm, rule and metric as a value and its bootstrap draws, the same resamples for all
* `sizes`: quality against the number of members or passes, and what the next one gains
* `equivalence`: what an arm is worth in independent networks, and which is best at equal cost
* `members`: how the members of each arm differ, and what that gains
* `cost`: what each arm costs
* `answer`: which arm to use; `verdict`: sentences from the contrasts alone; `wording`: what both call things
* `numbered_checks`: what may change the answer, and what a reader must know
* `arms`: the one registry of recipes and arms; `tasks`: what arms predict, and the metrics and rules of each task
"""

from ensemble_vs_dropout.evaluation.equivalence import equal_cost, equivalence
from ensemble_vs_dropout.evaluation.evaluator import Evaluator
from ensemble_vs_dropout.evaluation.members import diversity_table
from ensemble_vs_dropout.evaluation.sizes import enough, size_curves
from ensemble_vs_dropout.evaluation.verdict import verdict

__all__ = ["Evaluator", "diversity_table", "enough", "equal_cost", "equivalence", "size_curves", "verdict"]
