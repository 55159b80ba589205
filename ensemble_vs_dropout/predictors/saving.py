"""Whole ensembles in one file: the members as Keras saves them, and beside them what Keras leaves out."""

import errno
import json
import shutil
import zipfile
from collections.abc import Callable, Iterable
from io import BytesIO
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.files import DAMAGED_ARCHIVE, appearing, as_npz, check_archive
from ensemble_vs_dropout.models.adapted import give_state, state_of, words_of
from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.models.copies import alike, predicted, probe
from ensemble_vs_dropout.training import files

_PROBED = 2**22  # numbers in the made-up examples whose outputs are kept, at most
_CURE = "give build, the builder of the ensemble, to Ensemble.load"
_ROUNDING = 0.02  # another device rounds otherwise; what is not the same model is further off


def write(path: str | PathLike[str], models: Iterable[keras.Model], state: dict[str, Any]) -> None:
    """Write models and a state that JSON can hold to one zip file, at once or not at all.

    Raises:
        InputError: Keras cannot save a model.
    """
    names, masks, reasons, words = [], [], [], []
    with appearing(Path(path)) as partial, zipfile.ZipFile(partial, "w") as archive, TemporaryDirectory() as folder:
        for member, model in enumerate(models):
            reasons.append(files.undescribed(model))
            suffix = files.WEIGHTS if reasons[-1] else files.WHOLE
            files.check_kept(model, suffix)
            names.append(f"member_{member:03d}{suffix}")
            try:
                files.save(model, Path(folder) / names[-1])
            except OSError:  # of the disk
                raise
            except Exception as error:  # layers of the user's own may fail at it in any way
                raise InputError(f"Keras cannot save the model {model.name!r}: {error}") from error
            archive.write(Path(folder) / names[-1], names[-1])
            (Path(folder) / names[-1]).unlink()
            masks.append([seed.numpy().tolist() for seed in files.seed_states(model)])
            words.append(words_of(model))
            archive.writestr(_outputs_name(member), _outputs(model))
        kept = {**state, "masks": masks, "files": names, "reasons": reasons, "words": words}
        archive.writestr("ensemble.json", json.dumps(kept))


def read(
    path: str | PathLike[str], build: Callable[[], keras.Model] | None = None
) -> tuple[list[keras.Model], dict[str, Any]]:
    """Return what `write` wrote; no code in the file is run.

    Args:
        path: Of the file.
        build: Returns new compiled models that take the weights of the file; None to make them from the file alone.

    Raises:
        InputError: The file holds no ensemble, or models that need `build`, or others than `build` returns.
    """
    models: list[keras.Model] = []
    try:
        check_archive(Path(path))
        with zipfile.ZipFile(path) as archive, TemporaryDirectory() as folder:
            state = _state(path, archive.read("ensemble.json"))
            names = state.get("files") or [f"member_{member:03d}{files.WHOLE}" for member in range(len(state["masks"]))]
            for member, (name, masks) in enumerate(zip(names, state["masks"], strict=True)):
                file = Path(folder) / f"member_{member:03d}{files.WEIGHTS if name.endswith('5') else files.WHOLE}"
                with archive.open(name) as whole, file.open("wb") as copy:
                    shutil.copyfileobj(whole, copy)
                if build is not None:
                    models.append(_built(build, models, file))
                elif name.endswith(files.WEIGHTS):
                    raise InputError(
                        f"{path} holds the weights of its members alone, because {state['reasons'][member]}; {_CURE}"
                    )
                else:
                    models.append(files.load(file, f"{_CURE}, or register what it needs with Keras before"))
                file.unlink()
                for variable, value in zip(files.seed_states(models[-1]), masks, strict=True):
                    variable.assign(value)
                if build is None and state.get("words") and state["words"][member] != words_of(models[-1]):
                    raise InputError(f"{path} gives back other words than a layer was adapted to; {_CURE}")
                if _outputs_name(member) in archive.namelist():
                    _check(path, models[-1], archive.read(_outputs_name(member)), build is None)
    except InputError:
        raise
    except DAMAGED_ARCHIVE as error:
        raise InputError(f"{path} does not hold a saved ensemble: {error}") from error
    except OSError as error:
        if error.errno not in (errno.EINVAL, None):  # a place before the beginning; what bzip2 did not write
            raise
        raise InputError(f"{path} does not hold a saved ensemble: {error}") from error
    return models, state


