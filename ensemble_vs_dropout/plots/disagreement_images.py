"""On which images do the members disagree, and on which not at all?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import matplotlib
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from ensemble_vs_dropout.checks import InputError, check_at_least
from ensemble_vs_dropout.evaluation.outcomes import check_arms
from ensemble_vs_dropout.measures.aggregation import aggregate
from ensemble_vs_dropout.measures.uncertainty import uncertainty
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import AxesArray, Display, Fact, fold, name_axes, require
from ensemble_vs_dropout.plots.pictures import check_pictures, draw_picture
from ensemble_vs_dropout.types import FloatArray, IntArray, Predictions, check_labels

PANELS = {"most": "disagreed on most", "least": "disagreed on least"}
COLUMNS, VOTED = 4, 2  # images in a row, and classes that are told with their votes
CELL = 1.36  # the height of an image and its words, in widths


@dataclass(frozen=True, eq=False)
class DisagreementImages(Display):
    """The test images on which the members of each arm disagree most and least, with their votes.

    `table` has the columns panel ("most" or "least"), arm, members, rank (from 1), example, mutual_information (in
    nats, the generalised Jensen-Shannon divergence of the members' predictions), label, predicted (by the mean of
    the members), voted, value (the share of the members that predict the class `voted`), with a row for each of the
    classes with the most votes. `images` holds the picture of each example shown. After Lakshminarayanan et al.
    (2017), figures 10 to 12.
    """

    images: Mapping[int, FloatArray] = field(default_factory=dict)
    classes: tuple[str, ...] = ()

    @classmethod
    def from_predictions(
        cls,
        predictions: Mapping[str, Predictions],
        images: npt.ArrayLike,
        labels: npt.ArrayLike,
        *,
        data: str,
        classes: Sequence[str],
        number: int = 8,
    ) -> DisagreementImages:
        """Make the display.

        Args:
            predictions: For each arm at least two networks or passes.
            images: Shape (examples, height, width), or that with 1 or 3 channels; uint8 or floats.
            labels: Shape (examples,).
            data: The name of the data set.
            classes: The names of the classes.
            number: How many images to show of each kind.

        Raises:
            InputError: An arm of one member, data that are no images, or parts that do not fit together.
        """
        check_at_least("number", number, 1)
        runs = {arm: own[0] for arm, own in check_arms(predictions, len(np.asarray(labels))).items()}
        alone = [arm for arm, run in runs.items() if run.members < 2]
        if alone:
            raise InputError(f"disagreement needs at least 2 members, got 1 in {', '.join(alone)}; leave it out")
        known = next(iter(runs.values())).classes
        if len(classes) != known:
            raise InputError(f"classes must name the {known} classes of the predictions, got {len(classes)} names")
        truth = check_labels(labels, known)
        pictures = check_pictures("images", images, len(truth), "labelled examples")
        number = min(number, math.ceil(len(truth) / 2))
        found = {arm: _measure(arm, run) for arm, run in runs.items()}
        rows = [row for arm, run in runs.items() for row in _rows(arm, run, found[arm], truth, number)]
        table = pd.DataFrame(rows)
        told = [f"{style.arm_label(arm)} {own.mean():.3g} ±{own.std():.2g}" for arm, own in found.items()]
        caption = (
            f"Test images of {data} on which the networks or passes of an arm (their number in brackets) have the most "
            "and the least mutual information (generalised Jensen-Shannon divergence). Under an image: its true class; "
            f"what the mean of the members predicts, ✗ where wrong; the {VOTED} classes with the most votes. Mutual "
            f"information over all examples, in nats, mean ±1 standard deviation: {', '.join(told[:8])}."
        )
        return cls(
            table,
            title=f"Images that members disagree on: {data}",
            interval="",
            caption=caption,
            facts=tuple(_facts(table)),
            images={int(example): pictures[example] for example in table["example"].unique()},
            classes=tuple(map(str, classes)),
        )

    def _panels(self) -> list[pd.DataFrame]:
        return [rows for _, rows in self.table.groupby(["arm", "panel"], sort=False)]

    def _mosaic(self) -> list[list[int]]:
        return fold(range(len(self._panels())), columns=2)

    def _height(self) -> float:
        return 0.3 + 1.15 * math.ceil(self.table["rank"].max() / COLUMNS)

    def _draw(self, axes: AxesArray) -> list[Artist]:
        for ax, rows in zip(axes, self._panels(), strict=True):
            first, unsure = rows.iloc[0], rows["mutual_information"]
            label = f"{style.wrap(style.arm_label(first['arm']), 32, lines=1)} ({first['members']})"
            for _, votes in rows.groupby("rank"):
                self._draw_image(ax, votes)
            lines = math.ceil(self.table["rank"].max() / COLUMNS)
            ax.set(xlim=(0, COLUMNS), ylim=(-lines * CELL, 0), xticks=[], yticks=[])
            ax.grid(False)
            ax.spines[:].set_visible(False)
            ends = f"{unsure.iloc[0]:.2g}" if len(set(unsure)) == 1 else f"{unsure.min():.2g} to {unsure.max():.2g}"
            name_axes(ax, title=f"{label}\n{PANELS[first['panel']]} ({ends} nats)")
        return []

    def _draw_image(self, ax: Axes, votes: pd.DataFrame) -> None:
        one = votes.iloc[0]
        line, column = divmod(int(one["rank"]) - 1, COLUMNS)
        draw_picture(ax, self.images[int(one["example"])], column + 0.5, -line * CELL - 0.43, 0.8)
        wrong = " ✗" if one["predicted"] != one["label"] else ""
        letters = max(
            10,
            int(
                ax.get_window_extent().width / COLUMNS / (0.29 * matplotlib.rcParams["font.size"] * ax.figure.dpi / 72)
            ),
        )
        words = [
            f"true {self.classes[one['label']]}",
            f"pool {_cut(self.classes[one['predicted']], letters - 7)}{wrong}",
        ]
        words += [
            f"{100 * share:.0f} % {self.classes[voted]}"
            for voted, share in zip(votes["voted"], votes["value"], strict=True)
        ]
        text = "\n".join(_cut(word, letters) for word in words)
        ax.text(column + 0.1, -line * CELL - 0.87, text, fontsize="x-small", va="top", parse_math=False, clip_on=True)


def _cut(word: str, letters: int) -> str:
    return word if len(word) <= letters else f"{word[: letters - 1]}…"


def _measure(arm: str, run: Predictions) -> FloatArray:
    """Return the mutual information of each example."""
    values = uncertainty(run.probs, run.weights)["mutual_information"].to_numpy()
    most = math.log(min(run.members, run.classes))
    require(
        f"0 <= mutual information <= log min(members, classes) in {arm!r}",
        values.min() >= 0 and (run.weights is not None or values.max() <= most + 1e-9),
        f"{values.min():.3g} to {values.max():.3g}",
    )
    return values


def _rows(arm: str, run: Predictions, unsure: FloatArray, truth: IntArray, number: int) -> list[dict[str, object]]:
    predicted = aggregate(run.probs, "mean", run.weights).argmax(axis=1)
    shares = aggregate(run.probs, "majority_vote", run.weights)
    order = np.argsort(unsure, kind="stable")
    rows: list[dict[str, object]] = []
    for panel, examples in (("most", order[::-1][:number]), ("least", order[:number])):
        for rank, example in enumerate(examples, start=1):
            one = {"panel": panel, "arm": arm, "members": run.members, "rank": rank, "example": int(example)}
            one |= {"mutual_information": unsure[example], "label": truth[example], "predicted": predicted[example]}
            most = np.argsort(-shares[example], kind="stable")[:VOTED]
            rows += [{**one, "voted": int(k), "value": shares[example, k]} for k in most if shares[example, k] > 0]
    return rows


def _facts(table: pd.DataFrame) -> list[Fact]:
    shown = table.drop_duplicates(["arm", "panel", "rank"])
    wrong = (
        (shown["label"] != shown["predicted"]).groupby([shown["arm"], shown["panel"]], sort=False).agg(["sum", "size"])
    )
    facts = []
    for arm in table["arm"].unique():
        most, least = wrong.loc[(arm, "most")], wrong.loc[(arm, "least")]
        facts.append(
            Fact(
                f"{style.arm_label(arm)} is wrong more often on the images its members disagree on most",
                bool(most["sum"] > least["sum"]),
                f"{most['sum']} of {most['size']} wrong; disagreed on least: {least['sum']} of {least['size']}",
            )
        )
    return facts
