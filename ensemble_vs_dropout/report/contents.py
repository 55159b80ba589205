"""`Report`: all parts of a report in their order, made from the tables of a comparison alone."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ensemble_vs_dropout.evaluation.answer import BASE, Answer, answer
from ensemble_vs_dropout.evaluation.evaluator import OVER_SPLITS
from ensemble_vs_dropout.evaluation.numbered_checks import Check
from ensemble_vs_dropout.evaluation.verdict import Paragraph
from ensemble_vs_dropout.measures import METRICS
from ensemble_vs_dropout.report import words
from ensemble_vs_dropout.report.figures import Figure
from ensemble_vs_dropout.report.tables import Table


@dataclass(frozen=True, eq=False)
class Report:
    """What stands in a report; each format shows all of it.

    Attributes:
        title: The question, and of which data.
        subtitle: What was compared, in one line.
        verdict: One paragraph each, one for each question.
        checks: What may change the answer, and what a reader of any number must know.
        quality: Quality with intervals beside cost.
        figures: In their order.
        costs: What the arms cost, and how their members differ.
        tests: How differences were tested.
        statistics: All contrasts, one table for each metric.
        settings: What was run, and on what.
        command: What makes the run again.
        command_note: What the command cannot say.
        answer: What the report begins with; None where arms were not compared.
        paid: What each arm costs, compared with one network.

    Example:
        >>> from ensemble_vs_dropout.report import Cell, report_markdown
        >>> quality = Table("quality", "Quality", ["arm", "error (%)"], [[Cell("ensemble"), Cell("3.2", number=3.2)]])
        >>> settings = Table("settings", "Settings", ["setting", "value"], [[Cell("members"), Cell("5")]])
        >>> report = Report("Which is better?", "mlp", [], [], quality, [], [], "", [], [settings], "evd compare", "")
        >>> report_markdown(report).splitlines()[0]
        '# Which is better?'
    """

    title: str
    subtitle: str
    verdict: Sequence[Paragraph]
    checks: Sequence[Check]
    quality: Table
    figures: Sequence[Figure]
    costs: Sequence[Table]
    tests: str
    statistics: Sequence[Table]
    settings: Sequence[Table]
    command: str
    command_note: str
    answer: Answer | None = None
    paid: Table | None = None

    @property
    def tables(self) -> list[Table]:
        """All tables of numbers."""
        return [self.quality, *self.costs, *self.statistics]


def compose(
    spec: Mapping[str, Any],
    environment: Mapping[str, Any],
    *,
    verdict: Sequence[Paragraph],
    checks: Sequence[Check],
    interval: str,
    scores: pd.DataFrame,
    contrasts: pd.DataFrame,
    cost: pd.DataFrame,
    diversity: pd.DataFrame | None = None,
    figures: Sequence[Figure] = (),
) -> Report:
    """Return the report of a comparison.

    Args:
        spec: What was run.
        environment: Versions, machine, and where the data came from.
        verdict: Its paragraphs, as `evaluation.verdict` makes them.
        checks: What may change the answer, and what a reader of any number must know.
        interval: What the intervals spread over.
        scores: As `Evaluator.scores` makes them.
        contrasts: As `Evaluator.contrasts` makes them.
        cost: As `cost_table` makes it.
        diversity: As `diversity_table` makes it.
        figures: Drawn already.
    """
    higher = [METRICS[name].label for name in dict.fromkeys(scores["metric"]) if METRICS[name].higher_is_better]
    way = f"Lower is better, but for {' and '.join(higher)}." if higher else "Lower is better throughout."
    below = f"In brackets: 95 % intervals, {interval}. {way} {words.BOLD}"
    costs = [words.cost_in_words(cost, _COST_NOTE)]
    if diversity is not None:
        costs.append(words.diversity_in_words(diversity, _DIVERSITY_NOTE))
    command, command_note = _command(spec)
    return Report(
        title=f"N independent networks, or one with dropout: {spec['dataset']}",
        subtitle=_subtitle(spec),
        verdict=verdict,
        checks=checks,
        quality=words.quality_in_words(scores, cost, contrasts, below),
        figures=figures,
        costs=costs,
        tests=_tests(contrasts),
        statistics=words.contrasts_in_words(contrasts, scores),
        settings=[
            words.settings_in_words("settings", "Settings and seed", _without(spec, "data_sha256")),
            words.settings_in_words(
                "environment", "Data, versions and machine", {**environment, "data_sha256": spec.get("data_sha256")}
            ),
        ],
        command=command,
        command_note=command_note,
        answer=answer(contrasts, cost),
        paid=words.paid_in_words(cost, BASE),
    )


_COST_NOTE = (
    "Multiply-accumulates (MACs) are products of weights with inputs; what precedes the first random layer counts once "
    "for all passes. Memory is that of the whole process while the test part was predicted."
)
_DIVERSITY_NOTE = (
    "How differently the members predict, networks and passes alike, and what combining them gains on their mean. "
    "Means over pairs, examples and repetitions."
)


def _subtitle(spec: Mapping[str, Any]) -> str:
    model = spec["model"]
    size = f", {model['parameters']:,} parameters" if model.get("parameters") else ""
    training = f"{spec['sizes']['train']:,} training and " if spec["sizes"].get("train") else ""
    parts = [
        f"{model['name']}{size}",
        _count(spec["members"], "network"),
        f"dropout at {_rate(spec)} with {_count(spec['passes'], 'pass', 'es')}",
        f"{spec['repetitions']} splits" if spec.get("new_splits") else _count(spec["repetitions"], "repetition"),
        f"{training}{spec['sizes']['test']:,} test examples",
    ]
    return " · ".join(parts)


def _rate(spec: Mapping[str, Any]) -> str:
    """Return the rate in words, or those that validation data chose."""
    if not isinstance(spec["rate"], str):
        return f"rate {spec['rate']:g}"
    chosen = dict.fromkeys(one["dropout"]["rate"] for one in spec.get("chosen", ()) if "dropout" in one)
    rates = ", ".join(f"{rate:g}" for rate in chosen)
    return f"rate{'s' * (len(chosen) != 1)} {rates}, chosen on validation data,"


def _count(number: int, noun: str, plural: str = "s") -> str:
    return f"{number:,} {noun}{plural if number != 1 else ''}"


def _tests(contrasts: pd.DataFrame) -> str:
    """Say by which tests the contrasts were judged."""
    if contrasts.empty:
        return "There is one row alone, and nothing to compare it with."
    tests = " and ".join(f"{test} ({count} contrasts)" for test, count in contrasts.test.value_counts().items())
    spread = (
        "The variance of a mean of J splits is (1/J + n_test/n_train) times that of the splits, with J - 1 degrees of "
        "freedom (Nadeau and Bengio, 2003): splits share examples, and how much that matters is a rule of thumb."
        if (contrasts.test == OVER_SPLITS).any()
        else "Variance components of networks and examples, each with its degrees of freedom, make intervals and "
        "p-values."
    )
    return (
        f"Every pair of rows, on the same examples: {tests}. {spread} The planned questions, which the verdict "
        "answers, are a family for each metric: Holm's correction of p-values and the simultaneous 95 % intervals are "
        "over these. All other pairs are exploratory, corrected for all pairs. A difference counts as shown where the "
        "adjusted p-value is below 0.05; neither means that none is shown, not that there is none. Detectable is the "
        "difference that would be shown as often as not at the strictest step: smaller ones mostly go unseen."
    )


def _command(spec: Mapping[str, Any]) -> tuple[str, str]:
    """Return the command that makes the run again, and what it cannot say."""
    model = str(spec["model"]["name"])
    shifts, repeated = spec.get("shifts", {}), "splits" if spec.get("new_splits") is True else "repetitions"
    options = {
        "dataset": spec["loaded_as"] or spec["dataset"],
        "target": spec.get("target"),
        "drop": ",".join(spec.get("drop", ())) or None,
        "missing": spec.get("missing"),
        "train-size": spec.get("train_size"),
        "label-noise": spec.get("label_noise") or None,
        "class-weight": _weights(spec.get("class_weight")),
        "head": spec.get("head"),
        "model": model,
        **{name: spec[name] for name in ("members", "rate", "passes")},
        repeated: spec["repetitions"],
        "epochs": spec["epochs"],
        "patience": spec["patience"] or 0,
        "batch-size": spec["batch_size"],
        "seed": spec["seed"],
        "arms": ",".join(spec["arms"]) if spec.get("arms") else None,
        "shifts": ",".join(shifts) or None,
        "metrics": ",".join(spec.get("metrics", ())) or None,
        "rules": ",".join(spec.get("rules", ())) or None,
        "margin": ",".join(f"{name}={value:g}" for name, value in spec.get("margins", {}).items()) or None,
        "other-data": spec.get("other_data"),
        "watch": ",".join(spec.get("watch", ())) or None,
    }
    parts = [f"--{name} {shlex.quote(str(value))}" for name, value in options.items() if value is not None]
    parts += [f"--{flag}" for flag in ("exact",) if spec.get(flag)]
    parts += [f"--{'' if spec.get(flag) else 'no-'}{flag}" for flag in ("controls", "probe")]
    of = " (of the first split)" if spec.get("new_splits") else ""
    notes = [f"Whether it is the same data, their sha256{of} tells: {spec['data_sha256']}."]
    if not spec["loaded_as"]:
        notes.insert(0, "The data were given as arrays, or by an older version: name them by dataset, or a file.")
    in_python = [key for key in _IN_PYTHON if key in spec]
    in_python += ["new_splits"] if spec.get("new_splits") == "train" else []
    in_python += ["shifts"] if any(amounts != "severities" for amounts in shifts.values()) else []
    if in_python:
        given = ", ".join(f"{key}={spec[key]!r}" for key in in_python)
        notes.insert(0, f"Given in Python, to evd.compare or in a study, and by no option: {given}.")
    if "<" in model or "(" in model:
        notes.insert(
            0, "The network was built by a function that has no name to import; give yours as package.module:function."
        )
    elif own := _without(spec["model"], "name", "parameters"):
        told = ", ".join(f"{key}={value!r}" for key, value in own.items())
        notes.insert(0, f"{model} was given {told} in Python or in a study, which no option says.")
    return f"evd compare {' '.join(parts)}", " ".join(notes)


def _weights(given: Mapping[str, float] | str | None) -> str | None:
    """Return weights of classes as the option takes them."""
    return ",".join(f"{name}={value:g}" for name, value in given.items()) if isinstance(given, Mapping) else given


_IN_PYTHON = ("data_seed", "tuning", "resamples", "width", "splits", "keep_shifted")  # settings without an option


def _without(spec: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in spec.items() if key not in names}
