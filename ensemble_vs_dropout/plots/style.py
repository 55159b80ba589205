"""What things look like and are called: one colour, marker and label for each arm in every figure."""

import textwrap
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from itertools import product
from typing import Any, NamedTuple

import matplotlib.style
import seaborn

from ensemble_vs_dropout.evaluation import arms as registry
from ensemble_vs_dropout.evaluation.findings.words import metric_label as metric_label
from ensemble_vs_dropout.evaluation.wording import metric_words
from ensemble_vs_dropout.measures import METRICS


class ArmStyle(NamedTuple):
    """How an arm is drawn."""

    color: str
    marker: str


COLORS = seaborn.color_palette("colorblind").as_hex()  # the markers tell the arms apart without colour
ARMS: dict[str, ArmStyle] = {
    "single": ArmStyle("#6E6E6E", "o"),
    "ensemble": ArmStyle(COLORS[0], "s"),
    "dropout": ArmStyle(COLORS[1], "^"),
    "mc_dropout": ArmStyle(COLORS[2], "D"),
    "dropout_ensemble": ArmStyle(COLORS[4], "v"),
    "wide": ArmStyle(COLORS[9], "P"),
    "plain": ArmStyle("#6E6E6E", "o"),  # what singles and ensembles are made of
}
SPARE = [ArmStyle(*pair) for pair in product(["#D55E00", "#CA9161", "#ECA3D4", "#B8AC00"], "X<>*hp")]
LINES = {"mean": "-", "geometric_mean": "-.", "majority_vote": ":"}  # dashed is for references
SCALES = {"paper": 1.0, "notebook": 1.3, "talk": 2.0}  # of letters, lines and the figure alike
PAPER: dict[str, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "lines.linewidth": 1.3,
    "lines.markersize": 4,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.6,
    "text.parse_math": False,  # names are the user's, dollar signs and all
    "svg.fonttype": "none",
    "svg.hashsalt": "ensemble_vs_dropout",
    "pdf.fonttype": 42,
}

SIZES = [name for name in PAPER if name.endswith(("size", "linewidth"))]


_NAMED: ContextVar[tuple[Mapping[str, str], Mapping[str, str]]] = ContextVar("named", default=({}, {}))


@contextmanager
def named(colors: Mapping[str, str] | None = None, labels: Mapping[str, str] | None = None) -> Iterator[None]:
    """Have arms other colors and labels, by their names, in what is made and drawn in the body.

    Example:
        >>> with named(labels={"ensemble": "five networks"}):
        ...     arm_label("ensemble")
        'five networks'
    """
    token = _NAMED.set((colors or {}, labels or {}))
    try:
        yield
    finally:
        _NAMED.reset(token)


def context(style: str = "paper") -> AbstractContextManager[None]:
    """Return a context with the style of finished figures, whatever the user's rcParams; it undoes itself."""
    scaled = {name: PAPER[name] * SCALES[style] for name in SIZES}
    return matplotlib.style.context(["default", PAPER | scaled])


def arm_styles(arms: Iterable[str]) -> dict[str, ArmStyle]:
    """Return one style for each arm.

    An arm without a style of its own gets a spare one chosen by its name, or the next free one where two
    names in this figure meet.

    Example:
        >>> arm_styles(["ensemble"])["ensemble"].color
        '#0173b2'
    """
    names = list(dict.fromkeys(arms))
    styles = {name: ARMS[name] for name in names if name in ARMS}
    for name in sorted(set(names) - set(styles)):
        start = zlib.crc32(name.encode()) % len(SPARE)
        turns = SPARE[start:] + SPARE[:start]
        styles[name] = next((style for style in turns if style not in styles.values()), turns[0])
    colors, _ = _NAMED.get()
    return {name: styles[name]._replace(color=colors.get(name, styles[name].color)) for name in names}


def arm_label(arm: str, rule: object = None, members: object = None) -> str:
    """Return what people call an arm, with its rule and members where it has several; a long name is cut.

    Example:
        >>> arm_label("mc_dropout", "majority_vote", 100), arm_label("dropout", "mean", 1)
        ('MC dropout, majority vote (100)', 'dropout (weight scaling)')
    """
    known = _NAMED.get()[1].get(arm) or registry.arm_label(arm)
    label = known if known != arm else wrap(str(arm).replace("_", " "), 60, lines=1)
    if rule is not None and members != 1:
        label += f", {str(rule).replace('_', ' ')}"
    if members is not None and members != 1:
        label += f" ({members})"
    return label


def metric_scale(metric: str) -> float:
    """Return what a value is multiplied by before it is drawn: 100 for a percentage."""
    return METRICS[metric].scale if metric in METRICS else 1.0


def difference_label(metric: str) -> str:
    """Return what an axis of differences is of: those of percentages are in percentage points."""
    if metric_scale(metric) == 100:
        return f"difference in {metric_words(metric)}\n(percentage points)"
    return f"difference in {metric_label(metric)}"


def direction(metrics: Iterable[str]) -> str:
    """Return the sentence on which way is better, or nothing where the metrics do not all say the same."""
    ways = {METRICS[metric].higher_is_better if metric in METRICS else None for metric in metrics}
    if ways == {True}:
        return "Higher is better."
    return "Lower is better." if ways == {False} else ""


def wrap(text: str, width: int, lines: int | None = None) -> str:
    """Return `text` broken at `width` characters, cut with an ellipsis after so many `lines`."""
    text = text.replace(" %", "\u00a0%")  # not torn from its number
    return "\n".join(textwrap.wrap(text, width, max_lines=lines, placeholder=" …"))
