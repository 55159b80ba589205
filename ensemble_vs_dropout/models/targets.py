"""In which form a loss wants the labels: known of Keras' own, found out of others by trying them."""

import weakref
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.models.backend import LossFunctionWrapper, keras
from ensemble_vs_dropout.models.calling import as_tensors
from ensemble_vs_dropout.models.copies import probe
from ensemble_vs_dropout.models.heads import COLUMN, NUMBERS, ONE_HOT, Head, read_head, read_loss
from ensemble_vs_dropout.models.number_heads import Output, read_output, trains_numbers

_RIGHT, _WRONG = 0.9, 0.1  # of made-up predictions: the share of one class, and that of all others together
_KNOWN: "weakref.WeakKeyDictionary[Any, dict[Any, list[str]]]" = weakref.WeakKeyDictionary()  # forms by loss
_TOLERANCE = 1e-3  # of the spread of losses: of what must be equal, and least difference of what must not
# Metrics by the form of labels that they want, where they take no other.
_OF: dict[str, tuple[type[Any], ...]] = {
    ONE_HOT: (
    keras.metrics.CategoricalAccuracy, keras.metrics.TopKCategoricalAccuracy, keras.metrics.CategoricalCrossentropy,
    keras.metrics.FBetaScore, keras.metrics.AUC, keras.metrics.Precision, keras.metrics.Recall,
    ),
    NUMBERS: (
    keras.metrics.SparseCategoricalAccuracy, keras.metrics.SparseTopKCategoricalAccuracy,
    keras.metrics.SparseCategoricalCrossentropy,
    ),
}  # fmt: skip


def check_compiled(model: keras.Model) -> None:
    """Raise `InputError` unless a model can be trained or evaluated."""
    if not isinstance(model, keras.Model):
        raise InputError(f"a model must be a keras.Model, got {type(model).__name__}; the builder must return one")
    if not getattr(model, "compiled", False):
        raise InputError(
            f"the model {model.name!r} must be compiled to be trained or evaluated; call model.compile(optimizer, loss)"
        )
    if model.loss is None:
        raise InputError(f"the model {model.name!r} must be compiled with a loss to be trained, got none")


def read_training_output(model: keras.Model, said: str | None = None) -> Output:
    """Read what a model's outputs mean, and how its loss wants labels or targets; see `read_training_head`.

    Raises:
        InputError: See `read_training_head`; or a loss that is not known to be the mean of its examples.
    """
    check_compiled(model)
    head = read_output(model, said)
    if isinstance(head, Head):
        return read_training_head(model, said)
    if not trains_numbers(model):
        raise InputError(
            f"the loss of {model.name!r} must be one of Keras for regression, or GaussianNLL, to be trained, got "
            f"{keras.tree.flatten(model.loss)[0]!r}"
        )
    own = [metric for metric in _metrics(model) if head.columns > 1 and _of_keras(metric)]
    if own:
        raise InputError(
            f"the metrics of {model.name!r} must know that it predicts a mean and a standard deviation, and "
            f"{own[0].name!r} of Keras compares both with the target; leave it out: Evaluator has RMSE, MAE and CRPS"
        )
    return head


def read_training_head(model: keras.Model, said: str | None = None) -> Head:
    """Read what a model's outputs mean, and how its loss wants the labels.

    A loss that is none of Keras' cross-entropies, or that is changed by a class of the user's own, is tried out: it is
    given labels in the form in which it is the mean or the sum of what it is for each example, never lower for a wrong
    class than for the right one, and higher for most. Where several will do it is whole numbers, unless a metric of the
    model wants one-hot labels. A model with a training step of its own is given what Keras would be: whole numbers.

    Raises:
        InputError: See `read_head`; or not compiled, or no form will do.
    """
    check_compiled(model)
    head = read_head(model, said)
    own = type(model).compute_loss is not keras.Model.compute_loss
    if type(model).train_step is not keras.Model.train_step:
        return head if read_loss(model) is not None else replace(head, form=NUMBERS)
    if read_loss(model) is not None and not own and not _is_changed(model):
        return _by_metrics(model, head, [head.form])
    loss, known = keras.tree.flatten(model.loss)[0], {}
    with suppress(TypeError):  # what cannot be referred to weakly is tried each time
        known = _KNOWN.setdefault(loss, {})
    kind = (type(model).compute_loss if own else None, head)
    if own or kind not in known:
        known[kind] = _found(model, head, own, read_loss(model) is not None)
    return _by_metrics(model, head, known[kind])


def _is_changed(model: keras.Model) -> bool:
    """Return whether a loss is of a class that computes otherwise than Keras' class that it inherits from."""
    loss = keras.tree.flatten(model.loss)[0]
    call = getattr(loss if isinstance(loss, type) else type(loss), "call", None)
    of_class = isinstance(loss, keras.losses.Loss) or (isinstance(loss, type) and issubclass(loss, keras.losses.Loss))
    return of_class and not str(getattr(call, "__module__", "")).startswith("keras.")


def _found(model: keras.Model, head: Head, own: bool, declared: bool) -> list[str]:
    """Return the forms that will do, the first of them in front."""
    forms = [NUMBERS, COLUMN] if head.units == 1 else [NUMBERS, ONE_HOT, COLUMN]
    if declared or (head.units == 1 and not own):  # what a loss of Keras' own would have comes first
        forms = [head.form, *(form for form in forms if form != head.form)]
    trial, fits, reasons = _Trial(model, head, own), [], []
    for form in forms:
        reason = trial.why_not(form)
        reasons.append(reason)
        if not reason:
            fits.append(form)
    if not fits:
        loss, told = keras.tree.flatten(model.loss)[0], "; ".join(dict.fromkeys(reasons))
        raise InputError(
            f"the loss of {model.name!r} must be lower for the right class than for a wrong one, and the mean or the "
            f"sum over examples, and {loss!r} is not, with labels in any form ({told[:400]})"
        )
    return fits


