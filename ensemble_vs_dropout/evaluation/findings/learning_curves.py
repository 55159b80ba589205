"""How do networks learn, and where do they begin to overfit?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation.findings.base import Finding
from ensemble_vs_dropout.evaluation.findings.tables import check_table

KEYS = ["recipe", "repetition", "member", "epoch"]


def learning_curves(histories: pd.DataFrame) -> Finding:
    """Return the mean loss over networks against the epoch, and the gap between unseen and training examples.

    Networks stop at different epochs: each mean is over those still training, and epochs that fewer than half reached
    are left out. Losses that are not finite are left out too.

    Args:
        histories: Columns recipe, repetition, member, epoch (from 1), loss, and val_loss, train_loss, test_loss where
            known (the last two without dropout, at the end of the epoch).

    Returns:
        A table of the columns recipe, series ("train", "validation", "test" or the gap's name), epoch, networks (how
        many still trained), value (their mean, in nats), low, high (one standard deviation away; NaN for one network),
        and of (how many there were). Told: `gap`, what it is between; `train`, the column that is the train loss;
        `left_out`, how many values are not finite.

    Raises:
        InputError: A missing column, no row, two rows for one epoch of a network, or no unseen examples.

    Example:
        >>> network = {"recipe": "plain", "repetition": 0, "member": [0, 1], "epoch": 1}
        >>> histories = pd.DataFrame(network | {"loss": [0.5, 0.25], "val_loss": [0.75, 0.5]})
        >>> learning_curves(histories).table[["series", "value"]].values.tolist()
        [['train', 0.375], ['validation', 0.625], ['gap: validation minus train', 0.25]]
    """
    check_table("histories", histories, [*KEYS, "loss"], KEYS, ["epoch", "loss"])
    names = ("train_loss", "val_loss", "test_loss")
    train, val, test = (name if _everywhere(histories, name) else None for name in names)
    if not (test or val):
        raise InputError("histories must have test_loss or val_loss for every recipe, else there is no gap to draw")
    sources = {"train": train or "loss", "validation": val, "test": test}
    wide = histories[KEYS].assign(**{name: histories[column] for name, column in sources.items() if column})
    unseen = "test" if test else "validation"
    gap = f"{unseen} minus train"
    wide[f"gap: {gap}"] = _finite(wide[unseen]) - _finite(wide["train"])
    lost = np.count_nonzero(~np.isfinite(wide.drop(columns=KEYS).to_numpy(dtype=float)))
    return Finding(_average(wide), told={"gap": gap, "train": sources["train"], "left_out": lost})


def _finite(values: pd.Series) -> pd.Series:
    return values.astype(float).where(np.isfinite)


def _everywhere(histories: pd.DataFrame, column: str) -> bool:
    """Return whether every recipe has numbers in `column`: recipes must not be compared by different losses."""
    return column in histories and bool(histories.groupby("recipe")[column].count().gt(0).all())


def _average(wide: pd.DataFrame) -> pd.DataFrame:
    """Return mean and spread over networks for each recipe, series and epoch that half of them reached."""
    tall = wide.melt(KEYS, var_name="series", value_name="loss")
    tall = tall.assign(loss=_finite(tall["loss"])).sort_values("epoch", kind="stable")
    groups = tall.groupby(["recipe", "series", "epoch"], sort=False)["loss"]
    table = groups.agg(networks="size", value="mean", spread="std").reset_index()
    table["low"], table["high"] = table["value"] - table["spread"], table["value"] + table["spread"]
    networks = wide.groupby("recipe")[["repetition", "member"]].apply(lambda rows: len(rows.drop_duplicates()))
    table["of"] = table["recipe"].map(networks)
    reached = 2 * table["networks"] >= table["of"]
    return table[reached].drop(columns="spread").reset_index(drop=True)
