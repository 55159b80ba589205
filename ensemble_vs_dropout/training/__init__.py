"""Training N members, each exactly as if it were alone.

* `ensemble`: `Ensemble`, the trainer people see
* `schedule`: what a member trains on, for how long, and what is told after each epoch
* `_looped`: one member after the other, Keras' own training step in one compiled epoch: the reference
* `checkpoints`: finished members on disk, to go on from
"""

from ensemble_vs_dropout.training.ensemble import Ensemble
from ensemble_vs_dropout.training.schedule import EpochEnd

__all__ = ["Ensemble", "EpochEnd"]
