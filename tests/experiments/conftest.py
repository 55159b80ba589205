"""The command line as a user calls it."""

import called
import pytest


@pytest.fixture(scope="module")
def evd():
    """A function of arguments and a folder that returns what the command prints; it must succeed."""

    def succeeds(arguments, folder):
        done = called.evd(arguments, folder)
        assert done.returncode == 0, done.stderr
        return done.stdout

    with called.as_before():
        yield succeeds
