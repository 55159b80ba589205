"""Can its confidence be used to decide when to trust it?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.artist import Artist

from ensemble_vs_dropout.checks import InputError, check_at_least
from ensemble_vs_dropout.evaluation.outcomes import Arms, check_arms, row_means
from ensemble_vs_dropout.measures import METRICS, aggregate
from ensemble_vs_dropout.measures.resampling import bootstrap_weights, percentile_interval
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import AxesArray, Display, Fact, draw_line, name_axes, require
from ensemble_vs_dropout.seeds import stream
from ensemble_vs_dropout.types import FloatArray, Predictions, check_labels

THRESHOLDS = (*np.arange(20).astype(float) / 20, 0.99)
LEAST = 50  # examples, below which an accuracy says too little
NUMBERS = ["value", "low", "high"]


@dataclass(frozen=True, eq=False)
class AccuracyVersusConfidence(Display):
    """Accuracy on the examples that are predicted with a confidence of at least a threshold, and how many these are.

    `table` has the columns panel ("accuracy" or "retained"), arm, rule, members, threshold, examples (how many are
    retained, mean over repetitions), value (in [0, 1]; NaN for an accuracy of fewer than 50 examples), low, high
    (95 % bootstrap).

    After Lakshminarayanan et al. (2017), figure 6, and Ovadia et al. (2019), figures 1c and 1d.
    """

    @classmethod
    def from_predictions(
        cls,
        known: Arms,
        labels: npt.ArrayLike,
        unknown: Arms | None = None,
        *,
        data: str,
        other: str | None = None,
        thresholds: Sequence[float] = THRESHOLDS,
        rule: str = "mean",
        resamples: int = 1000,
        seed: int = 0,
    ) -> AccuracyVersusConfidence:
        """Make the display.

        Args:
            known: Members of each arm, one `Predictions`, or one for each repetition. Their pool's highest
                probability is the confidence.
            labels: Of the known examples, shape (examples,).
            unknown: The same arms on examples of other classes, on which every prediction is wrong.
            data: The name of the known data set.
            other: The name of the unknown one.
            thresholds: Of the confidence, in [0, 1].
            rule: How members are combined, a name in `RULES`.
            resamples: Bootstrap resamples of the examples, and of the repetitions where there are several.
            seed: Of the resamples.

        Raises:
            InputError: Predictions that do not fit each other or the labels, fewer than 50 examples, thresholds outside
                [0, 1], or unknown examples without a name.
        """
        truth = np.asarray(labels)
        parts = [check_arms(known, len(truth), same_members=True)]
        classes = next(iter(parts[0].values()))[0].classes
        check_labels(truth, classes)
        if unknown is not None:
            parts.append(check_arms(unknown, same_members=True))
            _check_same(*parts)
            if other is None:
                raise InputError("other must name the data that unknown was predicted for, got None")
        taus = np.unique(np.asarray(thresholds, dtype=float))
        if not len(taus) or not (taus >= 0).all() or not (taus <= 1).all():
            raise InputError(f"thresholds must be numbers in [0, 1], at least one, got {list(thresholds)}")
        check_at_least("resamples", resamples, 100)
        counts = [next(iter(part.values()))[0].examples for part in parts]
        if sum(counts) < LEAST:
            raise InputError(f"labels and unknown must hold at least {LEAST} examples together, got {sum(counts)}")
        rng, repetitions = stream(seed, "bootstrap"), len(next(iter(parts[0].values())))
        weights = [bootstrap_weights(rng, count, resamples) * count for count in counts]
        repeats = bootstrap_weights(rng, repetitions, resamples)
        rows: list[list[Any]] = []
        for arm, runs in parts[0].items():
            pools = [[aggregate(run.probs, rule, run.weights) for run in part[arm]] for part in parts]
            kept = [np.stack([probs.max(axis=1)[:, None] >= taus for probs in each], axis=1) for each in pools]
            right = np.stack([probs.argmax(axis=1) == truth for probs in pools[0]], axis=1)
            hits = kept[0] & right[:, :, None]
            retained = np.concatenate(kept).sum(axis=0).mean(axis=0)
            drawn = np.sum([_drawn(*pair) for pair in zip(weights, [repeats] * len(kept), kept, strict=True)], axis=0)
            found = hits.sum(axis=0).mean(axis=0)
            enough = retained >= LEAST
            with np.errstate(invalid="ignore", divide="ignore"):
                accuracy = np.where(enough, found / retained, np.nan)
                draws = np.where(enough, _drawn(weights[0], repeats, hits) / drawn, np.nan)
            key = [arm, rule, runs[0].members]
            for i, tau in enumerate(taus):
                bounds = percentile_interval(draws[:, i])
                rows.append(["accuracy", *key, tau, retained[i], accuracy[i], *bounds])
            for i, tau in enumerate(taus):
                bounds = percentile_interval(drawn[:, i] / sum(counts))
                rows.append(["retained", *key, tau, retained[i], retained[i] / sum(counts), *bounds])
            _check(pools[0], truth, taus, retained, found)
        table = pd.DataFrame(rows, columns=["panel", "arm", "rule", "members", "threshold", "examples", *NUMBERS])
        over = f"95 % bootstrap over examples{' and repetitions' if repetitions > 1 else ''}"
        mixed = f", mixed with {counts[-1]} unknown ones of {other}, on which every prediction counts as wrong"
        caption = [
            f"Confidence: the highest pooled probability. Data: {counts[0]} examples of {data}"
            f"{mixed if unknown is not None else ''}.",
            f"Accuracies of fewer than {LEAST} retained examples are not drawn. Band: {over}.",
            "In brackets: networks or passes combined.",
        ]
        return cls(
            table,
            title=f"Is it right where it is confident? {f'Unknown: {other}, known' if other else 'Data'}: {data}",
            interval=f"band: {over}",
            caption=" ".join(caption),
            facts=tuple(_facts(table)),
        )

    def _mosaic(self) -> list[list[int]]:
        return [[0], [1]]

    def _height(self) -> float:
        return 2.0

    def _draw(self, axes: AxesArray) -> list[Artist]:
        styles = style.arm_styles(self.table["arm"])
        handles: list[Artist] = []
        for ax, panel in zip(axes, ("accuracy", "retained"), strict=True):
            rows = self.table[self.table["panel"] == panel]
            rows = rows.assign(**{name: rows[name] * 100 for name in NUMBERS})
            drawn = []
            for (arm, rule, members), curve in rows.groupby(["arm", "rule", "members"], sort=False):
                color, marker = styles[arm]
                label = style.arm_label(arm, rule, members)
                drawn.append(draw_line(ax, curve["threshold"], curve, color, marker=marker, label=label))
            handles = handles or drawn
            ax.set_xlim(-0.02, 1.02)
        axes[1].set_ylim(-3, 103)
        name_axes(axes[0], ylabel="accuracy of the retained (%)", xlabel="confidence at least")
        name_axes(axes[1], ylabel="examples retained (%)", xlabel="confidence at least")
        return handles


def _check_same(known: Mapping[str, Sequence[Predictions]], unknown: Mapping[str, Sequence[Predictions]]) -> None:
    shapes = [
        {arm: (len(runs), runs[0].members, runs[0].classes) for arm, runs in part.items()} for part in (known, unknown)
    ]
    if shapes[0] != shapes[1]:
        raise InputError(
            "unknown must have the arms of known, with the same repetitions, members and classes, "
            f"got {shapes[1]} for {shapes[0]}"
        )


def _drawn(weights: FloatArray, repeats: FloatArray, kept: npt.NDArray[np.bool_]) -> FloatArray:
    """Return in each resample how many are kept at each threshold: (resamples, thresholds)."""
    counts = weights @ kept.reshape(len(kept), -1).astype(float)
    return row_means(repeats, counts.reshape(len(weights), *kept.shape[1:]))


def _check(
    pools: Sequence[FloatArray], labels: npt.NDArray[Any], taus: FloatArray, retained: FloatArray, found: FloatArray
) -> None:
    """Require what must hold of one arm; how many are retained and how many of these right, at each threshold."""
    require(
        "a higher threshold retains no more examples",
        (np.diff(retained) <= 0).all(),
        ", ".join(f"{count:g}" for count in retained),
    )
    if taus[0] == 0:
        overall = np.mean([METRICS["accuracy"].value(probs, labels) for probs in pools])
        require(
            "at threshold 0, accuracy = overall accuracy",
            np.isclose(found[0] / len(labels), overall, atol=1e-9),
            f"{found[0] / len(labels):.6g} and {overall:.6g}",
        )


def _facts(table: pd.DataFrame) -> Iterator[Fact]:
    curves = table[(table["panel"] == "accuracy") & table["value"].notna()]
    for (arm, rule, members), curve in curves.groupby(["arm", "rule", "members"], sort=False):
        values, taus = curve["value"].to_numpy(), curve["threshold"].to_numpy()
        fall = max(0.0, float(-np.diff(values).min(initial=0.0)))
        yield Fact(
            f"{style.arm_label(str(arm), rule, members)}: accuracy does not fall with the threshold",
            bool(fall <= 1e-12),
            f"{100 * values[0]:.1f} % at {taus[0]:g} to {100 * values[-1]:.1f} % at {taus[-1]:g}; "
            f"largest fall {100 * fall:.2f} points",
        )
