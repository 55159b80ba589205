"""Displays that are made from members' predictions, of made-up but realistic probabilities."""

from functools import cache

import numpy as np

from ensemble_vs_dropout.evaluation import size_curves
from ensemble_vs_dropout.evaluation.findings.confusions import confusions
from ensemble_vs_dropout.measures import aggregate
from ensemble_vs_dropout.plots.accuracy_vs_confidence import AccuracyVersusConfidence
from ensemble_vs_dropout.plots.combiner_comparison import CombinerComparison
from ensemble_vs_dropout.plots.confusions import ClassErrors, ConfusionMatrix
from ensemble_vs_dropout.plots.deep_ensemble_equivalent import DeepEnsembleEquivalent
from ensemble_vs_dropout.plots.mc_vs_weight_scaling import MCVersusWeightScaling
from ensemble_vs_dropout.plots.ood_entropy import OODEntropy
from ensemble_vs_dropout.plots.power_law import PowerLaw
from ensemble_vs_dropout.plots.reliability_pooling import ReliabilityPooling
from ensemble_vs_dropout.types import Predictions

EXAMPLES, CLASSES = 400, 10
LABELS = np.random.default_rng(0).integers(CLASSES, size=EXAMPLES)


def logits(members, own, seed=1, shared=1.6, signal=4.0, examples=EXAMPLES, classes=CLASSES, labels=LABELS):
    """Return (members, examples, classes): a signal, noise that all members share, and noise of their own."""
    rng = np.random.default_rng(seed)
    truth = signal * np.eye(classes)[labels[:examples] % classes]
    return truth + shared * rng.normal(size=(examples, classes)) + own * rng.normal(size=(members, examples, classes))


def predictions(*args, sharpness=1.0, **kwargs):
    scores = sharpness * logits(*args, **kwargs)
    exps = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return Predictions(exps / exps.sum(axis=-1, keepdims=True))


def arms(members=10, passes=20, **kwargs):
    return {
        "ensemble": predictions(members, 1.6, shared=0.9, **kwargs),
        "mc_dropout": predictions(passes, 1.0, shared=1.5, **kwargs),
    }


def passes(number=60):
    return predictions(number, 1.2, shared=1.5)


def masks():
    """All masks, of which `passes` are some of the first."""
    return predictions(200, 1.2, shared=1.5)


def scaled():
    """Weight scaling: near the geometric mean of all masks."""
    pool = aggregate(masks().probs, "geometric_mean") ** 0.9
    return Predictions((pool / pool.sum(axis=1, keepdims=True))[None])


def known(**kwargs):
    single = predictions(1, 1.6, shared=0.9, sharpness=1.5)
    return {"single": single, **arms(sharpness=1.5, **kwargs)}


def unknown(**kwargs):
    few = {"examples": 300, "signal": 0.0, "seed": 9}
    single = predictions(1, 2.2, shared=0.9, sharpness=1.5, **few)
    return {"single": single, **arms(sharpness=1.5, **few, **kwargs)}


@cache
def curves():
    return size_curves(arms(), LABELS, ["nll", "calibrated_nll", "brier"], subsets=10, resamples=100)


def mc_versus_weight_scaling(**kwargs):
    given = {"dataset": "fashion_mnist", "repeats": 40, "exact": masks()} | kwargs
    return MCVersusWeightScaling.from_predictions(passes(), scaled(), LABELS, **given)


@cache
def confused():
    return confusions(arms(), LABELS, [f"class {number}" for number in range(10)])


def reliability_pooling():
    test = predictions(8, 1.6, seed=2, shared=1.2, sharpness=1.6)
    return ReliabilityPooling.from_predictions(test, LABELS, dataset="fashion_mnist", resamples=200)


BUILDERS = {
    "mc_vs_ws": mc_versus_weight_scaling,
    "combiners": lambda: CombinerComparison.from_predictions(
        arms(), LABELS, dataset="fashion_mnist", subsets=20, resamples=200
    ),
    "ood": lambda: OODEntropy.from_predictions(
        known(), unknown(), dataset="fashion_mnist", other="mnist", resamples=200
    ),
    "confidence": lambda: AccuracyVersusConfidence.from_predictions(
        known(), LABELS, unknown(), dataset="fashion_mnist", other="mnist", resamples=200
    ),
    "reliability": reliability_pooling,
    "equivalent": lambda: DeepEnsembleEquivalent.from_predictions(
        arms()["ensemble"],
        {"mc_dropout": predictions(20, 1.0, shared=1.2), "dropout": scaled()},
        LABELS,
        dataset="fashion_mnist",
        subsets=5,
        resamples=200,
    ),
    "confusion_matrix": lambda: ConfusionMatrix.from_confusions(confused(), "ensemble", dataset="fashion_mnist"),
    "class_errors": lambda: ClassErrors.from_confusions(confused(), dataset="fashion_mnist"),
    "power_law": lambda: PowerLaw.from_curves(curves(), dataset="fashion_mnist"),
}
