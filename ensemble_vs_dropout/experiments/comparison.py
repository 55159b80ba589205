"""`Comparison`: what the runs of one point found, as tables, sentences, figures and files; no TensorFlow.

A comparison is a view of stored runs, whichever way they were made: by `compare`, or as one point of a study.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from html import escape
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd
from pydantic import ValidationError

from ensemble_vs_dropout import evaluation, report
from ensemble_vs_dropout.checks import InputError, check_known, counted
from ensemble_vs_dropout.evaluation import numbered_checks
from ensemble_vs_dropout.evaluation.answer import Answer, answer
from ensemble_vs_dropout.evaluation.arms import (
    ARMS,
    EACH,
    RECIPES,
    REFERENCE,
    find_arms,
    growing,
    judged,
    judged_alone,
    rules_of,
)
from ensemble_vs_dropout.evaluation.cost import cost_table
from ensemble_vs_dropout.evaluation.evaluator import SCORE_COLUMNS
from ensemble_vs_dropout.evaluation.findings import Finding
from ensemble_vs_dropout.evaluation.findings.confusions import confusions
from ensemble_vs_dropout.evaluation.numbered_checks import Check
from ensemble_vs_dropout.evaluation.pooling import Arms
from ensemble_vs_dropout.evaluation.verdict import Paragraph, paragraphs, told_metrics
from ensemble_vs_dropout.experiments import folder as folders
from ensemble_vs_dropout.experiments import kept, notes
from ensemble_vs_dropout.experiments.plan import Plan, Point, Run
from ensemble_vs_dropout.experiments.settings import Settings
from ensemble_vs_dropout.experiments.store import DamagedError, Keeping, Store
from ensemble_vs_dropout.experiments.tables import score_of_trial, value_in_a_cell
from ensemble_vs_dropout.files import DAMAGED_ARCHIVE, as_csv, can_write, own, write_whole
from ensemble_vs_dropout.measures.spread import LEAST
from ensemble_vs_dropout.measures.temperature import NOISE
from ensemble_vs_dropout.report import Figure, Report
from ensemble_vs_dropout.types import Cost, IntArray, Predictions

if TYPE_CHECKING:
    from ensemble_vs_dropout import plots
    from ensemble_vs_dropout.models.backend import keras
    from ensemble_vs_dropout.predictors import Ensemble

T = TypeVar("T")
_SPLITS = ("val", "test")
_CLASSES = 100  # of more, pairs are not counted
_MATERIAL = 0.02  # of the NLL: what less is lost by calibration does not matter
_SHORT = ("arm_intervals", "ensemble_size", "learning_curves")  # of report.md, made of tables that are there
_OF_SAME_EXAMPLES = ("reliability_pooling", "ood_entropy_hist", "accuracy_vs_confidence")  # in every repetition


@dataclass(frozen=True, eq=False)
class Comparison:
    """The predictions of every arm, and the tables, sentences, figures and files made of them.

    Attributes:
        settings: What was run.
        runs: `runs[repetition]`, one for each recipe.
        store: Where these are kept.
        facts: Digests of data and network that exist in Python alone: no name in `settings` leads to them.
        chosen: `chosen[repetition][recipe]`, the settings chosen on validation data; empty if none were.
        trials: The runs they were chosen by.
        probes: Of each recipe the run of one network that was given more epochs and patience.
        trained: Ensembles that were trained in this process, by the names of their runs.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from ensemble_vs_dropout import compare, load_dataset
        >>> data = load_dataset("digits", train_size=100)
        >>> chosen = {"arms": ["single", "ensemble"], "rate": 0.5, "epochs": 1, "probe": False, "verbose": 0}
        >>> found = compare(data, members=2, repetitions=1, **chosen)
        >>> list(found.table()["arm"])
        ['single network', 'ensemble, mean (2)', 'ensemble, geometric mean (2)', 'ensemble, majority vote (2)']
        >>> found.answer().sentences[0]
        'Use a single network: it is the cheapest of those that nothing is shown to beat.'
        >>> found.verdict().startswith("The averaged ensemble against a single network: ")
        True
        >>> len(found.checks()) > 1, len(found.notes()) > 1, len(json.loads(found.to_json())["scores"])
        (True, True, 20)
        >>> "ensemble_size" in found.figures(), found.plot("ensemble_size", metrics=["error"]).shape
        (True, (1,))
        >>> with TemporaryDirectory() as folder:
        ...     found.export(f"{folder}/model.keras", "ensemble")["members"], found.to_keras("ensemble").name
        (2, 'deployed')
    """

    settings: Settings
    runs: Sequence[Sequence[Run]]
    store: Keeping
    facts: Mapping[str, str] = field(default_factory=dict)
    chosen: Sequence[Mapping[str, Mapping[str, Any]]] = ()
    trials: Sequence[Run] = ()
    probes: Sequence[Run] = ()
    trained: Mapping[str, Ensemble] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Return what was compared, in three lines; nothing is read or computed."""
        wanted, model = self.settings, self.settings.model.name
        repetitions = counted(len(self.runs), "split" if wanted.new_tests else "repetition")
        return (
            f"Comparison of {model} on {wanted.dataset or 'arrays'}\n"
            f"  {repetitions} of {wanted.members} networks, {wanted.passes} passes\n"
            "  .answer(), .verdict(), .scores, .contrasts, .cost, .figures(), .report(folder)"
        )

    def _repr_html_(self) -> str:
        """Return the answer and the table, which notebooks show."""
        told = "".join(f"<p>{escape(sentence)}</p>" for sentence in self.answer().sentences)
        return f"{told}{self.table().to_html(index=False, border=0)}"

    @cached_property
    def _arrays(self) -> list[dict[str, Any]]:
        """The arrays of all runs of each repetition, by their names in `predictions.npz`."""
        found = []
        for runs in self.runs:
            arrays: dict[str, Any] = {}
            for run in runs:
                arrays |= self._held(kept.predictions_of, run)
            found.append(arrays)
        return found

    def _held(self, read: Callable[[Run, Keeping], T], run: Run) -> T:
        """Return what a run holds, as `read` of `kept` gives it."""
        try:
            return read(run, self.store)
        except DamagedError as error:
            raise InputError(f"{error}; run the same again, which sets it aside and makes it anew") from error

    @cached_property
    def labels(self) -> Mapping[str, IntArray]:
        """Of the parts "val" and "test": shape (examples,), or (repetitions, examples) where each has a split."""
        anew = {"val": bool(self.settings.new_splits), "test": self.settings.new_tests}
        first, names = self._arrays[0], {split: f"labels/{split}" for split in _SPLITS}
        return {
            split: np.stack([arrays[name] for arrays in self._arrays]) if anew[split] else first[name]
            for split, name in names.items()
        }

    @cached_property
    def predictions(self) -> Mapping[str, Mapping[str, Sequence[Predictions]]]:
        """`predictions[part][arm]`, one `Predictions` for each repetition; "other" is of other data."""
        found: dict[str, dict[str, list[Predictions]]] = {split: {} for split in _SPLITS}
        for arrays in self._arrays:
            for name, probs in arrays.items():
                part, _, arm = name.partition("/")
                if part in (*_SPLITS, "other"):
                    beside = f"further/{name}/"
                    further = {key.removeprefix(beside): arrays[key] for key in arrays if key.startswith(beside)}
                    one = Predictions(probs, arrays.get(f"weights/{name}"), further=further)
                    found.setdefault(part, {}).setdefault(arm, []).append(one)
        return found

    @cached_property
    def histories(self) -> pd.DataFrame:
        """One row per recipe, repetition, member and epoch."""
        tables = [
            self._held(kept.histories_of, run).assign(recipe=run.recipe, repetition=repetition)
            for repetition, runs in enumerate(self.runs)
            for run in runs
        ]
        return pd.concat(tables, ignore_index=True)

    @cached_property
    def cost(self) -> pd.DataFrame:
        """One row per arm."""
        rows: dict[str, list[Cost]] = {}
        for run in (run for runs in self.runs for run in runs):
            for arm, paid in self._held(kept.costs_of, run):
                rows.setdefault(arm, []).append(paid)
        return cost_table({arm: rows[arm] for arm in judged(rows) if arm in rows})

    @cached_property
    def conditions(self) -> pd.DataFrame:
        """The scores of each repetition alone, clean and under every shift, and of all masks if they were asked for.

        Columns as those of `Evaluator.scores`. Other data stand in `condition` by name, with the detector as the rule.
        """
        rows = [row for runs in self.runs for run in runs for row in self._held(kept.scores_of, run)]
        return pd.DataFrame(rows, columns=SCORE_COLUMNS)

    @cached_property
    def environment(self) -> dict[str, Any]:
        """Versions, machine, where the data came from, and measured minutes of training and predicting."""
        found = [self._held(kept.environment_of, run) for runs in self.runs for run in runs]
        minutes = sum(one.get("seconds", 0.0) for one in found) / 60
        names = ("source", "notes", "python", "keras", "tensorflow", "numpy", "machine")
        if self.settings.new_splits:
            found[0]["notes"] = [*found[0]["notes"], f"this was the first of {len(self.runs)} splits"]
        return {"minutes": round(minutes, 2), **{name: found[0][name] for name in names if name in found[0]}}

    @cached_property
    def spec(self) -> dict[str, Any]:
        """What was run, in one table: the settings, and what data and network turned out to be."""
        told = self._held(kept.environment_of, self.runs[0][0])
        given = self.settings.model_dump(mode="json", exclude={"model", "recipes"}, warnings=False)
        unset = Settings(dataset="").model_dump(mode="json")
        always = ("members", "passes", "epochs", "batch_size", "rate", "patience", "seed", "controls")
        model = {**self.settings.model.model_dump(mode="json"), "parameters": told.get("parameters")}
        known = {"dataset": told.get("data"), "sizes": told.get("sizes"), "classes": told.get("classes")}
        sizes = {split: self.labels[split].shape[-1] for split in _SPLITS}
        seeds = [runs[0].spec["data_seed"] for runs in self.runs] if self.settings.new_splits else None
        return {
            "version": told.get("version"),
            "dataset": known["dataset"] or self.settings.dataset,
            "sizes": known["sizes"] or {"train": self.settings.train_size, **sizes},
            "classes": known["classes"] or [str(k) for k in range(self._arrays[0]["val/" + self._any].shape[-1])],
            "data_sha256": told.get("data_sha256"),
            "loaded_as": given.pop("dataset") if "data_sha256" not in self.facts else None,
            "model": model,
            "repetitions": len(self.runs),
            **({"split_seeds": seeds} if seeds else {}),
            **{key: value for key, value in given.items() if key in always or value != unset[key]},
            **({"chosen": [dict(one) for one in self.chosen]} if self.chosen else {}),
        }

    @property
    def _any(self) -> str:
        return next(iter(self.predictions["val"]))

    @cached_property
    def ensembles(self) -> Sequence[Mapping[str, Ensemble]]:
        """The trained networks, `ensembles[repetition][recipe]`; those of a folder are built anew, which loads Keras.

        Raises:
            InputError: A network that does not tell how it is made, such as one with a layer that is not registered.
        """
        from ensemble_vs_dropout.experiments.running import networks_of

        return [
            {run.recipe: self.trained.get(run.name) or networks_of(run, self.store) for run in runs}
            for runs in self.runs
        ]

    @property
    def arms(self) -> dict[str, Sequence[Predictions]]:
        """The test predictions by arm; a single network is a member of the ensemble alone.

        With one member there are no ensembles: they would be compared with themselves.
        """
        found = judged(self.predictions["test"])
        left_out = growing("networks") if self.settings.members == 1 else ()
        asked = {arm.name for arm in find_arms(self.settings.arms)} if self.settings.arms else found
        return {arm: found[arm] for arm in found if arm in asked and arm not in left_out}

    @property
    def interval(self) -> str:
        """What the intervals spread over."""
        repetitions, members = len(self.runs), self.settings.members
        if self.settings.new_tests:
            return f"over {repetitions} splits of the data (training, validation and test parts, with new networks)"
        if repetitions < LEAST:
            alone = ", and over training again where networks are judged one by one"
            many = repetitions * members >= LEAST and not self.settings.new_splits
            return f"over the test examples{alone if many else ''}"
        each = f" of {members} networks" if members > 1 else ""
        anew = ", each on training and validation parts of its own" if self.settings.new_splits else ""
        return f"over training again ({repetitions} repetitions{each}{anew}) and the test examples"

    @property
    def _test_share(self) -> float | None:
        """Test examples by training examples, where every repetition has a split of its own."""
        sizes = self.spec["sizes"]
        return sizes["test"] / sizes["train"] if self.settings.new_tests else None

    @property
    def _evaluator(self) -> evaluation.Evaluator:
        wanted = self.settings
        return evaluation.Evaluator(
            wanted.metrics,
            {arm: rules_of(arm, wanted.rules) for arm in self.arms},
            resamples=wanted.resamples,
            seed=wanted.seed,
            margins=wanted.margins,
            test_share=self._test_share,
            unit="repetition" if wanted.new_splits else "network",
        )

    def _whole_arms(self, *metrics: str) -> evaluation.Evaluator:
        """Return what judges every arm once: its networks one by one, or combined by the mean."""
        rules = {arm: [EACH if arm in judged_alone() else "mean"] for arm in self.arms}
        return replace(self._evaluator, metrics=metrics or None, rules=rules, margins=None)

    @cached_property
    def _tables(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        return self._evaluator.tables(self.arms, self.labels["test"])

    @cached_property
    def scores(self) -> pd.DataFrame:
        """One row per arm, rule and metric, with 95 % intervals; see `Evaluator.scores`."""
        if "_tables" in self.__dict__:  # for the price of the contrasts
            return self._tables[0]
        return self._evaluator.scores(self.arms, self.labels["test"])

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
        return self.settings.members > 1 and REFERENCE in self.arms

    @property
    def _has_worth(self) -> bool:
        """Whether worth can be told: its interval is over the same test examples in every repetition."""
        return self._has_reference and not self.settings.new_tests

    @cached_property
    def sizes(self) -> pd.DataFrame:
        """Quality against the number of networks or passes; see `size_curves`."""
        return self._whole_arms("error", "nll", "brier").size_curves(self._pools, self.labels["test"])

    @cached_property
    def worth(self) -> pd.DataFrame:
        """What each arm is worth in independent networks, by calibrated NLL; see `evaluation.equivalence`.

        Where the test examples are too few to set a temperature by, it is by NLL; `notes` says so.
        """
        return self._whole_arms().equivalence(self.arms, self.labels["test"], self._worth_metric)

    @cached_property
    def _worth_metric(self) -> str:
        """The calibrated NLL, or the plain one where temperatures fitted to other examples make an arm worse."""
        found = self._whole_arms("nll", "calibrated_nll").scores(self.arms, self.labels["test"])
        plain, calibrated = (found[found.metric == name].value.to_numpy() for name in ("nll", "calibrated_nll"))
        finite = np.isfinite(plain)
        lost = (calibrated - plain)[finite]
        worse = (lost * self.labels["test"].shape[-1] > NOISE) & (lost > _MATERIAL * plain[finite])
        return "nll" if worse.any() else "calibrated_nll"

    @cached_property
    def equal_cost(self) -> pd.DataFrame:
        """Which arm is best at equal cost, by the metric of `worth`; see `evaluation.equal_cost`."""
        arms = {arm: runs for arm, runs in self.predictions["test"].items() if arm in {REFERENCE, *self.arms}}
        evaluator = self._whole_arms()
        return evaluator.equal_cost(arms, self.labels["test"], self.cost, self._worth_metric, subsets=10)

    @cached_property
    def diversity(self) -> pd.DataFrame:
        """How differently the members of each arm predict, and what that gains; see `evaluation.diversity_table`."""
        return evaluation.diversity_table(self.predictions["test"], self.labels["test"])

    @cached_property
    def paragraphs(self) -> list[Paragraph]:
        """The verdict, one paragraph for each question."""
        worth = self.worth if self._has_worth else None
        found = paragraphs(self.contrasts, self.cost, self.interval, worth, self.equal_cost)
        first = [trial for trial in self.trials if trial.repetition == 0]  # the choice for all, or for the first split
        trials = [(trial, score_of_trial(trial, self.store)) for trial in first]
        return [*found, *map(Paragraph, notes.choices(self.settings, self.chosen[0], trials) if trials else ())]

    def verdict(self) -> str:
        """Return the answer in plain sentences, one paragraph a line, made from the tables alone."""
        return "\n".join(map(str, self.paragraphs))

    def answer(self) -> Answer:
        """Return which arm to use, how much better it is, how sure that is, what it costs, and what is not settled."""
        return answer(self.contrasts, self.cost)

    def table(self) -> pd.DataFrame:
        """Return quality with intervals beside cost, one row per arm and rule, as strings."""
        return report.result_table(self.scores, self.cost)

    def checks(self, ignore: Collection[str] = ()) -> list[Check]:
        """Return what may change the answer, and then what a reader of the numbers must know.

        Args:
            ignore: Numbers of checks that are not wanted, such as "EVD003"; `docs/checks.md` has them all.

        Raises:
            InputError: A number that no check has.
        """
        return numbered_checks.sorted_checks(self._checks, ignore)

    @cached_property
    def _checks(self) -> list[Check]:
        wanted, examples = self.settings, self.labels["test"]
        environment = self._held(kept.environment_of, self.runs[0][0])
        rated = not wanted.tuned and any(RECIPES[recipe].dropout for recipe in wanted.trained)
        chose = "val" in wanted.splits and (wanted.tuned or wanted.patience is not None)
        found = numbered_checks.of_design(
            len(self.runs), self.answer(), float(wanted.rate) if rated else None, judges_what_chose=chose
        )
        found += numbered_checks.of_differences(self.contrasts, bool(wanted.tuned))
        found += numbered_checks.of_data(
            examples,
            self.spec["classes"],
            self.scores,
            environment.get("test_in_train"),
            environment.get("telling_columns", ()),
        )
        if len(self.spec["classes"]) <= _CLASSES:
            found += numbered_checks.of_classes(self._confusions.table)
        found += numbered_checks.of_members(self.diversity) if self._has_reference else []
        found.append(Check("EVD002", notes.infinite(self.scores, self.arms, examples, len(self.runs)), issue=False))
        if self._worth_metric != "calibrated_nll":
            found.append(Check("EVD011", notes.uncalibrated(examples.shape[-1]), issue=False))
        if not wanted.new_splits:  # of which some validation parts are easier and some harder
            val, test = (self.predictions[split][self._any] for split in _SPLITS)
            found.append(Check("EVD003", notes.unlike_test(val, self.labels["val"], test, examples), issue=False))
        found.append(self._done_learning())
        return found + ([Check("EVD013", notes.LEFT_OUT_OVER_SPLITS, issue=False)] if wanted.new_tests else [])

    def _done_learning(self) -> Check:
        if self.probes:
            losses = [self._held(kept.histories_of, run).val_loss.to_numpy() for run in self.probes]
            gains = notes.gains(list(zip(self.probes, losses, strict=True)))
            return Check("EVD001", notes.probed(gains), issue=any(gain >= notes.HELPED for gain in gains.values()))
        return Check("EVD001", notes.cut_short(self.histories, self.runs, self.settings.epochs), issue=True)

    def notes(self) -> str:
        """Return what the checks found, in sentences."""
        return " ".join(check.found for check in self.checks())

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
            own(path / "figures")
            own(path / "tables").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"out {str(path)!r} cannot be made: {error.strerror}") from error
        tables, displays = self._numbers(), self.figures()
        content = self._content(displays, drawn=True)
        for table in content.tables:
            text = report.latex_table(table, f"{table.title}: {self._data}.", quality_only=table.name == "quality")
            _write(path / "tables" / f"{table.name}.tex", text)
        for name, numbers in tables.items():
            _write(path / "tables" / f"{name}.csv", as_csv(numbers))
        for name, display in displays.items():
            display.save(path / "figures" / name)
            _write(path / "figures" / f"{name}.csv", as_csv(display.frame()))
        _write(path / "report.md", report.report_markdown(content))
        _write(path / "report.html", report.report_html(content))
        return path / "report.html"

    def _content(self, displays: Mapping[str, plots.Display], drawn: bool) -> Report:
        """Return what stands in the report."""
        return report.compose(
            self.spec,
            self.environment,
            verdict=self.paragraphs,
            checks=self.checks(),
            interval=self.interval,
            scores=self.scores,
            contrasts=self.contrasts,
            cost=self.cost,
            diversity=self.diversity if self._has_reference else None,
            figures=[_figure(name, display, drawn) for name, display in displays.items()],
        )

    def _numbers(self) -> dict[str, pd.DataFrame]:
        """Return all tables of numbers by the name of their file."""
        contrasts = self.contrasts  # first, for scores come with them
        tables = {"scores": self.scores, "contrasts": contrasts, "cost": self.cost, "equal_cost": self.equal_cost}
        tables |= {"sizes": self.sizes} if self._pools else {}
        tables |= {"worth": self.worth} if self._has_worth else {}
        tables |= {"diversity": self.diversity} if self._has_reference else {}
        return tables | ({"conditions": self.conditions} if self._has_conditions else {})

    @property
    def _has_conditions(self) -> bool:
        return bool(self.settings.shifts or self.settings.other_data or self.settings.exact)

    def save(self, folder: str | PathLike[str], force: bool = False) -> Path:
        """Write everything to `folder`, the manifest last; return the path of the report.

        Raises:
            InputError: The folder holds something else, and `force` is not given.
        """
        path = Path(folder)
        store = folders.open_folder(path)
        with store.hold("comparison"):
            folders.claim(path, self.asked, force)
            everything = [*(run for runs in self.runs for run in runs), *self.trials, *self.probes]
            store.tidy()
            with store.claim(tuple(everything)) as mine:
                for run in mine:
                    files = sorted(self.store.files(run))
                    store.put(run, dict(zip(files, self.store.read(run, *files), strict=True)))
            held = [run.name for run in everything if not store.has(run)]
            if held:
                raise InputError(f"{held[0]} is being made by another process in {str(path)!r}; save when it is done")
            return path / "report.md" if folders.is_finished(path) else self.write(path)

    def to_keras(
        self, arm: str | None = None, rule: str | None = None, *, repetition: int = 0, passes: int | None = None
    ) -> keras.Model:
        """Return one `keras.Model` of an arm that takes what the user's file held; see `export`, which writes it.

        Of arrays it takes the array, of a table a dictionary of `numbers` and `categories`, raw columns in the order of
        the features. It gives a dictionary of `probabilities`, shape (examples, classes), `entropy` and, of several
        members, `mutual_information`, in nats.
        """
        from ensemble_vs_dropout.experiments.deploying import deployable

        return deployable(self, arm, rule, repetition, passes)[0]

    def export(
        self,
        path: str | PathLike[str],
        arm: str | None = None,
        rule: str | None = None,
        *,
        repetition: int = 0,
        passes: int | None = None,
    ) -> dict[str, Any]:
        """Write an arm to one file: what was fitted on the training part and the networks, of stock layers.

        Args:
            path: Of the file, which ends in .keras, or in .onnx or .tflite for ONNX and LiteRT; a folder, without an
                ending, is a SavedModel. What is written for another runtime than Keras is read back by it, and must
                predict what Keras does, within 1e-5; beside it, a .json tells what it takes.
            arm: A name in `arms`; None for that of `answer`.
            rule: mean, geometric_mean or majority_vote; None for the rule of the answer, or the mean.
            repetition: Whose networks, from 0. Of an arm whose networks are judged alone it is the first of them.
            passes: Of Monte Carlo dropout, each the network of one fixed mask; None for as many as were judged.

        Returns:
            What the file tells beside the model: arm, rule, members, classes, and what it takes. Of another runtime
            also, as `exported`, its bytes, its seconds and Keras' for one example, and how far both are apart.

        Raises:
            InputError: No such arm or repetition, networks that cannot be exported, a runtime that is not installed or
                cannot do what they do, or another ending of `path`.
        """
        from ensemble_vs_dropout.experiments.deploying import deployable
        from ensemble_vs_dropout.predictors.deployed import write
        from ensemble_vs_dropout.predictors.formats import check_path, write_for_runtime

        path = check_path(Path(path))
        model, told = deployable(self, arm, rule, repetition, passes)
        if path.suffix == ".keras":
            write(path, model, told)
            return told
        return write_for_runtime(path, model, told)

    @property
    def asked(self) -> dict[str, Any]:
        """What was asked for, as `comparison.json` has it."""
        return folders.asked_of(self.settings.given(), len(self.runs), self.facts, self.runs[0][0])

    def write(self, path: Path) -> Path:
        """Write what is made of the runs to the folder that `folders.open_folder` gave."""
        own(path / "figures")
        (path / folders.PAGE).unlink(missing_ok=True)  # it was made of what is written anew
        for name, table in self._numbers().items():
            _write(path / f"{name}.csv", as_csv(table))
        for name, table in (("scores", self.scores), ("contrasts", self.contrasts), ("histories", self.histories)):
            write_whole(path / f"{name}.parquet", table.to_parquet())
        _write(path / "verdict.txt", self.verdict() + "\n")
        _write(path / "table.md", report.to_markdown(self.table()) + "\n")
        _write(path / "environment.json", json.dumps(self.environment, indent=2))
        displays = self.figures(_SHORT)
        for name, display in displays.items():
            display.save(path / "figures" / name)
        _write(path / "report.md", report.report_markdown(self._content(displays, drawn=False)))
        runs = [[run.name for run in runs] for runs in self.runs]
        beside = {"trials": [run.name for run in self.trials], "probes": [run.name for run in self.probes]}
        chosen = [dict(one) for one in self.chosen]
        folders.write_asked(path, {**self.asked, "runs": runs, "chosen": chosen, **beside})
        folders.finish(path)
        return path / "report.md"

    def write_page(self, folder: str | PathLike[str]) -> Path | None:
        """Write `report.html` to the folder of this finished comparison, if it is not there.

        Returns:
            Its path; None where it is not there and the folder is only to be read.
        """
        path = Path(folder) / folders.PAGE
        if path.exists():
            return path
        if not can_write(path.parent):
            return None
        _write(path, report.report_html(self._content(self.figures(), drawn=True)))
        return path

    @classmethod
    def load(cls, folder: str | PathLike[str]) -> Comparison:
        """Read a finished run; its tables are made anew from its predictions.

        Raises:
            InputError: The folder holds no finished run, or a file has changed since.
        """
        path = Path(folder)
        if folders.is_of_first_format(path) and (path / "manifest.json").exists():
            from ensemble_vs_dropout.experiments.first_format import read_first_format

            try:
                return cls(*read_first_format(path))
            except (OSError, AttributeError, *DAMAGED_ARCHIVE) as error:
                raise InputError(f"{str(path)!r} is damaged: {error}; copy it again") from error
        found = folders.read_comparison(path)
        if "runs" not in found:
            raise InputError(f"{str(path)!r} holds no finished run: the same evd compare goes on with what is there")
        if folders.has_changed(path):
            raise InputError(f"{str(path)!r} is damaged: comparison.json changed since; run the comparison again")
        store = Store(path, create=False)
        try:
            settings = Settings.model_validate(found["settings"])
            runs = [[store.run(name) for name in names] for names in found["runs"]]
            if not (runs and all(runs)):
                raise ValueError("comparison.json names no runs")
            chosen = [{recipe: dict(keys) for recipe, keys in one.items()} for one in found.get("chosen", ())]
            facts = dict(found.get("facts", {}))
            trials, probes = ([store.run(name) for name in found.get(kind, ())] for kind in ("trials", "probes"))
            for run in (*(run for of_one in runs for run in of_one), *trials, *probes):
                kept.check_spec(run)
        except ValidationError as error:
            raise InputError(f"{str(path)!r}: comparison.json cannot be read: {error.errors()[0]['msg']}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{str(path)!r} is damaged: {error}; run the comparison again") from error
        broken = [f"{run.name}/{file}" for of_one in runs for run in of_one for file in store.damaged(run)]
        if broken:
            raise InputError(f"{str(path)!r} is damaged: {', '.join(broken)} changed since; run the comparison again")
        return cls(settings, runs, store, facts, chosen, trials, probes)

    def to_json(self, folder: Path | None = None) -> str:
        """Return scores, contrasts, cost and verdict as JSON; what is infinite or undefined stands as a string."""
        found = self.answer()
        content = {
            "scores": _records(self.scores),
            "contrasts": _records(self.contrasts),
            "cost": _records(self.cost),
            "worth": _records(self.worth) if self._has_worth else [],
            "equal_cost": _records(self.equal_cost),
            **({"conditions": _records(self.conditions)} if self._has_conditions else {}),
            "answer": _plain(asdict(found)) | {"sentences": found.sentences},
            "checks": [asdict(check) for check in self.checks()],
            "verdict": [str(paragraph) for paragraph in self.paragraphs],
            "spec": self.spec,
            "environment": self.environment,
            "folder": str(folder) if folder else None,
        }
        return json.dumps(content, indent=1, allow_nan=False)

    @property
    def _data(self) -> str:
        return f"{self.spec['dataset']}, {self.settings.model.name}"

    def figures(self, names: Collection[str] | None = None) -> dict[str, plots.Display]:
        """Return the figures of the report by the name of their files, in their order.

        Args:
            names: Those that are wanted, "planned_questions" among them; None for all of the report. One that it lacks
                is left out.
        """
        made = {
            "arm_intervals": self._arm_intervals,
            "ensemble_size": self._ensemble_size,
            "learning_curves": self._learning_curves,
            "class_errors": self._class_errors,
            "confusion_matrix": self._confusion_matrix,
            "reliability_pooling": self._reliability_pooling,
            "shift_robustness": self._shift_robustness,
            "ood_entropy_hist": self._ood_entropy,
            "accuracy_vs_confidence": self._accuracy_vs_confidence,
        }
        for name in _OF_SAME_EXAMPLES if self.settings.new_tests else ():
            del made[name]
        if names is not None:  # the page has the same forest in letters
            made["planned_questions"] = self._planned_questions
        found = {name: make() for name, make in made.items() if names is None or name in names}
        return {name: display for name, display in found.items() if display is not None}

    def plot(
        self,
        name: str,
        ax: Any = None,
        *,
        metrics: Sequence[str] | None = None,
        colors: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        width: str = "double",
        style: str = "notebook",
    ) -> Any:
        """Draw a figure of the report; return its axes in one flat array.

        Args:
            name: A name in `figures()`, such as "ensemble_size", or "planned_questions".
            ax: Axes to draw on, one for each panel; by default a figure of its own.
            metrics: Those whose panels are drawn; None for all that the figure has.
            colors: By arm, such as {"ensemble": "black"}, where another is wanted.
            labels: By arm, what the figure calls it.
            width: "double" or "single", as of a page's columns.
            style: "paper", "notebook" or "talk".

        Raises:
            InputError: No such figure, or one that this comparison lacks the data for; a metric or an arm that it has
                not.
        """
        from ensemble_vs_dropout.plots.style import named

        for arm in {**(colors or {}), **(labels or {})}:
            check_known("arm", arm, [*self.arms, *RECIPES])
        with named(colors, labels):
            found = self.figures([name])
            if name not in found:
                check_known("figure", name, [*self.figures(), *self.figures(["planned_questions"])])
            display = found[name].of_metrics(metrics) if metrics is not None else found[name]
            return display.plot(ax, width=width, style=style)

    def _arm_intervals(self) -> plots.Display:
        from ensemble_vs_dropout import plots

        return plots.ArmIntervals.from_scores(self.scores, dataset=self._data, interval=f"95 % {self.interval}")

    def _planned_questions(self) -> plots.Display | None:
        from ensemble_vs_dropout import plots

        if not any(math.isfinite(one.value) for asked in self.answer().planned for one in asked):
            return None
        metrics = told_metrics(self.contrasts)
        return plots.PlannedQuestions.from_contrasts({self._data: self.contrasts}, dataset=self._data, metrics=metrics)

    def _ensemble_size(self) -> plots.Display | None:
        from ensemble_vs_dropout import plots

        alone = self.scores[self.scores.arm.isin([arm for arm, known in ARMS.items() if not known.grows])]
        examples = "95 % bootstrap over the test examples"
        if self.settings.new_tests:
            examples = f"95 % {self.interval}"
        if not self._pools:
            return None
        return plots.EnsembleSize.from_curves(
            self.sizes, dataset=self._data, interval=examples, references=alone if len(alone) else None
        )

    def _learning_curves(self) -> plots.Display:
        from ensemble_vs_dropout import plots

        return plots.LearningCurves.from_histories(self.histories, dataset=self._data)

    @cached_property
    def _confusions(self) -> Finding:
        rules = {arm: EACH for arm in judged_alone()}
        return confusions(self.arms, self.labels["test"], self.spec["classes"], rules)

    def _class_errors(self) -> plots.Display | None:
        from ensemble_vs_dropout import plots

        if len(self.spec["classes"]) > plots.MOST_CLASSES:
            return None
        return plots.ClassErrors.from_confusions(self._confusions, dataset=self._data)

    def _confusion_matrix(self) -> plots.Display | None:
        from ensemble_vs_dropout import plots

        if len(self.spec["classes"]) > plots.MOST_CLASSES:
            return None
        return plots.ConfusionMatrix.from_confusions(self._confusions, self.answer().use.arm, dataset=self._data)

    def _reliability_pooling(self) -> plots.Display | None:
        from ensemble_vs_dropout import plots

        if not self._has_reference:
            return None
        return plots.ReliabilityPooling.from_predictions(
            self.predictions["test"][REFERENCE], self.labels["test"], dataset=self._data
        )

    def _shift_robustness(self) -> plots.Display | None:
        from ensemble_vs_dropout import plots

        if not self.settings.shifts:
            return None
        shifted = self.conditions[self.conditions.condition.isin(["clean", *self.settings.shifts])]
        return plots.ShiftRobustness.from_scores(
            shifted[shifted.arm.isin(list(self.arms))], dataset=self._data, units=shift_units(self.settings)
        )

    def _ood_entropy(self) -> plots.Display | None:
        from ensemble_vs_dropout import plots

        known, unknown = self._known_and_unknown
        if unknown is None:
            return None
        return plots.OODEntropy.from_predictions(
            known, unknown, dataset=self._data, other=str(self.settings.other_data)
        )

    def _accuracy_vs_confidence(self) -> plots.Display | None:
        from ensemble_vs_dropout import plots

        if len(self.labels["test"]) < plots.accuracy_vs_confidence.LEAST:
            return None
        known, unknown = self._known_and_unknown
        return plots.AccuracyVersusConfidence.from_predictions(
            known, self.labels["test"], unknown, dataset=self._data, other=self.settings.other_data
        )

    @property
    def _known_and_unknown(self) -> tuple[Arms, Arms | None]:
        """The predictions of the arms for the test part, and for other data where there are any."""
        known, unknown = (
            {arm: runs for arm, runs in self.predictions.get(part, {}).items() if arm in self.arms}
            for part in ("test", "other")
        )
        return known, unknown or None


