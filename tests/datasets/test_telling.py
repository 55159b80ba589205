"""Which columns give the label away, and which only seem to."""

import numpy as np
import pandas as pd
import pytest

from ensemble_vs_dropout.datasets import from_arrays, load_dataset
from ensemble_vs_dropout.datasets.telling import telling_columns

Y = np.arange(90) % 3
RNG = np.random.default_rng(0)
NOISE = RNG.normal(size=90)


def telling(*columns):
    x = np.stack([NOISE, *columns], axis=1)
    return telling_columns(from_arrays(x[:60], Y[:60], x[60:], Y[60:]))


@pytest.mark.parametrize(
    ("column", "tells"),
    [
        (Y, True),  # the label itself
        ((Y + 1) % 3 * 10, True),  # under other numbers
        (Y + RNG.uniform(0, 0.9, size=90), True),  # a quantity that thresholds part
        ((Y == 1).astype(float), False),  # of one class alone
        (np.where(np.arange(90) == 7, 0, Y), False),  # but for one training example
        (np.where(np.arange(90) == 70, 0, Y), False),  # but for one test example
        (np.arange(90), False),  # the number of the row goes with one class each
        (RNG.permutation(90), False),
        (np.zeros(90), False),
    ],
)
def test_columns_of_numbers(column, tells):
    assert telling(column) == (("feature 2",) if tells else ())


def test_the_number_of_a_row_tells_nothing_though_rows_are_tested_on_that_were_trained_on():
    x = np.stack([NOISE.round(), np.random.default_rng(1).permutation(90)], axis=1)
    data = from_arrays(x, Y, x, Y, x_val=x, y_val=Y)
    assert telling_columns(data) == ()


def test_several_are_all_named():
    assert telling(Y, NOISE, 5 - Y) == ("feature 2", "feature 4")


def test_tables_have_names(tmp_path):
    words = np.array(["red", "green", "blue"])
    table = pd.DataFrame({"size": NOISE, "color": words[Y], "fair": RNG.choice(words, 90), "label": words[Y - 1]})
    table.to_csv(tmp_path / "mine.csv", index=False)
    assert telling_columns(load_dataset(tmp_path / "mine.csv", target="label")) == ("color",)


def test_images_texts_and_several_inputs_have_none():
    images = np.tile(Y[:, None, None], (1, 2, 2)).astype(float)
    texts = np.array(["a", "b", "c"])[Y]
    for x in (images, texts, {"one": images, "two": np.stack([Y], 1)}):
        parts = [
            {name: of[part] for name, of in x.items()} if isinstance(x, dict) else x[part]
            for part in (slice(60), slice(60, 90))
        ]
        assert telling_columns(from_arrays(parts[0], Y[:60], parts[1], Y[60:])) == ()


def test_few_examples_tell_nothing_and_a_data_set_is_looked_at_once(monkeypatch):
    for examples, told in ((15, ()), (16, ("feature 1",))):
        x, y = (np.arange(examples) % 2)[:, None].astype(float), np.arange(examples) % 2
        assert telling_columns(from_arrays(x, y, x, y, x_val=x, y_val=y)) == told
    data = from_arrays(np.stack([NOISE, Y], 1)[:60], Y[:60], np.stack([NOISE, Y], 1)[60:], Y[60:])
    assert telling_columns(data) == ("feature 2",)
    monkeypatch.setattr("ensemble_vs_dropout.datasets.telling._found", lambda data: 1 / 0)
    assert telling_columns(data) == ("feature 2",)