def _by_metrics(model: keras.Model, head: Head, forms: Sequence[str]) -> Head:
    """Return the head with the first of the forms that will do which the compiled metrics take, too."""
    if head.units == 1:
        return replace(head, form=forms[0])
    metrics = list(_metrics(model))
    wanted = {kind: [m for m in metrics if isinstance(m, kinds)] for kind, kinds in _OF.items()}
    form = ONE_HOT if wanted[ONE_HOT] and ONE_HOT in forms else forms[0]
    other = wanted[NUMBERS if form == ONE_HOT else ONE_HOT]
    if other:
        has, wants = ("one-hot labels", "whole numbers")[:: 1 if form == ONE_HOT else -1]
        raise InputError(
            f"the metrics of {model.name!r} must want labels in one form with its loss, which has {has}, and "
            f"{type(other[0]).__name__} wants {wants}"
        )
    return replace(head, form=form)


def _metrics(model: keras.Model) -> Iterator[keras.metrics.Metric]:
    config = model._compile_config.config if getattr(model, "_compile_config", None) else {}
    for metric in keras.tree.flatten([config.get("metrics"), config.get("weighted_metrics")]):
        if isinstance(metric, str):
            with suppress(ValueError):
                metric = keras.metrics.get(metric)
        yield metric() if isinstance(metric, type) else metric


def _of_keras(metric: Any) -> bool:
    """Return whether a metric is one of Keras, and not a function of the user's own in one of its classes."""
    function = getattr(metric, "_fn", None) or metric
    module = getattr(function, "__module__", "") if callable(function) else type(metric).__module__
    return metric is not None and str(module or type(metric).__module__).startswith("keras.")


class _Trial:
    """A loss with made-up labels and predictions.

    Args:
        model: Whose loss it is.
        head: What its outputs are.
        own: Whether the model computes its loss by itself.
    """

    def __init__(self, model: keras.Model, head: Head, own: bool):
        self._model, self._head, self._own = model, head, own
        self._classes = sorted({0, 1, head.classes - 1})
        self._x: Any = None
        if own:
            self._x = probe(model)
            outputs = model(as_tensors(self._x), training=False)
            self._like = outputs
        else:
            loss = keras.losses.get(keras.tree.flatten(model.loss)[0])
            loss = loss() if isinstance(loss, type) else loss
            self._loss = loss if isinstance(loss, keras.losses.Loss) else LossFunctionWrapper(loss)

    def why_not(self, form: str) -> str:
        """Return why labels in this form will not do, or ""."""
        head = replace(self._head, form=form)
        number = next(n for n in (5, 6, 7) if n != head.classes)  # so that no axis fits by chance
        rng = np.random.default_rng(0)
        right, predicted = rng.integers(head.classes, size=(2, number))
        try:
            alone = np.array([self._loss_of(head, [i], [j]) for i, j in zip(right, predicted, strict=True)])
            together = self._loss_of(head, right, predicted)
            found = {(i, j): self._loss_of(head, [i, i, i], [j, j, j]) for i in self._classes for j in self._classes}
        except Exception as error:  # a loss of the user's own raises anything at labels of another form
            return f"{form}: {type(error).__name__}: {' '.join(str(error).split())[:120]}"
        values = np.array([*found.values()])
        if not np.isfinite([together, *alone, *values]).all():
            return f"{form}: not finite"
        spread = max(np.ptp(values), np.ptp(alone))
        close = _TOLERANCE * spread + 1e-5 * abs(together)
        if min(abs(together - alone.mean()), abs(together - self._sum(alone))) > close:
            return f"{form}: neither the mean nor the sum of its examples"
        more = {pair: value - found[pair[0], pair[0]] for pair, value in found.items() if pair[0] != pair[1]}
        clear = {i for i in self._classes if all(gap > _TOLERANCE * spread for (j, _), gap in more.items() if j == i)}
        if min(more.values()) < -_TOLERANCE * spread or 2 * len(clear) < len(self._classes) or not spread:
            return f"{form}: no lower for the right class"
        return ""

    def _sum(self, alone: npt.NDArray[np.float64]) -> float:
        """Return the sum over examples, in which what is no matter of examples, such as penalties, counts once."""
        common = sum(float(value) for value in self._model.losses) if self._own else 0.0
        return float((alone - common).sum() + common)

    def _loss_of(self, head: Head, right: Any, predicted: Any) -> float:
        rows = np.full((len(right), head.classes), _WRONG / (head.classes - 1), np.float32)
        rows[np.arange(len(right)), predicted] = _RIGHT
        outputs: Any = np.log(rows) if head.logits else rows
        if head.units == 1:
            outputs = outputs[:, 1:] - (outputs[:, :1] if head.logits else 0.0)
        outputs = keras.ops.convert_to_tensor(outputs)
        targets = keras.ops.convert_to_tensor(head.targets(np.asarray(right)))
        with keras.StatelessScope():  # a loss may have a state, which is not to move
            if not self._own:
                return float(np.mean(self._loss(targets, outputs)))
            x = as_tensors(self._x[np.resize(np.arange(len(self._x)), len(right))])
            packed = keras.tree.pack_sequence_as(self._like, [outputs])
            return float(np.mean(self._model._compute_loss(x=x, y=targets, y_pred=packed)))
