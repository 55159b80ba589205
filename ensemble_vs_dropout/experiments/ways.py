"""Every way to use trained networks of one kind: what each arm predicts, and what it costs.

Networks without dropout (`plain`) are the arms `single` and `ensemble`; dropout networks are `dropout` (the first one,
weight-scaled), `mc_dropout` (its passes) and `dropout_ensemble`; a `wide` network is the arm of that name.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.experiments.memory import peak_memory
from ensemble_vs_dropout.models.costs import multiply_adds
from ensemble_vs_dropout.predictors import Ensemble, MonteCarloDropout, WeightScaling
from ensemble_vs_dropout.predictors.base import Predictor
from ensemble_vs_dropout.types import Cost, Predictions

ARMS_OF_KIND = {
    "plain": ("ensemble",),
    "dropout": ("dropout", "mc_dropout", "dropout_ensemble"),
    "wide": ("wide",),
}


class Ways:
    """Predicts with one trained ensemble after another; those that are built alike share what was traced."""

    def __init__(self) -> None:
        self._first: dict[str, Predictor] = {}

    def __call__(
        self,
        kind: str,
        trained: Ensemble,
        examples: int,
        inputs: Mapping[str, npt.NDArray[np.generic]],
        passes: int,
        seed: int,
    ) -> tuple[dict[str, dict[str, Predictions]], dict[str, Cost]]:
        """Return `predictions[part][arm]`, and what each arm costs.

        Args:
            kind: A key of `ARMS_OF_KIND`.
            trained: The networks of that kind.
            examples: How many they were trained on.
            inputs: Features by part; seconds and memory are those of the last, after the others were predicted.
            passes: Of Monte Carlo dropout.
            seed: Of its masks.
        """
        predictions: dict[str, dict[str, Predictions]] = {part: {} for part in inputs}
        costs = {}
        if kind == "plain":
            *_, alone = self._measured("single", WeightScaling(trained.models[0]), inputs)
        for arm in ARMS_OF_KIND[kind]:
            predictor, histories = self._predictor(arm, trained, passes, seed)
            of_parts, seconds, peak = self._measured(arm, predictor, inputs)
            for part, predicted in of_parts.items():
                predictions[part][arm] = predicted
            costs[arm] = _cost(predictor, trained.models[0], histories, examples, seconds, peak)
        if kind == "plain":
            shares = {name: cost / len(trained.models) for name, cost in asdict(costs["ensemble"]).items()}
            costs = {"single": Cost(**shares | {"peak_memory": alone}), **costs}
        return predictions, costs

    def predict(
        self, kind: str, trained: Ensemble, x: npt.NDArray[np.generic], passes: int, seed: int
    ) -> dict[str, Predictions]:
        """Return what each arm predicts for further inputs, at no one's cost."""
        found = {}
        for arm in ARMS_OF_KIND[kind]:
            predictor, _ = self._predictor(arm, trained, passes, seed)
            self._share(arm, predictor)
            found[arm] = predictor.predict_members(x)
        return found

    def _predictor(self, arm: str, trained: Ensemble, passes: int, seed: int) -> tuple[Predictor, pd.DataFrame]:
        if arm not in ("dropout", "mc_dropout"):
            return trained, trained.histories
        first = trained.histories.query("member == member.min()")
        if arm == "dropout":
            return WeightScaling(trained.models[0]), first
        return MonteCarloDropout(trained.models[0], passes, seed), first

    def _share(self, arm: str, predictor: Predictor) -> None:
        predictor.share(self._first.setdefault(arm, predictor))

    def _measured(
        self, arm: str, predictor: Predictor, inputs: Mapping[str, npt.NDArray[np.generic]]
    ) -> tuple[dict[str, Predictions], float, int]:
        """Return the predictions of every part, and the seconds and the highest memory of predicting the last."""
        self._share(arm, predictor)
        *others, last = inputs
        found = {part: predictor.predict_members(inputs[part]) for part in others}
        with peak_memory() as peak:
            start = time.perf_counter()
            found[last] = predictor.predict_members(inputs[last])
            seconds = time.perf_counter() - start
        return found, seconds, peak.bytes


def _cost(predictor: Predictor, model: Any, histories: pd.DataFrame, examples: int, seconds: float, peak: int) -> Cost:
    """Return the cost of the networks in `histories`, which are all of `model`'s size."""
    networks, trained = histories.member.nunique(), float(len(histories)) * examples
    return Cost(
        parameters=model.count_params() * networks,
        trained=model.count_params() * trained,
        passes=predictor.members,
        train_seconds=float(histories.seconds.sum()),
        predict_seconds=seconds,
        bytes=sum(np.asarray(weight).nbytes for weight in model.weights) * networks,
        multiply_adds=_counted(lambda: predictor.multiply_adds),
        trained_multiply_adds=_counted(lambda: multiply_adds(model)) * trained,
        peak_memory=peak,
    )


def _counted(count: Callable[[], int]) -> float:
    """Return what is counted, or NaN where it cannot be: that must not stop a comparison."""
    try:
        return count()
    except InputError:
        return float("nan")
