"""Functions of a model that are traced once for all models that are built alike.

Making a graph takes longer than many an epoch. A traced function knows its model only by the variables that it
captured, so it runs on another model of the same architecture when that model's variables are put in their place. Only
what is made of Keras' own parts is shared: a part of the user's own may hold constants that no configuration tells.

Such programs outlive who traced them: a second `fit` of a network that is built alike traces nothing. The process keeps
those that were used last, and with each the model that it was traced on.
"""

import json
import threading
import weakref
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.models.architecture import architecture, remembered
from ensemble_vs_dropout.models.backend import keras, one_graph_each, tf
from ensemble_vs_dropout.models.calling import as_tensors
from ensemble_vs_dropout.models.graphs import graph_of, nodes
from ensemble_vs_dropout.models.number_heads import NumberHead, Output, read_output
from ensemble_vs_dropout.models.random_layers import Off, check_raw_draws, has_foreign, tracing
from ensemble_vs_dropout.types import FloatArray
from ensemble_vs_dropout.types.inputs import by_place

_KNOWN = ("keras.", "ensemble_vs_dropout.")  # whose classes tell all that they hold in their configurations
_MARKS = ("__keras_tensor__", "__tuple__", "__slice__", "__ellipsis__", "__numpy__", "__tensor__")  # of no class
_COMPARED = 8  # examples that are predicted in two ways
_ROUNDING, _ROUNDING_OF_HALVES = 1e-3, 3e-2  # of probabilities, in float32 and in half precision
Body = Callable[..., Any]  # (model, *tensors) -> a tensor, or None where what it computes ends in the variables
_MOST, _LARGEST = 48, 2_000_000  # programs that are kept, and the parameters of the models that they were traced on
T = TypeVar("T")


@lru_cache(maxsize=256)
def bound(function: Body, *given: Hashable) -> Body:
    """Return a function with its first arguments given, the same object for the same ones.

    Example:
        >>> bound(max, 3) is bound(max, 3), bound(max, 3)(5)
        (True, 5)
    """
    return partial(function, *given)


class Kept(Generic[T]):
    """What was traced last, by what it is of: at most so many, of models of at most so many parameters in all.

    Example:
        >>> kept = Kept[str](most=1)
        >>> kept.put("a", "first", 10), kept.put("b", "second", 10), kept.get("a"), kept.get("b")
        (None, None, None, 'second')
    """

    def __init__(self, most: int = _MOST, largest: int = _LARGEST):
        self._most, self._largest, self._lock = most, largest, threading.Lock()
        self._known: OrderedDict[Hashable, tuple[T, int]] = OrderedDict()
        _EVERY.add(self)

    def get(self, key: Hashable) -> T | None:
        """Return what is kept by this key."""
        with self._lock:
            if key not in self._known:
                return None
            self._known.move_to_end(key)
            return self._known[key][0]

    def put(self, key: Hashable, traced: T, parameters: int) -> None:
        """Keep something, and let go what was used longest ago where there is too much."""
        if parameters > self._largest:
            return
        with self._lock:
            self._known[key] = traced, parameters
            while len(self._known) > self._most or sum(size for _, size in self._known.values()) > self._largest:
                self._known.popitem(last=False)

    def clear(self) -> None:
        """Let go all."""
        with self._lock:
            self._known.clear()


_EVERY: weakref.WeakSet[Kept[Any]] = weakref.WeakSet()


def forget() -> None:
    """Let go all that was traced, with the models that it was traced on; what is needed again is traced again.

    Example:
        >>> kept = Kept[str]()
        >>> kept.put("a", "traced", 10)
        >>> forget()
        >>> kept.get("a") is None
        True
    """
    for kept in list(_EVERY):
        kept.clear()


def surroundings(model: keras.Model) -> tuple[Any, ...]:
    """Return what stands in what is traced of a model and in no configuration: Keras' settings, and the device."""
    told = keras.config
    devices = {variable.value.device for variable in model.variables}
    settings = told.epsilon(), told.floatx(), told.image_data_format(), told.is_flash_attention_enabled()
    return *settings, *sorted(devices)


def kinds_of(given: Any) -> tuple[Any, ...]:
    """Return the places, dtypes and shapes of tensors, nested, but for how many examples there are."""
    return tuple((place, one.dtype, tuple(one.shape[1:])) for place, one in by_place(given).items())


