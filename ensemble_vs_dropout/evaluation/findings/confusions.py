"""Which classes are taken for which, and which arm errs where?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation.findings.base import Finding
from ensemble_vs_dropout.evaluation.pooling import Arms, labels_of, pool
from ensemble_vs_dropout.types import FloatArray

_Z = 1.959964  # of 95 %


def confusions(
    arms: Arms, labels: npt.ArrayLike, classes: Sequence[str], rules: Mapping[str, str] | None = None
) -> Finding:
    """Return how often each class is taken for each, by arm.

    Args:
        arms: Predictions by arm, one or one for each repetition.
        labels: Shape (examples,), or (repetitions, examples) where each repetition has examples of its own.
        classes: Their names, in the order of the labels.
        rules: By arm the rule that combines its members, or "each", where members are judged alone and averaged; the
            mean for the others.

    Returns:
        A table with a row for each arm and pair of classes that has examples: arm, rule, members, truth, predicted
        (numbers of classes), truth_name, predicted_name, examples (of the class truth, in one repetition on average),
        share (of these that are predicted so, averaged over networks and repetitions; ties go to the first class), and
        low and high: 95 % over the test examples (Wilson, 1927). Shares of one class and arm sum to 1.

    Raises:
        InputError: Another number of names than of classes.

    Example:
        >>> from ensemble_vs_dropout import Predictions
        >>> probs = [[[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]]]
        >>> table = confusions({"ensemble": Predictions(probs)}, [0, 1, 1], ["no", "yes"]).table
        >>> table[["truth_name", "predicted_name", "examples", "share"]].values.tolist()
        [['no', 'no', 1.0, 1.0], ['no', 'yes', 1.0, 0.0], ['yes', 'no', 2.0, 0.5], ['yes', 'yes', 2.0, 0.5]]
    """
    wanted = {arm: [(rules or {}).get(arm, "mean")] for arm in arms}
    rows = []
    for pooled in pool(arms, wanted, labels):
        truths = labels_of(labels, len(pooled.trials))
        counts = np.mean(
            [
                np.mean([_counts(truth, probs) for probs in trials], axis=0)
                for truth, trials in zip(truths, pooled.trials, strict=True)
            ],
            axis=0,
        )
        if len(counts) != len(classes):
            raise InputError(f"classes must name the {len(counts)} classes that arms predict, got {len(classes)} names")
        for truth, predicted in np.ndindex(*counts.shape):
            examples = counts[truth].sum()
            if examples:
                share = counts[truth, predicted] / examples
                names = (classes[truth], classes[predicted])
                of_arm = (pooled.arm, pooled.rule, pooled.members)
                rows.append([*of_arm, truth, predicted, *names, examples, share, *_wilson(share, examples)])
    columns = ["arm", "rule", "members", "truth", "predicted", "truth_name", "predicted_name", "examples", "share"]
    return Finding(pd.DataFrame(rows, columns=[*columns, "low", "high"]))


def _counts(truth: npt.NDArray[np.integer], probs: FloatArray) -> FloatArray:
    classes = probs.shape[1]
    pairs = np.bincount(truth * classes + probs.argmax(axis=1), minlength=classes**2)
    return pairs.reshape(classes, classes).astype(np.float64)


def _wilson(share: float, examples: float) -> tuple[float, float]:
    """Return the ends of the 95 % interval of a share; never of no width, as where nothing was wrong yet."""
    scale = 1 + _Z**2 / examples
    center = (share + _Z**2 / (2 * examples)) / scale
    half = _Z / scale * np.sqrt(share * (1 - share) / examples + _Z**2 / (4 * examples**2))
    return max(0.0, center - half), min(1.0, center + half)
