"""A comparison without what it does besides, for tests that are not about that: nothing is chosen or probed."""

BARE = {"rate": 0.5, "controls": False, "probe": False, "verbose": 0}
