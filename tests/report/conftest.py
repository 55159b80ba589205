"""A made-up comparison with names that no page may act on, and its report."""

import numpy as np
import pandas as pd
import pytest

from ensemble_vs_dropout.evaluation.cost import cost_table
from ensemble_vs_dropout.experiments.comparison import Comparison
from ensemble_vs_dropout.types import Cost, Predictions

EVIL = "<script>alert('it')</script>"


def make_up(members=3, passes=5, repetitions=1, examples=60, name="toy"):
    """A comparison of random predictions: networks are good, dropout is bad; nobody was trained."""
    rng = np.random.default_rng(0)
    labels = {split: np.arange(examples) % 3 for split in ("val", "test")}

    def predict(split, sure, count):
        noisy = sure * np.eye(3)[labels[split]] + rng.gumbel(size=(count, examples, 3))
        return Predictions(np.exp(noisy) / np.exp(noisy).sum(axis=2, keepdims=True))

    sizes = {"ensemble": (4.0, members), "dropout": (0.5, 1), "mc_dropout": (0.4, passes)}
    sizes["dropout_ensemble"] = (0.5, members)
    predictions = {
        split: {arm: [predict(split, *size) for _ in range(repetitions)] for arm, size in sizes.items()}
        for split in labels
    }
    epochs = [(arm, r, m, e) for arm in ("plain", "dropout") for r in range(repetitions) for m in range(members)
              for e in (1, 2, 3)]  # fmt: skip
    histories = pd.DataFrame(epochs, columns=["recipe", "repetition", "member", "epoch"])
    for place, loss in enumerate(("loss", "train_loss", "val_loss", "test_loss")):
        histories[loss] = 1 / histories["epoch"] + 0.1 * place
    arms = ["single", *sizes]
    return Comparison(
        spec={
            "version": "0.1.0",
            "dataset": name,
            "sizes": {"train": 12_345, "val": examples, "test": examples},
            "classes": ["good", EVIL, "a|b"],
            "data_sha256": "0" * 64,
            "model": {"name": "mlp", "units": [8], "parameters": 1234},
            "members": members,
            "passes": passes,
            "repetitions": repetitions,
            "epochs": 3,
            "batch_size": 32,
            "rate": 0.5,
            "patience": None,
            "seed": 7,
            "controls": False,
        },
        labels=labels,
        predictions=predictions,
        histories=histories,
        cost=cost_table({arm: [Cost(1234, 5.5e8, 5, 1.0, 0.1)] for arm in arms}),
        environment={"minutes": 0.1, "source": f"/data/{name}.npz", "notes": [], "machine": "Linux x86_64"},
    )


def content_of(comparison, drawn=True):
    return comparison._content(comparison._displays(), drawn=drawn)


@pytest.fixture(scope="session")
def made_up():
    return make_up


@pytest.fixture(scope="session")
def evil():
    return EVIL


@pytest.fixture(scope="session")
def content():
    """All parts of the report of a comparison whose data set and classes are named like markup."""
    return content_of(make_up(name=EVIL))


@pytest.fixture(scope="session")
def plain_content():
    return content_of(make_up(repetitions=2), drawn=False)
