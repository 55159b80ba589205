"""Three ways to use one dropout network; each is a predictor with `predict`, `predict_members` and `to_keras`.

* `weight_scaling`: dropout off, as Keras predicts: one member
* `monte_carlo`: many passes with dropout on and everything else in inference mode: a pass is a member
* `exact`: every mask of a small network, with its probability
* `thinned`: the network of one mask, as a plain Keras model
* `_passes`: passes in one compiled graph; `_graph`: what is computed once for all of them; `_draws`: the masks
"""

from ensemble_vs_dropout.inference.exact import ExactDropout
from ensemble_vs_dropout.inference.monte_carlo import MonteCarloDropout
from ensemble_vs_dropout.inference.weight_scaling import WeightScaling

__all__ = ["ExactDropout", "MonteCarloDropout", "WeightScaling"]
