"""What identifies a network of the user's own: what its builder builds, and not the text that says so.

A run is known by the sum of the code behind its builder: of the module's file and of those of the user's own that it
imports, comments and layout aside (`sources`). So planning builds nothing, and does without Keras. Only where a run is
finished but for that sum, the network is built and compared with what the finished run notes of its own: if both are
the same in all that tells them, how they are trained, and their first weights, the finished run is the run.

Code of the user's own in a network, such as the `call` of a layer, is told by neither configuration nor weights, so
such networks are the same where their code is. Outputs are not compared, for their last bits are another on another
machine. First weights may be as well, in some initializers: then a run is made again, and none is taken for another.

Runs were known by the text of the builder's file alone. Such a run is taken where this text is as it was; if the file
imports modules of the user's own, what is built must have the noted architecture too.
"""

from __future__ import annotations

from typing import Any

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.checks.code import file_of, sums_of_code
from ensemble_vs_dropout.evaluation.arms import RECIPES
from ensemble_vs_dropout.experiments.kept import environment_of
from ensemble_vs_dropout.experiments.plan import Run
from ensemble_vs_dropout.experiments.store import DamagedError, Store
from ensemble_vs_dropout.files import digest, digest_of_file

CODE = "builder_sha256"  # the key of the sum in a run's spec
# What a builder is called with, besides a seed: one network tells of all that are called alike.
_CALLED = (
    "recipe", "model", "dataset", "data_sha256", "target", "drop", "missing", "train_size", "head", "rate", "width",
    CODE,
)  # fmt: skip
BUILT = "the network that is built has changed"
_COMPARED: dict[str, bool] = {}  # what was found in this process, whose imports do not change


class Finished:
    """Finds the finished run that a planned one is, whatever its builder's code said then.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> run = Run({"recipe": "plain", "dataset": "digits", "members": 1, "model": {"name": "mlp"}})
        >>> with TemporaryDirectory() as folder:
        ...     Finished(Store(folder))(run) is run
        True
    """

    def __init__(self, store: Store):
        self._store, self._names = store, store.finished()
        self._by_rest: dict[str, list[Run]] = {}
        self._read: set[str] = set()

    def __call__(self, run: Run) -> Run:
        """Return the finished run, or the planned one."""
        if run.name in self._names or CODE not in run.spec or "<" in run.spec["model"]["name"]:
            return run
        self._look(run.name.rpartition("-")[0])
        return next((other for other in self._by_rest.get(_rest(run), ()) if self._same(other, run)), run)

    def _look(self, start: str) -> None:
        """Read the finished runs whose names start so, once."""
        if start in self._read:
            return
        self._read.add(start)
        for name in sorted(name for name in self._names if name.rpartition("-")[0] == start):
            try:
                found = self._store.run(name)
            except (DamagedError, OSError):  # which is told when it is looked at
                continue
            self._by_rest.setdefault(_rest(found), []).append(found)

    def _same(self, other: Run, run: Run) -> bool:
        """Return whether a finished run, which differs in the sum of the code alone, is of the same network."""
        called = {key: run.spec.get(key) for key in _CALLED}
        called["members"] = run.spec["members"] if RECIPES[run.recipe].single else 1
        key = digest([called, other.spec.get(CODE), str(self._store.folder.resolve())])
        if key not in _COMPARED:
            try:
                _COMPARED[key] = _is_built_now(environment_of(other, self._store), other, run)
            except (DamagedError, OSError):
                return False
        return _COMPARED[key]


def change(other: Run, run: Run, store: Store) -> str:
    """Return in words what is known of a network that another one was made by other code."""
    try:
        told = environment_of(other, store)
    except (DamagedError, OSError):
        told = {}
    if told.get("built") and _rest(other) == _rest(run):  # else they were not compared
        return BUILT
    own = ", and it holds code of your own" if told.get("built", "") is None else ""
    return f"the code of the network has changed{own}"


def _rest(run: Run) -> str:
    return digest({key: value for key, value in run.spec.items() if key != CODE})


def _is_built_now(told: dict[str, Any], other: Run, run: Run) -> bool:
    """Return whether the code of today builds for a run what another one notes that it was built of."""
    module = run.settings.model.name.partition(":")[0]
    file = file_of(module)
    of_text = file is not None and other.spec.get(CODE) == digest_of_file(file)
    if of_text and len(sums_of_code(module)) == 1:
        return True
    noted = "architecture" if of_text else "built"
    if told.get(noted) is None:
        return False
    from ensemble_vs_dropout.experiments.running import notes_of  # loads Keras

    try:
        return notes_of(run)[noted] == told[noted]
    except InputError:
        raise
    except Exception:  # the user's own code may raise anything, which is told when the run is made
        return False
