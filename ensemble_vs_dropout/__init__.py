"""N independent networks, or one network with dropout? The public names, and the map of the house.

Data flow to the right, and no room imports from a room to its right:

    load -> Dataset -> train -> keras.Model(s) -> infer -> Predictions -> evaluate -> tables -> plots, report

* `datasets`: `load_dataset("fashion_mnist")`, `load_dataset("mine.csv", target="label")`
* `networks`: builders of compiled Keras models; `heads`: what their outputs mean; `inputs`: what they are fed
* `training`: `Ensemble`, N independent members of one builder
* `inference`: `WeightScaling`, `MonteCarloDropout` and `ExactDropout`, three ways to use one dropout network
* `classifier`: `EnsembleClassifier`, an ensemble as a scikit-learn estimator
* `graphs`: what follows what in a model; `copies`: the same computation on variables of its own
* `random_layers`: which layers draw, and how to let only some; `random_draws`: numbers that no batch changes
* `multiply_adds`, `memory`: what a prediction costs
* `prediction`: what all predictors have in common; `classic_dropout`: dropout as it was first published
* `measures`: combining rules and measures in pure NumPy (`RULES`, `aggregate`, `METRICS`)
* `evaluation`: `Evaluator`, predictions and labels to tables with paired statistics; `equivalence`, what an arm is
  worth in independent networks; `size_curves`, what one more member gains
* `plots`, `report`: tables to figures and pages
* `ways`: every way to use trained networks of one kind, and what each costs
* `comparison`: `compare`, the main job; `cli`: the command `evd`
* `studies`: hundreds of runs from one file, kept whole or not at all; `study_commands`: `evd study`
* `figures`: every figure of the gallery that saved runs allow

Importing this package loads neither TensorFlow nor pandas; each public name loads what it needs when first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ensemble_vs_dropout import networks as networks
    from ensemble_vs_dropout.checks import InputError as InputError
    from ensemble_vs_dropout.classic_dropout import ClassicDropout as ClassicDropout
    from ensemble_vs_dropout.classic_dropout import to_classic as to_classic
    from ensemble_vs_dropout.classic_dropout import to_inverted as to_inverted
    from ensemble_vs_dropout.classifier import EnsembleClassifier as EnsembleClassifier
    from ensemble_vs_dropout.comparison import Comparison as Comparison
    from ensemble_vs_dropout.comparison import compare as compare
    from ensemble_vs_dropout.datasets import load_dataset as load_dataset
    from ensemble_vs_dropout.evaluation import Evaluator as Evaluator
    from ensemble_vs_dropout.evaluation import equal_cost as equal_cost
    from ensemble_vs_dropout.evaluation import equivalence as equivalence
    from ensemble_vs_dropout.evaluation import size_curves as size_curves
    from ensemble_vs_dropout.inference import ExactDropout as ExactDropout
    from ensemble_vs_dropout.inference import MonteCarloDropout as MonteCarloDropout
    from ensemble_vs_dropout.inference import WeightScaling as WeightScaling
    from ensemble_vs_dropout.measures import METRICS as METRICS
    from ensemble_vs_dropout.measures import RULES as RULES
    from ensemble_vs_dropout.measures import Metric as Metric
    from ensemble_vs_dropout.measures import Stacking as Stacking
    from ensemble_vs_dropout.measures import aggregate as aggregate
    from ensemble_vs_dropout.measures import fit_weights as fit_weights
    from ensemble_vs_dropout.measures import select_members as select_members
    from ensemble_vs_dropout.measures import uncertainty as uncertainty
    from ensemble_vs_dropout.training import Ensemble as Ensemble
    from ensemble_vs_dropout.types import Cost as Cost
    from ensemble_vs_dropout.types import Dataset as Dataset
    from ensemble_vs_dropout.types import Predictions as Predictions

_ROOMS = {
    "InputError": "checks",
    "Dataset": "types",
    "Predictions": "types",
    "Cost": "types",
    "load_dataset": "datasets",
    "Ensemble": "training",
    "EnsembleClassifier": "classifier",
    "WeightScaling": "inference",
    "ExactDropout": "inference",
    "ClassicDropout": "classic_dropout",
    "to_classic": "classic_dropout",
    "to_inverted": "classic_dropout",
    "MonteCarloDropout": "inference",
    "RULES": "measures",
    "aggregate": "measures",
    "fit_weights": "measures",
    "select_members": "measures",
    "Stacking": "measures",
    "uncertainty": "measures",
    "METRICS": "measures",
    "Metric": "measures",
    "Evaluator": "evaluation",
    "equivalence": "evaluation",
    "equal_cost": "evaluation",
    "size_curves": "evaluation",
    "compare": "comparison",
    "Comparison": "comparison",
}
__all__ = [*_ROOMS, "networks"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "networks":
        return importlib.import_module(f"{__name__}.networks")
    if name in _ROOMS:
        return getattr(importlib.import_module(f"{__name__}.{_ROOMS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
