"""Numbered checks of a comparison: what may change its answer, and what a reader of its numbers must know.

`docs/checks.md` says of each why it matters and what to do; `--ignore EVD003` leaves one out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ensemble_vs_dropout.checks import check_known
from ensemble_vs_dropout.evaluation.answer import Answer
from ensemble_vs_dropout.evaluation.arms import REFERENCE, arm_label
from ensemble_vs_dropout.evaluation.wording import listed, metric_words
from ensemble_vs_dropout.measures import METRICS
from ensemble_vs_dropout.measures.spread import LEAST

_SKEWED = 0.7  # share of the largest class: always saying so errs seldom
_FEW = 5  # test examples of a class, of which none may be right by chance
_ROUNDING = 1e-9
_SMALL = 100  # test examples, below which each is more than a percentage point
_ALIKE = 0.1  # of the error: networks that differ on less share nearly all of it
# What each is about. A number is never given to another check, so that what was written of it stays true.
TITLES = {
    "EVD001": "training ended early",
    "EVD002": "an infinite NLL",
    "EVD003": "a validation part unlike the test part",
    "EVD004": "few repetitions",
    "EVD005": "a dropout rate that was not chosen on these data",
    "EVD006": "dropout is worse than no dropout",
    "EVD007": "members that are nearly identical",
    "EVD008": "a test part too small for the margin",
    "EVD009": "test examples in the training data",
    "EVD010": "skewed classes, with the error as a metric",
    "EVD011": "too few test examples to calibrate by",
    "EVD012": "a validation part that chose and judges",
    "EVD013": "what is left out over splits",
    "EVD014": "a class that is never predicted right",
    "EVD015": "a column that tells the label",
    "EVD016": "a small test part",
    "EVD017": "no better than always naming the largest class",
}


@dataclass(frozen=True)
class Check:
    """What a check found.

    Attributes:
        code: Its number, a key of `TITLES`.
        found: What was found, with its numbers, and what to do.
        issue: Whether it may change the answer; else it is a hint.

    Example:
        >>> print(Check("EVD004", "There is one repetition.", issue=True))
        EVD004: There is one repetition.
    """

    code: str
    found: str
    issue: bool

    @property
    def title(self) -> str:
        """What it is about."""
        return TITLES[self.code]

    def __str__(self) -> str:
        return f"{self.code}: {self.found}"


def sorted_checks(found: Iterable[Check], ignore: Collection[str] = ()) -> list[Check]:
    """Return what found something, issues first, each by its number.

    Raises:
        InputError: A number to ignore that no check has.

    Example:
        >>> checks = [Check("EVD002", "A vote.", issue=False), Check("EVD009", "Three.", issue=True)]
        >>> [check.code for check in sorted_checks(checks)]
        ['EVD009', 'EVD002']
    """
    for code in ignore:
        check_known("check to ignore", code, TITLES)
    left = [check for check in found if check.found and check.code not in ignore]
    return sorted(left, key=lambda check: (not check.issue, check.code))


def of_design(repetitions: int, answer: Answer, given_rate: float | None, judges_what_chose: bool) -> list[Check]:
    """Return what the design of a comparison, and the questions it can answer, give cause for.

    Args:
        repetitions: How many.
        answer: What it answers.
        given_rate: The dropout rate; None where it was chosen on validation data, or nothing has dropout.
        judges_what_chose: Whether scores are of the validation part too, and something was chosen on it.
    """
    found = []
    if repetitions < LEAST and answer.untested:
        words = "one repetition" if repetitions == 1 else f"{repetitions} repetitions"
        found.append(
            Check(
                "EVD004",
                f"With {words} nothing can be said of training ensembles again: what is compared with them is of these "
                f"networks only; --repetitions {LEAST} or more test it.",
                issue=True,
            )
        )
    if given_rate is not None:
        found.append(
            Check(
                "EVD005",
                f"The dropout rate {given_rate:g} was given, and not chosen on validation data; another may "
                "serve dropout better, as --rate auto finds out.",
                issue=False,
            )
        )
    if judges_what_chose:
        found.append(
            Check(
                "EVD012",
                "Scores of the validation part are of data that chose when training stopped, or the rate; they look "
                "better than those of new data.",
                issue=False,
            )
        )
    return found


def of_differences(contrasts: pd.DataFrame, rate_chosen: bool) -> list[Check]:
    """Return what the contrasts give cause for.

    Args:
        contrasts: As `Evaluator.contrasts` makes them.
        rate_chosen: Whether the dropout rate was chosen on validation data.
    """
    found = []
    worse = [
        metric_words(row.metric)
        for row in contrasts.itertuples()
        if (worst := {("dropout", "single"): "b", ("single", "dropout"): "a"}.get((row.arm_a, row.arm_b)))
        and row.better == worst
        and row.metric in ("error", "nll")
    ]
    if worse:
        why = "the epochs may be too few" if rate_chosen else "the rate may be too high, or the epochs too few"
        tell = "More --epochs tell" if rate_chosen else "--rate auto and more --epochs tell"
        found.append(
            Check(
                "EVD006",
                f"Dropout networks are shown to have more {' and '.join(worse)} than networks without dropout. That "
                f"may be the answer, or {why}. {tell}.",
                issue=True,
            )
        )
    told = contrasts[
        (contrasts.family == "planned") & contrasts.margin.notna() & (contrasts.detectable > contrasts.margin)
    ]
    for metric, rows in told.groupby("metric", sort=False):
        scale = METRICS[metric].scale
        found.append(
            Check(
                "EVD008",
                f"The margin of {metric_words(metric)}, {rows.margin.iloc[0] * scale:g}, is smaller than "
                f"what {len(rows)} of the planned questions can tell ({rows.detectable.max() * scale:.2g} at "
                "worst); more test examples or repetitions can.",
                issue=True,
            )
        )
    return found


def of_data(
    labels: npt.NDArray[np.integer],
    classes: Sequence[str],
    scores: pd.DataFrame,
    leaked: int | None,
    telling: Sequence[str] = (),
) -> list[Check]:
    """Return what the data give cause for.

    Args:
        labels: Of the test part, shape (examples,) or (repetitions, examples).
        classes: Their names.
        scores: As `Evaluator.scores` makes them; those of the clean test part count.
        leaked: How many test examples stand in the training data too; None where nobody counted.
        telling: The columns of which each alone tells the label.
    """
    found, counts = [], np.bincount(np.ravel(labels), minlength=len(classes))
    share, examples = counts.max() / counts.sum(), np.shape(labels)[-1]
    of_test = scores[(scores.metric == "error") & (scores.split == "test") & (scores.condition == "clean")]
    if telling:
        named = listed([f"{name!r}" for name in telling[:_FEW]]) + " and others" * (len(telling) > _FEW)
        found.append(
            Check(
                "EVD015",
                f"{named} alone {'tells' if len(telling) == 1 else 'each tell'} the label of every training and test "
                "example. What stands for the label, or is known only after it, does not belong into the features. "
                "Leave it out; of a table, --drop does.",
                issue=True,
            )
        )
    if examples < _SMALL:
        found.append(
            Check(
                "EVD016",
                f"The test part has {examples} examples, so that one of them is {100 / examples:.2g} points of error. "
                f"{'More data tell' if np.ndim(labels) > 1 else 'More data, or --splits, tell'} more.",
                issue=True,
            )
        )
    errors = of_test.groupby("arm", sort=False).value.min()
    if useless := [arm_label(str(arm)) for arm in errors[errors >= 1 - share - _ROUNDING].index]:
        found.append(
            Check(
                "EVD017",
                f"Always naming the class {classes[int(counts.argmax())]!r} errs in {100 * (1 - share):.2f} %, and not "
                f"more often than {listed(useless)}: too little was learnt for a comparison to mean much. More "
                "training examples or epochs, another network, or --metrics balanced_error tell more.",
                issue=True,
            )
        )
    if leaked:
        found.append(
            Check(
                "EVD009",
                f"{leaked:,} of {examples:,} test examples stand in the training data too, feature by feature: scores "
                "are too good, and most for what remembers best. Leave out doubles before the data are split.",
                issue=True,
            )
        )
    if len(of_test) and share >= _SKEWED:
        found.append(
            Check(
                "EVD010",
                f"{100 * share:.0f} % of the test examples are of the class {classes[int(counts.argmax())]!r}. Always "
                "naming it errs in the others alone; --metrics balanced_error,nll see the rare classes.",
                issue=False,
            )
        )
    return found


def of_classes(confusions: pd.DataFrame) -> list[Check]:
    """Return which classes arms never predict right.

    Args:
        confusions: The table of `findings.confusions`.
    """
    right = confusions[(confusions.truth == confusions.predicted) & (confusions.examples >= _FEW)]
    never, arms = right[right.share == 0], confusions.arm.nunique()
    parts = [
        f"{name!r} ({rows.examples.iloc[0]:.0f} test examples) by "
        f"{'any arm' if len(rows) == arms else listed([arm_label(str(arm)) for arm in rows.arm], 'or')}"
        for name, rows in never.groupby("truth_name", sort=False)
    ]
    if not parts:
        return []
    return [
        Check(
            "EVD014",
            f"Never predicted right: {'; '.join(parts)}. The error of all examples hides that; --metrics "
            "balanced_error,nll and the figure class_errors show it.",
            issue=True,
        )
    ]


def of_members(diversity: pd.DataFrame) -> list[Check]:
    """Return whether networks are nearly identical.

    Args:
        diversity: As `diversity_table` makes it.
    """
    least = diversity.disagreement_over_error[diversity.arm == REFERENCE].mean()
    if not least < _ALIKE:  # NaN where there are none
        return []
    return [
        Check(
            "EVD007",
            f"Where one of two independent networks errs on 100 examples, the two disagree on {100 * least:.2g}. "
            "Averaging members that are nearly identical can gain next to nothing.",
            issue=False,
        )
    ]
