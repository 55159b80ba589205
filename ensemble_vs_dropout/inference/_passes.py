"""Many passes of one model in one compiled graph, what precedes the first random layer computed once."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.heads import Head
from ensemble_vs_dropout.inference._draws import Draws
from ensemble_vs_dropout.inference._graph import Halves
from ensemble_vs_dropout.inference._random_layers import switched_on
from ensemble_vs_dropout.keras_backend import keras, one_graph_each, tf
from ensemble_vs_dropout.seeds import stream
from ensemble_vs_dropout.training._looped import mask_states
from ensemble_vs_dropout.training._programs import Programs, as_tensor, plan
from ensemble_vs_dropout.types import FloatArray, IntArray

_ALIKE = 40.0  # dropped units that are expected in passes that turn out the same: then something is wrong


class Passes:
    """Passes of a model with these layers random, whatever the batch.

    Pass t draws from (seed, t) and the number of the example alone.
    """

    def __init__(self, model: keras.Model, layers: Sequence[keras.layers.Layer], head: Head, seed: int, shared: bool):
        self.model, self.layers, self.head, self.seed, self.shared = model, layers, head, seed, shared
        self.halves = Halves(model, layers)
        self._states = mask_states(model)
        self._programs = Programs()
        self._traced: Passes = self  # whose graph runs on this model's variables
        self._dropped = 0.0

    def share(self, other: "Passes") -> None:
        """Run the other's graph on this model's variables, where the models and their random layers are built alike."""
        described = plan(self.model)
        alike = described is not None and described == plan(other.model) and self._places() == other._places()
        if alike and (self.shared, self.head) == (other.shared, other.head):
            self._traced = other._traced

    def _places(self) -> list[int]:
        chosen = {id(layer) for layer in self.layers}
        return [place for place, layer in enumerate(self.model._flatten_layers()) if id(layer) in chosen]

    def keys(self, start: int, stop: int) -> IntArray:
        """Return the keys of these passes, shape (passes, random states, 2)."""
        drawn = [stream(self.seed, "pass", t).integers(2**32, size=(len(self._states), 2)) for t in range(start, stop)]
        return np.array(drawn, dtype=np.uint32)

    def __call__(self, x: npt.NDArray[np.generic], first: int, keys: IntArray) -> FloatArray:
        """Return the probabilities of these examples, the first with number `first`: (passes, examples, classes)."""
        return self._call(self._traced._all, as_tensor(x), first, keys)

    def some(self, x: npt.NDArray[np.generic], first: int, keys: IntArray, rows: IntArray) -> FloatArray:
        """Return what a whole batch's passes would give, for only these rows of it: (passes, rows, classes)."""
        return self._call(
            self._traced._rows, as_tensor(x[rows]), first, keys, tf.constant(rows, tf.int32), tf.constant([len(x)])
        )

    def _call(self, body: Any, x: tf.Tensor, first: int, keys: IntArray, *others: tf.Tensor) -> FloatArray:
        given = (x, tf.constant([first], tf.int64), tf.constant(keys), *others)
        programs = self._traced._programs
        with one_graph_each():
            programs.get(body, self._traced.model, *given, pure=True)  # traced on the model that the body is of
            return np.asarray(programs.run(body, self.model, *given, pure=True))

    @contextmanager
    def acting_alone(self, t: int) -> Iterator[None]:
        """Let a random layer that is called by itself draw the shared mask of pass t."""
        draws = Draws(tf.constant(1), tf.constant(0, tf.int64), True, self._states)
        with self._keyed(tf.constant(self.keys(t, t + 1)[0])), draws.acting():
            yield

    def _keyed(self, keys: tf.Tensor) -> keras.StatelessScope:
        """Return a scope in which the model's random states are the keys of one pass."""
        pairs = [(state, tf.cast(keys[number], state.dtype)) for number, state in enumerate(self._states)]
        return keras.StatelessScope(state_mapping=pairs)

    def _all(self, model: keras.Model, x: tf.Tensor, first: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
        return self._run(x, keys, Draws(tf.shape(x)[0], first[0], self.shared, self._states))

    def _rows(
        self, model: keras.Model, x: tf.Tensor, first: tf.Tensor, keys: tf.Tensor, rows: tf.Tensor, examples: tf.Tensor
    ) -> tf.Tensor:
        return self._run(x, keys, Draws(examples[0], first[0], self.shared, self._states, rows))

    def _run(self, x: tf.Tensor, keys: tf.Tensor, draws: Draws) -> tf.Tensor:
        with keras.StatelessScope():  # recurrent layers move their random state even in inference mode
            known = self.halves.first(x)

        def one_pass(keys_of_pass: tf.Tensor) -> tf.Tensor:
            with self._keyed(keys_of_pass):
                return self.head.probabilities(self.halves.second(known))

        with switched_on(self.layers) as draws.ran, draws.acting():
            probs = tf.map_fn(one_pass, keys, fn_output_signature=tf.float32, parallel_iterations=2)
        if not draws.ran.layers:
            raise RuntimeError(f"no random layer of {self.model.name!r} acted, so that all passes would be the same")
        self._dropped = draws.dropped
        return probs

    def check_differing(self, probs: FloatArray) -> None:
        """Raise if passes are the same in which many units should have been dropped."""
        passes, examples, _ = probs.shape
        alike = passes > 1 and examples > 1 and bool((probs == probs[:1]).all())
        certain = bool((probs.max(axis=2) == 1).all())  # saturated, so that a difference could not show
        dropped = self._traced._dropped * examples * passes
        if alike and not certain and dropped > _ALIKE:
            raise RuntimeError(
                f"all {passes} passes of {self.model.name!r} are the same, though about {dropped:.0f} units were "
                "dropped in them: the random layers do not reach the outputs (units that are all zero, or a branch "
                "that is not used)"
            )
