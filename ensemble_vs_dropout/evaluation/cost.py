"""What each arm costs, as a table to put beside its quality."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import pandas as pd

from ensemble_vs_dropout.types import Cost


def cost_table(costs: Mapping[str, Sequence[Cost]]) -> pd.DataFrame:
    """Return one row per arm with the mean of each cost over the repetitions in which it is known, NaN if in none.

    Example:
        >>> cost_table({"single": [Cost(10, 100, 1, 2.0, 0.1), Cost(10, 300, 1, 4.0, 0.1)]}).trained.tolist()
        [200.0]
    """
    rows = [{"arm": arm, **pd.DataFrame([asdict(c) for c in each]).mean()} for arm, each in costs.items()]
    return pd.DataFrame(rows)
