"""Data in: a known name, a file of the user's, or arrays become one checked `Dataset`.

The way of the data through the folder, and the file of each step:

    loading      load_dataset: which road a name or a path takes
    known        the registry of known sets: sizes, classes, licence, sha256
    finding      where a known set lies on this machine
    idx, archives  reading gzip IDX files, and npz files without pickles
    fetching     downloading with Keras: the only file here that imports it, inside one function
    batches      from_batches: sources of batches become arrays
    files        the user's npz; tables: the user's csv and parquet
    kinds        what the texts of a column are; columns: columns as features
    preparation  from_arrays: the one road that all loaders take, in this order:
      labels     encode labels as 0..K-1
      splits     hold out test and val, take a nested part of train, make labels noisy
      features   check, convert, and standardise on the final training part
    telling      telling_columns: which columns give the label away
    description  describe_datasets: the known sets as a table
    shifts       shift: inputs moved away from what training saw, by severity or amount

Nothing here imports TensorFlow, Keras, pandas or scikit-learn before a function needs it.
"""

from ensemble_vs_dropout.datasets.batches import from_batches
from ensemble_vs_dropout.datasets.description import describe_datasets
from ensemble_vs_dropout.datasets.known import KNOWN, KnownDataset
from ensemble_vs_dropout.datasets.loading import load_dataset
from ensemble_vs_dropout.datasets.preparation import from_arrays
from ensemble_vs_dropout.datasets.shifts import OVADIA, SHIFTS, Shift, shift

__all__ = [
    "KNOWN",
    "OVADIA",
    "SHIFTS",
    "KnownDataset",
    "Shift",
    "describe_datasets",
    "from_arrays",
    "from_batches",
    "load_dataset",
    "shift",
]
