"""Should members be averaged or counted as votes?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ensemble_vs_dropout.checks import InputError, check_at_least
from ensemble_vs_dropout.evaluation.arms import RULE_LABELS
from ensemble_vs_dropout.evaluation.outcomes import Arms, check_arms, evaluate, pool
from ensemble_vs_dropout.evaluation.sizes import SIZES
from ensemble_vs_dropout.measures import METRICS, RULES, error, predict_labels
from ensemble_vs_dropout.measures.aggregation import Pool
from ensemble_vs_dropout.measures.decomposition import ambiguity
from ensemble_vs_dropout.measures.resampling import bootstrap_weights, percentile_interval
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import (
    AxesArray,
    Display,
    Fact,
    draw_line,
    fold,
    integer_ticks,
    name_axes,
    require,
    title_room,
)
from ensemble_vs_dropout.seeds import stream
from ensemble_vs_dropout.types import FloatArray, IntArray, Predictions, check_labels

LOOKS = {
    "mean": {"color": style.COLORS[0], "marker": "o", "linestyle": "-"},
    "geometric_mean": {"color": style.COLORS[1], "marker": "^", "linestyle": "-."},
    "majority_vote": {"color": style.COLORS[2], "marker": "s", "linestyle": ":"},
    "confidence_vote": {"color": style.COLORS[3], "marker": "D", "linestyle": (0, (5, 1))},
}
AVERAGES = ("mean", "geometric_mean")  # of probabilities and of logits; a vote's NLL is mostly infinite
NUMBERS = ["value", "low", "high"]


@dataclass(frozen=True, eq=False)
class CombinerComparison(Display):
    """Error against members under four rules, one panel per arm, and the NLL of averaging probabilities or logits.

    `table` has the columns panel ("error" or "nll"), arm, rule, members, value, low, high (95 % bootstrap; of the
    errors, for the mean alone).

    Wood et al. (2023): the NLL of the geometric mean is its members' mean less their diversity.
    """

    @classmethod
    def from_predictions(
        cls,
        arms: Arms,
        labels: npt.ArrayLike,
        *,
        data: str,
        sizes: Sequence[int] = SIZES,
        subsets: int = 50,
        resamples: int = 1000,
        seed: int = 0,
    ) -> CombinerComparison:
        """Make the display.

        Args:
            arms: Members of each arm, one `Predictions`, or one for each repetition; arms of one member, for which
                all rules are alike, are left out.
            labels: Shape (examples,).
            data: The name of the data set.
            sizes: Numbers of members; those beyond a pool are left out, and the pool's own is always there.
            subsets: Of the members at each size, about.
            resamples: Bootstrap resamples of the examples, and in the NLL of the repetitions too.
            seed: Of subsets and resamples.

        Raises:
            InputError: No arm of several members, weights, or predictions that do not fit each other or the labels.
        """
        truth = np.asarray(labels)
        runs = check_arms(arms, len(truth), same_members=True)
        several = {arm: each for arm, each in runs.items() if each[0].members > 1}
        if not several:
            raise InputError(f"arms must hold one of at least 2 members to combine, got one in each of {list(runs)}")
        if weighted := [arm for arm, each in several.items() if any(run.weights is not None for run in each)]:
            raise InputError(f"arms must have members of equal weight, but {weighted[0]!r} has weights")
        for name, value, least in (("subsets", subsets, 1), ("resamples", resamples, 100)):
            check_at_least(name, value, least)
        wanted = {check_at_least("sizes", size, 1) for size in sizes}
        check_labels(truth, next(iter(several.values()))[0].classes)
        resampled = bootstrap_weights(stream(seed, "bootstrap"), len(truth), resamples)
        rows: list[list[Any]] = []
        for arm, each in several.items():
            members = each[0].members
            taken = sorted({size for size in wanted if size < members} | {1, 2, members})
            for rule in LOOKS:
                curve = np.mean([_curve(run, rule, truth, taken, subsets, seed) for run in each], axis=0)
                for size, of_examples in zip(taken, curve, strict=True):
                    draws = resampled @ of_examples if rule == "mean" else np.array([np.nan])
                    rows.append(["error", arm, rule, size, of_examples.mean(), *percentile_interval(draws)])
        pooled = list(pool(several, dict.fromkeys(several, AVERAGES), truth))
        for one in evaluate(pooled, truth, {"nll": METRICS["nll"]}, resamples, seed):
            rows.append(["nll", one.arm, one.rule, one.members, one.value, *percentile_interval(one.draws)])
        table = pd.DataFrame(rows, columns=["panel", "arm", "rule", "members", *NUMBERS])
        for arm, each in several.items():
            _check(table[table["arm"] == arm], each, truth)
        repeated = len(next(iter(several.values()))) > 1
        caption = [
            f"Error on {data}, mean over subsets of each arm's pool. Band: 95 % bootstrap over examples, of the mean",
            "alone. A tie is broken at random (the expected error).",
            "In a confidence-weighted vote, a vote counts as much as the member's highest probability.",
            "NLL: of the whole pool; the mean averages probabilities, the geometric mean logits;",
            f"bar: 95 % bootstrap over examples{' and repetitions' if repeated else ''}.",
            "In brackets: networks or passes. Lower is better.",
        ]
        return cls(
            table,
            title=f"Average members, or let them vote? Data: {data}",
            interval=f"band and bar: 95 % bootstrap over examples{', in the bar repetitions too' if repeated else ''}",
            caption=" ".join(caption),
            facts=tuple(fact for arm in several for fact in _facts(arm, table[table["arm"] == arm])),
        )

    def _arms(self) -> list[str]:
        return list(self.table["arm"].unique())

    def _mosaic(self) -> list[list[int]]:
        return fold(range(len(self._arms()) + 1), columns=3)

    def _height(self) -> float:
        return max(2.3, 0.7 + 0.26 * len(self._arms()))

    def _draw(self, axes: AxesArray) -> list[Artist]:
        errors, nll = (self.table[self.table["panel"] == panel] for panel in ("error", "nll"))
        for ax, arm in zip(axes, self._arms(), strict=False):
            panel = errors[errors["arm"] == arm]
            panel = panel.assign(**{name: panel[name] * style.metric_scale("error") for name in NUMBERS})
            ax.set_xscale("log")
            for rule, rows in panel.groupby("rule", sort=False):
                look = LOOKS[str(rule)]
                draw_line(ax, rows["members"].to_numpy(), rows, **look, label=RULE_LABELS[str(rule)])
            integer_ticks(ax, panel["members"].unique())
            title = style.wrap(style.arm_label(arm), title_room(ax), lines=3)
            name_axes(ax, title=title, xlabel="networks or passes", ylabel=style.metric_label("error"))
        _draw_dumbbells(axes[-1], nll, self._arms())
        return [Line2D([], [], **cast(Any, look), label=RULE_LABELS[rule]) for rule, look in LOOKS.items()]


def _draw_dumbbells(ax: Axes, nll: pd.DataFrame, arms: list[str]) -> None:
    """Draw one row per arm: the two averages, each with its bar, and a line between them."""
    finite = nll[np.isfinite(nll["value"])]
    place = finite["arm"].map(arms.index) + finite["rule"].map({"mean": -0.14, "geometric_mean": 0.14})
    for _, rows in finite.assign(place=place).groupby("arm", sort=False):
        ax.plot(rows["value"], rows["place"], color="0.6", linewidth=0.8, zorder=1)
    for rule, rows in finite.assign(place=place).groupby("rule", sort=False):
        look = LOOKS[str(rule)]
        low, high = (rows[end].where(np.isfinite(rows[end]), rows["value"]) for end in ("low", "high"))
        ax.hlines(rows["place"], low, high, color=look["color"], alpha=0.55)
        dots = {"color": look["color"], "marker": look["marker"], "linestyle": ""}
        ax.plot(rows["value"], rows["place"], **cast(Any, dots), label=RULE_LABELS[str(rule)])
    for arm, rule in nll.loc[~np.isfinite(nll["value"]), ["arm", "rule"]].itertuples(index=False):
        text = f"{RULE_LABELS[rule]}: infinite"
        shift = -0.14 if rule == "mean" else 0.14
        ax.text(0.98, arms.index(arm) + shift, text, ha="right", va="center", fontsize="x-small", color="0.2",
                transform=ax.get_yaxis_transform())  # fmt: skip
    sizes = nll.drop_duplicates("arm").set_index("arm")["members"]
    labels = [style.wrap(style.arm_label(arm, members=sizes[arm]), 20, lines=3) for arm in arms]
    ax.set_yticks(range(len(arms)), labels, parse_math=False)
    ax.set_ylim(len(arms) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.grid(False, axis="y")
    ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    name_axes(ax, title="whole pool", xlabel=style.metric_label("nll"))


def _curve(run: Predictions, rule: str, labels: IntArray, sizes: Sequence[int], subsets: int, seed: int) -> FloatArray:
    """Return each example's error, mean over subsets of each size: (sizes, examples)."""
    pooling = RULES[rule]
    assert isinstance(pooling, Pool)
    terms = np.stack([pooling.of(member, partial(predict_labels, member)) for member in run.probs]).astype(np.float64)
    curve = []
    for size in sizes:
        chosen = list(_subsets(run.members, size, subsets, seed))
        pooled = (pooling.finish(terms[subset].sum(axis=0) / size, size) for subset in chosen)
        curve.append(sum(error(probs, labels, ties="expected") for probs in pooled) / len(chosen))
    return np.array(curve)


