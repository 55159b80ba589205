"""Every way to use the trained networks of a recipe: what each arm predicts, and what it costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ensemble_vs_dropout.checks import InputError, load_named
from ensemble_vs_dropout.evaluation.arms import ARMS, Arm, arms_of, predicted_for
from ensemble_vs_dropout.experiments.memory import peak_memory
from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.models.costs import multiply_adds
from ensemble_vs_dropout.predictors import Ensemble, MonteCarloDropout, WeightScaling
from ensemble_vs_dropout.predictors.base import Predictor
from ensemble_vs_dropout.types import Cost, Predictions


def members(trained: Ensemble, passes: int, seed: int) -> Predictor:
    """Return the networks themselves."""
    return trained


def weight_scaling(trained: Ensemble, passes: int, seed: int) -> Predictor:
    """Return the first network, with nothing dropped."""
    return WeightScaling(_first(trained))


def monte_carlo(trained: Ensemble, passes: int, seed: int) -> Predictor:
    """Return passes of the first network."""
    return MonteCarloDropout(_first(trained), passes, seed)


def _first(trained: Ensemble) -> keras.Model:
    """Return the first network that predicts."""
    return next(iter(trained.models))


class Ways:
    """Predicts with one trained ensemble after another; those that are built alike share what was traced."""

    def __init__(self) -> None:
        self._first: dict[str, Predictor] = {}

    def __call__(
        self,
        recipe: str,
        trained: Ensemble,
        examples: int,
        inputs: Mapping[str, npt.NDArray[np.generic]],
        passes: int,
        seed: int,
        arms: Sequence[str] | None = None,
    ) -> tuple[dict[str, dict[str, Predictions]], dict[str, Cost]]:
        """Return `predictions[part][arm]`, and what each arm costs.

        An arm whose members are judged alone has a cost, and no predictions of its own; see `arms.judged`.

        Args:
            recipe: A name in `RECIPES`.
            trained: The networks of that recipe.
            examples: How many they were trained on.
            inputs: Features by part; seconds and memory are those of the last, after the others were predicted.
            passes: Of Monte Carlo dropout.
            seed: Of its masks.
            arms: Names of those that are asked for; None for all of the recipe.
        """
        asked = [arm.name for arm in arms_of(recipe)] if arms is None else arms
        wanted = {*asked, *predicted_for(asked)}
        predictions: dict[str, dict[str, Predictions]] = {part: {} for part in inputs}
        costs = {}
        for arm in arms_of(recipe):
            if arm.name not in wanted:
                continue
            predictor = WeightScaling(_first(trained)) if arm.alone else find(arm)(trained, passes, seed)
            histories = _survivors(trained, first=arm.first)
            found, seconds, peak = self._measured(arm.name, predictor, inputs)
            each = len(trained.models) if arm.alone else 1  # what one network costs on average
            costs[arm.name] = _cost(predictor, _first(trained), histories, examples, each, seconds, peak)
            if arm.alone:
                continue
            for part, predicted in found.items():
                predictions[part][arm.name] = predicted
        return predictions, costs

    def predict(
        self,
        recipe: str,
        trained: Ensemble,
        x: npt.NDArray[np.generic],
        passes: int,
        seed: int,
        arms: Sequence[str] | None = None,
    ) -> dict[str, Predictions]:
        """Return what each arm predicts for further inputs; no cost is measured."""
        found = {}
        for name in predicted_for(arm.name for arm in arms_of(recipe) if arms is None or arm.name in arms):
            predictor = find(ARMS[name])(trained, passes, seed)
            self._share(name, predictor)
            found[name] = predictor.predict_members(x)
        return found

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


def find(arm: Arm) -> Callable[[Ensemble, int, int], Predictor]:
    """Return the function that makes an arm's predictor, or raise `InputError`."""
    return load_named(f"predictor of arm {arm.name!r}", arm.predictor)


def _survivors(trained: Ensemble, first: bool) -> pd.DataFrame:
    """Return the histories of the networks that did not diverge, or of the first of them."""
    histories = trained.histories[~trained.histories.member.isin(trained.diverged)]
    return histories[histories.member == histories.member.min()] if first else histories


def _cost(
    predictor: Predictor, model: Any, histories: pd.DataFrame, examples: int, each: int, seconds: float, peak: int
) -> Cost:
    """Return the cost of the networks in `histories`, which are all of `model`'s size, or of one of `each`."""
    networks, trained = histories.member.nunique() // each, float(len(histories)) * examples / each
    return Cost(
        parameters=model.count_params() * networks,
        trained=model.count_params() * trained,
        passes=predictor.members,
        train_seconds=float(histories.seconds.sum()) / each,
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
