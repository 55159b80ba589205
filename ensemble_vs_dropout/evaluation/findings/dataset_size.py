"""From how many training examples on does each method help?"""

from __future__ import annotations

import pandas as pd

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation.arms import arm_label
from ensemble_vs_dropout.evaluation.findings.base import Fact, Finding
from ensemble_vs_dropout.evaluation.findings.repetitions import ROW, choose, differences, summarise
from ensemble_vs_dropout.evaluation.findings.words import better_is, metric_label, told


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
    return Finding(table.reset_index(drop=True), tuple(_facts(table, metric)))


def _facts(table: pd.DataFrame, metric: str) -> list[Fact]:
    name = metric_label(metric)
    panels = {panel: rows.set_index("train_size") for panel, rows in table.groupby("panel")}
    facts = []
    curves = {arm_label(str(arm)): rows["value"] for arm, rows in panels["metric"].groupby("arm", sort=False)}
    if all(len(curve) > 1 for curve in curves.values()):
        held = all((better_is(metric) * curve.diff().dropna() > 0).all() for curve in curves.values())
        ends = "; ".join(f"{arm}: {told(curve.iloc[[0, -1]], metric)}" for arm, curve in curves.items())
        facts.append(Fact(f"Every arm gets better in {name} with each larger training part", held, ends))
    gains = {arm: rows for arm, rows in panels["gain"].groupby("arm", sort=False)}
    if "dropout" in gains:
        gain = gains["dropout"]
        first = gain.index[0]
        if first <= 500:
            reach = gain["low"].fillna(gain["value"]).iloc[0]
            statement = f"With {first:,.0f} training examples no gain of dropout (weight scaling) is shown"
            facts.append(Fact(statement, bool(reach <= 0), told(gain[["value", "low", "high"]].iloc[0], metric)))
        if len(gain) > 2:
            peak = int(gain["value"].to_numpy().argmax())
            statement = "Dropout (weight scaling) gains most between the smallest and the largest training part"
            facts.append(
                Fact(statement, 0 < peak < len(gain) - 1, f"most at {gain.index[peak]:,.0f} training examples")
            )
    if "ensemble" in gains:
        values = gains["ensemble"]["value"]
        statement = "The ensemble's mean gain over the baseline is at least 0 at every size"
        facts.append(Fact(statement, bool((values >= 0).all()), told(values, metric)))
    return facts
