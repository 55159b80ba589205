"""`Evaluator`: scores with intervals, and contrasts that are paired on the same examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pandas as pd

from ensemble_vs_dropout.checks import InputError, check_at_least, check_known
from ensemble_vs_dropout.evaluation.arms import ARMS, EACH, questions, shared
from ensemble_vs_dropout.evaluation.equivalence import equal_cost, equivalence
from ensemble_vs_dropout.evaluation.outcomes import ENOUGH, Outcome, detect, evaluate
from ensemble_vs_dropout.evaluation.pooling import Arms, check_share, pool, runs_of
from ensemble_vs_dropout.evaluation.sizes import SIZES, size_curves
from ensemble_vs_dropout.evaluation.tasks import CLASSES, NUMBERS, Task, task_of
from ensemble_vs_dropout.measures import METRICS, RULES, STANDARD_METRICS
from ensemble_vs_dropout.measures.aggregation import find_rule
from ensemble_vs_dropout.measures.detection import HIGHER_IS_BETTER, detection
from ensemble_vs_dropout.measures.metrics import (
    EVERY_METRIC,
    REGRESSION_METRICS,
    STANDARD_REGRESSION_METRICS,
    Metric,
    find_metric,
)
from ensemble_vs_dropout.measures.regression import POOLS
from ensemble_vs_dropout.measures.significance import holm, mcnemar
from ensemble_vs_dropout.measures.spread import LEAST, spread_of
from ensemble_vs_dropout.types import FloatArray

SCORE_COLUMNS = [
    "arm", "rule", "members", "metric", "value", "low", "high", "split", "condition", "severity", "repetition",
]  # fmt: skip
CONTRAST_COLUMNS = [
    "arm_a", "rule_a", "arm_b", "rule_b", "metric", "difference", "low", "high", "p_value", "p_adjusted", "test",
    "better", "detectable", "family", "value_a", "value_b", "margin", "p_equivalent", "equivalent",
]  # fmt: skip
PLANNED, EXPLORATORY, ALL_PAIRS = "planned", "exploratory", "all pairs"
_ROUNDING = 1e-12  # relative: sums in another order differ by as much
UNTESTED, INFINITE = "none: of these networks only", "none: infinite"
OVER_SPLITS = "corrected t over splits"


@dataclass(frozen=True)
class Evaluator:
    """What to measure and how; the data come with the call, and tables come out.

    An arm is one `Predictions`, or a sequence of them, one for each repetition of the whole experiment.

    Intervals and p-values speak of training again, and of other test examples: they span networks and examples
    (`measures.spread`). A unit is what is trained anew: a network where the networks are judged one by one (the rule
    "each", and the networks of `Predictions.further`), the whole repetition where its members are combined. Fewer than
    three units say nothing of training again: intervals then span the test examples alone, and there is no p-value.

    Where every repetition has a split of the data of its own (labels of its own, and `test_share`), a unit is a split,
    and intervals and p-values speak of other splits: other networks, and other examples to train, stop and test on.
    Splits share examples, so their variance is corrected by a rule of thumb (Nadeau and Bengio, 2003; see
    `measures.significance.corrected_t_test`).

    It is the door to all of evaluation: how well uncertainty tells other data (`detection`), sizes (`size_curves`),
    worth (`equivalence`) and what is best at equal cost (`equal_cost`) take its choices.

    Attributes:
        metrics: Names in `METRICS`, or "package.module:NAME" of one's own; None for the standard ones: error, NLL
            plain and calibrated, Brier score, ECE.
        rules: Names in `RULES`, or "package.module:function" of one's own, for all arms or by arm; None for the means
            and the majority vote. The rule "each" combines nothing: it averages the metric over the members, each
            alone.
        resamples: Bootstrap resamples of the examples, for measures that are no means of examples, such as the ECE;
            more than 1,000 are not needed and not drawn.
        level: Of the intervals; a contrast is shown if its adjusted p-value is below 1 - level.
        seed: Of the resamples.
        fixed: Whether these trained networks alone are compared: intervals and tests span the test examples, the test
            being McNemar's where each example's score is 0 or 1. They say nothing of training again.
        margins: By metric, in the unit that tables show (percentage points for an error, nats for an NLL): differences
            below it do not matter. Two arms are equivalent if theirs is shown to be below it (two one-sided tests).
        test_share: n_test / n_train, the examples tested on divided by those trained on in one split, where every
            repetition has a split of its own; else None.
        unit: What is trained independently: "network"; or "repetition", where each has training data of its own, which
            its networks share.

    Example:
        >>> from ensemble_vs_dropout import Predictions
        >>> rng = np.random.default_rng(0)
        >>> arms = {name: [Predictions(rng.dirichlet([1, 1], (1, 50))) for _ in range(3)] for name in "ab"}
        >>> evaluator = Evaluator(metrics=["error"], rules=["mean"])
        >>> labels = rng.integers(2, size=50)
        >>> scores, contrasts = evaluator.tables(arms, labels)  # as `scores` and `contrasts` alone
        >>> evaluator.scores(arms, labels).arm.tolist()
        ['a', 'b']
        >>> evaluator.contrasts(arms, labels)[["test", "better"]].values.tolist()
        [['paired t over repetitions and examples', 'neither']]
        >>> other = {name: [Predictions(np.full((1, 40, 2), 0.5))] * 3 for name in arms}
        >>> found, _ = evaluator.detection(arms, other, resamples=100)
        >>> found[(found.rule == "entropy") & (found.metric == "auroc")].value.round(6).tolist()
        [1.0, 1.0]
        >>> evaluator.size_curves(arms, labels)[["arm", "members", "metric"]].values.tolist()
        [['a', 1, 'error'], ['b', 1, 'error']]
        >>> networks = {"ensemble": Predictions(rng.dirichlet([1, 1], (4, 50)))}
        >>> evaluator.equivalence(networks, labels, "brier").worth.tolist()
        [4.0]
        >>> from ensemble_vs_dropout.evaluation.equivalence import AXES
        >>> cost = pd.DataFrame({"arm": ["ensemble"], "passes": 4.0}).reindex(columns=["arm", *AXES])
        >>> evaluator.equal_cost(networks, labels, cost, "brier").members.tolist()
        [4]
    """

    metrics: Sequence[str] | None = None
    rules: Sequence[str] | Mapping[str, Sequence[str]] | None = None
    resamples: int = 10_000
    level: float = 0.95
    seed: int = 0
    fixed: bool = False
    margins: Mapping[str, float] | None = None
    test_share: float | None = None
    unit: str = "network"

    def __post_init__(self) -> None:
        for argument, names in (("metrics", self.metrics), ("rules", self.rules)):
            if isinstance(names, str) or (names is not None and not names):
                raise InputError(f"{argument} must be a list of at least one name, or None, got {names!r}")
        for name in self.metrics or ():
            if name not in REGRESSION_METRICS:
                find_metric(name)
        given = self.rules.values() if isinstance(self.rules, Mapping) else [self.rules or ()]
        for name in (name for names in given for name in names if ":" in name):
            find_rule(name)
        for name in (name for names in given for name in names):
            check_known("rule", name, [*RULES, *POOLS, EACH])
        check_at_least("resamples", self.resamples, 100)
        check_known("unit", self.unit, ("network", "repetition"))
        if not 0 < self.level < 1:
            raise InputError(f"level must lie between 0 and 1, got {self.level!r}")
        for name, margin in (self.margins or {}).items():
            standard = (*STANDARD_METRICS, *STANDARD_REGRESSION_METRICS)
            check_known("metric in margins", name, self.metrics or standard)
            if not 0 < margin < float("inf"):
                raise InputError(f"margin of {name} must be a number above 0, got {margin!r}")

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
            labels: Shape (examples,); or (repetitions, examples) where every repetition has a split of its own.
            split: Which part of the data it is; goes into the table, like `condition` and `severity`.
            condition: What was done to the inputs.
            severity: How strongly.

        Returns:
            Columns arm, rule, members, metric, value, low, high (over networks and examples; over examples alone where
            the arm has fewer than three units; over splits where each repetition has one of its own; cut at 0 where no
            unit is below it, and at the highest value that a measure has), split, condition, severity, and repetition,
            which is missing where the row averages several.
        """
        return self._scores(self._outcomes(arms, labels), arms, split, condition, severity)

    def contrasts(self, arms: Arms, labels: npt.ArrayLike) -> pd.DataFrame:
        """Return one row per metric and pair of rows of `scores`.

        Returns:
            Columns arm_a, rule_a, arm_b, rule_b, metric, difference (a minus b), low, high, p_value, p_adjusted, test,
            better: "a", "b", or "neither" when no difference is shown, detectable, family, value_a, value_b, margin,
            p_equivalent, equivalent.

            Units that stand in the same places are paired. Where the numbers of units differ, the repetitions are
            paired if the arms use the same networks, else each arm has a variance of its own.

            Holm's correction of p_value is over a family. The planned questions of the verdict (`arms.QUESTIONS`) are
            one. The other pairs are exploratory, and are corrected for all pairs of the metric; so are all where no
            planned question is among them. low and high are simultaneous intervals (Bonferroni's, of the same family).
            Where Holm's correction shows more than these, the interval ends at 0: it holds 0 just if nothing is shown.

            detectable is the true difference that would be shown as often as not at the strictest step; smaller ones
            mostly go unseen. p_equivalent is that of two one-sided tests against the margin (here in the unit of
            difference; Schuirmann, 1987), corrected by Holm's method in the same family. Without a margin, margin and
            p_equivalent are missing, and equivalent is false.

            Where every repetition has a split of its own, the differences of the splits are tested.

            Between a finite and an infinite score, as the NLL of a vote, nothing is tested: the finite one is better.
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
            resamples: Of the examples of both.

        Returns:
            The tables of `scores` and `contrasts`, with the detector (max_probability, entropy, mutual_information) in
            the place of the rule, and the metrics auroc, aupr and fpr_at_95_tpr; see `measures.detection`. Pairs are of
            arms by the same detector, and Holm's correction is over these. An arm of passes is that of the first
            network of each repetition.

        Raises:
            InputError: Data that do not fit each other, or repetitions with a split each (`test_share`).
        """
        if self.test_share is not None:
            raise InputError(
                "other data are told from the same test examples in every repetition; leave out test_share"
            )
        outcomes = self._by_unit(detect(own, other, check_at_least("resamples", resamples, 100), self.seed))
        detectors = dict.fromkeys(outcome.rule for outcome in outcomes)
        pairs = [self._contrasts([one for one in outcomes if one.rule == name]) for name in detectors]
        return self._scores(outcomes, own, "test", "other data", 0), pd.concat(pairs, ignore_index=True)

    def size_curves(
        self, arms: Arms, labels: npt.ArrayLike, rule: str = "mean", sizes: Sequence[int] = SIZES, subsets: int = 100
    ) -> pd.DataFrame:
        """Return quality against the number of members or passes, by every metric; see `evaluation.size_curves`."""
        metrics = self.metrics or [name for name in STANDARD_METRICS if METRICS[name].per_example]
        return size_curves(
            arms, labels, metrics, rule, sizes, subsets, min(self.resamples, ENOUGH), self.seed, self.test_share,
            self.level,
        )  # fmt: skip

    def equivalence(
        self, arms: Arms, labels: npt.ArrayLike, metric: str = "calibrated_nll", reference: str = "ensemble"
    ) -> pd.DataFrame:
        """Return what each arm is worth in independent networks; see `evaluation.equivalence`.

        An arm is combined by the first of its rules, and the reference by the mean.
        """
        rules = {arm: self._rules_of(arm)[0] for arm in arms if arm != reference}
        resamples = min(self.resamples, ENOUGH)
        return equivalence(
            arms, labels, reference, metric, rules, resamples=resamples, level=self.level, seed=self.seed
        )

    def equal_cost(
        self,
        arms: Arms,
        labels: npt.ArrayLike,
        cost: pd.DataFrame,
        metric: str = "calibrated_nll",
        subsets: int = 20,
    ) -> pd.DataFrame:
        """Return which arm is best for the same cost; see `evaluation.equal_cost`."""
        return equal_cost(
            arms, labels, cost, metric, subsets=subsets, level=self.level, seed=self.seed, test_share=self.test_share
        )

    def _outcomes(self, arms: Arms, labels: npt.ArrayLike) -> list[Outcome]:
        if isinstance(self.rules, Mapping):
            for arm in self.rules:
                check_known("arm in rules", arm, [*arms, *ARMS])
        task = task_of(arms)
        metrics = task.metrics(self.metrics, arms)
        for name in self.margins or ():
            check_known("metric in margins", name, metrics)
        if task is NUMBERS and np.shape(labels) == (runs_of(next(iter(arms.values())))[0].examples, 1):
            labels = np.asarray(labels)[:, 0]  # a column, as `fit` takes it
        pooled = list(pool(arms, {arm: self._rules_of(arm, task) for arm in arms}, labels))
        check_share(self.test_share, labels)
        if self.fixed and self.test_share is not None:
            raise InputError(
                "fixed compares trained networks on the same examples, and must be False where every repetition has a "
                "split of its own (test_share), got True"
            )
        return self._by_unit(evaluate(pooled, labels, metrics, self.resamples, self.seed, self.test_share))

    def _by_unit(self, outcomes: list[Outcome]) -> list[Outcome]:
        return outcomes if self.unit == "network" else [outcome.by_repetition for outcome in outcomes]

    def _rules_of(self, arm: str, task: Task = CLASSES) -> Sequence[str]:
        rules = self.rules.get(arm) if isinstance(self.rules, Mapping) else self.rules
        return rules or list(task.rules)

    def _scores(self, outcomes: list[Outcome], arms: Arms, split: str, condition: str, severity: float) -> pd.DataFrame:
        several = len(runs_of(next(iter(arms.values())))) > 1
        where = [split, condition, severity, pd.NA if several else 0]
        rows = []
        for o in outcomes:
            metric = _metric(o.metric)
            low, high = o.interval(self.level, self.fixed, metric.lowest)
            rows.append([o.arm, o.rule, o.members, o.metric, o.value, low, min(high, metric.highest), *where])
        return pd.DataFrame(rows, columns=SCORE_COLUMNS).astype({"repetition": "Int64"})

    def _contrasts(self, outcomes: list[Outcome]) -> pd.DataFrame:
        tables = [
            self._of_metric(metric, [o for o in outcomes if o.metric == metric])
            for metric in dict.fromkeys(o.metric for o in outcomes)
        ]
        found = pd.concat(tables, ignore_index=True)
        return found.astype({"equivalent": bool})

    def _of_metric(self, metric: str, outcomes: list[Outcome]) -> pd.DataFrame:
        pairs = [_Pair(a, b, self.fixed) for a, b in combinations(outcomes, 2)]
        planned = {frozenset((q[:2], q[2:])) for q in questions([(o.arm, o.rule) for o in outcomes])}
        of_plan = np.array([frozenset(pair.rows) in planned for pair in pairs], dtype=bool)
        margin = (self.margins or {}).get(metric, np.nan) / _metric(metric).scale
        p_values = np.array([pair.p_value for pair in pairs])
        p_equivalent = np.array([pair.p_beyond(margin) for pair in pairs])
        adjusted, equivalent = _by_family(p_values, of_plan), _by_family(p_equivalent, of_plan)
        known, most = np.isfinite([pair.difference for pair in pairs]), _metric(metric).highest
        tests = np.where(of_plan, (known & of_plan).sum(), known.sum())
        rows = []
        for place, pair in enumerate(pairs):
            shown = adjusted[place] < 1 - self.level or np.isinf(pair.difference)
            a_wins = (pair.difference > 0) == _metric(metric).higher_is_better
            half = pair.spread.half_width(1 - (1 - self.level) / max(1, tests[place]))
            family = ALL_PAIRS if not planned else PLANNED if of_plan[place] else EXPLORATORY
            rows.append(
                [
                    *(pair.a.arm, pair.a.rule, pair.b.arm, pair.b.rule, metric, pair.difference),
                    *np.clip(_bounds(pair.difference, half, shown, np.isfinite(p_values[place])), -most, most),
                    *(p_values[place], adjusted[place], pair.test),
                    "neither" if not shown else "a" if a_wins else "b",
                    min(half, most) if np.isfinite(p_values[place]) else np.nan,
                    *(family, pair.a.value, pair.b.value),
                    *(margin, equivalent[place], equivalent[place] < 1 - self.level),
                ]
            )
        return pd.DataFrame(rows, columns=CONTRAST_COLUMNS)


