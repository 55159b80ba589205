"""Do networks end in one mode of function space, or in many?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import matplotlib
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ensemble_vs_dropout.evaluation.findings.function_space import function_space, spread_words
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import AxesArray, Display, fold, name_axes
from ensemble_vs_dropout.types import Predictions

MAPS = {"disagreement": "disagreement (%)", "weights": "cosine of the weights"}
RUNS = [style.ArmStyle(color, marker) for marker, color in product("osD^v", style.COLORS)]
NAMED = 8  # runs with a name of their own in a legend or on an axis


@dataclass(frozen=True, eq=False, repr=False)
class FunctionSpace(Display):
    """How alike the checkpoints of several trainings predict, how alike their weights are, and both ways in a plane.

    `table` is that of `evaluation.findings.function_space`. After Fort et al. (2019), figures 2 and 3.

    Example:
        >>> run = Predictions(np.array([[[0.9, 0.1], [0.8, 0.2]], [[0.9, 0.1], [0.3, 0.7]]]))  # a label changes
        >>> display = FunctionSpace.from_predictions([([1, 2], run)], [0, 0], dataset="digits")
        >>> display.frame().query("panel == 'disagreement'").value.tolist()
        [0.0, 0.5, 0.5, 0.0]
    """

    @classmethod
    def from_predictions(
        cls,
        trajectories: Sequence[tuple[Sequence[float], Predictions]],
        labels: npt.ArrayLike | None = None,
        *,
        dataset: str,
        weights: Sequence[npt.ArrayLike] | None = None,
        extra: Sequence[Predictions] | None = None,
    ) -> FunctionSpace:
        """Make the display.

        Args:
            trajectories: For each run its epochs, increasing, and its predictions, one member for each of them.
            labels: Shape (examples,); the caption tells the errors of the last checkpoints where they are known.
            dataset: The name of the data set.
            weights: For each run its weights, shape (checkpoints, parameters).
            extra: For each run the passes of Monte Carlo dropout through its last checkpoint.

        Raises:
            InputError: Fewer than two checkpoints, or parts that do not fit together.
        """
        finding = function_space(trajectories, labels, weights=weights, extra=extra)
        runs, errors = finding.told["runs"], finding.told["errors"]
        said = [f"{words} {spread_words(*spread)}" for words, spread in finding.told["spreads"].items()]
        caption = [
            f"Each row and column is a checkpoint of one of {runs} runs, early to late within its run. "
            f"Data: {dataset}, {finding.told['examples']} examples.",
            "Disagreement of checkpoints of the second half of training, mean ±1 standard deviation over pairs: "
            f"{', '.join(said)}."
            if said
            else "",
            "Plane: principal components of the predicted probabilities of all checkpoints, in root mean squares over "
            "examples (in brackets: of their variance); larger: later; black edge: the last of a run.",
            "Crosses: passes of MC dropout through the last checkpoint, projected." if extra is not None else "",
            f"The first {NAMED} runs are named." if runs > NAMED else "",
            f"Error of the last checkpoints: {', '.join(f'{100 * value:.1f}' for value in errors[:NAMED])} %."
            if errors
            else "",
        ]
        return cls(
            finding.table,
            title=f"Function space along {runs} {'run' if runs == 1 else 'runs'}: {dataset}",
            interval="",
            caption=" ".join(filter(None, caption)),
            facts=finding.facts,
        )

    def _maps(self) -> list[str]:
        return [panel for panel in MAPS if (self.table["panel"] == panel).any()]

    def _mosaic(self) -> list[list[int]]:
        return fold(range(len(self._maps()) + 1), columns=3)

    def _height(self) -> float:
        return 2.3

    def _draw(self, axes: AxesArray) -> list[Artist]:
        for ax, panel in zip(axes, self._maps(), strict=False):
            _draw_map(ax, self.table[self.table["panel"] == panel], panel)
        plane = self.table[self.table["panel"] == "plane"]
        return _draw_plane(axes[-1], plane)


def _draw_map(ax: Axes, rows: pd.DataFrame, panel: str) -> None:
    size = round(len(rows) ** 0.5)
    values = rows["value"].to_numpy().reshape(size, size) * (100 if panel == "disagreement" else 1)
    image = ax.imshow(values, cmap="viridis", interpolation="nearest", aspect="auto")
    ax.figure.colorbar(image, ax=ax, label=MAPS[panel], use_gridspec=False)  # as a constrained layout wants it
    runs = rows["other_run"].to_numpy()[:size]
    starts = np.flatnonzero(np.diff(runs, prepend=0))
    for edge in starts[1:] - 0.5:
        ax.axhline(edge, color="white", linewidth=1.0)
        ax.axvline(edge, color="white", linewidth=1.0)
    centres = (starts + np.append(starts[1:], size) - 1) / 2
    every = slice(None, None, -(-len(starts) // NAMED))
    names = [str(run) for run in runs[starts]][every]
    ax.set_xticks(centres[every], names)
    ax.set_yticks(centres[every], names)
    ax.tick_params(length=0)
    ax.grid(False)
    name_axes(ax, xlabel="run", ylabel="run")


def _draw_plane(ax: Axes, plane: pd.DataFrame) -> list[Artist]:
    size = matplotlib.rcParams["lines.markersize"]
    handles: list[Artist] = []
    parts = dict(list(plane.groupby("role")))
    for run, dots in parts["checkpoint"].groupby("run"):
        look = RUNS[(int(run) - 1) % len(RUNS)]
        if "sample" in parts:
            cloud = parts["sample"][parts["sample"]["run"] == run]
            ax.plot(cloud["x"], cloud["y"], "x", color=look.color, alpha=0.5, markersize=0.8 * size)
        ax.plot(dots["x"], dots["y"], color=look.color, alpha=0.6, linewidth=0.8)
        sizes = (size * np.linspace(0.5, 1.5, len(dots) + 1)[1:]) ** 2
        edges = ["none"] * (len(dots) - 1) + ["black"]
        ax.scatter(dots["x"], dots["y"], s=sizes, color=look.color, marker=look.marker, edgecolors=edges, zorder=3)
        if run <= NAMED:
            handles.append(Line2D([], [], color=look.color, marker=look.marker, label=f"run {run}"))
    share = parts["variance"].set_index("x")["value"].mul(100)
    if "sample" in parts:
        handles.append(Line2D([], [], color="0.3", linestyle="", marker="x", label="pass of MC dropout"))
    ax.set_aspect("equal", adjustable="datalim")
    names = [f"component {number} ({share[number]:.0f} %)" for number in (1, 2)]
    name_axes(ax, xlabel=names[0], ylabel=names[1])
    return handles
