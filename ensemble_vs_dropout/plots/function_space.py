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

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation.outcomes import check_arms
from ensemble_vs_dropout.measures.diversity import pairwise
from ensemble_vs_dropout.measures.scores import error
from ensemble_vs_dropout.plots import style
from ensemble_vs_dropout.plots.display import AxesArray, Display, Fact, fold, name_axes, require
from ensemble_vs_dropout.types import FloatArray, Predictions, check_labels

MAPS = {"disagreement": "disagreement (%)", "weights": "cosine of the weights"}
RUNS = [style.ArmStyle(color, marker) for marker, color in product("osD^v", style.COLORS)]
NAMED = 8  # runs with a name of their own in a legend or on an axis


@dataclass(frozen=True, eq=False)
class FunctionSpace(Display):
    """How alike the checkpoints of several trainings predict, how alike their weights are, and both ways in a plane.

    `table` has the columns panel, role, run (from 1), epoch, other_run, other_epoch, x, y, value. In the panels
    "disagreement" (the share of examples with another label) and "weights" (the cosine of the angle between all
    weights) there is a row for each ordered pair of checkpoints. In "plane" x and y are the first two principal
    components of the predicted probabilities of all checkpoints, in root mean squares over examples, of role
    "checkpoint", or "sample" for what is projected on them; role "variance" holds, for component x, the share of
    the variance that it explains. After Fort et al. (2019), figures 2 and 3, with principal components for t-SNE.
    """

    @classmethod
    def from_predictions(
        cls,
        trajectories: Sequence[tuple[Sequence[float], Predictions]],
        labels: npt.ArrayLike | None = None,
        *,
        data: str,
        weights: Sequence[npt.ArrayLike] | None = None,
        extra: Sequence[Predictions] | None = None,
    ) -> FunctionSpace:
        """Make the display.

        Args:
            trajectories: For each run its epochs, increasing, and its predictions, one member for each of them.
            labels: Shape (examples,); the caption tells the errors of the last checkpoints where they are known.
            data: The name of the data set.
            weights: For each run its weights, shape (checkpoints, parameters).
            extra: For each run the passes of Monte Carlo dropout through its last checkpoint.

        Raises:
            InputError: Fewer than two checkpoints, or parts that do not fit together.
        """
        epochs, runs = _check_trajectories(trajectories)
        probs = np.concatenate([run.probs for run in runs]).astype(np.float64)
        if len(probs) < 2:
            raise InputError("trajectories must hold at least 2 checkpoints, got 1")
        clouds = _check_clouds(extra, runs)
        spots = pd.DataFrame(
            {
                "run": np.repeat(range(1, len(runs) + 1), [run.members for run in runs]),
                "epoch": np.concatenate(epochs),
            }
        )
        zeros = np.zeros(probs.shape[1], dtype=int)  # the disagreement of two members takes no labels
        disagreement = pairwise(probs, zeros)
        require("disagreement is symmetric", (disagreement == disagreement.T).all())
        require("nothing disagrees with itself", (disagreement.diagonal() == 0).all())
        parts = [_pairs("disagreement", spots, disagreement)]
        if weights is not None:
            parts.append(_pairs("weights", spots, _cosines(weights, runs)))
        table = pd.concat([*parts, _plane(probs, spots, clouds)], ignore_index=True)
        late = _late(spots)
        same = spots["run"].to_numpy()[:, None] == spots["run"].to_numpy()
        off = ~np.eye(len(spots), dtype=bool)
        within, between = (disagreement[late & kind] for kind in (same & off, ~same))
        said = [
            f"{words} {_spread(values)}"
            for words, values in (("within a run", within), ("between runs", between))
            if len(values)
        ]
        caption = [
            f"Each row and column is a checkpoint of one of {len(runs)} runs, early to late within its run. "
            f"Data: {data}, {probs.shape[1]} examples.",
            "Disagreement of checkpoints of the second half of training, mean ±1 standard deviation over pairs: "
            f"{', '.join(said)}."
            if said
            else "",
            "Plane: principal components of the predicted probabilities of all checkpoints, in root mean squares over "
            "examples (in brackets: of their variance); larger: later; black edge: the last of a run.",
            "Crosses: passes of MC dropout through the last checkpoint, projected." if clouds else "",
            f"The first {NAMED} runs are named." if len(runs) > NAMED else "",
        ]
        if labels is not None:
            truth = check_labels(labels, probs.shape[2])
            last = [100 * error(run.probs[-1], truth).mean() for run in runs]
            caption.append(f"Error of the last checkpoints: {', '.join(f'{value:.1f}' for value in last[:NAMED])} %.")
        return cls(
            table.astype({"run": "Int64", "other_run": "Int64"}),
            title=f"Function space along {len(runs)} {'run' if len(runs) == 1 else 'runs'}: {data}",
            interval="",
            caption=" ".join(filter(None, caption)),
            facts=tuple(_facts(within, between, runs, clouds)),
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


def _check_trajectories(
    trajectories: Sequence[tuple[Sequence[float], Predictions]],
) -> tuple[list[FloatArray], list[Predictions]]:
    if not trajectories:
        raise InputError("trajectories must hold at least one run, got none")
    epochs = [np.asarray(own, dtype=float) for own, _ in trajectories]
    runs = check_arms({"the trajectories": [run for _, run in trajectories]})["the trajectories"]
    for number, (own, run) in enumerate(zip(epochs, runs, strict=True), start=1):
        if own.shape != (run.members,) or not np.isfinite(own).all() or (np.diff(own) <= 0).any():
            raise InputError(
                f"the epochs of run {number} must be {run.members} increasing numbers, one for each member of its "
                f"predictions, got {own.tolist()}"
            )
    return epochs, runs


def _check_clouds(extra: Sequence[Predictions] | None, runs: list[Predictions]) -> list[Predictions]:
    if extra is None:
        return []
    return check_arms({"the trajectories": runs, "extra": list(extra)})["extra"]


def _cosines(weights: Sequence[npt.ArrayLike], runs: list[Predictions]) -> FloatArray:
    arrays = [np.asarray(own, dtype=np.float64) for own in weights]
    shapes = [array.shape for array in arrays]
    fitting = all(len(shape) == 2 for shape in shapes) and len({shape[1:] for shape in shapes}) == 1
    if not fitting or [shape[0] for shape in shapes] != [run.members for run in runs]:
        raise InputError(
            "weights must be one array (checkpoints, parameters) for each run, all of the same parameters, "
            f"got shapes {shapes} for {[run.members for run in runs]} checkpoints"
        )
    stacked = np.concatenate(arrays)
    lengths = np.linalg.norm(stacked, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or not lengths.all():
        raise InputError("weights must be finite and not all 0 in any checkpoint, else there is no angle between them")
    unit = stacked / lengths
    cosines = np.clip(unit @ unit.T, -1, 1)
    require("the cosine of weights is symmetric", np.allclose(cosines, cosines.T, rtol=0, atol=1e-10))
    require("the cosine of weights with themselves is 1", np.allclose(cosines.diagonal(), 1, rtol=0, atol=1e-10))
    return cosines


def _pairs(panel: str, spots: pd.DataFrame, values: FloatArray) -> pd.DataFrame:
    """Return a square matrix as rows, row by row."""
    size = len(spots)
    first, second = (spots.iloc[np.repeat(range(size), size)], spots.iloc[np.tile(range(size), size)])
    second = second.add_prefix("other_")
    both = pd.concat([first.reset_index(drop=True), second.reset_index(drop=True)], axis=1)
    return both.assign(panel=panel, role="pair", x=np.nan, y=np.nan, value=values.ravel())[
        ["panel", "role", *both.columns, "x", "y", "value"]
    ]


def _plane(probs: FloatArray, spots: pd.DataFrame, clouds: list[Predictions]) -> pd.DataFrame:
    """Return the principal components of the checkpoints, the clouds projected on them, and what they explain."""
    vectors = probs.reshape(len(probs), -1) / np.sqrt(probs.shape[1])
    centre = vectors.mean(axis=0)
    _, lengths, axes = np.linalg.svd(vectors - centre, full_matrices=False)
    variances = lengths**2
    axes = axes[:2]
    places = (vectors - centre) @ axes.T
    signs = np.sign(places[np.abs(places).argmax(axis=0), [0, 1]])  # else the sign is the library's choice
    axes = axes * np.where(signs == 0, 1.0, signs)[:, None]

    def rows(role: str, run: object, epoch: object, members: FloatArray) -> pd.DataFrame:
        x, y = ((members - centre) @ axes.T).T
        return pd.DataFrame({"panel": "plane", "role": role, "run": run, "epoch": epoch, "x": x, "y": y})

    parts = [rows("checkpoint", spots["run"], spots["epoch"], vectors)]
    for run, cloud in enumerate(clouds, start=1):
        flat = cloud.probs.reshape(cloud.members, -1) / np.sqrt(probs.shape[1])
        parts.append(rows("sample", run, spots.loc[spots["run"] == run, "epoch"].max(), flat))
    shares = variances[:2] / (variances.sum() or 1.0)
    parts.append(pd.DataFrame({"panel": "plane", "role": "variance", "x": [1, 2], "value": shares}))
    return pd.concat(parts, ignore_index=True)


def _late(spots: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Return which pairs of checkpoints are both of the second half of their runs."""
    late = spots.groupby("run")["epoch"].rank(pct=True).gt(0.5).to_numpy()
    return late[:, None] & late


def _spread(values: FloatArray) -> str:
    return f"{100 * values.mean():.1f} ±{100 * values.std():.1f} %"


def _facts(within: FloatArray, between: FloatArray, runs: list[Predictions], clouds: list[Predictions]) -> list[Fact]:
    facts = []
    if len(within) and len(between):
        facts.append(
            Fact(
                "late checkpoints of one run disagree less than those of different runs",
                bool(within.mean() < between.mean()),
                f"{_spread(within)} within, {_spread(between)} between (mean ±1 standard deviation over pairs)",
            )
        )
    if clouds and len(runs) > 1:
        finals = np.stack([run.probs[-1] for run in runs])
        zeros = np.zeros(finals.shape[1], dtype=int)
        # For each cloud: the mean disagreement of its passes with the last checkpoint of each run.
        table = np.array(
            [
                np.mean(
                    [pairwise(np.concatenate([sample[None], finals]), zeros)[0, 1:] for sample in cloud.probs], axis=0
                )
                for cloud in clouds
            ]
        )
        own, others = table.diagonal(), table[~np.eye(len(table), dtype=bool)]
        facts.append(
            Fact(
                "passes of MC dropout disagree less with their own network than with the networks of other runs",
                bool((own < np.where(np.eye(len(table), dtype=bool), np.inf, table).min(axis=1)).all()),
                f"{100 * own.mean():.1f} % with their own, {100 * others.mean():.1f} % with others, in the mean of "
                f"{len(runs)} runs",
            )
        )
    return facts
