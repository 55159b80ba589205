"""What a model is fed: examples in any usual form become arrays that it takes, or are refused in one line."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from numbers import Integral, Real
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import psutil
import scipy.sparse

from ensemble_vs_dropout.checks import InputError, check_at_least
from ensemble_vs_dropout.models.backend import keras, tf
from ensemble_vs_dropout.models.calling import input_of
from ensemble_vs_dropout.models.graphs import graph_of
from ensemble_vs_dropout.models.heads import single_output
from ensemble_vs_dropout.types.inputs import as_bytes, by_place, columns_of, nested, table, told

Array = npt.NDArray[np.generic]
_SYMBOLIC = (keras.KerasTensor, tf.SparseTensor, tf.RaggedTensor)


@dataclass(frozen=True)
class Input:
    """What a model takes: one input, or several.

    Attributes:
        model: The model's name.
        shape: Of an example; None where an axis may have any length.
        dtype: Of the features.
        parts: The several inputs by their places (see `types.inputs`), which then have shape and dtype.
        name: Of the input's tensor, by which Keras finds it in a dict; None if the user gave it none.
        tries: Says whether the model takes examples of another shape or of text, for a model that does not tell by
            itself what it takes.
    """

    model: str = field(compare=False)
    shape: tuple[int | None, ...]
    dtype: str
    tries: Callable[[tuple[int, ...], str], bool] | None = field(default=None, compare=False, repr=False)
    parts: Mapping[str, "Input"] = field(default_factory=dict, hash=False)
    name: str | None = None

    @classmethod
    def of(cls, model: keras.Model, lasting: bool = True) -> "Input":
        """Return a model's input; one that is not `lasting` is not kept in memory, and then nothing can be tried."""
        specs = by_place(input_of(model))
        if len(specs) > 1:
            tensors = by_place(getattr(model, "_inputs_struct", None) or {})
            names = {place: _own_name(tensors.get(place)) for place in specs}
            parts = {
                place: cls(model.name, tuple(spec.shape[1:]), spec.dtype.name, name=names[place])
                for place, spec in specs.items()
            }
            return cls(model.name, (), "", parts=parts)
        (spec,) = specs.values()
        shape, dtype = tuple(spec.shape[1:]), spec.dtype.name
        tensors = keras.tree.flatten(getattr(model, "inputs", None) or [])
        name = _own_name(tensors[0]) if len(tensors) == 1 else None
        seen = graph_of(model) is not None  # a graph says its dtype, and checks its shape unless it is sequential
        if not lasting or (seen and not isinstance(model, keras.Sequential)):
            return cls(model.name, shape, dtype, name=name)
        tries = lambda given, kind: not (seen and kind != dtype) and _takes(model, given, kind)  # noqa: E731
        return cls(model.name, shape, dtype, tries, name=name)

    def given(self, name: str, x: Any) -> dict[str, Any]:
        """Return the features of several inputs by their places, out of how the user nests them.

        A dict of tensors' names serves a model of a list too, as with Keras.

        Raises:
            InputError: They are nested otherwise than the model's inputs.
        """
        if isinstance(x, np.ndarray) and x.dtype.names:
            x = nested(columns_of(x))
        return self._matched(name, nested(self.parts), x, "")

    def _matched(self, name: str, wanted: Any, x: Any, place: str) -> dict[str, Any]:
        if isinstance(wanted, Input):
            return {place.rpartition("/")[0]: x}
        keys = [*wanted] if isinstance(wanted, dict) else [f"[{number}]" for number in range(len(wanted))]
        inner = [*wanted.values()] if isinstance(wanted, dict) else wanted
        if isinstance(x, Mapping):
            own = keys
            if not isinstance(wanted, dict) and all(isinstance(one, Input) and one.name for one in inner):
                keys = [one.name for one in inner]
            fits = set(x) == set(keys)
            found = [x.get(key) for key in keys]
        else:
            own, fits = keys, isinstance(x, (list, tuple)) and not isinstance(wanted, dict) and len(x) == len(wanted)
            found = [*x] if fits else []
        if not fits:
            kind, names = "a dict", f", {', '.join(map(repr, keys))}"
            if not isinstance(wanted, dict):
                kind, names = "a list", names if isinstance(x, Mapping) else ""
            got = f"a dict of {', '.join(map(repr, x))}" if isinstance(x, Mapping) else f"a {type(x).__name__}"
            got += f" of {len(x)}" if isinstance(x, (list, tuple)) else ""
            raise InputError(
                f"{name}{told(place.rstrip('/'))} must be {kind} of the {len(keys)} inputs that {self.model!r} "
                f"takes{names}, got {got}"
            )
        parts: dict[str, Any] = {}
        for key, one, features in zip(own, inner, found, strict=True):
            parts |= self._matched(name, one, features, f"{place}{key}/")
        return parts

    def takes_text(self, shape: tuple[int, ...]) -> bool:
        """Return whether examples of this shape may hold text."""
        return self.dtype == "string" or (self.tries is not None and self.tries(shape, "string"))

    def adjusted(self, shape: tuple[int, ...], text: bool) -> tuple[int, ...] | None:
        """Return the shape that examples of this one are given to the model in, as Keras would, or None."""
        candidates = [shape]
        if len(shape) == len(self.shape) + 1 and shape[-1] == 1:
            candidates.append(shape[:-1])
        if len(shape) == len(self.shape) - 1 and self.shape[-1] == 1:
            candidates.append((*shape, 1))
        for candidate in candidates:
            if len(candidate) == len(self.shape) and all(
                w in (None, g) for w, g in zip(self.shape, candidate, strict=True)
            ):
                return candidate
        kind = "string" if text else self.dtype
        return shape if self.tries is not None and self.tries(shape, kind) else None


