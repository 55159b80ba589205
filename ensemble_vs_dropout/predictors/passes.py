"""Many passes of one model in one compiled graph, what precedes the first random layer computed once."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.models.backend import keras, one_graph_each, tf
from ensemble_vs_dropout.models.calling import as_tensors, examples_in
from ensemble_vs_dropout.models.number_heads import Output
from ensemble_vs_dropout.models.programs import Programs, check_batches, forward, plan, sizes_of, told_in_a_sentence
from ensemble_vs_dropout.models.random_layers import Chosen, Off, tracing
from ensemble_vs_dropout.predictors.draws import Draws
from ensemble_vs_dropout.predictors.halves import Halves
from ensemble_vs_dropout.seeds import stream
from ensemble_vs_dropout.training.looped import mask_states
from ensemble_vs_dropout.types import FloatArray, IntArray

_ALIKE = 40.0  # dropped units that are expected in passes that turn out the same: then something is wrong


class Passes:
    """Passes of a model with these layers random, whatever the batch.

    Pass t draws from (seed, t) and the number of the example alone.
    """

    def __init__(self, model: keras.Model, chosen: Chosen, head: Output, seed: int, shared: bool):
        self.model, self.chosen, self.head, self.seed, self.shared = model, chosen, head, seed, shared
        self.halves = Halves(model, [*chosen.layers, *chosen.owners])
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
        chosen = {id(layer) for layer in self.chosen.layers}
        return [place for place, layer in enumerate(self.model._flatten_layers()) if id(layer) in chosen]

    def keys(self, start: int, stop: int) -> IntArray:
        """Return the keys of these passes, shape (passes, random states, 2)."""
        drawn = [stream(self.seed, "pass", t).integers(2**32, size=(len(self._states), 2)) for t in range(start, stop)]
        return np.array(drawn, dtype=np.uint32)

    def __call__(self, x: npt.NDArray[np.generic], first: int, keys: IntArray) -> FloatArray:
        """Return the probabilities of these examples, the first with number `first`: (passes, examples, classes)."""
        return self._call(self._traced._all, as_tensors(x, computed=True), first, keys)

    def some(self, x: npt.NDArray[np.generic], first: int, keys: IntArray, rows: IntArray) -> FloatArray:
        """Return what a whole batch's passes would give, for only these rows of it: (passes, rows, classes)."""
        return self._call(
            self._traced._rows, as_tensors(x[rows], computed=True), first, keys,
            tf.constant(rows, tf.int32), tf.constant([len(x)]),
        )  # fmt: skip

    def _call(self, body: Any, x: Any, first: int, keys: IntArray, *others: tf.Tensor) -> FloatArray:
        given = (x, tf.constant([first], tf.int64), tf.constant(keys), *others)
        programs = self._traced._programs
        with one_graph_each(), told_in_a_sentence(self.model):
            programs.get(body, self._traced.model, *given, pure=True)  # traced on the model that the body is of
            return np.asarray(programs.run(body, self.model, *given, pure=True))

    @contextmanager
    def acting_alone(self, t: int) -> Iterator[None]:
        """Let a random layer that is called by itself draw the shared mask of pass t."""
        draws = Draws(self.chosen.layers, tf.constant(1), tf.constant(0, tf.int64), True, self._states)
        with self._keyed(tf.constant(self.keys(t, t + 1)[0])), tracing(self.model, {}, draws):
            yield

    def _keyed(self, keys: tf.Tensor) -> keras.StatelessScope:
        """Return a scope in which the model's random states are the keys of one pass."""
        pairs = [(state, tf.cast(keys[number], state.dtype)) for number, state in enumerate(self._states)]
        return keras.StatelessScope(state_mapping=pairs)

    def _all(self, model: keras.Model, x: Any, first: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
        return self._run(x, keys, Draws(self.chosen.layers, examples_in(x), first[0], self.shared, self._states))

    def _rows(
        self, model: keras.Model, x: Any, first: tf.Tensor, keys: tf.Tensor, rows: tf.Tensor, examples: tf.Tensor
    ) -> tf.Tensor:
        return self._run(x, keys, Draws(self.chosen.layers, examples[0], first[0], self.shared, self._states, rows))

    def _run(self, x: Any, keys: tf.Tensor, draws: Draws) -> tf.Tensor:
        with tracing(self.model, self.chosen.modes, draws):
            with keras.StatelessScope():  # recurrent layers move their random state even in inference mode
                known = self.halves.first(x)

            def one_pass(keys_of_pass: tf.Tensor) -> tf.Tensor:
                with self._keyed(keys_of_pass):
                    return self.head.predicted(self.halves.second(known))

            probs = tf.map_fn(one_pass, keys, fn_output_signature=tf.float32, parallel_iterations=2)
        silent = [layer for layer in self.chosen.layers if id(layer) not in draws.acted]
        if silent:
            raise InputError(
                f"the random layer {silent[0].name!r} of {self.model.name!r} was chosen but does not act in a "
                "prediction; leave it out by layers=, or let its owner call it in inference mode too"
            )
        self._dropped = draws.dropped
        return probs

    def check(self, x: npt.NDArray[np.generic], probs: FloatArray, keys: IntArray) -> None:
        """Raise if the first passes of the first examples cannot be right.

        Args:
            x: The first batch.
            probs: What its passes gave, shape (passes, examples, classes).
            keys: Of these passes.

        Raises:
            InputError: All passes are the same, they change with the batch, or layers that must be in training mode
                for others to act do more in it than call those.
        """
        self._check_differing(probs)
        check_batches(self.model, self.head, probs, lambda part: self(x[part], part.start, keys), len(x))
        self._check_owners(x)

    def _check_owners(self, x: npt.NDArray[np.generic]) -> None:
        if not self.chosen.owners:
            return
        with one_graph_each():
            found = np.asarray(self._programs.run(self._undropped, self.model, as_tensors(x, computed=True), pure=True))
        calm = forward(self.model, x, self._programs, head=self.head)
        if not np.allclose(found, calm, atol=1e-4 * sizes_of(self.head, calm)):
            owner = self.chosen.owners[-1]
            raise InputError(
                f"the layer {owner.name!r} ({type(owner).__name__}) calls random layers only while it trains, and does "
                "more than that then: its outputs differ even with nothing dropped; call the random layers in every "
                "mode, they do nothing in inference mode by themselves"
            )

    def _undropped(self, model: keras.Model, x: Any) -> tf.Tensor:
        with keras.StatelessScope(), tracing(self.model, self.chosen.modes_without_draws, Off()):
            return self.head.predicted(self.halves.second(self.halves.first(x)))

    def _check_differing(self, probs: FloatArray) -> None:
        """Raise if passes are the same in which many units should have been dropped."""
        passes, examples, _ = probs.shape
        alike = passes > 1 and examples > 1 and bool((probs == probs[:1]).all())
        certain = bool((probs.max(axis=2) == 1).all())  # saturated, so that a difference could not show
        dropped = self._traced._dropped * passes * (1 if self.shared else examples)
        if alike and not certain and dropped > _ALIKE:
            raise InputError(
                f"all {passes} passes of {self.model.name!r} are the same, though about {dropped:.0f} units were "
                "dropped in them: the random layers do not reach the outputs (units that are all zero, or a branch "
                "that is not used)"
            )
