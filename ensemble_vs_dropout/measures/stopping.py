"""When enough votes are in: a sequential test of whether the label can still change."""

import numpy as np
import numpy.typing as npt
from scipy.special import betainc, betaln

from ensemble_vs_dropout.types import IntArray


def settled(votes: IntArray, remaining: int, error: float) -> npt.NDArray[np.bool_]:
    """Return which examples need no more votes.

    Either the leader's lead over every rival is larger than the votes that remain, so that the label of all of them is
    certain; or a test shows that the leader is the class that most of infinitely many votes would go to. The test may
    be looked at after each vote: for each rival it bets against "of the votes for the two, the leader gets half or
    less", its stakes spread evenly over all larger shares, and such a bettor's wealth reaches 1/a with probability at
    most a (Ville 1939). With (classes - 1) / error as the threshold, for any of the classes might lead wrongly, the
    probability that an example is ever settled wrongly is at most `error`.

    Args:
        votes: Votes for each class so far, shape (examples, classes); passes must be independent draws.
        remaining: Votes still to come if it is not settled, at least 0.
        error: Largest probability of a wrong label, in (0, 1).

    Returns:
        Shape (examples,).

    Example:
        >>> settled(np.array([[12, 0], [6, 5]]), remaining=50, error=0.05).tolist()
        [True, False]
    """
    examples, classes = votes.shape
    leader = votes.argmax(axis=1)
    ahead = votes[np.arange(examples), leader][:, None]
    rivals = np.arange(classes) != leader[:, None]
    certain = ((ahead - votes > remaining) | ~rivals).all(axis=1)
    with np.errstate(divide="ignore"):
        wealth = (
            (ahead + votes + 1) * np.log(2) + betaln(ahead + 1, votes + 1) + np.log(betainc(votes + 1, ahead + 1, 0.5))
        )
    shown = (wealth >= np.log((classes - 1) / error)) | ~rivals
    return np.asarray(certain | shown.all(axis=1))
