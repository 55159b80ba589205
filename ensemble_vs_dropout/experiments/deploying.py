"""An arm of a finished comparison as one `.keras` file that takes what the user's file held."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ensemble_vs_dropout.checks import InputError, check_at_least, check_known
from ensemble_vs_dropout.evaluation.arms import ARMS, EACH, find_arms
from ensemble_vs_dropout.experiments.kept import INPUTS, environment_of, inputs_of
from ensemble_vs_dropout.experiments.plan import Run, state_of_data
from ensemble_vs_dropout.experiments.running import data_digest, data_of, inputs_of_data
from ensemble_vs_dropout.experiments.ways import find
from ensemble_vs_dropout.files import digest_of_file
from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.predictors import Ensemble, MonteCarloDropout
from ensemble_vs_dropout.predictors.deployed import deployed
from ensemble_vs_dropout.seeds import derive
from ensemble_vs_dropout.types import Encoding

if TYPE_CHECKING:
    from ensemble_vs_dropout.experiments.comparison import Comparison


def deployable(
    comparison: Comparison, arm: str | None, rule: str | None, repetition: int, passes: int | None
) -> tuple[keras.Model, dict[str, Any]]:
    """Return the model of an arm, and what a file tells of it; see `Comparison.export`."""
    if arm is None:
        use = comparison.answer().use
        arm, rule = use.arm, rule or use.rule
    rule = "mean" if rule in (None, EACH) else rule
    check_known("arm", arm, comparison.arms)
    if not 0 <= repetition < len(comparison.runs):
        raise InputError(f"repetition must be 0 to {len(comparison.runs) - 1}, got {repetition}")
    run = next(run for run in comparison.runs[repetition] if run.recipe == ARMS[arm].recipe)
    inputs = _inputs(comparison, run)
    models = _members(comparison, repetition, arm, passes)
    encoding = Encoding.from_json(inputs["encoding"])
    try:
        model = deployed(models, encoding, inputs["shape"], inputs["dtype"], rule)
    except InputError:
        raise
    except ValueError as error:  # Keras' own, of a shape that no layer takes
        raise InputError(
            f"{run.name} tells of inputs of shape {inputs['shape']}, which its networks do not take; run it again"
        ) from error
    settings = comparison.settings
    told = {
        **inputs, "arm": arm, "label": ARMS[arm].label, "rule": rule, "members": len(models), "run": run.name,
        "dataset": settings.dataset, "target": settings.target,
    }  # fmt: skip
    return model, told


def _members(comparison: Comparison, repetition: int, arm: str, passes: int | None) -> list[keras.Model]:
    """Return the networks whose predictions an arm pools."""
    (known,) = find_arms([arm])
    networks = comparison.ensembles[repetition][known.recipe]
    seed = derive(comparison.settings.seed, "masks", repetition)
    wanted = comparison.settings.passes if passes is None else check_at_least("passes", passes, 1)
    predictor = find(known)(networks, wanted, seed)
    if isinstance(predictor, MonteCarloDropout):
        fixed = MonteCarloDropout(predictor.model, predictor.passes, predictor.seed, masks="shared")
        return [fixed.materialise(number) for number in range(fixed.passes)]
    if not isinstance(predictor, Ensemble):
        raise InputError(
            f"arm {arm!r} predicts by {type(predictor).__name__}, which is no Keras model; export an arm of networks "
            "or of passes"
        )
    return [*predictor.models][: 1 if known.alone else None]


def _inputs(comparison: Comparison, run: Run) -> dict[str, Any]:
    """Return what the networks of a run take; of runs that do not tell, what their data tell when loaded again."""
    if INPUTS in comparison.store.files(run):
        return inputs_of(run, comparison.store)
    told = environment_of(run, comparison.store)
    again = f"run the same comparison into a new folder to export it; {run.name} does not tell what its networks take"
    if comparison.facts.get("data_sha256"):
        raise InputError(again)
    file = state_of_data(run.settings.dataset)  # a category may have another name now, which no feature tells
    if file and digest_of_file(Path(file[0])) != run.spec.get("data_sha256"):
        raise InputError(f"{again}, and its data have changed")
    try:
        data = data_of(run.settings)
    except (InputError, OSError) as error:
        raise InputError(f"{again}, and its data cannot be loaded ({error})") from error
    if data_digest(data) != told.get("data_sha256"):
        raise InputError(f"{again}, and its data have changed")
    return inputs_of_data(data)