def comparisons(plan: Plan, store: Keeping) -> Iterator[tuple[dict[str, Any], Comparison]]:
    """Yield the keys of each point of a study and its comparison, of the points whose runs are all finished.

    Raises:
        InputError: Of no point they are.
    """
    there = store.finished()
    points: dict[str, list[Point]] = {}
    for point in plan.points:
        points.setdefault(json.dumps(point.keys, sort_keys=True), []).append(point)
    settings = {json.dumps(keys, sort_keys=True): one for keys, one in plan.study.points()}
    whole = [
        (of_one, settings[key])
        for key, of_one in points.items()
        if "test" in settings[key].splits
        and all(point.runs and all(run.name in there for run in point.runs) for point in of_one)
    ]
    if not whole:
        raise InputError(
            f"no point of the study {plan.study.name!r} is finished with scores of the test part; evd study run makes "
            "its runs, and splits must hold test"
        )
    for of_one, wanted in whole:
        chosen = [point.chosen for point in of_one if point.chosen]
        beside = beside_runs(of_one, store)
        yield of_one[0].keys, Comparison(wanted, [point.runs for point in of_one], store, plan.facts, chosen, *beside)


def beside_runs(points: Sequence[Point], store: Keeping) -> tuple[list[Run], list[Run]]:
    """Return the trials and the probes of the repetitions of a point, but for those that failed."""
    there = store.finished()
    both = (run for point in points for run in point.trials), (run for point in points for run in point.probes)
    trials, probes = (list({run.name: run for run in runs if run.name in there}.values()) for runs in both)
    return trials, probes


