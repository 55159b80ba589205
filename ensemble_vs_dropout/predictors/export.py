"""One `keras.Model` out of many: the ensemble and its combining rule as a single network to deploy."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from ensemble_vs_dropout.checks import InputError, check_known
from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.models.calling import input_of
from ensemble_vs_dropout.models.classic_dropout import ClassicDropout, stock_layer
from ensemble_vs_dropout.models.copies import alike, copy_with, predicted, probe
from ensemble_vs_dropout.models.graphs import graph_of
from ensemble_vs_dropout.models.heads import read_head, single_output
from ensemble_vs_dropout.models.number_heads import Output
from ensemble_vs_dropout.models.random_layers import Off, always_on, tracing
from ensemble_vs_dropout.types import check_weights
from ensemble_vs_dropout.types.inputs import by_place, nested

# What a member contributes to the pool; a rule that is not here is refused.
_CONTRIBUTIONS: dict[str, Callable[[keras.KerasTensor, int], keras.KerasTensor]] = {
    "mean": lambda probs, classes: probs,
    "geometric_mean": lambda probs, classes: keras.ops.log(probs),
    "majority_vote": lambda probs, classes: _first_of_the_largest(probs),
}


def _first_of_the_largest(probs: keras.KerasTensor) -> keras.KerasTensor:
    """Return 1 for the class that a member votes for, else 0; by operations that other runtimes have, too."""
    largest = keras.ops.cast(probs >= keras.ops.max(probs, axis=-1, keepdims=True), "float32")
    return largest * keras.ops.cast(keras.ops.cumsum(largest, axis=-1) < 1.5, "float32")


def pool(probs: keras.KerasTensor, rule: str) -> keras.KerasTensor:
    """Return what a rule makes of members of equal weight, shape (examples, members, classes) to (examples, classes).

    Args:
        probs: Their probabilities, float32.
        rule: As `fuse` takes it.

    Raises:
        InputError: Another rule.
    """
    check_known("rule", rule, _CONTRIBUTIONS)
    return _finished(keras.ops.mean(_CONTRIBUTIONS[rule](probs, probs.shape[-1]), axis=1), rule)


def fuse(
    models: Sequence[keras.Model],
    rule: str = "mean",
    name: str = "ensemble",
    weights: Sequence[float] | None = None,
    heads: Sequence[Output] | None = None,
) -> keras.Model:
    """Return one model with the members' weights inside, giving the pooled probabilities (examples, classes).

    What is added is stock layers and operations, so where Keras saves the members it saves as `.keras`, and loads
    without this package. The members are copied under unique names; training the ensemble on does not change it.

    Args:
        models: Compiled models that take the same; where these are several inputs, the new one takes them alike.
        rule: mean, geometric_mean or majority_vote (ties go to the first class).
        name: Of the new model.
        weights: One for each model, summing to 1; None for equal ones.
        heads: What the outputs of each mean; None to read them.

    Raises:
        InputError: Another rule, models that take other dtypes, or a model that cannot be copied.
    """
    check_known("rule", rule, _CONTRIBUTIONS)
    kinds = {", ".join(spec.dtype.name for spec in by_place(input_of(model)).values()) for model in models}
    if len(kinds) > 1:
        raise InputError(f"models must take inputs of one dtype to become one model, got {' and '.join(sorted(kinds))}")
    inputs = _inputs_like(models[0])
    outputs = []
    for number, model in enumerate(models):
        head = heads[number] if heads else read_head(model)
        probs = probabilities_of(model, f"member_{number}", inputs, head)
        outputs.append(_CONTRIBUTIONS[rule](probs, head.classes))
    if weights is not None:
        share = check_weights(weights, len(models))
        shares = [keras.layers.Rescaling(float(w), dtype="float32") for w in share]
        outputs = [share(output) for share, output in zip(shares, outputs, strict=True)]
    together = (keras.layers.Average if weights is None else keras.layers.Add)(dtype="float32")
    pooled = together(outputs) if len(outputs) > 1 else outputs[0]
    return keras.Model(inputs, _finished(pooled, rule), name=name)


def _inputs_like(model: keras.Model) -> Any:
    """Return inputs as a model has them, by the same names."""
    specs = by_place(input_of(model))
    if len(specs) == 1:
        return nested({place: keras.Input(spec.shape[1:], dtype=spec.dtype.name) for place, spec in specs.items()})
    tensors = by_place(getattr(model, "_inputs_struct", None) or {})
    made = {}
    for place, spec in specs.items():
        name = getattr(tensors.get(place), "name", None) if set(place) & {"[", "/"} else place
        made[place] = keras.Input(spec.shape[1:], dtype=spec.dtype.name, name=name)
    return nested(made)


def _finished(pooled: keras.KerasTensor, rule: str) -> keras.KerasTensor:
    """Return the probabilities that the average contribution stands for."""
    if rule != "geometric_mean":
        return pooled
    vetoed = keras.ops.all(keras.ops.isinf(pooled), axis=-1, keepdims=True)
    return keras.ops.softmax(keras.ops.where(vetoed, 0.0, pooled))


def _copy(model: keras.Model, name: str) -> keras.Model:
    """Return a copy that predicts what the model does here, where dropout that is always on is off."""
    on = {id(layer) for layer in always_on(model)}

    def concerned(layer: keras.layers.Layer) -> bool:
        # In a subclassed model classic dropout stays as it is: no other layer can be put in its place.
        return id(layer) in on or (graph_of(model) is not None and isinstance(layer, ClassicDropout))

    def stock(layer: keras.layers.Layer) -> keras.layers.Layer:
        identity = keras.layers.Activation("linear", name=layer.name, dtype=layer.dtype_policy)
        return identity if id(layer) in on else stock_layer(layer)

    copy = copy_with(model, concerned, stock, name, same=not on)
    if on:
        x = probe(model)
        with tracing(model, {}, Off()):
            expected = predicted(model, x)
        if expected is None or not alike(expected, predicted(copy, x), 1e-4):
            names = ", ".join(repr(layer.name) for layer in always_on(model))
            raise InputError(
                f"the layers {names} of {model.name!r} draw in inference mode too, and do more than drop, so that no "
                "stock layer can stand for them; let them draw only where training is true"
            )
    return copy


def probabilities_of(model: keras.Model, name: str, inputs: Any, head: Output | None = None) -> keras.KerasTensor:
    """Return the float32 probabilities that a copy of a model gives for the inputs, none of which has its name."""
    taken = {tensor.name for tensor in keras.tree.flatten(inputs)}
    copy = _copy(
        model, next(one for one in itertools.accumulate(itertools.repeat("_"), initial=name) if one not in taken)
    )
    if getattr(copy, "_inputs_struct", None) is not None:  # the model may take a list or a dictionary of one
        inputs = keras.tree.pack_sequence_as(copy._inputs_struct, keras.tree.flatten(inputs))
    return (head or read_head(model)).predicted(single_output(copy(inputs)))
