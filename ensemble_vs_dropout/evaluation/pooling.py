"""Predictions by arm, as they are given: checked against labels and each other, and combined by rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation.arms import ARMS, EACH
from ensemble_vs_dropout.measures.aggregation import aggregate
from ensemble_vs_dropout.measures.regression import pool_normal
from ensemble_vs_dropout.measures.spread import LEAST
from ensemble_vs_dropout.types import FloatArray, IntArray, Predictions, RegressionPredictions, check_labels
from ensemble_vs_dropout.types.normals import check_targets

Run = Predictions | RegressionPredictions
Arms = Mapping[str, Run | Sequence[Run]]


@dataclass(frozen=True)
class Pooled:
    """One arm under one rule: `trials[repetition][trial]` of shape (examples, classes).

    There is one trial for a combined prediction, and one more for each further network; under the rule "each" every
    member is a trial. The metric, not the prediction, is averaged over trials. Of numbers a trial is the components of
    the pool; see `measures.regression`.
    """

    arm: str
    rule: str
    members: int
    trials: list[list[Any]]


def runs_of(given: Any) -> list[Any]:
    """Return an arm's predictions, one for each repetition."""
    return list(given) if isinstance(given, Iterable) else [given]


def of_numbers(arms: Arms) -> bool:
    """Return whether some arm predicts numbers."""
    return any(isinstance(run, RegressionPredictions) for given in arms.values() for run in runs_of(given))


def labels_of(labels: npt.ArrayLike, repetitions: int) -> list[IntArray]:
    """Return the labels of each repetition's test examples, or raise `InputError`.

    Args:
        labels: Shape (examples,), or (repetitions, examples) where each repetition has examples of its own.
        repetitions: How many there are.
    """
    try:
        truth = np.asarray(labels)
    except ValueError as error:
        raise InputError(
            "labels must be one array, or one for each repetition with as many examples in each, got arrays of "
            "different length"
        ) from error
    if truth.ndim == 2 and len(truth) != repetitions:
        raise InputError(
            f"labels must be one array, or one for each of the {repetitions} repetitions, got {len(truth)} of them"
        )
    return list(truth) if truth.ndim == 2 else [truth] * repetitions


def check_labelled(
    arms: Arms, labels: npt.ArrayLike, same_members: bool = False
) -> tuple[dict[str, list[Predictions]], list[IntArray]]:
    """Return the predictions of each arm and repetition as `check_arms` does, and the labels of each repetition."""
    truths = labels_of(labels, len(runs_of(next(iter(arms.values()), []))))
    checked = check_arms(arms, len(truths[0]) if truths else None, same_members)
    classes = next(iter(checked.values()))[0].classes
    return checked, [check_labels(truth, classes) for truth in truths]


def check_share(test_share: float | None, labels: npt.ArrayLike) -> None:
    """Raise `InputError` unless a test share is given where each repetition has labels of its own, and only there."""
    if test_share is None:
        if np.ndim(labels) > 1:
            raise InputError("test_share must be n_test / n_train where each repetition has its own labels, got None")
        return
    if not 0 <= test_share < np.inf:
        raise InputError(f"test_share must be n_test / n_train, a number of at least 0, got {test_share!r}")
    if np.ndim(labels) != 2:
        raise InputError(
            f"test_share is for repetitions with a split of their own: labels must then be one array for each, got "
            f"shape {np.shape(labels)}; leave it out where all have the same examples"
        )
    if len(np.asarray(labels)) < LEAST:
        raise InputError(
            f"labels must be of at least {LEAST} splits, for fewer say nothing of others, got {len(np.asarray(labels))}"
        )


