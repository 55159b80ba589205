import socket

import numpy as np
import pytest

from ensemble_vs_dropout.datasets import fetching
from ensemble_vs_dropout.datasets.fetching import FetchError, fetch


def test_failure_is_quiet_and_one_line(capfd):
    with pytest.raises(FetchError) as caught:
        fetch("mnist")
    assert str(caught.value) == "URL fetch failure on https://mnist: None -- unreachable"
    assert capfd.readouterr() == ("", "")


def test_the_socket_timeout_is_short_and_put_back(monkeypatch):
    seen = []

    def download(module):
        seen.append(socket.getdefaulttimeout())
        raise OSError("no route")

    monkeypatch.setattr(fetching, "_download_with_keras", download)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(77.0)
    try:
        with pytest.raises(FetchError, match="no route"):
            fetch("mnist")
        assert seen == [fetching.SOCKET_TIMEOUT_SECONDS]
        assert socket.getdefaulttimeout() == 77.0
    finally:
        socket.setdefaulttimeout(before)


def test_success_names_the_arrays(monkeypatch):
    parts = tuple(np.full(2, value) for value in range(4))
    monkeypatch.setattr(fetching, "_download_with_keras", lambda module: (parts[:2], parts[2:]))
    assert {key: array[0] for key, array in fetch("mnist").items()} == {
        "x_train": 0,
        "y_train": 1,
        "x_test": 2,
        "y_test": 3,
    }
