"""The tables of a comparison in words: rounded, with intervals and units, and bold where a difference is shown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ensemble_vs_dropout.evaluation.answer import MEMORY, PREDICTING, TRAINING, known_column
from ensemble_vs_dropout.evaluation.arms import arm_label, recipe_label, row_label
from ensemble_vs_dropout.measures import METRICS
from ensemble_vs_dropout.report.tables import Cell, Table

BOLD = (
    "Bold: shown to be better (adjusted p below 0.05) than every row of every other arm, and not shown to be worse "
    "than another rule of its own arm."
)
_BESIDE_QUALITY = {
    "parameters": ("parameters", "{:,.0f}", 1),
    "trained": ("trained examples x parameters", "{:.2g}", 1),
    "passes": ("passes", "{:.0f}", 1),
    "train_seconds": ("train (s)", "{:.1f}", 1),
    "predict_seconds": ("predict (s)", "{:.2f}", 1),
}
_COSTS = {
    "parameters": ("parameters", "{:,.0f}", 1),
    "bytes": ("weights (MB)", "{:,.2f}", 1e-6),
    "multiply_adds": ("multiply-accumulates (MACs) a prediction", "{:,.0f}", 1),
    "trained": ("trained examples x parameters", "{:.3g}", 1),
    "trained_multiply_adds": ("trained examples x multiply-accumulates (MACs)", "{:.3g}", 1),
    "passes": ("passes", "{:.0f}", 1),
    "train_seconds": ("train (s)", "{:.1f}", 1),
    "predict_seconds": ("predict test (s)", "{:.2f}", 1),
    "peak_memory": ("peak memory (MB)", "{:,.0f}", 1e-6),
}
_PAID = {"training": TRAINING, "predicting": PREDICTING, "memory": MEMORY}
_DIVERSITY = {
    "disagreement": ("disagreement (%)", 100),
    "disagreement_over_error": ("disagreement / error", 1),
    "kl": ("KL (nats)", 1),
    "mutual_information": ("mutual information (nats)", 1),
    "ambiguity_nll": ("NLL gained by the geometric mean", 1),
    "ambiguity_brier": ("Brier score gained by the mean", 1),
    "eir": ("error gained by the vote / error", 1),
}


def quality_in_words(
    scores: pd.DataFrame, cost: pd.DataFrame | None, contrasts: pd.DataFrame | None = None, note: str = ""
) -> Table:
    """Return one row per arm and rule: each metric with its interval, and the cost of the arm.

    Args:
        scores: As `Evaluator.scores` makes them.
        cost: As `cost_table` makes it; an arm it lacks has empty cells. None for quality alone.
        contrasts: As `Evaluator.contrasts` makes them; without them nothing is bold.
        note: What a reader must know.

    Example:
        >>> scores = pd.DataFrame({"arm": "single", "rule": "each", "members": 1, "metric": ["error"], "value": 0.1})
        >>> table = quality_in_words(scores.assign(low=0.08, high=0.12), None)
        >>> table.columns, str(table.rows[0][1])
        (['arm', 'error (%)'], '10.00 [8.00, 12.00]')
    """
    best = set() if contrasts is None else shown_best(contrasts)
    costs = {} if cost is None else {str(row["arm"]): row for row in cost.to_dict("records")}
    beside = {} if cost is None else _BESIDE_QUALITY
    metrics = list(dict.fromkeys(scores["metric"]))
    rows = []
    for (arm, rule, members), group in scores.groupby(["arm", "rule", "members"], sort=False):
        cells = {
            metric: _with_interval(metric, value, low, high, (metric, arm, rule) in best)
            for metric, value, low, high in group[["metric", "value", "low", "high"]].itertuples(index=False)
        }
        row = [Cell(row_label(arm, rule, members)), *(cells.get(metric, Cell("")) for metric in metrics)]
        of_arm = costs.get(arm)
        rows.append(row + [_cost(of_arm, *shown) if of_arm else Cell("") for shown in _shown(beside)])
    columns = ["arm", *(METRICS[metric].label for metric in metrics), *(words for words, _, _ in beside.values())]
    return Table("quality", "Quality and cost" if beside else "Quality", columns, rows, note)


def result_table(scores: pd.DataFrame, cost: pd.DataFrame) -> pd.DataFrame:
    """Return `quality_in_words` as strings.

    Example:
        >>> scores = pd.DataFrame({"arm": "single", "rule": "each", "members": 1, "metric": ["error"], "value": 0.1})
        >>> from ensemble_vs_dropout.evaluation.cost import cost_table
        >>> from ensemble_vs_dropout.types import Cost
        >>> cost = cost_table({"single": [Cost(10, 100, 1, 2.0, 0.1)]})
        >>> result_table(scores.assign(low=0.08, high=0.12), cost).iloc[:, :2].values.tolist()
        [['single network', '10.00 [8.00, 12.00]']]
    """
    return quality_in_words(scores, cost).frame()


def shown_best(contrasts: pd.DataFrame) -> set[tuple[str, str, str]]:
    """Return metric, arm and rule of what is bold: better than all other arms, no worse than its arm's other rules.

    An arm's rules are no rivals of each other's: they combine the same members, and often no difference between them
    can be shown.
    """
    a, b, names = ["arm_a", "rule_a"], ["arm_b", "rule_b"], ["arm", "rule", "rival", "rule_of_rival", "metric", "other"]
    sides = [
        contrasts[[*one, *other, "metric"]]
        .assign(other=won)
        .set_axis(names, axis=1)
        .assign(won=contrasts.better == won)
        for one, other, won in ((a, b, "a"), (b, a, "b"))
    ]
    rows = pd.concat(sides, ignore_index=True)
    rows["lost"] = pd.concat([contrasts.better == "b", contrasts.better == "a"], ignore_index=True)
    own = rows.arm == rows.rival
    rows["holds"], rows["beaten"] = np.where(own, ~rows.lost, rows.won), rows.won & ~own
    judged = rows.groupby(["metric", "arm", "rule"])[["holds", "beaten"]].agg({"holds": "all", "beaten": "any"})
    return set(judged.index[judged.holds & judged.beaten])


def paid_in_words(cost: pd.DataFrame, base: str) -> Table:
    """Return how many times the work and the memory of one network each arm takes.

    Args:
        cost: As `cost_table` makes it.
        base: The arm that others are compared with; the first of the table if it is not there.

    Example:
        >>> from ensemble_vs_dropout.evaluation.cost import cost_table
        >>> from ensemble_vs_dropout.types import Cost
        >>> cost = cost_table({"single": [Cost(10, 100, 1, 2.0, 0.1)], "ensemble": [Cost(50, 550, 5, 9.0, 0.4)]})
        >>> [[str(cell) for cell in row] for row in paid_in_words(cost, "single").rows]
        [['single network', '1', '1', '1'], ['ensemble', '5.5', '5', '5']]
    """
    of_arm = cost.set_index("arm")
    first = base if base in of_arm.index else str(of_arm.index[0])
    columns = {what: column for what, names in _PAID.items() if (column := known_column(of_arm, names))}
    rows = [
        [Cell(arm_label(str(arm))), *(_ratio(of_arm[name][arm], of_arm[name][first]) for name in columns.values())]
        for arm in of_arm.index
    ]
    return Table("paid", f"Work and memory, times those of the {arm_label(first)}", ["arm", *columns], rows, "")


def _ratio(paid: float, base: float) -> Cell:
    if not base:
        return Cell("")
    ratio = float(paid / base)
    return Cell(f"{ratio:.2g}" if ratio < 99.5 else f"{ratio:,.0f}", number=ratio)


def cost_in_words(cost: pd.DataFrame, note: str = "", beside_quality: bool = False) -> Table:
    """Return all costs of each arm, the same for networks and for masks.

    Args:
        cost: As `cost_table` makes it.
        note: What a reader must know.
        beside_quality: Whether only those are wanted that stand beside quality.

    Example:
        >>> from ensemble_vs_dropout.evaluation.cost import cost_table
        >>> from ensemble_vs_dropout.types import Cost
        >>> cost_in_words(cost_table({"single": [Cost(10, 100, 1, 2.0, 0.1)]})).frame().iloc[0, :2].tolist()
        ['single network', '10']
    """
    wanted = _BESIDE_QUALITY if beside_quality else _COSTS
    shown = {name: words for name, words in wanted.items() if name in cost}
    rows = [
        [Cell(arm_label(str(row["arm"]))), *(_cost(row, *column) for column in _shown(shown))]
        for row in cost.to_dict("records")
    ]
    return Table("cost", "Cost", ["arm", *(words for words, _, _ in shown.values())], rows, note)


def diversity_in_words(diversity: pd.DataFrame, note: str = "") -> Table:
    """Return the diversity that matters most of each arm, the means over the repetitions."""
    rows = []
    for (arm, members), group in diversity.groupby(["arm", "members"], sort=False):
        means = group[list(_DIVERSITY)].astype(float).mean()
        values = [float(means[name]) * scale for name, (_, scale) in _DIVERSITY.items()]
        rows.append([Cell(f"{arm_label(str(arm))} ({members})"), *(Cell(f"{v:.3g}", number=v) for v in values)])
    return Table("diversity", "Diversity", ["arm", *(words for words, _ in _DIVERSITY.values())], rows, note)


def contrasts_in_words(contrasts: pd.DataFrame, scores: pd.DataFrame) -> list[Table]:
    """Return one table for each metric: every pair of rows of `scores`, its difference, and the test by name."""
    members = {(row.arm, row.rule): row.members for row in scores.itertuples()}
    tables = []
    for metric, pairs in contrasts.groupby("metric", sort=False):
        label, scale, digits = _metric(str(metric))
        better = {"a": "first", "b": "second"}
        rows = []
        for row in pairs.itertuples():
            names = [
                Cell(row_label(arm, rule, members[arm, rule]))
                for arm, rule in ((row.arm_a, row.rule_a), (row.arm_b, row.rule_b))
            ]
            detectable = row.detectable * scale
            numbers = [
                _with_interval(str(metric), row.difference, row.low, row.high, row.better in better),
                _p(row.p_value),
                _p(row.p_adjusted),
            ]
            detected = Cell(_known(f"{{:.{digits}f}}", detectable), number=detectable)
            tested = [Cell(row.test), Cell(row.family), Cell(better.get(row.better, "neither")), detected]
            rows.append([*names, *numbers, *tested])
        shown = int((pairs.better != "neither").sum())
        way = "positive" if METRICS[str(metric)].higher_is_better else "negative"
        tables.append(
            Table(
                f"contrasts_{metric}",
                f"{label}: {shown} of {len(rows)} differences shown",
                ["first", "second", "first minus second", "p", "adjusted p", "test", "family", "better", "detectable"],
                rows,
                f"A {way} difference speaks for the first; bold where it is shown (adjusted p below 0.05).",
            )
        )
    return tables


def settings_in_words(name: str, title: str, settings: Mapping[str, Any]) -> Table:
    """Return a table of names and values, nested ones written out."""
    rows = [[Cell(key.replace("_", " ")), Cell(_value(value, "seed" not in key))] for key, value in settings.items()]
    return Table(name, title, ["setting", "value"], rows)


def spread_in_words(numbers: pd.DataFrame) -> str:
    """Return the lowest and the highest value of each panel and metric or series of a figure, and whose they are."""
    if "value" not in numbers:
        return ""
    numbers = numbers.reset_index(drop=True)
    kind = next((name for name in ("metric", "series") if name in numbers), None)
    keys = [name for name in ("panel", kind) if name in numbers]
    groups = numbers.groupby(keys, sort=False) if keys else [((), numbers)]
    sentences = []
    for names, group in groups:
        values = group["value"].astype(float)
        values = values[np.isfinite(values)]
        if len(values):
            labels, (_, scale, digits) = [_metric(str(name))[0] for name in names], _metric(str(("", *names)[-1]))
            ends = [
                f"{word} {values[place] * scale:.{digits}f}{_whose(group.loc[place])}"
                for word, place in (("lowest", values.idxmin()), ("highest", values.idxmax()))
            ]
            sentences.append(f"{', '.join(dict.fromkeys(labels)) or 'value'}: {', '.join(ends)}.")
    return " ".join(sentences)


def _whose(row: pd.Series) -> str:
    """Return in words and brackets which of a figure's rows this is, if anything says so."""
    of_arm = isinstance(row.get("arm"), str)
    if isinstance(row.get("recipe"), str):
        parts = [recipe_label(row["recipe"])]
    elif "label" in row:
        parts = [str(row["label"])]
    elif of_arm:
        known = "rule" in row and "members" in row and not pd.isna(row["rule"]) and not pd.isna(row["members"])
        parts = [row_label(row["arm"], row["rule"], row["members"]) if known else arm_label(row["arm"])]
    else:
        named = row.index.isin(["panel", "metric", "value"])
        parts = [str(value) for value in row[~named] if isinstance(value, str)]
    if isinstance(row.get("truth_name"), str):
        as_what = f" as {row['predicted_name']}" if row["predicted_name"] != row["truth_name"] else ""
        parts.append(f"{row['truth_name']}{as_what}")
    if not pd.isna(row.get("epoch")):
        parts.append(f"epoch {row['epoch']}")
    return f" ({', '.join(parts)})" if parts else ""


