"""N independent networks, or one network with dropout? The public names, and the map of the house.

Data flow to the right:

    load -> Dataset -> train -> keras.Model(s) -> infer -> Predictions -> evaluate -> tables -> plots, report

Floors, lowest first; a room imports from lower floors alone:

* `checks`, `seeds`, `types`, `progress`, `files`: errors and what the user's own code says; seeds; `Dataset` and
  `Predictions`; the bar of long work; files that appear whole or not at all
* `measures`: combining rules and measures in pure NumPy (`RULES`, `aggregate`, `METRICS`)
  `datasets`: `load_dataset("fashion_mnist")`, `load_dataset("mine.csv", target="label")`
  `models`: what a Keras model is: its head, inputs, random layers, copies, cost; builders such as `mlp`
* `training`: members under a schedule, each as if it were alone
  `evaluation`: `Evaluator`, predictions and labels to tables with paired statistics; `equivalence`, what an arm is
  worth in independent networks; `size_curves`, what one more member gains
* `predictors`: `Ensemble`, and `WeightScaling`, `MonteCarloDropout`, `ExactDropout`, three ways to use one dropout
  network; `EnsembleClassifier` for scikit-learn
* `plots`, `report`: tables to figures and pages
* `experiments`: `compare`, the main job; studies of hundreds of runs; the gallery
* `commands`: the command `evd`

Importing this package loads neither TensorFlow nor pandas; each public name loads what it needs when first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ensemble_vs_dropout import plots as plots
    from ensemble_vs_dropout.checks import InputError as InputError
    from ensemble_vs_dropout.datasets import load_dataset as load_dataset
    from ensemble_vs_dropout.evaluation import Evaluator as Evaluator
    from ensemble_vs_dropout.evaluation import equal_cost as equal_cost
    from ensemble_vs_dropout.evaluation import equivalence as equivalence
    from ensemble_vs_dropout.evaluation import size_curves as size_curves
    from ensemble_vs_dropout.evaluation.arms import ARMS as ARMS
    from ensemble_vs_dropout.experiments.comparing import Comparison as Comparison
    from ensemble_vs_dropout.experiments.comparing import compare as compare
    from ensemble_vs_dropout.measures import METRICS as METRICS
    from ensemble_vs_dropout.measures import RULES as RULES
    from ensemble_vs_dropout.measures import Metric as Metric
    from ensemble_vs_dropout.measures import Stacking as Stacking
    from ensemble_vs_dropout.measures import aggregate as aggregate
    from ensemble_vs_dropout.measures import fit_weights as fit_weights
    from ensemble_vs_dropout.measures import select_members as select_members
    from ensemble_vs_dropout.measures import uncertainty as uncertainty
    from ensemble_vs_dropout.models import builders as networks
    from ensemble_vs_dropout.models.classic_dropout import ClassicDropout as ClassicDropout
    from ensemble_vs_dropout.models.classic_dropout import to_classic as to_classic
    from ensemble_vs_dropout.models.classic_dropout import to_inverted as to_inverted
    from ensemble_vs_dropout.models.losses import GaussianNLL as GaussianNLL
    from ensemble_vs_dropout.predictors import Ensemble as Ensemble
    from ensemble_vs_dropout.predictors import ExactDropout as ExactDropout
    from ensemble_vs_dropout.predictors import MonteCarloDropout as MonteCarloDropout
    from ensemble_vs_dropout.predictors import WeightScaling as WeightScaling
    from ensemble_vs_dropout.predictors.estimator import EnsembleClassifier as EnsembleClassifier
    from ensemble_vs_dropout.types import Cost as Cost
    from ensemble_vs_dropout.types import Dataset as Dataset
    from ensemble_vs_dropout.types import Predictions as Predictions
    from ensemble_vs_dropout.types import RegressionPredictions as RegressionPredictions

_ROOMS = {
    "InputError": "checks",
    "Dataset": "types",
    "Predictions": "types",
    "RegressionPredictions": "types",
    "Cost": "types",
    "load_dataset": "datasets",
    "Ensemble": "predictors",
    "EnsembleClassifier": "predictors.estimator",
    "WeightScaling": "predictors",
    "ExactDropout": "predictors",
    "ClassicDropout": "models.classic_dropout",
    "to_classic": "models.classic_dropout",
    "to_inverted": "models.classic_dropout",
    "GaussianNLL": "models.losses",
    "MonteCarloDropout": "predictors",
    "RULES": "measures",
    "aggregate": "measures",
    "fit_weights": "measures",
    "select_members": "measures",
    "Stacking": "measures",
    "uncertainty": "measures",
    "METRICS": "measures",
    "Metric": "measures",
    "ARMS": "evaluation.arms",
    "Evaluator": "evaluation",
    "equivalence": "evaluation",
    "equal_cost": "evaluation",
    "size_curves": "evaluation",
    "compare": "experiments.comparing",
    "Comparison": "experiments.comparing",
}
_MODULES = {"networks": "models.builders", "plots": "plots"}
__all__ = [*_ROOMS, "networks", "plots"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{_MODULES[name]}")
    if name in _ROOMS:
        return getattr(importlib.import_module(f"{__name__}.{_ROOMS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
