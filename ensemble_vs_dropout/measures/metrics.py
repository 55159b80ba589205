"""The registry of metrics: what the evaluator can be asked for."""

from collections import ChainMap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ensemble_vs_dropout.checks import InputError, check_known, load_named
from ensemble_vs_dropout.measures import (
    calibration,
    class_scores,
    quantiles,
    regression,
    scores,
    selection,
    temperature,
)
from ensemble_vs_dropout.types import FloatArray, IntArray


@dataclass(frozen=True)
class Metric:
    """A measure of pooled probabilities (examples, classes) against labels (examples,).

    One of numbers is of a pool's components (means, scales, weights; see `measures.regression`) against targets.

    Attributes:
        function: Returns one value per example if `per_example`, else one number.
        label: What tables and axes say, with the unit.
        higher_is_better: The direction.
        per_example: Whether the measure is the mean of one value per example.
        weighted: For a measure that is not: whether `function` takes `weights`, shape (resamples, examples), rows
            summing to 1, and returns one value for each row. If not, resampling calls it again and again, slowly.
        highest: What the measure cannot exceed.
        lowest: What it cannot be below.

    Example:
        >>> accuracy = Metric(lambda probs, labels: probs.argmax(axis=1) == labels, "accuracy", higher_is_better=True)
        >>> accuracy.value(np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([0, 1]))
        0.5
    """

    function: Callable[..., Any]
    label: str
    higher_is_better: bool = False
    per_example: bool = True
    weighted: bool = False
    highest: float = np.inf
    lowest: float = 0.0

    @property
    def scale(self) -> float:
        """What a value is multiplied by before it is shown: 100 for a percentage."""
        return 100.0 if self.label.endswith("(%)") else 1.0

    def value(self, probs: FloatArray, labels: IntArray) -> float:
        """Return the measure as one number."""
        return float(np.mean(self.function(probs, labels)))


_whole = partial(Metric, per_example=False, weighted=True, highest=1.0)
STANDARD_METRICS = ("error", "nll", "calibrated_nll", "brier", "ece")  # unless others are asked for
METRICS: dict[str, Metric] = {
    "error": Metric(scores.error, "error (%)", highest=1.0),
    "accuracy": Metric(scores.accuracy, "accuracy (%)", higher_is_better=True, highest=1.0),
    "top_5_error": Metric(scores.top_k_error, "top-5 error (%)", highest=1.0),
    "balanced_error": _whole(class_scores.balanced_error, "balanced error (%)"),
    "macro_f1": _whole(class_scores.macro_f1, "macro F1", higher_is_better=True),
    "nll": Metric(scores.nll, "NLL (nats)"),
    "calibrated_nll": Metric(temperature.calibrated_nll, "calibrated NLL (nats)"),
    "brier": Metric(scores.brier, "Brier score (0 to 2)", highest=2.0),
    "spherical": Metric(scores.spherical, "spherical score (0 to 1)", highest=1.0),
    "ece": _whole(calibration.ece, "ECE (15 bins)"),
    "adaptive_ece": _whole(calibration.adaptive_ece, "adaptive ECE (15 bins)"),
    "class_wise_ece": _whole(calibration.class_wise_ece, "class-wise ECE (15 bins)"),
    "debiased_ce": _whole(calibration.debiased_calibration_error, "debiased calibration error"),
    "max_ce": _whole(calibration.max_calibration_error, "maximum calibration error"),
    "aurc": _whole(selection.aurc, "AURC"),
    "excess_aurc": _whole(selection.excess_aurc, "excess AURC"),
    "augrc": _whole(selection.augrc, "AUGRC"),
}


def _of_pool(measure: Callable[..., Any]) -> Callable[..., Any]:
    """Return a measure of means, scales, targets and weights as one of a pool's components and targets."""
    return lambda pool, y: measure(pool[0], pool[1], y, pool[2])


STANDARD_REGRESSION_METRICS = ("rmse", "mae", "gaussian_nll", "crps")
WITHOUT_NOISE = ("rmse", "mae")  # which ask for a mean alone
REGRESSION_METRICS: dict[str, Metric] = {
    "rmse": Metric(regression.rmse_of, "RMSE", per_example=False, weighted=True),
    "mae": Metric(lambda pool, y: regression.absolute_error(pool[0], y, pool[2]), "MAE"),
    "gaussian_nll": Metric(_of_pool(regression.gaussian_nll), "NLL (nats)", lowest=-np.inf),
    "crps": Metric(_of_pool(regression.crps), "CRPS"),
    "interval_score": Metric(_of_pool(quantiles.interval_score), "95 % interval score"),
}
EVERY_METRIC: Mapping[str, Metric] = ChainMap(METRICS, REGRESSION_METRICS)


def find_metric(name: str) -> Metric:
    """Return the metric of that name; "package.module:NAME" is one of the user's own, and is registered by that name.

    What the name leads to is a `Metric`, or a function of probabilities (examples, classes) and labels (examples,)
    that returns one value per example, lower being better.

    Raises:
        InputError: There is none.

    Example:
        >>> find_metric("nll").label
        'NLL (nats)'
    """
    if name not in METRICS and ":" in name:
        found = load_named("metric", name)
        if not isinstance(found, Metric) and not callable(found):
            raise InputError(f"metric {name!r} must be a Metric or a function, got {type(found).__name__}")
        METRICS[name] = found if isinstance(found, Metric) else Metric(found, name.partition(":")[2].replace("_", " "))
    return METRICS[check_known("metric", name, METRICS)]
