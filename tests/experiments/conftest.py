"""The command line as a user calls it, in a process of its own."""

import os
import subprocess
import sys

import pytest


@pytest.fixture(scope="session")
def evd():
    """A function of arguments and a folder that returns what the command prints; it must succeed."""

    def called(arguments, folder):
        command = [sys.executable, "-m", "ensemble_vs_dropout.commands.main", *arguments.split()]
        done = subprocess.run(command, cwd=folder, env={**os.environ, "COLUMNS": "100"}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return called
