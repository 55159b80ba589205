"""On which images do the members disagree, and on which not at all?"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import fisher_exact

from ensemble_vs_dropout.checks import InputError, check_at_least
from ensemble_vs_dropout.evaluation.arms import arm_label
from ensemble_vs_dropout.evaluation.findings.base import Fact, Finding
from ensemble_vs_dropout.evaluation.findings.judging import Evidence, judge
from ensemble_vs_dropout.evaluation.pooling import check_arms
from ensemble_vs_dropout.measures.aggregation import aggregate
from ensemble_vs_dropout.measures.uncertainty import uncertainty
from ensemble_vs_dropout.types import FloatArray, IntArray, Predictions, check_labels

VOTED = 2  # classes that are told with their votes


def disagreement_images(predictions: Mapping[str, Predictions], labels: npt.ArrayLike, *, number: int = 8) -> Finding:
    """Return the examples on which the members of each arm disagree most and least, with their votes.

    After Lakshminarayanan et al. (2017), figures 10 to 12.

    Args:
        predictions: For each arm at least two networks or passes.
        labels: Shape (examples,).
        number: How many examples of each kind; at most half of all.

    Returns:
        A table with the columns panel ("most" or "least"), arm, members, rank (from 1), example, mutual_information (in
        nats, the generalised Jensen-Shannon divergence of the members' predictions), label, predicted (by the mean of
        the members), voted, value (the share of the members that predict the class `voted`), with a row for each of the
        classes with the most votes. Told are `classes`, how many are predicted, and `spreads`: for each arm the mean
        and standard deviation of the mutual information over all examples.

    Raises:
        InputError: An arm of one member, or parts that do not fit together.

    Example:
        >>> pool = Predictions(np.array([[[0.9, 0.1], [0.9, 0.1]], [[0.8, 0.2], [0.1, 0.9]]]))
        >>> table = disagreement_images({"ensemble": pool}, [0, 0], number=1).table
        >>> table[["panel", "example", "voted", "value"]].to_numpy().tolist()
        [['most', 1, 0, 0.5], ['most', 1, 1, 0.5], ['least', 0, 0, 1.0]]
    """
    check_at_least("number", number, 1)
    runs = {arm: own[0] for arm, own in check_arms(predictions, len(np.asarray(labels))).items()}
    alone = [arm for arm, run in runs.items() if run.members < 2]
    if alone:
        raise InputError(f"disagreement needs at least 2 members, got 1 in {', '.join(alone)}; leave it out")
    classes = next(iter(runs.values())).classes
    truth = check_labels(labels, classes)
    number = min(number, math.ceil(len(truth) / 2))
    found = {arm: uncertainty(run.probs, run.weights)["mutual_information"].to_numpy() for arm, run in runs.items()}
    table = pd.DataFrame([row for arm, run in runs.items() for row in _rows(arm, run, found[arm], truth, number)])
    spreads = {arm: (float(own.mean()), float(own.std())) for arm, own in found.items()}
    return Finding(table, tuple(_facts(table)), {"classes": classes, "spreads": spreads})


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
        counts = [[one["sum"], one["size"] - one["sum"]] for one in (most, least)]
        for_it, against = (float(fisher_exact(counts, alternative=way).pvalue) for way in ("greater", "less"))
        why = "" if most["sum"] + least["sum"] else "none is wrong: a floor"
        facts.append(
            judge(
                f"these members of {arm_label(arm)} are wrong more often on the images that they disagree on most",
                Evidence(for_it, against, why),
                f"{most['sum']} of {most['size']} wrong; disagreed on least: {least['sum']} of {least['size']}",
            )
        )
    return facts
