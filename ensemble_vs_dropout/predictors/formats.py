"""A network in the files of other runtimes, each read back by its own: TensorFlow's SavedModel, ONNX and LiteRT."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.files import appearing
from ensemble_vs_dropout.models.backend import keras, tf
from ensemble_vs_dropout.models.copies import probe
from ensemble_vs_dropout.types.inputs import by_place, columns_of

Arrays = dict[str, npt.NDArray[Any]]
Runs = Callable[[Arrays], Arrays]  # inputs by name to outputs by name
_CLOSE = 1e-5  # between what a runtime and Keras give, of which both round
_EXAMPLES, _CALLS = 32, 20  # that are predicted to see so, and calls whose median is the latency
_EXTRA = 'pip install "ensemble-vs-dropout[deploy]"'


@dataclass(frozen=True)
class Exported:
    """What a file came to.

    Attributes:
        format: "SavedModel", "ONNX" or "LiteRT".
        bytes: Of the file, or of all files of a folder.
        seconds: That its runtime takes for one example: the median of 20 calls after a first.
        keras_seconds: The same of the Keras model.
        difference: The largest between what both give, for made-up examples.
    """

    format: str
    bytes: int
    seconds: float
    keras_seconds: float
    difference: float


def check_path(path: Path) -> Path:
    """Return the path of a file to export to, or raise `InputError` if it can be none.

    Example:
        >>> check_path(Path("model.keras")).suffix
        '.keras'
    """
    if path.suffix not in (".keras", *_FORMATS):
        raise InputError(f"out must end in .keras, .onnx or .tflite, or in nothing for a SavedModel, got {str(path)!r}")
    if path.suffix != ".keras" and os.path.lexists(path):
        raise InputError(f"{path} is there already; give another name, or remove it")
    return path


def write_for_runtime(path: Path, model: keras.Model, told: Mapping[str, Any]) -> dict[str, Any]:
    """Do what `export_model` does, write what is told of the model beside it, and return it with what was found."""
    found = {**told, "exported": asdict(export_model(path, model))}
    with appearing(path.with_name(f"{path.name}.json")) as partial:
        partial.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return found


def export_model(path: Path, model: keras.Model) -> Exported:
    """Write a model for another runtime, read it back by that, and hold it to what Keras predicts.

    Args:
        path: Ends in .onnx or .tflite; a folder without an ending becomes a SavedModel.
        model: Outputs a tensor or a dict of tensors.

    Raises:
        InputError: The runtime is not installed, cannot do what the model does, or computes something else; then
            nothing is written.

    Example:
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation="softmax")])
        >>> with TemporaryDirectory() as folder:
        ...     export_model(Path(folder) / "saved", model).format
        'SavedModel'
    """
    name, keras_format, read = _FORMATS[check_path(path).suffix]
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=path.parent, prefix=".exporting") as folder:
        made = Path(folder) / path.name
        try:
            with _quiet():
                model(_nested(model, _examples(model)), training=False)  # Keras wants it called once
                model.export(made, format=keras_format, verbose=False)
                run = read(made)
                exported = _compared(name, made, model, run)
        except ImportError as error:
            raise InputError(f"{name} needs {error.name}; {_EXTRA}") from error
        except InputError:
            raise
        except Exception as error:  # converters and runtimes raise anything at what they do not know
            told = " ".join(str(error).split())[:300]
            raise InputError(f"{name} cannot do what the model does: {told}; a .keras file can") from error
        shutil.move(made, path)
    return exported


def _compared(name: str, made: Path, model: keras.Model, run: Runs) -> Exported:
    """Return what a file came to, or raise `InputError` if it predicts something else than the model."""
    given = _examples(model)

    compiled = tf.function(lambda inputs: model(inputs, training=False))

    def by_keras(some: Arrays) -> Arrays:
        return _named(compiled(_nested(model, some)))

    expected, found = by_keras(given), run(given)
    off = 0.0
    for key, values in expected.items():
        other = found[key] if key in found else next(iter(found.values()))
        if other.shape != values.shape:
            raise InputError(f"{name} gives {key} of shape {other.shape}, and Keras of {values.shape}")
        if not np.isfinite(values).all() or not np.isfinite(other).all():
            raise InputError(f"{key} must be finite to be exported, and is not for made-up examples by {name} or Keras")
        off = max(off, float(np.abs(other - values).max() / max(1.0, np.abs(values).max())))
    if off > _CLOSE:
        raise InputError(f"{name} predicts something else than Keras, by {off:.2g}; nothing was written")
    one = {key: values[:1] for key, values in given.items()}
    files = [made] if made.is_file() else [file for file in made.rglob("*") if file.is_file()]
    return Exported(name, sum(file.stat().st_size for file in files), _latency(run, one), _latency(by_keras, one), off)


def _latency(run: Runs, one: Arrays) -> float:
    run(one)
    seconds = []
    for _ in range(_CALLS):
        start = time.perf_counter()
        run(one)
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def _examples(model: keras.Model) -> Arrays:
    """Return made-up examples by the names of the inputs."""
    few = probe(model)
    columns = columns_of(few[np.resize(np.arange(len(few)), _EXAMPLES)]).values()
    kinds = [object if tensor.dtype == "string" else tensor.dtype for tensor in model.inputs]
    return {tensor.name: column.astype(kind) for tensor, column, kind in zip(model.inputs, columns, kinds, strict=True)}


def _nested(model: keras.Model, given: Mapping[str, Any]) -> Any:
    tensors = [tf.constant(given[tensor.name], tensor.dtype) for tensor in model.inputs]
    nested = getattr(model, "_inputs_struct", None)
    return tensors[0] if nested is None else keras.tree.pack_sequence_as(nested, tensors)


def _named(outputs: Any) -> Arrays:
    return {place or "output": np.asarray(value) for place, value in by_place(outputs).items()}


def _saved_model(path: Path) -> Runs:
    loaded = tf.saved_model.load(str(path))

    def run(given: Arrays) -> Arrays:
        found = loaded.signatures["serving_default"](**{name: tf.constant(value) for name, value in given.items()})
        return {key: value.numpy() for key, value in found.items()}

    return run


def _onnx(path: Path) -> Runs:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    outputs = [one.name for one in session.get_outputs()]

    def run(given: Arrays) -> Arrays:
        return dict(zip(outputs, session.run(None, given), strict=True))

    return run


def _litert(path: Path) -> Runs:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    runner = interpreter.get_signature_runner()

    def run(given: Arrays) -> Arrays:
        return {key: np.asarray(value) for key, value in runner(**given).items()}

    return run


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep converters from printing what the error tells."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


_FORMATS: dict[str, tuple[str, str, Callable[[Path], Runs]]] = {
    "": ("SavedModel", "tf_saved_model", _saved_model),
    ".onnx": ("ONNX", "onnx", _onnx),
    ".tflite": ("LiteRT", "litert", _litert),
}
