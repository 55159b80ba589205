"""`Comparison`: what a comparison found, in memory and as a folder; reading it again needs no TensorFlow."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ensemble_vs_dropout import evaluation, report
from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation.arms import (
    EACH,
    REFERENCE,
    growing,
    judged,
    judged_alone,
    predicted_for,
    recipe_label,
    row_label,
    rules_of,
)
from ensemble_vs_dropout.experiments import runs
from ensemble_vs_dropout.measures import METRICS, STANDARD_RULES, aggregate
from ensemble_vs_dropout.report import Figure, Report
from ensemble_vs_dropout.types import IntArray, Predictions

if TYPE_CHECKING:
    from ensemble_vs_dropout import plots
    from ensemble_vs_dropout.predictors import Ensemble

_SPLITS = ("val", "test")


@dataclass(frozen=True, eq=False)
class Comparison:
    """The predictions of every arm, and the tables, sentences, figures and files made of them.

    Attributes:
        spec: What was run.
        labels: Of the parts "val" and "test".
        predictions: `predictions[split][arm]`, one `Predictions` for each repetition.
        histories: One row per recipe, repetition, member and epoch.
        cost: One row per arm.
        environment: Versions, machine and measured minutes.
        ensembles: The trained networks, `ensembles[repetition][name]`; empty when read from a folder.
    """

    spec: dict[str, Any]
    labels: Mapping[str, IntArray]
    predictions: Mapping[str, Mapping[str, Sequence[Predictions]]]
    histories: pd.DataFrame
    cost: pd.DataFrame
    environment: dict[str, Any] = field(default_factory=dict)
    ensembles: Sequence[Mapping[str, Ensemble]] = ()

    @property
    def arms(self) -> dict[str, Sequence[Predictions]]:
        """The test predictions by arm; a single network is a member of the ensemble alone.

        With one member there are no ensembles: they would be compared with themselves.
        """
        found = judged(self.predictions["test"])
        left_out = growing("networks") if self.spec["members"] == 1 else ()
        return {arm: found[arm] for arm in found if arm in self.spec.get("arms", found) and arm not in left_out}

    @property
    def interval(self) -> str:
        """What the intervals spread over."""
        repetitions = self.spec["repetitions"]
        if repetitions == 1:
            return "bootstrap over the test examples"
        return f"bootstrap over {repetitions} repetitions (new seeds) and the test examples"

    @cached_property
    def _tables(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        rules = {arm: rules_of(arm, STANDARD_RULES) for arm in self.arms}
        evaluator = evaluation.Evaluator(rules=rules, seed=self.spec["seed"])
        return evaluator.tables(self.arms, self.labels["test"])

    @property
    def scores(self) -> pd.DataFrame:
        """One row per arm, rule and metric, with 95 % intervals; see `Evaluator.scores`."""
        return self._tables[0]

    @property
    def contrasts(self) -> pd.DataFrame:
        """One row per metric and pair of arms and rules, paired; see `Evaluator.contrasts`."""
        return self._tables[1]

    @property
    def _pools(self) -> dict[str, Sequence[Predictions]]:
        """The predictions of arms that grow."""
        test = self.predictions["test"]
        return {arm: test[arm] for arm in (*growing("networks"), *growing("passes")) if arm in test}

    @property
    def _has_reference(self) -> bool:
        """Whether there are independent networks to measure worth and diversity by."""
        return self.spec["members"] > 1 and REFERENCE in self.arms

    @cached_property
    def sizes(self) -> pd.DataFrame:
        """Quality against the number of networks or passes; see `size_curves`."""
        return evaluation.size_curves(self._pools, self.labels["test"], seed=self.spec["seed"])

    @cached_property
    def worth(self) -> pd.DataFrame:
        """What each arm is worth in independent networks, by calibrated NLL; see `evaluation.equivalence`."""
        rules = {arm: EACH for arm in judged_alone() if arm in self.arms}
        return evaluation.equivalence(self.arms, self.labels["test"], rules=rules, seed=self.spec["seed"])

    @cached_property
    def equal_cost(self) -> pd.DataFrame:
        """Which arm is best at equal cost, by calibrated NLL; see `evaluation.equal_cost`."""
        arms = {arm: runs for arm, runs in self.predictions["test"].items() if arm in {REFERENCE, *self.arms}}
        return evaluation.equal_cost(arms, self.labels["test"], self.cost, subsets=10, seed=self.spec["seed"])

    @cached_property
    def diversity(self) -> pd.DataFrame:
        """How differently the members of each arm predict, and what that gains; see `evaluation.diversity_table`."""
        return evaluation.diversity_table(self.predictions["test"], self.labels["test"])

    def verdict(self) -> str:
        """Return the answer in plain sentences, made from the tables alone."""
        worth = self.worth if self._has_reference else None
        return evaluation.verdict(self.contrasts, self.cost, self.interval, worth, self.equal_cost)

    def table(self) -> pd.DataFrame:
        """Return quality with intervals beside cost, one row per arm and rule, as strings."""
        return report.result_table(self.scores, self.cost)

    def notes(self) -> str:
        """Return what a reader of the table must know: infinite scores, and networks that were not done learning."""
        return " ".join(filter(None, [self._infinite(), self._unfinished()]))

    def _infinite(self) -> str:
        infinite = self.scores[np.isposinf(self.scores.value.astype(float))]
        parts = []
        for arm, rule in infinite[["arm", "rule"]].drop_duplicates().itertuples(index=False):
            runs_of_arm = self.arms[arm]
            pooled = [r.probs if rule == EACH else aggregate(r.probs, rule, r.weights)[None] for r in runs_of_arm]
            nll = [METRICS["nll"].function(probs, self.labels["test"]) for each in pooled for probs in each]
            label = row_label(arm, rule, 1 if rule == EACH else runs_of_arm[0].members)
            parts.append(f"{label} on {np.isinf(nll).sum()} of {np.size(nll)} predictions")
        if not parts:
            return ""
        return (
            "The NLL is infinite where the true class got probability 0, as when no member voted for it: "
            f"{'; '.join(parts)}."
        )

    def _unfinished(self) -> str:
        """Say how many networks the epochs cut short: for them more epochs may change the answer."""
        last = self.histories.groupby(["recipe", "repetition", "member"]).agg(
            epochs=("epoch", "max"), best=("val_loss", lambda losses: losses.to_numpy().argmin() + 1)
        )
        last["cut"] = (last.epochs == self.spec["epochs"]) & (last.best == last.epochs)
        parts = [
            f"{int(group.cut.sum())} of {len(group)} {recipe_label(str(kind))}"
            for kind, group in last.groupby("recipe", sort=False)
            if group.cut.any()
        ]
        if not parts:
            return ""
        return (
            f"Still improving at the last of {self.spec['epochs']} epochs: {'; '.join(parts)}; with more epochs "
            "their scores may get better."
        )

    def report(self, folder: str | PathLike[str]) -> Path:
        """Write the report to `folder`; return the path of `report.html`, which needs none of the files beside it.

        Beside it: `report.md`, `figures`, and `tables` in LaTeX (as in the report) and CSV (all numbers).

        Raises:
            InputError: The folder is a finished run, whose files stay as they are, or cannot be made.
        """
        path = Path(folder)
        if (path / "manifest.json").exists():
            raise InputError(f"out {str(path)!r} is a finished run, whose files stay as they are; give another folder")
        try:
            (path / "tables").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"out {str(path)!r} cannot be made: {error.strerror}") from error
        displays = self._displays() | self._further_displays()
        content = self._content(displays, drawn=True)
        for table in content.tables:
            text = report.latex_table(table, f"{table.title}: {self._data}.", quality_only=table.name == "quality")
            (path / "tables" / f"{table.name}.tex").write_text(text, encoding="utf-8")
        for name, numbers in self._numbers().items():
            numbers.to_csv(path / "tables" / f"{name}.csv", index=False)
        for name, display in displays.items():
            display.save(path / "figures" / name)
            display.frame().to_csv(path / "figures" / f"{name}.csv", index=False)
        (path / "report.md").write_text(report.report_markdown(content), encoding="utf-8")
        (path / "report.html").write_text(report.report_html(content), encoding="utf-8")
        return path / "report.html"

    def _content(self, displays: Mapping[str, plots.Display], drawn: bool) -> Report:
        """Return what stands in the report."""
        return report.compose(
            self.spec,
            self.environment,
            verdict=self.verdict(),
            notes=self.notes(),
            interval=self.interval,
            scores=self.scores,
            contrasts=self.contrasts,
            cost=self.cost,
            diversity=self.diversity if self._has_reference else None,
            figures=[_figure(name, display, drawn) for name, display in displays.items()],
        )

    def _numbers(self) -> dict[str, pd.DataFrame]:
        """Return all tables of numbers by the name of their file."""
        tables = {"scores": self.scores, "contrasts": self.contrasts, "cost": self.cost, "equal_cost": self.equal_cost}
        tables |= {"sizes": self.sizes} if self._pools else {}
        return tables | ({"worth": self.worth, "diversity": self.diversity} if self._has_reference else {})

    def save(self, folder: str | PathLike[str], force: bool = False) -> Path:
        """Write everything to `folder`, the manifest last; return the path of the report.

        Raises:
            InputError: The folder holds something else, and `force` is not given.
        """
        path = Path(folder)
        with runs.open_run(path, self.spec, force) as (state, _):
            return path / "report.md" if state == "finished" else self.write(path)

    def write(self, path: Path) -> Path:
        """Write everything to a folder that `runs.open_run` holds."""
        if self.ensembles:
            from ensemble_vs_dropout.training import files
        for repetition, ensembles in enumerate(self.ensembles):
            for name, ensemble in ensembles.items():
                models = models_folder(path, repetition, name)
                models.mkdir(parents=True, exist_ok=True)
                for member, model in enumerate(ensemble.models):
                    file = models / f"member_{member:03d}{files.suffix_for(model)}"
                    if not file.exists():  # the trainer's checkpoint has put it there already
                        files.save(model, file)
        (path / "predictions").mkdir(exist_ok=True)
        for split in _SPLITS:
            np.savez(path / "predictions" / f"labels_{split}.npz", labels=self.labels[split], allow_pickle=False)
            for arm, each in self.predictions[split].items():
                for repetition, predictions in enumerate(each):
                    predictions.save(_predictions_file(path, arm, split, repetition))
        for name, table in self._numbers().items():
            table.to_csv(path / f"{name}.csv", index=False)
        for name, table in (("scores", self.scores), ("contrasts", self.contrasts), ("histories", self.histories)):
            table.to_parquet(path / f"{name}.parquet")
        (path / "verdict.txt").write_text(self.verdict() + "\n")
        (path / "table.md").write_text(report.to_markdown(self.table()) + "\n")
        (path / "environment.json").write_text(json.dumps(self.environment, indent=2))
        displays = self._displays()
        for name, display in displays.items():
            display.save(path / "figures" / name)
        text = report.report_markdown(self._content(displays, drawn=False))
        (path / "report.md").write_text(text, encoding="utf-8")
        runs.finish(path)
        return path / "report.md"

    @classmethod
    def load(cls, folder: str | PathLike[str]) -> Comparison:
        """Read a finished run; its tables are made anew from its predictions.

        Raises:
            InputError: The folder holds no finished run, or a file has changed since.
        """
        path = Path(folder)
        if not (path / "manifest.json").exists():
            raise InputError(f"{str(path)!r} holds no finished run: manifest.json is not there")
        broken = runs.damaged(path)
        if broken:
            raise InputError(f"{str(path)!r} is damaged: {', '.join(broken)} changed since; run the comparison again")
        spec = json.loads((path / "spec.json").read_text())
        cost = pd.read_csv(path / "cost.csv")
        arms = predicted_for(spec["arms"]) if "arms" in spec else [a for a in cost.arm if a not in judged_alone()]
        return cls(
            spec=spec,
            labels={s: np.load(path / "predictions" / f"labels_{s}.npz")["labels"] for s in _SPLITS},
            predictions={
                split: {
                    arm: [Predictions.load(_predictions_file(path, arm, split, r)) for r in range(spec["repetitions"])]
                    for arm in arms
                }
                for split in _SPLITS
            },
            # Runs of the first format name the column of recipes `arm`.
            histories=pd.read_parquet(path / "histories.parquet").rename(columns={"arm": "recipe"}),
            cost=cost,
            environment=json.loads((path / "environment.json").read_text()),
        )

    def to_json(self, folder: Path | None = None) -> str:
        """Return scores, contrasts, cost and verdict as JSON; what is infinite or undefined stands as a string."""
        content = {
            "scores": _records(self.scores),
            "contrasts": _records(self.contrasts),
            "cost": _records(self.cost),
            "worth": _records(self.worth) if self._has_reference else [],
            "equal_cost": _records(self.equal_cost),
            "verdict": self.verdict().splitlines(),
            "spec": self.spec,
            "environment": self.environment,
            "folder": str(folder) if folder else None,
        }
        return json.dumps(content, indent=1, allow_nan=False)

    @property
    def _data(self) -> str:
        return f"{self.spec['dataset']}, {self.spec['model']['name']}"

    def _displays(self) -> dict[str, plots.Display]:
        """Return the figures of the report by the name of their files, in their order."""
        from ensemble_vs_dropout import plots

        data = self._data
        single = self.scores[self.scores.arm.isin(["single", "dropout"])]
        examples = "95 % bootstrap over the test examples"
        found: dict[str, plots.Display] = {
            "arm_intervals": plots.ArmIntervals.from_scores(self.scores, data=data, interval=f"95 % {self.interval}")
        }
        if self._pools:
            found["ensemble_size"] = plots.EnsembleSize.from_curves(
                self.sizes, data=data, interval=examples, references=single
            )
        return found | {"learning_curves": plots.LearningCurves.from_histories(self.histories, data=data)}

    def _further_displays(self) -> dict[str, plots.Display]:
        """Return the figures that take a few seconds more: is confidence honest, and right where it is high?"""
        from ensemble_vs_dropout import plots

        val, test = (self.predictions[split] for split in _SPLITS)
        found: dict[str, plots.Display] = {}
        if self._has_reference:
            found["reliability_pooling"] = plots.ReliabilityPooling.from_predictions(
                val[REFERENCE], self.labels["val"], test[REFERENCE], self.labels["test"], data=self._data
            )
        if len(self.labels["test"]) >= plots.accuracy_vs_confidence.LEAST:
            arms = {arm: runs for arm, runs in test.items() if arm in self.arms}
            found["accuracy_vs_confidence"] = plots.AccuracyVersusConfidence.from_predictions(
                arms, self.labels["test"], data=self._data
            )
        return found


def models_folder(path: Path, repetition: int, name: str) -> Path:
    """Return where a run keeps the networks of one repetition and kind."""
    return path / "models" / f"repetition_{repetition}" / name


def _predictions_file(path: Path, arm: str, split: str, repetition: int) -> Path:
    return path / "predictions" / f"{arm}_{split}_repetition_{repetition}.npz"


def _figure(name: str, display: plots.Display, drawn: bool) -> Figure:
    """Return a display for the report; `drawn` without title and caption, which the page has in its own letters."""
    drawings = {}
    if drawn:
        bare = replace(display, title="", caption="")
        with tempfile.TemporaryDirectory() as folder:
            for size, width in (("wide", "double"), ("narrow", "single")):
                (path,) = bare.save(Path(folder) / size, ["svg"], width=width)
                drawings[size] = path.read_text(encoding="utf-8")
    return Figure(name, display.title, display.caption, display.frame(), display.facts, drawings)


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    def plain(value: Any) -> Any:
        if value is pd.NA:
            return None
        value = value.item() if isinstance(value, np.generic) else value
        return str(value) if isinstance(value, float) and not math.isfinite(value) else value

    return [{key: plain(value) for key, value in row.items()} for row in table.to_dict("records")]
