"""Files of a comparison that hold something else than what was written there, though their sums fit, are told of."""

import json
import shutil
from pathlib import Path

import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.experiments.comparison import Comparison
from ensemble_vs_dropout.files import digest_of_file

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def comparison(tmp_path):
    return Path(shutil.copytree(GOLDEN / "comparison", tmp_path / "comparison"))


def fit(folder, name):
    """Have the manifest of a folder say what a file of it holds now."""
    sums = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**sums, name: digest_of_file(folder / name)}))


@pytest.mark.parametrize("name", ["comparison.json", "store.json", "manifest.json"])
def test_a_file_that_is_nested_too_deeply_is_told(comparison, name):
    (comparison / name).write_text("[" * 10_000)
    if name == "comparison.json":
        fit(comparison, name)
    with pytest.raises(InputError, match=r"damaged|no finished run"):
        Comparison.load(comparison)


@pytest.mark.parametrize("name", ["spec.json", "manifest.json"])
def test_a_file_of_a_run_that_is_nested_too_deeply_is_told(comparison, name):
    run = min((comparison / "runs").iterdir())
    (run / name).write_text("[" * 10_000)
    with pytest.raises(InputError, match=run.name):
        Comparison.load(comparison)
