"""What a user types, called in this process, where TensorFlow is imported and networks alike have been traced."""

import contextlib
import io
import os
import subprocess
import sys
import warnings

import pytest

from ensemble_vs_dropout.commands.main import main


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
