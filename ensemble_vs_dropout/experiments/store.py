"""Where finished runs lie: a folder each, which appears whole or not at all.

    store.json                      which format this is
    studies/NAME.yaml               what the runs were made for, as it was last asked for
    runs/digits-plain-0123456789abcdef/
        spec.json environment.json inputs.json models.json models.npz histories.csv predictions.npz scores.json
        cost.json
        manifest.json               the sha256 of every other file
    work/NAME/                      what a run on its way keeps, to go on from
    failed/NAME.json                why a run failed, the last time it was tried
    damaged/NAME-1/                 what no longer fitted its sums, set aside
    locks/NAME.lock                 held by the process that makes the run

A run is written under a temporary name, flushed to the disk and renamed, so that no crash can leave half of one. One
process at a time makes a run; others take other runs meanwhile. Nothing in a store is ever executed: no pickles.
The folder may be reached by a link; what is written or removed inside of it goes through none.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from os import PathLike
from pathlib import Path
from typing import Protocol

from filelock import FileLock, Timeout

from ensemble_vs_dropout.checks import InputError, visible
from ensemble_vs_dropout.experiments.plan import Run, digest_of_spec
from ensemble_vs_dropout.files import (
    PARTIAL,
    can_write,
    digest_of_bytes,
    digest_of_file,
    flush_folder,
    inside,
    own,
    parsed,
    read_file,
    remove,
    remove_left,
    write_flushed,
    write_whole,
)

FORMAT = 1
_OWN = ("runs", "studies", "work", "failed", "damaged", "locks")
_LOST = (FileNotFoundError, IsADirectoryError, NotADirectoryError)  # of other errors, what is there may be whole
_LOCKLESS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


class Keeping(Protocol):
    """What keeps finished runs: a folder (`Store`), or memory."""

    def has(self, run: Run) -> bool:
        """Return whether the run is finished."""

    def finished(self) -> set[str]:
        """Return the names of all finished runs."""

    def files(self, run: Run) -> set[str]:
        """Return the names of the files of a finished run, or raise `DamagedError`."""

    def read(self, run: Run, *files: str) -> list[bytes]:
        """Return the content of files of a finished run, or raise `DamagedError`."""

    def put(self, run: Run, files: Mapping[str, bytes]) -> None:
        """Keep a finished run."""

    def damaged(self, run: Run) -> list[str]:
        """Return the files of a finished run that are missing or changed."""

    def set_aside(self, run: Run) -> Path:
        """Move a damaged run out of the way."""

    def fail(self, run: Run, reason: str, traceback: str) -> None:
        """Note why a run could not be made."""

    def failure(self, run: Run) -> str | None:
        """Return why a run failed the last time it was tried, or None."""

    def work(self, run: Run) -> Path:
        """Return where a run on its way may keep what it has."""

    def claim(self, runs: tuple[Run, ...]) -> AbstractContextManager[list[Run]]:
        """Hold those of the runs that are neither finished nor in other hands."""

    def tidy(self) -> None:
        """Remove what is left of the making of finished runs."""


class Memory:
    """Finished runs in memory, for what no folder was given.

    Example:
        >>> memory, run = Memory(), Run({"recipe": "plain", "dataset": "digits", "members": 1})
        >>> memory.put(run, {"scores.json": b"[]"})
        >>> memory.has(run), memory.read(run, "scores.json")
        (True, [b'[]'])
    """

    def __init__(self) -> None:
        self._runs: dict[str, Mapping[str, bytes]] = {}
        self._failed: dict[str, str] = {}

    def has(self, run: Run) -> bool:
        """Return whether the run is finished."""
        return run.name in self._runs

    def finished(self) -> set[str]:
        """Return the names of all finished runs."""
        return set(self._runs)

    def files(self, run: Run) -> set[str]:
        """Return the names of the files of a finished run."""
        return set(self._runs[run.name]) - {"spec.json"}

    def read(self, run: Run, *files: str) -> list[bytes]:
        """Return the content of files of a finished run."""
        return [self._runs[run.name][file] for file in files]

    def put(self, run: Run, files: Mapping[str, bytes]) -> None:
        """Keep a finished run."""
        self._runs[run.name] = {"spec.json": json.dumps(run.spec).encode(), **files}
        self._failed.pop(run.name, None)

    def damaged(self, run: Run) -> list[str]:
        """Return nothing: memory is whole."""
        return []

    def set_aside(self, run: Run) -> Path:
        """Raise, as nothing in memory is damaged."""
        raise FileNotFoundError(run.name)

    def fail(self, run: Run, reason: str, traceback: str) -> None:
        """Note why a run could not be made."""
        self._failed[run.name] = reason

    def failure(self, run: Run) -> str | None:
        """Return why a run failed the last time it was tried, or None."""
        return self._failed.get(run.name)

    def work(self, run: Run) -> Path:
        """Raise, as memory has no folder."""
        raise InputError("checkpoint needs a store in a folder")

    @contextmanager
    def claim(self, runs: tuple[Run, ...]) -> Iterator[list[Run]]:
        """Yield those of the runs that are not finished."""
        yield [run for run in runs if not self.has(run)]

    def tidy(self) -> None:
        """Do nothing: memory has no leftovers."""


class Store:
    """Finished runs in a folder.

    Args:
        folder: Made if it is not there.
        create: Whether to make it; else it must be there.
        beside: Names of what may lie beside finished runs whose `store.json` was lost.

    Raises:
        InputError: The folder holds something else, was written by a newer version, or cannot be written.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     store = Store(folder)
        ...     run = Run({"recipe": "plain", "dataset": "digits", "members": 1})
        ...     store.put(run, {"scores.json": b"[]"})
        ...     store.has(run), store.files(run), store.read(run, "scores.json")
        (True, {'scores.json'}, [b'[]'])
        >>> with TemporaryDirectory() as folder:
        ...     store = Store(folder)
        ...     with store.hold("comparison"), store.claim((run,)) as mine:
        ...         store.work(run).parent.name, len(mine)
        ...     store.fail(run, "no memory", "")
        ...     store.failure(run), len(store.clean()), store.failure(run)
        ...     store.put(run, {"scores.json": b"[]"})
        ...     store.tidy()
        ...     store.finished() == {run.name}, store.run(run.name) == run, store.damaged(run)
        ...     store.set_aside(run).parent.name
        ...     store.keep_study("s", "{name: s}").name, len(store.studies())
        ('work', 1)
        ('no memory', 1, None)
        (True, True, [])
        'damaged'
        ('s.yaml', 1)
    """

    def __init__(self, folder: str | PathLike[str], create: bool = True, beside: Collection[str] = ()):
        self.folder, self._excluding = Path(folder), False
        mark = self.folder / "store.json"
        try:
            if create and not mark.exists():
                self.folder.mkdir(parents=True, exist_ok=True)
                # What a process left that was killed while it made the store, or is making it now, is no stranger.
                known = (mark.name, *_OWN, *(beside if any(self.folder.glob("runs/*/manifest.json")) else ()))
                names = sorted(path.name for path in self.folder.iterdir() if not path.name.startswith(PARTIAL))
                strangers = [name for name in names if name not in known]
                if strangers and not mark.exists():
                    raise _ForeignError(
                        f"store {str(folder)!r} holds something else ({strangers[0]}); give an empty or new folder"
                    )
                write_whole(mark, json.dumps({"format": FORMAT}).encode())
            found = parsed(read_file(mark))["format"]
        except FileNotFoundError as error:
            raise InputError(f"store {str(folder)!r} holds no study: store.json is not there") from error
        except _ForeignError:
            raise
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"store {str(folder)!r} is damaged: store.json tells no format ({error})") from error
        except OSError as error:
            raise InputError(f"store {str(folder)!r} cannot be used: {error.strerror}") from error
        if not isinstance(found, int) or found > FORMAT:
            raise InputError(
                f"store {str(folder)!r} has format {found!r}, written by a newer version than this one, which knows "
                f"{FORMAT}; use that version"
            )

    def has(self, run: Run) -> bool:
        """Return whether the run is finished; its content is not looked at."""
        return (self._place(run) / "manifest.json").is_file()

    def finished(self) -> set[str]:
        """Return the names of all finished runs, damaged ones too, at the price of one look at the folder."""
        runs = self.folder / "runs"
        if not runs.is_dir():
            return set()
        return {name for name in os.listdir(runs) if not name.startswith(".")}

    def files(self, run: Run) -> set[str]:
        """Return the names of the files of a finished run, or raise `DamagedError`."""
        return set(self._sums(run)) - {"spec.json"}

    def _sums(self, run: Run) -> dict[str, str]:
        """Return what the manifest of a run holds."""
        place = self._place(run)
        try:
            sums = parsed(_content(place / "manifest.json"))
            if not isinstance(sums, dict):
                raise InputError("it holds no names")
            for name in sums:
                inside(place, name)  # a manifest is data: it names no place outside its folder
        except (*_LOST, ValueError) as error:
            raise DamagedError(place.name, f"manifest.json cannot be read ({error})") from error
        return sums

    def read(self, run: Run, *files: str) -> list[bytes]:
        """Return files of a finished run.

        Raises:
            DamagedError: One is missing, or is not what was written.
        """
        place, sums, found = self._place(run), self._sums(run), []
        for file in files:
            try:
                content = _content(inside(place, file))
            except (*_LOST, ValueError) as error:
                raise DamagedError(place.name, f"{file} cannot be read ({error})") from error
            if sums.get(file) != digest_of_bytes(content):
                raise DamagedError(place.name, f"{file} has changed since it was written")
            found.append(content)
        return found

    def run(self, name: str) -> Run:
        """Return the finished run of this name, or raise `DamagedError`."""
        try:
            run = Run(parsed(_content(inside(self.folder, "runs", name) / "spec.json")))
            if run.name != name:
                raise DamagedError(name, "spec.json is of another run")
        except (*_LOST, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DamagedError(name, f"spec.json cannot be read ({error})") from error
        return run

    def put(self, run: Run, files: Mapping[str, bytes]) -> None:
        """Write a finished run; the manifest is last, and the folder appears with all of it."""
        content = {"spec.json": json.dumps(run.spec, indent=1).encode(), **files}
        sums = {name: digest_of_bytes(data) for name, data in content.items()}
        content["manifest.json"] = json.dumps(sums, indent=1).encode()
        place = self._place(run)
        left = (own(self.folder / "failed") / f"{run.name}.json", own(self.folder / "work") / run.name)
        own(place.parent).mkdir(exist_ok=True)
        if os.path.lexists(place) and not self.has(run):  # a link to nothing, say
            self.set_aside(run)
        partial = _beside(place)
        partial.mkdir()
        try:
            for name, data in content.items():
                write_flushed(inside(partial, name), data)
            try:
                partial.rename(place)
            except OSError:
                if not self.has(run):  # else another process has made the same run: one is as good as the other
                    raise
                with suppress(OSError):
                    remove(partial)
        except BaseException:
            with suppress(OSError):
                remove(partial)
            raise
        flush_folder(place.parent)
        for path in left:
            with suppress(OSError):
                remove(path)

    def damaged(self, run: Run) -> list[str]:
        """Return the files of a finished run that are missing or changed; [] if it is whole."""
        place = self._place(run)
        try:
            sums = self._sums(run)
        except DamagedError:
            return ["manifest.json"]
        if "spec.json" not in sums:
            return ["manifest.json"]
        broken = [name for name, expected in sums.items() if digest_of_file(place / name) != expected]
        try:
            same = bool(broken) or digest_of_spec(parsed(_content(place / "spec.json"))) == run.digest
        except (*_LOST, ValueError, TypeError, AttributeError):
            same = False
        return broken if same else ["spec.json"]

    def set_aside(self, run: Run) -> Path:
        """Move a damaged run out of the way, so that it is made again; return where it lies now."""
        own(self.folder / "runs")
        own(self.folder / "damaged").mkdir(exist_ok=True)
        places = (inside(self.folder, "damaged", f"{run.name}-{number}") for number in itertools.count(1))
        aside = next(place for place in places if not os.path.lexists(place))
        return self._place(run).rename(aside)

    def fail(self, run: Run, reason: str, traceback: str) -> None:
        """Note why a run could not be made."""
        own(self.folder / "failed").mkdir(exist_ok=True)
        content = {"reason": reason, "traceback": traceback, "spec": run.spec}
        write_whole(inside(self.folder, "failed", f"{run.name}.json"), json.dumps(content, indent=1).encode())

    def failure(self, run: Run) -> str | None:
        """Return why a run failed the last time it was tried, or None."""
        try:
            reason = parsed(read_file(inside(self.folder, "failed", f"{run.name}.json")))["reason"]
            return visible(str(reason))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep_study(self, name: str, text: str) -> Path:
        """Keep the file of a study beside its runs, so that the store tells what they were made for; return it."""
        path = inside(self.folder, "studies", f"{name}.yaml")
        if digest_of_file(path) != digest_of_bytes(text.encode()):
            own(path.parent).mkdir(exist_ok=True)
            write_whole(path, text.encode())
        return path

    def studies(self) -> list[Path]:
        """Return the files of the studies whose runs are kept here."""
        return sorted((self.folder / "studies").glob("*.yaml"))

    def work(self, run: Run) -> Path:
        """Return where a run on its way may keep what it has; it is removed when the run is finished."""
        return own(inside(own(self.folder / "work"), run.name))

    @contextmanager
    def claim(self, runs: tuple[Run, ...]) -> Iterator[list[Run]]:
        """Hold those of the runs that are neither finished nor in other hands; they are free again afterwards."""
        held: list[FileLock] = []
        mine: list[Run] = []
        for folder in _OWN:  # before anything is trained
            own(self.folder / folder)
        try:
            for run in runs:
                if self.has(run) or (lock := self._locked(run.name)) is None:
                    continue
                held.append(lock)
                if not self.has(run):  # another process may have finished it a moment ago
                    mine.append(run)
            yield mine
        finally:
            for lock in held:
                lock.release()

    @contextmanager
    def hold(self, what: str) -> Iterator[None]:
        """Hold something that one process alone may write; who may not write only reads, and holds nothing.

        Raises:
            InputError: Another process holds it.
        """
        if not can_write(self.folder):
            yield
            return
        with self._unclaimed(what) as free:
            if not free:
                raise InputError(f"{str(self.folder)!r} is being written by another process")
            yield

    def clean(self) -> list[str]:
        """Remove what interrupted and failed runs left behind; return the names of what was removed.

        Finished runs stay, and so does what another process is making.
        """
        return self._remove([*self._left("work", "failed", "damaged"), *self._partial()])

    def tidy(self) -> None:
        """Remove what is left of the making of finished runs, and half runs that no process is writing, if it can be.

        Raises:
            InputError: The disk has no locks that keep other processes out.
        """
        if not can_write(self.folder):
            return
        there = self.finished()
        with suppress(OSError), self._unclaimed("tidy") as free:
            if free:
                left = [path for path in self._left("work", "failed") if _name(path) in there]
                self._remove([*left, *self._partial()])

    def _left(self, *folders: str) -> list[Path]:
        remove_left(own(self.folder / "failed"))
        return [path for folder in folders for path in sorted(own(self.folder / folder).glob("[!.]*"))]

    def _partial(self) -> list[Path]:
        return sorted(own(self.folder / "runs").glob(".*-*"))

    def _remove(self, places: Iterable[Path]) -> list[str]:
        """Remove what no process holds; return the names."""
        removed = []
        for path in places:
            with self._unclaimed(_name(path)) as free:
                if free:
                    remove(path)
                    removed.append(str(path.relative_to(self.folder)))
        return removed

    @contextmanager
    def _unclaimed(self, name: str) -> Iterator[bool]:
        lock = self._locked(name)
        try:
            yield lock is not None
        finally:
            if lock:
                lock.release()

    def _locked(self, name: str) -> FileLock | None:
        """Return the lock of a name, held, or None if another process holds it; the first is tried out on itself.

        Raises:
            InputError: The disk has no locks, or they keep nobody out.
        """
        own(self.folder / "locks").mkdir(exist_ok=True)
        path = own(inside(self.folder, "locks", f"{name}.lock"), "file")
        lock, other = (FileLock(path, timeout=0, fallback_to_soft=False) for _ in range(2))
        try:
            lock.acquire()
            if not self._excluding:
                with suppress(Timeout), other:
                    raise OSError(errno.ENOLCK, "they keep nobody out")
                self._excluding = True
        except Timeout:
            return None
        except OSError as error:
            lock.release()
            if error.errno not in _LOCKLESS:
                raise
            raise InputError(
                f"{str(self.folder)!r} can be read and not written, for the locks of its disk do not work "
                f"({error.strerror}) and two processes would make the same run; give a folder on a disk of this "
                "machine, or have this disk mounted with locks"
            ) from error
        return lock

    def _place(self, run: Run) -> Path:
        return inside(self.folder, "runs", run.name)


class _ForeignError(InputError):
    """A folder holds what no store has written."""


class DamagedError(InputError):
    """A finished run is not what was written.

    Attributes:
        why: What is wrong with which file.
    """

    def __init__(self, run: str, why: str):
        super().__init__(f"{run}: {why}")
        self.why = why


def _beside(place: Path) -> Path:
    """Return a hidden name that nobody else has, on the same disk; what gets it is as open to others as they may be."""
    return place.with_name(f".{place.name}-{uuid.uuid4().hex}")


def _content(path: Path) -> bytes:
    try:
        return read_file(path)
    except OSError as error:
        error.filename = error.filename or str(path)  # of reading, the system does not tell
        raise


def _name(place: Path) -> str:
    """Return the name of the run that something in a store is of."""
    return place.name[1:].rpartition("-")[0] if place.name.startswith(".") else place.name.removesuffix(".json")
