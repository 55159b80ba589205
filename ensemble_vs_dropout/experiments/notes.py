"""What a reader of a comparison must know besides the verdict, in sentences; "" where there is nothing to say."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ensemble_vs_dropout.evaluation.arms import recipe_label, row_label
from ensemble_vs_dropout.evaluation.pooling import Arms, labels_of, pool
from ensemble_vs_dropout.experiments.plan import PROBED, Run
from ensemble_vs_dropout.experiments.settings import Settings
from ensemble_vs_dropout.experiments.tables import value_in_a_cell
from ensemble_vs_dropout.measures import METRICS, error
from ensemble_vs_dropout.types import IntArray, Predictions

LEFT_OUT_OVER_SPLITS = (
    "Left out over splits of the data, for it needs the same test examples in every repetition: what each arm is worth "
    "in independent networks, and the figures of reliability, of accuracy by confidence and of other data; repetitions "
    "on one split have them."
)
HELPED = 0.01  # of the validation loss: a gain by more training that may change the answer
_UNLIKE = 2.576  # standard errors: by chance in 1 of 100 splits


def infinite(scores: pd.DataFrame, arms: Arms, labels: IntArray, repetitions: int) -> str:
    """Say whose NLL is infinite, and on how many predictions.

    Args:
        scores: As `Evaluator.scores` makes them.
        arms: Their predictions.
        labels: Shape (examples,), or (repetitions, examples).
        repetitions: How many there are.
    """
    found = scores[np.isposinf(scores.value.astype(float))]
    parts = []
    for arm, rule in found[["arm", "rule"]].drop_duplicates().itertuples(index=False):
        (pooled,) = pool({arm: arms[arm]}, {arm: [rule]}, labels)
        runs = zip(pooled.trials, labels_of(labels, repetitions), strict=True)
        nll = [METRICS["nll"].function(probs, truth) for trials, truth in runs for probs in trials]
        parts.append(f"{row_label(arm, rule, pooled.members)} on {np.isinf(nll).sum()} of {np.size(nll)} predictions")
    if not parts:
        return ""
    return (
        "The NLL is infinite where the true class got probability 0, as when no member voted for it: "
        f"{'; '.join(parts)}."
    )


def uncalibrated(examples: int) -> str:
    """Say that worth goes by the plain NLL, and why."""
    return (
        f"Worth and equal cost go by the plain NLL: {examples:,} test examples are too few to set temperatures by, "
        "which made predictions of other examples worse."
    )


def unlike_test(val: Sequence[Predictions], val_labels: IntArray, test: Sequence[Predictions], labels: IntArray) -> str:
    """Say whether networks err on the validation part more or less often than on the test part, beyond chance."""
    means, variances = [], []
    for runs, truth in ((val, val_labels), (test, labels)):
        wrong = np.mean([error(probs, truth) for run in runs for probs in run.probs], axis=0)
        means.append(wrong.mean())
        variances.append(wrong.var(ddof=1) / len(wrong) if len(wrong) > 1 else np.inf)
    z = (means[0] - means[1]) / max(sum(variances) ** 0.5, 1e-12)
    if abs(z) < _UNLIKE:
        return ""
    return (
        f"The validation part is {'easier' if z < 0 else 'harder'} than the test part by more than chance: "
        f"{100 * means[0]:.1f} % errors against {100 * means[1]:.1f} % (z = {abs(z):.1f}). What is chosen on it still "
        "compares alike, but temperatures fitted to it are too sure or too unsure."
    )


def gains(probes: Sequence[tuple[Run, npt.NDArray[np.float64]]]) -> dict[str, float]:
    """Return by what share validation losses get lower with more epochs and patience, by recipe in words.

    Args:
        probes: Each with the validation losses of its network, after each epoch.
    """
    found = {}
    for run, losses in probes:
        epochs, patience = run.settings.epochs // PROBED, (run.settings.patience or 0) // PROBED
        usual = losses[: _stops_at(losses, epochs, patience)].min()
        found[recipe_label(run.recipe)] = 1 - losses.min() / usual if usual > 0 else 0.0
    return found


def probed(gained: Mapping[str, float]) -> str:
    """Say how much more epochs and patience help, by `gains`."""
    helped = [f"{100 * gain:.0f} % ({name})" for name, gain in gained.items() if gain >= HELPED]
    more = f"{PROBED} times the epochs and the patience"
    if not helped:
        return f"With {more}, one network of each recipe lowers its validation loss by less than 1 %."
    return (
        f"With {more}, the validation loss of one network falls by {'; '.join(helped)}: with more --epochs and "
        "--patience the answer may change."
    )


def cut_short(histories: pd.DataFrame, runs: Sequence[Sequence[Run]], epochs: int) -> str:
    """Say how many networks were still improving at the last epoch.

    Args:
        histories: Columns recipe, repetition, member, epoch, val_loss.
        runs: `runs[repetition]`, one for each recipe.
        epochs: What was asked for.
    """
    last = histories.groupby(["recipe", "repetition", "member"]).agg(
        epochs=("epoch", "max"), best=("val_loss", lambda losses: losses.to_numpy().argmin() + 1)
    )
    at_most = {(run.recipe, r): run.settings.epochs for r, of_one in enumerate(runs) for run in of_one}
    most = [at_most[recipe, repetition] for recipe, repetition, _ in last.index]
    last["cut"] = (last.epochs == most) & (last.best == last.epochs)
    parts = [
        f"{int(group.cut.sum())} of {len(group)} {recipe_label(str(kind))}"
        for kind, group in last.groupby("recipe", sort=False)
        if group.cut.any()
    ]
    if not parts:
        return ""
    return (
        f"Still improving at the last of {epochs} epochs: {'; '.join(parts)}; with more epochs their scores may get "
        "better."
    )


def choices(
    settings: Settings, chosen: Mapping[str, Mapping[str, Any]], trials: Sequence[tuple[Run, float]]
) -> Iterator[str]:
    """Yield for each recipe what was chosen on validation data, from what, and what a rate of 0.5 would have given.

    Args:
        settings: What was asked for.
        chosen: The settings that were chosen, by recipe.
        trials: Those of one choice that did not fail, each with its score.
    """
    how = settings.how
    scale, metric = METRICS[how.metric].scale, METRICS[how.metric].label.partition(" (")[0]
    networks = "one network" if how.members == 1 else f"{how.members} networks, each alone,"
    where = "validation data of the first split" if settings.new_splits else "validation data"
    for recipe in dict.fromkeys(trial.recipe for trial, _ in trials):
        of_recipe = chosen[recipe]
        scores = {_key(trial.settings, of_recipe): scale * score for trial, score in trials if trial.recipe == recipe}
        usual = scores.get(json.dumps({"rate": 0.5})) if of_recipe != {"rate": 0.5} else None
        listed = ", ".join(f"{key.replace('_', ' ')} {value_in_a_cell(value)}" for key, value in of_recipe.items())
        beside = f"; rate 0.5 would have had {usual:.3f} there" if usual is not None else ""
        yield (
            f"For the {recipe_label(recipe)}, {listed} was chosen from {len(how.candidates(recipe))} candidates by the "
            f"{metric} of {networks} on {where} ({scores[_key(settings.chosen(of_recipe), of_recipe)]:.3f}{beside})."
        )


def _key(settings: Settings, keys: Collection[str]) -> str:
    """Return what settings have by these keys, of which `model.units` reaches into `model`; equal for equal ones."""
    found = settings.model_dump(mode="json", warnings=False)
    place = {key: key.partition(".") for key in keys}
    return json.dumps({key: found[outer][inner] if inner else found[outer] for key, (outer, _, inner) in place.items()})


def _stops_at(losses: npt.NDArray[np.float64], epochs: int, patience: int) -> int:
    """Return the number of epochs after which training ends, by these losses after each; without patience all."""
    best = 0
    for epoch, loss in enumerate(losses[:epochs]):
        if loss < losses[best]:
            best = epoch
        elif patience and epoch - best >= patience:
            return epoch + 1
    return min(epochs, len(losses))
