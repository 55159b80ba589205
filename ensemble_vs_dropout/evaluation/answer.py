"""The answer: which arm to use, how much better it is, how sure that is, what it costs, and what is not settled.

It goes by what is shown and by what is paid, never by who is ahead. An arm is beaten where a planned question shows
another one better by one metric of the verdict, and worse by none. Of the arms that nothing beats, the cheapest is the
answer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from ensemble_vs_dropout.evaluation.arms import ARMS, questions
from ensemble_vs_dropout.evaluation.evaluator import UNTESTED
from ensemble_vs_dropout.evaluation.verdict import find_contrast, told_metrics
from ensemble_vs_dropout.evaluation.wording import (
    arm_words,
    capital,
    listed,
    metric_words,
    number_words,
    p_words,
    size_words,
    times_words,
    unit_of,
)
from ensemble_vs_dropout.measures.spread import LEAST

BASE = "single"  # what people would take otherwise, if it is compared
AT_MOST = 5  # planned questions that stand below the answer
_ABOUT = 1.25  # times a cost is about as much: when networks stop varies by more
# What a cost is counted by: the first of these columns that is known of all arms.
TRAINING, MEMORY, PREDICTING = ("trained",), ("parameters",), ("multiply_adds", "passes")
_LIMITS = (
    ("Training time of one network", TRAINING),
    ("Memory of one network", MEMORY),
    ("Prediction time of one network", PREDICTING),
)
_UNSURE = "It must know when it is unsure"
_OF_DOUBT = ("nll", "calibrated_nll", "brier", "gaussian_nll")  # the first that is measured tells whether it does
_WON = {"error": ("fewer errors", "more errors")}


@dataclass(frozen=True)
class Difference:
    """What a planned question found by one metric.

    Attributes:
        a: An arm in words.
        b: The arm that it is compared with.
        metric: A name in `METRICS`.
        value: Of a minus of b, as in `scores`; infinite or NaN where a score is infinite.
        low: Lower end of the simultaneous interval.
        high: Its upper end.
        p: Adjusted over the planned questions; NaN where nothing is tested.
        better: "a", "b", or "neither" where no difference is shown.
        detectable: The difference that would be shown as often as not; NaN where nothing is tested.
        tested: Whether there are networks enough to speak of training again.
        below: What the difference is shown to be below, the margin that was asked for; NaN where it is not.
        p_below: Adjusted, of that.
    """

    a: str
    b: str
    metric: str
    value: float
    low: float
    high: float
    p: float
    better: str
    detectable: float
    tested: bool
    below: float = math.nan
    p_below: float = math.nan

    def __str__(self) -> str:
        what = metric_words(self.metric)
        if math.isnan(self.value):
            return f"the {what} of both is infinite"
        if math.isinf(self.value):
            return f"the {what} of {self.a if self.value > 0 else self.b} is infinite"
        if self.value == self.low == self.high == 0:
            return f"the same {what}, on every example"
        less = self.value < 0
        fewer, more = _WON.get(self.metric, (f"less {what}", f"more {what}"))
        ends = (-self.high, -self.low) if less else (self.low, self.high)
        within = " to ".join(number_words(self.metric, end, nonzero=True) for end in ends)
        size = f"{size_words(self.metric, self.value, nonzero=True)} {fewer if less else more}"
        if not self.tested:
            size = size if self.value else f"the same {what}"
            return f"{size} in these networks ({within} over the examples)"
        if self.better == "neither":
            low, value, high = (number_words(self.metric, one) for one in (self.low, self.value, self.high))
            found = f"({value}{unit_of(self.metric)}, {low} to {high}"
            if math.isfinite(self.below):
                margin = size_words(self.metric, self.below)
                return f"the difference in {what} is shown to be below {margin} {found}, {p_words(self.p_below)})"
            return f"no difference in {what} shown {found}, {p_words(self.p)})"
        return f"{size} ({within}, {p_words(self.p)})"


Row = tuple[str, str]  # an arm and its rule
Planned = dict[tuple[Row, Row], list[Difference]]


@dataclass(frozen=True)
class Choice:
    """The arm to use.

    Attributes:
        limit: What is short, in words; "" where nothing is.
        arm: A name in `ARMS`.
        rule: By which its members are combined.
        name: Both in words.
        rivals: In words, the other arms within the limit that nothing beats, and that are not shown to differ from it.
        mixed: In words, those that are shown to be better than it by one metric, and worse by another.
    """

    limit: str
    arm: str
    rule: str
    name: str
    rivals: tuple[str, ...]
    mixed: tuple[str, ...] = ()

    @property
    def beside(self) -> str:
        """What is said of the others."""
        told = f"; not shown to differ from {listed(self.rivals)}" if self.rivals else ""
        return told + (f"; by one metric better than {listed(self.mixed)}, by another worse" if self.mixed else "")

    def __str__(self) -> str:
        return f"{self.limit}: {self.name}{self.beside}"


@dataclass(frozen=True)
class Answer:
    """What a comparison answers. Its text is at most four sentences, and the lists that stand below them.

    Attributes:
        use: The arm to use.
        shown: Whether any planned question shows a difference.
        against: What a planned question found between that arm and another, a single network where there is such a
            question, by metric.
        training: How many times the training work of b in `against` its a takes; NaN if unknown.
        predicting: The same of the work of predicting.
        unsettled: In words, the arms that may yet be better: its rivals but for those that are shown to be as good.
        untested: In words, the arms that no test could judge.
        compared: Those of `unsettled` that a planned question compares with the arm to use.
        unseen: By metric, up to what size a difference between the arm to use and one of `compared` may go unseen.
        limits: The arm to use where one thing is short.
        planned: The first planned questions, each by every metric of the verdict.
        asked: How many planned questions there are.

    Example:
        >>> import numpy as np
        >>> from ensemble_vs_dropout import Cost, Evaluator, Predictions
        >>> from ensemble_vs_dropout.evaluation.cost import cost_table
        >>> rng = np.random.default_rng(0)
        >>> arms = {"single": [Predictions(rng.dirichlet([1, 1], (2, 50))) for _ in range(3)]}
        >>> arms["ensemble"], labels = arms["single"], rng.integers(2, size=50)
        >>> contrasts = Evaluator(["error"], {"single": ["each"], "ensemble": ["mean"]}).contrasts(arms, labels)
        >>> cost = cost_table({"single": [Cost(10, 500, 1, 1.0, 0.1)], "ensemble": [Cost(20, 1000, 2, 2.0, 0.2)]})
        >>> found = answer(contrasts, cost)
        >>> found.use.arm, found.training, found.sentences[0]
        ('single', 0.5, 'No difference is shown, so use the cheapest: a single network.')
    """

    use: Choice
    shown: bool
    against: tuple[Difference, ...]
    training: float
    predicting: float
    unsettled: tuple[str, ...]
    untested: tuple[str, ...]
    compared: tuple[str, ...]
    unseen: tuple[tuple[str, float], ...]
    limits: tuple[Choice, ...]
    planned: tuple[tuple[Difference, ...], ...]
    asked: int

    @property
    def sentences(self) -> list[str]:
        """Which to use; how much better and how sure; at what cost; what is not settled."""
        told = [self._which()]
        if self.against:
            a, b = capital(self.against[0].a), self.against[0].b
            told.append(f"{a} against {b}: {'; '.join(map(str, self.against))}.")
            paid = {"training work": self.training, "work of predicting": self.predicting}
            price = [f"{times_words(ratio)} {what}" for what, ratio in paid.items() if math.isfinite(ratio)]
            told += [f"{a} takes {' and '.join(price)}, compared with {b}."] if price else []
        return [*told, *self._unsettled()]

    def _which(self) -> str:
        if self.shown and (self.use.rivals or self.use.mixed):
            return f"Use {self.use.name}: it is the cheapest of those that nothing is shown to beat."
        if self.shown:
            return f"Use {self.use.name}: it is the only one that nothing is shown to beat."
        if not self.planned:
            return f"No planned question compares these arms, so use the cheapest: {self.use.name}."
        if any(one.tested for found in self.planned for one in found):
            return f"No difference is shown, so use the cheapest: {self.use.name}."
        return f"These networks are too few to show a difference, so use the cheapest: {self.use.name}."

    def _unsettled(self) -> list[str]:
        parts = []
        if self.use.mixed:
            parts.append(f"which metric matters more, for {listed(self.use.mixed)} may be better by yours")
        if self.unsettled:
            sizes = " and ".join(
                f"{size_words(metric, value)} of {metric_words(metric)}" for metric, value in self.unseen
            )
            who = ("it" if len(self.unsettled) == 1 else "these") if self.compared == self.unsettled else None
            missed = f"; differences from {who or listed(self.compared, 'or')} of up to {sizes} may go unseen"
            parts.append(f"whether {listed(self.unsettled, 'or')} is better than {self.use.name}{missed * bool(sizes)}")
        if self.untested:
            parts.append(f"how {listed(self.untested)} would do if trained again ({LEAST} repetitions or more tell)")
        return [f"Not settled: {'; '.join(parts)}."] if parts else []

    def __repr__(self) -> str:
        """Return what `print` shows; the fields have it as numbers."""
        return str(self)

    def __str__(self) -> str:
        lines = [" ".join(self.sentences)]
        if self.limits:
            lines += ["", "Choose by your limit:", *(f"* {choice}." for choice in self.limits)]
        if self.planned:
            which, all_of_them = "Planned questions", "all of them"
            if len(self.planned) < self.asked:
                which = f"The first {len(self.planned)} of {self.asked} planned questions"
                which, all_of_them = f"{which} (the others: the report's Verdict)", "all"
            lines += ["", f"{which}; intervals and p-values are adjusted for {all_of_them}:"]
            lines += [
                f"* {capital(found[0].a)} against {found[0].b}: {'; '.join(map(str, found))}." for found in self.planned
            ]
        return "\n".join(lines)


def answer(contrasts: pd.DataFrame, cost: pd.DataFrame) -> Answer:
    """Return the answer.

    Args:
        contrasts: As `Evaluator.contrasts` makes them.
        cost: As `cost_table` makes it.
    """
    metrics, costs = told_metrics(contrasts), cost.set_index("arm")
    rows: list[Row] = [*dict.fromkeys(zip(contrasts.arm_a, contrasts.rule_a, strict=True))]
    rows = [*dict.fromkeys([*rows, *zip(contrasts.arm_b, contrasts.rule_b, strict=True)])]
    planned: Planned = {
        (question[:2], question[2:]): _differences(contrasts, *question, metrics=metrics)
        for question in questions(rows)
    }
    rows = rows or [(str(cost.arm.iloc[0]), "mean")]  # one alone, which no contrast is of
    asked = [row for row in rows if any(row in pair for pair in planned)] or rows
    asked.sort(key=lambda row: [*ARMS, row[0]].index(row[0]))
    choice = _cheapest("", asked, planned, costs)
    use = (choice.arm, choice.rule)
    as_good = {row for pair, found in planned.items() if use in pair and not any(map(_open, found)) for row in pair}
    of_row = {row: [one for pair, found in planned.items() if row in pair for one in found] for row in asked}
    untested = [arm_words(*row) for row, found in of_row.items() if found and not any(one.tested for one in found)]
    every = [one for found in planned.values() for one in found]
    settled = {*untested, *(arm_words(*row) for row in as_good)}
    rivals = [row for row in asked if arm_words(*row) in choice.rivals and arm_words(*row) not in settled]
    compared = [row for row in rivals if any({use, row} == set(pair) for pair in planned)]
    unseen: dict[str, float] = {}
    for one in (one for row in compared for one in _differences(contrasts, *use, *row, metrics=metrics)):
        if not math.isnan(one.detectable):
            unseen[one.metric] = max(unseen.get(one.metric, 0.0), one.detectable)
    others = [row for pair in planned if use in pair for row in pair if row != use]
    other = next((row for row in others if row[0] == BASE), others[0] if others else use)
    return Answer(
        choice,
        any(one.better != "neither" for one in every),
        tuple(_differences(contrasts, *use, *other, metrics=metrics)),
        _ratio(costs, TRAINING, use, other),
        _ratio(costs, PREDICTING, use, other),
        tuple(name for name in choice.rivals if name not in settled),
        tuple(untested),
        tuple(arm_words(*row) for row in compared),
        tuple(unseen.items()),
        tuple(_limits(asked, planned, costs, contrasts)),
        tuple(map(tuple, [*planned.values()][:AT_MOST])),
        len(planned),
    )


def _differences(
    contrasts: pd.DataFrame, arm_a: str, rule_a: str, arm_b: str, rule_b: str, metrics: Sequence[str]
) -> list[Difference]:
    a, b = arm_words(arm_a, rule_a), arm_words(arm_b, rule_b)
    both = ((name, find_contrast(contrasts, arm_a, rule_a, arm_b, rule_b, name)) for name in metrics)
    return [
        Difference(
            a,
            b,
            name,
            value=float(row.difference),
            low=float(row.low),
            high=float(row.high),
            p=float(row.p_adjusted),
            better=row.better,
            detectable=float(row.detectable),
            tested=row.test != UNTESTED,
            below=float(row.margin) if row.equivalent else math.nan,
            p_below=float(row.p_equivalent),
        )
        for name, row in both
        if row is not None
    ]


def _open(one: Difference) -> bool:
    """Return whether the true difference may yet matter."""
    return not (math.isfinite(one.below) or one.value == one.low == one.high == 0)


def _winners(found: Sequence[Difference]) -> set[str]:
    """Return the sides of a question that are shown to be better by some metric."""
    return {one.better for one in found} - {"neither"}


def _unbeaten(rows: Sequence[Row], planned: Planned) -> list[Row]:
    """Return the rows that no other of them is shown to beat by one metric and to lose against by none."""
    beaten: set[Row] = set()
    for (a, b), found in planned.items():
        won = _winners(found)
        if a in rows and b in rows and len(won) == 1:
            beaten.add(b if won == {"a"} else a)
    return [row for row in rows if row not in beaten]


def _cheapest(limit: str, rows: Sequence[Row], planned: Planned, costs: pd.DataFrame) -> Choice:
    """Return the unbeaten row that is cheapest to train and then to predict with."""
    left = _unbeaten(rows, planned) or list(rows)
    kept = left
    for columns in (TRAINING, PREDICTING):
        paid = {row: _cost(costs, columns, row) for row in kept}
        kept = [row for row in kept if paid[row] <= _ABOUT * min(paid.values())]
    use = kept[0]
    mixed = {row for pair, found in planned.items() if use in pair and len(_winners(found)) == 2 for row in pair}
    others = [row for row in left if row != use]
    rivals, both = ([arm_words(*row) for row in others if (row in mixed) == in_both] for in_both in (False, True))
    return Choice(limit, *use, arm_words(*use), tuple(rivals), tuple(both))


def _limits(rows: Sequence[Row], planned: Planned, costs: pd.DataFrame, contrasts: pd.DataFrame) -> Iterator[Choice]:
    """Yield the row to use under each limit: of one network's cost, or by how well it knows when it is unsure."""
    for limit, columns in _LIMITS:
        paid = {row: _cost(costs, columns, row) for row in rows}
        of_one = next((cost for row, cost in paid.items() if row[0] == BASE), min(paid.values()))
        within = [row for row in rows if paid[row] <= _ABOUT * of_one]
        if math.isfinite(of_one) and len(within) < len(rows):
            yield _cheapest(limit, within, planned, costs)
    measured = next((name for name in _OF_DOUBT if name in set(contrasts.metric)), None)
    if measured:
        of_doubt = {pair: _differences(contrasts, *pair[0], *pair[1], metrics=[measured]) for pair in planned}
        yield _cheapest(_UNSURE, rows, of_doubt, costs)


def _cost(costs: pd.DataFrame, columns: Sequence[str], row: Row) -> float:
    """Return what an arm costs in the first of these that is known of all arms; infinite where it is not known."""
    column = known_column(costs, columns)
    return float(costs[column][row[0]]) if column and row[0] in costs.index else math.inf


def known_column(costs: pd.DataFrame, columns: Sequence[str]) -> str | None:
    """Return the first of these columns that is known of all arms; None where none is.

    Example:
        >>> known_column(pd.DataFrame({"multiply_adds": [1.0, math.nan], "passes": [1, 5]}), PREDICTING)
        'passes'
    """
    return next((name for name in columns if name in costs and costs[name].notna().all()), None)


def _ratio(costs: pd.DataFrame, columns: Sequence[str], a: Row, b: Row) -> float:
    paid, other = _cost(costs, columns, a), _cost(costs, columns, b)
    return paid / other if a != b and math.isfinite(paid + other) and other else math.nan
