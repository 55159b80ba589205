"""When is combining worth it?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation.findings.base import Fact, Finding
from ensemble_vs_dropout.evaluation.findings.judging import correlation, judge
from ensemble_vs_dropout.evaluation.pooling import check_arms
from ensemble_vs_dropout.measures.decomposition import competence, improvement
from ensemble_vs_dropout.types import Predictions

Pool = Predictions | Sequence[Predictions]


def eir_vs_der(
    pools: Mapping[tuple[str, str], Pool] | Iterable[tuple[str, str, Pool]], labels: npt.ArrayLike
) -> Finding:
    """Return what a vote gains and how much its members disagree, both in units of the members' error.

    The ensemble improvement rate (EIR) is the members' mean error less the vote's, over the former; the
    disagreement-error ratio (DER) is the mean disagreement of two members over their mean error. EIR never exceeds DER,
    and competent pools lie above the lower bound (Theisen et al., 2023, NeurIPS, theorem 2).

    Args:
        pools: (configuration in words, arm, predictions) of each pool, or a dict of predictions by (configuration,
            arm); every repetition is a point. All predict the same examples.
        labels: Shape (examples,), 0..K-1.

    Returns:
        A table with the columns panel ("rates", "competence", "upper", "lower": the ends of the two lines),
        configuration, arm, repetition, members, competent, x (DER; in "competence" t, a share of members) and value
        (EIR; in "competence" the margin P(t <= W < 1/2) - P(1/2 < W <= 1 - t), where W is the share of members that are
        wrong on an example). Told are `examples`, how many there are, and `never`, the number of pools left out because
        their members never err.

    Raises:
        InputError: No pool, one that does not fit the labels or the others, or no error of any member.

    Example:
        >>> votes = Predictions(np.eye(2)[[[1, 0, 0], [0, 1, 0], [0, 0, 1]]])  # each is wrong once, the vote never
        >>> table = eir_vs_der({("c", "ensemble"): votes}, [0, 0, 0]).table
        >>> table.loc[0, ["x", "value"]].astype(float).round(3).tolist()
        [1.333, 1.0]
    """
    listed = [(*key, pool) for key, pool in pools.items()] if isinstance(pools, Mapping) else list(pools)
    if not listed or not all(isinstance(item, tuple) and len(item) == 3 for item in listed):
        raise InputError("pools must hold (configuration, arm, predictions) of at least one pool")
    truth, tables, never, classes = np.asarray(labels), [], 0, set()
    for configuration, arm, pool in listed:
        for repetition, run in enumerate(check_arms({configuration: pool}, len(truth))[configuration]):
            classes.add(run.classes)
            rates = improvement(run.probs, truth)
            if np.isnan(rates["eir"]):
                never += 1
                continue
            named = {"configuration": configuration, "arm": arm, "repetition": repetition, "members": run.members}
            tables.append(_of_pool(rates, competence(run.probs, truth)).assign(**named))
    if len(classes) > 1:
        raise InputError(f"pools must all predict the same classes, got {sorted(classes)}")
    if not tables:
        raise InputError("pools must hold a member that errs, else neither rate is defined; none of them ever does")
    table = pd.concat([*tables, _bounds(pd.concat(tables), classes.pop())], ignore_index=True)
    table = table[["panel", "configuration", "arm", "repetition", "members", "competent", "x", "value"]]
    return Finding(table, _facts(table[table["panel"] == "rates"]), {"examples": len(truth), "never": never})


def _of_pool(rates: pd.Series, curve: pd.DataFrame) -> pd.DataFrame:
    """Return the point of a pool and its curve of competence."""
    point = pd.DataFrame({"panel": ["rates"], "x": [rates["der"]], "value": [rates["eir"]]})
    margins = curve.rename(columns={"threshold": "x", "margin": "value"})[["x", "value"]].assign(panel="competence")
    return pd.concat([point, margins]).assign(competent=bool(rates["competent"]))


def _bounds(table: pd.DataFrame, classes: int) -> pd.DataFrame:
    """Return the ends of both lines, to beyond the DER from which the lower one promises a gain."""
    slope, offset = 2 * (classes - 1) / classes, (3 * classes - 4) / classes
    ends = np.array([0.0, 1.08 * max(table.loc[table["panel"] == "rates", "x"].max(), offset / slope)])
    lines = {"upper": ends, "lower": slope * ends - offset}
    return pd.concat([pd.DataFrame({"panel": name, "x": ends, "value": line}) for name, line in lines.items()])


def _facts(points: pd.DataFrame) -> tuple[Fact, ...]:
    if len(points) < 3 or points[["x", "value"]].nunique().min() < 2:
        return ()
    z, words = correlation(points["x"].to_numpy(), points["value"].to_numpy(), points["configuration"].astype(str))
    numbers = f"{words} over {len(points)} pools of {points['configuration'].nunique()} configurations"
    return (judge("EIR rises with DER: Pearson's r over the pools is above 0.8", z.above(np.arctanh(0.8)), numbers),)
