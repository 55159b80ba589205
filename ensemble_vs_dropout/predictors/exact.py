"""Exact dropout: all masks of a small network, each with its probability."""

import math
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.checks import InputError, check_at_least
from ensemble_vs_dropout.models.backend import keras, one_graph_each, tf
from ensemble_vs_dropout.models.calling import as_tensors, examples_in, input_of
from ensemble_vs_dropout.models.draws import dropped, shape_of
from ensemble_vs_dropout.models.heads import declare
from ensemble_vs_dropout.models.inputs import inputs_of
from ensemble_vs_dropout.models.number_heads import read_output, said_of
from ensemble_vs_dropout.models.programs import Programs, told_in_a_sentence
from ensemble_vs_dropout.models.random_layers import Choice, choose_layers, tracing, turned_off
from ensemble_vs_dropout.predictors.base import Part, Predictor, check_weights_known
from ensemble_vs_dropout.predictors.export import fuse
from ensemble_vs_dropout.predictors.halves import Halves
from ensemble_vs_dropout.predictors.thinned import Acting, thinned_network
from ensemble_vs_dropout.types import FloatArray

_ROWS = 2**14  # examples times masks in one batched product
_COPIES = 256  # thinned networks in one deployed model, at most


class ExactDropout(Predictor):
    """Predict with every mask there is: 2^n members for n units that can be dropped, with their probabilities.

    A mask is the same for all examples, so that a member is one thinned network. What Monte Carlo dropout estimates
    is the mean over these; weight scaling is their renormalised geometric mean where the logits are affine in the
    mask (Baldi and Sadowski 2013). With `layers="last"` only the last dropout layer's masks are enumerated and the
    others are in inference mode. What comes before the first mask is computed once for each batch of masks.

    Args:
        model: A compiled Keras model whose random layers are Dropout, SpatialDropout or ClassicDropout.
        max_units: Refuse more units than this; each one doubles the members.
        layers: Which dropout layers shall act: "all", "last", names, or a function of a layer.
        head: "logits" or "probabilities", of a number "mean" or "normal", where neither its loss nor its last
            activation tells what its outputs are.

    Raises:
        InputError: No dropout layer, more units than `max_units`, or a random layer whose masks cannot be counted.

    Example:
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dropout(0.5), keras.layers.Dense(2)])
        >>> model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        >>> ExactDropout(model).predict_members(np.ones((4, 3))).probs.shape
        (8, 4, 2)
        >>> exact = ExactDropout(model)
        >>> masks = exact.masks()
        >>> masks.shape, float(exact.probabilities_of(masks).sum())
        ((8, 3), 1.0)
        >>> exact.materialise(number=7).count_params()  # that of all units
        8
        >>> exact.to_keras().output_shape
        (None, 2)
    """

    def __init__(self, model: keras.Model, max_units: int = 16, layers: Choice = "all", head: str | None = None):
        self.model, self._head, self._inputs = model, read_output(model, head), inputs_of([model])
        check_weights_known(model)
        check_at_least("max_units", max_units, 1)
        self._chosen = choose_layers(model, layers)
        for layer in self._chosen.layers:
            if not isinstance(layer, keras.layers.Dropout):
                raise InputError(
                    f"the random layer {layer.name!r} ({type(layer).__name__}) must be a dropout layer for its masks "
                    "to be enumerated; MonteCarloDropout samples it"
                )
        self._halves = Halves(model, [*self._chosen.layers, *self._chosen.owners])
        counting = _Counting(self._chosen.layers)
        specs = input_of(model)
        for spec in keras.tree.flatten(specs):
            if None in spec.shape[1:]:
                raise InputError(
                    f"the input of {model.name!r} must have a known shape for masks to be counted, got "
                    f"{tuple(spec.shape[1:])}"
                )
        one = keras.tree.map_structure(lambda spec: tf.TensorSpec((1, *spec.shape[1:]), spec.dtype), specs)
        traced = tf.function(lambda x: self._trace(counting, x), autograph=False)
        traced.get_concrete_function(one)
        self._in_order, self._counted = counting.acted, counting.layers
        silent = [layer for layer in self._chosen.layers if all(layer is not one for one in self._in_order)]
        if silent:
            raise InputError(
                f"each dropout layer must draw its mask by keras.random.dropout for them to be enumerated, but "
                f"{silent[0].name!r} drew none"
            )
        self.rates = np.repeat([rate for rate, _ in counting.layers], [units for _, units in counting.layers])
        if len(self.rates) > max_units:
            layers_told = " + ".join(f"{units}" for _, units in counting.layers)
            raise InputError(
                f"max_units is {max_units}, and the dropout layers of {model.name!r} have {layers_told} = "
                f"{len(self.rates)} units, which make {2.0 ** len(self.rates):.3g} masks; use MonteCarloDropout, a "
                "smaller network, or layers='last'"
            )
        self._programs = Programs()

    @property
    def members(self) -> int:
        """The number of masks."""
        return 2 ** len(self.rates)

    @property
    def multiply_adds(self) -> int:
        """Products of weights with inputs for one example: once before the first mask, the rest for each mask.

        This is for all masks at once; a large batch takes some masks at a time, and the first part again each time.
        """
        once, each = self._halves.multiply_adds()
        return once + self.members * each

    @property
    def method(self) -> str:
        """How it predicts, in words."""
        return f"exact dropout, {self.members} masks"

    def masks(self, start: int = 0, stop: int | None = None) -> npt.NDArray[np.bool_]:
        """Return which units each mask keeps, shape (masks, units); mask m keeps the units whose bits are set in m."""
        numbers = np.arange(start, self.members if stop is None else stop)
        return (numbers[:, None] >> np.arange(len(self.rates)) & 1).astype(bool)

    def probabilities_of(self, masks: npt.NDArray[np.bool_]) -> FloatArray:
        """Return how probable masks are, shape (masks,)."""
        return np.asarray(np.where(masks, 1 - self.rates, self.rates).prod(axis=1))

    def _parts(self, x: npt.NDArray[np.generic], first: int) -> Iterator[Part]:
        at_once = min(self.members, max(1, _ROWS // len(x)))
        given = as_tensors(x, computed=True)
        for start in range(0, self.members, at_once):
            masks = self.masks(start, min(start + at_once, self.members))
            with one_graph_each(), told_in_a_sentence(self.model):
                probs = np.asarray(self._programs.run(self._body, self.model, given, tf.constant(masks), pure=True))
            yield probs, self.probabilities_of(masks)

    def _body(self, model: keras.Model, x: Any, masks: tf.Tensor) -> tf.Tensor:
        outputs = self._trace(_Given(self._chosen.layers, masks), x, tf.shape(masks)[0])
        shape = (examples_in(x), tf.shape(masks)[0], self._head.columns)
        return tf.transpose(tf.reshape(self._head.predicted(outputs), shape), (1, 0, 2))

    def _trace(self, draws: "_Masks", x: Any, repeats: Any = None) -> tf.Tensor:
        with keras.StatelessScope(), tracing(self.model, self._chosen.modes, draws):
            return self._halves.second(self._halves.first(x), repeats)

    def to_keras(self, rule: str = "mean") -> keras.Model:
        """Return one `keras.Model` of all thinned networks, weighted, and the rule; for few masks.

        Raises:
            InputError: More masks than a model should have copies.
        """
        if self.members > _COPIES:
            raise InputError(
                f"one model of {self.members} thinned networks would have as many copies of the weights; at most "
                f"{_COPIES} are put together; MonteCarloDropout(masks='shared').to_keras() takes some of them"
            )
        models = [self.materialise(number) for number in range(self.members)]
        return fuse(models, rule, "exact_dropout", list(self.probabilities_of(self.masks())))

    def materialise(self, number: int) -> keras.Model:
        """Return the thinned network of a mask, a compiled Keras model of stock layers."""
        if not 0 <= number < self.members:
            raise InputError(f"number must be that of a mask, 0 to {self.members - 1}, got {number}")
        ends = np.cumsum([units for _, units in self._counted])
        masks = np.split(self.masks(number, number + 1), ends[:-1], axis=1)
        acting: dict[int, Acting] = {
            id(layer): partial(_acting_by, self.model, layer, mask)
            for layer, mask in zip(self._in_order, masks, strict=True)
        }
        return declare(thinned_network(self.model, acting, f"mask_{number}"), said_of(self._head))


class _Masks:
    """What dropout layers draw while masks are enumerated; see `random_layers.Drawing`."""

    def __init__(self, layers: Collection[keras.layers.Layer]) -> None:
        self._layers = {id(layer) for layer in layers}
        self.acted: list[keras.layers.Layer] = []  # in the order of their masks

    def draw(self, name: str, layer: keras.layers.Layer | None, *args: Any, **kwargs: Any) -> Any:
        """Return what `keras.random.{name}` gives this layer."""
        if id(layer) not in self._layers:
            return turned_off(name, layer, *args, **kwargs)
        if name != "dropout":
            raise InputError(
                f"each dropout layer must draw one mask by keras.random.dropout for them to be enumerated, but "
                f"{getattr(layer, 'name', None)!r} draws by keras.random.{name}"
            )
        self.acted.append(layer)
        return self._dropout(*args, **kwargs)

    def _dropout(self, inputs: tf.Tensor, rate: float, noise_shape: Any = None, seed: Any = None) -> tf.Tensor:
        return self.drop(tf.convert_to_tensor(inputs), rate, noise_shape)

    def drop(self, inputs: tf.Tensor, rate: float, noise_shape: Any) -> tf.Tensor:
        """Return the inputs as a chosen layer leaves them."""
        raise NotImplementedError


class _Counting(_Masks):
    """Counts the units of each dropout layer in the order in which they act, and drops nothing."""

    def __init__(self, layers: Collection[keras.layers.Layer]) -> None:
        super().__init__(layers)
        self.layers: list[tuple[float, int]] = []

    def drop(self, inputs: tf.Tensor, rate: float, noise_shape: Any) -> tf.Tensor:
        if inputs.shape[0] != 1:
            raise InputError("a dropout layer acts on examples folded together, so that its masks cannot be counted")
        self.layers.append((rate, math.prod(_units(inputs, noise_shape))))
        return inputs


class _Given(_Masks):
    """Drops by given masks, shape (masks, units); each example is there once for each mask, one after another."""

    def __init__(self, layers: Collection[keras.layers.Layer], masks: tf.Tensor):
        super().__init__(layers)
        self.masks, self._used = masks, 0

    def drop(self, inputs: tf.Tensor, rate: float, noise_shape: Any) -> tf.Tensor:
        shape = _units(inputs, noise_shape)
        units = math.prod(shape)
        kept = self.masks[:, self._used : self._used + units]
        self._used += units
        examples = tf.shape(inputs)[0] // tf.shape(self.masks)[0]
        kept = tf.tile(tf.reshape(kept, (-1, *shape)), (examples, *[1] * len(shape)))
        return dropped(inputs, kept, 1 - rate) if rate < 1 else tf.zeros_like(inputs)


def _acting_by(
    model: keras.Model, layer: keras.layers.Layer, mask: npt.NDArray[np.bool_]
) -> AbstractContextManager[Any]:
    return tracing(model, {}, _Given([layer], tf.constant(mask)))


def _units(inputs: tf.Tensor, noise_shape: Sequence[Any] | None) -> tuple[int, ...]:
    """Return the shape of an example's mask."""
    return tuple(shape_of(inputs, noise_shape)[1:])
