"""How much do more networks, or more passes, help?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ensemble_vs_dropout.evaluation.findings.base import Finding
from ensemble_vs_dropout.evaluation.findings.repetitions import NUMBERS
from ensemble_vs_dropout.evaluation.findings.tables import check_table

KEYS = ["arm", "rule", "members", "metric"]


def ensemble_size(curves: pd.DataFrame, *, references: pd.DataFrame | None = None) -> Finding:
    """Return curves of quality against the number of members, and the arms without such a number beside them.

    Args:
        curves: Columns arm, rule, members, metric, value, low, high, as of `evaluation.size_curves`.
        references: Columns arm, metric, value (rule and members are kept where they are there): arms without a number
            of members to vary. Metrics that `curves` lacks are left out.

    Returns:
        A table of the columns role ("curve" or "reference"), arm, rule, members, metric, value, low, high (NaN for a
        reference), by members.

    Raises:
        InputError: A missing column, no row, or several rows for one point.

    Example:
        >>> points = {"arm": "ensemble", "rule": "mean", "members": [5, 1], "metric": "error", "value": [0.1, 0.2]}
        >>> references = pd.DataFrame({"arm": ["dropout"], "metric": ["error"], "value": [0.15]})
        >>> found = ensemble_size(pd.DataFrame(points | {"low": 0.0, "high": 0.3}), references=references)
        >>> found.table[["role", "arm", "value"]].values.tolist()
        [['curve', 'ensemble', 0.2], ['curve', 'ensemble', 0.1], ['reference', 'dropout', 0.15]]
    """
    check_table("curves", curves, KEYS + NUMBERS, KEYS, ["members", *NUMBERS])
    table = curves[KEYS + NUMBERS].sort_values("members", kind="stable").assign(role="curve")
    if references is not None:
        check_table("references", references, ["arm", "metric", "value"], ["arm", "metric"], ["value"])
        known = references[references["metric"].isin(curves["metric"])]
        known = known.reindex(columns=[*KEYS, "value"]).assign(role="reference", low=np.nan, high=np.nan)
        table = pd.concat([table, known]) if len(known) else table
    return Finding(table.astype({"members": "Int64"})[["role", *KEYS, *NUMBERS]].reset_index(drop=True))
