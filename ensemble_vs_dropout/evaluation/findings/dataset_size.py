"""From how many training examples on does each method help?"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pandas as pd

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation.arms import arm_label
from ensemble_vs_dropout.evaluation.findings.base import Fact, Finding
from ensemble_vs_dropout.evaluation.findings.judging import MARGINS, every, judge, of_units, some
from ensemble_vs_dropout.evaluation.findings.repetitions import ROW, choose, differences, summarise
from ensemble_vs_dropout.evaluation.findings.words import better_is, metric_label, scale_of, told


def dataset_size(
    scores: pd.DataFrame, *, metric: str = "error", rule: str = "mean", baseline: str = "single"
) -> Finding:
    """Return the quality of each arm against the number of training examples, and its paired gain over one network.

    Extends Figure 10 of Srivastava et al. (2014, JMLR 15) to ensembles and MC dropout.

    Args:
        scores: Columns train_size, arm, rule, members, metric, value, low, high, and repetition, split, condition,
            severity where they are there (the clean test part is taken).
        metric: Whose values are taken.
        rule: By which the members of every arm are combined; single networks are taken each alone.
        baseline: The arm that gains are over.

    Returns:
        A table of the columns panel ("metric"; "gain": better than the baseline of the same repetition by so much),
        arm, rule, members, train_size, metric, value, low, high (see `repetitions.summarise`; NaN for a gain of one
        repetition), repetitions.

    Raises:
        InputError: A missing column or size, a metric or arm that is not there, or several rows for one point.

    Example:
        >>> points = {"train_size": 100, "arm": ["single", "ensemble"], "rule": "mean", "members": [1, 5]}
        >>> scores = pd.DataFrame(points | {"metric": "error", "value": [0.5, 0.25], "low": 0.2, "high": 0.6})
        >>> dataset_size(scores).table[["panel", "arm", "value"]].values.tolist()
        [['metric', 'single', 0.5], ['metric', 'ensemble', 0.25], ['gain', 'ensemble', 0.25]]
    """
    rows = choose(scores, [metric], ["train_size"], rule=rule)
    if not pd.api.types.is_numeric_dtype(rows["train_size"]) or not rows["train_size"].gt(0).all():
        raise InputError(
            "train_size must be a number above 0 in every row; give the whole training part its number of examples"
        )
    gains = differences(rows, ["train_size"], baseline)
    gains["value"] *= better_is(metric)
    keys = ["panel", *ROW, "train_size", "metric"]
    table = summarise(pd.concat([rows.assign(panel="metric"), gains.assign(panel="gain")]), keys)
    order = {"panel": ["metric", "gain"], "arm": list(table["arm"].unique())}
    places = {name: table[name].map(values.index) for name, values in order.items()}
    table = table.loc[table.assign(**places).sort_values(["panel", "arm", "train_size"], kind="stable").index]
    return Finding(table.reset_index(drop=True), tuple(_facts(rows, gains, metric)))


def _facts(rows: pd.DataFrame, gains: pd.DataFrame, metric: str) -> Iterator[Fact]:
    """Return what is expected, beyond what other trainings would change on the same test examples."""
    name, scale = metric_label(metric), scale_of(metric)
    curves = {arm_label(str(arm)): _of_sizes(own) for arm, own in rows.groupby("arm", sort=False)}
    if all(len(curve) > 1 for curve in curves.values()):
        steps = [
            of_units(better_is(metric) * (curve.loc[larger] - curve.loc[smaller]).dropna()).above()
            for curve in curves.values()
            for smaller, larger in pairwise(curve.index)
        ]
        ends = "; ".join(f"{arm}: {told(curve.mean(axis=1).iloc[[0, -1]], metric)}" for arm, curve in curves.items())
        yield judge(f"Every arm gets better in {name} with each larger training part", every(*steps), ends)
    won = {str(arm): _of_sizes(own) for arm, own in gains.groupby("arm", sort=False)}
    if "dropout" in won:
        gain, margin = won["dropout"], MARGINS.get(metric)
        first = gain.index[0]
        if first <= 500 and margin is not None:
            estimate = of_units(gain.loc[first].dropna())
            statement = (
                f"With {first:,.0f} training examples dropout (weight scaling) gains less than {told(margin, metric)} "
                f"in {name}"
            )
            yield judge(statement, estimate.below(margin), estimate.words(scale))
        if len(gain) > 2:
            between = [
                every(*(of_units((gain.loc[size] - gain.loc[end]).dropna()).above() for end in gain.index[[0, -1]]))
                for size in gain.index[1:-1]
            ]
            statement = "Dropout (weight scaling) gains more at a size between than at the smallest and at the largest"
            yield judge(statement, some(*between), f"{told(gain.mean(axis=1), metric)} by size")
    if "ensemble" in won:
        each = [of_units(of_size.dropna()) for _, of_size in won["ensemble"].iterrows()]
        statement = "The ensemble gains over the baseline at every size"
        yield judge(statement, every(*(one.above() for one in each)), ", ".join(one.words(scale) for one in each))


def _of_sizes(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the values of each training size (rows) and repetition (columns)."""
    return rows.pivot_table(index="train_size", columns="repetition", values="value", sort=True)
