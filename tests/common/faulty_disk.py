"""A disk that fails at one operation, or at it and all that follow, for files under one folder alone.

It fails where Python asks the system: at opening, reading, writing, waiting for the disk, renaming, removing and making
folders. Files lie under Python's own buffers, so that they fail at flushing and closing, as on a real disk. What C++
reads and writes by itself goes past it.
"""

import builtins
import io
import os
from contextlib import contextmanager


class FaultyDisk:
    """What counts the operations under `root`, and fails at some while `failing`.

    Attributes:
        seen: Operations since `failing` began.
        fired: Where it has failed: operation and name.
    """

    def __init__(self, root, monkeypatch):
        self._root, self._armed = os.path.realpath(root) + os.sep, None
        self.seen, self.fired = 0, []
        opened, low, sync = io.open, os.open, os.fsync

        def opening(file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, closefd=True, opener=None):
            where = self._under(file) if not isinstance(file, int) and opener is None else None
            if where is None:
                return opened(file, mode, buffering, encoding, errors, newline, closefd, opener)
            self._reach("open", where)
            raw = _Raw(file, mode.replace("b", "").replace("t", ""), self, where)
            one_way = io.BufferedWriter if set(mode) & set("wax") else io.BufferedReader
            buffered = (io.BufferedRandom if "+" in mode else one_way)(raw)
            return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding, errors, newline)

        def opening_low(path, flags, mode=0o777, *, dir_fd=None):
            self._reach("open", self._under(path, dir_fd))
            return low(path, flags, mode, dir_fd=dir_fd)

        def syncing(handle):
            where = self._under(os.readlink(f"/proc/self/fd/{handle}"))
            return sync(handle) if where is None else self._reach("fsync", where)  # which would take most of the time

        monkeypatch.setattr(builtins, "open", opening)
        monkeypatch.setattr(io, "open", opening)
        monkeypatch.setattr(os, "open", opening_low)
        monkeypatch.setattr(os, "fsync", syncing)
        for name in ("unlink", "remove", "rmdir", "mkdir", "rename", "replace"):
            monkeypatch.setattr(os, name, self._named(name, getattr(os, name)))

    def _named(self, name, real):
        def called(path, *rest, dir_fd=None, **named):
            self._reach(name, self._under(path, dir_fd))
            return real(path, *rest, **named) if dir_fd is None else real(path, *rest, dir_fd=dir_fd, **named)

        return called

    @contextmanager
    def failing(self, place, code, on=False):
        """Fail at the operation of this place, from 1, with an error number; `on` at all that follow too."""
        self.seen, self.fired, self._armed = 0, [], (place, code, on)
        try:
            yield
        finally:
            self._armed = None

    def _under(self, path, dir_fd=None):
        """Return the path within the root, or None if it is elsewhere."""
        if isinstance(path, int):
            return None
        beside = os.readlink(f"/proc/self/fd/{dir_fd}") if dir_fd is not None else ""
        whole = os.path.abspath(os.path.join(beside, os.fsdecode(path)))
        return whole[len(self._root) :] if whole.startswith(self._root) else None

    def _reach(self, what, where):
        if where is None or self._armed is None:
            return
        self.seen += 1
        place, code, on = self._armed
        if self.seen == place or (on and self.seen > place):
            self.fired.append((what, where))
            raise OSError(code, os.strerror(code), self._root + where)


class _Raw(io.FileIO):
    def __init__(self, path, mode, disk, where):
        super().__init__(path, mode)
        self._disk, self._where, self._read = disk, where, False

    def _reach_reading(self):
        if not self._read:  # of a file the first time alone: the others are no different
            self._read = True
            self._disk._reach("read", self._where)

    def readinto(self, buffer):
        self._reach_reading()
        return super().readinto(buffer)

    def readall(self):
        self._reach_reading()
        return super().readall()

    def write(self, data):
        self._disk._reach("write", self._where)
        return super().write(data)
