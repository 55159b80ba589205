"""What `evd doctor` looks at: versions, processor, memory, disk, data sets, and whether networks can be trained."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ensemble_vs_dropout import __version__
from ensemble_vs_dropout.checks import InputError

_PACKAGES = ("tensorflow", "keras", "numpy", "scipy", "pandas", "matplotlib")
_OPTIONAL = ("ray",)
_GIB = 2**30
_LEAST_MEMORY, _LEAST_DISK = 1 * _GIB, 1 * _GIB
# What makes products fast, by the flags that Linux gives a processor.
_INSTRUCTIONS = {"avx2": "AVX2", "avx512f": "AVX-512", "avx512_bf16": "bfloat16", "amx_tile": "AMX matrix tiles"}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        what: Its name.
        found: What it is.
        problem: What is wrong and what to do, or "".

    Example:
        >>> print(Finding("disk", "0.2 GiB free", "a run may not find room; give --out on another disk"))
        PROBLEM  disk: 0.2 GiB free; a run may not find room; give --out on another disk
    """

    what: str
    found: str
    problem: str = ""

    def __str__(self) -> str:
        told = f"{self.what}: {self.found}"
        return f"PROBLEM  {told}; {self.problem}" if self.problem else f"ok       {told}"


def examine(folder: Path) -> Iterator[Finding]:
    """Yield what is found; what takes seconds comes last.

    Args:
        folder: Where runs would be written.
    """
    yield Finding("ensemble_vs_dropout", __version__)
    yield Finding("Python", platform.python_version())
    for name in _PACKAGES:
        yield _package(name)
    for name in _OPTIONAL:
        found = _package(name)
        yield found if not found.problem else Finding(name, "not installed, which only clusters need")
    yield _processor()
    yield _memory()
    yield _disk(folder)
    yield from _datasets()
    yield from _training()


def _package(name: str) -> Finding:
    try:
        return Finding(name, version(name))
    except PackageNotFoundError:
        return Finding(name, "not installed", f"pip install {name}")


def _processor() -> Finding:
    try:
        usable = len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        usable = os.cpu_count() or 1
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        flags = set(next((line for line in text.splitlines() if line.startswith("flags")), "").split())
    except OSError:
        flags = set()
    sets = ", ".join(words for flag, words in _INSTRUCTIONS.items() if flag in flags) or "instruction sets unknown"
    threads = os.environ.get("TF_NUM_INTRAOP_THREADS")
    limited = f", TensorFlow held to {threads} threads" if threads else ""
    return Finding("processor", f"{usable} cores, {sets}{limited}")


def _memory() -> Finding:
    import psutil

    free = psutil.virtual_memory().available
    problem = "" if free >= _LEAST_MEMORY else "large data or networks may not fit; close other programs"
    return Finding("memory", f"{free / _GIB:.1f} GiB free", problem)


def _disk(folder: Path) -> Finding:
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    found = f"{free / _GIB:.1f} GiB free in {there}"
    if not os.access(there, os.W_OK):
        return Finding("disk", found, "it cannot be written to; give --out elsewhere")
    return Finding("disk", found, "" if free >= _LEAST_DISK else "a run may not find room; give --out on another disk")


def _datasets() -> Iterator[Finding]:
    from ensemble_vs_dropout.datasets import describe_datasets

    table = describe_datasets()
    here = table[~table.source.str.startswith(("not found", "download"))].name
    yield Finding("data sets", f"{len(here)} of {len(table)} are here ({', '.join(here)}); evd datasets lists all")


def _training() -> Iterator[Finding]:
    """Train two tiny networks by every strategy, and see whether they are the same."""
    import numpy as np

    try:
        from ensemble_vs_dropout.models.backend import keras
    except (InputError, ImportError) as error:
        yield Finding("Keras", "it does not load on TensorFlow", str(error).splitlines()[0])
        return
    from ensemble_vs_dropout.predictors import Ensemble

    def build() -> keras.Model:
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5), keras.layers.Dense(2)])
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return model

    x, y = np.random.default_rng(0).normal(size=(16, 4)).astype("float32"), np.arange(16) % 2
    weights = {}
    for strategy in ("looped", "unrolled", "stacked"):
        try:
            ensemble = Ensemble(build, members=2)
            ensemble.fit(x, y, epochs=2, batch_size=8, strategy=strategy, verbose=0)
            weights[strategy] = np.concatenate([w.ravel() for model in ensemble.models for w in model.get_weights()])
        except Exception as error:  # whatever it is, it is what this command is to tell
            told = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            yield Finding(f"strategy {strategy}", "it does not train", told)
            continue
        far = float(np.abs(weights[strategy] - weights.get("looped", weights[strategy])).max())
        problem = "" if far < 1e-4 else "its networks are not those of the looped strategy; please report it"
        yield Finding(f"strategy {strategy}", f"trains, {far:.0e} from looped", problem)