def _own_name(tensor: Any) -> str | None:
    """Return the name of an input, unless Keras has numbered it."""
    name = getattr(tensor, "name", None)
    return None if name is None or re.fullmatch(r"keras_tensor(_\d+)?", name) else name


def inputs_of(models: Sequence[keras.Model], lasting: bool = True) -> tuple[Input, ...]:
    """Return the inputs of models that are fed the same, each kind once."""
    return tuple(dict.fromkeys(Input.of(model, lasting) for model in models))


class Examples:
    """Features in memory, mapped or sparse, that models take a batch at a time.

    Args:
        name: Of the argument, for errors.
        x: Arrays, tensors, lists, DataFrames or sparse matrices, shape (examples, ...).
        inputs: What the models take.

    Raises:
        InputError: It is something else, holds no example, or the models do not take such examples.
    """

    def __init__(self, name: str, x: Any, inputs: Sequence[Input]):
        self._name = name
        kinds = [np.dtype(one.dtype) for one in inputs if one.dtype.startswith(("int", "uint"))]
        self._whole = kinds[0] if kinds else None  # the dtype, where a model takes whole numbers
        self._parts: dict[str, Examples] = {}
        if any(one.parts for one in inputs):
            self._take_several(x, inputs)
            return
        if isinstance(x, Mapping) and [*x] == [inputs[0].name]:
            (x,) = x.values()
        several = isinstance(x, (list, tuple)) and len(x) and hasattr(x[0], "shape")  # inputs for Keras, or examples
        if several and len(x) == 1 and len(x[0].shape) == len(inputs[0].shape) + 1:
            x, several = x[0], False
        self._x = _opened(name, x)
        shape, dtype = tuple(self._x.shape), getattr(self._x, "dtype", None)
        if not shape or not shape[0]:
            raise InputError(f"{name} must hold at least one example, got shape {shape}")
        self._shape = tuple(map(int, shape[1:]))
        text = isinstance(dtype, np.dtype) and dtype.kind in "USTO"
        for one in inputs:
            given, takes_text = self._shape, False
            if text:
                takes_text = one.takes_text(given)
                if not takes_text:
                    raise InputError(
                        f"{name} must hold numbers, as the input of {one.model!r} is {one.dtype}, got text; encode it "
                        "as numbers first"
                    )
            elif one.dtype == "string":
                raise InputError(
                    f"{name} must hold text, as the input of {one.model!r} is of strings, got {dtype or 'numbers'}"
                )
            fitting = one.adjusted(given, takes_text)
            if fitting is None:
                advice = "; give one array, as the model has one input" if several else _advice(one.shape, shape)
                raise InputError(
                    f"{name} must have shape {_words(one.shape)}, as {one.model!r} takes it, got {shape}{advice}"
                )
            self._shape = fitting

    def _take_several(self, x: Any, inputs: Sequence[Input]) -> None:
        places = [*inputs[0].parts]
        for other in inputs:
            if [*other.parts] != places:
                kinds = [", ".join(f"{told(place)}" for place in one.parts) or "one" for one in (inputs[0], other)]
                raise InputError(
                    f"models that are fed together must take the same inputs, got {kinds[0]} and {kinds[1]}"
                )
        given = inputs[0].given(self._name, x)
        for other in inputs[1:] if isinstance(x, Mapping) else ():
            if [*map(id, other.given(self._name, x).values())] != [*map(id, given.values())]:
                names = [", ".join(str(part.name) for part in one.parts.values()) for one in (inputs[0], other)]
                raise InputError(
                    f"{self._name} must be a list for models that name their inputs in another order, {names[0]} and "
                    f"{names[1]}, got a dict; or give the models inputs in one order"
                )
        for place, features in given.items():
            inner = [one.parts[place] for one in inputs]
            self._parts[place] = Examples(f"{self._name}{told(place)}", features, inner)
        sizes = {place: len(part) for place, part in self._parts.items()}
        if len(set(sizes.values())) > 1:
            counts = ", ".join(f"{size} in {self._name}{told(place)}" for place, size in sizes.items())
            raise InputError(f"{self._name} must hold the same examples for each input, got {counts}")

    def __len__(self) -> int:
        return len(next(iter(self._parts.values()))) if self._parts else int(self._x.shape[0])

    def batch(self, start: int, stop: int) -> Array:
        """Return these examples as an array that a model takes.

        Raises:
            InputError: A feature is NaN or infinite. The outputs need not show it: a layer of whole numbers takes NaN
                for some number, and on some processors `relu` takes it for 0.
        """
        if self._parts:
            return table({place: part.batch(start, stop) for place, part in self._parts.items()})
        part = self._x[start:stop]
        array = _plain(self._name, part.toarray() if scipy.sparse.issparse(part) else np.asarray(part))
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            sick = start + int(np.argmin(np.isfinite(array).reshape(len(array), -1).all(axis=1)))
            raise InputError(f"{self._name} must be finite, got NaN or infinity in example {sick}; drop or impute it")
        if self._whole is not None:
            _check_whole(self._name, array, self._whole, start)
        return array.reshape(len(array), *self._shape)

    def whole(self) -> Array:
        """Return all examples.

        Raises:
            InputError: They are sparse and would not fit in memory.
        """
        if self._parts:
            return table({place: part.whole() for place, part in self._parts.items()})
        if scipy.sparse.issparse(self._x):
            needed, free = int(np.prod(self._x.shape)) * self._x.dtype.itemsize, psutil.virtual_memory().available
            if needed > free // 2:
                raise InputError(
                    f"{self._name} is sparse and would take {needed:,} bytes as the array that training needs, with "
                    f"{free:,} free; give a tf.data.Dataset or a PyDataset that makes each batch dense"
                )
        return self.batch(0, len(self))


