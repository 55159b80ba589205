"""Fitting members, each exactly as if it were alone; nothing here knows what an ensemble or a prediction is.

* `fitting`: `fit_members`, the one way in
* `arguments`: what `fit` was given, checked; `schedule`: what that means for a member; `streams`: data read in batches
* `strategy`: which of the three strategies, how many members at a time, and why
* `stacked`: one vectorized program over a leading member axis; `stateless`: its step; `masks`: the dropout masks
* `unrolled`: many ordinary models in one graph
* `looped`: one member after the other, Keras' own training step in one compiled epoch: the reference
* `loop`: what happens between epochs, whatever the strategy; `evaluate_members`, after them
* `trunk`: what does not learn, computed once
* `guard`: a look at the first step of members with code of the user's own
* `checkpoints`: members on disk, to go on from; `files`: single models
"""

from ensemble_vs_dropout.training.fitting import Fitted, Options, fit_members
from ensemble_vs_dropout.training.loop import evaluate_members

__all__ = ["Fitted", "Options", "evaluate_members", "fit_members"]
