"""Predictions by arm, as they are given: checked against labels and each other, and combined by rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation.arms import ARMS, EACH
from ensemble_vs_dropout.measures.aggregation import aggregate
from ensemble_vs_dropout.measures.spread import LEAST
from ensemble_vs_dropout.types import FloatArray, IntArray, Predictions, check_labels

Arms = Mapping[str, Predictions | Sequence[Predictions]]


@dataclass(frozen=True)
class Pooled:
    """One arm under one rule: `trials[repetition][trial]` of shape (examples, classes).

    There is one trial for a combined prediction, and one more for each further network; under the rule "each" every
    member is a trial. The metric, not the prediction, is averaged over trials.
    """

    arm: str
    rule: str
    members: int
    trials: list[list[FloatArray]]


def runs_of(given: Predictions | Sequence[Predictions]) -> list[Predictions]:
    """Return an arm's predictions, one for each repetition."""
    return [given] if isinstance(given, Predictions) else list(given)


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


def check_arms(arms: Arms, examples: int | None = None, same_members: bool = False) -> dict[str, list[Predictions]]:
    """Return the predictions of each arm and repetition, or raise `InputError`.

    Args:
        arms: All must have the same repetitions, examples and classes.
        examples: How many there must be, one for each label.
        same_members: Whether the repetitions of an arm must have the same number of members.
    """
    if not arms:
        raise InputError("arms must hold at least one arm, got none")
    checked: dict[str, list[Predictions]] = {}
    for arm, given in arms.items():
        runs = runs_of(given)
        if not all(isinstance(run, Predictions) for run in runs):
            raise InputError(
                f"arm {arm!r} must be Predictions, or a list with one for each repetition, got {type(given).__name__}; "
                "probabilities of shape (members, examples, classes) become such by Predictions(probs)"
            )
        sizes = [run.examples for run in runs]
        wanted = examples if examples is not None else next(iter(checked.values()), runs)[0].examples if runs else 0
        if not runs or set(sizes) != {wanted}:
            raise InputError(f"arm {arm!r} must predict the {wanted} labelled examples, got {sizes or 'nothing'}")
        others = next(iter(checked.values()), runs)
        if len(runs) != len(others):
            raise InputError(f"all arms must have the same repetitions, got {len(others)} and {len(runs)} ({arm!r})")
        classes = {run.classes for run in runs}
        if classes != {others[0].classes}:
            raise InputError(f"all arms must have the same classes, got {others[0].classes} and {classes} ({arm!r})")
        if same_members and len({run.members for run in runs}) > 1:
            raise InputError(
                f"arm {arm!r} must have the same members in each repetition, got {[run.members for run in runs]}"
            )
        checked[arm] = runs
    return checked


def pool(arms: Arms, rules: Mapping[str, Sequence[str]], labels: npt.ArrayLike) -> Iterator[Pooled]:
    """Combine each arm's members by each of its rules; `labels` are as `labels_of` takes them."""
    for arm, runs in check_labelled(arms, labels)[0].items():
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
                yield Pooled(arm, rule, 1, [[p.astype(np.float64) for p in run.probs] for run in runs])
            elif members > 1 or rule == only:  # one member has nothing to combine
                yield Pooled(arm, rule, members, [[*_combined(arm, run, rule)] for run in runs])


def _combined(arm: str, run: Predictions, rule: str) -> Iterator[FloatArray]:
    """Yield the combined prediction, and those of the further networks."""
    if run.further and rule not in run.further:
        raise InputError(
            f"rule {rule!r} was not kept for all networks of arm {arm!r}, only {', '.join(run.further)}; run the same "
            "with this rule among its rules"
        )
    yield aggregate(run.probs, rule, run.weights)
    yield from (probs.astype(np.float64) for probs in run.further.get(rule, ()))