def _subsets(members: int, size: int, subsets: int, seed: int) -> Iterator[IntArray]:
    """Yield neighbours in random circles of the members; of one and of two, each member is in equally many."""
    rng = stream(seed, "circles")
    for _ in range(max(1, subsets // members) if size < members else 1):
        circle = rng.permutation(members)
        step = 1 if size <= 2 else max(1, members // subsets)
        for start in range(0, members if size < members else 1, step):
            yield np.roll(circle, -start)[:size]


def _check(rows: pd.DataFrame, runs: Sequence[Predictions], labels: IntArray) -> None:
    """Require what must hold of one arm."""
    value = rows.set_index(["panel", "rule", "members"])["value"]
    vote = value["error"]["majority_vote"]
    alone = np.mean([error(member, labels).mean() for run in runs for member in run.probs])
    require(
        "vote of one or two members with random ties errs as much as the mean member",
        np.allclose([vote[1], vote[2]], alone, atol=1e-9),
        f"{vote[1]:.6g} and {vote[2]:.6g} against {alone:.6g}",
    )
    split = pd.concat([ambiguity(run.probs, labels, "nll") for run in runs]).mean()
    whole = value["nll"].droplevel("members")
    if np.isfinite(split).all():
        gained = split["members"] - split["ambiguity"]
        require(
            "NLL of the geometric mean = mean member's - mean KL divergence",
            np.isclose(whole["geometric_mean"], gained, atol=1e-6),
            f"{whole['geometric_mean']:.6g} and {gained:.6g}",
        )
        require(
            "NLL of the mean <= mean member's",
            whole["mean"] <= split["members"] + 1e-6,
            f"{whole['mean']:.6g} and {split['members']:.6g}",
        )


def _facts(arm: str, rows: pd.DataFrame) -> Iterator[Fact]:
    errors = rows[rows["panel"] == "error"].set_index(["members", "rule"])["value"].unstack()
    errors = errors[["mean", "geometric_mean", "majority_vote"]]
    name = style.arm_label(arm)
    two = errors.loc[2]
    yield Fact(
        f"{name}: of two members, the vote errs most",
        bool(two["majority_vote"] > two.drop("majority_vote").max() + 1e-12),
        ", ".join(f"{RULE_LABELS[rule]} {100 * value:.2f} %" for rule, value in two.items()),
    )
    size = 10 if 10 in errors.index else errors.index[-1]
    apart = 100 * (errors.loc[size].max() - errors.loc[size].min())
    yield Fact(
        f"{name}: with {size} members the three rules differ by less than half a point of error",
        bool(apart < 0.5),
        f"{apart:.2f} points",
    )