def is_source(x: Any) -> bool:
    """Return whether `x` is read batch by batch as it comes: a data set of TensorFlow or Keras, or an iterator."""
    if isinstance(x, (tf.data.Dataset, keras.utils.PyDataset)):
        return True
    known = hasattr(x, "shape") or hasattr(x, "__array__") or isinstance(x, (str, bytes, list, tuple, Mapping, set))
    return hasattr(x, "__iter__") and not known and not isinstance(x, _SYMBOLIC)


def read_source(name: str, x: Any, inputs: Sequence[Input]) -> Iterator[Array]:
    """Yield the features of the batches of a source, whose targets are ignored."""
    check_source(name, x, inputs)
    batches = (x[number] for number in range(len(x))) if hasattr(x, "__getitem__") else iter(x)
    number = -1
    for number, batch in enumerate(batches):
        features = batch[0] if isinstance(batch, (tuple, list)) and len(batch) else batch
        yield read_batch(name, number, features, inputs)
    if number < 0:
        raise InputError(f"{name} must hold at least one batch, got none")


def read_batch(name: str, number: int, features: Any, inputs: Sequence[Input]) -> Array:
    """Return the features of one batch as an array that a model takes."""
    return Examples(f"batch {number} of {name}", features, inputs).whole()


def check_source(name: str, x: Any, inputs: Sequence[Input], endless: bool = False) -> None:
    """Raise `InputError` if a source has no end, or what it says of its elements is no batch of examples."""
    of_tensorflow = isinstance(x, tf.data.Dataset)
    infinite = of_tensorflow and x.cardinality() == tf.data.INFINITE_CARDINALITY
    if not endless and (infinite or (isinstance(x, keras.utils.PyDataset) and x.num_batches is None)):
        raise InputError(f"{name} is a source without end; take some of its batches")
    if not of_tensorflow:
        return
    spec = x.element_spec[0] if isinstance(x.element_spec, tuple) and x.element_spec else x.element_spec
    for one in inputs:
        given = one.given(name, spec) if one.parts else {"": spec}
        for place, part in given.items():
            _check_elements(name + told(place), part, one.parts[place] if one.parts else one)


