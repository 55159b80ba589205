"""Does dropout help whatever the architecture, and does it fit less to generalise more?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation.findings.base import Fact, Finding
from ensemble_vs_dropout.evaluation.findings.judging import Estimate, every, judge, of_units
from ensemble_vs_dropout.evaluation.findings.tables import check_table
from ensemble_vs_dropout.evaluation.findings.words import better_is

RISE = 0.05  # of a loss in nats, that counts
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
    wide = wide.assign(loss=histories[unseen_loss], train=histories[train])
    table = _average(wide)
    names = {"unseen": unseen, "gap": f"{unseen_loss} - {train}"}
    is_loss = unseen == unseen_loss
    drawn = table[table["series"].isin(names)].rename(columns={"series": "panel"})
    drawn.insert(3, "series", drawn["panel"].map(names))
    drawn.insert(4, "metric", np.where((drawn["panel"] == "unseen") & (not is_loss), metric, "loss"))
    counts = drawn.groupby("recipe", sort=False)["of"].agg(["min", "max"])
    return Finding(
        drawn.reset_index(drop=True),
        facts=tuple(_facts(wide, -1 if is_loss else better_is(metric))),
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


def _facts(wide: pd.DataFrame, better: int) -> Iterator[Fact]:
    """Return what is expected of each architecture, network by network, at the last epoch that all reached."""
    if {"plain", "dropout"} - set(wide["recipe"]):
        return
    networks = [_pairs(own) for _, own in wide.groupby("architecture", sort=False)]
    first, last = ([at for at, *_ in networks], [at for _, at, _ in networks])

    def fact(statement: str, differences: list[pd.Series]) -> Fact:
        each = [of_units(own.dropna()) for own in differences]
        return judge(statement, every(*(one.above() for one in each)), _each(each))

    yield fact("Dropout fits less: a higher train loss at the end", [at["train"] for at in last])
    yield fact("Dropout narrows the gap at the end", [-at["gap"] for at in last])
    yield fact("Dropout starts more slowly: worse in the first epoch", [-better * at["unseen"] for at in first])
    rises = [of_units(rise) for *_, rise in networks]
    yield judge(
        f"Without dropout the unseen loss rises again, to more than {RISE:g} nats above its lowest at the end",
        every(*(rise.above(RISE) for rise in rises)),
        _each(rises),
    )


def _each(estimates: list[Estimate]) -> str:
    return f"by {', '.join(one.words(digits=3) for one in estimates)} in {len(estimates)} architectures"


def _pairs(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, pd.Series]:
    """Return what dropout adds in each network, at the first and at the last epoch of all; and rises without dropout.

    The lowest point is that of the networks' mean: the lowest of each network would be below its end by chance alone.
    """
    values = rows.set_index(["recipe", "repetition", "member", "epoch"])[["unseen", "gap", "loss", "train"]]
    plain, dropout = values.loc["plain"], values.loc["dropout"]
    added = (dropout - plain).dropna(how="all").groupby(level="epoch")
    reached = added.size()
    by_all = reached.index[reached == reached.max()]
    ends = [added.get_group(epoch) for epoch in (by_all.min(), by_all.max())]
    losses = plain["loss"].unstack("epoch").dropna(axis=1)
    return ends[0], ends[1], losses[losses.columns[-1]] - losses[losses.mean().idxmin()]
