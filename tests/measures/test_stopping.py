"""The sequential test of votes: certain when it must be, and wrong no more often than it says."""

import numpy as np
import pytest

from ensemble_vs_dropout.measures.stopping import settled


def test_a_lead_larger_than_what_remains_is_certain_and_an_equal_one_is_not():
    votes = np.array([[5, 2, 0], [5, 3, 0]])
    assert settled(votes, remaining=2, error=1e-9).tolist() == [True, False]
    assert settled(votes, remaining=3, error=1e-9).tolist() == [False, False]
    assert settled(np.array([[3, 3]]), remaining=0, error=1e-9).tolist() == [False]


def test_a_smaller_error_and_more_classes_need_more_votes():
    def needed(error, classes):
        return next(n for n in range(1, 100) if settled(np.eye(1, classes, dtype=int) * n, 10**6, error)[0])

    assert needed(0.1, 2) < needed(0.01, 2) < needed(0.001, 2)
    assert needed(0.01, 2) < needed(0.01, 10)
    # n votes to none: the wealth is 2^(n+1) / (n+1) * (1 - 2^-(n+1))
    n = needed(0.01, 2)
    assert 2 ** (n + 1) / (n + 1) * (1 - 2.0 ** -(n + 1)) >= 100
    assert 2**n / n * (1 - 2.0**-n) < 100


@pytest.mark.slow
@pytest.mark.parametrize("shares", [[0.5, 0.5], [0.45, 0.55], [0.3, 0.3, 0.4], [0.24, 0.25, 0.25, 0.26]])
def test_looked_at_after_each_vote_it_settles_wrongly_no_more_often_than_it_says(shares):
    error, passes, runs = 0.1, 300, 2000
    rng = np.random.default_rng(len(shares))
    votes = np.zeros((runs, len(shares)), int)
    going, wrong = np.ones(runs, bool), np.zeros(runs, bool)
    right = np.flatnonzero(np.array(shares) == max(shares))
    for _ in range(passes):
        votes[going] += rng.multinomial(1, shares, size=going.sum())
        done = going.copy()
        done[going] = settled(votes[going], remaining=10**6, error=error)
        wrong |= done & ~np.isin(votes.argmax(axis=1), right)
        going &= ~done
    assert wrong.mean() <= error + 3 * np.sqrt(error * (1 - error) / runs)


def test_clear_votes_settle_soon_and_rightly():
    rng = np.random.default_rng(0)
    votes = rng.multinomial(60, [0.8, 0.1, 0.1], size=500)
    done = settled(votes, remaining=10**6, error=0.01)
    assert done.mean() > 0.95
    assert (votes[done].argmax(axis=1) == 0).all()
