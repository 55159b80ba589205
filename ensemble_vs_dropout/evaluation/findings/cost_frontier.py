"""What does quality cost?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation.evaluator import SCORE_COLUMNS
from ensemble_vs_dropout.evaluation.findings.base import Fact, Finding
from ensemble_vs_dropout.evaluation.findings.judging import every, judge, of_units, some
from ensemble_vs_dropout.evaluation.findings.repetitions import NUMBERS, ROW, choose, summarise
from ensemble_vs_dropout.evaluation.findings.tables import check_table
from ensemble_vs_dropout.evaluation.findings.words import better_is, scale_of

COSTS = ("parameters", "multiply_adds", "trained_multiply_adds", "trained")
# Which arm stores as much as another, or as many times as it has members.
STORES = [
    ("ensemble", "single", True),
    ("dropout_ensemble", "dropout", True),
    ("mc_dropout", "dropout", False),
    ("dropout", "single", False),
]
SAME = 1.2  # budgets of parameters within 20 % are one: biases and widths of whole units do not add up exactly


def cost_frontier(scores: pd.DataFrame, costs: pd.DataFrame, *, metric: str = "error", rule: str = "mean") -> Finding:
    """Return the quality of each arm and configuration beside its costs, and memory budgets split among networks.

    A budget is split where networks of several widths are combined so that their parameters add up to the same within
    20 % (Lobacheva et al., 2020, NeurIPS; Kondratyuk et al., 2020; after Table S1 of Ovadia et al., 2019).

    Args:
        scores: Columns arm, rule, members, metric, value, low, high, and width, repetition, split, condition, severity
            where they are there (the clean test part is taken).
        costs: The columns of `evaluation.cost.cost_table` and width where `scores` has it: arm, parameters,
            multiply_adds, trained_multiply_adds or trained; members where one arm has several numbers of them. Several
            repetitions are averaged. What is NaN has no panel or point.
        metric: Whose values are taken.
        rule: By which the members of every arm are combined; single networks are taken each alone.

    Returns:
        A table of the columns panel (the cost, or "split"), width, arm, rule, members, metric, x (the cost; in
        "split" the number of networks), budget (in "split" the parameters of all networks), value, low, high (see
        `repetitions.summarise`), repetitions. Told: `widths` if they vary.

    Raises:
        InputError: A missing column, an arm without a cost, several rows for one point, settings other than the width
            that vary, or parameters that do not fit the numbers of networks.

    Example:
        >>> points = {"arm": ["single", "ensemble"], "rule": "mean", "members": [1, 5], "metric": "error"}
        >>> scores = pd.DataFrame(points | {"value": [0.1, 0.08], "low": 0.07, "high": 0.12})
        >>> costs = pd.DataFrame({"arm": ["single", "ensemble"], "parameters": [100, 500]})
        >>> cost_frontier(scores, costs).table[["panel", "arm", "x", "value"]].values.tolist()
        [['parameters', 'single', 100.0, 0.1], ['parameters', 'ensemble', 500.0, 0.08]]
    """
    both = [str(name) for name in costs if name in scores and name not in SCORE_COLUMNS]
    if further := [name for name in both if name != "width" and costs[name].astype(str).nunique() > 1]:
        raise InputError(
            f"scores and costs must be of one value of all settings but width, got several of {', '.join(further)}; "
            "make a figure of each, and one of all by plots.Facets"
        )
    keys = ["width"] if "width" in both else []
    priced_by = [*keys, *(name for name in ("arm", "members") if name in costs)]
    once = [*priced_by, *(["repetition"] if "repetition" in costs else [])]
    check_table("costs", costs, ["arm", "parameters"], once, ["parameters"])
    rows = choose(scores, [metric], keys, rule=rule)
    points = summarise(rows, [*keys, *ROW, "metric"])
    known = [name for name in COSTS if name in costs and np.isfinite(costs[name].astype(float)).any()]
    known = [name for name in known if name != "trained" or "trained_multiply_adds" not in known]
    priced = costs.groupby(priced_by, dropna=False, as_index=False)[known].mean()
    joined = points.merge(priced, on=priced_by)
    lacking = sorted(set(points["arm"]) - set(joined["arm"]))
    if lacking:
        raise InputError(f"costs must have a row for every arm of scores, got none for {', '.join(lacking)}")
    _check_stores(joined, keys)
    tables = [joined.assign(panel=name, x=joined[name], budget=np.nan) for name in known]
    split = _split(joined)
    table = pd.concat([*tables, split] if len(split) else tables)
    table = table[["panel", *keys, *ROW, "metric", "x", "budget", *NUMBERS, "repetitions"]]
    table = table[np.isfinite(table["x"].astype(float))].reset_index(drop=True)
    widths = sorted(joined["width"].unique()) if "width" in keys else []
    return Finding(table, tuple(_facts(split, rows, keys)), {"widths": widths if len(widths) > 1 else []})


def _check_stores(points: pd.DataFrame, keys: Sequence[str]) -> None:
    """Refuse parameters that contradict what each arm stores."""
    for arm, other, each in STORES:
        one, many = (points[points["arm"] == name] for name in (other, arm))
        pairs = (
            many.merge(one, on=list(keys), suffixes=("", "_of_other"))
            if keys
            else many.merge(one, how="cross", suffixes=("", "_of_other"))
        )
        expected = pairs["parameters_of_other"] * (pairs["members"] if each else 1)
        if not np.allclose(pairs["parameters"], expected, rtol=1e-6):
            times = f"its number of members times those of {other!r}" if each else f"those of {other!r}"
            raise InputError(
                f"costs must give {arm!r} {times} as parameters: got {pairs['parameters'].tolist()} where "
                f"{expected.tolist()} are expected"
            )


def _split(points: pd.DataFrame) -> pd.DataFrame:
    """Return the networks without dropout of which several numbers have the same parameters together, within 20 %."""
    rows = points[points["arm"].isin(["single", "ensemble"])].sort_values("parameters", kind="stable")
    starts, budget = [], 0.0
    for parameters in rows["parameters"]:
        budget = budget if budget and parameters <= SAME * budget else float(parameters)
        starts.append(budget)
    rows = rows.assign(panel="split", x=rows["members"].astype(float), budget=starts)
    rows = rows.drop_duplicates(["budget", "members"])
    return rows[rows.groupby("budget")["members"].transform("nunique") > 1]


def _facts(split: pd.DataFrame, rows: pd.DataFrame, keys: Sequence[str]) -> Iterator[Fact]:
    """Return what is expected of budgets, beyond what other trainings would change on the same test examples."""
    if split.empty or split["budget"].nunique() < 2:
        return
    metric = str(split["metric"].iloc[0])
    each = rows.merge(split[[*keys, *ROW, "budget"]], on=[*keys, *ROW])
    for budget, statement, combined, sign in (
        (split["budget"].max(), "The largest budget is best split among several networks", some, 1),
        (split["budget"].min(), "The smallest budget is best spent on one network", every, -1),
    ):
        own = each[each["budget"] == budget].pivot_table(index="members", columns="repetition", values="value")
        if 1 not in own.index:
            yield Fact(statement, "cannot be judged", f"{budget:,.0f} parameters", "no single network has as many")
            continue
        gains = {n: of_units(better_is(metric) * (own.loc[n] - own.loc[1]).dropna()) for n in own.index if n > 1}
        evidence = [(gain.above() if sign > 0 else gain.below()) for gain in gains.values()]
        words = ", ".join(f"{n} gain {gain.words(scale_of(metric))}" for n, gain in gains.items())
        yield judge(statement, combined(*evidence), f"{budget:,.0f} parameters: {words} over 1")
