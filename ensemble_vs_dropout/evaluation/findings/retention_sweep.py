"""How many units should dropout keep?"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pandas as pd

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation.arms import EACH
from ensemble_vs_dropout.evaluation.findings.base import Fact, Finding
from ensemble_vs_dropout.evaluation.findings.judging import MARGINS, every, judge, of_units
from ensemble_vs_dropout.evaluation.findings.repetitions import choose, summarise
from ensemble_vs_dropout.evaluation.findings.words import better_is, metric_label, scale_of, told

SPLITS = ("test", "train")
SMALL = 0.3  # keep probabilities at which a network is expected to underfit
NEAR = 0.1  # widths are rounded to whole units


def retention_sweep(scores: pd.DataFrame, *, scaled: pd.DataFrame | None = None, metric: str = "error") -> Finding:
    """Return test and train scores of the weight-scaled network against p, the probability to keep a unit.

    With the number n of units fixed (Figure 9a of Srivastava et al. 2014, JMLR 15), and with the number p n of units
    that are kept on average fixed (Figure 9b). The network without dropout is p = 1.

    Args:
        scores: Columns rate (1 - p), arm, rule, members, metric, value, low, high; width, split ("test", and "train"
            where known), repetition where they are there. Arm "dropout" varies with p, "single" is the plain network,
            the same at whatever rate it stands. One width.
        scaled: Likewise with width about proportional to 1 / p. The plain network is the one of width p n.
        metric: Whose values are taken.

    Returns:
        A table of the columns panel ("fixed", "scaled"), arm ("dropout", "single"), split, p, width, metric, value,
        low, high, repetitions (see `repetitions.summarise`).

    Raises:
        InputError: A missing column, no dropout network, rates outside [0, 1), widths that vary otherwise, several
            rows for one point, or a network that keeps every unit and is not the plain one.

    Example:
        >>> points = {"rate": [0.5, 0.2], "arm": "dropout", "rule": "mean", "members": 1, "metric": "error"}
        >>> scores = pd.DataFrame(points | {"value": [0.1, 0.08], "low": 0.07, "high": 0.12})
        >>> retention_sweep(scores).table[["p", "value"]].values.tolist()
        [[0.5, 0.1], [0.8, 0.08]]
    """
    given = {"fixed": scores} if scaled is None else {"fixed": scores, "scaled": scaled}
    rows = pd.concat([_family(panel, table, metric) for panel, table in given.items()])
    keys = ["panel", "arm", "split", "p", "width", "metric"]
    table = summarise(rows, keys).sort_values(["panel", "p"], kind="stable", ignore_index=True)
    return Finding(table, tuple(_facts(rows, metric)))


def _family(panel: str, scores: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the rows of a panel, and the plain network once."""
    if isinstance(scores, pd.DataFrame) and "width" not in scores:
        scores = scores.assign(width=1.0)
    rows = choose(scores, [metric], ["rate", "width"], splits=SPLITS)
    rows = rows.assign(panel=panel, p=(1.0 - rows["rate"]).round(12))
    dropout, plain = rows[rows["arm"] == "dropout"], rows[rows["arm"] == "single"]
    if dropout.empty:
        raise InputError(f"scores must hold the arm 'dropout', got {', '.join(map(str, rows['arm'].unique()))}")
    if not dropout["p"].between(0, 1, inclusive="right").all():
        raise InputError(f"rate must lie in [0, 1), got {dropout['rate'].min()} to {dropout['rate'].max()}")
    units = dropout["width"] * (dropout["p"] if panel == "scaled" else 1.0)
    if units.max() > units.min() * (1 + NEAR):
        rule = "width times p about the same" if panel == "scaled" else "one width"
        raise InputError(f"the {panel} rows must have {rule} at every rate, got {units.min():.4g} to {units.max():.4g}")
    plain = plain[np.isclose(plain["width"], units.median(), rtol=NEAR)]
    once = ["panel", "arm", "rule", "split", "width", "metric", "repetition"]
    plain = plain.groupby(once, dropna=False, as_index=False)[["value", "low", "high"]].mean().assign(p=1.0)
    _check_p_one(dropout[dropout["p"] == 1], plain[plain["rule"] != EACH])
    return pd.concat([dropout, plain])


def _check_p_one(dropout: pd.DataFrame, plain: pd.DataFrame) -> None:
    """Where nothing is dropped the network is the plain one; a mean over several plain networks is another number."""
    pairs = dropout.merge(plain, on=["split", "repetition"], suffixes=("", "_of_plain"))
    if not np.allclose(pairs["value"], pairs["value_of_plain"], rtol=1e-6, atol=1e-6):
        raise InputError(
            "scores must hold, for the dropout network that keeps every unit (p = 1), those of the network without "
            f"dropout: got {told(pairs['value'])} and {told(pairs['value_of_plain'])}"
        )


def _facts(rows: pd.DataFrame, metric: str) -> Iterator[Fact]:
    name = metric_label(metric)

    def curve(*which: str) -> pd.DataFrame:
        """Return the values of each p (rows) and repetition (columns)."""
        own = rows[(rows[["panel", "arm", "split"]] == list(which)).all(axis=1)]
        return own.pivot_table(index="p", columns="repetition", values="value", sort=True)

    def worse(statement: str, one: pd.Series, other: pd.Series) -> Fact:
        estimate = of_units(-better_is(metric) * (one - other).dropna())
        return judge(statement, estimate.above(), f"{told([one.mean(), other.mean()], metric)}; {len(one)} repetitions")

    test, train, wide = (
        curve("fixed", "dropout", "test"),
        curve("fixed", "dropout", "train"),
        curve("scaled", "dropout", "test"),
    )
    plain = curve("fixed", "single", "train")
    small = test.index[test.index <= SMALL]
    middle = test.index[(test.index >= 0.4) & (test.index <= 0.6)]
    if len(small) and len(middle):
        half = middle[np.abs(middle - 0.5).argmin()]
        statement = (
            f"With few units kept the network underfits: test {name} at p = {small[0]:.2g} worse than at p = {half:.2g}"
        )
        yield worse(statement, test.loc[small[0]], test.loc[half])
    if len(train.index[train.index <= SMALL]) and len(plain):
        low = train.index[0]
        statement = f"Underfitting shows in training: train {name} at p = {low:.2g} worse than at p = 1"
        yield worse(statement, train.loc[low], plain.iloc[0])
    plateau = test[(test.index >= 0.4) & (test.index <= 0.8)]
    margin = MARGINS.get(metric)
    if len(plateau) > 1 and margin is not None:
        pairs = itertools.combinations(plateau.index, 2)
        apart = [of_units((plateau.loc[one] - plateau.loc[other]).dropna()) for one, other in pairs]
        furthest = max(apart, key=lambda estimate: abs(estimate.value))
        statement = f"Flat for p from 0.4 to 0.8: no two of the test {name} are {told(margin, metric)} or more apart"
        numbers = f"{told(plateau.mean(axis=1), metric)}; furthest apart {furthest.words(scale_of(metric))}"
        yield judge(statement, every(*(estimate.within(margin) for estimate in apart)), numbers)
    shared = small.intersection(wide.index)
    if len(shared):
        low = shared[0]
        statement = f"More units mend a small p: test {name} at p = {low:.2g} worse with n fixed than with p n fixed"
        yield worse(statement, test.loc[low], wide.loc[low])
