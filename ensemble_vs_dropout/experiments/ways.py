"""Every way to use the trained networks of a recipe: what each arm predicts, and what it costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ensemble_vs_dropout.checks import InputError, load_named
from ensemble_vs_dropout.evaluation.arms import ARMS, EACH, Arm, arms_of, predicted_for
from ensemble_vs_dropout.experiments.memory import peak_memory
from ensemble_vs_dropout.measures import aggregate
from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.models.costs import multiply_adds
from ensemble_vs_dropout.models.programs import plan
from ensemble_vs_dropout.predictors import Ensemble, MonteCarloDropout, WeightScaling
from ensemble_vs_dropout.predictors.base import Predictor
from ensemble_vs_dropout.seeds import derive
from ensemble_vs_dropout.types import Cost, FloatArray, Predictions


def members(trained: Ensemble, passes: int, seed: int) -> Predictor:
    """Return the networks themselves."""
    return trained


def monte_carlo(trained: Ensemble, passes: int, seed: int) -> Predictor:
    """Return passes of the first network."""
    return MonteCarloDropout(_first(trained), passes, seed)


def _first(trained: Ensemble) -> keras.Model:
    """Return the first network that predicts."""
    return next(iter(trained.models))


class Ways:
    """Predicts with one trained ensemble after another; those that are built alike share what was traced."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, str | None], Predictor] = {}
        self._counts: dict[tuple[Any, ...], float] = {}

    def __call__(
        self,
        recipe: str,
        trained: Ensemble,
        examples: int,
        inputs: Mapping[str, npt.NDArray[np.generic]],
        passes: int,
        seed: int,
        arms: Sequence[str] | None = None,
        rules: Sequence[str] = ("mean",),
    ) -> tuple[dict[str, dict[str, Predictions]], dict[str, Cost]]:
        """Return `predictions[part][arm]`, and what each arm costs.

        An arm whose members are judged alone has a cost, and no predictions of its own; see `arms.judged`. An arm that
        uses every network by itself keeps the members of the first, and what the others predict by each rule.

        Args:
            recipe: A name in `RECIPES`.
            trained: The networks of that recipe.
            examples: How many they were trained on.
            inputs: Features by part; seconds and memory are those of the last, after the others were predicted.
            passes: Of Monte Carlo dropout.
            seed: Of its masks.
            arms: Names of those that are asked for; None for all of the recipe.
            rules: Those that arms will be judged by.
        """
        asked = [arm.name for arm in arms_of(recipe)] if arms is None else arms
        wanted = {*asked, *predicted_for(asked)}
        predictions: dict[str, dict[str, Predictions]] = {part: {} for part in inputs}
        costs, histories, model = {}, _survivors(trained), _first(trained)
        of_training = self._counted(("training", plan(model)), partial(multiply_adds, model))
        for arm in arms_of(recipe):
            if arm.name not in wanted:
                continue
            networks = _apart(trained, seed) if arm.own else [(trained, seed)]
            predictor = WeightScaling(model) if arm.alone else find(arm)(networks[0][0], passes, seed)
            self._share(arm.name, trained, predictor)
            found, seconds, peak = _measured(predictor, inputs)
            each = len(trained.models) if arm.alone or arm.own else 1  # what one network costs on average
            counted = self._counted(
                (arm.name, predictor.members, plan(model)), partial(getattr, predictor, "multiply_adds")
            )
            costs[arm.name] = _cost(predictor, model, histories, examples, each, seconds, peak, counted, of_training)
            if arm.alone:
                continue
            for part, predicted in found.items():
                others = self._others(arm, networks, inputs[part], passes, rules)
                predictions[part][arm.name] = replace(predicted, further=others)
        return predictions, costs

    def predict(
        self,
        recipe: str,
        trained: Ensemble,
        x: npt.NDArray[np.generic],
        passes: int,
        seed: int,
        arms: Sequence[str] | None = None,
        rules: Sequence[str] = ("mean",),
    ) -> dict[str, Predictions]:
        """Return what each arm predicts for further inputs; no cost is measured."""
        found = {}
        for name in predicted_for(arm.name for arm in arms_of(recipe) if arms is None or arm.name in arms):
            arm = ARMS[name]
            networks = _apart(trained, seed) if arm.own else [(trained, seed)]
            predictor = find(arm)(networks[0][0], passes, seed)
            self._share(name, trained, predictor)
            others = self._others(arm, networks, x, passes, rules)
            found[name] = replace(predictor.predict_members(x), further=others)
        return found

    def _others(
        self,
        arm: Arm,
        networks: Sequence[tuple[Ensemble, int]],
        x: npt.NDArray[np.generic],
        passes: int,
        rules: Sequence[str],
    ) -> dict[str, FloatArray]:
        """Return by rule what the networks after the first predict, each combined by itself."""
        combined: dict[str, list[FloatArray]] = {}
        for network, seed in networks[1:]:
            predictor = find(arm)(network, passes, seed)
            self._share(arm.name, network, predictor)
            members = predictor.predict_members(x)
            for rule in arm.rules(["mean", *(rule for rule in rules if rule not in ("mean", EACH))]):
                probs = aggregate(members.probs, rule, members.weights)
                combined.setdefault(rule, []).append(probs.astype(members.probs.dtype))
        return {rule: np.stack(probs) for rule, probs in combined.items()}

    def _counted(self, key: tuple[Any, ...], count: Callable[[], Any]) -> float:
        """Return what is counted, once for a key, or NaN where it cannot be: that must not stop a comparison."""
        if key[-1] is not None and key in self._counts:
            return self._counts[key]
        try:
            self._counts[key] = count()
        except InputError:
            self._counts[key] = float("nan")
        return self._counts[key]

    def _share(self, arm: str, networks: Ensemble, predictor: Predictor) -> None:
        predictor.share(self._first.setdefault((arm, plan(_first(networks))), predictor))


def _measured(
    predictor: Predictor, inputs: Mapping[str, npt.NDArray[np.generic]]
) -> tuple[dict[str, Predictions], float, int]:
    """Return the predictions of every part, and the seconds and the highest memory of predicting the last."""
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


def _apart(trained: Ensemble, seed: int) -> list[tuple[Ensemble, int]]:
    """Return every network by itself, and the seed of what it draws."""
    return [
        (Ensemble.from_models([model]), derive(seed, "network", number) if number else seed)
        for number, model in enumerate(trained.models)
    ]


def _survivors(trained: Ensemble) -> pd.DataFrame:
    """Return the histories of the networks that did not diverge."""
    return trained.histories[~trained.histories.member.isin(trained.diverged)]


def _cost(
    predictor: Predictor,
    model: Any,
    histories: pd.DataFrame,
    examples: int,
    each: int,
    seconds: float,
    peak: int,
    counted: float,
    of_training: float,
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
        multiply_adds=counted,
        trained_multiply_adds=of_training * trained,
        peak_memory=peak,
    )
