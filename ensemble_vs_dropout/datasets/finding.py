"""Where a known data set lies on this machine; nothing is read, downloaded or imported to find out."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ensemble_vs_dropout.datasets.idx import IDX_FILES
from ensemble_vs_dropout.datasets.known import KnownDataset

DATA_VARIABLE = "EVD_DATA"
_BUILT = Path(__file__).resolve().parents[1] / "shipped"  # where they are in a package that was built
SHIPPED_FOLDER = _BUILT if _BUILT.is_dir() else Path(__file__).resolve().parents[2] / "data"
DEBIAN_FOLDER = Path("/usr/share/datasets")


@dataclass(frozen=True)
class Found:
    """A known data set on this disk.

    Attributes:
        path: An npz file, or a folder with the four gzip IDX files.
        place: Which of the searched places it is, in words.
    """

    path: Path
    place: str


def find(known: KnownDataset) -> Found | None:
    """Return the first place that holds `known`, or None."""
    for place, folder in _places(known):
        if (folder / known.file).is_file():
            return Found(folder / known.file, place)
        if known.idx_folder:
            for idx_folder in (folder / known.idx_folder, folder):
                if all((idx_folder / file).is_file() for file in IDX_FILES.values()):
                    return Found(idx_folder, place)
    return None


def _places(known: KnownDataset) -> list[tuple[str, Path]]:
    """The folders to search for `known`, in order, each with its name in words."""
    if not known.file:
        return []
    places = []
    if own := os.environ.get(DATA_VARIABLE):
        places.append((f"${DATA_VARIABLE}", Path(os.path.expanduser(own))))
    if known.sha256:
        places.append(("shipped", SHIPPED_FOLDER))
    if known.keras:
        places.append(("Debian's dataset packages", DEBIAN_FOLDER))
        places.append(("the Keras cache", _keras_home() / "datasets"))
    return places


def _keras_home() -> Path:
    # Keras's own rule, repeated so that looking does not import it.
    return Path(os.path.expanduser(os.environ.get("KERAS_HOME") or "~/.keras"))
