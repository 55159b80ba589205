"""New examples in a file, a part at a time: what a deployed network predicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.checks import InputError, check_known
from ensemble_vs_dropout.datasets.archives import check_file, read_npz
from ensemble_vs_dropout.datasets.features import check_features, is_text
from ensemble_vs_dropout.datasets.files import with_inputs
from ensemble_vs_dropout.datasets.kinds import as_numbers
from ensemble_vs_dropout.datasets.tables import CSV, as_csv, as_parquet, names_in_csv
from ensemble_vs_dropout.types import Column, Encoding

if TYPE_CHECKING:
    import pandas as pd

Part = dict[str, npt.NDArray[Any]]
ROWS = 8192  # of a part
_BOOLS = {"true": "True", "false": "False"}


class Rows:
    """The examples in a file, as a network that was trained on others of their kind takes them.

    A table may hold further columns, the label among them; they are not looked at. What is read of it are numbers,
    `numbers` of shape (examples, numbers), float64, and `categories` of shape (examples, categories), text, each in the
    order of the encoding. Of an npz it is `x`, else `x_test`; of several inputs `x.NAME`, else `x_test.NAME`.

    Args:
        path: A .csv or .parquet where the networks were trained on a table, else an .npz or .npy.
        encoding: What was fitted on the training part.
        shape: Of an example that is an array; of several inputs a dict of shapes.
        dtype: Of an array: "uint8" takes no other; of several inputs a dict of dtypes.
        keep: Further columns of a table, such as one that tells rows apart.

    Attributes:
        kept: The texts of `keep` in the part that was yielded last, a list for each column.
        unseen: Of each column of categories, how many values so far were none of those in training.
        filled: Of each column, how many missing values so far were filled in.

    Raises:
        InputError: Another kind of file, or one that cannot be read, and while it is read: columns that lack, and
            values that are missing or of another kind.
    """

    def __init__(self, path: Path, encoding: Encoding, shape: Any, dtype: Any, keep: Sequence[str] = ()):
        self.path, self._encoding, self._shape, self._dtype = path, encoding, shape, dtype
        self._keep, self.kept = tuple(dict.fromkeys(keep)), list[list[str]]()
        if keep and not encoding.columns:
            raise InputError(f"keep is of the columns of a table, and the networks were trained on arrays: {path}")
        kinds = (".csv", ".parquet") if encoding.columns else (".npz",) if encoding.inputs else (".npz", ".npy")
        if path.suffix.lower() not in kinds:
            what = "a table" if encoding.columns else "arrays"
            raise InputError(f"the networks were trained on {what}, so data must end in {' or '.join(kinds)}: {path}")
        check_file(path)
        self.unseen: Counter[str] = Counter()
        self.filled: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Part]:
        """Yield the examples, at most `ROWS` at a time."""
        first = 1
        for part in self._tables() if self._encoding.columns else self._arrays():
            yield self._encoded(part, first) if self._encoding.columns else part
            first += len(part if self._encoding.columns else next(iter(part.values())))
        if first == 1:
            raise InputError(f"{self.path} must have at least one row of data, got none")

    def _arrays(self) -> Iterator[Part]:
        opened, several = self._opened(), self._encoding.inputs
        arrays = opened if isinstance(opened, dict) else {"x": opened}
        shapes, dtypes = (self._shape, self._dtype) if several else ({"x": self._shape}, {"x": self._dtype})
        if isinstance(opened, dict) != bool(several) or arrays.keys() != shapes.keys():
            wanted = ", ".join(f"x.{name}" for name in shapes) if several else "one array"
            got = ", ".join(f"x.{name}" for name in arrays) if isinstance(opened, dict) else "one array"
            raise InputError(f"{self.path} must hold {wanted}, as the networks were trained on it, got {got}")
        for name, x in arrays.items():
            which, shape = f"{name!r} of {self.path}" if several else str(self.path), tuple(shapes[name])
            if x.ndim == 0 or x.shape[1:] != shape:
                raise InputError(f"{which} must hold examples of shape {shape}, got an array of {x.shape}")
            if dtypes[name] == "uint8" and x.dtype != np.uint8:
                raise InputError(f"{which} must hold uint8, as the networks were trained on it, got {x.dtype}")
        examples = {len(x) for x in arrays.values()}
        if len(examples) > 1:
            raise InputError(f"{self.path} must hold the same examples for each input, got {sorted(examples)}")
        for start in range(0, max(examples), ROWS):
            parts = {name: np.asarray(x[start : start + ROWS]) for name, x in arrays.items()}
            yield {name: self._as_taken(name, part, dtypes[name]) for name, part in parts.items()}

    def _as_taken(self, name: str, part: npt.NDArray[Any], dtype: str) -> npt.NDArray[Any]:
        """Return a part of an array as the network takes it: what it scales itself in double precision, as here."""
        which = f"{name!r} of {self.path}" if self._encoding.inputs else str(self.path)
        part, encoding = check_features(which, part), self._encoding.inputs.get(name, self._encoding)
        if (dtype == "string") != is_text(part):
            raise InputError(f"{which} must hold {'text' if dtype == 'string' else 'numbers'}, got {part.dtype}")
        if dtype == "string":
            return part
        return part.astype(dtype if encoding.mean is None else np.float64, copy=False)

    def _opened(self) -> Any:
        if self.path.suffix.lower() == ".npy":
            try:
                return np.load(self.path, mmap_mode="r", allow_pickle=False)
            except Exception as error:  # NumPy's reader raises anything at what is no array
                reason = str(error).partition("\n")[0]
                raise InputError(f"{self.path} cannot be read as an array: {reason}; write it again") from error
        arrays = with_inputs(self.path, read_npz(self.path))
        found = next((arrays[name] for name in ("x", "x_test") if name in arrays), None)
        if found is None:
            wanted = ", ".join(f"x.{name}" for name in self._encoding.inputs) or "x, or x_test"
            raise InputError(f"{self.path} must hold {wanted}; it holds {', '.join(arrays) or 'nothing'}")
        return found

    def _tables(self) -> Iterator[pd.DataFrame]:
        return self._csv() if self.path.suffix.lower() == ".csv" else self._parquet()

    def _csv(self) -> Iterator[pd.DataFrame]:
        import pandas as pd

        with as_csv(self.path), suppress(pd.errors.EmptyDataError):  # nothing below the names
            names = names_in_csv(self.path)
            places: Any = self._places(names)
            needed = {column.name for column in self._encoding.columns}
            # What is kept alone is read as it stands: behind a mark, for else pandas takes "NA" for what is missing.
            as_it_stands: Any = {place: "={}".format for place in places if names[place] not in needed}
            read: Any = {place: str for place in places if place not in as_it_stands}
            with pd.read_csv(
                self.path, header=None, skiprows=1, usecols=places, dtype=read, converters=as_it_stands,
                chunksize=ROWS, **CSV,
            ) as chunks:  # fmt: skip
                for chunk in chunks:
                    part = chunk.set_axis([names[place] for place in chunk.columns], axis=1)
                    self.kept = [
                        part[name].fillna("").tolist() if name in needed else part[name].str[1:].tolist()
                        for name in self._keep
                    ]
                    yield part

    def _parquet(self) -> Iterator[pd.DataFrame]:
        import pyarrow.parquet

        with as_parquet(self.path), pyarrow.parquet.ParquetFile(self.path) as file:
            names = file.schema_arrow.names
            wanted = [names[place] for place in self._places(names)]
            for batch in file.iter_batches(batch_size=ROWS, columns=wanted):
                batch.validate(full=True)
                self.kept = [[_shown(value) for value in batch.column(name).to_pylist()] for name in self._keep]
                yield batch.to_pandas(ignore_metadata=True)  # else a column may become the index

    def _places(self, names: list[str]) -> list[int]:
        """Return where the columns are that the networks were trained on, or raise `InputError`."""
        wanted = [column.name for column in self._encoding.columns]
        lacking = [name for name in wanted if name not in names]
        if lacking:
            shown = ", ".join(map(repr, lacking[:10])) + (", ..." if len(lacking) > 10 else "")
            raise InputError(
                f"{self.path} must have the columns that the networks were trained on, it lacks {shown}; its columns: "
                f"{', '.join(names[:20])}{', ...' if len(names) > 20 else ''}"
            )
        for name in self._keep:
            check_known(f"column of {self.path} to keep", name, names)
        counts, wanted = Counter(names), [*dict.fromkeys([*wanted, *self._keep])]
        doubled = next((name for name in wanted if counts[name] > 1), None)
        if doubled is not None:
            raise InputError(f"{self.path} must have columns of different names, got {doubled!r} more than once")
        return sorted(names.index(name) for name in wanted)

    def _encoded(self, frame: pd.DataFrame, first: int) -> Part:
        """Return the numbers and the texts of some rows, whose first is the file's row of that number."""
        numbers, categories, part = self._encoding.numbers, self._encoding.categories, {}
        if numbers:
            part["numbers"] = np.stack([self._numbers(one, frame[one.name], first) for one in numbers], axis=1)
        if categories:
            part["categories"] = np.stack([self._texts(one, frame[one.name], first) for one in categories], axis=1)
        return part

    def _numbers(self, column: Column, values: pd.Series, first: int) -> npt.NDArray[np.float64]:
        self._check_there(column, values, first)
        known = values.dropna()
        numbers = as_numbers(column.kind, known)
        wrong = ~np.isfinite(numbers.to_numpy()) | (np.abs(numbers.to_numpy()) > np.finfo(np.float32).max)
        if wrong.any():
            at = int(np.argmax(wrong))
            what = {"date": "dates as 2026-01-31"}.get(column.kind, "finite numbers")
            raise InputError(
                f"column {column.name!r} of {self.path} must hold {what}, got {str(known.iloc[at])[:60]!r} in row "
                f"{known.index[at] - values.index[0] + first}"
            )
        filled = np.full(len(values), np.nan if column.fill is None else float(column.fill))
        filled[values.notna().to_numpy()] = numbers.to_numpy()
        return filled

    def _texts(self, column: Column, values: pd.Series, first: int) -> npt.NDArray[np.object_]:
        self._check_there(column, values, first)
        there, found = values.notna().to_numpy(), np.full(len(values), str(column.fill), object)
        texts = values[there].astype(str)
        if column.kind == "bool":
            texts = texts.str.strip().str.lower().map(_BOOLS).fillna(texts)
        found[there] = texts.to_numpy(object)
        self.unseen[column.name] += int(np.count_nonzero(~np.isin(found.astype(str), column.categories)))
        return found

    def _check_there(self, column: Column, values: pd.Series, first: int) -> None:
        missing = values.isna().to_numpy()
        self.filled[column.name] += int(missing.sum())
        if column.fill is None and missing.any():
            raise InputError(
                f"column {column.name!r} of {self.path} must have a value in every row, got none in row "
                f"{first + int(np.argmax(missing))}; give one, or train with missing values filled in "
                "(--missing median)"
            )


def _shown(value: Any) -> str:
    """Return what stands in a field as text, "" where nothing does."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return "" if value is None else str(value)
