"""The known data sets as a table, with where each would come from right now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ensemble_vs_dropout.datasets.finding import DATA_VARIABLE, find
from ensemble_vs_dropout.datasets.known import KNOWN, KnownDataset

if TYPE_CHECKING:
    import pandas as pd


def describe_datasets() -> pd.DataFrame:
    """Return one row per known data set: name, train, test, shape, classes, licence, source.

    `train` counts the examples before the validation split. `source` is where the set would come from now:
    nothing is downloaded or read to find out.

    Example:
        >>> describe_datasets().set_index("name").loc["letter", "shape"]
        '16'
    """
    import pandas as pd

    return pd.DataFrame(
        [
            {
                "name": known.name,
                "train": known.train,
                "test": known.test,
                "shape": " x ".join(map(str, known.shape)),
                "classes": len(known.classes),
                "licence": known.licence,
                "source": _source(known),
            }
            for known in KNOWN.values()
        ]
    )


def _source(known: KnownDataset) -> str:
    if not known.file:
        return "scikit-learn"
    found = find(known)
    if found is not None:
        return "shipped" if found.place == "shipped" else str(found.path)
    return "download by keras.datasets" if known.keras else f"not found; set {DATA_VARIABLE}"
