"""A full disk is told in one line, leaves nothing that counts as finished, and the run goes on when there is room."""

import os
import resource
import subprocess
import sys

import pytest

COMMAND = (
    "compare --dataset digits --members 2 --passes 3 --repetitions 1 --epochs 1 --rate 0.5 --no-controls --no-probe "
    "--out run --quiet --json"
)


def run(folder, largest_file=None):
    limit = largest_file and (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file)))
    return subprocess.run(
        [sys.executable, "-m", "ensemble_vs_dropout.commands.main", *COMMAND.split()],
        cwd=folder, env=dict(os.environ), capture_output=True, text=True, timeout=300, preexec_fn=limit,
    )  # fmt: skip


@pytest.mark.slow
def test_no_room_is_told_and_the_run_goes_on_when_there_is(tmp_path):
    full = run(tmp_path, largest_file=200_000)  # a network is larger
    assert full.returncode == 1, full.stderr
    assert "the same command goes on" in full.stderr
    assert not (tmp_path / "run" / "manifest.json").exists()
    again = run(tmp_path)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "run" / "manifest.json").exists()
