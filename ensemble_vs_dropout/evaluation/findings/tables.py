"""What a table of the user's must hold before anything is found in it."""

from collections.abc import Sequence

import pandas as pd

from ensemble_vs_dropout.checks import InputError


def check_table(
    name: str, table: object, columns: Sequence[str], keys: Sequence[str], numbers: Sequence[str]
) -> pd.DataFrame:
    """Return `table` if it has the `columns`, of them some as `numbers`, and one row for each of `keys`."""
    if not isinstance(table, pd.DataFrame):
        raise InputError(f"{name} must be a DataFrame, got {type(table).__name__}")
    missing = [column for column in columns if column not in table]
    if missing:
        raise InputError(f"{name} must have the columns {', '.join(columns)}; missing: {', '.join(missing)}")
    if table.empty:
        raise InputError(f"{name} must hold at least one row, got none")
    for column in numbers:
        if not pd.api.types.is_numeric_dtype(table[column]):
            raise InputError(f"{name}[{column!r}] must hold numbers, got {table[column].dtype}")
    twice = table.duplicated(list(keys))
    if twice.any():
        row = table.loc[twice, list(keys)].iloc[0].to_dict()
        raise InputError(f"{name} must have one row for each {', '.join(keys)}, but has several for {row}; filter it")
    return table
