"""What a user types, called in this process, where TensorFlow is imported and networks alike have been traced."""

import contextlib
import io
import os
import subprocess
import sys
import warnings

import pytest

from ensemble_vs_dropout.commands.main import main
from ensemble_vs_dropout.evaluation.arms import ARMS, RECIPES
from ensemble_vs_dropout.measures import METRICS, RULES


@contextlib.contextmanager
def as_before():
    """Have what is registered meanwhile be gone afterwards, and the toys that were imported."""
    registries = (ARMS, RECIPES, METRICS, RULES)
    before, modules = [dict(registry) for registry in registries], set(sys.modules)
    try:
        yield
    finally:
        for registry, entries in zip(registries, before, strict=True):
            registry.clear()
            registry.update(entries)
        for name in [name for name in sys.modules if name.startswith("toy_") and name not in modules]:
            del sys.modules[name]


def evd(arguments, cwd, **environment):
    """Return what `evd` with these arguments does in a folder, as `subprocess.run` returns it."""
    words = arguments.split() if isinstance(arguments, str) else [*map(str, arguments)]
    out, err, code = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patched, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of which a command shows some, and a test raises all
        patched.chdir(cwd)
        patched.setattr(sys, "argv", ["evd", *words])
        for name, value in {"COLUMNS": "100", **environment}.items():
            patched.setitem(os.environ, name, value)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main()
            except SystemExit as ended:
                code = ended.code or 0
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())
