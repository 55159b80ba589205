"""The verdict: plain sentences made from the contrasts and the costs alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ensemble_vs_dropout.evaluation.arms import ARMS, REFERENCE, arm_label, arms_of, growing, questions
from ensemble_vs_dropout.evaluation.evaluator import INFINITE, OVER_SPLITS, UNTESTED
from ensemble_vs_dropout.evaluation.wording import (
    arm_words,
    capital,
    metric_words,
    number_words,
    p_words,
    size_words,
    times_words,
    unit_of,
)

# Those of the verdict, where they are measured; else the first two that are.
_METRICS = ("error", "nll", "rmse", "crps", "gaussian_nll")
_AXES = {
    "parameters": "parameters",
    "trained": "training work",
    "passes": "forward passes",
    "train_seconds": "seconds of training",
    "predict_seconds": "seconds of predicting",
}


@dataclass(frozen=True)
class Paragraph:
    """One answer of the verdict.

    Attributes:
        said: The answer.
        about: Which arms it compares, or "" where it compares no two.
    """

    said: str
    about: str = ""

    def __str__(self) -> str:
        return f"{self.about}: {self.said}" if self.about else self.said


def verdict(
    contrasts: pd.DataFrame,
    cost: pd.DataFrame,
    interval: str,
    worth: pd.DataFrame | None = None,
    equal: pd.DataFrame | None = None,
    level: float = 0.95,
) -> str:
    """Return `paragraphs` of the same arguments as text, one a line.

    Example:
        >>> from ensemble_vs_dropout import Cost, Evaluator, Predictions
        >>> from ensemble_vs_dropout.evaluation.cost import cost_table
        >>> rng = np.random.default_rng(0)
        >>> runs = [Predictions(rng.dirichlet([1, 1], (2, 50))) for _ in range(6)]
        >>> arms = {"ensemble": runs[:3], "wide": runs[3:]}
        >>> contrasts = Evaluator(["error"], ["mean"]).contrasts(arms, rng.integers(2, size=50))
        >>> cost = cost_table({arm: [Cost(10, 1000, 2, 1.0, 0.1)] for arm in arms})
        >>> verdict(contrasts, cost, "over examples").partition(" (")[0]
        'The averaged ensemble against one wide network: no difference in error shown'
    """
    return "\n".join(map(str, paragraphs(contrasts, cost, interval, worth, equal, level)))


def paragraphs(
    contrasts: pd.DataFrame,
    cost: pd.DataFrame,
    interval: str,
    worth: pd.DataFrame | None = None,
    equal: pd.DataFrame | None = None,
    level: float = 0.95,
) -> list[Paragraph]:
    """Return the verdict, one paragraph per question.

    Args:
        contrasts: As `Evaluator.contrasts` makes them.
        cost: As `cost_table` makes it.
        interval: What the intervals spread over, in words.
        worth: As `equivalence` makes it: what each arm is worth in independent networks.
        equal: As `equal_cost` makes it: which arm is best for what MC dropout costs.
        level: That of the intervals.
    """
    costs = cost.set_index("arm")
    metrics = told_metrics(contrasts)
    rows = [(row.arm_a, row.rule_a) for row in contrasts.itertuples()]
    rows += [(row.arm_b, row.rule_b) for row in contrasts.itertuples()]
    found: list[Paragraph] = []
    answered = []
    for arm_a, rule_a, arm_b, rule_b in questions(rows):
        both = [find_contrast(contrasts, arm_a, rule_a, arm_b, rule_b, metric) for metric in metrics]
        known = [row for row in both if row is not None]
        answered += known
        if known:
            a, b = arm_words(arm_a, rule_a), arm_words(arm_b, rule_b)
            tests = {row.test for row in known}
            only = "of these networks only: " if UNTESTED in tests <= {UNTESTED, INFINITE} else ""
            sentences = "; ".join(_sentence(row, a, b) for row in known)
            about = f"{capital(a)} against {b}"
            found.append(Paragraph(f"{only}{sentences}{_price(costs, arm_a, arm_b, first=not found)}.", about))
    if worth is not None:
        own = {arm.name for arm in arms_of(ARMS[REFERENCE].recipe)}
        found += [Paragraph(_worth(row)) for row in worth.itertuples() if row.arm in ARMS and row.arm not in own]
    if equal is not None:
        found += [Paragraph(told) for arm in growing("passes") for told in _at_the_cost_of(arm, equal, costs)]
    return [*found, Paragraph(_how_tested(pd.DataFrame(answered), interval, level))]


def told_metrics(contrasts: pd.DataFrame) -> list[str]:
    """Return the metrics that sentences tell of: error and NLL, of numbers RMSE, CRPS and NLL; else the first two.

    Example:
        >>> told_metrics(pd.DataFrame({"metric": ["brier", "error", "nll", "ece"]}))
        ['error', 'nll']
    """
    measured = list(dict.fromkeys(contrasts.metric))
    return [name for name in _METRICS if name in measured] or measured[:2]


def _how_tested(answered: pd.DataFrame, interval: str, level: float) -> str:
    """Say what the intervals and p-values are, and what would go unseen."""
    simultaneous = f"Intervals are simultaneous {level * 100:g} % intervals, {interval}"
    if answered.empty:
        return f"{simultaneous}."
    tests = answered[answered.p_value.notna()].groupby("metric", sort=False).size()
    told = [simultaneous]
    if len(tests):
        told.append(
            "p-values are adjusted by Holm over the planned questions of a metric "
            f"({tests.max()} could be tested), and what is shown goes by these"
        )
    ranges = answered.groupby("metric", sort=False).detectable.agg(["min", "max"]).dropna()
    unseen = [f"{_between(name, *row)} of {metric_words(name)}" for name, row in ranges.iterrows()]
    sentences = [f"{'; '.join(told)}."]
    if unseen:
        sentences.append(f"Depending on the question, differences below {' and '.join(unseen)} may go unseen.")
    if (answered.test == OVER_SPLITS).any():
        sentences.append(
            "Splits share examples, for which their spread is corrected by a rule of thumb (Nadeau and Bengio, 2003)."
        )
    if (answered.test == UNTESTED).any():
        sentences.append(
            "Where it says of these networks only, nothing is known of how others would do that are trained again: "
            "more repetitions tell."
        )
    return " ".join(sentences)


def find_contrast(contrasts: pd.DataFrame, a: str, rule_a: str, b: str, rule_b: str, metric: str) -> pd.Series | None:
    """Return the contrast of a and b, turned round if it stands the other way in the table; None if it has none."""
    of_metric = contrasts[contrasts.metric == metric]
    for one, other, sign in (((a, rule_a), (b, rule_b), 1), ((b, rule_b), (a, rule_a), -1)):
        hit = of_metric[
            (of_metric.arm_a == one[0])
            & (of_metric.rule_a == one[1])
            & (of_metric.arm_b == other[0])
            & (of_metric.rule_b == other[1])
        ]
        if len(hit):
            row = hit.iloc[0].copy()
            if sign < 0:
                row["difference"], row["low"], row["high"] = -row.difference, -row.high, -row.low
                row["value_a"], row["value_b"] = row.value_b, row.value_a
                row["better"] = {"a": "b", "b": "a"}.get(row.better, "neither")
            return row
    return None


def _sentence(row: pd.Series, a: str, b: str) -> str:
    what = metric_words(row.metric)
    if not math.isfinite(row.difference):
        if math.isnan(row.difference):
            return f"the {what} of both is infinite"
        why = " (it gives some true classes probability 0)" if row.metric in ("nll", "calibrated_nll") else ""
        return f"the {what} of {a if row.difference > 0 else b} is infinite{why}"
    if row.difference == row.low == row.high == 0:
        return f"the same {what}, on every example"
    low, high = (number_words(row.metric, bound) for bound in (row.low, row.high))
    sure = "" if math.isnan(row.p_value) else f", {p_words(row.p_adjusted)}"
    within = f", and is shown to be below {size_words(row.metric, row.margin)}" if row.equivalent else ""
    if row.better == "neither" and row.test != UNTESTED:
        size = f"{number_words(row.metric, row.difference)}{unit_of(row.metric)}"
        if row.equivalent:
            return (
                f"the difference in {what} is shown to be below {size_words(row.metric, row.margin)} "
                f"({size}, {low} to {high})"
            )
        return f"no difference in {what} shown ({size}, {low} to {high}{sure})"
    less, unit = row.difference < 0, unit_of(row.metric)
    ends = (-row.high, -row.low) if less else (row.low, row.high)
    low, high = (number_words(row.metric, end, nonzero=True) for end in ends)
    share = abs(row.difference / row.value_b) if row.value_b else math.nan
    relative = f", {share * 100:.0f} % {'less' if less else 'more'}" if math.isfinite(share) else ""
    of = f" of {number_words(row.metric, abs(row.value_b))}" if math.isfinite(share) else ""
    return (
        f"{number_words(row.metric, abs(row.difference), nonzero=True)}{of}{unit} {'less' if less else 'more'} {what} "
        f"({low} to {high}{sure}){relative}{within}"
    )


def _between(metric: str, least: float, most: float) -> str:
    """Return a range of sizes; one size where they are the same."""
    low, high = size_words(metric, least), size_words(metric, most)
    return high if low == high else f"{low.removesuffix(unit_of(metric))} to {high}"


def _worth(row: Any) -> str:
    """Say what an arm is worth in independent networks, with its interval."""
    known = ARMS[row.arm]
    name = (known.sized or known.phrase or known.label).format(members=row.members)
    name, by = capital(name), f"by {metric_words(row.metric)}"
    if math.isnan(row.low):
        return f"How many networks {name[0].lower()}{name[1:]} is worth cannot be told from one repetition."
    if row.high <= 1:
        return f"{name} is worth no more than 1 independent network here, {by}."
    if row.low <= 1 and math.isinf(row.high):
        return f"How many networks {name[0].lower()}{name[1:]} is worth cannot be told here, {by}: any number fits."
    if row.worth <= 1:
        best = f"more than {row.pool}" if math.isinf(row.high) else f"{row.high:.1f}"
        return f"{name} is not shown to be worth 1 independent network here (its interval ends at {best}), {by}."
    if math.isinf(row.low):
        return f"{name} is worth more than {row.pool} independent networks here, {by}."
    if math.isinf(row.high):
        likely = f"more than {row.pool}" if math.isinf(row.worth) else f"{row.worth:.1f}"
        return f"{name} is worth at least {row.low:.1f} independent networks here (likely {likely}), {by}."
    return f"{name} is worth {row.worth:.1f} independent networks here ({row.low:.1f} to {row.high:.1f}), {by}."


def _at_the_cost_of(arm: str, equal: pd.DataFrame, costs: pd.DataFrame) -> list[str]:
    """Say which arm is best for what one of them costs, axis by axis."""
    parts = []
    for axis, words in _AXES.items():
        if arm not in costs.index or axis not in costs.columns:
            continue
        rows = equal[(equal.axis == axis) & np.isclose(equal.budget.astype(float), float(costs[axis][arm]))]
        if rows.empty:
            continue
        names = [_sized(row.arm, row.members) for row in rows.itertuples()]
        best = int(rows.best.to_numpy().argmax())
        open_ = (~rows.shown & ~rows.best).to_numpy(dtype=bool)
        unshown = [name for name, one in zip(names, open_, strict=True) if one and name != names[best]]
        tested = "p_adjusted" not in rows or rows.p_adjusted.notna().any()
        sure = f", not shown to differ from {' and '.join(dict.fromkeys(unshown))}" if unshown else ""
        sure = sure if tested else " (nothing is tested)"
        parts.append(f"{words}: {names[best]}{sure}")
    if not parts:
        return []
    metric = metric_words(str(equal.metric.iloc[0]))
    return [f"Best {metric} for no more than {arm_label(arm)} costs, chosen on the test data, in {'; '.join(parts)}."]


def _sized(arm: str, members: int) -> str:
    """Return an arm's name with its size, and what an ensemble of one is."""
    if members > 1:
        return f"{arm_label(arm)} of {members}"
    return (ARMS[arm].one if arm in ARMS else "") or arm_label(arm)


def _price(costs: pd.DataFrame, a: str, b: str, first: bool) -> str:
    """Return what a costs in the measure of b; the first price says what it counts."""
    if a == b or a not in costs.index or b not in costs.index:
        return ""
    counted = "multiply_adds" in costs and costs["multiply_adds"][[a, b]].notna().all()
    words = {
        "trained": f"training work{' (parameters x examples seen)' if first else ''}",
        **({"multiply_adds": "multiply-accumulates of predicting"} if counted else {"passes": "forward passes"}),
    }
    ratios = {said: float(costs[name][a] / costs[name][b]) for name, said in words.items() if name in costs}
    told = [f"{times_words(ratio)} {said}" for said, ratio in ratios.items() if math.isfinite(ratio)]
    return f", for {' and '.join(told)}" if told else ""
