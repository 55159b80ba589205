"""One `.keras` file that takes what a user's file holds: columns or arrays in, probabilities and uncertainty out.

Everything in it is stock layers and operations of Keras, so that it loads without this package. Beside the model the
file tells what it takes and which classes it knows, which is what `evd predict` reads.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.checks import InputError, visible
from ensemble_vs_dropout.files import DAMAGED_ARCHIVE, appearing, check_archive, parsed
from ensemble_vs_dropout.models.adapted import check_vocabularies
from ensemble_vs_dropout.models.backend import keras, tf
from ensemble_vs_dropout.models.inputs import inputs_of
from ensemble_vs_dropout.predictors.export import pool, probabilities_of
from ensemble_vs_dropout.types import Column, Encoding
from ensemble_vs_dropout.types.inputs import nested

TOLD = "ensemble_vs_dropout.json"  # beside what Keras writes
_FORMAT = 1
_LARGEST = 2**28  # bytes of what is told
_SMALLEST = float(np.finfo(np.float32).tiny)


def deployed(
    models: Sequence[keras.Model], encoding: Encoding, shape: Any, dtype: Any, rule: str = "mean"
) -> keras.Model:
    """Return one model of members that takes what a file holds.

    Of arrays it takes the array, or a dictionary of those of several inputs. Of a table it takes a dictionary:
    `numbers`, float64, and `categories`, text, each of shape (examples, columns) and with the columns in the order of
    the encoding, NaN and "" being what is missing. Its outputs are a dictionary: `probabilities`, shape (examples,
    classes), those that the rule pools; `entropy` of the members' mean in nats, shape (examples,); and of several
    members `mutual_information`, in nats (see `uncertainty`). Keras' `predict` rounds what it is given to float32,
    which shows where numbers are large beside their spread (dates in seconds, say); a call of the model does not.

    Args:
        models: Compiled models that take encoded features.
        encoding: What was fitted on the training part.
        shape: Of the features that `models` take; of several inputs a dict of shapes.
        dtype: Of an array that comes; of several inputs a dict of dtypes.
        rule: mean, geometric_mean or majority_vote.

    Raises:
        InputError: Another rule, or a model that cannot be copied.
    """
    inputs = _inputs(encoding, shape, dtype)
    features = _features(encoding, inputs)
    if encoding.inputs:
        features = nested(inputs_of(models[:1])[0].given("the data", features))
    members = [probabilities_of(model, f"member_{number}", features) for number, model in enumerate(models)]
    probs = keras.ops.stack(members, axis=1)
    mean = keras.ops.mean(probs, axis=1)
    outputs = {"probabilities": pool(probs, rule), "entropy": _entropy(mean)}
    if len(models) > 1:
        outputs["mutual_information"] = outputs["entropy"] - keras.ops.mean(_entropy(probs), axis=1)
    return keras.Model(_alone(inputs), outputs, name="deployed")


def _alone(inputs: Mapping[str, Any]) -> Any:
    """Return what stands for the one array, or all inputs by their names."""
    return inputs["x"] if [*inputs] == ["x"] else dict(inputs)


def _inputs(encoding: Encoding, shape: Any, dtype: Any) -> dict[str, keras.KerasTensor]:
    if encoding.inputs:
        made = {name: _inputs(one, shape[name], dtype[name])["x"] for name, one in encoding.inputs.items()}
        return {name: keras.Input(one.shape[1:], dtype=one.dtype, name=name) for name, one in made.items()}
    if not encoding.columns:
        dtype = dtype if encoding.mean is None else "float64"
        return {"x": keras.Input(shape, dtype=dtype, name="x")}
    numbers, categories = len(encoding.numbers), len(encoding.categories)
    found = {"numbers": keras.Input((numbers,), dtype="float64", name="numbers")} if numbers else {}
    if categories:
        found["categories"] = keras.Input((categories,), dtype="string", name="categories")
    return found


def _features(encoding: Encoding, inputs: Mapping[str, keras.KerasTensor]) -> Any:
    """Return what the networks take, made of the inputs as it was made of the training part."""
    if encoding.inputs:
        return {name: _features(one, {"x": inputs[name]}) for name, one in encoding.inputs.items()}
    if not encoding.columns:
        return inputs["x"] if encoding.mean is None else _standardized(encoding, inputs["x"])
    blocks = []
    if "numbers" in inputs:
        fills = [column.fill for column in encoding.numbers]
        numbers = inputs["numbers"]
        if any(fill is not None for fill in fills):
            filling = np.array([[np.nan if fill is None else fill for fill in fills]], np.float64)
            numbers = keras.ops.where(keras.ops.isnan(numbers), filling, numbers)
        blocks.append(_standardized(encoding, numbers))
    for place, column in enumerate(encoding.categories):
        blocks.append(_one_hot(column, inputs["categories"][:, place], place))
    return keras.layers.Concatenate(name="features")(blocks) if len(blocks) > 1 else blocks[0]


def _standardized(encoding: Encoding, numbers: keras.KerasTensor) -> keras.KerasTensor:
    """Return (numbers - mean) / deviation as float32, the arithmetic in float64, for dates are large numbers."""
    assert encoding.mean is not None
    assert encoding.deviation is not None
    constant = encoding.deviation == 0
    scale = np.where(constant, 0.0, 1 / np.where(constant, 1.0, encoding.deviation))
    return keras.ops.cast((numbers - encoding.mean[None]) * scale[None], "float32")


def _one_hot(column: Column, texts: keras.KerasTensor, place: int) -> keras.KerasTensor:
    """Return a feature for each category; of others all are 0, and "" is what is filled in."""
    missing = [""] if column.fill is not None and "" not in column.categories else []
    lookup = keras.layers.StringLookup(vocabulary=[*column.categories, *missing], name=f"category_{place}")
    rows = np.eye(len(column.categories) + 1, dtype="float32")[:, 1:]  # the first row is of others
    if missing:
        rows = np.concatenate([rows, [rows[1 + column.categories.index(str(column.fill))]]])
    table = keras.layers.Embedding(*rows.shape, weights=[rows], trainable=False, name=f"one_hot_{place}")
    return table(lookup(texts))


def _entropy(probs: keras.KerasTensor) -> keras.KerasTensor:
    return -keras.ops.sum(probs * keras.ops.log(keras.ops.maximum(probs, _SMALLEST)), axis=-1)


def write(path: str | PathLike[str], model: keras.Model, told: Mapping[str, Any]) -> None:
    """Write a model that `deployed` returned to a `.keras` file, at once or not at all.

    Args:
        path: Ends in .keras.
        model: The model.
        told: What else is to be told of it, that JSON can hold; `encoding`, `shape`, `dtype` and `classes` among it.

    Raises:
        InputError: Another ending, or Keras cannot save the model.
    """
    path = Path(path)
    if path.suffix != ".keras":
        raise InputError(f"out must end in .keras, got {str(path)!r}")
    check_vocabularies(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    with appearing(path) as partial:
        try:
            model.save(partial)
        except OSError:  # of the disk
            raise
        except Exception as error:  # layers of the user's own may fail at it in any way
            raise InputError(f"Keras cannot save the model: {error}") from error
        with zipfile.ZipFile(partial, "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(TOLD, json.dumps({"format": _FORMAT, **told}))


class Deployed:
    """What `write` wrote, to predict with; no code in the file is run.

    Args:
        path: Of the file.
        custom_objects: Classes of the user's own that are not registered with Keras, by name.

    Attributes:
        model: The `keras.Model`.
        told: What the file tells beside it.
        encoding: What the networks take.
        classes: Names of the classes, in the order of the probabilities.

    Raises:
        InputError: Another file, or layers that are not registered with Keras.
    """

    def __init__(self, path: str | PathLike[str], custom_objects: Mapping[str, Any] | None = None):
        path = Path(path)
        if path.suffix != ".keras":
            export = f"evd export {path} --out model.keras makes one of a run"
            remedy = export if path.is_dir() else "another runtime reads its own files"
            raise InputError(f"model must be a file that ends in .keras, got {str(path)!r}; {remedy}")
        self.told = _told(path)
        try:
            self.encoding = Encoding.from_json(self.told["encoding"])
            self.classes = tuple(visible(str(name)) for name in self.told["classes"])
            self.shape, self.dtype = self.told["shape"], self.told["dtype"]
            self.encoding.check_kinds(self.shape, self.dtype)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{path} tells of its inputs what evd export does not write: {error}") from error
        try:
            self.model = keras.models.load_model(path, dict(custom_objects or {}), compile=False, safe_mode=True)
            given = self.model.output
        except Exception as error:  # Keras' reader raises anything
            lacking = re.search(r"Could not locate class '(\w+)'", str(error))
            reason = f"it needs the class {lacking[1]!r}" if lacking else str(error).strip().partition("\n")[0][:300]
            raise InputError(
                f"{path} cannot be loaded by Keras: {reason}; name the module that holds layers of your own (evd "
                "predict --import)"
            ) from error
        shape = tuple(given["probabilities"].shape) if isinstance(given, dict) and "probabilities" in given else ()
        if shape != (None, len(self.classes)):
            raise InputError(f"{path} tells of {len(self.classes)} classes, and its model predicts others")
        self._forward = tf.function(lambda inputs: self.model(inputs, training=False), reduce_retracing=True)

    def predict(self, part: Mapping[str, npt.NDArray[Any]], batch_size: int = 1024) -> dict[str, npt.NDArray[Any]]:
        """Return the model's outputs as arrays, those of all examples.

        Keras' own `predict` rounds numbers to float32 before the model sees them; this does not.

        Args:
            part: Its inputs by name, as `datasets.rows.Rows` yields them.
            batch_size: Examples at a time.
        """
        examples = len(next(iter(part.values())))
        found = []
        for start in range(0, examples, batch_size):
            some = {name: values[start : start + batch_size] for name, values in part.items()}
            tensors = {name: tf.constant(_plain(values)) for name, values in some.items()}
            found.append(self._forward(_alone(tensors)))
        return {name: np.concatenate([one[name].numpy() for one in found]) for name in found[0]}


def _plain(values: npt.NDArray[Any]) -> Any:
    return values.tolist() if values.dtype == object else values  # texts


def _told(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"the model {str(path)!r} {'is a folder' if path.is_dir() else 'does not exist'}")
    try:
        check_archive(path)
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(TOLD).file_size > _LARGEST:
                raise InputError(f"{path} tells more than {_LARGEST:,} bytes of its inputs, which no table has")
            told = parsed(archive.read(TOLD))
    except InputError:
        raise
    except (*DAMAGED_ARCHIVE, OSError) as error:
        raise InputError(
            f"{path} is no model of evd export, or Keras has saved it since, which leaves out what it takes ({error}); "
            "export it again"
        ) from error
    if not isinstance(told, dict) or told.get("format") != _FORMAT:
        raise InputError(f"{path} must be of format {_FORMAT} of exported models; take the version that wrote it")
    return told