class _Pair:
    """Two outcomes of one metric: their difference, what it is spread by, and the test that this allows."""

    def __init__(self, a: Outcome, b: Outcome, fixed: bool):
        self.a, self.b = a, b
        self.rows = ((a.arm, a.rule), (b.arm, b.rule))
        with np.errstate(invalid="ignore"):  # two infinite scores have no difference: NaN
            self.difference = float(np.subtract(a.value, b.value))
        if np.isfinite(self.difference) and abs(self.difference) <= _ROUNDING * abs(a.value):
            self.difference = 0.0
        alike = a.units.shape == b.units.shape
        paired = alike or shared(a.arm, b.arm)
        whole = a.by_repetition.minus(b.by_repetition)
        self.test, groups = "t over examples", []
        if not np.isfinite(self.difference):
            self.test = INFINITE
        elif a.test_share is not None:
            self.test = OVER_SPLITS
        elif not fixed and paired:
            differences = a.minus(b) if alike else whole
            groups, self.test = [differences.group], f"paired t over {_units(differences)} and examples"
        elif not fixed:
            groups, self.test = [a.group, b.group], f"t over {_units(a, b)} and examples"
        if any(len(scores) < LEAST for scores, _ in groups):
            groups, self.test = [], UNTESTED
        total = whole.over_examples if np.isfinite(self.difference) else np.nan
        self.spread = whole.spread() if self.test == OVER_SPLITS else spread_of(groups, total, a.degrees)
        if fixed and a.wrong is not None and b.wrong is not None:
            self.p_value, self.test = mcnemar(a.wrong, b.wrong)
        else:
            self.p_value = float("nan") if self.test.startswith("none") else self.spread.p_value(self.difference)

    def p_beyond(self, margin: float) -> float:
        """Of "the difference is the margin or more"; NaN where there is no test."""
        return float("nan") if np.isnan(self.p_value) else self.spread.tail(margin - abs(self.difference))


