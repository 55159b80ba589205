"""One seed becomes a tree of named random streams.

A stream depends on the seed and on its own name alone, so asking for one more stream, or for the streams in another
order, changes none of the others: member 3 of 5 draws what member 3 of 50 draws.
"""

import hashlib

import numpy as np

from ensemble_vs_dropout.checks import check_at_least


def stream(seed: int, *path: str | int) -> np.random.Generator:
    """Return the random generator at `path` below `seed`.

    Args:
        seed: The root, at least 0.
        *path: Names and numbers from the root to the stream, such as `"order", member, epoch`.

    Example:
        >>> bool(stream(0, "order", 3).random() == stream(0, "order", 3).random())
        True
    """
    return np.random.default_rng(_sequence(seed, path))


def derive(seed: int, *path: str | int) -> int:
    """Return the 31-bit seed at `path` below `seed`, for libraries that want a number.

    Example:
        >>> derive(0, "weights", 1) != derive(0, "weights", 2)
        True
    """
    return int(_sequence(seed, path).generate_state(1)[0] >> 1)


def _sequence(seed: int, path: tuple[str | int, ...]) -> np.random.SeedSequence:
    check_at_least("seed", seed, 0)
    # repr keeps 1 and "1" apart, and the tuple's own syntax keeps ("a", "b") and ("ab",) apart.
    plain = tuple(part if isinstance(part, str) else int(part) for part in path)
    digest = hashlib.sha256(repr(plain).encode()).digest()
    return np.random.SeedSequence(entropy=int(seed), spawn_key=tuple(np.frombuffer(digest, dtype="<u4").tolist()))
