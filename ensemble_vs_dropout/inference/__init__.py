"""Two ways to use one dropout network; each is a predictor with `predict`, `predict_members` and `to_keras`.

* `weight_scaling`: dropout off, as Keras predicts: one member
* `monte_carlo`: many passes with dropout on and everything else in inference mode: a pass is a member
* `_random_layers`: which layers of a model are random, and how to switch only them on
"""

from ensemble_vs_dropout.inference.monte_carlo import MonteCarloDropout
from ensemble_vs_dropout.inference.weight_scaling import WeightScaling

__all__ = ["MonteCarloDropout", "WeightScaling"]
