"""Every figure that saved runs allow: what each one needs, and how it is made of what is there; no TensorFlow.

* `sources`: a finished comparison, or a study of a store, as what figures are drawn from
* `drawings`: what each figure needs, and how it is made
* `drawn`: all that some sources allow, one by one or into a folder

`figures` asks for each of its drawings every source; a drawing takes what it needs or says that it is not there.

What else varies in a study is never mixed: a figure of a study has a group of panels for each value (`plots.Facets`),
and a figure of one point is of the first one, or of that chosen by `at`, and says so.
"""

from ensemble_vs_dropout.experiments.gallery.drawings import DRAWINGS
from ensemble_vs_dropout.experiments.gallery.drawn import Drawn, draw, figures
from ensemble_vs_dropout.experiments.gallery.sources import (
    ComparisonSource,
    Lacking,
    Source,
    StudySource,
    read_sources,
)

__all__ = [
    "DRAWINGS",
    "ComparisonSource",
    "Drawn",
    "Lacking",
    "Source",
    "StudySource",
    "draw",
    "figures",
    "read_sources",
]
