"""Does a network know that it does not know an image that is turned more and more?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from ensemble_vs_dropout.checks import InputError, check_at_least, counted
from ensemble_vs_dropout.evaluation.arms import arm_label
from ensemble_vs_dropout.evaluation.findings.base import Fact, Finding
from ensemble_vs_dropout.evaluation.findings.judging import judge, of_examples
from ensemble_vs_dropout.evaluation.pooling import check_arms
from ensemble_vs_dropout.measures.aggregation import aggregate
from ensemble_vs_dropout.measures.uncertainty import uncertainty
from ensemble_vs_dropout.types import FloatArray, Predictions

SHOWN = 4  # classes, at most
LIKELY = 0.1  # the mean probability that a class beyond the first two must reach somewhere


def rotated_example(
    amounts: Sequence[float],
    predictions: Mapping[str, Predictions],
    *,
    classes: Sequence[str],
    label: int | None = None,
    further: Sequence[Mapping[str, Predictions]] = (),
) -> Finding:
    """Return the probabilities that every pass gives one image at several angles, and their mean.

    After Gal and Ghahramani (2016), figure 4.

    Args:
        amounts: The angles in degrees, increasing.
        predictions: For each arm the probabilities of its members, one "example" for each angle.
        classes: The names of the classes.
        label: The true class.
        further: The predictions of further images, for the facts: of one that was chosen they say nothing.

    Returns:
        A table with the columns role ("pass" or "mean" of an arm's passes), arm, members, member, amount (degrees), x
        (where it is drawn, the classes side by side), class, name, value (a probability), low, high (one standard
        deviation over passes around their mean). It holds the classes with the highest mean anywhere, and the true
        one.

    Raises:
        InputError: Angles that do not increase, or other predictions than one for each of them.

    Example:
        >>> turned = Predictions(np.array([[[0.9, 0.1], [0.4, 0.6]]]))
        >>> table = rotated_example([0, 90], {"ensemble": turned}, classes=["one", "seven"]).table
        >>> table[table["role"] == "mean"][["amount", "name", "value"]].to_numpy().tolist()
        [[0.0, 'one', 0.9], [90.0, 'one', 0.4], [0.0, 'seven', 0.1], [90.0, 'seven', 0.6]]
    """
    turns = np.asarray(amounts, dtype=float)
    if turns.ndim != 1 or not len(turns) or not np.isfinite(turns).all() or (np.diff(turns) <= 0).any():
        raise InputError(f"amounts must be increasing angles, got {list(amounts)}")
    runs = {arm: own[0] for arm, own in check_arms(predictions, len(turns)).items()}
    known = next(iter(runs.values())).classes
    if len(classes) != known:
        raise InputError(f"classes must name the {known} classes of the predictions, got {len(classes)} names")
    if label is not None and check_at_least("label", label, 0) >= known:
        raise InputError(f"label must be one of the classes 0..{known - 1}, got {label}")
    means = {arm: aggregate(run.probs, "mean", run.weights) for arm, run in runs.items()}
    named = [f"{name} (true)" if number == label else str(name) for number, name in enumerate(classes)]
    shown = _choose(np.stack(list(means.values())), label)
    table = pd.concat(
        [_rows(arm, run, means[arm], turns, shown, named) for arm, run in runs.items()], ignore_index=True
    )
    return Finding(table, tuple(_facts([predictions, *further], turns)))


def gap(amounts: npt.ArrayLike) -> float:
    """Return how near the two nearest of increasing amounts are; 1 for one alone.

    Example:
        >>> gap([0, 30, 45])
        15.0
    """
    steps = np.diff(np.asarray(amounts, dtype=float))
    return float(steps.min()) if len(steps) else 1.0


def _choose(means: FloatArray, label: int | None) -> list[int]:
    """Return the classes to show: the true one, and those of the highest mean, shape (arms, angles, classes)."""
    highest = means.max(axis=(0, 1))
    if label is not None:
        highest[label] = np.inf
    order = np.argsort(-highest, kind="stable")[:SHOWN]
    return sorted(int(number) for place, number in enumerate(order) if place < 2 or highest[number] >= LIKELY)


def _rows(
    arm: str, run: Predictions, mean: FloatArray, turns: FloatArray, shown: list[int], classes: Sequence[str]
) -> pd.DataFrame:
    variance = np.average((run.probs - mean) ** 2, axis=0, weights=run.weights)
    spreads = np.sqrt(variance) if run.members > 1 else np.full(variance.shape, np.nan)
    parts = []
    for place, number in enumerate(shown):
        x = turns + 0.16 * gap(turns) * (place - (len(shown) - 1) / 2)
        common = {"arm": arm, "members": run.members, "class": number, "name": str(classes[number])}
        parts += [
            pd.DataFrame({"role": "pass", "member": m, "amount": turns, "x": x, "value": own[:, number], **common})
            for m, own in enumerate(run.probs)
        ]
        value, spread = mean[:, number], spreads[:, number]
        ends = {"value": value, "low": value - spread, "high": value + spread}
        parts.append(pd.DataFrame({"role": "mean", "amount": turns, "x": x, **ends, **common}))
    order = ["role", "arm", "members", "member", "amount", "x", "class", "name", "value", "low", "high"]
    return pd.concat(parts).reindex(columns=order).astype({"member": "Int64"})


def _facts(images: Sequence[Mapping[str, Predictions]], turns: FloatArray) -> Iterator[Fact]:
    if 0 not in turns or len(turns) < 2:
        return
    for arm in images[0]:
        runs = [check_arms({arm: image[arm]}, len(turns))[arm][0] for image in images]
        if runs[0].members < 2:
            continue
        unsure = np.stack([uncertainty(run.probs, run.weights)["mutual_information"].to_numpy() for run in runs])
        upright, turned = unsure[:, turns == 0].mean(axis=1), unsure[:, turns != 0].mean(axis=1)
        more = of_examples((turned - upright)[None], fixed=True).unless("of one image" if len(runs) == 1 else "")
        yield judge(
            f"these members of {arm_label(arm)} disagree more on turned images than on upright ones",
            more.above(),
            f"mutual information {turned.mean():.3g} (mean over angles) and {upright.mean():.3g} nats, "
            f"{counted(len(runs), 'image')}",
        )
