"""Progress of long work: a live display in a terminal, plain lines elsewhere; always on standard error."""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Column


@dataclass(frozen=True)
class EpochEnd:
    """One member has finished one epoch.

    Attributes:
        member: Its number, from 0.
        epoch: From 1.
        epochs: At most so many.
        logs: `loss` (the running mean while training, dropout on) and, for each named part, `{part}_loss` and its
            metrics, in inference mode at the end of the epoch.
        stopped: Whether this was its last epoch.
    """

    member: int
    epoch: int
    epochs: int
    logs: dict[str, float]
    stopped: bool


class Progress:
    """Counts epochs of several networks.

    Args:
        total: Epochs if no network stops early.
        verbose: 0 nothing; 1 or "auto" a live bar, or in a file or pipe one line per network; 2 one line per epoch.
        job: Whether it is of a whole job of many networks, of which 1 says a line at each tenth where there is no
            terminal, and 2 a line per network.
    """

    def __init__(self, total: int, verbose: str | int, job: bool = False):
        self.verbose = 1 if verbose == "auto" else int(verbose)
        self._console = Console(file=sys.stderr, highlight=False)
        self.live = self.verbose == 1 and self._console.is_terminal
        self._job, self._said = job, 0
        self._total, self._done, self._start = total, 0, time.perf_counter()
        self._bar = Bar(
            TextColumn("{task.description}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
            BarColumn(16),
            TextColumn("{task.percentage:3.0f} %", table_column=Column(no_wrap=True)),
            TimeRemainingColumn(table_column=Column(no_wrap=True)),
            TextColumn("left", table_column=Column(no_wrap=True)),
            console=self._console,
            transient=True,
            expand=True,
            disable=not self.live,
        )
        self._task = self._bar.add_task("", total=1.0)
        self._share = 0.0  # of the bar, which never goes back, though more work may come to light
        self._losses: dict[str, float] = {}

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self.live:  # else rich before 14.3 ends with an empty line
            self._bar.stop()

    def epoch(self, network: str, end: EpochEnd) -> None:
        """Say that `network` has finished an epoch; epochs it will not need count as done."""
        self._advance(1 + (end.epochs - end.epoch if end.stopped else 0))
        shown = [name for name in ("loss", "val_loss") if name in end.logs] or list(end.logs)[:2]
        losses = " ".join(f"{name} {end.logs[name]:.4f}" for name in shown)
        text = f"{network}, epoch {end.epoch} of {end.epochs}: {losses}"
        self._losses[network] = end.logs[shown[0]] if shown else math.nan
        together = len(self._losses)
        others = f" ({together} at a time: {min(self._losses.values()):.4f} to {max(self._losses.values()):.4f})"
        self._bar.update(self._task, description=network if self._job else text + others * (together > 1))
        if end.stopped:
            del self._losses[network]
        each = self.verbose == 2 if self._job else self.verbose == 1 and not self.live
        if (each and end.stopped) or (self.verbose == 2 and not self._job):
            self._print(f"{text} ({self.left()})")

    def reach(self, epochs: int) -> None:
        """Say that so many epochs are done in all: networks that were trained before report none of theirs."""
        self._advance(epochs - self._done)

    def expect(self, epochs: int) -> None:
        """Say how many epochs there are in all, now that it is known better."""
        self._total = epochs
        self._advance(0)

    def say(self, text: str) -> None:
        """Print a line above the display."""
        if self.verbose:
            self._print(text)

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)

    def _advance(self, epochs: int) -> None:
        self._done += epochs
        self._share = max(self._share, min(self._done / self._total, 1.0) if self._total else 0.0)
        self._bar.update(self._task, completed=self._share)
        tenths = min(10 * self._done // max(self._total, 1), 9)  # the end is told by what comes after
        if self._job and self.verbose == 1 and not self.live and tenths > self._said:
            self._said = tenths
            self._print(f"{10 * tenths} %, {self.left()}")

    def left(self) -> str:
        """Return in words how long it will take from here."""
        elapsed = time.perf_counter() - self._start
        if not self._done:
            return "nobody knows how long"
        seconds = elapsed / self._done * max(self._total - self._done, 0)
        return f"about {seconds:.0f} s left" if seconds < 100 else f"about {seconds / 60:.0f} min left"
