"""A trunk that was trained before, frozen, under small heads: five networks, or one with dropout?

python examples/frozen_trunk.py    # about 15 seconds on two cores

The trunk learns on clothes of five kinds, the heads on five others that it never saw, of which there are few. Weights
of your own or of `keras.applications` stand in the place of the trunk's.
"""

import keras
import numpy as np

import ensemble_vs_dropout as evd
from ensemble_vs_dropout.datasets import from_arrays


def body() -> keras.Sequential:
    """Return an untrained trunk: images to features."""
    layers = [keras.layers.Rescaling(1 / 255), keras.layers.Reshape((28, 28, 1))]
    for filters in (16, 32):
        layers += [keras.layers.Conv2D(filters, 3, strides=2, activation="relu")]
    return keras.Sequential([keras.Input((28, 28)), *layers, keras.layers.Flatten()], name="trunk")


keras.utils.set_random_seed(0)
everything = evd.load_dataset("fashion_mnist_10k", seed=0)
known = everything.y_train < 5
trunk = body()
first = keras.Sequential([trunk, keras.layers.Dense(5)])
first.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
told = first.fit(everything.x_train[known], everything.y_train[known], epochs=4, batch_size=64, verbose=0)
print(f"the trunk knows five kinds of clothes: {told.history['accuracy'][-1]:.1%} of its training images are right")


def build(data: evd.Dataset, rate: float) -> keras.Model:
    """Return a head on a frozen copy of the trunk: what does not learn is computed once for all networks."""
    frozen = body()
    frozen.set_weights(trunk.get_weights())
    frozen.trainable = False
    layers = [frozen, keras.layers.Dense(64, activation="relu")]
    layers += [keras.layers.Dropout(rate)] if rate else []
    model = keras.Sequential([keras.Input((28, 28), dtype="uint8"), *layers, keras.layers.Dense(len(data.classes))])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


new = {part: getattr(everything, f"y_{part}") >= 5 for part in ("train", "test")}
names = np.array(everything.classes)
data = from_arrays(
    everything.x_train[new["train"]],
    names[everything.y_train[new["train"]]],
    everything.x_test[new["test"]],
    names[everything.y_test[new["test"]]],
    name="five other kinds",
    train_size=500,
)
print(data)
comparison = evd.compare(data, build, members=5, rate=0.5, passes=50, epochs=30, verbose=0)
print(comparison.answer())
