"""How each figure of the gallery is made of a source, and what it needs of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ensemble_vs_dropout import plots
from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.datasets import shift
from ensemble_vs_dropout.evaluation.arms import RECIPES, arms_of, judged
from ensemble_vs_dropout.evaluation.evaluator import SCORE_COLUMNS
from ensemble_vs_dropout.evaluation.sizes import SIZES
from ensemble_vs_dropout.evaluation.verdict import told_metrics
from ensemble_vs_dropout.experiments.comparison import shift_units
from ensemble_vs_dropout.experiments.gallery.sources import (
    ComparisonSource,
    Lacking,
    Source,
    StudySource,
    data_of,
    is_shown,
    take,
    value_at,
    words_of,
)
from ensemble_vs_dropout.types import Predictions


@dataclass(frozen=True)
class Drawing:
    """How a figure is made.

    Attributes:
        make: Makes it of a source that has what it needs, or raises `Lacking`.
        study: The study file that describes the runs of the gallery's own.
        needs: What it needs, in words.
        of_study: Whether only a study can have it.
        over: The keys that must vary; what else varies has panels of its own. None for a figure of one point.
        also: Further keys that it shows where they vary, or what returns them; "model" is all of the model's.
        of_one: Whether it is of one repetition.
        apart: Whether what else varies can have panels of its own; else the figure is of the first value of it.
    """

    make: Callable[[Any], plots.Display]
    study: str
    needs: str
    of_study: bool = True
    over: tuple[str, ...] | None = None
    also: tuple[str, ...] | Callable[[StudySource], tuple[str, ...]] = ()
    of_one: bool = False
    apart: bool = True

    def draw(self, source: Source, at: Mapping[str, Any] | None = None) -> plots.Display:
        """Return the figure of a source, where a study's settings have the values of `at`.

        Raises:
            Lacking: It does not hold what the figure needs.
            InputError: What it holds cannot be drawn.
        """
        if isinstance(source, ComparisonSource):
            return self.make(source)
        source = source.where({key: value for key, value in (at or {}).items() if key in source.varied})
        if self.of_one and "repetition" not in source.at:
            source = source.where({"repetition": next(source.points())[0].repetition})
        if not set(self.over or ()) <= set(source.keys):
            raise Lacking
        also = self.also(source) if callable(self.also) else self.also
        further = source.keys if self.over is None else source.further([*self.over, *also])
        if self.apart and self.over is not None and further:
            parts = source.parts(further)
            made = [({key: part.at[key] for key in further}, self.make(part)) for part in parts]
            return _with_place(plots.Facets.from_displays(made), source)
        first = next(source.points())
        source = source.where({key: value_at(key, *first) for key in further})
        return _with_place(self.make(source), source)


def _with_place(display: plots.Display, source: StudySource) -> plots.Display:
    """Return the figure with a caption that tells which part of the study it is of, and what its repetitions vary."""
    several = source.plan.study.repetitions > 1
    parts = {False: "seeds", "train": "seeds, training and validation data", True: "seeds and data"}
    varied = f"Repetitions have {parts[source.settings.new_splits]} of their own." if several else ""
    told = [display.caption, source.place, varied]
    return replace(display, caption=" ".join(filter(None, told)))


def _of_report(name: str) -> Callable[[Source], plots.Display]:
    """Return what draws a figure as the report of a comparison has it, of the same table."""

    def make(source: Source) -> plots.Display:
        return take(source.comparison.figures([name]), name)

    return make


def _mc_vs_weight_scaling(source: Source) -> plots.Display:
    found = source.first
    arms = found.of("mc_dropout", "dropout")
    # Passes are those of the first network of a repetition, of which weight scaling may be judged for all.
    scaled = [Predictions(run.probs[:1]) for run in arms["dropout"]]
    networks = list(zip(arms["mc_dropout"], scaled, strict=True))
    return plots.MCVersusWeightScaling.from_predictions(
        *networks[0], found.labels["test"], dataset=found.data, further=networks[1:]
    )


def _retention_sweep(source: StudySource) -> plots.Display:
    every = ["rate", "width", *SCORE_COLUMNS]
    table = source.table[source.table.condition == "clean"].assign(width=source.table.get("width", 1.0))
    table = table[every].drop_duplicates()  # the plain networks are the same at every rate
    if "width" not in source.keys:
        return plots.RetentionSweep.from_scores(table, dataset=source.data)
    plain, fixed = table.arm == "single", table.width == 1
    scaled = (_is_scaled(table.rate, table.width) & ~plain) | (plain & fixed)
    return plots.RetentionSweep.from_scores(table[fixed], dataset=source.data, scaled=table[scaled])


def _is_scaled(rate: Any, width: Any) -> Any:
    """Return whether as many units are kept on average as a network of width 1 has."""
    return np.isclose(width * (1 - np.asarray(rate, dtype=float)), 1, atol=0.02)


def _width_if_scaled(source: StudySource) -> tuple[str, ...]:
    """Return the width where it grows as fewer units are kept, so that it has one panel and not one for each width."""
    pairs = [(settings.rate, settings.width) for _, settings in source.points()]
    if any(isinstance(rate, str) for rate, _ in pairs):
        raise Lacking  # it is chosen, and differs from repetition to repetition
    grows = all(width == 1 or _is_scaled(rate, width) for rate, width in pairs)
    return ("width",) if grows and any(width == 1 for _, width in pairs) else ()


def _dataset_size(source: StudySource) -> plots.Display:
    return plots.DatasetSize.from_scores(source.table, dataset=source.data)


def _architectures(source: StudySource) -> plots.Display:
    if not any(is_shown(key, ("model", "width")) for key in source.keys):
        raise Lacking
    without = ("dataset", "train_size", "label_noise", "rate")
    parts = []
    for point, run, table in source.tables("histories.csv"):
        if run.settings.patience is not None:
            raise Lacking
        known = [part for part in ("val_", "test_") if f"{part}accuracy" in table]
        named = {f"{part}error": 1 - table[f"{part}accuracy"] for part in known}
        where = {"architecture": words_of(run, without), "recipe": run.recipe}
        parts.append(table.assign(**named, **where, repetition=point.repetition))
    if not parts:
        raise Lacking
    return plots.Architectures.from_histories(pd.concat(parts, ignore_index=True), dataset=source.data)


def _exact_enumeration(source: StudySource) -> plots.Display:
    nets = []
    runs = {run.name: run for point, _ in source.points() for run in point.runs}
    for run in runs.values():
        wanted, own = run.settings, run.settings.model.model_extra or {}
        if RECIPES[run.recipe].dropout and wanted.exact and wanted.model.name == "mlp" and "units" in own:
            found, units = source.arrays(run), own["units"] * own.get("depth", 1)
            means = {f"{name}_mean": found[f"exact/{rule}"][0] for name, rule in _EXACT.items()}
            words = f"{'-'.join(map(str, units))}, rate {wanted.rate:g}"
            layers = len(units) - (not own.get("input_rate"))  # the last mask only feeds the softmax layer
            scaled = _tested(found, "dropout")[0]
            nets.append(
                plots.SmallNetwork(
                    words, layers, float(wanted.rate), scaled, means["geometric_mean"], means["arithmetic_mean"],
                    found["labels/test"],
                )
            )  # fmt: skip
    if not nets:
        raise Lacking
    return plots.ExactEnumeration.from_predictions(nets, dataset=source.data)


_EXACT = {"geometric": "geometric_mean", "arithmetic": "mean"}


def _combiner_comparison(source: Source) -> plots.Display:
    found = source.first
    arms = found.of("ensemble", "mc_dropout", least=2)
    return plots.CombinerComparison.from_predictions(
        arms, found.labels["test"], dataset=found.data, sizes=(1, 2, 3, 5, 10, 20), subsets=10, resamples=200
    )


def _ood_mutual_information(source: Source) -> plots.Display:
    found = source.first
    known, unknown = (found.of("ensemble", "mc_dropout", part=part) for part in ("test", "other"))
    return plots.OODEntropy.from_predictions(
        known, unknown, dataset=found.data, other=found.other, quantity="mutual_information", resamples=200
    )


def _shift_robustness(source: StudySource) -> plots.Display:
    if not source.settings.shifts:
        raise Lacking
    table = source.table
    metrics = [name for name in ("error", "brier", "nll", "ece") if name in set(table.metric)]
    return plots.ShiftRobustness.from_scores(
        table, dataset=source.data, metrics=metrics, units=shift_units(source.settings)
    )


def _diversity_accuracy_plane(source: StudySource) -> plots.Display:
    _without_stopping(source)
    last = max(settings.epochs for _, settings in source.points())
    plain: dict[int, dict[int, npt.NDArray[Any]]] = {}
    dropout: dict[int, dict[float, tuple[Predictions, Predictions]]] = {}
    for point, settings in source.points():
        for run in point.runs:
            found = source.arrays(run)
            if run.recipe == "plain":
                plain.setdefault(point.repetition, {})[settings.epochs] = take(found, "test/ensemble")
            elif "rate" in point.keys and settings.epochs == last:
                scaled, passes = (_tested(found, arm) for arm in ("dropout", "mc_dropout"))
                of_rate = Predictions(scaled[:1]), Predictions(passes)
                dropout.setdefault(point.repetition, {})[settings.rate] = of_rate
    if any(len(of_epochs) < 2 or repetition not in dropout for repetition, of_epochs in plain.items()) or not plain:
        raise Lacking
    repetitions = []
    for repetition, of_epochs in plain.items():
        *earlier, last = sorted(of_epochs)
        rates = dropout[repetition]
        clouds: dict[str, Predictions | tuple[Predictions, Predictions]] = {
            "independent networks": Predictions(of_epochs[last][1:]),
            "checkpoints": Predictions(np.stack([of_epochs[epoch][0] for epoch in earlier])),
            **{f"MC dropout, rate {rate:g}": rates[rate] for rate in sorted(rates)},
        }
        repetitions.append((Predictions(of_epochs[last][:1]), clouds))
    return plots.DiversityAccuracyPlane.from_predictions(
        *repetitions[0], source.first.labels["test"], dataset=source.data, further=repetitions[1:]
    )


def _without_stopping(source: StudySource) -> None:
    """Go on if a network of fewer epochs is a checkpoint of one of more."""
    if any(settings.patience is not None for _, settings in source.points()):
        raise Lacking


def _rate_of_cases(source: StudySource) -> tuple[str, ...]:
    """Return the rate where some points leave it out: the figure is of those, and needs no panel for each rate."""
    return ("rate",) if any("rate" not in point.keys for point, _ in source.points()) else ()


def _function_space(source: StudySource) -> plots.Display:
    _without_stopping(source)
    found: dict[int, dict[int, tuple[Any, ...]]] = {}
    for point, _ in source.points():
        for run in point.runs:
            if run.recipe == "dropout" and not ("rate" in source.keys and "rate" in point.keys):
                arrays, models = source.arrays(run), source.arrays(run, "models.npz")
                weights = np.concatenate([v.ravel() for name, v in models.items() if name.startswith("0/")])
                of_run = found.setdefault(point.repetition, {})
                scaled, passes = (_tested(arrays, arm) for arm in ("dropout", "mc_dropout"))
                of_run[run.settings.epochs] = scaled[0], weights, passes
                labels = arrays["labels/test"]
    if len(found) < 2:
        raise Lacking
    runs = [[of_run[epoch] for epoch in sorted(of_run)] for of_run in found.values()]
    epochs = sorted(found[0])
    return plots.FunctionSpace.from_predictions(
        [(epochs, Predictions(np.stack([one[0] for one in run]))) for run in runs],
        labels,
        dataset=source.data,
        weights=[np.stack([one[1] for one in run]) for run in runs],
        extra=[Predictions(run[-1][2]) for run in runs],
    )


def _deep_ensemble_equivalent(source: Source) -> plots.Display:
    found = source.first
    several = {**found.several(), **found.of("ensemble", least=2)}
    return plots.DeepEnsembleEquivalent.from_predictions(
        several.pop("ensemble"),
        several,
        found.labels["test"],
        dataset=found.data,
        sizes=SIZES[1:],
        subsets=2,
        resamples=200,
    )


def _eir_vs_der(source: StudySource) -> plots.Display:
    if source.settings.members < 2 or len(source.keys) < 2:
        raise Lacking
    pools = []
    for keys, found in source.experiments():
        words = ", ".join(f"{key} {keys[key]}" for key in source.keys if key in keys)
        for arm in ("ensemble", "mc_dropout"):
            pools.append((words, arm, found.of(arm)[arm]))
    return plots.EIRVersusDER.from_predictions(pools, source.first.labels["test"], dataset=source.data)


def _bias_variance_diversity(source: StudySource) -> plots.Display:
    if source.settings.train_size is None:
        raise Lacking  # every trial would have the same examples
    found = [experiment for _, experiment in source.experiments()]
    trials = [
        Predictions(np.concatenate([run.probs for run in experiment.of("ensemble")["ensemble"]]))
        for experiment in found
    ]  # networks of all repetitions, which differ in their seeds alone as members do
    labels = found[0].labels["test"]
    if any(not np.array_equal(experiment.labels["test"], labels) for experiment in found):
        raise InputError("the trials must share their test part; a data set without one of its own is split anew")
    return plots.BiasVarianceDiversity.from_predictions(trials, labels, dataset=source.data)


def _cost_frontier(source: StudySource) -> plots.Display:
    settings = {id(point): settings for point, settings in source.points()}
    costs = [
        table.assign(width=settings[id(point)].width, members=table.passes, repetition=point.repetition)
        for point, _, table in source.tables("cost.json")
    ]
    if not costs:
        raise Lacking
    # What does not grow with the ensemble is there once for each of its sizes: that of the largest is kept.
    scores, costs = source.table, pd.concat(costs, ignore_index=True)
    scores = scores.sort_values("study_members", kind="stable") if "study_members" in scores else scores
    once = ["width", "arm", "rule", "members", "metric", "split", "condition", "severity", "repetition"]
    return plots.CostFrontier.from_tables(
        scores.drop_duplicates(once, keep="last"),
        costs.drop_duplicates(["width", "arm", "members", "repetition"], keep="last"),
        dataset=source.data,
    )


def _paired_differences(source: StudySource) -> plots.Display:
    first = {settings.dataset: (point.runs[0], settings) for point, settings in source.points()}
    sizes = {name: data_of(run).sizes for name, (run, settings) in first.items() if settings.new_tests}
    shares = {name: sizes[name]["test"] / sizes[name]["train"] if name in sizes else 0.0 for name in first}
    return plots.PairedDifferences.from_scores(source.table, dataset=source.data, test_share=shares)


def _critical_difference(source: StudySource) -> plots.Display:
    return plots.CriticalDifference.from_scores(source.table, dataset=source.data)


def _planned_questions(source: Source) -> plots.Display:
    found = list(itertools.islice(source.comparisons(), _READABLE + 1))
    if len(found) > _READABLE:
        raise InputError(f"a forest of more than {_READABLE} points cannot be read; choose some with --where KEY=VALUE")
    contrasts = {words: one.contrasts for words, one in found}
    if len(contrasts) < len(found):
        raise InputError(
            "points that are told by the same words cannot be drawn beside each other; choose with --where"
        )
    metrics = [
        metric
        for metric in told_metrics(next(iter(contrasts.values())))
        if all(metric in set(table.metric) for table in contrasts.values())
    ]
    if not metrics:
        raise InputError("the points share no metric; choose some with --where KEY=VALUE")
    return plots.PlannedQuestions.from_contrasts(contrasts, dataset=source.data, metrics=metrics)


_READABLE = 6


def _every_key(source: StudySource) -> tuple[str, ...]:
    return tuple(source.keys)


def _activations(source: StudySource) -> plots.Display:
    kernels, active = {}, {}
    point, _ = next(source.points())
    for run in point.runs:
        model = run.settings.model
        own = model.model_extra or {}
        if model.name != "mlp" or own.get("activation", "relu") != "relu" or own.get("batch_norm"):
            raise Lacking
        weights = source.arrays(run, "models.npz")
        layers = [(weights[f"{k}/0"], weights[f"{k}/1"]) for k in range(run.members) if f"{k}/0" in weights]
        x = data_of(run).x_test
        x = x.reshape(len(x), -1).astype(float) / (255 if x.dtype == np.uint8 else 1)
        arm = arms_of(run.recipe)[0].name
        kernels[arm] = layers[0][0]
        active[arm] = np.stack([np.maximum(x @ kernel + bias, 0) for kernel, bias in layers])
    shape = data_of(point.runs[0]).input_shape
    return plots.Activations.from_arrays(
        kernels, active, dataset=source.first.data, image_shape=shape if len(shape) > 1 else None
    )


def _rotated_example(source: StudySource) -> plots.Display:
    of_recipe = {run.recipe: run for run in next(source.points())[0].runs}
    plain, run = (take(of_recipe, name) for name in ("plain", "dropout"))
    wanted = run.settings
    if not wanted.keep_shifted or wanted.shifts.get("rotation", "severities") == "severities":
        raise Lacking  # the figure is of degrees
    found, data = {**source.arrays(plain), **source.arrays(run)}, data_of(run)
    names = sorted({name.split("/")[2] for name in found if name.startswith("shifted/rotation/")}, key=float)
    if not names:
        raise Lacking
    kept = take(found, f"shifted/rotation/{names[0]}/mc_dropout").shape[1]

    def turned(arm: str) -> npt.NDArray[Any]:
        shifted = (take(found, f"shifted/rotation/{name}/{arm}") for name in names)
        parts = [take(found, f"test/{arm}")[:, :kept], *shifted]
        return np.stack(parts, axis=1)  # members, angles, examples, classes

    every = {arm: turned(arm) for arm in ("mc_dropout", "ensemble")}
    passes = every["mc_dropout"]
    labels = passes.mean(0).argmax(-1)
    right = labels[0] == data.y_test[:kept]
    example = int(np.argmax(right * (labels[1:] != labels[:-1]).sum(0)))  # it begins right, and changes most often
    one = data.x_test[example : example + 1]
    images = [one[0], *(shift(one, "rotation", amount=float(name), seed=0)[0] for name in names)]
    return plots.RotatedExample.from_predictions(
        [0.0, *map(float, names)],
        {arm: Predictions(of_arm[:, :, example]) for arm, of_arm in every.items()},
        dataset=source.first.data,
        classes=data.classes,
        images=np.stack(images),
        label=int(data.y_test[example]),
        further=[
            {arm: Predictions(of_arm[:, :, other]) for arm, of_arm in every.items()}
            for other in range(kept)
            if other != example
        ],
    )


def _kappa_error(source: Source) -> plots.Display:
    found = source.first
    return plots.KappaError.from_predictions(found.several(), found.labels["test"], dataset=found.data)


def _disagreement_images(source: StudySource) -> plots.Display:
    found, data = source.first, data_of(next(source.points())[0].runs[0])
    pools = {arm: runs[0] for arm, runs in found.of("ensemble", "mc_dropout", least=2).items()}
    return plots.DisagreementImages.from_predictions(
        pools, data.x_test, found.labels["test"], dataset=found.data, classes=data.classes
    )


def _power_law(source: Source) -> plots.Display:
    return plots.PowerLaw.from_curves(source.comparison.sizes, dataset=source.first.data)


def _tested(found: Mapping[str, npt.NDArray[Any]], arm: str) -> npt.NDArray[Any]:
    """Return what an arm predicted for the test part, or is judged by there."""
    own = {name.removeprefix("test/"): values for name, values in found.items() if name.startswith("test/")}
    return take(judged(own), arm)


_ONE = "networks with and without dropout on the same data, as evd compare and every study keep them"
_OTHER = "predictions of other data (other_data of a study)"
DRAWINGS = {
    "mc_vs_weight_scaling": Drawing(_mc_vs_weight_scaling, "main", _ONE, of_study=False),
    "retention_sweep": Drawing(
        _retention_sweep, "retention", "a study that varies the rate", over=("rate",), also=_width_if_scaled
    ),
    "dataset_size": Drawing(_dataset_size, "train_size", "a study that varies train_size", over=("train_size",)),
    "learning_curves_gap": Drawing(
        _architectures,
        "architectures",
        "a study that varies the network, with patience null and watch [train]",
        over=(),
        also=("model", "width"),
    ),
    "exact_enumeration": Drawing(
        _exact_enumeration, "exact", "a study of small networks with exact true", over=(), also=("model", "rate")
    ),
    "ensemble_size": Drawing(_of_report("ensemble_size"), "main", _ONE, of_study=False),
    "combiner_comparison": Drawing(_combiner_comparison, "main", _ONE, of_study=False),
    "ood_entropy_hist": Drawing(_of_report("ood_entropy_hist"), "main", _OTHER, of_study=False),
    "ood_mutual_information": Drawing(_ood_mutual_information, "main", _OTHER, of_study=False),
    "accuracy_vs_confidence": Drawing(_of_report("accuracy_vs_confidence"), "main", _ONE, of_study=False),
    "shift_robustness": Drawing(_shift_robustness, "shifts", "a study with shifts", over=()),
    "reliability_pooling": Drawing(_of_report("reliability_pooling"), "main", _ONE, of_study=False),
    "diversity_accuracy_plane": Drawing(
        _diversity_accuracy_plane,
        "trajectories",
        "a study of plain networks at several epochs and of several rates",
        over=("epochs",),
        also=("rate",),
    ),
    "function_space": Drawing(
        _function_space,
        "trajectories",
        "a study of dropout networks at several epochs, at least two repetitions",
        over=("epochs",),
        also=_rate_of_cases,
        apart=False,
    ),
    "deep_ensemble_equivalent": Drawing(_deep_ensemble_equivalent, "main", _ONE, of_study=False),
    "eir_vs_der": Drawing(
        _eir_vs_der,
        "eir",
        "a study that varies the epochs with the width or train_size",
        over=("epochs",),
        also=("model", "width", "train_size"),
    ),
    "bias_variance_diversity": Drawing(
        _bias_variance_diversity, "trials", "a study that varies data_seed", over=("data_seed",)
    ),
    "cost_frontier": Drawing(
        _cost_frontier, "cost", "a study that varies the width", over=("width",), also=("members",)
    ),
    "paired_differences": Drawing(
        _paired_differences, "datasets", "a study that varies the dataset", over=("dataset",)
    ),
    "critical_difference": Drawing(
        _critical_difference, "datasets", "a study that varies the dataset", over=("dataset",)
    ),
    "planned_questions": Drawing(_planned_questions, "networks", _ONE, of_study=False, over=(), also=_every_key),
    "activations": Drawing(_activations, "main", "a study of multilayer perceptrons", of_one=True),
    "rotated_example": Drawing(
        _rotated_example, "shifts", "a study with the shift rotation and keep_shifted", of_one=True
    ),
    "kappa_error": Drawing(_kappa_error, "main", _ONE, of_study=False),
    "disagreement_images": Drawing(_disagreement_images, "main", "a study on images", of_one=True),
    "power_law": Drawing(_power_law, "main", _ONE, of_study=False),
}
