"""Downloading a known data set with Keras, quietly and without hanging."""

from __future__ import annotations

import contextlib
import io
import socket
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

Arrays = dict[str, npt.NDArray[np.generic]]
SOCKET_TIMEOUT_SECONDS = 15.0


class FetchError(Exception):
    """The download did not work out; its caller knows what else can be done."""


def fetch(module: str) -> Arrays:
    """Return x_train, y_train, x_test and y_test of `keras.datasets.<module>`, downloading them if needed.

    Raises:
        FetchError: No network, a server that fails, a full disk, Keras missing: any reason.
    """
    try:
        with _quiet(), _short_socket_timeout():
            (x_train, y_train), (x_test, y_test) = _download_with_keras(module)
    except Exception as error:  # Keras raises a bare Exception when a URL fails
        raise FetchError(str(error).partition("\n")[0] or type(error).__name__) from error
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


def _download_with_keras(module: str) -> Any:
    import keras

    return getattr(keras.datasets, module).load_data()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Swallow the progress bar."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


@contextlib.contextmanager
def _short_socket_timeout() -> Iterator[None]:
    """Keep a dead network from hanging: Keras gives no timeout, so urllib takes the default one."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SOCKET_TIMEOUT_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