def _metric(name: str) -> tuple[str, float, int]:
    """Return label, scale and digits of a metric, or of a name that is none."""
    scale = METRICS[name].scale if name in METRICS else 1.0
    return METRICS[name].label if name in METRICS else name.replace("_", " "), scale, 2 if scale == 100 else 3


def _shown(columns: Mapping[str, tuple[str, str, float]]) -> Iterable[tuple[str, str, float]]:
    return [(name, form, scale) for name, (_, form, scale) in columns.items()]


def _cost(row: Mapping[Any, Any], name: str, form: str, scale: float) -> Cell:
    value = float(row[name]) * scale
    return Cell(_known(form, value), number=value)


def _known(form: str, value: float) -> str:
    return form.format(value) if math.isfinite(value) else "not known"


def _p(value: float) -> Cell:
    text = "undefined" if math.isnan(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"
    return Cell(text, number=value)


def _with_interval(metric: str, value: float, low: float, high: float, best: bool = False) -> Cell:
    _, scale, digits = _metric(metric)
    if math.isnan(value):
        return Cell("undefined", best=best)
    if math.isinf(value):
        return Cell("infinite" if value > 0 else "-infinite", number=value, best=best)
    bounds = [f"{bound * scale:.{digits}f}" for bound in (low, high)]
    return Cell(f"{value * scale:.{digits}f}", f"[{bounds[0]}, {bounds[1]}]", value * scale, best)


def _value(value: Any, counted: bool = True) -> str:
    """Return a setting as people write it; in what is `counted`, thousands are apart."""
    if isinstance(value, Mapping):
        return "; ".join(f"{str(key).replace('_', ' ')} {_value(one)}" for key, one in value.items())
    if isinstance(value, list | tuple):
        more = f" and {len(value) - 50} more" if len(value) > 50 else ""
        shown = [_value(one, counted) for one in value[:50]]
        return ("; " if any(", " in one for one in shown) else ", ").join(shown) + more or "none"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    return f"{value:,}" if counted and isinstance(value, int) and abs(value) >= 10_000 else str(value)
