"""`Evaluator`: scores with intervals, and contrasts that are paired on the same examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pandas as pd

from ensemble_vs_dropout.checks import InputError, check_at_least, check_known
from ensemble_vs_dropout.evaluation.arms import EACH
from ensemble_vs_dropout.evaluation.outcomes import Arms, Outcome, evaluate, pool
from ensemble_vs_dropout.measures import METRICS, RULES, STANDARD_RULES
from ensemble_vs_dropout.measures.statistics import bootstrap_p_value, holm, mcnemar, percentile_interval
from ensemble_vs_dropout.types import IntArray, Predictions

SCORE_COLUMNS = [
    "arm", "rule", "members", "metric", "value", "low", "high", "split", "condition", "severity", "repetition",
]  # fmt: skip
CONTRAST_COLUMNS = [
    "arm_a", "rule_a", "arm_b", "rule_b", "metric", "difference", "low", "high", "p_value", "p_adjusted", "test",
    "better",
]  # fmt: skip


@dataclass(frozen=True)
class Evaluator:
    """What to measure and how; the data come with the call, and tables come out.

    An arm is one `Predictions`, or a sequence of them, one for each repetition of the whole experiment.

    Attributes:
        metrics: Names in `METRICS`; None for all.
        rules: Names in `RULES`, for all arms or by arm; None for the means and the majority vote. The rule "each"
            combines nothing: it averages the metric over the members, each alone.
        resamples: Bootstrap resamples, shared by all arms.
        level: Of the intervals; a contrast is shown if its adjusted p-value is below 1 - level.
        seed: Of the resamples.

    Example:
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

    def __post_init__(self) -> None:
        for name in self.metrics or ():
            check_known("metric", name, METRICS)
        given = self.rules.values() if isinstance(self.rules, Mapping) else [self.rules or ()]
        for name in (name for names in given for name in names):
            check_known("rule", name, [*RULES, EACH])
        check_at_least("resamples", self.resamples, 100)
        if not 0 < self.level < 1:
            raise InputError(f"level must lie between 0 and 1, got {self.level!r}")

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
            Columns arm, rule, members, metric, value, low, high (percentile bootstrap: over examples with one
            repetition, else over repetitions and examples; centred on the value for measures that are no means),
            split, condition, severity, and repetition, which is missing where the row averages several.
        """
        return self._scores(self._outcomes(arms, labels), arms, split, condition, severity)

    def contrasts(self, arms: Arms, labels: npt.ArrayLike) -> pd.DataFrame:
        """Return one row per metric and pair of rows of `scores`.

        Returns:
            Columns arm_a, rule_a, arm_b, rule_b, metric, difference (a minus b), low, high (paired bootstrap),
            p_value, p_adjusted (Holm, over all pairs of the metric), test, and better: "a", "b", or "neither" when no
            difference is shown. The test is McNemar's for errors of two single predictions; it compares fitted
            networks and takes 0 and 1 only, so with repetitions, and for an average over members, it is the paired
            bootstrap, as for all other metrics.
        """
        return self._contrasts(self._outcomes(arms, labels))

    def tables(self, arms: Arms, labels: npt.ArrayLike, split: str = "test") -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return `scores` and `contrasts` for the price of one."""
        outcomes = self._outcomes(arms, labels)
        return self._scores(outcomes, arms, split, "clean", 0), self._contrasts(outcomes)

    def _outcomes(self, arms: Arms, labels: npt.ArrayLike) -> list[Outcome]:
        if not arms:
            raise InputError("arms must hold at least one arm, got none")
        truth: IntArray = np.asarray(labels)
        metrics = {name: METRICS[name] for name in self.metrics or METRICS}
        pooled = list(pool(arms, {arm: self._rules_of(arm) for arm in arms}, truth))
        return evaluate(pooled, truth, metrics, self.resamples, self.seed)

    def _rules_of(self, arm: str) -> Sequence[str]:
        rules = self.rules.get(arm) if isinstance(self.rules, Mapping) else self.rules
        return rules or list(STANDARD_RULES)

    def _scores(self, outcomes: list[Outcome], arms: Arms, split: str, condition: str, severity: float) -> pd.DataFrame:
        given = next(iter(arms.values()))
        several = not isinstance(given, Predictions) and len(given) > 1
        where = [split, condition, severity, pd.NA if several else 0]
        rows = [
            [o.arm, o.rule, o.members, o.metric, o.value, *percentile_interval(o.draws, self.level), *where]
            for o in outcomes
        ]
        return pd.DataFrame(rows, columns=SCORE_COLUMNS).astype({"repetition": "Int64"})

    def _contrasts(self, outcomes: list[Outcome]) -> pd.DataFrame:
        tables = []
        for metric in dict.fromkeys(o.metric for o in outcomes):
            pairs = combinations([o for o in outcomes if o.metric == metric], 2)
            table = pd.DataFrame([self._contrast(a, b) for a, b in pairs], columns=CONTRAST_COLUMNS)
            table["p_adjusted"] = holm(table.p_value.astype(float))
            shown = table.p_adjusted < 1 - self.level
            a_wins = (table.difference > 0) == METRICS[metric].higher_is_better
            table["better"] = np.where(shown, np.where(a_wins, "a", "b"), "neither")
            tables.append(table)
        return pd.concat(tables, ignore_index=True)

    def _contrast(self, a: Outcome, b: Outcome) -> list[object]:
        with np.errstate(invalid="ignore"):  # two infinite scores have no difference: NaN
            draws, difference = a.draws - b.draws, float(np.subtract(a.value, b.value))
        if a.wrong is not None and b.wrong is not None:
            p_value, test = mcnemar(a.wrong, b.wrong)
        else:
            p_value, test = bootstrap_p_value(draws), "paired bootstrap"
        low, high = percentile_interval(draws, self.level)
        return [a.arm, a.rule, b.arm, b.rule, a.metric, difference, low, high, p_value, np.nan, test, ""]
