"""`EnsembleClassifier`: an ensemble of networks as a scikit-learn estimator."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.preprocessing import LabelEncoder, StandardScaler
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.measures.aggregation import find_rule
from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.models.builders import Builder, build_for
from ensemble_vs_dropout.predictors import Ensemble
from ensemble_vs_dropout.predictors.base import check_classifies
from ensemble_vs_dropout.types import Dataset, FloatArray, IntArray


def dense_network(features: int, classes: int) -> keras.Model:
    """Return a compiled network of two hidden layers of 64 units on standardised features."""
    model = keras.Sequential(
        [
            keras.Input((features,)),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(classes),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-2), loss, metrics=["accuracy"])
    return model


class EnsembleClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """N independent networks that classify tables, for pipelines, cross-validation and grid search.

    Args:
        build: A function of some of `data` (a `Dataset` of the training examples), `rate` (0 here) and `width` (1), or
            of nothing, that returns a new compiled Keras model, as for `compare`; `build(features, classes)`, two
            numbers, is taken too. None for two layers of 64 units.
        members: Networks, at least 1.
        epochs: Epochs of training.
        batch_size: Examples in a step.
        rule: A name in `RULES` that needs no weights.
        strategy: Of training; see `Ensemble.fit`.
        standardise: Whether to subtract the training features' means and divide by their deviations.
        random_state: An integer, a NumPy `RandomState`, or None for other networks at each fit.
        verbose: 0 silent, 1 progress, 2 one line per epoch.

    Attributes:
        classes_: The labels.
        n_features_in_: The number of features.
        ensemble_: The trained `Ensemble`.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(60, 2))
        >>> classifier = EnsembleClassifier(members=2, epochs=2, random_state=0).fit(x, x[:, 0] > 0)
        >>> classifier.predict(x).shape, classifier.classes_.tolist()
        ((60,), [False, True])
        >>> classifier.predict_proba(x).shape
        (60, 2)
    """

    def __init__(
        self,
        build: Builder | None = None,
        members: int = 5,
        epochs: int = 20,
        batch_size: int = 32,
        rule: str = "mean",
        strategy: str = "auto",
        standardise: bool = True,
        random_state: Any = None,
        verbose: int = 0,
    ):
        self.build = build
        self.members = members
        self.epochs = epochs
        self.batch_size = batch_size
        self.rule = rule
        self.strategy = strategy
        self.standardise = standardise
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any, sample_weight: npt.ArrayLike | None = None) -> EnsembleClassifier:
        """Train on features (examples, features) and labels (examples,) of any kind."""
        features, labels = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(labels)
        if sample_weight is not None and not np.asarray(sample_weight).any():
            raise ValueError("sample_weight must hold at least one weight that is not zero")
        encoder = LabelEncoder().fit(labels)
        self.classes_ = encoder.classes_
        if len(self.classes_) < 2:
            raise ValueError(f"y must hold at least two classes, got one class: {self.classes_[0]!r}")
        find_rule(self.rule)  # said now if there is none, not after all training
        self._scaler = StandardScaler(with_mean=self.standardise, with_std=self.standardise).fit(features)
        x, truth = self._scaled(features), encoder.transform(labels)
        one_each = np.unique(truth, return_index=True)[1]
        self._build = self._bound(x[one_each], truth[one_each])  # for unpickling, which needs no more
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        self.ensemble_ = Ensemble(self._bound(x, truth), self.members, seed)
        check_classifies("what build returns", self.ensemble_)
        self.ensemble_.fit(
            x,
            truth,
            epochs=self.epochs,
            batch_size=self.batch_size,
            strategy=self.strategy,
            sample_weight=sample_weight,
            verbose=self.verbose,
        )
        return self

    def predict_proba(self, X: Any) -> FloatArray:
        """Return the pooled probabilities, shape (examples, classes), in the order of `classes_`."""
        check_is_fitted(self, "ensemble_")
        features = validate_data(self, X, dtype=np.float64, reset=False)
        return self.ensemble_.predict(self._scaled(features), rule=self.rule)

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Return the labels, shape (examples,); of several highest the first."""
        best = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[best])

    def _bound(self, features: FloatArray, labels: IntArray) -> Callable[[], keras.Model]:
        """Return the builder with what it takes."""
        build = self.build or dense_network
        taken = inspect.signature(build).parameters.values()
        places = [
            p.name for p in taken if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
        if len(places) >= 2 and not {"data", "rate", "width"} & set(places):
            return partial(build, features.shape[1], len(self.classes_))
        one = features[:1], labels[:1]  # a data set has three parts; builders look at shapes and classes
        data = Dataset("training", features, labels, *one, *one, tuple(map(str, self.classes_)))
        return partial(build_for, build, data, rate=0.0, needs_rate=False)

    def _scaled(self, features: FloatArray) -> FloatArray:
        return np.asarray(self._scaler.transform(features), dtype=np.float32)

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: the ensemble as the bytes of the file it saves, without any code."""
        state = dict(super().__getstate__())
        if "ensemble_" in state:
            with tempfile.TemporaryDirectory() as folder:
                state["ensemble_"].save(Path(folder) / "ensemble.zip")
                state["ensemble_"] = (Path(folder) / "ensemble.zip").read_bytes()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore from what `__getstate__` returned."""
        if isinstance(state.get("ensemble_"), bytes):
            with tempfile.TemporaryDirectory() as folder:
                (Path(folder) / "ensemble.zip").write_bytes(state["ensemble_"])
                state = {**state, "ensemble_": _read(Path(folder) / "ensemble.zip", state["_build"])}
        super().__setstate__(state)


def _read(path: Path, build: Callable[[], keras.Model]) -> Ensemble:
    """Return a saved ensemble as its file tells, or of new members where a part of it needs the builder."""
    try:
        return Ensemble.load(path)
    except InputError:
        return Ensemble.load(path, build)
