import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

from ensemble_vs_dropout.datasets.finding import SHIPPED_FOLDER
from ensemble_vs_dropout.datasets.known import KNOWN

SHIPPED = [known for known in KNOWN.values() if known.sha256]


def test_the_four_shipped_sets_are_registered():
    assert [known.name for known in SHIPPED] == ["fashion_mnist_10k", "letter", "satellite", "magic"]


@pytest.mark.parametrize("known", SHIPPED, ids=lambda known: known.name)
def test_file_and_readme_and_code_agree(known):
    path = SHIPPED_FOLDER / known.file
    assert hashlib.sha256(path.read_bytes()).hexdigest() == known.sha256
    row = next(line for line in (SHIPPED_FOLDER / "README.md").read_text().splitlines() if known.file in line)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:4] == [known.file, known.name, f"{known.train:,}", f"{known.test:,}"]
    assert cells[4].startswith(" x ".join(map(str, known.shape)))
    assert cells[5] == str(len(known.classes))
    assert float(cells[6]) == round(path.stat().st_size / 1e6, 3)
    assert cells[7] == known.origin
    assert cells[-1] == known.sha256


def test_readme_lists_no_other_file():
    text = (SHIPPED_FOLDER / "README.md").read_text()
    assert set(re.findall(r"^\| (\S+\.npz)", text, re.MULTILINE)) == {known.file for known in SHIPPED}
    assert {path.name for path in Path(SHIPPED_FOLDER).glob("*.npz")} == {known.file for known in SHIPPED}


@pytest.mark.parametrize("known", SHIPPED, ids=lambda known: known.name)
def test_registry_describes_the_file(known):
    with np.load(SHIPPED_FOLDER / known.file, allow_pickle=False) as arrays:
        assert arrays["x_train"].shape == (known.train, *known.shape)
        assert arrays["x_test"].shape == (known.test, *known.shape)
        assert arrays["y_train"].max() == len(known.classes) - 1
        if "class_names" in arrays:
            assert tuple(arrays["class_names"].tolist()) == known.classes
