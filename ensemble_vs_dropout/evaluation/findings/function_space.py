"""How alike do the checkpoints of several trainings predict, and how alike are their weights?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation.findings.base import Fact, Finding
from ensemble_vs_dropout.evaluation.findings.judging import Estimate, judge, of_examples
from ensemble_vs_dropout.evaluation.pooling import check_arms
from ensemble_vs_dropout.measures.aggregation import predict_labels
from ensemble_vs_dropout.measures.diversity import pairwise
from ensemble_vs_dropout.measures.scores import error
from ensemble_vs_dropout.measures.spread import LEAST
from ensemble_vs_dropout.types import FloatArray, IntArray, Predictions, check_labels


def function_space(
    trajectories: Sequence[tuple[Sequence[float], Predictions]],
    labels: npt.ArrayLike | None = None,
    *,
    weights: Sequence[npt.ArrayLike] | None = None,
    extra: Sequence[Predictions] | None = None,
) -> Finding:
    """Return disagreement and angle of weights of every two checkpoints, and all checkpoints in a plane.

    After Fort et al. (2019), figures 2 and 3, with principal components for t-SNE.

    Args:
        trajectories: For each run its epochs, increasing, and its predictions, one member for each of them.
        labels: Shape (examples,); the errors of the last checkpoints are told where they are known.
        weights: For each run its weights, shape (checkpoints, parameters).
        extra: For each run the passes of Monte Carlo dropout through its last checkpoint.

    Returns:
        A table with the columns panel, role, run (from 1), epoch, other_run, other_epoch, x, y, value. In the panels
        "disagreement" (the share of examples with another label) and "weights" (the cosine of the angle between all
        weights) there is a row for each ordered pair of checkpoints. In "plane" x and y are the first two principal
        components of the predicted probabilities of all checkpoints, in root mean squares over examples, of role
        "checkpoint", or "sample" for what is projected on them; role "variance" holds, for component x, the share of
        the variance that it explains.

        Told are `runs` and `examples`, how many there are; `spreads`, the mean and standard deviation of the
        disagreement of two checkpoints of the second half of training, "within a run" and "between runs", each where
        there are such pairs; and `errors`, those of the last checkpoints as fractions, none without labels.

    Raises:
        InputError: Fewer than two checkpoints, or parts that do not fit together.

    Example:
        >>> run = Predictions(np.array([[[0.9, 0.1], [0.8, 0.2]], [[0.9, 0.1], [0.3, 0.7]]]))  # a label changes
        >>> function_space([([1, 2], run)]).table.query("panel == 'disagreement'").value.tolist()
        [0.0, 0.5, 0.5, 0.0]
    """
    epochs, runs = _check_trajectories(trajectories)
    probs = np.concatenate([run.probs for run in runs]).astype(np.float64)
    if len(probs) < 2:
        raise InputError("trajectories must hold at least 2 checkpoints, got 1")
    clouds = _check_clouds(extra, runs)
    spots = pd.DataFrame(
        {"run": np.repeat(range(1, len(runs) + 1), [run.members for run in runs]), "epoch": np.concatenate(epochs)}
    )
    zeros = np.zeros(probs.shape[1], dtype=int)  # the disagreement of two members takes no labels
    disagreement = pairwise(probs, zeros)
    parts = [_pairs("disagreement", spots, disagreement)]
    if weights is not None:
        parts.append(_pairs("weights", spots, _cosines(weights, runs)))
    table = pd.concat([*parts, _plane(probs, spots, clouds)], ignore_index=True)
    late = _late(spots)
    same = spots["run"].to_numpy()[:, None] == spots["run"].to_numpy()
    off = ~np.eye(len(spots), dtype=bool)
    within, between = (disagreement[late & kind] for kind in (same & off, ~same))
    spreads = {"within a run": within, "between runs": between}
    errors: list[float] = []
    if labels is not None:
        truth = check_labels(labels, probs.shape[2])
        errors = [float(error(run.probs[-1], truth).mean()) for run in runs]
    return Finding(
        table.astype({"run": "Int64", "other_run": "Int64"}),
        tuple(_facts(runs, clouds)),
        {
            "runs": len(runs),
            "examples": probs.shape[1],
            "spreads": {words: (values.mean(), values.std()) for words, values in spreads.items() if len(values)},
            "errors": errors,
        },
    )


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
    return np.clip(unit @ unit.T, -1, 1)


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


def spread_words(mean: float, spread: float) -> str:
    """Return mean and standard deviation of a share in percent, as captions tell them.

    Example:
        >>> spread_words(0.1, 0.025)
        '10.0 ±2.5 %'
    """
    return f"{100 * mean:.1f} ±{100 * spread:.1f} %"


def _facts(runs: list[Predictions], clouds: list[Predictions]) -> Iterator[Fact]:
    late = [_labels(run.probs[run.members // 2 :]) for run in runs]
    if len(runs) > 1 and all(len(labels) > 1 for labels in late):
        estimate, words = _others_more([[_apart(one, other) for other in late] for one in late])
        yield judge(
            "late checkpoints of one run disagree less than those of different runs",
            estimate.above(),
            f"{words[0]} % within, {words[1]} % between; {estimate.words(100)} points, {len(runs)} runs",
        )
    if clouds and len(runs) > 1:
        finals, passes = ([_labels(run.probs[-1:]) for run in runs], [_labels(cloud.probs) for cloud in clouds])
        estimate, words = _others_more([[_apart(own, final) for final in finals] for own in passes])
        yield judge(
            "passes of MC dropout disagree less with their own network than with the networks of other runs",
            estimate.above(),
            f"{words[0]} % with their own, {words[1]} % with others; {estimate.words(100)} points, {len(runs)} runs",
        )


def _labels(probs: FloatArray) -> IntArray:
    return np.stack([predict_labels(member) for member in probs])


def _apart(one: IntArray, other: IntArray) -> FloatArray:
    """Return for each example the share of pairs of predictions that differ, those of one with itself left out."""
    differ = (one[:, None] != other[None]).astype(float)
    pairs = len(one) * len(other) - (len(one) if one is other else 0)
    return np.asarray(differ.sum(axis=(0, 1)) / pairs)


def _others_more(table: list[list[FloatArray]]) -> tuple[Estimate, list[str]]:
    """Return how much more runs disagree with others than with themselves, and both in percent.

    A run is in many pairs and counts once: what a run changes is known from what is found without it (the jackknife).
    """
    values = np.array(table)

    def more(chosen: list[int]) -> FloatArray:
        some = values[np.ix_(chosen, chosen)]
        own = np.eye(len(chosen), dtype=bool)
        return np.asarray(some[~own].mean(axis=0) - some[own].mean(axis=0))

    count = len(values)
    everyone = list(range(count))
    whole, own = more(everyone), np.eye(count, dtype=bool)
    each = [
        count * whole - (count - 1) * more([run for run in everyone if run != left]) if count >= LEAST else whole
        for left in everyone
    ]
    words = [f"{100 * values[kind].mean():.1f}" for kind in (own, ~own)]
    return of_examples(np.stack(each)), words