def _check_elements(name: str, spec: Any, one: Input) -> None:
    if not isinstance(spec, tf.TensorSpec):
        kind = type(spec).__name__
        raise InputError(f"{name} must hold one dense array of features in each batch, got {kind}; map it to one")
    rank = spec.shape.rank
    if rank is not None and rank < len(one.shape) + (one.shape[-1:] != (1,)):  # Keras adds an axis of one
        raise InputError(
            f"{name} must hold batches of shape {_words(one.shape)}, got elements of shape {tuple(spec.shape)}; "
            "call .batch(32) on the data set"
        )


def batches(x: Any, inputs: Sequence[Input], batch_size: int, at_once: bool = False) -> Iterator[tuple[int, Array]]:
    """Yield the number of the first example of each batch, and the batch.

    Args:
        x: Examples, or a source, which has batches of its own.
        inputs: What the models take.
        batch_size: Examples at a time.
        at_once: All examples are one batch.
    """
    check_at_least("batch_size", batch_size, 1)
    if isinstance(x, Examples):
        size = max(batch_size, len(x)) if at_once else batch_size
        for first in range(0, len(x), size):
            yield first, x.batch(first, first + size)
        return
    first = 0
    for batch in read_source("x", x, inputs):
        yield first, batch
        first += len(batch)


def _takes(model: keras.Model, shape: tuple[int, ...], dtype: str) -> bool:
    """Return whether a model gives one row for each example of this shape; nothing is computed."""
    traced = tf.function(lambda x: single_output(model(x, training=False)), autograph=False)
    try:
        with keras.StatelessScope():
            given = traced.get_concrete_function(tf.TensorSpec((None, *shape), dtype)).outputs[0]
    except Exception:  # whatever the user's own model raises for it, it does not take it
        return False
    return given.shape.rank in (None, 2)


def _opened(name: str, x: Any) -> Any:
    """Return an array, a sparse matrix of rows, or what else has a shape and gives its rows as arrays when sliced."""
    if isinstance(x, Mapping):
        raise InputError(f"{name} must be one array of features, got a dict of {', '.join(map(repr, x))}; give the one")
    if isinstance(x, np.ndarray) and x.dtype.names:
        raise InputError(f"{name} must be one array of features, got records of {', '.join(map(repr, x.dtype.names))}")
    if isinstance(x, _SYMBOLIC):
        raise InputError(f"{name} must be an array of features, got a {type(x).__name__}; make it dense first")
    if np.ma.isMaskedArray(x):
        if np.ma.is_masked(x):
            raise InputError(f"{name} must have a value everywhere, got a masked array with missing values; fill them")
        x = x.data
    if scipy.sparse.issparse(x):
        _check_dtype(name, x.dtype)
        return x.tocsr() if x.ndim == 2 else x.toarray()
    if isinstance(x, pd.DataFrame):
        _check_columns(name, x)
        x = x.to_numpy()
    elif isinstance(x, (pd.Series, pd.Index)):
        x = x.to_numpy()[:, None]
    elif isinstance(x, (list, tuple)):
        x = _stacked(name, x)
    elif tf.is_tensor(x) or isinstance(x, keras.Variable) or (hasattr(x, "__array__") and not hasattr(x, "shape")):
        x = np.asarray(x)
    elif not hasattr(x, "shape") or not hasattr(x, "__getitem__"):
        raise InputError(f"{name} must be an array of features or a source of batches, got {type(x).__name__}")
    if isinstance(x, np.ndarray):
        x = np.asarray(x)
        _check_dtype(name, x.dtype)
        return _without_objects(name, x) if x.dtype.kind in "OUT" else x
    return x


def _check_columns(name: str, x: pd.DataFrame) -> None:
    """Raise `InputError` if some columns hold text and others do not; then no model takes both in one array."""
    text = [str(key) for key, column in x.items() if pd.api.types.infer_dtype(column.to_numpy()) in ("string", "bytes")]
    if 0 < len(text) < x.shape[1]:
        more = f" and {len(text) - 3} more" if len(text) > 3 else ""
        which = f"column{'s' if len(text) > 1 else ''} {', '.join(map(repr, text[:3]))}{more}"
        raise InputError(f"{name} must hold numbers, got text in {which}; encode it as numbers first")


