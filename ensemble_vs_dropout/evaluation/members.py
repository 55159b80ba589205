"""How the members of each arm differ and what that gains, for networks and for masks on one scale."""

from __future__ import annotations

import numpy.typing as npt
import pandas as pd

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation.pooling import Arms, check_labelled
from ensemble_vs_dropout.measures.decomposition import COMBINED_BY, ambiguity, improvement
from ensemble_vs_dropout.measures.diversity import diversity
from ensemble_vs_dropout.measures.uncertainty import uncertainty


def diversity_table(arms: Arms, labels: npt.ArrayLike) -> pd.DataFrame:
    """Return one row per arm and repetition; arms of one member have no diversity and are left out.

    Args:
        arms: Predictions by arm, one or one for each repetition.
        labels: Shape (examples,), or (repetitions, examples) where each repetition has examples of its own.

    Returns:
        Columns arm, members, repetition; those of `measures.diversity`; mutual_information and variance, their means
        over examples (nats; summed over classes); ambiguity_brier, ambiguity_nll and ambiguity_error, how much lower
        the loss of the pool by the rule of that loss is than the mean member's (`measures.decomposition.ambiguity`);
        and those of `measures.decomposition.improvement`. Members' weights count in what is of the pool (mutual
        information, variance, ambiguity); diversity and improvement take members alike.

    Raises:
        InputError: No arm has more than one member.

    Example:
        >>> import numpy as np
        >>> from ensemble_vs_dropout import Predictions
        >>> pool = Predictions(np.random.default_rng(0).dirichlet([1, 1], (4, 50)))
        >>> diversity_table({"a": pool}, np.zeros(50, int)).columns[:4].tolist()
        ['arm', 'members', 'repetition', 'disagreement']
    """
    rows = []
    runs_by_arm, truths = check_labelled(arms, labels)
    for arm, runs in runs_by_arm.items():
        for repetition, (run, truth) in enumerate(zip(runs, truths, strict=True)):
            if run.members == 1:
                continue
            unsure = uncertainty(run.probs, run.weights)[["mutual_information", "variance"]].mean()
            gained = {
                f"ambiguity_{loss}": ambiguity(run.probs, truth, loss, run.weights).ambiguity.mean()
                for loss in COMBINED_BY
            }
            named = {"arm": arm, "members": run.members, "repetition": repetition}
            rows.append({**named, **diversity(run.probs, truth), **unsure, **gained, **improvement(run.probs, truth)})
    if not rows:
        raise InputError(f"diversity needs an arm of at least 2 members, got one in each of {list(arms)}")
    return pd.DataFrame(rows)
