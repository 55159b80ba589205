"""The highest resident memory of this process: it is seen, it stays seen, and nothing is left behind."""

import threading
import time

import numpy as np
import psutil
import pytest

from ensemble_vs_dropout.experiments.memory import peak_memory

SIZE = 200 * 2**20


def resident():
    return psutil.Process().memory_info().rss


def watchers():
    return [thread for thread in threading.enumerate() if thread.name == "peak_memory"]


def test_memory_that_was_given_back_before_the_end_is_in_the_peak():
    with peak_memory() as peak:
        before = resident()
        held = np.ones(SIZE, np.uint8)
        time.sleep(0.05)
        del held
        after = resident()
    assert after < before + SIZE / 2
    assert before + 0.95 * SIZE < peak.bytes < before + 1.5 * SIZE


def test_nothing_is_missed_that_is_held_at_the_end():
    before = resident()
    with peak_memory() as peak:
        held = np.ones(SIZE, np.uint8)
    assert peak.bytes > before + 0.95 * SIZE
    assert held.all()


def test_without_work_the_peak_is_what_is_resident():
    with peak_memory() as peak:
        pass
    assert peak.bytes == pytest.approx(resident(), rel=0.05)


def test_the_peak_stands_after_the_end_and_nobody_watches_any_more():
    with peak_memory() as peak:
        assert len(watchers()) == 1
        assert watchers()[0].daemon
    assert not watchers()
    seen, held = peak.bytes, np.ones(SIZE, np.uint8)
    time.sleep(0.02)
    assert peak.bytes == seen
    assert held.all()


def test_work_that_raises_is_watched_to_its_end_and_raises_on():
    before = resident()

    def fail():
        with peak_memory() as seen:
            peaks.append(seen)
            held = np.ones(SIZE, np.uint8)
            raise RuntimeError(f"broken with {held.nbytes} bytes")

    peaks = []
    with pytest.raises(RuntimeError, match="broken"):
        fail()
    assert not watchers()
    assert peaks[0].bytes > before + 0.95 * SIZE


def test_one_watch_may_stand_inside_another():
    with peak_memory() as whole:
        with peak_memory() as part:
            held = np.ones(SIZE, np.uint8)
            time.sleep(0.05)
            del held
        with peak_memory() as rest:
            pass
    assert rest.bytes < part.bytes - SIZE / 2
    assert whole.bytes == pytest.approx(part.bytes, rel=0.05)