def contrasts_of(plan: Plan, store: Keeping) -> pd.DataFrame:
    """Return the contrasts of every finished point of a study: the keys that vary, and the columns of `contrasts`."""
    tables = []
    for keys, found in comparisons(plan, store):
        table = found.contrasts
        for place, (key, value) in enumerate(keys.items()):
            table = table.copy() if place == 0 else table
            table.insert(place, f"study_{key}" if key in table else key, [value_in_a_cell(value)] * len(table))
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def shift_units(settings: Settings) -> dict[str, str]:
    """Return each shift of the settings with the unit of its amounts, in words."""
    return {
        name: f"{name} ({_AMOUNTS.get(name, 'amount') if amounts != 'severities' else 'severity'})"
        for name, amounts in settings.shifts.items()
    }


_AMOUNTS = {"rotation": "degrees", "translation": "pixels"}


def _write(path: Path, text: str) -> None:
    write_whole(path, text.encode())


def _figure(name: str, display: plots.Display, drawn: bool) -> Figure:
    """Return a display for the report; `drawn` without title and caption, which the page has in its own letters."""
    drawings = {}
    if drawn:
        bare = replace(display, title="", caption="")
        with tempfile.TemporaryDirectory() as folder:
            for size, width in (("wide", "double"), ("narrow", "single")):
                (path,) = bare.save(Path(folder) / size, ["svg"], width=width)
                drawings[size] = path.read_text(encoding="utf-8")
    return Figure(name, display.title, display.caption, display.frame(), drawings)


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [_plain(row) for row in table.to_dict("records")]


def _plain(value: Any) -> Any:
    """Return a value, or what is in a container, as JSON holds it."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if value is pd.NA:
        return None
    value = value.item() if isinstance(value, np.generic) else value
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
