"""`Evaluator`: scores with intervals, and contrasts that are paired on the same examples."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import norm

from ensemble_vs_dropout.checks import InputError, check_at_least, check_known
from ensemble_vs_dropout.evaluation.arms import ARMS, EACH
from ensemble_vs_dropout.evaluation.outcomes import Arms, Outcome, detect, evaluate, pool, runs_of
from ensemble_vs_dropout.measures import METRICS, RULES, STANDARD_METRICS, STANDARD_RULES
from ensemble_vs_dropout.measures.aggregation import find_rule
from ensemble_vs_dropout.measures.detection import HIGHER_IS_BETTER
from ensemble_vs_dropout.measures.metrics import find_metric
from ensemble_vs_dropout.measures.resampling import bca_interval, bootstrap_p_value, percentile_interval
from ensemble_vs_dropout.measures.significance import holm, mcnemar
from ensemble_vs_dropout.types import FloatArray

SCORE_COLUMNS = [
    "arm", "rule", "members", "metric", "value", "low", "high", "split", "condition", "severity", "repetition",
]  # fmt: skip
CONTRAST_COLUMNS = [
    "arm_a", "rule_a", "arm_b", "rule_b", "metric", "difference", "low", "high", "p_value", "p_adjusted", "test",
    "better", "detectable",
]  # fmt: skip


@dataclass(frozen=True)
class Evaluator:
    """What to measure and how; the data come with the call, and tables come out.

    An arm is one `Predictions`, or a sequence of them, one for each repetition of the whole experiment.

    Attributes:
        metrics: Names in `METRICS`, or "package.module:NAME" of one's own; None for the standard ones: error, NLL
            plain and calibrated, Brier score, ECE.
        rules: Names in `RULES`, or "package.module:function" of one's own, for all arms or by arm; None for the means
            and the majority vote. The rule "each" combines nothing: it averages the metric over the members, each
            alone.
        resamples: Bootstrap resamples, shared by all arms.
        level: Of the intervals; a contrast is shown if its adjusted p-value is below 1 - level.
        interval: "percentile", or "bca" for means of examples: bias-corrected and accelerated (Efron 1987), which
            follows skew.
        seed: Of the resamples.

    Example:
        >>> from ensemble_vs_dropout import Predictions
        >>> rng = np.random.default_rng(0)
        >>> arms = {"a": Predictions(rng.dirichlet([1, 1], (3, 50))), "b": Predictions(rng.dirichlet([1, 1], (1, 50)))}
        >>> evaluator = Evaluator(metrics=["error"], rules=["mean"])
        >>> evaluator.contrasts(arms, rng.integers(2, size=50)).better.tolist()
        ['neither']
    """

    metrics: Sequence[str] | None = None
    rules: Sequence[str] | Mapping[str, Sequence[str]] | None = None
    resamples: int = 10_000
    level: float = 0.95
    seed: int = 0
    interval: Literal["percentile", "bca"] = "percentile"

    def __post_init__(self) -> None:
        for argument, names in (("metrics", self.metrics), ("rules", self.rules)):
            if isinstance(names, str) or (names is not None and not names):
                raise InputError(f"{argument} must be a list of at least one name, or None, got {names!r}")
        for name in self.metrics or ():
            find_metric(name)
        given = self.rules.values() if isinstance(self.rules, Mapping) else [self.rules or ()]
        for name in (name for names in given for name in names if ":" in name):
            find_rule(name)
        for name in (name for names in given for name in names):
            check_known("rule", name, [*RULES, EACH])
        check_at_least("resamples", self.resamples, 100)
        if not 0 < self.level < 1:
            raise InputError(f"level must lie between 0 and 1, got {self.level!r}")
        check_known("interval", self.interval, ("percentile", "bca"))

    def scores(
        self,
        arms: Arms,
        labels: npt.ArrayLike,
        split: str = "test",
        condition: str = "clean",
        severity: float = 0,
    ) -> pd.DataFrame:
        """Return one row per arm, rule and metric.

        Args:
            arms: Predictions by arm.
            labels: Shape (examples,).
            split: Which part of the data it is; goes into the table, like `condition` and `severity`.
            condition: What was done to the inputs.
            severity: How strongly.

        Returns:
            Columns arm, rule, members, metric, value, low, high (bootstrap: over examples with one repetition, else
            over repetitions and examples; percentiles are centred on the value for measures that are no means),
            split, condition, severity, and repetition, which is missing where the row averages several.
        """
        return self._scores(self._outcomes(arms, labels), arms, split, condition, severity)

    def contrasts(self, arms: Arms, labels: npt.ArrayLike) -> pd.DataFrame:
        """Return one row per metric and pair of rows of `scores`.

        Returns:
            Columns arm_a, rule_a, arm_b, rule_b, metric, difference (a minus b), low, high (paired bootstrap),
            p_value, p_adjusted (Holm, over all pairs of the metric), test, better: "a", "b", or "neither" when no
            difference is shown, and detectable: the true difference that would be shown as often as not at Holm's
            strictest step, by the spread of the bootstrap; smaller ones mostly go unseen.

            The test is McNemar's where each example's score is 0 or 1 (errors) and there is one prediction an arm; it
            compares fitted networks, so with repetitions, and for an average over members, it is the paired
            bootstrap, as for all other metrics. That gives no p-value below 2 / (resamples + 1), before it is
            adjusted: with too many pairs for the resamples nothing could be shown, which is warned of.
        """
        return self._contrasts(self._outcomes(arms, labels))

    def tables(self, arms: Arms, labels: npt.ArrayLike, split: str = "test") -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return `scores` and `contrasts` for the price of one."""
        outcomes = self._outcomes(arms, labels)
        return self._scores(outcomes, arms, split, "clean", 0), self._contrasts(outcomes)

    def detection(self, own: Arms, other: Arms, resamples: int = 1000) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return how well each arm's uncertainty tells other data from its own: scores and contrasts.

        Args:
            own: Predictions by arm of data like those of training.
            other: Predictions of the same arms, with the same repetitions, of data that do not belong.
            resamples: Of the examples of both, and of the repetitions where there are several.

        Returns:
            The tables of `scores` and `contrasts`, with the detector (max_probability, entropy, mutual_information) in
            the place of the rule, and the metrics auroc, aupr and fpr_at_95_tpr; see `measures.detection`. Pairs are of
            arms by the same detector, and Holm's correction is over these.
        """
        outcomes = detect(own, other, check_at_least("resamples", resamples, 100), self.seed)
        detectors = dict.fromkeys(outcome.rule for outcome in outcomes)
        pairs = [self._contrasts([one for one in outcomes if one.rule == name]) for name in detectors]
        return self._scores(outcomes, own, "test", "other data", 0), pd.concat(pairs, ignore_index=True)

    def _outcomes(self, arms: Arms, labels: npt.ArrayLike) -> list[Outcome]:
        if isinstance(self.rules, Mapping):
            for arm in self.rules:
                check_known("arm in rules", arm, [*arms, *ARMS])
        truth = np.asarray(labels)
        metrics = {name: METRICS[name] for name in self.metrics or STANDARD_METRICS}
        pooled = list(pool(arms, {arm: self._rules_of(arm) for arm in arms}, truth))
        return evaluate(pooled, truth, metrics, self.resamples, self.seed, jackknife=self.interval == "bca")

    def _rules_of(self, arm: str) -> Sequence[str]:
        rules = self.rules.get(arm) if isinstance(self.rules, Mapping) else self.rules
        return rules or list(STANDARD_RULES)

    def _scores(self, outcomes: list[Outcome], arms: Arms, split: str, condition: str, severity: float) -> pd.DataFrame:
        several = len(runs_of(next(iter(arms.values())))) > 1
        where = [split, condition, severity, pd.NA if several else 0]
        rows = [
            [o.arm, o.rule, o.members, o.metric, o.value, *self._interval(o.draws, o.value, o.jackknife), *where]
            for o in outcomes
        ]
        return pd.DataFrame(rows, columns=SCORE_COLUMNS).astype({"repetition": "Int64"})

    def _contrasts(self, outcomes: list[Outcome]) -> pd.DataFrame:
        tables = []
        resamples = len(outcomes[0].draws)
        for metric in dict.fromkeys(o.metric for o in outcomes):
            pairs = combinations([o for o in outcomes if o.metric == metric], 2)
            table = pd.DataFrame([self._contrast(a, b) for a, b in pairs], columns=CONTRAST_COLUMNS)
            table["p_adjusted"] = holm(table.p_value.astype(float))
            shown = table.p_adjusted < 1 - self.level
            higher = METRICS[metric].higher_is_better if metric in METRICS else HIGHER_IS_BETTER[metric]
            a_wins = (table.difference > 0) == higher
            table["better"] = np.where(shown, np.where(a_wins, "a", "b"), "neither")
            tests = max(1, int(table.p_value.notna().sum()))
            table["detectable"] *= norm.isf((1 - self.level) / tests / 2)
            if (table.test == "paired bootstrap").any() and 2 * tests / (resamples + 1) >= 1 - self.level:
                warnings.warn(
                    f"{resamples} resamples can show no difference in {metric} among {tests} pairs: the smallest "
                    f"adjusted p-value is {min(1.0, 2 * tests / (resamples + 1)):.3g}; give at least "
                    f"{int(4 * tests / (1 - self.level))} resamples, or compare fewer arms and rules",
                    stacklevel=3,
                )
            tables.append(table)
        return pd.concat(tables, ignore_index=True)

    def _contrast(self, a: Outcome, b: Outcome) -> list[object]:
        with np.errstate(invalid="ignore"):  # two infinite scores have no difference: NaN
            draws, difference = a.draws - b.draws, float(np.subtract(a.value, b.value))
        if a.wrong is not None and b.wrong is not None:
            p_value, test = mcnemar(a.wrong, b.wrong)
        else:
            p_value, test = bootstrap_p_value(draws), "paired bootstrap"
        with np.errstate(invalid="ignore"):
            left_out = tuple(of_a - of_b for of_a, of_b in zip(a.jackknife, b.jackknife, strict=True))
            spread = float(draws.std())
        low, high = self._interval(draws, difference, left_out)
        return [a.arm, a.rule, b.arm, b.rule, a.metric, difference, low, high, p_value, np.nan, test, "", spread]

    def _interval(self, draws: FloatArray, value: float, left_out: tuple[FloatArray, ...]) -> tuple[float, float]:
        if left_out:
            return bca_interval(draws, value, left_out, self.level)
        return percentile_interval(draws, self.level)
