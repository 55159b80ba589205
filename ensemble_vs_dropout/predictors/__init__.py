"""What predicts: N independent networks, and three ways to use one dropout network.

Each has `predict`, `predict_members` and `to_keras`; see `base`.

* `ensemble`: `Ensemble`, N members of one builder; `members`: its models by number; `saving`: whole ensembles in one
  file; `together`: several fitted in one go; `estimator`: an ensemble for scikit-learn
* `weight_scaling`: dropout off, as Keras predicts: one member
* `monte_carlo`: many passes with dropout on and everything else in inference mode: a pass is a member
* `exact`: every mask of a small network, with its probability
* `export`: an ensemble as one Keras model; `deployed`: the same of what a file holds, raw columns and all
* `thinned`: the network of one mask, as a plain Keras model
* `passes`: passes in one compiled graph; `halves`: what is computed once for all of them; `draws`: the masks
"""

from ensemble_vs_dropout.predictors.ensemble import Ensemble
from ensemble_vs_dropout.predictors.exact import ExactDropout
from ensemble_vs_dropout.predictors.monte_carlo import MonteCarloDropout
from ensemble_vs_dropout.predictors.together import fit_together
from ensemble_vs_dropout.predictors.weight_scaling import WeightScaling

__all__ = ["Ensemble", "ExactDropout", "MonteCarloDropout", "WeightScaling", "fit_together"]
