"""No test here sees the machine's own data folders or the network."""

import pytest

from ensemble_vs_dropout.datasets import fetching, finding


@pytest.fixture(autouse=True)
def bare_machine(tmp_path_factory, monkeypatch):
    """No EVD_DATA, no Debian folder, an empty Keras cache, a download that fails as Keras does offline."""
    empty = tmp_path_factory.mktemp("bare")
    monkeypatch.delenv("EVD_DATA", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(empty / "keras"))
    monkeypatch.setattr(finding, "DEBIAN_FOLDER", empty / "debian")

    def offline(module):
        print("Downloading data from https://...")
        raise Exception(f"URL fetch failure on https://{module}: None -- unreachable\nsecond line")

    monkeypatch.setattr(fetching, "_download_with_keras", offline)
