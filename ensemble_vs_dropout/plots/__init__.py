"""Figures of saved tables: tidy DataFrames in, displays out; no Keras, no pyplot, no global state.

* `EnsembleSize.from_curves`: quality against the number of networks or passes
* `LearningCurves.from_histories`: train, validation and test loss, and the gap between them, epoch by epoch
* `ArmIntervals.from_scores`: every arm and rule as a dot with its interval
* `display`: `Display`, what they share: `.plot(ax=None)` draws, `.frame()` returns the numbers drawn, and
  `.save(path)` writes files
* `style`: the colour, marker and label of each arm, the same in every figure

A new display is one file with a frozen subclass of `Display` (a constructor `from_...`, `_mosaic`, `_height`
and `_draw`), a line here, and a line in the contract test. A new arm is a line in `style.ARMS`.
"""

from ensemble_vs_dropout.plots.arm_intervals import ArmIntervals
from ensemble_vs_dropout.plots.display import Display
from ensemble_vs_dropout.plots.ensemble_size import EnsembleSize
from ensemble_vs_dropout.plots.learning_curves import LearningCurves

__all__ = ["ArmIntervals", "Display", "EnsembleSize", "LearningCurves"]
