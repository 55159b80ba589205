"""Tables to text: the result table in words, and the report in Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from ensemble_vs_dropout.evaluation.arms import arm_label, row_label
from ensemble_vs_dropout.measures import METRICS


def result_table(scores: pd.DataFrame, cost: pd.DataFrame) -> pd.DataFrame:
    """Return one row per arm and rule: each metric with its interval, and the cost of the arm, as strings."""
    costs = cost.set_index("arm")
    rows = []
    for (arm, rule, members), group in scores.groupby(["arm", "rule", "members"], sort=False):
        row = {"arm": row_label(arm, rule, members)}
        for metric, value, low, high in group[["metric", "value", "low", "high"]].itertuples(index=False):
            row[METRICS[metric].label] = _with_interval(metric, value, low, high)
        if arm in costs.index:
            one = costs.loc[arm]
            row |= {
                "parameters": _known("{:,.0f}", one.parameters),
                "trained examples x parameters": _known("{:.2g}", one.trained),
                "passes": _known("{:.0f}", one.passes),
                "train (s)": _known("{:.1f}", one.train_seconds),
                "predict (s)": _known("{:.2f}", one.predict_seconds),
            }
        rows.append(row)
    return pd.DataFrame(rows).fillna("")


def cost_in_words(cost: pd.DataFrame) -> pd.DataFrame:
    """Return all costs of each arm as strings, the same for networks and for masks."""
    shown = {
        "parameters": ("parameters", "{:,.0f}", 1),
        "bytes": ("weights (MB)", "{:,.2f}", 1e-6),
        "multiply_adds": ("multiply-adds a prediction", "{:,.0f}", 1),
        "trained": ("trained examples x parameters", "{:.3g}", 1),
        "trained_multiply_adds": ("trained examples x multiply-adds", "{:.3g}", 1),
        "passes": ("passes", "{:.0f}", 1),
        "train_seconds": ("train (s)", "{:.1f}", 1),
        "predict_seconds": ("predict test (s)", "{:.2f}", 1),
        "peak_memory": ("peak memory (MB)", "{:,.0f}", 1e-6),
    }
    table = pd.DataFrame({"arm": [arm_label(arm) for arm in cost.arm]})
    for column, (label, form, scale) in shown.items():
        if column in cost:
            values = cost[column].astype(float) * scale
            table[label] = [_known(form, value) for value in values]
    return table


def to_markdown(table: pd.DataFrame) -> str:
    """Return a table as Markdown; a bar in a name is escaped."""
    return table.map(lambda text: str(text).replace("|", "\\|")).to_markdown(
        index=False, disable_numparse=True, colalign=["left"] + ["right"] * (table.shape[1] - 1)
    )


def diversity_in_words(diversity: pd.DataFrame) -> pd.DataFrame:
    """Return the diversity that matters most of each arm as strings, the means over the repetitions."""
    shown = {
        "disagreement": ("disagreement (%)", 100),
        "disagreement_over_error": ("disagreement / error", 1),
        "kl": ("KL (nats)", 1),
        "mutual_information": ("mutual information (nats)", 1),
        "ambiguity_nll": ("NLL gained by the geometric mean", 1),
        "ambiguity_brier": ("Brier score gained by the mean", 1),
        "eir": ("error gained by the vote / error", 1),
    }
    rows = []
    for (arm, members), group in diversity.groupby(["arm", "members"], sort=False):
        means = group[list(shown)].astype(float).mean()
        words = {label: f"{means[name] * scale:.3g}" for name, (label, scale) in shown.items()}
        rows.append({"arm": f"{arm_label(str(arm))} ({members})", **words})
    return pd.DataFrame(rows)


def report_markdown(verdict: str, tables: Mapping[str, tuple[pd.DataFrame, str]], spec: Mapping[str, Any]) -> str:
    """Return the report: the verdict first, then the tables, the figures, and what was run.

    Args:
        verdict: One paragraph a line.
        tables: By heading, each with the words that stand below it.
        spec: What was run.
    """
    settings = pd.DataFrame([(key, str(value)) for key, value in spec.items()], columns=["setting", "value"])
    paragraphs = "\n".join(f"- {line}" for line in verdict.splitlines())
    sections = "".join(f"## {title}\n\n{to_markdown(table)}\n\n{words}\n\n" for title, (table, words) in tables.items())
    figures = "\n\n".join(
        f"![{caption}](figures/{name}.png)"
        for name, caption in (
            ("arm_intervals", "Every arm and rule with its intervals"),
            ("ensemble_size", "Quality against the number of networks or passes"),
            ("learning_curves", "Loss against epochs, and the generalisation gap"),
        )
    )
    return (
        f"# N independent networks, or one with dropout: {spec['dataset']}\n\n{paragraphs}\n\n{sections}"
        f"## Figures\n\n{figures}\n\n## What was run\n\n{to_markdown(settings)}\n"
    )


def _known(form: str, value: float) -> str:
    return form.format(value) if math.isfinite(value) else "not known"


def _with_interval(metric: str, value: float, low: float, high: float) -> str:
    scale = METRICS[metric].scale
    digits = 2 if scale == 100 else 3
    if not math.isfinite(value):
        return "infinite" if value > 0 else "undefined"
    bounds = [f"{bound * scale:.{digits}f}" for bound in (low, high)]
    return f"{value * scale:.{digits}f} [{bounds[0]}, {bounds[1]}]"
