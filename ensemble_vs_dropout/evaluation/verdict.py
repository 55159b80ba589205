"""The verdict: plain sentences made from the contrasts and the costs alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ensemble_vs_dropout.evaluation.arms import ARMS, EACH, REFERENCE, arm_label, arms_of, growing
from ensemble_vs_dropout.measures import METRICS

# The questions people come with, in their order; each is answered if its arms were run.
_QUESTIONS = (
    ("ensemble", "mean", "mc_dropout", "mean"),
    ("ensemble", "mean", "dropout", "mean"),
    ("ensemble", "mean", "single", EACH),
    ("dropout", "mean", "single", EACH),
    ("mc_dropout", "mean", "single", EACH),
    ("mc_dropout", "mean", "dropout", "mean"),
    ("ensemble", "mean", "ensemble", "majority_vote"),
    ("dropout_ensemble", "mean", "ensemble", "mean"),
    ("ensemble", "mean", "wide", "mean"),
)
_METRICS = ("error", "nll")  # those of the verdict, where they are measured; else the first two that are
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
    """Return `paragraphs` of the same arguments as text, one a line."""
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
    measured = list(dict.fromkeys(contrasts.metric))
    metrics = [name for name in _METRICS if name in measured] or measured[:2]
    found: list[Paragraph] = []
    for arm_a, rule_a, arm_b, rule_b in (*_QUESTIONS, *_further(contrasts)):
        both = [_find(contrasts, arm_a, rule_a, arm_b, rule_b, metric) for metric in metrics]
        rows = [row for row in both if row is not None]
        if rows:
            a, b = _words(arm_a, rule_a), _words(arm_b, rule_b)
            sentences = "; ".join(_sentence(row, a, b) for row in rows)
            about = f"{a[0].upper()}{a[1:]} against {b}"
            found.append(Paragraph(f"{sentences}{_price(costs, arm_a, arm_b)}.", about))
    if worth is not None:
        own = {arm.name for arm in arms_of(ARMS[REFERENCE].recipe)}
        found += [Paragraph(_worth(row)) for row in worth.itertuples() if row.arm in ARMS and row.arm not in own]
    if equal is not None:
        found += [Paragraph(told) for arm in growing("passes") for told in _at_the_cost_of(arm, equal, costs)]
    below = (
        f"Intervals are {level * 100:g} % for each number by itself, {interval}; p-values are adjusted by Holm over "
        "all pairs of a metric, and what is shown goes by these."
    )
    return [*found, Paragraph(below)]


def _find(contrasts: pd.DataFrame, a: str, rule_a: str, b: str, rule_b: str, metric: str) -> pd.Series | None:
    """Return the contrast of a and b, turned round if it stands the other way in the table."""
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
                row["better"] = {"a": "b", "b": "a"}.get(row.better, "neither")
            return row
    return None


def _further(contrasts: pd.DataFrame) -> list[tuple[str, str, str, str]]:
    """Return a question for each registered arm that none of the standard ones is about."""
    asked = {arm for question in _QUESTIONS for arm in question[::2]}
    there = [arm for arm in ARMS if arm not in asked and arm in {*contrasts.arm_a, *contrasts.arm_b}]
    return [(arm, EACH if ARMS[arm].alone else "mean", REFERENCE, "mean") for arm in there]


def _words(arm: str, rule: str) -> str:
    name, known = arm_label(arm), ARMS.get(arm)
    several = known is not None and known.grows == "networks"
    if rule == "majority_vote":
        return f"the voting {name}" if several else f"{name} by majority vote"
    if several:
        return f"the averaged {name}"
    return (known.phrase if known else "") or name


def _sentence(row: pd.Series, a: str, b: str) -> str:
    known = METRICS[row.metric]
    scale, what = known.scale, _metric_words(row.metric)
    unit = " points" if scale == 100 else " nats" if "(nats)" in known.label else ""
    digits = 2 if scale == 100 else 3
    if not math.isfinite(row.difference):
        infinite = a if row.difference > 0 else b
        if math.isnan(row.difference):
            return f"the {what} of both is infinite"
        why = " (it gives some true classes probability 0)" if row.metric in ("nll", "calibrated_nll") else ""
        return f"the {what} of {infinite} is infinite{why}"
    size = f"{abs(row.difference) * scale:.{digits}f}{unit}"
    low, high = sorted((row.low * scale, row.high * scale))
    if row.better == "neither":
        sign = "-" if row.difference < 0 else ""
        return (
            f"no difference in {what} shown ({sign}{size}, {low:.{digits}f} to {high:.{digits}f}, {_p(row.p_adjusted)};"
            f" at this size, one below {row.detectable * scale:.{digits}f}{unit} would mostly go unseen)"
        )
    less = row.difference < 0
    if less:
        low, high = -high, -low
    return f"{size} {'less' if less else 'more'} {what} ({low:.{digits}f} to {high:.{digits}f}, {_p(row.p_adjusted)})"


def _worth(row: Any) -> str:
    """Say what an arm is worth in independent networks, with its interval."""

    def number(value: float) -> str:
        return f"more than {row.pool}" if math.isinf(value) else f"{value:.1f}"

    known = ARMS[row.arm]
    name = (known.sized or known.phrase or known.label).format(members=row.members)
    by = f"by {_metric_words(row.metric)}"
    if row.high <= 1:
        return f"{name[0].upper()}{name[1:]} is worth no more than 1 independent network here, {by}."
    networks = "1 independent network" if number(row.worth) == "1.0" else f"{number(row.worth)} independent networks"
    return f"{name[0].upper()}{name[1:]} is worth {networks} here ({number(row.low)} to {number(row.high)}), {by}."


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
        sure = f", not shown to differ from {' and '.join(dict.fromkeys(unshown))}" if unshown else ""
        parts.append(f"{words}: {names[best]}{sure}")
    if not parts:
        return []
    metric = _metric_words(str(equal.metric.iloc[0]))
    return [f"Best {metric} for no more than {arm_label(arm)} costs in {'; '.join(parts)}."]


def _sized(arm: str, members: int) -> str:
    """Return an arm's name with its size, and what an ensemble of one is."""
    if members > 1:
        return f"{arm_label(arm)} of {members}"
    return (ARMS[arm].one if arm in ARMS else "") or arm_label(arm)


def _metric_words(metric: str) -> str:
    return METRICS[metric].label.partition(" (")[0]


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def _price(costs: pd.DataFrame, a: str, b: str) -> str:
    if a == b or a not in costs.index or b not in costs.index:
        return ""
    known = {"trained": "training work", "passes": "forward passes"}
    ratios = {words: float(costs[name][a] / costs[name][b]) for name, words in known.items() if name in costs}
    told = [f"{_times(ratio)} {words}" for words, ratio in ratios.items() if math.isfinite(ratio)]
    return f", for {' and '.join(told)}" if told else ""


def _times(ratio: float) -> str:
    if abs(ratio - 1) < 0.05:
        return "about the same"
    return f"{ratio:.3g} times the" if ratio >= 0.1 else f"1/{1 / ratio:.3g} of the"
