"""How much memory a piece of work takes at its highest."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

_SECONDS = 0.005  # between two looks; one takes some 20 microseconds


@dataclass
class Peak:
    """The highest resident memory seen so far, in `bytes`."""

    bytes: int = 0


@contextmanager
def peak_memory() -> Iterator[Peak]:
    """Watch this process while the body runs; what is yielded then holds its highest resident memory.

    That is the physical memory of the whole process: interpreter, libraries, data and models too, and what was freed
    but not yet given back to the system; so peaks of different work compare within one process only, and what ran
    before may have raised the later one. Memory of a GPU and of other processes is not in it. It is looked at every 5
    milliseconds, at the start and at the end: a shorter peak may be missed.

    Example:
        >>> with peak_memory() as peak:
        ...     million = bytearray(10**6)
        >>> peak.bytes > 10**6
        True
    """
    process, peak, done = psutil.Process(), Peak(), threading.Event()

    def look() -> None:
        peak.bytes = max(peak.bytes, process.memory_info().rss)

    def watch() -> None:
        while not done.wait(_SECONDS):
            look()

    look()
    watcher = threading.Thread(target=watch, name="peak_memory", daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        look()
        done.set()
        watcher.join()
