"""Functions of a model that are traced once for all models that are built alike.

Making a graph takes longer than many an epoch. A traced function knows its model only by the variables that it
captured, so it runs on another model of the same architecture when that model's variables are put in their place. Only
what is made of Keras' own parts is shared: a part of the user's own may hold constants that no configuration tells.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from ensemble_vs_dropout.keras_backend import keras, tf
from ensemble_vs_dropout.training._stateless import variables
from ensemble_vs_dropout.training.checkpoints import architecture

Body = Callable[..., None]  # (model, *tensors): what it computes ends in the model's variables


class Program:
    """A traced function of a model and tensors, whose first axis is left open."""

    def __init__(self, body: Body, model: keras.Model, *given: tf.Tensor):
        specs = [tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype) for tensor in given]
        traced = tf.function(lambda *tensors: body(model, *tensors), autograph=False)
        self._function = traced.get_concrete_function(*specs)
        places = {id(handle): place for place, handle in enumerate(_handles(model))}
        self._captured = [places.get(id(tensor)) for tensor in self._function.captured_inputs]
        self._model = model
        self._plan = None if None in self._captured else plan(model)

    def fits(self, model: keras.Model) -> bool:
        """Return whether it may run on this model."""
        return model is self._model or (self._plan is not None and plan(model) == self._plan)

    def __call__(self, model: keras.Model, *given: tf.Tensor) -> None:
        """Run on this model, now or in the graph that is being made."""
        if model is self._model:
            self._function(*given)
        else:
            handles = _handles(model)
            placed = [handles[place] for place in self._captured if place is not None]
            tf.raw_ops.StatefulPartitionedCall(args=[*given, *placed], Tout=[], f=self._function)


class Programs:
    """The programs of one training, each traced when it is first needed."""

    def __init__(self) -> None:
        self._known: defaultdict[Any, list[Program]] = defaultdict(list)

    def run(self, body: Body, model: keras.Model, *given: tf.Tensor) -> None:
        """Run the program of this body for this model and tensors like these."""
        self.get(body, model, *given)(model, *given)

    def get(self, body: Body, model: keras.Model, *given: tf.Tensor) -> Program:
        """Return the program of this body for this model and tensors like these."""
        known = self._known[body, tuple((tensor.dtype, tuple(tensor.shape[1:])) for tensor in given)]
        for program in known:
            if program.fits(model):
                return program
        known.append(Program(body, model, *given))
        return known[-1]


def plan(model: keras.Model) -> str | None:
    """Return what describes a model of Keras' own parts wholly, or None if it has others."""
    described = architecture(model)
    return described if _of_keras(json.loads(described)) else None


def _of_keras(value: Any) -> bool:
    if isinstance(value, Mapping):
        foreign = "class_name" in value and not str(value.get("module")).startswith("keras")
        return not foreign and all(map(_of_keras, value.values()))
    return all(map(_of_keras, value)) if isinstance(value, list) else True


def _handles(model: keras.Model) -> list[tf.Tensor]:
    return [variable.value.handle for group in variables(model) for variable in group]
