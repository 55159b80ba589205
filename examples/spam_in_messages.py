"""Text beside numbers: is a message spam? Networks read its words, and see its length and how many digits it has.

python examples/spam_in_messages.py                      # made-up messages; 30 seconds on two cores
python examples/spam_in_messages.py SMSSpamCollection    # the file of the UCI Machine Learning Repository
"""

import sys
from pathlib import Path

import keras
import numpy as np

import ensemble_vs_dropout as evd
from ensemble_vs_dropout.datasets import from_arrays


def messages(path: Path | None) -> tuple[list[str], list[str]]:
    """Return messages and their labels."""
    if path:
        pairs = [line.split("\t", 1) for line in path.read_text(encoding="utf-8").splitlines() if line]
        return [text for _, text in pairs], [label for label, _ in pairs]
    rng = np.random.default_rng(0)
    words = {"ham": "lunch home later love see you at soon the bus was late call me", "spam": "win prize call now free"}
    labels = rng.choice(["ham", "spam"], size=600, p=[0.8, 0.2]).tolist()
    made = []
    for label in labels:
        other = words["ham" if label == "spam" else "spam"].split()
        known = rng.choice([*words[label].split(), *other], size=rng.integers(4, 12))
        made.append(" ".join([*known, str(rng.integers(10_000, 99_999))][: None if label == "spam" else -1]))
    return made, labels


def build(data: evd.Dataset, rate: float) -> keras.Model:
    """Return a network that takes a dict of two inputs."""
    inputs = {"text": keras.Input((), dtype="string", name="text"), "numbers": keras.Input((2,), name="numbers")}
    read = keras.layers.TextVectorization(max_tokens=2_000, output_mode="multi_hot")
    read.adapt(data.x_train["text"])  # the training part alone
    both = keras.layers.Concatenate()([read(inputs["text"]), inputs["numbers"]])
    hidden = keras.layers.Dense(32, activation="relu")(both)
    if rate:
        hidden = keras.layers.Dropout(rate)(hidden)
    model = keras.Model(inputs, keras.layers.Dense(len(data.classes), activation="softmax")(hidden))
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


texts, labels = messages(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
numbers = np.array([[len(text), sum(letter.isdigit() for letter in text)] for text in texts], dtype=float)
cut = int(0.8 * len(texts))
data = from_arrays(
    {"text": texts[:cut], "numbers": numbers[:cut]},
    labels[:cut],
    {"text": texts[cut:], "numbers": numbers[cut:]},
    labels[cut:],
    name="messages",
)
print(data)
comparison = evd.compare(data, build, members=3, rate=0.5, epochs=15, class_weight="balanced", verbose=0)
print(comparison.answer())
