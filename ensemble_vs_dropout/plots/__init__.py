"""Figures of saved numbers: tables or predictions in, displays out; no Keras, no pyplot, no global state.

A `Display` holds numbers and words: `.plot(ax=None)` draws, `.frame()` returns the numbers drawn, `.save(path)` writes
files, `.facts` tells what was expected to come out and whether it did. `GALLERY` names them all:

Of one experiment: `ArmIntervals`, `LearningCurves`, `EnsembleSize`, `MCVersusWeightScaling`, `CombinerComparison`,
`OODEntropy`, `AccuracyVersusConfidence`, `ReliabilityPooling`, `DeepEnsembleEquivalent`, `PowerLaw`, `KappaError`,
`DisagreementImages`, `RotatedExample`, `Activations`, `ConfusionMatrix`, `ClassErrors`.

Of many: `RetentionSweep`, `DatasetSize`, `Architectures`, `ShiftRobustness`, `ExactEnumeration`,
`DiversityAccuracyPlane`, `FunctionSpace`, `EIRVersusDER`, `BiasVarianceDiversity`, `CostFrontier`, `PairedDifferences`,
`CriticalDifference`, `PlannedQuestions`.

Of one kind, for each value of further settings: `Facets`.

Beside them: `display`, what they share; `style`, the colour, marker and label of each arm, the same in every figure;
`repetitions`, means and intervals over seeds; `pictures`, images as matplotlib takes them.

A new display is one file with a frozen subclass of `Display` (a constructor `from_...`, `_mosaic`, `_height` and
`_draw`), a line here, and one in the contract test. A new arm is a line in `style.ARMS`.
"""

from ensemble_vs_dropout.plots.accuracy_vs_confidence import AccuracyVersusConfidence
from ensemble_vs_dropout.plots.activations import Activations
from ensemble_vs_dropout.plots.architectures import Architectures
from ensemble_vs_dropout.plots.arm_intervals import ArmIntervals
from ensemble_vs_dropout.plots.bias_variance_diversity import BiasVarianceDiversity
from ensemble_vs_dropout.plots.combiner_comparison import CombinerComparison
from ensemble_vs_dropout.plots.confusions import MOST_CLASSES, ClassErrors, ConfusionMatrix
from ensemble_vs_dropout.plots.cost_frontier import CostFrontier
from ensemble_vs_dropout.plots.critical_difference import CriticalDifference
from ensemble_vs_dropout.plots.dataset_size import DatasetSize
from ensemble_vs_dropout.plots.deep_ensemble_equivalent import DeepEnsembleEquivalent
from ensemble_vs_dropout.plots.disagreement_images import DisagreementImages
from ensemble_vs_dropout.plots.display import Display, Fact
from ensemble_vs_dropout.plots.diversity_accuracy_plane import DiversityAccuracyPlane
from ensemble_vs_dropout.plots.eir_vs_der import EIRVersusDER
from ensemble_vs_dropout.plots.ensemble_size import EnsembleSize
from ensemble_vs_dropout.plots.exact_enumeration import ExactEnumeration, SmallNetwork
from ensemble_vs_dropout.plots.facets import Facets
from ensemble_vs_dropout.plots.function_space import FunctionSpace
from ensemble_vs_dropout.plots.kappa_error import KappaError
from ensemble_vs_dropout.plots.learning_curves import LearningCurves
from ensemble_vs_dropout.plots.mc_vs_weight_scaling import MCVersusWeightScaling
from ensemble_vs_dropout.plots.ood_entropy import OODEntropy
from ensemble_vs_dropout.plots.paired_differences import PairedDifferences
from ensemble_vs_dropout.plots.planned_questions import PlannedQuestions
from ensemble_vs_dropout.plots.power_law import PowerLaw
from ensemble_vs_dropout.plots.reliability_pooling import ReliabilityPooling
from ensemble_vs_dropout.plots.retention_sweep import RetentionSweep
from ensemble_vs_dropout.plots.rotated_example import RotatedExample
from ensemble_vs_dropout.plots.shift_robustness import ShiftRobustness

GALLERY: dict[str, type[Display]] = {
    "mc_vs_weight_scaling": MCVersusWeightScaling,
    "retention_sweep": RetentionSweep,
    "dataset_size": DatasetSize,
    "learning_curves_gap": Architectures,
    "exact_enumeration": ExactEnumeration,
    "ensemble_size": EnsembleSize,
    "combiner_comparison": CombinerComparison,
    "ood_entropy_hist": OODEntropy,
    "ood_mutual_information": OODEntropy,
    "accuracy_vs_confidence": AccuracyVersusConfidence,
    "shift_robustness": ShiftRobustness,
    "reliability_pooling": ReliabilityPooling,
    "diversity_accuracy_plane": DiversityAccuracyPlane,
    "function_space": FunctionSpace,
    "deep_ensemble_equivalent": DeepEnsembleEquivalent,
    "eir_vs_der": EIRVersusDER,
    "bias_variance_diversity": BiasVarianceDiversity,
    "cost_frontier": CostFrontier,
    "paired_differences": PairedDifferences,
    "critical_difference": CriticalDifference,
    "planned_questions": PlannedQuestions,
    "activations": Activations,
    "rotated_example": RotatedExample,
    "kappa_error": KappaError,
    "disagreement_images": DisagreementImages,
    "power_law": PowerLaw,
    "arm_intervals": ArmIntervals,
    "learning_curves": LearningCurves,
}

__all__ = [
    "GALLERY",
    "MOST_CLASSES",
    "AccuracyVersusConfidence",
    "Activations",
    "Architectures",
    "ArmIntervals",
    "BiasVarianceDiversity",
    "ClassErrors",
    "CombinerComparison",
    "ConfusionMatrix",
    "CostFrontier",
    "CriticalDifference",
    "DatasetSize",
    "DeepEnsembleEquivalent",
    "DisagreementImages",
    "Display",
    "DiversityAccuracyPlane",
    "EIRVersusDER",
    "EnsembleSize",
    "ExactEnumeration",
    "Facets",
    "Fact",
    "FunctionSpace",
    "KappaError",
    "LearningCurves",
    "MCVersusWeightScaling",
    "OODEntropy",
    "PairedDifferences",
    "PlannedQuestions",
    "PowerLaw",
    "ReliabilityPooling",
    "RetentionSweep",
    "RotatedExample",
    "ShiftRobustness",
    "SmallNetwork",
]
