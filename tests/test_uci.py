"""The script of the UCI sets makes its tables, and takes up what is finished."""

import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

SCRIPT = runpy.run_path(str(Path(__file__).parent.parent / "scripts" / "uci.py"), run_name="uci")


@pytest.mark.slow
def test_four_ways_are_judged_on_each_split_and_what_is_finished_is_not_run_again(tmp_path, capsys):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3))
    np.savez(tmp_path / "uci_mine.npz", x=x, y=200 + 50 * x[:, 0] + rng.normal(size=60))
    for _ in range(2):
        SCRIPT["main"](tmp_path, "mine", epochs=20, number=3, passes=4, out=tmp_path / "out")
    first, second = capsys.readouterr().out.split("mine: ")[1].split("\nmine\n")[1:]
    assert first.strip() == second.strip()
    table = pd.read_csv(tmp_path / "out" / "mine-20-3.csv")
    members = dict(zip(table.arm, table.members, strict=True))
    assert members == {"single": 1, "ensemble": SCRIPT["MEMBERS"], "dropout": 1, "mc_dropout": 4}
    scores = table.set_index(["arm", "metric"]).value
    assert set(scores.index) == {(arm, m) for arm in SCRIPT["RULES"] for m in ("rmse", "gaussian_nll", "crps")}
    assert (scores.loc[:, "rmse"] < 200).all()  # in the target's own unit, and back from the scaled one
    assert (scores.loc[:, "rmse"] > 5).all()
    for metric in ("rmse", "gaussian_nll", "crps"):
        assert scores["ensemble", metric] <= scores["single", metric]
    assert set(pd.read_csv(tmp_path / "out" / "contrasts-mine-20-3.csv").test) == {"corrected t over splits"}


def test_the_published_splits_have_their_sizes_and_are_the_same_again():
    one, again = ([*SCRIPT["splits"](308, 20)] for _ in range(2))
    assert len(one) == 20
    for (train, test), (same, _) in zip(one, again, strict=True):
        assert sorted([*train, *test]) == list(range(308))
        assert (len(train), len(test)) == (277, 31)
        np.testing.assert_array_equal(train, same)
    assert not np.array_equal(one[0][1], one[1][1])