class Program:
    """A traced function of a model and tensors, or tensors nested, whose first axis is left open.

    Attributes:
        plan: What describes the models that it may run on; None where it may run on its own alone.
    """

    def __init__(self, body: Body, model: keras.Model, *given: Any):
        specs = tf.nest.map_structure(lambda one: tf.TensorSpec((None, *one.shape[1:]), one.dtype), given)
        traced = tf.function(lambda *tensors: body(model, *tensors), autograph=False)
        self.function = traced.get_concrete_function(*specs)
        places = {id(handle): place for place, handle in enumerate(_handles(model))}
        self._captured = [places.get(id(tensor)) for tensor in self.function.captured_inputs]
        self._model = model
        self.plan = None if None in self._captured else plan(model)

    def fits(self, model: keras.Model) -> bool:
        """Return whether it may run on this model."""
        return model is self._model or (self.plan is not None and plan(model) == self.plan)

    def on(self, model: keras.Model) -> Callable[..., Any]:
        """Return the function of tensors that runs on this model, now or in the graph that is being made.

        The model that it was traced on is no exception, unless it is the only one: it may have got another optimizer
        since, and computes as all others do, to the last bit.
        """
        if self.plan is None:
            return self.function
        handles = _handles(model)
        placed = [handles[place] for place in self._captured if place is not None]
        kinds = [output.dtype for output in self.function.outputs]

        def run(*given: Any) -> Any:
            args = [*tf.nest.flatten(given), *placed]
            outputs = tf.raw_ops.StatefulPartitionedCall(args=args, Tout=kinds, f=self.function)
            return outputs[0] if kinds else None

        return run


class Programs:
    """The programs that one trainer or predictor needs, each traced when it is first needed."""

    def __init__(self) -> None:
        self._known: defaultdict[Any, list[Program]] = defaultdict(list)
        self._seen: dict[int, keras.Model] = {}
        self._found: dict[Any, tuple[keras.Model, Callable[..., Any]]] = {}  # by the model's id, which it keeps

    def first_of(self, model: keras.Model) -> bool:
        """Return whether a model is asked about for the first time."""
        first = id(model) not in self._seen
        self._seen[id(model)] = model
        return first

    def run(self, body: Body, model: keras.Model, *given: Any, pure: bool = False) -> Any:
        """Run the program of this body for this model and tensors like these."""
        return self.get(body, model, *given, pure=pure)(*given)

    def get(self, body: Body, model: keras.Model, *given: Any, pure: bool = False) -> Callable[..., Any]:
        """Return the program of this body on this model for tensors like these.

        Raises:
            InputError: It is to be `pure` and would change a variable, or draws by TensorFlow itself.
        """
        key = (body, pure, *kinds_of(given))
        if (key, id(model)) not in self._found:
            program = next((known for known in self._known[key] if known.fits(model)), None) or self._kept(key, model)
            if program is None:
                program = Program(body, model, *given)
                if pure:
                    _check_pure(program.function, model.name)
                    check_raw_draws(program.function.graph, model.name)
                self._known[key].append(program)
                if _lasts(body) and program.plan is not None:
                    _KEPT.put((key, program.plan, surroundings(model)), program, model.count_params())
            self._found[key, id(model)] = model, program.on(model)
        return self._found[key, id(model)][1]

    def _kept(self, key: Any, model: keras.Model) -> Program | None:
        """Return the program that another trainer or predictor has traced for such a model."""
        described = plan(model) if _lasts(key[0]) else None
        return None if described is None else _KEPT.get((key, described, surroundings(model)))


_KEPT = Kept[Program]()


def _lasts(body: Body) -> bool:
    """Return whether a body is of a module, and so the same for every trainer and predictor."""
    if isinstance(body, partial):
        return bound(body.func, *body.args) is body
    return "." not in getattr(body, "__qualname__", ".")


def _check_pure(function: Any, name: str) -> None:
    """Raise if a traced prediction would change a variable of the model, such as the statistics of a BatchNorm."""
    graph = function.graph.as_graph_def()
    nodes = [*graph.node, *(node for inner in graph.library.function for node in inner.node_def)]
    changing = [node.name for node in nodes if node.op.startswith(("Assign", "ResourceApply", "ResourceScatter"))]
    if changing:
        raise InputError(
            f"predicting with {name!r} would change it ({changing[0]}): a layer updates a variable even in inference "
            "mode; let it do so only where training is true"
        )


def plan(model: keras.Model) -> str | None:
    """Return what describes a model of Keras' own parts wholly, or None if it has others."""
    return remembered("plan", model, _plan)


def _plan(model: keras.Model) -> str | None:
    described = architecture(model)
    return described if _of_keras(json.loads(described)) else None


def _of_keras(value: Any) -> bool:
    if isinstance(value, Mapping):
        kind = value.get("class_name", _MARKS[0])
        foreign = kind not in _MARKS and not f"{value.get('module')}.".startswith(_KNOWN)
        return not foreign and all(map(_of_keras, value.values()))
    return all(map(_of_keras, value)) if isinstance(value, list) else True