def _metric(name: str) -> Metric:
    """Return what is known of a metric, of either task or of detection."""
    return EVERY_METRIC.get(name) or Metric(detection, name, HIGHER_IS_BETTER[name], highest=1.0)  # shares


def _units(*outcomes: Outcome) -> str:
    """Return what the units are, in words."""
    words = ["networks" if o.units.shape[1] > 1 else "repetitions" for o in outcomes]
    return ", ".join(sorted(set(words), reverse=True))


def _by_family(p_values: FloatArray, of_plan: npt.NDArray[np.bool_]) -> FloatArray:
    """Correct the planned tests for each other, and the others for all."""
    adjusted = holm(p_values)
    adjusted[of_plan] = holm(p_values[of_plan])
    return adjusted


def _bounds(difference: float, half: float, shown: bool, tested: bool) -> tuple[float, float]:
    """Return the simultaneous interval, which ends at 0 where less would not agree with what is shown."""
    if not np.isfinite(difference):
        return difference, difference
    low, high = difference - half, difference + half
    if not tested:
        return low, high
    if not shown:  # McNemar's test may show less than an interval over examples
        return min(low, 0.0) if difference >= 0 else low, max(high, 0.0) if difference <= 0 else high
    return (max(low, 0.0), high) if difference > 0 else (low, min(high, 0.0))