def check_arms(
    arms: Mapping[str, Any], examples: int | None = None, same_members: bool = False, kind: type[Any] = Predictions
) -> dict[str, list[Any]]:
    """Return the predictions of each arm and repetition, or raise `InputError`.

    Args:
        arms: All must have the same repetitions, examples and classes.
        examples: How many there must be, one for each label.
        same_members: Whether the repetitions of an arm must have the same number of members.
        kind: What they must be of: `Predictions`, or `RegressionPredictions`, which have no classes.
    """
    if not arms:
        raise InputError("arms must hold at least one arm, got none")
    checked: dict[str, list[Any]] = {}
    for arm, given in arms.items():
        runs = runs_of(given)
        if not all(isinstance(run, kind) for run in runs):
            raise InputError(
                f"arm {arm!r} must be {kind.__name__}, or a list with one for each repetition, got "
                f"{type(given).__name__}; {_remedy(kind, of_numbers({arm: given}))}"
            )
        sizes = [run.examples for run in runs]
        wanted = examples if examples is not None else next(iter(checked.values()), runs)[0].examples if runs else 0
        if not runs or set(sizes) != {wanted}:
            raise InputError(f"arm {arm!r} must predict the {wanted} labelled examples, got {sizes or 'nothing'}")
        others = next(iter(checked.values()), runs)
        if len(runs) != len(others):
            raise InputError(f"all arms must have the same repetitions, got {len(others)} and {len(runs)} ({arm!r})")
        classes = {run.classes if kind is Predictions else 0 for run in runs}
        if kind is Predictions and classes != {others[0].classes}:
            raise InputError(f"all arms must have the same classes, got {others[0].classes} and {classes} ({arm!r})")
        if same_members and len({run.members for run in runs}) > 1:
            raise InputError(
                f"arm {arm!r} must have the same members in each repetition, got {[run.members for run in runs]}"
            )
        checked[arm] = runs
    return checked


def _remedy(kind: type[Any], numbers: bool) -> str:
    """Return what to do about an arm that is not of this kind."""
    if kind is RegressionPredictions:
        return "all arms must predict numbers, or all classes"
    if numbers:
        return "this is of classes, and what predicts numbers is measured by Evaluator.scores and contrasts"
    return "probabilities of shape (members, examples, classes) become such by Predictions(probs)"


def pool(arms: Arms, rules: Mapping[str, Sequence[str]], labels: npt.ArrayLike) -> Iterator[Pooled]:
    """Combine each arm's members by each of its rules; `labels` are as `labels_of` takes them."""
    checked = _check_targeted(arms, labels) if of_numbers(arms) else check_labelled(arms, labels)[0]
    for arm, runs in checked.items():
        members = runs[0].members
        combining = [rule for rule in rules[arm] if rule != EACH]
        only = "mean" if "mean" in combining else next(iter(combining), None)
        for rule in rules[arm]:
            if rule == EACH and members > 1 and arm in ARMS and ARMS[arm].own:
                raise InputError(
                    f"rule {EACH!r} is for members that are networks; those of arm {arm!r} are of one network: leave "
                    "the rule out for it, or give rules by arm"
                )
            if rule == EACH:
                yield Pooled(arm, rule, 1, [[*_alone(run)] for run in runs])
            elif members > 1 or rule == only:  # one member has nothing to combine
                yield Pooled(arm, rule, members, [[*_combined(arm, run, rule)] for run in runs])


def _check_targeted(arms: Arms, targets: npt.ArrayLike) -> dict[str, list[RegressionPredictions]]:
    """Return the predictions of each arm and repetition, which fit the targets."""
    given = labels_of(targets, len(runs_of(next(iter(arms.values())))))
    for truth in given:
        check_targets(truth, len(truth))
    return check_arms(arms, len(given[0]) if given else None, kind=RegressionPredictions)


def _alone(run: Run) -> Iterator[Any]:
    """Yield what each member predicts by itself."""
    if isinstance(run, Predictions):
        yield from (probs.astype(np.float64) for probs in run.probs)
    else:
        yield from (pool_normal(run.means[[k]], _scales(run)[[k]]) for k in range(run.members))


def _scales(run: RegressionPredictions) -> FloatArray:
    """Return the standard deviations, or where there are none what no measure of means asks for."""
    return np.ones_like(run.means) if run.scales is None else run.scales


def _combined(arm: str, run: Run, rule: str) -> Iterator[Any]:
    """Yield the combined prediction, and those of the further networks."""
    if isinstance(run, RegressionPredictions):
        yield pool_normal(run.means, _scales(run), rule, run.weights)
        return
    if run.further and rule not in run.further:
        raise InputError(
            f"rule {rule!r} was not kept for all networks of arm {arm!r}, only {', '.join(run.further)}; run the same "
            "with this rule among its rules"
        )
    yield aggregate(run.probs, rule, run.weights)
    yield from (probs.astype(np.float64) for probs in run.further.get(rule, ()))