def _handles(model: keras.Model) -> list[tf.Tensor]:
    # Not by trainable and not: those change places when a layer is frozen.
    of_optimizer = getattr(getattr(model, "optimizer", None), "variables", [])  # a model that only predicts has none
    every = [*model.variables, *of_optimizer, *model.metrics_variables]
    return [variable.value.handle for variable in every]


def forward(
    model: keras.Model,
    x: npt.NDArray[np.generic],
    programs: Programs,
    batch_size: int = 1024,
    head: Output | None = None,
) -> FloatArray:
    """Return what a model predicts in inference mode, float32, shape (examples, classes) or (examples, columns).

    Args:
        model: The model.
        x: Features that it takes.
        programs: Those that were traced so far.
        batch_size: Examples at a time.
        head: What its outputs mean; None to read it.

    Raises:
        InputError: A layer draws or changes a variable in inference mode, or mixes the examples of a batch.
    """
    head = head or read_output(model)
    body = bound(_forward, head)

    def predicted(part: npt.NDArray[np.generic]) -> FloatArray:
        return np.asarray(programs.run(body, model, as_tensors(part, computed=True), pure=True))

    with one_graph_each(), told_in_a_sentence(model):
        probs = np.concatenate([predicted(x[start : start + batch_size]) for start in range(0, len(x), batch_size)])
        if programs.first_of(model):
            check_batches(model, head, probs, lambda part: predicted(x[part]), min(len(x), batch_size))
    return probs


@contextmanager
def told_in_a_sentence(model: keras.Model) -> Iterator[None]:
    """Raise `InputError` for values that a model's operations refuse, such as a token without a row in an embedding."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        lines = [line.strip() for line in str(error).splitlines()]
        told = next((line for line in lines if line.startswith("indices") or "} indices" in line), None)
        if told is None:
            raise
        raise InputError(
            f"the model {model.name!r} cannot take these features: {told.rpartition('}} ')[2]}; look for values that "
            "a layer such as an Embedding does not know"
        ) from error


def _may_mix(model: keras.Model) -> bool:
    """Return whether a graph holds operations that are no layers, or layers along the axis of examples."""
    graph = graph_of(model)
    for node in nodes(graph) if graph is not None else ():
        if not isinstance(node.operation, keras.layers.Layer) or _acts_on_axis_0(node.operation):
            return True
        if isinstance(node.operation, keras.Model) and _may_mix(node.operation):
            return True
    return False


def _acts_on_axis_0(operation: Any) -> bool:
    axis = getattr(operation, "axis", None)
    return axis is not None and 0 in np.ravel(axis)


def check_batches(
    model: keras.Model, head: Output, whole: FloatArray, predicted: Callable[[slice], FloatArray], size: int
) -> None:
    """Raise if a model of the user's own predicts an example otherwise when other examples are in its batch.

    Args:
        model: One made of Keras' own layers is not looked at: none of them does that in inference mode, but for those
            that act along the axis of examples.
        head: What its outputs mean: probabilities differ by a number, numbers by a share of the largest of them.
        whole: What was predicted for a batch, shape (..., examples, classes).
        predicted: Predicts a part of it.
        size: The examples of that batch.
    """
    if size < 2 or not (has_foreign(model) or _may_mix(model)):
        return
    some = min(size, _COMPARED)
    halves = [predicted(slice(0, some // 2)), predicted(slice(some // 2, some))]
    off = (np.abs(np.concatenate(halves, axis=-2) - whole[..., :some, :]) / sizes_of(head, whole)).max()
    if off > (_ROUNDING if model.compute_dtype in ("float32", "float64") else _ROUNDING_OF_HALVES):
        raise InputError(
            f"the predictions of {model.name!r} change with the batch (by {off:.2g} in the first {some} examples): a "
            "layer mixes examples, or draws for a whole batch; let it treat each example by itself in inference mode"
        )


def sizes_of(head: Output, predicted: FloatArray) -> FloatArray:
    """Return what differences of predictions are a share of: 1 of probabilities, the largest of each column of numbers.

    Example:
        >>> sizes_of(NumberHead("normal"), np.array([[3.0, 0.5], [-4.0, 0.1]])).tolist()
        [4.0, 0.5]
    """
    if not isinstance(head, NumberHead):
        return np.ones(1)
    return np.maximum(np.abs(predicted).reshape(-1, predicted.shape[-1]).max(axis=0), np.finfo(np.float32).tiny)


def _forward(head: Output, model: keras.Model, x: Any) -> tf.Tensor:
    with keras.StatelessScope(), tracing(model, {}, Off()):  # recurrent layers move their random state even here
        return head.predicted(model(x, training=False))