def _state(path: str | PathLike[str], text: bytes) -> dict[str, Any]:
    """Return what `ensemble.json` holds, or raise `InputError` where it is of another shape than `write` gives it."""
    try:
        found = json.loads(text)
    except RecursionError as error:
        raise InputError(f"{path} does not hold a saved ensemble: ensemble.json is nested too deeply") from error
    lists = ("masks", "histories", "diverged")
    sound = isinstance(found, dict) and all(isinstance(found.get(name), list) for name in lists)
    sound = sound and isinstance(found.get("head"), (str, type(None)))
    sound = sound and type(found.get("seed")) is int and all(isinstance(masks, list) for masks in found["masks"])
    sound = sound and all(type(m) is int and 0 <= m < len(found["masks"]) for m in found["diverged"])
    sound = sound and isinstance(found.get("vary", {}), dict)
    if sound and (names := found.get("files")) is not None:
        sound = isinstance(names, list) and len(names) == len(found["masks"]) and all(isinstance(n, str) for n in names)
        sound = sound and isinstance(found.get("reasons"), (list, type(None)))
    if not sound:
        raise InputError(f"{path} does not hold a saved ensemble: ensemble.json is not what save writes")
    return dict(found)


def _built(build: Callable[[], keras.Model], models: list[keras.Model], file: Path) -> keras.Model:
    model = build()
    if not isinstance(model, keras.Model) or any(model is other for other in models):
        raise InputError(f"build must return a new compiled keras.Model at each call, got {model!r}")
    files.give(file, model)
    return model


def _outputs(model: keras.Model) -> bytes:
    """Return made-up examples and what the model gives for them, by which it is known again."""
    x = probe(model)
    outputs = predicted(model, x) if x.size <= _PROBED else None
    return as_npz({"x": x, **{f"output_{number}": output for number, output in enumerate(outputs or [])}})


def _check(path: str | PathLike[str], model: keras.Model, kept: bytes, alone: bool) -> None:
    with np.load(BytesIO(kept), allow_pickle=False) as file:
        x, expected = file["x"], [file[f"output_{number}"] for number in range(len(file.files) - 1)]
    if not expected:
        return
    found = predicted(model, x)
    if not alike(expected, found, _ROUNDING) and (found is None or alike(found, predicted(model, x), _ROUNDING)):
        cure = _CURE if alone else "build returns another network"
        raise InputError(f"{path} was saved from a model that predicts something else than what it loads as; {cure}")


def _outputs_name(member: int) -> str:
    return f"outputs_{member:03d}.npz"


def loaded(model: keras.Model | Path) -> keras.Model:
    """Return the model, or what Keras can load of it in safe mode from its path."""
    if not isinstance(model, Path):
        return model
    return files.load(model, "register what it needs with Keras before, or load the model yourself and give it instead")


def rebuilt(model: keras.Model) -> keras.Model:
    """Return a new compiled model like `model`, which Keras has loaded, with initial weights of its own."""
    copy = type(model).from_config(model.get_config())
    if not copy.built:
        copy.build_from_config(model.get_build_config())
    for before, after in zip(model._flatten_layers(), copy._flatten_layers(), strict=True):
        if hasattr(before, "finalize_state") and before.weights:  # what it was adapted to belongs to the builder
            after.set_weights(before.get_weights())
    give_state(copy, state_of(model))
    copy.compile_from_config(model.get_compile_config())
    return copy
