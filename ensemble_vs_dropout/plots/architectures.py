"""Does dropout help whatever the architecture, and does it fit less to generalise more?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import AxesArray, Display, Fact, check_table, name_axes
from ensemble_vs_dropout.plots.repetitions import better_is, in_units, told

KEYS = ["architecture", "recipe", "repetition", "member", "epoch"]
FAMILIES = {"plain": "without dropout", "dropout": "with dropout"}
DASHES: list[Any] = ["-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 3))]
DOTS = ["", "o", "s", "^"]


@dataclass(frozen=True, eq=False)
class Architectures(Display):
    """Does it generalise or just fit? Unseen error epoch by epoch, for several architectures with and without dropout.

    After Figure 4 of Srivastava et al. (2014, JMLR 15), with the gap between unseen and training examples below.

    `table` has the columns panel ("unseen", "gap"), architecture, recipe, series (the column drawn), metric, epoch,
    networks (how many still trained), of (how many there were), value (their mean), low, high (one standard deviation
    away; NaN for one network).
    """

    @classmethod
    def from_histories(cls, histories: pd.DataFrame, *, data: str, metric: str = "error") -> Architectures:
        """Make the display.

        Args:
            histories: Columns architecture, recipe ("plain", "dropout"), repetition, member, epoch (from 1), loss, and
                val_loss or test_loss; train_loss (without dropout, at the end of the epoch) where known. The upper
                panel draws test_error or val_error (of another `metric`, that), the loss where neither is known.
            data: The name of the data set.
            metric: What the upper panel draws where it is known.

        Raises:
            InputError: A missing column, no row, two rows for one epoch of a network, no unseen examples, or more
                architectures than lines that can be told apart.
        """
        check_table("histories", histories, [*KEYS, "loss"], KEYS, ["epoch", "loss"])
        shown = histories["architecture"].nunique()
        if shown > len(DASHES) * len(DOTS):
            raise InputError(
                f"histories must be of at most {len(DASHES) * len(DOTS)} architectures, whose lines can be told "
                f"apart, got {shown}; filter them first"
            )
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
        part = {"test": "test", "val": "validation"}
        caption = [
            f"Above: {part[unseen.split('_')[0]]} {'loss' if is_loss else style.metric_label(metric)}; below: "
            f"{part[unseen_loss.split('_')[0]]} minus train loss of the same network.",
            "Line: mean over networks still training (from half of them on); bar at its end: ±1 standard deviation "
            f"over networks. {_counts(drawn)} Data: {data}.",
            "Train loss: without dropout, at the end of the epoch."
            if train == "train_loss"
            else "Train loss: as met during the epoch, with dropout on where there is any.",
        ]
        return cls(
            drawn.reset_index(drop=True),
            title=f"Several architectures with and without dropout: {data}",
            interval="bar: ±1 standard deviation over networks",
            caption=" ".join(caption),
            facts=tuple(_facts(table, -1 if is_loss else better_is(metric))),
        )

    def _looks(self) -> dict[Any, dict[str, Any]]:
        names = self.table["architecture"].unique()
        return {
            name: {"linestyle": DASHES[place % len(DASHES)], "marker": DOTS[place // len(DASHES)], "markersize": 3}
            for place, name in enumerate(names)
        }

    def _mosaic(self) -> list[list[int]]:
        return [[0], [1]]

    def _height(self) -> float:
        return 2.0

    def _draw(self, axes: AxesArray) -> list[Artist]:
        styles, looks = style.arm_styles(self.table["recipe"]), self._looks()
        for ax, panel in zip(axes, ("unseen", "gap"), strict=True):
            rows = self.table[self.table["panel"] == panel]
            metric = rows["metric"].iloc[0]
            curves = in_units(rows, metric).groupby(["recipe", "architecture"], sort=False)
            room = 0.06 * max(1, rows["epoch"].max() - rows["epoch"].min()) / curves.ngroups
            key: Any
            for place, (key, curve) in enumerate(curves):
                color, look = styles[key[0]].color, looks[key[1]]
                if len(curve) == 1:
                    look = look | {"marker": look["marker"] or "."}
                every = max(1, len(curve) // 8)
                spread = (place % every, every)  # markers of several lines do not stand in one column
                ax.plot(curve["epoch"], curve["value"], color=color, linewidth=1, markevery=spread, **look)
                end = curve.iloc[-1]
                if np.isfinite(end["high"]):
                    ax.vlines(end["epoch"] + room * (place + 1), end["low"], end["high"], color=color, linewidth=1.2)
            ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
            unseen = str(rows["series"].iloc[0])
            part = "test" if unseen.startswith("test") else "validation"
            label = f"{part} {style.metric_label(metric)}" if panel == "unseen" else f"{part} minus\ntrain loss"
            name_axes(ax, xlabel="epoch", ylabel=label)
        axes[1].axhline(0, color="0.4", linewidth=0.8)
        families = [
            Line2D(
                [], [], color=color, linewidth=3, label=style.wrap(FAMILIES.get(recipe, style.arm_label(recipe)), 60)
            )
            for recipe, (color, _) in styles.items()
        ]
        shapes = [
            Line2D([], [], color="0.2", linewidth=1, label=style.wrap(str(name), 60, lines=1), **look)
            for name, look in looks.items()
        ]
        return [*families, *shapes]


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


def _counts(table: pd.DataFrame) -> str:
    counts = table.groupby("recipe", sort=False)["of"].agg(["min", "max"])
    words = [
        f"{' to '.join(map(str, sorted({low, high})))} {FAMILIES.get(str(recipe), style.arm_label(str(recipe)))}"
        for recipe, low, high in counts.itertuples()
    ]
    return f"Networks of each architecture: {', '.join(words)}."


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
