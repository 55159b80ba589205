"""What is wrong with data that papers compare on: copies, contradictions, columns that say nothing.

    python scripts/data_faults.py                  # the sets that come with the package
    python scripts/data_faults.py --data FOLDER    # and the UCI sets of regression, `uci_NAME.npz` with `x` and `y`

What must come out: two tables in Markdown, as docs/data_faults.md has them.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from uci import splits

import ensemble_vs_dropout as evd

CLASSES = ("fashion_mnist_10k", "digits", "letter", "magic", "satellite")
NUMBERS = ("boston", "concrete", "energy", "kin8nm", "naval", "power", "protein", "wine_red", "yacht")


def faults(x: np.ndarray, y: np.ndarray) -> dict[str, int]:
    """Return how many copies there are, how many of them contradict each other, and which columns are constant."""
    group = pd.DataFrame(x).groupby(list(range(x.shape[1])), sort=False).ngroup().to_numpy()
    of_group = pd.Series(y).groupby(group)
    return {
        "examples": len(x),
        "copies": int(pd.DataFrame({"group": group, "y": y}).duplicated().sum()),
        "contradicting": int((of_group.nunique() > 1).sum()),
        "constant columns": int((np.ptp(x, axis=0) == 0).sum()),
    }


def main(data: Annotated[Path | None, typer.Option(help="Folder of uci_NAME.npz.")] = None) -> None:
    """Print the tables."""
    rows = []
    for name in CLASSES:
        found = evd.load_dataset(name)
        x = np.concatenate([found.x_train, found.x_val, found.x_test]).reshape(sum(found.sizes.values()), -1)
        y = np.concatenate([found.y_train, found.y_val, found.y_test])
        rows.append({"data": name, **faults(x, y), "test in train": f"{found.test_in_train / len(found.y_test):.1%}"})
    print(markdown(rows))
    if data is None:
        return
    rows = []
    for name in NUMBERS:
        arrays = np.load(data / f"uci_{name}.npz", allow_pickle=False)
        x, y = arrays["x"], arrays["y"]
        group = pd.DataFrame(x).groupby(list(range(x.shape[1])), sort=False).ngroup().to_numpy()
        published = splits(len(x), 5 if name == "protein" else 20)
        shares = [np.isin(group[test], group[train]).mean() for train, test in published]
        values, counts = np.unique(y, return_counts=True)
        targets = f"{len(values):,}; most often {values[counts.argmax()]:g}, {counts.max()} times"
        rows.append(
            {"data": name, **faults(x, y), "test in train": f"{np.mean(shares):.1%}", "distinct targets": targets}
        )
    print(markdown(rows))


def markdown(rows: list[dict[str, object]]) -> str:
    """Return rows as a table."""
    cells = [[*rows[0]], ["---"] * len(rows[0])]
    cells += [[f"{value:,}" if isinstance(value, int) else str(value) for value in row.values()] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells) + "\n"


if __name__ == "__main__":
    typer.run(main)