def _stacked(name: str, x: Sequence[Any]) -> Array:
    if any(isinstance(part, Mapping) or scipy.sparse.issparse(part) or isinstance(part, _SYMBOLIC) for part in x):
        kind = type(x[0]).__name__
        raise InputError(f"{name} must be one array of features, got a {type(x).__name__} of {kind}; stack them first")
    try:
        array = np.asarray(x)
        # From `x`, not `array`: NumPy makes text of a number beside text.
        array = np.asarray(x, dtype=object) if array.dtype.kind in "UST" else array
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{name} must be one array of features, got a {type(x).__name__} of parts of different shape; examples "
            "of different length must be padded, and a model that takes several inputs must say so"
        ) from error
    return array


def _check_dtype(name: str, dtype: np.dtype[Any]) -> None:
    if dtype.kind in "cMm" or (dtype.kind == "V" and not _is_small_float(dtype)):
        what = {"c": "complex numbers", "V": "records"}.get(dtype.kind, "dates or times")
        raise InputError(f"{name} must hold real numbers, got {what} (dtype {dtype}); turn them into numbers first")


def _is_small_float(dtype: np.dtype[Any]) -> bool:
    return dtype.type.__module__ == "ml_dtypes"  # bfloat16 and the like, which NumPy calls void


def _plain(name: str, array: Array) -> Array:
    """Return an array of a dtype that TensorFlow has."""
    _check_dtype(name, array.dtype)
    if array.dtype.kind == "V":
        return array.astype(np.float32)
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        with np.errstate(over="ignore"):
            return array.astype(np.float64)
    return _without_objects(name, array) if array.dtype.kind in "OUT" else array


def _without_objects(name: str, array: Array) -> Array:
    """Return an array of objects as one of numbers or of text."""
    values = array.astype(object).ravel()
    kinds = {type(value) for value in values}
    if any(issubclass(kind, (str, bytes)) for kind in kinds) and all(
        issubclass(kind, (str, bytes, float, type(None), type(pd.NA))) for kind in kinds
    ):
        _check_none_missing(name, values)
        if all(issubclass(kind, (str, bytes)) for kind in kinds):
            return _as_utf8(name, array)
    if not any(issubclass(kind, (list, tuple, np.ndarray, dict)) for kind in kinds):
        _check_none_missing(name, values)
    for dtype, of in ((bool, ()), (np.int64, (Integral,)), (np.float64, (Real, Decimal))):
        if all(issubclass(kind, (bool, np.bool_, *of)) for kind in kinds):
            try:
                return array.astype(dtype)
            except OverflowError:
                continue  # whole numbers that only a float holds
    told = " and ".join(sorted(kind.__name__ for kind in kinds)[:4])
    raise InputError(f"{name} must hold numbers, got an array of objects ({told}); make one array of numbers")


def _as_utf8(name: str, array: Array) -> npt.NDArray[np.bytes_]:
    """Return text as bytes, of which digests can be made."""
    try:
        flat = [one.encode() if isinstance(one, str) else one for one in array.ravel().tolist()]
    except UnicodeEncodeError as error:
        raise InputError(f"{name} must hold text that UTF-8 can hold: {error}") from error
    return as_bytes(name, flat).reshape(array.shape)


def _check_whole(name: str, array: Any, dtype: np.dtype[Any], start: int) -> None:
    """Raise if numbers are none that a dtype of whole numbers holds; Keras casts them without a word."""
    if array.dtype.kind not in "uif" or array.dtype == dtype:
        return
    known = np.iinfo(dtype)
    wrong = (array < known.min) | (array > known.max) | (array != np.floor(array))
    if wrong.any():
        example = start + int(np.argmax(wrong.reshape(len(array), -1).any(axis=1)))
        raise InputError(
            f"{name} must hold whole numbers, as the model takes {dtype.name}, got {float(array[wrong].flat[0]):.4g} "
            f"in example {example}; do not standardize or scale them before (standardise=False in from_arrays)"
        )


def _check_none_missing(name: str, values: npt.NDArray[np.object_]) -> None:
    missing = int(np.count_nonzero(pd.isna(values)))
    if missing:
        raise InputError(
            f"{name} must have a value everywhere, got {missing} missing values (NA, NaN or None); drop or impute them"
        )


def _words(shape: tuple[int | None, ...]) -> str:
    return f"({', '.join(['examples', *('any' if size is None else str(size) for size in shape)])})"


def _advice(wanted: tuple[int | None, ...], given: tuple[int, ...]) -> str:
    if len(given) == len(wanted) and all(w in (None, g) for w, g in zip(wanted, given, strict=True)):
        return "; a single example is x[None]"
    return "; reshape it, or give the features that the model was built for"
