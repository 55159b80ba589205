"""Does dropout help whatever the architecture, and does it fit less to generalise more?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation.findings.base import Fact, Finding
from ensemble_vs_dropout.evaluation.findings.tables import check_table
from ensemble_vs_dropout.evaluation.findings.words import better_is, told

KEYS = ["architecture", "recipe", "repetition", "member", "epoch"]


def architectures(histories: pd.DataFrame, *, metric: str = "error") -> Finding:
    """Return how networks of several architectures do on unseen examples epoch by epoch, and their gap to training.

    After Figure 4 of Srivastava et al. (2014, JMLR 15).

    Args:
        histories: Columns architecture, recipe ("plain", "dropout"), repetition, member, epoch (from 1), loss, and
            val_loss or test_loss; train_loss (without dropout, at the end of the epoch) where known; test_error or
            val_error (of another `metric`, that) where known.
        metric: Which measure of unseen examples is taken where it is known, else the loss.

    Returns:
        A table of the columns panel ("unseen", "gap"), architecture, recipe, series (the column taken), metric, epoch,
        networks (how many still trained, at least half), of (how many there were), value (their mean), low, high (one
        standard deviation away; NaN for one network). Told, as columns of `histories`: `unseen`, `unseen_loss` and
        `train`; and `networks`, the smallest and the largest number in an architecture of each recipe.

    Raises:
        InputError: A missing column, no row, two rows for one epoch of a network, or no unseen examples.

    Example:
        >>> network = {"architecture": "mlp", "recipe": "plain", "repetition": 0, "member": 0, "epoch": [1, 2]}
        >>> histories = pd.DataFrame(network | {"loss": [0.5, 0.25], "val_loss": [0.75, 0.5]})
        >>> architectures(histories).table[["panel", "epoch", "value"]].values.tolist()
        [['unseen', 1, 0.75], ['gap', 1, 0.25], ['unseen', 2, 0.5], ['gap', 2, 0.25]]
    """
    check_table("histories", histories, [*KEYS, "loss"], KEYS, ["epoch", "loss"])
    unseen_loss = _known(histories, "test_loss", "val_loss")
    if unseen_loss is None:
        raise InputError("histories must have test_loss or val_loss for every family, else nothing is unseen")
    train = _known(histories, "train_loss") or "loss"
    unseen = _known(histories, f"test_{metric}", f"val_{metric}") or unseen_loss
    wide = histories[KEYS].assign(unseen=histories[unseen], gap=histories[unseen_loss] - histories[train])
    table = _average(wide.assign(loss=histories[unseen_loss], train=histories[train]))
    names = {"unseen": unseen, "gap": f"{unseen_loss} - {train}"}
    is_loss = unseen == unseen_loss
    drawn = table[table["series"].isin(names)].rename(columns={"series": "panel"})
    drawn.insert(3, "series", drawn["panel"].map(names))
    drawn.insert(4, "metric", np.where((drawn["panel"] == "unseen") & (not is_loss), metric, "loss"))
    counts = drawn.groupby("recipe", sort=False)["of"].agg(["min", "max"])
    return Finding(
        drawn.reset_index(drop=True),
        facts=tuple(_facts(table, -1 if is_loss else better_is(metric))),
        told={"unseen": unseen, "unseen_loss": unseen_loss, "train": train}
        | {"networks": {str(recipe): (low, high) for recipe, low, high in counts.itertuples()}},
    )


def _known(histories: pd.DataFrame, *columns: str) -> str | None:
    """Return the first of `columns` that every family and architecture has numbers in."""
    groups = histories.groupby(["architecture", "recipe"])
    return next((name for name in columns if name in histories and groups[name].count().gt(0).all()), None)


def _average(wide: pd.DataFrame) -> pd.DataFrame:
    """Return mean and spread over networks for each epoch that half of them reached."""
    tall = wide.melt(KEYS, var_name="series").astype({"value": float}).sort_values("epoch", kind="stable")
    tall["value"] = tall["value"].where(np.isfinite(tall["value"]))
    line = ["architecture", "recipe"]
    table = (
        tall.groupby([*line, "series", "epoch"], sort=False)["value"]
        .agg(networks="size", value="mean", spread="std")
        .reset_index()
    )
    networks = wide[KEYS[:-1]].drop_duplicates().groupby(line).size().rename("of").reset_index()
    table = table.merge(networks, on=line)
    table["low"], table["high"] = table["value"] - table["spread"], table["value"] + table["spread"]
    reached = 2 * table["networks"] >= table["of"]
    return table[reached].drop(columns="spread")


def _facts(table: pd.DataFrame, better: int) -> list[Fact]:
    """Return what is expected of each architecture, at the last epoch that both families reached."""
    cells = table.pivot_table(index=["architecture", "epoch"], columns=["series", "recipe"], values="value", sort=False)
    if {"plain", "dropout"} - set(table["recipe"]):
        return []
    both = cells.dropna().sort_index(level="epoch").groupby(level="architecture", sort=False)
    if both.ngroups == 0:
        return []
    first, last = both.first(), both.last()
    plain = table[(table["recipe"] == "plain") & (table["series"] == "loss")].groupby("architecture", sort=False)[
        "value"
    ]

    def fact(statement: str, holds: pd.Series) -> Fact:
        return Fact(statement, bool(holds.all()), f"so in {int(holds.sum())} of {len(holds)} architectures")

    rise = plain.last() - plain.min()
    return [
        fact("Dropout fits less: a higher train loss at the end", last["train"]["dropout"] > last["train"]["plain"]),
        fact("Dropout narrows the gap at the end", last["gap"]["dropout"] < last["gap"]["plain"]),
        fact(
            "Dropout starts more slowly: worse in the first epoch",
            better * (first["unseen"]["dropout"] - first["unseen"]["plain"]) < 0,
        ),
        Fact(
            "Without dropout the unseen loss rises again at the end, above its lowest",
            bool((rise > 0).all()),
            f"by {told(rise)}",
        ),
    ]
