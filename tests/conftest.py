"""Small data and small networks that several rooms' tests share, as fixtures that return functions."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the processes of the tests share the cores; NumPy reads it once

import numpy as np
import pytest

from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.types import Dataset

TRAINING = {  # docstrings whose examples train for seconds
    "ensemble_vs_dropout.experiments.comparing.compare",
    "ensemble_vs_dropout.experiments.comparison.Comparison",
}
collect_ignore = ["experiments/toy_arms.py"]  # what it registers is for the test that copies it


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Tests of a module that share a fixture run in one process, which makes it once; training examples are slow."""
    for item in items:
        if item.name in TRAINING:
            item.add_marker(pytest.mark.slow)
        known = getattr(item, "_fixtureinfo", None)  # a doctest has none
        fixtures = [made[-1] for made in known.name2fixturedefs.values()] if known else []
        if any(fixture.scope == "module" for fixture in fixtures) and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


def make_blobs(examples=70, features=6, classes=3, seed=0, noise=1.0):
    """Overlapping Gaussian clouds, one for each class."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(classes, features)) * 1.5
    y = np.arange(examples) % classes
    x = centres[y] + noise * rng.normal(size=(examples, features))
    return x.astype("float32"), y


def build_small(rate=0.5, units=(8,), features=6, classes=3, batch_norm=False, head="logits", **compiled):
    """A compiled dense network; `head` is logits or probabilities."""
    layers = [keras.Input((features,))]
    for size in units:
        layers.append(keras.layers.Dense(size, activation="relu"))
        if batch_norm:
            layers.append(keras.layers.BatchNormalization())
        if rate:
            layers.append(keras.layers.Dropout(rate))
    layers.append(keras.layers.Dense(classes, activation=None if head == "logits" else "softmax"))
    model = keras.Sequential(layers)
    settings = {
        "optimizer": keras.optimizers.SGD(0.1),
        "loss": keras.losses.SparseCategoricalCrossentropy(from_logits=head == "logits"),
        "metrics": ["accuracy"],
    }
    model.compile(**{**settings, **compiled})
    return model


def dataset_of(x, y, name="toy"):
    """A `Dataset` whose three parts are thirds of the examples."""
    third = len(x) // 3
    parts = [(x[i * third : (i + 1) * third], y[i * third : (i + 1) * third]) for i in range(3)]
    (x_train, y_train), (x_val, y_val), (x_test, y_test) = parts
    classes = tuple(f"c{k}" for k in range(int(y.max()) + 1))
    return Dataset(name, x_train, y_train, x_val, y_val, x_test, y_test, classes)


@pytest.fixture(scope="session")
def blobs():
    return make_blobs


@pytest.fixture(scope="session")
def small():
    return build_small


@pytest.fixture(scope="session")
def toy_dataset():
    return dataset_of
