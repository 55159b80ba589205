"""How uncertain is each arm about data like those it was trained on, and about data of other classes?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from ensemble_vs_dropout.checks import InputError, check_at_least, check_known
from ensemble_vs_dropout.evaluation.arms import arm_label
from ensemble_vs_dropout.evaluation.findings.base import Fact, Finding
from ensemble_vs_dropout.evaluation.findings.judging import FEW, every, judge, of_examples, of_outcome
from ensemble_vs_dropout.evaluation.outcomes import Outcome, detect, kept_weights, resampled_weights, row_means
from ensemble_vs_dropout.evaluation.pooling import Arms, check_arms
from ensemble_vs_dropout.measures.resampling import percentile_interval
from ensemble_vs_dropout.measures.uncertainty import uncertainty
from ensemble_vs_dropout.types import FloatArray, Predictions

QUANTITIES = ("entropy", "mutual_information")
BINS = 25
_DRAWS = 500  # bootstrap draws behind the noise of a median


def ood_entropy(
    known: Arms,
    unknown: Arms,
    *,
    members: Sequence[int] = (1, 5, 10),
    quantity: str = "entropy",
    resamples: int = 1000,
    seed: int = 0,
) -> Finding:
    """Return histograms of uncertainty on known and unknown data, its AUROC, and its median on unknown data.

    After Lakshminarayanan et al. (2017), figure 3.

    Args:
        known: Members of each arm on data like those it was trained on, one `Predictions`, or one for each
            repetition, whose examples share one histogram.
        unknown: Likewise on data of other classes.
        members: The first so many members are combined; numbers beyond an arm's are left out, and an arm with
            fewer than all of them is shown at its own.
        quantity: "entropy" of the members' mean, or "mutual_information", for which one member, which cannot
            disagree with itself, is left out.
        resamples: Bootstrap resamples of the examples, and of the repetitions where there are several.
        seed: Of the resamples.

    Returns:
        A table with the columns panel ("known", "unknown", "auroc", "median"), arm, members, left, right (edges of the
        bin in nats; NaN in the last two panels), value (the share of the examples in the bin; the AUROC in [0, 1];
        nats), low, high (95 % bootstrap; NaN for the shares). Told is the number of `repetitions`.

    Raises:
        InputError: Arms that differ between known and unknown, an unknown quantity, or nothing left to show.

    Example:
        >>> from ensemble_vs_dropout.types import Predictions
        >>> sure, unsure = np.full((2, 9, 2), [0.9, 0.1]), np.full((2, 9, 2), 0.5)
        >>> found = ood_entropy({"a": Predictions(sure)}, {"a": Predictions(unsure)}, members=[2], resamples=100)
        >>> round(float(found.table.set_index("panel").value["auroc"]), 6)
        1.0
    """
    check_known("quantity", quantity, QUANTITIES)
    check_at_least("resamples", resamples, 100)
    inside, outside = check_arms(known, same_members=True), check_arms(unknown, same_members=True)
    least = 2 if quantity == "mutual_information" else 1
    sizes = {check_at_least("members", size, 1) for size in members}
    if not sizes:
        raise InputError("members must name at least one number, got none")
    chosen = {
        arm: [size for size in sorted(sizes | {min(max(sizes), runs[0].members)}) if least <= size <= runs[0].members]
        for arm, runs in inside.items()
    }
    chosen = {arm: taken for arm, taken in chosen.items() if taken}
    if not chosen:
        raise InputError("mutual_information needs an arm and a number of at least 2 members, got one in each")
    rows: list[list[Any]] = []
    seen: dict[tuple[str, str, int], FloatArray] = {}
    detected: dict[tuple[str, int], Outcome] = {}
    for size in sorted({size for taken in chosen.values() for size in taken}):
        own, others = (_first(part, size, chosen) for part in (inside, outside))
        for one in detect(own, others, resamples, seed):
            if (one.rule, one.metric) == (quantity, "auroc"):
                detected[one.arm, size] = one
                bounds = one.interval()
                rows.append(["auroc", one.arm, size, np.nan, np.nan, one.value, *bounds])
        for panel, part in (("known", own), ("unknown", others)):
            for arm, runs in part.items():
                measured = [uncertainty(run.probs, run.weights)[quantity].to_numpy() for run in runs]
                seen[panel, arm, size] = np.stack(measured)
    for (panel, arm, size), values in seen.items():
        if panel == "unknown":
            median = float(np.median(values, axis=1).mean())
            rows.append(["median", arm, size, np.nan, np.nan, median, *_median_interval(values, resamples, seed)])
    classes = next(iter(inside.values()))[0].classes
    top = np.log(classes) if quantity == "entropy" else max(values.max() for values in seen.values())
    edges = np.linspace(0, top if top > 0 else np.log(classes), BINS + 1)
    for (panel, arm, size), values in seen.items():
        share = np.histogram(np.clip(values, 0, edges[-1]), edges)[0] / values.size
        rows += [
            [panel, arm, size, *edge, value, np.nan, np.nan]
            for *edge, value in zip(edges, edges[1:], share, strict=False)
        ]
    table = pd.DataFrame(rows, columns=["panel", "arm", "members", "left", "right", "value", "low", "high"])
    order = {arm: place for place, arm in enumerate(chosen)}
    table = table.sort_values("arm", key=lambda arms: arms.map(order), kind="stable").reset_index(drop=True)
    repetitions = len(next(iter(inside.values())))
    return Finding(table, tuple(_facts(table, seen, detected, quantity)), {"repetitions": repetitions})


def _first(
    arms: Mapping[str, Sequence[Predictions]], size: int, chosen: Mapping[str, Sequence[int]]
) -> dict[str, list[Predictions]]:
    """Return the first `size` members of the arms that are shown at this size."""
    return {arm: [_take(run, size) for run in runs] for arm, runs in arms.items() if size in chosen.get(arm, ())}


def _take(run: Predictions, size: int) -> Predictions:
    weights = None if run.weights is None else run.weights[:size] / run.weights[:size].sum()
    return Predictions(run.probs[:size], weights)


def _median_interval(values: FloatArray, resamples: int, seed: int) -> tuple[float, float]:
    """Return the bootstrap interval of the median over examples, mean over repetitions: (repetitions, examples)."""
    order = np.argsort(values, axis=1)
    draws = []
    for examples, repeats in resampled_weights(seed, values.shape[1], len(values), resamples):
        middle = [(examples[:, places].cumsum(axis=1) >= 0.5 - 1e-12).argmax(axis=1) for places in order]
        medians = np.stack([row[o][m] for row, o, m in zip(values, order, middle, strict=True)], axis=1)
        draws.append(row_means(repeats, medians))
    return percentile_interval(np.concatenate(draws))


def _facts(
    table: pd.DataFrame,
    seen: Mapping[tuple[str, str, int], FloatArray],
    detected: Mapping[tuple[str, int], Outcome],
    quantity: str,
) -> Iterator[Fact]:
    short = quantity.replace("_", " ")
    arms = dict.fromkeys(table["arm"])
    sizes = {arm: sorted(size for one, size in detected if one == arm) for arm in arms}
    for arm, taken in sizes.items():
        name = arm_label(arm)
        if arm == "ensemble" and len(taken) > 1:
            medians = [_median(arm, seen["unknown", arm, size]) for size in taken]
            rises = [of_outcome(larger.minus(smaller)).above() for smaller, larger in pairwise(medians)]
            yield judge(
                f"{name}: the median {short} of unknown examples rises with the number of networks",
                every(*rises),
                ", ".join(f"{one.value:.3f} of {size}" for one, size in zip(medians, taken, strict=True)),
            )
        auroc = of_outcome(detected[arm, taken[-1]])
        yield judge(
            f"{name}: {short} tells unknown from known examples better than chance",
            auroc.above(0.5),
            f"AUROC {auroc.words(digits=3).lstrip('+')} of {taken[-1]}",
        )
    if {"ensemble", "mc_dropout"} <= set(sizes):
        near = table["right"].min()
        passes, networks = (seen["unknown", arm, sizes[arm][-1]] < near for arm in ("mc_dropout", "ensemble"))
        more = of_examples(passes.astype(float) - networks)
        few = max(passes.sum(axis=1).mean(), networks.sum(axis=1).mean()) < FEW
        more = more.unless(f"a floor: fewer than {FEW} examples are near 0 in both" if few else "")
        yield judge(
            f"More unknown examples have {short} near 0 with MC dropout than with the ensemble",
            more.above(),
            f"{100 * passes.mean():.1f} % of {sizes['mc_dropout'][-1]} passes and {100 * networks.mean():.1f} % of "
            f"{sizes['ensemble'][-1]} networks below {near:.3g} nats",
        )


def _median(arm: str, values: FloatArray) -> Outcome:
    """Return the median over examples of each repetition, (repetitions, examples)."""
    order = np.argsort(values, axis=1)
    draws = []
    for weights in kept_weights(0, values.shape[1], _DRAWS):
        middle = [(weights[:, places].cumsum(axis=1) >= 0.5 - 1e-12).argmax(axis=1) for places in order]
        draws.append([row[o][m] for row, o, m in zip(values, order, middle, strict=True)])
    drawn = np.concatenate(draws, axis=1)
    deviations = (drawn - drawn.mean(axis=1, keepdims=True)) / np.sqrt(_DRAWS - 1)
    units = np.median(values, axis=1)[:, None]
    return Outcome(arm, "median", 1, "uncertainty", units, deviations, values.shape[1] - 1)
