"""Which arm has accurate members that still differ?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.artist import Artist

from ensemble_vs_dropout.checks import InputError, check_at_least
from ensemble_vs_dropout.evaluation.outcomes import check_arms
from ensemble_vs_dropout.measures.scores import error
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import AxesArray, Display, name_axes, require
from ensemble_vs_dropout.seeds import stream
from ensemble_vs_dropout.types import FloatArray, IntArray, Predictions, check_labels

INDEPENDENT = "independent errors"


@dataclass(frozen=True, eq=False)
class KappaError(Display):
    """The mean error of two members against how far their labels agree beyond chance, one dot per pair.

    `table` has the columns role ("pair", "mean" of an arm's pairs, or "reference"), arm, members, repetition, first,
    second, kappa, kappa_low, kappa_high, value (the mean error of the two), low, high; the ends are one standard
    deviation over pairs. Kappa is Cohen's of the labels that two members predict, as Margineantu and Dietterich
    (1997) take it; the one of `measures.diversity.pairwise` sees only which of them are right. The reference is the
    kappa of two members of the same error whose errors are independent, all wrong classes equally likely.
    """

    @classmethod
    def from_predictions(
        cls,
        arms: Mapping[str, Predictions | Sequence[Predictions]],
        labels: npt.ArrayLike,
        *,
        data: str,
        pairs: int = 500,
        seed: int = 0,
    ) -> KappaError:
        """Make the display.

        Args:
            arms: Predictions by arm, one or one for each repetition; only members of one repetition make a pair.
            labels: Shape (examples,).
            data: The name of the data set.
            pairs: How many of an arm are drawn at most; of more, as many are chosen at random.
            seed: Of that choice.

        Raises:
            InputError: No arm with two members, or predictions and labels that do not fit together.
        """
        check_at_least("pairs", pairs, 1)
        runs = check_arms(arms, len(np.asarray(labels)))
        if all(run.members == 1 for own in runs.values() for run in own):
            raise InputError(f"kappa needs an arm of at least 2 members, got one in each of {list(runs)}")
        truth = check_labels(labels, next(iter(runs.values()))[0].classes)
        parts = [_pairs(arm, own, truth, pairs, seed) for arm, own in runs.items()]
        dots = pd.concat([part for part in parts if len(part)], ignore_index=True)
        classes = next(iter(runs.values()))[0].classes
        table = pd.concat([_reference(dots["value"], truth, classes), dots, _means(dots)], ignore_index=True)
        order = ["role", "arm", "members", "repetition", "first", "second", "kappa", "kappa_low", "kappa_high"]
        lost = int(dots["kappa"].isna().sum())
        alone = [style.arm_label(arm) for arm, own in runs.items() if all(run.members == 1 for run in own)]
        caption = [
            f"Each small dot is a pair of networks or passes, at most {pairs} for each arm; kappa is Cohen's, of the "
            f"labels that the two predict (1: always the same, 0: as by chance). Large: mean; cross: ±1 standard "
            f"deviation over pairs. In brackets: networks or passes. Data: {data}.",
            "Dashed: two members of that error whose errors are independent, wrong classes equally likely.",
            f"Of one member, so without pairs: {', '.join(alone)}." if alone else "",
            f"Not drawn, both always predicting one and the same class: {lost} pairs." if lost else "",
        ]
        return cls(
            table[[*order, "value", "low", "high"]].astype(
                dict.fromkeys(["members", "repetition", "first", "second"], "Int64")
            ),
            title=f"Kappa and error of pairs: {data}",
            interval="cross: ±1 standard deviation over pairs",
            caption=" ".join(filter(None, caption)),
        )

    def _mosaic(self) -> list[list[int]]:
        return [[0]]

    def _height(self) -> float:
        return 3.0

    def _draw(self, axes: AxesArray) -> list[Artist]:
        ax, size = axes[0], matplotlib.rcParams["lines.markersize"]
        roles = dict(list(self.table.groupby("role")))
        handles: list[Artist] = []
        for arm, look in style.arm_styles(roles["pair"]["arm"]).items():
            dots, mean = (roles[role][roles[role]["arm"] == arm] for role in ("pair", "mean"))
            dot: dict[str, Any] = {"linestyle": "", "marker": look.marker, "color": look.color}
            ax.plot(dots["kappa"], dots["value"] * 100, alpha=0.35, markersize=0.7 * size, markeredgewidth=0, **dot)
            ax.hlines(mean["value"] * 100, mean["kappa_low"], mean["kappa_high"], color=look.color)
            ax.vlines(mean["kappa"], mean["low"] * 100, mean["high"] * 100, color=look.color)
            label = style.arm_label(arm, members=mean["members"].iloc[0])
            large = {"markersize": 1.8 * size, "markeredgecolor": "black", "label": label, **dot}
            handles += ax.plot(mean["kappa"], mean["value"] * 100, **large)
        line = roles["reference"]
        handles += ax.plot(line["kappa"], line["value"] * 100, color="0.4", linestyle="--", label=INDEPENDENT)
        name_axes(
            ax, xlabel="kappa of the predicted labels\n(to the left: more diverse)", ylabel="mean error of a pair (%)"
        )
        return handles


def label_kappa(first: IntArray, second: IntArray, classes: int) -> FloatArray:
    """Return Cohen's kappa of each row of labels with the row of another array; NaN where both are one constant.

    Example:
        >>> label_kappa(np.array([[0, 1, 0, 1]]), np.array([[0, 1, 1, 0]]), 2).tolist()
        [0.0]
    """
    shares = [np.stack([(labels == k).mean(axis=1) for k in range(classes)]) for labels in (first, second)]
    chance = (shares[0] * shares[1]).sum(axis=0)
    return _beyond_chance((first == second).mean(axis=1), chance)


def _beyond_chance(agreement: FloatArray, chance: FloatArray) -> FloatArray:
    room = 1 - chance
    return np.divide(agreement - chance, room, out=np.full(len(room), np.nan), where=room > 1e-12)


def _pairs(arm: str, runs: list[Predictions], truth: IntArray, pairs: int, seed: int) -> pd.DataFrame:
    """Return the pairs of an arm, from each repetition about as many."""
    parts = []
    for repetition, run in enumerate(runs):
        first, second = np.triu_indices(run.members, 1)
        most = pairs // len(runs) + (repetition < pairs % len(runs))
        if len(first) > most:
            chosen = stream(seed, "pairs", arm, repetition).choice(len(first), most, replace=False)
            first, second = first[np.sort(chosen)], second[np.sort(chosen)]
        labels = run.probs.argmax(axis=2)
        wrong = np.array([error(probs, truth).mean() for probs in run.probs])
        kappa = label_kappa(labels[first], labels[second], run.classes)
        require(f"-1 <= kappa <= 1 in {arm!r}", not (np.abs(kappa) > 1 + 1e-9).any())
        pair = {"first": first, "second": second, "kappa": kappa, "value": (wrong[first] + wrong[second]) / 2}
        parts.append(
            pd.DataFrame({"role": "pair", "arm": arm, "members": run.members, "repetition": repetition, **pair})
        )
    return pd.concat(parts)


def _means(dots: pd.DataFrame) -> pd.DataFrame:
    groups = dots.groupby("arm", sort=False)
    mean, spread = groups[["kappa", "value"]].mean(), groups[["kappa", "value"]].std()
    ends = {
        "kappa_low": mean["kappa"] - spread["kappa"],
        "kappa_high": mean["kappa"] + spread["kappa"],
        "low": mean["value"] - spread["value"],
        "high": mean["value"] + spread["value"],
    }
    return mean.assign(role="mean", members=groups["members"].first(), **ends).reset_index()


def _reference(errors: pd.Series, truth: IntArray, classes: int) -> pd.DataFrame:
    """Return the kappa of members of the errors drawn if their errors were independent."""
    margin = 0.1 * (errors.max() - errors.min()) + 0.02 * errors.max()
    wrong = np.linspace(max(errors.min() - margin, 0.0), min(errors.max() + margin, 1.0), 100)
    right = np.bincount(truth, minlength=classes)[:, None] / len(truth)
    predicted = right * (1 - wrong) + (1 - right) * wrong / (classes - 1)
    agreement = (1 - wrong) ** 2 + wrong**2 / (classes - 1)
    kappa = _beyond_chance(agreement, (predicted**2).sum(axis=0))
    return pd.DataFrame({"role": "reference", "arm": INDEPENDENT, "kappa": kappa, "value": wrong})
