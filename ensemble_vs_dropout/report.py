"""Tables to text: the result table in words, and the report in Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from ensemble_vs_dropout.evaluation.arms import row_label
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
                "parameters": f"{one.parameters:,.0f}",
                "trained examples x parameters": f"{one.trained:.2g}",
                "passes": f"{one.passes:.0f}",
                "train (s)": f"{one.train_seconds:.1f}",
                "predict (s)": f"{one.predict_seconds:.2f}",
            }
        rows.append(row)
    return pd.DataFrame(rows).fillna("")


def to_markdown(table: pd.DataFrame) -> str:
    """Return a table as Markdown; a bar in a name is escaped."""
    return table.map(lambda text: str(text).replace("|", "\\|")).to_markdown(
        index=False, disable_numparse=True, colalign=["left"] + ["right"] * (table.shape[1] - 1)
    )


def report_markdown(table: pd.DataFrame, verdict: str, spec: Mapping[str, Any], interval: str, notes: str) -> str:
    """Return the report: the verdict first, then the table, the figures, and what was run."""
    settings = pd.DataFrame([(key, str(value)) for key, value in spec.items()], columns=["setting", "value"])
    paragraphs = "\n".join(f"- {line}" for line in verdict.splitlines())
    figures = "\n\n".join(
        f"![{caption}](figures/{name}.png)"
        for name, caption in (
            ("arm_intervals", "Every arm and rule with its intervals"),
            ("ensemble_size", "Quality against the number of networks or passes"),
            ("learning_curves", "Loss against epochs, and the generalisation gap"),
        )
    )
    return (
        f"# N independent networks, or one with dropout: {spec['dataset']}\n\n{paragraphs}\n\n"
        f"## Quality and cost\n\n{to_markdown(table)}\n\n"
        f"In brackets: 95 % intervals, {interval}. Lower is better throughout. {notes}\n\n"
        f"## Figures\n\n{figures}\n\n## What was run\n\n{to_markdown(settings)}\n"
    )


def _with_interval(metric: str, value: float, low: float, high: float) -> str:
    scale, digits = (100, 2) if metric == "error" else (1, 3)
    if not math.isfinite(value):
        return "infinite" if value > 0 else "undefined"
    bounds = [f"{bound * scale:.{digits}f}" for bound in (low, high)]
    return f"{value * scale:.{digits}f} [{bounds[0]}, {bounds[1]}]"
