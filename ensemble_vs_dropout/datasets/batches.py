"""`from_batches`: a `tf.data.Dataset`, a `PyDataset` or any iterable of batches becomes a checked `Dataset`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.datasets.features import Standardise
from ensemble_vs_dropout.datasets.preparation import from_arrays
from ensemble_vs_dropout.files import check_room
from ensemble_vs_dropout.types import Dataset

Arrays = dict[str, npt.NDArray[Any]]  # of a batch: "x" or "x.NAME", "y" and "weights"
_COPIES = 3  # in memory: the batches, their whole, and what is made of it
_ENDLESS = -1  # what tf.data calls the number of batches of a source without end


def from_batches(
    train: Iterable[Any],
    test: Iterable[Any],
    *,
    val: Iterable[Any] | None = None,
    name: str = "batches",
    class_names: Sequence[str] | None = None,
    source: str = "",
    standardise: Standardise = "auto",
    train_size: int | None = None,
    label_noise: float = 0.0,
    val_fraction: float = 0.1,
    seed: int = 0,
) -> Dataset:
    """Return a checked `Dataset` of sources of batches, each read once, in its order.

    A batch is (features, labels) or (features, labels, sample weights); features of several inputs are a dict of
    arrays. All of it is held in memory, and what does not fit is refused while it is read. `Ensemble.fit` takes
    sources that are larger. A source that shuffles should do so by a seed: in another order it is other data.

    Args:
        train: A `tf.data.Dataset`, a `keras.utils.PyDataset`, or what yields batches when it is iterated, such as a
            list. Its sample weights say how much each example counts in training.
        test: As `train`; weights in it are refused, for what is judged is not weighted.
        val: As `test`; None splits it off train.
        name: As in `from_arrays`; likewise all that follow.
        class_names: See there.
        source: See there.
        standardise: See there.
        train_size: See there.
        label_noise: See there.
        val_fraction: See there.
        seed: See there.

    Raises:
        InputError: A source without end or without batches, batches of another structure than the first, or more than
            memory holds; and what `from_arrays` refuses.

    Example:
        >>> x, y = np.arange(40.0).reshape(20, 2), np.array([0, 1] * 10)
        >>> data = from_batches([(x[:12], y[:12]), (x[12:], y[12:])], [(x[:4], y[:4])])
        >>> data.sizes
        {'train': 18, 'val': 2, 'test': 4}
    """
    x_train, y_train, weights = _read("train", train)
    parts: dict[str, Any] = {}
    for part, given in (("test", test), ("val", val)):
        if given is None:
            continue
        parts[f"x_{part}"], parts[f"y_{part}"], weighed = _read(part, given)
        if weighed is not None:
            raise InputError(
                f"{part} must yield batches (features, labels), got sample weights: only training has them"
            )
    return from_arrays(
        x_train,
        y_train,
        **parts,
        weights_train=weights,
        name=name,
        class_names=class_names,
        source=source,
        standardise=standardise,
        train_size=train_size,
        label_noise=label_noise,
        val_fraction=val_fraction,
        seed=seed,
    )


def _read(where: str, source: Iterable[Any]) -> tuple[Any, npt.NDArray[Any], npt.NDArray[Any] | None]:
    """Return the features, labels and weights of all batches of a source."""
    number, batches = _opened(where, source)
    read: list[Arrays] = []
    held = 0
    for place, batch in enumerate(batches):
        arrays = _parts(f"batch {place} of {where}", batch)
        if not len(arrays["y"]):
            continue  # as the last one of some sources
        if read and (difference := _difference(read[0], arrays)):
            raise InputError(f"{where} must yield batches of one structure, got {difference} in batch {place}")
        read.append(arrays)
        held += sum(map(_bytes, arrays.values()))
        expected = held * (number if number and len(read) == 1 else 1)
        check_room(where, _COPIES * expected - held)
    if not read:
        raise InputError(f"{where} must yield at least one batch, got none")
    whole = {key: np.concatenate([arrays[key] for arrays in read]) for key in read[0]}
    features = {key.removeprefix("x."): array for key, array in whole.items() if key.startswith("x.")}
    return whole.get("x", features), whole["y"], whole.get("weights")


def _opened(where: str, source: Any) -> tuple[int | None, Iterator[Any]]:
    """Return how many batches a source has, None where only reading it tells, and the batches."""
    if callable(getattr(source, "cardinality", None)):  # of tf.data
        number = int(source.cardinality())
        if number == _ENDLESS:
            raise InputError(f"{where} is a source without end; give source.take(number of batches)")
        return (number if number >= 0 else None), iter(source)
    if isinstance(source, np.ndarray | str | bytes | Mapping):
        raise InputError(_NO_SOURCE.format(where, type(source).__name__))
    if hasattr(type(source), "num_batches") and hasattr(source, "__getitem__"):  # Keras' PyDataset, often not iterable
        try:
            number = source.num_batches
        except NotImplementedError as error:
            raise InputError(
                f"{where} does not tell how many batches it has: give it __len__ or num_batches"
            ) from error
        if number is None:
            raise InputError(f"{where} is a source without end; give one whose number of batches is known")
        return int(number), (source[place] for place in range(int(number)))
    if not isinstance(source, Iterable):
        raise InputError(_NO_SOURCE.format(where, type(source).__name__))
    return (len(source) if isinstance(source, Sequence) else None), iter(source)


_NO_SOURCE = (
    "{} must yield batches (features, labels), as a tf.data.Dataset, a PyDataset or a list of them does, got {}; "
    "from_arrays takes arrays"
)


def _parts(where: str, batch: Any) -> Arrays:
    """Return the arrays of a batch: features as `x`, or under `x.NAME` where there are several inputs."""
    if not isinstance(batch, tuple | list) or len(batch) not in (2, 3):
        raise InputError(
            f"{where} must be (features, labels) or (features, labels, sample weights), got {type(batch).__name__}"
            f"{f' of {len(batch)}' if isinstance(batch, tuple | list) else ''}"
        )
    if isinstance(batch[0], tuple | list):
        raise InputError(f"{where} must hold an array of features, or a dict of arrays by the names of the inputs")
    if isinstance(batch[1], Mapping | tuple):
        raise InputError(f"{where} must hold the labels of one output, got {type(batch[1]).__name__}")
    if isinstance(batch[0], Mapping):
        strange = next((name for name in batch[0] if not isinstance(name, str) or not name), None)
        if strange is not None:
            raise InputError(f"{where} must name its inputs by text, got {strange!r}")
        arrays = {f"x.{name}": _array(f"{name!r} in {where}", one) for name, one in batch[0].items()}
    else:
        arrays = {"x": _array(f"the features in {where}", batch[0])}
    arrays["y"] = _array(f"the labels in {where}", batch[1])
    if len(batch) == 3 and batch[2] is not None:
        arrays["weights"] = _array(f"the sample weights in {where}", batch[2])
    alone = [_WORDS.get(key, key) for key, array in arrays.items() if not array.ndim]
    if alone:
        raise InputError(
            f"{where} must hold many examples, got a single one in {alone[0]}; .batch(n) puts them together"
        )
    sizes = {_WORDS.get(key, key): len(array) for key, array in arrays.items()}
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{size} in {key}" for key, size in sizes.items())
        raise InputError(f"{where} must hold the same number of examples in each part, got {told}")
    return arrays


_WORDS = {"x": "the features", "y": "the labels", "weights": "the sample weights"}


def _array(what: str, value: Any) -> npt.NDArray[Any]:
    """Return a tensor of any library as an array of its own, for loaders may fill the same one again.

    Text of TensorFlow, which comes as bytes, becomes text.
    """
    if np.ma.isMaskedArray(value) and np.ma.getmaskarray(value).any():
        raise InputError(f"{what} must be whole, got {np.ma.getmaskarray(value).sum()} masked values; leave them out")
    if hasattr(value, "to_tensor") or hasattr(value, "todense") or type(value).__name__ == "SparseTensor":
        raise InputError(f"{what} must be dense, got {type(value).__name__}; make a dense array or tensor of it")
    if hasattr(value, "columns") and hasattr(value, "to_numpy"):
        raise InputError(f"{what} must be arrays, got a {type(value).__name__}; give its to_numpy()")
    try:
        array = np.array(value)
    except Exception as error:  # what another library raises
        raise InputError(f"{what} cannot be read as an array: {' '.join(str(error).split())[:200]}") from error
    if array.dtype.kind == "V" or array.dtype.name == "bfloat16":
        raise InputError(f"{what} must be numbers or text, got dtype {array.dtype}; cast them to float32")
    if array.dtype.kind == "O" and all(isinstance(one, bytes) for one in array.flat):
        return np.array([one.decode("utf-8", "surrogateescape") for one in array.flat], object).reshape(array.shape)
    return array.astype(object) if array.dtype.kind in "UT" else array  # text of any length side by side


def _bytes(array: npt.NDArray[Any]) -> int:
    """Return what an array takes; of text what stands in it, and not the references to it."""
    return sum(map(len, map(str, array.flat))) if array.dtype.kind == "O" else array.nbytes


def _difference(first: Arrays, other: Arrays) -> str:
    """Return in words how the arrays of a batch differ from those of the first; "" where they fit together."""
    if first.keys() != other.keys():
        return f"{' and '.join(other)} after {' and '.join(first)}"
    for key, array in other.items():
        if array.shape[1:] != first[key].shape[1:]:
            return f"{key} of shape {array.shape[1:]} after {first[key].shape[1:]}"
        if array.dtype.kind != first[key].dtype.kind:
            return f"{key} of dtype {array.dtype} after {first[key].dtype}"
    return ""
