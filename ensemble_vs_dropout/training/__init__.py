"""Training N members, each exactly as if it were alone.

* `ensemble`: `Ensemble`, the trainer people see
* `together`: `fit_together`, several ensembles in one go
* `arguments`: what `fit` was given, checked; `schedule`: what that means for a member; `streams`: data read in batches
* `strategy`: which of the three strategies, how many members at a time, and why
* `_stacked`: one vectorized program over a leading member axis; `_stateless`: its step; `_masks`: the dropout masks
* `_unrolled`: many ordinary models in one graph
* `_looped`: one member after the other, Keras' own training step in one compiled epoch: the reference
* `_programs`: functions traced once for all models built alike
* `_members`: what happens between epochs, whatever the strategy
* `_guard`: a look at the first step of members with code of the user's own
* `architecture`: what a model is but for its weights, by which models are known to be alike
* `checkpoints`: members on disk, to go on from; `saving`: whole ensembles in one file; `files`: single models
"""

from ensemble_vs_dropout.training.ensemble import Ensemble
from ensemble_vs_dropout.training.schedule import EpochEnd
from ensemble_vs_dropout.training.together import fit_together

__all__ = ["Ensemble", "EpochEnd", "fit_together"]
